"""What trust stores are made of: bundles of CA certificates and revocation lists. Pure. Source: alb.md §16."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from elba.errors import ApiError
from elba.x509.reading import BadPem, certificate_pem, is_authority, read_certificates, read_revocation_list

MOST_CERTIFICATES = 25
MOST_CERTIFICATE_BYTES = 16 * 1024
MOST_SUBJECT = 10_000
MOST_BUNDLE_BYTES = 1024 * 1024
MOST_LIST_BYTES = 50 * 1024 * 1024
_RSA_BITS = range(2048, 8193)


def _invalid(message: str) -> ApiError:
    return ApiError("InvalidCaCertificatesBundle", f"The specified ca certificate bundle is invalid: {message}")


def parse_bundle(content: bytes) -> tuple[str, int]:
    """The CA certificates as PEM, and how many they are. Raises: InvalidCaCertificatesBundle."""
    try:
        certificates = read_certificates(content)
    except BadPem as error:
        raise _invalid(str(error)) from None
    if len(certificates) > MOST_CERTIFICATES:
        raise _invalid(f"it holds more than {MOST_CERTIFICATES} certificates")
    for position, certificate in enumerate(certificates, start=1):
        pem = certificate_pem([certificate])
        if len(pem) > MOST_CERTIFICATE_BYTES or len(certificate.subject.rfc4514_string()) > MOST_SUBJECT:
            raise _invalid(f"certificate {position} is too large")
        key = certificate.public_key()
        if not (
            (isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS)
            or isinstance(key, ec.EllipticCurvePublicKey)
        ):
            raise _invalid(f"the key of certificate {position} is not supported")
        if not is_authority(certificate):
            raise _invalid(f"certificate {position} is not a certificate authority's")
    return certificate_pem(certificates), len(certificates)


def parse_revocation_list(content: bytes) -> int:
    """How many entries it has. Raises: InvalidRevocationContent."""
    try:
        return read_revocation_list(content)
    except BadPem as error:
        raise ApiError(
            "InvalidRevocationContent",
            f"The provided revocation file is an invalid format, or uses an incorrect algorithm: {error}",
        ) from None
