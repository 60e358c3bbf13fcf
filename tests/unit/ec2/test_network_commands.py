"""VPCs and what hangs on them: what is made, what conflicts, and in which order things can go."""

from __future__ import annotations

from typing import Any

import pytest

from elba.ec2 import commands
from elba.ec2.addresses import allocate_interface, allocate_slice, associate_address, release_interface
from elba.ec2.commands import (
    elastic_ips,
    gateways,
    interfaces,
    nat_gateways,
    network_acls,
    routes,
    security_groups,
    vpcs,
)
from elba.ec2.queries import describe_instances as describe
from elba.ec2.queries import elastic_ips as show_elastic_ips
from elba.ec2.queries import interfaces as show_interfaces
from elba.ec2.queries import nat_gateways as show_nat_gateways
from elba.ec2.queries import network, places
from elba.ec2.queries import routes as show_routes
from elba.ec2.resources import (
    AddressPool,
    Instance,
    InternetGateway,
    NetworkAcl,
    PrivateAddress,
    RouteTable,
    SecurityGroup,
    Subnet,
    SubnetAddresses,
    Vpc,
)
from elba.errors import ApiError

from .kit import ACCOUNT, REGION, Account, launch


@pytest.fixture
def account() -> Account:
    return Account()


def a_vpc(account: Account, cidr: str = "10.0.0.0/16") -> str:
    id_: str = account.do(vpcs.create_vpc, cidr_block=cidr)["vpc"]["vpc_id"]
    return id_


def a_subnet(account: Account, vpc: str, cidr: str = "10.0.0.0/24", **request: Any) -> str:
    answer = account.do(vpcs.create_subnet, vpc_id=vpc, cidr_block=cidr, **request)
    id_: str = answer["subnet"]["subnet_id"]
    return id_


# ── defaults and slices ──────────────────────────────────────────────────────────────────────────────────


def test_an_account_starts_with_the_default_vpc(account: Account) -> None:
    (vpc,) = account.do(network.describe_vpcs)["vpcs"]
    assert vpc["is_default"] and vpc["cidr_block"] == "172.31.0.0/16"
    subnets = account.do(network.describe_subnets)["subnets"]
    assert [s["cidr_block"] for s in subnets] == ["172.31.0.0/20", "172.31.16.0/20", "172.31.32.0/20"]
    assert [s["availability_zone_id"] for s in subnets] == ["use1-az1", "use1-az2", "use1-az3"]
    assert all(s["available_ip_address_count"] == 4091 and s["map_public_ip_on_launch"] for s in subnets)
    (table,) = account.do(show_routes.describe_route_tables)["route_tables"]
    assert [r["state"] for r in table["routes"]] == ["active", "active"]
    revision = dict(account.tx.changes)
    commands.ensure_defaults(account.tx, account.call)
    assert account.tx.changes == revision


def test_slices_are_unique_over_accounts_and_regions_and_used_again(account: Account) -> None:
    Account("210987654321", REGION, account.tx)
    Account(ACCOUNT, "eu-west-1", account.tx)
    assert [v.slice for v in account.tx.all(Vpc)] == [16, 17, 18]
    vpc = a_vpc(account)
    assert allocate_slice(account.tx) == 20
    account.do(vpcs.delete_vpc, vpc_id=vpc)
    assert allocate_slice(account.tx) == 19


def test_a_store_without_slices_left_says_so(account: Account) -> None:
    account.tx.put(AddressPool(account="elba", region="elba", id="slices", first=16, last=16))
    assert account.error(vpcs.create_vpc, cidr_block="10.0.0.0/16").code == "VpcLimitExceeded"
    other = Account("210987654321", REGION, account.tx)
    assert not account.tx.all(Vpc, "210987654321"), "a region without a slice stays empty"
    assert other.do(network.describe_vpcs)["vpcs"] == []


def test_zones_are_those_of_the_server(account: Account) -> None:
    account.tx.put(AddressPool(account="elba", region="elba", id="slices", zone_letters=("a", "b")))
    zones = account.do(places.describe_availability_zones)["availability_zones"]
    assert [z["zone_name"] for z in zones] == ["us-east-1a", "us-east-1b"]


