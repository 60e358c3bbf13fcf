"""Moves each member along its lifecycle as far as it can go now.

Pending → [Pending:Wait → Pending:Proceed] → InService; Terminating (drains) → [Terminating:Wait] → Terminating:Proceed
→ gone; EnteringStandby → Standby; Detaching → gone. Source: Auto Scaling user guide, "Instance lifecycle".
"""

from __future__ import annotations

import msgspec

from elba.autoscaling import activities, announcements, sentences
from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.commands import registration
from elba.autoscaling.commands.groups import forget_actions
from elba.autoscaling.commands.hooks import LAUNCHING, TERMINATING, global_timeout
from elba.autoscaling.commands.leaving import begin_termination
from elba.autoscaling.lookup import LEAVING, REROOTING
from elba.autoscaling.resources import LifecycleAction, LifecycleHook, Member, WarmPool
from elba.ec2 import commands as ec2
from elba.errors import ApiError

LAUNCH_TIMEOUT_SECONDS = 900.0
"""An instance that is not running by then never will be; it is replaced."""

DRAIN_MARGIN_SECONDS = 10.0
"""ELBv2 takes a drained target away itself; this much later nobody waits for it any more."""

BACKOFF_FIRST_SECONDS = 10.0
BACKOFF_MOST_SECONDS = 600.0

DEAD = ("shutting-down", "terminated")

WITHOUT_HOOKS = ("delete", "retained")
"""Reasons of termination for which no terminating hook runs."""

ABANDONED = "an instance was taken out of service in response to a lifecycle action having been abandoned."


def move_members(turn: Turn) -> None:
    """One step for each member of the group proper."""
    for member in turn.members():
        state = member.lifecycle_state
        if state.startswith("Pending"):
            _move_pending(turn, member)
        elif state in LEAVING:
            move_leaving(turn, member)
        elif state in REROOTING:
            turn.reroot(member)
        elif state in ("EnteringStandby", "Detaching"):
            _move_aside(turn, member)
        elif state in ("Standby", "Terminating:Retained") and turn.instance(member) is None:
            # Nobody checks these, but what EC2 has forgotten cannot come back.
            turn.tx.delete(member)


def backoff_seconds(failures: int) -> float:
    return float(min(BACKOFF_MOST_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** min(failures - 1, 10)))


def _move_pending(turn: Turn, member: Member) -> None:
    state = turn.state_of(member)
    # One from the warm pool may have to be started yet, but not once its hooks run.
    starts = member.from_warm_pool and not member.hooks_started
    if state in DEAD or (state in ("stopping", "stopped") and not starts):
        _fail_launch(turn, member)
    elif state != "running":
        if turn.now >= member.state_since + LAUNCH_TIMEOUT_SECONDS:
            _fail_launch(turn, member)
        else:
            turn.look_again_at(member.state_since + LAUNCH_TIMEOUT_SECONDS)
    elif member.lifecycle_state == "Pending:Wait":
        _await_launch_hooks(turn, member)
    elif member.hooks_started or not start_hooks(turn, member, LAUNCHING, "Pending:Wait"):
        _enter_service(turn, member)


def start_hooks(turn: Turn, member: Member, transition: str, waiting_state: str) -> bool:
    """Begin the lifecycle actions of a transition, all at once; False if the group has no such hooks."""
    hooks = [
        h
        for h in turn.tx.children(LifecycleHook, member.account, member.region, member.group_name)
        if h.lifecycle_transition == transition
    ]
    if not hooks:
        return False
    forget_actions(turn.tx, member)
    for hook in hooks:
        deadline = turn.now + hook.heartbeat_timeout
        turn.look_again_at(deadline)
        action = LifecycleAction(
            account=member.account,
            region=member.region,
            id=turn.call.ids.uuid(),
            group_name=member.group_name,
            lifecycle_hook_name=hook.lifecycle_hook_name,
            instance_id=member.id,
            transition=transition,
            started_at=turn.now,
            heartbeat_deadline=deadline,
            global_deadline=turn.now + global_timeout(hook.heartbeat_timeout),
            heartbeat_timeout=hook.heartbeat_timeout,
            default_result=hook.default_result,
        )
        turn.tx.put(action)
        pool = turn.pool()
        reused = is_reused(pool, member)
        announcements.action_begins(turn.tx, hook, action, member, has_pool=pool is not None, reused=reused)
    activities.move(turn.tx, turn.group, member.activity_id, "MidLifecycleAction")
    turn.tx.put(
        msgspec.structs.replace(member, lifecycle_state=waiting_state, state_since=turn.now, hooks_started=True)
    )
    return True


