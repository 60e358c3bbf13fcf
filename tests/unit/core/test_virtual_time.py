"""The virtual loop and the clocks."""

from __future__ import annotations

import asyncio
import time

import pytest

from elba.clock import RealClock, VirtualClock
from elba.testing import VirtualLoop
from elba.testing.virtual_loop import StuckError


def test_sleeping_a_day_takes_no_time_and_moves_the_clock_a_day() -> None:
    loop = VirtualLoop()
    clock = VirtualClock()

    async def body() -> float:
        before = clock.now()
        await clock.sleep(86_400)
        return clock.now() - before

    started = time.monotonic()
    assert loop.run(body()) == 86_400
    assert time.monotonic() - started < 5
    loop.close()


def test_timers_fire_in_the_order_of_their_time() -> None:
    loop = VirtualLoop()
    fired: list[tuple[str, float]] = []

    async def after(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        fired.append((name, loop.time()))

    async def body() -> None:
        await asyncio.gather(after("c", 30), after("a", 10), after("b", 20))

    loop.run(body())
    assert fired == [("a", 10), ("b", 20), ("c", 30)]
    loop.close()


def test_waiting_for_what_never_comes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elba.testing.virtual_loop.IDLE_SECONDS", 0.01)
    loop = VirtualLoop()

    async def body() -> None:
        await loop.create_future()

    with pytest.raises(StuckError):
        loop.run(body())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.close()


def test_advance_does_what_falls_due_meanwhile() -> None:
    loop = VirtualLoop()
    ticks: list[float] = []

    async def ticker() -> None:
        while True:
            await asyncio.sleep(60)
            ticks.append(loop.time())

    task = loop.create_task(ticker())
    loop.advance(150)
    assert ticks == [60, 120]
    loop.advance(30)
    assert ticks == [60, 120, 180]
    task.cancel()
    loop.advance(0)
    loop.close()


def test_a_scaled_clock_runs_faster_and_goes_on_after_a_restart() -> None:
    origin = time.time() - 10
    clock = RealClock(scale=60, origin=origin)
    assert clock.now() - origin == pytest.approx((time.time() - origin) * 60, abs=5)
    again = RealClock(scale=60, origin=origin)
    assert again.now() >= clock.now() - 5
    assert abs(clock.wall() - time.time()) < 1


def test_a_scale_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        RealClock(scale=0)
