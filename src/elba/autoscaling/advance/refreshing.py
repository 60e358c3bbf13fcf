"""Moves an instance refresh along: Pending → InProgress → (Baking) → Successful, and the other ends.

Source: Auto Scaling user guide, "Use an instance refresh to update instances in an Auto Scaling group".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from elba.autoscaling import launch_source, mixed, sentences
from elba.autoscaling.advance import advising, rerooting
from elba.autoscaling.advance.replacing import bounds, replace
from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.commands.leaving import begin_termination
from elba.autoscaling.commands.refreshes import active_refresh, begin_rollback, end_refresh
from elba.autoscaling.group_metrics import READY, pool_target
from elba.autoscaling.lookup import COUNTED, LEAVING, REROOTING, shifted_away_from, suspended
from elba.autoscaling.resources import InstanceRefresh, Member
from elba.cloudwatch.resources import Alarm, CompositeAlarm
from elba.errors import ApiError

STUCK_SECONDS = 3600.0
GOING = ("Detaching", *REROOTING)
LONGEST_SECONDS = 14 * 86400.0


def refresh(turn: Turn) -> None:
    """One step of the group's active instance refresh, if there is one."""
    current = active_refresh(turn.tx, turn.group)
    if current is None:
        return
    turn.refreshing = True
    turn.stale = set(current.warm_to_replace)
    if turn.group.surge:
        turn.change(surge=0, surge_cause="")
    if current.status == "Cancelling":
        states = [m.lifecycle_state for m in turn.members()]
        moving = any(s.startswith("Pending") or s in LEAVING or s in REROOTING for s in states)
        if not moving:
            end_refresh(turn.tx, turn.call, current, "Cancelled", "Cancelled due to user request.")
        return
    if any(suspended(turn.group, p) for p in ("InstanceRefresh", "Launch", "Terminate")):
        return
    if current.status == "Pending" or (current.status == "RollbackInProgress" and not current.total):
        current = _begin(turn, current)
        turn.stale = set(current.warm_to_replace)
    if problem := _alarming(turn, current):
        _fail(turn, current, problem)
        return
    is_shifted = bool(shifted_away_from(turn.tx, turn.group))
    if turn.now - current.start_time > LONGEST_SECONDS and not is_shifted:
        _fail(turn, current, "The instance refresh took longer than 14 days.")
        return
    if current.wait_until > turn.now:
        turn.look_again_at(current.wait_until)
        return
    if current.status == "Baking":
        end_refresh(turn.tx, turn.call, current, "Successful")
        return
    _go_on(turn, current)


def _begin(turn: Turn, current: InstanceRefresh) -> InstanceRefresh:
    """Find out who has to be replaced."""
    skip = current.preferences.get("skip_matching") or current.status == "RollbackInProgress"
    same = _has_image if current.strategy == "ReplaceRootVolume" else matches
    due = [
        m.id
        for m in turn.members()
        if m.lifecycle_state in (*COUNTED, "Standby", "EnteringStandby") and not (skip and same(turn, m))
    ]
    warm = [m.id for m in _staying(turn) if not (skip and matches(turn, m))]
    status = "InProgress" if current.status == "Pending" else current.status
    return _put(
        turn,
        current,
        status=status,
        to_replace=due,
        total=len(due),
        warm_to_replace=warm,
        warm_total=len(warm),
        status_reason="",
    )


def _staying(turn: Turn) -> list[Member]:
    """Members of the warm pool that are not on their way out."""
    return [m for m in turn.warm() if not m.lifecycle_state.startswith("Warmed:Terminating")]


def _has_image(turn: Turn, member: Member) -> bool:
    """Whether its root volume is from the image that it would get now: all that root volumes are compared by."""
    source = rerooting.source_for(turn, member)
    return source is not None and source.image_id == member.image_id


def matches(turn: Turn, member: Member) -> bool:
    """Whether the member was launched as the group (or its refresh) would launch it now."""
    group = turn.group
    wanted: Mapping[str, Any] = group.launch_override or {
        "launch_template": group.launch_template,
        "mixed_instances_policy": group.mixed_instances_policy,
    }
    specification = wanted.get("launch_template")
    policy = wanted.get("mixed_instances_policy")
    if policy:
        types = [o.get("instance_type") for o in mixed.overrides(policy)]
        if any(types) and member.instance_type not in types:
            return False
        specification = policy["launch_template"]["launch_template_specification"]
    if not specification:
        return member.launch_configuration_name == group.launch_configuration_name != ""
    try:
        source = launch_source.from_template(turn.tx, turn.call, specification, {})
    except ApiError:
        return False
    return (source.launch_template_id, source.launch_template_version) == (
        member.launch_template_id,
        member.launch_template_version,
    )


