"""The key with which a load balancer signs what it says of users (x-amzn-oidc-data), and its public half."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from elba.elbv2.resources import CookieKeys
from elba.store.interface import View

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256."""


def new_identity_key(random_hex: str) -> str:
    """A P-256 key as PKCS #8 in base64, made of 40 or more random bytes."""
    number = int(random_hex, 16) % (_ORDER - 1) + 1
    key = ec.derive_private_key(number, ec.SECP256R1())
    document = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return base64.b64encode(document).decode()


def public_key(view: View, key_id: str) -> str | None:
    """The public half as PEM, as AWS serves it at `public-keys.auth.elb.<region>.amazonaws.com/<key id>`."""
    for id_, secret in _all(view):
        if id_ == key_id:
            key = load_der_private_key(base64.b64decode(secret), None)
            return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return None


def _all(view: View) -> Iterator[tuple[str, str]]:
    for keys in view.all(CookieKeys):
        yield from keys.identity_keys