def outcome(turn: Turn, member: Member) -> LifecycleAction | str:
    """Where a member's actions stand: an action that ended in ABANDON, "CONTINUE" when all have ended, or ""."""
    waiting = False
    for action in turn.tx.children(LifecycleAction, member.account, member.region, member.id):
        if action.waits and turn.now >= min(action.heartbeat_deadline, action.global_deadline):
            action = msgspec.structs.replace(action, result=action.default_result, timed_out=True)
            turn.tx.put(action)
        if action.result == "ABANDON":
            return action
        if action.waits:
            waiting = True
            turn.look_again_at(min(action.heartbeat_deadline, action.global_deadline))
    return "" if waiting else "CONTINUE"


def _await_launch_hooks(turn: Turn, member: Member) -> None:
    result = outcome(turn, member)
    if isinstance(result, LifecycleAction):
        message = sentences.abandoned(result.id, result.timed_out)
        begin_termination(
            turn.tx,
            turn.call,
            turn.group,
            member,
            "abandoned",
            sentences.at(turn.now, ABANDONED),
            launch_message=message,
        )
        count_failure(turn)
    elif result == "CONTINUE":
        forget_actions(turn.tx, member)
        proceeding = msgspec.structs.replace(member, lifecycle_state="Pending:Proceed", state_since=turn.now)
        turn.tx.put(proceeding)
        _enter_service(turn, proceeding)


def _enter_service(turn: Turn, member: Member) -> None:
    group = turn.group
    try:
        turn.attempt(lambda: registration.register(turn.tx, turn.call, group, [member.id]))
    except ApiError as error:
        _fail_launch(turn, member, f"{error.message} Validating load balancer configuration failed.")
        return
    turn.forget_targets()
    activities.end(turn.tx, group, member.activity_id, turn.now)
    turn.tx.put(
        msgspec.structs.replace(
            member,
            lifecycle_state="InService",
            state_since=turn.now,
            in_service_at=turn.now,
            activity_id="",
            hooks_started=False,
        )
    )
    if group.launch_failures:
        turn.change(launch_failures=0, launch_not_before=0.0)


def count_failure(turn: Turn) -> None:
    """One more launch has failed: the next waits longer."""
    failures = turn.group.launch_failures + 1
    turn.change(launch_failures=failures, launch_not_before=turn.now + backoff_seconds(failures))


def _fail_launch(turn: Turn, member: Member, message: str = "") -> None:
    """The instance will not come into service: its activity fails and it is taken away without further steps."""
    instance, group = turn.instance(member), turn.group
    if not message:
        reason = instance.state_reason_message if instance is not None else ""
        if instance is not None and instance.state_reason_code == "Server.InsufficientInstanceCapacity":
            reason = (
                f"We currently do not have sufficient {member.instance_type} capacity in the Availability Zone you "
                f"requested ({member.availability_zone})."
            )
            until = turn.now + BACKOFF_MOST_SECONDS / 2
            turn.change(zone_failures={**group.zone_failures, member.availability_zone: until})
        elif instance is not None and instance.state == "pending":
            reason = f"Instance {member.id} did not reach the running state in time."
        message = f"{reason or 'Instance failed to launch.'} Launching EC2 instance failed."
    activities.end(turn.tx, group, member.activity_id, turn.now, "Failed", message, sentences.launch_failed(message))
    if instance is not None and instance.desired != "terminated":
        ec2.terminate(turn.tx, turn.call, [member.id], honour_protection=False)
    registration.deregister(turn.tx, turn.call, group, [member.id])
    forget_actions(turn.tx, member)
    turn.tx.delete(member)
    count_failure(turn)
    if member.replacement:
        turn.change(replacements_due=turn.group.replacements_due + 1)


def is_drained(turn: Turn, member: Member) -> bool:
    """Whether the member's targets are done draining; otherwise its activity shows that it waits for them."""
    until = registration.draining_until(turn.tx, turn.group, member.id)
    if until is None or turn.now >= until + DRAIN_MARGIN_SECONDS:
        return True
    activities.move(turn.tx, turn.group, member.activity_id, "WaitingForELBConnectionDraining")
    turn.look_again_at(until + DRAIN_MARGIN_SECONDS)
    return False


