"""The alarms that target tracking makes, and what becomes of alarms when a policy goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from elba.autoscaling import faults
from elba.autoscaling.resources import Group, Policy
from elba.call import Call
from elba.cloudwatch import commands as cloudwatch
from elba.cloudwatch.resources import Alarm
from elba.elbv2.resources import TargetGroup
from elba.store.interface import Transaction, View

LEAST_TARGET = 8.51592e-12
GREATEST_TARGET = 1.174271e17
LOW_SHARE = 0.9
"""The low alarm's threshold as a share of the target value."""

HIGH_PERIODS = 3
LOW_PERIODS = 15

_INSTANCE_METRICS = {
    "ASGAverageCPUUtilization": "CPUUtilization",
    "ASGAverageNetworkIn": "NetworkIn",
    "ASGAverageNetworkOut": "NetworkOut",
}
PREDEFINED = (*_INSTANCE_METRICS, "ALBRequestCountPerTarget")
PERIODS = (10, 30, 60)
STATISTICS = ("Average", "Minimum", "Maximum", "SampleCount", "Sum")
CUSTOMIZED = "targetTrackingConfiguration.customizedMetricSpecification"
NO_ALARMS = "Unable to create alarms in CloudWatch: "


def check_configuration(view: View, call: Call, group: Group, configuration: Mapping[str, Any]) -> None:
    """Raises: ApiError ValidationError for a TargetTrackingConfiguration that AWS would refuse."""
    predefined = configuration.get("predefined_metric_specification")
    customized = configuration.get("customized_metric_specification")
    if bool(predefined) == bool(customized):
        raise faults.validation(
            "You should provide either a CustomizedMetricSpecification or a PredefinedMetricSpecification"
        )
    if not LEAST_TARGET <= configuration["target_value"] <= GREATEST_TARGET:
        raise faults.validation("Target value must be between 8.51592E-12 and 1.174271E17")
    if predefined:
        _check_predefined(view, call, group, predefined)
    elif customized:
        _check_customized(customized)


def _check_predefined(view: View, call: Call, group: Group, specification: Mapping[str, Any]) -> None:
    kind, label = specification["predefined_metric_type"], specification.get("resource_label")
    if kind not in PREDEFINED:
        raise faults.constraint(
            kind,
            "targetTrackingConfiguration.predefinedMetricSpecification.predefinedMetricType",
            f"satisfy enum value set: [{', '.join(PREDEFINED)}]",
        )
    if kind != "ALBRequestCountPerTarget":
        if label:
            raise faults.validation(f"Resource label should not be specified for predefined metric type {kind}")
        return
    if not label:
        raise faults.validation(f"Resource label should be specified for predefined metric type {kind}")
    balancer, target_group = split_label(label)
    if not balancer.startswith("app/") or not target_group.startswith("targetgroup/"):
        raise faults.validation(f"Invalid resource label: {label}")
    attached = [a.identifier for a in group.attachments if a.type == "elbv2" and a.state != "Removing"]
    arn = next((a for a in attached if a.endswith(f":{target_group}")), None)
    found = view.get(TargetGroup, call.account, call.region, arn) if arn else None
    if found is None:
        raise faults.validation("Target group not attached to the Auto Scaling group")
    if not any(a.endswith(f"loadbalancer/{balancer}") for a in found.load_balancer_arns):
        raise faults.validation(
            f"The load balancer {balancer} does not route traffic to the target group {target_group}."
        )


def split_label(label: str) -> tuple[str, str]:
    """(app/…, targetgroup/…) of a resource label."""
    head, _, tail = label.partition("/targetgroup/")
    return head, f"targetgroup/{tail}" if tail else ""


def _check_customized(specification: Mapping[str, Any]) -> None:
    queries = specification.get("metrics")
    simple = [specification.get(n) for n in ("metric_name", "namespace", "statistic")]
    if queries:
        if any(simple) or any(specification.get(n) for n in ("dimensions", "unit", "period")):
            raise faults.validation(
                "A customized metric specification with 'Metrics' specified cannot have any of ['Dimensions', "
                "'MetricName', 'Namespace', 'Statistic', 'Unit', 'Period'] specified as well."
            )
        if len(queries) > 10:
            raise faults.validation("A customized metric specification can have at most 10 metrics.")
        for query in queries:
            if not query["id"][:1].islower():
                raise faults.validation(f"Metric id {query['id']} must start with a lower-case letter.")
            _check_period((query.get("metric_stat") or query).get("period"))
        returned = [q for q in queries if q.get("return_data") is not False]
        if len(returned) != 1:
            raise faults.validation(f"{NO_ALARMS}Exactly one element of the metrics list should return data.")
        if any(q.get("expression") and q.get("metric_stat") for q in queries):
            raise faults.validation(
                f"{NO_ALARMS}The parameters MetricDataQuery Expression and MetricStat are mutually exclusive and you "
                "have specified both."
            )
        if len({_period_of(q) for q in queries if q.get("metric_stat")}) > 1:
            raise faults.validation(f"{NO_ALARMS}All metrics in the alarm should have the same period")
    elif not all(simple):
        missing = next(n for n in ("metric_name", "namespace", "statistic") if not specification.get(n))
        field = {"metric_name": "metricName"}.get(missing, missing)
        raise faults.validation(
            f"1 validation error detected: Value null at '{CUSTOMIZED}.{field}' failed to satisfy constraint: Member "
            "must not be null"
        )
    elif specification["statistic"] not in STATISTICS:
        raise faults.constraint(
            specification["statistic"], "statistic", f"satisfy enum value set: [{', '.join(STATISTICS)}]"
        )
    else:
        _check_period(specification.get("period"))


