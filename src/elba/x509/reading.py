"""Reads PEM: certificates, private keys, revocation lists. Pure; whoever calls puts errors into its service's words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from elba.errors import ElbaError
from elba.x509.facts import Facts

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----")
_RSA_BITS = (1024, 2048, 3072, 4096)
_CURVES = {"secp256r1": "EC_prime256v1", "secp384r1": "EC_secp384r1", "secp521r1": "EC_secp521r1"}
_KEY_USAGES = {
    "digital_signature": "DIGITAL_SIGNATURE",
    "content_commitment": "NON_REPUDIATION",
    "key_encipherment": "KEY_ENCIPHERMENT",
    "data_encipherment": "DATA_ENCIPHERMENT",
    "key_agreement": "KEY_AGREEMENT",
    "key_cert_sign": "CERTIFICATE_SIGNING",
    "crl_sign": "CRL_SIGNING",
}
_EXTENDED_KEY_USAGES = {
    "1.3.6.1.5.5.7.3.1": "TLS_WEB_SERVER_AUTHENTICATION",
    "1.3.6.1.5.5.7.3.2": "TLS_WEB_CLIENT_AUTHENTICATION",
    "1.3.6.1.5.5.7.3.3": "CODE_SIGNING",
    "1.3.6.1.5.5.7.3.4": "EMAIL_PROTECTION",
    "1.3.6.1.5.5.7.3.5": "IPSEC_END_SYSTEM",
    "1.3.6.1.5.5.7.3.6": "IPSEC_TUNNEL",
    "1.3.6.1.5.5.7.3.7": "IPSEC_USER",
    "1.3.6.1.5.5.7.3.8": "TIME_STAMPING",
    "1.3.6.1.5.5.7.3.9": "OCSP_SIGNING",
    "2.5.29.37.0": "ANY",
}
_DAMAGED = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises for bytes that are no certificate, key or list it knows."""


class BadPem(ElbaError):
    """The bytes are not what they should be; the message says why, and never repeats them."""


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────


def blocks(pem: bytes, label: str) -> list[bytes]:
    """The PEM blocks in `pem`, all of which must be `label`s; text around them is passed over.

    Raises: BadPem.
    """
    found = []
    for match in _BLOCK.finditer(pem):
        if match[1].decode() != label:
            raise BadPem(f"it holds a {match[1].decode()} where only a {label} may be")
        found.append(match[0])
    if len(found) != pem.count(b"-----BEGIN ") or not found:
        raise BadPem("it is not in PEM format")
    return found


def read_certificates(pem: bytes) -> list[x509.Certificate]:
    """All certificates in `pem`, in order. Raises: BadPem."""
    certificates = []
    for block in blocks(pem, "CERTIFICATE"):
        try:
            certificate = x509.load_pem_x509_certificate(block)
            _ = certificate.subject, certificate.issuer, certificate.extensions, certificate.public_key()
        except _DAMAGED as error:
            raise BadPem("it cannot be parsed as a certificate") from error
        certificates.append(certificate)
    return certificates


def read_private_key(pem: bytes) -> PrivateKey:
    """An unencrypted RSA or elliptic curve key, PKCS #1, PKCS #8 or SEC 1. Raises: BadPem."""
    keys = [m[0] for m in _BLOCK.finditer(pem) if m[1] != b"EC PARAMETERS"]
    if b"ENCRYPTED" in pem:
        raise BadPem("it is encrypted")
    if len(keys) != 1:
        raise BadPem("it is not one key in PEM format")
    try:
        key = serialization.load_pem_private_key(keys[0], password=None)
    except _DAMAGED as error:
        raise BadPem("it cannot be parsed as a private key") from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise BadPem("it is neither an RSA nor an elliptic curve key")
    return key


def read_revocation_list(pem: bytes) -> int:
    """How many entries the one CRL in `pem` has. Raises: BadPem."""
    found = blocks(pem, "X509 CRL")
    if len(found) != 1:
        raise BadPem("it holds more than one revocation list")
    try:
        crl = x509.load_pem_x509_crl(found[0])
        if crl.signature_hash_algorithm is None or crl.signature_hash_algorithm.name not in _STRONG:
            raise BadPem("its signature algorithm is not supported")
        return len(crl)
    except _DAMAGED as error:
        raise BadPem("it cannot be parsed as a certificate revocation list") from error


