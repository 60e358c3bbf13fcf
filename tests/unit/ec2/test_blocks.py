"""Further blocks of VPCs and subnets: secondary IPv4, IPv6 as data."""

from __future__ import annotations

import pytest

from elba.ec2.addresses import host_address
from elba.ec2.commands import blocks, interfaces, vpcs
from elba.ec2.queries import network
from elba.ec2.queries import routes as show_routes
from elba.ec2.resources import NetworkInterface, Vpc

from .kit import Account


@pytest.fixture
def account() -> Account:
    return Account()


def the(account: Account, vpc_id: str) -> Vpc:
    found = account.tx.get(Vpc, account.account, account.region, vpc_id)
    assert found is not None
    return found


def destinations(account: Account, vpc_id: str) -> list[str]:
    filters = [{"name": "vpc-id", "values": [vpc_id]}]
    (table,) = account.do(show_routes.describe_route_tables, filters=filters)["route_tables"]
    return [r.get("destination_cidr_block") or r["destination_ipv6_cidr_block"] for r in table["routes"]]


def test_a_second_ipv4_block_has_addresses_of_its_own(account: Account) -> None:
    vpc = account.do(vpcs.create_vpc, cidr_block="10.0.0.0/16")["vpc"]["vpc_id"]
    made = account.do(blocks.associate_vpc_cidr_block, vpc_id=vpc, cidr_block="10.1.0.0/16")["cidr_block_association"]
    assert made["cidr_block_state"] == {"state": "associating"}
    assert destinations(account, vpc) == ["10.0.0.0/16", "10.1.0.0/16"]
    assert host_address(the(account, vpc), "10.0.3.4") != host_address(the(account, vpc), "10.1.3.4")
    subnet = account.do(vpcs.create_subnet, vpc_id=vpc, cidr_block="10.1.0.0/24")["subnet"]["subnet_id"]
    interface = account.do(interfaces.create_network_interface, subnet_id=subnet)["network_interface"]
    found = account.tx.get(NetworkInterface, account.account, account.region, interface["network_interface_id"])
    assert found is not None and found.host_address == host_address(the(account, vpc), found.private_ip_address)
    overlap = account.error(blocks.associate_vpc_cidr_block, vpc_id=vpc, cidr_block="10.1.2.0/24")
    assert overlap.code == "CidrConflict"
    first = the(account, vpc).association_id
    assert account.error(blocks.disassociate_vpc_cidr_block, association_id=first).code == "OperationNotPermitted"
    used = account.error(blocks.disassociate_vpc_cidr_block, association_id=made["association_id"])
    assert used.code == "InvalidCidrBlock.InUse"
    account.do(interfaces.delete_network_interface, network_interface_id=interface["network_interface_id"])
    account.do(vpcs.delete_subnet, subnet_id=subnet)
    account.do(blocks.disassociate_vpc_cidr_block, association_id=made["association_id"])
    assert destinations(account, vpc) == ["10.0.0.0/16"]
    other = account.do(vpcs.create_vpc, cidr_block="10.9.0.0/16")["vpc"]["vpc_id"]
    assert the(account, other).slice == the(account, vpc).slice + 1


def test_ipv6_blocks_are_kept(account: Account) -> None:
    made = account.do(vpcs.create_vpc, cidr_block="10.0.0.0/16", amazon_provided_ipv6_cidr_block=True)["vpc"]
    (association,) = made["ipv6_cidr_block_association_set"]
    block, vpc = association["ipv6_cidr_block"], made["vpc_id"]
    assert block.endswith("00::/56") and block in destinations(account, vpc)
    inner = block.replace("00::/56", "01::/64")
    subnet = account.do(vpcs.create_subnet, vpc_id=vpc, cidr_block="10.0.0.0/24", ipv6_cidr_block=inner)["subnet"]
    (of_subnet,) = subnet["ipv6_cidr_block_association_set"]
    assert of_subnet["ipv6_cidr_block"] == inner
    id_ = subnet["subnet_id"]
    account.do(vpcs.modify_subnet_attribute, subnet_id=id_, assign_ipv6_address_on_creation={"value": True})
    filters = [{"name": "ipv6-cidr-block-association.ipv6-cidr-block", "values": [inner]}]
    (shown,) = account.do(network.describe_subnets, filters=filters)["subnets"]
    assert shown["assign_ipv6_address_on_creation"] is True
    again = account.error(vpcs.create_subnet, vpc_id=vpc, cidr_block="10.0.1.0/24", ipv6_cidr_block=inner)
    assert again.code == "InvalidSubnet.Conflict"
    used = account.error(blocks.disassociate_vpc_cidr_block, association_id=association["association_id"])
    assert used.code == "InvalidCidrBlock.InUse"
    account.do(blocks.disassociate_subnet_cidr_block, association_id=of_subnet["association_id"])
    account.do(blocks.associate_subnet_cidr_block, subnet_id=id_, ipv6_cidr_block=inner)
    assert account.error(blocks.disassociate_subnet_cidr_block, association_id="x").code.endswith("NotFound")
