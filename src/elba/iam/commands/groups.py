"""Groups of users."""

from __future__ import annotations

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.iam import answers
from elba.iam.commands.attachments import attach, delete_inline, detach, put_inline
from elba.iam.names import already_exists, delete_conflict, limit_exceeded, require_group, require_user
from elba.iam.resources import GLOBAL, Group
from elba.store.interface import Transaction

MOST_GROUPS_OF_A_USER = 10


def create_group(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError EntityAlreadyExists."""
    name = request["group_name"]
    _require_unused(tx, call, name)
    group = Group(
        account=call.account,
        region=GLOBAL,
        id=name.lower(),
        name=name,
        path=request.get("path", "/"),
        group_id=call.ids.unique("AGPA"),
        create_time=call.now,
    )
    tx.put(group)
    return {"group": answers.group(group)}


def _require_unused(tx: Transaction, call: Call, name: str) -> None:
    if tx.get(Group, call.account, GLOBAL, name.lower()) is not None:
        raise already_exists(f"Group with name {name} already exists.")


def update_group(tx: Transaction, call: Call, request: Request) -> Answer:
    """A new name or path. Raises: ApiError NoSuchEntity, EntityAlreadyExists."""
    group = require_group(tx, call, request["group_name"])
    name = request.get("new_group_name") or group.name
    if name.lower() != group.id:
        _require_unused(tx, call, name)
        tx.delete(group)
    tx.put(replace(group, id=name.lower(), name=name, path=request.get("new_path") or group.path))
    return {}


def delete_group(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, DeleteConflict."""
    group = require_group(tx, call, request["group_name"])
    if group.members:
        raise delete_conflict("Cannot delete entity, must remove users from group first.")
    if group.attached_policies:
        raise delete_conflict("Cannot delete entity, must detach all policies first.")
    if group.inline_policies:
        raise delete_conflict("Cannot delete entity, must delete policies first.")
    tx.delete(group)
    return {}


def add_user_to_group(tx: Transaction, call: Call, request: Request) -> Answer:
    """Adding twice changes nothing. Raises: ApiError NoSuchEntity, LimitExceeded."""
    group = require_group(tx, call, request["group_name"])
    user = require_user(tx, call, request["user_name"])
    if user.id in group.members:
        return {}
    if sum(user.id in each.members for each in tx.all(Group, call.account, GLOBAL)) >= MOST_GROUPS_OF_A_USER:
        raise limit_exceeded(f"Cannot exceed quota for GroupsPerUser: {MOST_GROUPS_OF_A_USER}")
    tx.put(replace(group, members=(*group.members, user.id)))
    return {}


def remove_user_from_group(tx: Transaction, call: Call, request: Request) -> Answer:
    """Removing one who is not in it changes nothing. Raises: ApiError NoSuchEntity."""
    group = require_group(tx, call, request["group_name"])
    user = require_user(tx, call, request["user_name"])
    tx.put(replace(group, members=tuple(each for each in group.members if each != user.id)))
    return {}


def put_group_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, MalformedPolicyDocument."""
    put_inline(tx, require_group(tx, call, request["group_name"]), request["policy_name"], request["policy_document"])
    return {}


def delete_group_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity."""
    delete_inline(tx, require_group(tx, call, request["group_name"]), request["policy_name"], "group")
    return {}


def attach_group_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, InvalidInput, LimitExceeded."""
    attach(tx, call, require_group(tx, call, request["group_name"]), request["policy_arn"], "PoliciesPerGroup")
    return {}


def detach_group_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity."""
    detach(tx, require_group(tx, call, request["group_name"]), request["policy_arn"])
    return {}
