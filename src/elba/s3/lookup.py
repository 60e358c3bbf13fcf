"""Finding buckets and objects, and S3's refusals in its own words. Source: S3 API reference, "Error responses"."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from elba.buckets import BadObjectName, Found
from elba.call import Request
from elba.context import Context
from elba.errors import ApiError
from elba.s3.resources import GLOBAL, Bucket, Object
from elba.store.interface import View

MOST_OBJECT_BYTES = 5 * 2**30


def no_such_bucket(name: str) -> ApiError:
    return ApiError("NoSuchBucket", "The specified bucket does not exist", 404, fields={"BucketName": name})


def no_such_key(key: str) -> ApiError:
    return ApiError("NoSuchKey", "The specified key does not exist.", 404, fields={"Key": key})


def access_denied() -> ApiError:
    return ApiError("AccessDenied", "Access Denied", 403)


def canonical_id(account: str) -> str:
    """The account's canonical user id."""
    return hashlib.sha256(f"canonical {account}".encode()).hexdigest()


def owner(account: str) -> dict[str, str]:
    return {"id": canonical_id(account), "display_name": "elba"}


def bucket_of_any(view: View, name: str) -> Bucket | None:
    """The bucket of that name, whoever owns it."""
    return next((b for b in view.all(Bucket) if b.id == name), None)


async def require_bucket(ctx: Context, request: Request, member: str = "bucket") -> Bucket:
    """The bucket, if it is the caller's. A folder that something else made is a bucket of whoever asks.

    Raises: ApiError NoSuchBucket, AccessDenied.
    """
    name = str(request[member])
    found = bucket_of_any(ctx.view, name)
    if found is None:
        if not await ctx.ports.buckets.exists(name):
            raise no_such_bucket(name)
        found = Bucket(
            account=ctx.call.account, region=GLOBAL, id=name, location=ctx.call.region, creation_date=ctx.call.now
        )
    expected = request.get("expected_bucket_owner")
    if found.account != ctx.call.account or (member == "bucket" and expected not in (None, found.account)):
        raise access_denied()
    return found


async def find_object(ctx: Context, bucket: Bucket, key: str) -> Object | None:
    """The object with what its put said of it; of a file that something else wrote, what the file says.

    Raises: ApiError KeyTooLongError.
    """
    found = await find_file(ctx, bucket, key)
    return None if found is None else await describe(ctx, bucket, found)


async def find_file(ctx: Context, bucket: Bucket, key: str) -> Found | None:
    try:
        return await ctx.ports.buckets.find(bucket.id, key)
    except BadObjectName:
        raise bad_key(key) from None


async def require_object(ctx: Context, bucket: Bucket, key: str) -> Object:
    """Raises: ApiError NoSuchKey."""
    found = await find_object(ctx, bucket, key)
    if found is None:
        raise no_such_key(key)
    return found


async def describe(ctx: Context, bucket: Bucket, found: Found) -> Object:
    """The object that a file is."""
    known = ctx.view.get(Object, bucket.account, GLOBAL, f"{bucket.id}/{found.key}")
    if known is not None and (known.size, known.modified_ns) == (found.size, found.modified_ns):
        return known
    return Object(
        account=bucket.account,
        region=GLOBAL,
        id=f"{bucket.id}/{found.key}",
        bucket=bucket.id,
        size=found.size,
        modified_ns=found.modified_ns,
        etag=await _etag_of_file(ctx, bucket.id, found),
        last_modified=found.modified_ns / 1e9,
    )


_etags: dict[tuple[str, Found], str] = {}
_MOST_ETAGS = 4096


async def _etag_of_file(ctx: Context, bucket: str, found: Found) -> str:
    known = _etags.get((bucket, found))
    if known is None:
        body = await ctx.ports.buckets.read(bucket, found.key, MOST_OBJECT_BYTES)
        known = await asyncio.to_thread(md5, body or b"")
        if len(_etags) >= _MOST_ETAGS:
            _etags.clear()
        _etags[(bucket, found)] = known
    return known


def md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def bad_key(key: str) -> ApiError:
    if len(key.encode("utf-8", "surrogatepass")) > 1024:
        return ApiError("KeyTooLongError", "Your key is too long", 400)
    return ApiError("InvalidRequest", "Elba has no objects with this key.", 400)


def invalid_argument(message: str, **fields: Any) -> ApiError:
    return ApiError("InvalidArgument", message, 400, fields=fields)
