"""User data: base64 on the wire, at most 16384 bytes of it decoded. Opaque to the API."""

from __future__ import annotations

import base64
import binascii

from elba.errors import ApiError

MOST_BYTES = 16384


def check_user_data(encoded: object) -> str:
    """`encoded`, or "" for none. Raises: ApiError InvalidUserData.Malformed, InvalidParameterValue (too long)."""
    if not encoded:
        return ""
    text = "".join(str(encoded).split())
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ApiError("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.") from None
    if len(decoded) > MOST_BYTES:
        raise ApiError("InvalidParameterValue", f"User data is limited to {MOST_BYTES} bytes")
    return text
