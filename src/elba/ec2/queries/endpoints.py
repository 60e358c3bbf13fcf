"""VPC endpoints as the API shows them, and the services they lead to."""

from __future__ import annotations

from collections.abc import Sequence

from elba.call import Answer, Call, Request
from elba.ec2 import zones
from elba.ec2.edge_resources import VpcEndpoint
from elba.ec2.faults import require_all
from elba.ec2.filters import Fields, page, select
from elba.ec2.resources import SecurityGroup
from elba.ec2.tagging import tag_list
from elba.errors import ApiError
from elba.store.interface import View

GATEWAY_SERVICES = ("s3", "dynamodb")
INTERFACE_SERVICES = (
    "autoscaling",
    "ec2",
    "ec2messages",
    "ecr.api",
    "ecr.dkr",
    "ecs",
    "ecs-agent",
    "ecs-telemetry",
    "elasticloadbalancing",
    "kms",
    "lambda",
    "logs",
    "monitoring",
    "rds",
    "s3",
    "secretsmanager",
    "sns",
    "sqs",
    "ssm",
    "ssmmessages",
    "sts",
)
FULL_ACCESS = '{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}'


def services(call: Call) -> list[tuple[str, str]]:
    """(name, type) of the region's services."""
    prefix = f"com.amazonaws.{call.region}."
    return [
        *((prefix + name, "Gateway") for name in GATEWAY_SERVICES),
        *((prefix + name, "Interface") for name in INTERFACE_SERVICES),
    ]


def render_endpoint(view: View, call: Call, endpoint: VpcEndpoint) -> Answer:
    groups = [view.get(SecurityGroup, call.account, call.region, id_) for id_ in endpoint.group_ids]
    service = endpoint.service_name.rpartition(".")[2]
    interface = endpoint.vpc_endpoint_type == "Interface"
    zone_id = "Z7HUB22UULQXV"
    return {
        "vpc_endpoint_id": endpoint.id,
        "vpc_endpoint_type": endpoint.vpc_endpoint_type,
        "vpc_id": endpoint.vpc_id,
        "service_name": endpoint.service_name,
        "state": "available",
        "policy_document": endpoint.policy_document,
        "route_table_ids": endpoint.route_table_ids,
        "subnet_ids": list(endpoint.interfaces),
        "network_interface_ids": list(endpoint.interfaces.values()),
        "groups": [{"group_id": g.id, "group_name": g.group_name} for g in groups if g is not None],
        "private_dns_enabled": endpoint.private_dns_enabled,
        "requester_managed": False,
        "ip_address_type": endpoint.ip_address_type,
        "dns_options": {
            "dns_record_ip_type": "ipv4" if interface else "service-defined",
            **endpoint.dns_options,
        },
        "dns_entries": [
            {
                "dns_name": f"{endpoint.id}-{endpoint.id[-8:]}.{service}.{call.region}.vpce.localhost",
                "hosted_zone_id": zone_id,
            }
        ]
        if interface
        else [],
        "creation_timestamp": endpoint.creation_timestamp,
        "owner_id": endpoint.account,
        "tags": tag_list(endpoint.tags),
    }


_FIELDS: Fields[VpcEndpoint] = {
    "ip-address-type": lambda e: e.ip_address_type,
    "service-name": lambda e: e.service_name,
    "vpc-id": lambda e: e.vpc_id,
    "vpc-endpoint-id": lambda e: e.id,
    "vpc-endpoint-state": lambda e: "available",
    "vpc-endpoint-type": lambda e: e.vpc_endpoint_type,
}


def describe_vpc_endpoints(view: View, call: Call, request: Request) -> Answer:
    ids = request.get("vpc_endpoint_ids")
    found = require_all(view, call, VpcEndpoint, ids) if ids else view.all(VpcEndpoint, call.account, call.region)
    found = select(found, request.get("filters"), _FIELDS, lambda e: e.tags)
    part, token = page(found, request, least=1)
    return {"vpc_endpoints": [render_endpoint(view, call, e) for e in part], "next_token": token}


def describe_vpc_endpoint_services(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidServiceName."""
    fields: Fields[tuple[str, str]] = {
        "service-name": lambda s: s[0],
        "service-type": lambda s: s[1],
        "owner": lambda s: "amazon",
    }
    found: Sequence[tuple[str, str]] = services(call)
    if names := request.get("service_names"):
        for name in names:
            if all(name != known for known, _ in found):
                raise ApiError("InvalidServiceName", f"The Vpc Endpoint Service '{name}' does not exist")
        found = [s for s in found if s[0] in names]
    found = select(found, request.get("filters"), fields, lambda s: {})
    part, token = page(found, request, least=1)
    names_shown = sorted({name for name, _ in part})
    zone_names = zones.zone_names(view, call.region)
    return {
        "service_names": names_shown,
        "service_details": [
            {
                "service_name": name,
                "service_type": [{"service_type": type_}],
                "service_region": call.region,
                "availability_zones": zone_names,
                "owner": "amazon",
                "base_endpoint_dns_names": [f"{name.rpartition('.')[2]}.{call.region}.vpce.localhost"],
                "private_dns_name": None
                if type_ == "Gateway"
                else f"{name.rpartition('.')[2]}.{call.region}.amazonaws.com",
                "vpc_endpoint_policy_supported": True,
                "acceptance_required": False,
                "manages_vpc_endpoints": False,
                "private_dns_name_verification_state": "verified",
                "supported_ip_address_types": ["ipv4"],
                "tags": [],
            }
            for name, type_ in part
        ],
        "next_token": token,
    }
