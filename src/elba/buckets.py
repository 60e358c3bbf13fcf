"""The local object store: a directory per bucket, a file per object. Logs go into it, trust stores come out of it.

A key is its file's path in the bucket's directory. A key that cannot be one (`a/` or `a//b`, or `a` beside `a/b`) is
kept beside the buckets, under `.odd/<bucket>`, with its name encoded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import quote, unquote

from elba.errors import ElbaError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
MOST_KEY_BYTES = 1024
_ODD = ".odd"
_NEW = ".new-"
_CHUNK = 200


class BadObjectName(ElbaError):
    """No object can have that bucket and key: S3's rules, or a key that a file system cannot hold."""


class LeadsOut(BadObjectName):
    """The path of that key is outside of its bucket."""


class ObjectTooLarge(ElbaError):
    """The object is larger than the reader will take."""


class Found(NamedTuple):
    """An object that is there: its key, its size in bytes, when its file changed (ns)."""

    key: str
    size: int
    modified_ns: int


class Buckets(Protocol):
    """Objects by bucket and key. Raises: BadObjectName for names that lead out of the bucket or are none."""

    async def read(self, bucket: str, key: str, most_bytes: int) -> bytes | None:
        """The object, or None if there is none. Raises: BadObjectName, ObjectTooLarge, OSError."""

    async def write(self, bucket: str, key: str, body: bytes) -> None:
        """Create or replace the object in one step; the bucket must be there. Raises: BadObjectName, OSError."""

    async def exists(self, bucket: str) -> bool:
        """Whether there is such a bucket."""

    async def make(self, bucket: str) -> None:
        """Make the bucket if it is not there. Raises: BadObjectName, OSError."""

    async def remove(self, bucket: str) -> bool:
        """Remove an empty bucket; False if it has objects. Raises: OSError."""

    async def delete(self, bucket: str, key: str) -> None:
        """Remove the object, if it is there. Raises: BadObjectName, OSError."""

    async def find(self, bucket: str, key: str) -> Found | None:
        """The object without its bytes. Raises: BadObjectName."""

    async def objects_of(self, bucket: str) -> list[Found]:
        """All objects in the order of their keys' bytes."""


def require_bucket_name(bucket: str) -> None:
    """Raises: BadObjectName."""
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise BadObjectName(f"'{bucket}' is not a bucket's name")


def require_names(bucket: str, key: str) -> None:
    """Raises: BadObjectName."""
    require_bucket_name(bucket)
    parts = key.split("/")
    if (
        not key
        or len(key.encode("utf-8", "surrogatepass")) > MOST_KEY_BYTES
        or "\0" in key
        or any(part in ("", ".", "..") for part in parts)
        or any(len(part.encode("utf-8", "surrogatepass")) > 255 for part in parts)
    ):
        raise BadObjectName("the key is not one of an object")


def _require_key(key: str) -> None:
    """Raises: BadObjectName; for `.` and `..` too, which no client means."""
    long = len(key.encode("utf-8", "surrogatepass")) > MOST_KEY_BYTES
    if not key or long or "\0" in key or any(part in (".", "..") for part in key.split("/")):
        raise BadObjectName("the key is not one of an object")


