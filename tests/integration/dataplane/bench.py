"""How fast ELBv2's changes reach the nodes: `python -m tests.integration.dataplane.bench [groups] [targets per group]`.

Real nodes, SQLite store with fsync; prints milliseconds. Not a test.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from elba.clock import RealClock
from elba.elbv2 import commands
from elba.store import Store
from elba.store.kinds import kinds
from elba.store.sqlite import SqliteEngine
from tests.integration.dataplane.kit import RealKit
from tests.integration.dataplane.stack import ACCOUNT, REGION, Stack, fetch


def percentiles(name: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    shown = {p: 1000 * ordered[min(len(ordered) - 1, len(ordered) * p // 100)] for p in (50, 90, 99)}
    print(f"{name:58} p50 {shown[50]:8.2f}  p90 {shown[90]:8.2f}  p99 {shown[99]:8.2f} ms  (n={len(ordered)})")


async def measure(kit: RealKit, groups: int, targets: int) -> None:
    stack = Stack({**kit.settings, "zones": "a,b"}, RealClock())
    stack.store = Store(SqliteEngine(kit.directory / "store.db", kinds()), now=stack.clock.now)
    await stack.open()
    try:
        balancer = await stack.create_load_balancer()
        arns: list[str] = []
        for number in range(groups):
            group = await stack.create_target_group(f"tg-{number}", health_check_interval_seconds=300)
            ids = [{"id": f"172.31.{100 + number % 100}.{n % 250}", "port": 9 + n // 250} for n in range(targets)]
            if ids:
                await stack.write(commands.register_targets, target_group_arn=group, targets=ids)
            if number < 50 and (number + 1) * targets <= 900:
                await stack.create_listener(balancer, group, 8080 + number)
                arns.append(group)
        await stack.until(lambda: stack.state(balancer) == "active", "active", 60)
        print(f"{len(arns)} groups in use, {targets} targets each; {groups} groups in all")
        address = balancer.zones[0].host_address
        applied: list[float] = []
        answered: list[float] = []
        first: list[float] = []
        done = asyncio.Event()
        apply: Any = stack.fleet.apply

        async def watched(place: Any, configuration: Any) -> None:
            await apply(place, configuration)
            if place.zone.endswith("a"):
                done.set()

        stack.fleet.apply = watched  # type: ignore[method-assign]
        group = arns[0]
        for n in range(60):
            ip = f"172.31.1.{n + 4}"
            origin = await stack.origin(ip)
            done.clear()
            began = time.perf_counter()
            await stack.write(commands.register_targets, target_group_arn=group, targets=[{"id": ip}])
            answered.append(time.perf_counter() - began)
            await done.wait()
            applied.append(time.perf_counter() - began - answered[-1])
            await stack.until(lambda: origin.requests, "the first request")  # noqa: B023
            if n == 0:
                await fetch(address, 8080)
            first.append(time.perf_counter() - began - answered[-1])
            await stack.write(commands.deregister_targets, target_group_arn=group, targets=[{"id": ip}])
            await asyncio.sleep(0.02)
        percentiles("RegisterTargets, until the answer (fsync in it)", answered)
        percentiles("from the answer until zone a's node has acknowledged", applied)
        percentiles("from the answer until the target is first asked", first)
        took = []
        for _ in range(200):
            began = time.perf_counter()
            commands.describe_target_health(stack.store.view, stack.call, {"target_group_arn": group})
            took.append(time.perf_counter() - began)
        percentiles(f"DescribeTargetHealth of {len(stack.health(group))} targets, command", took)
        assert stack.store.view.get(type(balancer), ACCOUNT, REGION, balancer.id)
    finally:
        await stack.close()


def main() -> None:
    groups, targets = (int(argument) for argument in [*sys.argv[1:], "1", "10"][:2])
    kit = RealKit()
    try:
        kit.run(measure(kit, groups, targets))
    finally:
        kit.close()


if __name__ == "__main__":
    main()
