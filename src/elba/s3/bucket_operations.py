"""Operations on buckets. Source: S3 API reference, "CreateBucket"; user guide, "Bucket naming rules"."""

from __future__ import annotations

import ipaddress
import re

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.context import Context
from elba.errors import ApiError
from elba.s3.configurations import NEW_BUCKET
from elba.s3.lookup import bucket_of_any, owner, require_bucket
from elba.s3.resources import GLOBAL, Bucket, Object, Upload
from elba.store.interface import Transaction

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def _check_name(name: str) -> None:
    try:
        ipaddress.ip_address(name)
        bad = True
    except ValueError:
        bad = not _NAME.fullmatch(name) or ".." in name or name.startswith("xn--") or name.endswith("-s3alias")
    if bad:
        raise ApiError("InvalidBucketName", "The specified bucket is not valid.", 400, fields={"BucketName": name})


async def create_bucket(ctx: Context, request: Request) -> Answer:
    """Raises: ApiError InvalidBucketName, BucketAlreadyOwnedByYou, BucketAlreadyExists, IllegalLocationConstraint…"""
    name = request["bucket"]
    _check_name(name)
    configuration = request.get("create_bucket_configuration") or {}
    location = configuration.get("location_constraint") or ""
    region = ctx.call.region
    if location in ("", "EU"):
        location = "eu-west-1" if location else "us-east-1"
        if region != location and not configuration.get("location_constraint"):
            raise ApiError(
                "IllegalLocationConstraintException",
                "The unspecified location constraint is incompatible for the region specific endpoint this request was "
                "sent to.",
            )
    elif location == "us-east-1":
        raise ApiError("InvalidLocationConstraint", "The specified location-constraint is not valid")
    elif region not in ("us-east-1", location):
        raise ApiError(
            "IllegalLocationConstraintException",
            f"The {location} location constraint is incompatible for the region specific endpoint this request was "
            "sent to.",
        )
    kept = dict(NEW_BUCKET)
    if ownership := request.get("object_ownership"):
        kept["ownership_controls"] = {"rules": [{"object_ownership": ownership}]}
    if request.get("object_lock_enabled_for_bucket"):
        kept["object_lock"] = {"object_lock_enabled": "Enabled"}
        kept["versioning"] = {"status": "Enabled"}
    if tags := configuration.get("tags"):
        kept["tagging"] = {"tag_set": tags}
    acl = request.get("acl")
    if acl not in (None, "private") and (ownership or "BucketOwnerEnforced") == "BucketOwnerEnforced":
        raise ApiError(
            "InvalidBucketAclWithObjectOwnership",
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        )

    def command(tx: Transaction, call: Call, request: Request) -> Answer:
        known = bucket_of_any(tx, name)
        if known is not None and known.account != call.account:
            raise ApiError(
                "BucketAlreadyExists",
                "The requested bucket name is not available. The bucket namespace is shared by all users of the "
                "system. Please select a different name and try again.",
                409,
                fields={"BucketName": name},
            )
        if known is not None:
            if known.location == "us-east-1" == location:
                return {}  # us-east-1 alone lets its owner make it again
            raise ApiError(
                "BucketAlreadyOwnedByYou",
                "Your previous request to create the named bucket succeeded and you already own it.",
                409,
                fields={"BucketName": name},
            )
        tx.put(
            Bucket(
                account=call.account,
                region=GLOBAL,
                id=name,
                location=location,
                creation_date=call.now,
                configurations=kept,
            )
        )
        return {}

    await ctx.write(command, request)
    await ctx.ports.buckets.make(name)
    return {"location": f"/{name}"}


async def delete_bucket(ctx: Context, request: Request) -> Answer:
    """Raises: ApiError BucketNotEmpty."""
    bucket = await require_bucket(ctx, request)
    if not await ctx.ports.buckets.remove(bucket.id):
        raise ApiError(
            "BucketNotEmpty", "The bucket you tried to delete is not empty", 409, fields={"BucketName": bucket.id}
        )

    def command(tx: Transaction, call: Call, request: Request) -> Answer:
        for type_ in (Object, Upload):
            for left in tx.children(type_, bucket.account, GLOBAL, bucket.id):
                tx.delete(left)
        if tx.get(Bucket, bucket.account, GLOBAL, bucket.id) is not None:
            tx.delete(bucket)
        return {}

    await ctx.write(command, request)
    return {}


async def head_bucket(ctx: Context, request: Request) -> Answer:
    bucket = await require_bucket(ctx, request)
    return {"bucket_region": bucket.location, "access_point_alias": False, "bucket_arn": f"arn:aws:s3:::{bucket.id}"}


async def get_bucket_location(ctx: Context, request: Request) -> Answer:
    """us-east-1 has no name here, as on S3."""
    bucket = await require_bucket(ctx, request)
    return {"location_constraint": None if bucket.location == "us-east-1" else bucket.location}


async def list_buckets(ctx: Context, request: Request) -> Answer:
    found = sorted((b for b in ctx.view.all(Bucket, ctx.call.account, GLOBAL)), key=lambda b: b.id)
    prefix, region = request.get("prefix") or "", request.get("bucket_region")
    found = [b for b in found if b.id.startswith(prefix) and region in (None, b.location)]
    after, most = request.get("continuation_token") or "", request.get("max_buckets") or 10_000
    found = [b for b in found if b.id > after]
    part = found[:most]
    return {
        "owner": owner(ctx.call.account),
        "buckets": [
            {
                "name": b.id,
                "creation_date": b.creation_date,
                "bucket_region": b.location if request.get("max_buckets") or region else None,
            }
            for b in part
        ],
        "prefix": request.get("prefix"),
        "continuation_token": part[-1].id if len(part) < len(found) else None,
    }


async def put_object_lock_configuration(ctx: Context, request: Request) -> Answer:
    """Kept; objects are not locked. Raises: ApiError InvalidBucketState without versioning."""
    bucket = await require_bucket(ctx, request)
    versioning = bucket.configurations.get("versioning")
    if not isinstance(versioning, dict) or versioning.get("status") != "Enabled":
        raise ApiError("InvalidBucketState", "Versioning must be 'Enabled' on the bucket to apply a Object Lock", 409)
    value = request.get("object_lock_configuration") or {"object_lock_enabled": "Enabled"}

    def command(tx: Transaction, call: Call, _request: Request) -> Answer:
        now = tx.get(Bucket, bucket.account, GLOBAL, bucket.id) or bucket
        tx.put(replace(now, configurations={**now.configurations, "object_lock": value}))
        return {}

    await ctx.write(command, request)
    return {}
