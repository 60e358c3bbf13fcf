"""What hangs on a VPC besides its subnets: kept as data, for the stacks that declare it. Types only.

`id` is the EC2 id. Field names are those of the API's answers in snake_case.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from elba.ec2.resources import Tags
from elba.resource import Resource


class DhcpOptions(Resource, frozen=True, kw_only=True):
    """`configurations` maps a key (`domain-name-servers` …) to its values."""

    KIND: ClassVar[str] = "ec2.dhcp_options"

    configurations: dict[str, list[str]]
    tags: Tags = {}


class PrefixListEntry(msgspec.Struct, frozen=True, kw_only=True):
    cidr: str
    description: str = ""


class PrefixList(Resource, frozen=True, kw_only=True):
    """A customer-managed prefix list: `history` holds the entries of each version, the first at index 0."""

    KIND: ClassVar[str] = "ec2.prefix_list"

    prefix_list_name: str
    address_family: str
    max_entries: int
    version: int = 1
    state: str = "create-complete"
    history: list[list[PrefixListEntry]] = []
    tags: Tags = {}


class VpcEndpoint(Resource, frozen=True, kw_only=True):
    """Data: nothing answers behind it. An interface endpoint holds an address in each of its subnets."""

    KIND: ClassVar[str] = "ec2.vpc_endpoint"

    vpc_id: str
    service_name: str
    vpc_endpoint_type: str = "Gateway"
    policy_document: str = ""
    route_table_ids: list[str] = []
    interfaces: dict[str, str] = {}
    """Subnet id to network interface id, in the order the subnets were given."""
    group_ids: list[str] = []
    private_dns_enabled: bool = False
    ip_address_type: str = "ipv4"
    dns_options: dict[str, object] = {}
    creation_timestamp: float = 0.0
    tags: Tags = {}

    def parent_id(self) -> str:
        return self.vpc_id


class EgressOnlyInternetGateway(Resource, frozen=True, kw_only=True):
    KIND: ClassVar[str] = "ec2.egress_only_internet_gateway"

    vpc_id: str
    tags: Tags = {}

    def parent_id(self) -> str:
        return self.vpc_id


class VpnGateway(Resource, frozen=True, kw_only=True):
    """`vpc_id` is "" while it is detached."""

    KIND: ClassVar[str] = "ec2.vpn_gateway"

    amazon_side_asn: int = 64512
    availability_zone: str = ""
    vpc_id: str = ""
    propagating_to: list[str] = []
    """Route tables."""
    tags: Tags = {}

    def parent_id(self) -> str:
        return self.vpc_id


class CustomerGateway(Resource, frozen=True, kw_only=True):
    KIND: ClassVar[str] = "ec2.customer_gateway"

    bgp_asn: str
    ip_address: str = ""
    certificate_arn: str = ""
    device_name: str = ""
    tags: Tags = {}


class VpcPeeringConnection(Resource, frozen=True, kw_only=True):
    """`status`: pending-acceptance, active, rejected or deleted. `id` is known to the requester's region only."""

    KIND: ClassVar[str] = "ec2.vpc_peering_connection"

    vpc_id: str
    peer_vpc_id: str
    peer_region: str
    peer_owner_id: str
    status: str = "pending-acceptance"
    requester_dns: bool = False
    accepter_dns: bool = False
    expiration_time: float = 0.0
    tags: Tags = {}

    def parent_id(self) -> str:
        return self.vpc_id


class FlowLog(Resource, frozen=True, kw_only=True):
    """Data: no record is written."""

    KIND: ClassVar[str] = "ec2.flow_log"

    resource_id: str
    traffic_type: str = ""
    log_destination_type: str = "cloud-watch-logs"
    log_destination: str = ""
    log_group_name: str = ""
    deliver_logs_permission_arn: str = ""
    log_format: str = ""
    max_aggregation_interval: int = 600
    destination_options: dict[str, object] = {}
    creation_time: float = 0.0
    tags: Tags = {}
