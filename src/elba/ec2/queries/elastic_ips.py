"""Elastic IP addresses as the API shows them."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.ec2.faults import require_all
from elba.ec2.filters import Fields, page, select
from elba.ec2.resources import Address
from elba.ec2.tagging import tag_list
from elba.errors import ApiError
from elba.store.interface import View


def render_address(address: Address) -> Answer:
    return {
        "allocation_id": address.id,
        "public_ip": address.public_ip,
        "domain": "vpc",
        "association_id": address.association_id or None,
        "instance_id": address.instance_id or None,
        "network_interface_id": address.network_interface_id or None,
        "network_interface_owner_id": address.account if address.network_interface_id else None,
        "private_ip_address": address.private_ip_address or None,
        "public_ipv4_pool": "amazon",
        "network_border_group": address.network_border_group,
        "tags": tag_list(address.tags),
    }


_FIELDS: Fields[Address] = {
    "allocation-id": lambda a: a.id,
    "association-id": lambda a: a.association_id or None,
    "domain": lambda a: "vpc",
    "instance-id": lambda a: a.instance_id or None,
    "network-border-group": lambda a: a.network_border_group,
    "network-interface-id": lambda a: a.network_interface_id or None,
    "network-interface-owner-id": lambda a: a.account if a.network_interface_id else None,
    "private-ip-address": lambda a: a.private_ip_address or None,
    "public-ip": lambda a: a.public_ip,
}


def describe_addresses(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidAllocationID.NotFound, InvalidAddress.NotFound."""
    ids = request.get("allocation_ids")
    found = require_all(view, call, Address, ids) if ids else view.all(Address, call.account, call.region)
    if public_ips := request.get("public_ips"):
        known = {a.public_ip for a in found}
        for public_ip in public_ips:
            if public_ip not in known:
                raise ApiError("InvalidAddress.NotFound", f"Address '{public_ip}' not found.")
        found = [a for a in found if a.public_ip in public_ips]
    found = select(found, request.get("filters"), _FIELDS, lambda a: a.tags)
    return {"addresses": [render_address(a) for a in found]}


def describe_addresses_attribute(view: View, call: Call, request: Request) -> Answer:
    """The addresses' reverse DNS names: Elba's have none."""
    ids = request.get("allocation_ids")
    found = require_all(view, call, Address, ids) if ids else []
    part, token = page(found, request, least=1)
    return {
        "addresses": [{"public_ip": a.public_ip, "allocation_id": a.id} for a in part],
        "next_token": token,
    }
