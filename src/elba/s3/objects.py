"""Operations on objects. Source: S3 API reference, "PutObject", "GetObject", "CopyObject", "DeleteObjects"."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from elba.buckets import BadObjectName
from elba.call import Answer, Call, Request
from elba.context import Context
from elba.errors import ApiError
from elba.s3.configurations import acls_are_off, acls_not_supported, check_acl, owner_only
from elba.s3.lookup import (
    MOST_OBJECT_BYTES,
    bad_key,
    find_object,
    invalid_argument,
    md5,
    no_such_key,
    require_bucket,
    require_object,
)
from elba.s3.resources import GLOBAL, Bucket, Object
from elba.store.interface import Transaction

_HEADERS = ("cache_control", "content_disposition", "content_encoding", "content_language", "expires")
_CHECKSUMS = ("checksum_crc32", "checksum_crc32_c", "checksum_crc64_nvme", "checksum_sha1", "checksum_sha256")
_MOST_METADATA_BYTES = 2048


def _bad_digest(message: str) -> ApiError:
    return ApiError("BadDigest", message, 400)


def check_digests(request: Request, body: bytes) -> dict[str, str]:
    """The checksums that the request names; those Elba can compute are. Raises: ApiError BadDigest, InvalidDigest."""
    if given := request.get("content_md5"):
        try:
            digest = base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            digest = b""
        if len(digest) != 16:
            raise ApiError("InvalidDigest", "The Content-MD5 you specified was invalid.", 400)
        if digest.hex() != md5(body):
            raise _bad_digest("The Content-MD5 you specified did not match what we received.")
    known: dict[str, bytes] = {
        "checksum_crc32": zlib.crc32(body).to_bytes(4, "big"),
        "checksum_sha1": hashlib.sha1(body, usedforsecurity=False).digest(),
        "checksum_sha256": hashlib.sha256(body).digest(),
    }
    found = {name: str(request[name]) for name in _CHECKSUMS if request.get(name)}
    for name, text in found.items():
        if name in known and base64.b64encode(known[name]).decode() != text:
            kind = name.removeprefix("checksum_").upper()
            raise _bad_digest(f"The {kind} you specified did not match the calculated checksum.")
    return found


def _encryption(bucket: Bucket, request: Request) -> tuple[str, str]:
    """(algorithm, key id): the request's, else the bucket's. Nothing is encrypted by it."""
    if request.get("server_side_encryption"):
        return request["server_side_encryption"], request.get("ssekms_key_id") or ""
    kept: Any = bucket.configurations.get("encryption") or {}
    rules = kept.get("rules") or [{}]
    default = rules[0].get("apply_server_side_encryption_by_default") or {}
    return default.get("sse_algorithm") or "AES256", default.get("kms_master_key_id") or ""


def _tags(text: str) -> dict[str, str]:
    """Raises: ApiError InvalidArgument."""
    try:
        return dict(parse_qsl(text, keep_blank_values=True, strict_parsing=True)) if text else {}
    except ValueError:
        raise invalid_argument("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded") from None


def described(ctx: Context, bucket: Bucket, request: Request) -> Object:
    """What a request to put an object, or to begin an upload, says of it; its bytes are still to come.

    Raises: ApiError MetadataTooLarge, AccessControlListNotSupported, InvalidArgument.
    """
    check_acl(bucket, request)
    metadata = dict(request.get("metadata") or {})
    if sum(len(k) + len(v) for k, v in metadata.items()) > _MOST_METADATA_BYTES:
        raise ApiError("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size", 400)
    algorithm, key_id = _encryption(bucket, request)
    return Object(
        account=bucket.account,
        region=GLOBAL,
        id=f"{bucket.id}/{request['key']}",
        bucket=bucket.id,
        size=0,
        modified_ns=0,
        etag="",
        last_modified=ctx.call.now,
        content_type=request.get("content_type") or "binary/octet-stream",
        headers={name: str(request[name]) for name in _HEADERS if request.get(name)},
        metadata=metadata,
        tags=_tags(request.get("tagging") or ""),
        storage_class=request.get("storage_class") or "STANDARD",
        encryption=algorithm,
        kms_key_id=key_id,
    )


async def write(ctx: Context, bucket: Bucket, key: str, body: bytes, described: Object) -> Object:
    """Write the file, then what is said of it. Raises: ApiError KeyTooLongError."""
    buckets = ctx.ports.buckets
    try:
        await buckets.make(bucket.id)
        await buckets.write(bucket.id, key, body)
        found = await buckets.find(bucket.id, key)
    except BadObjectName:
        raise bad_key(key) from None
    assert found is not None
    made = msgspec.structs.replace(described, size=found.size, modified_ns=found.modified_ns)
    await save(ctx, made)
    return made


async def save(ctx: Context, described: Object) -> None:
    def command(tx: Transaction, call: Call, request: Request) -> Answer:
        tx.put(described)
        return {}

    await ctx.write(command, {})


def _key(request: Request) -> str:
    key = str(request["key"])
    if len(key.encode("utf-8", "surrogatepass")) > 1024:
        raise bad_key(key)
    return key


async def _check_write_condition(ctx: Context, bucket: Bucket, key: str, request: Request) -> None:
    """Raises: ApiError PreconditionFailed."""
    unmatched, matched = request.get("if_none_match"), request.get("if_match")
    if unmatched is None and matched is None:
        return
    known = await find_object(ctx, bucket, key)
    if matched is not None and known is None:
        raise no_such_key(key)
    if (unmatched is not None and known is not None) or (
        matched is not None and known is not None and matched.strip('"') != known.etag
    ):
        raise precondition_failed("If-None-Match" if unmatched is not None else "If-Match")


def precondition_failed(condition: str) -> ApiError:
    message = "At least one of the pre-conditions you specified did not hold"
    return ApiError("PreconditionFailed", message, 412, fields={"Condition": condition})


async def put_object(ctx: Context, request: Request) -> Answer:
    bucket = await require_bucket(ctx, request)
    key, body = _key(request), request.get("body") or b""
    checksums = check_digests(request, body)
    await _check_write_condition(ctx, bucket, key, request)
    described_ = msgspec.structs.replace(described(ctx, bucket, request), etag=md5(body), checksums=checksums)
    made = await write(ctx, bucket, key, body, described_)
    return {**put_answer(made), **checksums}


def put_answer(made: Object) -> Answer:
    return {
        "e_tag": f'"{made.etag}"',
        "server_side_encryption": made.encryption,
        "ssekms_key_id": made.kms_key_id or None,
    }


def _conditions(request: Request, known: Object, prefix: str = "") -> None:
    """Raises: ApiError PreconditionFailed, NotModified."""

    def etags(name: str) -> list[str] | None:
        text = request.get(prefix + name)
        return None if text is None else [part.strip().removeprefix("W/").strip('"') for part in text.split(",")]

    seconds = int(known.last_modified)
    matched, unmatched = etags("if_match"), etags("if_none_match")
    if matched is not None and known.etag not in matched and "*" not in matched:
        raise precondition_failed("If-Match")
    since = request.get(prefix + "if_unmodified_since")
    if matched is None and since is not None and seconds > since:
        raise precondition_failed("If-Unmodified-Since")
    changed = request.get(prefix + "if_modified_since")
    same = unmatched is not None and (known.etag in unmatched or "*" in unmatched)
    if same or (unmatched is None and changed is not None and seconds <= changed):
        if prefix:
            raise precondition_failed("x-amz-copy-source-If-None-Match")
        raise ApiError("NotModified", "Not Modified", 304)


def _check_version(request: Request, key: str) -> None:
    """Objects have one version. Raises: ApiError NoSuchVersion."""
    version = request.get("version_id")
    if version not in (None, "null", ""):
        raise ApiError("NoSuchVersion", "The specified version does not exist.", 404, fields={"Key": key})


def _head(request: Request, known: Object) -> Answer:
    answer: Answer = {
        "accept_ranges": "bytes",
        "last_modified": known.last_modified,
        "content_length": known.size,
        "e_tag": f'"{known.etag}"',
        "content_type": known.content_type,
        "metadata": known.metadata or None,
        "server_side_encryption": known.encryption,
        "ssekms_key_id": known.kms_key_id or None,
        "storage_class": None if known.storage_class == "STANDARD" else known.storage_class,
        "tag_count": len(known.tags) or None,
        **known.headers,
    }
    if request.get("checksum_mode") == "ENABLED":
        answer.update(known.checksums)
    for name in ("cache_control", "content_disposition", "content_encoding", "content_language", "content_type"):
        if request.get(f"response_{name}"):
            answer[name] = request[f"response_{name}"]
    return answer


_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def byte_range(text: str, size: int) -> tuple[int, int] | None:
    """(first, last) of a Range header; None if it is none S3 minds. Raises: ApiError InvalidRange."""
    found = _RANGE.fullmatch(text.strip())
    if found is None or not (found.group(1) or found.group(2)):
        return None
    if found.group(1):
        first = int(found.group(1))
        last = min(int(found.group(2)), size - 1) if found.group(2) else size - 1
    else:
        first, last = max(0, size - int(found.group(2))), size - 1
    if first > last:
        raise ApiError(
            "InvalidRange",
            "The requested range is not satisfiable",
            416,
            fields={"RangeRequested": text, "ActualObjectSize": size},
        )
    return first, last


async def get_object(ctx: Context, request: Request) -> Answer:
    """Raises: ApiError NoSuchKey, InvalidRange, PreconditionFailed, NotModified."""
    bucket = await require_bucket(ctx, request)
    key = _key(request)
    _check_version(request, key)
    known = await require_object(ctx, bucket, key)
    _conditions(request, known)
    body = await ctx.ports.buckets.read(bucket.id, key, MOST_OBJECT_BYTES)
    if body is None:
        raise no_such_key(key)
    answer = _head(request, known)
    span = byte_range(request["range"], len(body)) if request.get("range") else None
    if span is not None:
        answer["content_range"] = f"bytes {span[0]}-{span[1]}/{len(body)}"
        body = body[span[0] : span[1] + 1]
        # A checksum is of the whole.
        answer = {k: v for k, v in answer.items() if not k.startswith("checksum_")}
    return {**answer, "body": body, "content_length": len(body)}


async def head_object(ctx: Context, request: Request) -> Answer:
    bucket = await require_bucket(ctx, request)
    key = _key(request)
    _check_version(request, key)
    known = await require_object(ctx, bucket, key)
    _conditions(request, known)
    answer = _head(request, known)
    span = byte_range(request["range"], known.size) if request.get("range") else None
    if span is not None:
        answer["content_range"] = f"bytes {span[0]}-{span[1]}/{known.size}"
        answer["content_length"] = span[1] - span[0] + 1
    return answer


async def get_object_attributes(ctx: Context, request: Request) -> Answer:
    bucket = await require_bucket(ctx, request)
    known = await require_object(ctx, bucket, _key(request))
    wanted = request.get("object_attributes") or ()
    return {
        "last_modified": known.last_modified,
        "e_tag": known.etag if "ETag" in wanted else None,
        "object_size": known.size if "ObjectSize" in wanted else None,
        "storage_class": known.storage_class if "StorageClass" in wanted else None,
        "checksum": known.checksums if "Checksum" in wanted and known.checksums else None,
    }


async def _forget(ctx: Context, bucket: Bucket, keys: list[str]) -> None:
    def command(tx: Transaction, call: Call, request: Request) -> Answer:
        for key in keys:
            known = tx.get(Object, bucket.account, GLOBAL, f"{bucket.id}/{key}")
            if known is not None:
                tx.delete(known)
        return {}

    await ctx.write(command, {})


async def delete_object(ctx: Context, request: Request) -> Answer:
    """What is not there is deleted too."""
    bucket = await require_bucket(ctx, request)
    key = _key(request)
    try:
        await ctx.ports.buckets.delete(bucket.id, key)
    except BadObjectName:
        raise bad_key(key) from None
    await _forget(ctx, bucket, [key])
    return {}


async def delete_objects(ctx: Context, request: Request) -> Answer:
    """Raises: ApiError MalformedXML (none, or more than a thousand)."""
    bucket = await require_bucket(ctx, request)
    wanted = request["delete"]
    objects: list[Mapping[str, Any]] = wanted.get("objects") or []
    if not 1 <= len(objects) <= 1000:
        raise ApiError(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema",
        )
    deleted: list[Answer] = []
    errors: list[Answer] = []
    for each in objects:
        try:
            await ctx.ports.buckets.delete(bucket.id, each["key"])
        except BadObjectName:
            error = bad_key(each["key"])
            errors.append({"key": each["key"], "code": error.code, "message": error.message})
            continue
        deleted.append({"key": each["key"], "version_id": each.get("version_id")})
    await _forget(ctx, bucket, [each["key"] for each in deleted])
    return {"deleted": [] if wanted.get("quiet") else deleted, "errors": errors}


async def copy_object(ctx: Context, request: Request) -> Answer:
    """Raises: ApiError InvalidRequest (onto itself, with nothing changed), NoSuchKey, PreconditionFailed."""
    bucket = await require_bucket(ctx, request)
    source, original, body = await read_source(ctx, request)
    key = _key(request)
    replacing = request.get("metadata_directive") == "REPLACE"
    new = described(ctx, bucket, request)
    same = (source.id, request_source(request)[1]) == (bucket.id, key)
    if same and not replacing and not request.get("storage_class") and not request.get("server_side_encryption"):
        raise ApiError(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes.",
        )
    if not replacing:
        new = msgspec.structs.replace(
            new, content_type=original.content_type, headers=original.headers, metadata=original.metadata
        )
    if request.get("tagging_directive") != "REPLACE":
        new = msgspec.structs.replace(new, tags=original.tags)
    new = msgspec.structs.replace(new, etag=md5(body), checksums=original.checksums)
    made = await write(ctx, bucket, key, body, new)
    return {
        "copy_object_result": {"e_tag": f'"{made.etag}"', "last_modified": made.last_modified, **made.checksums},
        "server_side_encryption": made.encryption,
        "ssekms_key_id": made.kms_key_id or None,
    }


def request_source(request: Request) -> tuple[str, str]:
    """(bucket, key) of `x-amz-copy-source`. Raises: ApiError InvalidArgument."""
    text = str(request["copy_source"]).partition("?")[0]
    bucket, _, key = unquote(text).lstrip("/").partition("/")
    if not bucket or not key:
        raise invalid_argument("Invalid copy source object key", ArgumentName="x-amz-copy-source")
    return bucket, key


async def read_source(ctx: Context, request: Request) -> tuple[Bucket, Object, bytes]:
    """What is to be copied. Raises: ApiError NoSuchBucket, NoSuchKey, PreconditionFailed."""
    name, key = request_source(request)
    bucket = await require_bucket(ctx, {"source": name}, "source")
    known = await require_object(ctx, bucket, key)
    _conditions(request, known, "copy_source_")
    body = await ctx.ports.buckets.read(bucket.id, key, MOST_OBJECT_BYTES)
    if body is None:
        raise no_such_key(key)
    return bucket, known, body


async def get_object_tagging(ctx: Context, request: Request) -> Answer:
    bucket = await require_bucket(ctx, request)
    known = await require_object(ctx, bucket, _key(request))
    return {"tag_set": [{"key": k, "value": v} for k, v in known.tags.items()]}


async def put_object_tagging(ctx: Context, request: Request) -> Answer:
    """Raises: ApiError InvalidTag, BadRequest (more than ten)."""
    bucket = await require_bucket(ctx, request)
    known = await require_object(ctx, bucket, _key(request))
    given = (request.get("tagging") or {}).get("tag_set") or []
    tags = {tag["key"]: tag.get("value") or "" for tag in given}
    if len(tags) != len(given):
        raise ApiError("InvalidTag", "Cannot provide multiple Tags with the same key")
    if len(tags) > 10:
        raise ApiError("BadRequest", "Object tags cannot be greater than 10")
    await save(ctx, msgspec.structs.replace(known, tags=tags))
    return {}


async def delete_object_tagging(ctx: Context, request: Request) -> Answer:
    bucket = await require_bucket(ctx, request)
    known = await require_object(ctx, bucket, _key(request))
    await save(ctx, msgspec.structs.replace(known, tags={}))
    return {}


async def get_object_acl(ctx: Context, request: Request) -> Answer:
    bucket = await require_bucket(ctx, request)
    await require_object(ctx, bucket, _key(request))
    return owner_only(bucket.account)


async def put_object_acl(ctx: Context, request: Request) -> Answer:
    """Objects have no access control lists of their own: `private` is what they are.

    Raises: ApiError AccessControlListNotSupported.
    """
    bucket = await require_bucket(ctx, request)
    await require_object(ctx, bucket, _key(request))
    if acls_are_off(bucket):
        raise acls_not_supported()
    return {}
