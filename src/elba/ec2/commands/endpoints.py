"""VPC endpoints: data. Source: EC2 API reference, "CreateVpcEndpoint"; VPC user guide, "Gateway endpoints"."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.addresses import allocate_interface, release_interface
from elba.ec2.defaults import default_security_group
from elba.ec2.edge_resources import VpcEndpoint
from elba.ec2.faults import invalid, missing, require
from elba.ec2.idempotency import once
from elba.ec2.queries.endpoints import FULL_ACCESS, render_endpoint, services
from elba.ec2.queries.prefix_lists import aws_lists
from elba.ec2.resources import Route, RouteTable, SecurityGroup, Subnet, Vpc
from elba.ec2.tagging import specified_tags
from elba.errors import ApiError
from elba.store.interface import Transaction


def create_vpc_endpoint(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidServiceName, InvalidParameter, RouteAlreadyExists, InvalidVpcID.NotFound."""
    tags = specified_tags(request, "vpc-endpoint")["vpc-endpoint"]
    type_ = request.get("vpc_endpoint_type") or "Gateway"
    if type_ not in ("Gateway", "Interface"):
        raise ApiError("UnsupportedOperation", f"Elba has no VPC endpoints of type {type_}.")
    vpc = require(tx, call, Vpc, request["vpc_id"])
    name = request.get("service_name") or ""
    if not name:
        raise missing("ServiceName")
    if (name, type_) not in services(call):
        raise ApiError("InvalidServiceName", f"The Vpc Endpoint Service '{name}' does not exist")
    if type_ == "Gateway" and (request.get("subnet_ids") or request.get("security_group_ids")):
        raise ApiError("InvalidParameter", "Subnets and security groups are for interface endpoints.")
    if type_ == "Interface" and request.get("route_table_ids"):
        raise ApiError("InvalidParameter", "Route table IDs are only supported for Gateway type VPC Endpoint.")

    def make() -> list[str]:
        private_dns = request.get("private_dns_enabled")
        groups = request.get("security_group_ids") or ()
        group_ids = [require(tx, call, SecurityGroup, id_).id for id_ in groups]
        if type_ == "Interface" and not group_ids:
            default = default_security_group(tx, call, vpc.id)
            group_ids = [default.id] if default is not None else []
        made = VpcEndpoint(
            account=call.account,
            region=call.region,
            id=call.ids.ec2("vpce"),
            vpc_id=vpc.id,
            service_name=name,
            vpc_endpoint_type=type_,
            policy_document=request.get("policy_document") or FULL_ACCESS,
            group_ids=group_ids,
            private_dns_enabled=type_ == "Interface" and private_dns is not False,
            ip_address_type=request.get("ip_address_type") or "ipv4",
            dns_options=dict(request.get("dns_options") or {}),
            creation_timestamp=call.now,
            tags=tags,
        )
        made = _with_tables(tx, call, made, request.get("route_table_ids") or (), ())
        tx.put(_with_subnets(tx, call, made, request.get("subnet_ids") or (), ()))
        return [made.id]

    (id_,) = once(tx, call, request, "CreateVpcEndpoint", make)
    return {
        "vpc_endpoint": render_endpoint(tx, call, require(tx, call, VpcEndpoint, id_)),
        "client_token": request.get("client_token"),
    }


def _with_tables(
    tx: Transaction, call: Call, endpoint: VpcEndpoint, added: Iterable[str], removed: Iterable[str]
) -> VpcEndpoint:
    """A gateway endpoint is a route to the service's prefix list in each of its route tables."""
    destinations = {p.prefix_list_name: p.id for p in aws_lists(call)}
    ids = list(endpoint.route_table_ids)
    for id_ in removed:
        table = require(tx, call, RouteTable, id_)
        if id_ in ids:
            ids.remove(id_)
        tx.put(replace(table, routes=[r for r in table.routes if r.target_id != endpoint.id]))
    for id_ in added:
        table = require(tx, call, RouteTable, id_)
        if table.vpc_id != endpoint.vpc_id:
            raise ApiError("InvalidParameter", f"Route table {id_} is not in the VPC {endpoint.vpc_id}.")
        destination = destinations[endpoint.service_name]
        if any(r.destination == destination and r.target_id != endpoint.id for r in table.routes):
            raise ApiError(
                "RouteAlreadyExists",
                f"route table {id_} already has a route with destination-prefix-list-id {destination}",
            )
        if id_ not in ids:
            ids.append(id_)
            route = Route(destination=destination, target="gateway_id", target_id=endpoint.id)
            tx.put(replace(table, routes=[*table.routes, route]))
    return replace(endpoint, route_table_ids=ids)


