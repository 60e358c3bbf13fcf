"""Trust stores of mutual TLS. The operations read the buckets and hand in what was there. Source: elb-api.md B5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from elba.call import Answer, Call, Request
from elba.elbv2 import arns
from elba.elbv2.answers import revocation_answer, trust_store_answer
from elba.elbv2.bundles import parse_bundle, parse_revocation_list
from elba.elbv2.commands.lookup import require_trust_store, validation_error
from elba.elbv2.commands.tags import parse_tags
from elba.elbv2.limits import REVOCATIONS_PER_TRUST_STORE, REVOKED_ENTRIES_PER_TRUST_STORE, TRUST_STORES
from elba.elbv2.resources import Listener, TrustStore, TrustStoreRevocation
from elba.errors import ApiError
from elba.store.interface import Transaction, View

CONTENT = "content"
"""The request member in which an operation hands in the object's bytes; None = there is none."""


def _bundle(request: Request) -> tuple[str, int]:
    """Raises: CaCertificatesBundleNotFound, InvalidCaCertificatesBundle."""
    content: bytes | None = request[CONTENT]
    if content is None:
        raise ApiError("CaCertificatesBundleNotFound", "The specified ca certificate bundle does not exist")
    return parse_bundle(content)


def create_trust_store(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: DuplicateTrustStoreName, TooManyTrustStores, what its bundle and its tags raise."""
    name = request["name"]
    tags = parse_tags(request.get("tags"))
    stores = tx.all(TrustStore, call.account, call.region)
    if any(store.name == name for store in stores):
        raise ApiError("DuplicateTrustStoreName", f"A trust store with the same name '{name}' exists")
    if len(stores) >= TRUST_STORES:
        raise ApiError("TooManyTrustStores", "The maximum number of trust stores has been reached")
    bundle, count = _bundle(request)
    store = TrustStore(
        account=call.account,
        region=call.region,
        id=arns.trust_store_arn(call, name, call.ids.hex(16)),
        name=name,
        ca_bundle=bundle,
        ca_certificates=count,
        url_key=call.ids.hex(64),
        tags=tags,
    )
    tx.put(store)
    return {"trust_stores": [trust_store_answer(tx, store)]}


def modify_trust_store(tx: Transaction, call: Call, request: Request) -> Answer:
    """Replaces the bundle. Raises: TrustStoreNotFound, what its bundle raises."""
    old = require_trust_store(tx, call, request["trust_store_arn"])
    bundle, count = _bundle(request)
    store = msgspec.structs.replace(old, ca_bundle=bundle, ca_certificates=count)
    tx.put(store)
    return {"trust_stores": [trust_store_answer(tx, store)]}


def listeners_of_trust_store(view: View, store: TrustStore) -> list[Listener]:
    """The listeners that verify clients by it."""
    return [
        listener
        for listener in view.all(Listener, store.account, store.region)
        if listener.mutual_authentication.get("trust_store_arn") == store.id
    ]


def delete_trust_store(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: TrustStoreNotFound, TrustStoreInUse."""
    store = require_trust_store(tx, call, request["trust_store_arn"])
    if listeners_of_trust_store(tx, store):
        raise ApiError("TrustStoreInUse", f"Trust store '{store.id}' is currently in use by a listener")
    for revocation in tx.children(TrustStoreRevocation, store.account, store.region, store.id):
        tx.delete(revocation)
    tx.delete(store)
    return {}


def add_trust_store_revocations(tx: Transaction, call: Call, request: Request) -> Answer:
    """One revocation list per content, all or none.

    Raises: TrustStoreNotFound, RevocationContentNotFound, InvalidRevocationContent, TooManyTrustStoreRevocationEntries.
    """
    store = require_trust_store(tx, call, request["trust_store_arn"])
    old = tx.children(TrustStoreRevocation, store.account, store.region, store.id)
    entries = sum(revocation.revoked_entries for revocation in old)
    last, added = store.last_revocation_id, []
    contents: list[bytes | None] = request[CONTENT]
    for content in contents:
        if content is None:
            raise ApiError("RevocationContentNotFound", "The provided revocation file does not exist")
        count = parse_revocation_list(content)
        entries, last = entries + count, last + 1
        added.append(
            TrustStoreRevocation(
                account=store.account,
                region=store.region,
                id=f"{store.id}|{last}",
                trust_store_arn=store.id,
                revocation_id=last,
                content=content.decode("ascii", "ignore"),
                revoked_entries=count,
            )
        )
    if entries > REVOKED_ENTRIES_PER_TRUST_STORE or len(old) + len(added) > REVOCATIONS_PER_TRUST_STORE:
        raise ApiError(
            "TooManyTrustStoreRevocationEntries",
            "The specified trust store has too many revocation entries",
        )
    for revocation in added:
        tx.put(revocation)
    tx.put(msgspec.structs.replace(store, last_revocation_id=last))
    return {"trust_store_revocations": [revocation_answer(revocation) for revocation in added]}


def require_revocation(view: View, store: TrustStore, revocation_id: int) -> TrustStoreRevocation:
    """Raises: RevocationIdNotFound."""
    found = view.get(TrustStoreRevocation, store.account, store.region, f"{store.id}|{revocation_id}")
    if found is None:
        raise ApiError("RevocationIdNotFound", f"Revocation ID '{revocation_id}' not found")
    return found


def remove_trust_store_revocations(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: TrustStoreNotFound, RevocationIdNotFound."""
    store = require_trust_store(tx, call, request["trust_store_arn"])
    for revocation in [require_revocation(tx, store, id_) for id_ in dict.fromkeys(request["revocation_ids"])]:
        tx.delete(revocation)
    return {}


def delete_shared_trust_store_association(tx: Transaction, call: Call, request: Request) -> Answer:
    """Nothing is shared between accounts here, so there is never one to take away.

    Raises: TrustStoreNotFound, DeleteAssociationSameAccount, AssociationNotFound.
    """
    store = require_trust_store(tx, call, request["trust_store_arn"])
    resource = request["resource_arn"]
    if any(resource in (listener.id, listener.load_balancer_arn) for listener in listeners_of_trust_store(tx, store)):
        raise ApiError("DeleteAssociationSameAccount", "The specified association cannot be within the same account")
    raise ApiError("AssociationNotFound", "The specified association does not exist")


def parse_mutual(view: View, call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    """A listener's mutual authentication in stored form; {} = off.

    Raises: ValidationError, TrustStoreNotFound.
    """
    mode = given.get("mode") or "off"
    if mode not in ("off", "passthrough", "verify"):
        raise validation_error(f"Mutual Authentication mode {mode} not found")
    arn = given.get("trust_store_arn")
    if mode == "verify" and not arn:
        raise validation_error("Mutual Authentication mode verify requires a trust store arn")
    if mode != "verify" and given.get("ignore_client_certificate_expiry"):
        raise validation_error(f"Mutual Authentication mode {mode} does not support ignoring client certificate expiry")
    if mode != "verify" and given.get("advertise_trust_store_ca_names") == "on":
        raise validation_error(f"Mutual Authentication mode {mode} does not support advertise trust store ca names")
    if mode != "verify" and arn:
        raise validation_error(f"A trust store ARN cannot be specified when the mutual authentication mode is '{mode}'")
    if mode == "off":
        return {}
    if mode == "passthrough":
        return {"mode": mode}
    return {
        "mode": mode,
        "trust_store_arn": require_trust_store(view, call, str(arn)).id,
        "ignore_client_certificate_expiry": bool(given.get("ignore_client_certificate_expiry")),
        "trust_store_association_status": "active",
        "advertise_trust_store_ca_names": given.get("advertise_trust_store_ca_names") or "off",
    }