# ── VPCs and subnets ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("cidr", "code"),
    [
        ("10.0.0.0/15", "InvalidVpc.Range"),
        ("10.0.0.0/29", "InvalidVpc.Range"),
        ("10.0.0.0", "InvalidParameterValue"),
        ("10.0.0.256/16", "InvalidParameterValue"),
        ("x", "InvalidParameterValue"),
        (None, "MissingParameter"),
    ],
)
def test_bad_vpc_blocks(account: Account, cidr: str, code: str) -> None:
    assert account.error(vpcs.create_vpc, cidr_block=cidr).code == code


def test_host_bits_are_cleared(account: Account) -> None:
    assert account.do(vpcs.create_vpc, cidr_block="10.0.7.1/16")["vpc"]["cidr_block"] == "10.0.0.0/16"


@pytest.mark.parametrize(
    ("cidr", "extra", "code"),
    [
        ("10.1.0.0/24", {}, "InvalidSubnet.Range"),
        ("10.0.0.0/29", {}, "InvalidSubnet.Range"),
        ("10.0.0.128/25", {}, "InvalidSubnet.Conflict"),
        ("10.0.1.0/24", {"availability_zone": "us-east-1z"}, "InvalidParameterValue"),
        ("10.0.1.0/24", {"availability_zone_id": "use1-az9"}, "InvalidParameterValue"),
        (None, {}, "MissingParameter"),
    ],
)
def test_bad_subnets(account: Account, cidr: str, extra: dict[str, str], code: str) -> None:
    vpc = a_vpc(account)
    a_subnet(account, vpc)
    assert account.error(vpcs.create_subnet, vpc_id=vpc, cidr_block=cidr, **extra).code == code


def test_vpc_attributes(account: Account) -> None:
    vpc = a_vpc(account)

    def shown(attribute: str) -> Any:
        answer = account.do(network.describe_vpc_attribute, vpc_id=vpc, attribute=attribute)
        return next(v["value"] for k, v in answer.items() if k != "vpc_id")

    assert [shown(a) for a in ("enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics")] == [
        True,
        False,
        False,
    ]
    account.do(vpcs.modify_vpc_attribute, vpc_id=vpc, enable_dns_hostnames={"value": True})
    assert shown("enableDnsHostnames")
    both = {"enable_dns_hostnames": {"value": True}, "enable_dns_support": {"value": True}}
    assert account.error(vpcs.modify_vpc_attribute, vpc_id=vpc, **both).code == "InvalidParameterCombination"


def test_a_vpc_goes_last(account: Account) -> None:
    vpc = a_vpc(account)
    subnet = a_subnet(account, vpc)
    gateway = account.do(gateways.create_internet_gateway)["internet_gateway"]["internet_gateway_id"]
    account.do(gateways.attach_internet_gateway, internet_gateway_id=gateway, vpc_id=vpc)
    group = account.do(security_groups.create_security_group, group_name="g", description="d", vpc_id=vpc)["group_id"]
    table = account.do(routes.create_route_table, vpc_id=vpc)["route_table"]["route_table_id"]
    acl = account.do(network_acls.create_network_acl, vpc_id=vpc)["network_acl"]["network_acl_id"]
    steps: list[tuple[Any, dict[str, str]]] = [
        (vpcs.delete_subnet, {"subnet_id": subnet}),
        (gateways.detach_internet_gateway, {"internet_gateway_id": gateway, "vpc_id": vpc}),
        (security_groups.delete_security_group, {"group_id": group}),
        (routes.delete_route_table, {"route_table_id": table}),
        (network_acls.delete_network_acl, {"network_acl_id": acl}),
    ]
    for function, request in steps:
        error = account.error(vpcs.delete_vpc, vpc_id=vpc)
        assert error.code == "DependencyViolation"
        assert error.message == f"The vpc '{vpc}' has dependencies and cannot be deleted."
        account.do(function, **request)
    account.do(vpcs.delete_vpc, vpc_id=vpc)
    assert account.error(network.describe_vpcs, vpc_ids=[vpc]).code == "InvalidVpcID.NotFound"
    left = [SecurityGroup, RouteTable, NetworkAcl, Subnet]
    assert not [r for type_ in left for r in account.tx.all(type_) if r.vpc_id == vpc]


