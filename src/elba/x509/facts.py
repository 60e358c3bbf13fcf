"""What a certificate says of itself, in the form in which resources keep it. Needs no cryptography to load."""

from __future__ import annotations

import msgspec


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A leaf certificate's members in ACM's words. Times are epoch seconds of the world.

    `names`: common name and DNS alternative names, lower case, each once, the domain name first.
    """

    domain_name: str
    names: list[str]
    serial: str
    subject: str
    issuer: str
    not_before: float
    not_after: float
    key_algorithm: str
    signature_algorithm: str
    key_usages: list[str] = []
    extended_key_usages: list[tuple[str, str]] = []
    """(name, OID)."""
