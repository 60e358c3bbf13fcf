"""DescribeTargetHealth, and the record of what the zone nodes see. Source: alb.md §9, §10."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from elba.call import Answer, Call, Request
from elba.ec2.resources import Instance, NetworkInterface, Subnet
from elba.elbv2 import arns
from elba.elbv2.commands.lookup import require_target_group
from elba.elbv2.commands.targets import require_target_ids
from elba.elbv2.resources import LoadBalancer, Target, TargetGroup, TargetHealth
from elba.elbv2.shifting import administrative_override
from elba.store.interface import Transaction, View

NOT_IN_USE = {
    "state": "unused",
    "reason": "Target.NotInUse",
    "description": "Target group is not configured to receive traffic from the load balancer",
}
ZONE_NOT_ENABLED = {
    "state": "unused",
    "reason": "Target.NotInUse",
    "description": "Target is in an Availability Zone that is not enabled for the load balancer",
}
NOT_REGISTERED = {
    "state": "unused",
    "reason": "Target.NotRegistered",
    "description": "Target is not registered to the target group",
}
IP_UNUSABLE = {
    "state": "unused",
    "reason": "Target.IpUnusable",
    "description": "The IP address cannot be used as a target, as it is in use by a load balancer",
}
DRAINING = {
    "state": "draining",
    "reason": "Target.DeregistrationInProgress",
    "description": "Target deregistration is in progress",
}
REGISTERING = {
    "state": "initial",
    "reason": "Elb.RegistrationInProgress",
    "description": "Target registration is in progress",
}
HEALTH_CHECK_DISABLED = {
    "state": "unavailable",
    "reason": "Target.HealthCheckDisabled",
    "description": "Health checks are disabled",
}
OUT_OF_SERVICE = {
    "stopping": "stopped",
    "stopped": "stopped",
    "shutting-down": "terminated",
    "terminated": "terminated",
}
"""What an instance that is going or gone is said to be."""


def _invalid_state(state: str) -> dict[str, str]:
    return {
        "state": "unused",
        "reason": "Target.InvalidState",
        "description": f"Target is in the {OUT_OF_SERVICE[state]} state",
    }


class GroupHealth:
    """The states of one group's targets; what is the same for all of them is looked up once."""

    def __init__(self, view: View, group: TargetGroup) -> None:
        self._view = view
        self._group = group
        self._zones: set[str] | None = None
        self._balancer_addresses: set[str] | None = None
        self._overrides: dict[str, dict[str, str]] = {}

    def of(self, target: Target) -> dict[str, str]:
        """`state`, `reason`, `description` of a registered target."""
        group, view = self._group, self._view
        if not group.load_balancer_arns:
            return NOT_IN_USE
        if target.draining_since:
            return DRAINING
        if group.target_type == "instance":
            instance = view.get(Instance, group.account, group.region, target.target_id)
            if instance is None:
                return _invalid_state("terminated")
            if instance.state in OUT_OF_SERVICE:
                return _invalid_state(instance.state)
            zone = instance.availability_zone
        else:
            zone = target.availability_zone
            if group.target_type == "ip" and target.target_id in self._addresses_of_load_balancers():
                return IP_UNUSABLE
        if zone not in ("", "all") and zone not in self._enabled_zones():
            return ZONE_NOT_ENABLED
        if not group.health_check_enabled:
            return HEALTH_CHECK_DISABLED
        health = view.get(TargetHealth, group.account, group.region, target.id)
        if health is None:
            return REGISTERING
        return {"state": health.state, "reason": health.reason, "description": health.description}

    def override_of(self, target: Target) -> dict[str, str]:
        """The `administrative_override` of a registered target."""
        zone = target.availability_zone
        if self._group.target_type == "instance":
            instance = self._view.get(Instance, target.account, target.region, target.target_id)
            zone = instance.availability_zone if instance else ""
        if zone not in self._overrides:
            self._overrides[zone] = administrative_override(self._view, self._group, zone)
        return self._overrides[zone]

    def _enabled_zones(self) -> set[str]:
        if self._zones is None:
            balancers = (
                self._view.get(LoadBalancer, self._group.account, self._group.region, arn)
                for arn in self._group.load_balancer_arns
            )
            self._zones = {zone.zone_name for balancer in balancers if balancer for zone in balancer.zones}
        return self._zones

    def _addresses_of_load_balancers(self) -> set[str]:
        """Private addresses that load balancers hold in the group's VPC."""
        if self._balancer_addresses is None:
            group, view = self._group, self._view
            self._balancer_addresses = {
                interface.private_ip_address
                for subnet in view.children(Subnet, group.account, group.region, group.vpc_id or "")
                for interface in view.children(NetworkInterface, group.account, group.region, subnet.id)
                if ":loadbalancer/" in interface.owner
            }
        return self._balancer_addresses


