"""Elastic IP addresses: 127.<the pool's elastic slice>.x.y.

An instance goes on listening on its own host address; what it shows as its public address is the Elastic one. A
service's interface (a Network Load Balancer's) binds it: `addresses.associate_address`.
"""

from __future__ import annotations

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2 import zones
from elba.ec2.addresses import already_associated, dissociated
from elba.ec2.faults import invalid, require
from elba.ec2.resources import Address, Instance, NetworkInterface, Vpc
from elba.ec2.tagging import specified_tags
from elba.errors import ApiError
from elba.store.interface import Transaction, View


def allocate_address(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError AddressLimitExceeded, InvalidParameterValue (a domain other than vpc)."""
    tags = specified_tags(request, "elastic-ip")["elastic-ip"]
    if request.get("domain") not in (None, "vpc"):
        raise invalid(request["domain"], "domain")
    taken = {a.public_ip for a in tx.all(Address)}
    elastic = zones.address_pool(tx).elastic
    wanted = request.get("address")
    if wanted:
        if not wanted.startswith(f"127.{elastic}.") or wanted in taken:
            raise ApiError("InvalidAddress.NotFound", f"Address '{wanted}' not found.")
        public_ip = wanted
    else:
        numbers = (f"127.{elastic}.{n // 256}.{n % 256}" for n in range(1, 65535))
        found = next((ip for ip in numbers if ip not in taken), None)
        if found is None:
            raise ApiError("AddressLimitExceeded", "The maximum number of addresses has been reached.")
        public_ip = found
    address = Address(
        account=call.account,
        region=call.region,
        id=call.ids.ec2("eipalloc"),
        public_ip=public_ip,
        network_border_group=call.region,
        tags=tags,
    )
    tx.put(address)
    return {
        "allocation_id": address.id,
        "public_ip": address.public_ip,
        "public_ipv4_pool": "amazon",
        "network_border_group": call.region,
        "domain": "vpc",
    }


def find_address(view: View, call: Call, request: Request) -> Address:
    """By `allocation_id` or `public_ip`. Raises: ApiError InvalidAllocationID.NotFound, InvalidAddress.NotFound."""
    if request.get("allocation_id"):
        return require(view, call, Address, request["allocation_id"])
    public_ip = request.get("public_ip")
    if not public_ip:
        raise ApiError("MissingParameter", "Either public IP or allocation id must be specified")
    for address in view.all(Address, call.account, call.region):
        if address.public_ip == public_ip:
            return address
    raise ApiError("InvalidAddress.NotFound", f"Address '{public_ip}' not found.")


def associate_address(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError Resource.AlreadyAssociated unless AllowReassociation, Invalid…NotFound, MissingParameter."""
    address = find_address(tx, call, request)
    instance: Instance | None = None
    if request.get("network_interface_id"):
        interface = require(tx, call, NetworkInterface, request["network_interface_id"])
        if interface.owner.startswith("i-"):
            instance = tx.get(Instance, call.account, call.region, interface.owner)
    elif request.get("instance_id"):
        instance = require(tx, call, Instance, request["instance_id"])
        if instance.state in ("shutting-down", "terminated"):
            raise ApiError("InvalidInstanceID", f"The instance '{instance.id}' is not in a valid state.")
        interface = require(tx, call, NetworkInterface, instance.network_interface_id)
    else:
        raise ApiError("MissingParameter", "Either instance ID or network interface id must be specified")
    if address.network_interface_id == interface.id:
        return {"association_id": address.association_id}
    if address.association_id:
        if not request.get("allow_reassociation", False):
            raise already_associated(address)
        _take_off(tx, call, address)
    if interface.allocation_id:
        other = require(tx, call, Address, interface.allocation_id)
        if not request.get("allow_reassociation", False):
            raise already_associated(other)
        _take_off(tx, call, other)
        interface = require(tx, call, NetworkInterface, interface.id)
    association = call.ids.ec2("eipassoc")
    tx.put(
        replace(
            address,
            association_id=association,
            network_interface_id=interface.id,
            instance_id=instance.id if instance else "",
            private_ip_address=request.get("private_ip_address") or interface.private_ip_address,
        )
    )
    tx.put(replace(interface, allocation_id=address.id, association_id=association, elastic_ip=address.public_ip))
    if instance is not None and instance.network_interface_id == interface.id:
        _show(tx, call, instance, address.public_ip)
    return {"association_id": association}


def _show(tx: Transaction, call: Call, instance: Instance, public_ip: str) -> None:
    """The instance's own record of its public address, which its metadata service serves."""
    instance = require(tx, call, Instance, instance.id)
    vpc = tx.get(Vpc, call.account, call.region, instance.vpc_id)
    named = public_ip and vpc is not None and vpc.enable_dns_hostnames
    tx.put(
        replace(
            instance,
            public_ip_address=public_ip,
            public_dns_name=zones.public_dns_name(call.region, public_ip) if named else "",
        )
    )


def _take_off(tx: Transaction, call: Call, address: Address) -> None:
    interface = tx.get(NetworkInterface, call.account, call.region, address.network_interface_id)
    if interface is not None:
        if interface.requester_managed:
            raise ApiError(
                "OperationNotPermitted",
                f"You do not have permission to disassociate the address of '{interface.id}'.",
            )
        plain = replace(interface, allocation_id="", association_id="", elastic_ip="")
        tx.put(plain)
        instance = tx.get(Instance, call.account, call.region, interface.owner)
        if instance is not None and instance.network_interface_id == interface.id:
            shown = plain.public and instance.state in ("pending", "running")
            _show(tx, call, instance, plain.host_address if shown else "")
    tx.put(dissociated(address))


def disassociate_address(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidAssociationID.NotFound, InvalidAddress.NotFound, MissingParameter."""
    if request.get("association_id"):
        addresses = tx.all(Address, call.account, call.region)
        found = next((a for a in addresses if a.association_id == request["association_id"]), None)
        if found is None:
            raise ApiError(
                "InvalidAssociationID.NotFound",
                f"The association ID '{request['association_id']}' does not exist",
            )
    elif request.get("public_ip"):
        found = find_address(tx, call, {"public_ip": request["public_ip"]})
    else:
        raise ApiError("MissingParameter", "Either public IP or association id must be specified")
    if found.association_id:
        _take_off(tx, call, found)
    return {}


def release_address(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidAllocationID.NotFound, InvalidIPAddress.InUse while it is associated."""
    address = find_address(tx, call, request)
    if address.association_id:
        raise ApiError("InvalidIPAddress.InUse", f"Address {address.public_ip} is in use.")
    tx.delete(address)
    return {}
