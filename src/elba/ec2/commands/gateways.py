"""Internet gateways."""

from __future__ import annotations

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.faults import has_dependencies, require
from elba.ec2.queries.interfaces import public_address
from elba.ec2.queries.network import render_gateway
from elba.ec2.resources import InternetGateway, NetworkInterface, Subnet, Vpc
from elba.ec2.tagging import specified_tags
from elba.errors import ApiError
from elba.store.interface import Transaction


def create_internet_gateway(tx: Transaction, call: Call, request: Request) -> Answer:
    tags = specified_tags(request, "internet-gateway")["internet-gateway"]
    gateway = InternetGateway(account=call.account, region=call.region, id=call.ids.ec2("igw"), tags=tags)
    tx.put(gateway)
    return {"internet_gateway": render_gateway(gateway)}


def attach_internet_gateway(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError Resource.AlreadyAssociated, InvalidParameterValue (the VPC has another one)."""
    gateway = require(tx, call, InternetGateway, request["internet_gateway_id"])
    vpc = require(tx, call, Vpc, request["vpc_id"])
    if gateway.vpc_id:
        raise ApiError(
            "Resource.AlreadyAssociated",
            f"resource {gateway.id} is already attached to network {gateway.vpc_id}",
        )
    if tx.children(InternetGateway, call.account, call.region, vpc.id):
        raise ApiError("InvalidParameterValue", f"Network {vpc.id} already has an internet gateway attached")
    tx.put(replace(gateway, vpc_id=vpc.id))
    return {}


def detach_internet_gateway(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError Gateway.NotAttached, DependencyViolation while an address of the VPC is public."""
    gateway = require(tx, call, InternetGateway, request["internet_gateway_id"])
    vpc = require(tx, call, Vpc, request["vpc_id"])
    if gateway.vpc_id != vpc.id:
        raise ApiError("Gateway.NotAttached", f"resource {gateway.id} is not attached to network {vpc.id}")
    for subnet in tx.children(Subnet, call.account, call.region, vpc.id):
        for interface in tx.children(NetworkInterface, call.account, call.region, subnet.id):
            if public_address(interface):
                raise ApiError(
                    "DependencyViolation",
                    f"Network {vpc.id} has some mapped public address(es). Please unmap those public address(es) "
                    "before detaching the gateway.",
                )
    tx.put(replace(gateway, vpc_id=""))
    return {}


def delete_internet_gateway(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidInternetGatewayID.NotFound, DependencyViolation while it is attached."""
    gateway = require(tx, call, InternetGateway, request["internet_gateway_id"])
    if gateway.vpc_id:
        raise has_dependencies("internetGateway", gateway.id)
    tx.delete(gateway)
    return {}
