"""Route tables, routes, associations. They are data: Elba's addresses are reachable whatever they say."""

from __future__ import annotations

import ipaddress

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.commands.blocks import parse_cidr
from elba.ec2.defaults import local_routes
from elba.ec2.edge_resources import EgressOnlyInternetGateway, VpcEndpoint, VpcPeeringConnection, VpnGateway
from elba.ec2.faults import has_dependencies, invalid, require
from elba.ec2.idempotency import once
from elba.ec2.queries.routes import render_table
from elba.ec2.resources import (
    Instance,
    InternetGateway,
    NatGateway,
    NetworkInterface,
    Route,
    RouteTable,
    RouteTableAssociation,
    Subnet,
    Vpc,
)
from elba.ec2.tagging import specified_tags
from elba.errors import ApiError
from elba.resource import Resource
from elba.store.interface import Transaction, View

_DESTINATIONS = ("destination_cidr_block", "destination_ipv6_cidr_block", "destination_prefix_list_id")
_TARGETS = (
    "gateway_id",
    "nat_gateway_id",
    "network_interface_id",
    "instance_id",
    "transit_gateway_id",
    "vpc_peering_connection_id",
    "egress_only_internet_gateway_id",
    "local_gateway_id",
    "carrier_gateway_id",
    "vpc_endpoint_id",
    "core_network_arn",
)
ONE_TARGET = (
    "The request must contain exactly one of gatewayId, localGatewayId, carrierGatewayId, natGatewayId, "
    "networkInterfaceId, vpcPeeringConnectionId, egressOnlyInternetGatewayId, transitGatewayId, vpcEndpointId, "
    "coreNetworkArn or instanceId"
)
_ABSENT = {
    "transit_gateway_id": "InvalidTransitGatewayID.NotFound",
    "local_gateway_id": "InvalidLocalGatewayID.NotFound",
    "carrier_gateway_id": "InvalidCarrierGatewayID.NotFound",
    "core_network_arn": "InvalidCoreNetworkArn.NotFound",
}
"""Kinds of target of which Elba has none."""
_KEPT: dict[str, type[Resource]] = {
    "vpc_peering_connection_id": VpcPeeringConnection,
    "egress_only_internet_gateway_id": EgressOnlyInternetGateway,
    "vpc_endpoint_id": VpcEndpoint,
}
"""Kinds of target that are data only."""


def create_route_table(tx: Transaction, call: Call, request: Request) -> Answer:
    tags = specified_tags(request, "route-table")["route-table"]
    vpc = require(tx, call, Vpc, request["vpc_id"])

    def make() -> list[str]:
        table = RouteTable(
            account=call.account,
            region=call.region,
            id=call.ids.ec2("rtb"),
            vpc_id=vpc.id,
            routes=local_routes(vpc),
            tags=tags,
        )
        tx.put(table)
        return [table.id]

    (id_,) = once(tx, call, request, "CreateRouteTable", make)
    return {
        "route_table": render_table(tx, call, require(tx, call, RouteTable, id_)),
        "client_token": request.get("client_token"),
    }


