"""VPC peering connections and flow logs as the API shows them."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.ec2.addresses import ipv4_blocks
from elba.ec2.edge_resources import FlowLog, VpcPeeringConnection
from elba.ec2.faults import require_all
from elba.ec2.filters import Fields, page, select
from elba.ec2.resources import Vpc
from elba.ec2.tagging import tag_list
from elba.store.interface import View

_MESSAGES = {
    "pending-acceptance": "Pending Acceptance by {}",
    "active": "Active",
    "rejected": "Inactive",
    "deleted": "Deleted by {}",
}


def _side(view: View, account: str, region: str, vpc_id: str, dns: bool, *, shown: bool) -> Answer:
    vpc = view.get(Vpc, account, region, vpc_id) if shown else None
    return {
        "vpc_id": vpc_id,
        "owner_id": account,
        "region": region,
        "cidr_block": None if vpc is None else vpc.cidr_block,
        "cidr_block_set": [] if vpc is None else [{"cidr_block": b.cidr_block} for b in ipv4_blocks(vpc)],
        "peering_options": {
            "allow_dns_resolution_from_remote_vpc": dns,
            "allow_egress_from_local_classic_link_to_remote_vpc": False,
            "allow_egress_from_local_vpc_to_remote_classic_link": False,
        }
        if shown
        else None,
    }


def render_peering(view: View, connection: VpcPeeringConnection) -> Answer:
    c = connection
    return {
        "vpc_peering_connection_id": c.id,
        "requester_vpc_info": _side(view, c.account, c.region, c.vpc_id, c.requester_dns, shown=True),
        "accepter_vpc_info": _side(
            view, c.peer_owner_id, c.peer_region, c.peer_vpc_id, c.accepter_dns, shown=c.status == "active"
        ),
        "status": {"code": c.status, "message": _MESSAGES[c.status].format(c.peer_owner_id)},
        "expiration_time": c.expiration_time if c.status == "pending-acceptance" else None,
        "tags": tag_list(c.tags),
    }


_FIELDS: Fields[VpcPeeringConnection] = {
    "accepter-vpc-info.owner-id": lambda c: c.peer_owner_id,
    "accepter-vpc-info.vpc-id": lambda c: c.peer_vpc_id,
    "requester-vpc-info.owner-id": lambda c: c.account,
    "requester-vpc-info.vpc-id": lambda c: c.vpc_id,
    "status-code": lambda c: c.status,
    "vpc-peering-connection-id": lambda c: c.id,
}


def describe_vpc_peering_connections(view: View, call: Call, request: Request) -> Answer:
    ids = request.get("vpc_peering_connection_ids")
    type_ = VpcPeeringConnection
    found = require_all(view, call, type_, ids) if ids else view.all(type_, call.account, call.region)
    found = select(found, request.get("filters"), _FIELDS, lambda c: c.tags)
    part, token = page(found, request)
    return {"vpc_peering_connections": [render_peering(view, c) for c in part], "next_token": token}


def render_flow_log(log: FlowLog) -> Answer:
    return {
        "flow_log_id": log.id,
        "flow_log_status": "ACTIVE",
        "deliver_logs_status": "SUCCESS",
        "resource_id": log.resource_id,
        "traffic_type": log.traffic_type or None,
        "log_destination_type": log.log_destination_type,
        "log_destination": log.log_destination or None,
        "log_group_name": log.log_group_name or None,
        "deliver_logs_permission_arn": log.deliver_logs_permission_arn or None,
        "log_format": log.log_format,
        "max_aggregation_interval": log.max_aggregation_interval,
        "destination_options": log.destination_options or None,
        "creation_time": log.creation_time,
        "tags": tag_list(log.tags),
    }


_LOG_FIELDS: Fields[FlowLog] = {
    "deliver-log-status": lambda f: "SUCCESS",
    "flow-log-id": lambda f: f.id,
    "log-destination-type": lambda f: f.log_destination_type,
    "log-group-name": lambda f: f.log_group_name or None,
    "resource-id": lambda f: f.resource_id,
    "traffic-type": lambda f: f.traffic_type,
}


def describe_flow_logs(view: View, call: Call, request: Request) -> Answer:
    """Ids that are not there are left out of the answer."""
    ids = request.get("flow_log_ids")
    found = [f for f in view.all(FlowLog, call.account, call.region) if not ids or f.id in ids]
    found = select(found, request.get("filter"), _LOG_FIELDS, lambda f: f.tags)
    part, token = page(found, request, least=1)
    return {"flow_logs": [render_flow_log(f) for f in part], "next_token": token}