def _with_subnets(
    tx: Transaction, call: Call, endpoint: VpcEndpoint, added: Iterable[str], removed: Iterable[str]
) -> VpcEndpoint:
    """An interface endpoint has a network interface in each of its subnets, one subnet a zone."""
    interfaces = dict(endpoint.interfaces)
    for id_ in removed:
        if id_ not in interfaces:
            raise ApiError("InvalidSubnetId.NotFound", f"The subnet ID '{id_}' is not one of {endpoint.id}")
        release_interface(tx, call, interfaces.pop(id_))
    for id_ in added:
        subnet = require(tx, call, Subnet, id_)
        if subnet.vpc_id != endpoint.vpc_id:
            raise invalid(id_, "subnetId", f"The subnet is not in the VPC {endpoint.vpc_id}.")
        if any(require(tx, call, Subnet, s).availability_zone == subnet.availability_zone for s in interfaces):
            raise ApiError(
                "DuplicateSubnetsInSameZone",
                f"Found another VPC endpoint subnet in the availability zone of {id_}. VPC endpoint subnets should "
                "be in different availability zones supported by the VPC endpoint service.",
            )
        interfaces[id_] = allocate_interface(
            tx,
            call,
            id_,
            owner=endpoint.id,
            description=f"VPC Endpoint Interface {endpoint.id}",
            group_ids=endpoint.group_ids,
            interface_type="vpc_endpoint",
            requester_managed=True,
        ).id
    return replace(endpoint, interfaces=interfaces)


def modify_vpc_endpoint(tx: Transaction, call: Call, request: Request) -> Answer:
    endpoint = require(tx, call, VpcEndpoint, request["vpc_endpoint_id"])
    groups = [id_ for id_ in endpoint.group_ids if id_ not in (request.get("remove_security_group_ids") or ())]
    groups += [require(tx, call, SecurityGroup, id_).id for id_ in request.get("add_security_group_ids") or ()]
    endpoint = replace(endpoint, group_ids=list(dict.fromkeys(groups)))
    endpoint = _with_tables(
        tx, call, endpoint, request.get("add_route_table_ids") or (), request.get("remove_route_table_ids") or ()
    )
    endpoint = _with_subnets(
        tx, call, endpoint, request.get("add_subnet_ids") or (), request.get("remove_subnet_ids") or ()
    )
    if request.get("reset_policy"):
        endpoint = replace(endpoint, policy_document=FULL_ACCESS)
    if request.get("policy_document"):
        endpoint = replace(endpoint, policy_document=request["policy_document"])
    if request.get("private_dns_enabled") is not None:
        endpoint = replace(endpoint, private_dns_enabled=request["private_dns_enabled"])
    if request.get("ip_address_type"):
        endpoint = replace(endpoint, ip_address_type=request["ip_address_type"])
    if request.get("dns_options"):
        endpoint = replace(endpoint, dns_options={**endpoint.dns_options, **request["dns_options"]})
    tx.put(endpoint)
    return {"return": True}


def delete_vpc_endpoints(tx: Transaction, call: Call, request: Request) -> Answer:
    """Each by itself: what cannot be deleted is named in the answer."""
    unsuccessful: list[Answer] = []
    for id_ in request["vpc_endpoint_ids"]:
        endpoint = tx.get(VpcEndpoint, call.account, call.region, id_)
        if endpoint is None:
            message = f"The Vpc Endpoint Id '{id_}' does not exist"
            error = {"code": "InvalidVpcEndpoint.NotFound", "message": message}
            unsuccessful.append({"resource_id": id_, "error": error})
            continue
        endpoint = _with_tables(tx, call, endpoint, (), list(endpoint.route_table_ids))
        tx.delete(_with_subnets(tx, call, endpoint, (), list(endpoint.interfaces)))
    return {"unsuccessful": unsuccessful}
