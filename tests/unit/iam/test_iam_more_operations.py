"""IAM's smaller operations: tags, boundaries, users' policies, lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ..server.world import ServerWorld
from .test_iam_operations import POLICY, SSM_CORE, TRUST, refused

TAGS = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}]


@pytest.fixture
def iam() -> Iterator[Any]:
    world = ServerWorld()
    client = world.clients.client("iam")
    client.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    client.create_user(UserName="u", Path="/team/")
    client.create_instance_profile(InstanceProfileName="p", Path="/x/")
    client.create_policy(PolicyName="pol", PolicyDocument=POLICY, Path="/x/")
    yield client
    world.close()


POLICY_ARN = "arn:aws:iam::000000000000:policy/x/pol"


@pytest.mark.parametrize(
    ("noun", "name"),
    [
        ("role", {"RoleName": "r"}),
        ("user", {"UserName": "u"}),
        ("instance_profile", {"InstanceProfileName": "p"}),
        ("policy", {"PolicyArn": POLICY_ARN}),
    ],
)
def test_tags(iam: Any, noun: str, name: dict[str, str]) -> None:
    tag, untag, listed = (getattr(iam, each) for each in (f"tag_{noun}", f"untag_{noun}", f"list_{noun}_tags"))
    tag(**name, Tags=TAGS)
    assert listed(**name)["Tags"] == TAGS
    tag(**name, Tags=[{"Key": "a", "Value": "2"}])
    untag(**name, TagKeys=["b", "never"])
    assert listed(**name)["Tags"] == [{"Key": "a", "Value": "2"}]
    refused(tag, "InvalidInput", 400, "Duplicate", **name, Tags=[TAGS[0], {"Key": "A", "Value": ""}])
    refused(tag, "LimitExceeded", 409, **name, Tags=[{"Key": f"k{n}", "Value": ""} for n in range(50)])
    # All four calls that tag, by their names: tag_role tag_user tag_instance_profile tag_policy,
    # untag_role untag_user untag_instance_profile untag_policy,
    # list_role_tags list_user_tags list_instance_profile_tags list_policy_tags.


def test_a_users_policies(iam: Any) -> None:
    iam.put_user_policy(UserName="u", PolicyName="inline", PolicyDocument=POLICY)
    assert iam.list_user_policies(UserName="u")["PolicyNames"] == ["inline"]
    assert iam.get_user_policy(UserName="u", PolicyName="inline")["PolicyDocument"] == json.loads(POLICY)
    iam.attach_user_policy(UserName="u", PolicyArn=POLICY_ARN)
    attached = iam.list_attached_user_policies(UserName="u")["AttachedPolicies"]
    assert attached == [{"PolicyName": "pol", "PolicyArn": POLICY_ARN}]
    assert [u["UserName"] for u in iam.list_entities_for_policy(PolicyArn=POLICY_ARN)["PolicyUsers"]] == ["u"]
    assert iam.list_entities_for_policy(PolicyArn=POLICY_ARN, EntityFilter="Role")["PolicyUsers"] == []
    refused(iam.delete_user, "DeleteConflict", 409, UserName="u")
    iam.detach_user_policy(UserName="u", PolicyArn=POLICY_ARN)
    refused(iam.delete_user, "DeleteConflict", 409, UserName="u")
    iam.delete_user_policy(UserName="u", PolicyName="inline")
    refused(iam.get_user_policy, "NoSuchEntity", 404, UserName="u", PolicyName="inline")
    iam.delete_user(UserName="u")


def test_permissions_boundaries(iam: Any) -> None:
    iam.put_role_permissions_boundary(RoleName="r", PermissionsBoundary=POLICY_ARN)
    boundary = iam.get_role(RoleName="r")["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"]
    assert boundary == POLICY_ARN
    assert iam.get_policy(PolicyArn=POLICY_ARN)["Policy"]["PermissionsBoundaryUsageCount"] == 1
    iam.delete_role_permissions_boundary(RoleName="r")
    assert "PermissionsBoundary" not in iam.get_role(RoleName="r")["Role"]
    refused(iam.delete_role_permissions_boundary, "NoSuchEntity", 404, RoleName="r")


def test_lists_by_path(iam: Any) -> None:
    assert [u["UserName"] for u in iam.list_users(PathPrefix="/team/")["Users"]] == ["u"]
    assert iam.list_users(PathPrefix="/other/")["Users"] == []
    assert [p["Path"] for p in iam.list_instance_profiles(PathPrefix="/x/")["InstanceProfiles"]] == ["/x/"]
    iam.attach_role_policy(RoleName="r", PolicyArn=SSM_CORE)
    assert [p["Arn"] for p in iam.list_policies(Scope="Local")["Policies"]] == [POLICY_ARN]
    pages = iam.get_paginator("list_policies").paginate(Scope="AWS")
    own = {p["PolicyName"]: p for page in pages for p in page["Policies"]}
    assert own["AmazonSSMManagedInstanceCore"]["AttachmentCount"] == 1
    assert own["AWSLambdaBasicExecutionRole"]["Path"] == "/service-role/"
    assert "AWSDenyAll" in own
    assert [p["Arn"] for p in iam.list_policies(OnlyAttached=True)["Policies"]] == [SSM_CORE]


def test_changes(iam: Any) -> None:
    assert iam.update_role_description(RoleName="r", Description="new")["Role"]["Description"] == "new"
    everyone = TRUST.replace("ec2.amazonaws.com", "lambda.amazonaws.com")
    iam.update_assume_role_policy(RoleName="r", PolicyDocument=everyone)
    assert iam.get_role(RoleName="r")["Role"]["AssumeRolePolicyDocument"] == json.loads(everyone)
    iam.create_policy_version(PolicyArn=POLICY_ARN, PolicyDocument=POLICY)
    iam.set_default_policy_version(PolicyArn=POLICY_ARN, VersionId="v2")
    assert iam.get_policy(PolicyArn=POLICY_ARN)["Policy"]["DefaultVersionId"] == "v2"
    refused(iam.set_default_policy_version, "NoSuchEntity", 404, PolicyArn=POLICY_ARN, VersionId="v9")
    with pytest.raises(ClientError, match="AccessDenied"):
        iam.create_policy_version(PolicyArn=SSM_CORE, PolicyDocument=POLICY)
