"""NAT gateways as the API shows them."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.ec2.filters import Fields, page, select
from elba.ec2.resources import NatGateway
from elba.ec2.tagging import tag_list
from elba.errors import ApiError
from elba.store.interface import View

KEEP_SECONDS = 3600.0


def require_nat_gateway(view: View, call: Call, id_: str) -> NatGateway:
    """Raises: ApiError NatGatewayNotFound (EC2's code for it)."""
    found = view.get(NatGateway, call.account, call.region, id_)
    if found is None or (found.state == "deleted" and found.delete_time <= call.now - KEEP_SECONDS):
        raise ApiError("NatGatewayNotFound", f"NAT gateway {id_} was not found")
    return found


def render_nat_gateway(gateway: NatGateway) -> Answer:
    return {
        "nat_gateway_id": gateway.id,
        "subnet_id": gateway.subnet_id,
        "vpc_id": gateway.vpc_id,
        "state": gateway.state,
        "connectivity_type": gateway.connectivity_type,
        "create_time": gateway.create_time,
        "delete_time": gateway.delete_time or None,
        "nat_gateway_addresses": [
            {
                "allocation_id": gateway.allocation_id or None,
                "network_interface_id": gateway.network_interface_id,
                "private_ip": gateway.private_ip_address,
                "public_ip": gateway.public_ip or None,
                "is_primary": True,
                "status": "succeeded",
            }
        ],
        "tags": tag_list(gateway.tags),
    }


_FIELDS: Fields[NatGateway] = {
    "nat-gateway-id": lambda g: g.id,
    "state": lambda g: g.state,
    "subnet-id": lambda g: g.subnet_id,
    "vpc-id": lambda g: g.vpc_id,
}


def describe_nat_gateways(view: View, call: Call, request: Request) -> Answer:
    if ids := request.get("nat_gateway_ids"):
        found = [require_nat_gateway(view, call, id_) for id_ in ids]
    else:
        found = [
            g
            for g in view.all(NatGateway, call.account, call.region)
            if g.state != "deleted" or g.delete_time > call.now - KEEP_SECONDS
        ]
    # The model calls this operation's filters "filter".
    found = select(found, request.get("filter"), _FIELDS, lambda g: g.tags)
    part, token = page(found, request, ids="nat_gateway_ids")
    return {"nat_gateways": [render_nat_gateway(g) for g in part], "next_token": token}
