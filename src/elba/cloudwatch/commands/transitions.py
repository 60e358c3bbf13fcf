"""A change of an alarm's state: the new state, the history of it, and the actions it calls for."""

from __future__ import annotations

import msgspec

from elba.call import Call
from elba.cloudwatch.alarms import iso
from elba.cloudwatch.muting import is_muted
from elba.cloudwatch.resources import Alarm, AlarmAction, AlarmHistoryItem, CompositeAlarm
from elba.store.interface import Transaction

AnyAlarm = Alarm | CompositeAlarm


def find_alarm(tx: Transaction, call: Call, name: str) -> AnyAlarm | None:
    """The metric or composite alarm of that name."""
    return tx.get(Alarm, call.account, call.region, name) or tx.get(CompositeAlarm, call.account, call.region, name)


def alarm_type(alarm: AnyAlarm) -> str:
    return "MetricAlarm" if isinstance(alarm, Alarm) else "CompositeAlarm"


def actions_of(alarm: AnyAlarm, state: str) -> list[str]:
    """The ARNs to act on when the alarm enters `state`, whether or not actions are enabled."""
    return {
        "OK": alarm.ok_actions,
        "ALARM": alarm.alarm_actions,
        "INSUFFICIENT_DATA": alarm.insufficient_data_actions,
    }[state]


def service_of(action_arn: str) -> str:
    """Who carries the action out: autoscaling, sns, lambda, ec2, ssm …"""
    service = action_arn.split(":")[2] if action_arn.count(":") >= 5 else ""
    return "ec2" if service in ("automate", "swf") else service


def add_history(tx: Transaction, call: Call, name: str, type_: str, item_type: str, summary: str, data: object) -> None:
    tx.put(
        AlarmHistoryItem(
            account=call.account,
            region=call.region,
            id=f"{name}/{int(call.now * 1000):013d}-{call.ids.hex(12)}",
            alarm_name=name,
            alarm_type=type_,
            timestamp=call.now,
            item_type=item_type,
            summary=summary,
            data=msgspec.json.encode(data).decode(),
        )
    )


def _state_data(value: str, reason: str, reason_data: str | None) -> dict[str, object]:
    state: dict[str, object] = {"stateValue": value, "stateReason": reason}
    if reason_data:
        state["stateReasonData"] = msgspec.json.decode(reason_data)
    return state


def add_configuration_history(
    tx: Transaction, call: Call, alarm: Alarm | CompositeAlarm, old: Alarm | CompositeAlarm | None
) -> None:
    """The ConfigurationUpdate item of a put: created, or updated if anything differs."""
    type_ = "Create" if old is None else "Update"
    word = "created" if old is None else "updated"
    data: dict[str, object] = {"version": "1.0", "type": type_}
    if old is None:
        data["createdAlarm"] = configuration_of(alarm)
    else:
        data["updatedAlarm"] = configuration_of(alarm)
    add_history(tx, call, alarm.id, alarm_type(alarm), "ConfigurationUpdate", f'Alarm "{alarm.id}" {word}', data)


_HISTORY_NAMES = {
    "arn": "alarmArn",
    "description": "alarmDescription",
    "configuration_updated": "alarmConfigurationUpdatedTimestamp",
    "state_updated": "stateUpdatedTimestamp",
    "ok_actions": "okactions",
}
"""What the service calls these fields in its history; all others as `_camel` does."""
_NOT_IN_HISTORY = frozenset(
    {
        *("account", "region", "id", "tags", "muted_from", "state_reason", "state_reason_data", "state_transitioned"),
        *("actions_suppressed_by", "actions_suppressed_reason", "suppression_ends", "actions_due"),
        *("evaluated_on", "previous_state"),
    }
)


def configuration_of(alarm: Alarm | CompositeAlarm) -> dict[str, object]:
    """The alarm as a history item shows it, under the names and in the forms recorded from the service."""
    shown: dict[str, object] = {"alarmName": alarm.id}
    for name, value in msgspec.structs.asdict(alarm).items():
        if name in _NOT_IN_HISTORY or value is None or (name == "metrics" and not value):
            continue
        if name == "dimensions" and isinstance(alarm, Alarm) and alarm.metrics:
            continue
        stamp = name in ("configuration_updated", "state_updated")
        shown[_HISTORY_NAMES.get(name) or _camel(name)] = iso(value) if stamp else _camel_all(value)
    return shown


def _camel_all(value: object) -> object:
    if isinstance(value, dict):
        return {_camel(str(name)): _camel_all(each) for name, each in value.items() if each is not None}
    return [_camel_all(each) for each in value] if isinstance(value, list) else value


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def change_state(tx: Transaction, call: Call, alarm: Alarm, state: str, reason: str, reason_data: str | None) -> Alarm:
    """Put a metric alarm into `state`; if that is another one, write history. The alarm as stored.

    Actions are asked for by `emit_actions`.
    """
    changed = msgspec.structs.replace(
        alarm,
        state_value=state,
        state_reason=reason,
        state_reason_data=reason_data,
        state_updated=call.now,
        state_transitioned=call.now if state != alarm.state_value else alarm.state_transitioned,
    )
    tx.put(changed)
    if state != alarm.state_value:
        _add_state_history(tx, call, alarm, changed)
    return changed


