"""Tags as EC2 takes and gives them.

Source: EC2 user guide, "Tag restrictions": at most 50 a resource, keys up to 127 characters, values up to 256.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from elba.call import Request
from elba.ec2.resources import Tags
from elba.errors import ApiError

MOST_TAGS = 50


def check_tags(tags: Iterable[Mapping[str, Any]]) -> Tags:
    """`tags` as a dict. Raises: ApiError InvalidParameterValue, TagLimitExceeded."""
    result: Tags = {}
    for tag in tags:
        key, value = tag.get("key") or "", tag.get("value") or ""
        if not key:
            raise ApiError("InvalidParameterValue", "Tag key cannot be null or empty")
        if key.lower().startswith("aws:"):
            raise ApiError(
                "InvalidParameterValue",
                f"Value ( {key} ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for "
                "internal use",
            )
        if len(key) > 127:
            raise ApiError("InvalidParameterValue", "Tag key exceeds the maximum length of 127 characters")
        if len(value) > 256:
            raise ApiError("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters")
        if key in result:
            raise ApiError("InvalidParameterValue", f"Duplicate tag key '{key}' specified.")
        result[key] = value
    check_count(result)
    return result


def check_count(tags: Tags) -> None:
    """Tags of AWS's own (`aws:`) do not count. Raises: ApiError TagLimitExceeded."""
    if sum(1 for key in tags if not key.startswith("aws:")) > MOST_TAGS:
        raise ApiError("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")


def specified_tags(request: Request, *resource_types: str) -> dict[str, Tags]:
    """TagSpecifications by resource type, one entry for each of `resource_types`.

    Raises: ApiError InvalidParameterValue if a specification is for something this operation does not create.
    """
    result: dict[str, Tags] = {one: {} for one in resource_types}
    for specification in request.get("tag_specifications") or ():
        type_ = specification.get("resource_type") or ""
        if type_ not in result:
            raise ApiError(
                "InvalidParameterValue",
                f"'{type_}' is not a valid taggable resource type for this operation.",
            )
        result[type_] = check_tags([*tag_list(result[type_]), *(specification.get("tags") or ())])
    return result


def tag_list(tags: Tags) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
