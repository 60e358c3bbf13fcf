"""Starts, cancels and rolls back instance refreshes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from elba.autoscaling import faults, mixed
from elba.autoscaling.commands.settings import launch_fields
from elba.autoscaling.launch_source import resolve
from elba.autoscaling.lookup import COUNTED, members_of, require_group
from elba.autoscaling.resources import Group, InstanceRefresh
from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.store.interface import Transaction, View

PROTECTED = ("Refresh", "Ignore", "Wait")
STANDBY = ("Terminate", "Ignore", "Wait")
FLOATING = ("$Latest", "$Default", "")


def active_refresh(view: View, group: Group) -> InstanceRefresh | None:
    refreshes = view.children(InstanceRefresh, group.account, group.region, group.id)
    return next((r for r in refreshes if r.active), None)


def start_instance_refresh(tx: Transaction, call: Call, request: Request) -> Answer:
    """Begin to replace the group's members. Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    if active_refresh(tx, group) is not None:
        raise ApiError(
            "InstanceRefreshInProgress",
            "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.",
        )
    strategy = request.get("strategy") or "Rolling"
    if strategy not in ("Rolling", "ReplaceRootVolume"):
        raise faults.constraint(strategy, "strategy", "satisfy enum value set: [Rolling, ReplaceRootVolume]")
    configuration: dict[str, Any] | None = None
    if wanted := request.get("desired_configuration"):
        found = launch_fields(tx, call, wanted, group)
        configuration = {n: found[n] for n in ("launch_template", "mixed_instances_policy") if found.get(n) is not None}
    if strategy == "ReplaceRootVolume":
        _check_images(tx, group, configuration)
    preferences = _preferences(tx, call, group, request.get("preferences") or {}, configuration)
    refresh = InstanceRefresh(
        account=call.account,
        region=call.region,
        id=call.ids.uuid(),
        group_name=group.id,
        start_time=call.now,
        strategy=strategy,
        preferences=preferences,
        desired_configuration=configuration or None,
    )
    tx.put(refresh)
    if configuration:
        tx.put(msgspec.structs.replace(group, launch_override=configuration))
    return {"instance_refresh_id": refresh.id}


def _check_images(view: View, group: Group, configuration: Mapping[str, Any] | None) -> None:
    """What AWS asks of a refresh that replaces root volumes. Raises: ApiError ValidationError."""
    policy = (configuration or {}).get("mixed_instances_policy")
    if group.mixed_instances_policy is None or policy is None:
        raise faults.validation(
            "The ReplaceRootVolume strategy requires an Auto Scaling group and a desired configuration with a mixed "
            "instances policy."
        )
    overrides = mixed.overrides(policy)
    if not overrides or not all(o.get("image_id") and o.get("instance_type") for o in overrides):
        raise faults.validation(
            "The ReplaceRootVolume strategy requires an InstanceType and an ImageId in every override of the desired "
            "configuration's mixed instances policy."
        )
    types = {o["instance_type"] for o in overrides}
    for member in members_of(view, group):
        if member.lifecycle_state in COUNTED and member.instance_type not in types:
            raise faults.validation(
                f"The instance {member.id} of type {member.instance_type} does not match the desired configuration."
            )


def _preferences(
    view: View, call: Call, group: Group, given: Mapping[str, Any], configuration: Mapping[str, Any] | None
) -> dict[str, Any]:
    policy = group.instance_maintenance_policy or {}
    low, high = given.get("min_healthy_percentage"), given.get("max_healthy_percentage")
    if high is not None and low is None:
        raise faults.validation("MinHealthyPercentage is required when MaxHealthyPercentage is specified.")
    if low is None:
        low, high = policy.get("min_healthy_percentage", 90), policy.get("max_healthy_percentage", 100)
    high = 100 if high is None else high
    if not 0 <= low <= 100 or not 100 <= high <= 200 or high - low > 100:
        raise faults.validation(
            "MinHealthyPercentage must be between 0 and 100, MaxHealthyPercentage between 100 and 200, and they may "
            "differ by at most 100."
        )
    warmup = given.get("instance_warmup")
    if warmup is None:
        warmup = group.default_instance_warmup
    if warmup is None:
        warmup = group.health_check_grace_period
    resolved: dict[str, Any] = {
        "min_healthy_percentage": low,
        "max_healthy_percentage": high,
        "instance_warmup": warmup,
        "skip_matching": bool(given.get("skip_matching")),
        "auto_rollback": bool(given.get("auto_rollback")),
        "scale_in_protected_instances": given.get("scale_in_protected_instances") or "Wait",
        "standby_instances": given.get("standby_instances") or "Wait",
        "bake_time": given.get("bake_time") or 0,
    }
    if resolved["scale_in_protected_instances"] not in PROTECTED:
        raise faults.validation(f"ScaleInProtectedInstances must be one of {', '.join(PROTECTED)}.")
    if resolved["standby_instances"] not in STANDBY:
        raise faults.validation(f"StandbyInstances must be one of {', '.join(STANDBY)}.")
    if points := given.get("checkpoint_percentages"):
        if list(points) != sorted(set(points)) or not all(1 <= p <= 100 for p in points):
            raise faults.validation("CheckpointPercentages must be unique, ascending and between 1 and 100.")
        delay = given.get("checkpoint_delay")
        resolved |= {"checkpoint_percentages": list(points), "checkpoint_delay": 3600 if delay is None else delay}
    elif given.get("checkpoint_delay"):
        raise faults.validation("CheckpointDelay requires CheckpointPercentages.")
    alarms = (given.get("alarm_specification") or {}).get("alarms") or []
    if len(alarms) > 10:
        raise faults.validation("At most 10 alarms can be specified.")
    if alarms:
        resolved["alarm_specification"] = {"alarms": list(alarms)}
    if resolved["auto_rollback"]:
        if not configuration:
            raise faults.validation("AutoRollback requires a desired configuration.")
        if not is_reversible(view, call, group):
            raise faults.validation(
                "AutoRollback requires a launch template with a version number, not $Latest or $Default, and with an "
                "AMI id, not a Systems Manager parameter."
            )
    return resolved


