"""DHCP options, prefix lists, endpoints, gateways of VPNs, peering and flow logs, as stacks declare and drop them."""

from __future__ import annotations

import pytest

from elba.ec2.commands import (
    dhcp_options,
    edge_gateways,
    endpoints,
    flow_logs,
    peering,
    prefix_lists,
    routes,
    tags,
    vpcs,
)
from elba.ec2.queries import dhcp_options as show_dhcp_options
from elba.ec2.queries import edge_gateways as show_edge_gateways
from elba.ec2.queries import endpoints as show_endpoints
from elba.ec2.queries import network
from elba.ec2.queries import peering as show_peering
from elba.ec2.queries import prefix_lists as show_prefix_lists
from elba.ec2.queries import routes as show_routes

from .kit import Account


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def vpc(account: Account) -> str:
    made: str = account.do(vpcs.create_vpc, cidr_block="10.0.0.0/16")["vpc"]["vpc_id"]
    return made


def test_a_vpc_takes_dhcp_options_and_gives_them_back(account: Account, vpc: str) -> None:
    made = account.do(
        dhcp_options.create_dhcp_options,
        dhcp_configurations=[
            {"key": "domain-name", "values": ["service.consul"]},
            {"key": "domain-name-servers", "values": ["127.0.0.1", "10.0.0.2"]},
        ],
        tag_specifications=[{"resource_type": "dhcp-options", "tags": [{"key": "a", "value": "b"}]}],
    )["dhcp_options"]
    id_ = made["dhcp_options_id"]
    account.do(dhcp_options.associate_dhcp_options, vpc_id=vpc, dhcp_options_id=id_)
    assert account.do(network.describe_vpcs, vpc_ids=[vpc])["vpcs"][0]["dhcp_options_id"] == id_
    assert account.error(dhcp_options.delete_dhcp_options, dhcp_options_id=id_).code == "DependencyViolation"
    shown = account.do(show_dhcp_options.describe_dhcp_options, filters=[{"name": "tag:a", "values": ["b"]}])
    assert [o["dhcp_options_id"] for o in shown["dhcp_options"]] == [id_]
    assert len(account.do(show_dhcp_options.describe_dhcp_options)["dhcp_options"]) == 2
    account.do(dhcp_options.associate_dhcp_options, vpc_id=vpc, dhcp_options_id="default")
    assert account.do(network.describe_vpcs, vpc_ids=[vpc])["vpcs"][0]["dhcp_options_id"] == "default"
    account.do(dhcp_options.delete_dhcp_options, dhcp_options_id=id_)
    error = account.error(show_dhcp_options.describe_dhcp_options, dhcp_options_ids=[id_])
    assert error.code == "InvalidDhcpOptionID.NotFound"
    bad = [{"key": "favourite-colour", "values": ["red"]}]
    assert account.error(dhcp_options.create_dhcp_options, dhcp_configurations=bad).code == "InvalidParameterValue"


def test_a_prefix_lists_entries_change_by_version(account: Account) -> None:
    made = account.do(
        prefix_lists.create_managed_prefix_list,
        prefix_list_name="office",
        address_family="IPv4",
        max_entries=2,
        entries=[{"cidr": "10.0.0.0/8", "description": "ten"}],
    )["prefix_list"]
    id_ = made["prefix_list_id"]
    assert (made["version"], made["state"]) == (1, "create-complete")
    change = {"prefix_list_id": id_, "add_entries": [{"cidr": "192.168.0.0/16"}]}
    assert account.error(prefix_lists.modify_managed_prefix_list, **change).code == "MissingParameter"
    stale = account.error(prefix_lists.modify_managed_prefix_list, current_version=7, **change)
    assert stale.code == "PrefixListVersionMismatch"
    assert (
        account.do(prefix_lists.modify_managed_prefix_list, current_version=1, **change)["prefix_list"]["version"] == 2
    )
    more = {"prefix_list_id": id_, "current_version": 2, "add_entries": [{"cidr": "172.16.0.0/12"}]}
    assert account.error(prefix_lists.modify_managed_prefix_list, **more).code == "PrefixListMaxEntriesExceeded"
    entries = account.do(show_prefix_lists.get_managed_prefix_list_entries, prefix_list_id=id_)["entries"]
    assert [e["cidr"] for e in entries] == ["10.0.0.0/8", "192.168.0.0/16"]
    first = account.do(show_prefix_lists.get_managed_prefix_list_entries, prefix_list_id=id_, target_version=1)
    assert len(first["entries"]) == 1
    own = account.do(
        show_prefix_lists.describe_managed_prefix_lists, filters=[{"name": "prefix-list-name", "values": ["*s3"]}]
    )["prefix_lists"]
    assert [(p["prefix_list_name"], p["owner_id"]) for p in own] == [("com.amazonaws.us-east-1.s3", "AWS")]
    account.do(prefix_lists.delete_managed_prefix_list, prefix_list_id=id_)
    error = account.error(show_prefix_lists.describe_managed_prefix_lists, prefix_list_ids=[id_])
    assert error.code == "InvalidPrefixListID.NotFound"


