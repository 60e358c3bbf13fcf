"""Multipart uploads. Source: S3 user guide, "Uploading and copying objects using multipart upload"."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.context import Context
from elba.errors import ApiError
from elba.s3.configurations import malformed
from elba.s3.lookup import MOST_OBJECT_BYTES, md5, owner, require_bucket
from elba.s3.objects import byte_range, check_digests, described, put_answer, read_source, write
from elba.s3.resources import GLOBAL, Bucket, Upload
from elba.store.interface import Transaction

_MOST_PARTS = 10_000
_LEAST_PART_BYTES = 5 * 2**20
_PARTS = "elba-uploads"
"""The bucket folder in which parts wait; no account's bucket."""


def _part_key(upload_id: str, number: int) -> str:
    return f"{upload_id}/{number:05d}"


async def create_multipart_upload(ctx: Context, request: Request) -> Answer:
    bucket = await require_bucket(ctx, request)
    upload = Upload(
        account=bucket.account,
        region=GLOBAL,
        id=ctx.call.ids.hex(64),
        bucket=bucket.id,
        object_key=request["key"],
        initiated=ctx.call.now,
        object=described(ctx, bucket, request),
    )
    await _save(ctx, upload)
    return {
        "bucket": bucket.id,
        "key": upload.object_key,
        "upload_id": upload.id,
        "server_side_encryption": upload.object.encryption,
    }


async def _save(ctx: Context, upload: Upload) -> None:
    def command(tx: Transaction, call: Call, request: Request) -> Answer:
        tx.put(upload)
        return {}

    await ctx.write(command, {})


async def _require(ctx: Context, request: Request) -> tuple[Bucket, Upload]:
    """Raises: ApiError NoSuchUpload."""
    bucket = await require_bucket(ctx, request)
    found = ctx.view.get(Upload, bucket.account, GLOBAL, request["upload_id"])
    if found is None or (found.bucket, found.object_key) != (bucket.id, request["key"]):
        raise ApiError(
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted "
            "or completed.",
            404,
            fields={"UploadId": request["upload_id"]},
        )
    return bucket, found


async def upload_part(ctx: Context, request: Request) -> Answer:
    _bucket, upload = await _require(ctx, request)
    body = request.get("body") or b""
    checksums = check_digests(request, body)
    etag = await _keep_part(ctx, upload, request["part_number"], body)
    return {"e_tag": f'"{etag}"', "server_side_encryption": upload.object.encryption, **checksums}


async def _keep_part(ctx: Context, upload: Upload, number: int, body: bytes) -> str:
    if not 1 <= number <= _MOST_PARTS:
        message = f"Part number must be an integer between 1 and {_MOST_PARTS}, inclusive"
        raise ApiError("InvalidArgument", message, fields={"ArgumentName": "partNumber"})
    await ctx.ports.buckets.make(_PARTS)
    await ctx.ports.buckets.write(_PARTS, _part_key(upload.id, number), body)
    etag, now = md5(body), ctx.call.now

    def command(tx: Transaction, call: Call, request: Request) -> Answer:
        kept = tx.get(Upload, upload.account, GLOBAL, upload.id) or upload
        tx.put(replace(kept, parts={**kept.parts, str(number): (etag, len(body), now)}))
        return {}

    await ctx.write(command, {})
    return etag


async def upload_part_copy(ctx: Context, request: Request) -> Answer:
    _bucket, upload = await _require(ctx, request)
    _source, _known, body = await read_source(ctx, request)
    if request.get("copy_source_range"):
        span = byte_range(request["copy_source_range"], len(body))
        if span is not None:
            body = body[span[0] : span[1] + 1]
    etag = await _keep_part(ctx, upload, request["part_number"], body)
    return {"copy_part_result": {"e_tag": f'"{etag}"', "last_modified": ctx.call.now}}


