"""Who has which address: slices of 127.0.0.0/8 for VPCs, private addresses of subnets, network interfaces.

An address is found in constant time on average: each subnet has a cursor that only moves on, and each taken
address is a resource of its own, so that no list is searched. A freed address is the last to be used again.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable

from msgspec.structs import replace

from elba.call import Call
from elba.ec2.faults import invalid, not_found, require
from elba.ec2.resources import (
    Address,
    NetworkInterface,
    PrivateAddress,
    SecurityGroup,
    Subnet,
    SubnetAddresses,
    Vpc,
    VpcBlock,
)
from elba.ec2.zones import address_pool
from elba.errors import ApiError
from elba.store.interface import Transaction, View

FIRST_OFFSET = 4
"""AWS keeps a subnet's first four addresses and its last. Source: VPC user guide, "Subnet sizing"."""


def allocate_slice(view: View) -> int:
    """The lowest slice that no VPC of any owner has. Raises: ApiError VpcLimitExceeded."""
    pool = address_pool(view)
    taken = {number for vpc in view.all(Vpc) for number in (vpc.slice, *(b.slice for b in vpc.blocks))}
    for number in range(pool.first, pool.last + 1):
        if number not in taken:
            return number
    raise ApiError("VpcLimitExceeded", "The maximum number of VPCs has been reached.")


def host_address(vpc: Vpc, private_ip: str) -> str:
    """Where the host reaches `private_ip` of this VPC: 127.N.x.y with its block's slice N and the low 16 bits kept."""
    _, _, high, low = private_ip.split(".")
    number = vpc.slice
    if vpc.blocks:
        address = ipaddress.IPv4Address(private_ip)
        for block in ipv4_blocks(vpc)[1:]:
            if address in ipaddress.IPv4Network(block.cidr_block):
                number = block.slice
    return f"127.{number}.{high}.{low}"


def ipv4_blocks(vpc: Vpc) -> list[VpcBlock]:
    """The VPC's IPv4 blocks, its first one first."""
    first = VpcBlock(association_id=vpc.association_id, cidr_block=vpc.cidr_block, slice=vpc.slice)
    return [first, *(b for b in vpc.blocks if ":" not in b.cidr_block)]


def ipv6_blocks(vpc: Vpc) -> list[VpcBlock]:
    return [b for b in vpc.blocks if ":" in b.cidr_block]


def subnet_capacity(subnet: Subnet) -> int:
    """How many addresses the subnet can give out in all."""
    return max(0, ipaddress.IPv4Network(subnet.cidr_block).num_addresses - FIRST_OFFSET - 1)


def available_address_count(view: View, subnet: Subnet) -> int:
    state = view.get(SubnetAddresses, subnet.account, subnet.region, subnet.id)
    return subnet_capacity(subnet) - (state.used if state else 0)


def _mac_address(interface_id: str) -> str:
    digits = hashlib.sha256(interface_id.encode()).hexdigest()[:10]
    return ":".join(["02", *(digits[i : i + 2] for i in range(0, 10, 2))])


def _is_taken(view: View, subnet: Subnet, address: str) -> bool:
    return view.get(PrivateAddress, subnet.account, subnet.region, f"{subnet.id}/{address}") is not None


def _check_wanted(view: View, subnet: Subnet, address: str) -> None:
    try:
        wanted = ipaddress.IPv4Address(address)
    except ValueError:
        raise invalid(address, "privateIpAddress", "This is not a valid IPv4 address.") from None
    network = ipaddress.IPv4Network(subnet.cidr_block)
    if wanted not in network:
        raise ApiError("InvalidParameterValue", "Address does not fall within the subnet's address range")
    offset = int(wanted) - int(network.network_address)
    if offset < FIRST_OFFSET or offset == network.num_addresses - 1:
        raise ApiError("InvalidParameterValue", f"Address {address} is in subnet's reserved address range")
    if _is_taken(view, subnet, address):
        raise ApiError("InvalidIPAddress.InUse", f"Address {address} is in use.")


def take_address(tx: Transaction, subnet: Subnet, interface_id: str, wanted: str | None = None) -> str:
    """Take `wanted`, or the next free address, for an interface, and return it.

    Raises: ApiError InsufficientFreeAddressesInSubnet, InvalidIPAddress.InUse, InvalidParameterValue.
    """
    state = tx.get(SubnetAddresses, subnet.account, subnet.region, subnet.id) or SubnetAddresses(
        account=subnet.account, region=subnet.region, id=subnet.id, next_offset=FIRST_OFFSET
    )
    network = ipaddress.IPv4Network(subnet.cidr_block)
    capacity = subnet_capacity(subnet)
    base = int(network.network_address)
    if wanted is not None:
        _check_wanted(tx, subnet, wanted)
        address, following = wanted, state.next_offset
    elif state.used >= capacity:
        raise ApiError(
            "InsufficientFreeAddressesInSubnet",
            "The specified subnet does not have enough free addresses to satisfy the request.",
        )
    else:
        offset = state.next_offset
        # Ends: fewer than `capacity` are taken.
        while _is_taken(tx, subnet, str(ipaddress.IPv4Address(base + offset))):
            offset = _following(offset, capacity)
        address, following = str(ipaddress.IPv4Address(base + offset)), _following(offset, capacity)
    tx.put(replace(state, next_offset=following, used=state.used + 1))
    tx.put(
        PrivateAddress(
            account=subnet.account,
            region=subnet.region,
            id=f"{subnet.id}/{address}",
            network_interface_id=interface_id,
        )
    )
    return address


