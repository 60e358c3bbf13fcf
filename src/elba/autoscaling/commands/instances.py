"""What a user may do to single members: terminate, mark, protect, attach, detach, standby."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from elba.autoscaling import activities, faults, launch_source, sentences
from elba.autoscaling.commands.leaving import begin_leaving, begin_termination, details_of
from elba.autoscaling.lookup import (
    COUNTED,
    LEAVING,
    is_warm,
    require_group,
    require_living_group,
    require_member,
    require_member_of,
    suspended,
    units,
)
from elba.autoscaling.resources import Activity, Group, Member
from elba.call import Answer, Call, Request
from elba.ec2 import images
from elba.ec2.resources import Instance, Subnet
from elba.errors import ApiError
from elba.store.interface import Transaction

MAX_INSTANCES = 20
MAX_PROTECTED = 50


def _limited(ids: Sequence[str], most: int) -> list[str]:
    if len(ids) > most:
        raise faults.validation(f"At most {most} instances can be named in one request.")
    return list(dict.fromkeys(ids))


def terminate_instance_in_auto_scaling_group(tx: Transaction, call: Call, request: Request) -> Answer:
    """Begin to terminate one member; protection does not save it. Raises: ApiError."""
    ids = [request["instance_id"]] if request.get("instance_id") else list(request.get("instance_ids") or [])
    if not ids:
        raise faults.validation("An instance id is required.")
    shown = []
    for id_ in ids:
        shown.append(_terminate(tx, call, id_, bool(request["should_decrement_desired_capacity"])))
    if request.get("instance_id"):
        return {"activity": shown[0]}
    return {"activities": shown}


def _terminate(tx: Transaction, call: Call, instance_id: str, decrement: bool) -> Answer:
    member = require_member(tx, call, instance_id)
    group = require_group(tx, call, member.group_name)
    if member.lifecycle_state in LEAVING or member.lifecycle_state.startswith("Warmed:Terminating"):
        running = tx.get(Activity, call.account, call.region, member.activity_id)
        if running is not None:
            return activities.shown(running)
    if is_warm(member) and not member.lifecycle_state.endswith(":Retained"):
        raise faults.validation(f"The instance {instance_id} is in the warm pool of Auto Scaling group {group.id}.")
    cause = f"instance {instance_id} was taken out of service in response to a user request"
    counts = member.lifecycle_state in COUNTED
    if decrement and counts:
        if group.desired_capacity - units(member) < group.min_size:
            raise faults.validation(
                f"Currently, desiredSize equals minSize ({group.min_size}). Terminating instance without replacement "
                "will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false "
                "or lower group's min size."
            )
        after = group.desired_capacity - units(member)
        cause += f", shrinking the capacity from {group.desired_capacity} to {after}"
        group = msgspec.structs.replace(group, desired_capacity=after)
        tx.put(group)
    why = "retained" if member.lifecycle_state.endswith(":Retained") else "user"
    activity = begin_termination(tx, call, group, member, why, sentences.at(call.now, cause + "."))
    return activities.shown(activity)


def set_instance_health(tx: Transaction, call: Call, request: Request) -> Answer:
    """Mark a member; within its grace period Unhealthy is not taken unless the request says so. Raises: ApiError."""
    status = request["health_status"]
    if status not in ("Healthy", "Unhealthy"):
        raise faults.validation(f"Valid values for health status are Healthy and Unhealthy, not {status}.")
    member = require_member(tx, call, request["instance_id"])
    group = require_group(tx, call, member.group_name)
    if member.termination:
        return {}
    if status == "Healthy":
        tx.put(msgspec.structs.replace(member, health_status="Healthy", health_reason=""))
        return {}
    respect = request.get("should_respect_grace_period")
    graced = member.in_service_at == 0.0 or call.now < member.in_service_at + group.health_check_grace_period
    if (respect is None or respect) and group.health_check_grace_period and graced:
        return {}
    tx.put(msgspec.structs.replace(member, health_status="Unhealthy", health_reason="custom"))
    return {}


def set_instance_protection(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    members = [require_member_of(tx, group, i) for i in _limited(request["instance_ids"], MAX_PROTECTED)]
    for member in members:
        if member.lifecycle_state not in ("InService", "Pending", "Pending:Wait", "Pending:Proceed") and not is_warm(
            member
        ):
            raise faults.validation(f"The instance {member.id} is not in InService or EnteringStandby or Standby.")
        tx.put(msgspec.structs.replace(member, protected_from_scale_in=request["protected_from_scale_in"]))
    if not request["protected_from_scale_in"] and group.shrink_blocked:
        tx.put(msgspec.structs.replace(group, shrink_blocked=False))
    return {}


def _shrink(group: Group, members: Sequence[Member], verb: str) -> Group:
    """The group with desired capacity less by the members' units. Raises: ApiError if that is below its minimum."""
    after = group.desired_capacity - sum(units(m) for m in members)
    if after < group.min_size:
        raise faults.sizes(group.id, group.min_size, group.max_size, group.desired_capacity, verb, len(members))
    return msgspec.structs.replace(group, desired_capacity=after)


