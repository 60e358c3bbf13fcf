"""Describes groups, their instances, tags, activities and attachments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from elba.autoscaling import activities, faults
from elba.autoscaling.lookup import is_warm, members_of, name_of, require_group
from elba.autoscaling.predictive import predicted_floor
from elba.autoscaling.queries.instances import shown_instance
from elba.autoscaling.queries.paging import filters, page
from elba.autoscaling.queries.warm_pools import shown_pool
from elba.autoscaling.resources import Activity, Group, Member, WarmPool
from elba.call import Answer, Call, Request
from elba.ec2 import zones
from elba.store.interface import View


def describe_auto_scaling_groups(view: View, call: Call, request: Request) -> Answer:
    """Groups by name (unknown names are passed over), or all. Raises: ApiError."""
    groups = sorted(view.all(Group, call.account, call.region), key=lambda g: g.id)
    if names := request.get("auto_scaling_group_names"):
        wanted = {name_of(n) for n in names}
        groups = [g for g in groups if g.id in wanted]
    for name, values in filters(request):
        groups = [g for g in groups if _matches(g, name, values)]
    shown, token = page(groups, request, 50, 100)
    instances = request.get("include_instances")
    with_instances = True if instances is None else instances
    return {
        "auto_scaling_groups": [shown_group(view, g, call.now, with_instances) for g in shown],
        "next_token": token,
    }


def _matches(group: Group, name: str, values: list[str]) -> bool:
    if name == "tag-key":
        return any(t.key in values for t in group.tags)
    if name == "tag-value":
        return any(t.value in values for t in group.tags)
    if name.startswith("tag:"):
        return any(t.key == name[4:] and (not values or t.value in values) for t in group.tags)
    raise faults.validation(f"Invalid filter type: {name}. Valid types are tag-key, tag-value and tag:<key>.")


def shown_group(view: View, group: Group, now: float, with_instances: bool = True) -> Answer:
    members = members_of(view, group)
    pool = view.get(WarmPool, group.account, group.region, group.id)
    attachments = [a for a in group.attachments if a.state not in ("Removing", "Removed")]
    answer: dict[str, Any] = {
        "auto_scaling_group_name": group.id,
        "auto_scaling_group_arn": group.arn,
        "launch_configuration_name": group.launch_configuration_name or None,
        "launch_template": group.launch_template,
        "mixed_instances_policy": group.mixed_instances_policy,
        "min_size": group.min_size,
        "max_size": group.max_size,
        "desired_capacity": group.desired_capacity,
        "predicted_capacity": predicted_floor(view, group, now)[0] or None,
        "default_cooldown": group.default_cooldown,
        "availability_zones": group.availability_zones,
        "availability_zone_ids": [zones.zone_id(z) for z in group.availability_zones],
        "load_balancer_names": [a.identifier for a in attachments if a.type == "elb"],
        "target_group_arns": [a.identifier for a in attachments if a.type == "elbv2" and a.legacy],
        "health_check_type": ",".join(group.health_check_types),
        "health_check_grace_period": group.health_check_grace_period,
        "created_time": group.created_time,
        "suspended_processes": [
            {"process_name": s.process_name, "suspension_reason": s.suspension_reason}
            for s in group.suspended_processes
        ],
        "placement_group": group.placement_group or None,
        "vpc_zone_identifier": group.vpc_zone_identifier,
        "enabled_metrics": [{"metric": m, "granularity": "1Minute"} for m in group.enabled_metrics],
        "status": "Delete in progress" if group.deleting else None,
        "tags": shown_tags(group),
        "termination_policies": group.termination_policies,
        "new_instances_protected_from_scale_in": group.new_instances_protected_from_scale_in,
        "service_linked_role_arn": group.service_linked_role_arn,
        "max_instance_lifetime": group.max_instance_lifetime,
        "capacity_rebalance": group.capacity_rebalance or None,
        "context": group.context or None,
        "desired_capacity_type": group.desired_capacity_type or None,
        "default_instance_warmup": group.default_instance_warmup,
        "traffic_sources": [{"identifier": a.identifier, "type": a.type} for a in attachments],
        "instance_maintenance_policy": group.instance_maintenance_policy,
        "availability_zone_distribution": {"capacity_distribution_strategy": group.availability_zone_distribution},
        "availability_zone_impairment_policy": group.availability_zone_impairment_policy,
        "capacity_reservation_specification": group.capacity_reservation_specification,
        "instance_lifecycle_policy": group.instance_lifecycle_policy,
        "deletion_protection": group.deletion_protection if group.deletion_protection != "none" else None,
    }
    if with_instances:
        answer["instances"] = [shown_instance(view, m) for m in members if not is_warm(m)]
    if pool is not None:
        answer["warm_pool_configuration"] = shown_pool(pool)
        answer["warm_pool_size"] = sum(is_warm(m) for m in members)
    return answer


def shown_tags(group: Group) -> list[Answer]:
    return [
        {
            "resource_id": group.id,
            "resource_type": "auto-scaling-group",
            "key": t.key,
            "value": t.value,
            "propagate_at_launch": t.propagate_at_launch,
        }
        for t in sorted(group.tags, key=lambda t: t.key)
    ]


def describe_auto_scaling_instances(view: View, call: Call, request: Request) -> Answer:
    """Members of all groups, warm ones included; HealthStatus in upper case. Raises: ApiError."""
    ids = request.get("instance_ids") or []
    if len(ids) > 50:
        raise faults.validation("The number of instance ids that may be passed in is limited to 50.")
    members: Sequence[Member] = view.all(Member, call.account, call.region)
    if ids:
        members = [m for m in members if m.id in ids]
    shown, token = page(members, request, 50, 50)
    return {
        "auto_scaling_instances": [
            {
                **shown_instance(view, m),
                "auto_scaling_group_name": m.group_name,
                "health_status": m.health_status.upper(),
            }
            for m in shown
        ],
        "next_token": token,
    }


def describe_tags(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    groups = sorted(view.all(Group, call.account, call.region), key=lambda g: g.id)
    tags = [t for g in groups for t in shown_tags(g)]
    for name, values in filters(request):
        field = {
            "auto-scaling-group": "resource_id",
            "key": "key",
            "value": "value",
            "propagate-at-launch": "propagate_at_launch",
        }.get(name)
        if field is None:
            raise faults.validation(f"Invalid filter type: {name}.")
        lowered = [v.lower() for v in values] if field == "propagate_at_launch" else values
        tags = [t for t in tags if (str(t[field]).lower() if field == "propagate_at_launch" else t[field]) in lowered]
    shown, token = page(tags, request, 50, 100)
    return {"tags": list(shown), "next_token": token}


def describe_scaling_activities(view: View, call: Call, request: Request) -> Answer:
    """Running first, then the latest first; those of deleted groups only if asked for. Raises: ApiError."""
    deleted = bool(request.get("include_deleted_groups"))
    name = request.get("auto_scaling_group_name")
    if name:
        found = activities.of_group(view, call.account, call.region, name_of(name))
    else:
        found = activities.ordered(view.all(Activity, call.account, call.region))
    if not deleted:
        found = [a for a in found if not a.group_deleted]
    if ids := request.get("activity_ids"):
        found = [a for a in found if a.id in ids]
    for filter_name, values in filters(request):
        if filter_name == "Status":
            found = [a for a in found if a.status_code in values]
        elif filter_name == "StartTimeLowerBound":
            found = [a for a in found if a.start_time >= _time(values)]
        elif filter_name == "StartTimeUpperBound":
            found = [a for a in found if a.start_time <= _time(values)]
        else:
            raise faults.validation(f"Invalid filter type: {filter_name}.")
    shown, token = page(found, request, 100, 100)
    return {"activities": [activities.shown(a) for a in shown], "next_token": token}


def _time(values: list[str]) -> float:
    try:
        parsed = datetime.fromisoformat(values[0].replace("Z", "+00:00"))
    except (ValueError, IndexError) as error:
        raise faults.validation("A time filter needs one ISO 8601 value.") from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def describe_load_balancer_target_groups(view: View, call: Call, request: Request) -> Answer:
    """Target groups attached the older way. Raises: ApiError."""
    group = require_group(view, call, request["auto_scaling_group_name"])
    found = [a for a in group.attachments if a.type == "elbv2" and a.legacy]
    shown, token = page(found, request, 100, 100)
    return {
        "load_balancer_target_groups": [
            {"load_balancer_target_group_arn": a.identifier, "state": a.state} for a in shown
        ],
        "next_token": token,
    }


def describe_load_balancers(view: View, call: Call, request: Request) -> Answer:
    """Classic Load Balancers attached the older way. Raises: ApiError."""
    group = require_group(view, call, request["auto_scaling_group_name"])
    found = [a for a in group.attachments if a.type == "elb" and a.legacy]
    shown, token = page(found, request, 100, 100)
    return {
        "load_balancers": [{"load_balancer_name": a.identifier, "state": a.state} for a in shown],
        "next_token": token,
    }


def describe_traffic_sources(view: View, call: Call, request: Request) -> Answer:
    """All attachments, whichever way they were made. Raises: ApiError."""
    group = require_group(view, call, request["auto_scaling_group_name"])
    type_ = request.get("traffic_source_type")
    found = [a for a in group.attachments if type_ in (None, "", a.type)]
    shown, token = page(found, request, 50, 50)
    return {
        "traffic_sources": [
            {"traffic_source": a.identifier, "state": a.state, "identifier": a.identifier, "type": a.type}
            for a in shown
        ],
        "next_token": token,
    }