def test_the_default_vpc_can_come_back(account: Account) -> None:
    assert account.error(vpcs.create_default_vpc).code == "DefaultVpcAlreadyExists"
    (vpc,) = account.tx.all(Vpc)
    for subnet in account.tx.all(Subnet):
        account.do(vpcs.delete_subnet, subnet_id=subnet.id)
    (gateway,) = account.tx.all(InternetGateway)
    account.do(gateways.detach_internet_gateway, internet_gateway_id=gateway.id, vpc_id=vpc.id)
    account.do(vpcs.delete_vpc, vpc_id=vpc.id)
    made = account.do(vpcs.create_default_vpc)["vpc"]
    assert made["is_default"] and made["vpc_id"] != vpc.id
    assert len(account.tx.all(Subnet)) == 3


def test_a_default_subnet_can_come_back(account: Account) -> None:
    zone = "us-east-1b"
    error = account.error(vpcs.create_default_subnet, availability_zone=zone)
    assert error.code == "DefaultSubnetAlreadyExistsInAvailabilityZone"
    subnet = next(s for s in account.tx.all(Subnet) if s.availability_zone == zone)
    account.do(vpcs.delete_subnet, subnet_id=subnet.id)
    made = account.do(vpcs.create_default_subnet, availability_zone=zone)["subnet"]
    assert (made["cidr_block"], made["default_for_az"]) == ("172.31.16.0/20", True)


def test_a_subnet_in_use_stays(account: Account) -> None:
    vpc = a_vpc(account)
    subnet = a_subnet(account, vpc)
    instance = launch(account, subnet_id=subnet)["instance_id"]
    assert account.error(vpcs.delete_subnet, subnet_id=subnet).code == "DependencyViolation"
    commands.record_terminated(account.tx, account.call, instance)
    account.do(vpcs.delete_subnet, subnet_id=subnet)
    assert not [s for s in account.tx.all(SubnetAddresses) if s.id == subnet]


ABSENT: list[tuple[Any, dict[str, Any], str, str]] = [
    (vpcs.delete_vpc, {"vpc_id": "vpc-1"}, "InvalidVpcID.NotFound", "The vpc ID 'vpc-1' does not exist"),
    (vpcs.create_subnet, {"vpc_id": "vpc-1"}, "InvalidVpcID.NotFound", "The vpc ID 'vpc-1' does not exist"),
    (
        vpcs.delete_subnet,
        {"subnet_id": "subnet-1"},
        "InvalidSubnetID.NotFound",
        "The subnet ID 'subnet-1' does not exist",
    ),
    (
        gateways.delete_internet_gateway,
        {"internet_gateway_id": "igw-1"},
        "InvalidInternetGatewayID.NotFound",
        "The internetGateway ID 'igw-1' does not exist",
    ),
    (
        routes.delete_route_table,
        {"route_table_id": "rtb-1"},
        "InvalidRouteTableID.NotFound",
        "The routeTable ID 'rtb-1' does not exist",
    ),
    (
        routes.disassociate_route_table,
        {"association_id": "rtbassoc-1"},
        "InvalidAssociationID.NotFound",
        "The association ID 'rtbassoc-1' does not exist",
    ),
    (
        elastic_ips.release_address,
        {"allocation_id": "eipalloc-1"},
        "InvalidAllocationID.NotFound",
        "The allocation ID 'eipalloc-1' does not exist",
    ),
    (
        elastic_ips.disassociate_address,
        {"association_id": "eipassoc-1"},
        "InvalidAssociationID.NotFound",
        "The association ID 'eipassoc-1' does not exist",
    ),
    (
        interfaces.delete_network_interface,
        {"network_interface_id": "eni-0123456789abcdef0"},
        "InvalidNetworkInterfaceID.NotFound",
        "The networkInterface ID 'eni-0123456789abcdef0' does not exist",
    ),
    (nat_gateways.delete_nat_gateway, {"nat_gateway_id": "nat-1"}, "NatGatewayNotFound", ""),
    (network_acls.delete_network_acl, {"network_acl_id": "acl-1"}, "InvalidNetworkAclID.NotFound", ""),
]


