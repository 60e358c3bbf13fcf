"""What the zone nodes report, written to the store: target health, and what stands wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Iterable

from elba.dataplane.compile import Compiler
from elba.dataplane.interface import Place
from elba.dataplane.protocol import HealthReport, Report
from elba.ec2.resources import Instance
from elba.elbv2 import commands
from elba.elbv2.attributes import target_group_attribute
from elba.elbv2.health import merged
from elba.elbv2.resources import LoadBalancer, Target, TargetGroup, TargetHealth
from elba.elbv2.writer import writer_of
from elba.parts import Parts
from elba.resource import Key
from elba.store.interface import View

log = logging.getLogger(__name__)

SWEEP_SECONDS = 30.0
"""Of clock time: how often every target's health is added up again, whoever has reported or not."""
SWEEP_LEAST_WORLD_SECONDS = 2.0
UNHEARD_INTERVALS = 2
"""A view older than its target's registration counts again after so many health check intervals: the node has then
never seen the target leave."""

_TargetName = tuple[str, str]
"""(target group ARN, `<id>:<port>`)."""


class HealthTicker:
    """Adds up what the nodes report to one state per target, and writes what changed (`elbv2.health`)."""

    name = "elbv2.health"

    def __init__(self, parts: Parts, compiler: Compiler) -> None:
        self._view: View = parts.store.view
        self._nodes = parts.nodes
        self._clock = parts.clock
        self._compiler = compiler
        self._writer = writer_of(self.name, parts)
        self._out_at: dict[_TargetName, float] = {}
        """When the target was last seen out of use or service: views from before are of its earlier life."""
        self._seen: dict[Place, dict[_TargetName, tuple[HealthReport, float]]] = {}
        self._dirty: set[_TargetName] = set()
        self._wake = asyncio.Event()
        parts.nodes.listen(self._heard)
        parts.store.subscribe(self._changed)

    def _changed(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if (
                key.kind == Target.KIND
            ):  # registered again while it drained: the nodes know it and have nothing new to say
                group, _, name = key.id.partition("|")
                self._dirty.add((group, name))
                self._wake.set()
            if key.kind != Instance.KIND:
                continue
            instance = self._view.get(Instance, key.account, key.region, key.id)
            if instance is None or instance.state in commands.OUT_OF_SERVICE:
                for target in self._compiler.targets_of_instance(key):
                    group, _, name = target.id.partition("|")
                    self._out_at[(group, name)] = self._clock.now()

    def _heard(self, place: Place, report: Report) -> None:
        if not report.health and not report.full_health:
            return
        now = self._clock.now()
        seen = {} if report.full_health else self._seen.setdefault(place, {})
        for entry in report.health:
            name = (entry.target_group, entry.target)
            seen[name] = (entry, now)
            self._dirty.add(name)
        self._seen[place] = seen
        self._wake.set()

    async def run(self) -> None:
        """Write what reports change, at once; go over everything now and then."""
        sweep = max(SWEEP_SECONDS, SWEEP_LEAST_WORLD_SECONDS * self._clock.scale)
        sweeping = asyncio.create_task(self._sweep(sweep), name="elbv2.health.sweep")
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                dirty, self._dirty = self._dirty, set()
                await self._record(dirty)
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)

    async def _sweep(self, seconds: float) -> None:
        while True:
            await self._clock.sleep(seconds)
            known: set[_TargetName] = set()
            for place in list(self._seen):
                self._seen[place] = {
                    name: seen for name, seen in self._seen[place].items() if self._target(name) is not None
                }
                known.update(self._seen[place])
            self._out_at = {name: at for name, at in self._out_at.items() if name in known}
            self._dirty |= known
            self._wake.set()

    def _target(self, name: _TargetName) -> Target | None:
        group_arn, key = name
        region, account = group_arn.split(":", 5)[3:5]
        return self._view.get(Target, account, region, f"{group_arn}|{key}")

    async def _record(self, names: set[_TargetName]) -> None:
        by_owner: dict[tuple[str, str], list[commands.Seen]] = {}
        groups: dict[str, tuple[TargetGroup, list[str]] | None] = {}
        for name in sorted(names):
            target = self._target(name)
            if target is None or target.draining_since or self._is_out(target):
                continue
            if name[0] not in groups:
                groups[name[0]] = self._group_and_zones(target)
            found = groups[name[0]]
            if found is None or self._zone_of(target) not in ("", "all", *found[1]):
                self._out_at[name] = self._clock.now()
                continue
            health = self._view.get(TargetHealth, target.account, target.region, target.id)
            views = self._views(target, *found)
            state = merged(views, health.state if health else "")
            if state is None:
                continue
            # Each node judges what it sends itself; one that is wronged by one node is wronged.
            anomalous = any(view.anomalous for view in views if view is not None)
            mitigated = any(view.mitigated for view in views if view is not None)
            merged_view = commands.Seen(target.id, *state, anomalous, mitigated)
            if health is None or merged_view != commands.Seen(target.id, *commands.health_shown(health)):
                by_owner.setdefault((target.account, target.region), []).append(merged_view)
        for (account, region), seen in by_owner.items():
            await self._writer.write(commands.record_health, account, region, {"seen": seen})

    def _group_and_zones(self, target: Target) -> tuple[TargetGroup, list[str]] | None:
        """The target's group and the zones enabled for it; None if it is not in use."""
        group = self._view.get(TargetGroup, target.account, target.region, target.target_group_arn)
        if group is None or not group.load_balancer_arns:
            return None
        balancers = (self._view.get(LoadBalancer, group.account, group.region, arn) for arn in group.load_balancer_arns)
        return group, [zone.zone_name for balancer in balancers if balancer for zone in balancer.zones]

    def _views(self, target: Target, group: TargetGroup, zones: list[str]) -> list[HealthReport | None]:
        """What each node says that is up and should check the target; None = it has not said."""
        if target_group_attribute(group, "load_balancing.cross_zone.enabled") == "false":
            own = self._zone_of(target)
            zones = [zone for zone in zones if own in ("", "all", zone)]
        places = [place for zone in zones if self._nodes.up(place := Place(group.region, zone))]
        name = (target.target_group_arn, target.target_key)
        return [self._view_of(place, name, target, group) for place in places]

    def _zone_of(self, target: Target) -> str:
        if not target.target_id.startswith("i-"):
            return target.availability_zone
        instance = self._view.get(Instance, target.account, target.region, target.target_id)
        return instance.availability_zone if instance else ""

    def _is_out(self, target: Target) -> bool:
        if not target.target_id.startswith("i-"):
            return False
        instance = self._view.get(Instance, target.account, target.region, target.target_id)
        return instance is None or instance.state in commands.OUT_OF_SERVICE

    def _view_of(self, place: Place, name: _TargetName, target: Target, group: TargetGroup) -> HealthReport | None:
        """One node's view. One from before the target came, or came back, is of its earlier life, most likely."""
        report, heard = self._seen.get(place, {}).get(name, (None, 0.0))
        came = max(target.registered_at, self._out_at.get(name, 0.0))
        if heard < came and self._clock.now() - came < UNHEARD_INTERVALS * group.health_check_interval_seconds:
            return None
        return report

    def view_of_node(self, place: Place, name: _TargetName) -> HealthReport | None:
        """What one node reports of a target; None = it has not said."""
        entry = self._seen.get(place, {}).get(name)
        return entry[0] if entry else None


