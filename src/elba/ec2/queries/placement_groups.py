"""Placement groups as the API shows them."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.ec2.faults import require_all
from elba.ec2.filters import Fields, select
from elba.ec2.resources import PlacementGroup
from elba.ec2.tagging import tag_list
from elba.errors import ApiError
from elba.store.interface import View


def _arn(call: Call, group: PlacementGroup) -> str:
    return call.arn("ec2", f"placement-group/{group.group_name}")


def render_placement_group(call: Call, group: PlacementGroup) -> Answer:
    return {
        "group_id": group.id,
        "group_name": group.group_name,
        "group_arn": _arn(call, group),
        "strategy": group.strategy,
        "partition_count": group.partition_count,
        "spread_level": group.spread_level or None,
        "state": "available",
        "tags": tag_list(group.tags),
    }


def describe_placement_groups(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidPlacementGroup.Unknown, InvalidPlacementGroupId.NotFound."""
    ids = request.get("group_ids")
    found = require_all(view, call, PlacementGroup, ids) if ids else view.all(PlacementGroup, call.account, call.region)
    if names := request.get("group_names"):
        by_name = {g.group_name: g for g in found}
        for name in names:
            if name not in by_name:
                raise ApiError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
        found = [by_name[name] for name in names]
    fields: Fields[PlacementGroup] = {
        "group-name": lambda g: g.group_name,
        "group-arn": lambda g: _arn(call, g),
        "spread-level": lambda g: g.spread_level or None,
        "state": lambda g: "available",
        "strategy": lambda g: g.strategy,
    }
    found = select(found, request.get("filters"), fields, lambda g: g.tags)
    return {"placement_groups": [render_placement_group(call, g) for g in found]}
