"""CPU waiting: counted per thread, kept when a thread ends."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from elba.compute.interface import Sample
from elba.compute.process import waiting
from elba.compute.process.waiting import CpuWaiting
from elba.ec2.sampling import usage_between


def test_waiting_adds_up_over_threads_that_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    table: dict[tuple[int, int], int] = {(1, 1): 5_000_000_000, (1, 2): 1_000_000_000}
    monkeypatch.setattr(waiting, "_threads", lambda process: [t for p, t in table if p == process])
    monkeypatch.setattr(waiting, "_waited", lambda process, thread: table.get((process, thread)))
    counter = CpuWaiting()

    def look(processes: Iterable[int] = (1,)) -> float:
        return counter.seconds(processes)

    first = look()
    table[1, 1] += 2_000_000_000
    assert look() - first == pytest.approx(2.0)
    del table[1, 2]
    assert look() - first == pytest.approx(2.0)
    table[1, 3] = 500_000_000
    assert look() - first == pytest.approx(2.5)
    assert look([]) - first == pytest.approx(2.5)


def test_an_instance_that_waits_for_cpu_shows_what_it_would_have_used() -> None:
    def sample(time: float, used: float, waited: float) -> Sample:
        return Sample(instance_id="i-1", time=time, cpu_seconds=used, cpu_wait_seconds=waited, vcpus=2.0)

    starved = usage_between(sample(0, 0, 0), sample(10, 5, 30))
    quiet = usage_between(sample(0, 0, 0), sample(10, 0.1, 0.1))
    assert starved is not None
    assert quiet is not None
    assert starved.cpu_percent == 100.0
    assert starved.cpu_seconds == 5
    assert quiet.cpu_percent == pytest.approx(1.0)
