"""DHCP options as the API shows them. Every account and region has one set of its own: AmazonProvidedDNS."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.ec2.defaults import account_defaults
from elba.ec2.edge_resources import DhcpOptions
from elba.ec2.filters import Fields, page, select
from elba.ec2.tagging import tag_list
from elba.errors import ApiError
from elba.store.interface import View


def original_options(view: View, call: Call) -> DhcpOptions | None:
    """The set with which (account, region) starts; None before its default VPC is made."""
    defaults = account_defaults(view, call)
    if defaults is None or not defaults.dhcp_options_id:
        return None
    domain = "ec2.internal" if call.region == "us-east-1" else f"{call.region}.compute.internal"
    return DhcpOptions(
        account=call.account,
        region=call.region,
        id=defaults.dhcp_options_id,
        configurations={"domain-name": [domain], "domain-name-servers": ["AmazonProvidedDNS"]},
    )


def find_dhcp_options(view: View, call: Call, id_: str) -> DhcpOptions:
    """Raises: ApiError InvalidDhcpOptionID.NotFound."""
    found = view.get(DhcpOptions, call.account, call.region, id_)
    original = original_options(view, call)
    if found is None and original is not None and original.id == id_:
        found = original
    if found is None:
        raise ApiError("InvalidDhcpOptionID.NotFound", f"The dhcpOption ID '{id_}' does not exist")
    return found


def render_dhcp_options(options: DhcpOptions) -> Answer:
    return {
        "dhcp_options_id": options.id,
        "owner_id": options.account,
        "dhcp_configurations": [
            {"key": key, "values": [{"value": value} for value in values]}
            for key, values in options.configurations.items()
        ],
        "tags": tag_list(options.tags),
    }


_FIELDS: Fields[DhcpOptions] = {
    "dhcp-options-id": lambda o: o.id,
    "key": lambda o: list(o.configurations),
    "value": lambda o: [value for values in o.configurations.values() for value in values],
    "owner-id": lambda o: o.account,
}


def describe_dhcp_options(view: View, call: Call, request: Request) -> Answer:
    ids = request.get("dhcp_options_ids")
    if ids:
        found = [find_dhcp_options(view, call, id_) for id_ in ids]
    else:
        found = view.all(DhcpOptions, call.account, call.region)
        original = original_options(view, call)
        if original is not None and all(o.id != original.id for o in found):
            found = [original, *found]
    found = select(found, request.get("filters"), _FIELDS, lambda o: o.tags)
    part, token = page(found, request, ids="dhcp_options_ids")
    return {"dhcp_options": [render_dhcp_options(o) for o in part], "next_token": token}
