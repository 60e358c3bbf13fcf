"""ELBv2's reconcilers and tickers: zone configurations out, health and metrics in, draining to its end.

`ZoneReconciler` brings every zone's node to what the store says and makes load balancers active; `HealthTicker`
turns the nodes' reports into TargetHealth; `MetricsTicker` into metrics; `DrainingReconciler` and
`InstanceReconciler` take targets away whose time is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from elba.call import Answer, Call
from elba.clock import Clock
from elba.context import Command
from elba.dataplane.compile import Compiler
from elba.dataplane.interface import NodeAway, NodeRefused, Nodes, Place
from elba.dataplane.protocol import HealthReport, Report
from elba.ec2.resources import Instance
from elba.elbv2 import commands
from elba.elbv2.attributes import target_group_attribute
from elba.elbv2.health import merged
from elba.elbv2.metrics import PERIOD_SECONDS, Balancer, GroupState, Minute, Minutes, datapoints
from elba.elbv2.resources import LoadBalancer, Target, TargetGroup, TargetHealth
from elba.ids import IdSource
from elba.parts import Parts
from elba.reconcile import Again, Done, Reconciler, Ticker
from elba.resource import Key
from elba.store.interface import Store, View

log = logging.getLogger(__name__)

ZONE_KIND = "elbv2.zone"
AWAY_RETRY_SECONDS = 1.0
"""Of the world's time: how soon a node that was away is asked again."""
SWEEP_SECONDS = 10.0
"""Of clock time: how often every target's health is added up again, whoever has reported or not."""
SWEEP_LEAST_WORLD_SECONDS = 2.0
UNHEARD_INTERVALS = 2
"""A view older than its target's registration counts again after so many health check intervals: the node has then
never seen the target leave."""


def build(parts: Parts) -> list[Reconciler | Ticker]:
    """All of ELBv2's loops."""
    health = HealthTicker(parts)
    return [
        ZoneReconciler(parts),
        DrainingReconciler(parts),
        InstanceReconciler(parts),
        health,
        MetricsTicker(parts, health),
    ]


class _Writer:
    """Runs commands on a reconciler's own behalf."""

    def __init__(self, name: str, store: Store, clock: Clock, ids: IdSource) -> None:
        self._name, self._store, self._clock, self._ids = name, store, clock, ids

    async def write(self, command: Command, account: str, region: str, request: Mapping[str, Any]) -> Answer:
        call = Call(account, region, self._clock.now(), self._ids, cause=self._name)
        return await self._store.write(lambda tx: command(tx, call, request), self._name)


def _writer(name: str, parts: Parts) -> _Writer:
    return _Writer(name, parts.store, parts.clock, parts.ids)


# ── configurations ───────────────────────────────────────────────────────────────────────────────────


