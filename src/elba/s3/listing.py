"""Lists of a bucket's objects: prefixes, delimiters, pages. Source: S3 API reference, "ListObjectsV2"."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from elba.buckets import Found
from elba.call import Answer, Request
from elba.context import Context
from elba.s3.lookup import describe, invalid_argument, owner, require_bucket
from elba.s3.resources import Bucket

MOST_KEYS = 1000


class Page(NamedTuple):
    """`last`: the last key or common prefix shown, from which the next page goes on; "" on the last page."""

    objects: list[Found]
    prefixes: list[str]
    last: str


def page(found: Sequence[Found], prefix: str, delimiter: str, after: str, most: int) -> Page:
    """One page of `found` (sorted by key). Keys that share what follows `prefix` up to `delimiter` count as one."""
    objects: list[Found] = []
    prefixes: list[str] = []
    last = ""
    for each in found:
        key = each.key
        if not key.startswith(prefix):
            continue
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        shown = key if end < 0 else key[: end + len(delimiter)]
        if prefixes and shown == prefixes[-1]:
            continue
        if shown.encode("utf-8", "surrogatepass") <= after.encode("utf-8", "surrogatepass"):
            continue
        if len(objects) + len(prefixes) >= most:
            return Page(objects, prefixes, last)
        if end < 0:
            objects.append(each)
        else:
            prefixes.append(shown)
        last = shown
    return Page(objects, prefixes, "")


def _most(request: Request) -> int:
    most = request.get("max_keys")
    if most is not None and most < 0:
        raise invalid_argument("Argument maxKeys must be an integer between 0 and 2147483647", ArgumentName="maxKeys")
    return MOST_KEYS if most is None else min(most, MOST_KEYS)


def _encoder(request: Request) -> Any:
    if request.get("encoding_type") == "url":
        return lambda text: quote(text, safe="/-_.*", errors="surrogatepass")
    return lambda text: text


async def _contents(ctx: Context, bucket: Bucket, found: list[Found], encode: Any, with_owner: bool) -> list[Answer]:
    contents: list[Answer] = []
    for each in found:
        known = await describe(ctx, bucket, each)
        contents.append(
            {
                "key": encode(each.key),
                "last_modified": known.last_modified,
                "e_tag": f'"{known.etag}"',
                "size": known.size,
                "storage_class": known.storage_class,
                "owner": owner(bucket.account) if with_owner else None,
            }
        )
    return contents


async def list_objects_v2(ctx: Context, request: Request) -> Answer:
    bucket = await require_bucket(ctx, request)
    token, start = request.get("continuation_token"), request.get("start_after") or ""
    after = start if token is None else _read_token(token)
    most, prefix, delimiter = _most(request), request.get("prefix") or "", request.get("delimiter") or ""
    shown = page(await ctx.ports.buckets.objects_of(bucket.id), prefix, delimiter, after, most)
    encode = _encoder(request)
    return {
        "name": bucket.id,
        "prefix": encode(prefix),
        "delimiter": encode(delimiter) if delimiter else None,
        "max_keys": most,
        "encoding_type": request.get("encoding_type"),
        "key_count": len(shown.objects) + len(shown.prefixes),
        "is_truncated": bool(shown.last),
        "continuation_token": token,
        "next_continuation_token": _token(shown.last) if shown.last else None,
        "start_after": encode(start) if start else None,
        "contents": await _contents(ctx, bucket, shown.objects, encode, bool(request.get("fetch_owner"))),
        "common_prefixes": [{"prefix": encode(p)} for p in shown.prefixes],
    }


async def list_objects(ctx: Context, request: Request) -> Answer:
    bucket = await require_bucket(ctx, request)
    marker, most = request.get("marker") or "", _most(request)
    prefix, delimiter = request.get("prefix") or "", request.get("delimiter") or ""
    shown = page(await ctx.ports.buckets.objects_of(bucket.id), prefix, delimiter, marker, most)
    encode = _encoder(request)
    return {
        "name": bucket.id,
        "prefix": encode(prefix),
        "marker": encode(marker),
        "delimiter": encode(delimiter) if delimiter else None,
        "max_keys": most,
        "encoding_type": request.get("encoding_type"),
        "is_truncated": bool(shown.last),
        # Told only with a delimiter; without one the last key is the marker.
        "next_marker": encode(shown.last) if shown.last and delimiter else None,
        "contents": await _contents(ctx, bucket, shown.objects, encode, True),
        "common_prefixes": [{"prefix": encode(p)} for p in shown.prefixes],
    }


async def list_object_versions(ctx: Context, request: Request) -> Answer:
    """Each object's one version, `null`: Elba keeps no older ones."""
    bucket = await require_bucket(ctx, request)
    marker, most = request.get("key_marker") or "", _most(request)
    prefix, delimiter = request.get("prefix") or "", request.get("delimiter") or ""
    shown = page(await ctx.ports.buckets.objects_of(bucket.id), prefix, delimiter, marker, most)
    encode = _encoder(request)
    contents = await _contents(ctx, bucket, shown.objects, encode, True)
    return {
        "name": bucket.id,
        "prefix": encode(prefix),
        "key_marker": encode(marker),
        "version_id_marker": request.get("version_id_marker"),
        "delimiter": encode(delimiter) if delimiter else None,
        "max_keys": most,
        "encoding_type": request.get("encoding_type"),
        "is_truncated": bool(shown.last),
        "next_key_marker": encode(shown.last) if shown.last else None,
        "next_version_id_marker": "null" if shown.last else None,
        "versions": [{**each, "version_id": "null", "is_latest": True} for each in contents],
        "common_prefixes": [{"prefix": encode(p)} for p in shown.prefixes],
    }


def _token(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode("utf-8", "surrogatepass")).decode()


def _read_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError):
        raise invalid_argument(
            "The continuation token provided is incorrect", ArgumentName="continuation-token"
        ) from None
