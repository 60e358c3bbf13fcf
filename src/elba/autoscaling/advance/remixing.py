"""Brings On-Demand and spot to the shares that the mixed instances policy asks for, when these have changed.

A few instances at a time: those of the option that has too little are launched first, then as many of the other go.
Source: Auto Scaling user guide, "Auto Scaling groups with multiple instance types and purchase options".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from elba.autoscaling import mixed
from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.lookup import counted, is_rebalancing, suspended, units
from elba.autoscaling.resources import Member

MOST_PERCENT = 10
"""Share of desired capacity that changes its purchase option at once; one instance at least."""


def extra_units(turn: Turn, active: Sequence[Member]) -> int:
    """How many units to launch now beside the active members, all of which are in service: 0 if the shares are right.

    Of weighted groups one instance at a time moves, and none that would have to move back: they rest within the
    largest weight of their shares.
    """
    group, policy = turn.group, turn.group.mixed_instances_policy
    if policy is None or any(suspended(group, p) for p in ("Launch", "Terminate")):
        return 0
    desired = group.desired_capacity
    on_demand = sum(units(m) for m in active if not m.spot)
    excess = on_demand - mixed.on_demand_units(desired, *mixed.distribution(policy))
    surplus_is_spot = excess < 0
    movable = sum(units(m) for m in active if m.spot is surplus_is_spot and not m.protected_from_scale_in)
    heaviest = mixed.grain(policy, group.desired_capacity_type, (units(m) for m in active))
    moves = min(abs(excess), movable)
    if abs(excess) < heaviest or not moves:
        return 0
    return 1 if heaviest > 1 else min(moves, max(1, desired * MOST_PERCENT // 100))


def moves_spot(turn: Turn) -> bool | None:
    """While zones are rebalanced: whether what is launched now stands for a spot instance, if only such can go.

    Else the shares would be wrong afterwards and be brought right at the expense of the zones, without an end. None if
    either option may go, for which the shares decide, or nothing is being rebalanced.
    """
    group = turn.group
    active = counted(turn.members())
    if not is_rebalancing(group):
        return None
    zone_units: Counter[str] = Counter()
    for member in active:
        zone_units[member.availability_zone] += units(member)
    free = [m for m in active if m.lifecycle_state == "InService" and not m.protected_from_scale_in]
    stranded = [m for m in free if m.availability_zone not in group.availability_zones]
    fullest = max((zone_units[m.availability_zone] for m in free), default=0)
    leaving = stranded or [m for m in free if zone_units[m.availability_zone] == fullest]
    options = {m.spot for m in leaving}
    return options.pop() if len(options) == 1 else None
