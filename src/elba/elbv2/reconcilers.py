"""ELBv2's reconcilers and tickers: zone configurations out, health and metrics in, draining to its end.

`ZoneReconciler` brings every zone's node to what the store says and makes load balancers active; `HealthTicker`
turns the nodes' reports into TargetHealth; `ProblemTicker` shows what stands wrong at a node; `MetricsTicker` makes
metrics; `DrainingReconciler` and `InstanceReconciler` take targets away whose time is over.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from elba.dataplane.compile import Compiler
from elba.dataplane.interface import NodeAway, NodeRefused, Nodes, Place
from elba.ec2.resources import Instance
from elba.elbv2 import commands
from elba.elbv2.publishing import MetricsTicker
from elba.elbv2.resources import LoadBalancer, Target, TargetGroup
from elba.elbv2.shipping import LogShipper
from elba.elbv2.watching import HealthTicker, ProblemTicker
from elba.elbv2.writer import writer_of
from elba.object_endpoint import S3Endpoint
from elba.parts import Parts
from elba.reconcile import Again, Done, Reconciler, Ticker
from elba.resource import Key
from elba.store.interface import View

log = logging.getLogger(__name__)

ZONE_KIND = "elbv2.zone"
AWAY_RETRY_SECONDS = 1.0
"""Of the world's time: how soon a node that was away is asked again."""


def build(parts: Parts) -> list[Reconciler | Ticker]:
    """All of ELBv2's loops."""
    zones = ZoneReconciler(parts)
    health = HealthTicker(parts, zones.compiler)
    endpoint = parts.settings.get("s3_endpoint", "")
    shipping = [LogShipper(Path(parts.settings["data_dir"]), S3Endpoint(endpoint))] if endpoint else []
    return [
        zones,
        ProblemTicker(parts),
        DrainingReconciler(parts),
        InstanceReconciler(parts),
        health,
        MetricsTicker(parts, health),
        *shipping,
    ]


# ── configurations ───────────────────────────────────────────────────────────────────────────────────


class ZoneReconciler:
    """One key per zone. A load balancer is active once the nodes of all its zones have taken it."""

    name = ZONE_KIND

    def __init__(self, parts: Parts) -> None:
        self._view: View = parts.store.view
        self._nodes: Nodes = parts.nodes
        self._clock = parts.clock
        self._writer = writer_of(self.name, parts)
        self.compiler = Compiler(parts.store.view)
        self._taken: dict[Place, frozenset[str]] = {}
        parts.store.subscribe(self.compiler.changed)

    def keys_for(self, changed: Key) -> Iterable[Key]:
        return [key for region in sorted(self.compiler.regions(changed)) for key in self._keys(region)]

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
        configuration = self.compiler.compile(place)
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
        self._writer = writer_of(self.name, parts)

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
    """One key per instance that is a target and has ended: deregistered if terminated, as new when it starts again."""

    name = "elbv2.instance"

    def __init__(self, parts: Parts) -> None:
        self._view: View = parts.store.view
        self._writer = writer_of(self.name, parts)

    def keys_for(self, changed: Key) -> Iterable[Key]:
        if changed.kind == Instance.KIND and self._is_out(changed):
            return [changed]
        return ()

    def all_keys(self) -> Iterable[Key]:
        keys = {
            target.key._replace(kind=Instance.KIND, id=target.target_id)
            for target in self._view.all(Target)
            if target.target_id.startswith("i-")
        }
        return [key for key in keys if self._is_out(key)]

    def _is_out(self, key: Key) -> bool:
        instance = self._view.get(Instance, key.account, key.region, key.id)
        return instance is None or instance.state in ("stopped", "terminated")

    async def reconcile(self, key: Key) -> Done | Again:
        if self._is_out(key):
            await self._writer.write(commands.forget_instance, key.account, key.region, {"instance_id": key.id})
        return Done()
