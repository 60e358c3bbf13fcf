"""Instance profiles: how a role gets onto an instance."""

from __future__ import annotations

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.iam import answers
from elba.iam.names import (
    already_exists,
    delete_conflict,
    limit_exceeded,
    merge_tags,
    no_such_entity,
    require_profile,
    require_role,
    tags_of,
    without_tags,
)
from elba.iam.resources import GLOBAL, InstanceProfile
from elba.store.interface import Transaction


def create_instance_profile(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError EntityAlreadyExists, InvalidInput."""
    name = request["instance_profile_name"]
    if tx.get(InstanceProfile, call.account, GLOBAL, name.lower()) is not None:
        raise already_exists(f"Instance Profile {name} already exists.")
    profile = InstanceProfile(
        account=call.account,
        region=GLOBAL,
        id=name.lower(),
        name=name,
        path=request.get("path", "/"),
        instance_profile_id=call.ids.unique("AIPA"),
        create_time=call.now,
        tags=tags_of(request),
    )
    tx.put(profile)
    return {"instance_profile": answers.instance_profile(tx, profile)}


def delete_instance_profile(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, DeleteConflict."""
    profile = require_profile(tx, call, request["instance_profile_name"])
    if profile.role_name:
        raise delete_conflict("Cannot delete entity, must remove roles from instance profile first.")
    tx.delete(profile)
    return {}


def add_role_to_instance_profile(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, LimitExceeded: a profile holds one role."""
    profile = require_profile(tx, call, request["instance_profile_name"])
    role = require_role(tx, call, request["role_name"])
    if profile.role_name:
        raise limit_exceeded("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
    tx.put(replace(profile, role_name=role.name))
    return {}


def remove_role_from_instance_profile(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity."""
    profile = require_profile(tx, call, request["instance_profile_name"])
    if profile.role_name != request["role_name"]:
        raise no_such_entity(f"The role with name {request['role_name']} cannot be found.")
    tx.put(replace(profile, role_name=""))
    return {}


def tag_instance_profile(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, InvalidInput, LimitExceeded."""
    profile = require_profile(tx, call, request["instance_profile_name"])
    tx.put(replace(profile, tags=merge_tags(profile.tags, request["tags"])))
    return {}


def untag_instance_profile(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity."""
    profile = require_profile(tx, call, request["instance_profile_name"])
    tx.put(replace(profile, tags=without_tags(profile.tags, request["tag_keys"])))
    return {}
