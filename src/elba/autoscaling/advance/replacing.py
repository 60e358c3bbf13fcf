"""Replaces members that are well but due: by an instance refresh, or because they are too old.

Between a floor of healthy units and a ceiling of all units, it takes out as many as it may; with a ceiling above
desired capacity it launches first. Source: Auto Scaling user guide, "Instance maintenance policies".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from elba.autoscaling import sentences
from elba.autoscaling.advance import advising
from elba.autoscaling.advance.shrinking import pick_one
from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.commands.leaving import begin_termination
from elba.autoscaling.lookup import counted, suspended, units
from elba.autoscaling.resources import Member

MOST_EXPIRED_PERCENT = 10
_CAUSES = {"refresh": "INSTANCE_REFRESH", "lifetime": "MAX_INSTANCE_LIFETIME"}
"""What a termination function is told, by the reason of the replacement; of interruptions it is not asked."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """In units: how many must stay healthy, and how many there may be."""

    floor: int
    ceiling: int


def bounds(desired: int, minimum_percentage: int, maximum_percentage: int) -> Bounds:
    """The floor is rounded up; above 100 % at least one extra unit is allowed."""
    floor = -(-desired * minimum_percentage // 100)
    ceiling = desired
    if maximum_percentage > 100:
        ceiling = max(desired + 1, desired * maximum_percentage // 100)
    return Bounds(floor, ceiling)


def allowed(limits: Bounds, desired: int, ready: int, moving: bool) -> int:
    """How many units may go now; one at least when nothing else moves and nothing may be launched first."""
    spare = ready - limits.floor
    if spare < 1 and limits.ceiling == desired and not moving:
        return 1
    return max(0, spare)


def ready_units(turn: Turn, active: Iterable[Member], old: Iterable[Member], warmup_seconds: float) -> int:
    """Units that serve: the old ones while they are well, the others once they have warmed up too."""
    ids = {m.id for m in old}
    return sum(units(m) for m in active if turn.settled(m, 0 if m.id in ids else warmup_seconds))


def replace(
    turn: Turn,
    due: Sequence[Member],
    limits: Bounds,
    warmup_seconds: float,
    reason: str,
    sentence: str,
    old: Sequence[Member] = (),
) -> int:
    """Take out as many of `due` as may go, ask for the surge that the rest needs; how many were taken out.

    `old`: all that are to be replaced, if those are more than `due`.
    """
    group = turn.group
    members = turn.members()
    active = counted(members)
    ready = ready_units(turn, active, [*due, *old], warmup_seconds)
    total = sum(units(m) for m in active)
    moving = total != group.desired_capacity or ready != total or any(m.activity_id for m in members)
    spare = allowed(limits, group.desired_capacity, ready, moving)
    left = {m.id: m for m in due}
    launches_first = limits.ceiling > group.desired_capacity
    named: set[str] | None = None
    if left and spare > 0 and reason in _CAUSES and advising.function_of(turn):
        named = advising.advised(turn, spare, pick_one, _CAUSES[reason], list(left.values())) or set()
    taken = 0
    while spare > 0 and (choice := [i for i in left if named is None or i in named]):
        victim = pick_one(turn, counted(turn.members()), choice)
        if victim is None or (units(victim) > spare and (taken or launches_first)):
            break
        begin_termination(turn.tx, turn.call, group, victim, reason, sentences.at(turn.now, sentence))
        spare -= units(victim)
        taken += 1
        del left[victim.id]
    remaining = sum(units(m) for m in left.values())
    if launches_first and left:
        # At least as much as one of them stands for: with weights a single unit above would launch nothing.
        lightest = min(units(m) for m in left.values())
        extra = max(limits.ceiling - group.desired_capacity, lightest)
        turn.surge = max(turn.surge, min(extra, remaining))
    return taken


def retire(turn: Turn) -> None:
    """Begin to replace members older than the maximum instance lifetime."""
    group = turn.group
    lifetime = group.max_instance_lifetime
    if not lifetime or any(suspended(group, p) for p in ("Launch", "Terminate")):
        return
    due = []
    for member in turn.members():
        if member.lifecycle_state == "InService" and not member.protected_from_scale_in:
            if member.launched_at + lifetime <= turn.now:
                due.append(member)
            else:
                turn.look_again_at(member.launched_at + lifetime)
    if not due:
        return
    policy = group.instance_maintenance_policy or {
        "min_healthy_percentage": 100 - MOST_EXPIRED_PERCENT,
        "max_healthy_percentage": 100,
    }
    limits = bounds(group.desired_capacity, policy["min_healthy_percentage"], policy["max_healthy_percentage"])
    turn.surge_sentence = turn.surge_sentence or sentences.LIFETIME_IN
    replace(turn, due, limits, group.default_instance_warmup or 0, "lifetime", sentences.LIFETIME_OUT)
