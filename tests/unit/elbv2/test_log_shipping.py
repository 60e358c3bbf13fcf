"""Log files to the operator's S3: each once, again until taken, remembered over restarts; and the test objects."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from elba.elbv2 import shipping
from elba.elbv2.log_buckets import test_objects as objects_to_test
from elba.elbv2.shipping import Folders, LogShipper
from elba.object_endpoint import ObjectRefused, require_endpoint
from tests.unit.elbv2.account import ACCOUNT, AnAccount

FOLDER = "AWSLogs/1/elasticloadbalancing/eu-west-1/2026/11/24"


class Endpoint:
    def __init__(self, *refused: str) -> None:
        self.taken: list[tuple[str, str, bytes, str]] = []
        self.refused = list(refused)

    async def put(self, bucket: str, key: str, body: bytes, region: str) -> None:
        if key in self.refused:
            self.refused.remove(key)
            raise ObjectRefused("not now")
        self.taken.append((bucket, key, body, region))


async def ship(directory: Path, endpoint: Endpoint, noted: int) -> None:
    """Let it run until so many files are noted as shipped."""
    task = asyncio.create_task(LogShipper(directory, endpoint).run())
    ledger = directory / "shipped-logs"

    def count() -> int:
        return len(ledger.read_text().splitlines()) if ledger.exists() else 0

    async with asyncio.timeout(20):
        while count() < noted:  # noqa: ASYNC110 (a file tells nobody)
            await asyncio.sleep(0.005)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def put(directory: Path, name: str, body: bytes = b"x") -> None:
    path = directory / "buckets" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


def test_each_file_is_shipped_once_and_again_until_it_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "RETRY_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(shipping, "LOOK_SECONDS", 0.01)
    put(tmp_path, f"refused/{FOLDER}/one.log.gz")
    put(tmp_path, f"logs/p/{FOLDER}/one.log.gz", b"1")
    put(tmp_path, f"logs/p/{FOLDER}/two.log.gz", b"2")
    put(tmp_path, "logs/AWSLogs/1/ELBAccessLogTestFile", b"t")
    for other in (f"logs/{FOLDER}/half.half", "logs/bundle.pem", "logs/AWSLogs.log.gz", "x.log.gz"):
        put(tmp_path, other)
    first = Endpoint(f"p/{FOLDER}/one.log.gz", *[f"{FOLDER}/one.log.gz"] * 1000)
    asyncio.run(ship(tmp_path, first, 3))
    assert sorted(first.taken) == [
        ("logs", "AWSLogs/1/ELBAccessLogTestFile", b"t", "us-east-1"),
        ("logs", f"p/{FOLDER}/one.log.gz", b"1", "eu-west-1"),
        ("logs", f"p/{FOLDER}/two.log.gz", b"2", "eu-west-1"),
    ]
    put(tmp_path, f"logs/p/{FOLDER}/three.log.gz", b"3")
    second = Endpoint(*[f"{FOLDER}/one.log.gz"] * 1000)
    asyncio.run(ship(tmp_path, second, 4))
    assert [key for _, key, _, _ in second.taken] == [f"p/{FOLDER}/three.log.gz"]
    # what is gone is forgotten
    (tmp_path / "buckets" / "logs" / "p" / FOLDER / "one.log.gz").unlink()
    put(tmp_path, f"logs/p/{FOLDER}/four.log.gz", b"4")
    put(tmp_path, f"logs/p/{FOLDER}/five.log.gz", b"5")
    asyncio.run(ship(tmp_path, Endpoint(*[f"{FOLDER}/one.log.gz"] * 1000), 5))
    assert f"logs/p/{FOLDER}/one.log.gz" not in (tmp_path / "shipped-logs").read_text().splitlines()


def test_folders_that_have_not_changed_are_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").touch()
    folders = Folders(tmp_path)
    assert [path.name for path in folders.new_files()] == ["one"]
    assert list(folders.new_files()) == []
    (tmp_path / "a" / "b").mkdir()
    (tmp_path / "a" / "b" / "two").touch()
    assert sorted(path.name for path in folders.new_files()) == ["one", "two"]
    assert list(folders.new_files()) == []


def test_test_objects_are_those_of_the_logs_that_the_request_touches() -> None:
    account = AnAccount()
    arn = account.load_balancer()

    def tested(**given: str) -> list[tuple[str, str]]:
        attributes = [{"key": key.replace("__", ".s3."), "value": value} for key, value in given.items()]
        request = {"load_balancer_arn": arn, "attributes": attributes}
        return [(made.bucket, made.key) for made in objects_to_test(account.view, account.call, request)]

    assert tested(access_logs__enabled="true", access_logs__bucket="b", access_logs__prefix="p") == [
        ("b", f"p/AWSLogs/{ACCOUNT}/ELBAccessLogTestFile")
    ]
    assert tested(connection_logs__enabled="true", connection_logs__bucket="c") == [
        ("c", f"AWSLogs/{ACCOUNT}/ELBConnectionLogTestFile")
    ]
    assert tested(access_logs__enabled="false", access_logs__bucket="b") == []
    assert tested(access_logs__enabled="true") == []  # refused by the command, for want of a bucket


def test_endpoints_are_urls() -> None:
    assert require_endpoint("http://127.0.0.1:9000/") == "http://127.0.0.1:9000"
    for bad in ("s3.example.com", "ftp://x", "http://", "http://x/?a=b"):
        with pytest.raises(ValueError, match="S3 endpoint"):
            require_endpoint(bad)
