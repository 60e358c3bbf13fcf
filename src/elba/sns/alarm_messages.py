"""What CloudWatch publishes when an alarm's action is a topic. Source: CloudWatch user guide, "Notifying users"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from botocore.loaders import Loader

from elba.cloudwatch.alarms import iso
from elba.cloudwatch.resources import Alarm, AlarmAction, CompositeAlarm

STATISTICS = {"SampleCount": "SAMPLE_COUNT"}
MOST_SUBJECT = 100


@cache
def region_names() -> Mapping[str, str]:
    """Long names of regions (`US East (N. Virginia)`), as botocore's endpoint data has them."""
    partitions = Loader().load_data("endpoints")["partitions"]
    return {name: each["description"] for partition in partitions for name, each in partition["regions"].items()}


def subject(action: AlarmAction) -> str:
    """`ALARM: "cpu" in US East (N. Virginia)`, cut to what a subject may hold."""
    long_name = region_names().get(action.region, action.region)
    return f'{action.state}: "{action.alarm_name}" in {long_name}'[:MOST_SUBJECT]


def message(action: AlarmAction, alarm: Alarm | CompositeAlarm) -> str:
    """The message's JSON text."""
    fields: dict[str, Any] = {
        "AlarmName": alarm.id,
        "AlarmDescription": alarm.description or None,
        "AWSAccountId": alarm.account,
    }
    fields |= {
        "AlarmConfigurationUpdatedTimestamp": iso(alarm.configuration_updated),
        "NewStateValue": action.state,
        "NewStateReason": action.state_reason,
        "StateChangeTime": iso(action.time),
        "Region": region_names().get(alarm.region, alarm.region),
        "AlarmArn": alarm.arn,
        "OldStateValue": action.old_state,
        "OKActions": alarm.ok_actions,
        "AlarmActions": alarm.alarm_actions,
        "InsufficientDataActions": alarm.insufficient_data_actions,
    }
    if isinstance(alarm, CompositeAlarm):
        fields["AlarmRule"] = alarm.alarm_rule
        fields["TriggeringChildren"] = _triggering(action.state_reason_data)
    if isinstance(alarm, Alarm):
        fields["Trigger"] = _trigger(alarm)
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def _triggering(reason_data: str) -> list[dict[str, Any]]:
    """The children that changed a composite alarm's state; none if somebody set it by hand."""
    data = json.loads(reason_data) if reason_data else {}
    children = data.get("triggeringAlarms") if isinstance(data, dict) else None
    return [
        {"Arn": child["arn"], "State": {"Value": child["state"]["value"], "Timestamp": child["state"]["timestamp"]}}
        for child in children or ()
    ]


def _trigger(alarm: Alarm) -> dict[str, Any]:
    trigger: dict[str, Any] = {}
    if alarm.metric_name is not None:
        trigger = {"MetricName": alarm.metric_name, "Namespace": alarm.namespace}
        if alarm.extended_statistic:
            trigger |= {"StatisticType": "ExtendedStatistic", "ExtendedStatistic": alarm.extended_statistic}
        else:
            statistic = alarm.statistic or ""
            trigger |= {"StatisticType": "Statistic", "Statistic": STATISTICS.get(statistic, statistic.upper())}
        trigger |= {
            "Unit": alarm.unit,
            "Dimensions": [{"value": d["value"], "name": d["name"]} for d in alarm.dimensions],
        }
    trigger |= {"Period": alarm.period or 60, "EvaluationPeriods": alarm.evaluation_periods}
    if alarm.datapoints_to_alarm is not None:
        trigger["DatapointsToAlarm"] = alarm.datapoints_to_alarm
    trigger |= {
        "ComparisonOperator": alarm.comparison_operator,
        "Threshold": alarm.threshold,
        "TreatMissingData": alarm.treat_missing_data or "",
        "EvaluateLowSampleCountPercentile": alarm.evaluate_low_sample_count_percentile or "",
    }
    if alarm.threshold_metric_id:
        del trigger["Threshold"]
        trigger["ThresholdMetricId"] = alarm.threshold_metric_id
    if alarm.metrics:
        trigger["Metrics"] = [_metric(query) for query in alarm.metrics]
    return trigger


def _metric(query: Mapping[str, Any]) -> dict[str, Any]:
    """One query of a math alarm."""
    shown: dict[str, Any] = {}
    if query.get("expression"):
        shown["Expression"] = query["expression"]
    shown["Id"] = query["id"]
    if query.get("label"):
        shown["Label"] = query["label"]
    if stat := query.get("metric_stat"):
        metric = stat["metric"]
        shown["MetricStat"] = {
            "Metric": {
                "Dimensions": [{"value": d["value"], "name": d["name"]} for d in metric.get("dimensions") or []],
                "MetricName": metric.get("metric_name"),
                "Namespace": metric.get("namespace"),
            },
            "Period": stat.get("period"),
            "Stat": stat.get("stat"),
        }
    shown["ReturnData"] = query.get("return_data", True)
    return shown
