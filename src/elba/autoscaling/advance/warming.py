"""Keeps the warm pool: launches into it, stops what is prepared, takes from it, lets too many go.

Warmed:Pending → [:Wait → :Proceed] → Warmed:Running | Stopped | Hibernated; Warmed:Terminating → gone.
Source: Auto Scaling user guide, "Warm pools for applications with long boot times".
"""

from __future__ import annotations

import msgspec

from elba.autoscaling import activities, health, placement, sentences
from elba.autoscaling.advance.launches import MOST_PER_TURN, NEXT_TURN_SECONDS, first_source, launch_one, subnet_in
from elba.autoscaling.advance.lifecycle import (
    BACKOFF_FIRST_SECONDS,
    DEAD,
    LAUNCH_TIMEOUT_SECONDS,
    count_failure,
    is_reused,
    move_leaving,
    outcome,
    start_hooks,
)
from elba.autoscaling.advance.shrinking import pick_one
from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.advance.unhealthy import note_status_checks
from elba.autoscaling.commands.groups import forget_actions
from elba.autoscaling.commands.hooks import LAUNCHING
from elba.autoscaling.commands.leaving import begin_termination
from elba.autoscaling.group_metrics import pool_target
from elba.autoscaling.lookup import LEAVING, healthy_zones, shifted_away_from, suspended
from elba.autoscaling.resources import LifecycleAction, Member, WarmPool
from elba.ec2 import commands as ec2
from elba.ec2.commands.capacity import has_capacity
from elba.errors import ApiError

SETTLED = ("Warmed:Running", "Warmed:Stopped", "Warmed:Hibernated")


def move_warm(turn: Turn) -> None:
    """One step for each warm member."""
    pool = turn.pool()
    for member in turn.warm():
        state = member.lifecycle_state
        if state.startswith("Warmed:Terminating"):
            move_leaving(turn, member)
        elif state in SETTLED:
            _check(turn, member)
        elif pool is not None:
            _move_pending(turn, member, pool)
        else:
            _let_go(turn, member, "its warm pool is gone")


def _let_go(turn: Turn, member: Member, why: str, sentence: str = "") -> None:
    cause = sentence or f"an instance was taken out of the warm pool because {why}."
    begin_termination(turn.tx, turn.call, turn.group, member, "warm pool", sentences.at(turn.now, cause))


def _check(turn: Turn, member: Member) -> None:
    """Prepared instances are healthy while they are what the pool made them: running ones by EC2's status checks,
    stopped ones while their volumes work. They have no grace period.
    """
    if suspended(turn.group, "HealthCheck"):
        return
    state = turn.state_of(member)
    if member.lifecycle_state == "Warmed:Running":
        member = note_status_checks(turn, member)
        verdict = health.verdict(health.Observed(state, 0.0, impaired_since=member.impaired_since), (), 0.0, turn.now)
        if verdict.reason:
            _let_go(turn, member, "", sentences.UNHEALTHY[verdict.reason])
        elif verdict.look_again_at is not None:
            turn.look_again_at(verdict.look_again_at)
    elif state not in ("stopped", "stopping"):
        _let_go(turn, member, "", sentences.UNHEALTHY["EC2"])
    elif turn.volume_impaired_since(member):
        _let_go(turn, member, "", sentences.UNHEALTHY["EBS"])


def _move_pending(turn: Turn, member: Member, pool: WarmPool) -> None:
    state = turn.state_of(member)
    if state in DEAD:
        _let_go(turn, member, "", sentences.UNHEALTHY["EC2"])
        count_failure(turn)
    elif member.lifecycle_state == "Warmed:Pending:Wait":
        result = outcome(turn, member)
        if isinstance(result, LifecycleAction):
            _let_go(turn, member, "a lifecycle action was abandoned")
            count_failure(turn)
        elif result:
            forget_actions(turn.tx, member)
            proceeding = msgspec.structs.replace(member, lifecycle_state="Warmed:Pending:Proceed", state_since=turn.now)
            turn.tx.put(proceeding)
            _prepare(turn, proceeding, pool)
    elif member.lifecycle_state == "Warmed:Pending:Proceed":
        _prepare(turn, member, pool)
    elif state == "running":
        if member.hooks_started or not start_hooks(turn, member, LAUNCHING, "Warmed:Pending:Wait"):
            _prepare(turn, member, pool)
    elif turn.now >= member.state_since + LAUNCH_TIMEOUT_SECONDS:
        _let_go(turn, member, "it did not reach the running state in time")
    else:
        turn.look_again_at(member.state_since + LAUNCH_TIMEOUT_SECONDS)


def _prepare(turn: Turn, member: Member, pool: WarmPool) -> None:
    """Bring the instance to the state in which the pool keeps it."""
    state = turn.state_of(member)
    if pool.pool_state == "Running":
        if state == "running":
            _settle(turn, member, "Warmed:Running")
        elif state == "stopped":
            _start_again(turn, member)
    elif state == "stopped":
        _settle(turn, member, f"Warmed:{pool.pool_state}")
    elif state == "running":
        ec2.stop(turn.tx, turn.call, [member.id], honour_protection=False)
        turn.tx.put(msgspec.structs.replace(member, lifecycle_state="Warmed:Pending:Proceed", state_since=turn.now))


