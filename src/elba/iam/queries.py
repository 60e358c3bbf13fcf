"""IAM's reading operations: pure functions over a view."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.iam import answers
from elba.iam.aws_policies import KNOWN
from elba.iam.names import (
    AWS_MANAGED,
    encode_document,
    is_aws_managed,
    no_such_entity,
    page,
    require_group,
    require_policy,
    require_profile,
    require_role,
    require_server_certificate,
    require_user,
    tag_list,
    under_path,
)
from elba.iam.resources import (
    GLOBAL,
    AccessKey,
    Group,
    InstanceProfile,
    Policy,
    PolicyVersion,
    Role,
    ServerCertificate,
    Tags,
    User,
)
from elba.store.interface import View


def get_role(view: View, call: Call, request: Request) -> Answer:
    role = require_role(view, call, request["role_name"])
    return {"role": {**answers.role(role), "role_last_used": {}}}


def list_roles(view: View, call: Call, request: Request) -> Answer:
    roles = [role for role in view.all(Role, call.account, GLOBAL) if under_path(role.path, request)]
    shown, rest = page(roles, lambda role: role.name, request)
    return {"roles": [answers.role(role, brief=True) for role in shown], **rest}


def list_role_tags(view: View, call: Call, request: Request) -> Answer:
    return _tags(require_role(view, call, request["role_name"]).tags, request)


def _tags(tags: Tags, request: Request) -> Answer:
    shown, rest = page(tag_list(tags), lambda tag: tag["key"], request)
    return {"tags": shown, **rest}


def get_role_policy(view: View, call: Call, request: Request) -> Answer:
    role = require_role(view, call, request["role_name"])
    return {"role_name": role.name, **_inline(role, request["policy_name"], "role")}


def get_user_policy(view: View, call: Call, request: Request) -> Answer:
    user = require_user(view, call, request["user_name"])
    return {"user_name": user.name, **_inline(user, request["policy_name"], "user")}


def get_group_policy(view: View, call: Call, request: Request) -> Answer:
    group = require_group(view, call, request["group_name"])
    return {"group_name": group.name, **_inline(group, request["policy_name"], "group")}


def _inline(holder: Role | User | Group, name: str, what: str) -> Answer:
    document = holder.inline_policies.get(name)
    if document is None:
        raise no_such_entity(f"The {what} policy with name {name} cannot be found.")
    return {"policy_name": name, "policy_document": encode_document(document)}


def list_role_policies(view: View, call: Call, request: Request) -> Answer:
    return _inline_names(require_role(view, call, request["role_name"]), request)


def list_user_policies(view: View, call: Call, request: Request) -> Answer:
    return _inline_names(require_user(view, call, request["user_name"]), request)


def list_group_policies(view: View, call: Call, request: Request) -> Answer:
    return _inline_names(require_group(view, call, request["group_name"]), request)


def _inline_names(holder: Role | User | Group, request: Request) -> Answer:
    shown, rest = page(list(holder.inline_policies), str, request)
    return {"policy_names": shown, **rest}


def list_attached_role_policies(view: View, call: Call, request: Request) -> Answer:
    return _attached(require_role(view, call, request["role_name"]), request)


def list_attached_user_policies(view: View, call: Call, request: Request) -> Answer:
    return _attached(require_user(view, call, request["user_name"]), request)


def list_attached_group_policies(view: View, call: Call, request: Request) -> Answer:
    return _attached(require_group(view, call, request["group_name"]), request)


def _attached(holder: Role | User | Group, request: Request) -> Answer:
    prefix = request.get("path_prefix", "/")
    arns = [arn for arn in holder.attached_policies if arn.partition(":policy")[2].startswith(prefix)]
    shown, rest = page(arns, lambda arn: arn, request)
    return {
        "attached_policies": [{"policy_name": arn.rpartition("/")[2], "policy_arn": arn} for arn in shown],
        **rest,
    }


def get_instance_profile(view: View, call: Call, request: Request) -> Answer:
    profile = require_profile(view, call, request["instance_profile_name"])
    return {"instance_profile": answers.instance_profile(view, profile)}


def list_instance_profiles(view: View, call: Call, request: Request) -> Answer:
    found = [p for p in view.all(InstanceProfile, call.account, GLOBAL) if under_path(p.path, request)]
    return _profiles(view, found, request)


def list_instance_profiles_for_role(view: View, call: Call, request: Request) -> Answer:
    role = require_role(view, call, request["role_name"])
    found = [p for p in view.all(InstanceProfile, call.account, GLOBAL) if p.role_name == role.name]
    return _profiles(view, found, request)


def _profiles(view: View, found: list[InstanceProfile], request: Request) -> Answer:
    shown, rest = page(found, lambda profile: profile.name, request)
    return {"instance_profiles": [answers.instance_profile(view, p, brief=True) for p in shown], **rest}


def list_instance_profile_tags(view: View, call: Call, request: Request) -> Answer:
    return _tags(require_profile(view, call, request["instance_profile_name"]).tags, request)


def get_policy(view: View, call: Call, request: Request) -> Answer:
    arn = request["policy_arn"]
    if is_aws_managed(arn):
        return {"policy": answers.aws_managed_policy(view, call.account, arn)}
    policy = require_policy(view, call, arn)
    return {"policy": {**answers.policy(view, policy), "tags": tag_list(policy.tags)}}


def get_policy_version(view: View, call: Call, request: Request) -> Answer:
    arn, version_id = request["policy_arn"], request["version_id"]
    if is_aws_managed(arn) and version_id == "v1":
        return {"policy_version": answers.aws_managed_version(arn)}
    policy = require_policy(view, call, arn)
    version = view.get(PolicyVersion, policy.account, GLOBAL, f"{arn} {version_id}")
    if version is None:
        raise no_such_entity(f"Policy {arn} version {version_id} does not exist or is not attachable.")
    return {"policy_version": answers.policy_version(policy, version, document=True)}


def list_policy_versions(view: View, call: Call, request: Request) -> Answer:
    arn = request["policy_arn"]
    if is_aws_managed(arn):
        return {"versions": [{**answers.aws_managed_version(arn), "document": None}], "is_truncated": False}
    policy = require_policy(view, call, arn)
    versions = view.children(PolicyVersion, policy.account, GLOBAL, arn)
    shown, rest = page(versions, lambda v: f"{10_000 - int(v.version_id[1:]):05d}", request)  # newest first
    return {"versions": [answers.policy_version(policy, v, document=False) for v in shown], **rest}


def list_policies(view: View, call: Call, request: Request) -> Answer:
    """Of AWS's own policies those that are attached somewhere, and the ones that stacks look for."""
    scope, only_attached = request.get("scope", "All"), request.get("only_attached", False)
    found: list[Answer] = []
    if scope in ("All", "Local"):
        found += [answers.policy(view, each, description=False) for each in view.all(Policy, call.account, GLOBAL)]
    if scope in ("All", "AWS"):
        held = {arn for role in view.all(Role, call.account, GLOBAL) for arn in role.attached_policies}
        held |= {arn for user in view.all(User, call.account, GLOBAL) for arn in user.attached_policies}
        held |= {arn for group in view.all(Group, call.account, GLOBAL) for arn in group.attached_policies}
        aws = sorted(arn for arn in held | KNOWN if arn.startswith(AWS_MANAGED))
        found += [{**answers.aws_managed_policy(view, call.account, arn), "tags": None} for arn in aws]
    found = [p for p in found if under_path(p["path"], request) and (p["attachment_count"] or not only_attached)]
    shown, rest = page(found, lambda policy: str(policy["arn"]), request)
    return {"policies": shown, **rest}


