"""Create, update and delete groups, and set their desired capacity."""

from __future__ import annotations

from typing import Any

import msgspec

from elba.autoscaling import faults, sentences
from elba.autoscaling.activities import of_group
from elba.autoscaling.capacity import change_desired
from elba.autoscaling.commands import alarms, hooks, launch_configurations, settings, tags, traffic
from elba.autoscaling.decisions import record_decision
from elba.autoscaling.lookup import LEAVING, find_group, members_of, require_group, require_living_group
from elba.autoscaling.resources import (
    Activity,
    Decision,
    Forecast,
    Group,
    InstanceRefresh,
    LaunchToken,
    LifecycleAction,
    LifecycleHook,
    Member,
    NotificationConfiguration,
    Policy,
    ScheduledAction,
    TerminationAdvice,
    WarmPool,
)
from elba.call import Answer, Call, Request
from elba.ec2.defaults import ensure_defaults
from elba.resource import Resource
from elba.store.interface import Transaction

MAX_GROUPS = 500


def create_auto_scaling_group(tx: Transaction, call: Call, request: Request) -> Answer:
    """Create a group; its instances are launched later, by the reconciler. Raises: ApiError."""
    name = request["auto_scaling_group_name"]
    ensure_defaults(tx, call)
    if ":" in name or not all(33 <= ord(c) <= 126 for c in name):
        raise faults.constraint(name, "autoScalingGroupName", "hold ASCII characters 33 to 126 but no colon")
    if find_group(tx, call, name) is not None:
        raise faults.group_exists(name)
    if len(tx.all(Group, call.account, call.region)) >= MAX_GROUPS:
        raise faults.limit(f"You have reached the limit of {MAX_GROUPS} Auto Scaling groups.")
    launch = settings.launch_fields(tx, call, request)
    minimum, maximum = request["min_size"], request["max_size"]
    desired = request.get("desired_capacity")
    desired = minimum if desired is None else desired
    fields = settings.plain_fields(request)
    fields.setdefault(
        "service_linked_role_arn",
        f"arn:{call.partition}:iam::{call.account}:role/aws-service-role/autoscaling.amazonaws.com/"
        "AWSServiceRoleForAutoScaling",
    )
    if request.get("instance_id"):
        derived = launch_configurations.from_instance(tx, call, name, request["instance_id"])
        launch = {"launch_configuration_name": derived.id}
        if not request.get("vpc_zone_identifier") and not request.get("availability_zones"):
            request = {**request, "vpc_zone_identifier": launch_configurations.subnet_of(tx, call, request)}
    fields |= settings.zone_fields(tx, call, request, None)
    settings.check_sizes(minimum, maximum, desired)
    group = Group(
        account=call.account,
        region=call.region,
        id=name,
        arn=call.arn("autoscaling", f"autoScalingGroup:{call.ids.uuid()}:autoScalingGroupName/{name}"),
        min_size=minimum,
        max_size=maximum,
        desired_capacity=0,
        created_time=call.now,
        tags=tags.from_request(name, request.get("tags") or []),
        attachments=traffic.from_request(tx, call, request),
        **launch,
        **fields,
    )
    settings.check_zonal_shift(tx, group, request)
    settings.check_whole(tx, call, group)
    change_desired(tx, call, group, desired, sentences.CREATED)
    _by_user(tx, call, group, desired, "CreateAutoScalingGroup")
    specified = request.get("lifecycle_hook_specification_list") or []
    if len(specified) > hooks.MAX_SPECIFIED:
        raise faults.validation(f"You cannot specify more than {hooks.MAX_SPECIFIED} hooks")
    names = [h["lifecycle_hook_name"] for h in specified]
    for hook_name in names:
        if names.count(hook_name) > 1:
            raise faults.validation(f"Multiple lifecycle hooks found for name '{hook_name}'")
    if len({(h.get("notification_target_arn"), h.get("role_arn")) for h in specified}) > 1:
        raise faults.validation(
            "All lifecycle hooks that are specified with a group must have the same notification target and role."
        )
    for hook in specified:
        hooks.put_lifecycle_hook(tx, call, {**hook, "auto_scaling_group_name": name})
    return {}


def update_auto_scaling_group(tx: Transaction, call: Call, request: Request) -> Answer:
    """Change what the request names; sizes pull desired capacity along unless it is given. Raises: ApiError."""
    if find_group(tx, call, request["auto_scaling_group_name"]) is None:
        raise faults.validation("AutoScalingGroup name not found - null")  # here alone AWS does not say which
    group = require_living_group(tx, call, request["auto_scaling_group_name"])
    fields = settings.launch_fields(tx, call, request, group)
    if fields.get("mixed_instances_policy") and tx.get(WarmPool, call.account, call.region, group.id) is not None:
        raise faults.validation(
            "You can't use a mixed instances policy with an Auto Scaling group that has a warm pool."
        )
    fields |= settings.plain_fields(request)
    fields |= settings.zone_fields(tx, call, request, group)
    group = msgspec.structs.replace(group, **fields)
    settings.check_zonal_shift(tx, group, request)
    settings.check_whole(tx, call, group)
    resized = resize(tx, call, group, request, "a user request")
    _by_user(tx, call, group, resized.desired_capacity, "UpdateAutoScalingGroup")
    return {}


