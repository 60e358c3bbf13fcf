"""Finds Auto Scaling's resources as requests name them, and reads a group's capacity. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from elba.arc_zonal_shift.lookup import shifted_zone
from elba.autoscaling import faults, sentences
from elba.autoscaling.resources import Group, Member, Policy
from elba.call import Call
from elba.ec2.resources import Instance
from elba.store.interface import View

REROOTING = (
    "ReplacingRootVolume",
    "ReplacingRootVolume:Wait",
    "ReplacingRootVolume:Proceed",
    "RootVolumeReplaced",
)
"""An instance refresh replaces the root volume of an instance that stays."""

COUNTED = ("Pending", "Pending:Wait", "Pending:Proceed", "InService", *REROOTING)
"""Lifecycle states that count against desired capacity."""

LEAVING = ("Terminating", "Terminating:Wait", "Terminating:Proceed")


def name_of(text: str) -> str:
    """A group's name from its name or ARN."""
    return text.rsplit("autoScalingGroupName/", 1)[-1] if text.startswith("arn:") else text


def find_group(view: View, call: Call, text: str) -> Group | None:
    return view.get(Group, call.account, call.region, name_of(text))


def require_group(view: View, call: Call, text: str) -> Group:
    """Raises: ApiError, whose message clients search for "not found"."""
    group = find_group(view, call, text)
    if group is None:
        raise faults.group_unknown(name_of(text))
    return group


def shifted_away_from(view: View, group: Group) -> str:
    """The zone that a zonal shift keeps new instances from, or "". Source: autoscaling.md §5.3."""
    if not (group.availability_zone_impairment_policy or {}).get("zonal_shift_enabled"):
        return ""
    return shifted_zone(view, group.account, group.region, group.arn)


def healthy_zones(view: View, group: Group) -> list[str]:
    """The group's zones that instances may be launched in."""
    away = shifted_away_from(view, group)
    return [zone for zone in group.availability_zones if zone != away]


def require_living_group(view: View, call: Call, text: str) -> Group:
    """Raises: ApiError if there is no such group, or it is being deleted."""
    group = require_group(view, call, text)
    if group.deleting:
        raise faults.validation(f"AutoScalingGroup {group.id} is pending delete")
    return group


def members_of(view: View, group: Group) -> list[Member]:
    """All of the group's members, warm ones included."""
    return view.children(Member, group.account, group.region, group.id)


def is_warm(member: Member) -> bool:
    return member.lifecycle_state.startswith("Warmed:")


def require_member(view: View, call: Call, instance_id: str) -> Member:
    member = view.get(Member, call.account, call.region, instance_id)
    if member is None:
        raise faults.instance_unknown(instance_id)
    return member


def require_member_of(view: View, group: Group, instance_id: str) -> Member:
    member = view.get(Member, group.account, group.region, instance_id)
    if member is None or member.group_name != group.id:
        raise faults.not_a_member(instance_id, group.id)
    return member


def instance_of(view: View, member: Member) -> Instance | None:
    return view.get(Instance, member.account, member.region, member.id)


def units(member: Member) -> int:
    return member.weighted_capacity or 1


def counted(members: Iterable[Member]) -> list[Member]:
    """Those that count against desired capacity."""
    return [m for m in members if m.lifecycle_state in COUNTED]


def fulfilled(members: Iterable[Member]) -> int:
    """Capacity units that count against desired capacity."""
    return sum(units(m) for m in counted(members))


def suspended(group: Group, process: str) -> bool:
    return any(s.process_name == process for s in group.suspended_processes)


def is_rebalancing(group: Group) -> bool:
    """Whether the group has units above its desired capacity, or wants them, to even out its zones."""
    return bool(group.surge) and group.surge_cause != sentences.REMIXED_IN


def find_policy(view: View, call: Call, text: str, group_name: str | None) -> Policy | None:
    """A policy by ARN, or by name within a group."""
    if text.startswith("arn:"):
        return view.get(Policy, call.account, call.region, text)
    if not group_name:
        return None
    policies = view.children(Policy, call.account, call.region, name_of(group_name))
    return next((p for p in policies if p.policy_name == text), None)


def group_of_arn(arn: str) -> str:
    """The group's name in a policy's or scheduled action's ARN ("" if there is none)."""
    _, found, rest = arn.partition("autoScalingGroupName/")
    if not found:
        return ""
    for separator in (":policyName/", ":scheduledActionName/"):
        rest = rest.partition(separator)[0]
    return rest
