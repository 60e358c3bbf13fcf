"""Describes policies, hooks, schedules, launch configurations, notifications."""

from __future__ import annotations

from typing import Any

from elba.autoscaling.commands.alarms import alarms_of
from elba.autoscaling.commands.hooks import global_timeout
from elba.autoscaling.lookup import name_of, require_group
from elba.autoscaling.queries.paging import page
from elba.autoscaling.resources import (
    Group,
    LaunchConfiguration,
    LifecycleHook,
    NotificationConfiguration,
    Policy,
    ScheduledAction,
)
from elba.call import Answer, Call, Request
from elba.store.interface import View


def describe_policies(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    if name := request.get("auto_scaling_group_name"):
        found = view.children(Policy, call.account, call.region, name_of(name))
    else:
        found = view.all(Policy, call.account, call.region)
    if names := request.get("policy_names"):
        found = [p for p in found if p.policy_name in names or p.id in names]
    if types := request.get("policy_types"):
        found = [p for p in found if p.policy_type in types]
    shown, token = page(found, request, 50, 100)
    return {"scaling_policies": [shown_policy(view, p) for p in shown], "next_token": token}


def shown_policy(view: View, policy: Policy) -> Answer:
    answer: dict[str, Any] = {
        "auto_scaling_group_name": policy.group_name,
        "policy_name": policy.policy_name,
        "policy_arn": policy.id,
        "policy_type": policy.policy_type,
        "adjustment_type": policy.adjustment_type,
        "min_adjustment_magnitude": policy.min_adjustment_magnitude,
        "scaling_adjustment": policy.scaling_adjustment,
        "cooldown": policy.cooldown,
        "step_adjustments": [
            {**s, "scaling_adjustment": int(s["scaling_adjustment"])} for s in policy.step_adjustments
        ],
        "metric_aggregation_type": policy.metric_aggregation_type,
        "estimated_instance_warmup": policy.estimated_instance_warmup,
        "alarms": [{"alarm_name": a.id, "alarm_arn": a.arn} for a in alarms_of(view, policy)],
        "enabled": policy.enabled,
    }
    if policy.target_tracking_configuration is not None:
        configuration = dict(policy.target_tracking_configuration)
        configuration["disable_scale_in"] = bool(configuration.get("disable_scale_in"))
        answer["target_tracking_configuration"] = configuration
    if policy.predictive_scaling_configuration is not None:
        answer["predictive_scaling_configuration"] = policy.predictive_scaling_configuration
    return answer


def describe_lifecycle_hooks(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    group = require_group(view, call, request["auto_scaling_group_name"])
    found = view.children(LifecycleHook, call.account, call.region, group.id)
    if names := request.get("lifecycle_hook_names"):
        found = [h for h in found if h.lifecycle_hook_name in names]
    return {
        "lifecycle_hooks": [
            {
                "lifecycle_hook_name": h.lifecycle_hook_name,
                "auto_scaling_group_name": h.group_name,
                "lifecycle_transition": h.lifecycle_transition,
                "notification_target_arn": h.notification_target_arn or None,
                "role_arn": h.role_arn or None,
                "notification_metadata": h.notification_metadata or None,
                "heartbeat_timeout": h.heartbeat_timeout,
                "global_timeout": global_timeout(h.heartbeat_timeout),
                "default_result": h.default_result,
            }
            for h in found
        ]
    }


def describe_scheduled_actions(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    if name := request.get("auto_scaling_group_name"):
        found = view.children(ScheduledAction, call.account, call.region, name_of(name))
    else:
        found = view.all(ScheduledAction, call.account, call.region)
    if names := request.get("scheduled_action_names"):
        found = [s for s in found if s.scheduled_action_name in names or s.arn in names]
    else:
        begin, end = request.get("start_time"), request.get("end_time")
        found = [s for s in found if begin is None or s.next_time >= begin]
        found = [s for s in found if end is None or s.next_time <= end]
    found = sorted(found, key=lambda s: s.next_time)
    shown, token = page(found, request, 50, 100)
    return {
        "scheduled_update_group_actions": [
            {
                "auto_scaling_group_name": s.group_name,
                "scheduled_action_name": s.scheduled_action_name,
                "scheduled_action_arn": s.arn,
                "time": s.next_time or None,
                "start_time": s.next_time or None,
                "end_time": s.end_time,
                "recurrence": s.recurrence or None,
                "time_zone": s.time_zone or None,
                "min_size": s.min_size,
                "max_size": s.max_size,
                "desired_capacity": s.desired_capacity,
            }
            for s in shown
        ],
        "next_token": token,
    }


def describe_launch_configurations(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    found = sorted(view.all(LaunchConfiguration, call.account, call.region), key=lambda c: c.id)
    if names := request.get("launch_configuration_names"):
        wanted = {n.rsplit("launchConfigurationName/", 1)[-1] for n in names}
        found = [c for c in found if c.id in wanted]
    shown, token = page(found, request, 50, 100)
    return {
        "launch_configurations": [
            {
                "key_name": "",
                "security_groups": [],
                "user_data": "",
                "kernel_id": "",
                "ramdisk_id": "",
                "block_device_mappings": [],
                "classic_link_vpc_security_groups": [],
                **c.data,
                "launch_configuration_name": c.id,
                "launch_configuration_arn": c.arn,
                "created_time": c.created_time,
            }
            for c in shown
        ],
        "next_token": token,
    }


def describe_notification_configurations(view: View, call: Call, request: Request) -> Answer:
    """One row for each topic and type. Raises: ApiError."""
    names = {name_of(n) for n in request.get("auto_scaling_group_names") or []}
    rows = [
        {"auto_scaling_group_name": n.group_name, "topic_arn": n.topic_arn, "notification_type": t}
        for n in view.all(NotificationConfiguration, call.account, call.region)
        if not names or n.group_name in names
        for t in n.notification_types
    ]
    shown, token = page(rows, request, 50, 100)
    return {"notification_configurations": list(shown), "next_token": token}


def describe_account_limits(view: View, call: Call, request: Request) -> Answer:
    return {
        "max_number_of_auto_scaling_groups": 500,
        "max_number_of_launch_configurations": 200,
        "number_of_auto_scaling_groups": len(view.all(Group, call.account, call.region)),
        "number_of_launch_configurations": len(view.all(LaunchConfiguration, call.account, call.region)),
    }