class ZoneReconciler:
    """One key per zone. A load balancer is active once the nodes of all its zones have taken it."""

    name = ZONE_KIND

    def __init__(self, parts: Parts) -> None:
        self._view: View = parts.store.view
        self._nodes: Nodes = parts.nodes
        self._clock = parts.clock
        self._writer = _writer(self.name, parts)
        self._compiler = Compiler(parts.store.view)
        self._taken: dict[Place, frozenset[str]] = {}
        parts.store.subscribe(self._compiler.changed)

    def keys_for(self, changed: Key) -> Iterable[Key]:
        return self._keys(changed.region) if self._compiler.concerns(changed) else ()

    def all_keys(self) -> Iterable[Key]:
        regions = {balancer.region for balancer in self._view.all(LoadBalancer)}
        regions.update(place.region for place in self._nodes.places())
        return [key for region in sorted(regions) for key in self._keys(region)]

    def _keys(self, region: str) -> list[Key]:
        zones = {zone.zone_name for balancer in self._view.all(LoadBalancer, None, region) for zone in balancer.zones}
        zones.update(place.zone for place in self._nodes.places() if place.region == region)
        return [Key(ZONE_KIND, "", region, zone) for zone in sorted(zones)]

    async def reconcile(self, key: Key) -> Done | Again:
        place = Place(key.region, key.id)
        configuration = self._compiler.compile(place)
        if not configuration.load_balancers and place not in self._nodes.places():
            return Done()
        try:
            await self._nodes.apply(place, configuration)
        except NodeAway as away:
            return Again(AWAY_RETRY_SECONDS * self._clock.scale, f"node away: {away}")
        except NodeRefused as refusal:
            new = {b.arn for b in configuration.load_balancers} - self._taken.get(place, frozenset())
            if not await self._set_state(place.region, new, "failed", f"Zone {place.zone}: {refusal}"):
                raise
            return Again(0.0, "without the load balancers that failed")
        self._taken[place] = frozenset(balancer.arn for balancer in configuration.load_balancers)
        await self._activate(place)
        return Done()

    async def _activate(self, place: Place) -> None:
        """Mark those active that are provisioning and that all their zones have taken by now."""
        ready = {
            balancer.id
            for balancer in self._view.all(LoadBalancer, None, place.region)
            if balancer.state_code == "provisioning"
            and all(balancer.id in self._taken.get(Place(place.region, z.zone_name), ()) for z in balancer.zones)
        }
        await self._set_state(place.region, ready, "active", "")

    async def _set_state(self, region: str, balancer_arns: set[str], state: str, reason: str) -> bool:
        """Move those of them that are provisioning; whether there were any."""
        by_account: dict[str, list[str]] = {}
        for balancer in self._view.all(LoadBalancer, None, region):
            if balancer.id in balancer_arns and balancer.state_code == "provisioning":
                by_account.setdefault(balancer.account, []).append(balancer.id)
        for account, ids in by_account.items():
            request = {"load_balancer_arns": ids, "state_code": state, "state_reason": reason}
            await self._writer.write(commands.set_load_balancer_state, account, region, request)
            log.info("load balancer state", extra={"resource": ",".join(ids), "state": state, "cause": reason})
        return bool(by_account)


# ── targets whose time is over ───────────────────────────────────────────────────────────────────────


class DrainingReconciler:
    """One key per target group with draining targets; removes each when its deregistration delay has passed."""

    name = "elbv2.draining"

    def __init__(self, parts: Parts) -> None:
        self._view: View = parts.store.view
        self._writer = _writer(self.name, parts)

    def keys_for(self, changed: Key) -> Iterable[Key]:
        if changed.kind == Target.KIND:
            target = self._view.get(Target, changed.account, changed.region, changed.id)
            if target is not None and target.draining_since:
                return [changed._replace(kind=TargetGroup.KIND, id=target.target_group_arn)]
        elif changed.kind == TargetGroup.KIND:
            return [changed]
        return ()

    def all_keys(self) -> Iterable[Key]:
        draining = (target for target in self._view.all(Target) if target.draining_since)
        return {target.key._replace(kind=TargetGroup.KIND, id=target.target_group_arn) for target in draining}

    async def reconcile(self, key: Key) -> Done | Again:
        targets = self._view.children(Target, key.account, key.region, key.id)
        if not any(target.draining_since for target in targets):
            return Done()
        answer = await self._writer.write(commands.end_draining, key.account, key.region, {"target_group_arn": key.id})
        left = answer["seconds_left"]
        return Done() if left is None else Again(left)


class InstanceReconciler:
    """One key per terminated instance that is still a target: it is deregistered."""

    name = "elbv2.instance"

    def __init__(self, parts: Parts) -> None:
        self._view: View = parts.store.view
        self._writer = _writer(self.name, parts)

    def keys_for(self, changed: Key) -> Iterable[Key]:
        if changed.kind == Instance.KIND and self._is_gone(changed):
            return [changed]
        return ()

    def all_keys(self) -> Iterable[Key]:
        keys = {
            target.key._replace(kind=Instance.KIND, id=target.target_id)
            for target in self._view.all(Target)
            if target.target_id.startswith("i-")
        }
        return [key for key in keys if self._is_gone(key)]

    def _is_gone(self, key: Key) -> bool:
        instance = self._view.get(Instance, key.account, key.region, key.id)
        return instance is None or instance.state == "terminated"

    async def reconcile(self, key: Key) -> Done | Again:
        if self._is_gone(key):
            await self._writer.write(commands.forget_instance, key.account, key.region, {"instance_id": key.id})
        return Done()


