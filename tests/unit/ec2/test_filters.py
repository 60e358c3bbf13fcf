"""EC2's filters and paging."""

from __future__ import annotations

from typing import Any

import pytest

from elba.ec2.filters import page, pattern, select
from elba.ec2.queries import (
    describe_instances,
    dhcp_options,
    elastic_ips,
    images,
    interfaces,
    key_pairs,
    launch_templates,
    nat_gateways,
    network,
    placement_groups,
    places,
    routes,
    security_groups,
    spot,
    storage,
    tags,
    types,
)
from elba.errors import ApiError

from .kit import Account, launch


@pytest.mark.parametrize(
    ("text", "value", "matches"),
    [
        ("web", "web", True),
        ("web", "webs", False),
        ("web", "Web", False),
        ("w*", "web", True),
        ("*b", "web", True),
        ("w?b", "web", True),
        ("w?b", "weeb", False),
        ("*", "", True),
        ("a.c", "abc", False),
        (r"\*", "*", True),
        (r"\*", "x", False),
        (r"a\?b", "a?b", True),
        (r"\\", "\\", True),
        ("a*", "a\nb", True),
    ],
)
def test_wildcards(text: str, value: str, matches: bool) -> None:
    assert bool(pattern(text).fullmatch(value)) is matches
    found = select([value], [{"name": "f", "values": [text]}], {"f": lambda v: v})
    assert bool(found) is matches


def test_values_are_alternatives_and_names_add_up() -> None:
    items = [{"a": 1, "b": True}, {"a": 2, "b": True}, {"a": 3, "b": False}]
    fields = {"a": lambda i: i["a"], "b": lambda i: i["b"]}
    filters = [{"name": "a", "values": ["1", "3"]}, {"name": "b", "values": ["true"]}]
    assert select(items, filters, fields) == [items[0]]


def test_tags_are_matched_by_key_by_value_and_together() -> None:
    items = [{"Name": "web"}, {"Name": "db"}, {}]

    def found(name: str, *values: str) -> list[dict[str, str]]:
        return select(items, [{"name": name, "values": list(values)}], {}, lambda i: i)

    assert found("tag:Name", "web") == [items[0]]
    assert found("tag-key", "Name") == items[:2]
    assert found("tag-value", "d*") == [items[1]]
    assert found("tag:name", "web") == []


def test_an_unknown_filter_is_refused() -> None:
    with pytest.raises(ApiError) as caught:
        select([1], [{"name": "x", "values": ["y"]}], {})
    assert (caught.value.code, caught.value.message) == ("InvalidParameterValue", "The filter 'x' is invalid")


def test_pages_cover_everything_once_and_end_without_a_token() -> None:
    items = list(range(23))
    seen: list[int] = []
    token: str | None = None
    while True:
        part, token = page(items, {"max_results": 5, "next_token": token})
        seen += part
        if token is None:
            break
        assert token
    assert seen == items
    assert page(items, {}) == (items, None)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"max_results": 4}, "InvalidParameterValue"),
        ({"next_token": "nonsense"}, "InvalidParameterValue"),
        ({"max_results": 5, "instance_ids": ["i-1"]}, "InvalidParameterCombination"),
    ],
)
def test_bad_paging_is_refused(request_: dict[str, Any], code: str) -> None:
    with pytest.raises(ApiError) as caught:
        page([1], request_, ids="instance_ids")
    assert caught.value.code == code


