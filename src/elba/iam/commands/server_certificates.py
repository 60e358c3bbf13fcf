"""Server certificates: kept for load balancers, found by them by ARN. Source: IAM API reference."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.elbv2.resources import Listener
from elba.errors import ApiError
from elba.iam import answers
from elba.iam.names import (
    already_exists,
    delete_conflict,
    limit_exceeded,
    merge_tags,
    require_server_certificate,
    tags_of,
    without_tags,
)
from elba.iam.resources import GLOBAL, ServerCertificate
from elba.store.interface import Transaction, View
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

MOST_CERTIFICATES = 20


def _malformed(message: str) -> ApiError:
    return ApiError("MalformedCertificate", message)


def upload_server_certificate(tx: Transaction, call: Call, request: Request) -> Answer:
    """`world_now` in the request is the time by which it must be valid.

    Raises: ApiError EntityAlreadyExists, MalformedCertificate, KeyPairMismatch, LimitExceeded, InvalidInput.
    """
    name = request["server_certificate_name"]
    tags = tags_of(request)
    try:
        leaves = read_certificates(request["certificate_body"].encode("latin-1", "replace"))
    except BadPem:
        raise _malformed("Unable to parse certificate. Please ensure the certificate is in PEM format.") from None
    if len(leaves) > 1:
        raise _malformed("Certificate body must contain only one certificate.")
    try:
        chain_text = request.get("certificate_chain", "")
        chain = read_certificates(chain_text.encode("latin-1", "replace")) if chain_text.strip() else []
        facts = facts_of(leaves[0])
    except BadPem:
        raise _malformed("Unable to parse certificate chain. Please ensure the certificate is in PEM format.") from None
    try:
        key = read_private_key(request["private_key"].encode("latin-1", "replace"))
    except BadPem as error:
        raise _malformed(f"Private Key is not valid: {error}.") from None
    if not fits(leaves[0], key):
        raise ApiError("KeyPairMismatch", "Public key certificate and private key doesn't match.")
    if request["world_now"] > facts.not_after:
        raise _malformed("The certificate has expired.")
    position = broken_link([*leaves, *chain])
    if position is not None:
        raise _malformed(
            "Unable to validate certificate chain. The certificate chain must start with the immediate signing "
            "certificate, followed by any intermediaries in order. The index within the chain of the invalid "
            f"certificate is: {position}"
        )
    _require_free(tx, call, name)
    if len(tx.all(ServerCertificate, call.account, GLOBAL)) >= MOST_CERTIFICATES:
        raise limit_exceeded(f"Cannot exceed quota for ServerCertificatesPerAccount: {MOST_CERTIFICATES}")
    certificate = ServerCertificate(
        account=call.account,
        region=GLOBAL,
        id=name.lower(),
        name=name,
        path=request.get("path", "/"),
        server_certificate_id=call.ids.unique("ASCA"),
        upload_time=call.now,
        certificate=certificate_pem(leaves),
        chain=certificate_pem(chain),
        private_key=private_key_pem(key),
        facts=facts,
        tags=tags,
    )
    tx.put(certificate)
    return {
        "server_certificate_metadata": answers.server_certificate(certificate),
        "tags": answers.tags(tags) or None,
    }


def _require_free(view: View, call: Call, name: str) -> None:
    if view.get(ServerCertificate, call.account, GLOBAL, name.lower()) is not None:
        raise already_exists(f"The Server Certificate with name {name} already exists.")


def _users(listeners: Iterable[Listener], certificate: ServerCertificate) -> list[Listener]:
    return [listener for listener in listeners if certificate.arn in listener.certificates]


def delete_server_certificate(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, DeleteConflict while a listener of any region uses it."""
    certificate = require_server_certificate(tx, call, request["server_certificate_name"])
    users = _users(tx.all(Listener, call.account), certificate)
    if users:
        raise delete_conflict(
            f"Certificate: {certificate.server_certificate_id} is currently in use by {users[0].load_balancer_arn}. "
            "Please remove it first before deleting it from IAM."
        )
    tx.delete(certificate)
    return {}


def update_server_certificate(tx: Transaction, call: Call, request: Request) -> Answer:
    """A new name or path, and so a new ARN: listeners that use it go on with it.

    Raises: ApiError NoSuchEntity, EntityAlreadyExists.
    """
    old = require_server_certificate(tx, call, request["server_certificate_name"])
    name = request.get("new_server_certificate_name", old.name)
    new = replace(old, id=name.lower(), name=name, path=request.get("new_path", old.path))
    if new.id != old.id:
        _require_free(tx, call, name)
        tx.delete(old)
    tx.put(new)
    for listener in _users(tx.all(Listener, call.account), old):
        arns = [new.arn if arn == old.arn else arn for arn in listener.certificates]
        tx.put(replace(listener, certificates=arns))
    return {}


def tag_server_certificate(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, InvalidInput, LimitExceeded."""
    certificate = require_server_certificate(tx, call, request["server_certificate_name"])
    tx.put(replace(certificate, tags=merge_tags(certificate.tags, request["tags"])))
    return {}


def untag_server_certificate(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity."""
    certificate = require_server_certificate(tx, call, request["server_certificate_name"])
    tx.put(replace(certificate, tags=without_tags(certificate.tags, request["tag_keys"])))
    return {}
