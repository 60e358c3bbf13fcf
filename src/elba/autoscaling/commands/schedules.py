"""Scheduled actions: put, delete, in batches, and run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from elba.autoscaling import activities, faults, sentences
from elba.autoscaling.commands.groups import resize
from elba.autoscaling.decisions import record_decision
from elba.autoscaling.lookup import group_of_arn, name_of, require_group, suspended
from elba.autoscaling.resources import Group, ScheduledAction
from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.schedule import BadSchedule, next_run, parse_cron, parse_zone
from elba.store.interface import Transaction

MAX_ACTIONS = 125
MAX_BATCH = 50


def put_scheduled_update_group_action(tx: Transaction, call: Call, request: Request) -> Answer:
    """Make or replace the action of that name. Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    _put(tx, call, group, request)
    return {}


def _put(tx: Transaction, call: Call, group: Group, request: Mapping[str, Any]) -> None:
    name = request["scheduled_action_name"]
    start = request.get("start_time")
    start = request.get("time") if start is None else start
    end, recurrence = request.get("end_time"), request.get("recurrence") or ""
    zone = request.get("time_zone") or ""
    sizes = {n: request.get(n) for n in ("min_size", "max_size", "desired_capacity")}
    if all(v is None for v in sizes.values()):
        raise faults.validation("At least one of MinSize, MaxSize or DesiredCapacity is required.")
    _check_sizes(sizes)
    if start is not None and start < call.now:
        raise faults.validation("Given start time is in the past")
    if end is not None and end < call.now:
        raise faults.validation("Given end time is in the past")
    if end is not None and start is not None and end <= start:
        raise faults.validation("Given end time must be after start time")
    if not recurrence and start is None:
        raise faults.validation("Scheduled start time must be specified for non-recurrent future group action")
    if zone and not recurrence:
        raise faults.validation("Time zone is only supported for recurring schedules")
    try:
        if recurrence:
            parse_cron(recurrence)
    except BadSchedule as error:
        raise faults.validation(f"Given recurrence string: {recurrence} is invalid") from error
    try:
        parse_zone(zone)
    except BadSchedule as error:
        raise faults.validation(
            "Time zone specified does not conform to standardized time zones found in IANA Time Zone Database"
        ) from error
    next_time = next_run(recurrence, zone, start, end, call.now)
    if next_time is None and start is not None and start == call.now:
        next_time = start
    id_ = f"{group.id}/{name}"
    siblings = tx.children(ScheduledAction, call.account, call.region, group.id)
    old = next((s for s in siblings if s.id == id_), None)
    if old is None and len(siblings) >= MAX_ACTIONS:
        raise faults.limit(f"An Auto Scaling group can have at most {MAX_ACTIONS} scheduled actions.")
    if next_time and any(s.id != id_ and s.next_time == next_time for s in siblings):
        raise faults.validation("Scheduled action with this scheduled start time already exists")
    arn = call.arn(
        "autoscaling",
        f"scheduledUpdateGroupAction:{call.ids.uuid()}:autoScalingGroupName/{group.id}:scheduledActionName/{name}",
    )
    tx.put(
        ScheduledAction(
            account=call.account,
            region=call.region,
            id=id_,
            group_name=group.id,
            scheduled_action_name=name,
            arn=old.arn if old else arn,
            start_time=start,
            end_time=end,
            recurrence=recurrence,
            time_zone=zone,
            next_time=next_time or 0.0,
            **sizes,
        )
    )


def _check_sizes(sizes: Mapping[str, int | None]) -> None:
    minimum, maximum, desired = (sizes[n] for n in ("min_size", "max_size", "desired_capacity"))
    for value, words in ((minimum, "Min size"), (maximum, "Max size"), (desired, "Desired capacity")):
        if value is not None and value < 0:
            raise faults.validation(f"{words} must be non-negative")
    if minimum is not None and maximum is not None and maximum < minimum:
        raise faults.validation("Max size must be greater than or equal to min size")
    if desired is not None and minimum is not None and desired < minimum:
        raise faults.validation("Desired capacity must be greater than or equal to min size")
    if desired is not None and maximum is not None and desired > maximum:
        raise faults.validation("Desired capacity must be less than or equal to max size")


