"""Whether a role's trust policy lets a principal assume it. Pure.

Understood: Effect, Principal (AWS, Service, `*`), Action with wildcards. A statement with conditions applies as if
they held, except that a Deny with conditions is passed over: Elba evaluates no conditions.
"""

from __future__ import annotations

import fnmatch
import json
import re
from typing import Any

_SESSION = re.compile(r"arn:aws:sts::(\d{12}):assumed-role/([^/]+)/.+")


def may_assume(document: str, principal: str, action: str = "sts:AssumeRole") -> bool:
    """Whether the trust policy allows `action` to `principal`: a caller's ARN, or a service's name.

    An explicit Deny wins over any Allow.
    """
    statements = json.loads(document).get("Statement", [])
    if isinstance(statements, dict):
        statements = [statements]
    allowed = False
    for statement in statements:
        if not _names_action(statement, action) or not _names_principal(statement, principal):
            continue
        if statement["Effect"] == "Deny":
            if "Condition" not in statement:
                return False
        else:
            allowed = True
    return allowed


def _names_action(statement: dict[str, Any], action: str) -> bool:
    return any(fnmatch.fnmatchcase(action.lower(), str(each).lower()) for each in _list(statement.get("Action")))


def _names_principal(statement: dict[str, Any], principal: str) -> bool:
    named = statement.get("Principal")
    if named == "*":
        return True
    if not isinstance(named, dict):
        return False
    if not principal.startswith("arn:"):
        return principal in _list(named.get("Service"))
    account = principal.split(":")[4]
    accepted = {"*", account, f"arn:aws:iam::{account}:root", principal}
    if session := _SESSION.fullmatch(principal):
        accepted.add(f"arn:aws:iam::{session.group(1)}:role/{session.group(2)}")
    return any(
        each in accepted or (session is not None and _is_role(each, session.group(1), session.group(2)))
        for each in _list(named.get("AWS"))
    )


def _is_role(arn: Any, account: str, name: str) -> bool:
    """Whether `arn` is the role's, whatever its path, which a session's ARN does not tell."""
    return (
        isinstance(arn, str) and re.fullmatch(rf"arn:aws:iam::{account}:role/(.*/)?{re.escape(name)}", arn) is not None
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
