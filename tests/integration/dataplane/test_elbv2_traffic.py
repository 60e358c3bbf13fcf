"""From API commands to traffic: ELBv2's reconcilers over real zone nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from elba.elbv2 import commands
from elba.elbv2.resources import LoadBalancer
from tests.integration.dataplane.kit import RealKit
from tests.integration.dataplane.stack import Scenario, Stack, fetch

pytestmark = pytest.mark.integration


@pytest.fixture
def kit() -> Iterator[RealKit]:
    kit = RealKit()
    yield kit
    kit.close()


def run(kit: RealKit, scenario: Scenario) -> None:
    async def whole() -> None:
        stack = Stack(kit.settings, kit.clock)
        await stack.open()
        try:
            await scenario(stack)
        finally:
            await stack.close()

    kit.run(whole())


async def two_targets(stack: Stack) -> tuple[list[str], str]:
    """A load balancer in two zones over two targets, all healthy; its addresses and the target group."""
    balancer = await stack.create_load_balancer()
    group = await stack.create_target_group()
    await stack.create_listener(balancer, group)
    for address in ("172.31.0.50", "172.31.16.50"):
        await stack.origin(address)
    await stack.write(
        commands.register_targets, target_group_arn=group, targets=[{"id": "172.31.0.50"}, {"id": "172.31.16.50"}]
    )
    await stack.until(lambda: set(stack.health(group).values()) == {"healthy"}, "healthy targets")
    await stack.until(lambda: stack.state(balancer) == "active", "active")
    return [zone.host_address for zone in balancer.zones], group


def test_traffic_flows_through_every_zone_to_every_target(kit: RealKit) -> None:
    async def scenario(stack: Stack) -> None:
        addresses, _ = await two_targets(stack)
        for address in addresses:
            answers = {await fetch(address, 8080) for _ in range(6)}
            assert answers == {(200, "172.31.0.50"), (200, "172.31.16.50")}

    run(kit, scenario)


def test_a_deregistered_target_finishes_what_it_has_and_gets_nothing_new(kit: RealKit) -> None:
    async def scenario(stack: Stack) -> None:
        addresses, group = await two_targets(stack)
        await stack.write(
            commands.modify_target_group_attributes,
            target_group_arn=group,
            attributes=[{"key": "deregistration_delay.timeout_seconds", "value": "60"}],
        )
        slow = [asyncio.create_task(fetch(addresses[0], 8080, "/slow")) for _ in range(2)]
        await asyncio.sleep(0.1)
        await stack.write(commands.deregister_targets, target_group_arn=group, targets=[{"id": "172.31.0.50"}])
        assert stack.health(group)["172.31.0.50"] == "draining"
        await asyncio.sleep(0.1)
        assert {await fetch(addresses[0], 8080) for _ in range(6)} == {(200, "172.31.16.50")}
        assert {await each for each in slow} == {(200, "172.31.0.50"), (200, "172.31.16.50")}
        await stack.until(lambda: "172.31.0.50" not in stack.health(group), "the end of draining")

    run(kit, scenario)


def test_a_target_that_fails_is_taken_out_and_back(kit: RealKit) -> None:
    async def scenario(stack: Stack) -> None:
        addresses, group = await two_targets(stack)
        stack._origins[0].serving = False
        await stack.until(lambda: stack.health(group)["172.31.0.50"] == "unhealthy", "unhealthy")
        assert {await fetch(addresses[0], 8080) for _ in range(6)} == {(200, "172.31.16.50")}
        stack._origins[0].serving = True
        await stack.until(lambda: stack.health(group)["172.31.0.50"] == "healthy", "healthy again")

    run(kit, scenario)


def test_traffic_goes_on_without_the_control_plane_and_the_next_one_takes_over(kit: RealKit) -> None:
    async def scenario(stack: Stack) -> None:
        addresses, group = await two_targets(stack)
        await stack.stop()
        assert (await fetch(addresses[0], 8080))[0] == 200
        # Changed while nobody reconciles: the next control plane brings the nodes up to date.
        await stack.write(commands.deregister_targets, target_group_arn=group, targets=[{"id": "172.31.0.50"}])
        stack.start()
        await stack.until(
            lambda: len(stack.fleet.places()) == 2 and all(map(stack.fleet.up, stack.fleet.places())), "up"
        )
        await asyncio.sleep(0.2)
        assert {await fetch(addresses[1], 8080) for _ in range(6)} == {(200, "172.31.16.50")}
        assert stack.health(group)["172.31.16.50"] == "healthy"

    run(kit, scenario)


def test_requests_become_metrics_at_the_end_of_the_minute(kit: RealKit) -> None:
    async def scenario(stack: Stack) -> None:
        addresses, _ = await two_targets(stack)
        for _ in range(10):
            await fetch(addresses[0], 8080)
        await stack.until(lambda: stack.sink.total("RequestCount", "LoadBalancer") == 10, "the minute's count", 8)
        assert stack.sink.total("RequestCount", "LoadBalancer", "TargetGroup") == 10
        assert stack.sink.total("RequestCount", "AvailabilityZone", "LoadBalancer") == 10
        assert stack.sink.total("RequestCountPerTarget", "TargetGroup") == 5
        assert stack.sink.total("HTTPCode_Target_2XX_Count", "LoadBalancer") == 10
        times = [p for p in stack.sink.points if p.metric_name == "TargetResponseTime"]
        assert all(0 < value < 1 for point in times for value in point.values)

    run(kit, scenario)


def test_a_deleted_load_balancer_answers_no_more(kit: RealKit) -> None:
    async def scenario(stack: Stack) -> None:
        addresses, group = await two_targets(stack)
        balancer = stack.store.view.all(LoadBalancer)[0]
        await stack.write(commands.delete_load_balancer, load_balancer_arn=balancer.id)

        async def refused() -> bool:
            try:
                await fetch(addresses[0], 8080)
            except (OSError, asyncio.IncompleteReadError):
                return True
            return False

        for _ in range(200):
            if await refused():
                break
            await asyncio.sleep(0.01)
        assert await refused()
        assert set(stack.health(group).values()) == {"unused"}

    run(kit, scenario)


def test_a_new_target_takes_requests_at_once(kit: RealKit) -> None:
    """RegisterTargets to the first request: 99 of 100 within 50 ms. A group with no healthy target fails open."""

    async def scenario(stack: Stack) -> None:
        addresses, group = await two_targets(stack)
        loop = asyncio.get_running_loop()
        took = []
        for number in range(60, 90):
            ip = f"172.31.0.{number}"
            origin = await stack.origin(ip)
            await stack.write(commands.register_targets, target_group_arn=group, targets=[{"id": ip}])
            began = loop.time()
            while not origin.requests:  # health checks count: the first one makes it healthy
                assert loop.time() - began < 5
                await asyncio.sleep(0.001)
            took.append(loop.time() - began)
        assert sorted(took)[len(took) * 95 // 100] < 0.05, sorted(took)
        assert (await fetch(addresses[0], 8080))[0] == 200

    run(kit, scenario)
