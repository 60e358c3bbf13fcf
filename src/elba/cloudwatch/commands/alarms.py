"""Metric alarms: putting, deleting, setting, enabling and disabling them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from elba.call import Answer, Call, Request
from elba.cloudwatch.commands.composites import child_names, in_circle
from elba.cloudwatch.commands.transitions import (
    AnyAlarm,
    add_configuration_history,
    add_history,
    alarm_type,
    change_composite,
    change_state,
    configuration_of,
    drop_actions,
    emit_actions,
    find_alarm,
)
from elba.cloudwatch.commands.validation import (
    refuse_classic,
    refuse_misplaced_actions,
    refuse_unbuilt,
    require_actions,
    require_alarm_name,
    require_classic,
    require_comparison,
    require_metrics,
    require_periods,
    require_treatment,
    require_window,
)
from elba.cloudwatch.limits import require_state, require_tags, validation_error
from elba.cloudwatch.resources import Alarm, AlarmHistoryItem, CompositeAlarm
from elba.errors import ApiError
from elba.store.interface import Transaction

DELETED_MOST = 100
HISTORY_SECONDS = 30 * 86400


def put_metric_alarm(tx: Transaction, call: Call, request: Request) -> Answer:
    """Create the alarm or replace all of its configuration; its state, and on a replacement its tags, stay.

    Raises: ApiError. Source: CloudWatch API reference, PutMetricAlarm.
    """
    name = require_alarm_name(request.get("alarm_name"))
    if tx.get(CompositeAlarm, call.account, call.region, name) is not None:
        raise validation_error(f"A composite alarm with the name {name} exists already.")
    refuse_unbuilt(request)
    actions = require_actions(call, request, composite=False)
    comparison, threshold, band_id = require_comparison(request)
    configuration: dict[str, object] = {}
    statistic: str | None = None
    queries = request.get("metrics") or []
    if queries:
        refuse_classic(request)
        configuration["metrics"], period = require_metrics(queries, band_id)
    else:
        if band_id is not None:
            raise validation_error("ThresholdMetricId can be used only with Metrics.")
        classic = require_classic(request)
        configuration.update(classic)
        period = classic["period"]
        statistic = classic["statistic"] or classic["extended_statistic"]
    if band_id is not None and period < 60:
        raise validation_error("The period of an anomaly detection alarm must be at least 60 seconds.")
    refuse_misplaced_actions(
        actions,
        band=band_id is not None,
        instance=any(d.get("name") == "InstanceId" for d in request.get("dimensions") or ()),
        math=bool(queries),
    )
    periods, to_alarm = require_periods(request, period)
    treat, low = require_treatment(request, statistic)
    old = tx.get(Alarm, call.account, call.region, name)
    enabled = request.get("actions_enabled")
    alarm = Alarm(
        account=call.account,
        region=call.region,
        id=name,
        arn=call.arn("cloudwatch", f"alarm:{name}"),
        description=request.get("alarm_description"),
        actions_enabled=True if enabled is None else enabled,
        ok_actions=actions["ok_actions"],
        alarm_actions=actions["alarm_actions"],
        insufficient_data_actions=actions["insufficient_data_actions"],
        evaluation_periods=periods,
        datapoints_to_alarm=to_alarm,
        threshold=threshold,
        comparison_operator=comparison,
        threshold_metric_id=band_id,
        treat_missing_data=treat,
        evaluate_low_sample_count_percentile=low,
        evaluation_window=require_window(request),
        configuration_updated=call.now,
        state_updated=call.now,
        state_transitioned=call.now,
        tags=require_tags(request.get("tags")) if old is None else old.tags,
    )
    alarm = msgspec.structs.replace(alarm, **configuration)
    if old is not None:
        alarm = msgspec.structs.replace(
            alarm,
            state_value=old.state_value,
            state_reason=old.state_reason,
            state_reason_data=old.state_reason_data,
            state_updated=old.state_updated,
            state_transitioned=old.state_transitioned,
            muted_from=old.muted_from,
        )
    tx.put(alarm)
    add_configuration_history(tx, call, alarm, old)
    return {}


def delete_alarms(tx: Transaction, call: Call, request: Request) -> Answer:
    """The named alarms that there are; at most one of them composite. Raises: ApiError.

    Unknown names do no harm, not even alone, as users of the service report. An alarm that a composite alarm depends on
    stays, and then all do, unless that one is deleted with it. Source: CloudWatch API reference, DeleteAlarms; the
    refusal's text is recorded from the service.
    """
    names = list(dict.fromkeys(request.get("alarm_names") or ()))
    if not 1 <= len(names) <= DELETED_MOST:
        raise validation_error(f"1 to {DELETED_MOST} alarms can be deleted at once.")
    found = [alarm for name in names if (alarm := find_alarm(tx, call, name)) is not None]
    if sum(isinstance(alarm, CompositeAlarm) for alarm in found) > 1:
        raise validation_error("Only one composite alarm can be deleted at once.")
    others = [c for c in tx.all(CompositeAlarm, call.account, call.region) if c.id not in names or in_circle(tx, c)]
    needed = {child for composite in others for child in child_names(composite)}
    if kept := [name for name in names if name in needed]:
        them = "it" if len(kept) == 1 else "them"
        raise validation_error(f"Cannot delete {','.join(kept)} as there are composite alarm(s) depending on {them}.")
    remove_alarms(tx, call, found)
    return {}


def remove_alarms(tx: Transaction, call: Call, alarms: Sequence[AnyAlarm]) -> None:
    """Delete the alarms, whoever depends on them. Their history stays; what they were still to do is forgotten."""
    for alarm in alarms:
        tx.delete(alarm)
        add_history(
            tx,
            call,
            alarm.id,
            alarm_type(alarm),
            "ConfigurationUpdate",
            f'Alarm "{alarm.id}" deleted',
            {"version": "1.0", "type": "Delete", "deletedAlarm": configuration_of(alarm)},
        )
    drop_actions(tx, call, {alarm.id for alarm in alarms})


def set_alarm_state(tx: Transaction, call: Call, request: Request) -> Answer:
    """The state until the next evaluation; a state that differs from the present one has its actions carried out."""
    state = require_state(request["state_value"])
    assert state is not None
    name = request["alarm_name"]
    reason_data = request.get("state_reason_data")
    if reason_data:
        try:
            msgspec.json.decode(reason_data)
        except msgspec.DecodeError:
            raise ApiError("InvalidFormat", "StateReasonData was not syntactically valid JSON") from None
    alarm = find_alarm(tx, call, name)
    if alarm is None:
        raise ApiError("ResourceNotFound", "", 404)  # the service says no more than that
    reason = request.get("state_reason") or ""
    if isinstance(alarm, CompositeAlarm):
        # The composite reconciler carries the actions out, as the suppressor allows.
        change_composite(tx, call, alarm, state, reason, reason_data or None)
        return {}
    changed = change_state(tx, call, alarm, state, reason, reason_data or None)
    if state != alarm.state_value:
        emit_actions(tx, call, changed, alarm.state_value, before=alarm)
    return {}


def enable_alarm_actions(tx: Transaction, call: Call, request: Request) -> Answer:
    """Actions of later state changes are carried out again; earlier ones are not replayed. Unknown names: ignored."""
    _switch_actions(tx, call, request, True)
    return {}


def disable_alarm_actions(tx: Transaction, call: Call, request: Request) -> Answer:
    """No action is carried out any more, not even one that is waiting. Unknown names: ignored."""
    _switch_actions(tx, call, request, False)
    return {}


def _switch_actions(tx: Transaction, call: Call, request: Request, enabled: bool) -> None:
    names = list(dict.fromkeys(request.get("alarm_names") or ()))
    if len(names) > DELETED_MOST:
        raise validation_error(f"At most {DELETED_MOST} alarms can be named at once.")
    for name in names:
        alarm = find_alarm(tx, call, name)
        if alarm is None or alarm.actions_enabled == enabled:
            continue
        changed = msgspec.structs.replace(alarm, actions_enabled=enabled, configuration_updated=call.now)
        tx.put(changed)
        add_configuration_history(tx, call, changed, alarm)
    if not enabled:
        drop_actions(tx, call, set(names))


def prune_history(tx: Transaction, call: Call, request: Request) -> Answer:
    """Forget the owner's history items older than 30 days."""
    for item in tx.all(AlarmHistoryItem, call.account, call.region):
        if item.timestamp < call.now - HISTORY_SECONDS:
            tx.delete(item)
    return {}
