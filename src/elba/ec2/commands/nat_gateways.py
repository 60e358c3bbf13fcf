"""NAT gateways: data. Instances reach the outside through the host whatever their routes say."""

from __future__ import annotations

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.addresses import allocate_interface, associate_address, release_interface
from elba.ec2.faults import invalid, require
from elba.ec2.idempotency import once
from elba.ec2.queries.nat_gateways import render_nat_gateway, require_nat_gateway
from elba.ec2.resources import Address, NatGateway, Subnet
from elba.ec2.tagging import specified_tags
from elba.errors import ApiError
from elba.store.interface import Transaction


def create_nat_gateway(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidSubnetID.NotFound, InvalidAllocationID.NotFound, Resource.AlreadyAssociated."""
    tags = specified_tags(request, "natgateway")["natgateway"]
    connectivity = request.get("connectivity_type") or "public"
    if connectivity not in ("public", "private"):
        raise invalid(connectivity, "connectivityType")
    if not request.get("subnet_id"):
        raise ApiError("MissingParameter", "The request must contain the parameter subnetId")
    subnet = require(tx, call, Subnet, request["subnet_id"])
    allocation = request.get("allocation_id")
    if connectivity == "public" and not allocation:
        raise ApiError("MissingParameter", "The request must contain the parameter allocationId")
    if connectivity == "private" and allocation:
        raise ApiError("InvalidParameterCombination", "A private NAT gateway has no Elastic IP address.")

    def make() -> list[str]:
        id_ = call.ids.ec2("nat")
        interface = allocate_interface(
            tx,
            call,
            subnet.id,
            owner=id_,
            description=f"Interface for NAT Gateway {id_}",
            group_ids=(),
            interface_type="nat_gateway",
            requester_managed=True,
            private_ip=request.get("private_ip_address"),
        )
        public_ip = ""
        if allocation:
            public_ip = require(tx, call, Address, allocation).public_ip
            associate_address(tx, call, allocation, interface.id)
        tx.put(
            NatGateway(
                account=call.account,
                region=call.region,
                id=id_,
                subnet_id=subnet.id,
                vpc_id=subnet.vpc_id,
                network_interface_id=interface.id,
                private_ip_address=interface.private_ip_address,
                allocation_id=allocation or "",
                public_ip=public_ip,
                connectivity_type=connectivity,
                create_time=call.now,
                tags=tags,
            )
        )
        return [id_]

    (id_,) = once(tx, call, request, "CreateNatGateway", make)
    return {
        "nat_gateway": render_nat_gateway(require_nat_gateway(tx, call, id_)),
        "client_token": request.get("client_token"),
    }


def delete_nat_gateway(tx: Transaction, call: Call, request: Request) -> Answer:
    """Its addresses are free at once; it can be described as deleted for an hour."""
    gateway = require_nat_gateway(tx, call, request["nat_gateway_id"])
    for old in tx.all(NatGateway, call.account, call.region):
        if old.state == "deleted" and old.delete_time <= call.now - 3600 and old.id != gateway.id:
            tx.delete(old)
    if gateway.state != "deleted":
        release_interface(tx, call, gateway.network_interface_id)
        tx.put(replace(gateway, state="deleted", delete_time=call.now))
    return {"nat_gateway_id": gateway.id}
