"""GetAlarmMuteRule, ListAlarmMuteRules."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.cloudwatch.commands.mute_rules import require_mute_rule
from elba.cloudwatch.muting import is_one_time, status
from elba.cloudwatch.paging import page
from elba.cloudwatch.resources import AlarmMuteRule
from elba.store.interface import View

RECORDS_DEFAULT = 50


def get_alarm_mute_rule(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError ResourceNotFoundException."""
    rule = require_mute_rule(view, call, request["alarm_mute_rule_name"])
    schedule = {"expression": rule.expression, "duration": rule.duration, "timezone": rule.timezone}
    return {
        **_summary(rule, call.now),
        "name": rule.id,
        "description": rule.description,
        "rule": {"schedule": schedule},
        "mute_targets": {"alarm_names": rule.alarm_names} if rule.alarm_names else None,
        "start_date": rule.start_date,
    }


def _summary(rule: AlarmMuteRule, now: float) -> Answer:
    return {
        "alarm_mute_rule_arn": rule.arn,
        "expire_date": rule.expire_date,
        "status": status(rule, now),
        "mute_type": "ONE_TIME" if is_one_time(rule) else "RECURRING",
        "last_updated_timestamp": rule.updated,
    }


def list_alarm_mute_rules(view: View, call: Call, request: Request) -> Answer:
    """In order of their names; those that name the alarm and have one of the statuses, if these are given."""
    alarm, statuses = request.get("alarm_name"), request.get("statuses")
    found = [
        rule
        for rule in view.all(AlarmMuteRule, call.account, call.region)
        if alarm in (None, *rule.alarm_names) and (not statuses or status(rule, call.now) in statuses)
    ]
    found.sort(key=lambda rule: rule.id)
    most = request.get("max_records") or RECORDS_DEFAULT
    taken, token = page(found, lambda rule: rule.id, request.get("next_token"), most)
    return {"alarm_mute_rule_summaries": [_summary(rule, call.now) for rule in taken], "next_token": token}
