"""VPCs, subnets, internet gateways and network ACLs as the API shows them."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.ec2.addresses import available_address_count, ipv4_blocks, ipv6_blocks
from elba.ec2.faults import require, require_all
from elba.ec2.filters import Fields, page, select
from elba.ec2.resources import InternetGateway, NetworkAcl, NetworkAclEntry, Subnet, Vpc, VpcBlock
from elba.ec2.tagging import tag_list
from elba.errors import ApiError
from elba.store.interface import View


def render_block(block: VpcBlock, state: str = "associated") -> Answer:
    return {
        "association_id": block.association_id,
        "cidr_block": block.cidr_block,
        "cidr_block_state": {"state": state},
    }


def render_ipv6_block(call: Call, block: VpcBlock, state: str = "associated") -> Answer:
    return {
        "association_id": block.association_id,
        "ipv6_cidr_block": block.cidr_block,
        "ipv6_cidr_block_state": {"state": state},
        "network_border_group": call.region,
        "ipv6_pool": "Amazon",
        "ip_source": "amazon",
        "ipv6_address_attribute": "public",
    }


def render_vpc(call: Call, vpc: Vpc) -> Answer:
    return {
        "vpc_id": vpc.id,
        "state": "available",
        "cidr_block": vpc.cidr_block,
        "dhcp_options_id": vpc.dhcp_options_id or "default",
        "owner_id": vpc.account,
        "instance_tenancy": vpc.instance_tenancy,
        "is_default": vpc.is_default,
        "cidr_block_association_set": [render_block(b) for b in ipv4_blocks(vpc)],
        "ipv6_cidr_block_association_set": [render_ipv6_block(call, b) for b in ipv6_blocks(vpc)],
        "tags": tag_list(vpc.tags),
    }


_VPC_FIELDS: Fields[Vpc] = {
    "vpc-id": lambda v: v.id,
    "cidr": lambda v: v.cidr_block,
    "cidr-block": lambda v: v.cidr_block,
    "cidrBlock": lambda v: v.cidr_block,
    "cidr-block-association.cidr-block": lambda v: [b.cidr_block for b in ipv4_blocks(v)],
    "cidr-block-association.association-id": lambda v: [b.association_id for b in ipv4_blocks(v)],
    "cidr-block-association.state": lambda v: "associated",
    "dhcp-options-id": lambda v: v.dhcp_options_id,
    "dhcpOptionsId": lambda v: v.dhcp_options_id,
    "ipv6-cidr-block-association.ipv6-cidr-block": lambda v: [b.cidr_block for b in ipv6_blocks(v)],
    "ipv6-cidr-block-association.association-id": lambda v: [b.association_id for b in ipv6_blocks(v)],
    "ipv6-cidr-block-association.ipv6-pool": lambda v: "Amazon" if ipv6_blocks(v) else None,
    "ipv6-cidr-block-association.state": lambda v: "associated" if ipv6_blocks(v) else None,
    "is-default": lambda v: v.is_default,
    "isDefault": lambda v: v.is_default,
    "owner-id": lambda v: v.account,
    "state": lambda v: "available",
}


def describe_vpcs(view: View, call: Call, request: Request) -> Answer:
    ids = request.get("vpc_ids")
    found = require_all(view, call, Vpc, ids) if ids else view.all(Vpc, call.account, call.region)
    found = select(found, request.get("filters"), _VPC_FIELDS, lambda v: v.tags)
    part, token = page(found, request, ids="vpc_ids")
    return {"vpcs": [render_vpc(call, v) for v in part], "next_token": token}


def describe_vpc_attribute(view: View, call: Call, request: Request) -> Answer:
    vpc = require(view, call, Vpc, request["vpc_id"])
    values = {
        "enableDnsSupport": ("enable_dns_support", vpc.enable_dns_support),
        "enableDnsHostnames": ("enable_dns_hostnames", vpc.enable_dns_hostnames),
        "enableNetworkAddressUsageMetrics": (
            "enable_network_address_usage_metrics",
            vpc.enable_network_address_usage_metrics,
        ),
    }
    attribute = request.get("attribute")
    if attribute not in values:
        raise ApiError("InvalidParameterValue", f"Value ({attribute}) for parameter attribute is invalid.")
    name, value = values[attribute]
    return {"vpc_id": vpc.id, name: {"value": value}}


def render_subnet_ipv6(subnet: Subnet, state: str = "associated") -> Answer:
    return {
        "association_id": subnet.ipv6_association_id,
        "ipv6_cidr_block": subnet.ipv6_cidr_block,
        "ipv6_cidr_block_state": {"state": state},
        "ipv6_address_attribute": "public",
        "ip_source": "amazon",
    }


def render_subnet(view: View, call: Call, subnet: Subnet) -> Answer:
    return {
        "subnet_id": subnet.id,
        "subnet_arn": call.arn("ec2", f"subnet/{subnet.id}"),
        "vpc_id": subnet.vpc_id,
        "cidr_block": subnet.cidr_block,
        "availability_zone": subnet.availability_zone,
        "availability_zone_id": subnet.availability_zone_id,
        "state": "available",
        "available_ip_address_count": available_address_count(view, subnet),
        "default_for_az": subnet.default_for_az,
        "map_public_ip_on_launch": subnet.map_public_ip_on_launch,
        "map_customer_owned_ip_on_launch": False,
        "assign_ipv6_address_on_creation": subnet.assign_ipv6_address_on_creation,
        "ipv6_cidr_block_association_set": [render_subnet_ipv6(subnet)] if subnet.ipv6_cidr_block else [],
        "enable_dns64": subnet.enable_dns64,
        "ipv6_native": False,
        "owner_id": subnet.account,
        "private_dns_name_options_on_launch": {
            "hostname_type": subnet.hostname_type,
            "enable_resource_name_dns_a_record": subnet.enable_resource_name_dns_a_record,
            "enable_resource_name_dns_aaaa_record": subnet.enable_resource_name_dns_aaaa_record,
        },
        "tags": tag_list(subnet.tags),
    }


def _subnet_fields(view: View, call: Call) -> Fields[Subnet]:
    return {
        "subnet-id": lambda s: s.id,
        "subnet-arn": lambda s: call.arn("ec2", f"subnet/{s.id}"),
        "vpc-id": lambda s: s.vpc_id,
        "cidr": lambda s: s.cidr_block,
        "cidr-block": lambda s: s.cidr_block,
        "cidrBlock": lambda s: s.cidr_block,
        "availability-zone": lambda s: s.availability_zone,
        "availabilityZone": lambda s: s.availability_zone,
        "availability-zone-id": lambda s: s.availability_zone_id,
        "availabilityZoneId": lambda s: s.availability_zone_id,
        "available-ip-address-count": lambda s: available_address_count(view, s),
        "default-for-az": lambda s: s.default_for_az,
        "defaultForAz": lambda s: s.default_for_az,
        "map-public-ip-on-launch": lambda s: s.map_public_ip_on_launch,
        "map-customer-owned-ip-on-launch": lambda s: False,
        "enable-dns64": lambda s: s.enable_dns64,
        "ipv6-native": lambda s: False,
        "ipv6-cidr-block-association.ipv6-cidr-block": lambda s: s.ipv6_cidr_block or None,
        "ipv6-cidr-block-association.association-id": lambda s: s.ipv6_association_id or None,
        "ipv6-cidr-block-association.state": lambda s: "associated" if s.ipv6_cidr_block else None,
        "outpost-arn": lambda s: None,
        "owner-id": lambda s: s.account,
        "private-dns-name-options-on-launch.hostname-type": lambda s: s.hostname_type,
        "state": lambda s: "available",
    }


def describe_subnets(view: View, call: Call, request: Request) -> Answer:
    ids = request.get("subnet_ids")
    found = require_all(view, call, Subnet, ids) if ids else view.all(Subnet, call.account, call.region)
    found = select(found, request.get("filters"), _subnet_fields(view, call), lambda s: s.tags)
    part, token = page(found, request, ids="subnet_ids")
    return {"subnets": [render_subnet(view, call, s) for s in part], "next_token": token}


def render_gateway(gateway: InternetGateway) -> Answer:
    return {
        "internet_gateway_id": gateway.id,
        "attachments": [{"vpc_id": gateway.vpc_id, "state": "available"}] if gateway.vpc_id else [],
        "owner_id": gateway.account,
        "tags": tag_list(gateway.tags),
    }


_GATEWAY_FIELDS: Fields[InternetGateway] = {
    "internet-gateway-id": lambda g: g.id,
    "attachment.vpc-id": lambda g: g.vpc_id or None,
    "attachment.state": lambda g: "available" if g.vpc_id else None,
    "owner-id": lambda g: g.account,
}


def describe_internet_gateways(view: View, call: Call, request: Request) -> Answer:
    ids = request.get("internet_gateway_ids")
    found = (
        require_all(view, call, InternetGateway, ids) if ids else view.all(InternetGateway, call.account, call.region)
    )
    found = select(found, request.get("filters"), _GATEWAY_FIELDS, lambda g: g.tags)
    part, token = page(found, request, ids="internet_gateway_ids")
    return {"internet_gateways": [render_gateway(g) for g in part], "next_token": token}


def _entry(entry: NetworkAclEntry) -> Answer:
    ports: Answer | None = None
    if entry.from_port is not None:
        ports = {"from": entry.from_port, "to": entry.to_port}
    return {
        "rule_number": entry.rule_number,
        "egress": entry.egress,
        "rule_action": entry.rule_action,
        "protocol": entry.protocol,
        "cidr_block": entry.cidr_block or None,
        "ipv6_cidr_block": entry.ipv6_cidr_block or None,
        "port_range": ports,
        "icmp_type_code": {"type": entry.icmp_type, "code": entry.icmp_code} if entry.icmp_type is not None else None,
    }


def render_acl(acl: NetworkAcl) -> Answer:
    return {
        "network_acl_id": acl.id,
        "vpc_id": acl.vpc_id,
        "is_default": acl.is_default,
        "owner_id": acl.account,
        "entries": [_entry(e) for e in sorted(acl.entries, key=lambda e: (not e.egress, e.rule_number))],
        "associations": [
            {"network_acl_association_id": association, "network_acl_id": acl.id, "subnet_id": subnet}
            for subnet, association in acl.associations.items()
        ],
        "tags": tag_list(acl.tags),
    }


_ACL_FIELDS: Fields[NetworkAcl] = {
    "network-acl-id": lambda a: a.id,
    "vpc-id": lambda a: a.vpc_id,
    "default": lambda a: a.is_default,
    "owner-id": lambda a: a.account,
    "association.association-id": lambda a: list(a.associations.values()),
    "association.network-acl-id": lambda a: a.id if a.associations else None,
    "association.subnet-id": lambda a: list(a.associations),
    "entry.cidr": lambda a: [e.cidr_block for e in a.entries],
    "entry.egress": lambda a: ["true" if e.egress else "false" for e in a.entries],
    "entry.protocol": lambda a: [e.protocol for e in a.entries],
    "entry.rule-action": lambda a: [e.rule_action for e in a.entries],
    "entry.rule-number": lambda a: [str(e.rule_number) for e in a.entries],
}


def describe_network_acls(view: View, call: Call, request: Request) -> Answer:
    ids = request.get("network_acl_ids")
    found = require_all(view, call, NetworkAcl, ids) if ids else view.all(NetworkAcl, call.account, call.region)
    found = select(found, request.get("filters"), _ACL_FIELDS, lambda a: a.tags)
    part, token = page(found, request, ids="network_acl_ids")
    return {"network_acls": [render_acl(a) for a in part], "next_token": token}