def attach_instances(tx: Transaction, call: Call, request: Request) -> Answer:
    """Make running instances members; desired capacity grows with them. Raises: ApiError."""
    group = require_living_group(tx, call, request["auto_scaling_group_name"])
    ids = _limited(request.get("instance_ids") or [], MAX_INSTANCES)
    if suspended(group, "Launch"):
        raise faults.validation("The Launch process of the Auto Scaling group is suspended.")
    instances = [_attachable(tx, call, group, i) for i in ids]
    weights = {i.id: launch_source.weight(group, i.instance_type) for i in instances}
    more = sum(w or 1 for w in weights.values())
    if group.desired_capacity + more > group.max_size:
        raise faults.sizes(group.id, group.min_size, group.max_size, group.desired_capacity, "attach", len(ids))
    group = msgspec.structs.replace(group, desired_capacity=group.desired_capacity + more)
    tx.put(group)
    for instance in instances:
        member = Member(
            account=call.account,
            region=call.region,
            id=instance.id,
            group_name=group.id,
            availability_zone=instance.availability_zone,
            instance_type=instance.instance_type,
            image_id=instance.image_id,
            subnet_id=instance.subnet_id,
            spot=instance.lifecycle == "spot",
            weighted_capacity=weights[instance.id],
            launched_at=instance.launch_time,
            state_since=call.now,
            protected_from_scale_in=group.new_instances_protected_from_scale_in,
            hooks_started=True,
        )
        cause = (
            "an instance was added in response to user request.  "
            f"Keeping the capacity at the new {group.desired_capacity}."
        )
        activity = activities.begin(
            tx,
            call,
            group,
            f"Attaching an existing EC2 instance: {instance.id}",
            sentences.at(call.now, cause),
            status="PreInService",
            instance_id=instance.id,
            details=details_of(member),
        )
        tx.put(msgspec.structs.replace(member, activity_id=activity.id))
        tags = {t.key: t.value for t in group.tags if t.propagate_at_launch}
        tags["aws:autoscaling:groupName"] = group.id
        tx.put(msgspec.structs.replace(instance, tags={**instance.tags, **tags}))
    return {}


def _attachable(tx: Transaction, call: Call, group: Group, instance_id: str) -> Instance:
    instance = tx.get(Instance, call.account, call.region, instance_id)
    if instance is None:
        raise faults.validation(f"Invalid Instance ID(s): [{instance_id}] specified")
    if instance.state != "running":
        raise faults.validation(f"Instance {instance_id} is not in correct state for attachment.")
    member = tx.get(Member, call.account, call.region, instance_id)
    if member is not None:
        where = "this" if member.group_name == group.id else "another"
        raise faults.validation(f"Instance {instance_id} is already part of {where} Auto Scaling group.")
    if instance.availability_zone not in group.availability_zones:
        raise faults.validation(
            f"The instance {instance_id} is not in one of the group's Availability Zones: "
            f"{', '.join(group.availability_zones)}."
        )
    subnets = [tx.get(Subnet, call.account, call.region, s) for s in group.subnet_ids]
    if not any(s is not None and s.vpc_id == instance.vpc_id for s in subnets):
        raise faults.validation(f"The instance {instance_id} is not in the VPC of the Auto Scaling group.")
    try:
        images.require_image(tx, call, instance.image_id)
    except ApiError as error:
        raise faults.validation(f"The AMI of instance {instance_id} no longer exists.") from error
    return instance