def is_reversible(view: View, call: Call, group: Group) -> bool:
    """Whether the group's own configuration says exactly what to go back to: a version, and an AMI by its id."""
    specification: Mapping[str, Any] | None = group.launch_template
    if group.mixed_instances_policy is not None:
        specification = group.mixed_instances_policy["launch_template"]["launch_template_specification"]
    if specification is None:
        return True
    if (specification.get("version") or "") in FLOATING:
        return False
    try:
        _, _, data = resolve(view, call, specification)
    except ApiError:
        return False
    return not str(data.get("image_id") or "").startswith("resolve:")


def cancel_instance_refresh(tx: Transaction, call: Call, request: Request) -> Answer:
    """Stop replacing; what is replaced stays so. Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    refresh = _require_active(tx, group)
    wait = request.get("wait_for_transitioning_instances")
    if wait is False:
        end_refresh(tx, call, refresh, "Cancelled", "Cancelled due to user request.")
    else:
        tx.put(
            msgspec.structs.replace(
                refresh, status="Cancelling", status_reason="Replacements in progress are being completed."
            )
        )
    return {"instance_refresh_id": refresh.id}


def rollback_instance_refresh(tx: Transaction, call: Call, request: Request) -> Answer:
    """Replace what was replaced, by the group's own configuration. Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    refresh = _require_active(tx, group)
    if refresh.status not in ("Pending", "InProgress", "Baking"):
        raise ApiError("ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh found.")
    if not refresh.desired_configuration or not is_reversible(tx, call, group):
        raise ApiError(
            "IrreversibleInstanceRefresh",
            "The instance refresh cannot be rolled back: it has no desired configuration, or the group's launch "
            "template version is $Latest or $Default, or its AMI is a Systems Manager parameter.",
        )
    begin_rollback(tx, call, refresh, "Rollback requested by user.")
    return {"instance_refresh_id": refresh.id}


def _require_active(view: View, group: Group) -> InstanceRefresh:
    refresh = active_refresh(view, group)
    if refresh is None:
        raise ApiError(
            "ActiveInstanceRefreshNotFound",
            f"No in progress, baking, pending, or cancelling Instance Refresh found for Auto Scaling group {group.id}",
        )
    return refresh


def begin_rollback(tx: Transaction, call: Call, refresh: InstanceRefresh, reason: str) -> None:
    """The group launches from its own configuration again; the reconciler finds out who has to go."""
    left = len(refresh.to_replace) + len(refresh.warm_to_replace)
    total = refresh.total + refresh.warm_total
    tx.put(
        msgspec.structs.replace(
            refresh,
            status="RollbackInProgress",
            status_reason=reason,
            rollback_reason=reason,
            rollback_start_time=call.now,
            rolled_back_percentage=100 * (total - left) // total if total else 0,
            rolled_back_left=left,
            to_replace=[],
            total=0,
            warm_to_replace=[],
            warm_total=0,
            wait_until=0.0,
            stuck_since=0.0,
        )
    )
    _drop_override(tx, refresh)


def end_refresh(tx: Transaction, call: Call, refresh: InstanceRefresh, status: str, reason: str = "") -> None:
    """Successful makes the desired configuration the group's own; every other end leaves the group as it was."""
    group = tx.get(Group, refresh.account, refresh.region, refresh.group_name)
    if status == "Successful" and group is not None and refresh.desired_configuration:
        own: dict[str, Any] = {
            "launch_configuration_name": "",
            "launch_template": None,
            "mixed_instances_policy": None,
            "launch_override": None,
            **refresh.desired_configuration,
        }
        tx.put(msgspec.structs.replace(group, **own))
    else:
        _drop_override(tx, refresh)
    tx.put(
        msgspec.structs.replace(
            refresh, status=status, status_reason=reason, end_time=call.now, wait_until=0.0, stuck_since=0.0
        )
    )


def _drop_override(tx: Transaction, refresh: InstanceRefresh) -> None:
    group = tx.get(Group, refresh.account, refresh.region, refresh.group_name)
    if group is not None and group.launch_override is not None:
        tx.put(msgspec.structs.replace(group, launch_override=None))
