"""Error codes and texts that clients of launch templates, images and security group rules match on.

Sources: what the live service was seen to answer, as recorded in public test suites that run against it.
"""

from __future__ import annotations

from typing import Any

import pytest

from elba.ec2.commands import launch_templates, security_groups
from elba.ec2.queries import images
from elba.ec2.queries import launch_templates as templates
from elba.ec2.queries import security_groups as groups

from .kit import AMI, Account


@pytest.fixture
def account() -> Account:
    return Account()


def refusal(account: Account, function: Any, **request: Any) -> tuple[str, str]:
    error = account.error(function, **request)
    return error.code, error.message


def test_several_unknown_images_are_named_in_one_message(account: Account) -> None:
    unknown = ["ami-abcd1234", "ami-1234abcd"]
    assert refusal(account, images.describe_images, image_ids=unknown) == (
        "InvalidAMIID.NotFound",
        "The image ids '[ami-abcd1234, ami-1234abcd]' do not exist",
    )
    assert refusal(account, images.describe_images, image_ids=[AMI, "ami-abcd1234"]) == (
        "InvalidAMIID.NotFound",
        "The image id '[ami-abcd1234]' does not exist",
    )


def test_launch_template_refusals(account: Account) -> None:
    account.do(
        launch_templates.create_launch_template, launch_template_name="web", launch_template_data={"image_id": AMI}
    )
    assert refusal(account, templates.describe_launch_templates, launch_template_names=["web", "none"]) == (
        "InvalidLaunchTemplateName.NotFoundException",
        "At least one of the launch templates specified in the request does not exist.",
    )
    code, text = refusal(account, templates.describe_launch_template_versions)
    assert code == "MissingParameter" and text.startswith("To describe the launch template data for all")
    code, text = refusal(account, templates.describe_launch_template_versions, versions=["1"])
    assert code == "InvalidParameterValue" and text.startswith("To describe the launch template data for all")
    modify = launch_templates.modify_launch_template
    assert refusal(account, modify, launch_template_id="x", launch_template_name="web") == (
        "InvalidParameterCombination",
        "Either provide launch template ID or launch template name to modify the template.",
    )
    assert refusal(account, modify, launch_template_name="web", default_version="2") == (
        "InvalidLaunchTemplateId.VersionNotFound",
        "The launch template version 2 is not found for the specified launch template.",
    )


@pytest.mark.parametrize(
    ("rule", "code", "text"),
    [
        ({"from_port": 1, "to_port": 2, "cidr_ipv4": "2.3.4.5/32"}, "InvalidParameterValue", "Invalid value 'null'"),
        ({"ip_protocol": "udp", "to_port": 2, "cidr_ipv4": "2.3.4.5/32"}, "InvalidParameterValue", "Invalid value for"),
        ({"ip_protocol": "udp", "from_port": 1, "to_port": 2}, "MissingParameter", "The request must contain exactly"),
        (
            {"ip_protocol": "udp", "from_port": 1, "to_port": 2, "cidr_ipv4": "2.3.4.5/32", "cidr_ipv6": "::/0"},
            "InvalidParameterCombination",
            "Only one of cidrIp",
        ),
    ],
)
def test_a_changed_rule_says_all_that_a_rule_needs(account: Account, rule: Any, code: str, text: str) -> None:
    group = account.do(security_groups.create_security_group, group_name="g", description="g")["group_id"]
    (made,) = account.do(
        security_groups.authorize_security_group_ingress,
        group_id=group,
        ip_permissions=[
            {"ip_protocol": "tcp", "from_port": 80, "to_port": 80, "ip_ranges": [{"cidr_ip": "0.0.0.0/0"}]}
        ],
    )["security_group_rules"]
    change = {"security_group_rule_id": made["security_group_rule_id"], "security_group_rule": rule}
    found = refusal(account, security_groups.modify_security_group_rules, group_id=group, security_group_rules=[change])
    assert found[0] == code
    assert found[1].startswith(text)


def test_a_malformed_group_in_a_filter_of_rules_is_refused_and_an_unknown_one_finds_nothing(account: Account) -> None:
    describe = groups.describe_security_group_rules
    assert refusal(account, describe, filters=[{"name": "group-id", "values": ["foobar"]}]) == (
        "InvalidGroupId.Malformed",
        "The security group ID 'foobar' is malformed",
    )
    answer = account.do(describe, filters=[{"name": "group-id", "values": ["sg-005216b55886f0fdc"]}])
    assert answer["security_group_rules"] == []
