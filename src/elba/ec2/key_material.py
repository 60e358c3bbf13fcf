"""SSH key pairs: making them, and reading public ones. Source: EC2 user guide, "Key pair fingerprints"."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from elba.errors import ApiError

RSA_BITS = 2048
_RSA_SIZES = (1024, 2048, 4096)


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """`public_key` is one line in OpenSSH's form; `private_key` PEM text, "" if only the public half is known."""

    key_type: str
    public_key: str
    fingerprint: str
    private_key: str = ""


def _colons(digest: bytes) -> str:
    return digest.hex(":")


def _openssh(key: rsa.RSAPublicKey | ed25519.Ed25519PublicKey) -> str:
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


def _sha256_fingerprint(public_key: str) -> str:
    """As `ssh-keygen -l` prints it, without the name of the hash."""
    return base64.b64encode(hashlib.sha256(base64.b64decode(public_key.split()[1])).digest()).decode()


def generate(key_type: str) -> KeyMaterial:
    """A new key pair of type rsa (2048 bits) or ed25519."""
    if key_type == "ed25519":
        private = ed25519.Ed25519PrivateKey.generate()
        public_key = _openssh(private.public_key())
        text = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        ).decode()
        return KeyMaterial("ed25519", public_key, _sha256_fingerprint(public_key), text)
    key = rsa.generate_private_key(65537, RSA_BITS)
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()
    fingerprint = _colons(hashlib.sha1(der, usedforsecurity=False).digest())
    return KeyMaterial("rsa", _openssh(key.public_key()), fingerprint, text)


def parse_public_key(material: bytes) -> KeyMaterial:
    """What ImportKeyPair was given: OpenSSH's one line, or that, or DER, in base64; PEM; or RFC 4716's form.

    Raises: ApiError InvalidKey.Format.
    """
    key = _load(material)
    if isinstance(key, ed25519.Ed25519PublicKey):
        public_key = _openssh(key)
        return KeyMaterial("ed25519", public_key, _sha256_fingerprint(public_key))
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_SIZES:
        der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        fingerprint = _colons(hashlib.md5(der, usedforsecurity=False).digest())
        return KeyMaterial("rsa", _openssh(key), fingerprint)
    raise ApiError("InvalidKey.Format", "Key is not in valid OpenSSH public key format")


def _load(material: bytes) -> object:
    text = material.strip()
    attempts = [text]
    with contextlib.suppress(binascii.Error, ValueError):
        attempts.append(base64.b64decode(b"".join(text.split()), validate=True))
    for attempt in attempts:
        try:
            if attempt.startswith(b"ssh-"):
                return serialization.load_ssh_public_key(attempt)
            if attempt.startswith(b"---- BEGIN SSH2 PUBLIC KEY ----"):
                return serialization.load_ssh_public_key(_one_line(attempt))
            if attempt.startswith(b"-----BEGIN"):
                return serialization.load_pem_public_key(attempt)
            return serialization.load_der_public_key(attempt)
        except (ValueError, UnsupportedAlgorithm):
            continue
    return None


def _one_line(text: bytes) -> bytes:
    """A key in RFC 4716's form, with its headers left out, as OpenSSH writes it. Raises: ValueError."""
    lines = iter(text.splitlines()[1:])
    body: list[bytes] = []
    for line in lines:
        if line.startswith(b"---- END"):
            break
        if b":" in line:
            while line.endswith(b"\\"):  # a header goes on in the next line
                line = next(lines, b"")
            continue
        body.append(line.strip())
    blob = base64.b64decode(b"".join(body), validate=True)
    length = int.from_bytes(blob[:4], "big")
    return blob[4 : 4 + length] + b" " + base64.b64encode(blob)
