"""What every implementation of `dataplane.interface.Nodes` must do: the fake and the real fleet pass the same tests.

class TestFakeNodes(NodesContract):
    @pytest.fixture
    def kit(self) -> Iterator[NodesKit]: ...
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import pytest

from elba.clock import Clock
from elba.dataplane.interface import Configuration, NodeAway, NodeRefused, Nodes, Place
from elba.dataplane.protocol import (
    Action,
    HealthCheck,
    Listener,
    LoadBalancer,
    Report,
    Rule,
    Target,
    TargetGroup,
    WeightedTargetGroup,
    ZoneAddress,
)

T = TypeVar("T")

PLACE = Place("us-east-1", "us-east-1a")
GROUP = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/tg/0123456789abcdef"
BALANCER = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/lb/0123456789abcdef"
CHECK = HealthCheck(interval_seconds=5, timeout_seconds=2, healthy_threshold=2, unhealthy_threshold=2)


class NodesKit(Protocol):
    """An implementation with the world around it, which a test may disturb."""

    @property
    def nodes(self) -> Nodes: ...

    @property
    def clock(self) -> Clock: ...

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T: ...

    def serving_target(self) -> Target:
        """A new target that answers health checks."""

    def set_serving(self, target: Target, serving: bool) -> None: ...

    def address(self) -> str:
        """An address that a load balancer may bind."""

    def crash(self, place: Place) -> None:
        """The node dies without a word."""

    def revive(self, place: Place) -> None:
        """Let it come back, if it does not by itself."""

    def reopen(self) -> Nodes:
        """The control plane went (`close` was called) and a new one comes: its Nodes."""

    def unacceptable(self, configuration: Configuration) -> Configuration:
        """`configuration`, made so that the node refuses it."""


class Reports:
    """Hears reports and keeps what they add up to."""

    def __init__(self, nodes: Nodes) -> None:
        self.health: dict[str, str] = {}
        self.full = 0
        nodes.listen(self._heard)

    def _heard(self, place: Place, report: Report) -> None:
        if place != PLACE:
            return
        if report.full_health:
            self.full += 1
            self.health = {}
        self.health.update((entry.target, entry.state) for entry in report.health)


def configuration(kit: NodesKit, *targets: Target, check: HealthCheck = CHECK) -> Configuration:
    """One load balancer that forwards everything to one group."""
    share = WeightedTargetGroup(arn=GROUP)
    rule = Rule(arn=f"{BALANCER}/rule", priority=0, actions=[Action(kind="forward", target_groups=[share])])
    balancer = LoadBalancer(
        arn=BALANCER,
        name="lb",
        resource_id="app/lb/0123456789abcdef",
        dns_name="lb-1.us-east-1.elb.localhost",
        account="000000000000",
        addresses=[ZoneAddress(zone=PLACE.zone, address=kit.address())],
        listeners=[Listener(arn=f"{BALANCER}/listener", port=8080, rules=[rule])],
    )
    group = TargetGroup(
        arn=GROUP, name="tg", resource_id="targetgroup/tg/0123456789abcdef", health_check=check, targets=list(targets)
    )
    return Configuration([balancer], [group])


async def until(kit: NodesKit, condition: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    """Wait in clock time. Raises: AssertionError."""
    deadline = kit.clock.now() + seconds
    while not condition():
        assert kit.clock.now() < deadline, f"{what}: not within {seconds} s"
        await kit.clock.sleep(0.2)


class NodesContract:
    """Subclass it with a fixture `kit`."""

    def test_a_node_starts_with_its_first_configuration(self, kit: NodesKit) -> None:
        async def scenario() -> None:
            assert not kit.nodes.up(PLACE)
            await kit.nodes.apply(PLACE, configuration(kit))
            assert kit.nodes.up(PLACE)
            assert PLACE in kit.nodes.places()

        kit.run(scenario())

    def test_no_node_is_started_for_nothing(self, kit: NodesKit) -> None:
        async def scenario() -> None:
            await kit.nodes.apply(PLACE, Configuration([], []))
            assert not kit.nodes.up(PLACE)
            await kit.nodes.apply(PLACE, configuration(kit))
            await kit.nodes.apply(PLACE, Configuration([], []))  # but one that runs is told
            assert kit.nodes.up(PLACE)

        kit.run(scenario())

    def test_applying_again_changes_nothing(self, kit: NodesKit) -> None:
        async def scenario() -> None:
            wanted = configuration(kit, kit.serving_target())
            reports = Reports(kit.nodes)
            await kit.nodes.apply(PLACE, wanted)
            await until(kit, lambda: "healthy" in reports.health.values(), "healthy")
            for _ in range(3):
                await kit.nodes.apply(PLACE, wanted)
            await kit.clock.sleep(10)
            assert list(reports.health.values()) == ["healthy"]

        kit.run(scenario())

    def test_health_is_reported_as_it_changes(self, kit: NodesKit) -> None:
        async def scenario() -> None:
            reports = Reports(kit.nodes)
            one, other = kit.serving_target(), kit.serving_target()
            kit.set_serving(other, False)
            await kit.nodes.apply(PLACE, configuration(kit, one, other))
            await until(kit, lambda: reports.health == {one.key: "healthy", other.key: "unhealthy"}, "checked")
            kit.set_serving(one, False)
            kit.set_serving(other, True)
            await until(kit, lambda: reports.health == {one.key: "unhealthy", other.key: "healthy"}, "changed")

        kit.run(scenario())

    def test_known_health_is_taken_by_a_node_without_a_view(self, kit: NodesKit) -> None:
        async def scenario() -> None:
            reports = Reports(kit.nodes)
            target = kit.serving_target()
            from_store = Target(id=target.id, port=target.port, address=target.address, known_health="healthy")
            slow = HealthCheck(interval_seconds=300, timeout_seconds=2)
            await kit.nodes.apply(PLACE, configuration(kit, from_store, check=slow))
            await until(kit, lambda: reports.health == {target.key: "healthy"}, "taken", 5)

        kit.run(scenario())

    def test_a_target_added_is_checked_and_one_removed_is_not(self, kit: NodesKit) -> None:
        async def scenario() -> None:
            reports = Reports(kit.nodes)
            one, other = kit.serving_target(), kit.serving_target()
            first = configuration(kit, one)
            await kit.nodes.apply(PLACE, first)
            await until(kit, lambda: reports.health.get(one.key) == "healthy", "the first")
            group = TargetGroup(
                arn=GROUP,
                name="tg",
                resource_id=first.target_groups[0].resource_id,
                health_check=CHECK,
                targets=[other],
            )
            await kit.nodes.apply(PLACE, Configuration(first.load_balancers, [group]))
            await until(kit, lambda: reports.health.get(other.key) == "healthy", "the second")
            reports.health.clear()
            kit.set_serving(one, False)
            await kit.clock.sleep(30)
            assert one.key not in reports.health

        kit.run(scenario())

    def test_a_node_that_crashed_gets_its_configuration_back(self, kit: NodesKit) -> None:
        async def scenario() -> None:
            reports = Reports(kit.nodes)
            target = kit.serving_target()
            await kit.nodes.apply(PLACE, configuration(kit, target))
            await until(kit, lambda: reports.health.get(target.key) == "healthy", "healthy")
            full = reports.full
            kit.crash(PLACE)
            await until(kit, lambda: not kit.nodes.up(PLACE) or reports.full > full, "noticed")
            kit.revive(PLACE)
            await until(kit, lambda: kit.nodes.up(PLACE) and reports.full > full, "back")
            await until(kit, lambda: reports.health.get(target.key) == "healthy", "healthy again")

        kit.run(scenario())

    def test_a_node_that_is_away_says_so(self, kit: NodesKit) -> None:
        async def scenario() -> None:
            await kit.nodes.apply(PLACE, configuration(kit))
            kit.crash(PLACE)
            try:
                await kit.nodes.apply(PLACE, configuration(kit, kit.serving_target()))
            except NodeAway:
                assert not kit.nodes.up(PLACE)
            kit.revive(PLACE)
            await until(kit, lambda: kit.nodes.up(PLACE), "back")

        kit.run(scenario())

    def test_a_new_control_plane_adopts_the_nodes(self, kit: NodesKit) -> None:
        async def scenario() -> None:
            target = kit.serving_target()
            wanted = configuration(kit, target)
            reports = Reports(kit.nodes)
            await kit.nodes.apply(PLACE, wanted)
            await until(kit, lambda: reports.health.get(target.key) == "healthy", "healthy")
            await kit.nodes.close()
            nodes = kit.reopen()
            assert PLACE in nodes.places()
            fresh = Reports(nodes)
            await nodes.apply(PLACE, wanted)
            # Its view survived: it is told at once, and no check starts from nothing.
            await until(kit, lambda: fresh.full > 0, "a full report")
            assert fresh.health == {target.key: "healthy"}

        kit.run(scenario())

    def test_a_refused_configuration_leaves_the_old_one(self, kit: NodesKit) -> None:
        async def scenario() -> None:
            reports = Reports(kit.nodes)
            target = kit.serving_target()
            wanted = configuration(kit, target)
            await kit.nodes.apply(PLACE, wanted)
            with pytest.raises(NodeRefused):
                await kit.nodes.apply(PLACE, kit.unacceptable(wanted))
            await until(kit, lambda: reports.health.get(target.key) == "healthy", "still checked")
            await kit.nodes.apply(PLACE, wanted)
            assert kit.nodes.up(PLACE)

        kit.run(scenario())
