"""Alarm mute rules: when they are active, and whom they mute. Pure.

Source: CloudWatch API reference, PutAlarmMuteRule, Schedule, GetAlarmMuteRule.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from elba.cloudwatch.resources import AlarmMuteRule
from elba.schedule import BadSchedule, next_match, parse_cron, parse_zone
from elba.store.interface import View

DURATION_LEAST_SECONDS = 60
DURATION_MOST_SECONDS = 15 * 86400
SCHEDULED, ACTIVE, EXPIRED = "SCHEDULED", "ACTIVE", "EXPIRED"
_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_EXPRESSION = re.compile(r"(cron|at)\((.*)\)")


def parse_duration(text: str) -> float:
    """Seconds of an ISO 8601 duration from a minute to 15 days. Raises: ValueError."""
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()) or text.endswith("T"):
        raise ValueError(f"{text} is not a duration like PT4H or P2DT12H")
    weeks, days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
    length = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
    if not DURATION_LEAST_SECONDS <= length <= DURATION_MOST_SECONDS:
        raise ValueError(f"{text} is not between a minute (PT1M) and 15 days (P15D)")
    return length


def begins(expression: str, timezone: str | None, after: float) -> float | None:
    """The first beginning later than `after`; None if there is none. Raises: ValueError."""
    match = _EXPRESSION.fullmatch(expression.strip())
    if match is None:
        raise ValueError(f"{expression} is neither cron(…) nor at(…)")
    zone = parse_zone(timezone or "UTC")
    if match[1] == "cron":
        return next_match(parse_cron(match[2]), zone, after)
    try:
        moment = datetime.strptime(match[2], "%Y-%m-%dT%H:%M").replace(tzinfo=zone).timestamp()
    except ValueError:
        raise BadSchedule(f"{match[2]} is not of the form yyyy-MM-ddThh:mm") from None
    return moment if moment > after else None


def is_one_time(rule: AlarmMuteRule) -> bool:
    return rule.expression.strip().startswith("at(")


def is_active(rule: AlarmMuteRule, now: float) -> bool:
    """True while the rule mutes: a window of its began less than its duration ago, within its dates."""
    if (rule.start_date is not None and now < rule.start_date) or (
        rule.expire_date is not None and now >= rule.expire_date
    ):
        return False
    began = begins(rule.expression, rule.timezone, now - parse_duration(rule.duration))
    return began is not None and began <= now


def status(rule: AlarmMuteRule, now: float) -> str:
    """SCHEDULED, ACTIVE or EXPIRED."""
    if is_active(rule, now):
        return ACTIVE
    if rule.expire_date is not None and now >= rule.expire_date:
        return EXPIRED
    return SCHEDULED if begins(rule.expression, rule.timezone, now) is not None else EXPIRED


def is_muted(view: View, account: str, region: str, alarm_name: str, now: float) -> bool:
    """True if an active rule names the alarm."""
    rules = view.all(AlarmMuteRule, account, region)
    return any(alarm_name in rule.alarm_names and is_active(rule, now) for rule in rules)
