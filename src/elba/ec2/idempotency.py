"""ClientToken: the same request twice makes one thing.

Source: EC2 API reference, "Ensuring idempotency".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec

from elba.call import Call, Request
from elba.ec2.resources import ClientToken
from elba.errors import ApiError
from elba.store.interface import Transaction

KEEP_SECONDS = 24 * 3600.0


def digest(request: Request) -> str:
    """The same for requests that ask for the same thing, whatever their order of parameters."""
    meant = {k: v for k, v in request.items() if k not in ("client_token", "dry_run")}
    return hashlib.sha256(msgspec.json.encode(meant, order="deterministic")).hexdigest()


def once(tx: Transaction, call: Call, request: Request, operation: str, make: Callable[[], list[str]]) -> list[str]:
    """The ids that `make` returned when this token was first used; without a token, what it returns now.

    Raises: ApiError IdempotentParameterMismatch if the parameters differ from the first time.
    """
    token = request.get("client_token")
    if not token:
        return make()
    id_ = f"{operation}:{token}"
    meant = digest(request)
    known = tx.get(ClientToken, call.account, call.region, id_)
    if known is not None and known.created_at > call.now - KEEP_SECONDS:
        if known.digest != meant:
            raise ApiError(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            )
        return known.result
    for old in tx.all(ClientToken, call.account, call.region)[:4]:
        if old.created_at <= call.now - KEEP_SECONDS:
            tx.delete(old)
    result = make()
    tx.put(
        ClientToken(
            account=call.account,
            region=call.region,
            id=id_,
            digest=meant,
            result=result,
            created_at=call.now,
        )
    )
    return result