def list_entities_for_policy(view: View, call: Call, request: Request) -> Answer:
    arn, kind = request["policy_arn"], request.get("entity_filter", "")
    if not is_aws_managed(arn):
        require_policy(view, call, arn)
    found = [h for h in answers.holders(view, call.account, arn) if under_path(h.path, request)]
    shown, rest = page(found, lambda holder: f"{holder.KIND} {holder.name}", request)
    return {
        "policy_groups": [
            {"group_name": h.name, "group_id": h.group_id}
            for h in shown
            if isinstance(h, Group) and kind in ("", "Group")
        ],
        "policy_roles": [
            {"role_name": h.name, "role_id": h.role_id} for h in shown if isinstance(h, Role) and kind in ("", "Role")
        ],
        "policy_users": [
            {"user_name": h.name, "user_id": h.user_id} for h in shown if isinstance(h, User) and kind in ("", "User")
        ],
        **rest,
    }


def list_policy_tags(view: View, call: Call, request: Request) -> Answer:
    return _tags(require_policy(view, call, request["policy_arn"]).tags, request)


def get_user(view: View, call: Call, request: Request) -> Answer:
    if not request.get("user_name") and call.caller_arn.endswith(":root"):
        return {"user": {"user_id": call.account, "arn": call.caller_arn, "create_date": answers.AWS_MANAGED_TIME}}
    return {"user": answers.user(require_user(view, call, answers.user_name(call, request)))}


