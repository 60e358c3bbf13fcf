"""Security groups and their rules."""

from __future__ import annotations

from typing import Any

import pytest

from elba.ec2.addresses import allocate_interface
from elba.ec2.commands import security_groups, tags
from elba.ec2.commands.security_groups import (
    authorize_security_group_egress,
    authorize_security_group_ingress,
    revoke_security_group_egress,
    revoke_security_group_ingress,
)
from elba.ec2.queries import security_groups as show
from elba.ec2.resources import SecurityGroup, Subnet

from .kit import Account

EVERYWHERE = [{"cidr_ip": "0.0.0.0/0"}]
HTTP: dict[str, Any] = {"ip_protocol": "tcp", "from_port": 80, "to_port": 80, "ip_ranges": EVERYWHERE}


def of_group(group: str) -> dict[str, Any]:
    return {**HTTP, "ip_ranges": [], "user_id_group_pairs": [{"group_id": group}]}


@pytest.fixture
def account() -> Account:
    return Account()


def a_group(account: Account, name: str = "web") -> str:
    answer = account.do(security_groups.create_security_group, group_name=name, description="d")
    id_: str = answer["group_id"]
    return id_


def shown(account: Account, id_: str) -> Any:
    (found,) = account.do(show.describe_security_groups, group_ids=[id_])["security_groups"]
    return found


def test_a_new_group_lets_everything_out_and_nothing_in(account: Account) -> None:
    group = shown(account, a_group(account))
    assert group["ip_permissions"] == []
    (egress,) = group["ip_permissions_egress"]
    assert egress["ip_protocol"] == "-1" and egress["from_port"] is None
    assert egress["ip_ranges"] == [{"cidr_ip": "0.0.0.0/0", "description": None}]


def test_a_permission_with_many_sources_is_many_rules_shown_as_one_permission(account: Account) -> None:
    group, other = a_group(account), a_group(account, "other")
    permission = {
        **HTTP,
        "ip_ranges": [{"cidr_ip": "0.0.0.0/0", "description": "all"}, {"cidr_ip": "10.0.0.1/8"}],
        "ipv6_ranges": [{"cidr_ipv6": "::/0"}],
        "user_id_group_pairs": [{"group_id": other}],
    }
    answer = account.do(
        authorize_security_group_ingress,
        group_id=group,
        ip_permissions=[permission],
        tag_specifications=[{"resource_type": "security-group-rule", "tags": [{"key": "a", "value": "b"}]}],
    )
    rules = answer["security_group_rules"]
    assert [r["cidr_ipv4"] or r["cidr_ipv6"] or r["referenced_group_info"]["group_id"] for r in rules] == [
        "0.0.0.0/0",
        "10.0.0.0/8",
        "::/0",
        other,
    ]
    assert all(r["tags"] == [{"key": "a", "value": "b"}] for r in rules)
    (one,) = shown(account, group)["ip_permissions"]
    assert [r["cidr_ip"] for r in one["ip_ranges"]] == ["0.0.0.0/0", "10.0.0.0/8"]
    assert one["user_id_group_pairs"][0]["group_id"] == other
    by_filter = account.do(
        show.describe_security_groups, filters=[{"name": "ip-permission.group-id", "values": [other]}]
    )
    assert [g["group_id"] for g in by_filter["security_groups"]] == [group]


def test_the_older_form_of_a_permission(account: Account) -> None:
    group = a_group(account)
    account.do(
        authorize_security_group_ingress,
        group_id=group, ip_protocol="tcp", from_port=22, to_port=22, cidr_ip="10.0.0.0/8",
    )  # fmt: skip
    assert shown(account, group)["ip_permissions"][0]["from_port"] == 22


def test_the_same_rule_twice_is_refused(account: Account) -> None:
    group = a_group(account)
    account.do(authorize_security_group_ingress, group_id=group, ip_permissions=[HTTP])
    error = account.error(authorize_security_group_ingress, group_id=group, ip_permissions=[HTTP])
    assert error.code == "InvalidPermission.Duplicate"
    assert error.message == (
        'the specified rule "peer: 0.0.0.0/0, TCP, from port: 80, to port: 80, ALLOW" already exists'
    )
    account.do(authorize_security_group_egress, group_id=group, ip_permissions=[HTTP])


