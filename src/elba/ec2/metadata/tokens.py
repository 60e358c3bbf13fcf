"""Session tokens of the instance metadata service: signed statements of instance and expiry, so none is stored."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct

LEAST_TTL_SECONDS, MOST_TTL_SECONDS = 1, 21600


def make_token(key: bytes, instance_id: str, expires_at: float) -> str:
    """A token for one instance, valid until `expires_at` (the world's time)."""
    expiry = struct.pack(">Q", int(expires_at))
    return base64.urlsafe_b64encode(expiry + _signature(key, instance_id, expiry)).decode()


def token_is_valid(key: bytes, instance_id: str, token: str, now: float) -> bool:
    """Whether `token` was made for this instance and has not expired."""
    try:
        raw = base64.urlsafe_b64decode(token.encode())
    except (binascii.Error, ValueError):
        return False
    expiry, signature = raw[:8], raw[8:]
    if len(expiry) != 8 or not hmac.compare_digest(signature, _signature(key, instance_id, expiry)):
        return False
    return bool(struct.unpack(">Q", expiry)[0] > now)


def _signature(key: bytes, instance_id: str, expiry: bytes) -> bytes:
    return hmac.digest(key, instance_id.encode() + b"\0" + expiry, hashlib.sha256)
