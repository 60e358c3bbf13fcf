"""Whether a function's resource policy lets an AWS service invoke it. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

from elba.lambda_.resources import ResourcePolicy
from elba.store.interface import View

ELB = "elasticloadbalancing.amazonaws.com"
ALARMS = "lambda.alarms.cloudwatch.amazonaws.com"


def split_arn(arn: str) -> tuple[str, str, str, str]:
    """Account, region, name and qualifier of a function's ARN. Raises: ValueError."""
    parts = arn.split(":")
    if len(parts) not in (7, 8) or parts[2] != "lambda" or parts[5] != "function":
        raise ValueError(f"{arn!r} is no function's ARN")
    return parts[4], parts[3], parts[6], parts[7] if len(parts) == 8 else ""


def may_invoke(view: View, function_arn: str, principal: str, source_arn: str, source_account: str) -> bool:
    """Whether the service `principal` may invoke on behalf of `source_arn`, which `source_account` owns."""
    account, region, name, qualifier = split_arn(function_arn)
    policy = view.get(ResourcePolicy, account, region, f"{name}:{qualifier}" if qualifier else name)
    return policy is not None and any(
        _allows(statement, principal, source_arn, source_account) for statement in policy.statements
    )


def _allows(statement: Mapping[str, Any], principal: str, source_arn: str, source_account: str) -> bool:
    who = statement["Principal"]
    if who != "*" and not (isinstance(who, dict) and who.get("Service") == principal):
        return False
    if statement["Action"] not in ("lambda:InvokeFunction", "lambda:*"):
        return False
    condition = statement.get("Condition") or {}
    equals = condition.get("StringEquals", {})
    if set(equals) - {"AWS:SourceAccount"} or equals.get("AWS:SourceAccount", source_account) != source_account:
        return False
    pattern = condition.get("ArnLike", {}).get("AWS:SourceArn")
    return pattern is None or _arn_like(source_arn, pattern)


def _arn_like(arn: str, pattern: str) -> bool:
    """IAM's ArnLike: each of the six parts for itself, `*` and `?` as wildcards."""
    ours, theirs = arn.split(":", 5), pattern.split(":", 5)
    return len(ours) == len(theirs) and all(
        fnmatch.fnmatchcase(one, other.replace("[", "[[]")) for one, other in zip(ours, theirs, strict=True)
    )
