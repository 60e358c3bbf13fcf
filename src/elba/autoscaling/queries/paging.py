"""Pages of a describe's result; the token says where the next one begins."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from elba.autoscaling import faults
from elba.call import Request
from elba.errors import ApiError

T = TypeVar("T")


def page(found: Sequence[T], request: Request, default: int, most: int) -> tuple[Sequence[T], str | None]:
    """One page of `found` and the token of the next (None on the last). Raises: ApiError."""
    size = request.get("max_records")
    size = default if size is None else size
    if not 1 <= size <= most:
        raise faults.validation(f"MaxRecords must be between 1 and {most}, not {size}.")
    begin = 0
    if token := request.get("next_token"):
        begin = _begin(token)
    end = begin + size
    more = base64.urlsafe_b64encode(f"from:{end}".encode()).decode() if end < len(found) else None
    return found[begin:end], more


def _begin(token: str) -> int:
    try:
        kind, _, number = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        if kind == "from" and number.isdigit():
            return int(number)
    except (binascii.Error, ValueError):
        pass
    raise ApiError("InvalidNextToken", "The NextToken value is not valid.")


def filters(request: Request) -> list[tuple[str, list[str]]]:
    given: Iterable[Mapping[str, Any]] = request.get("filters") or []
    return [(f.get("name") or "", list(f.get("values") or [])) for f in given]
