"""Suspended processes and metrics collection."""

from __future__ import annotations

import msgspec

from elba.autoscaling import faults, sentences
from elba.autoscaling.lookup import require_group
from elba.autoscaling.resources import SuspendedProcess
from elba.call import Answer, Call, Request
from elba.store.interface import Transaction

PROCESSES = (
    "AZRebalance",
    "AddToLoadBalancer",
    "AlarmNotification",
    "HealthCheck",
    "InstanceRefresh",
    "Launch",
    "ReplaceUnhealthy",
    "ScheduledActions",
    "Terminate",
)

METRICS = (
    "GroupMinSize",
    "GroupMaxSize",
    "GroupDesiredCapacity",
    "GroupInServiceInstances",
    "GroupInServiceCapacity",
    "GroupPendingInstances",
    "GroupPendingCapacity",
    "GroupTerminatingInstances",
    "GroupTerminatingCapacity",
    "GroupStandbyInstances",
    "GroupStandbyCapacity",
    "GroupTotalInstances",
    "GroupTotalCapacity",
    "WarmPoolMinSize",
    "WarmPoolDesiredCapacity",
    "WarmPoolWarmedCapacity",
    "WarmPoolPendingCapacity",
    "WarmPoolTerminatingCapacity",
    "WarmPoolTotalCapacity",
    "GroupAndWarmPoolDesiredCapacity",
    "GroupAndWarmPoolTotalCapacity",
)


def _processes(request: Request) -> list[str]:
    names = list(request.get("scaling_processes") or PROCESSES)
    for name in names:
        if name not in PROCESSES:
            raise faults.validation(f"Invalid scaling process name: {name}. Valid are {', '.join(PROCESSES)}.")
    return names


def suspend_processes(tx: Transaction, call: Call, request: Request) -> Answer:
    """Suspend the named processes (all without a list). Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    kept = list(group.suspended_processes)
    already = {s.process_name for s in kept}
    reason = f"User suspended at {sentences.iso(call.now)}"
    kept += [
        SuspendedProcess(process_name=n, suspension_reason=reason)
        for n in dict.fromkeys(_processes(request))
        if n not in already
    ]
    tx.put(msgspec.structs.replace(group, suspended_processes=kept))
    return {}


def resume_processes(tx: Transaction, call: Call, request: Request) -> Answer:
    """Resume the named processes (all without a list). Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    names = set(_processes(request))
    kept = [s for s in group.suspended_processes if s.process_name not in names]
    tx.put(msgspec.structs.replace(group, suspended_processes=kept))
    return {}


def _metrics(request: Request) -> list[str]:
    names = list(request.get("metrics") or METRICS)
    for name in names:
        if name not in METRICS:
            raise faults.validation(f"Valid metrics collection types are: [{', '.join(METRICS)}].")
    return names


def enable_metrics_collection(tx: Transaction, call: Call, request: Request) -> Answer:
    """Add the named metrics (all without a list) to those published each minute. Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    if request["granularity"] != "1Minute":
        raise faults.validation("Valid metrics granularity type is: [1Minute].")
    enabled = dict.fromkeys([*group.enabled_metrics, *_metrics(request)])
    tx.put(msgspec.structs.replace(group, enabled_metrics=list(enabled)))
    return {}


def disable_metrics_collection(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    gone = set(_metrics(request))
    tx.put(msgspec.structs.replace(group, enabled_metrics=[m for m in group.enabled_metrics if m not in gone]))
    return {}
