"""NextToken: an opaque form of where the next page begins."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from elba.errors import ApiError

T = TypeVar("T")


def encode_token(position: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode()


def decode_token(token: str | None, type_: type[T]) -> T | None:
    """The position, or None without a token. Raises: ApiError InvalidNextToken."""
    if not token:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(token.encode()), type=type_)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise ApiError("InvalidNextToken", "The token is not one that this operation returned.") from None


def require_token(token: str | None, type_: type[T]) -> T | None:
    """The same for operations that have no error of their own for it. Raises: ApiError InvalidParameterValue."""
    try:
        return decode_token(token, type_)
    except ApiError:
        raise ApiError("InvalidParameterValue", "Request parameter NextToken is invalid") from None


def page(
    items: Sequence[T],
    key: Callable[[T], str],
    token: str | None,
    most: int,
    decode: Callable[[str | None, type[str]], str | None] = decode_token,
) -> tuple[list[T], str | None]:
    """The next `most` of `items`, which are in order of `key`, and the token for those after."""
    after = decode(token, str)
    rest = items if after is None else [item for item in items if key(item) > after]
    taken = list(rest[:most])
    return taken, encode_token(key(taken[-1])) if len(rest) > most else None
