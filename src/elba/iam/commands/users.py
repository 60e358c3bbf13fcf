"""Users and their access keys."""

from __future__ import annotations

import base64

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.iam import answers
from elba.iam.commands.attachments import attach, delete_inline, detach, put_inline
from elba.iam.names import (
    already_exists,
    attachable,
    delete_conflict,
    limit_exceeded,
    merge_tags,
    no_such_entity,
    require_user,
    tags_of,
    without_tags,
)
from elba.iam.resources import GLOBAL, AccessKey, Group, User
from elba.store.interface import Transaction

MOST_ACCESS_KEYS = 2


def create_user(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError EntityAlreadyExists, InvalidInput."""
    name = request["user_name"]
    if tx.get(User, call.account, GLOBAL, name.lower()) is not None:
        raise already_exists(f"User with name {name} already exists.")
    boundary = request.get("permissions_boundary", "")
    if boundary:
        attachable(tx, call, boundary)
    user = User(
        account=call.account,
        region=GLOBAL,
        id=name.lower(),
        name=name,
        path=request.get("path", "/"),
        user_id=call.ids.unique("AIDA"),
        create_time=call.now,
        permissions_boundary=boundary,
        tags=tags_of(request),
    )
    tx.put(user)
    return {"user": answers.user(user)}


def delete_user(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, DeleteConflict."""
    user = require_user(tx, call, request["user_name"])
    if tx.children(AccessKey, user.account, GLOBAL, user.id):
        raise delete_conflict("Cannot delete entity, must delete access keys first.")
    if user.attached_policies:
        raise delete_conflict("Cannot delete entity, must detach all policies first.")
    if user.inline_policies:
        raise delete_conflict("Cannot delete entity, must delete policies first.")
    if any(user.id in group.members for group in tx.all(Group, user.account, GLOBAL)):
        raise delete_conflict("Cannot delete entity, must remove users from group first.")
    tx.delete(user)
    return {}


def update_user(tx: Transaction, call: Call, request: Request) -> Answer:
    """A new name or path; keys and memberships go along. Raises: ApiError NoSuchEntity, EntityAlreadyExists."""
    user = require_user(tx, call, request["user_name"])
    name = request.get("new_user_name") or user.name
    if name.lower() != user.id and tx.get(User, call.account, GLOBAL, name.lower()) is not None:
        raise already_exists(f"User with name {name} already exists.")
    changed = replace(user, id=name.lower(), name=name, path=request.get("new_path") or user.path)
    keys = tx.children(AccessKey, user.account, GLOBAL, user.id)
    if changed.id != user.id:
        tx.delete(user)
        for group in tx.all(Group, user.account, GLOBAL):
            if user.id in group.members:
                members = tuple(changed.id if each == user.id else each for each in group.members)
                tx.put(replace(group, members=members))
    tx.put(changed)
    for key in keys:
        tx.put(replace(key, user_name=changed.name, owner_arn=changed.arn))
    return {}


def put_user_permissions_boundary(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, InvalidInput."""
    user = require_user(tx, call, request["user_name"])
    tx.put(replace(user, permissions_boundary=attachable(tx, call, request["permissions_boundary"])))
    return {}


def delete_user_permissions_boundary(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity."""
    tx.put(replace(require_user(tx, call, request["user_name"]), permissions_boundary=""))
    return {}


def tag_user(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, InvalidInput, LimitExceeded."""
    user = require_user(tx, call, request["user_name"])
    tx.put(replace(user, tags=merge_tags(user.tags, request["tags"])))
    return {}


def untag_user(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity."""
    user = require_user(tx, call, request["user_name"])
    tx.put(replace(user, tags=without_tags(user.tags, request["tag_keys"])))
    return {}


def put_user_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, MalformedPolicyDocument."""
    user = require_user(tx, call, request["user_name"])
    put_inline(tx, user, request["policy_name"], request["policy_document"])
    return {}


def delete_user_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity."""
    delete_inline(tx, require_user(tx, call, request["user_name"]), request["policy_name"], "user")
    return {}


def attach_user_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, InvalidInput, LimitExceeded."""
    attach(tx, call, require_user(tx, call, request["user_name"]), request["policy_arn"], "PoliciesPerUser")
    return {}


def detach_user_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity."""
    detach(tx, require_user(tx, call, request["user_name"]), request["policy_arn"])
    return {}


def create_access_key(tx: Transaction, call: Call, request: Request) -> Answer:
    """The only answer that shows the secret. Raises: ApiError NoSuchEntity, LimitExceeded."""
    user = require_user(tx, call, answers.user_name(call, request))
    if len(tx.children(AccessKey, user.account, GLOBAL, user.id)) >= MOST_ACCESS_KEYS:
        raise limit_exceeded(f"Cannot exceed quota for AccessKeysPerUser: {MOST_ACCESS_KEYS}")
    key = AccessKey(
        account=call.account,
        region=GLOBAL,
        id=call.ids.unique("AKIA", 16),
        secret_access_key=new_secret(call),
        owner_arn=user.arn,
        owner_id=user.user_id,
        user_name=user.name,
        create_time=call.now,
    )
    tx.put(key)
    return {"access_key": {**answers.access_key(key), "secret_access_key": key.secret_access_key}}


def new_secret(call: Call) -> str:
    """A secret access key: 40 characters."""
    return base64.b64encode(bytes.fromhex(call.ids.hex(60))).decode()


def _require_key(tx: Transaction, call: Call, request: Request) -> AccessKey:
    key = tx.get(AccessKey, call.account, GLOBAL, request["access_key_id"])
    user = request.get("user_name")
    if key is None or key.session_token or (user is not None and key.user_name != user):
        raise no_such_entity(f"The Access Key with id {request['access_key_id']} cannot be found.")
    return key


def update_access_key(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity."""
    tx.put(replace(_require_key(tx, call, request), status=request["status"]))
    return {}


def delete_access_key(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity."""
    tx.delete(_require_key(tx, call, request))
    return {}