async def complete_multipart_upload(ctx: Context, request: Request) -> Answer:
    """Raises: ApiError InvalidPart, InvalidPartOrder, EntityTooSmall, MalformedXML."""
    bucket, upload = await _require(ctx, request)
    wanted: list[Mapping[str, Any]] = (request.get("multipart_upload") or {}).get("parts") or []
    if not wanted:
        raise malformed()
    numbers = [int(part.get("part_number") or 0) for part in wanted]
    if numbers != sorted(set(numbers)):
        raise ApiError("InvalidPartOrder", "The list of parts was not in ascending order.")
    pieces: list[bytes] = []
    digests = b""
    for number, part in zip(numbers, wanted, strict=True):
        etag, size, _when = upload.parts.get(str(number), ("", 0, 0.0))
        body = await ctx.ports.buckets.read(_PARTS, _part_key(upload.id, number), MOST_OBJECT_BYTES)
        if body is None or etag != (part.get("e_tag") or "").strip('"'):
            raise ApiError(
                "InvalidPart",
                "One or more of the specified parts could not be found.  The part may not have been uploaded, or the "
                "specified entity tag may not match the part's entity tag.",
                fields={"PartNumber": number},
            )
        if size < _LEAST_PART_BYTES and number != numbers[-1]:
            raise ApiError("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        pieces.append(body)
        digests += bytes.fromhex(etag)
    etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(pieces)}"
    described_ = replace(upload.object, etag=etag, parts=len(pieces), last_modified=ctx.call.now)
    made = await write(ctx, bucket, upload.object_key, b"".join(pieces), described_)
    await _drop(ctx, upload)
    return {
        **put_answer(made),
        "bucket": bucket.id,
        "key": upload.object_key,
        "location": f"/{bucket.id}/{request['key']}",
    }


async def _drop(ctx: Context, upload: Upload) -> None:
    for number in upload.parts:
        await ctx.ports.buckets.delete(_PARTS, _part_key(upload.id, int(number)))

    def command(tx: Transaction, call: Call, request: Request) -> Answer:
        if tx.get(Upload, upload.account, GLOBAL, upload.id) is not None:
            tx.delete(upload)
        return {}

    await ctx.write(command, {})


async def abort_multipart_upload(ctx: Context, request: Request) -> Answer:
    _bucket, upload = await _require(ctx, request)
    await _drop(ctx, upload)
    return {}


async def list_parts(ctx: Context, request: Request) -> Answer:
    bucket, upload = await _require(ctx, request)
    most, after = min(request.get("max_parts") or 1000, 1000), int(request.get("part_number_marker") or 0)
    numbers = sorted(int(number) for number in upload.parts if int(number) > after)
    shown = numbers[:most]
    parts = [(number, *upload.parts[str(number)]) for number in shown]
    return {
        "bucket": bucket.id,
        "key": upload.object_key,
        "upload_id": upload.id,
        "part_number_marker": after,
        "next_part_number_marker": shown[-1] if shown else 0,
        "max_parts": most,
        "is_truncated": len(shown) < len(numbers),
        "parts": [
            {"part_number": number, "e_tag": f'"{etag}"', "size": size, "last_modified": when}
            for number, etag, size, when in parts
        ],
        "initiator": owner(bucket.account),
        "owner": owner(bucket.account),
        "storage_class": upload.object.storage_class,
    }


async def list_multipart_uploads(ctx: Context, request: Request) -> Answer:
    bucket = await require_bucket(ctx, request)
    prefix = request.get("prefix") or ""
    found = [u for u in ctx.view.children(Upload, bucket.account, GLOBAL, bucket.id) if u.object_key.startswith(prefix)]
    found.sort(key=lambda u: (u.object_key, u.initiated))
    return {
        "bucket": bucket.id,
        "prefix": prefix,
        "max_uploads": 1000,
        "is_truncated": False,
        "uploads": [
            {
                "upload_id": u.id,
                "key": u.object_key,
                "initiated": u.initiated,
                "storage_class": u.object.storage_class,
                "owner": owner(bucket.account),
                "initiator": owner(bucket.account),
            }
            for u in found
        ],
    }
