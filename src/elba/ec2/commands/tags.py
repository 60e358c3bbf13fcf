"""CreateTags and DeleteTags, for everything that has tags."""

from __future__ import annotations

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.faults import missing
from elba.ec2.resources import SecurityGroup, Tags
from elba.ec2.tagged import Tagged, find_tagged
from elba.ec2.tagging import check_count, check_tags
from elba.errors import ApiError
from elba.store.interface import Transaction

MOST_RESOURCES = 1000


def _resources(request: Request) -> list[str]:
    ids = request.get("resources")
    if not ids:
        raise missing("ResourceId")
    if len(ids) > MOST_RESOURCES:
        raise ApiError("InvalidParameterValue", f"At most {MOST_RESOURCES} resources can be tagged in one request.")
    return list(dict.fromkeys(ids))


def create_tags(tx: Transaction, call: Call, request: Request) -> Answer:
    """Adds or overwrites, all or none. Raises: ApiError InvalidID, Invalid….NotFound, TagLimitExceeded."""
    given = request.get("tags")
    if not given:
        raise missing("Tag")
    tags = check_tags(given)
    for id_ in _resources(request):
        found = find_tagged(tx, call, id_)
        changed = {**found.tags, **tags}
        check_count(changed)
        _put(tx, found, changed)
    return {}


def delete_tags(tx: Transaction, call: Call, request: Request) -> Answer:
    """Without Tags: all of the user's; a tag without a value: whatever its value; with one: only if it is that."""
    given = request.get("tags") or ()
    for tag in given:
        if (tag.get("key") or "").lower().startswith("aws:"):
            raise ApiError(
                "InvalidParameterValue",
                f"Value ( {tag['key']} ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for "
                "internal use",
            )
    for id_ in _resources(request):
        found = find_tagged(tx, call, id_)
        if not given:
            kept = {k: v for k, v in found.tags.items() if k.startswith("aws:")}
        else:
            kept = dict(found.tags)
            for tag in given:
                key, value = tag.get("key") or "", tag.get("value")
                if key in kept and (value is None or kept[key] == value):
                    del kept[key]
        _put(tx, found, kept)
    return {}


def _put(tx: Transaction, found: Tagged, tags: Tags) -> None:
    if found.rule_id and isinstance(found.resource, SecurityGroup):
        group = found.resource
        rules = [replace(p, tags=tags) if p.rule_id == found.rule_id else p for p in group.permissions]
        tx.put(replace(group, permissions=rules))
    else:
        tx.put(found.with_tags(tags))
