"""The metrics of a group in namespace AWS/AutoScaling. Pure.

Source: Auto Scaling user guide, "Available metrics and dimensions".
"""

from __future__ import annotations

from elba.autoscaling.lookup import LEAVING, REROOTING, is_warm, members_of, units
from elba.autoscaling.resources import Group, Member, WarmPool
from elba.clock import Timestamp
from elba.datapoints import Datapoint, dimensions
from elba.store.interface import View


def _kind(member: Member) -> str:
    state = member.lifecycle_state
    if state == "InService":
        return "InService"
    if state.startswith("Pending") or state in REROOTING:
        return "Pending"
    if state in LEAVING or state == "Terminating:Retained":
        return "Terminating"
    return "Standby" if state in ("Standby", "EnteringStandby") else ""


def values(view: View, group: Group) -> dict[str, float]:
    """All of the group's metrics by name, enabled or not."""
    found: dict[str, float] = {
        "GroupMinSize": group.min_size,
        "GroupMaxSize": group.max_size,
        "GroupDesiredCapacity": group.desired_capacity,
    }
    members = members_of(view, group)
    live = [m for m in members if not is_warm(m)]
    for kind in ("InService", "Pending", "Standby", "Terminating"):
        of_kind = [m for m in live if _kind(m) == kind]
        found[f"Group{kind}Instances"] = len(of_kind)
        found[f"Group{kind}Capacity"] = sum(units(m) for m in of_kind)
    total = [m for m in live if _kind(m)]
    found["GroupTotalInstances"] = len(total)
    found["GroupTotalCapacity"] = sum(units(m) for m in total)
    pool = view.get(WarmPool, group.account, group.region, group.id)
    if pool is not None:
        warm = [m for m in members if is_warm(m)]
        ready = [m for m in warm if m.lifecycle_state in READY]
        leaving = [m for m in warm if m.lifecycle_state.startswith("Warmed:Terminating")]
        wanted = pool_target(group, pool)
        found |= {
            "WarmPoolMinSize": pool.min_size,
            "WarmPoolDesiredCapacity": wanted,
            "WarmPoolWarmedCapacity": len(ready),
            "WarmPoolPendingCapacity": len(warm) - len(ready) - len(leaving),
            "WarmPoolTerminatingCapacity": len(leaving),
            "WarmPoolTotalCapacity": len(warm),
            "GroupAndWarmPoolDesiredCapacity": group.desired_capacity + wanted,
            "GroupAndWarmPoolTotalCapacity": found["GroupTotalCapacity"] + len(warm),
        }
    return found


READY = ("Warmed:Running", "Warmed:Stopped", "Warmed:Hibernated")


def pool_target(group: Group, pool: WarmPool) -> int:
    """How many instances the warm pool should hold."""
    if pool.pending_delete:
        return 0
    prepared = pool.max_group_prepared_capacity
    prepared = group.max_size if prepared is None else prepared
    return max(pool.min_size, prepared - group.desired_capacity)


def datapoints(view: View, group: Group, now: Timestamp) -> list[Datapoint]:
    """One value for each enabled metric that exists for this group, at the minute just begun."""
    current = values(view, group)
    return [
        Datapoint(
            account=group.account,
            region=group.region,
            namespace="AWS/AutoScaling",
            metric_name=name,
            timestamp=now,
            dimensions=dimensions({"AutoScalingGroupName": group.id}),
            values=(float(current[name]),),
            counts=(1.0,),
        )
        for name in group.enabled_metrics
        if name in current
    ]
