"""Functions in real processes: answers, failures, limits, reuse; and that none is left behind."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from elba.lambda_.interface import CodeMissing, Program, Result, Throttled
from elba.lambda_.runtime.pool import WorkerPool
from tests.unit.lambda_.kit import zipped

SOURCE = """
import os, sys, time
count = 0

def echo(event, context):
    global count
    count += 1
    print("seen", event)
    return {"event": event, "id": context.aws_request_id, "left": context.get_remaining_time_in_millis(),
            "count": count, "pid": os.getpid(), "name": context.function_name, "var": os.environ.get("VAR")}

def fail(event, context):
    raise KeyError("missing")

def hang(event, context):
    import subprocess
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print("child", child.pid, flush=True)
    time.sleep(600)

def leave(event, context):
    os._exit(3)

def eat(event, context):
    return len(bytearray(event * 1024 * 1024))

def odd(event, context):
    return object()

def wait(event, context):
    time.sleep(event)
    return os.getpid()
"""


@asynccontextmanager
async def pool_at(directory: Path, **options: Any) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(directory, **options)
    try:
        yield pool
    finally:
        await pool.close()
        assert pool.workers == []


def program(pool: WorkerPool, handler: str, source: str = SOURCE, **more: Any) -> Program:
    code = zipped(source)
    pool.keep(code)
    fields: dict[str, Any] = {"timeout_seconds": 20.0, "revision": "1", **more}
    return Program(
        account="000000000000", region="us-east-1", name="fn", version="$LATEST",
        arn=f"arn:aws:lambda:us-east-1:000000000000:function:{handler}", code=hashlib.sha256(code).hexdigest(),
        handler=f"app.{handler}", runtime="python3.12", **fields,
    )  # fmt: skip


def with_pool(directory: Path, test: Callable[[WorkerPool], Coroutine[Any, Any, None]], **options: Any) -> None:
    async def run() -> None:
        async with pool_at(directory, **options) as pool:
            await test(pool)

    asyncio.run(run())


def described(result: Result) -> tuple[str, str]:
    assert result.error == "Unhandled"
    content = json.loads(result.payload)
    return content["errorType"], content["errorMessage"]


def test_a_worker_answers_again_and_again(tmp_path: Path) -> None:
    async def test(pool: WorkerPool) -> None:
        echo = program(pool, "echo", environment={"VAR": "x"})
        first = await pool.invoke(echo, b'{"a": "\xc3\xa4"}', "r1")
        second = await pool.invoke(echo, b"[]", "r2")
        one, two = json.loads(first.payload), json.loads(second.payload)
        assert one["event"] == {"a": "ä"} and one["id"] == "r1" and one["name"] == "fn" and one["var"] == "x"
        assert 15_000 < one["left"] <= 20_000
        assert (two["count"], two["pid"]) == (2, one["pid"])
        assert b"seen []" in second.log_tail and b"START RequestId: r2" in second.log_tail
        assert b"r1" not in second.log_tail
        assert pool.workers == [one["pid"]]
        logs = list((tmp_path / "logs").rglob("*.log"))
        assert len(logs) == 1 and "seen" in logs[0].read_text()

    with_pool(tmp_path, test)


@pytest.mark.parametrize(
    ("handler", "event", "kind", "message"),
    [
        ("fail", b"1", "KeyError", "'missing'"),
        ("leave", b"1", "Runtime.ExitError", "RequestId: r Error: Runtime exited with error: exit status 3"),
        ("eat", b"300", "Runtime.ExitError", "RequestId: r Error: Runtime exited with error: signal: killed"),
        ("odd", b"1", "Runtime.MarshalError", "Unable to marshal response: Object of type object is not JSON "
         "serializable"),
        ("none", b"1", "Runtime.HandlerNotFound", "Handler 'none' missing on module 'app'"),
    ],
)  # fmt: skip
def test_how_functions_fail(tmp_path: Path, handler: str, event: bytes, kind: str, message: str) -> None:
    async def test(pool: WorkerPool) -> None:
        assert described(await pool.invoke(program(pool, handler), event, "r")) == (kind, message)

    with_pool(tmp_path, test)


@pytest.mark.parametrize(
    ("source", "kind"),
    [("import nothing_like_it", "Runtime.ImportModuleError"), ("def", "Runtime.UserCodeSyntaxError")],
)
def test_code_that_does_not_load(tmp_path: Path, source: str, kind: str) -> None:
    async def test(pool: WorkerPool) -> None:
        assert described(await pool.invoke(program(pool, "echo", source), b"1", "r"))[0] == kind

    with_pool(tmp_path, test)


def test_the_time_limit_ends_the_worker_and_all_it_started(tmp_path: Path) -> None:
    async def test(pool: WorkerPool) -> None:
        hang = program(pool, "hang", timeout_seconds=60.0)
        result = await pool.invoke(hang, b"1", "r", within_seconds=1.0)
        assert described(result) == ("Sandbox.Timedout", "RequestId: r Error: Task timed out after 1.00 seconds")
        child = next(int(line.split()[1]) for line in result.log_tail.splitlines() if line.startswith(b"child"))
        assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
        assert pool.workers == []

    with_pool(tmp_path, test)


def test_limits_and_new_revisions(tmp_path: Path) -> None:
    async def test(pool: WorkerPool) -> None:
        wait = program(pool, "wait")
        first, second = await asyncio.gather(pool.invoke(wait, b"0.3", "a"), pool.invoke(wait, b"0.3", "b"))
        assert first.payload != second.payload and len(pool.workers) == 2
        running = asyncio.create_task(pool.invoke(program(pool, "wait", most_at_once=1), b"0.5", "c"))
        await asyncio.sleep(0)
        with pytest.raises(Throttled):
            await pool.invoke(program(pool, "wait", most_at_once=1), b"0", "d")
        await running
        third = await pool.invoke(program(pool, "wait", revision="2"), b"0", "e")
        assert json.loads(third.payload) not in (json.loads(first.payload), json.loads(second.payload))
        assert len(pool.workers) <= 2
        with pytest.raises(CodeMissing):
            await pool.invoke(Program("0", "r", "n", "1", "arn", "0" * 64, "app.x", "python3.12"), b"0", "f")

    with_pool(tmp_path, test, most_workers=2)


def test_a_cancelled_invocation_leaves_no_worker(tmp_path: Path) -> None:
    async def test(pool: WorkerPool) -> None:
        for handler, pause in (("hang", 1.0), ("echo", 0.0)):
            task = asyncio.create_task(pool.invoke(program(pool, handler, timeout_seconds=60.0), b"1", "r"))
            await asyncio.sleep(pause)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    with_pool(tmp_path, test)