def change_composite(
    tx: Transaction, call: Call, alarm: CompositeAlarm, state: str, reason: str, reason_data: str | None
) -> CompositeAlarm:
    """The same for a composite alarm; on another state its actions become due and its suppressor's timer is dropped."""
    changed = msgspec.structs.replace(
        alarm, state_value=state, state_reason=reason, state_reason_data=reason_data, state_updated=call.now
    )
    if state != alarm.state_value:
        changed = msgspec.structs.replace(
            changed,
            state_transitioned=call.now,
            previous_state=alarm.state_value,
            actions_due=True,
            actions_suppressed_by=None,
            actions_suppressed_reason=None,
            suppression_ends=None,
        )
        _add_state_history(tx, call, alarm, changed)
    tx.put(changed)
    return changed


def _add_state_history(tx: Transaction, call: Call, old: AnyAlarm, new: AnyAlarm) -> None:
    add_history(
        tx,
        call,
        new.id,
        alarm_type(new),
        "StateUpdate",
        f"Alarm updated from {old.state_value} to {new.state_value}",
        {
            "version": "1.0",
            "oldState": _state_data(old.state_value, old.state_reason, old.state_reason_data),
            "newState": _state_data(new.state_value, new.state_reason, new.state_reason_data),
        },
    )


def emit_actions(
    tx: Transaction, call: Call, alarm: AnyAlarm, old_state: str, *, before: AnyAlarm | None = None
) -> None:
    """Ask for the actions of the alarm's present state, unless its actions are disabled.

    `before` is the alarm as it was in `old_state`, if that is at hand.

    While a mute rule is active they are held back, and asked for by `mute_rules.unmute` afterwards.
    """
    if not alarm.actions_enabled:
        return
    if is_muted(tx, call.account, call.region, alarm.id, call.now):
        if alarm.muted_from is None:
            tx.put(msgspec.structs.replace(alarm, muted_from=old_state))
        return
    if alarm.muted_from is not None:
        tx.put(msgspec.structs.replace(alarm, muted_from=None))
    for arn in dict.fromkeys(actions_of(alarm, alarm.state_value)):
        emit_action(tx, call, alarm, old_state, arn, before=before)


def emit_action(
    tx: Transaction,
    call: Call,
    alarm: AnyAlarm,
    old_state: str,
    arn: str,
    *,
    reason: str | None = None,
    reason_data: str | None = None,
    repeated: bool = False,
    before: AnyAlarm | None = None,
) -> None:
    """Ask for one action; `reason` and `reason_data` default to those of the alarm's state."""
    tx.put(
        AlarmAction(
            account=alarm.account,
            region=alarm.region,
            id=call.ids.uuid(),
            service=service_of(arn),
            action_arn=arn,
            alarm_name=alarm.id,
            alarm_arn=alarm.arn,
            old_state=old_state,
            state=alarm.state_value,
            state_reason=alarm.state_reason if reason is None else reason,
            state_reason_data=(alarm.state_reason_data if reason_data is None else reason_data) or "",
            time=call.now,
            old_state_reason="" if before is None else before.state_reason,
            old_state_reason_data="" if before is None else before.state_reason_data or "",
            old_time=0.0 if before is None else before.state_updated,
            repeated=repeated,
        )
    )


def drop_actions(tx: Transaction, call: Call, names: set[str]) -> None:
    """Forget actions not yet carried out of alarms that were deleted or disabled."""
    for action in tx.all(AlarmAction, call.account, call.region):
        if action.alarm_name in names:
            tx.delete(action)


def record_action(
    tx: Transaction, call: Call, action: AlarmAction, error: str | None = None, *, message: str | None = None
) -> None:
    """An action was carried out, or failed for the reason `error`: history item written, action deleted.

    `message` is what was published, if the action is to publish something.

    A second record of the same action changes nothing. A repetition that ends as the one before is not written down
    again: a policy invoked each minute would fill the history.
    """
    if tx.get(AlarmAction, action.account, action.region, action.id) is None:
        return
    tx.delete(action)
    alarm = find_alarm(tx, call, action.alarm_name)
    if error is None:
        summary = f"Successfully executed action {action.action_arn}"
    else:
        summary = f'Failed to execute action {action.action_arn}. Received error: "{error}"'
    if action.repeated and summary == _last_outcome(tx, action):
        return
    data: dict[str, object] = {
        "actionState": "Succeeded" if error is None else "Failed",
        "stateUpdateTimestamp": int(action.time * 1000),
        "notificationResource": action.action_arn,
        "publishedMessage": None if message is None else msgspec.json.encode({"default": message}).decode(),
        "error": error,
    }
    type_ = "MetricAlarm" if alarm is None else alarm_type(alarm)
    add_history(tx, call, action.alarm_name, type_, "Action", summary, data)


def _last_outcome(tx: Transaction, action: AlarmAction) -> str | None:
    """Summary of the alarm's newest history item of that action."""
    items = tx.children(AlarmHistoryItem, action.account, action.region, action.alarm_name)
    return next(
        (i.summary for i in reversed(items) if i.item_type == "Action" and action.action_arn in i.summary), None
    )
