"""VPCs and subnets. Source: EC2 API reference, "CreateVpc", "CreateSubnet"; VPC user guide, "CIDR blocks"."""

from __future__ import annotations

import ipaddress
from typing import Any

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2 import zones
from elba.ec2.addresses import allocate_slice, ipv4_blocks
from elba.ec2.commands.blocks import add_block, amazon_ipv6_block, parse_cidr, with_ipv6_block
from elba.ec2.defaults import (
    DEFAULT_CIDR,
    account_defaults,
    default_acl,
    default_security_group,
    default_vpc,
    ensure_defaults,
    main_route_table,
    make_default_subnet,
    make_default_vpc,
    make_subnet,
    make_vpc,
)
from elba.ec2.edge_resources import EgressOnlyInternetGateway, VpcEndpoint, VpnGateway
from elba.ec2.faults import has_dependencies, invalid, missing, require
from elba.ec2.queries.network import render_subnet, render_vpc
from elba.ec2.resources import (
    InternetGateway,
    NetworkAcl,
    NetworkInterface,
    RouteTable,
    SecurityGroup,
    Subnet,
    SubnetAddresses,
    Vpc,
)
from elba.ec2.tagging import specified_tags
from elba.errors import ApiError
from elba.store.interface import Transaction, View


def create_vpc(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidVpc.Range (not /16 to /28), VpcLimitExceeded."""
    tags = specified_tags(request, "vpc")["vpc"]
    if not request.get("cidr_block"):
        raise missing("CidrBlock")
    if request.get("ipv6_cidr_block"):
        raise ApiError("UnsupportedOperation", "Elba's VPCs take IPv6 blocks of Amazon's pool only.")
    block = parse_cidr(request["cidr_block"])
    if not 16 <= block.prefixlen <= 28:
        raise ApiError("InvalidVpc.Range", f"The CIDR '{request['cidr_block']}' is invalid.")
    tenancy = request.get("instance_tenancy") or "default"
    if tenancy not in ("default", "dedicated"):
        raise invalid(tenancy, "instanceTenancy")
    if account_defaults(tx, call) is None:
        ensure_defaults(tx, call)
    vpc = make_vpc(tx, call, cidr_block=str(block), number=allocate_slice(tx), instance_tenancy=tenancy, tags=tags)
    if request.get("amazon_provided_ipv6_cidr_block"):
        vpc = add_block(tx, call, vpc, amazon_ipv6_block(call, vpc))
    return {"vpc": render_vpc(call, vpc)}


def create_default_vpc(tx: Transaction, call: Call, request: Request) -> Answer:
    if default_vpc(tx, call) is not None:
        raise ApiError("DefaultVpcAlreadyExists", "A Default VPC already exists for this account in this region.")
    return {"vpc": render_vpc(call, make_default_vpc(tx, call, allocate_slice(tx)))}


def delete_vpc(tx: Transaction, call: Call, request: Request) -> Answer:
    """Deletes also what the VPC was born with. Raises: ApiError InvalidVpcID.NotFound, DependencyViolation."""
    vpc = require(tx, call, Vpc, request["vpc_id"])
    owner = (call.account, call.region, vpc.id)
    main = main_route_table(tx, call, vpc.id)
    group = default_security_group(tx, call, vpc.id)
    acl = default_acl(tx, call, vpc.id)
    born = {r.id for r in (main, group, acl) if r is not None}
    kept = [
        *tx.children(Subnet, *owner),
        *tx.children(InternetGateway, *owner),
        *tx.children(RouteTable, *owner),
        *tx.children(SecurityGroup, *owner),
        *tx.children(NetworkAcl, *owner),
    ]
    if any(r.id not in born for r in kept):
        raise has_dependencies("vpc", vpc.id)
    hanging = (VpcEndpoint, EgressOnlyInternetGateway, VpnGateway)
    if any(tx.children(type_, *owner) for type_ in hanging):
        raise has_dependencies("vpc", vpc.id)
    for resource in (main, group, acl, vpc):
        if resource is not None:
            tx.delete(resource)
    return {}


def modify_vpc_attribute(tx: Transaction, call: Call, request: Request) -> Answer:
    vpc = require(tx, call, Vpc, request["vpc_id"])
    names = ("enable_dns_support", "enable_dns_hostnames", "enable_network_address_usage_metrics")
    given = [n for n in names if (request.get(n) or {}).get("value") is not None]
    if len(given) > 1:
        raise ApiError("InvalidParameterCombination", "Fields for multiple attribute types specified")
    if not given:
        raise ApiError("MissingParameter", "The request must contain the parameter of the attribute to modify")
    changes: dict[str, Any] = {given[0]: bool(request[given[0]]["value"])}
    changed = replace(vpc, **changes)
    if changed.enable_dns_hostnames and not changed.enable_dns_support:
        raise ApiError("InvalidParameterCombination", "DNS host names need DNS support.")
    tx.put(changed)
    return {}


def create_subnet(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidVpcID.NotFound, InvalidSubnet.Range, InvalidSubnet.Conflict, InvalidParameterValue."""
    tags = specified_tags(request, "subnet")["subnet"]
    vpc = require(tx, call, Vpc, request["vpc_id"])
    if not request.get("cidr_block"):
        raise missing("CidrBlock")
    block = parse_cidr(request["cidr_block"])
    within = any(block.subnet_of(ipaddress.IPv4Network(b.cidr_block)) for b in ipv4_blocks(vpc))
    if not 16 <= block.prefixlen <= 28 or not within:
        raise ApiError("InvalidSubnet.Range", f"The CIDR '{request['cidr_block']}' is invalid.")
    siblings = tx.children(Subnet, call.account, call.region, vpc.id)
    if any(block.overlaps(ipaddress.IPv4Network(s.cidr_block)) for s in siblings):
        raise ApiError("InvalidSubnet.Conflict", f"The CIDR '{request['cidr_block']}' conflicts with another subnet")
    zone = _zone(tx, call, request) or min(
        zones.zone_names(tx, call.region), key=lambda z: sum(s.availability_zone == z for s in siblings)
    )
    subnet = make_subnet(tx, call, vpc, str(block), zone, tags=tags)
    if ipv6 := request.get("ipv6_cidr_block"):
        subnet = with_ipv6_block(tx, call, vpc, subnet, ipv6)
    return {"subnet": render_subnet(tx, call, subnet)}


def _zone(view: View, call: Call, request: Request) -> str | None:
    """The zone asked for by name or id. Raises: ApiError InvalidParameterValue."""
    names = zones.zone_names(view, call.region)
    if zone := request.get("availability_zone"):
        if zone not in names:
            raise invalid(
                zone,
                "availabilityZone",
                f"Subnets can currently only be created in the following availability zones: {', '.join(names)}.",
            )
        return str(zone)
    if id_ := request.get("availability_zone_id"):
        for name in names:
            if zones.zone_id(name) == id_:
                return name
        raise invalid(id_, "availabilityZoneId")
    return None


def create_default_subnet(tx: Transaction, call: Call, request: Request) -> Answer:
    zone = _zone(tx, call, request)
    if zone is None:
        raise missing("AvailabilityZone")
    vpc = default_vpc(tx, call)
    if vpc is None:
        raise ApiError("DefaultVpcDoesNotExist", "A default VPC does not exist for this account in this region.")
    siblings = tx.children(Subnet, call.account, call.region, vpc.id)
    there = next((s.id for s in siblings if s.default_for_az and s.availability_zone == zone), None)
    if there is not None:
        raise ApiError(
            "DefaultSubnetAlreadyExistsInAvailabilityZone", f"'{there}' is already the default subnet in {zone}."
        )
    assert vpc.cidr_block == DEFAULT_CIDR
    return {"subnet": render_subnet(tx, call, make_default_subnet(tx, call, vpc, zone))}


def delete_subnet(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidSubnetID.NotFound, DependencyViolation while an interface is in it."""
    subnet = require(tx, call, Subnet, request["subnet_id"])
    if tx.children(NetworkInterface, call.account, call.region, subnet.id):
        raise has_dependencies("subnet", subnet.id)
    for table in tx.children(RouteTable, call.account, call.region, subnet.vpc_id):
        kept = [a for a in table.associations if a.subnet_id != subnet.id]
        if len(kept) != len(table.associations):
            tx.put(replace(table, associations=kept))
    for acl in tx.children(NetworkAcl, call.account, call.region, subnet.vpc_id):
        if subnet.id in acl.associations:
            tx.put(replace(acl, associations={k: v for k, v in acl.associations.items() if k != subnet.id}))
    state = tx.get(SubnetAddresses, call.account, call.region, subnet.id)
    if state is not None:
        tx.delete(state)
    tx.delete(subnet)
    return {}


def modify_subnet_attribute(tx: Transaction, call: Call, request: Request) -> Answer:
    subnet = require(tx, call, Subnet, request["subnet_id"])
    changes: dict[str, Any] = {}
    for name, member in (
        ("map_public_ip_on_launch", "map_public_ip_on_launch"),
        ("enable_dns64", "enable_dns64"),
        ("enable_resource_name_dns_a_record_on_launch", "enable_resource_name_dns_a_record"),
        ("enable_resource_name_dns_aaaa_record_on_launch", "enable_resource_name_dns_aaaa_record"),
    ):
        value = (request.get(name) or {}).get("value")
        if value is not None:
            changes[member] = bool(value)
    assign = (request.get("assign_ipv6_address_on_creation") or {}).get("value")
    if assign is not None:
        changes["assign_ipv6_address_on_creation"] = bool(assign)
    if assign and not subnet.ipv6_cidr_block:
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid value 'true' for assignIpv6AddressOnCreation: subnet {subnet.id} has no IPv6 CIDR block.",
        )
    if hostname_type := request.get("private_dns_hostname_type_on_launch"):
        if hostname_type not in ("ip-name", "resource-name"):
            raise invalid(hostname_type, "privateDnsHostnameTypeOnLaunch")
        changes["hostname_type"] = hostname_type
    if len(changes) > 1:
        raise ApiError("InvalidParameterCombination", "Fields for multiple attribute types specified")
    tx.put(replace(subnet, **changes))
    return {}