def list_users(view: View, call: Call, request: Request) -> Answer:
    users = [user for user in view.all(User, call.account, GLOBAL) if under_path(user.path, request)]
    shown, rest = page(users, lambda user: user.name, request)
    return {"users": [answers.user(user, brief=True) for user in shown], **rest}


def get_group(view: View, call: Call, request: Request) -> Answer:
    group = require_group(view, call, request["group_name"])
    found = [user for id_ in group.members if (user := view.get(User, call.account, GLOBAL, id_)) is not None]
    shown, rest = page(found, lambda user: user.name, request)
    return {"group": answers.group(group), "users": [answers.user(user, brief=True) for user in shown], **rest}


def list_groups(view: View, call: Call, request: Request) -> Answer:
    return _groups([g for g in view.all(Group, call.account, GLOBAL) if under_path(g.path, request)], request)


def list_groups_for_user(view: View, call: Call, request: Request) -> Answer:
    user = require_user(view, call, request["user_name"])
    return _groups([g for g in view.all(Group, call.account, GLOBAL) if user.id in g.members], request)


def _groups(found: list[Group], request: Request) -> Answer:
    shown, rest = page(found, lambda group: group.name, request)
    return {"groups": [answers.group(group) for group in shown], **rest}


def list_user_tags(view: View, call: Call, request: Request) -> Answer:
    return _tags(require_user(view, call, request["user_name"]).tags, request)


def list_access_keys(view: View, call: Call, request: Request) -> Answer:
    user = require_user(view, call, answers.user_name(call, request))
    keys = view.children(AccessKey, user.account, GLOBAL, user.id)
    shown, rest = page(keys, lambda key: key.id, request)
    return {"access_key_metadata": [answers.access_key(key) for key in shown], **rest}


def get_service_linked_role_deletion_status(view: View, call: Call, request: Request) -> Answer:
    """Deletion is done when it is asked for."""
    return {"status": "SUCCEEDED"}


def get_server_certificate(view: View, call: Call, request: Request) -> Answer:
    certificate = require_server_certificate(view, call, request["server_certificate_name"])
    return {
        "server_certificate": {
            "server_certificate_metadata": answers.server_certificate(certificate),
            # Without the last line's end, as IAM has it: Terraform compares to the byte.
            "certificate_body": certificate.certificate.rstrip(),
            "certificate_chain": certificate.chain.rstrip() or None,
            "tags": tag_list(certificate.tags) or None,
        }
    }


def list_server_certificates(view: View, call: Call, request: Request) -> Answer:
    found = [c for c in view.all(ServerCertificate, call.account, GLOBAL) if under_path(c.path, request)]
    shown, rest = page(found, lambda certificate: certificate.name, request)
    return {"server_certificate_metadata_list": [answers.server_certificate(c) for c in shown], **rest}


def list_server_certificate_tags(view: View, call: Call, request: Request) -> Answer:
    return _tags(require_server_certificate(view, call, request["server_certificate_name"]).tags, request)