def test_revoking_what_is_absent_is_refused_with_the_words_terraform_knows(account: Account) -> None:
    group = a_group(account)
    permission = {"ip_protocol": "-1", "ipv6_ranges": [{"cidr_ipv6": "::/0"}]}
    error = account.error(revoke_security_group_egress, group_id=group, ip_permissions=[permission])
    assert (error.code, error.message) == (
        "InvalidPermission.NotFound",
        "The specified rule does not exist in this security group.",
    )


def test_rules_are_revoked_by_what_they_say_and_by_id(account: Account) -> None:
    group = a_group(account)
    account.do(authorize_security_group_ingress, group_id=group, ip_permissions=[HTTP])
    revoked = account.do(revoke_security_group_ingress, group_id=group, ip_permissions=[HTTP])
    assert revoked["revoked_security_group_rules"][0]["cidr_ipv4"] == "0.0.0.0/0"
    egress = account.do(show.describe_security_group_rules, filters=[{"name": "group-id", "values": [group]}])[
        "security_group_rules"
    ]
    ids = [r["security_group_rule_id"] for r in egress]
    assert account.error(revoke_security_group_ingress, group_id=group, security_group_rule_ids=ids).code == (
        "InvalidSecurityGroupRuleId.NotFound"
    )
    account.do(revoke_security_group_egress, group_id=group, security_group_rule_ids=ids)
    assert shown(account, group)["ip_permissions_egress"] == []


def test_rules_are_changed_in_place(account: Account) -> None:
    group = a_group(account)
    (rule,) = account.do(authorize_security_group_ingress, group_id=group, ip_permissions=[HTTP])[
        "security_group_rules"
    ]
    id_ = rule["security_group_rule_id"]
    account.do(tags.create_tags, resources=[id_], tags=[{"key": "a", "value": "b"}])
    new = {"ip_protocol": "tcp", "from_port": 81, "to_port": 82, "cidr_ipv4": "10.0.0.0/8", "description": "x"}
    account.do(
        security_groups.modify_security_group_rules,
        group_id=group,
        security_group_rules=[{"security_group_rule_id": id_, "security_group_rule": new}],
    )
    (changed,) = account.do(show.describe_security_group_rules, security_group_rule_ids=[id_])["security_group_rules"]
    assert {k: changed[k] for k in new} == new
    assert changed["tags"] == [{"key": "a", "value": "b"}]
    account.do(
        security_groups.update_security_group_rule_descriptions_ingress,
        group_id=group,
        security_group_rule_descriptions=[{"security_group_rule_id": id_, "description": "y"}],
    )
    (changed,) = account.do(show.describe_security_group_rules, security_group_rule_ids=[id_])["security_group_rules"]
    assert changed["description"] == "y"


@pytest.mark.parametrize(
    ("permission", "code"),
    [
        ({**HTTP, "ip_protocol": "x"}, "InvalidPermission.Malformed"),
        ({**HTTP, "ip_protocol": "999"}, "InvalidPermission.Malformed"),
        ({**HTTP, "ip_protocol": None}, "MissingParameter"),
        ({**HTTP, "from_port": None}, "InvalidParameterValue"),
        ({**HTTP, "to_port": 70000}, "InvalidParameterValue"),
        ({**HTTP, "from_port": 90}, "InvalidParameterValue"),
        ({**HTTP, "ip_ranges": [{"cidr_ip": "x"}]}, "InvalidParameterValue"),
        ({**HTTP, "ip_ranges": []}, "InvalidParameterValue"),
        ({**HTTP, "ip_ranges": [{"cidr_ip": "10.0.0.0/8", "description": "ü"}]}, "InvalidParameterValue"),
        (of_group("sg-0123456789abcdef0"), "InvalidGroup.NotFound"),
        (of_group("sg-x"), "InvalidGroupId.Malformed"),
        (
            {**HTTP, "ip_ranges": [{"cidr_ip": f"10.0.0.{n}/32"} for n in range(61)]},
            "RulesPerSecurityGroupLimitExceeded",
        ),
    ],
)
def test_bad_permissions(account: Account, permission: dict[str, Any], code: str) -> None:
    group = a_group(account)
    assert account.error(authorize_security_group_ingress, group_id=group, ip_permissions=[permission]).code == code