def _period_of(query: Mapping[str, Any]) -> int:
    return int((query.get("metric_stat") or {}).get("period") or query.get("period") or max(PERIODS))


def _check_period(period: int | None) -> None:
    if period is not None and period > max(PERIODS):
        raise faults.validation(
            "A metric period greater than 60 isn't supported. Specify a 'period' value less than or equal to 60 and "
            "try again."
        )
    if period is not None and period not in PERIODS:
        raise faults.validation(f"Period must be one of {', '.join(map(str, PERIODS))} seconds, not {period}.")


def metric_fields(group: Group, configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The PutMetricAlarm members that say which metric the configuration tracks, period included."""
    predefined = configuration.get("predefined_metric_specification")
    if predefined:
        kind = predefined["predefined_metric_type"]
        if kind == "ALBRequestCountPerTarget":
            _, target_group = split_label(predefined["resource_label"])
            return {
                "namespace": "AWS/ApplicationELB",
                "metric_name": "RequestCountPerTarget",
                "dimensions": [{"name": "TargetGroup", "value": target_group}],
                "statistic": "Sum",
                "period": 60,
            }
        return {
            "namespace": "AWS/EC2",
            "metric_name": _INSTANCE_METRICS[kind],
            "dimensions": [{"name": "AutoScalingGroupName", "value": group.id}],
            "statistic": "Average",
            "period": 60,
        }
    customized = configuration["customized_metric_specification"]
    if customized.get("metrics"):
        return {"metrics": [_query(q) for q in customized["metrics"]]}
    fields = {
        "namespace": customized["namespace"],
        "metric_name": customized["metric_name"],
        "statistic": customized["statistic"],
        "dimensions": customized.get("dimensions") or [],
        "period": customized.get("period") or 60,
    }
    if customized.get("unit"):
        fields["unit"] = customized["unit"]
    return fields


def _query(query: Mapping[str, Any]) -> dict[str, Any]:
    shown = {k: v for k, v in query.items() if v is not None}
    if stat := query.get("metric_stat"):
        metric_stat = {k: v for k, v in stat.items() if v is not None}
        metric_stat.setdefault("period", query.get("period") or 60)
        shown["metric_stat"] = metric_stat
        shown.pop("period", None)
    shown.setdefault("return_data", query.get("return_data") is not False)
    return shown


def put_alarms(tx: Transaction, call: Call, group: Group, policy: Policy) -> list[str]:
    """Make (or remake) the policy's alarms; their names. None for a disabled policy. Raises: ApiError."""
    configuration = policy.target_tracking_configuration
    assert configuration is not None
    delete_alarms(tx, call, policy)
    if not policy.enabled:
        return []
    target = float(configuration["target_value"])
    wanted = [("AlarmHigh", "GreaterThanThreshold", target, HIGH_PERIODS)]
    if not configuration.get("disable_scale_in"):
        wanted.append(("AlarmLow", "LessThanThreshold", round(target * LOW_SHARE, 10), LOW_PERIODS))
    names = []
    for which, operator, threshold, periods in wanted:
        name = f"TargetTracking-{group.id}-{which}-{call.ids.uuid()}"
        cloudwatch.put_metric_alarm(
            tx,
            call,
            {
                "alarm_name": name,
                "alarm_description": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy.id}.",
                "actions_enabled": True,
                "alarm_actions": [policy.id],
                "comparison_operator": operator,
                "threshold": threshold,
                "evaluation_periods": periods,
                **metric_fields(group, configuration),
            },
        )
        names.append(name)
    return names


def delete_alarms(tx: Transaction, call: Call, policy: Policy) -> None:
    """Delete the alarms that target tracking made for the policy, also if a composite alarm depends on them."""
    found = (tx.get(Alarm, policy.account, policy.region, name) for name in policy.alarm_names)
    cloudwatch.remove_alarms(tx, call, [alarm for alarm in found if alarm is not None])


def alarms_of(view: View, policy: Policy) -> list[Alarm]:
    """All metric alarms that have the policy among their actions, user-made ones included."""
    return [
        alarm
        for alarm in view.all(Alarm, policy.account, policy.region)
        if policy.id in (*alarm.alarm_actions, *alarm.ok_actions, *alarm.insufficient_data_actions)
    ]


def forget_policy(tx: Transaction, call: Call, policy: Policy) -> None:
    """Delete the policy's own alarms and take its ARN from the actions of all others."""
    delete_alarms(tx, call, policy)
    for alarm in alarms_of(tx, policy):
        without = {
            name: [a for a in getattr(alarm, name) if a != policy.id]
            for name in ("alarm_actions", "ok_actions", "insufficient_data_actions")
        }
        tx.put(msgspec.structs.replace(alarm, **without))
