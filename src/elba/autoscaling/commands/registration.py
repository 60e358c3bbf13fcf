"""Registers members with the group's target groups and takes them out again, by ELBv2's own commands."""

from __future__ import annotations

from collections.abc import Iterable

from elba.autoscaling.lookup import suspended
from elba.autoscaling.resources import Attachment, Group
from elba.call import Call
from elba.elbv2 import commands as elbv2
from elba.elbv2.resources import Target, TargetGroup
from elba.store.interface import Transaction, View

DEFAULT_DELAY_SECONDS = 300.0


def target_groups(view: View, group: Group, states: Iterable[str] = ()) -> list[TargetGroup]:
    """The attached target groups that exist, in any of `states` (any but Removed if none is named)."""
    wanted = tuple(states)
    return [
        found
        for a in group.attachments
        if a.type == "elbv2"
        and (a.state in wanted if wanted else a.state != "Removed")
        and (found := view.get(TargetGroup, group.account, group.region, a.identifier)) is not None
    ]


def targets_of(view: View, target_group: TargetGroup, instance_id: str) -> list[Target]:
    """The instance's targets in the group, draining ones included."""
    return [
        t
        for t in view.children(Target, target_group.account, target_group.region, target_group.id)
        if t.target_id == instance_id
    ]


def register(tx: Transaction, call: Call, group: Group, instance_ids: Iterable[str]) -> None:
    """Register the instances, which must run, with every attached target group, at the group's port.

    Does nothing while AddToLoadBalancer is suspended. Raises: ApiError.
    """
    if suspended(group, "AddToLoadBalancer"):
        return
    for target_group in target_groups(tx, group, ("Adding", "Added", "InService")):
        register_with(tx, call, target_group, instance_ids)


def register_with(tx: Transaction, call: Call, target_group: TargetGroup, instance_ids: Iterable[str]) -> None:
    """Raises: ApiError."""
    missing = [i for i in instance_ids if not any(not t.draining_since for t in targets_of(tx, target_group, i))]
    if missing:
        elbv2.register_targets(tx, call, {"target_group_arn": target_group.id, "targets": [{"id": i} for i in missing]})


def deregister(tx: Transaction, call: Call, group: Group, instance_ids: Iterable[str]) -> None:
    """Take the instances out of every attached target group; they drain for its deregistration delay."""
    for target_group in target_groups(tx, group):
        deregister_from(tx, call, target_group, instance_ids)


def deregister_from(tx: Transaction, call: Call, target_group: TargetGroup, instance_ids: Iterable[str]) -> None:
    there = [
        {"id": t.target_id, "port": t.port}
        for i in instance_ids
        for t in targets_of(tx, target_group, i)
        if not t.draining_since
    ]
    if there:
        elbv2.deregister_targets(tx, call, {"target_group_arn": target_group.id, "targets": there})


def draining_until(view: View, group: Group, instance_id: str, only: Attachment | None = None) -> float | None:
    """When the instance's last target stops draining; None if it has none any more.

    ELBv2 removes a target when its delay is over; the time is the latest at which that is due.
    """
    latest: float | None = None
    for target_group in target_groups(view, group):
        if only is not None and target_group.id != only.identifier:
            continue
        delay = target_group.attributes.get("deregistration_delay.timeout_seconds")
        seconds = DEFAULT_DELAY_SECONDS if delay is None else float(delay)
        for target in targets_of(view, target_group, instance_id):
            if target.draining_since:
                latest = max(latest or 0.0, target.draining_since + seconds)
    return latest