def move_leaving(turn: Turn, member: Member) -> None:
    """Towards termination, one step; a warm member's states have a prefix."""
    prefix, step = _parts(member)
    state = turn.state_of(member)
    if state == "terminated":
        _finish(turn, member)
    elif state == "shutting-down":
        if step != "Terminating:Proceed":
            _proceed(turn, member)
    elif step == "Terminating":
        if not is_drained(turn, member):
            return
        if (
            member.hooks_started
            or member.termination in WITHOUT_HOOKS
            or not start_hooks(turn, member, TERMINATING, f"{prefix}Terminating:Wait")
        ):
            _leave(turn, member)
    elif step == "Terminating:Wait":
        result = outcome(turn, member)
        if isinstance(result, LifecycleAction) and _retains(turn):
            forget_actions(turn.tx, member)
            message = sentences.abandoned(result.id, result.timed_out)
            activities.end(turn.tx, turn.group, member.activity_id, turn.now, "Cancelled", message)
            turn.tx.put(
                msgspec.structs.replace(
                    member,
                    lifecycle_state=f"{prefix}Terminating:Retained",
                    state_since=turn.now,
                    activity_id="",
                )
            )
        elif result:
            _leave(turn, member)
    elif step == "Terminating:Proceed":
        _proceed(turn, member)


def _parts(member: Member) -> tuple[str, str]:
    state = member.lifecycle_state
    return ("Warmed:", state.removeprefix("Warmed:")) if state.startswith("Warmed:") else ("", state)


def _leave(turn: Turn, member: Member) -> None:
    """Drained and past its hooks: terminated, or back into a warm pool that takes scaled-in instances."""
    if not (is_reused(turn.pool(), member) and turn.state_of(member) == "running"):
        _proceed(turn, member)
        return
    forget_actions(turn.tx, member)
    turn.tx.put(
        msgspec.structs.replace(
            member,
            lifecycle_state="Warmed:Pending",
            state_since=turn.now,
            termination="",
            in_service_at=0.0,
            hooks_started=False,
            replacement=False,
            from_group=True,
        )
    )


def is_reused(pool: WarmPool | None, member: Member) -> bool:
    """Whether the member goes into the warm pool when it leaves the group."""
    return pool is not None and pool.reuse_on_scale_in and not pool.pending_delete and member.termination == "scale-in"


def _retains(turn: Turn) -> bool:
    policy = turn.group.instance_lifecycle_policy or {}
    return (policy.get("retention_triggers") or {}).get("terminate_hook_abandon") == "retain"


def _proceed(turn: Turn, member: Member) -> None:
    prefix, step = _parts(member)
    forget_actions(turn.tx, member)
    activities.move(turn.tx, turn.group, member.activity_id, "InProgress")
    instance = turn.instance(member)
    if instance is not None and instance.desired != "terminated":
        ec2.terminate(turn.tx, turn.call, [member.id], honour_protection=False)
    if step != "Terminating:Proceed":
        turn.tx.put(
            msgspec.structs.replace(member, lifecycle_state=f"{prefix}Terminating:Proceed", state_since=turn.now)
        )


def _finish(turn: Turn, member: Member) -> None:
    activities.end(turn.tx, turn.group, member.activity_id, turn.now)
    forget_actions(turn.tx, member)
    turn.tx.delete(member)


def _move_aside(turn: Turn, member: Member) -> None:
    """To Standby, or out of the group, once drained."""
    if turn.state_of(member) not in DEAD and not is_drained(turn, member):
        return
    activities.end(turn.tx, turn.group, member.activity_id, turn.now)
    if member.lifecycle_state == "EnteringStandby":
        turn.tx.put(msgspec.structs.replace(member, lifecycle_state="Standby", state_since=turn.now, activity_id=""))
        return
    turn.tx.delete(member)
    if instance := turn.instance(member):
        tags = {k: v for k, v in instance.tags.items() if k != "aws:autoscaling:groupName"}
        turn.tx.put(msgspec.structs.replace(instance, tags=tags))


def end_everything(turn: Turn) -> None:
    """Force delete: every member goes at once, without draining, hooks or regard to protection."""
    for member in [*turn.members(), *turn.warm()]:
        if turn.state_of(member) == "terminated" and member.termination:
            _finish(turn, member)
        elif member.lifecycle_state.endswith("Terminating:Proceed"):
            _proceed(turn, member)
        else:
            cause = sentences.at(turn.now, "a user request deleted the AutoScalingGroup.")
            if not member.termination:
                begin_termination(turn.tx, turn.call, turn.group, member, "delete", cause)
            begun = turn.tx.get(Member, member.account, member.region, member.id)
            assert begun is not None
            _proceed(turn, begun)
