"""Put, delete and execute scaling policies."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from elba.autoscaling import faults, predictive
from elba.autoscaling.commands import alarms
from elba.autoscaling.commands.scaling import Invocation, invoke
from elba.autoscaling.lookup import find_policy, require_group
from elba.autoscaling.policies import NoStep
from elba.autoscaling.resources import Forecast, Policy
from elba.call import Answer, Call, Request
from elba.store.interface import Transaction

MAX_POLICIES = 50
MAX_STEPS = 20
TYPES = ("SimpleScaling", "StepScaling", "TargetTrackingScaling", "PredictiveScaling")
ADJUSTMENT_TYPES = ("ChangeInCapacity", "ExactCapacity", "PercentChangeInCapacity")
AGGREGATIONS = ("Average", "Minimum", "Maximum")


def put_scaling_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Make or replace the policy of that name; its ARN stays. Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    name = request["policy_name"]
    old = find_policy(tx, call, name, group.id)
    if old is None and len(tx.children(Policy, call.account, call.region, group.id)) >= MAX_POLICIES:
        raise faults.limit(f"An Auto Scaling group can have at most {MAX_POLICIES} scaling policies.")
    type_ = request.get("policy_type") or "SimpleScaling"
    if type_ not in TYPES:
        raise faults.validation(f"Unsupported policy type {type_}. Valid types are {', '.join(TYPES)}.")
    fields: dict[str, Any] = {"policy_type": type_}
    if type_ in ("SimpleScaling", "StepScaling"):
        fields |= _adjustment(request, type_)
    if type_ in ("StepScaling", "TargetTrackingScaling"):
        warmup = request.get("estimated_instance_warmup")
        if warmup is not None and warmup < 0:
            raise faults.constraint(warmup, "estimatedInstanceWarmup", "have value greater than or equal to 0")
        fields["estimated_instance_warmup"] = warmup
    if type_ == "TargetTrackingScaling":
        configuration = request.get("target_tracking_configuration")
        if not configuration:
            raise faults.validation("You should provide a TargetTrackingConfiguration")
        if request.get("step_adjustments"):
            raise faults.validation("StepAdjustments are not supported for a TargetTracking policy")
        alarms.check_configuration(tx, call, group, configuration)
        for other in tx.children(Policy, call.account, call.region, group.id):
            theirs = other.target_tracking_configuration
            if (old is None or other.id != old.id) and theirs is not None and _metric(theirs) == _metric(configuration):
                raise faults.validation(
                    "Only one TargetTrackingScaling policy for a given metric specification is allowed."
                )
        fields["target_tracking_configuration"] = dict(configuration)
    if type_ == "PredictiveScaling":
        given = request.get("predictive_scaling_configuration")
        if not given:
            raise faults.validation("You must specify PredictiveScalingConfiguration.")
        if request.get("target_tracking_configuration"):
            raise faults.validation("You can't specify TargetTrackingConfiguration for policy type: PredictiveScaling")
        fields["predictive_scaling_configuration"] = predictive.checked(given)
    enabled = request.get("enabled")
    arn = call.arn(
        "autoscaling",
        f"scalingPolicy:{call.ids.uuid()}:autoScalingGroupName/{group.id}:policyName/{name}",
    )
    policy = Policy(
        account=call.account,
        region=call.region,
        id=old.id if old else arn,
        group_name=group.id,
        policy_name=name,
        enabled=True if enabled is None else enabled,
        created_time=old.created_time if old else call.now,
        **fields,
    )
    if old is not None:
        alarms.delete_alarms(tx, call, old)
        _forget_forecast(tx, old, fields.get("predictive_scaling_configuration"))
    if type_ == "TargetTrackingScaling":
        policy = msgspec.structs.replace(policy, alarm_names=alarms.put_alarms(tx, call, group, policy))
    tx.put(policy)
    return {
        "policy_arn": policy.id,
        "alarms": [{"alarm_name": n, "alarm_arn": call.arn("cloudwatch", f"alarm:{n}")} for n in policy.alarm_names],
    }


def _forget_forecast(tx: Transaction, old: Policy, configuration: Mapping[str, Any] | None) -> None:
    """A forecast of other metrics, or for another target value, says nothing any more."""
    before = (old.predictive_scaling_configuration or {}).get("metric_specifications")
    if before != (configuration or {}).get("metric_specifications"):
        forecast = tx.get(Forecast, old.account, old.region, old.id)
        if forecast is not None:
            tx.delete(forecast)


def _metric(configuration: Mapping[str, Any]) -> tuple[Any, Any]:
    return (
        configuration.get("predefined_metric_specification"),
        configuration.get("customized_metric_specification"),
    )


def _adjustment(request: Request, type_: str) -> dict[str, Any]:
    adjustment_type = request.get("adjustment_type")
    if request.get("target_tracking_configuration"):
        raise faults.validation(f"TargetTrackingConfiguration is not supported for a {type_} policy")
    if not adjustment_type:
        raise faults.validation(f"You must specify an AdjustmentType for policy type: {type_}")
    if adjustment_type not in ADJUSTMENT_TYPES:
        raise faults.validation(
            f"{adjustment_type} is not a valid adjustment type. Valid types are {', '.join(ADJUSTMENT_TYPES)}."
        )
    magnitude = request.get("min_adjustment_magnitude")
    if magnitude is None:
        magnitude = request.get("min_adjustment_step")
    if magnitude is not None and adjustment_type != "PercentChangeInCapacity":
        raise faults.validation("MinAdjustmentMagnitude is not supported by the specified adjustment type.")
    if magnitude is not None and magnitude <= 0:
        raise faults.validation("If specified, MinAdjustmentMagnitude must be greater than zero.")
    fields: dict[str, Any] = {"adjustment_type": adjustment_type, "min_adjustment_magnitude": magnitude}
    adjustment, steps = request.get("scaling_adjustment"), request.get("step_adjustments") or []
    if type_ == "SimpleScaling":
        if adjustment is None:
            raise faults.validation("Scaling increment must be specified for a SimpleScaling policy")
        if steps:
            raise faults.validation("StepAdjustments are not supported for a SimpleScaling policy")
        if adjustment_type == "ExactCapacity" and adjustment < 0:
            raise faults.validation("The lower range for adjustment is 0 with the specified adjustment type.")
        if request.get("estimated_instance_warmup"):
            raise faults.validation("EstimatedInstanceWarmup is not supported by policy type SimpleScaling.")
        return {**fields, "scaling_adjustment": adjustment, "cooldown": request.get("cooldown")}
    if adjustment is not None:
        raise faults.validation("ScalingAdjustment is not supported by policy type StepScaling.")
    aggregation = request.get("metric_aggregation_type") or "Average"
    if aggregation not in AGGREGATIONS:
        raise faults.validation(
            f"{aggregation} is not a valid metric aggregation type. Valid types are {', '.join(AGGREGATIONS)}."
        )
    for step in steps:
        if adjustment_type == "ExactCapacity" and step["scaling_adjustment"] < 0:
            raise faults.validation(
                "The lowest value for ScalingAdjustment parameter is 0 with the specified adjustment type. Erroneous "
                f"StepAdjustment is {_as_shown(step)}"
            )
    return {**fields, "step_adjustments": checked_steps(steps), "metric_aggregation_type": aggregation}


def checked_steps(steps: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """The steps without absent bounds, in the order given. Raises: ApiError ValidationError."""
    if not steps:
        raise faults.validation("You should specify at least one StepAdjustment with a StepScaling policy.")
    if len(steps) > MAX_STEPS:
        raise faults.validation(f"Your policies can have at most {MAX_STEPS} StepAdjustments.")
    names = ("metric_interval_lower_bound", "metric_interval_upper_bound", "scaling_adjustment")
    shown = [{n: s[n] for n in names if s.get(n) is not None} for s in steps]
    lowers = [s.get(names[0]) for s in shown]
    uppers = [s.get(names[1]) for s in shown]
    if any(lo is None and up is None for lo, up in zip(lowers, uppers, strict=True)):
        raise faults.validation("Both lower and upper bounds of a StepAdjustment cannot be left unspecified.")
    for step, lo, up in zip(steps, lowers, uppers, strict=True):
        if lo is not None and up is not None and lo >= up:
            raise faults.validation(
                f"LowerBound must be less than the UpperBound for StepAdjustment : {_as_shown(step)}"
            )
    for bounds, side in ((lowers, "lower"), (uppers, "upper")):
        if bounds.count(None) > 1:
            raise faults.validation(
                f"At most one StepAdjustment may have an unspecified {side} bound (i.e., {side} bound is null)."
            )
    if any(lo is not None and lo < 0 for lo in lowers) and None not in lowers:
        raise faults.validation(
            "There must be a StepAdjustment with an unspecified lower bound (i.e., lower bound is null) when one "
            "StepAdjustment has a negative lower bound."
        )
    if any(up is not None and up > 0 for up in uppers) and None not in uppers:
        raise faults.validation(
            "There must be a StepAdjustment with an unspecified upper bound (i.e., upper bound is null) when one "
            "StepAdjustment has a positive upper bound."
        )
    ordered = sorted(shown, key=lambda s: s.get(names[0], float("-inf")))
    for lower, higher in itertools.pairwise(ordered):
        ends, begins = lower.get(names[1], float("inf")), higher[names[0]]
        if ends > begins:
            raise faults.validation("StepAdjustment intervals cannot overlap.")
        if ends < begins:
            raise faults.validation("StepAdjustment intervals cannot have gaps between them.")
    return shown


def _as_shown(step: Mapping[str, Any]) -> str:
    """The step as AWS writes it into its refusals."""
    names = ("metric_interval_lower_bound", "metric_interval_upper_bound", "scaling_adjustment")
    bounds = ["null" if step.get(n) is None else str(float(step[n])) for n in names]
    return (
        f"StepAdjustment{{MetricIntervalLowerBound={bounds[0]},MetricIntervalUpperBound={bounds[1]},"
        f"ScalingAdjustment={bounds[2]},ProportionalFactor=null}}"
    )


def delete_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Delete the policy; alarms that target tracking made go too, others only lose the action. Raises: ApiError."""
    if request.get("auto_scaling_group_name"):
        require_group(tx, call, request["auto_scaling_group_name"])
    policy = find_policy(tx, call, request["policy_name"], request.get("auto_scaling_group_name"))
    if policy is None:
        raise faults.policy_unknown(request["policy_name"])
    tx.delete(policy)
    if forecast := tx.get(Forecast, policy.account, policy.region, policy.id):
        tx.delete(forecast)
    alarms.forget_policy(tx, call, policy)
    return {}


