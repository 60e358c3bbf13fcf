"""Route tables as the API shows them."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.ec2.edge_resources import VpcEndpoint, VpcPeeringConnection, VpnGateway
from elba.ec2.faults import require_all
from elba.ec2.filters import Fields, page, select
from elba.ec2.resources import InternetGateway, NetworkInterface, Route, RouteTable
from elba.ec2.tagging import tag_list
from elba.store.interface import View


def is_active(view: View, call: Call, table: RouteTable, route: Route) -> bool:
    """False if what the route leads to is gone: a blackhole."""
    if route.target_id == "local":
        return True
    if route.target == "gateway_id" and route.target_id.startswith("igw-"):
        gateway = view.get(InternetGateway, call.account, call.region, route.target_id)
        return gateway is not None and gateway.vpc_id == table.vpc_id
    if route.target_id.startswith("vgw-"):
        attached = view.get(VpnGateway, call.account, call.region, route.target_id)
        return attached is not None and attached.vpc_id == table.vpc_id
    if route.target_id.startswith("vpce-"):
        return view.get(VpcEndpoint, call.account, call.region, route.target_id) is not None
    if route.target == "vpc_peering_connection_id":
        connection = view.get(VpcPeeringConnection, call.account, call.region, route.target_id)
        return connection is not None and connection.status == "active"
    if route.target == "network_interface_id":
        return view.get(NetworkInterface, call.account, call.region, route.target_id) is not None
    return True


def destination_member(route: Route) -> str:
    """Which of the API's members holds the route's destination."""
    if route.destination.startswith("pl-"):
        return "destination_prefix_list_id"
    return "destination_ipv6_cidr_block" if ":" in route.destination else "destination_cidr_block"


def _route(view: View, call: Call, table: RouteTable, route: Route) -> Answer:
    answer: Answer = {
        destination_member(route): route.destination,
        route.target: route.target_id,
        "origin": route.origin,
        "state": "active" if is_active(view, call, table, route) else "blackhole",
    }
    if route.target == "network_interface_id":
        interface = view.get(NetworkInterface, call.account, call.region, route.target_id)
        if interface is not None and interface.owner.startswith("i-"):
            answer["instance_id"] = interface.owner
            answer["instance_owner_id"] = interface.account
    return answer


def render_table(view: View, call: Call, table: RouteTable) -> Answer:
    return {
        "route_table_id": table.id,
        "vpc_id": table.vpc_id,
        "owner_id": table.account,
        "routes": [_route(view, call, table, r) for r in table.routes],
        "associations": [
            {
                "route_table_association_id": a.association_id,
                "route_table_id": table.id,
                "subnet_id": a.subnet_id or None,
                "gateway_id": a.gateway_id or None,
                "main": a.main,
                "association_state": {"state": "associated"},
            }
            for a in table.associations
        ],
        "propagating_vgws": [
            {"gateway_id": g.id}
            for g in view.children(VpnGateway, call.account, call.region, table.vpc_id)
            if table.id in g.propagating_to
        ],
        "tags": tag_list(table.tags),
    }


def _targets(table: RouteTable, target: str) -> list[str]:
    return [r.target_id for r in table.routes if r.target == target]


def _destinations(table: RouteTable, member: str) -> list[str]:
    return [r.destination for r in table.routes if destination_member(r) == member]


def _fields(view: View, call: Call) -> Fields[RouteTable]:
    return {
        "route-table-id": lambda t: t.id,
        "vpc-id": lambda t: t.vpc_id,
        "owner-id": lambda t: t.account,
        "association.main": lambda t: ["true" if a.main else "false" for a in t.associations],
        "association.subnet-id": lambda t: [a.subnet_id for a in t.associations if a.subnet_id],
        "association.gateway-id": lambda t: [a.gateway_id for a in t.associations if a.gateway_id],
        "association.route-table-id": lambda t: t.id if t.associations else None,
        "association.route-table-association-id": lambda t: [a.association_id for a in t.associations],
        "route.destination-cidr-block": lambda t: _destinations(t, "destination_cidr_block"),
        "route.destination-ipv6-cidr-block": lambda t: _destinations(t, "destination_ipv6_cidr_block"),
        "route.destination-prefix-list-id": lambda t: _destinations(t, "destination_prefix_list_id"),
        "route.gateway-id": lambda t: _targets(t, "gateway_id"),
        "route.nat-gateway-id": lambda t: _targets(t, "nat_gateway_id"),
        "route.transit-gateway-id": lambda t: _targets(t, "transit_gateway_id"),
        "route.vpc-peering-connection-id": lambda t: _targets(t, "vpc_peering_connection_id"),
        "route.egress-only-internet-gateway-id": lambda t: _targets(t, "egress_only_internet_gateway_id"),
        "route.instance-id": lambda t: [
            i.owner
            for id_ in _targets(t, "network_interface_id")
            if (i := view.get(NetworkInterface, call.account, call.region, id_)) is not None
        ],
        "route.origin": lambda t: [r.origin for r in t.routes],
        "route.state": lambda t: ["active" if is_active(view, call, t, r) else "blackhole" for r in t.routes],
    }


def describe_route_tables(view: View, call: Call, request: Request) -> Answer:
    ids = request.get("route_table_ids")
    found = require_all(view, call, RouteTable, ids) if ids else view.all(RouteTable, call.account, call.region)
    found = select(found, request.get("filters"), _fields(view, call), lambda t: t.tags)
    part, token = page(found, request, ids="route_table_ids", most=100)
    return {"route_tables": [render_table(view, call, t) for t in part], "next_token": token}
