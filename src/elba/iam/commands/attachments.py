"""What roles, users and groups have in common: inline and attached policies."""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from elba.call import Call
from elba.iam.names import attachable, limit_exceeded, no_such_entity, parse_document
from elba.iam.resources import Group, Role, User
from elba.store.interface import Transaction

H = TypeVar("H", Role, User, Group)

MOST_ATTACHED = 10


def put_inline(tx: Transaction, holder: H, policy_name: str, document: str) -> None:
    """Raises: ApiError MalformedPolicyDocument."""
    policies = {**holder.inline_policies, policy_name: parse_document(document)}
    tx.put(replace(holder, inline_policies=policies))


def delete_inline(tx: Transaction, holder: H, policy_name: str, what: str) -> None:
    """Raises: ApiError NoSuchEntity."""
    if policy_name not in holder.inline_policies:
        raise no_such_entity(f"The {what} policy with name {policy_name} cannot be found.")
    rest = {name: text for name, text in holder.inline_policies.items() if name != policy_name}
    tx.put(replace(holder, inline_policies=rest))


def attach(tx: Transaction, call: Call, holder: H, arn: str, quota: str) -> None:
    """Attaching twice changes nothing. Raises: ApiError NoSuchEntity, InvalidInput, LimitExceeded."""
    attachable(tx, call, arn)
    if arn in holder.attached_policies:
        return
    if len(holder.attached_policies) >= MOST_ATTACHED:
        raise limit_exceeded(f"Cannot exceed quota for {quota}: {MOST_ATTACHED}")
    tx.put(replace(holder, attached_policies=(*holder.attached_policies, arn)))


def detach(tx: Transaction, holder: H, arn: str) -> None:
    """Raises: ApiError NoSuchEntity."""
    if arn not in holder.attached_policies:
        raise no_such_entity(f"Policy {arn} was not found.")
    rest = tuple(each for each in holder.attached_policies if each != arn)
    tx.put(replace(holder, attached_policies=rest))