# ── health ───────────────────────────────────────────────────────────────────────────────────────────

_TargetName = tuple[str, str]
"""(target group ARN, `<id>:<port>`)."""


class HealthTicker:
    """Adds up what the nodes report to one state per target, and writes what changed (`elbv2.health`)."""

    name = "elbv2.health"

    def __init__(self, parts: Parts) -> None:
        self._view: View = parts.store.view
        self._nodes = parts.nodes
        self._clock = parts.clock
        self._writer = _writer(self.name, parts)
        self._seen: dict[Place, dict[_TargetName, tuple[HealthReport, float]]] = {}
        self._dirty: set[_TargetName] = set()
        self._wake = asyncio.Event()
        parts.nodes.listen(self._heard)

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
            self._dirty |= known
            self._wake.set()

    def _target(self, name: _TargetName) -> Target | None:
        group_arn, key = name
        region, account = group_arn.split(":", 5)[3:5]
        return self._view.get(Target, account, region, f"{group_arn}|{key}")

    async def _record(self, names: set[_TargetName]) -> None:
        by_owner: dict[tuple[str, str], list[commands.Seen]] = {}
        groups: dict[str, tuple[TargetGroup, list[Place]] | None] = {}
        for name in sorted(names):
            target = self._target(name)
            if target is None or target.draining_since:
                continue
            if name[0] not in groups:
                groups[name[0]] = self._group_and_nodes(target)
            found = groups[name[0]]
            if found is None:
                continue
            health = self._view.get(TargetHealth, target.account, target.region, target.id)
            known = health.state if health else ""
            state = merged(self._views(target, *found), known)
            if state is not None and (health is None or state != (health.state, health.reason, health.description)):
                by_owner.setdefault((target.account, target.region), []).append(commands.Seen(target.id, *state))
        for (account, region), seen in by_owner.items():
            await self._writer.write(commands.record_health, account, region, {"seen": seen})

    def _group_and_nodes(self, target: Target) -> tuple[TargetGroup, list[Place]] | None:
        """The target's group and the nodes that are up and whose view counts; None if it is not in use."""
        group = self._view.get(TargetGroup, target.account, target.region, target.target_group_arn)
        if group is None or not group.load_balancer_arns:
            return None
        places = [
            Place(group.region, zone.zone_name)
            for arn in group.load_balancer_arns
            if (balancer := self._view.get(LoadBalancer, group.account, group.region, arn)) is not None
            for zone in balancer.zones
        ]
        return group, [place for place in places if self._nodes.up(place)]

    def _views(self, target: Target, group: TargetGroup, places: list[Place]) -> list[HealthReport | None]:
        if target_group_attribute(group, "load_balancing.cross_zone.enabled") == "false":
            zone = self._zone_of(target)
            places = [place for place in places if zone in ("", "all", place.zone)]
        name = (target.target_group_arn, target.target_key)
        return [self._view_of(place, name, target, group) for place in places]

    def _zone_of(self, target: Target) -> str:
        if not target.target_id.startswith("i-"):
            return target.availability_zone
        instance = self._view.get(Instance, target.account, target.region, target.target_id)
        return instance.availability_zone if instance else ""

    def _view_of(self, place: Place, name: _TargetName, target: Target, group: TargetGroup) -> HealthReport | None:
        """One node's view. One from before the target was registered is of an earlier registration, most likely."""
        report, heard = self._seen.get(place, {}).get(name, (None, 0.0))
        waited = self._clock.now() - target.registered_at
        if heard < target.registered_at and waited < UNHEARD_INTERVALS * group.health_check_interval_seconds:
            return None
        return report

    def view_of_node(self, place: Place, name: _TargetName) -> str:
        """The state that one node reports for a target ("" = it has not said)."""
        entry = self._seen.get(place, {}).get(name)
        return entry[0].state if entry else ""


# ── metrics ──────────────────────────────────────────────────────────────────────────────────────────


