"""Error codes and texts that clients of launch templates, images and security group rules match on.

Sources: what the live service was seen to answer, as recorded in public test suites that run against it.
"""

from __future__ import annotations

from typing import Any

import pytest

from elba.ec2.commands import key_pairs, launch_templates, placement_groups, routes, security_groups
from elba.ec2.queries import images
from elba.ec2.queries import launch_templates as templates
from elba.ec2.queries import security_groups as groups
from elba.ec2.resources import RouteTable

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


TCP = {"ip_protocol": "tcp", "cidr_ip": "10.0.0.0/8"}
ICMP = {**TCP, "ip_protocol": "icmp"}


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({**TCP, "from_port": 65536, "to_port": 65536}, "TCP/UDP (from) port (65536) out of range"),
        ({**TCP, "from_port": -1, "to_port": 80}, "TCP/UDP (from) port (-1) out of range"),
        ({**TCP, "from_port": 65535, "to_port": 65534}, "Invalid TCP/UDP port range(65535:65534)"),
        ({**ICMP, "from_port": 256, "to_port": 0}, "ICMP type (256) out of range"),
        ({**ICMP, "from_port": 0, "to_port": -2}, "ICMP code (-2) out of range"),
        ({**TCP, "from_port": 80, "to_port": 80, "cidr_ip": "10.0.0.0/33"}, "CIDR block 10.0.0.0/33 is malformed"),
    ],
)
def test_rules_out_of_range(account: Account, rule: dict[str, Any], text: str) -> None:
    group = account.do(security_groups.create_security_group, group_name="g", description="g")["group_id"]
    authorize = security_groups.authorize_security_group_ingress
    assert refusal(account, authorize, group_id=group, **rule) == ("InvalidParameterValue", text)


@pytest.mark.parametrize(
    ("command", "request_", "code", "text"),
    [
        (
            security_groups.create_security_group,
            {"group_name": "sg-bad", "description": "g"},
            "InvalidParameterValue",
            "Value (sg-bad) for parameter GroupName is invalid. Group names may not be in the format sg-*.",
        ),
        (
            launch_templates.create_launch_template,
            {"launch_template_name": "é", "launch_template_data": {"image_id": AMI}},
            "InvalidLaunchTemplateName.MalformedException",
            "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and the "
            "following characters: - ( ) . / _.",
        ),
        (
            launch_templates.create_launch_template,
            {
                "launch_template_name": "web",
                "launch_template_data": {"instance_type": "t3.micro", "instance_requirements": {"v_cpu_count": {}}},
            },
            "InvalidParameterCombination",
            "Either the instance type or the instance requirements can be specified in the request, but not both.",
        ),
        (
            placement_groups.create_placement_group,
            {"group_name": "p", "strategy": "cluster", "partition_count": 3},
            "InvalidParameterCombination",
            "partition-count is only available with the 'partition' strategy.",
        ),
        (
            placement_groups.create_placement_group,
            {"group_name": "p", "strategy": "cluster", "spread_level": "host"},
            "InvalidParameterCombination",
            "spread-level is only available with the 'spread' or 'partition' strategy.",
        ),
        (
            key_pairs.create_key_pair,
            {"key_name": " k ", "material": None},
            "InvalidParameterValue",
            "Invalid value ' k ' for keyName. It should be trimmed",
        ),
    ],
)
def test_what_else_is_refused(account: Account, command: Any, request_: dict[str, Any], code: str, text: str) -> None:
    assert refusal(account, command, **request_) == (code, text)


def test_a_route_has_one_target(account: Account) -> None:
    table = next(t.id for t in account.tx.all(RouteTable))
    both = {"gateway_id": "igw-0123456789abcdef0", "nat_gateway_id": "nat-0123456789abcdef0"}
    for given, code in (({}, "MissingParameter"), (both, "InvalidParameterCombination")):
        request = {"route_table_id": table, "destination_cidr_block": "10.9.0.0/16", **given}
        assert refusal(account, routes.create_route, **request) == (code, routes.ONE_TARGET)
