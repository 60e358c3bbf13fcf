"""What CloudWatch does by itself: evaluating alarms each minute, composite alarms at once, and carrying out actions."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from elba.call import Call
from elba.cloudwatch import commands
from elba.cloudwatch.alarms import (
    Point,
    Verdict,
    evaluate,
    evaluate_contributors,
    period_of,
    reason_data,
    window_end,
)
from elba.cloudwatch.anomaly import bands_of
from elba.cloudwatch.commands.composites import child_names
from elba.cloudwatch.commands.transitions import actions_of, service_of
from elba.cloudwatch.composite import alarm_name
from elba.cloudwatch.muting import is_muted
from elba.cloudwatch.resources import Alarm, AlarmAction, AlarmHistoryItem, CompositeAlarm
from elba.cloudwatch.schedule import MINUTE, publication_lag
from elba.cloudwatch.series import SeriesEngine
from elba.cloudwatch.streaming.streamer import MetricStreamer
from elba.cloudwatch.watching import Watch, grouped_query
from elba.ec2 import commands as ec2
from elba.errors import ApiError
from elba.parts import Parts
from elba.reconcile import Again, Done, Reconciler, Ticker
from elba.resource import Key
from elba.store.interface import Transaction

log = logging.getLogger(__name__)

SHORT = 10
REPEAT_LEAST_SECONDS = 50.0
"""A scaling policy is invoked again in the first pass that is about a minute after the change, not sooner."""
PRUNE_SECONDS = 3600
ALARMS_PER_STEP = 200
CHANGES_PER_WRITE = 500


def build(parts: Parts) -> list[Reconciler | Ticker]:
    """CloudWatch's loops."""
    return [
        AlarmEvaluator(parts),
        CompositeAlarmReconciler(parts),
        AlarmActionReconciler(parts),
        MetricStreamer(parts),
    ]


