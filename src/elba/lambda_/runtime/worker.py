"""One worker process: started with a version's code, given events one after the other, ended with its group."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from elba.lambda_.interface import Program, Result

BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
TAIL_BYTES = 4096
START_SECONDS = 10.0
MOST_FRAME_BYTES = 64 * 1024 * 1024


class _Ended(Exception):
    """The process ended instead of answering."""


class Worker:
    """`broken` once it has failed in a way after which no event may be given to it."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process, log: Path, slot: int) -> None:
        self.program = program
        self.slot = slot
        self.broken = False
        self.idle_since = 0.0
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    async def start(cls, program: Program, code: Path, log: Path, slot: int, environment: Mapping[str, str]) -> Worker:
        """A worker whose program begins to load. Raises: OSError."""
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-B", str(BOOTSTRAP), str(code), program.handler, str(program.memory_mib),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=descriptor,
                env=dict(environment), start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(descriptor)
        return cls(program, process, log, slot)

    async def ready(self) -> bool:
        """Whether its program was loaded in the ten seconds that AWS gives it."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._answer()
        except (TimeoutError, _Ended):
            self.broken = True
        return not self.broken

    async def run(self, event: bytes, request_id: str, seconds: float, context: str) -> Result:
        """The handler's result, or what AWS says of one that ended or took longer than `seconds` (the world's).

        Cancelled, the worker is broken: it may still be at it.
        """
        from_ = self._size()
        began = time.monotonic()
        self._note(f"START RequestId: {request_id} Version: {self.program.version}\n")
        header = {"request_id": request_id, "arn": self.program.arn, "deadline": time.time() + seconds}
        if context:
            with contextlib.suppress(ValueError):
                header["client_context"] = json.loads(context)
        was_broken, self.broken = self.broken, True
        try:
            if was_broken:
                raise _Ended
            async with asyncio.timeout(seconds):
                await self._send(json.dumps(header).encode(), event)
                kind, payload = await self._answer()
            self.broken = False
            result = Result(payload, "Unhandled" if kind == "error" else "")
        except TimeoutError:
            result = _failed(request_id, "Sandbox.Timedout", f"Task timed out after {seconds:.2f} seconds")
            self._note(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {request_id} "
                       f"Task timed out after {seconds:.2f} seconds\n")  # fmt: skip
            await self.end()
        except _Ended:
            await self.end()
            result = _failed(request_id, "Runtime.ExitError", _exit_text(self._process.returncode))
        milliseconds = (time.monotonic() - began) * 1000
        self._note(
            f"END RequestId: {request_id}\nREPORT RequestId: {request_id}\tDuration: {milliseconds:.2f} ms\t"
            f"Billed Duration: {int(milliseconds) + 1} ms\tMemory Size: {self.program.memory_mib} MB\n"
        )
        return Result(result.payload, result.error, self._tail(from_))

    async def end(self) -> None:
        """Kill the process and all it started; returns when it is gone."""
        self.broken = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()

    async def _send(self, *frames: bytes) -> None:
        stream = self._process.stdin
        assert stream is not None
        for frame in frames:
            stream.write(struct.pack(">I", len(frame)) + frame)
        try:
            await stream.drain()
        except (ConnectionError, RuntimeError):
            raise _Ended from None

    async def _answer(self) -> tuple[str, bytes]:
        header = msgspec.json.decode(await self._frame())
        return header["kind"], await self._frame()

    async def _frame(self) -> bytes:
        stream = self._process.stdout
        assert stream is not None
        try:
            (size,) = struct.unpack(">I", await stream.readexactly(4))
            if size > MOST_FRAME_BYTES:
                raise _Ended
            return await stream.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise _Ended from None

    # ── its log ──────────────────────────────────────────────────────────────────────────────────────

    def _size(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:
            return 0

    def _note(self, text: str) -> None:
        with contextlib.suppress(OSError), self._log.open("ab") as file:
            file.write(text.encode())

    def _tail(self, from_: int) -> bytes:
        try:
            with self._log.open("rb") as file:
                file.seek(max(from_, self._size() - TAIL_BYTES))
                return file.read(TAIL_BYTES)
        except OSError:
            return b""


def _failed(request_id: str, kind: str, message: str) -> Result:
    described = {"errorType": kind, "errorMessage": f"RequestId: {request_id} Error: {message}"}
    return Result(msgspec.json.encode(described), "Unhandled")


def _exit_text(status: int | None) -> str:
    if status is None or status == 0:
        return "Runtime exited without providing a reason"
    if status < 0:
        name = {9: "killed", 11: "segmentation fault", 6: "aborted", 15: "terminated"}.get(-status, str(-status))
        return f"Runtime exited with error: signal: {name}"
    return f"Runtime exited with error: exit status {status}"
