"""The fake zone nodes keep the contract of all zone nodes, and carry the traffic a test asks for."""

from __future__ import annotations

import itertools
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import msgspec
import pytest

from elba.clock import VirtualClock
from elba.dataplane.fake import FakeNodes
from elba.dataplane.interface import Configuration, Nodes, Place
from elba.dataplane.protocol import Report, Target, ZoneAddress
from elba.testing.nodes_contract import PLACE, NodesContract, NodesKit, configuration
from elba.testing.virtual_loop import VirtualLoop

T = TypeVar("T")


class FakeKit:
    """FakeNodes on a virtual clock."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.clock = VirtualClock()
        self.fake = FakeNodes(self.clock)
        self.nodes: Nodes = self.fake
        self._numbers = itertools.count(1)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(coroutine)

    def serving_target(self) -> Target:
        number = next(self._numbers)
        return Target(id=f"10.0.0.{number}", port=80, address=f"10.0.0.{number}", zone=PLACE.zone)

    def set_serving(self, target: Target, serving: bool) -> None:
        self.fake.set_serving(target.id, serving)

    def address(self) -> str:
        return "127.16.0.4"

    def crash(self, place: Place) -> None:
        self.fake.set_up(place, False)

    def revive(self, place: Place) -> None:
        self.fake.set_up(place, True)

    def reopen(self) -> Nodes:
        return self.fake

    def unacceptable(self, configuration: Configuration) -> Configuration:
        self.fake.refuse_next("no")
        return configuration

    def close(self) -> None:
        self.fake.shutdown()
        self.loop.close()


@pytest.fixture
def fake_kit() -> Iterator[FakeKit]:
    kit = FakeKit()
    yield kit
    kit.close()


class TestContract(NodesContract):
    @pytest.fixture
    def kit(self, fake_kit: FakeKit) -> NodesKit:
        return fake_kit


def counted(fake_kit: FakeKit, seconds: float, requests_per_second: float) -> tuple[dict[str, float], list[Report]]:
    """Counters by metric, of targets and load balancer together, after so many seconds of load."""
    reports: list[Report] = []
    fake_kit.nodes.listen(lambda _place, report: reports.append(report))
    fake_kit.fake.set_load("lb", requests_per_second)
    fake_kit.loop.advance(seconds)
    counters: dict[str, float] = {}
    for report in reports:
        counted = [entry.counters for entry in report.load_balancers] + [entry.counters for entry in report.targets]
        for each in counted:
            for name, value in each.items():
                counters[name] = counters.get(name, 0) + value
    return counters, reports


def test_load_is_split_over_healthy_targets(fake_kit: FakeKit) -> None:
    good, bad = fake_kit.serving_target(), fake_kit.serving_target()
    fake_kit.set_serving(bad, False)
    fake_kit.run(fake_kit.nodes.apply(PLACE, configuration(fake_kit, good, bad)))
    fake_kit.loop.advance(20)
    counters, reports = counted(fake_kit, 60, 7.3)
    assert counters["RequestCount"] == pytest.approx(7.3 * 60, abs=7.3 * 10 + 1)
    assert counters["HTTPCode_Target_2XX_Count"] == counters["RequestCount"]
    assert {entry.target for report in reports for entry in report.targets} == {good.key}
    times = [entry.response_time for report in reports for entry in report.targets]
    assert sum(histogram.count for histogram in times) == counters["RequestCount"]


def test_no_targets_is_503(fake_kit: FakeKit) -> None:
    fake_kit.run(fake_kit.nodes.apply(PLACE, configuration(fake_kit)))
    counters, _ = counted(fake_kit, 60, 2)
    assert counters["HTTPCode_ELB_503_Count"] == counters["HTTPCode_ELB_5XX_Count"] == pytest.approx(120, abs=21)
    assert "RequestCount" not in counters


def test_a_target_that_died_unnoticed_is_502(fake_kit: FakeKit) -> None:
    target = fake_kit.serving_target()
    fake_kit.run(fake_kit.nodes.apply(PLACE, configuration(fake_kit, target)))
    fake_kit.loop.advance(10)
    fake_kit.set_serving(target, False)
    counters, _ = counted(fake_kit, 20, 5)
    assert counters["HTTPCode_ELB_502_Count"] == counters["TargetConnectionErrorCount"] > 0


def test_traffic_moves_to_the_zones_whose_node_is_up(fake_kit: FakeKit) -> None:
    target = fake_kit.serving_target()
    other = Place(PLACE.region, "us-east-1b")
    both = configuration(fake_kit, target)
    balancer = msgspec.structs.replace(
        both.load_balancers[0],
        addresses=[
            ZoneAddress(zone=PLACE.zone, address="127.16.0.4"),
            ZoneAddress(zone=other.zone, address="127.16.16.4"),
        ],
    )
    wanted = Configuration([balancer], both.target_groups)
    for place in (PLACE, other):
        fake_kit.run(fake_kit.nodes.apply(place, wanted))
    fake_kit.loop.advance(10)
    fake_kit.fake.set_up(other, False)
    counters, _ = counted(fake_kit, 100, 4)
    assert counters["RequestCount"] == pytest.approx(400, abs=45)
