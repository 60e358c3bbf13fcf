"""IAM as boto3 and Terraform use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ..server.world import ServerWorld

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})
SSM_CORE = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"


@pytest.fixture
def iam() -> Iterator[Any]:
    world = ServerWorld()
    yield world.clients.client("iam")
    world.close()


def refused(call: Any, code: str, status: int, text: str = "", **parameters: Any) -> None:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    assert (error["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    assert text in error["Message"]


def test_a_role_through_its_life(iam: Any) -> None:
    made = iam.create_role(
        RoleName="Web", AssumeRolePolicyDocument=TRUST, Path="/app/", Tags=[{"Key": "a", "Value": "b"}]
    )["Role"]
    assert made["Arn"] == "arn:aws:iam::000000000000:role/app/Web"
    assert made["RoleId"].startswith("AROA")
    assert "MaxSessionDuration" not in made
    role = iam.get_role(RoleName="Web")["Role"]
    assert role["MaxSessionDuration"] == 3600
    assert role["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert role["Tags"] == [{"Key": "a", "Value": "b"}]
    refused(iam.create_role, "EntityAlreadyExists", 409, RoleName="wEB", AssumeRolePolicyDocument=TRUST)
    refused(iam.get_role, "NoSuchEntity", 404, "The role with name web cannot be found.", RoleName="web")

    iam.put_role_policy(RoleName="Web", PolicyName="inline", PolicyDocument=POLICY)
    assert iam.list_role_policies(RoleName="Web")["PolicyNames"] == ["inline"]
    assert iam.get_role_policy(RoleName="Web", PolicyName="inline")["PolicyDocument"] == json.loads(POLICY)
    iam.attach_role_policy(RoleName="Web", PolicyArn=SSM_CORE)
    iam.attach_role_policy(RoleName="Web", PolicyArn=SSM_CORE)
    assert iam.list_attached_role_policies(RoleName="Web")["AttachedPolicies"] == [
        {"PolicyName": "AmazonSSMManagedInstanceCore", "PolicyArn": SSM_CORE}
    ]
    refused(iam.delete_role, "DeleteConflict", 409, "must detach all policies first", RoleName="Web")
    iam.detach_role_policy(RoleName="Web", PolicyArn=SSM_CORE)
    refused(iam.detach_role_policy, "NoSuchEntity", 404, RoleName="Web", PolicyArn=SSM_CORE)
    refused(iam.delete_role, "DeleteConflict", 409, "must delete policies first", RoleName="Web")
    iam.delete_role_policy(RoleName="Web", PolicyName="inline")
    iam.update_role(RoleName="Web", MaxSessionDuration=7200, Description="d")
    iam.untag_role(RoleName="Web", TagKeys=["a"])
    role = iam.get_role(RoleName="Web")["Role"]
    assert (role["MaxSessionDuration"], role["Description"]) == (7200, "d")
    assert "Tags" not in role
    iam.delete_role(RoleName="Web")
    refused(iam.delete_role, "NoSuchEntity", 404, RoleName="Web")


def test_an_instance_profile_through_its_life(iam: Any) -> None:
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="p")
    refused(iam.create_instance_profile, "EntityAlreadyExists", 409, InstanceProfileName="P")
    iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")
    refused(iam.add_role_to_instance_profile, "LimitExceeded", 409, InstanceProfileName="p", RoleName="r")
    profile = iam.get_instance_profile(InstanceProfileName="p")["InstanceProfile"]
    assert profile["Arn"] == "arn:aws:iam::000000000000:instance-profile/p"
    assert [role["RoleName"] for role in profile["Roles"]] == ["r"]
    found = iam.list_instance_profiles_for_role(RoleName="r")["InstanceProfiles"]
    assert [each["InstanceProfileName"] for each in found] == ["p"]
    refused(iam.delete_role, "DeleteConflict", 409, "must remove roles from instance profile first", RoleName="r")
    refused(iam.delete_instance_profile, "DeleteConflict", 409, InstanceProfileName="p")
    iam.remove_role_from_instance_profile(InstanceProfileName="p", RoleName="r")
    refused(iam.remove_role_from_instance_profile, "NoSuchEntity", 404, InstanceProfileName="p", RoleName="r")
    iam.delete_instance_profile(InstanceProfileName="p")
    refused(
        iam.get_instance_profile, "NoSuchEntity", 404, "Instance Profile p cannot be found.", InstanceProfileName="p"
    )
    # boto3's own waiter ends at once when the profile is there.
    iam.create_instance_profile(InstanceProfileName="p")
    iam.get_waiter("instance_profile_exists").wait(InstanceProfileName="p")


def test_a_policy_and_its_versions(iam: Any) -> None:
    arn = iam.create_policy(PolicyName="p", PolicyDocument=POLICY)["Policy"]["Arn"]
    assert arn == "arn:aws:iam::000000000000:policy/p"
    refused(iam.create_policy, "EntityAlreadyExists", 409, PolicyName="p", PolicyDocument=POLICY)
    for number in range(2, 6):
        version = iam.create_policy_version(PolicyArn=arn, PolicyDocument=POLICY, SetAsDefault=number == 3)
        assert version["PolicyVersion"]["VersionId"] == f"v{number}"
    refused(iam.create_policy_version, "LimitExceeded", 409, PolicyArn=arn, PolicyDocument=POLICY)
    assert [v["VersionId"] for v in iam.list_policy_versions(PolicyArn=arn)["Versions"]] == [
        "v5",
        "v4",
        "v3",
        "v2",
        "v1",
    ]
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v3"
    version = iam.get_policy_version(PolicyArn=arn, VersionId="v3")["PolicyVersion"]
    assert version["IsDefaultVersion"] is True
    assert version["Document"] == json.loads(POLICY)
    refused(iam.delete_policy_version, "DeleteConflict", 409, PolicyArn=arn, VersionId="v3")
    refused(iam.delete_policy, "DeleteConflict", 409, "more than one version", PolicyArn=arn)
    for version_id in ("v1", "v2", "v4", "v5"):
        iam.delete_policy_version(PolicyArn=arn, VersionId=version_id)
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    iam.attach_role_policy(RoleName="r", PolicyArn=arn)
    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 1
    assert [r["RoleName"] for r in iam.list_entities_for_policy(PolicyArn=arn)["PolicyRoles"]] == ["r"]
    refused(iam.delete_policy, "DeleteConflict", 409, "attached to entities", PolicyArn=arn)
    iam.detach_role_policy(RoleName="r", PolicyArn=arn)
    iam.delete_policy(PolicyArn=arn)
    refused(iam.get_policy, "NoSuchEntity", 404, PolicyArn=arn)
    refused(iam.attach_role_policy, "NoSuchEntity", 404, RoleName="r", PolicyArn=arn)


def test_aws_managed_policies_resolve(iam: Any) -> None:
    policy = iam.get_policy(PolicyArn="arn:aws:iam::aws:policy/service-role/AmazonEC2RoleforSSM")["Policy"]
    assert (policy["PolicyName"], policy["Path"]) == ("AmazonEC2RoleforSSM", "/service-role/")
    document = iam.get_policy_version(PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess", VersionId="v1")
    assert document["PolicyVersion"]["Document"]["Statement"][0]["Action"] == "*"


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        "{}",
        '{"Statement": [{"Effect": "Maybe", "Action": "x", "Principal": "*"}]}',
        '{"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole"}}',
        POLICY,
    ],
)
def test_malformed_trust_policies(iam: Any, document: str) -> None:
    refused(iam.create_role, "MalformedPolicyDocument", 400, RoleName="r", AssumeRolePolicyDocument=document)
    assert iam.list_roles()["Roles"] == []


def test_pages(iam: Any) -> None:
    for number in range(7):
        iam.create_role(RoleName=f"r{number}", AssumeRolePolicyDocument=TRUST)
    first = iam.list_roles(MaxItems=3)
    assert first["IsTruncated"] is True
    names = [
        r["RoleName"]
        for p in iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 3})
        for r in p["Roles"]
    ]
    assert names == [f"r{number}" for number in range(7)]
    refused(iam.list_roles, "ValidationError", 400, Marker="?")


def test_service_linked_roles(iam: Any) -> None:
    role = iam.create_service_linked_role(AWSServiceName="autoscaling.amazonaws.com")["Role"]
    assert role["Arn"].endswith(":role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling")
    refused(
        iam.create_service_linked_role,
        "InvalidInput",
        400,
        "has been taken in this account",
        AWSServiceName="autoscaling.amazonaws.com",
    )
    refused(iam.delete_role, "UnmodifiableEntity", 400, RoleName=role["RoleName"])
    task = iam.delete_service_linked_role(RoleName=role["RoleName"])["DeletionTaskId"]
    assert iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"


def test_users_and_their_keys(iam: Any) -> None:
    iam.create_user(UserName="ann")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    assert len(key["SecretAccessKey"]) == 40
    iam.create_access_key(UserName="ann")
    refused(iam.create_access_key, "LimitExceeded", 409, UserName="ann")
    listed = iam.list_access_keys(UserName="ann")["AccessKeyMetadata"]
    assert len(listed) == 2 and "SecretAccessKey" not in listed[0]
    refused(iam.delete_user, "DeleteConflict", 409, "must delete access keys first", UserName="ann")
    iam.update_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    for each in listed:
        iam.delete_access_key(UserName="ann", AccessKeyId=each["AccessKeyId"])
    refused(iam.delete_access_key, "NoSuchEntity", 404, UserName="ann", AccessKeyId=key["AccessKeyId"])
    assert iam.get_user()["User"]["Arn"] == "arn:aws:iam::000000000000:root"
    iam.delete_user(UserName="ann")
    refused(iam.get_user, "NoSuchEntity", 404, UserName="ann")


def test_accounts_do_not_see_each_other() -> None:
    world = ServerWorld()
    try:
        world.clients.client("iam", access_key="111111111111").create_user(UserName="ann")
        assert world.clients.client("iam", access_key="222222222222").list_users()["Users"] == []
        eu = world.clients.client("iam", access_key="111111111111", region="eu-west-1")
        assert [u["UserName"] for u in eu.list_users()["Users"]] == ["ann"]
    finally:
        world.close()