def _call(parts: Parts, account: str, region: str, cause: str) -> Call:
    return Call(account, region, parts.clock.now(), parts.ids, cause=cause)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a pass found for one alarm: a verdict, or actions to repeat with fresh data."""

    alarm: Alarm
    verdict: Verdict | None
    repeat: tuple[str, ...] = ()
    reason_data: str | None = None


class AlarmEvaluator:
    """Evaluates all metric alarms in one pass each minute, those with a period below 60 s every ten seconds.

    A pass comes when the minute has ended and its last reports have come in (`alarm_lag_seconds`), and looks at
    complete periods only. What it writes it writes at its end; an alarm that changed meanwhile is left
    for the next pass.
    """

    name = "cloudwatch.alarm"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        engine = parts.metrics
        assert isinstance(engine, SeriesEngine)
        self._watch = Watch(engine, bands_of(engine, parts.store.view))
        self._lag = publication_lag(parts.settings, parts.clock)

    async def run(self) -> None:
        # What ended while nobody looked: changes of state at once, repetitions at their minute.
        await self.evaluate(self._next_boundary() - SHORT, repeat=False)
        while True:
            boundary = self._next_boundary()
            await self._parts.clock.sleep(boundary + self._lag - self._parts.clock.now())
            if self._parts.clock.now() < boundary + self._lag:
                continue  # a timer may fire a moment early
            # After a pause of the process the newest boundary counts; those missed are not made up for.
            late = math.floor((self._parts.clock.now() - self._lag) / SHORT) * SHORT
            whole = late // MINUTE > (boundary - SHORT) // MINUTE
            await self.evaluate(max(boundary, late), whole)

    def _next_boundary(self) -> float:
        return (math.floor((self._parts.clock.now() - self._lag) / SHORT) + 1) * SHORT

    async def evaluate(self, end: float, all_alarms: bool = True, *, repeat: bool = True) -> None:
        """One pass over the periods that ended by `end`, of all alarms or those with short periods."""
        alarms = self._parts.store.view.all(Alarm)
        self._watch.forget_all_but(alarms)
        pending = {(a.alarm_arn, a.action_arn) for a in self._parts.store.view.all(AlarmAction)}
        outcomes: list[_Outcome] = []
        for place, alarm in enumerate(alarms):
            if place % ALARMS_PER_STEP == ALARMS_PER_STEP - 1:
                await asyncio.sleep(0)
            if not all_alarms and period_of(alarm) >= MINUTE:
                continue
            at = end - end % MINUTE if period_of(alarm) >= MINUTE else end
            outcome = self._judge(alarm, at, all_alarms and repeat, pending)
            if outcome is not None:
                outcomes.append(outcome)
        await self._unmute()
        prune = all_alarms and end % PRUNE_SECONDS < MINUTE
        # One write, but for a pass in which hundreds change at once: the API has its turn between two.
        for first in range(0, len(outcomes), CHANGES_PER_WRITE):
            some = outcomes[first : first + CHANGES_PER_WRITE]
            await self._parts.store.write(partial(self._apply, outcomes=some), f"alarms:{end:.0f}")
        if prune:
            await self._parts.store.write(self._prune, "alarms:history")
        for outcome in outcomes:
            if outcome.verdict is not None:
                log.info(
                    "alarm state changed",
                    extra={"resource": outcome.alarm.arn, "cause": outcome.verdict.reason},
                )

    def _judge(self, alarm: Alarm, end: float, repeat: bool, pending: set[tuple[str, str]]) -> _Outcome | None:
        now = self._parts.clock.now()
        newest = window_end(alarm, end)
        points: Sequence[Point | None] | None = ()
        if grouped_query(alarm) is not None:
            verdict = evaluate_contributors(alarm, self._watch.contributors(alarm, end), now, newest)
        else:
            points = self._watch.points(alarm, end)
            verdict = evaluate(alarm, points, now, newest)
        if verdict is not None:
            return _Outcome(alarm, verdict)
        if not repeat or not alarm.actions_enabled or now - alarm.state_transitioned < REPEAT_LEAST_SECONDS:
            return None
        if alarm.state_reason.startswith("Unchecked"):
            return None
        again = tuple(
            arn
            for arn in dict.fromkeys(actions_of(alarm, alarm.state_value))
            if service_of(arn) == "autoscaling" and (alarm.arn, arn) not in pending
        )
        if not again or is_muted(self._parts.store.view, alarm.account, alarm.region, alarm.id, now):
            return None
        fresh = reason_data(alarm, points or (), now, newest) if any(p is not None for p in points or ()) else None
        return _Outcome(alarm, None, again, fresh)

    def _apply(self, tx: Transaction, outcomes: Sequence[_Outcome]) -> None:
        for outcome in outcomes:
            alarm = outcome.alarm
            if tx.get(Alarm, alarm.account, alarm.region, alarm.id) is not alarm:
                continue
            call = _call(self._parts, alarm.account, alarm.region, f"alarm:{alarm.id}")
            if (verdict := outcome.verdict) is not None:
                changed = commands.change_state(tx, call, alarm, verdict.state, verdict.reason, verdict.reason_data)
                commands.emit_actions(tx, call, changed, alarm.state_value, before=alarm)
            for arn in outcome.repeat:
                commands.emit_action(
                    tx, call, alarm, alarm.state_value, arn, reason_data=outcome.reason_data, repeated=True
                )

    async def _unmute(self) -> None:
        """Act for alarms whose mute window has ended."""
        view = self._parts.store.view
        both: list[Alarm | CompositeAlarm] = [*view.all(Alarm), *view.all(CompositeAlarm)]
        held = [alarm for alarm in both if alarm.muted_from is not None]
        if not held:
            return

        def command(tx: Transaction) -> None:
            for alarm in held:
                call = _call(self._parts, alarm.account, alarm.region, f"alarm:{alarm.id}")
                commands.unmute(tx, call, alarm.id)

        await self._parts.store.write(command, "alarms:unmute")

    def _prune(self, tx: Transaction) -> None:
        for owner in {(item.account, item.region) for item in tx.all(AlarmHistoryItem)}:
            commands.prune_history(tx, _call(self._parts, *owner, "alarms:history"), {})


class CompositeAlarmReconciler:
    """Keeps composite alarms in the state their rule gives, and their actions waiting while a suppressor says so."""

    name = "cloudwatch.composite_alarm"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def keys_for(self, changed: Key) -> Iterable[Key]:
        if changed.kind not in (Alarm.KIND, CompositeAlarm.KIND):
            return []
        return [
            composite.key
            for composite in self._parts.store.view.all(CompositeAlarm, changed.account, changed.region)
            if composite.id == changed.id or changed.id in _watched(composite)
        ]

    def all_keys(self) -> Iterable[Key]:
        return [composite.key for composite in self._parts.store.view.all(CompositeAlarm)]

    async def reconcile(self, key: Key) -> Done | Again:
        call = _call(self._parts, key.account, key.region, f"alarm:{key.id}")
        answer = await self._parts.store.write(
            lambda tx: commands.evaluate_composite(tx, call, {"alarm_name": key.id}), call.cause
        )
        after = answer["after_seconds"]
        return Done() if after is None else Again(after, "the suppressor's timer")


def _watched(composite: CompositeAlarm) -> list[str]:
    names = child_names(composite)
    return [*names, alarm_name(composite.actions_suppressor)] if composite.actions_suppressor else names


NOT_BUILT = {
    "ssm": "Systems Manager OpsItems are not part of this Elba",
    "aiops": "Investigations are not part of this Elba",
    "ssm-incidents": "Incident Manager is not part of this Elba",
}
"""Actions that are stored and shown but that nothing here can carry out: they end as Failed, with this reason."""


class AlarmActionReconciler:
    """Carries out EC2 actions; records those of services that are not built as failed. Others take their own."""

    name = "cloudwatch.alarm_action"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def keys_for(self, changed: Key) -> Iterable[Key]:
        if changed.kind != AlarmAction.KIND:
            return []
        action = self._parts.store.view.get(AlarmAction, changed.account, changed.region, changed.id)
        return [changed] if action is not None and _ours(action) else []

    def all_keys(self) -> Iterable[Key]:
        return [action.key for action in self._parts.store.view.all(AlarmAction) if _ours(action)]

    async def reconcile(self, key: Key) -> Done:
        call = _call(self._parts, key.account, key.region, f"alarm_action:{key.id}")
        await self._parts.store.write(lambda tx: _carry_out(tx, call, key), call.cause)
        return Done()


def _ours(action: AlarmAction) -> bool:
    return action.service == "ec2" or action.service in NOT_BUILT


def _carry_out(tx: Transaction, call: Call, key: Key) -> None:
    action = tx.get(AlarmAction, key.account, key.region, key.id)
    if action is None:
        return
    if action.service in NOT_BUILT:
        commands.record_action(tx, call, action, NOT_BUILT[action.service])
        return
    alarm = tx.get(Alarm, key.account, key.region, action.alarm_name)
    if alarm is None:
        tx.delete(action)
        return
    instance = next((d["value"] for d in alarm.dimensions if d["name"] == "InstanceId"), "")
    error: str | None = None
    try:
        _act_on_instance(tx, call, action.action_arn, instance)
    except ApiError as refused:
        error = refused.message
    commands.record_action(tx, call, action, error)


def _act_on_instance(tx: Transaction, call: Call, arn: str, instance_id: str) -> None:
    """Stop, terminate, reboot or recover the instance. Raises: ApiError, with nothing changed."""
    lowered = arn.lower()
    if ":stop" in lowered or ".stop/" in lowered:
        ec2.stop(tx, call, [instance_id])
    elif ":terminate" in lowered or ".terminate/" in lowered:
        ec2.terminate(tx, call, [instance_id], honour_protection=True)
    elif ":reboot" in lowered or ".reboot/" in lowered:
        ec2.reboot(tx, call, [instance_id])
    else:
        ec2.recover(tx, call, instance_id)
