"""Further blocks of VPCs, and IPv6 blocks of subnets (data: Elba's addresses are IPv4).

Source: VPC user guide, "VPC CIDR blocks"; EC2 API reference, "AssociateVpcCidrBlock", "AssociateSubnetCidrBlock".
"""

from __future__ import annotations

import hashlib
import ipaddress

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.addresses import allocate_slice, ipv4_blocks, ipv6_blocks
from elba.ec2.defaults import local_route
from elba.ec2.faults import invalid, missing, require
from elba.ec2.queries.network import render_block, render_ipv6_block, render_subnet_ipv6
from elba.ec2.resources import RouteTable, Subnet, Vpc, VpcBlock
from elba.errors import ApiError
from elba.store.interface import Transaction

_MOST_IPV4 = 5
_MOST_IPV6 = 5
_IPV6_VPC_BITS = 56
_IPV6_SUBNET_BITS = range(44, 65, 4)


def parse_cidr(text: str, name: str = "cidrBlock") -> ipaddress.IPv4Network:
    """The block with its host bits cleared, as EC2 stores it. Raises: ApiError InvalidParameterValue."""
    try:
        if "/" not in text:
            raise ValueError(text)
        return ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        raise invalid(text, name, "This is not a valid CIDR block.") from None


def amazon_ipv6_block(call: Call, vpc: Vpc) -> VpcBlock:
    """A /56 of Amazon's, made from the VPC's id and how many it has."""
    digest = hashlib.sha256(f"{vpc.id}/{len(ipv6_blocks(vpc))}".encode()).hexdigest()
    first = f"2600:1f18:{digest[:4]}:{digest[4:6]}00::"
    block = ipaddress.IPv6Network(f"{first}/{_IPV6_VPC_BITS}")
    return VpcBlock(association_id=call.ids.ec2("vpc-cidr-assoc"), cidr_block=str(block))


def add_block(tx: Transaction, call: Call, vpc: Vpc, block: VpcBlock) -> Vpc:
    """The VPC with the block, which every route table of it can reach."""
    vpc = replace(vpc, blocks=[*vpc.blocks, block])
    tx.put(vpc)
    for table in tx.children(RouteTable, call.account, call.region, vpc.id):
        tx.put(replace(table, routes=[*table.routes, local_route(block.cidr_block)]))
    return vpc