def test_a_gateway_endpoint_is_a_route_in_its_tables(account: Account, vpc: str) -> None:
    table = account.do(routes.create_route_table, vpc_id=vpc)["route_table"]["route_table_id"]
    made = account.do(
        endpoints.create_vpc_endpoint, vpc_id=vpc, service_name="com.amazonaws.us-east-1.s3", route_table_ids=[table]
    )["vpc_endpoint"]
    assert (made["vpc_endpoint_type"], made["state"]) == ("Gateway", "available")
    found = account.do(show_routes.describe_route_tables, route_table_ids=[table])["route_tables"][0]["routes"]
    (route,) = [r for r in found if r.get("gateway_id") == made["vpc_endpoint_id"]]
    assert route["destination_prefix_list_id"].startswith("pl-")
    assert account.error(vpcs.delete_vpc, vpc_id=vpc).code == "DependencyViolation"
    account.do(endpoints.delete_vpc_endpoints, vpc_endpoint_ids=[made["vpc_endpoint_id"]])
    found = account.do(show_routes.describe_route_tables, route_table_ids=[table])["route_tables"][0]["routes"]
    assert len(found) == 1
    gone = account.do(endpoints.delete_vpc_endpoints, vpc_endpoint_ids=[made["vpc_endpoint_id"]])["unsuccessful"]
    assert [u["resource_id"] for u in gone] == [made["vpc_endpoint_id"]]


def test_an_interface_endpoint_holds_an_address_in_each_subnet(account: Account, vpc: str) -> None:
    subnets = [
        account.do(vpcs.create_subnet, vpc_id=vpc, cidr_block=f"10.0.{n}.0/24", availability_zone=f"us-east-1{zone}")[
            "subnet"
        ]["subnet_id"]
        for n, zone in enumerate("abb")
    ]
    name = "com.amazonaws.us-east-1.sqs"
    request = {"vpc_id": vpc, "service_name": name, "vpc_endpoint_type": "Interface"}
    made = account.do(endpoints.create_vpc_endpoint, subnet_ids=subnets[:2], **request)["vpc_endpoint"]
    assert len(made["network_interface_ids"]) == 2 and len(made["groups"]) == 1
    id_ = made["vpc_endpoint_id"]
    crowded = account.error(endpoints.modify_vpc_endpoint, vpc_endpoint_id=id_, add_subnet_ids=[subnets[2]])
    assert crowded.code == "DuplicateSubnetsInSameZone"
    assert account.error(vpcs.delete_subnet, subnet_id=subnets[0]).code == "DependencyViolation"
    account.do(endpoints.modify_vpc_endpoint, vpc_endpoint_id=id_, remove_subnet_ids=[subnets[0]])
    account.do(vpcs.delete_subnet, subnet_id=subnets[0])
    shown = account.do(show_endpoints.describe_vpc_endpoints, vpc_endpoint_ids=[id_])["vpc_endpoints"][0]
    assert shown["subnet_ids"] == [subnets[1]]
    assert account.error(endpoints.create_vpc_endpoint, vpc_id=vpc, service_name="x").code == "InvalidServiceName"
    known = account.do(show_endpoints.describe_vpc_endpoint_services, service_names=[name])["service_details"]
    assert [s["service_type"] for s in known] == [[{"service_type": "Interface"}]]