@pytest.mark.parametrize(
    ("protocol", "ports", "as_shown"),
    [
        ("6", (80, 80), ("tcp", 80, 80)),
        ("tcp", (-1, -1), ("tcp", 0, 65535)),
        ("-1", (80, 80), ("-1", None, None)),
        ("icmp", (None, None), ("icmp", -1, -1)),
        ("icmp", (8, -1), ("icmp", 8, -1)),
        ("50", (None, None), ("50", None, None)),
    ],
)
def test_protocols_and_ports(account: Account, protocol: str, ports: Any, as_shown: Any) -> None:
    group = a_group(account)
    permission = {"ip_protocol": protocol, "from_port": ports[0], "to_port": ports[1], "ip_ranges": EVERYWHERE}
    account.do(authorize_security_group_ingress, group_id=group, ip_permissions=[permission])
    (one,) = shown(account, group)["ip_permissions"]
    assert (one["ip_protocol"], one["from_port"], one["to_port"]) == as_shown


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"group_name": "web"}, "InvalidGroup.Duplicate"),
        ({"group_name": "default"}, "InvalidParameterValue"),
        ({"group_name": "sg-web"}, "InvalidParameterValue"),
        ({"group_name": "ü"}, "InvalidParameterValue"),
        ({"group_name": ""}, "MissingParameter"),
        ({"group_name": "a", "description": ""}, "MissingParameter"),
        ({"group_name": "a", "vpc_id": "vpc-1"}, "InvalidVpcID.NotFound"),
    ],
)
def test_bad_groups(account: Account, request_: dict[str, str], code: str) -> None:
    a_group(account)
    error = account.error(security_groups.create_security_group, **{"description": "d", **request_})
    assert error.code == code
    if code == "InvalidGroup.Duplicate":
        vpc = account.tx.all(SecurityGroup)[0].vpc_id
        assert error.message == f"The security group 'web' already exists for VPC '{vpc}'"


def test_a_group_goes_only_when_nothing_needs_it(account: Account) -> None:
    group, other = a_group(account), a_group(account, "other")
    pair = {"ip_protocol": "-1", "user_id_group_pairs": [{"group_id": group}]}
    account.do(authorize_security_group_ingress, group_id=other, ip_permissions=[pair])
    error = account.error(security_groups.delete_security_group, group_id=group)
    assert (error.code, error.message) == ("DependencyViolation", f"resource {group} has a dependent object")
    account.do(revoke_security_group_ingress, group_id=other, ip_permissions=[pair])
    subnet = account.tx.all(Subnet)[0].id
    allocate_interface(account.tx, account.call, subnet, owner="x", description="", group_ids=[group])
    assert account.error(security_groups.delete_security_group, group_id=group).code == "DependencyViolation"
    account.do(security_groups.delete_security_group, group_name="other")
    default = next(g for g in account.tx.all(SecurityGroup) if g.group_name == "default")
    assert account.error(security_groups.delete_security_group, group_id=default.id).code == "CannotDelete"


def test_a_group_may_name_itself_and_go(account: Account) -> None:
    group = a_group(account)
    pair = {"ip_protocol": "-1", "user_id_group_pairs": [{"group_id": group}]}
    account.do(authorize_security_group_ingress, group_id=group, ip_permissions=[pair])
    account.do(security_groups.delete_security_group, group_id=group)
    assert account.error(show.describe_security_groups, group_ids=[group]).code == "InvalidGroup.NotFound"
