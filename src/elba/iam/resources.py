"""IAM's stored resources. All have region `aws-global`; names are unique in an account regardless of case."""

from __future__ import annotations

from typing import ClassVar

from elba.log import Discreet
from elba.resource import Resource
from elba.x509.facts import Facts

GLOBAL = "aws-global"

Tags = dict[str, str]


class AccessKey(Resource, frozen=True, kw_only=True):
    """A key that signs requests. `id` is the access key id.

    `owner_arn` is what GetCallerIdentity answers, `owner_id` its UserId. A session's key (ASIA…) has a
    `session_token` and `expiration` (the world's time, epoch seconds; 0 = never).
    """

    KIND: ClassVar[str] = "iam.access_key"

    secret_access_key: str
    owner_arn: str
    owner_id: str
    user_name: str = ""
    session_token: str = ""
    expiration: float = 0.0
    status: str = "Active"
    create_time: float = 0.0

    def parent_id(self) -> str | None:
        return self.user_name.lower() or None


class User(Resource, frozen=True, kw_only=True):
    """`id` is the name in lower case, as for every named IAM resource."""

    KIND: ClassVar[str] = "iam.user"

    name: str
    path: str
    user_id: str
    create_time: float
    permissions_boundary: str = ""
    tags: Tags = {}
    inline_policies: dict[str, str] = {}
    attached_policies: tuple[str, ...] = ()

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:user{self.path}{self.name}"


class Group(Resource, frozen=True, kw_only=True):
    """`members` are the ids of users, in the order in which they were added."""

    KIND: ClassVar[str] = "iam.group"

    name: str
    path: str
    group_id: str
    create_time: float
    members: tuple[str, ...] = ()
    inline_policies: dict[str, str] = {}
    attached_policies: tuple[str, ...] = ()

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:group{self.path}{self.name}"


class AccountSettings(Resource, frozen=True, kw_only=True):
    """What an account has once; `id` is always "account". `password_policy`: None = there is none."""

    KIND: ClassVar[str] = "iam.account_settings"

    alias: str = ""
    password_policy: dict[str, int | bool] | None = None


class Role(Resource, frozen=True, kw_only=True):
    """`attached_policies` are ARNs in order of attachment; policy documents are kept as they were sent."""

    KIND: ClassVar[str] = "iam.role"

    name: str
    path: str
    role_id: str
    create_time: float
    assume_role_policy_document: str
    description: str = ""
    max_session_duration: int = 3600
    permissions_boundary: str = ""
    service_linked: bool = False
    tags: Tags = {}
    inline_policies: dict[str, str] = {}
    attached_policies: tuple[str, ...] = ()

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:role{self.path}{self.name}"


class InstanceProfile(Resource, frozen=True, kw_only=True):
    """`role_name` is the name of the one role in it, as that role spells it; "" = none."""

    KIND: ClassVar[str] = "iam.instance_profile"

    name: str
    path: str
    instance_profile_id: str
    create_time: float
    role_name: str = ""
    tags: Tags = {}

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:instance-profile{self.path}{self.name}"


class PolicyVersion(Resource, frozen=True, kw_only=True):
    """`id` is the policy's ARN, a space and the version id."""

    KIND: ClassVar[str] = "iam.policy_version"

    policy_arn: str
    version_id: str
    document: str
    create_time: float

    def parent_id(self) -> str:
        return self.policy_arn


class Policy(Resource, frozen=True, kw_only=True):
    """A customer managed policy. `id` is its ARN."""

    KIND: ClassVar[str] = "iam.policy"

    name: str
    path: str
    policy_id: str
    create_time: float
    update_time: float
    default_version_id: str = "v1"
    latest_version: int = 1
    description: str = ""
    tags: Tags = {}

    @property
    def arn(self) -> str:
        return self.id


class ServerCertificate(Discreet, Resource, frozen=True, kw_only=True):
    """A certificate for load balancers, all PEM; `chain` is without the leaf."""

    KIND: ClassVar[str] = "iam.server_certificate"
    SECRETS: ClassVar[frozenset[str]] = frozenset({"private_key"})

    name: str
    path: str
    server_certificate_id: str
    upload_time: float
    certificate: str
    chain: str
    private_key: str
    facts: Facts
    tags: Tags = {}

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:server-certificate{self.path}{self.name}"
