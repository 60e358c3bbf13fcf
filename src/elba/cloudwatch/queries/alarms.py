"""DescribeAlarms, DescribeAlarmsForMetric, DescribeAlarmHistory, ListTagsForResource."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from elba.call import Answer, Call, Request
from elba.cloudwatch.commands.composites import child_names
from elba.cloudwatch.commands.tags import find_taggable
from elba.cloudwatch.commands.transitions import AnyAlarm, actions_of
from elba.cloudwatch.composite import alarm_name
from elba.cloudwatch.limits import combination, require_state, validation_error
from elba.cloudwatch.paging import decode_token, encode_token, page
from elba.cloudwatch.resources import Alarm, AlarmHistoryItem, CompositeAlarm
from elba.datapoints import dimensions
from elba.store.interface import View

RECORDS_DEFAULT = 50
RECORDS_MOST = 100
NAMES_MOST = 100
PARENT_MEMBERS = ("alarm_name", "alarm_arn")
CHILD_MEMBERS = (*PARENT_MEMBERS, "state_value", "state_updated_timestamp")
"""All that is told of an alarm's parents and children. Source: API reference, DescribeAlarms."""


def alarm_answer(alarm: Alarm) -> Answer:
    """The alarm as DescribeAlarms shows it: what was not given is not shown."""
    classic = not alarm.metrics
    return {
        **_common(alarm),
        "metric_name": alarm.metric_name,
        "namespace": alarm.namespace,
        "statistic": alarm.statistic,
        "extended_statistic": alarm.extended_statistic,
        "dimensions": alarm.dimensions if classic else [],
        "period": alarm.period,
        "unit": alarm.unit,
        "evaluation_periods": alarm.evaluation_periods,
        "datapoints_to_alarm": alarm.datapoints_to_alarm,
        "threshold": alarm.threshold,
        "comparison_operator": alarm.comparison_operator,
        "treat_missing_data": alarm.treat_missing_data,
        "evaluate_low_sample_count_percentile": alarm.evaluate_low_sample_count_percentile,
        "metrics": None if classic else [_query(q) for q in alarm.metrics],
        "threshold_metric_id": alarm.threshold_metric_id,
        "evaluation_window": alarm.evaluation_window,
    }


def _query(query: Mapping[str, Any]) -> Answer:
    return {"return_data": True, **{k: v for k, v in query.items() if v is not None}}


def composite_answer(alarm: CompositeAlarm) -> Answer:
    return {
        **_common(alarm),
        "alarm_rule": alarm.alarm_rule,
        "actions_suppressor": alarm.actions_suppressor,
        "actions_suppressor_wait_period": alarm.actions_suppressor_wait_period,
        "actions_suppressor_extension_period": alarm.actions_suppressor_extension_period,
        "actions_suppressed_by": alarm.actions_suppressed_by,
        "actions_suppressed_reason": alarm.actions_suppressed_reason,
    }


def _common(alarm: AnyAlarm) -> Answer:
    return {
        "alarm_name": alarm.id,
        "alarm_arn": alarm.arn,
        "alarm_description": alarm.description,
        "alarm_configuration_updated_timestamp": alarm.configuration_updated,
        "actions_enabled": alarm.actions_enabled,
        "ok_actions": alarm.ok_actions,
        "alarm_actions": alarm.alarm_actions,
        "insufficient_data_actions": alarm.insufficient_data_actions,
        "state_value": alarm.state_value,
        "state_reason": alarm.state_reason,
        "state_reason_data": alarm.state_reason_data,
        "state_updated_timestamp": alarm.state_updated,
        "state_transitioned_timestamp": alarm.state_transitioned,
    }


def describe_alarms(view: View, call: Call, request: Request) -> Answer:
    """Alarms in order of their names, metric ones first. Raises: ApiError."""
    names, prefix = request.get("alarm_names"), request.get("alarm_name_prefix")
    if names and prefix:
        raise combination("AlarmNamePrefix and AlarmNames.member are mutually exclusive")
    if names and len(names) > NAMES_MOST:
        raise validation_error(f"At most {NAMES_MOST} alarm names can be given.")
    chosen = _chosen(view, call, request)
    state, action_prefix = require_state(request.get("state_value")), request.get("action_prefix")
    kept = [
        alarm
        for alarm in chosen
        if (not names or alarm.id in names)
        and (not prefix or alarm.id.startswith(prefix))
        and (not state or alarm.state_value == state)
        and (not action_prefix or any(arn.startswith(action_prefix) for arn in _all_actions(alarm)))
    ]
    kept.sort(key=_order)
    most = min(request.get("max_records") or RECORDS_DEFAULT, RECORDS_MOST)
    if names:
        most = max(most, len(names))
    taken, token = page(kept, _order, request.get("next_token"), most)
    shown: Sequence[str] | None = None
    if request.get("children_of_alarm_name"):
        shown = CHILD_MEMBERS
    elif request.get("parents_of_alarm_name"):
        shown = PARENT_MEMBERS
    return {
        "metric_alarms": [_only(shown, alarm_answer(a)) for a in taken if isinstance(a, Alarm)],
        "composite_alarms": [_only(shown, composite_answer(a)) for a in taken if isinstance(a, CompositeAlarm)],
        "next_token": token,
    }


def _only(members: Sequence[str] | None, answer: Answer) -> Answer:
    return answer if members is None else {name: answer[name] for name in members}


def _order(alarm: AnyAlarm) -> str:
    return ("0" if isinstance(alarm, Alarm) else "1") + alarm.id


