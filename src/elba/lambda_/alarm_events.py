"""The event with which an alarm invokes a function. Pure. Source: CloudWatch user guide, "Lambda alarm actions"."""

from __future__ import annotations

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
    if alarm.metrics:
        return {**described, "metrics": alarm.metrics}
    return {
        **described,
        "metrics": [
            {
                "id": "m1",
                "metricStat": {
                    "metric": {
                        "namespace": alarm.namespace,
                        "name": alarm.metric_name,
                        "dimensions": {d["name"]: d["value"] for d in alarm.dimensions},
                    },
                    "period": alarm.period,
                    "stat": alarm.statistic or alarm.extended_statistic,
                    **({"unit": alarm.unit} if alarm.unit else {}),
                },
                "returnData": True,
            }
        ],
    }
