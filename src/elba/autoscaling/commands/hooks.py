"""Lifecycle hooks, and what answers the actions they wait for."""

from __future__ import annotations

import re

import msgspec

from elba.autoscaling import announcements, faults
from elba.autoscaling.lookup import require_group
from elba.autoscaling.resources import Group, LifecycleAction, LifecycleHook
from elba.call import Answer, Call, Request
from elba.store.interface import Transaction, View

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
TRANSITIONS = (LAUNCHING, TERMINATING)
MAX_HOOKS = 50
MAX_SPECIFIED = 5
"""With the group, as it is created."""
GLOBAL_TIMEOUT_SECONDS = 172_800
GLOBAL_TIMEOUT_HEARTBEATS = 100


def global_timeout(heartbeat_timeout: int) -> int:
    """The longest that heartbeats can keep an instance waiting, in seconds."""
    return min(GLOBAL_TIMEOUT_SECONDS, GLOBAL_TIMEOUT_HEARTBEATS * heartbeat_timeout)


def put_lifecycle_hook(tx: Transaction, call: Call, request: Request) -> Answer:
    """Make a hook, or change what the request names of one. Actions that wait keep their terms. Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    name = request["lifecycle_hook_name"]
    if not re.fullmatch(r"[A-Za-z0-9\-_/]{1,255}", name):
        raise faults.constraint(name, "lifecycleHookName", r"satisfy regular expression pattern: [A-Za-z0-9\-_\/]+")
    old = tx.get(LifecycleHook, call.account, call.region, f"{group.id}/{name}")
    transition = request.get("lifecycle_transition") or (old.lifecycle_transition if old else None)
    if transition is None:
        raise faults.validation("LifecycleTransition is required to create a lifecycle hook.")
    if transition not in TRANSITIONS:
        raise faults.validation(f"'LifecycleTransition' must be one of: {', '.join(TRANSITIONS)}")
    timeout = request.get("heartbeat_timeout")
    if timeout is not None and not 30 <= timeout <= 7200:
        raise faults.validation("HeartbeatTimeout must be between 30 and 7200 seconds")
    result = request.get("default_result")
    if result is not None and result not in ("CONTINUE", "ABANDON"):
        raise faults.validation("'DefaultResult' must be one of: CONTINUE, ABANDON")
    if old is None:
        if len(tx.children(LifecycleHook, call.account, call.region, group.id)) >= MAX_HOOKS:
            raise faults.limit(f"An Auto Scaling group can have at most {MAX_HOOKS} lifecycle hooks.")
        old = LifecycleHook(
            account=call.account,
            region=call.region,
            id=f"{group.id}/{name}",
            group_name=group.id,
            lifecycle_hook_name=name,
            lifecycle_transition=transition,
        )
    given = {
        field: request[field]
        for field in (
            "heartbeat_timeout",
            "default_result",
            "notification_target_arn",
            "role_arn",
            "notification_metadata",
        )
        if request.get(field) is not None
    }
    hook = msgspec.structs.replace(old, lifecycle_transition=transition, **given)
    _check_target(hook, request)
    target = request.get("notification_target_arn")
    if target and ":events:" not in target:
        # Neither a queue that keeps an order nor what is in another Region can be told anything: measured.
        elsewhere = target.split(":")[3] != call.region or target.endswith(".fifo")
        if elsewhere or not announcements.is_there(tx, target):
            raise faults.validation(
                f"Unable to publish test message to notification target {target} using IAM role {hook.role_arn}. "
                "Please check your target and role configuration and try to put lifecycle hook again."
            )
        announcements.test(tx, call, group, target)
    tx.put(hook)
    return {}


def _check_target(hook: LifecycleHook, request: Request) -> None:
    """The hook as it would be has a target that goes with its role. Raises: ApiError ValidationError."""
    target = hook.notification_target_arn
    if request.get("role_arn") and not target:
        raise faults.validation("'NotificationTargetARN' parameter required when 'RoleARN' parameter is specified")
    if not target:
        return
    if not re.fullmatch(r"arn:[^:]+:[^:]+:[^:]*:[^:]*:.+", target):
        raise faults.validation("'NotificationTargetARN' must be a valid ARN.")
    if ":lambda:" in target:
        if request.get("role_arn"):
            raise faults.validation(
                "'RoleARN' parameter should not be specified when 'NotificationTargetARN' is a Lambda function. "
                "Remove 'RoleARN' from your request and try again."
            )
    elif not hook.role_arn and ":events:" not in target:
        raise faults.validation("'RoleARN' parameter required when 'NotificationTargetARN' parameter is specified")


def delete_lifecycle_hook(tx: Transaction, call: Call, request: Request) -> Answer:
    """Delete a hook; what waits for it ends: ABANDON for a launch, CONTINUE for a termination. Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    hook = _require_hook(tx, group, request["lifecycle_hook_name"])
    for action in tx.all(LifecycleAction, call.account, call.region):
        if action.group_name == group.id and action.lifecycle_hook_name == hook.lifecycle_hook_name and action.waits:
            result = "ABANDON" if action.transition == LAUNCHING else "CONTINUE"
            tx.put(msgspec.structs.replace(action, result=result))
    tx.delete(hook)
    return {}


def _require_hook(view: View, group: Group, name: str) -> LifecycleHook:
    hook = view.get(LifecycleHook, group.account, group.region, f"{group.id}/{name}")
    if hook is None:
        raise faults.validation(f"No Lifecycle Hook found with name: {name}")
    return hook


def _require_action(view: View, call: Call, request: Request) -> LifecycleAction:
    group = require_group(view, call, request["auto_scaling_group_name"])
    name, token = request["lifecycle_hook_name"], request.get("lifecycle_action_token")
    instance_id = request.get("instance_id")
    if token:
        found = view.get(LifecycleAction, call.account, call.region, token)
        candidates = [found] if found is not None else []
        missing = f"No active Lifecycle Action found with token {token}"
    elif instance_id:
        candidates = view.children(LifecycleAction, call.account, call.region, instance_id)
        missing = f"No active Lifecycle Action found with instance ID {instance_id}"
    else:
        raise faults.validation("Either LifecycleActionToken or InstanceId is required.")
    for action in candidates:
        if action.waits and action.group_name == group.id and action.lifecycle_hook_name == name:
            return action
    raise faults.validation(missing)


def complete_lifecycle_action(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError ValidationError if nothing waits."""
    result = request["lifecycle_action_result"]
    if result not in ("CONTINUE", "ABANDON"):
        raise faults.validation(f"Invalid lifecycle action result: {result}. Valid values are CONTINUE and ABANDON.")
    action = _require_action(tx, call, request)
    tx.put(msgspec.structs.replace(action, result=result))
    return {}


def record_lifecycle_action_heartbeat(tx: Transaction, call: Call, request: Request) -> Answer:
    """Begin the heartbeat timeout again, never beyond the global one. Raises: ApiError."""
    action = _require_action(tx, call, request)
    deadline = min(call.now + action.heartbeat_timeout, action.global_deadline)
    tx.put(msgspec.structs.replace(action, heartbeat_deadline=deadline))
    return {}