def _by_user(tx: Transaction, call: Call, group: Group, after: int, operation: str) -> None:
    before = group.desired_capacity
    if after != before:
        summary = f"{operation}: {before} → {after}"
        inputs = {"action": operation, "min_size": group.min_size, "max_size": group.max_size}
        record_decision(tx, call, group, trigger="user", summary=summary, inputs=inputs, before=before, after=after)


def resize(tx: Transaction, call: Call, group: Group, request: Request, who: str) -> Group:
    """Set minimum, maximum and desired capacity as one; written. Raises: ApiError ValidationError."""
    minimum, maximum, desired = (request.get(n) for n in ("min_size", "max_size", "desired_capacity"))
    minimum = group.min_size if minimum is None else minimum
    maximum = group.max_size if maximum is None else maximum
    if desired is None:
        desired = max(minimum, min(maximum, group.desired_capacity))
    settings.check_sizes(minimum, maximum, desired)
    group = msgspec.structs.replace(group, min_size=minimum, max_size=maximum)
    return change_desired(tx, call, group, desired, sentences.updated(who, minimum, maximum, desired))


def set_desired_capacity(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError ValidationError, ScalingActivityInProgress (with HonorCooldown)."""
    group = require_living_group(tx, call, request["auto_scaling_group_name"])
    desired = request["desired_capacity"]
    for beyond, word, value in (
        (desired > group.max_size, "above max", group.max_size),
        (desired < group.min_size, "below min", group.min_size),
    ):
        if beyond:
            raise faults.validation(
                f"New SetDesiredCapacity value {desired} is {word} value {value} for the AutoScalingGroup."
            )
    if request.get("honor_cooldown") and (is_cooling(group, call.now) or is_busy(members_of(tx, group))):
        raise faults.cooling(group.id)
    change_desired(tx, call, group, desired, sentences.SET_DESIRED)
    _by_user(tx, call, group, desired, "SetDesiredCapacity")
    return {}


def is_cooling(group: Group, now: float) -> bool:
    """A simple policy's cooldown runs, or will once its activities have ended."""
    return group.cooldown_until > now or group.cooldown_seconds_due > 0


def is_busy(members: list[Member]) -> bool:
    """Some activity is in progress."""
    return any(m.activity_id for m in members)


def delete_auto_scaling_group(tx: Transaction, call: Call, request: Request) -> Answer:
    """Delete an empty group, or with ForceDelete have its instances go first. Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    force = bool(request.get("force_delete"))
    if group.deletion_protection == "prevent-all-deletion" or (
        force and group.deletion_protection == "prevent-force-deletion"
    ):
        raise faults.validation(
            f"The Auto Scaling group {group.id} cannot be deleted: deletion protection is set to "
            f"{group.deletion_protection}."
        )
    members = members_of(tx, group)
    if not members:
        remove_group(tx, call, group)
    elif not force:
        if all(m.lifecycle_state in LEAVING for m in members):
            raise faults.group_busy()
        raise faults.group_not_empty()
    else:
        tx.put(
            msgspec.structs.replace(
                group, deleting=True, desired_capacity=0, min_size=0, surge=0, causes=[], invoking_alarms=[]
            )
        )
    return {}


def remove_group(tx: Transaction, call: Call, group: Group) -> None:
    """Take the group and all that hangs under it away; its activities stay, marked as a deleted group's."""
    for policy in tx.children(Policy, group.account, group.region, group.id):
        alarms.forget_policy(tx, call, policy)
        tx.delete(policy)
    kinds: list[type[Resource]] = [
        ScheduledAction,
        LifecycleHook,
        NotificationConfiguration,
        WarmPool,
        InstanceRefresh,
        LaunchToken,
        TerminationAdvice,
        Forecast,
        Decision,
    ]
    for kind in kinds:
        for resource in tx.children(kind, group.account, group.region, group.id):
            tx.delete(resource)
    for activity in of_group(tx, group.account, group.region, group.id):
        ended: dict[str, Any] = {}
        if activity.end_time is None:
            ended = {"end_time": call.now, "status_code": "Cancelled", "progress": 100}
        if not activity.group_deleted:
            tx.put(msgspec.structs.replace(activity, group_deleted=True, **ended))
    tx.delete(group)


def prune_activities(tx: Transaction, call: Call, request: Request) -> Answer:
    """Forget activities that ended more than `older_than_seconds` ago; how many."""
    limit = call.now - request["older_than_seconds"]
    old = [a for a in tx.all(Activity) if a.end_time is not None and a.end_time < limit]
    for activity in old:
        tx.delete(activity)
    refreshes = [r for r in tx.all(InstanceRefresh) if r.end_time is not None and r.end_time < limit]
    for refresh in refreshes:
        tx.delete(refresh)
    return {"forgotten": len(old) + len(refreshes)}


def forget_actions(tx: Transaction, member: Member) -> None:
    """Drop the lifecycle actions of a member that waits no more."""
    for action in tx.children(LifecycleAction, member.account, member.region, member.id):
        tx.delete(action)
