"""Capacity rebalancing: replaces spot instances that have notice of an interruption before they are gone.

Source: Auto Scaling user guide, "Capacity Rebalancing".
"""

from __future__ import annotations

from elba.autoscaling import sentences
from elba.autoscaling.advance.replacing import Bounds, replace
from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.commands import registration
from elba.autoscaling.lookup import suspended, units


def rebalance_capacity(turn: Turn) -> None:
    """Launch as many beside the members at risk (at most a tenth above the maximum), and let them go when those are in
    service; those that have their two minutes' notice are out of traffic at once. Without CapacityRebalance they are
    replaced once they are gone.
    """
    group = turn.group
    if not group.capacity_rebalance or any(suspended(group, p) for p in ("Launch", "Terminate")):
        return
    due = [
        m
        for m in turn.members()
        if m.lifecycle_state == "InService"
        and (instance := turn.instance(m)) is not None
        and (instance.spot_interruption_time > 0 or instance.rebalance_recommendation_time > 0)
    ]
    if not due:
        return
    noticed = [m.id for m in due if (i := turn.instance(m)) is not None and i.spot_interruption_time > 0]
    registration.deregister(turn.tx, turn.call, group, noticed)
    turn.forget_targets()
    most = max(group.desired_capacity, group.max_size + max(1, group.max_size // 10))
    ceiling = min(group.desired_capacity + sum(units(m) for m in due), most)
    turn.surge_sentence = sentences.INTERRUPTED_IN
    replace(
        turn,
        due,
        Bounds(group.desired_capacity, ceiling),
        group.default_instance_warmup or 0,
        "interruption",
        sentences.INTERRUPTED_OUT,
    )