def associate_vpc_cidr_block(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidVpc.Range, CidrConflict, CidrLimitExceeded, VpcLimitExceeded (no slice is left)."""
    vpc = require(tx, call, Vpc, request["vpc_id"])
    if request.get("amazon_provided_ipv6_cidr_block"):
        if len(ipv6_blocks(vpc)) >= _MOST_IPV6:
            raise _limit(vpc, _MOST_IPV6)
        block = amazon_ipv6_block(call, vpc)
        add_block(tx, call, vpc, block)
        return {"vpc_id": vpc.id, "ipv6_cidr_block_association": render_ipv6_block(call, block, "associating")}
    if request.get("ipv6_cidr_block") or request.get("ipv6_pool") or request.get("ipv4_ipam_pool_id"):
        raise ApiError("UnsupportedOperation", "Elba's VPCs take IPv6 blocks of Amazon's pool only, and no IPAM pools.")
    if not request.get("cidr_block"):
        raise missing("CidrBlock")
    given = parse_cidr(request["cidr_block"])
    if not 16 <= given.prefixlen <= 28:
        raise ApiError("InvalidVpc.Range", f"The CIDR '{request['cidr_block']}' is invalid.")
    known = ipv4_blocks(vpc)
    if any(given.overlaps(ipaddress.IPv4Network(b.cidr_block)) for b in known):
        raise ApiError("CidrConflict", f"The CIDR '{given}' conflicts with another block of the VPC")
    if len(known) >= _MOST_IPV4:
        raise _limit(vpc, _MOST_IPV4)
    block = VpcBlock(association_id=call.ids.ec2("vpc-cidr-assoc"), cidr_block=str(given), slice=allocate_slice(tx))
    add_block(tx, call, vpc, block)
    return {"vpc_id": vpc.id, "cidr_block_association": render_block(block, "associating")}


def _limit(vpc: Vpc, most: int) -> ApiError:
    return ApiError("CidrLimitExceeded", f"This network '{vpc.id}' has met its maximum number of allowed CIDRs: {most}")


def disassociate_vpc_cidr_block(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidVpcCidrBlockAssociationID.NotFound, OperationNotPermitted (the first), …InUse."""
    id_ = request["association_id"]
    for vpc in tx.all(Vpc, call.account, call.region):
        if vpc.association_id == id_:
            raise ApiError(
                "OperationNotPermitted", f"The vpc CIDR block with association ID {id_} may not be disassociated."
            )
        block = next((b for b in vpc.blocks if b.association_id == id_), None)
        if block is None:
            continue
        whole = ipaddress.ip_network(block.cidr_block)
        for subnet in tx.children(Subnet, call.account, call.region, vpc.id):
            texts = [t for t in (subnet.cidr_block, subnet.ipv6_cidr_block) if t]
            inside = [t for t in texts if _within(t, whole)]
            if inside:
                raise ApiError(
                    "InvalidCidrBlock.InUse", f"The vpc {vpc.id} currently has a subnet within CIDR block {whole}"
                )
        tx.put(replace(vpc, blocks=[b for b in vpc.blocks if b is not block]))
        for table in tx.children(RouteTable, call.account, call.region, vpc.id):
            kept = [r for r in table.routes if r.destination != block.cidr_block]
            tx.put(replace(table, routes=kept))
        if ":" in block.cidr_block:
            return {"vpc_id": vpc.id, "ipv6_cidr_block_association": render_ipv6_block(call, block, "disassociating")}
        return {"vpc_id": vpc.id, "cidr_block_association": render_block(block, "disassociating")}
    raise ApiError(
        "InvalidVpcCidrBlockAssociationID.NotFound", f"The vpc CIDR block association ID '{id_}' does not exist"
    )


def _within(text: str, whole: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    inner = ipaddress.ip_network(text)
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(whole, ipaddress.IPv4Network) and inner.subnet_of(whole)
    return isinstance(whole, ipaddress.IPv6Network) and inner.subnet_of(whole)


def with_ipv6_block(tx: Transaction, call: Call, vpc: Vpc, subnet: Subnet, text: str) -> Subnet:
    """The subnet with its one IPv6 block. Raises: ApiError InvalidSubnet.Range, InvalidSubnet.Conflict."""
    try:
        block = ipaddress.IPv6Network(text)
    except ValueError:
        raise invalid(text, "ipv6CidrBlock", "This is not a valid IPv6 CIDR block.") from None
    within = any(_within(str(block), ipaddress.ip_network(b.cidr_block)) for b in ipv6_blocks(vpc))
    if block.prefixlen not in _IPV6_SUBNET_BITS or not within:
        raise ApiError("InvalidSubnet.Range", f"The CIDR '{text}' is invalid.")
    for other in tx.children(Subnet, call.account, call.region, vpc.id):
        if other.ipv6_cidr_block and block.overlaps(ipaddress.IPv6Network(other.ipv6_cidr_block)):
            raise ApiError("InvalidSubnet.Conflict", f"The IPv6 CIDR '{text}' conflicts with another subnet")
    changed = replace(subnet, ipv6_cidr_block=str(block), ipv6_association_id=call.ids.ec2("subnet-cidr-assoc"))
    tx.put(changed)
    return changed


def associate_subnet_cidr_block(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidSubnetID.NotFound, InvalidSubnet.Range, InvalidSubnet.Conflict, MissingParameter."""
    subnet = require(tx, call, Subnet, request["subnet_id"])
    if not request.get("ipv6_cidr_block"):
        raise missing("Ipv6CidrBlock")
    if subnet.ipv6_cidr_block:
        raise ApiError("InvalidSubnet.Conflict", f"The subnet {subnet.id} already has an IPv6 CIDR block")
    vpc = require(tx, call, Vpc, subnet.vpc_id)
    changed = with_ipv6_block(tx, call, vpc, subnet, request["ipv6_cidr_block"])
    return {"subnet_id": subnet.id, "ipv6_cidr_block_association": render_subnet_ipv6(changed, "associating")}


def disassociate_subnet_cidr_block(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidSubnetCidrBlockAssociationID.NotFound."""
    id_ = request["association_id"]
    for subnet in tx.all(Subnet, call.account, call.region):
        if subnet.ipv6_association_id == id_:
            tx.put(replace(subnet, ipv6_cidr_block="", ipv6_association_id="", assign_ipv6_address_on_creation=False))
            return {"subnet_id": subnet.id, "ipv6_cidr_block_association": render_subnet_ipv6(subnet, "disassociating")}
    raise ApiError(
        "InvalidSubnetCidrBlockAssociationID.NotFound", f"The subnet CIDR block association ID '{id_}' does not exist"
    )
