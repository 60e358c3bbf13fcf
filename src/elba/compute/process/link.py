"""The control plane's connection to one instance's supervisor. While it is open, the instance lives."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elba.compute.interface import NotFound, Transient

ANSWER_SECONDS = 5.0
"""The world's time: a supervisor answers in microseconds, so one that takes this long hangs."""

PING_SECONDS = 1.0
"""At most one ping in this time, however often it is asked for."""


def lock_holder(directory: Path) -> int | None:
    """Process id of the supervisor that lives in `directory`; None if none does, 0 if it is just beginning."""
    try:
        lock = os.open(directory / "lock", os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(lock, 32, 0)
        return int(text) if text.isdigit() else 0
    else:
        return None
    finally:
        os.close(lock)


class Link:
    """Requests and answers, and the news of the end."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: int, ended: Callable[[], None]
    ) -> None:
        self.pid = pid
        """The supervisor's process id, in this process's view."""
        self.closed = asyncio.Event()
        self._reader = reader
        self._writer = writer
        self._ended = ended
        self._next_id = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._overdue = False
        self._next_ping = 0.0
        self._ping: asyncio.Task[None] | None = None
        self._listening = asyncio.create_task(self._listen(), name="process.link")

    @classmethod
    async def open(cls, directory: Path, ended: Callable[[], None]) -> Link | None:
        """A link to the supervisor in `directory`; None if none listens there."""
        # A socket's path has at most 107 characters; this one has few, however deep the directory is.
        try:
            at = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            return None
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, f"/proc/self/fd/{at}/control.sock")
        except OSError:
            sock.close()
            return None
        finally:
            os.close(at)
        pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        reader, writer = await asyncio.open_unix_connection(sock=sock)
        return cls(reader, writer, pid, ended)

    @property
    def responsive(self) -> bool:
        """False while a ping has gone unanswered for too long. Asking sends the next ping, if it is time."""
        now = time.monotonic()
        if (self._ping is None or self._ping.done()) and now >= self._next_ping:
            self._next_ping = now + PING_SECONDS
            self._ping = asyncio.create_task(self._check(), name="process.ping")
        return not self._overdue

    async def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        """The supervisor's answer. Raises: NotFound (it has ended), Transient (it does not answer)."""
        if self.closed.is_set():
            raise NotFound("the instance is not running")
        self._next_id += 1
        id_ = self._next_id
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[id_] = future
        self._writer.write(json.dumps({"id": id_, "op": op, **arguments}).encode() + b"\n")
        try:
            return await asyncio.wait_for(future, ANSWER_SECONDS)
        except TimeoutError:
            raise Transient(f"the instance's supervisor (process {self.pid}) does not answer") from None
        finally:
            self._waiting.pop(id_, None)

    async def close(self) -> None:
        """Let go of the instance, which goes on."""
        self._ended = lambda: None
        for task in (self._listening, self._ping):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._finish()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _check(self) -> None:
        try:
            await self.ask("ping")
        except NotFound:
            return
        except Transient:
            self._overdue = True
        else:
            self._overdue = False

    async def _listen(self) -> None:
        try:
            while line := await self._reader.readline():
                answer = json.loads(line)
                future = self._waiting.get(answer["id"])
                if future is not None and not future.done():
                    future.set_result(answer)
        except (OSError, ValueError):
            pass  # cut off in the middle: it has ended
        self._finish()
        self._ended()

    def _finish(self) -> None:
        self.closed.set()
        self._writer.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(NotFound("the instance has ended"))
