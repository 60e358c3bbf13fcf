"""DescribeTags."""

from __future__ import annotations

from collections.abc import Iterator

from elba.call import Answer, Call, Request
from elba.ec2.filters import Fields, page, select
from elba.ec2.tagged import all_tagged
from elba.store.interface import View

_Tag = tuple[str, str, str, str]
"""(resource id, resource type, key, value)"""

_FIELDS: Fields[_Tag] = {
    "resource-id": lambda t: t[0],
    "resource-type": lambda t: t[1],
    "key": lambda t: t[2],
    "value": lambda t: t[3],
}


def describe_tags(view: View, call: Call, request: Request) -> Answer:
    filters = []
    # `tag:<key>` filters tags by key and value at once.
    own: list[tuple[str, list[str]]] = []
    for one in request.get("filters") or ():
        name = one.get("name") or ""
        if name.startswith("tag:"):
            own.append((name[4:], [str(v) for v in one.get("values") or ()]))
        else:
            filters.append(one)

    def tags() -> Iterator[_Tag]:
        for found in all_tagged(view, call):
            for key, value in found.tags.items():
                if all(key == k and value in values for k, values in own):
                    yield found.id, found.resource_type, key, value

    found = select(tags(), filters, _FIELDS)
    part, token = page(found, request)
    return {
        "tags": [
            {"resource_id": id_, "resource_type": type_, "key": key, "value": value} for id_, type_, key, value in part
        ],
        "next_token": token,
    }
