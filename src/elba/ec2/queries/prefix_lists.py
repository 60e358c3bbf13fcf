"""Prefix lists as the API shows them: the customer's, and a few of AWS's own, whose addresses Elba does not know."""

from __future__ import annotations

import zlib

from elba.call import Answer, Call, Request
from elba.ec2.edge_resources import PrefixList, PrefixListEntry
from elba.ec2.filters import Fields, page, select
from elba.ec2.tagging import tag_list
from elba.errors import ApiError
from elba.store.interface import View

_AWS_SERVICES = ("s3", "dynamodb")


def aws_lists(call: Call) -> list[PrefixList]:
    """AWS's lists of the region. Their ids are made from their names; they have no entries."""
    names = [f"com.amazonaws.{call.region}.{service}" for service in _AWS_SERVICES]
    names.append("com.amazonaws.global.cloudfront.origin-facing")
    return [
        PrefixList(
            account="AWS",
            region=call.region,
            id=f"pl-{zlib.crc32(f'{call.region} {name}'.encode()):08x}",
            prefix_list_name=name,
            address_family="IPv4",
            max_entries=0,
            version=0,
            history=[[]],
        )
        for name in names
    ]


def all_lists(view: View, call: Call) -> list[PrefixList]:
    return [*view.all(PrefixList, call.account, call.region), *aws_lists(call)]


def find_prefix_list(view: View, call: Call, id_: str) -> PrefixList:
    """Raises: ApiError InvalidPrefixListID.NotFound."""
    for found in all_lists(view, call):
        if found.id == id_:
            return found
    raise ApiError("InvalidPrefixListID.NotFound", f"The prefix list ID '{id_}' does not exist")


def entries_of(prefix_list: PrefixList) -> list[PrefixListEntry]:
    """Of its newest version."""
    return prefix_list.history[-1] if prefix_list.history else []


def render_prefix_list(call: Call, prefix_list: PrefixList) -> Answer:
    aws = prefix_list.account == "AWS"
    arn = f"arn:aws:ec2:{call.region}:{'aws' if aws else call.account}:prefix-list/{prefix_list.id}"
    return {
        "prefix_list_id": prefix_list.id,
        "prefix_list_arn": arn,
        "prefix_list_name": prefix_list.prefix_list_name,
        "address_family": prefix_list.address_family,
        "owner_id": prefix_list.account,
        "state": prefix_list.state,
        "max_entries": None if aws else prefix_list.max_entries,
        "version": None if aws else prefix_list.version,
        "tags": tag_list(prefix_list.tags),
    }


_FIELDS: Fields[PrefixList] = {
    "owner-id": lambda p: p.account,
    "prefix-list-id": lambda p: p.id,
    "prefix-list-name": lambda p: p.prefix_list_name,
}


def describe_managed_prefix_lists(view: View, call: Call, request: Request) -> Answer:
    ids = request.get("prefix_list_ids")
    found = [find_prefix_list(view, call, id_) for id_ in ids] if ids else all_lists(view, call)
    found = select(found, request.get("filters"), _FIELDS, lambda p: p.tags)
    part, token = page(found, request, least=1, most=100)
    return {"prefix_lists": [render_prefix_list(call, p) for p in part], "next_token": token}


def describe_prefix_lists(view: View, call: Call, request: Request) -> Answer:
    """AWS's own only, as this older operation does."""
    found = aws_lists(call)
    if ids := request.get("prefix_list_ids"):
        for id_ in ids:
            find_prefix_list(view, call, id_)
        found = [p for p in found if p.id in ids]
    found = select(found, request.get("filters"), _FIELDS)
    part, token = page(found, request)
    return {
        "prefix_lists": [
            {
                "prefix_list_id": p.id,
                "prefix_list_name": p.prefix_list_name,
                "cidrs": [entry.cidr for entry in entries_of(p)],
            }
            for p in part
        ],
        "next_token": token,
    }


def get_managed_prefix_list_entries(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidPrefixListID.NotFound, InvalidPrefixListVersion (there is no such version)."""
    found = find_prefix_list(view, call, request["prefix_list_id"])
    entries = entries_of(found)
    if (version := request.get("target_version")) is not None:
        if not 1 <= version <= len(found.history):
            raise ApiError("InvalidParameterValue", f"The version {version} of {found.id} does not exist.")
        entries = found.history[version - 1]
    part, token = page(entries, request, least=1, most=100)
    return {
        "entries": [{"cidr": e.cidr, "description": e.description or None} for e in part],
        "next_token": token,
    }
