"""Carries out what alarms and users ask of scaling policies: proposals, the winner, the decision's record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from elba.autoscaling import policies, sentences
from elba.autoscaling.capacity import change_desired
from elba.autoscaling.decisions import record_decision
from elba.autoscaling.lookup import counted, is_warm, members_of, shifted_away_from, suspended, units
from elba.autoscaling.policies import NoStep, Proposal, Sizes
from elba.autoscaling.predictive import predicted_floor
from elba.autoscaling.resources import Group, Member, Policy
from elba.call import Call
from elba.cloudwatch.resources import Alarm
from elba.store.interface import Transaction, View


@dataclass(frozen=True, slots=True)
class Invocation:
    """One request to one policy: by an alarm (`alarm`, with the state it is in) or by ExecutePolicy.

    `points` are the alarm's recent datapoints, oldest first, the newest of the period that began at `newest` (0:
    not known); `metric` the value to act on if it is given.
    """

    policy: Policy
    alarm: Alarm | None = None
    state: str = ""
    points: Sequence[float] = ()
    metric: float | None = None
    threshold: float | None = None
    newest: float = 0.0


def warmup_seconds(group: Group, policy: Policy) -> int:
    """How long an instance warms up for this policy: its own figure, the group's, the default cooldown."""
    if policy.estimated_instance_warmup is not None:
        return policy.estimated_instance_warmup
    if group.default_instance_warmup is not None:
        return group.default_instance_warmup
    return group.default_cooldown


def sizes(view: View, group: Group, policy: Policy, now: float) -> Sizes:
    """The group's capacity as this policy sees it now."""
    members = members_of(view, group)
    warm_after = warmup_seconds(group, policy)
    settled = 0
    warming = False
    for member in counted(members):
        if member.lifecycle_state == "InService" and member.in_service_at + warm_after <= now:
            settled += units(member)
        else:
            warming = True
    return Sizes(
        minimum=min(group.max_size, max(group.min_size, predicted_floor(view, group, now)[0])),
        maximum=group.max_size,
        desired=group.desired_capacity,
        settled=settled,
        warming=warming,
        busy=_busy(members),
        cooling=group.cooldown_until > now or group.cooldown_seconds_due > 0,
    )


def _busy(members: Iterable[Member]) -> bool:
    return any(m.activity_id and not is_warm(m) for m in members)


def invoke(
    tx: Transaction, call: Call, group: Group, invocations: Sequence[Invocation], *, honor_cooldown: bool = True
) -> str:
    """Change desired capacity as the winner of these invocations wants; "" or why nothing could be done.

    Raises: NoStep (only for a single invocation; among several the failing one is passed over).
    """
    proposals: list[tuple[Invocation, Proposal]] = []
    for invocation in invocations:
        try:
            proposals.append((invocation, propose(tx, call, group, invocation, honor_cooldown)))
        except NoStep as problem:
            if len(invocations) == 1:
                hold_back(tx, call, group, invocation, f"no step adjustment holds {problem}")
                raise
    if not proposals:
        return "no step adjustment matches"
    best = policies.winner(group.desired_capacity, [p for _, p in proposals])
    blocked = "; ".join(dict.fromkeys(p.blocked for _, p in proposals if p.blocked))
    if best is None:
        _record(tx, call, group, proposals, None)
        return blocked
    invocation = next(i for i, p in proposals if p is best)
    _record(tx, call, group, proposals, best)
    if invocation.policy.policy_type == "TargetTrackingScaling" and invocation.newest:
        tx.put(msgspec.structs.replace(invocation.policy, acted_on=invocation.newest))
    policy, alarm = invocation.policy, invocation.alarm
    cooldown = 0
    if policy.policy_type == "SimpleScaling":
        cooldown = group.default_cooldown if policy.cooldown is None else policy.cooldown
    if alarm is None:
        change_desired(tx, call, group, best.after, sentences.executed(policy.policy_name), cooldown_seconds=cooldown)
        return ""
    change_desired(
        tx,
        call,
        group,
        best.after,
        sentences.alarmed(alarm.id, invocation.state, policy.policy_name),
        alarms=[_invoking(alarm, group)],
        cooldown_seconds=cooldown,
    )
    return ""


def propose(view: View, call: Call, group: Group, invocation: Invocation, honor_cooldown: bool = True) -> Proposal:
    """What the invoked policy wants now; less is held back while a zonal shift is active. Raises: NoStep."""
    proposal = _propose(view, call, group, invocation, honor_cooldown)
    if proposal.after < group.desired_capacity and (zone := shifted_away_from(view, group)):
        why = f"a zonal shift away from {zone} is active"
        return Proposal(proposal.policy, group.desired_capacity, why, proposal.arithmetic)
    return proposal


def _propose(view: View, call: Call, group: Group, invocation: Invocation, honor_cooldown: bool) -> Proposal:
    policy = invocation.policy
    before = sizes(view, group, policy, call.now)
    if policy.policy_type == "SimpleScaling":
        if not honor_cooldown:
            before = Sizes(before.minimum, before.maximum, before.desired, before.settled, before.warming)
        assert policy.adjustment_type is not None and policy.scaling_adjustment is not None
        return policies.simple(
            policy.policy_name,
            before,
            policy.adjustment_type,
            policy.scaling_adjustment,
            policy.min_adjustment_magnitude,
        )
    if policy.policy_type == "StepScaling":
        return _propose_step(policy, before, invocation)
    return _propose_tracking(view, call, group, invocation, before)


