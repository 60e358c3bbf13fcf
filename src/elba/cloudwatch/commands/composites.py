"""Composite alarms: putting them, and evaluating their rule on the alarms they name."""

from __future__ import annotations

import re

import msgspec

from elba.call import Answer, Call, Request
from elba.cloudwatch.alarms import iso
from elba.cloudwatch.commands.transitions import (
    AnyAlarm,
    add_configuration_history,
    change_composite,
    emit_actions,
    find_alarm,
)
from elba.cloudwatch.commands.validation import refuse_unbuilt, require_actions, require_alarm_name
from elba.cloudwatch.composite import (
    Rule,
    RuleError,
    alarm_name,
    children,
    holds,
    long_date,
    parse_rule,
    suppress,
)
from elba.cloudwatch.limits import require_tags, validation_error
from elba.cloudwatch.resources import Alarm, CompositeAlarm
from elba.store.interface import Transaction, View

RULE_MOST = 10240
PARENTS_MOST = 150
SUPPRESSOR_MOST = 1600
_ALARM_ARN = re.compile(r"arn:aws[\w-]*:cloudwatch:[a-z0-9-]+:\d{12}:alarm:.{1,255}")


def put_composite_alarm(tx: Transaction, call: Call, request: Request) -> Answer:
    """Create the alarm or replace all of its configuration; its state stays until its rule is next evaluated.

    Raises: ApiError. Source: CloudWatch API reference, PutCompositeAlarm.
    """
    name = require_alarm_name(request.get("alarm_name"))
    if tx.get(Alarm, call.account, call.region, name) is not None:
        raise validation_error(f"A metric alarm with the name {name} exists already.")
    refuse_unbuilt(request)
    actions = require_actions(call, request, composite=True)
    source = request.get("alarm_rule") or ""
    rule = _require_rule(tx, call, name, source)
    suppressor = request.get("actions_suppressor")
    wait, extension = (
        request.get("actions_suppressor_wait_period"),
        request.get("actions_suppressor_extension_period"),
    )
    for period, member in (
        (wait, "ActionsSuppressorWaitPeriod"),
        (extension, "ActionsSuppressorExtensionPeriod"),
    ):
        if suppressor is None and period is not None:
            raise validation_error(f"{member} requires an ActionSuppressor")
        if suppressor is not None and period is None:
            raise validation_error(f"{member} must not be null")
        if period is not None and period < 0:
            raise validation_error(f"{member} must not be negative")
    if suppressor is not None:
        if not _may_be_alarm(suppressor):
            raise validation_error("ActionsSuppressor must be a valid CloudWatch Alarm ARN or an Alarm name")
        if find_alarm(tx, call, alarm_name(suppressor)) is None or alarm_name(suppressor) == name:
            raise validation_error(f"The suppressor alarm {suppressor} does not exist.")
    old = tx.get(CompositeAlarm, call.account, call.region, name)
    enabled = request.get("actions_enabled")
    alarm = CompositeAlarm(
        account=call.account,
        region=call.region,
        id=name,
        arn=call.arn("cloudwatch", f"alarm:{name}"),
        alarm_rule=source,
        description=request.get("alarm_description"),
        actions_enabled=True if enabled is None else enabled,
        ok_actions=actions["ok_actions"],
        alarm_actions=actions["alarm_actions"],
        insufficient_data_actions=actions["insufficient_data_actions"],
        actions_suppressor=suppressor,
        actions_suppressor_wait_period=wait,
        actions_suppressor_extension_period=extension,
        configuration_updated=call.now,
        state_updated=call.now,
        state_transitioned=call.now,
        tags=require_tags(request.get("tags")) if old is None else old.tags,
    )
    if old is not None:
        alarm = msgspec.structs.replace(
            alarm,
            state_value=old.state_value,
            state_reason=old.state_reason,
            state_reason_data=old.state_reason_data,
            state_updated=old.state_updated,
            state_transitioned=old.state_transitioned,
            muted_from=old.muted_from,
            previous_state=old.previous_state,
        )
        if old.actions_suppressor == suppressor:
            alarm = msgspec.structs.replace(
                alarm,
                actions_due=old.actions_due,
                actions_suppressed_by=old.actions_suppressed_by,
                actions_suppressed_reason=old.actions_suppressed_reason,
                suppression_ends=old.suppression_ends,
            )
    _refuse_crowded_children(tx, call, name, rule)
    tx.put(alarm)
    add_configuration_history(tx, call, alarm, old)
    return {}


def _may_be_alarm(reference: str) -> bool:
    """True for what can be an alarm's name, or its ARN."""
    return 1 <= len(reference) <= SUPPRESSOR_MOST and (
        not reference.startswith("arn:") or _ALARM_ARN.fullmatch(reference) is not None
    )


