"""EC2's filters and paging, the same for every Describe operation.

Filter values of one name are alternatives, names add up; `*` and `?` are wildcards, `\\` takes their meaning away;
matching is case sensitive. Source: EC2 user guide, "List and filter your resources".
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from elba.call import Request
from elba.ec2.resources import Tags
from elba.errors import ApiError

T = TypeVar("T")

Values = str | int | bool | float | None | Iterable[str]
Fields = Mapping[str, Callable[[T], Values]]
"""What a filter name looks at: a value, or several of which one must match; None matches nothing."""


@functools.lru_cache(maxsize=4096)
def pattern(text: str) -> re.Pattern[str]:
    """`text` with EC2's wildcards as a regular expression for `fullmatch`."""
    parts: list[str] = []
    characters = iter(text)
    for character in characters:
        if character == "\\":
            parts.append(re.escape(next(characters, "\\")))
        elif character == "*":
            parts.append(".*")
        elif character == "?":
            parts.append(".")
        else:
            parts.append(re.escape(character))
    return re.compile("".join(parts), re.DOTALL)


def _texts(value: Values) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, str):
        return [value]
    if isinstance(value, int | float):
        return [str(value)]
    return list(value)


def _matches(texts: Sequence[str], wanted: Sequence[str]) -> bool:
    for want in wanted:
        if any(c in want for c in "*?\\"):
            if any(pattern(want).fullmatch(text) for text in texts):
                return True
        elif want in texts:
            return True
    return False


def select(
    items: Iterable[T],
    filters: Sequence[Mapping[str, Any]] | None,
    fields: Fields[T],
    tags: Callable[[T], Tags] | None = None,
) -> list[T]:
    """The items that match all `filters`. `tags` adds the filters `tag:<key>`, `tag-key` and `tag-value`.

    Raises: ApiError InvalidParameterValue for a filter name that is not in `fields`.
    """
    tests: list[tuple[Callable[[T], Values], list[str]]] = []
    for one in filters or ():
        name = one.get("name") or ""
        # An absent value is not sent by any client on purpose; it matches what is empty.
        wanted = [str(v) for v in one.get("values") or ()]
        tests.append((_reader(name, fields, tags), wanted))
    if not tests:
        return list(items)
    return [item for item in items if all(_matches(_texts(read(item)), wanted) for read, wanted in tests)]


def _reader(name: str, fields: Fields[T], tags: Callable[[T], Tags] | None) -> Callable[[T], Values]:
    if name in fields:
        return fields[name]
    if tags is not None:
        of = tags
        if name.startswith("tag:"):
            key = name[4:]
            return lambda item: of(item).get(key)
        if name == "tag-key":
            return lambda item: list(of(item))
        if name == "tag-value":
            return lambda item: list(of(item).values())
    raise ApiError("InvalidParameterValue", f"The filter '{name or 'null'}' is invalid")


def page(
    items: Sequence[T],
    request: Request,
    *,
    ids: str = "",
    least: int = 5,
    most: int = 1000,
) -> tuple[list[T], str | None]:
    """One page of `items`, and the token for the next (None on the last).

    `ids` names the request's list of ids, with which paging may not be combined.
    Raises: ApiError InvalidParameterValue, InvalidParameterCombination, InvalidNextToken? (as InvalidParameterValue).
    """
    size = request.get("max_results")
    token = request.get("next_token")
    start = _read_token(token) if token else 0
    if size is None:
        return list(items[start:]), None
    if ids and request.get(ids):
        raise ApiError(
            "InvalidParameterCombination",
            f"The parameter {_camel(ids)} cannot be used with the parameter maxResults",
        )
    if size < least:
        raise ApiError(
            "InvalidParameterValue",
            f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value greater than {least}."
            if least > 1
            else f"Value ( {size} ) for parameter maxResults is invalid.",
        )
    size = min(size, most)
    following = start + size
    return list(items[start:following]), (_token(following) if following < len(items) else None)


def _token(position: int) -> str:
    return base64.urlsafe_b64encode(f"v1:{position}".encode()).decode()


def _read_token(token: str) -> int:
    try:
        version, _, position = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        if version != "v1":
            raise ValueError(version)
        return int(position)
    except (binascii.Error, ValueError):
        raise ApiError("InvalidParameterValue", f"Invalid value '{token}' for parameter nextToken.") from None


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