DESCRIBES: list[tuple[Any, list[str]]] = [
    (network.describe_vpcs, ["vpc-id", "cidr", "isDefault", "is-default", "state", "owner-id", "tag:a"]),
    (network.describe_subnets, ["vpc-id", "availability-zone", "default-for-az", "state", "cidr-block"]),
    (network.describe_internet_gateways, ["attachment.vpc-id", "attachment.state"]),
    (network.describe_network_acls, ["default", "vpc-id", "association.subnet-id"]),
    (dhcp_options.describe_dhcp_options, ["dhcp-options-id", "key"]),
    (routes.describe_route_tables, ["association.main", "vpc-id", "association.subnet-id", "route.gateway-id"]),
    (security_groups.describe_security_groups, ["group-name", "vpc-id", "ip-permission.cidr", "group-id"]),
    (security_groups.describe_security_group_rules, ["group-id"]),
    (interfaces.describe_network_interfaces, ["subnet-id", "group-id", "status", "attachment.instance-id"]),
    (elastic_ips.describe_addresses, ["allocation-id", "association-id", "public-ip", "domain"]),
    (key_pairs.describe_key_pairs, ["key-name", "key-pair-id"]),
    (storage.describe_volumes, ["attachment.instance-id", "status", "size"]),
    (storage.describe_snapshots, ["volume-id", "status"]),
    (images.describe_images, ["name", "state", "architecture", "root-device-type", "virtualization-type", "is-public"]),
    (launch_templates.describe_launch_templates, ["launch-template-name", "tag:a"]),
    (placement_groups.describe_placement_groups, ["group-name", "strategy"]),
    (places.describe_availability_zones, ["state", "zone-name", "opt-in-status", "region-name", "zone-type"]),
    (places.describe_regions, ["region-name", "opt-in-status"]),
    (types.describe_instance_types, ["instance-type", "vcpu-info.default-vcpus", "current-generation"]),
    (types.describe_instance_type_offerings, ["instance-type", "location"]),
    (tags.describe_tags, ["resource-id", "resource-type", "key", "value"]),
    (spot.describe_spot_instance_requests, ["instance-id", "state"]),
    (
        describe_instances.describe_instances,
        ["instance-id", "instance-state-name", "instance-state-code", "tag:a", "tag-key", "vpc-id", "subnet-id",
         "image-id", "instance-type", "private-ip-address", "ip-address", "availability-zone", "instance.group-id",
         "network-interface.subnet-id", "iam-instance-profile.arn", "key-name", "reservation-id", "launch-time",
         "owner-id", "instance-lifecycle"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("query", "names"), DESCRIBES, ids=[q.__name__ for q, _ in DESCRIBES])
def test_describes_take_their_filters_and_refuse_others(query: Any, names: list[str]) -> None:
    account = Account()
    launch(account, tag_specifications=[{"resource_type": "instance", "tags": [{"key": "a", "value": "b"}]}])
    everything = account.do(query)
    for name in names:
        absent = "sg-00000000" if name == "group-id" else "no-such-value"
        answer = account.do(query, filters=[{"name": name, "values": [absent]}])
        lists = [v for v in answer.values() if isinstance(v, list)]
        assert lists == [[]], name
    assert everything == account.do(query, filters=[])
    error = account.error(query, filters=[{"name": "nonsense", "values": ["x"]}])
    assert error.code == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("instance-state-name", "pending"),
        ("instance-state-code", "0"),
        ("tag:Name", "w*"),
        ("tag-key", "Name"),
        ("private-ip-address", "172.31.0.4"),
        ("ip-address", "127.16.0.4"),
        ("availability-zone", "us-east-1a"),
        ("instance.group-name", "default"),
        ("network-interface.private-ip-address", "172.31.0.4"),
        ("network-interface.addresses.private-ip-address", "172.31.0.4"),
        ("network-interface.attachment.device-index", "0"),
        ("block-device-mapping.device-name", "/dev/xvda"),
        ("launch-time", "2026-01-01T*"),
        ("dns-name", "ec2-127-16-0-4.compute-1.amazonaws.com"),
        ("architecture", "x86_64"),
        ("tenancy", "default"),
    ],
)
def test_an_instance_is_found_by(name: str, value: str) -> None:
    account = Account()
    instance = launch(
        account,
        tag_specifications=[{"resource_type": "instance", "tags": [{"key": "Name", "value": "web"}]}],
        placement={"availability_zone": "us-east-1a"},
    )
    launch(account, placement={"availability_zone": "us-east-1b"}, instance_type="t3.micro")
    answer = account.do(describe_instances.describe_instances, filters=[{"name": name, "values": [value]}])
    ids = [i["instance_id"] for r in answer["reservations"] for i in r["instances"]]
    assert instance["instance_id"] in ids


def test_nat_gateways_call_their_filters_filter() -> None:
    account = Account()
    assert account.do(nat_gateways.describe_nat_gateways, filter=[{"name": "vpc-id", "values": ["x"]}]) == {
        "nat_gateways": [],
        "next_token": None,
    }