def detach_instances(tx: Transaction, call: Call, request: Request) -> Answer:
    """Let members go; they keep running. Without decrement they are replaced. Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    members = [require_member_of(tx, group, i) for i in _limited(request.get("instance_ids") or [], MAX_INSTANCES)]
    for member in members:
        if member.lifecycle_state not in ("InService", "Standby") and not is_warm(member):
            raise faults.validation(f"The instance {member.id} is not in InService or Standby.")
    decrement = request["should_decrement_desired_capacity"]
    counting = [m for m in members if m.lifecycle_state == "InService"]
    if decrement:
        group, before = _shrink(group, counting, "detach"), group.desired_capacity
        tx.put(group)
    shown = []
    for member in members:
        what = f"instance {member.id} was detached in response to a user request"
        if decrement and member in counting:
            what += f", shrinking the capacity from {before} to {before - units(member)}"
            before -= units(member)
        activity = begin_leaving(
            tx,
            call,
            group,
            member,
            "Detaching",
            f"Detaching EC2 instance: {member.id}",
            sentences.at(call.now, f"{what}."),
        )
        shown.append(activities.shown(activity))
    return {"activities": shown}


def enter_standby(tx: Transaction, call: Call, request: Request) -> Answer:
    """Take members out of service without letting them go. Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    members = [require_member_of(tx, group, i) for i in _limited(request.get("instance_ids") or [], MAX_INSTANCES)]
    for member in members:
        if member.lifecycle_state != "InService":
            raise faults.validation(f"The instance {member.id} is not in InService.")
    decrement = request["should_decrement_desired_capacity"]
    before = group.desired_capacity
    if decrement:
        group = _shrink(group, members, "enter standby with")
        tx.put(group)
    shown = []
    for member in members:
        what = f"instance {member.id} was moved to standby in response to a user request"
        if decrement:
            what += f", shrinking the capacity from {before} to {before - units(member)}"
            before -= units(member)
        activity = begin_leaving(
            tx,
            call,
            group,
            member,
            "EnteringStandby",
            f"Moving EC2 instance to Standby: {member.id}",
            sentences.at(call.now, f"{what}."),
        )
        shown.append(activities.shown(activity))
    return {"activities": shown}


def exit_standby(tx: Transaction, call: Call, request: Request) -> Answer:
    """Bring members on standby back; desired capacity grows by them. Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    members = [require_member_of(tx, group, i) for i in _limited(request.get("instance_ids") or [], MAX_INSTANCES)]
    if suspended(group, "Launch"):
        raise faults.validation("The Launch process of the Auto Scaling group is suspended.")
    for member in members:
        if member.lifecycle_state != "Standby":
            raise faults.validation(f"The instance {member.id} is not in Standby.")
    before = group.desired_capacity
    after = before + sum(units(m) for m in members)
    if after > group.max_size:
        raise faults.sizes(group.id, group.min_size, group.max_size, before, "exit standby with", len(members))
    group = msgspec.structs.replace(group, desired_capacity=after)
    tx.put(group)
    shown = []
    for member in members:
        what = (
            f"instance {member.id} was moved out of standby in response to a user request, "
            f"increasing the capacity from {before} to {before + units(member)}."
        )
        before += units(member)
        activity = activities.begin(
            tx,
            call,
            group,
            f"Moving EC2 instance out of Standby: {member.id}",
            sentences.at(call.now, what),
            status="PreInService",
            instance_id=member.id,
            details=details_of(member),
        )
        tx.put(
            msgspec.structs.replace(
                member,
                lifecycle_state="Pending",
                state_since=call.now,
                activity_id=activity.id,
                hooks_started=True,
                health_status="Healthy",
                health_reason="",
                impaired_since=0.0,
            )
        )
        shown.append(activities.shown(activity))
    return {"activities": shown}
