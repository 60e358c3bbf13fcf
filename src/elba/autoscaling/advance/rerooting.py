"""Gives members new root volumes: an instance refresh of strategy ReplaceRootVolume. The instance stays what it is.

InService → ReplacingRootVolume (drains) → [:Wait (terminating hooks)] → :Proceed → RootVolumeReplaced → Pending
[→ :Wait (launching hooks)] → InService.
Source: Auto Scaling user guide, "Replace root volumes during instance refresh".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from elba.autoscaling import activities, launch_source, mixed, sentences
from elba.autoscaling.advance.lifecycle import is_drained, outcome, start_hooks
from elba.autoscaling.advance.replacing import Bounds, allowed, ready_units
from elba.autoscaling.advance.shrinking import pick_one
from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.commands.groups import forget_actions
from elba.autoscaling.commands.hooks import TERMINATING
from elba.autoscaling.commands.leaving import begin_leaving, begin_termination
from elba.autoscaling.launch_source import Source
from elba.autoscaling.lookup import REROOTING, counted, units
from elba.autoscaling.resources import Member
from elba.ec2 import commands as ec2
from elba.ec2.resources import ReplaceRootVolumeTask
from elba.errors import ApiError


def source_for(turn: Turn, member: Member) -> Source | None:
    """How the group (or its refresh) launches an instance of the member's type now; None if it does not."""
    group = turn.group
    wanted: Mapping[str, Any] = group.launch_override or {"mixed_instances_policy": group.mixed_instances_policy}
    policy = wanted.get("mixed_instances_policy") or {}
    specification = (policy.get("launch_template") or {}).get("launch_template_specification")
    override = next((o for o in mixed.overrides(policy) if o.get("instance_type") == member.instance_type), None)
    if specification is None or override is None:
        return None
    try:
        return launch_source.from_template(turn.tx, turn.call, specification, override)
    except ApiError:
        return None


def replace_roots(
    turn: Turn, due: Sequence[Member], limits: Bounds, warmup_seconds: float, old: Sequence[Member]
) -> int:
    """Begin with as many of `due` as may be out of service now; how many those are. `old`: all that have yet to go."""
    group = turn.group
    active = counted(turn.members())
    ready = ready_units(turn, active, old, warmup_seconds)
    total = sum(units(m) for m in active)
    moving = total != group.desired_capacity or ready != total
    spare = allowed(Bounds(limits.floor, group.desired_capacity), group.desired_capacity, ready, moving)
    left = {m.id: m for m in due}
    begun = 0
    while left and spare > 0:
        chosen = pick_one(turn, [m for m in counted(turn.members()) if m.lifecycle_state not in REROOTING], left)
        if chosen is None or (units(chosen) > spare and begun):
            break
        cause = sentences.at(turn.now, sentences.REFRESH_ROOT)
        described = sentences.replacing_root(chosen.id)
        activity = begin_leaving(turn.tx, turn.call, group, chosen, "ReplacingRootVolume", described, cause)
        activities.move(turn.tx, group, activity.id, "WaitingForInPlaceUpdateToStart")
        del left[chosen.id]
        spare -= units(chosen)
        begun += 1
    return begun


def move_rerooting(turn: Turn, member: Member) -> None:
    """One step; an instance of which nothing comes is replaced."""
    state = member.lifecycle_state
    if turn.state_of(member) != "running":
        _give_up(turn, member, sentences.UNHEALTHY["EC2"])
    elif state == "ReplacingRootVolume":
        # `begin_leaving` marks hooks as started, for states that have none.
        if is_drained(turn, member) and not start_hooks(turn, member, TERMINATING, "ReplacingRootVolume:Wait"):
            _proceed(turn, member)
    elif state == "ReplacingRootVolume:Wait":
        if outcome(turn, member):
            _proceed(turn, member)
    elif state == "ReplacingRootVolume:Proceed":
        _look_at_task(turn, member)
    else:
        entering = {"lifecycle_state": "Pending", "state_since": turn.now, "hooks_started": False}
        turn.tx.put(msgspec.structs.replace(member, **entering))


def _proceed(turn: Turn, member: Member) -> None:
    forget_actions(turn.tx, member)
    source = source_for(turn, member)
    if source is None:
        _give_up(turn, member, sentences.REFRESH_OUT)
        return
    try:
        task = turn.attempt(lambda: ec2.replace_root(turn.tx, turn.call, member.id, source.image_id))
    except ApiError:
        _give_up(turn, member, sentences.REFRESH_OUT)
        return
    activities.move(turn.tx, turn.group, member.activity_id, "InPlaceUpdateInProgress")
    turn.tx.put(
        msgspec.structs.replace(
            member, lifecycle_state="ReplacingRootVolume:Proceed", state_since=turn.now, root_task_id=task.id
        )
    )


def _look_at_task(turn: Turn, member: Member) -> None:
    task = turn.tx.get(ReplaceRootVolumeTask, member.account, member.region, member.root_task_id)
    if task is not None and task.state == "in-progress":
        return
    instance = turn.instance(member)
    if task is None or task.state != "succeeded" or instance is None:
        _give_up(turn, member, sentences.REFRESH_OUT)
        return
    activities.move(turn.tx, turn.group, member.activity_id, "WaitingForInPlaceUpdateToFinalize")
    replaced = msgspec.structs.replace(
        member,
        lifecycle_state="RootVolumeReplaced",
        state_since=turn.now,
        root_task_id="",
        image_id=instance.image_id,
    )
    source = source_for(turn, member)
    if source is not None and source.image_id == instance.image_id:
        replaced = msgspec.structs.replace(
            replaced,
            launch_template_id=source.launch_template_id,
            launch_template_name=source.launch_template_name,
            launch_template_version=source.launch_template_version,
        )
    turn.tx.put(replaced)


def _give_up(turn: Turn, member: Member, sentence: str) -> None:
    """The replacement has failed: the instance goes, and another is launched for it."""
    cause = sentences.at(turn.now, sentence)
    begin_termination(turn.tx, turn.call, turn.group, member, "refresh", cause, launch_status="Failed")
