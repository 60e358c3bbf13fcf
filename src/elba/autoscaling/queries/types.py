"""The lists of names that clients may use."""

from __future__ import annotations

from elba.autoscaling.commands.hooks import TRANSITIONS
from elba.autoscaling.commands.notifications import TYPES
from elba.autoscaling.commands.policies import ADJUSTMENT_TYPES
from elba.autoscaling.commands.processes import METRICS, PROCESSES
from elba.autoscaling.termination import POLICY_TYPES
from elba.call import Answer, Call, Request
from elba.store.interface import View


def describe_adjustment_types(view: View, call: Call, request: Request) -> Answer:
    return {"adjustment_types": [{"adjustment_type": t} for t in ADJUSTMENT_TYPES]}


def describe_scaling_process_types(view: View, call: Call, request: Request) -> Answer:
    return {"processes": [{"process_name": n} for n in PROCESSES]}


def describe_termination_policy_types(view: View, call: Call, request: Request) -> Answer:
    return {"termination_policy_types": list(POLICY_TYPES)}


def describe_metric_collection_types(view: View, call: Call, request: Request) -> Answer:
    return {
        "metrics": [{"metric": m} for m in METRICS],
        "granularities": [{"granularity": "1Minute"}],
    }


def describe_lifecycle_hook_types(view: View, call: Call, request: Request) -> Answer:
    return {"lifecycle_hook_types": list(TRANSITIONS)}


def describe_auto_scaling_notification_types(view: View, call: Call, request: Request) -> Answer:
    return {"auto_scaling_notification_types": list(TYPES)}
