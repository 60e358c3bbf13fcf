"""ACM's stored resources. Types only."""

from __future__ import annotations

from typing import ClassVar

from elba.log import Discreet
from elba.resource import Resource
from elba.x509.facts import Facts

OF_ELBA = "elba"
"""Account and region of what belongs to this Elba as a whole."""
AUTHORITY_ID = "root"

Tags = dict[str, str]


class Certificate(Discreet, Resource, frozen=True, kw_only=True):
    """`id` is the ARN. `certificate` and `chain` (without the leaf) and `private_key` are PEM.

    `created_at` and the like are clock time; validity is the world's, as clients judge it.
    """

    KIND: ClassVar[str] = "acm.certificate"
    SECRETS: ClassVar[frozenset[str]] = frozenset({"private_key"})

    type: str  # IMPORTED, AMAZON_ISSUED
    certificate: str
    chain: str
    private_key: str
    facts: Facts
    created_at: float
    imported_at: float = 0.0
    issued_at: float = 0.0
    validation_method: str = ""
    validation_domains: dict[str, str] = {}
    """Domain name to the domain that validated it, where they differ."""
    idempotency_token: str = ""
    transparency_logging: str = ""
    export: str = "DISABLED"
    exported: bool = False
    tags: Tags = {}


class Authority(Discreet, Resource, frozen=True, kw_only=True):
    """The certificate authority of this data store; it signs what RequestCertificate asks for."""

    KIND: ClassVar[str] = "acm.authority"
    SECRETS: ClassVar[frozenset[str]] = frozenset({"private_key"})

    certificate: str
    private_key: str


class AccountConfiguration(Resource, frozen=True, kw_only=True):
    """`id` is "configuration"."""

    KIND: ClassVar[str] = "acm.account_configuration"

    days_before_expiry: int = 45
