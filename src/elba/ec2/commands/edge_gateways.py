"""Egress-only internet gateways, virtual private gateways and customer gateways: data only."""

from __future__ import annotations

import ipaddress

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.edge_resources import CustomerGateway, EgressOnlyInternetGateway, VpnGateway
from elba.ec2.faults import invalid, missing, require
from elba.ec2.queries.edge_gateways import render_customer_gateway, render_egress_gateway, render_vpn_gateway
from elba.ec2.resources import RouteTable, Vpc
from elba.ec2.tagging import specified_tags
from elba.errors import ApiError
from elba.store.interface import Transaction


def create_egress_only_internet_gateway(tx: Transaction, call: Call, request: Request) -> Answer:
    tags = specified_tags(request, "egress-only-internet-gateway")["egress-only-internet-gateway"]
    vpc = require(tx, call, Vpc, request["vpc_id"])
    gateway = EgressOnlyInternetGateway(
        account=call.account, region=call.region, id=call.ids.ec2("eigw"), vpc_id=vpc.id, tags=tags
    )
    tx.put(gateway)
    return {
        "egress_only_internet_gateway": render_egress_gateway(gateway),
        "client_token": request.get("client_token"),
    }


def delete_egress_only_internet_gateway(tx: Transaction, call: Call, request: Request) -> Answer:
    tx.delete(require(tx, call, EgressOnlyInternetGateway, request["egress_only_internet_gateway_id"]))
    return {"return_code": True}


def create_vpn_gateway(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidParameterValue (a type other than ipsec.1, an ASN that is not a private one)."""
    tags = specified_tags(request, "vpn-gateway")["vpn-gateway"]
    if request["type"] != "ipsec.1":
        raise invalid(request["type"], "type")
    asn = request.get("amazon_side_asn") or 64512
    if not (64512 <= asn <= 65534 or 4200000000 <= asn <= 4294967294):
        raise invalid(str(asn), "amazonSideAsn")
    gateway = VpnGateway(
        account=call.account,
        region=call.region,
        id=call.ids.ec2("vgw"),
        amazon_side_asn=asn,
        availability_zone=request.get("availability_zone") or "",
        tags=tags,
    )
    tx.put(gateway)
    return {"vpn_gateway": render_vpn_gateway(gateway)}


def attach_vpn_gateway(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError VpnGatewayAttachmentLimitExceeded (it is attached), InvalidVpcState (the VPC has another)."""
    gateway = require(tx, call, VpnGateway, request["vpn_gateway_id"])
    vpc = require(tx, call, Vpc, request["vpc_id"])
    if gateway.vpc_id not in ("", vpc.id):
        raise ApiError(
            "VpnGatewayAttachmentLimitExceeded",
            f"The vpnGateway {gateway.id} is already attached to the VPC {gateway.vpc_id}.",
        )
    if any(g.id != gateway.id for g in tx.children(VpnGateway, call.account, call.region, vpc.id)):
        raise ApiError("InvalidVpcState", f"The VPC {vpc.id} already has a virtual private gateway attached.")
    tx.put(replace(gateway, vpc_id=vpc.id))
    return {"vpc_attachment": {"vpc_id": vpc.id, "state": "attached"}}


def detach_vpn_gateway(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidVpnGatewayAttachment.NotFound."""
    gateway = require(tx, call, VpnGateway, request["vpn_gateway_id"])
    if not gateway.vpc_id or gateway.vpc_id != request["vpc_id"]:
        raise ApiError(
            "InvalidVpnGatewayAttachment.NotFound",
            f"The attachment with vpn gateway ID '{gateway.id}' and vpc ID '{request['vpc_id']}' does not exist",
        )
    tx.put(replace(gateway, vpc_id="", propagating_to=[]))
    return {}


def delete_vpn_gateway(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidVpnGatewayID.NotFound, IncorrectState while it is attached."""
    gateway = require(tx, call, VpnGateway, request["vpn_gateway_id"])
    if gateway.vpc_id:
        raise ApiError("IncorrectState", f"The vpnGateway '{gateway.id}' is in use.")
    tx.delete(gateway)
    return {}


def enable_vgw_route_propagation(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError Gateway.NotAttached."""
    gateway = require(tx, call, VpnGateway, request["gateway_id"])
    table = require(tx, call, RouteTable, request["route_table_id"])
    if gateway.vpc_id != table.vpc_id:
        raise ApiError("Gateway.NotAttached", f"resource {gateway.id} is not attached to network {table.vpc_id}")
    if table.id not in gateway.propagating_to:
        tx.put(replace(gateway, propagating_to=[*gateway.propagating_to, table.id]))
    return {}


def disable_vgw_route_propagation(tx: Transaction, call: Call, request: Request) -> Answer:
    gateway = require(tx, call, VpnGateway, request["gateway_id"])
    table = require(tx, call, RouteTable, request["route_table_id"])
    tx.put(replace(gateway, propagating_to=[t for t in gateway.propagating_to if t != table.id]))
    return {}


def create_customer_gateway(tx: Transaction, call: Call, request: Request) -> Answer:
    """The same address and ASN again give the gateway that is there, as on EC2."""
    tags = specified_tags(request, "customer-gateway")["customer-gateway"]
    if request["type"] != "ipsec.1":
        raise invalid(request["type"], "type")
    address = request.get("ip_address") or request.get("public_ip") or ""
    asn = str(request.get("bgp_asn_extended") or request.get("bgp_asn") or 65000)
    if not address and not request.get("certificate_arn"):
        raise missing("IpAddress")
    if address:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise invalid(address, "ipAddress") from None
    for known in tx.all(CustomerGateway, call.account, call.region):
        if address and (known.ip_address, known.bgp_asn) == (address, asn):
            return {"customer_gateway": render_customer_gateway(known)}
    gateway = CustomerGateway(
        account=call.account,
        region=call.region,
        id=call.ids.ec2("cgw"),
        bgp_asn=asn,
        ip_address=address,
        certificate_arn=request.get("certificate_arn") or "",
        device_name=request.get("device_name") or "",
        tags=tags,
    )
    tx.put(gateway)
    return {"customer_gateway": render_customer_gateway(gateway)}


def delete_customer_gateway(tx: Transaction, call: Call, request: Request) -> Answer:
    tx.delete(require(tx, call, CustomerGateway, request["customer_gateway_id"]))
    return {}
