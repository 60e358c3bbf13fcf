"""VPC peering connections: data; on one machine every VPC reaches every other. One account and region a connection."""

from __future__ import annotations

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.edge_resources import VpcPeeringConnection
from elba.ec2.faults import require
from elba.ec2.queries.peering import render_peering
from elba.ec2.resources import Vpc
from elba.ec2.tagging import specified_tags
from elba.errors import ApiError
from elba.store.interface import Transaction

_ACCEPT_SECONDS = 7 * 86400.0


def create_vpc_peering_connection(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidVpcID.NotFound, VpcPeeringConnectionAlreadyExists, UnsupportedOperation."""
    tags = specified_tags(request, "vpc-peering-connection")["vpc-peering-connection"]
    vpc = require(tx, call, Vpc, request["vpc_id"])
    owner, region = request.get("peer_owner_id") or call.account, request.get("peer_region") or call.region
    if (owner, region) != (call.account, call.region):
        raise ApiError("UnsupportedOperation", "Elba peers VPCs of one account and region only.")
    peer = require(tx, call, Vpc, request.get("peer_vpc_id") or "")
    for known in tx.all(VpcPeeringConnection, call.account, call.region):
        if {known.vpc_id, known.peer_vpc_id} == {vpc.id, peer.id} and known.status in ("active", "pending-acceptance"):
            return {"vpc_peering_connection": render_peering(tx, known)}
    made = VpcPeeringConnection(
        account=call.account,
        region=call.region,
        id=call.ids.ec2("pcx"),
        vpc_id=vpc.id,
        peer_vpc_id=peer.id,
        peer_region=region,
        peer_owner_id=owner,
        expiration_time=call.now + _ACCEPT_SECONDS,
        tags=tags,
    )
    tx.put(made)
    return {"vpc_peering_connection": render_peering(tx, made)}


def _pending(tx: Transaction, call: Call, id_: str) -> VpcPeeringConnection:
    found = require(tx, call, VpcPeeringConnection, id_)
    if found.status != "pending-acceptance":
        raise ApiError(
            "InvalidStateTransition", f"Invalid state transition for {id_}, attempted to transition from {found.status}"
        )
    return found


def accept_vpc_peering_connection(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidVpcPeeringConnectionID.NotFound, InvalidStateTransition."""
    found = require(tx, call, VpcPeeringConnection, request["vpc_peering_connection_id"])
    if found.status != "active":
        found = replace(_pending(tx, call, found.id), status="active")
        tx.put(found)
    return {"vpc_peering_connection": render_peering(tx, found)}


def reject_vpc_peering_connection(tx: Transaction, call: Call, request: Request) -> Answer:
    tx.put(replace(_pending(tx, call, request["vpc_peering_connection_id"]), status="rejected"))
    return {"return": True}


def delete_vpc_peering_connection(tx: Transaction, call: Call, request: Request) -> Answer:
    found = require(tx, call, VpcPeeringConnection, request["vpc_peering_connection_id"])
    tx.put(replace(found, status="deleted"))
    return {"return": True}


def modify_vpc_peering_connection_options(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError OperationNotPermitted while it is not active."""
    found = require(tx, call, VpcPeeringConnection, request["vpc_peering_connection_id"])
    if found.status != "active":
        raise ApiError("OperationNotPermitted", f"Peering connection {found.id} is not active.")
    member = "allow_dns_resolution_from_remote_vpc"
    answer: Answer = {}
    for side, field in (("requester", "requester_dns"), ("accepter", "accepter_dns")):
        options = request.get(f"{side}_peering_connection_options")
        if options is None:
            continue
        if options.get(member) is not None:
            found = replace(found, **{field: options[member]})
        answer[f"{side}_peering_connection_options"] = {member: getattr(found, field)}
    tx.put(found)
    return answer
