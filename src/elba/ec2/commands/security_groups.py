"""Security groups and their rules.

A rule has one source or destination; a permission of the API with several of them is several rules. Rules are data
here: load balancers obey them (`dataplane.admission`), instances among each other do not.
Source: EC2 API reference, "AuthorizeSecurityGroupIngress".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.addresses import groups_in_use
from elba.ec2.commands.launch_interfaces import group_named
from elba.ec2.defaults import allow_all_egress, default_vpc
from elba.ec2.faults import missing, require
from elba.ec2.queries.security_groups import group_arn, render_rule
from elba.ec2.resources import Permission, SecurityGroup, Tags, Vpc
from elba.ec2.tagging import specified_tags, tag_list
from elba.errors import ApiError
from elba.store.interface import Transaction, View

MOST_RULES = 60
"""Of each direction. Source: VPC user guide, "Amazon VPC quotas"."""

_PROTOCOLS = {"tcp": "6", "udp": "17", "icmp": "1", "icmpv6": "58", "all": "-1"}
_NAMES = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6"}
_TEXT = r"[A-Za-z0-9. _\-:/()#,@\[\]+=&;{}!$*]"


def create_security_group(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidGroup.Duplicate, InvalidParameterValue, InvalidVpcID.NotFound, VPCIdNotSpecified."""
    tags = specified_tags(request, "security-group")["security-group"]
    name, description = request.get("group_name") or "", request.get("description") or ""
    if not name:
        raise missing("GroupName")
    if not description:
        raise missing("GroupDescription")
    if name == "default":
        raise ApiError("InvalidParameterValue", "Cannot use reserved security group name: default")
    if name.startswith("sg-"):
        raise ApiError(
            "InvalidParameterValue",
            f"Value ({name}) for parameter GroupName is invalid. Group names may not be in the format sg-*.",
        )
    if not re.fullmatch(rf"{_TEXT}{{1,255}}", name):
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid value '{name}' for groupName. It may have up to 255 of the characters a-z, A-Z, 0-9, spaces, "
            "and ._-:/()#,@[]+=&;{}!$*",
        )
    _check_text(description, "groupDescription")
    if request.get("vpc_id"):
        vpc = require(tx, call, Vpc, request["vpc_id"])
    else:
        found = default_vpc(tx, call)
        if found is None:
            raise ApiError("VPCIdNotSpecified", "No default VPC for this user")
        vpc = found
    if any(g.group_name == name for g in tx.children(SecurityGroup, call.account, call.region, vpc.id)):
        raise ApiError("InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{vpc.id}'")
    group = SecurityGroup(
        account=call.account,
        region=call.region,
        id=call.ids.ec2("sg"),
        group_name=name,
        description=description,
        vpc_id=vpc.id,
        permissions=[allow_all_egress(call)],
        tags=tags,
    )
    tx.put(group)
    return {
        "group_id": group.id,
        "security_group_arn": group_arn(call, group.id),
        "tags": tag_list(tags),
    }


def _check_text(text: str, name: str) -> None:
    if not re.fullmatch(rf"{_TEXT}{{0,255}}", text):
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid {name}. Valid descriptions are strings less than 256 characters from the following set:  "
            "a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*",
        )


def find_group(view: View, call: Call, request: Request) -> SecurityGroup:
    """By `group_id`, or by `group_name` in the default VPC.

    Raises: ApiError MissingParameter, InvalidGroup.NotFound, InvalidGroupId.Malformed.
    """
    if request.get("group_id"):
        return require(view, call, SecurityGroup, request["group_id"])
    name = request.get("group_name")
    if not name:
        raise ApiError("MissingParameter", "The request must contain the parameter GroupName or GroupId")
    vpc = default_vpc(view, call)
    if vpc is None:
        raise ApiError("VPCIdNotSpecified", "No default VPC for this user")
    return group_named(view, call, name, vpc.id)


