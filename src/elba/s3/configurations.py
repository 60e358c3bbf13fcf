"""What is put on a bucket and read back: policy, tags, encryption … Kept as it was put; what has an effect is named.

Source: S3 API reference, each operation; the state of a new bucket: S3 user guide, "Default settings for new buckets".
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.context import Context
from elba.errors import ApiError
from elba.s3.lookup import canonical_id, owner, require_bucket
from elba.s3.resources import Bucket
from elba.store.interface import Transaction

Operation = Callable[[Context, Request], Awaitable[Answer]]


class Kind(NamedTuple):
    """One kind of configuration.

    `member`: where the request carries it. `whole`: the answer's one member that holds it; "" = its members are the
    answer's own. `absent`: (code, message) while there is none, or the answer of a bucket without.
    """

    name: str
    member: str
    whole: str
    absent: tuple[str, str] | dict[str, Any]


_AES = {
    "rules": [{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}, "bucket_key_enabled": False}]
}
_BLOCKED = dict.fromkeys(
    ("block_public_acls", "ignore_public_acls", "block_public_policy", "restrict_public_buckets"), True
)

KINDS = {
    kind.name: kind
    for kind in (
        Kind("policy", "policy", "policy", ("NoSuchBucketPolicy", "The bucket policy does not exist")),
        Kind("tagging", "tagging", "", ("NoSuchTagSet", "The TagSet does not exist")),
        Kind("cors", "cors_configuration", "", ("NoSuchCORSConfiguration", "The CORS configuration does not exist")),
        Kind(
            "website",
            "website_configuration",
            "",
            ("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
        ),
        Kind(
            "lifecycle",
            "lifecycle_configuration",
            "",
            ("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
        ),
        Kind(
            "replication",
            "replication_configuration",
            "replication_configuration",
            ("ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
        ),
        Kind("encryption", "server_side_encryption_configuration", "server_side_encryption_configuration", _AES),
        Kind(
            "public_access_block",
            "public_access_block_configuration",
            "public_access_block_configuration",
            ("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found"),
        ),
        Kind(
            "ownership_controls",
            "ownership_controls",
            "ownership_controls",
            ("OwnershipControlsNotFoundError", "The bucket ownership controls were not found"),
        ),
        Kind("versioning", "versioning_configuration", "", {}),
        Kind("accelerate", "accelerate_configuration", "", {}),
        Kind("request_payment", "request_payment_configuration", "", {"payer": "BucketOwner"}),
        Kind("logging", "bucket_logging_status", "", {}),
        Kind("notification", "notification_configuration", "", {}),
        Kind(
            "object_lock",
            "object_lock_configuration",
            "object_lock_configuration",
            ("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket"),
        ),
    )
}

NEW_BUCKET: Mapping[str, object] = {
    "public_access_block": _BLOCKED,
    "ownership_controls": {"rules": [{"object_ownership": "BucketOwnerEnforced"}]},
}


async def change(ctx: Context, bucket: Bucket, name: str, value: object | None) -> None:
    """Put (None: remove) one configuration."""

    def command(tx: Transaction, call: Call, request: Request) -> Answer:
        now = tx.get(Bucket, bucket.account, bucket.region, bucket.id) or bucket
        kept = {k: v for k, v in now.configurations.items() if k != name}
        tx.put(replace(now, configurations=kept if value is None else {**kept, name: value}))
        return {}

    await ctx.write(command, {})


def putting(name: str, check: Callable[[Any], None] | None = None) -> Operation:
    kind = KINDS[name]

    async def put(ctx: Context, request: Request) -> Answer:
        bucket = await require_bucket(ctx, request)
        value = request.get(kind.member)
        if value is None or (value == {} and kind.absent != {}):
            raise malformed()
        if check is not None:
            check(value)
        await change(ctx, bucket, name, value)
        return {}

    return put


def getting(name: str) -> Operation:
    kind = KINDS[name]

    async def get(ctx: Context, request: Request) -> Answer:
        bucket = await require_bucket(ctx, request)
        value: Any = bucket.configurations.get(name)
        if value is None:
            if isinstance(kind.absent, tuple):
                code, message = kind.absent
                raise ApiError(code, message, 404, fields={"BucketName": bucket.id})
            value = kind.absent
        return {kind.whole: value} if kind.whole else dict(value)

    return get


def deleting(name: str) -> Operation:
    async def delete(ctx: Context, request: Request) -> Answer:
        bucket = await require_bucket(ctx, request)
        await change(ctx, bucket, name, None)
        return {}

    return delete


def malformed() -> ApiError:
    return ApiError(
        "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema", 400
    )


def check_policy(text: str) -> None:
    """Raises: ApiError MalformedPolicy."""
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not text.lstrip().startswith("{"):
        raise ApiError("MalformedPolicy", "Policies must be valid JSON and the first byte must be '{'", 400)
    if "Statement" not in document:
        raise ApiError("MalformedPolicy", "Missing required field Statement", 400)


def check_versioning(value: Mapping[str, Any]) -> None:
    if value.get("status") not in ("Enabled", "Suspended"):
        raise ApiError("IllegalVersioningConfigurationException", "The Versioning element must be specified", 400)


def check_tags(value: Mapping[str, Any]) -> None:
    """Raises: ApiError InvalidTag."""
    tags = value.get("tag_set") or []
    keys = [tag.get("key") for tag in tags]
    if len(set(keys)) != len(keys):
        raise ApiError("InvalidTag", "Cannot provide multiple Tags with the same key", 400)
    if len(tags) > 50:
        raise ApiError("BadRequest", "Bucket tag count cannot be greater than 50", 400)
    if any(str(key).startswith("aws:") for key in keys):
        raise ApiError("InvalidTag", "System tags cannot be added/updated by requester", 400)


async def get_bucket_policy_status(ctx: Context, request: Request) -> Answer:
    """Public if a statement allows something to everybody without a condition."""
    text = (await getting("policy")(ctx, request))["policy"]
    found = json.loads(text).get("Statement") or []
    statements = found if isinstance(found, list) else [found]
    everybody = ("*", {"AWS": "*"}, {"AWS": ["*"]})
    public = any(
        s.get("Effect") == "Allow" and s.get("Principal") in everybody and not s.get("Condition") for s in statements
    )
    return {"policy_status": {"is_public": public}}


async def put_bucket_lifecycle_configuration(ctx: Context, request: Request) -> Answer:
    """Kept, not carried out: nothing expires."""
    bucket = await require_bucket(ctx, request)
    value = request.get("lifecycle_configuration") or {}
    if not value.get("rules"):
        raise malformed()
    least = request.get("transition_default_minimum_object_size") or "all_storage_classes_128K"
    await change(ctx, bucket, "lifecycle", {**value, "transition_default_minimum_object_size": least})
    return {"transition_default_minimum_object_size": least}


_GROUPS = "http://acs.amazonaws.com/groups/"
_CANNED: dict[str, list[tuple[str, str]]] = {
    "private": [],
    "public-read": [("global/AllUsers", "READ")],
    "public-read-write": [("global/AllUsers", "READ"), ("global/AllUsers", "WRITE")],
    "authenticated-read": [("global/AuthenticatedUsers", "READ")],
    "log-delivery-write": [("s3/LogDelivery", "WRITE"), ("s3/LogDelivery", "READ_ACP")],
    "bucket-owner-read": [],
    "bucket-owner-full-control": [],
}


def _full_control(account: str) -> dict[str, Any]:
    return {"grantee": {"id": canonical_id(account), "type": "CanonicalUser"}, "permission": "FULL_CONTROL"}


def owner_only(account: str) -> Answer:
    """The access control list of what only its owner may use."""
    return {"owner": owner(account), "grants": [_full_control(account)]}


def acls_are_off(bucket: Bucket) -> bool:
    controls: Any = bucket.configurations.get("ownership_controls") or {}
    rules = controls.get("rules") or [{}]
    return bool(rules[0].get("object_ownership") == "BucketOwnerEnforced")


def acls_not_supported() -> ApiError:
    return ApiError("AccessControlListNotSupported", "The bucket does not allow ACLs", 400)


def check_acl(bucket: Bucket, request: Request) -> None:
    """Raises: ApiError AccessControlListNotSupported while the owner of the bucket owns all in it."""
    if request.get("acl") not in (None, *_CANNED):
        raise ApiError("InvalidArgument", "", 400, fields={"ArgumentName": "x-amz-acl"})
    given = any(request.get(name) for name in ("grant_read", "grant_write", "grant_read_acp", "grant_write_acp"))
    if acls_are_off(bucket) and (given or request.get("acl") not in (None, "private", "bucket-owner-full-control")):
        raise acls_not_supported()


async def put_bucket_acl(ctx: Context, request: Request) -> Answer:
    """Kept; who may do what is not decided by it."""
    bucket = await require_bucket(ctx, request)
    if acls_are_off(bucket):
        raise acls_not_supported()
    policy = request.get("access_control_policy") or {}
    if policy.get("grants"):
        grants = [dict(grant) for grant in policy["grants"]]
    else:
        grants = [_full_control(bucket.account)]
        if request.get("acl") not in (None, *_CANNED):
            raise ApiError("InvalidArgument", "", 400, fields={"ArgumentName": "x-amz-acl"})
        for group, permission in _CANNED[request.get("acl") or "private"]:
            grants.append({"grantee": {"type": "Group", "uri": _GROUPS + group}, "permission": permission})
    await change(ctx, bucket, "acl", {"owner": owner(bucket.account), "grants": grants})
    return {}


async def get_bucket_acl(ctx: Context, request: Request) -> Answer:
    bucket = await require_bucket(ctx, request)
    kept: Any = bucket.configurations.get("acl")
    return dict(kept) if kept else owner_only(bucket.account)
