"""Network ACLs: data, like security groups."""

from __future__ import annotations

import ipaddress

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.commands.blocks import parse_cidr
from elba.ec2.faults import has_dependencies, invalid, require
from elba.ec2.idempotency import once
from elba.ec2.queries.network import render_acl
from elba.ec2.resources import NetworkAcl, NetworkAclEntry, Vpc
from elba.ec2.tagging import specified_tags
from elba.errors import ApiError
from elba.store.interface import Transaction

LAST_RULE = 32767
"""The rule that denies what no other rule allows."""
_PROTOCOLS = {"all": "-1", "tcp": "6", "udp": "17", "icmp": "1"}


def create_network_acl(tx: Transaction, call: Call, request: Request) -> Answer:
    """Without entries of its own it denies everything."""
    tags = specified_tags(request, "network-acl")["network-acl"]
    vpc = require(tx, call, Vpc, request["vpc_id"])

    def make() -> list[str]:
        acl = NetworkAcl(
            account=call.account,
            region=call.region,
            id=call.ids.ec2("acl"),
            vpc_id=vpc.id,
            entries=[
                NetworkAclEntry(rule_number=LAST_RULE, egress=egress, rule_action="deny", cidr_block="0.0.0.0/0")
                for egress in (True, False)
            ],
            tags=tags,
        )
        tx.put(acl)
        return [acl.id]

    (id_,) = once(tx, call, request, "CreateNetworkAcl", make)
    return {
        "network_acl": render_acl(require(tx, call, NetworkAcl, id_)),
        "client_token": request.get("client_token"),
    }


def delete_network_acl(tx: Transaction, call: Call, request: Request) -> Answer:
    acl = require(tx, call, NetworkAcl, request["network_acl_id"])
    if acl.is_default:
        raise ApiError("InvalidParameterValue", f"cannot delete default network ACL {acl.id}")
    if acl.associations:
        raise has_dependencies("networkAcl", acl.id)
    tx.delete(acl)
    return {}


def _entry(request: Request) -> NetworkAclEntry:
    number = request["rule_number"]
    if not 1 <= number < LAST_RULE:
        raise invalid(number, "ruleNumber", "It must be between 1 and 32766.")
    protocol = str(request["protocol"]).lower()
    protocol = _PROTOCOLS.get(protocol, protocol)
    ports = request.get("port_range") or {}
    icmp = request.get("icmp_type_code") or {}
    cidr, cidr_ipv6 = request.get("cidr_block"), request.get("ipv6_cidr_block")
    if bool(cidr) == bool(cidr_ipv6):
        raise ApiError("MissingParameter", "The request must contain exactly one of cidrBlock and ipv6CidrBlock")
    if protocol in ("6", "17") and (ports.get("from") is None or ports.get("to") is None):
        raise ApiError("MissingParameter", "The request must contain the parameter portRange")
    if protocol == "1" and icmp.get("type") is None:
        raise ApiError("MissingParameter", "The request must contain the parameter icmpTypeCode")
    if request["rule_action"] not in ("allow", "deny"):
        raise invalid(request["rule_action"], "ruleAction")
    if cidr_ipv6:
        try:
            cidr_ipv6 = str(ipaddress.IPv6Network(cidr_ipv6, strict=False))
        except ValueError:
            raise invalid(cidr_ipv6, "ipv6CidrBlock", "This is not a valid CIDR block.") from None
    has_ports = protocol in ("6", "17")
    return NetworkAclEntry(
        rule_number=number,
        egress=bool(request["egress"]),
        rule_action=request["rule_action"],
        protocol=protocol,
        cidr_block=str(parse_cidr(cidr)) if cidr else "",
        ipv6_cidr_block=cidr_ipv6 or "",
        from_port=ports.get("from") if has_ports else None,
        to_port=ports.get("to") if has_ports else None,
        icmp_type=icmp.get("type") if protocol in ("1", "58") else None,
        icmp_code=icmp.get("code") if protocol in ("1", "58") else None,
    )


def _same(entry: NetworkAclEntry, number: int, egress: bool) -> bool:
    return entry.rule_number == number and entry.egress == egress


def create_network_acl_entry(tx: Transaction, call: Call, request: Request) -> Answer:
    acl = require(tx, call, NetworkAcl, request["network_acl_id"])
    entry = _entry(request)
    if any(_same(e, entry.rule_number, entry.egress) for e in acl.entries):
        raise ApiError(
            "NetworkAclEntryAlreadyExists", f"The network acl entry identified by {entry.rule_number} already exists."
        )
    tx.put(replace(acl, entries=[*acl.entries, entry]))
    return {}


def replace_network_acl_entry(tx: Transaction, call: Call, request: Request) -> Answer:
    acl = require(tx, call, NetworkAcl, request["network_acl_id"])
    entry = _entry(request)
    _require_entry(acl, entry.rule_number, entry.egress)
    kept = [e for e in acl.entries if not _same(e, entry.rule_number, entry.egress)]
    tx.put(replace(acl, entries=[*kept, entry]))
    return {}


def delete_network_acl_entry(tx: Transaction, call: Call, request: Request) -> Answer:
    acl = require(tx, call, NetworkAcl, request["network_acl_id"])
    number, egress = request["rule_number"], bool(request["egress"])
    if number == LAST_RULE:
        raise invalid(number, "ruleNumber", "The last rule cannot be deleted.")
    _require_entry(acl, number, egress)
    tx.put(replace(acl, entries=[e for e in acl.entries if not _same(e, number, egress)]))
    return {}


def _require_entry(acl: NetworkAcl, number: int, egress: bool) -> None:
    if not any(_same(e, number, egress) for e in acl.entries):
        raise ApiError(
            "InvalidNetworkAclEntry.NotFound",
            f"The network acl entry identified by {number} does not exist in the network acl {acl.id}.",
        )


def replace_network_acl_association(tx: Transaction, call: Call, request: Request) -> Answer:
    """A subnet moves to another ACL of its VPC. Raises: ApiError InvalidAssociationID.NotFound."""
    new_acl = require(tx, call, NetworkAcl, request["network_acl_id"])
    id_ = request["association_id"]
    for acl in tx.all(NetworkAcl, call.account, call.region):
        subnet = next((s for s, association in acl.associations.items() if association == id_), None)
        if subnet is None:
            continue
        if acl.vpc_id != new_acl.vpc_id:
            raise ApiError(
                "InvalidParameterValue", f"network ACL {new_acl.id} and {acl.id} belong to different networks"
            )
        association = call.ids.ec2("aclassoc")
        tx.put(replace(acl, associations={k: v for k, v in acl.associations.items() if k != subnet}))
        new_acl = require(tx, call, NetworkAcl, new_acl.id)
        tx.put(replace(new_acl, associations={**new_acl.associations, subnet: association}))
        return {"new_association_id": association}
    raise ApiError("InvalidAssociationID.NotFound", f"The association ID '{id_}' does not exist")
