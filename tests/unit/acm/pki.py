"""Certificates of every kind for tests: made quickly, valid around the virtual clock's start."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from elba.clock import VirtualClock

NOW = datetime.datetime.fromtimestamp(VirtualClock.EPOCH, datetime.UTC)
DAY = datetime.timedelta(days=1)
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@cache
def key(kind: str = "p256") -> Key:
    """A private key of a kind; "p256-2" is another of the same."""
    name = kind.partition("-")[0]
    if name.startswith("rsa"):
        return rsa.generate_private_key(65537, int(name.removeprefix("rsa")))
    if name == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    curves = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1(), "k1": ec.SECP256K1()}
    return ec.generate_private_key(curves[name])


@dataclass(frozen=True)
class Pair:
    certificate: x509.Certificate
    private: Key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def make(
    *names: str,
    kind: str = "p256",
    issuer: Pair | None = None,
    ca: bool = False,
    start: datetime.datetime = NOW - DAY,
    end: datetime.datetime = NOW + 90 * DAY,
    organization: str = "",
) -> Pair:
    """A certificate for the names (the first is the common name), signed by `issuer` or by itself."""
    private = key(kind)
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, names[0])]
    if organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    subject = x509.Name(attributes)
    signer = issuer.private if issuer else private
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    hash_ = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Pair(builder.sign(signer, hash_), private)


def revocation_list(issuer: Pair, count: int) -> bytes:
    """A list of `count` revoked serial numbers."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW - DAY)
        .next_update(NOW + DAY)
    )
    for serial in range(1, count + 1):
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY).build()
        builder = builder.add_revoked_certificate(revoked)
    return builder.sign(issuer.private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
