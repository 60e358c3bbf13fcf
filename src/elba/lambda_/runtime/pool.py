"""All workers: found idle or started anew for an event, ended when idle too long, when their version has changed
since, and when the control plane stops.

    <directory>/code/<digest>.zip          as it was uploaded
    <directory>/code/<digest>/             unpacked at first use
    <directory>/logs/<account>/<region>/<function>/<version>-<slot>.log
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

from elba.lambda_.interface import CodeMissing, Program, Result, Throttled
from elba.lambda_.runtime.worker import Worker

log = logging.getLogger(__name__)

MOST_WORKERS = 64
IDLE_SECONDS = 300.0
LOG_BYTES = 10 * 1024 * 1024

_Version = tuple[str, str, str]
"""ARN, revision, code: what a worker was started with."""


class WorkerPool:
    """`lambda_.interface.Functions` with processes. Times are the world's."""

    def __init__(self, directory: Path, *, endpoint: str = "", most_workers: int = MOST_WORKERS) -> None:
        self._directory = directory
        self._endpoint = endpoint
        self._most = most_workers
        self._idle: dict[_Version, list[Worker]] = {}
        self._running: set[Worker] = set()
        self._busy: Counter[str] = Counter()
        self._started = 0
        self._ending: set[asyncio.Task[None]] = set()
        self._reaper: asyncio.TimerHandle | None = None
        self._closed = False

    # ── code ─────────────────────────────────────────────────────────────────────────────────────────

    def _archive(self, digest: str) -> Path:
        return self._directory / "code" / f"{digest}.zip"

    def keep(self, code: bytes) -> None:
        path = self._archive(hashlib.sha256(code).hexdigest())
        if path.exists():
            os.utime(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(code)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)

    def code(self, digest: str) -> bytes | None:
        try:
            return self._archive(digest).read_bytes()
        except OSError:
            return None

    def sweep(self, used: set[str]) -> None:
        """What came within the last ten minutes stays: its function may be on the way."""
        for path in (self._directory / "code").glob("*.zip"):
            if path.stem not in used and path.stat().st_mtime < time.time() - 600:
                path.unlink(missing_ok=True)
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)

    def _unpacked(self, digest: str) -> Path:
        """The directory with the code. Raises: CodeMissing."""
        archive = self._archive(digest)
        directory = archive.with_suffix("")
        if directory.is_dir():
            return directory
        try:
            new = Path(tempfile.mkdtemp(dir=archive.parent))
            with zipfile.ZipFile(archive) as file:
                file.extractall(new)
            new.rename(directory)
        except (OSError, zipfile.BadZipFile) as error:
            if directory.is_dir():  # unpacked for another event at the same time
                return directory
            raise CodeMissing(str(error)) from error
        return directory

    # ── invocations ──────────────────────────────────────────────────────────────────────────────────

    async def invoke(
        self, program: Program, event: bytes, request_id: str, *, within_seconds: float | None = None, context: str = ""
    ) -> Result:
        seconds = program.timeout_seconds if within_seconds is None else min(within_seconds, program.timeout_seconds)
        name = f"{program.account}:{program.region}:{program.name}"
        if self._closed or (program.most_at_once is not None and self._busy[name] >= program.most_at_once):
            raise Throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
        self._busy[name] += 1
        worker: Worker | None = None
        try:
            worker = self._take(program)
            if worker is None:
                worker = await self._start(program)
            return await worker.run(event, request_id, seconds, context)
        finally:
            self._busy[name] -= 1
            if worker is not None:
                self._give_back(worker)

    def _take(self, program: Program) -> Worker | None:
        waiting = self._idle.get(_version(program), [])
        return waiting.pop() if waiting else None

    async def _start(self, program: Program) -> Worker:
        if self._started >= self._most and not self._end_one_idle():
            raise Throttled("ConcurrentInvocationLimitExceeded")
        self._started += 1
        worker: Worker | None = None
        try:
            code = await asyncio.to_thread(self._unpacked, program.code)
            slot = self._free_slot(program)
            log_file = self._log_file(program, slot)
            worker = await Worker.start(program, code, log_file, slot, self._environment(program, code, log_file))
            self._running.add(worker)
            await worker.ready()
            return worker
        except OSError as error:
            raise Throttled(str(error)) from error
        finally:
            if worker is None:
                self._started -= 1
            elif asyncio.current_task() is not None and asyncio.current_task().cancelling():  # type: ignore[union-attr] # checked just before
                worker.broken = True
                self._give_back(worker)

    def _free_slot(self, program: Program) -> int:
        taken = {w.slot for w in self._running if w.program.arn == program.arn}
        return next(number for number in range(len(taken) + 1) if number not in taken)

    def _log_file(self, program: Program, slot: int) -> Path:
        directory = self._directory / "logs" / program.account / program.region / program.name
        path = directory / f"{program.version.removeprefix('$')}-{slot}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    def _environment(self, program: Program, code: Path, log_file: Path) -> dict[str, str]:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            **program.environment,
            "AWS_REGION": program.region,
            "AWS_DEFAULT_REGION": program.region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{program.runtime}",
            "AWS_LAMBDA_FUNCTION_NAME": program.name,
            "AWS_LAMBDA_FUNCTION_VERSION": program.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(program.memory_mib),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{program.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": log_file.stem,
            "LAMBDA_TASK_ROOT": str(code),
            "_HANDLER": program.handler,
        }
        if self._endpoint:
            environment.setdefault("AWS_ENDPOINT_URL", self._endpoint)
        return environment

    # ── the workers' end ─────────────────────────────────────────────────────────────────────────────

    def _give_back(self, worker: Worker) -> None:
        if worker.broken or self._closed:
            self._end(worker)
            return
        worker.idle_since = time.monotonic()
        version = _version(worker.program)
        for other in [v for v in self._idle if v[0] == version[0] and v != version]:
            for old in self._idle.pop(other):
                self._end(old)
        self._idle.setdefault(version, []).append(worker)
        if self._reaper is None:
            self._reaper = asyncio.get_running_loop().call_later(IDLE_SECONDS / 4, self._reap)

    def _end_one_idle(self) -> bool:
        """Make room by ending the worker that has been idle longest."""
        waiting = [worker for workers in self._idle.values() for worker in workers]
        if not waiting:
            return False
        oldest = min(waiting, key=lambda worker: worker.idle_since)
        self._idle[_version(oldest.program)].remove(oldest)
        self._end(oldest)
        return True

    def _reap(self) -> None:
        self._reaper = None
        before = time.monotonic() - IDLE_SECONDS
        for version, workers in list(self._idle.items()):
            for worker in [w for w in workers if w.idle_since < before]:
                workers.remove(worker)
                self._end(worker)
            if not workers:
                del self._idle[version]
        if self._idle:
            self._reaper = asyncio.get_running_loop().call_later(IDLE_SECONDS / 4, self._reap)

    def _end(self, worker: Worker) -> None:
        if worker not in self._running:
            return
        self._running.discard(worker)
        self._started -= 1
        task = asyncio.create_task(worker.end(), name=f"lambda end {worker.program.name}")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
        self._idle.clear()
        for worker in list(self._running):
            self._end(worker)
        await asyncio.gather(*self._ending)

    @property
    def workers(self) -> list[int]:
        """Process ids of all workers that run."""
        return [worker.pid for worker in self._running]


def _version(program: Program) -> _Version:
    return (program.arn, program.revision, program.code)