def delete_security_group(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidGroup.NotFound, CannotDelete (a default group), DependencyViolation."""
    group = find_group(tx, call, request)
    if group.group_name == "default":
        raise ApiError("CannotDelete", f'the specified group: "{group.id}" name: "default" cannot be deleted by a user')
    if groups_in_use(tx, call, group):
        raise ApiError("DependencyViolation", f"resource {group.id} has a dependent object")
    tx.delete(group)
    return {"return": True, "group_id": group.id}


def authorize_security_group_ingress(tx: Transaction, call: Call, request: Request) -> Answer:
    return _authorize(tx, call, request, egress=False)


def authorize_security_group_egress(tx: Transaction, call: Call, request: Request) -> Answer:
    return _authorize(tx, call, request, egress=True)


def _authorize(tx: Transaction, call: Call, request: Request, *, egress: bool) -> Answer:
    """Raises: ApiError InvalidPermission.Duplicate, .Malformed, RulesPerSecurityGroupLimitExceeded."""
    group = find_group(tx, call, request)
    tags = specified_tags(request, "security-group-rule")["security-group-rule"]
    new = _rules(tx, call, group, request, egress=egress, tags=tags)
    known = {identity(p) for p in group.permissions}
    for rule in new:
        if identity(rule) in known:
            raise ApiError("InvalidPermission.Duplicate", f'the specified rule "{_words(rule)}" already exists')
        known.add(identity(rule))
    permissions = [*group.permissions, *new]
    if sum(p.egress == egress for p in permissions) > MOST_RULES:
        raise ApiError(
            "RulesPerSecurityGroupLimitExceeded",
            "The maximum number of rules per security group has been reached.",
        )
    tx.put(replace(group, permissions=permissions))
    return {"return": True, "security_group_rules": [render_rule(tx, call, group, p) for p in new]}


def identity(rule: Permission) -> tuple[object, ...]:
    """What makes a rule the same rule: all but its id, description and tags."""
    return (
        rule.egress,
        rule.ip_protocol,
        rule.from_port,
        rule.to_port,
        rule.cidr_ipv4,
        rule.cidr_ipv6,
        rule.prefix_list_id,
        rule.group_id,
    )


def _words(rule: Permission) -> str:
    peer = rule.cidr_ipv4 or rule.cidr_ipv6 or rule.prefix_list_id or rule.group_id
    if rule.ip_protocol == "-1":
        return f"peer: {peer}, ALL, ALLOW"
    return f"peer: {peer}, {rule.ip_protocol.upper()}, from port: {rule.from_port}, to port: {rule.to_port}, ALLOW"


def revoke_security_group_ingress(tx: Transaction, call: Call, request: Request) -> Answer:
    return _revoke(tx, call, request, egress=False)


def revoke_security_group_egress(tx: Transaction, call: Call, request: Request) -> Answer:
    return _revoke(tx, call, request, egress=True)


def _revoke(tx: Transaction, call: Call, request: Request, *, egress: bool) -> Answer:
    """Raises: ApiError InvalidPermission.NotFound, InvalidSecurityGroupRuleId.NotFound."""
    group = find_group(tx, call, request)
    gone: list[Permission] = []
    if ids := request.get("security_group_rule_ids"):
        gone = [_rule_by_id(group, id_, egress=egress) for id_ in ids]
    else:
        for wanted in _rules(tx, call, group, request, egress=egress, tags={}):
            found = next((p for p in group.permissions if identity(p) == identity(wanted)), None)
            if found is None:
                raise ApiError(
                    "InvalidPermission.NotFound",
                    "The specified rule does not exist in this security group.",
                )
            gone.append(found)
    ids_gone = {p.rule_id for p in gone}
    tx.put(replace(group, permissions=[p for p in group.permissions if p.rule_id not in ids_gone]))
    return {
        "return": True,
        "unknown_ip_permissions": [],
        "revoked_security_group_rules": [
            {
                "security_group_rule_id": p.rule_id,
                "group_id": group.id,
                "is_egress": p.egress,
                "ip_protocol": p.ip_protocol,
                "from_port": p.from_port,
                "to_port": p.to_port,
                "cidr_ipv4": p.cidr_ipv4 or None,
                "cidr_ipv6": p.cidr_ipv6 or None,
                "prefix_list_id": p.prefix_list_id or None,
                "referenced_group_id": p.group_id or None,
                "description": p.description or None,
            }
            for p in gone
        ],
    }


def _rule_by_id(group: SecurityGroup, id_: str, *, egress: bool | None = None) -> Permission:
    found = next((p for p in group.permissions if p.rule_id == id_), None)
    if found is None or (egress is not None and found.egress != egress):
        raise ApiError("InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{id_}' does not exist")
    return found


def _require_one_source(given: Mapping[str, Any]) -> None:
    """What a changed rule must say. Raises: ApiError InvalidParameterValue, MissingParameter, …Combination."""
    if not given.get("ip_protocol"):
        raise ApiError(
            "InvalidParameterValue",
            "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.",
        )
    if given["ip_protocol"] in ("tcp", "udp", "6", "17") and None in (given.get("from_port"), given.get("to_port")):
        raise ApiError(
            "InvalidParameterValue", "Invalid value for portRange. Must specify both from and to ports with TCP/UDP."
        )
    sources = [n for n in ("cidr_ipv4", "cidr_ipv6", "prefix_list_id", "referenced_group_id") if given.get(n)]
    names = "cidrIp, cidrIpv6, prefixListId, or referencedGroupId"
    if not sources:
        raise ApiError("MissingParameter", f"The request must contain exactly one of: {names}")
    if len(sources) > 1:
        raise ApiError("InvalidParameterCombination", f"Only one of {names} can be specified")


def modify_security_group_rules(tx: Transaction, call: Call, request: Request) -> Answer:
    """Replaces rules in place: they keep their ids and direction."""
    group = require(tx, call, SecurityGroup, request["group_id"])
    permissions = list(group.permissions)
    for update in request.get("security_group_rules") or ():
        old = _rule_by_id(replace(group, permissions=permissions), update.get("security_group_rule_id") or "")
        given = update.get("security_group_rule") or {}
        _require_one_source(given)
        new = _rule(
            call,
            old.egress,
            given.get("ip_protocol"),
            given.get("from_port"),
            given.get("to_port"),
            cidr_ipv4=given.get("cidr_ipv4") or "",
            cidr_ipv6=given.get("cidr_ipv6") or "",
            prefix_list_id=given.get("prefix_list_id") or "",
            group_id=_referenced(tx, call, group, {"group_id": given.get("referenced_group_id")})
            if given.get("referenced_group_id")
            else "",
            description=given.get("description") or "",
        )
        new = replace(new, rule_id=old.rule_id, tags=old.tags)
        others = {identity(p) for p in permissions if p.rule_id != old.rule_id}
        if identity(new) in others:
            raise ApiError("InvalidPermission.Duplicate", f'the specified rule "{_words(new)}" already exists')
        permissions = [new if p.rule_id == old.rule_id else p for p in permissions]
    tx.put(replace(group, permissions=permissions))
    return {"return": True}


def update_security_group_rule_descriptions_ingress(tx: Transaction, call: Call, request: Request) -> Answer:
    return _describe_rules(tx, call, request, egress=False)


def update_security_group_rule_descriptions_egress(tx: Transaction, call: Call, request: Request) -> Answer:
    return _describe_rules(tx, call, request, egress=True)


def _describe_rules(tx: Transaction, call: Call, request: Request, *, egress: bool) -> Answer:
    group = find_group(tx, call, request)
    descriptions: dict[str, str] = {}
    for one in request.get("security_group_rule_descriptions") or ():
        rule = _rule_by_id(group, one.get("security_group_rule_id") or "", egress=egress)
        descriptions[rule.rule_id] = one.get("description") or ""
    if request.get("ip_permissions"):
        for wanted in _rules(tx, call, group, request, egress=egress, tags={}):
            found = next((p for p in group.permissions if identity(p) == identity(wanted)), None)
            if found is None:
                raise ApiError(
                    "InvalidPermission.NotFound", "The specified rule does not exist in this security group."
                )
            descriptions[found.rule_id] = wanted.description
    if not descriptions:
        raise missing("IpPermissions")
    for text in descriptions.values():
        _check_text(text, "rule description")
    tx.put(
        replace(
            group,
            permissions=[replace(p, description=descriptions.get(p.rule_id, p.description)) for p in group.permissions],
        )
    )
    return {"return": True}


def _rules(
    view: View, call: Call, group: SecurityGroup, request: Request, *, egress: bool, tags: Tags
) -> list[Permission]:
    """The rules that a request's permissions are, whichever of the API's two forms it uses."""
    permissions: Sequence[Mapping[str, Any]] = request.get("ip_permissions") or ()
    if not permissions:
        permissions = [_flat(request)]
    rules: list[Permission] = []
    for permission in permissions:
        for peer in _peers(view, call, group, permission):
            rules.append(
                _rule(
                    call,
                    egress,
                    permission.get("ip_protocol"),
                    permission.get("from_port"),
                    permission.get("to_port"),
                    **peer,
                )
            )
    return [replace(rule, tags=tags) for rule in rules]


def _flat(request: Request) -> dict[str, Any]:
    """The older form: one permission in the request's own members."""
    permission: dict[str, Any] = {k: request.get(k) for k in ("ip_protocol", "from_port", "to_port")}
    if request.get("cidr_ip"):
        permission["ip_ranges"] = [{"cidr_ip": request["cidr_ip"]}]
    elif request.get("source_security_group_name"):
        name = request["source_security_group_name"]
        key = "group_id" if name.startswith("sg-") else "group_name"
        permission["user_id_group_pairs"] = [{key: name}]
        # Without ports it means all traffic of the group.
        permission["ip_protocol"] = permission["ip_protocol"] or "-1"
    else:
        raise ApiError("MissingParameter", "The request must contain the parameter ipPermissions")
    return permission


def _peers(view: View, call: Call, group: SecurityGroup, permission: Mapping[str, Any]) -> Iterable[dict[str, str]]:
    peers: list[dict[str, str]] = []
    members: tuple[tuple[str, str, str, Callable[[str], str]], ...] = (
        ("ip_ranges", "cidr_ip", "cidr_ipv4", _ipv4),
        ("ipv6_ranges", "cidr_ipv6", "cidr_ipv6", _ipv6),
        ("prefix_list_ids", "prefix_list_id", "prefix_list_id", str),
    )
    for member, source, target, check in members:
        for one in permission.get(member) or ():
            text = one.get(source)
            if not text:
                raise missing(source)
            peers.append({target: check(text), "description": one.get("description") or ""})
    for one in permission.get("user_id_group_pairs") or ():
        peers.append(
            {
                "group_id": _referenced(view, call, group, one),
                "group_owner_id": one.get("user_id") or call.account,
                "description": one.get("description") or "",
            }
        )
    if not peers:
        raise ApiError(
            "InvalidParameterValue",
            "Invalid value for parameter ipPermissions: each needs a range, a prefix list or a group.",
        )
    return peers


def _referenced(view: View, call: Call, group: SecurityGroup, pair: Mapping[str, Any]) -> str:
    if pair.get("group_id"):
        return require(view, call, SecurityGroup, pair["group_id"]).id
    if pair.get("group_name"):
        return group_named(view, call, pair["group_name"], pair.get("vpc_id") or group.vpc_id).id
    raise ApiError("MissingParameter", "The request must contain the parameter GroupId of the referenced group")


def _ipv4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Network(text, strict=False))
    except ValueError:
        raise ApiError("InvalidParameterValue", f"CIDR block {text} is malformed") from None


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Network(text, strict=False))
    except ValueError:
        raise ApiError("InvalidParameterValue", f"CIDR block {text} is malformed") from None


