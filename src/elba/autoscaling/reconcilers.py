"""Runs Auto Scaling: groups towards what is wanted, alarms' actions through policies, metrics each minute."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable
from datetime import datetime

from elba.arc_zonal_shift.resources import ZonalShift
from elba.autoscaling import activities, group_metrics
from elba.autoscaling.advance import advance
from elba.autoscaling.advisors import TerminationAdviceReconciler
from elba.autoscaling.commands.groups import prune_activities
from elba.autoscaling.commands.scaling import Invocation, hold_back, invoke, may_act_on_alarms
from elba.autoscaling.forecasting import ForecastTicker
from elba.autoscaling.lookup import group_of_arn
from elba.autoscaling.policies import NoStep
from elba.autoscaling.resources import (
    Forecast,
    Group,
    InstanceRefresh,
    LifecycleAction,
    LifecycleHook,
    Member,
    Policy,
    TerminationAdvice,
    WarmPool,
)
from elba.call import Call
from elba.clock import Timestamp
from elba.cloudwatch import commands as cloudwatch
from elba.cloudwatch.resources import Alarm, AlarmAction
from elba.ec2.resources import Instance, Volume
from elba.elbv2.resources import Target, TargetHealth
from elba.parts import Parts
from elba.reconcile import Again, Done, Reconciler, Ticker
from elba.resource import Key
from elba.store.interface import Transaction

log = logging.getLogger(__name__)

METRICS_SECONDS = 60.0
PRUNE_SECONDS = 3600.0


def build(parts: Parts) -> list[Reconciler | Ticker]:
    return [
        GroupReconciler(parts),
        AlarmActionReconciler(parts),
        TerminationAdviceReconciler(parts),
        MetricsTicker(parts),
        ForecastTicker(parts),
        HistoryTicker(parts),
    ]


def _call(parts: Parts, key: Key, cause: str) -> Call:
    return Call(account=key.account, region=key.region, now=parts.clock.now(), ids=parts.ids, cause=cause)


def _group_key(key: Key, name: str) -> Key:
    return Key(Group.KIND, key.account, key.region, name)


class GroupReconciler:
    """One turn of a group at a time; every turn is one write."""

    name = "autoscaling.group"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def keys_for(self, changed: Key) -> Iterable[Key]:
        view = self._parts.store.view
        kind, account, region, id_ = changed
        if kind == Group.KIND:
            return [changed]
        member: Member | None = None
        if kind in (Member.KIND, Instance.KIND):
            member = view.get(Member, account, region, id_)
        elif kind == Volume.KIND:
            volume = view.get(Volume, account, region, id_)
            member = view.get(Member, account, region, volume.instance_id) if volume else None
        elif kind in (Target.KIND, TargetHealth.KIND):
            instance_id = id_.rsplit("|", 1)[-1].rpartition(":")[0]
            member = view.get(Member, account, region, instance_id)
        elif kind == LifecycleAction.KIND:
            action = view.get(LifecycleAction, account, region, id_)
            return [_group_key(changed, action.group_name)] if action else []
        elif kind == LifecycleHook.KIND or kind.startswith("autoscaling.scheduled_action"):
            return [_group_key(changed, id_.partition("/")[0])]
        elif kind in (Policy.KIND, Forecast.KIND):
            return [_group_key(changed, group_of_arn(id_))]
        elif kind in (WarmPool.KIND, TerminationAdvice.KIND):
            return [_group_key(changed, id_)]
        elif kind == ZonalShift.KIND:
            shift = view.get(ZonalShift, account, region, id_)
            _, is_group, name = shift.resource_arn.partition("autoScalingGroupName/") if shift else ("", "", "")
            return [_group_key(changed, name)] if is_group else []
        elif kind == InstanceRefresh.KIND:
            refresh = view.get(InstanceRefresh, account, region, id_)
            return [_group_key(changed, refresh.group_name)] if refresh else []
        return [_group_key(changed, member.group_name)] if member else []

    def all_keys(self) -> Iterable[Key]:
        return [g.key for g in self._parts.store.view.all(Group)]

    async def reconcile(self, key: Key) -> Done | Again:
        call = _call(self._parts, key, f"reconciler:{self.name}")

        def turn(tx: Transaction) -> tuple[Timestamp | None, bool]:
            due = advance(tx, call, key.id)
            return due, bool(tx.changes)

        due, changed = await self._parts.store.write(turn, call.cause)
        if changed:
            return Again(0.0, "something moved")
        if due is None:
            return Done()
        return Again(max(0.001, due - self._parts.clock.now()), "something is due")


class AlarmActionReconciler:
    """Takes the actions that alarms ask of scaling policies; those of one group together, so that the largest wins."""

    name = "autoscaling.alarm_action"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def keys_for(self, changed: Key) -> Iterable[Key]:
        if changed.kind != AlarmAction.KIND:
            return []
        action = self._parts.store.view.get(AlarmAction, changed.account, changed.region, changed.id)
        if action is None or action.service != "autoscaling":
            return []
        return [_group_key(changed, group_of_arn(action.action_arn))]

    def all_keys(self) -> Iterable[Key]:
        actions = self._parts.store.view.all(AlarmAction)
        keys = {_group_key(a.key, group_of_arn(a.action_arn)): None for a in actions if a.service == "autoscaling"}
        return list(keys)

    async def reconcile(self, key: Key) -> Done | Again:
        actions = self._actions(key)
        if not actions:
            return Done()
        call = _call(self._parts, key, f"alarm:{actions[0].alarm_name}")
        await self._parts.store.write(lambda tx: take(tx, call, key.id, self._actions(key)), call.cause)
        return Done()

    def _actions(self, key: Key) -> list[AlarmAction]:
        return [
            a
            for a in self._parts.store.view.all(AlarmAction, key.account, key.region)
            if a.service == "autoscaling" and group_of_arn(a.action_arn) == key.id
        ]


def take(tx: Transaction, call: Call, group_name: str, actions: Iterable[AlarmAction]) -> None:
    """Carry out alarm actions of one group, and record each with its alarm."""
    group = tx.get(Group, call.account, call.region, group_name)
    invocations: list[Invocation] = []
    taken: list[AlarmAction] = []
    latest: dict[tuple[str, str], AlarmAction] = {}
    for action in actions:
        latest[action.alarm_name, action.action_arn] = action
    for action in actions:
        policy = tx.get(Policy, call.account, call.region, action.action_arn)
        alarm = tx.get(Alarm, call.account, call.region, action.alarm_name)
        if group is None or policy is None or alarm is None:
            cloudwatch.record_action(tx, call, action, "The scaling policy does not exist.")
        elif not may_act_on_alarms(group):
            cloudwatch.record_action(tx, call, action, "AlarmNotification is suspended for the Auto Scaling group.")
            hold_back(tx, call, group, Invocation(policy, alarm, action.state), "AlarmNotification is suspended")
        elif not policy.enabled:
            cloudwatch.record_action(tx, call, action, "The scaling policy is disabled.")
            hold_back(tx, call, group, Invocation(policy, alarm, action.state), "the policy is disabled")
        elif latest[action.alarm_name, action.action_arn] is not action:
            # A later invocation of the same policy by the same alarm says the same with newer data.
            cloudwatch.record_action(tx, call, action)
        else:
            points, newest = recent_points(action)
            invocations.append(Invocation(policy, alarm, action.state, points, newest=newest))
            taken.append(action)
    error: str | None = None
    if invocations and group is not None:
        try:
            invoke(tx, call, group, invocations)
        except NoStep as problem:
            error = f"No step adjustment found for the metric value ({problem})"
    for action in taken:
        cloudwatch.record_action(tx, call, action, error)


def recent_points(action: AlarmAction) -> tuple[list[float], float]:
    """The alarm's recent datapoints, oldest first, and when the newest one's period began (0 if not told)."""
    try:
        data = json.loads(action.state_reason_data or "{}")
    except ValueError:
        return [], 0.0
    if not isinstance(data, dict):
        return [], 0.0
    points = [float(p) for p in data.get("recentDatapoints") or [] if p is not None]
    newest = 0.0
    for point in data.get("evaluatedDatapoints") or []:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            newest = max(newest, datetime.fromisoformat(point["timestamp"]).timestamp())
    return points, newest


class MetricsTicker:
    """Publishes the enabled group metrics once a minute."""

    name = "autoscaling.metrics"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run(self) -> None:
        while True:
            now = self._parts.clock.now()
            await self._parts.clock.sleep(METRICS_SECONDS - now % METRICS_SECONDS)
            view = self._parts.store.view
            for group in view.all(Group):
                if group.enabled_metrics and not group.deleting:
                    self._parts.metrics.put(group_metrics.datapoints(view, group, self._parts.clock.now()))


class HistoryTicker:
    """Forgets activities and instance refreshes that ended six weeks ago."""

    name = "autoscaling.history"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run(self) -> None:
        while True:
            await self._parts.clock.sleep(PRUNE_SECONDS)
            key = Key(Group.KIND, "", "", "")
            call = _call(self._parts, key, "retention")
            request = {"older_than_seconds": activities.KEPT_SECONDS}
            await self._parts.store.write(lambda tx, c=call, r=request: prune_activities(tx, c, r), "retention")  # type: ignore[misc]
