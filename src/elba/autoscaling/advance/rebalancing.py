"""Keeps zones even, and purchase options at their shares: launches first, then takes what is too much."""

from __future__ import annotations

from collections import Counter

from elba.autoscaling import mixed, placement, sentences
from elba.autoscaling.advance import advising, remixing
from elba.autoscaling.advance.replacing import bounds
from elba.autoscaling.advance.shrinking import pick_one
from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.commands.leaving import begin_termination
from elba.autoscaling.lookup import counted, healthy_zones, shifted_away_from, suspended, units
from elba.ec2.commands.capacity import has_capacity

PAUSE_SECONDS = 300.0
"""After a rebalancing that could not launch."""

OUT = sentences.TAKEN_OUT + "a rebalancing of the group's Availability Zones."


def rebalance(turn: Turn) -> None:
    """Begin, go on with or end a rebalancing.

    With Terminate suspended it launches only, until the group is a tenth above its maximum.
    """
    group = turn.group
    if group.surge:
        _go_on(turn)
        return
    if suspended(group, "Launch"):
        return
    grows_only = suspended(group, "Terminate")
    blocked_until = max(group.surge_blocked_until, group.launch_not_before)
    if blocked_until > turn.now:
        turn.look_again_at(blocked_until)
        return
    members = turn.members()
    active = counted(members)
    heaviest = mixed.grain(group.mixed_instances_policy, group.desired_capacity_type, (units(m) for m in active))
    over = sum(units(m) for m in active) - group.desired_capacity
    steady = (
        all(m.lifecycle_state == "InService" and m.health_status == "Healthy" for m in active)
        and not any(m.activity_id for m in members)
        # With weights a group may rest a little above desired capacity.
        and (over == 0 or (over > 0 and (heaviest > 1 or grows_only)))
        and not turn.surge
    )
    if not steady or not active:
        return
    away = shifted_away_from(turn.tx, group)
    if not away and over < heaviest and (more := remixing.extra_units(turn, active)):
        _begin(turn, over + more, sentences.REMIXED_IN)
        return
    if suspended(group, "AZRebalance"):
        return
    zones = healthy_zones(turn.tx, group)
    held = placement.zone_units(zones, [(m.availability_zone, units(m)) for m in active])
    movable: Counter[str] = Counter()
    stranded = 0
    for member in active:
        if member.availability_zone == away:
            continue  # those that are there stay
        zone = member.availability_zone if member.availability_zone in held else ""
        stranded += 0 if zone else units(member)
        if not member.protected_from_scale_in:
            movable[zone] += units(member)
    desired, limits = group.desired_capacity, None
    if (policy := group.instance_maintenance_policy) is not None:
        limits = bounds(desired, policy["min_healthy_percentage"], policy["max_healthy_percentage"])
    plan = placement.rebalance(
        held,
        stranded,
        movable,
        desired + (over if grows_only else 0),
        group.max_size,
        heaviest,
        limits.ceiling if limits else None,
    )
    if plan is None or group.zone_failures.get(plan.low, 0.0) > turn.now:
        return
    there = placement.zone_units(
        sorted({*held, *(m.availability_zone for m in active)}), [(m.availability_zone, units(m)) for m in active]
    )
    why = sentences.rebalanced(there, plan.low)
    if plan.extra:
        _begin(turn, over + plan.extra, why)
    elif not any(has_capacity(turn.tx, group.region, plan.low, m.instance_type) for m in active):
        turn.look_again_at(turn.now + PAUSE_SECONDS)  # what goes first could not come back where it is wanted
    elif limits is not None and limits.ceiling == desired and not grows_only:
        _terminate_first(turn, min(plan.moves, max(1, desired - limits.floor)), why)


def _begin(turn: Turn, surge: int, cause: str) -> None:
    turn.change(surge=surge, surge_cause=cause, launch_failures=0, launch_not_before=0.0)


def _terminate_first(turn: Turn, most: int, why: str) -> None:
    """What the group's maintenance policy says: no more than desired capacity, so that the fullest zone gives first."""
    group = turn.group
    turn.shrink_reason = "rebalance"
    among: set[str] | None = None
    if advising.function_of(turn):
        among = advising.advised(turn, most, pick_one, "REBALANCE") or set()
    while most > 0 and (victim := pick_one(turn, counted(turn.members()), among)) is not None:
        begin_termination(turn.tx, turn.call, group, victim, "rebalance", sentences.at(turn.now, OUT))
        most -= units(victim)
    turn.growth_sentence = why


def _go_on(turn: Turn) -> None:
    """The extra units are in service: let the shrinking take as many from where there are most."""
    group = turn.group
    active = counted(turn.members())
    if group.launch_failures or suspended(group, "Launch"):
        turn.change(surge=0, surge_cause="", surge_blocked_until=turn.now + PAUSE_SECONDS)
        return
    warmup = group.default_instance_warmup or 0
    ready = sum(units(m) for m in active if turn.settled(m, warmup))
    if ready >= group.desired_capacity + group.surge:
        turn.change(surge=0, surge_cause="")
        if group.surge_cause == sentences.REMIXED_IN:
            turn.shrink_reason, turn.shrink_sentence = "purchase options", sentences.REMIXED_OUT
            return
        turn.shrink_reason = "rebalance"
        turn.shrink_sentence = OUT
