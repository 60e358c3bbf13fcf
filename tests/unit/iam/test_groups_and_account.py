"""IAM groups, renaming of users, and what an account has once."""

from __future__ import annotations

from typing import Any

from .test_iam_operations import POLICY, SSM_CORE, iam, refused

__all__ = ["iam"]


def names(groups: list[dict[str, Any]]) -> list[str]:
    return [group["GroupName"] for group in groups]


def test_a_group_through_its_life(iam: Any) -> None:
    made = iam.create_group(GroupName="Web", Path="/app/")["Group"]
    assert made["Arn"] == "arn:aws:iam::000000000000:group/app/Web"
    assert made["GroupId"].startswith("AGPA")
    refused(iam.create_group, "EntityAlreadyExists", 409, "Group with name wEB already exists.", GroupName="wEB")
    refused(iam.get_group, "NoSuchEntity", 404, "The group with name web cannot be found.", GroupName="web")
    for user in ("bob", "ann"):
        iam.create_user(UserName=user)
        iam.add_user_to_group(GroupName="Web", UserName=user)
        iam.add_user_to_group(GroupName="Web", UserName=user)
    assert [user["UserName"] for user in iam.get_group(GroupName="Web")["Users"]] == ["ann", "bob"]
    assert names(iam.list_groups_for_user(UserName="ann")["Groups"]) == ["Web"]
    iam.remove_user_from_group(GroupName="Web", UserName="bob")
    iam.remove_user_from_group(GroupName="Web", UserName="bob")
    refused(iam.add_user_to_group, "NoSuchEntity", 404, GroupName="Web", UserName="eve")
    refused(iam.delete_user, "DeleteConflict", 409, "remove users from group", UserName="ann")
    refused(iam.delete_group, "DeleteConflict", 409, "remove users from group", GroupName="Web")
    iam.update_group(GroupName="Web", NewGroupName="Site", NewPath="/")
    assert iam.get_group(GroupName="Site")["Group"]["Arn"] == "arn:aws:iam::000000000000:group/Site"
    assert names(iam.list_groups()["Groups"]) == ["Site"]
    assert names(iam.list_groups(PathPrefix="/app/")["Groups"]) == []
    iam.remove_user_from_group(GroupName="Site", UserName="ann")
    iam.delete_user(UserName="ann")
    iam.delete_group(GroupName="Site")
    refused(iam.delete_group, "NoSuchEntity", 404, GroupName="Site")


def test_policies_of_a_group(iam: Any) -> None:
    iam.create_group(GroupName="g")
    iam.put_group_policy(GroupName="g", PolicyName="p", PolicyDocument=POLICY)
    assert iam.list_group_policies(GroupName="g")["PolicyNames"] == ["p"]
    shown = iam.get_group_policy(GroupName="g", PolicyName="p")
    assert (shown["GroupName"], shown["PolicyDocument"]["Version"]) == ("g", "2012-10-17")
    refused(iam.get_group_policy, "NoSuchEntity", 404, GroupName="g", PolicyName="q")
    refused(iam.delete_group, "DeleteConflict", 409, "must delete policies first", GroupName="g")
    iam.delete_group_policy(GroupName="g", PolicyName="p")
    iam.attach_group_policy(GroupName="g", PolicyArn=SSM_CORE)
    assert [each["PolicyArn"] for each in iam.list_attached_group_policies(GroupName="g")["AttachedPolicies"]] == [
        SSM_CORE
    ]
    assert names(iam.list_entities_for_policy(PolicyArn=SSM_CORE)["PolicyGroups"]) == ["g"]
    assert iam.get_policy(PolicyArn=SSM_CORE)["Policy"]["AttachmentCount"] == 1
    refused(iam.delete_group, "DeleteConflict", 409, "must detach all policies first", GroupName="g")
    iam.detach_group_policy(GroupName="g", PolicyArn=SSM_CORE)
    iam.delete_group(GroupName="g")


def test_a_renamed_user_keeps_keys_and_groups(iam: Any) -> None:
    iam.create_user(UserName="old", PermissionsBoundary=SSM_CORE)
    iam.create_user(UserName="other")
    iam.create_group(GroupName="g")
    iam.add_user_to_group(GroupName="g", UserName="old")
    key = iam.create_access_key(UserName="old")["AccessKey"]["AccessKeyId"]
    refused(iam.update_user, "EntityAlreadyExists", 409, UserName="old", NewUserName="Other")
    iam.update_user(UserName="old", NewUserName="new", NewPath="/x/")
    refused(iam.get_user, "NoSuchEntity", 404, UserName="old")
    user = iam.get_user(UserName="new")["User"]
    assert user["Arn"] == "arn:aws:iam::000000000000:user/x/new"
    assert user["PermissionsBoundary"]["PermissionsBoundaryArn"] == SSM_CORE
    assert [each["AccessKeyId"] for each in iam.list_access_keys(UserName="new")["AccessKeyMetadata"]] == [key]
    assert names(iam.list_groups_for_user(UserName="new")["Groups"]) == ["g"]
    iam.delete_user_permissions_boundary(UserName="new")
    assert "PermissionsBoundary" not in iam.get_user(UserName="new")["User"]
    iam.put_user_permissions_boundary(UserName="new", PermissionsBoundary=SSM_CORE)
    assert iam.get_policy(PolicyArn=SSM_CORE)["Policy"]["PermissionsBoundaryUsageCount"] == 1


def test_alias_password_policy_and_summary_of_an_account(iam: Any) -> None:
    assert iam.list_account_aliases()["AccountAliases"] == []
    iam.create_account_alias(AccountAlias="mine")
    assert iam.list_account_aliases()["AccountAliases"] == ["mine"]
    refused(iam.delete_account_alias, "NoSuchEntity", 404, AccountAlias="other")
    iam.delete_account_alias(AccountAlias="mine")
    assert iam.list_account_aliases()["AccountAliases"] == []
    refused(iam.get_account_password_policy, "NoSuchEntity", 404, "domain name 000000000000")
    refused(iam.delete_account_password_policy, "NoSuchEntity", 404)
    iam.update_account_password_policy(MaxPasswordAge=90, RequireSymbols=True)
    policy = iam.get_account_password_policy()["PasswordPolicy"]
    assert (policy["MinimumPasswordLength"], policy["RequireSymbols"], policy["ExpirePasswords"]) == (6, True, True)
    iam.update_account_password_policy(MinimumPasswordLength=12)
    policy = iam.get_account_password_policy()["PasswordPolicy"]
    assert (policy["MinimumPasswordLength"], policy["RequireSymbols"], policy["ExpirePasswords"]) == (12, False, False)
    iam.delete_account_password_policy()
    iam.create_user(UserName="ann")
    summary = iam.get_account_summary()["SummaryMap"]
    assert (summary["Users"], summary["Groups"], summary["UsersQuota"]) == (1, 0, 5000)
