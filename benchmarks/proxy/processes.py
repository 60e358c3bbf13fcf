"""Processes of a benchmark: started on one core, waited for, ended; and the CPU time they took."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

PROXY_CORE = 0
LOAD_CORE = 1
START_LIMIT_SECONDS = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pinned(core: int) -> Callable[[], None]:
    return lambda: os.sched_setaffinity(0, {core})


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


@contextlib.contextmanager
def running(
    command: list[str], core: int, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The process on one core; ended, and if need be killed, at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, preexec_fn=pinned(core), env={**os.environ, **(environment or {})}
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_serving(port: int, path: str, process: subprocess.Popen[bytes], log: Path, scheme: str = "http") -> None:
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    end = time.monotonic() + START_LIMIT_SECONDS
    problem = "no answer"
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            url = f"{scheme}://127.0.0.1:{port}{path}"
            with urllib.request.urlopen(url, timeout=2, context=unverified if scheme == "https" else None) as answer:
                if answer.status == 200:
                    return
        except OSError as error:
            problem = str(error)
        time.sleep(0.05)
    raise SystemExit(f"{process.args!r} does not serve: {problem}\n{log.read_text(errors='replace')}")


def family(pid: int) -> list[int]:
    """The process and its children, theirs included."""
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            pids += family(int(child))
    return pids


def cpu_seconds(pid: int) -> tuple[float, float, float]:
    """CPU time of a process with its children: in all (the scheduler's count), in user mode (in ticks), and in all of
    the threads that carry requests."""
    total = user = path = 0.0
    for one in family(pid):
        for task in Path(f"/proc/{one}/task").iterdir():
            with contextlib.suppress(OSError):  # a thread may end meanwhile
                seconds = int((task / "schedstat").read_text().split()[0]) / 1e9
                total += seconds
                if (task / "comm").read_text().startswith("elba-worker"):
                    path += seconds
        fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        user += int(fields[11]) / os.sysconf("SC_CLK_TCK")
    return total, user, path or total