@pytest.mark.parametrize(("function", "request_", "code", "message"), ABSENT, ids=[f.__name__ for f, *_ in ABSENT])
def test_what_is_not_there_is_named(
    account: Account, function: Any, request_: dict[str, Any], code: str, message: str
) -> None:
    error = account.error(function, **request_)
    assert error.code == code
    if message:
        assert error.message == message


# ── gateways and routes ──────────────────────────────────────────────────────────────────────────────────


def test_gateways(account: Account) -> None:
    vpc, other = a_vpc(account), a_vpc(account, "10.1.0.0/16")
    one, two = (
        account.do(gateways.create_internet_gateway)["internet_gateway"]["internet_gateway_id"] for _ in range(2)
    )
    attach = {"internet_gateway_id": one, "vpc_id": vpc}
    assert account.error(gateways.detach_internet_gateway, **attach).code == "Gateway.NotAttached"
    account.do(gateways.attach_internet_gateway, **attach)
    error = account.error(gateways.attach_internet_gateway, internet_gateway_id=one, vpc_id=other)
    assert error.code == "Resource.AlreadyAssociated"
    error = account.error(gateways.attach_internet_gateway, internet_gateway_id=two, vpc_id=vpc)
    assert error.message == f"Network {vpc} already has an internet gateway attached"
    assert account.error(gateways.delete_internet_gateway, internet_gateway_id=one).code == "DependencyViolation"
    subnet = a_subnet(account, vpc)
    account.do(vpcs.modify_subnet_attribute, subnet_id=subnet, map_public_ip_on_launch={"value": True})
    instance = launch(account, subnet_id=subnet)["instance_id"]
    assert account.error(gateways.detach_internet_gateway, **attach).code == "DependencyViolation"
    commands.record_terminated(account.tx, account.call, instance)
    account.do(gateways.detach_internet_gateway, **attach)
    account.do(gateways.delete_internet_gateway, internet_gateway_id=one)


def test_routes(account: Account) -> None:
    vpc = a_vpc(account)
    gateway = account.do(gateways.create_internet_gateway)["internet_gateway"]["internet_gateway_id"]
    table = account.do(routes.create_route_table, vpc_id=vpc)["route_table"]["route_table_id"]
    route = {"route_table_id": table, "destination_cidr_block": "0.0.0.0/0", "gateway_id": gateway}
    assert account.error(routes.create_route, **route).code == "InvalidParameterValue", "not this VPC's gateway"
    account.do(gateways.attach_internet_gateway, internet_gateway_id=gateway, vpc_id=vpc)
    assert account.do(routes.create_route, **route) == {"return": True}
    assert account.do(routes.create_route, **route) == {"return": True}, "the same again is no error"
    interface = account.do(interfaces.create_network_interface, subnet_id=a_subnet(account, vpc))
    target = {"network_interface_id": interface["network_interface"]["network_interface_id"]}
    other = {**{k: v for k, v in route.items() if k != "gateway_id"}, **target}
    error = account.error(routes.create_route, **other)
    assert (error.code, error.message) == (
        "RouteAlreadyExists",
        "The route identified by 0.0.0.0/0 already exists.",
    )
    account.do(routes.replace_route, **other)

    def shown() -> list[tuple[str, str]]:
        (found,) = account.do(show_routes.describe_route_tables, route_table_ids=[table])["route_tables"]
        return [(r.get("gateway_id") or r["network_interface_id"], r["state"]) for r in found["routes"]]

    assert shown() == [("local", "active"), (target["network_interface_id"], "active")]
    account.do(interfaces.delete_network_interface, **target)
    assert shown()[1][1] == "blackhole"
    account.do(routes.delete_route, route_table_id=table, destination_cidr_block="0.0.0.0/0")
    error = account.error(routes.delete_route, route_table_id=table, destination_cidr_block="0.0.0.0/0")
    assert error.code == "InvalidRoute.NotFound"
    error = account.error(routes.delete_route, route_table_id=table, destination_cidr_block="10.0.0.0/16")
    assert error.code == "InvalidParameterValue", "the local route stays"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({}, "MissingParameter"),
        ({"destination_cidr_block": "0.0.0.0/0"}, "MissingParameter"),
        ({"destination_cidr_block": "0.0.0.0/0", "gateway_id": "igw-1"}, "InvalidGatewayID.NotFound"),
        ({"destination_cidr_block": "0.0.0.0/0", "nat_gateway_id": "nat-1"}, "InvalidNatGatewayID.NotFound"),
        ({"destination_cidr_block": "0.0.0.0/0", "transit_gateway_id": "tgw-1"}, "InvalidTransitGatewayID.NotFound"),
        ({"destination_cidr_block": "x", "gateway_id": "local"}, "InvalidParameterValue"),
        (
            {"destination_cidr_block": "0.0.0.0/0", "gateway_id": "igw-1", "nat_gateway_id": "nat-1"},
            "InvalidParameterCombination",
        ),
    ],
)
def test_bad_routes(account: Account, request_: dict[str, str], code: str) -> None:
    table = account.do(routes.create_route_table, vpc_id=a_vpc(account))["route_table"]["route_table_id"]
    assert account.error(routes.create_route, route_table_id=table, **request_).code == code


