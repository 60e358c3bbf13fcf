"""Checks what ImportCertificate is given. Pure. Source: ACM user guide, "Prerequisites for importing"."""

from __future__ import annotations

import msgspec

from elba.acm.lookup import validation_error
from elba.log import Discreet
from elba.x509.facts import Facts
from elba.x509.reading import (
    BadPem,
    broken_link,
    certificate_pem,
    facts_of,
    fits,
    private_key_pem,
    read_certificates,
    read_private_key,
)

MOST_KEY_BYTES = 5120


class Material(Discreet, msgspec.Struct, frozen=True, kw_only=True):
    """A certificate that passed, with its chain and key, all PEM."""

    SECRETS = frozenset({"private_key"})

    certificate: str
    chain: str
    private_key: str
    facts: Facts


def judge(certificate: bytes, private_key: bytes, chain: bytes, world_now: float) -> Material:
    """Raises: ValidationException: not PEM, no pair, out of its dates, key of another kind, a chain that does not hold.

    A certificate that did not sign itself may come without its chain, as clients of a test stack do.
    """
    if len(private_key) > MOST_KEY_BYTES:
        raise validation_error(f"The private key is larger than {MOST_KEY_BYTES} bytes.")
    try:
        leaves = read_certificates(certificate)
    except BadPem as error:
        raise validation_error(f"Could not parse the certificate: {error}.") from None
    if len(leaves) > 1:
        raise validation_error(
            "The certificate field contains more than one certificate. You can specify only one certificate in this "
            "field."
        )
    leaf = leaves[0]
    try:
        key = read_private_key(private_key)
    except BadPem as error:
        raise validation_error(f"The private key is not supported: {error}.") from None
    try:
        above = read_certificates(chain) if chain.strip() else []
        facts = facts_of(leaf)
    except BadPem as error:
        raise validation_error(f"Could not parse the certificate chain: {error}.") from None
    if not facts.key_algorithm:
        raise validation_error("The certificate's key algorithm or key length is not supported.")
    if not fits(leaf, key):
        raise validation_error("The certificate does not match the private key.")
    if world_now > facts.not_after:
        raise validation_error("The certificate has expired.")
    if world_now < facts.not_before:
        raise validation_error("The certificate is not valid yet.")
    # A chain may begin with the certificate itself; it is given back as it came.
    if broken_link([leaf, *(above[1:] if above[:1] == [leaf] else above)]) is not None:
        raise validation_error("Could not validate the certificate with the certificate chain.")
    return Material(
        certificate=certificate_pem([leaf]),
        chain=certificate_pem(above),
        private_key=private_key_pem(key),
        facts=facts,
    )
