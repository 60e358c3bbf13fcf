"""What to tell a node that has one configuration and should have another. Pure.

`known_health` takes no part: it is for a node that has no view of its own yet, and a change of it must not
come back as a change of configuration. `applied(old, diff(old, new)) == new` but for that, in any order.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from elba.dataplane.interface import Configuration
from elba.dataplane.protocol import Delta, LoadBalancer, Node, Target, TargetChange, TargetGroup


def same_target(one: Target, other: Target) -> bool:
    """Whether two targets differ in nothing but `known_health`."""
    if one is other or one == other:
        return True
    if one.known_health == other.known_health:
        return False
    return one == msgspec.structs.replace(other, known_health=one.known_health)


def target_change(old: TargetGroup, new: TargetGroup) -> TargetChange | None:
    """How the targets of a group changed; None if they did not."""
    if old.targets is new.targets:
        return None
    before = {target.key: target for target in old.targets}
    put = []
    for target in new.targets:
        known = before.pop(target.key, None)
        if known is None or not same_target(known, target):
            put.append(target)
    if not put and not before:
        return None
    return TargetChange(target_group=new.arn, put=put, removed=list(before))


def same_settings(old: TargetGroup, new: TargetGroup) -> bool:
    """Whether two versions of a group differ in their targets only."""
    return old == new or msgspec.structs.replace(old, targets=[]) == msgspec.structs.replace(new, targets=[])


def diff(old: Configuration, new: Configuration, *, base: int, version: int, node: Node | None = None) -> Delta | None:
    """The changes from `old` to `new`; None if there are none."""
    old_balancers = {balancer.arn: balancer for balancer in old.load_balancers}
    put_balancers = []
    for balancer in new.load_balancers:
        known_balancer = old_balancers.pop(balancer.arn, None)
        if known_balancer is not balancer and known_balancer != balancer:
            put_balancers.append(balancer)
    old_groups = {group.arn: group for group in old.target_groups}
    put_groups = []
    changes = []
    for group in new.target_groups:
        known = old_groups.pop(group.arn, None)
        if known is group:
            continue
        if known is None or not same_settings(known, group):
            put_groups.append(group)
        elif (change := target_change(known, group)) is not None:
            changes.append(change)
    if not (put_balancers or old_balancers or put_groups or old_groups or changes or node):
        return None
    return Delta(
        base=base,
        version=version,
        put_load_balancers=put_balancers,
        removed_load_balancers=list(old_balancers),
        put_target_groups=put_groups,
        removed_target_groups=list(old_groups),
        targets=changes,
        node=node,
    )


def applied(configuration: Configuration, delta: Delta) -> Configuration:
    """`configuration` with the changes made, as a node makes them; put ones keep their place, new ones come last."""
    balancers: dict[str, LoadBalancer] = {b.arn: b for b in configuration.load_balancers}
    for arn in delta.removed_load_balancers:
        balancers.pop(arn, None)
    balancers.update((b.arn, b) for b in delta.put_load_balancers)
    groups: dict[str, TargetGroup] = {g.arn: g for g in configuration.target_groups}
    for arn in delta.removed_target_groups:
        groups.pop(arn, None)
    groups.update((g.arn, g) for g in delta.put_target_groups)
    for change in delta.targets:
        group = groups[change.target_group]
        groups[group.arn] = msgspec.structs.replace(group, targets=_changed(group.targets, change))
    return Configuration(list(balancers.values()), list(groups.values()))


def _changed(targets: Sequence[Target], change: TargetChange) -> list[Target]:
    by_key = {target.key: target for target in targets}
    for key in change.removed:
        by_key.pop(key, None)
    by_key.update((target.key, target) for target in change.put)
    return list(by_key.values())