def _rule(
    call: Call,
    egress: bool,
    protocol: str | None,
    from_port: int | None,
    to_port: int | None,
    *,
    description: str,
    cidr_ipv4: str = "",
    cidr_ipv6: str = "",
    prefix_list_id: str = "",
    group_id: str = "",
    group_owner_id: str = "",
) -> Permission:
    if not protocol:
        raise missing("IpProtocol")
    number = _PROTOCOLS.get(protocol.lower(), protocol)
    if not re.fullmatch(r"-1|[0-9]{1,3}", number) or int(number) > 255:
        raise ApiError(
            "InvalidPermission.Malformed",
            f'Unsupported IP protocol "{protocol}"  - supported: [tcp, udp, icmp, icmpv6] or a number',
        )
    name = _NAMES.get(number, number)
    if name in ("tcp", "udp"):
        from_port, to_port = _ports(from_port, to_port)
    elif name in ("icmp", "icmpv6"):
        from_port, to_port = -1 if from_port is None else from_port, -1 if to_port is None else to_port
        for what, value in (("type", from_port), ("code", to_port)):
            if not -1 <= value <= 255:
                raise ApiError("InvalidParameterValue", f"ICMP {what} ({value}) out of range")
    else:
        from_port = to_port = -1
    _check_text(description, "rule description")
    return Permission(
        rule_id=call.ids.ec2("sgr"),
        egress=egress,
        ip_protocol=name,
        from_port=from_port,
        to_port=to_port,
        cidr_ipv4=cidr_ipv4,
        cidr_ipv6=cidr_ipv6,
        prefix_list_id=prefix_list_id,
        group_id=group_id,
        group_owner_id=(group_owner_id or call.account) if group_id else "",
        description=description,
    )


def _ports(from_port: int | None, to_port: int | None) -> tuple[int, int]:
    if from_port is None or to_port is None:
        raise ApiError(
            "InvalidParameterValue", "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange."
        )
    if from_port == -1 and to_port == -1:
        return 0, 65535
    for end, port in (("from", from_port), ("to", to_port)):
        if not 0 <= port <= 65535:
            raise ApiError("InvalidParameterValue", f"TCP/UDP ({end}) port ({port}) out of range")
    if from_port > to_port:
        raise ApiError("InvalidParameterValue", f"Invalid TCP/UDP port range({from_port}:{to_port})")
    return from_port, to_port
