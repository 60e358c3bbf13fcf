"""All of Elba's time: one `Clock`, in three forms.

Durations that AWS documents (cooldowns, health check intervals, metric periods, alarm evaluation)
are slept and compared in the clock's time, so a scaled clock (`elba up --time-scale 60`) makes a
five minute cooldown take five seconds and a virtual one makes it take none.
What belongs to the world outside (signature ages, process start-up, sockets) uses `wall()`.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

Timestamp = float
"""Seconds since 1970-01-01T00:00:00Z in the clock's time."""


class Clock(Protocol):
    """Elba's time. Seconds everywhere."""

    @property
    def scale(self) -> float:
        """Clock seconds that pass in one second of the world (1.0 unless `--time-scale` says otherwise)."""

    def now(self) -> Timestamp:
        """The current time, in seconds since the epoch, in this clock's time."""

    def wall(self) -> float:
        """The world's time, in seconds since the epoch; what a client's own clock shows."""

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of this clock's time; at once if not positive."""


class RealClock:
    """The world's time, optionally faster.

    `origin` is the moment (world time) at which clock time and world time were equal; persisting it
    makes a scaled clock go on, and never back, over a restart.
    """

    def __init__(self, scale: float = 1.0, origin: float | None = None) -> None:
        if scale <= 0:
            raise ValueError(f"time scale must be positive, not {scale}")
        self._scale = scale
        self.origin = time.time() if origin is None else origin

    @property
    def scale(self) -> float:
        return self._scale

    def now(self) -> Timestamp:
        wall = time.time()
        return wall if self._scale == 1.0 else self.origin + (wall - self.origin) * self._scale

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self._scale)


class VirtualClock:
    """Time that passes only when nothing else can happen; needs `elba.testing.VirtualLoop`.

    The loop's own time is the clock: `asyncio.sleep` and `loop.call_later` take part without knowing.
    """

    EPOCH: Timestamp = 1_767_225_600.0  # 2026-01-01T00:00:00Z: a fixed start makes runs repeatable

    def __init__(self, start: Timestamp = EPOCH, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """`loop`: whose time it is; None = that of the loop that runs when it is asked."""
        self.start = start
        self._loop = loop

    @property
    def scale(self) -> float:
        return 1.0

    def now(self) -> Timestamp:
        return self.start + (self._loop or asyncio.get_running_loop()).time()

    def wall(self) -> float:
        return self.now()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
