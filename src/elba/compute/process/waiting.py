"""How long an instance's threads were ready to run and got no CPU.

On EC2 an instance has its vCPUs to itself. On a host that is shared by more instances than it has cores for (and by
zone nodes, compilers and browsers) the CPU time an instance got says little about how busy it is: it also counts what
it would have used. `/proc/<pid>/task/<tid>/schedstat` tells, per thread: nanoseconds run, nanoseconds waited.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

Thread = tuple[int, int]
"""Process and thread id."""


def available() -> bool:
    """Whether this kernel counts waiting at all."""
    return _waited(os.getpid(), os.getpid()) is not None


class CpuWaiting:
    """Adds up the waiting of the threads of one instance; what an ended thread had waited stays counted."""

    def __init__(self) -> None:
        self._seen: dict[Thread, int] = {}
        self._nanoseconds = 0

    def seconds(self, processes: Iterable[int]) -> float:
        """Seconds waited since this object began to look, by the threads of `processes`."""
        now: dict[Thread, int] = {}
        for process in processes:
            for thread in _threads(process):
                waited = _waited(process, thread)
                if waited is None:
                    continue
                before = self._seen.get((process, thread), 0)
                self._nanoseconds += max(0, waited - before)
                now[process, thread] = waited
        self._seen = now
        return self._nanoseconds / 1e9


def _threads(process: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{process}/task")]  # noqa: PTH208 - a Path a thread is waste
    except OSError:
        return []


def _waited(process: int, thread: int) -> int | None:
    try:
        return int(Path(f"/proc/{process}/task/{thread}/schedstat").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
