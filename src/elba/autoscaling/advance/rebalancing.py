"""Keeps zones even: launches in the emptiest first, then takes from the fullest."""

from __future__ import annotations

from collections import Counter

from elba.autoscaling import mixed, placement, sentences
from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.lookup import counted, healthy_zones, shifted_away_from, suspended, units

PAUSE_SECONDS = 300.0
"""After a rebalancing that could not launch."""


def rebalance(turn: Turn) -> None:
    """Begin, go on with or end a rebalancing."""
    group = turn.group
    if group.surge:
        _go_on(turn)
        return
    if any(suspended(group, p) for p in ("AZRebalance", "Launch", "Terminate")):
        return
    blocked_until = max(group.surge_blocked_until, group.launch_not_before)
    if blocked_until > turn.now:
        turn.look_again_at(blocked_until)
        return
    members = turn.members()
    active = counted(members)
    heaviest = mixed.heaviest(group.mixed_instances_policy)
    over = sum(units(m) for m in active) - group.desired_capacity
    steady = (
        all(m.lifecycle_state == "InService" and m.health_status == "Healthy" for m in active)
        and not any(m.activity_id for m in members)
        # With weights a group may rest a little above desired capacity.
        and (over == 0 or (over > 0 and heaviest > 1))
        and not turn.surge
    )
    if not steady or not active:
        return
    away = shifted_away_from(turn.tx, group)
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
    plan = placement.rebalance(
        held,
        stranded,
        movable,
        group.desired_capacity,
        group.max_size,
        heaviest,
    )
    if plan is None or group.zone_failures.get(plan.low, 0.0) > turn.now:
        return
    turn.change(
        surge=over + plan.extra,
        surge_cause=sentences.rebalanced(plan.units, plan.low),
        launch_failures=0,
        launch_not_before=0.0,
    )


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
        turn.shrink_reason = "rebalance"
        turn.shrink_sentence = (
            "an instance was taken out of service in response to a rebalancing of the group's Availability Zones."
        )
