"""Tags of groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from elba.autoscaling import faults
from elba.autoscaling.lookup import find_group
from elba.autoscaling.resources import Group, GroupTag
from elba.call import Answer, Call, Request
from elba.store.interface import Transaction

MAX_TAGS = 50
MAX_TAGS_PER_CALL = 25


def from_request(group_name: str, given: Iterable[Mapping[str, Any]]) -> list[GroupTag]:
    """Raises: ApiError."""
    tags: dict[str, GroupTag] = {}
    for tag in given:
        if tag.get("resource_id") not in (None, "", group_name):
            raise faults.validation("Tag resource ids must be the name of the Auto Scaling group.")
        tags[tag["key"]] = _tag(tag)
    if len(tags) > MAX_TAGS:
        raise faults.limit("You tried to create more tags than allowed")
    return list(tags.values())


def _tag(tag: Mapping[str, Any]) -> GroupTag:
    if tag["key"].lower().startswith("aws:"):
        raise faults.validation("aws: prefixed tag key names are not allowed for external use.")
    return GroupTag(
        key=tag["key"], value=tag.get("value") or "", propagate_at_launch=bool(tag.get("propagate_at_launch"))
    )


def _group(tx: Transaction, call: Call, tag: Mapping[str, Any]) -> Group:
    name = tag.get("resource_id") or ""
    if tag.get("resource_type") not in (None, "", "auto-scaling-group"):
        raise faults.validation(f"Invalid resource type: {tag['resource_type']}")
    group = find_group(tx, call, name)
    if group is None:
        raise faults.tagged_group_unknown(name)
    return group


def _limit(given: list[Any]) -> None:
    if len(given) > MAX_TAGS_PER_CALL:
        raise faults.validation(f"At most {MAX_TAGS_PER_CALL} tags can be changed in one request.")


def create_or_update_tags(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    _limit(request["tags"])
    for tag in request["tags"]:
        group = _group(tx, call, tag)
        tags = {t.key: t for t in group.tags} | {tag["key"]: _tag(tag)}
        if len(tags) > MAX_TAGS:
            raise faults.limit("You tried to create more tags than allowed")
        tx.put(msgspec.structs.replace(group, tags=list(tags.values())))
    return {}


def delete_tags(tx: Transaction, call: Call, request: Request) -> Answer:
    """Remove the named tags (of that value, if one is given); those that are not there are passed over."""
    _limit(request["tags"])
    for tag in request["tags"]:
        group = _group(tx, call, tag)
        kept = [t for t in group.tags if t.key != tag["key"] or tag.get("value") not in (None, "", t.value)]
        tx.put(msgspec.structs.replace(group, tags=kept))
    return {}