def _alarming(turn: Turn, current: InstanceRefresh) -> str:
    """Which of its alarms is in ALARM, in words. A rollback looks at none: one of them may have begun it."""
    if current.status == "RollbackInProgress":
        return ""
    for name in (current.preferences.get("alarm_specification") or {}).get("alarms") or []:
        alarm = turn.tx.get(Alarm, current.account, current.region, name) or turn.tx.get(
            CompositeAlarm, current.account, current.region, name
        )
        if alarm is not None and alarm.state_value == "ALARM":
            return f"The CloudWatch alarm {name} is in ALARM state."
        turn.look_again_at(turn.now + 60.0)
    return ""


def _fail(turn: Turn, current: InstanceRefresh, reason: str) -> None:
    current = _latest(turn, current)
    if current.status == "RollbackInProgress":
        end_refresh(turn.tx, turn.call, current, "RollbackFailed", reason)
    elif current.preferences.get("auto_rollback"):
        begin_rollback(turn.tx, turn.call, current, reason)
    else:
        end_refresh(turn.tx, turn.call, current, "Failed", reason)


def _go_on(turn: Turn, current: InstanceRefresh) -> None:
    preferences = current.preferences
    members = {m.id: m for m in turn.members() if not m.termination}
    left = [members[i] for i in current.to_replace if i in members and members[i].lifecycle_state not in GOING]
    if current.status == "RollbackInProgress" and current.strategy == "ReplaceRootVolume":
        # Those whose root was just being replaced when the rollback began have what it is to undo.
        back = [m for m in members.values() if m.lifecycle_state == "InService" and not _has_image(turn, m)]
        left += [m for m in back if m not in left]
    left = [m for m in left if not _ignored(m, preferences)]
    warmup = preferences["instance_warmup"]
    arrived = [m for m in members.values() if m.lifecycle_state in COUNTED and m not in left]
    warming = [m for m in arrived if not turn.settled(m, warmup)]
    returned = [m.id for m in _staying(turn) if m.id in current.to_replace]
    current = _put(
        turn,
        current,
        to_replace=[m.id for m in left],
        total=max(current.total, len(left)),
        warm_to_replace=[*current.warm_to_replace, *returned],
        warm_total=current.warm_total + len(returned),
    )
    if _at_checkpoint(turn, current, arrived):
        return
    points = _checkpoints(current)
    stops_here = bool(points) and points[-1] < 100 and current.checkpoint >= len(points)
    if not left or stops_here:
        if warming or turn.capacity() < turn.group.desired_capacity:
            if not _give_up(turn, current, warming):
                _say(turn, current, _waiting(warming))
        elif stops_here or _pool_is_new(turn, current):
            _finish(turn, current)
        return
    for member in left:
        if member.lifecycle_state == "Standby" and preferences["standby_instances"] == "Terminate":
            cause = sentences.at(turn.now, sentences.REFRESH_OUT)
            begin_termination(turn.tx, turn.call, turn.group, member, "refresh", cause)
    free = [
        m
        for m in left
        if m.lifecycle_state == "InService"
        and (not m.protected_from_scale_in or preferences["scale_in_protected_instances"] == "Refresh")
    ]
    if points:
        # No further than the next checkpoint.
        goal = points[min(current.checkpoint, len(points) - 1)]
        may = -(-current.total * goal // 100) - (current.total - len(left))
        free = free[: max(0, may)]
    limits = bounds(
        turn.group.desired_capacity,
        preferences["min_healthy_percentage"],
        preferences["max_healthy_percentage"],
    )
    if current.strategy == "ReplaceRootVolume":
        taken = rerooting.replace_roots(turn, free, limits, warmup, left) if free else 0
    else:
        taken = replace(turn, free, limits, warmup, "refresh", sentences.REFRESH_OUT, left) if free else 0
    turn.surge_sentence = sentences.REFRESH_IN
    held = advising.is_unadvised(turn) or not (warming or free)
    if taken:
        _put(turn, current, stuck_since=0.0, status_reason=_waiting(warming))
    elif not _give_up(turn, current, warming, held=held):
        _say(turn, current, _held(left) if held or turn.group.launch_failures else _waiting(warming))


def _give_up(turn: Turn, current: InstanceRefresh, warming: list[Member], *, held: bool = False) -> bool:
    """Whether nothing could be replaced for an hour: launches fail, new instances do not become healthy, or all that
    is left is `held` (protected, on standby, not named by a function). The refresh has then failed.
    """
    sick = [m for m in warming if m.replacement or m.health_status != "Healthy"]
    if not (held or sick or turn.group.launch_failures or turn.group.replacements_due):
        _put(turn, current, stuck_since=0.0)
        return False
    since = current.stuck_since or turn.now
    # A replacement of a replacement may yet become well: it has its warmup for that.
    patience = STUCK_SECONDS + (current.preferences["instance_warmup"] if sick else 0)
    if turn.now - since >= patience and not shifted_away_from(turn.tx, turn.group):
        _fail(turn, current, "Instances could not be replaced within an hour.")
        return True
    turn.look_again_at(since + patience)
    _put(turn, current, stuck_since=since)
    return False


def _pool_is_new(turn: Turn, current: InstanceRefresh) -> bool:
    """Take out what is left of the old warm pool, all at once: nobody serves there. True when it is full again."""
    staying = _staying(turn)
    old = [m for m in staying if m.id in current.warm_to_replace]
    for member in old:
        cause = sentences.at(turn.now, sentences.REFRESH_OUT)
        begin_termination(turn.tx, turn.call, turn.group, member, "refresh", cause)
    _put(turn, current, warm_to_replace=[])
    turn.stale = set()
    pool = turn.pool()
    if not current.warm_total or pool is None:
        return True
    ready = [m for m in staying if m not in old and m.lifecycle_state in READY]
    if len(ready) >= pool_target(turn.group, pool):
        return True
    if not _give_up(turn, current, []):
        _say(turn, current, "Waiting for the warm pool to be filled before continuing.")
    return False


def _checkpoints(current: InstanceRefresh) -> list[int]:
    """The percentages to stop at; a rollback goes through."""
    if current.status == "RollbackInProgress":
        return []
    return current.preferences.get("checkpoint_percentages") or []


def _ignored(member: Member, preferences: Mapping[str, Any]) -> bool:
    if member.lifecycle_state in ("Standby", "EnteringStandby"):
        return bool(preferences["standby_instances"] == "Ignore")
    return member.protected_from_scale_in and preferences["scale_in_protected_instances"] == "Ignore"


def _latest(turn: Turn, current: InstanceRefresh) -> InstanceRefresh:
    """The refresh with what this turn has written of it."""
    return turn.tx.get(InstanceRefresh, current.account, current.region, current.id) or current


def _put(turn: Turn, current: InstanceRefresh, **fields: Any) -> InstanceRefresh:
    changed = msgspec.structs.replace(_latest(turn, current), **fields)
    turn.tx.put(changed)
    return changed


def _say(turn: Turn, current: InstanceRefresh, reason: str) -> None:
    _put(turn, current, status_reason=reason)


def _waiting(warming: list[Member]) -> str:
    if not warming:
        return ""
    return f"Waiting for instances to warm up before continuing. For example: {warming[0].id} is warming up."


def _held(left: list[Member]) -> str:
    member = left[0]
    if member.lifecycle_state in ("Standby", "EnteringStandby"):
        return f"Waiting for instances to leave standby before continuing. For example: {member.id} is in standby."
    if member.protected_from_scale_in:
        return (
            "Waiting for scale-in protection to be removed before continuing. "
            f"For example: {member.id} is protected from scale-in."
        )
    return f"Waiting for instances to be replaced before continuing. For example: {member.id}."


def _at_checkpoint(turn: Turn, current: InstanceRefresh, arrived: list[Member]) -> bool:
    """Whether a checkpoint is reached just now: the refresh then waits, and what has arrived warms up meanwhile."""
    points = _checkpoints(current)
    if not current.total or current.checkpoint >= len(points):
        return False
    if turn.capacity() < turn.group.desired_capacity:
        return False
    if any(m.lifecycle_state != "InService" or m.health_status != "Healthy" for m in arrived):
        return False
    done = 100 * (current.total - len(current.to_replace)) / current.total
    reached = sum(p <= done for p in points)
    if reached <= current.checkpoint:
        return False
    finished = not current.to_replace
    until = 0.0 if finished else turn.now + current.preferences["checkpoint_delay"]
    _put(turn, current, checkpoint=reached, wait_until=until)
    turn.look_again_at(until)
    return not finished


def _finish(turn: Turn, current: InstanceRefresh) -> None:
    current = _latest(turn, current)
    if current.status == "RollbackInProgress":
        end_refresh(turn.tx, turn.call, current, "RollbackSuccessful", current.rollback_reason)
        return
    bake = current.preferences["bake_time"]
    if bake:
        _put(turn, current, status="Baking", wait_until=turn.now + bake, status_reason="")
        turn.look_again_at(turn.now + bake)
        return
    end_refresh(turn.tx, turn.call, current, "Successful")