def describe_target_health(view: View, call: Call, request: Request) -> Answer:
    """The state of the group's targets, or of `targets` only.

    Raises: TargetGroupNotFound, InvalidTarget/ValidationError (malformed id).
    """
    group = require_target_group(view, call, request["target_group_arn"])
    health = GroupHealth(view, group)
    with_anomalies = bool({"AnomalyDetection", "All"} & set(request.get("include") or ()))
    asked = request.get("targets")
    if asked:
        require_target_ids(group, [entry["id"] for entry in asked])
        described = []
        for entry in asked:
            port = entry.get("port") or group.port or 0
            target = view.get(Target, group.account, group.region, arns.target_id(group.id, entry["id"], port))
            if target is not None:
                described.append(_described(view, group, target, health, with_anomalies))
            else:
                missing = {"id": entry["id"], "port": port or None}
                described.append(
                    {
                        "target": missing,
                        "health_check_port": _health_check_port(group, port),
                        "target_health": NOT_REGISTERED,
                    }
                )
    else:
        described = [
            _described(view, group, target, health, with_anomalies)
            for target in view.children(Target, group.account, group.region, group.id)
        ]
    return {"target_health_descriptions": described}


def _health_check_port(group: TargetGroup, port: int) -> str:
    return str(port) if group.health_check_port == "traffic-port" else group.health_check_port or ""


def _described(
    view: View, group: TargetGroup, target: Target, health: GroupHealth, with_anomalies: bool
) -> dict[str, Any]:
    state = health.of(target)
    described: dict[str, Any] = {
        "target": {
            "id": target.target_id,
            "port": target.port or None,
            "availability_zone": target.availability_zone or None,
        },
        "health_check_port": _health_check_port(group, target.port),
        "target_health": {key: value for key, value in state.items() if value},
    }
    if group.load_balancer_arns and group.target_type in ("instance", "ip"):
        described["administrative_override"] = health.override_of(target)
    if with_anomalies and group.target_type in ("instance", "ip"):
        known = view.get(TargetHealth, group.account, group.region, target.id)
        seen = known if known is not None and state["state"] == "healthy" else None
        described["anomaly_detection"] = {
            "result": "anomalous" if seen and seen.anomalous else "normal",
            "mitigation_in_effect": "yes" if seen and seen.mitigated else "no",
        }
    return described


class Seen(msgspec.Struct, frozen=True):
    """The merged state of one target, to be recorded."""

    target: str  # the Target resource's id
    state: str
    reason: str = ""
    description: str = ""
    anomalous: bool = False
    mitigated: bool = False


def health_shown(health: TargetHealth) -> tuple[str, str, str, bool, bool]:
    """What is recorded of a target, in the order of `Seen`."""
    return health.state, health.reason, health.description, health.anomalous, health.mitigated


def record_health(tx: Transaction, call: Call, request: Request) -> Answer:
    """Writes `seen` (a list of `Seen`) where it differs from what is known; targets that are gone are passed over."""
    seen: Iterable[Seen] = request["seen"]
    for entry in seen:
        target = tx.get(Target, call.account, call.region, entry.target)
        if target is None or target.draining_since:
            continue
        old = tx.get(TargetHealth, call.account, call.region, entry.target)
        if old and Seen(old.id, *health_shown(old)) == entry:
            continue
        tx.put(
            TargetHealth(
                account=call.account,
                region=call.region,
                id=entry.target,
                target_group_arn=target.target_group_arn,
                state=entry.state,
                reason=entry.reason,
                description=entry.description,
                anomalous=entry.anomalous,
                mitigated=entry.mitigated,
                since=old.since if old and old.state == entry.state else call.now,
            )
        )
    return {}
