"""The local object store: a directory per bucket, a file per object. Logs go into it, trust stores come out of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import Protocol

from elba.errors import ElbaError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
MOST_KEY_BYTES = 1024


class BadObjectName(ElbaError):
    """No object can have that bucket and key: S3's rules, or a key that a file system cannot hold."""


class ObjectTooLarge(ElbaError):
    """The object is larger than the reader will take."""


class Buckets(Protocol):
    """Objects by bucket and key. Raises: BadObjectName for names that lead out of the bucket or are none."""

    async def read(self, bucket: str, key: str, most_bytes: int) -> bytes | None:
        """The object, or None if there is none. Raises: BadObjectName, ObjectTooLarge, OSError."""

    async def write(self, bucket: str, key: str, body: bytes) -> None:
        """Create or replace the object in one step; the bucket must be there. Raises: BadObjectName, OSError."""

    async def exists(self, bucket: str) -> bool:
        """Whether there is such a bucket."""


def require_names(bucket: str, key: str) -> None:
    """Raises: BadObjectName."""
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise BadObjectName(f"'{bucket}' is not a bucket's name")
    parts = key.split("/")
    if (
        not key
        or len(key.encode("utf-8", "surrogatepass")) > MOST_KEY_BYTES
        or "\0" in key
        or any(part in ("", ".", "..") for part in parts)
        or any(len(part.encode("utf-8", "surrogatepass")) > 255 for part in parts)
    ):
        raise BadObjectName("the key is not one of an object")


class DirectoryBuckets:
    """Buckets under `root`. Symbolic links that lead out of a bucket are not followed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, bucket: str, key: str) -> Path:
        require_names(bucket, key)
        try:
            directory = (self.root / bucket).resolve()
            path = (directory / key).resolve()
        except (UnicodeError, RuntimeError) as error:
            raise BadObjectName("the key is not one of an object") from error
        if not path.is_relative_to(directory) or path == directory:
            raise BadObjectName("the key leads out of its bucket")
        return path

    async def read(self, bucket: str, key: str, most_bytes: int) -> bytes | None:
        return await asyncio.to_thread(self._read, bucket, key, most_bytes)

    def _read(self, bucket: str, key: str, most_bytes: int) -> bytes | None:
        path = self._path(bucket, key)
        if not path.is_file():
            return None
        with path.open("rb") as file:
            body = file.read(most_bytes + 1)
        if len(body) > most_bytes:
            raise ObjectTooLarge(f"s3://{bucket}/{key} is larger than {most_bytes} bytes")
        return body

    async def write(self, bucket: str, key: str, body: bytes) -> None:
        await asyncio.to_thread(self._write, bucket, key, body)

    def _write(self, bucket: str, key: str, body: bytes) -> None:
        path = self._path(bucket, key)
        if not (self.root / bucket).is_dir():
            raise FileNotFoundError(f"there is no bucket {bucket}")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, new = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(body)
            Path(new).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(new).unlink()
            raise

    async def exists(self, bucket: str) -> bool:
        if not _BUCKET.fullmatch(bucket):
            return False
        return await asyncio.to_thread((self.root / bucket).is_dir)


class MemoryBuckets:
    """Buckets in memory, for tests: `objects` by (bucket, key); every bucket named in `names` or there is."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.names: set[str] = set()

    async def read(self, bucket: str, key: str, most_bytes: int) -> bytes | None:
        require_names(bucket, key)
        body = self.objects.get((bucket, key))
        if body is not None and len(body) > most_bytes:
            raise ObjectTooLarge(f"s3://{bucket}/{key} is larger than {most_bytes} bytes")
        return body

    async def write(self, bucket: str, key: str, body: bytes) -> None:
        require_names(bucket, key)
        if not await self.exists(bucket):
            raise FileNotFoundError(f"there is no bucket {bucket}")
        self.objects[(bucket, key)] = body

    async def exists(self, bucket: str) -> bool:
        return bucket in self.names or any(name == bucket for name, _ in self.objects)
