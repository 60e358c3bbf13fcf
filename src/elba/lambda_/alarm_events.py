"""The event with which an alarm invokes a function. Pure. Source: CloudWatch user guide, "Lambda alarm actions"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from elba.cloudwatch.resources import Alarm, AlarmAction, CompositeAlarm


def _time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}+0000"


def event_of(action: AlarmAction, alarm: Alarm | CompositeAlarm | None) -> dict[str, Any]:
    """`alarm` as it is now (None: deleted meanwhile)."""
    state = {"value": action.state, "reason": action.state_reason, "timestamp": _time(action.time)}
    if action.state_reason_data:
        state["reasonData"] = action.state_reason_data
    return {
        "source": "aws.cloudwatch",
        "alarmArn": action.alarm_arn,
        "accountId": action.account,
        "time": _time(action.time),
        "region": action.region,
        "alarmData": {
            "alarmName": action.alarm_name,
            "state": state,
            "previousState": _previous(action),
            "configuration": {} if alarm is None else _configuration(alarm),
        },
    }


def _previous(action: AlarmAction) -> dict[str, Any]:
    state: dict[str, Any] = {"value": action.old_state}
    if action.old_state_reason:
        state["reason"] = action.old_state_reason
    if action.old_state_reason_data:
        state["reasonData"] = action.old_state_reason_data
    if action.old_time:
        state["timestamp"] = _time(action.old_time)
    return state


def _configuration(alarm: Alarm | CompositeAlarm) -> dict[str, Any]:
    described = {} if alarm.description is None else {"description": alarm.description}
    if isinstance(alarm, CompositeAlarm):
        if alarm.actions_suppressor:
            described["actionsSuppressor"] = alarm.actions_suppressor
        return {**described, "alarmRule": alarm.alarm_rule}
    queries: Sequence[Mapping[str, Any]] = alarm.metrics or [
        {
            "id": "m1",
            "metric_stat": {
                "metric": {
                    "namespace": alarm.namespace,
                    "metric_name": alarm.metric_name,
                    "dimensions": alarm.dimensions,
                },
                "period": alarm.period,
                "stat": alarm.statistic or alarm.extended_statistic,
                "unit": alarm.unit,
            },
        }
    ]
    return {**described, "metrics": [_query(query) for query in queries]}


def _query(query: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": query["id"]}
    for name in ("expression", "label"):
        if query.get(name):
            shown[name] = query[name]
    if (stat := query.get("metric_stat")) is not None:
        metric = stat["metric"]
        shown["metricStat"] = {
            "metric": {
                "namespace": metric.get("namespace"),
                "name": metric.get("metric_name"),
                "dimensions": {d["name"]: d["value"] for d in metric.get("dimensions") or ()},
            },
            "period": stat["period"],
            "stat": stat["stat"],
            **({"unit": stat["unit"]} if stat.get("unit") else {}),
        }
    elif query.get("period"):
        shown["period"] = query["period"]
    returns = query.get("return_data")
    shown["returnData"] = True if returns is None else returns
    return shown
