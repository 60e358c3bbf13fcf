"""S3's stored resources. Types only. Buckets' names are everybody's: one name, one owner, in all accounts."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from elba.resource import Resource

GLOBAL = "aws-global"


class Bucket(Resource, frozen=True, kw_only=True):
    """`id` is the name, `region` always `aws-global`; `location` is the region it was made in.

    `configurations` maps a kind (`policy`, `tagging` …) to what was put, as the API carries it.
    """

    KIND: ClassVar[str] = "s3.bucket"

    location: str
    creation_date: float
    configurations: dict[str, object] = {}


class Object(Resource, frozen=True, kw_only=True):
    """What a put said of an object; its bytes are a file. `id` is `<bucket>/<key>`.

    It holds while the file is as it was put (`size`, `modified_ns`): a file that something else wrote is an object
    of its own.
    """

    KIND: ClassVar[str] = "s3.object"

    bucket: str
    size: int
    modified_ns: int
    etag: str
    last_modified: float
    content_type: str = "binary/octet-stream"
    headers: dict[str, str] = {}
    """Content-Encoding and the like, by their names in the API's answers."""
    metadata: dict[str, str] = {}
    tags: dict[str, str] = {}
    checksums: dict[str, str] = {}
    storage_class: str = "STANDARD"
    encryption: str = "AES256"
    kms_key_id: str = ""
    parts: int = 0

    def parent_id(self) -> str:
        return self.bucket


class Upload(Resource, frozen=True, kw_only=True):
    """A multipart upload in progress. `id` is the upload id; `object` has what it was begun with."""

    KIND: ClassVar[str] = "s3.upload"

    bucket: str
    object_key: str
    initiated: float
    object: Object
    parts: dict[str, tuple[str, int, float]] = {}
    """Part number to (ETag, size, when)."""

    def parent_id(self) -> str:
        return self.bucket


class Stat(msgspec.Struct, frozen=True):
    """A file: how large, when changed."""

    size: int
    modified_ns: int