class DirectoryBuckets:
    """Buckets under `root`. Symbolic links that lead out of a bucket are not followed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, bucket: str, key: str) -> Path:
        require_names(bucket, key)
        if any(part.startswith(_NEW) for part in key.split("/")):
            raise BadObjectName("the key is not one of an object")
        try:
            directory = (self.root / bucket).resolve()
            path = (directory / key).resolve()
        except (UnicodeError, RuntimeError) as error:
            raise BadObjectName("the key is not one of an object") from error
        if not path.is_relative_to(directory) or path == directory:
            raise LeadsOut("the key leads out of its bucket")
        return path

    def _odd_path(self, bucket: str, key: str) -> Path:
        """Where a key is kept that cannot be a path: its encoded name, cut to what a file name may hold."""
        require_bucket_name(bucket)
        _require_key(key)
        name = quote(key, safe="", errors="surrogatepass")
        chunks = [name[i : i + _CHUNK] for i in range(0, len(name), _CHUNK)]
        return (self.root / _ODD / bucket).joinpath(*("d" + c for c in chunks[:-1]), "f" + chunks[-1])

    def _file(self, bucket: str, key: str) -> Path | None:
        """The file of an object that is there."""
        try:
            path = self._path(bucket, key)
            if path.is_file():
                return path
        except LeadsOut:
            raise
        except (BadObjectName, NotADirectoryError):
            pass
        odd = self._odd_path(bucket, key)
        return odd if odd.is_file() else None

    async def read(self, bucket: str, key: str, most_bytes: int) -> bytes | None:
        return await asyncio.to_thread(self._read, bucket, key, most_bytes)

    def _read(self, bucket: str, key: str, most_bytes: int) -> bytes | None:
        path = self._file(bucket, key)
        if path is None:
            return None
        with path.open("rb") as file:
            body = file.read(most_bytes + 1)
        if len(body) > most_bytes:
            raise ObjectTooLarge(f"s3://{bucket}/{key} is larger than {most_bytes} bytes")
        return body

    async def write(self, bucket: str, key: str, body: bytes) -> None:
        await asyncio.to_thread(self._write, bucket, key, body)

    def _write(self, bucket: str, key: str, body: bytes) -> None:
        require_bucket_name(bucket)
        if not (self.root / bucket).is_dir():
            raise FileNotFoundError(f"there is no bucket {bucket}")
        odd = self._odd_path(bucket, key)
        if not odd.is_file():
            try:
                _replace(self._path(bucket, key), body)
                return
            except LeadsOut:
                raise
            except (BadObjectName, NotADirectoryError, FileExistsError, IsADirectoryError):
                pass
        _replace(odd, body)

    async def exists(self, bucket: str) -> bool:
        if not _BUCKET.fullmatch(bucket):
            return False
        return await asyncio.to_thread((self.root / bucket).is_dir)

    async def make(self, bucket: str) -> None:
        require_bucket_name(bucket)
        await asyncio.to_thread((self.root / bucket).mkdir, parents=True, exist_ok=True)

    async def remove(self, bucket: str) -> bool:
        require_bucket_name(bucket)
        return await asyncio.to_thread(self._remove, bucket)

    def _remove(self, bucket: str) -> bool:
        if self._list(bucket):
            return False
        for directory in (self.root / bucket, self.root / _ODD / bucket):
            shutil.rmtree(directory, ignore_errors=True)
        return True

    async def delete(self, bucket: str, key: str) -> None:
        await asyncio.to_thread(self._delete, bucket, key)

    def _delete(self, bucket: str, key: str) -> None:
        path = self._file(bucket, key)
        if path is None:
            return
        path.unlink(missing_ok=True)
        # Folders that hold nothing any more are in the way of keys that end there.
        for parent in path.parents:
            if parent.parent in (self.root, self.root / _ODD) or parent == self.root:
                break
            try:
                parent.rmdir()
            except OSError:
                break

    async def find(self, bucket: str, key: str) -> Found | None:
        return await asyncio.to_thread(self._find, bucket, key)

    def _find(self, bucket: str, key: str) -> Found | None:
        path = self._file(bucket, key)
        if path is None:
            return None
        status = path.stat()
        return Found(key, status.st_size, status.st_mtime_ns)

    async def objects_of(self, bucket: str) -> list[Found]:
        return await asyncio.to_thread(self._list, bucket)

    def _list(self, bucket: str) -> list[Found]:
        require_bucket_name(bucket)
        found = [Found(path, status.st_size, status.st_mtime_ns) for path, status in _files(self.root / bucket)]
        for path, status in _files(self.root / _ODD / bucket):
            key = unquote("".join(part[1:] for part in path.split("/")), errors="surrogatepass")
            found.append(Found(key, status.st_size, status.st_mtime_ns))
        found.sort(key=lambda each: each.key.encode("utf-8", "surrogatepass"))
        return found


def _replace(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, new = tempfile.mkstemp(dir=path.parent, prefix=_NEW)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
        Path(new).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(new).unlink()
        raise


def _files(directory: Path, prefix: str = "") -> list[tuple[str, os.stat_result]]:
    """(path below the first directory, status) of the files there."""
    found: list[tuple[str, os.stat_result]] = []
    try:
        entries = list(os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return found
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            found += _files(Path(entry.path), f"{prefix}{entry.name}/")
        elif entry.is_file(follow_symlinks=False) and not entry.name.startswith(_NEW):
            with contextlib.suppress(FileNotFoundError):
                found.append((prefix + entry.name, entry.stat()))
    return found


class MemoryBuckets:
    """Buckets in memory, for tests: `objects` by (bucket, key); every bucket named in `names` or there is."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.names: set[str] = set()
        self._changes: dict[tuple[str, str], int] = {}

    async def read(self, bucket: str, key: str, most_bytes: int) -> bytes | None:
        require_bucket_name(bucket)
        _require_key(key)
        body = self.objects.get((bucket, key))
        if body is not None and len(body) > most_bytes:
            raise ObjectTooLarge(f"s3://{bucket}/{key} is larger than {most_bytes} bytes")
        return body

    async def write(self, bucket: str, key: str, body: bytes) -> None:
        require_bucket_name(bucket)
        _require_key(key)
        if not await self.exists(bucket):
            raise FileNotFoundError(f"there is no bucket {bucket}")
        self.objects[(bucket, key)] = body
        self._changes[(bucket, key)] = self._changes.get((bucket, key), 0) + 1

    async def exists(self, bucket: str) -> bool:
        return bucket in self.names or any(name == bucket for name, _ in self.objects)

    async def make(self, bucket: str) -> None:
        require_bucket_name(bucket)
        self.names.add(bucket)

    async def remove(self, bucket: str) -> bool:
        if any(name == bucket for name, _ in self.objects):
            return False
        self.names.discard(bucket)
        return True

    async def delete(self, bucket: str, key: str) -> None:
        _require_key(key)
        self.objects.pop((bucket, key), None)

    async def find(self, bucket: str, key: str) -> Found | None:
        _require_key(key)
        body = self.objects.get((bucket, key))
        return None if body is None else Found(key, len(body), self._changes.get((bucket, key), 0))

    async def objects_of(self, bucket: str) -> list[Found]:
        keys = sorted((k for b, k in self.objects if b == bucket), key=lambda k: k.encode("utf-8", "surrogatepass"))
        return [Found(key, len(self.objects[(bucket, key)]), self._changes.get((bucket, key), 0)) for key in keys]