def _require_rule(tx: Transaction, call: Call, name: str, source: str) -> Rule:
    if not source or source != source.strip():
        raise validation_error("AlarmRule must not contain leading or trailing whitespace or be null")
    if len(source) > RULE_MOST:
        raise validation_error(f"AlarmRule must have 1 to {RULE_MOST} characters.")
    try:
        rule = parse_rule(source)
    except RuleError as error:
        raise validation_error(f"Error in AlarmRule [{error}]") from None
    prefix = call.arn("cloudwatch", "alarm:")
    absent = []
    for child in children(rule):
        if child.startswith("arn:") and not child.startswith(prefix):
            raise validation_error(f"AlarmRule must name alarms of the same account and region, not {child}.")
        if alarm_name(child) == name:
            raise validation_error("A composite alarm cannot have a child relation with itself via its AlarmRule")
        if find_alarm(tx, call, alarm_name(child)) is None:
            absent.append(alarm_name(child))
    if absent:
        raise validation_error(
            f"Could not save the composite alarm as alarms [{', '.join(absent)}] in the alarm rule do not exist"
        )
    return rule


def _refuse_crowded_children(tx: Transaction, call: Call, name: str, rule: Rule) -> None:
    parents: dict[str, int] = {}
    for other in tx.all(CompositeAlarm, call.account, call.region):
        if other.id != name:
            for child in child_names(other):
                parents[child] = parents.get(child, 0) + 1
    for child in map(alarm_name, children(rule)):
        if parents.get(child, 0) >= PARENTS_MOST:
            raise validation_error(f"The alarm {child} belongs to {PARENTS_MOST} composite alarms already.")


def child_names(alarm: CompositeAlarm) -> list[str]:
    return list(dict.fromkeys(alarm_name(child) for child in children(parse_rule(alarm.alarm_rule))))


def in_circle(view: View, alarm: CompositeAlarm) -> bool:
    """True if the alarm depends on itself through the rules of composite alarms."""
    seen: set[str] = set()
    waiting = child_names(alarm)
    while waiting:
        name = waiting.pop()
        if name == alarm.id:
            return True
        if name in seen:
            continue
        seen.add(name)
        child = view.get(CompositeAlarm, alarm.account, alarm.region, name)
        if child is not None:
            waiting += child_names(child)
    return False


def _fingerprint(alarms: list[tuple[str, AnyAlarm | None]]) -> str:
    return ";".join(
        f"{name}={'-' if alarm is None else f'{alarm.state_value}@{alarm.state_transitioned:.3f}'}"
        for name, alarm in alarms
    )


def evaluate_composite(tx: Transaction, call: Call, request: Request) -> Answer:
    """The composite alarm `alarm_name` brought up to date with its children and its suppressor.

    Answers `after_seconds`, when its suppressor's timer runs out, or None. Doing it again changes nothing.
    """
    alarm = tx.get(CompositeAlarm, call.account, call.region, request["alarm_name"])
    if alarm is None:
        return {"after_seconds": None}
    named = [(name, find_alarm(tx, call, name)) for name in child_names(alarm)]
    fingerprint = _fingerprint(named) or "-"
    if fingerprint != alarm.evaluated_on and not in_circle(tx, alarm):
        states = {name: None if child is None else child.state_value for name, child in named}
        state = "ALARM" if holds(parse_rule(alarm.alarm_rule), states.get) else "OK"
        if state != alarm.state_value:
            reason, data = _reason(alarm, state, [child for _, child in named if child is not None])
            alarm = change_composite(tx, call, alarm, state, reason, data)
        alarm = msgspec.structs.replace(alarm, evaluated_on=fingerprint)
    suppressor = None
    if alarm.actions_suppressor is not None:
        found = find_alarm(tx, call, alarm_name(alarm.actions_suppressor))
        suppressor = None if found is None else found.state_value
    alarm, act = suppress(alarm, suppressor, call.now)
    tx.put(alarm)
    if act:
        emit_actions(tx, call, alarm, alarm.previous_state)
    ends = alarm.suppression_ends
    return {"after_seconds": None if ends is None else max(0.0, ends - call.now)}


def _reason(alarm: CompositeAlarm, state: str, named: list[AnyAlarm]) -> tuple[str, str | None]:
    """The texts are those recorded from the service: of a put, with all children, and of a child's change."""
    if alarm.evaluated_on and named:
        latest = max(named, key=lambda child: child.state_transitioned)
        reason = f"{latest.arn} transitioned to {latest.state_value} at {long_date(latest.state_transitioned)}"
        named = [latest]
    else:
        word = "created" if alarm.state_reason.startswith("Unchecked") else "updated"
        reason = f"{alarm.arn} was {word} and its alarm rule evaluates to {state}"
    triggering = {
        "triggeringAlarms": [
            {
                "arn": child.arn,
                "state": {"value": child.state_value, "timestamp": iso(child.state_transitioned)},
            }
            for child in named
        ]
    }
    return reason, msgspec.json.encode(triggering).decode()
