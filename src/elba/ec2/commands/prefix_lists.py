"""Prefix lists. Source: VPC user guide, "Consolidate and manage network CIDR blocks with managed prefix lists"."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.edge_resources import PrefixList, PrefixListEntry
from elba.ec2.faults import invalid, missing
from elba.ec2.idempotency import once
from elba.ec2.queries.prefix_lists import entries_of, find_prefix_list, render_prefix_list
from elba.ec2.resources import RouteTable, SecurityGroup
from elba.ec2.tagging import specified_tags
from elba.errors import ApiError
from elba.store.interface import Transaction

_MOST_ENTRIES = 1000


def _entries(given: Iterable[Mapping[str, Any]], family: str) -> list[PrefixListEntry]:
    found: dict[str, PrefixListEntry] = {}
    for one in given:
        text = one.get("cidr") or ""
        try:
            block = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise invalid(text, "cidr", "This is not a valid CIDR block.") from None
        if f"IPv{block.version}" != family:
            raise invalid(text, "cidr", f"The address family of the list is {family}.")
        if str(block) in found:
            raise ApiError("InvalidParameterValue", f"The CIDR {block} is in the request twice.")
        found[str(block)] = PrefixListEntry(cidr=str(block), description=one.get("description") or "")
    return list(found.values())


def _most(number: int) -> int:
    if not 1 <= number <= _MOST_ENTRIES:
        raise invalid(str(number), "maxEntries", f"It must be from 1 to {_MOST_ENTRIES}.")
    return number


def _check_count(entries: list[PrefixListEntry], most: int) -> None:
    if len(entries) > most:
        raise ApiError(
            "PrefixListMaxEntriesExceeded",
            f"The number of entries ({len(entries)}) exceeds the maximum number of entries ({most}).",
        )


def _check_name(name: str) -> None:
    if not name:
        raise missing("PrefixListName")
    if name.startswith("com.amazonaws"):
        raise invalid(name, "prefixListName", "The name cannot start with com.amazonaws.")


def create_managed_prefix_list(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidParameterValue, PrefixListMaxEntriesExceeded."""
    tags = specified_tags(request, "prefix-list")["prefix-list"]
    family = request["address_family"]
    if family not in ("IPv4", "IPv6"):
        raise invalid(family, "addressFamily")
    _check_name(request["prefix_list_name"])
    most = _most(request["max_entries"])
    entries = _entries(request.get("entries") or (), family)
    _check_count(entries, most)

    def make() -> list[str]:
        made = PrefixList(
            account=call.account,
            region=call.region,
            id=call.ids.ec2("pl"),
            prefix_list_name=request["prefix_list_name"],
            address_family=family,
            max_entries=most,
            history=[entries],
            tags=tags,
        )
        tx.put(made)
        return [made.id]

    (id_,) = once(tx, call, request, "CreateManagedPrefixList", make)
    return {"prefix_list": render_prefix_list(call, find_prefix_list(tx, call, id_))}


def _own(tx: Transaction, call: Call, id_: str) -> PrefixList:
    found = find_prefix_list(tx, call, id_)
    if found.account == "AWS":
        raise ApiError("OperationNotPermitted", f"The prefix list {id_} is managed by AWS.")
    return found


def modify_managed_prefix_list(tx: Transaction, call: Call, request: Request) -> Answer:
    """A change of entries makes the next version.

    Raises: ApiError PrefixListVersionMismatch (it was changed since), IncorrectState, InvalidParameterValue.
    """
    old = _own(tx, call, request["prefix_list_id"])
    name = request.get("prefix_list_name")
    if name is not None:
        _check_name(name)
    added = _entries(request.get("add_entries") or (), old.address_family)
    removed = {e.cidr for e in _entries(request.get("remove_entries") or (), old.address_family)}
    most = old.max_entries if request.get("max_entries") is None else _most(request["max_entries"])
    if (added or removed) and request.get("max_entries") is not None:
        raise ApiError("InvalidParameterCombination", "Entries and their maximum number cannot change in one request.")
    if (added or removed) and request.get("current_version") is None:
        raise missing("CurrentVersion")
    if request.get("current_version") not in (None, old.version):
        raise ApiError(
            "PrefixListVersionMismatch",
            f"The prefix list has the incorrect version number. Current version is {old.version}.",
        )
    entries = {e.cidr: e for e in entries_of(old)}
    for cidr in removed:
        if cidr not in entries:
            raise invalid(cidr, "cidr", f"The prefix list {old.id} has no such entry.")
        del entries[cidr]
    for entry in added:
        entries[entry.cidr] = entry
    current = list(entries.values())
    _check_count(current, most)
    new = replace(old, prefix_list_name=name or old.prefix_list_name, max_entries=most, state="modify-complete")
    if current != entries_of(old):
        new = replace(new, version=old.version + 1, history=[*old.history, current])
    tx.put(new)
    return {"prefix_list": render_prefix_list(call, new)}


def delete_managed_prefix_list(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidPrefixListID.NotFound, DependencyViolation while a rule or route names it."""
    old = _own(tx, call, request["prefix_list_id"])
    groups = tx.all(SecurityGroup, call.account, call.region)
    tables = tx.all(RouteTable, call.account, call.region)
    if any(p.prefix_list_id == old.id for g in groups for p in g.permissions) or any(
        r.destination == old.id for t in tables for r in t.routes
    ):
        raise ApiError("DependencyViolation", f"The prefix list '{old.id}' is in use and cannot be deleted.")
    tx.delete(old)
    return {"prefix_list": {**render_prefix_list(call, old), "state": "delete-complete"}}