def _propose_step(policy: Policy, before: Sizes, invocation: Invocation) -> Proposal:
    alarm = invocation.alarm
    metric = invocation.metric
    threshold = invocation.threshold
    above: bool | None = None
    if alarm is not None:
        metric = policies.aggregated(invocation.points, policy.metric_aggregation_type)
        threshold = alarm.threshold
        above = alarm.comparison_operator.startswith("Greater")
    if metric is None or threshold is None:
        raise NoStep("the alarm carries no datapoint")
    assert policy.adjustment_type is not None
    return policies.step(
        policy.policy_name,
        before,
        policy.adjustment_type,
        policy.step_adjustments,
        metric,
        threshold,
        above,
        policy.min_adjustment_magnitude,
    )


def _propose_tracking(view: View, call: Call, group: Group, invocation: Invocation, before: Sizes) -> Proposal:
    policy, alarm = invocation.policy, invocation.alarm
    configuration = policy.target_tracking_configuration
    name = policy.policy_name
    if configuration is None or alarm is None or not invocation.points:
        return Proposal(name, before.desired, "the alarm carries no datapoint")
    if invocation.state != "ALARM":
        return Proposal(name, before.desired, f"target tracking does not act on {invocation.state}")
    if invocation.newest and invocation.newest <= policy.acted_on:
        # The metric is still that of the capacity before: acting on it again would overshoot.
        return Proposal(name, before.desired, "the metric does not show the last change yet")
    metric, target = invocation.points[-1], float(configuration["target_value"])
    if alarm.comparison_operator.startswith("Greater"):
        return policies.target_tracking_out(name, before, metric, target)
    proposal = policies.target_tracking_in(name, before, metric, target)
    if proposal.after < before.desired and (other := _who_disagrees(view, group, policy)):
        return Proposal(name, before.desired, f"policy {other} does not want to scale in", proposal.arithmetic)
    return proposal


def _who_disagrees(view: View, group: Group, policy: Policy) -> str:
    """A target tracking policy that would not scale in now ("" if all that may scale in would)."""
    for other in view.children(Policy, group.account, group.region, group.id):
        configuration = other.target_tracking_configuration
        if other.id == policy.id or configuration is None or not other.enabled:
            continue
        states = {
            alarm.comparison_operator: alarm.state_value
            for name in other.alarm_names
            if (alarm := view.get(Alarm, group.account, group.region, name)) is not None
        }
        if states.get("GreaterThanThreshold") == "ALARM":
            return other.policy_name
        if not configuration.get("disable_scale_in") and states.get("LessThanThreshold") != "ALARM":
            return other.policy_name
    return ""


def _invoking(alarm: Alarm, group: Group) -> dict[str, Any]:
    """The alarm as activities' Details name it."""
    return {
        "AlarmArn": alarm.arn,
        "Trigger": {
            "MetricName": alarm.metric_name,
            "Namespace": alarm.namespace,
            "Threshold": alarm.threshold,
            "ComparisonOperator": alarm.comparison_operator,
        },
        "AlarmName": alarm.id,
        "AWSAccountId": alarm.account,
        "Region": group.region,
    }


def _record(
    tx: Transaction,
    call: Call,
    group: Group,
    proposals: Sequence[tuple[Invocation, Proposal]],
    best: Proposal | None,
) -> None:
    """Keep why capacity changed or did not; a repetition of the last decision replaces it."""
    inputs = _bounds(group)
    inputs["proposals"] = [
        _asked(i, p.blocked) | {"wants": p.after, "arithmetic": p.arithmetic, "won": p is best} for i, p in proposals
    ]
    if best is None:
        blocked = "; ".join(dict.fromkeys(p.blocked for _, p in proposals if p.blocked))
        summary = f"stays at {group.desired_capacity}: {blocked or 'that is what the policies ask for'}"
        after = group.desired_capacity
    else:
        after = best.after
        summary = f"{best.policy}: {group.desired_capacity} → {after} ({best.arithmetic})"
    record_decision(
        tx,
        call,
        group,
        trigger=_trigger(proposals[0][0]),
        summary=summary,
        inputs=inputs,
        before=group.desired_capacity,
        after=after,
    )


def hold_back(tx: Transaction, call: Call, group: Group, invocation: Invocation, why: str) -> None:
    """Keep that this invocation changed nothing, and why."""
    desired = group.desired_capacity
    inputs = _bounds(group) | {"proposals": [_asked(invocation, why)]}
    summary = f"stays at {desired}: {why}"
    record_decision(
        tx, call, group, trigger=_trigger(invocation), summary=summary, inputs=inputs, before=desired, after=desired
    )


def _trigger(invocation: Invocation) -> str:
    return "alarm" if invocation.alarm else "request"


def _bounds(group: Group) -> dict[str, Any]:
    return {"min_size": group.min_size, "max_size": group.max_size, "desired_capacity": group.desired_capacity}


def _asked(invocation: Invocation, blocked: str) -> dict[str, Any]:
    """One policy's part of a decision: what it went by, and what held it back ("" if nothing)."""
    alarm, points = invocation.alarm, invocation.points
    configuration = invocation.policy.target_tracking_configuration
    return {
        "policy": invocation.policy.policy_name,
        "policy_type": invocation.policy.policy_type,
        "alarm": alarm.id if alarm else None,
        "alarm_state": invocation.state or None,
        "metric": points[-1] if points else invocation.metric,
        "datapoints": list(points),
        "threshold": alarm.threshold if alarm else invocation.threshold,
        "target": configuration["target_value"] if configuration else None,
        "blocked": blocked,
    }


def may_act_on_alarms(group: Group) -> bool:
    return not suspended(group, "AlarmNotification") and not group.deleting