_CANNOT_BIND = re.compile(r"cannot bind ([0-9.]+):(\d+): (.+)")


class ProblemTicker:
    """Shows what stands wrong at the nodes: a load balancer whose address a node cannot bind is `active_impaired`,
    with the reason, until it can."""

    name = "elbv2.problems"

    def __init__(self, parts: Parts) -> None:
        self._view: View = parts.store.view
        self._clock = parts.clock
        self._writer = writer_of(self.name, parts)
        self._problems: dict[Place, tuple[str, ...]] = {}
        self._wake = asyncio.Event()
        parts.nodes.listen(self._heard)

    def _heard(self, place: Place, report: Report) -> None:
        problems = tuple(report.problems)
        if self._problems.get(place, ()) != problems:
            for problem in set(problems) - set(self._problems.get(place, ())):
                log.warning("zone node has a problem", extra={"resource": place.zone, "cause": problem})
            self._problems[place] = problems
            self._wake.set()

    async def run(self) -> None:
        """Write what changes; a load balancer that became active meanwhile is looked at in the next round."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS / self._clock.scale):
                    await self._wake.wait()
            self._wake.clear()
            await self._record()

    async def _record(self) -> None:
        reasons: dict[str, str] = {}
        for place, problems in self._problems.items():
            for problem in problems:
                if match := _CANNOT_BIND.match(problem):
                    reasons[match[1]] = f"Zone {place.zone}: {problem}"
        for balancer in self._view.all(LoadBalancer):
            found = [reasons[zone.host_address] for zone in balancer.zones if zone.host_address in reasons]
            state = "active_impaired" if found else "active"
            if balancer.state_code in ("active", "active_impaired") and (
                (balancer.state_code, balancer.state_reason) != (state, found[0] if found else "")
            ):
                request = {
                    "load_balancer_arns": [balancer.id],
                    "state_code": state,
                    "state_reason": found[0] if found else "",
                }
                await self._writer.write(commands.set_load_balancer_state, balancer.account, balancer.region, request)
