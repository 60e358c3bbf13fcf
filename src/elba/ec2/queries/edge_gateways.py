"""Egress-only internet gateways, virtual private gateways and customer gateways as the API shows them."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.ec2.edge_resources import CustomerGateway, EgressOnlyInternetGateway, VpnGateway
from elba.ec2.faults import require, require_all
from elba.ec2.filters import Fields, page, select
from elba.ec2.tagging import tag_list
from elba.store.interface import View


def render_egress_gateway(gateway: EgressOnlyInternetGateway) -> Answer:
    return {
        "egress_only_internet_gateway_id": gateway.id,
        "attachments": [{"vpc_id": gateway.vpc_id, "state": "attached"}],
        "tags": tag_list(gateway.tags),
    }


def describe_egress_only_internet_gateways(view: View, call: Call, request: Request) -> Answer:
    ids = request.get("egress_only_internet_gateway_ids")
    type_ = EgressOnlyInternetGateway
    # Ids that are not there are left out of the answer, not refused.
    found = [g for g in view.all(type_, call.account, call.region) if not ids or g.id in ids]
    found = select(found, request.get("filters"), {}, lambda g: g.tags)
    part, token = page(found, request, least=5, most=255)
    return {"egress_only_internet_gateways": [render_egress_gateway(g) for g in part], "next_token": token}


def render_vpn_gateway(gateway: VpnGateway) -> Answer:
    return {
        "vpn_gateway_id": gateway.id,
        "state": "available",
        "type": "ipsec.1",
        "amazon_side_asn": gateway.amazon_side_asn,
        "availability_zone": gateway.availability_zone or None,
        "vpc_attachments": [{"vpc_id": gateway.vpc_id, "state": "attached"}] if gateway.vpc_id else [],
        "tags": tag_list(gateway.tags),
    }


_VPN_FIELDS: Fields[VpnGateway] = {
    "amazon-side-asn": lambda g: g.amazon_side_asn,
    "attachment.state": lambda g: "attached" if g.vpc_id else None,
    "attachment.vpc-id": lambda g: g.vpc_id or None,
    "availability-zone": lambda g: g.availability_zone or None,
    "state": lambda g: "available",
    "type": lambda g: "ipsec.1",
    "vpn-gateway-id": lambda g: g.id,
}


def describe_vpn_gateways(view: View, call: Call, request: Request) -> Answer:
    ids = request.get("vpn_gateway_ids")
    found = require_all(view, call, VpnGateway, ids) if ids else view.all(VpnGateway, call.account, call.region)
    found = select(found, request.get("filters"), _VPN_FIELDS, lambda g: g.tags)
    return {"vpn_gateways": [render_vpn_gateway(g) for g in found]}


def render_customer_gateway(gateway: CustomerGateway) -> Answer:
    return {
        "customer_gateway_id": gateway.id,
        "state": "available",
        "type": "ipsec.1",
        "bgp_asn": gateway.bgp_asn,
        "ip_address": gateway.ip_address or None,
        "certificate_arn": gateway.certificate_arn or None,
        "device_name": gateway.device_name or None,
        "tags": tag_list(gateway.tags),
    }


_CUSTOMER_FIELDS: Fields[CustomerGateway] = {
    "bgp-asn": lambda g: g.bgp_asn,
    "customer-gateway-id": lambda g: g.id,
    "ip-address": lambda g: g.ip_address,
    "state": lambda g: "available",
    "type": lambda g: "ipsec.1",
}


def describe_customer_gateways(view: View, call: Call, request: Request) -> Answer:
    ids = request.get("customer_gateway_ids")
    type_ = CustomerGateway
    found = [require(view, call, type_, id_) for id_ in ids] if ids else view.all(type_, call.account, call.region)
    found = select(found, request.get("filters"), _CUSTOMER_FIELDS, lambda g: g.tags)
    return {"customer_gateways": [render_customer_gateway(g) for g in found]}
