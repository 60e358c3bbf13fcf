"""What IAM says of an account as a whole."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.iam.commands.account import settings_of
from elba.iam.commands.attachments import MOST_ATTACHED
from elba.iam.commands.groups import MOST_GROUPS_OF_A_USER
from elba.iam.commands.policies import MOST_VERSIONS
from elba.iam.commands.users import MOST_ACCESS_KEYS
from elba.iam.names import no_such_entity
from elba.iam.resources import (
    GLOBAL,
    Group,
    InstanceProfile,
    Policy,
    PolicyVersion,
    Role,
    ServerCertificate,
    User,
)
from elba.store.interface import View

# Source: IAM user guide, "IAM and AWS STS quotas".
_QUOTAS = {
    "UsersQuota": 5000,
    "GroupsQuota": 300,
    "GroupsPerUserQuota": MOST_GROUPS_OF_A_USER,
    "RolesQuota": 1000,
    "InstanceProfilesQuota": 1000,
    "PoliciesQuota": 1500,
    "PolicyVersionsInUseQuota": 10_000,
    "VersionsPerPolicyQuota": MOST_VERSIONS,
    "ServerCertificatesQuota": 20,
    "AccessKeysPerUserQuota": MOST_ACCESS_KEYS,
    "SigningCertificatesPerUserQuota": 2,
    "AttachedPoliciesPerGroupQuota": MOST_ATTACHED,
    "AttachedPoliciesPerRoleQuota": MOST_ATTACHED,
    "AttachedPoliciesPerUserQuota": MOST_ATTACHED,
    "UserPolicySizeQuota": 2048,
    "GroupPolicySizeQuota": 5120,
    "RolePolicySizeQuota": 10_240,
    "PolicySizeQuota": 6144,
    "AssumeRolePolicySizeQuota": 2048,
    "GlobalEndpointTokenVersion": 1,
}


def list_account_aliases(view: View, call: Call, request: Request) -> Answer:
    alias = settings_of(view, call.account).alias
    return {"account_aliases": [alias] if alias else [], "is_truncated": False}


def get_account_password_policy(view: View, call: Call, request: Request) -> Answer:
    policy = settings_of(view, call.account).password_policy
    if policy is None:
        raise no_such_entity(f"The Password Policy with domain name {call.account} cannot be found.")
    return {"password_policy": {**policy, "expire_passwords": "max_password_age" in policy}}


def get_account_summary(view: View, call: Call, request: Request) -> Answer:
    """Counts of what there is, and the quotas. There are no MFA devices, passwords or identity providers here."""
    counts = {
        name: len(view.all(type_, call.account, GLOBAL))
        for name, type_ in (
            ("Users", User),
            ("Groups", Group),
            ("Roles", Role),
            ("InstanceProfiles", InstanceProfile),
            ("Policies", Policy),
            ("PolicyVersionsInUse", PolicyVersion),
            ("ServerCertificates", ServerCertificate),
        )
    }
    none = (
        "MFADevices",
        "MFADevicesInUse",
        "AccountMFAEnabled",
        "AccountPasswordPresent",
        "AccountSigningCertificatesPresent",
        "Providers",
    )
    return {"summary_map": {**counts, **_QUOTAS, **dict.fromkeys(none, 0), "AccountAccessKeysPresent": 1}}
