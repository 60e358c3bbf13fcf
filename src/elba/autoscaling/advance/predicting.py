"""Raises desired capacity to what the forecast asks for; never lowers it."""

from __future__ import annotations

import msgspec

from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.capacity import change_desired
from elba.autoscaling.decisions import record_decision
from elba.autoscaling.predictive import next_change, predicted_floor
from elba.autoscaling.resources import Policy


def raise_to_forecast(turn: Turn) -> None:
    group = turn.group
    for policy in turn.tx.children(Policy, group.account, group.region, group.id):
        if policy.predictive_scaling_configuration is not None:
            turn.look_again_at(next_change(policy.predictive_scaling_configuration, turn.now))
    wanted, of = predicted_floor(turn.tx, group, turn.now)
    if of is None or wanted <= group.desired_capacity:
        return
    configuration = of.predictive_scaling_configuration or {}
    if configuration.get("max_capacity_breach_behavior") == "IncreaseMaxCapacity" and wanted > group.max_size:
        maximum = -(-wanted * (100 + (configuration.get("max_capacity_buffer") or 0)) // 100)
        group = msgspec.structs.replace(group, max_size=maximum)
    after = min(wanted, group.max_size)
    if after <= group.desired_capacity:
        return
    record_decision(
        turn.tx,
        turn.call,
        group,
        trigger="forecast",
        summary=f"{of.policy_name}: {group.desired_capacity} → {after} (forecast asks for {wanted})",
        inputs={"policy": of.policy_name, "forecast": wanted, "max_size": group.max_size},
        before=group.desired_capacity,
        after=after,
    )
    what = f"a predictive scaling policy {of.policy_name} forecast a need for more capacity"
    change_desired(turn.tx, turn.call, group, after, what)
