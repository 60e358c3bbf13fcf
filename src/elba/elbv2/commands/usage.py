"""Which target groups a load balancer uses: kept on the group, checked against the quotas.

A target group belongs to at most one load balancer; `TargetGroup.load_balancer_arns` follows from the
rules that name it and is written in the same transaction as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from elba.call import Call
from elba.ec2.resources import Instance
from elba.elbv2.commands.lookup import require_target_group
from elba.elbv2.limits import LIMITS
from elba.elbv2.resources import Listener, LoadBalancer, Rule, Target, TargetGroup, TargetHealth
from elba.errors import ApiError
from elba.store.interface import Transaction, View


def groups_in_actions(actions: Iterable[Mapping[str, Any]]) -> list[str]:
    """The ARNs that forward actions (in stored form) name, each once, in order."""
    found: dict[str, None] = {}
    for action in actions:
        for entry in action.get("forward_config", {}).get("target_groups", ()):
            found[entry["target_group_arn"]] = None
    return list(found)


def groups_of_load_balancer(view: View, balancer: LoadBalancer) -> list[str]:
    """The ARNs of all target groups that its rules name, each once."""
    found: dict[str, None] = {}
    for listener in view.children(Listener, balancer.account, balancer.region, balancer.id):
        for rule in view.children(Rule, balancer.account, balancer.region, listener.id):
            found.update(dict.fromkeys(groups_in_actions(rule.actions)))
    return list(found)


def targets_in_use(view: View, group: TargetGroup) -> list[Target]:
    """The registered targets that are not on their way out."""
    return [t for t in view.children(Target, group.account, group.region, group.id) if not t.draining_since]


def require_target_quota(view: View, balancer_groups: Iterable[TargetGroup], more: Counter[str] | None = None) -> None:
    """Raises: TooManyTargets, TooManyRegistrationsForTargetId, for one load balancer's groups with `more` added."""
    registrations: Counter[str] = Counter(more or {})
    for group in balancer_groups:
        registrations.update(t.target_id for t in targets_in_use(view, group))
    if registrations.total() > LIMITS["targets-per-application-load-balancer"]:
        raise ApiError("TooManyTargets", "The maximum number of targets per load balancer has been reached")
    most = max(registrations.values(), default=0)
    if most > LIMITS["target-id-registrations-per-application-load-balancer"]:
        raise ApiError(
            "TooManyRegistrationsForTargetId",
            "The maximum number of registrations for a target ID per load balancer has been reached",
        )


def attach_groups(tx: Transaction, call: Call, balancer: LoadBalancer, group_arns: Iterable[str]) -> None:
    """Make the groups the load balancer's, which the rules to be put will name.

    Raises: TargetGroupNotFound, TargetGroupAssociationLimit, TooManyUniqueTargetGroupsPerLoadBalancer,
    TooManyTargets, TooManyRegistrationsForTargetId.
    """
    groups = [require_target_group(tx, call, arn) for arn in group_arns]
    taken = [g.id for g in groups if g.load_balancer_arns and balancer.id not in g.load_balancer_arns]
    if taken:
        raise ApiError(
            "TargetGroupAssociationLimit",
            "The following target groups cannot be associated with more than one load balancer: " + ", ".join(taken),
        )
    new = [g for g in groups if not g.load_balancer_arns]
    if not new:
        return
    used = {arn: require_target_group(tx, call, arn) for arn in groups_of_load_balancer(tx, balancer)}
    used.update({g.id: g for g in new})
    if len(used) > LIMITS["target-groups-per-application-load-balancer"]:
        raise ApiError(
            "TooManyUniqueTargetGroupsPerLoadBalancer",
            "The maximum number of unique target groups per load balancer has been reached on load balancer "
            f"'{balancer.id}'",
        )
    require_target_quota(tx, used.values())
    for group in new:
        tx.put(msgspec.structs.replace(group, load_balancer_arns=[balancer.id]))


def detach_unused_groups(tx: Transaction, balancer: LoadBalancer, group_arns: Iterable[str]) -> None:
    """Of these groups, let go of those that no rule names any more: their targets become unused."""
    candidates = set(group_arns)
    if not candidates:
        return
    candidates.difference_update(groups_of_load_balancer(tx, balancer))
    for arn in sorted(candidates):
        group = tx.get(TargetGroup, balancer.account, balancer.region, arn)
        if group is None or not group.load_balancer_arns:
            continue
        tx.put(msgspec.structs.replace(group, load_balancer_arns=[]))
        for health in tx.children(TargetHealth, group.account, group.region, group.id):
            tx.delete(health)
        for target in tx.children(Target, group.account, group.region, group.id):
            if target.draining_since:  # nothing carries traffic to it any more
                tx.delete(target)


def forget_health_in_zones(tx: Transaction, balancer: LoadBalancer, zones: set[str]) -> None:
    """Nobody checks the targets in `zones` any more: enabled again, they start as new ones."""
    for arn in groups_of_load_balancer(tx, balancer) if zones else ():
        for health in tx.children(TargetHealth, balancer.account, balancer.region, arn):
            target = tx.get(Target, balancer.account, balancer.region, health.id)
            instance = tx.get(Instance, balancer.account, balancer.region, target.target_id) if target else None
            zone = instance.availability_zone if instance else target.availability_zone if target else ""
            if zone in zones:
                tx.delete(health)