def _following(offset: int, capacity: int) -> int:
    return offset + 1 if offset + 1 < FIRST_OFFSET + capacity else FIRST_OFFSET


def free_address(tx: Transaction, subnet: Subnet, address: str) -> None:
    """Give an address back; nothing if it is not taken."""
    taken = tx.get(PrivateAddress, subnet.account, subnet.region, f"{subnet.id}/{address}")
    if taken is None:
        return
    tx.delete(taken)
    state = tx.get(SubnetAddresses, subnet.account, subnet.region, subnet.id)
    if state is not None:
        tx.put(replace(state, used=max(0, state.used - 1)))


def allocate_interface(
    tx: Transaction,
    call: Call,
    subnet_id: str,
    *,
    owner: str,
    description: str,
    group_ids: Iterable[str],
    interface_type: str = "interface",
    requester_managed: bool = False,
    public: bool = False,
    private_ip: str | None = None,
) -> NetworkInterface:
    """Create a network interface with one address of the subnet; `in-use` if it has an owner.

    Group ids are taken as they are: the caller has looked them up.
    Raises: ApiError InvalidSubnetID.NotFound, InsufficientFreeAddressesInSubnet, InvalidIPAddress.InUse.
    """
    subnet = require(tx, call, Subnet, subnet_id)
    vpc = require(tx, call, Vpc, subnet.vpc_id)
    interface_id = call.ids.ec2("eni")
    address = take_address(tx, subnet, interface_id, private_ip)
    interface = NetworkInterface(
        account=call.account,
        region=call.region,
        id=interface_id,
        subnet_id=subnet.id,
        vpc_id=vpc.id,
        availability_zone=subnet.availability_zone,
        private_ip_address=address,
        host_address=host_address(vpc, address),
        mac_address=_mac_address(interface_id),
        description=description,
        owner=owner,
        interface_type=interface_type,
        requester_managed=requester_managed,
        group_ids=list(group_ids),
        public=public,
        attachment_id=call.ids.ec2("eni-attach") if owner else "",
        attach_time=call.now if owner else 0.0,
        status="in-use" if owner else "available",
        create_time=call.now,
    )
    tx.put(interface)
    return interface


def release_interface(tx: Transaction, call: Call, interface_id: str) -> None:
    """Delete an interface and free its addresses; its Elastic IP address stays allocated. Nothing if it is gone."""
    interface = tx.get(NetworkInterface, call.account, call.region, interface_id)
    if interface is None:
        return
    subnet = tx.get(Subnet, call.account, call.region, interface.subnet_id)
    if subnet is not None:
        for address in (interface.private_ip_address, *interface.secondary_private_ip_addresses):
            free_address(tx, subnet, address)
    if interface.allocation_id:
        elastic = tx.get(Address, call.account, call.region, interface.allocation_id)
        if elastic is not None and elastic.network_interface_id == interface.id:
            tx.put(dissociated(elastic))
    tx.delete(interface)


def dissociated(elastic: Address) -> Address:
    """`elastic` with no association."""
    return replace(elastic, association_id="", network_interface_id="", instance_id="", private_ip_address="")


def associate_address(tx: Transaction, call: Call, allocation_id: str, interface_id: str) -> NetworkInterface:
    """Give a service's interface an Elastic IP address (a Network Load Balancer's `AllocationId`).

    The address becomes the interface's host address: it is the service's node that binds it.
    Raises: ApiError InvalidAllocationID.NotFound, Resource.AlreadyAssociated.
    """
    elastic = require(tx, call, Address, allocation_id)
    interface = tx.get(NetworkInterface, call.account, call.region, interface_id)
    if interface is None:
        raise not_found(NetworkInterface, interface_id)
    if elastic.association_id:
        raise already_associated(elastic)
    association = call.ids.ec2("eipassoc")
    tx.put(
        replace(
            elastic,
            association_id=association,
            network_interface_id=interface.id,
            private_ip_address=interface.private_ip_address,
        )
    )
    changed = replace(
        interface,
        allocation_id=elastic.id,
        association_id=association,
        elastic_ip=elastic.public_ip,
        host_address=elastic.public_ip,
        public=True,
    )
    tx.put(changed)
    return changed


def already_associated(elastic: Address) -> ApiError:
    return ApiError(
        "Resource.AlreadyAssociated",
        f"resource {elastic.id} is already associated with associate-id {elastic.association_id}",
    )


def groups_in_use(view: View, call: Call, group: SecurityGroup) -> bool:
    """Whether an interface has the group, or another group's rule names it."""
    if any(group.id in i.group_ids for i in view.all(NetworkInterface, call.account, call.region)):
        return True
    return any(
        p.group_id == group.id
        for other in view.all(SecurityGroup, call.account, call.region)
        if other.id != group.id
        for p in other.permissions
    )
