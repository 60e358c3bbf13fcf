"""Roles, their policies, and service-linked roles."""

from __future__ import annotations

import json

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.iam import answers
from elba.iam.commands.attachments import attach, delete_inline, detach, put_inline
from elba.iam.names import (
    already_exists,
    attachable,
    delete_conflict,
    merge_tags,
    no_such_entity,
    parse_document,
    require_role,
    tags_of,
    without_tags,
)
from elba.iam.resources import GLOBAL, InstanceProfile, Role
from elba.store.interface import Transaction

# Names that AWS gives its service-linked roles. Source: the services' own guides.
_SERVICE_ROLE_NAMES = {
    "autoscaling.amazonaws.com": "AutoScaling",
    "ec2.amazonaws.com": "EC2",
    "elasticloadbalancing.amazonaws.com": "ElasticLoadBalancing",
    "spot.amazonaws.com": "EC2Spot",
    "spotfleet.amazonaws.com": "EC2SpotFleet",
}


def create_role(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError EntityAlreadyExists, MalformedPolicyDocument, InvalidInput, NoSuchEntity."""
    name = request["role_name"]
    _require_unused(tx, call, name)
    boundary = request.get("permissions_boundary", "")
    if boundary:
        attachable(tx, call, boundary)
    role = Role(
        account=call.account,
        region=GLOBAL,
        id=name.lower(),
        name=name,
        path=request.get("path", "/"),
        role_id=call.ids.unique("AROA"),
        create_time=call.now,
        assume_role_policy_document=parse_document(request["assume_role_policy_document"], trust=True),
        description=request.get("description", ""),
        max_session_duration=request.get("max_session_duration", 3600),
        permissions_boundary=boundary,
        tags=tags_of(request),
    )
    tx.put(role)
    shown = answers.role(role)
    if "max_session_duration" not in request:
        del shown["max_session_duration"]  # the default is told by GetRole, not here
    return {"role": shown}


def _require_unused(tx: Transaction, call: Call, name: str) -> None:
    if tx.get(Role, call.account, GLOBAL, name.lower()) is not None:
        raise already_exists(f"Role with name {name} already exists.")


def _modifiable(tx: Transaction, call: Call, name: str) -> Role:
    """Raises: ApiError NoSuchEntity, UnmodifiableEntity."""
    role = require_role(tx, call, name)
    if role.service_linked:
        raise ApiError(
            "UnmodifiableEntity",
            f"Cannot perform the operation on the protected role '{name}' - this role is only modifiable by AWS",
        )
    return role


def delete_role(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, DeleteConflict, UnmodifiableEntity."""
    role = _modifiable(tx, call, request["role_name"])
    _require_unreferenced(tx, role)
    tx.delete(role)
    return {}


def _require_unreferenced(tx: Transaction, role: Role) -> None:
    profiles = tx.all(InstanceProfile, role.account, GLOBAL)
    if any(profile.role_name == role.name for profile in profiles):
        raise delete_conflict("Cannot delete entity, must remove roles from instance profile first.")
    if role.attached_policies and not role.service_linked:
        raise delete_conflict("Cannot delete entity, must detach all policies first.")
    if role.inline_policies:
        raise delete_conflict("Cannot delete entity, must delete policies first.")


def update_role(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, UnmodifiableEntity."""
    role = _modifiable(tx, call, request["role_name"])
    tx.put(
        replace(
            role,
            description=request.get("description", role.description),
            max_session_duration=request.get("max_session_duration", role.max_session_duration),
        )
    )
    return {}


def update_role_description(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, UnmodifiableEntity."""
    role = replace(_modifiable(tx, call, request["role_name"]), description=request["description"])
    tx.put(role)
    return {"role": answers.role(role)}


def update_assume_role_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, MalformedPolicyDocument, UnmodifiableEntity."""
    role = _modifiable(tx, call, request["role_name"])
    tx.put(replace(role, assume_role_policy_document=parse_document(request["policy_document"], trust=True)))
    return {}


def put_role_permissions_boundary(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, InvalidInput, UnmodifiableEntity."""
    role = _modifiable(tx, call, request["role_name"])
    tx.put(replace(role, permissions_boundary=attachable(tx, call, request["permissions_boundary"])))
    return {}


def delete_role_permissions_boundary(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, UnmodifiableEntity."""
    role = _modifiable(tx, call, request["role_name"])
    if not role.permissions_boundary:
        raise no_such_entity(f"The role with name {role.name} has no permissions boundary.")
    tx.put(replace(role, permissions_boundary=""))
    return {}


def tag_role(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, InvalidInput, LimitExceeded."""
    role = require_role(tx, call, request["role_name"])
    tx.put(replace(role, tags=merge_tags(role.tags, request["tags"])))
    return {}


def untag_role(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity."""
    role = require_role(tx, call, request["role_name"])
    tx.put(replace(role, tags=without_tags(role.tags, request["tag_keys"])))
    return {}


def put_role_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, MalformedPolicyDocument, UnmodifiableEntity."""
    role = _modifiable(tx, call, request["role_name"])
    put_inline(tx, role, request["policy_name"], request["policy_document"])
    return {}


def delete_role_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, UnmodifiableEntity."""
    delete_inline(tx, _modifiable(tx, call, request["role_name"]), request["policy_name"], "role")
    return {}


def attach_role_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, InvalidInput, LimitExceeded, UnmodifiableEntity."""
    attach(tx, call, _modifiable(tx, call, request["role_name"]), request["policy_arn"], "PoliciesPerRole")
    return {}


def detach_role_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, UnmodifiableEntity."""
    detach(tx, _modifiable(tx, call, request["role_name"]), request["policy_arn"])
    return {}


def create_service_linked_role(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidInput if it exists."""
    service = request["aws_service_name"]
    label = service.removesuffix(".amazonaws.com")
    title = _SERVICE_ROLE_NAMES.get(service) or "".join(
        part.capitalize() for part in label.replace("-", ".").split(".")
    )
    suffix = request.get("custom_suffix")
    name = f"AWSServiceRoleFor{title}" + (f"_{suffix}" if suffix else "")
    if tx.get(Role, call.account, GLOBAL, name.lower()) is not None:
        raise ApiError(
            "InvalidInput",
            f"Service role name {name} has been taken in this account, please try a different suffix.",
        )
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
    }
    role = Role(
        account=call.account,
        region=GLOBAL,
        id=name.lower(),
        name=name,
        path=f"/aws-service-role/{service}/",
        role_id=call.ids.unique("AROA"),
        create_time=call.now,
        assume_role_policy_document=json.dumps(trust),
        description=request.get("description", ""),
        service_linked=True,
    )
    tx.put(role)
    return {"role": answers.role(role)}


def delete_service_linked_role(tx: Transaction, call: Call, request: Request) -> Answer:
    """Done at once; the task's id is for GetServiceLinkedRoleDeletionStatus. Raises: ApiError NoSuchEntity."""
    role = require_role(tx, call, request["role_name"])
    if not role.service_linked:
        raise ApiError("InvalidInput", f"Role {role.name} is not a service-linked role.")
    tx.delete(role)
    return {"deletion_task_id": f"task{role.path}{role.name}/{call.ids.uuid()}"}
