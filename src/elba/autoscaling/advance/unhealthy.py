"""Marks members unhealthy and begins to replace them."""

from __future__ import annotations

import msgspec

from elba.autoscaling import health, sentences
from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.commands.leaving import begin_termination
from elba.autoscaling.decisions import record_decision
from elba.autoscaling.lookup import shifted_away_from, suspended, units
from elba.autoscaling.resources import Member


def mark(turn: Turn) -> None:
    """Set HealthStatus of members in service. A mark stays until the member is replaced or a user lifts it."""
    group = turn.group
    if suspended(group, "HealthCheck"):
        return
    for member in turn.members():
        if member.lifecycle_state != "InService" or member.health_status != "Healthy":
            continue
        member = note_status_checks(turn, member)
        instance = turn.instance(member)
        verdict = health.verdict(
            health.Observed(
                instance_state=instance.state if instance else "",
                in_service_at=member.in_service_at,
                impaired_since=member.impaired_since,
                volume_impaired_since=turn.volume_impaired_since(member) if "EBS" in group.health_check_types else 0.0,
                target_states=turn.target_states(member) if "ELB" in group.health_check_types else (),
            ),
            group.health_check_types,
            group.health_check_grace_period,
            turn.now,
        )
        if verdict.reason:
            turn.tx.put(msgspec.structs.replace(member, health_status="Unhealthy", health_reason=verdict.reason))
        elif verdict.look_again_at is not None:
            turn.look_again_at(verdict.look_again_at)


def note_status_checks(turn: Turn, member: Member) -> Member:
    """The member with the time since which EC2's status checks fail; written if that changed."""
    instance = turn.instance(member)
    impaired = instance is not None and "impaired" in (instance.instance_status, instance.system_status)
    if impaired != bool(member.impaired_since):
        member = msgspec.structs.replace(member, impaired_since=turn.now if impaired else 0.0)
        turn.tx.put(member)
    return member


def replace(turn: Turn) -> None:
    """Begin to terminate unhealthy members: the dead at once, the others a few at a time."""
    group = turn.group
    if suspended(group, "ReplaceUnhealthy") or suspended(group, "Terminate"):
        return
    left_alone = _left_alone(turn)
    unhealthy = [
        m
        for m in turn.members()
        if m.lifecycle_state == "InService" and m.health_status == "Unhealthy" and m.availability_zone != left_alone
    ]
    if not unhealthy:
        return
    policy = group.instance_maintenance_policy
    at_once = [m for m in unhealthy if m.health_reason == "EC2" or (m.health_reason == "custom" and policy is None)]
    _take_out(turn, at_once)
    gradual = [m for m in unhealthy if m not in at_once]
    if not gradual:
        return
    if policy is not None and policy["max_healthy_percentage"] > 100:
        _within_policy(turn, gradual, policy["min_healthy_percentage"], policy["max_healthy_percentage"])
        return
    if _must_wait(turn):
        return
    budget = health.gradual_budget(group.desired_capacity, _in_flight(turn))
    if policy is not None:
        floor = -(-group.desired_capacity * policy["min_healthy_percentage"] // 100)
        budget = max(1, group.desired_capacity - floor) - _in_flight(turn)
    _take_out(turn, gradual[: max(0, budget)])


def _left_alone(turn: Turn) -> str:
    """The zone whose unhealthy members stay while traffic is shifted away from it, or ""."""
    policy = turn.group.availability_zone_impairment_policy or {}
    if policy.get("impaired_zone_health_check_behavior") != "IgnoreUnhealthy":
        return ""
    return shifted_away_from(turn.tx, turn.group)


def _take_out(turn: Turn, members: list[Member]) -> None:
    for member in members:
        cause = sentences.at(turn.now, sentences.UNHEALTHY[member.health_reason or "EC2"])
        begin_termination(turn.tx, turn.call, turn.group, member, "unhealthy", cause)
        _record(turn, member)
    if members:
        turn.change(replacements_due=turn.group.replacements_due + sum(units(m) for m in members))


def _record(turn: Turn, member: Member) -> None:
    desired = turn.group.desired_capacity
    record_decision(
        turn.tx,
        turn.call,
        turn.group,
        trigger="health",
        summary=f"stays at {desired}: unhealthy {member.id} is replaced",
        inputs={
            "action": f"replace {member.id}",
            "instance": member.id,
            "zone": member.availability_zone,
            "check": member.health_reason or "EC2",
            "health_check_types": list(turn.group.health_check_types),
            "in_service_since": member.in_service_at,
        },
        before=desired,
        after=desired,
    )


def _must_wait(turn: Turn) -> bool:
    """Other activities run and a tenth of the capacity is out of service already."""
    serving = sum(units(m) for m in turn.members() if m.lifecycle_state == "InService")
    return turn.busy() and serving <= 0.9 * turn.group.desired_capacity


def _in_flight(turn: Turn) -> int:
    group = turn.group
    warmup = group.default_instance_warmup or 0
    unsettled = [
        m
        for m in turn.members()
        if m.replacement
        and (
            m.lifecycle_state.startswith("Pending")
            or (m.lifecycle_state == "InService" and m.health_status == "Healthy" and not turn.settled(m, warmup))
        )
    ]
    return group.replacements_due + len(unsettled)


def _within_policy(turn: Turn, unhealthy: list[Member], min_percentage: int, max_percentage: int) -> None:
    """With a maintenance policy above 100 %: extra instances come into service, then the unhealthy ones go. As many as
    the policy's minimum allows go at once.
    """
    group = turn.group
    warmup = group.default_instance_warmup or 0
    ready = sum(units(m) for m in turn.members() if turn.settled(m, warmup))
    sick = sum(units(m) for m in unhealthy)
    extra = ready + sick - group.desired_capacity
    spare = ready + sick - -(-group.desired_capacity * min_percentage // 100)
    gone = []
    for member in unhealthy:
        if spare < units(member):
            break
        spare -= units(member)
        gone.append(member)
    for member in gone:
        cause = sentences.at(turn.now, sentences.UNHEALTHY[member.health_reason or "EC2"])
        begin_termination(turn.tx, turn.call, group, member, "unhealthy", cause)
        _record(turn, member)
    if missing := sum(units(m) for m in gone) - max(0, extra):
        turn.change(replacements_due=turn.group.replacements_due + max(0, missing))
    left = sick - sum(units(m) for m in gone)
    # At least as much as one of them stands for: with weights a single unit above would launch nothing.
    lightest = min((units(m) for m in unhealthy if m not in gone), default=0)
    most = max(lightest, group.desired_capacity * (max_percentage - 100) // 100)
    turn.surge = max(turn.surge, min(most, left))
    turn.surge_sentence = sentences.REPLACED