def _all_actions(alarm: AnyAlarm) -> list[str]:
    return [arn for state in ("OK", "ALARM", "INSUFFICIENT_DATA") for arn in actions_of(alarm, state)]


def _chosen(view: View, call: Call, request: Request) -> list[AnyAlarm]:
    parent, child = request.get("children_of_alarm_name"), request.get("parents_of_alarm_name")
    if parent or child:
        others = {"alarm_names", "alarm_name_prefix", "alarm_types", "state_value", "action_prefix"}
        if (parent and child) or any(request.get(member) for member in others):
            raise validation_error(
                "ChildrenOfAlarmName and ParentsOfAlarmName cannot be combined with other parameters."
            )
        return _children(view, call, parent) if parent else _parents(view, call, child or "")
    types = request.get("alarm_types") or ["MetricAlarm"]
    result: list[AnyAlarm] = []
    names = request.get("alarm_names")
    for name, type_ in (("MetricAlarm", Alarm), ("CompositeAlarm", CompositeAlarm)):
        if name not in types:
            continue
        if names:
            found = (view.get(type_, call.account, call.region, n) for n in dict.fromkeys(names))
            result += [alarm for alarm in found if isinstance(alarm, Alarm | CompositeAlarm)]
        else:
            result += [
                alarm
                for alarm in view.all(type_, call.account, call.region)
                if isinstance(alarm, Alarm | CompositeAlarm)
            ]
    return result


def _children(view: View, call: Call, parent: str) -> list[AnyAlarm]:
    alarm = view.get(CompositeAlarm, call.account, call.region, alarm_name(parent))
    if alarm is None:
        return []
    found = (
        view.get(Alarm, call.account, call.region, name) or view.get(CompositeAlarm, call.account, call.region, name)
        for name in child_names(alarm)
    )
    return [child for child in found if child is not None]


def _parents(view: View, call: Call, child: str) -> list[AnyAlarm]:
    return [
        alarm
        for alarm in view.all(CompositeAlarm, call.account, call.region)
        if alarm_name(child) in child_names(alarm)
    ]


def describe_alarms_for_metric(view: View, call: Call, request: Request) -> Answer:
    """The alarms on exactly this metric; those on expressions that use it are not among them.

    Source: CloudWatch API reference, DescribeAlarmsForMetric.
    """
    wanted = dimensions({d["name"]: d["value"] for d in request.get("dimensions") or ()})
    found = []
    for alarm in view.all(Alarm, call.account, call.region):
        watched = _watched(alarm)
        if watched is None:
            continue
        metric, statistic, period, unit = watched
        if (
            metric == (request["namespace"], request["metric_name"], wanted)
            and request.get("statistic") in (None, statistic)
            and request.get("extended_statistic") in (None, statistic)
            and request.get("period") in (None, period)
            and request.get("unit") in (None, unit)
        ):
            found.append(alarm)
    return {"metric_alarms": [alarm_answer(alarm) for alarm in found]}


_Watched = tuple[object, str | None, int | None, str | None]


def _watched(alarm: Alarm) -> _Watched | None:
    """Metric, statistic, period and unit of an alarm on a single metric; None for one on an expression."""
    if not alarm.metrics:
        pairs = dimensions({d["name"]: d["value"] for d in alarm.dimensions})
        statistic = alarm.statistic or alarm.extended_statistic
        return (alarm.namespace, alarm.metric_name, pairs), statistic, alarm.period, alarm.unit
    stat = alarm.metrics[0].get("metric_stat")
    if stat is None or len(alarm.metrics) > 1:
        return None
    metric = stat["metric"]
    pairs = dimensions({d["name"]: d["value"] for d in metric.get("dimensions") or ()})
    identity = metric.get("namespace"), metric.get("metric_name"), pairs
    return identity, stat["stat"], stat["period"], stat.get("unit")


def describe_alarm_history(view: View, call: Call, request: Request) -> Answer:
    """History items of the owner's alarms, newest first unless asked otherwise. Raises: ApiError."""
    name = request.get("alarm_name")
    types = request.get("alarm_types") or ["MetricAlarm"]
    start, end = request.get("start_date"), request.get("end_date")
    items = (
        view.children(AlarmHistoryItem, call.account, call.region, name)
        if name
        else view.all(AlarmHistoryItem, call.account, call.region)
    )
    item_type = request.get("history_item_type")
    kept = [
        (place, item)
        for place, item in enumerate(items)
        if item.alarm_type in types
        and item_type in (None, item.item_type)
        and (start is None or item.timestamp >= start)
        and (end is None or item.timestamp <= end)
    ]
    kept.sort(key=lambda found: (found[1].timestamp, found[0]))
    if request.get("scan_by") != "TimestampAscending":
        kept.reverse()
    most = min(request.get("max_records") or RECORDS_MOST, RECORDS_MOST)
    after = decode_token(request.get("next_token"), str)
    found = [item for _, item in kept]
    if after is not None:
        place = next((i + 1 for i, item in enumerate(found) if item.id == after), len(found))
        found = found[place:]
    taken = found[:most]
    return {
        "alarm_history_items": [
            {
                "alarm_name": item.alarm_name,
                "alarm_type": item.alarm_type,
                "timestamp": item.timestamp,
                "history_item_type": item.item_type,
                "history_summary": item.summary,
                "history_data": item.data,
            }
            for item in taken
        ],
        "next_token": encode_token(taken[-1].id) if len(found) > most else None,
    }


def list_tags_for_resource(view: View, call: Call, request: Request) -> Answer:
    """Of a resource that is not there none, as the service answers."""
    resource = find_taggable(view, call, request["resource_arn"])
    tags = {} if resource is None else resource.tags
    return {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
