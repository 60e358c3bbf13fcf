"""What has tags, by id: the kinds, their names in DescribeTags, and look-ups over all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from elba.call import Call
from elba.ec2 import edge_resources as e
from elba.ec2 import resources as r
from elba.ec2.faults import require
from elba.errors import ApiError
from elba.resource import Resource
from elba.store.interface import View

KINDS: dict[str, tuple[type[Resource], str]] = {
    "i": (r.Instance, "instance"),
    "vol": (r.Volume, "volume"),
    "snap": (r.Snapshot, "snapshot"),
    "replacevol": (r.ReplaceRootVolumeTask, "replace-root-volume-task"),
    "ami": (r.Image, "image"),
    "vpc": (r.Vpc, "vpc"),
    "subnet": (r.Subnet, "subnet"),
    "igw": (r.InternetGateway, "internet-gateway"),
    "rtb": (r.RouteTable, "route-table"),
    "acl": (r.NetworkAcl, "network-acl"),
    "sg": (r.SecurityGroup, "security-group"),
    "eni": (r.NetworkInterface, "network-interface"),
    "eipalloc": (r.Address, "elastic-ip"),
    "lt": (r.LaunchTemplate, "launch-template"),
    "key": (r.KeyPair, "key-pair"),
    "pg": (r.PlacementGroup, "placement-group"),
    "nat": (r.NatGateway, "natgateway"),
    "dopt": (e.DhcpOptions, "dhcp-options"),
    "pl": (e.PrefixList, "prefix-list"),
    "vpce": (e.VpcEndpoint, "vpc-endpoint"),
    "eigw": (e.EgressOnlyInternetGateway, "egress-only-internet-gateway"),
    "vgw": (e.VpnGateway, "vpn-gateway"),
    "cgw": (e.CustomerGateway, "customer-gateway"),
    "pcx": (e.VpcPeeringConnection, "vpc-peering-connection"),
    "fl": (e.FlowLog, "vpc-flow-log"),
}
"""By the prefix of their ids."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """One resource, or one rule of a security group (`rule_id`)."""

    id: str
    resource_type: str
    tags: r.Tags
    resource: Resource
    rule_id: str = ""

    def with_tags(self, tags: r.Tags) -> Resource:
        changed: Any = msgspec.structs.replace(self.resource, tags=tags)
        assert isinstance(changed, Resource)
        return changed


def _tags_of(resource: Resource) -> r.Tags:
    tags: r.Tags = getattr(resource, "tags", {})
    return tags


def find_tagged(view: View, call: Call, id_: str) -> Tagged:
    """Raises: ApiError InvalidID (no kind of id), Invalid….NotFound."""
    prefix = id_.partition("-")[0]
    if prefix == "sgr":
        for group in view.all(r.SecurityGroup, call.account, call.region):
            for rule in group.permissions:
                if rule.rule_id == id_:
                    return Tagged(id_, "security-group-rule", rule.tags, group, id_)
        raise ApiError("InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{id_}' does not exist")
    if prefix not in KINDS or "-" not in id_:
        raise ApiError("InvalidID", f"The ID '{id_}' is not valid")
    type_, name = KINDS[prefix]
    resource = require(view, call, type_, id_)
    return Tagged(id_, name, _tags_of(resource), resource)


def all_tagged(view: View, call: Call) -> Iterator[Tagged]:
    """Everything of (account, region) that has tags now."""
    for type_, name in KINDS.values():
        for resource in view.all(type_, call.account, call.region):
            if tags := _tags_of(resource):
                yield Tagged(resource.id, name, tags, resource)
    for group in view.all(r.SecurityGroup, call.account, call.region):
        for rule in group.permissions:
            if rule.tags:
                yield Tagged(rule.rule_id, "security-group-rule", rule.tags, group, rule.rule_id)
