"""Security groups and their rules as the API shows them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from elba.call import Answer, Call, Request
from elba.ec2.defaults import default_vpc
from elba.ec2.faults import require_all
from elba.ec2.filters import Fields, page, select
from elba.ec2.resources import Permission, SecurityGroup
from elba.ec2.tagging import tag_list
from elba.errors import ApiError
from elba.store.interface import View


def group_arn(call: Call, group_id: str) -> str:
    return call.arn("ec2", f"security-group/{group_id}")


def render_permissions(permissions: Iterable[Permission]) -> list[Answer]:
    """Rules of one protocol and port range as one permission, as EC2 groups them."""
    grouped: dict[tuple[str, int, int], list[Permission]] = {}
    for one in permissions:
        grouped.setdefault((one.ip_protocol, one.from_port, one.to_port), []).append(one)
    result: list[Answer] = []
    for (protocol, from_port, to_port), rules in grouped.items():
        all_ports = protocol not in ("tcp", "udp", "icmp", "icmpv6")
        result.append(
            {
                "ip_protocol": protocol,
                "from_port": None if all_ports else from_port,
                "to_port": None if all_ports else to_port,
                "ip_ranges": [
                    {"cidr_ip": p.cidr_ipv4, "description": p.description or None} for p in rules if p.cidr_ipv4
                ],
                "ipv6_ranges": [
                    {"cidr_ipv6": p.cidr_ipv6, "description": p.description or None} for p in rules if p.cidr_ipv6
                ],
                "prefix_list_ids": [
                    {"prefix_list_id": p.prefix_list_id, "description": p.description or None}
                    for p in rules
                    if p.prefix_list_id
                ],
                "user_id_group_pairs": [
                    {
                        "group_id": p.group_id,
                        "user_id": p.group_owner_id,
                        "description": p.description or None,
                    }
                    for p in rules
                    if p.group_id
                ],
            }
        )
    return result


def render_group(call: Call, group: SecurityGroup) -> Answer:
    return {
        "group_id": group.id,
        "group_name": group.group_name,
        "description": group.description,
        "owner_id": group.account,
        "vpc_id": group.vpc_id,
        "security_group_arn": group_arn(call, group.id),
        "ip_permissions": render_permissions(p for p in group.permissions if not p.egress),
        "ip_permissions_egress": render_permissions(p for p in group.permissions if p.egress),
        "tags": tag_list(group.tags),
    }


def render_rule(view: View, call: Call, group: SecurityGroup, rule: Permission) -> Answer:
    referenced: Answer | None = None
    if rule.group_id:
        other = view.get(SecurityGroup, call.account, call.region, rule.group_id)
        referenced = {
            "group_id": rule.group_id,
            "user_id": rule.group_owner_id,
            "vpc_id": other.vpc_id if other and other.vpc_id != group.vpc_id else None,
        }
    return {
        "security_group_rule_id": rule.rule_id,
        "security_group_rule_arn": call.arn("ec2", f"security-group-rule/{rule.rule_id}"),
        "group_id": group.id,
        "group_owner_id": group.account,
        "is_egress": rule.egress,
        "ip_protocol": rule.ip_protocol,
        "from_port": rule.from_port,
        "to_port": rule.to_port,
        "cidr_ipv4": rule.cidr_ipv4 or None,
        "cidr_ipv6": rule.cidr_ipv6 or None,
        "prefix_list_id": rule.prefix_list_id or None,
        "referenced_group_info": referenced,
        "description": rule.description or None,
        "tags": tag_list(rule.tags),
    }


def _fields() -> Fields[SecurityGroup]:
    return {
        "group-id": lambda g: g.id,
        "group-name": lambda g: g.group_name,
        "description": lambda g: g.description,
        "owner-id": lambda g: g.account,
        "vpc-id": lambda g: g.vpc_id,
        **_rule_fields("ip-permission", egress=False),
        **_rule_fields("egress.ip-permission", egress=True),
    }


def _rule_fields(prefix: str, *, egress: bool) -> Fields[SecurityGroup]:
    def rules(group: SecurityGroup) -> list[Permission]:
        return [p for p in group.permissions if p.egress == egress]

    return {
        f"{prefix}.cidr": lambda g: [p.cidr_ipv4 for p in rules(g) if p.cidr_ipv4],
        f"{prefix}.ipv6-cidr": lambda g: [p.cidr_ipv6 for p in rules(g) if p.cidr_ipv6],
        f"{prefix}.prefix-list-id": lambda g: [p.prefix_list_id for p in rules(g) if p.prefix_list_id],
        f"{prefix}.group-id": lambda g: [p.group_id for p in rules(g) if p.group_id],
        f"{prefix}.user-id": lambda g: [p.group_owner_id for p in rules(g) if p.group_id],
        f"{prefix}.from-port": lambda g: [str(p.from_port) for p in rules(g)],
        f"{prefix}.to-port": lambda g: [str(p.to_port) for p in rules(g)],
        f"{prefix}.protocol": lambda g: [p.ip_protocol for p in rules(g)],
    }


def describe_security_groups(view: View, call: Call, request: Request) -> Answer:
    """Names are looked up in the default VPC only. Raises: ApiError InvalidGroup.NotFound, InvalidGroupId.Malformed."""
    ids, names = request.get("group_ids"), request.get("group_names")
    found: list[SecurityGroup] = []
    if ids or names:
        found = require_all(view, call, SecurityGroup, ids or ())
        vpc = default_vpc(view, call)
        for name in names or ():
            groups = view.children(SecurityGroup, call.account, call.region, vpc.id) if vpc else []
            group = next((g for g in groups if g.group_name == name), None)
            if group is None:
                where = f" in default VPC '{vpc.id}'" if vpc else ""
                raise ApiError("InvalidGroup.NotFound", f"The security group '{name}' does not exist{where}")
            if group not in found:
                found.append(group)
    else:
        found = view.all(SecurityGroup, call.account, call.region)
    found = select(found, request.get("filters"), _fields(), lambda g: g.tags)
    part, token = page(found, request, ids="group_ids")
    return {"security_groups": [render_group(call, g) for g in part], "next_token": token}


_Rule = tuple[SecurityGroup, Permission]

_RULE_FIELDS: Fields[_Rule] = {
    "group-id": lambda r: r[0].id,
    "security-group-rule-id": lambda r: r[1].rule_id,
}


def describe_security_group_rules(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidSecurityGroupRuleId.NotFound, InvalidGroupId.Malformed (in the filter group-id)."""
    for one in request.get("filters") or ():
        if one.get("name") == "group-id":
            for value in one.get("values") or ():
                if not re.fullmatch(r"sg-[0-9a-f*?]+|[*?][0-9a-f*?]*", value):
                    raise ApiError("InvalidGroupId.Malformed", f"The security group ID '{value}' is malformed")
    rules: list[_Rule] = [(g, p) for g in view.all(SecurityGroup, call.account, call.region) for p in g.permissions]
    if ids := request.get("security_group_rule_ids"):
        by_id = {p.rule_id: (g, p) for g, p in rules}
        for id_ in ids:
            if id_ not in by_id:
                raise ApiError(
                    "InvalidSecurityGroupRuleId.NotFound",
                    f"The security group rule ID '{id_}' does not exist",
                )
        rules = [by_id[id_] for id_ in ids]
    found = select(rules, request.get("filters"), _RULE_FIELDS, lambda r: r[1].tags)
    part, token = page(found, request, ids="security_group_rule_ids")
    return {
        "security_group_rules": [render_rule(view, call, g, p) for g, p in part],
        "next_token": token,
    }