class MetricsTicker:
    """Publishes AWS/ApplicationELB once per minute, for the minute just ended.

    It waits a moment after the minute's end for the reports that belong to it: two report intervals.
    """

    name = "elbv2.metrics"

    def __init__(self, parts: Parts, health: HealthTicker) -> None:
        self._view: View = parts.store.view
        self._nodes = parts.nodes
        self._clock = parts.clock
        self._metrics = parts.metrics
        self._health = health
        self._minutes = Minutes()
        self._interval_seconds = 0.0
        parts.nodes.listen(self._heard)

    def _heard(self, place: Place, report: Report) -> None:
        scale = self._clock.scale
        interval = report.interval_seconds * scale
        end = self._clock.now() - (self._clock.wall() - report.time) * scale
        self._minutes.add(place, report, end - interval / 2)
        self._interval_seconds = max(self._interval_seconds * 0.9, interval)

    async def run(self) -> None:
        """Publish each minute as it ends."""
        while True:
            now = self._clock.now()
            number = int(now // PERIOD_SECONDS) + 1
            patience = min(2 * self._interval_seconds, PERIOD_SECONDS / 2)
            await self._clock.sleep(number * PERIOD_SECONDS - now + max(0.5, patience))
            self.publish(number)

    def publish(self, number: int) -> None:
        """Publish the minute before minute `number`, and what came too late for those before it."""
        balancers = {
            balancer.id: Balancer(
                balancer.id, balancer.account, balancer.region, tuple(z.zone_name for z in balancer.zones)
            )
            for balancer in self._view.all(LoadBalancer)
            if balancer.state_code != "failed" and balancer.type == "application"
        }
        minutes = self._minutes.take(number)
        for late in sorted(minutes):
            if late != number - 1:
                self._metrics.put(datapoints(late, minutes[late], balancers, ()))
        minute = minutes.get(number - 1, Minute())
        self._metrics.put(datapoints(number - 1, minute, balancers, self._group_states()))

    def _group_states(self) -> list[GroupState]:
        states = []
        for group in self._view.all(TargetGroup):
            for arn in group.load_balancer_arns:
                balancer = self._view.get(LoadBalancer, group.account, group.region, arn)
                if balancer is not None and balancer.state_code != "failed":
                    states += self._states_of_nodes(group, balancer)
        return states

    def _states_of_nodes(self, group: TargetGroup, balancer: LoadBalancer) -> list[GroupState]:
        """How each zone's node that is up sees the group."""
        targets = [
            (target, self._zone_of(target))
            for target in self._view.children(Target, group.account, group.region, group.id)
            if not target.draining_since
        ]
        enabled = {zone.zone_name for zone in balancer.zones}
        targets = [(target, zone) for target, zone in targets if zone in ("", "all") or zone in enabled]
        cross_zone = target_group_attribute(group, "load_balancing.cross_zone.enabled") != "false"
        states = []
        for zone in balancer.zones:
            place = Place(balancer.region, zone.zone_name)
            if not self._nodes.up(place):
                continue
            own = [t for t, of in targets if cross_zone or of in ("", "all", zone.zone_name)]
            seen = [self._health.view_of_node(place, (group.id, target.target_key)) for target in own]
            healthy = sum(state in ("healthy", "unavailable") for state in seen)
            states.append(
                GroupState(
                    load_balancer=balancer.id,
                    target_group=group.id,
                    zone=zone.zone_name,
                    healthy=healthy,
                    unhealthy=sum(state == "unhealthy" for state in seen),
                    routing_ok=_meets(group, "unhealthy_state_routing", healthy, len(own)),
                    dns_ok=_meets(group, "dns_failover", healthy, len(own)),
                    checked=group.health_check_enabled,
                )
            )
        return states

    def _zone_of(self, target: Target) -> str:
        if not target.target_id.startswith("i-"):
            return target.availability_zone
        instance = self._view.get(Instance, target.account, target.region, target.target_id)
        return instance.availability_zone if instance else ""


def _meets(group: TargetGroup, what: str, healthy: int, registered: int) -> bool:
    """Whether enough targets are healthy for one of the two thresholds. Source: alb.md §10."""
    prefix = f"target_group_health.{what}.minimum_healthy_targets"
    if group.target_type == "lambda":
        return True
    count = target_group_attribute(group, f"{prefix}.count")
    percentage = target_group_attribute(group, f"{prefix}.percentage")
    if count != "off" and healthy < int(count):
        return False
    return percentage == "off" or healthy >= registered * float(percentage) / 100
