"""What a zonal shift means for a target group's targets. Pure. Source: alb.md §9, §10.

With cross-zone load balancing, no node gives new requests to targets in the zone; without, the zone's address leaves
DNS, and its node goes on with its own targets for clients that still come.
"""

from __future__ import annotations

from elba.arc_zonal_shift.lookup import shifted_zone
from elba.elbv2.attributes import target_group_attribute
from elba.elbv2.resources import TargetGroup
from elba.store.interface import View

_OVERRIDES = {
    "no_override": ("NoOverride", "No override is currently active on target"),
    "zonal_shift_active": ("ZonalShiftActive", "Zonal shift is currently active in the Availability Zone of target"),
    "zonal_shift_delegated_to_dns": (
        "ZonalShiftDelegatedToDns",
        "Zonal shift turns clients away from the Availability Zone of target by DNS",
    ),
}
"""Reason and description by state. The descriptions of shifts are Elba's words."""


def is_cross_zone(group: TargetGroup) -> bool:
    return target_group_attribute(group, "load_balancing.cross_zone.enabled") != "false"


def _is_in_shifted_zone(view: View, group: TargetGroup, zone: str) -> bool:
    return zone not in ("", "all") and any(
        shifted_zone(view, group.account, group.region, arn) == zone for arn in group.load_balancer_arns
    )


def is_shifted(view: View, group: TargetGroup, zone: str) -> bool:
    """Whether the group's targets in `zone` get no new requests."""
    return _is_in_shifted_zone(view, group, zone) and is_cross_zone(group)


def administrative_override(view: View, group: TargetGroup, zone: str) -> dict[str, str]:
    """`state`, `reason` and `description` as DescribeTargetHealth shows them for a target in `zone`."""
    state = "no_override"
    if _is_in_shifted_zone(view, group, zone):
        state = "zonal_shift_active" if is_cross_zone(group) else "zonal_shift_delegated_to_dns"
    reason, description = _OVERRIDES[state]
    return {"state": state, "reason": f"AdministrativeOverride.{reason}", "description": description}