def test_associations(account: Account) -> None:
    vpc = a_vpc(account)
    subnet = a_subnet(account, vpc)
    one, two = (account.do(routes.create_route_table, vpc_id=vpc)["route_table"]["route_table_id"] for _ in range(2))
    id_ = account.do(routes.associate_route_table, route_table_id=one, subnet_id=subnet)["association_id"]
    assert account.do(routes.associate_route_table, route_table_id=one, subnet_id=subnet)["association_id"] == id_
    error = account.error(routes.associate_route_table, route_table_id=two, subnet_id=subnet)
    assert error.code == "Resource.AlreadyAssociated"
    assert account.error(routes.delete_route_table, route_table_id=one).code == "DependencyViolation"
    new = account.do(routes.replace_route_table_association, association_id=id_, route_table_id=two)
    account.do(routes.delete_route_table, route_table_id=one)
    account.do(routes.disassociate_route_table, association_id=new["new_association_id"])
    account.do(routes.delete_route_table, route_table_id=two)
    main = next(t for t in account.tx.all(RouteTable) if t.vpc_id == vpc)
    assert account.error(routes.delete_route_table, route_table_id=main.id).code == "DependencyViolation"
    main_association = main.associations[0].association_id
    error = account.error(routes.disassociate_route_table, association_id=main_association)
    assert error.code == "InvalidParameterValue"


def test_network_acls(account: Account) -> None:
    vpc = a_vpc(account)
    subnet = a_subnet(account, vpc)
    (default,) = account.do(
        network.describe_network_acls,
        filters=[{"name": "default", "values": ["true"]}, {"name": "vpc-id", "values": [vpc]}],
    )["network_acls"]
    assert [a["subnet_id"] for a in default["associations"]] == [subnet]
    acl = account.do(network_acls.create_network_acl, vpc_id=vpc)["network_acl"]["network_acl_id"]
    entry = {
        "network_acl_id": acl, "rule_number": 100, "egress": False, "protocol": "tcp", "rule_action": "allow",
        "cidr_block": "0.0.0.0/0", "port_range": {"from": 80, "to": 80},
    }  # fmt: skip
    account.do(network_acls.create_network_acl_entry, **entry)
    assert account.error(network_acls.create_network_acl_entry, **entry).code == "NetworkAclEntryAlreadyExists"
    account.do(network_acls.replace_network_acl_entry, **{**entry, "rule_action": "deny"})
    (shown,) = account.do(network.describe_network_acls, network_acl_ids=[acl])["network_acls"]
    assert [(e["rule_number"], e["egress"], e["rule_action"], e["protocol"]) for e in shown["entries"]] == [
        (32767, True, "deny", "-1"),
        (100, False, "deny", "6"),
        (32767, False, "deny", "-1"),
    ]
    association = default["associations"][0]["network_acl_association_id"]
    new = account.do(network_acls.replace_network_acl_association, association_id=association, network_acl_id=acl)
    assert new["new_association_id"] != association
    assert account.error(network_acls.delete_network_acl, network_acl_id=acl).code == "DependencyViolation"
    account.do(network_acls.delete_network_acl_entry, network_acl_id=acl, rule_number=100, egress=False)
    error = account.error(network_acls.delete_network_acl_entry, network_acl_id=acl, rule_number=100, egress=False)
    assert error.code == "InvalidNetworkAclEntry.NotFound"


