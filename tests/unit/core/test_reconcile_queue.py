"""The work queue: one call per key at a time, no lost wake-ups, backoff, again-after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import pytest

from elba.clock import VirtualClock
from elba.reconcile import Again, Done, ReconcileQueue
from elba.resource import Key
from elba.store import MemoryEngine, Store
from elba.testing import VirtualLoop
from tests.unit.store.sample import Thing, thing


class Recorder:
    """Notes when it was called for what; `answers` gives the outcomes in turn, then Done."""

    name = "test.thing"

    def __init__(self, store: Store, clock: VirtualClock) -> None:
        self.store = store
        self.clock = clock
        self.calls: list[tuple[float, str]] = []
        self.running = 0
        self.most_running = 0
        self.takes_seconds = 0.0
        self.answers: list[Again | Exception] = []

    def keys_for(self, changed: Key) -> Iterable[Key]:
        return [changed] if changed.kind == Thing.KIND else []

    def all_keys(self) -> Iterable[Key]:
        return [t.key for t in self.store.view.all(Thing)]

    async def reconcile(self, key: Key) -> Done | Again:
        self.calls.append((self.clock.now() - self.clock.start, key.id))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.takes_seconds)
            if self.answers:
                answer = self.answers.pop(0)
                if isinstance(answer, Exception):
                    raise answer
                return answer
            return Done()
        finally:
            self.running -= 1


class Bench:
    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.clock = VirtualClock()
        self.store = Store(MemoryEngine(), now=lambda: 0.0)
        self.recorder = Recorder(self.store, self.clock)
        self.queue = ReconcileQueue(self.store, self.clock, [self.recorder])

    def put(self, *things: Thing) -> None:
        async def body() -> None:
            def command(tx: object) -> None:
                for each in things:
                    tx.put(each)  # type: ignore[attr-defined]  # a Transaction

            await self.store.write(command, "test")

        self.loop.run(body())

    def start(self) -> None:
        async def body() -> None:
            self.queue.start()

        self.loop.run(body())


@pytest.fixture
def bench() -> Iterable[Bench]:
    bench = Bench()
    yield bench
    bench.loop.run(bench.queue.stop())
    bench.loop.close()


def test_every_key_is_called_at_start(bench: Bench) -> None:
    bench.put(thing("a"), thing("b"))
    bench.start()
    bench.loop.advance(1)
    assert sorted(bench.recorder.calls) == [(0.0, "a"), (0.0, "b")]


def test_a_change_calls_and_a_change_during_a_call_calls_once_more(bench: Bench) -> None:
    bench.start()
    bench.recorder.takes_seconds = 10
    bench.put(thing("a", 1))
    bench.loop.advance(1)
    bench.put(thing("a", 2))
    bench.put(thing("a", 3))
    bench.loop.advance(60)
    assert bench.recorder.calls == [(0.0, "a"), (10.0, "a")]
    assert bench.recorder.most_running == 1
    assert bench.queue.idle


def test_again_calls_after_that_time_and_a_change_sooner(bench: Bench) -> None:
    bench.start()
    bench.recorder.answers = [Again(30), Again(30)]
    bench.put(thing("a", 1))
    bench.loop.advance(35)
    bench.put(thing("a", 2))
    bench.loop.advance(100)
    assert [at for at, _ in bench.recorder.calls] == [0.0, 30.0, 35.0]


def test_failures_back_off_per_key_and_success_forgets_them(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.start()
    bench.recorder.answers = [ValueError("one"), ValueError("two"), ValueError("three"), Again(100), ValueError("four")]
    with caplog.at_level(logging.WARNING):
        bench.put(thing("a", 1))
        bench.loop.advance(110)
    assert [at for at, _ in bench.recorder.calls] == [0.0, 0.5, 1.5, 3.5, 103.5, 104.0]
    assert len(caplog.records) == 4
    assert caplog.records[0].resource == "a"  # type: ignore[attr-defined]  # a field of ours


def test_nothing_is_called_after_stop(bench: Bench) -> None:
    bench.start()
    bench.recorder.takes_seconds = 10
    bench.put(thing("a", 1))
    bench.loop.advance(1)
    bench.loop.run(bench.queue.stop())
    bench.put(thing("a", 2))
    bench.loop.advance(100)
    assert len(bench.recorder.calls) == 1
