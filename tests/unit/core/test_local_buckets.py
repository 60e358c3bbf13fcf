"""Local buckets: objects come back, and nothing outside a bucket can be reached."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from elba.buckets import BadObjectName, DirectoryBuckets, MemoryBuckets, ObjectTooLarge


@pytest.fixture(params=["directory", "memory"])
def buckets(request: pytest.FixtureRequest, tmp_path: Path) -> DirectoryBuckets | MemoryBuckets:
    if request.param == "memory":
        memory = MemoryBuckets()
        memory.names.add("logs")
        return memory
    (tmp_path / "buckets" / "logs").mkdir(parents=True)
    return DirectoryBuckets(tmp_path / "buckets")


def test_objects(buckets: DirectoryBuckets | MemoryBuckets) -> None:
    async def run() -> None:
        assert await buckets.exists("logs") and not await buckets.exists("none")
        assert await buckets.read("logs", "a/b.gz", 10) is None
        await buckets.write("logs", "a/b.gz", b"one")
        await buckets.write("logs", "a/b.gz", b"two")
        assert await buckets.read("logs", "a/b.gz", 3) == b"two"
        with pytest.raises(ObjectTooLarge):
            await buckets.read("logs", "a/b.gz", 2)
        with pytest.raises(FileNotFoundError):
            await buckets.write("none", "a", b"")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        ("logs", "../other/secret"),
        ("logs", "a/../../secret"),
        ("logs", "./a"),
        ("logs", ""),
        ("logs", "a\0b"),
        ("logs", "a/" * 600 + "a"),
        ("..", "a"),
        ("a/b", "c"),
        ("", "a"),
        ("Logs", "a"),
        ("a..b", "c"),
    ],
)
def test_names_that_lead_elsewhere(buckets: DirectoryBuckets | MemoryBuckets, bucket: str, key: str) -> None:
    with pytest.raises(BadObjectName):
        asyncio.run(buckets.read(bucket, key, 10))
    with pytest.raises((BadObjectName, FileNotFoundError)):
        asyncio.run(buckets.write(bucket, key, b""))


def test_keys_that_are_no_paths_and_what_is_listed(buckets: DirectoryBuckets | MemoryBuckets) -> None:
    keys = ["a", "a/", "a/b", "a//b", "/etc/passwd", "b/c/d", "x" * 256, "ä/ö%2F"]

    async def run() -> None:
        for key in keys:
            await buckets.write("logs", key, key.encode())
        for key in keys:
            assert await buckets.read("logs", key, 1000) == key.encode()
            found = await buckets.find("logs", key)
            assert found is not None and found.size == len(key.encode())
        listed = await buckets.objects_of("logs")
        assert [each.key for each in listed] == sorted(keys, key=str.encode)
        assert not await buckets.remove("logs")
        for key in keys:
            await buckets.delete("logs", key)
            assert await buckets.find("logs", key) is None
        assert await buckets.objects_of("logs") == []
        assert await buckets.remove("logs") and not await buckets.exists("logs")
        await buckets.make("logs")
        await buckets.write("logs", "b/c", b"")
        assert [each.key for each in await buckets.objects_of("logs")] == ["b/c"]

    asyncio.run(run())


def test_links_out_of_a_bucket_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "buckets" / "logs").mkdir(parents=True)
    (tmp_path / "buckets" / "logs" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "buckets" / "logs" / "folder").symlink_to(tmp_path)
    buckets = DirectoryBuckets(tmp_path / "buckets")
    for key in ("link", "folder/secret"):
        with pytest.raises(BadObjectName):
            asyncio.run(buckets.read("logs", key, 10))
    with pytest.raises(BadObjectName):
        asyncio.run(buckets.write("logs", "folder/new", b""))