def delete_route_table(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidRouteTableID.NotFound, DependencyViolation while it is associated, or the main one."""
    table = require(tx, call, RouteTable, request["route_table_id"])
    if table.associations:
        raise has_dependencies("routeTable", table.id)
    tx.delete(table)
    return {}


def _destination(request: Request) -> str:
    given = [request[name] for name in _DESTINATIONS if request.get(name)]
    if not given:
        raise ApiError("MissingParameter", "The request must contain the parameter destinationCidrBlock")
    if len(given) > 1:
        raise ApiError("InvalidParameterCombination", "The request must contain exactly one destination of the route.")
    text = str(given[0])
    if request.get("destination_cidr_block"):
        return str(parse_cidr(text, "destinationCidrBlock"))
    if request.get("destination_ipv6_cidr_block"):
        try:
            return str(ipaddress.IPv6Network(text, strict=False))
        except ValueError:
            raise invalid(text, "destinationIpv6CidrBlock", "This is not a valid IPv6 CIDR block.") from None
    return text


def _target(view: View, call: Call, table: RouteTable, request: Request) -> tuple[str, str]:
    """(member, id). Raises: ApiError if it is not there, or in another VPC."""
    given = [(name, str(request[name])) for name in _TARGETS if request.get(name)]
    if not given:
        raise ApiError("MissingParameter", ONE_TARGET)
    if len(given) > 1:
        raise ApiError("InvalidParameterCombination", ONE_TARGET)
    name, id_ = given[0]
    if name in _ABSENT:
        raise ApiError(_ABSENT[name], f"The ID '{id_}' does not exist")
    if name == "gateway_id":
        return name, _gateway(view, call, table, id_)
    for member, type_ in _KEPT.items():
        if name == member:
            return name, require(view, call, type_, id_).id
    if name == "nat_gateway_id":
        gateway = view.get(NatGateway, call.account, call.region, id_)
        if gateway is None or gateway.state == "deleted":
            raise ApiError("InvalidNatGatewayID.NotFound", f"The natGateway ID '{id_}' does not exist")
        return name, id_
    if name == "instance_id":
        instance = require(view, call, Instance, id_)
        name, id_ = "network_interface_id", instance.network_interface_id
    interface = require(view, call, NetworkInterface, id_)
    if interface.vpc_id != table.vpc_id:
        raise ApiError(
            "InvalidParameterValue",
            f"route table {table.id} and interface {id_} belong to different networks",
        )
    return name, id_


def _gateway(view: View, call: Call, table: RouteTable, id_: str) -> str:
    if id_ == "local":
        return id_
    gateway: InternetGateway | VpnGateway | None = view.get(InternetGateway, call.account, call.region, id_)
    if gateway is None:
        gateway = view.get(VpnGateway, call.account, call.region, id_)
    if gateway is None:
        raise ApiError("InvalidGatewayID.NotFound", f"The gateway ID '{id_}' does not exist")
    if gateway.vpc_id != table.vpc_id:
        raise ApiError(
            "InvalidParameterValue", f"route table {table.id} and network gateway {id_} belong to different networks"
        )
    return id_


def create_route(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidRouteTableID.NotFound, RouteAlreadyExists, Invalid…NotFound of the target."""
    table = require(tx, call, RouteTable, request["route_table_id"])
    destination = _destination(request)
    target, id_ = _target(tx, call, table, request)
    existing = next((r for r in table.routes if r.destination == destination), None)
    if existing is not None:
        if existing.target_id == "local":
            raise invalid(
                destination, "destinationCidrBlock", "The destination CIDR block is equal to one of this VPC's."
            )
        if (existing.target, existing.target_id) != (target, id_):
            raise ApiError("RouteAlreadyExists", f"The route identified by {destination} already exists.")
        return {"return": True}
    tx.put(replace(table, routes=[*table.routes, Route(destination=destination, target=target, target_id=id_)]))
    return {"return": True}


def replace_route(tx: Transaction, call: Call, request: Request) -> Answer:
    table = require(tx, call, RouteTable, request["route_table_id"])
    destination = _destination(request)
    old = _route(table, destination)
    if request.get("local_target"):
        target, id_ = "gateway_id", "local"
    else:
        target, id_ = _target(tx, call, table, request)
    new = replace(old, target=target, target_id=id_)
    tx.put(replace(table, routes=[new if r is old else r for r in table.routes]))
    return {}


def delete_route(tx: Transaction, call: Call, request: Request) -> Answer:
    table = require(tx, call, RouteTable, request["route_table_id"])
    destination = _destination(request)
    route = _route(table, destination)
    if route.target_id == "local":
        raise ApiError("InvalidParameterValue", f"cannot remove local route {destination} in route table {table.id}")
    tx.put(replace(table, routes=[r for r in table.routes if r is not route]))
    return {}


def _route(table: RouteTable, destination: str) -> Route:
    found = next((r for r in table.routes if r.destination == destination), None)
    if found is None:
        raise ApiError(
            "InvalidRoute.NotFound",
            f"no route with destination-cidr-block {destination} in route table {table.id}",
        )
    return found


def associate_route_table(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError Resource.AlreadyAssociated (the subnet has a table of its own), InvalidParameterValue."""
    table = require(tx, call, RouteTable, request["route_table_id"])
    if request.get("gateway_id"):
        gateway_id = request["gateway_id"]
        require(tx, call, InternetGateway, gateway_id)
        association = RouteTableAssociation(association_id=call.ids.ec2("rtbassoc"), gateway_id=gateway_id)
    else:
        if not request.get("subnet_id"):
            raise ApiError("MissingParameter", "The request must contain the parameter subnetId")
        subnet = require(tx, call, Subnet, request["subnet_id"])
        if subnet.vpc_id != table.vpc_id:
            raise ApiError(
                "InvalidParameterValue",
                f"route table {table.id} and subnet {subnet.id} belong to different networks",
            )
        for other in tx.children(RouteTable, call.account, call.region, table.vpc_id):
            for known in other.associations:
                if known.subnet_id != subnet.id:
                    continue
                if other.id == table.id:
                    return _associated(known)
                raise ApiError(
                    "Resource.AlreadyAssociated",
                    f"the specified association for route table {table.id} conflicts with an existing association",
                )
        association = RouteTableAssociation(association_id=call.ids.ec2("rtbassoc"), subnet_id=subnet.id)
    tx.put(replace(table, associations=[*table.associations, association]))
    return _associated(association)


def _associated(association: RouteTableAssociation) -> Answer:
    return {
        "association_id": association.association_id,
        "association_state": {"state": "associated"},
    }


def find_association(view: View, call: Call, id_: str) -> tuple[RouteTable, RouteTableAssociation]:
    """Raises: ApiError InvalidAssociationID.NotFound."""
    for table in view.all(RouteTable, call.account, call.region):
        for association in table.associations:
            if association.association_id == id_:
                return table, association
    raise ApiError("InvalidAssociationID.NotFound", f"The association ID '{id_}' does not exist")


def disassociate_route_table(tx: Transaction, call: Call, request: Request) -> Answer:
    table, association = find_association(tx, call, request["association_id"])
    if association.main:
        raise ApiError(
            "InvalidParameterValue",
            f"cannot disassociate the main route table association {association.association_id}",
        )
    tx.put(replace(table, associations=[a for a in table.associations if a is not association]))
    return {}


def replace_route_table_association(tx: Transaction, call: Call, request: Request) -> Answer:
    """Moves an association, the main one too, to another table of the VPC; it gets a new id."""
    old_table, old = find_association(tx, call, request["association_id"])
    table = require(tx, call, RouteTable, request["route_table_id"])
    if table.vpc_id != old_table.vpc_id:
        raise ApiError(
            "InvalidParameterValue",
            f"route table {table.id} and route table {old_table.id} belong to different networks",
        )
    new = replace(old, association_id=call.ids.ec2("rtbassoc"))
    tx.put(replace(old_table, associations=[a for a in old_table.associations if a is not old]))
    table = require(tx, call, RouteTable, table.id)
    tx.put(replace(table, associations=[*table.associations, new]))
    return {"new_association_id": new.association_id, "association_state": {"state": "associated"}}
