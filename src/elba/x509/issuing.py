"""Issues certificates: a certificate authority of one's own, and what it signs.

Not pure: RSA keys come from the operating system's randomness. Identifiers and elliptic curve keys come from the
given source, so that a seeded run names its certificates alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from elba.log import Discreet
from elba.x509.reading import (
    PrivateKey,
    certificate_pem,
    private_key_pem,
    read_certificates,
    read_private_key,
    utc,
)

DAY = 86400.0
ROOT_DAYS = 3650
CLOCKS_APART_SECONDS = 3600.0
"""Certificates are valid from this long ago, for clients whose clock is late."""
MOST_COMMON_NAME = 64
_CURVES: dict[str, ec.EllipticCurve] = {"EC_prime256v1": ec.SECP256R1(), "EC_secp384r1": ec.SECP384R1()}
_ORDERS = {
    "EC_prime256v1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "EC_secp384r1": int(
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16
    ),
}


@dataclass(frozen=True, slots=True, repr=False)
class Issued(Discreet):
    """A certificate and its key, both PEM."""

    certificate: str
    private_key: str

    SECRETS = frozenset({"private_key"})


def _new_key(algorithm: str, random: Random) -> PrivateKey:
    if algorithm in _CURVES:
        return ec.derive_private_key(random.randrange(1, _ORDERS[algorithm]), _CURVES[algorithm])
    return rsa.generate_private_key(65537, int(algorithm.removeprefix("RSA_")))


def _usage(*, authority: bool, rsa_key: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=rsa_key and not authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def new_authority(random: Random, now: float) -> Issued:
    """A root certificate that has signed itself. `now`: the world's time."""
    key = _new_key("EC_prime256v1", random)
    serial = random.getrandbits(158) + 1
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Elba"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Elba Root CA {serial & 0xFFFFFFFF:08x}"),
        ]
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(utc(now - CLOCKS_APART_SECONDS))
        .not_valid_after(utc(now + ROOT_DAYS * DAY))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True, rsa_key=False), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return Issued(certificate_pem([certificate]), private_key_pem(key))


def issue(
    authority_certificate: str,
    authority_key: str,
    names: Sequence[str],
    algorithm: str,
    random: Random,
    now: float,
    days: float,
) -> Issued:
    """A server certificate for the DNS names. `now`: the world's time."""
    root = read_certificates(authority_certificate.encode())[0]
    signer = read_private_key(authority_key.encode())
    key = _new_key(algorithm, random)
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, names[0])] if len(names[0]) <= MOST_COMMON_NAME else []
    end = min(utc(now + days * DAY), root.not_valid_after_utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subject))
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(random.getrandbits(158) + 1)
        .not_valid_before(utc(now - CLOCKS_APART_SECONDS))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=not subject)
        .add_extension(_usage(authority=False, rsa_key=isinstance(key, rsa.RSAPrivateKey)), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            ),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
    return Issued(certificate_pem([certificate]), private_key_pem(key))
