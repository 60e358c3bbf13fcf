"""Customer managed policies and their versions."""

from __future__ import annotations

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.iam import answers
from elba.iam.names import (
    already_exists,
    delete_conflict,
    is_aws_managed,
    limit_exceeded,
    merge_tags,
    no_such_entity,
    parse_document,
    require_policy,
    tags_of,
    without_tags,
)
from elba.iam.resources import GLOBAL, Policy, PolicyVersion
from elba.store.interface import Transaction

MOST_VERSIONS = 5


def create_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError EntityAlreadyExists, MalformedPolicyDocument, InvalidInput."""
    name, path = request["policy_name"], request.get("path", "/")
    if any(each.name.lower() == name.lower() for each in tx.all(Policy, call.account, GLOBAL)):
        raise already_exists(f"A policy called {name} already exists. Duplicate names are not allowed.")
    policy = Policy(
        account=call.account,
        region=GLOBAL,
        id=call.arn("iam", f"policy{path}{name}", global_=True),
        name=name,
        path=path,
        policy_id=call.ids.unique("ANPA"),
        create_time=call.now,
        update_time=call.now,
        description=request.get("description", ""),
        tags=tags_of(request),
    )
    tx.put(policy)
    tx.put(_version(policy, "v1", request["policy_document"], call))
    return {"policy": {**answers.policy(tx, policy), "tags": answers.tags(policy.tags)}}


def _version(policy: Policy, version_id: str, document: str, call: Call) -> PolicyVersion:
    return PolicyVersion(
        account=policy.account,
        region=GLOBAL,
        id=f"{policy.arn} {version_id}",
        policy_arn=policy.arn,
        version_id=version_id,
        document=parse_document(document),
        create_time=call.now,
    )


def _changeable(tx: Transaction, call: Call, arn: str) -> Policy:
    """Raises: ApiError NoSuchEntity, AccessDenied for AWS's own."""
    if is_aws_managed(arn):
        raise ApiError("AccessDenied", f"Cannot change the AWS managed policy {arn}.", 403)
    return require_policy(tx, call, arn)


def _require_version(tx: Transaction, policy: Policy, version_id: str) -> PolicyVersion:
    version = tx.get(PolicyVersion, policy.account, GLOBAL, f"{policy.arn} {version_id}")
    if version is None:
        raise no_such_entity(f"Policy {policy.arn} version {version_id} does not exist or is not attachable.")
    return version


def create_policy_version(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, MalformedPolicyDocument, LimitExceeded."""
    policy = _changeable(tx, call, request["policy_arn"])
    if len(tx.children(PolicyVersion, policy.account, GLOBAL, policy.arn)) >= MOST_VERSIONS:
        raise limit_exceeded(
            f"A managed policy can have up to {MOST_VERSIONS} versions. Before you create a new version, you must "
            "delete an existing version."
        )
    number = policy.latest_version + 1
    version = _version(policy, f"v{number}", request["policy_document"], call)
    default = version.version_id if request.get("set_as_default") else policy.default_version_id
    policy = replace(policy, latest_version=number, default_version_id=default, update_time=call.now)
    tx.put(version)
    tx.put(policy)
    return {"policy_version": answers.policy_version(policy, version, document=False)}


def set_default_policy_version(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity."""
    policy = _changeable(tx, call, request["policy_arn"])
    version = _require_version(tx, policy, request["version_id"])
    tx.put(replace(policy, default_version_id=version.version_id, update_time=call.now))
    return {}


def delete_policy_version(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, DeleteConflict for the default version."""
    policy = _changeable(tx, call, request["policy_arn"])
    version = _require_version(tx, policy, request["version_id"])
    if version.version_id == policy.default_version_id:
        raise delete_conflict("Cannot delete the default version of a policy.")
    tx.delete(version)
    return {}


def delete_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, DeleteConflict."""
    policy = _changeable(tx, call, request["policy_arn"])
    if answers.holders(tx, policy.account, policy.arn):
        raise delete_conflict("Cannot delete a policy attached to entities.")
    versions = tx.children(PolicyVersion, policy.account, GLOBAL, policy.arn)
    if len(versions) > 1:
        raise delete_conflict(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's "
            "versions. The default version is deleted with the policy."
        )
    for version in versions:
        tx.delete(version)
    tx.delete(policy)
    return {}


def tag_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity, InvalidInput, LimitExceeded."""
    policy = _changeable(tx, call, request["policy_arn"])
    tx.put(replace(policy, tags=merge_tags(policy.tags, request["tags"])))
    return {}


def untag_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity."""
    policy = _changeable(tx, call, request["policy_arn"])
    tx.put(replace(policy, tags=without_tags(policy.tags, request["tag_keys"])))
    return {}
