"""DHCP options: data; instances resolve names as their host does. Source: EC2 API reference, "CreateDhcpOptions"."""

from __future__ import annotations

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.edge_resources import DhcpOptions
from elba.ec2.faults import has_dependencies, invalid, missing, require
from elba.ec2.queries.dhcp_options import find_dhcp_options, render_dhcp_options
from elba.ec2.resources import Vpc
from elba.ec2.tagging import specified_tags
from elba.errors import ApiError
from elba.store.interface import Transaction

_KEYS = (
    "domain-name",
    "domain-name-servers",
    "ntp-servers",
    "netbios-name-servers",
    "netbios-node-type",
    "ipv6-address-preferred-lease-time",
)
_MOST_VALUES = 4
"""Of the lists of servers."""


def create_dhcp_options(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError MissingParameter, InvalidParameterValue (an unknown key, more than four servers)."""
    tags = specified_tags(request, "dhcp-options")["dhcp-options"]
    configurations: dict[str, list[str]] = {}
    for one in request.get("dhcp_configurations") or ():
        key, values = one.get("key") or "", [str(v) for v in one.get("values") or ()]
        if key not in _KEYS:
            raise invalid(key, "key", "Option not supported")
        if not values:
            raise missing("value")
        if len(values) > _MOST_VALUES:
            raise ApiError("InvalidParameterValue", f"Too many values for {key}: the most are {_MOST_VALUES}")
        if key == "netbios-node-type" and values[0] not in ("1", "2", "4", "8"):
            raise invalid(values[0], key, "Expected 1, 2, 4 or 8")
        configurations[key] = values
    if not configurations:
        raise missing("dhcpConfigurations")
    options = DhcpOptions(
        account=call.account, region=call.region, id=call.ids.ec2("dopt"), configurations=configurations, tags=tags
    )
    tx.put(options)
    return {"dhcp_options": render_dhcp_options(options)}


def associate_dhcp_options(tx: Transaction, call: Call, request: Request) -> Answer:
    """`default` takes a VPC's options away. Raises: ApiError InvalidDhcpOptionID.NotFound, InvalidVpcID.NotFound."""
    vpc = require(tx, call, Vpc, request["vpc_id"])
    id_ = request["dhcp_options_id"]
    if id_ != "default":
        find_dhcp_options(tx, call, id_)
    tx.put(replace(vpc, dhcp_options_id="" if id_ == "default" else id_))
    return {}


def delete_dhcp_options(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidDhcpOptionID.NotFound, DependencyViolation while a VPC has them."""
    options = find_dhcp_options(tx, call, request["dhcp_options_id"])
    if any(vpc.dhcp_options_id == options.id for vpc in tx.all(Vpc, call.account, call.region)):
        raise has_dependencies("dhcpOptions", options.id)
    if tx.get(DhcpOptions, call.account, call.region, options.id) is not None:
        tx.delete(options)
    return {}
