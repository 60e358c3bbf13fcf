"""What can be shifted: load balancers with `zonal_shift.config.enabled`, groups whose impairment policy allows it.

Source: ARC developer guide, "Supported resources"; resources register themselves once zonal shift is enabled on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from elba.autoscaling.resources import Group
from elba.call import Call
from elba.ec2.zones import zone_id
from elba.elbv2.attributes import attributes_of_load_balancer
from elba.elbv2.resources import LoadBalancer
from elba.errors import ApiError
from elba.store.interface import View

ENABLED = "zonal_shift.config.enabled"


@dataclass(frozen=True, slots=True)
class Managed:
    """One resource; `zones` holds its zones' names by id."""

    arn: str
    name: str
    zones: dict[str, str]


def _zones(names: Iterator[str]) -> dict[str, str]:
    return {zone_id(name): name for name in sorted(names)}


def of_load_balancer(balancer: LoadBalancer) -> Managed | None:
    if attributes_of_load_balancer(balancer).get(ENABLED) != "true":
        return None
    return Managed(balancer.id, balancer.load_balancer_name, _zones(zone.zone_name for zone in balancer.zones))


def of_group(group: Group) -> Managed | None:
    policy = group.availability_zone_impairment_policy or {}
    if not policy.get("zonal_shift_enabled"):
        return None
    return Managed(group.arn, group.id, _zones(iter(group.availability_zones)))


def all_managed(view: View, call: Call) -> list[Managed]:
    """Every resource that can be shifted, by ARN."""
    found = [of_load_balancer(balancer) for balancer in view.all(LoadBalancer, call.account, call.region)]
    found += [of_group(group) for group in view.all(Group, call.account, call.region)]
    return sorted((each for each in found if each), key=lambda each: each.arn)


def find_managed(view: View, account: str, region: str, arn: str) -> Managed | None:
    """The resource if it is there and can be shifted."""
    balancer = view.get(LoadBalancer, account, region, arn)
    if balancer is not None:
        return of_load_balancer(balancer)
    group = view.get(Group, account, region, arn.rpartition("autoScalingGroupName/")[2])
    return of_group(group) if group is not None and group.arn == arn else None


def require_managed(view: View, call: Call, arn: str) -> Managed:
    """Raises: ApiError ValidationException (no ARN), ResourceNotFoundException."""
    if not arn.startswith("arn:"):
        raise ApiError(
            "ValidationException",
            f"The resource identifier {arn} is not a valid Amazon Resource Name (ARN).",
            fields={"reason": "InvalidResourceIdentifier"},
        )
    found = find_managed(view, call.account, call.region, arn)
    if found is None:
        raise ApiError("ResourceNotFoundException", f"No managed resource was found for {arn}.", 404)
    return found
