"""Alarm mute rules: put and deleted; and alarms whose muting has ended act on the state they are in.

Source: CloudWatch API reference, PutAlarmMuteRule, DeleteAlarmMuteRule.
"""

from __future__ import annotations

import msgspec

from elba.call import Answer, Call, Request
from elba.cloudwatch.commands.transitions import emit_actions, find_alarm
from elba.cloudwatch.limits import require_tags, validation_error
from elba.cloudwatch.muting import begins, is_muted, parse_duration
from elba.cloudwatch.resources import AlarmMuteRule
from elba.errors import ApiError
from elba.store.interface import Transaction, View

TARGETS_MOST = 100


def put_alarm_mute_rule(tx: Transaction, call: Call, request: Request) -> Answer:
    """Create or replace; a rule that is there keeps its tags. Raises: ApiError."""
    name = request["name"]
    if not name.isprintable():
        raise validation_error(f"The name {name!r} must hold no control characters.")
    schedule = request["rule"]["schedule"]
    try:
        parse_duration(schedule["duration"])
        begins(schedule["expression"], schedule.get("timezone"), call.now)
    except ValueError as error:
        raise validation_error(f"The schedule of the mute rule is not valid: {error}.") from None
    start, expire = request.get("start_date"), request.get("expire_date")
    if expire is not None and (expire <= call.now or (start is not None and expire <= start)):
        raise validation_error("ExpireDate must be in the future, and after StartDate.")
    names = list(dict.fromkeys((request.get("mute_targets") or {}).get("alarm_names") or ()))
    if len(names) > TARGETS_MOST:
        raise validation_error(f"A mute rule can name at most {TARGETS_MOST} alarms.")
    if absent := [each for each in names if find_alarm(tx, call, each) is None]:
        raise validation_error(f"The mute rule names alarms that do not exist: {', '.join(absent)}.")
    old = tx.get(AlarmMuteRule, call.account, call.region, name)
    tx.put(
        AlarmMuteRule(
            account=call.account,
            region=call.region,
            id=name,
            arn=call.arn("cloudwatch", f"alarm-mute-rule:{name}"),
            description=request.get("description"),
            expression=schedule["expression"],
            duration=schedule["duration"],
            timezone=schedule.get("timezone"),
            alarm_names=names,
            start_date=start,
            expire_date=expire,
            updated=call.now,
            tags=require_tags(request.get("tags")) if old is None else old.tags,
        )
    )
    for each in () if old is None else old.alarm_names:
        unmute(tx, call, each)
    return {}


def delete_alarm_mute_rule(tx: Transaction, call: Call, request: Request) -> Answer:
    """Its alarms are unmuted at once. A rule that is not there is no error."""
    rule = tx.get(AlarmMuteRule, call.account, call.region, request["alarm_mute_rule_name"])
    if rule is not None:
        tx.delete(rule)
        for name in rule.alarm_names:
            unmute(tx, call, name)
    return {}


def unmute(tx: Transaction, call: Call, name: str) -> None:
    """The actions of the alarm's present state, if they were held back and no rule holds them back any more."""
    alarm = find_alarm(tx, call, name)
    if alarm is None or alarm.muted_from is None or is_muted(tx, call.account, call.region, name, call.now):
        return
    before = alarm.muted_from
    alarm = msgspec.structs.replace(alarm, muted_from=None)
    tx.put(alarm)
    if before != alarm.state_value:
        emit_actions(tx, call, alarm, before)


def require_mute_rule(view: View, call: Call, name: str) -> AlarmMuteRule:
    """Raises: ApiError ResourceNotFoundException."""
    found = view.get(AlarmMuteRule, call.account, call.region, name)
    if found is None:
        raise ApiError("ResourceNotFoundException", f"The mute rule {name} does not exist.", 404)
    return found