def _find(tx: Transaction, group: Group, text: str) -> ScheduledAction:
    name = text.rsplit("scheduledActionName/", 1)[-1] if text.startswith("arn:") else text
    action = tx.get(ScheduledAction, group.account, group.region, f"{group.id}/{name}")
    if action is None:
        raise faults.validation("Scheduled action name not found")
    return action


def delete_scheduled_action(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    text = request["scheduled_action_name"]
    group = require_group(tx, call, request.get("auto_scaling_group_name") or group_of_arn(text))
    tx.delete(_find(tx, group, text))
    return {}


def batch_put_scheduled_update_group_action(tx: Transaction, call: Call, request: Request) -> Answer:
    """Those that can be put are; the answer names the others and why not. Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    given = request["scheduled_update_group_actions"]
    _limit_batch(len(given))
    failed = []
    for action in given:
        try:
            _put(tx, call, group, action)
        except ApiError as error:
            failed.append(_failure(action["scheduled_action_name"], error))
    return {"failed_scheduled_update_group_actions": failed}


def batch_delete_scheduled_action(tx: Transaction, call: Call, request: Request) -> Answer:
    """Those that are there go; the answer names the others. Raises: ApiError."""
    group = require_group(tx, call, name_of(request["auto_scaling_group_name"]))
    _limit_batch(len(request["scheduled_action_names"]))
    failed = []
    for name in request["scheduled_action_names"]:
        try:
            tx.delete(_find(tx, group, name))
        except ApiError as error:
            failed.append(_failure(name, error))
    return {"failed_scheduled_actions": failed}


def _limit_batch(count: int) -> None:
    if count > MAX_BATCH:
        raise faults.validation(f"At most {MAX_BATCH} scheduled actions can be named in one request.")


def _failure(name: str, error: ApiError) -> dict[str, str]:
    return {"scheduled_action_name": name, "error_code": error.code, "error_message": error.message}


def run_due(tx: Transaction, call: Call, group: Group) -> None:
    """Apply every action of the group that is due, in order of its time, and set when each runs next.

    A suspended ScheduledActions process skips them for good.
    """
    actions = tx.children(ScheduledAction, group.account, group.region, group.id)
    for action in sorted(actions, key=lambda a: a.next_time):
        due = 0.0 < action.next_time <= call.now
        if due and not suspended(group, "ScheduledActions"):
            _run(tx, call, action)
        if due:
            upcoming = next_run(action.recurrence, action.time_zone, None, action.end_time, call.now)
            # A recurring action that will not run again is there until its end.
            ends_later = bool(action.recurrence) and action.end_time is not None and action.end_time > call.now
            if upcoming is None and not ends_later:
                tx.delete(action)
            else:
                tx.put(msgspec.structs.replace(action, next_time=upcoming or 0.0))
        elif action.end_time is not None and action.end_time <= call.now:
            tx.delete(action)


def _run(tx: Transaction, call: Call, action: ScheduledAction) -> None:
    group = tx.get(Group, action.account, action.region, action.group_name)
    if group is None:
        return
    wanted = {n: getattr(action, n) for n in ("min_size", "max_size", "desired_capacity")}
    inputs = {"action": action.scheduled_action_name, "due": action.next_time, "recurrence": action.recurrence or None}
    inputs |= {"asks": wanted, "min_size": group.min_size, "max_size": group.max_size}
    name, before = action.scheduled_action_name, group.desired_capacity
    try:
        after = resize(tx, call, group, wanted, "a scheduled action").desired_capacity
        summary = f"{name}: {before} → {after}" if after != before else f"{name}: stays at {before}"
        record_decision(tx, call, group, trigger="schedule", summary=summary, inputs=inputs, before=before, after=after)
    except ApiError as error:
        summary = f"stays at {before}: scheduled action {name} failed: {error.message}"
        inputs["blocked"] = error.message
        record_decision(
            tx, call, group, trigger="schedule", summary=summary, inputs=inputs, before=before, after=before
        )
        activities.record(
            tx,
            call,
            group,
            f"Executing scheduled action: {action.scheduled_action_name}",
            sentences.at(call.now, f"a scheduled action {action.scheduled_action_name} was due."),
            status="Failed",
            message=error.message,
        )
