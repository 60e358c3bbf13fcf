"""Placement groups: names that launches may use. Elba does not place by them."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.ec2.faults import missing
from elba.ec2.queries.placement_groups import render_placement_group
from elba.ec2.resources import Instance, PlacementGroup
from elba.ec2.tagging import specified_tags
from elba.errors import ApiError
from elba.store.interface import Transaction


def create_placement_group(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidPlacementGroup.Duplicate, InvalidParameterValue, InvalidParameterCombination."""
    tags = specified_tags(request, "placement-group")["placement-group"]
    name = request.get("group_name") or ""
    if not name:
        raise missing("GroupName")
    strategy = request.get("strategy") or "cluster"
    if strategy not in ("cluster", "spread", "partition"):
        raise ApiError("InvalidParameterValue", f"Invalid value '{strategy}' for Strategy.")
    partitions = request.get("partition_count")
    if partitions is not None and strategy != "partition":
        raise ApiError(
            "InvalidParameterCombination", "partition-count is only available with the 'partition' strategy."
        )
    if request.get("spread_level") and strategy == "cluster":
        raise ApiError(
            "InvalidParameterCombination",
            "spread-level is only available with the 'spread' or 'partition' strategy.",
        )
    if any(g.group_name == name for g in tx.all(PlacementGroup, call.account, call.region)):
        raise ApiError("InvalidPlacementGroup.Duplicate", f"The Placement Group '{name}' already exists.")
    group = PlacementGroup(
        account=call.account,
        region=call.region,
        id=call.ids.ec2("pg"),
        group_name=name,
        strategy=strategy,
        partition_count=(partitions or 2) if strategy == "partition" else None,
        spread_level=(request.get("spread_level") or "rack") if strategy == "spread" else "",
        tags=tags,
    )
    tx.put(group)
    return {"placement_group": render_placement_group(call, group)}


def delete_placement_group(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidPlacementGroup.Unknown, InvalidPlacementGroup.InUse."""
    name = request.get("group_name") or ""
    for group in tx.all(PlacementGroup, call.account, call.region):
        if name not in (group.group_name, group.id):
            continue
        for instance in tx.all(Instance, call.account, call.region):
            if instance.placement_group == group.group_name and instance.state != "terminated":
                raise ApiError(
                    "InvalidPlacementGroup.InUse",
                    f"The placement group '{group.group_name}' is in use and may not be deleted.",
                )
        tx.delete(group)
        return {}
    raise ApiError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