# ── interfaces and addresses ─────────────────────────────────────────────────────────────────────────────


def test_a_freed_address_is_the_last_to_be_used_again(account: Account) -> None:
    subnet = a_subnet(account, a_vpc(account, "10.0.0.0/28"), "10.0.0.0/28")
    order = []
    for _ in range(14):
        interface = allocate_interface(account.tx, account.call, subnet, owner="x", description="", group_ids=())
        order.append(int(interface.private_ip_address.rsplit(".", 1)[1]))
        release_interface(account.tx, account.call, interface.id)
    assert order == [*range(4, 15), 4, 5, 6], "AWS keeps the first four and the last"


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("10.0.0.3", "InvalidParameterValue"),
        ("10.0.0.255", "InvalidParameterValue"),
        ("10.0.1.4", "InvalidParameterValue"),
        ("x", "InvalidParameterValue"),
        ("10.0.0.9", "InvalidIPAddress.InUse"),
    ],
)
def test_bad_addresses(account: Account, address: str, code: str) -> None:
    subnet = a_subnet(account, a_vpc(account))
    account.do(interfaces.create_network_interface, subnet_id=subnet, private_ip_address="10.0.0.9")
    error = account.error(interfaces.create_network_interface, subnet_id=subnet, private_ip_address=address)
    assert error.code == code


def test_interfaces(account: Account) -> None:
    subnet = next(s.id for s in account.tx.all(Subnet) if s.availability_zone == "us-east-1a")
    instance = launch(account, subnet_id=subnet)["instance_id"]
    request = {"subnet_id": subnet, "secondary_private_ip_address_count": 2, "client_token": "t"}
    made = account.do(interfaces.create_network_interface, **request)["network_interface"]
    id_ = made["network_interface_id"]
    assert made["status"] == "available" and len(made["private_ip_addresses"]) == 3
    again = account.do(interfaces.create_network_interface, **request)["network_interface"]
    assert again["network_interface_id"] == id_
    attach = {"network_interface_id": id_, "instance_id": instance}
    error = account.error(interfaces.attach_network_interface, **attach, device_index=0)
    assert error.code == "InvalidParameterValue"
    attachment = account.do(interfaces.attach_network_interface, **attach, device_index=1)["attachment_id"]
    assert account.error(interfaces.delete_network_interface, network_interface_id=id_).code == "InvalidParameterValue"
    account.do(
        interfaces.modify_network_interface_attribute,
        network_interface_id=id_,
        attachment={"attachment_id": attachment, "delete_on_termination": True},
    )
    (shown,) = account.do(show_interfaces.describe_network_interfaces, network_interface_ids=[id_])[
        "network_interfaces"
    ]
    assert shown["attachment"]["instance_id"] == instance and shown["attachment"]["delete_on_termination"]
    primary = account.do(
        show_interfaces.describe_network_interfaces,
        filters=[{"name": "attachment.device-index", "values": ["0"]}],
    )["network_interfaces"][0]["attachment"]["attachment_id"]
    assert account.error(interfaces.detach_network_interface, attachment_id=primary).code == "OperationNotPermitted"
    account.do(interfaces.detach_network_interface, attachment_id=attachment)
    account.do(interfaces.delete_network_interface, network_interface_id=id_)
    assert len(account.tx.all(PrivateAddress)) == 1


