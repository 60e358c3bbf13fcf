"""STS's commands. Sessions live in the world's time, so `call.now` is that here (see `operations`)."""

from __future__ import annotations

import base64
import re

from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.iam.resources import GLOBAL, AccessKey, Role
from elba.store.interface import Transaction
from elba.sts.trust import may_assume

_ROLE_ARN = re.compile(r"arn:aws:iam::(\d{12}):role/(?:[\x21-\x7e]+/)?([\w+=,.@-]+)", re.ASCII)

CHAINED_SECONDS = 3600
SESSION_TOKEN_SECONDS = 43_200
FORGET_AFTER_SECONDS = 3600.0
"""How long an expired key is still known, so that its user hears ExpiredToken and not that there is no such key."""


def assume_role(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError AccessDenied, ValidationError."""
    arn = request["role_arn"]
    found = _ROLE_ARN.fullmatch(arn)
    if found is None:
        raise ApiError("ValidationError", f"{arn} is invalid")
    account, name = found.groups()
    role = tx.get(Role, account, GLOBAL, name.lower())
    if role is None or role.arn != arn or not may_assume(role.assume_role_policy_document, call.caller_arn):
        raise ApiError(
            "AccessDenied",
            f"User: {call.caller_arn} is not authorized to perform: sts:AssumeRole on resource: {arn}",
            403,
        )
    duration = request.get("duration_seconds", 3600)
    if duration > role.max_session_duration:
        raise ApiError(
            "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    if ":assumed-role/" in call.caller_arn and duration > CHAINED_SECONDS:
        raise ApiError(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        )
    _require_session_tags(request)
    session = request["role_session_name"]
    key = role_session(tx, call, role, session, duration)
    policy = request.get("policy")
    return {
        "credentials": _credentials(key),
        "assumed_role_user": {"assumed_role_id": key.owner_id, "arn": key.owner_arn},
        "packed_policy_size": None if policy is None else max(1, len(policy) * 100 // 2048),
        "source_identity": request.get("source_identity"),
    }


def _require_session_tags(request: Request) -> None:
    """Raises: ApiError InvalidParameterValue. Keys differ by more than case; transitive ones are among them."""
    keys = [tag["key"].lower() for tag in request.get("tags") or ()]
    if len(set(keys)) < len(keys):
        raise ApiError(
            "InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        )
    if {key.lower() for key in request.get("transitive_tag_keys") or ()} - set(keys):
        raise ApiError(
            "InvalidParameterValue", "The specified transitive tag key must be included in the requested tags."
        )


def role_session(tx: Transaction, call: Call, role: Role, session_name: str, duration_seconds: float) -> AccessKey:
    """A new key that acts as `role` until `call.now` (the world's time) plus the duration.

    Also what the instance metadata service hands out; the session is then named after the instance.
    """
    return _session(
        tx,
        call,
        account=role.account,
        owner_arn=f"arn:aws:sts::{role.account}:assumed-role/{role.name}/{session_name}",
        owner_id=f"{role.role_id}:{session_name}",
        duration_seconds=duration_seconds,
    )


def get_session_token(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError AccessDenied for a caller that is a session itself."""
    if ":assumed-role/" in call.caller_arn:
        raise ApiError("AccessDenied", "Cannot call GetSessionToken with session credentials", 403)
    key = _session(
        tx,
        call,
        account=call.account,
        owner_arn=call.caller_arn,
        owner_id=call.caller_id,
        duration_seconds=request.get("duration_seconds", SESSION_TOKEN_SECONDS),
    )
    return {"credentials": _credentials(key)}


def _session(
    tx: Transaction, call: Call, *, account: str, owner_arn: str, owner_id: str, duration_seconds: float
) -> AccessKey:
    for old in tx.all(AccessKey, account, GLOBAL):
        if old.expiration and old.expiration + FORGET_AFTER_SECONDS < call.now:
            tx.delete(old)
    key = AccessKey(
        account=account,
        region=GLOBAL,
        id=call.ids.unique("ASIA", 16),
        secret_access_key=_random_text(call, 30),
        owner_arn=owner_arn,
        owner_id=owner_id,
        session_token=_random_text(call, 120),
        expiration=call.now + duration_seconds,
        create_time=call.now,
    )
    tx.put(key)
    return key


def _random_text(call: Call, size: int) -> str:
    return base64.b64encode(bytes.fromhex(call.ids.hex(2 * size))).decode()


def _credentials(key: AccessKey) -> Answer:
    return {
        "access_key_id": key.id,
        "secret_access_key": key.secret_access_key,
        "session_token": key.session_token,
        "expiration": key.expiration,
    }
