"""Signed addresses from which a trust store's contents can be read for ten minutes. Pure."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import parse_qs, urlencode

from elba.call import Answer, Call, Request
from elba.elbv2 import arns
from elba.elbv2.commands.lookup import require_trust_store
from elba.elbv2.commands.trust_stores import require_revocation
from elba.elbv2.resources import TrustStore, TrustStoreRevocation
from elba.store.interface import View

PATH = "/_elba/trust-store"
VALID_SECONDS = 600


def _signature(store: TrustStore, revocation: str, expires: int) -> str:
    text = f"{store.id} {revocation} {expires}"
    return hmac.new(store.url_key.encode(), text.encode(), hashlib.sha256).hexdigest()


def _location(store: TrustStore, revocation: str, endpoint: str, world_now: float) -> Answer:
    expires = int(world_now) + VALID_SECONDS
    query = {
        "arn": store.id,
        "revocation": revocation,
        "expires": str(expires),
        "signature": _signature(store, revocation, expires),
    }
    return {"location": f"{endpoint}{PATH}?{urlencode(query)}"}


def locate_bundle(view: View, call: Call, request: Request, endpoint: str, world_now: float) -> Answer:
    """Raises: TrustStoreNotFound."""
    store = require_trust_store(view, call, request["trust_store_arn"])
    return _location(store, "", endpoint, world_now)


def locate_revocation(view: View, call: Call, request: Request, endpoint: str, world_now: float) -> Answer:
    """Raises: TrustStoreNotFound, RevocationIdNotFound."""
    store = require_trust_store(view, call, request["trust_store_arn"])
    revocation = require_revocation(view, store, request["revocation_id"])
    return _location(store, str(revocation.revocation_id), endpoint, world_now)


def content_at(view: View, query: str, world_now: float) -> str | None:
    """What a signed address names; None if it is not signed, too old, or names nothing any more."""
    given = {name: values[0] for name, values in parse_qs(query).items()}
    arn, revocation, expires = given.get("arn", ""), given.get("revocation", ""), given.get("expires", "")
    if not arns.TRUST_STORE.fullmatch(arn) or not expires.isascii() or not expires.isdecimal() or len(expires) > 12:
        return None
    _, _, _, region, account, _ = arn.split(":", 5)
    store = view.get(TrustStore, account, region, arn)
    if store is None or world_now > int(expires):
        return None
    signature = given.get("signature", "").encode("ascii", "replace")
    if not hmac.compare_digest(_signature(store, revocation, int(expires)).encode(), signature):
        return None
    if not revocation:
        return store.ca_bundle
    found = view.get(TrustStoreRevocation, account, region, f"{arn}|{revocation}")
    return found.content if found else None
