"""Spot Instance requests, which are part of their instances here, and the price of each pool.

Source: EC2 API reference, "SpotInstanceRequest".
"""

from __future__ import annotations

from collections.abc import Sequence

from elba.call import Answer, Call, Request
from elba.ec2 import zones
from elba.ec2.filters import Fields, page, select
from elba.ec2.instance_types import TYPES, InstanceType
from elba.ec2.prices import on_demand_price, spot_price
from elba.ec2.resources import Instance
from elba.errors import ApiError
from elba.store.interface import View

_PRODUCT = "Linux/UNIX"


def _state(instance: Instance) -> tuple[str, str]:
    """(state, status code)"""
    if instance.spot_request_cancelled:
        running = instance.state in ("pending", "running")
        return "cancelled", "request-canceled-and-instance-running" if running else "canceled-before-fulfillment"
    if instance.state in ("shutting-down", "terminated"):
        by_spot = instance.state_reason_code == "Server.SpotInstanceTermination"
        return "closed", "instance-terminated-by-price" if by_spot else "instance-terminated-by-user"
    if instance.state in ("stopping", "stopped"):
        return "disabled" if instance.state_reason_code.startswith("Client.") else "open", "instance-stopped-by-user"
    return "active", "fulfilled"


_FIELDS: Fields[Instance] = {
    "spot-instance-request-id": lambda i: i.spot_instance_request_id,
    "instance-id": lambda i: i.id,
    "state": lambda i: _state(i)[0],
    "status-code": lambda i: _state(i)[1],
    "type": lambda i: i.spot_instance_type,
    "launch.image-id": lambda i: i.image_id,
    "launch.instance-type": lambda i: i.instance_type,
    "launched-availability-zone": lambda i: i.availability_zone,
}


def requested(view: View, call: Call, ids: Sequence[str] | None) -> list[Instance]:
    """The instances of these requests, or of all. Raises: ApiError InvalidSpotInstanceRequestID.NotFound."""
    found = [i for i in view.all(Instance, call.account, call.region) if i.spot_instance_request_id]
    if not ids:
        return found
    by_id = {i.spot_instance_request_id: i for i in found}
    for id_ in ids:
        if id_ not in by_id:
            raise ApiError(
                "InvalidSpotInstanceRequestID.NotFound", f"The spot instance request ID '{id_}' does not exist"
            )
    return [by_id[id_] for id_ in ids]


def describe_spot_instance_requests(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidSpotInstanceRequestID.NotFound."""
    found = requested(view, call, request.get("spot_instance_request_ids"))
    found = select(found, request.get("filters"), _FIELDS, lambda i: {})
    part, token = page(found, request, ids="spot_instance_request_ids")
    return {
        "spot_instance_requests": [
            {
                "spot_instance_request_id": i.spot_instance_request_id,
                "instance_id": i.id,
                "state": _state(i)[0],
                "status": {"code": _state(i)[1], "message": "", "update_time": i.state_transition_time},
                "type": i.spot_instance_type,
                "instance_interruption_behavior": i.spot_interruption_behavior,
                "product_description": _PRODUCT,
                "spot_price": _maximum(i),
                "create_time": i.launch_time,
                "launched_availability_zone": i.availability_zone,
                "launch_specification": {
                    "image_id": i.image_id,
                    "instance_type": i.instance_type,
                    "subnet_id": i.subnet_id,
                },
                "tags": [],
            }
            for i in part
        ],
        "next_token": token,
    }


def _maximum(instance: Instance) -> str:
    """The request's price: the most it pays, which is the On-Demand price unless it named another."""
    return instance.spot_max_price or f"{on_demand_price(TYPES[instance.instance_type]):.6f}"


def _price(type_: InstanceType, zone: str) -> str:
    return f"{spot_price(type_.name, zone):.6f}"


def describe_spot_price_history(view: View, call: Call, request: Request) -> Answer:
    """The same price at all times, per type and zone."""
    names = request.get("instance_types") or list(TYPES)
    products = request.get("product_descriptions")
    zone = request.get("availability_zone")
    wanted = [zone] if zone else zones.zone_names(view, call.region)
    prices = [(TYPES[n], z) for n in names if n in TYPES for z in wanted]
    if products and not {_PRODUCT, f"{_PRODUCT} (Amazon VPC)"} & set(products):
        prices = []
    fields: Fields[tuple[InstanceType, str]] = {
        "availability-zone": lambda p: p[1],
        "instance-type": lambda p: p[0].name,
        "product-description": lambda p: [_PRODUCT, f"{_PRODUCT} (Amazon VPC)"],
        "spot-price": lambda p: _price(*p),
        "timestamp": lambda p: None,
    }
    part, token = page(select(prices, request.get("filters"), fields), request, least=1)
    return {
        "spot_price_history": [
            {
                "instance_type": type_.name,
                "availability_zone": z,
                "availability_zone_id": zones.zone_id(z),
                "product_description": _PRODUCT,
                "spot_price": _price(type_, z),
                "timestamp": call.now,
            }
            for type_, z in part
        ],
        "next_token": token,
    }