def test_gateways_for_ipv6_and_vpns(account: Account, vpc: str) -> None:
    egress = account.do(edge_gateways.create_egress_only_internet_gateway, vpc_id=vpc)
    egress_id = egress["egress_only_internet_gateway"]["egress_only_internet_gateway_id"]
    table = account.do(routes.create_route_table, vpc_id=vpc)["route_table"]["route_table_id"]
    account.do(
        routes.create_route,
        route_table_id=table,
        destination_ipv6_cidr_block="::/0",
        egress_only_internet_gateway_id=egress_id,
    )
    vpn = account.do(edge_gateways.create_vpn_gateway, type="ipsec.1")["vpn_gateway"]["vpn_gateway_id"]
    not_yet = account.error(edge_gateways.enable_vgw_route_propagation, gateway_id=vpn, route_table_id=table)
    assert not_yet.code == "Gateway.NotAttached"
    account.do(edge_gateways.attach_vpn_gateway, vpn_gateway_id=vpn, vpc_id=vpc)
    account.do(edge_gateways.enable_vgw_route_propagation, gateway_id=vpn, route_table_id=table)
    shown = account.do(show_routes.describe_route_tables, route_table_ids=[table])["route_tables"][0]
    assert shown["propagating_vgws"] == [{"gateway_id": vpn}]
    assert account.error(edge_gateways.delete_vpn_gateway, vpn_gateway_id=vpn).code == "IncorrectState"
    account.do(edge_gateways.disable_vgw_route_propagation, gateway_id=vpn, route_table_id=table)
    account.do(edge_gateways.detach_vpn_gateway, vpn_gateway_id=vpn, vpc_id=vpc)
    account.do(edge_gateways.delete_vpn_gateway, vpn_gateway_id=vpn)
    assert account.do(show_edge_gateways.describe_vpn_gateways)["vpn_gateways"] == []
    request = {"type": "ipsec.1", "ip_address": "1.2.3.4", "bgp_asn": 65010}
    customer = account.do(edge_gateways.create_customer_gateway, **request)["customer_gateway"]
    assert account.do(edge_gateways.create_customer_gateway, **request)["customer_gateway"] == customer
    account.do(tags.create_tags, resources=[customer["customer_gateway_id"]], tags=[{"key": "Name", "value": "office"}])
    found = account.do(
        show_edge_gateways.describe_customer_gateways, filters=[{"name": "tag:Name", "values": ["office"]}]
    )
    assert len(found["customer_gateways"]) == 1
    account.do(edge_gateways.delete_customer_gateway, customer_gateway_id=customer["customer_gateway_id"])
    assert account.error(vpcs.delete_vpc, vpc_id=vpc).code == "DependencyViolation"
    account.do(edge_gateways.delete_egress_only_internet_gateway, egress_only_internet_gateway_id=egress_id)


def test_peering_is_asked_for_accepted_and_given_up(account: Account, vpc: str) -> None:
    other = account.do(vpcs.create_vpc, cidr_block="10.1.0.0/16")["vpc"]["vpc_id"]
    made = account.do(peering.create_vpc_peering_connection, vpc_id=vpc, peer_vpc_id=other)["vpc_peering_connection"]
    id_ = made["vpc_peering_connection_id"]
    assert made["status"]["code"] == "pending-acceptance"
    accepted = account.do(peering.accept_vpc_peering_connection, vpc_peering_connection_id=id_)
    assert accepted["vpc_peering_connection"]["accepter_vpc_info"]["cidr_block"] == "10.1.0.0/16"
    table = account.do(routes.create_route_table, vpc_id=vpc)["route_table"]["route_table_id"]
    account.do(
        routes.create_route,
        route_table_id=table,
        destination_cidr_block="10.1.0.0/16",
        vpc_peering_connection_id=id_,
    )
    options = {"allow_dns_resolution_from_remote_vpc": True}
    account.do(
        peering.modify_vpc_peering_connection_options,
        vpc_peering_connection_id=id_,
        requester_peering_connection_options=options,
    )
    account.do(peering.delete_vpc_peering_connection, vpc_peering_connection_id=id_)
    found = account.do(show_peering.describe_vpc_peering_connections)["vpc_peering_connections"]
    assert [c["status"]["code"] for c in found] == ["deleted"]
    states = account.do(show_routes.describe_route_tables, route_table_ids=[table])["route_tables"][0]["routes"]
    assert [r["state"] for r in states if r.get("vpc_peering_connection_id")] == ["blackhole"]
    again = account.error(peering.reject_vpc_peering_connection, vpc_peering_connection_id=id_)
    assert again.code == "InvalidStateTransition"


def test_flow_logs_are_kept(account: Account, vpc: str) -> None:
    request = {
        "resource_ids": [vpc],
        "resource_type": "VPC",
        "traffic_type": "ALL",
        "log_destination_type": "s3",
        "log_destination": "arn:aws:s3:::logs",
    }
    (id_,) = account.do(flow_logs.create_flow_logs, **request)["flow_log_ids"]
    assert account.error(flow_logs.create_flow_logs, **request).code == "FlowLogAlreadyExists"
    (shown,) = account.do(show_peering.describe_flow_logs, flow_log_ids=[id_])["flow_logs"]
    assert (shown["flow_log_status"], shown["resource_id"]) == ("ACTIVE", vpc)
    account.do(flow_logs.delete_flow_logs, flow_log_ids=[id_])
    assert account.do(show_peering.describe_flow_logs, flow_log_ids=[id_])["flow_logs"] == []
    to_logs = {**request, "log_destination_type": "cloud-watch-logs", "log_destination": ""}
    assert account.error(flow_logs.create_flow_logs, **to_logs).code == "InvalidParameter"