_STRONG = ("sha256", "sha384", "sha512")


# ── written back ─────────────────────────────────────────────────────────────────────────────────────


def certificate_pem(certificates: Sequence[x509.Certificate]) -> str:
    """The certificates one after the other."""
    return "".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in certificates)


def private_key_pem(key: PrivateKey) -> str:
    """The key as unencrypted PKCS #8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def encrypted_key_pem(pem: str, passphrase: bytes) -> str:
    """An unencrypted key, encrypted."""
    return (
        read_private_key(pem.encode())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(passphrase),
        )
        .decode()
    )


# ── judged ───────────────────────────────────────────────────────────────────────────────────────────


def key_algorithm(certificate: x509.Certificate) -> str:
    """`RSA_2048`, `EC_prime256v1` …, as ACM names it; "" if it is none that ACM knows."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA_{key.key_size}" if key.key_size in _RSA_BITS else ""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name, "")
    return ""


def fits(certificate: x509.Certificate, key: PrivateKey) -> bool:
    """Whether the key is the certificate's."""
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)


def broken_link(certificates: Sequence[x509.Certificate]) -> int | None:
    """The position of the first certificate that the next one did not sign; None if the chain holds."""
    for position, (certificate, issuer) in enumerate(pairwise(certificates)):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (*_DAMAGED, InvalidSignature):
            return position
    return None


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may sign others: an X.509 v3 certificate with CA in its basic constraints."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def facts_of(certificate: x509.Certificate) -> Facts:
    """What the certificate says. Raises: BadPem."""
    try:
        return _facts(certificate)
    except _DAMAGED as error:
        raise BadPem("it cannot be parsed as a certificate") from error


def _facts(certificate: x509.Certificate) -> Facts:
    common = [
        str(attribute.value).lower() for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    ]
    alternative = [name.lower() for name in _alternative_names(certificate)]
    usages = _key_usages(certificate)
    names = list(dict.fromkeys([*common[:1], *alternative]))
    return Facts(
        domain_name=names[0] if names else "",
        names=names,
        serial=_serial(certificate.serial_number),
        subject=_written(certificate.subject),
        issuer=_issuer(certificate.issuer),
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
        key_algorithm=key_algorithm(certificate),
        signature_algorithm=_signature(certificate),
        key_usages=usages,
        extended_key_usages=_extended_key_usages(certificate),
    )


def _alternative_names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return found.value.get_values_for_type(x509.DNSName)


def _key_usages(certificate: x509.Certificate) -> list[str]:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return []
    names = [name for member, name in _KEY_USAGES.items() if getattr(usage, member)]
    if usage.key_agreement:
        names += ["ENCIPHER_ONLY"] if usage.encipher_only else []
        names += ["DECIPHER_ONLY"] if usage.decipher_only else []
    return names


def _extended_key_usages(certificate: x509.Certificate) -> list[tuple[str, str]]:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return []
    return [(_EXTENDED_KEY_USAGES.get(u.dotted_string, "CUSTOM"), u.dotted_string) for u in usages]


def _serial(number: int) -> str:
    digits = f"{number:x}"
    return bytes.fromhex(digits.zfill(len(digits) + len(digits) % 2)).hex(":")


def _written(name: x509.Name) -> str:
    """In the order of encoding, as ACM shows it: `C=US,O=Example,CN=example.com`."""
    return ",".join(attribute.rfc4514_string() for attribute in name)


def _issuer(name: x509.Name) -> str:
    """The organization, as ACM shows who issued; else the common name, else all of it."""
    for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        for attribute in name.get_attributes_for_oid(oid):
            return str(attribute.value)
    return _written(name)


def _signature(certificate: x509.Certificate) -> str:
    """As ACM writes it: `SHA256WITHRSA`."""
    oid = certificate.signature_algorithm_oid
    if oid == SignatureAlgorithmOID.RSASSA_PSS:
        return "RSASSA-PSS"
    hash_ = certificate.signature_hash_algorithm
    if hash_ is None:
        return "UNKNOWN"
    kind = "ECDSA" if "ecdsa" in (getattr(oid, "_name", "") or "").lower() else "RSA"
    return f"{hash_.name.upper()}WITH{kind}"


def utc(seconds: float) -> datetime:
    """Epoch seconds as the library takes them."""
    return datetime.fromtimestamp(seconds, UTC)