def _start_again(turn: Turn, member: Member) -> None:
    """Start a stopped member, but not at once after a start for which there was no capacity: it would fail at once."""
    instance = turn.instance(member)
    if instance is not None and not has_capacity(
        turn.tx, member.region, member.availability_zone, member.instance_type
    ):
        turn.look_again_at(turn.now + BACKOFF_FIRST_SECONDS)
        return
    if instance is not None and instance.state_reason_code == "Server.InsufficientInstanceCapacity":
        again = instance.state_transition_time + BACKOFF_FIRST_SECONDS
        if turn.now < again:
            turn.look_again_at(again)
            return
    ec2.start(turn.tx, turn.call, [member.id])


def _settle(turn: Turn, member: Member, state: str) -> None:
    activities.end(turn.tx, turn.group, member.activity_id, turn.now)
    turn.tx.put(
        msgspec.structs.replace(
            member, lifecycle_state=state, state_since=turn.now, activity_id="", hooks_started=False
        )
    )
    if turn.group.launch_failures:
        turn.change(launch_failures=0, launch_not_before=0.0)


def keep_size(turn: Turn) -> None:
    """Launch into the pool or take from it, to the size that goes with desired capacity; end it when deleted."""
    pool = turn.pool()
    group = turn.group
    if pool is None:
        return
    staying = [m for m in turn.warm() if not m.lifecycle_state.startswith("Warmed:Terminating")]
    target = pool_target(group, pool)
    if pool.pending_delete and not turn.warm():
        turn.tx.delete(pool)
        return
    if len(staying) > target:
        if not suspended(group, "Terminate"):
            _shrink(turn, staying, target)
        return
    if suspended(group, "Launch") or group.launch_not_before > turn.now:
        turn.look_again_at(group.launch_not_before)
        return
    if turn.capacity() < turn.target():
        # The group itself comes first.
        return
    coming = [m for m in turn.members() if m.lifecycle_state in LEAVING and is_reused(pool, m)]
    missing = target - len(staying) - len(coming)
    for _ in range(min(MOST_PER_TURN, missing)):
        if not _launch(turn):
            return
    if missing > MOST_PER_TURN:
        again = turn.now + NEXT_TURN_SECONDS
        turn.change(launch_not_before=again)
        turn.look_again_at(again)


def _shrink(turn: Turn, staying: list[Member], target: int) -> None:
    for _ in range(len(staying) - target):
        left = [m for m in turn.warm() if not m.lifecycle_state.startswith("Warmed:Terminating")]
        # Whatever policies the group has for itself.
        victim = pick_one(turn, left, [m.id for m in left], ("Default",))
        if victim is None:
            return
        cause = (
            "an instance was taken out of the warm pool in response to a difference between desired and actual "
            f"capacity, shrinking the warm pool capacity from {len(staying)} to {target}."
        )
        begin_termination(turn.tx, turn.call, turn.group, victim, "warm pool", sentences.at(turn.now, cause))


def _launch(turn: Turn) -> bool:
    group = turn.group
    placed = [(m.availability_zone, 1) for m in turn.warm()]
    zone = placement.next_zone(placement.zone_units(healthy_zones(turn.tx, group), placed))
    if zone is None:  # a zonal shift keeps it from its only zone
        return False
    cause = sentences.at(
        turn.now,
        "an instance was started in response to a difference between desired and actual capacity of the warm pool.",
    )
    try:
        source = first_source(turn, group, zone)
        member = turn.attempt(lambda: launch_one(turn, source, False, subnet_in(turn, zone), "Warmed:Pending"))
    except ApiError as error:
        message = f"{error.message} Launching EC2 instance failed."
        activities.record(
            turn.tx, turn.call, group, sentences.launch_failed(message), cause, status="Failed", message=message
        )
        count_failure(turn)
        return False
    activity = activities.begin(
        turn.tx,
        turn.call,
        group,
        f"Launching a new EC2 instance into warm pool: {member.id}",
        cause,
        status="PreInService",
        instance_id=member.id,
        details=activities.details(member.subnet_id, member.availability_zone),
    )
    turn.tx.put(msgspec.structs.replace(member, activity_id=activity.id))
    return True


def take(turn: Turn, cause: str, zone: str | None, kind: str) -> Member | None:
    """A prepared member of the pool on its way into service, the oldest of the zone if it has any; None: none is ready.

    Rebalancing takes none from another zone: that would undo what it is for. A zonal shift's zone gives none.
    """
    away = shifted_away_from(turn.tx, turn.group)
    ready = [
        m
        for m in turn.warm()
        if m.lifecycle_state in SETTLED
        and m.availability_zone != away
        and m.id not in turn.stale
        and (
            turn.state_of(m) == "running"
            or (turn.state_of(m) == "stopped" and has_capacity(turn.tx, m.region, m.availability_zone, m.instance_type))
        )
    ]
    in_zone = [m for m in ready if m.availability_zone == zone]
    usable = in_zone or ([] if kind == "surge" else ready)
    if not usable:
        return None
    member = min(usable, key=lambda m: m.launched_at)
    if turn.state_of(member) == "stopped":
        ec2.start(turn.tx, turn.call, [member.id])
    activity = activities.begin(
        turn.tx,
        turn.call,
        turn.group,
        f"Launching a new EC2 instance from warm pool: {member.id}",
        cause,
        status="PreInService",
        instance_id=member.id,
        details=activities.details(member.subnet_id, member.availability_zone, turn.group.invoking_alarms),
    )
    taken = msgspec.structs.replace(
        member,
        lifecycle_state="Pending",
        state_since=turn.now,
        from_warm_pool=True,
        hooks_started=False,
        activity_id=activity.id,
        health_status="Healthy",
        health_reason="",
        impaired_since=0.0,
    )
    turn.tx.put(taken)
    return taken