def test_a_services_interface_is_the_services(account: Account) -> None:
    subnet = account.tx.all(Subnet)[0].id
    interface = allocate_interface(
        account.tx,
        account.call,
        subnet,
        owner="arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/net/n/1",
        description="ELB net/n/1",
        group_ids=(),
        interface_type="network_load_balancer",
        requester_managed=True,
    )
    error = account.error(interfaces.delete_network_interface, network_interface_id=interface.id)
    assert error.code == "OperationNotPermitted"
    elastic = account.do(elastic_ips.allocate_address, domain="vpc")
    changed = associate_address(account.tx, account.call, elastic["allocation_id"], interface.id)
    assert changed.host_address == elastic["public_ip"]
    assert account.error(elastic_ips.release_address, allocation_id=elastic["allocation_id"]).code == (
        "InvalidIPAddress.InUse"
    )
    with pytest.raises(ApiError, match=r"Resource\.AlreadyAssociated"):
        associate_address(account.tx, account.call, elastic["allocation_id"], interface.id)
    release_interface(account.tx, account.call, interface.id)
    account.do(elastic_ips.release_address, allocation_id=elastic["allocation_id"])


def test_elastic_addresses_follow_their_association(account: Account) -> None:
    one, two = launch(account), launch(account)
    elastic = account.do(elastic_ips.allocate_address, domain="vpc")
    assert elastic["public_ip"].startswith("127.15.")
    allocation = elastic["allocation_id"]
    association = account.do(elastic_ips.associate_address, allocation_id=allocation, instance_id=one["instance_id"])[
        "association_id"
    ]

    def public_ips() -> list[str | None]:
        reservations = account.do(describe.describe_instances)["reservations"]
        return [i["public_ip_address"] for r in reservations for i in r["instances"]]

    assert public_ips() == [elastic["public_ip"], two["public_ip_address"]]
    move = {"allocation_id": allocation, "instance_id": two["instance_id"]}
    error = account.error(elastic_ips.associate_address, **move)
    assert error.code == "Resource.AlreadyAssociated"
    assert error.message == f"resource {allocation} is already associated with associate-id {association}"
    account.do(elastic_ips.associate_address, **move, allow_reassociation=True)
    assert public_ips() == [one["public_ip_address"], elastic["public_ip"]]
    commands.record_terminated(account.tx, account.call, two["instance_id"])
    (shown,) = account.do(show_elastic_ips.describe_addresses)["addresses"]
    assert shown["association_id"] is None and shown["instance_id"] is None
    account.do(elastic_ips.release_address, allocation_id=allocation)


def test_nat_gateways_hold_an_elastic_address(account: Account) -> None:
    subnet = a_subnet(account, a_vpc(account))
    allocation = account.do(elastic_ips.allocate_address, domain="vpc")["allocation_id"]
    assert account.error(nat_gateways.create_nat_gateway, subnet_id=subnet).code == "MissingParameter"
    made = account.do(nat_gateways.create_nat_gateway, subnet_id=subnet, allocation_id=allocation)["nat_gateway"]
    assert made["state"] == "available" and made["nat_gateway_addresses"][0]["allocation_id"] == allocation
    assert account.error(vpcs.delete_subnet, subnet_id=subnet).code == "DependencyViolation"
    account.do(nat_gateways.delete_nat_gateway, nat_gateway_id=made["nat_gateway_id"])
    (shown,) = account.do(show_nat_gateways.describe_nat_gateways)["nat_gateways"]
    assert shown["state"] == "deleted"
    account.do(elastic_ips.release_address, allocation_id=allocation)
    account.do(vpcs.delete_subnet, subnet_id=subnet)


def test_host_addresses_do_not_meet(account: Account) -> None:
    """Two VPCs with the same block have different host addresses."""
    account.tx.put(AddressPool(account="elba", region="elba", id="slices", first=40, last=41))
    seen = set()
    for _ in range(2):
        subnet = a_subnet(account, a_vpc(account))
        seen.add(launch(account, subnet_id=subnet)["private_ip_address"])
    assert seen == {"10.0.0.4"}
    assert [i.host_address for i in account.tx.all(Instance)] == ["127.40.0.4", "127.41.0.4"]