def execute_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Act on a simple or step policy at once. Raises: ApiError ValidationError, ScalingActivityInProgress."""
    name = request["policy_name"]
    if request.get("auto_scaling_group_name"):
        require_group(tx, call, request["auto_scaling_group_name"])
    policy = find_policy(tx, call, name, request.get("auto_scaling_group_name"))
    if policy is None:
        raise faults.policy_unknown(name)
    group = require_group(tx, call, policy.group_name)
    if policy.policy_type not in ("SimpleScaling", "StepScaling"):
        raise faults.validation(f"Policy type {policy.policy_type} is not supported by ExecutePolicy.")
    if not policy.enabled:
        raise faults.validation(f"The scaling policy {policy.policy_name} is disabled.")
    metric, threshold = request.get("metric_value"), request.get("breach_threshold")
    if policy.policy_type == "StepScaling" and (metric is None or threshold is None):
        raise faults.validation("MetricValue and BreachThreshold are required for policies of type StepScaling.")
    invocation = Invocation(policy, metric=metric, threshold=threshold)
    honor = bool(request.get("honor_cooldown")) and policy.policy_type == "SimpleScaling"
    try:
        blocked = invoke(tx, call, group, [invocation], honor_cooldown=honor)
    except NoStep as error:
        raise faults.validation(
            f"No step adjustment found for metric value [{metric}] and breach threshold {threshold}"
        ) from error
    if honor and blocked:
        raise faults.cooling(group.id)
    return {}
