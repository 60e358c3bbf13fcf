"""Publishes AWS/ApplicationELB, minute by minute."""

from __future__ import annotations

from elba.dataplane.interface import Place
from elba.dataplane.protocol import Report
from elba.ec2.resources import Instance
from elba.elbv2.attributes import attributes_of_load_balancer, target_group_attribute
from elba.elbv2.metrics import PERIOD_SECONDS, Balancer, GroupState, Minute, Minutes, datapoints
from elba.elbv2.resources import LoadBalancer, Target, TargetGroup
from elba.elbv2.shifting import is_cross_zone, is_shifted
from elba.elbv2.watching import HealthTicker
from elba.parts import Parts
from elba.store.interface import View


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
        sticky = {
            arn
            for group in self._view.all(TargetGroup)
            if group.load_balancer_arns and target_group_attribute(group, "stickiness.enabled") == "true"
            for arn in group.load_balancer_arns
        }
        balancers = {
            balancer.id: Balancer(
                balancer.id,
                balancer.account,
                balancer.region,
                tuple(z.zone_name for z in balancer.zones),
                balancer.id in sticky,
                balancer.capacity_units,
                attributes_of_load_balancer(balancer).get("zonal_shift.config.enabled") == "true",
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
        cross_zone = is_cross_zone(group)
        states = []
        for zone in balancer.zones:
            place = Place(balancer.region, zone.zone_name)
            if not self._nodes.up(place):
                continue
            own = [t for t, of in targets if cross_zone or of in ("", "all", zone.zone_name)]
            seen = [self._health.view_of_node(place, (group.id, target.target_key)) for target in own]
            states_seen = [view.state for view in seen if view is not None]
            healthy = sum(state in ("healthy", "unavailable") for state in states_seen)
            states.append(
                GroupState(
                    load_balancer=balancer.id,
                    target_group=group.id,
                    zone=zone.zone_name,
                    healthy=healthy,
                    unhealthy=sum(state == "unhealthy" for state in states_seen),
                    anomalous=sum(view.anomalous for view in seen if view is not None),
                    mitigated=sum(view.mitigated for view in seen if view is not None),
                    shifted=sum(is_shifted(self._view, group, of) for _, of in targets if cross_zone),
                    routing_ok=_meets(group, "unhealthy_state_routing", healthy, len(own)),
                    dns_ok=_meets(group, "dns_failover", healthy, len(own)),
                    checked=group.health_check_enabled,
                    kind=group.target_type,
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
