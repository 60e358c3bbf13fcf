"""IAM's resources as answers show them."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.iam.names import AWS_MANAGED, encode_document, tag_list
from elba.iam.resources import (
    GLOBAL,
    AccessKey,
    Group,
    InstanceProfile,
    Policy,
    PolicyVersion,
    Role,
    ServerCertificate,
    User,
)
from elba.store.interface import View

# When AWS made its first managed policies; no client cares, but the member is never absent.
AWS_MANAGED_TIME = 1_423_180_000.0

tags = tag_list

_ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}
_AWS_DOCUMENTS: dict[str, list[dict[str, Any]]] = {
    "AdministratorAccess": [_ALL],
    "PowerUserAccess": [{"Effect": "Allow", "NotAction": ["iam:*", "organizations:*"], "Resource": "*"}],
    "AmazonEC2FullAccess": [
        {"Effect": "Allow", "Action": [f"{s}:*"], "Resource": "*"}
        for s in ("ec2", "elasticloadbalancing", "cloudwatch", "autoscaling")
    ],
    "AmazonS3ReadOnlyAccess": [{"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}],
    "CloudWatchAgentServerPolicy": [
        {"Effect": "Allow", "Action": ["cloudwatch:PutMetricData", "ec2:DescribeTags"], "Resource": "*"}
    ],
}


def _boundary(arn: str) -> Answer | None:
    if not arn:
        return None
    return {"permissions_boundary_type": "PermissionsBoundaryPolicy", "permissions_boundary_arn": arn}


def role(role: Role, *, brief: bool = False) -> Answer:
    """`brief`, as in lists and in instance profiles, leaves out tags, boundary and last use."""
    answer: Answer = {
        "path": role.path,
        "role_name": role.name,
        "role_id": role.role_id,
        "arn": role.arn,
        "create_date": role.create_time,
        "assume_role_policy_document": encode_document(role.assume_role_policy_document),
        "description": role.description or None,
        "max_session_duration": role.max_session_duration,
    }
    if not brief:
        answer["permissions_boundary"] = _boundary(role.permissions_boundary)
        answer["tags"] = tag_list(role.tags) or None
    return answer


def user(user: User, *, brief: bool = False) -> Answer:
    answer: Answer = {
        "path": user.path,
        "user_name": user.name,
        "user_id": user.user_id,
        "arn": user.arn,
        "create_date": user.create_time,
    }
    if not brief:
        answer["permissions_boundary"] = _boundary(user.permissions_boundary)
        answer["tags"] = tag_list(user.tags) or None
    return answer


def group(group: Group) -> Answer:
    return {
        "path": group.path,
        "group_name": group.name,
        "group_id": group.group_id,
        "arn": group.arn,
        "create_date": group.create_time,
    }


def instance_profile(view: View, profile: InstanceProfile, *, brief: bool = False) -> Answer:
    found = view.get(Role, profile.account, GLOBAL, profile.role_name.lower()) if profile.role_name else None
    answer: Answer = {
        "path": profile.path,
        "instance_profile_name": profile.name,
        "instance_profile_id": profile.instance_profile_id,
        "arn": profile.arn,
        "create_date": profile.create_time,
        "roles": [] if found is None else [role(found, brief=True)],
    }
    if not brief:
        answer["tags"] = tag_list(profile.tags) or None
    return answer


def holders(view: View, account: str, arn: str) -> list[Role | User | Group]:
    """Roles, users and groups to which a policy is attached."""
    found: list[Role | User | Group] = [r for r in view.all(Role, account, GLOBAL) if arn in r.attached_policies]
    found.extend(g for g in view.all(Group, account, GLOBAL) if arn in g.attached_policies)
    found.extend(u for u in view.all(User, account, GLOBAL) if arn in u.attached_policies)
    return found


def bounded(view: View, account: str, arn: str) -> int:
    boundaries = [each.permissions_boundary for each in view.all(Role, account, GLOBAL)]
    boundaries += [each.permissions_boundary for each in view.all(User, account, GLOBAL)]
    return boundaries.count(arn)


def policy(view: View, policy: Policy, *, description: bool = True) -> Answer:
    return {
        "policy_name": policy.name,
        "policy_id": policy.policy_id,
        "arn": policy.arn,
        "path": policy.path,
        "default_version_id": policy.default_version_id,
        "attachment_count": len(holders(view, policy.account, policy.arn)),
        "permissions_boundary_usage_count": bounded(view, policy.account, policy.arn),
        "is_attachable": True,
        "description": (policy.description or None) if description else None,
        "create_date": policy.create_time,
        "update_date": policy.update_time,
    }


def aws_managed_policy(view: View, account: str, arn: str) -> Answer:
    """One of AWS's own policies. Its id is made from the ARN, so it is the same for ever."""
    path, _, name = arn.removeprefix(AWS_MANAGED).rpartition("/")
    digest = re.sub(r"[^A-Z2-7]", "A", hashlib.sha256(arn.encode()).hexdigest().upper())
    return {
        "policy_name": name,
        "policy_id": "ANPA" + digest[:17],
        "arn": arn,
        "path": f"/{path}/" if path else "/",
        "default_version_id": "v1",
        "attachment_count": len(holders(view, account, arn)),
        "permissions_boundary_usage_count": bounded(view, account, arn),
        "is_attachable": True,
        "create_date": AWS_MANAGED_TIME,
        "update_date": AWS_MANAGED_TIME,
        "tags": [],
    }


def aws_managed_version(arn: str) -> Answer:
    """Its only version. Elba knows a few of these documents; of the others only that they exist."""
    statements = _AWS_DOCUMENTS.get(arn.rpartition("/")[2], [])
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    return {
        "document": encode_document(document),
        "version_id": "v1",
        "is_default_version": True,
        "create_date": AWS_MANAGED_TIME,
    }


def policy_version(policy: Policy, version: PolicyVersion, *, document: bool) -> Answer:
    return {
        "document": encode_document(version.document) if document else None,
        "version_id": version.version_id,
        "is_default_version": version.version_id == policy.default_version_id,
        "create_date": version.create_time,
    }


def access_key(key: AccessKey) -> Answer:
    return {
        "user_name": key.user_name,
        "access_key_id": key.id,
        "status": key.status,
        "create_date": key.create_time,
    }


def user_name(call: Call, request: Request) -> str:
    """The user that the request names, else the one who asks. Raises: ApiError ValidationError for root."""
    named: str | None = request.get("user_name")
    if named:
        return named
    if ":user/" in call.caller_arn:
        return call.caller_arn.rsplit("/", 1)[1]
    raise ApiError("ValidationError", "Must specify userName when calling with non-User credentials")


def server_certificate(certificate: ServerCertificate) -> Answer:
    """Its metadata; the private key never comes back."""
    return {
        "path": certificate.path,
        "server_certificate_name": certificate.name,
        "server_certificate_id": certificate.server_certificate_id,
        "arn": certificate.arn,
        "upload_date": certificate.upload_time,
        "expiration": certificate.facts.not_after,
    }
