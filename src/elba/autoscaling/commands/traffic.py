"""Load balancers, target groups and traffic sources of a group.

The commands write what is wanted; the reconciler registers and deregisters instances and moves the state on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from elba.autoscaling import faults
from elba.autoscaling.lookup import require_group
from elba.autoscaling.resources import Attachment, Group, InstanceRefresh
from elba.call import Answer, Call, Request
from elba.elbv2.resources import TargetGroup
from elba.errors import ApiError
from elba.store.interface import Transaction, View

MAX_PER_CALL = 10
MAX_PER_GROUP = {"elbv2": 50, "elb": 50, "vpc-lattice": 5}


def from_request(view: View, call: Call, request: Request) -> list[Attachment]:
    """The attachments that CreateAutoScalingGroup asks for. Raises: ApiError."""
    found = [
        *_attachments(view, call, request.get("target_group_arns") or [], "elbv2", legacy=True),
        *_attachments(view, call, request.get("load_balancer_names") or [], "elb", legacy=True),
    ]
    for source in request.get("traffic_sources") or []:
        found += _attachments(view, call, [source["identifier"]], _type(source), legacy=False)
    return list({(a.type, a.identifier): a for a in found}.values())


def _type(source: Mapping[str, Any]) -> str:
    if source.get("type"):
        return str(source["type"])
    identifier = source["identifier"]
    if ":elasticloadbalancing:" in identifier:
        return "elbv2"
    return "vpc-lattice" if ":vpc-lattice:" in identifier else "elb"


def _attachments(view: View, call: Call, identifiers: Iterable[str], type_: str, *, legacy: bool) -> list[Attachment]:
    identifiers = list(identifiers)
    if len(identifiers) > MAX_PER_CALL and legacy:
        raise faults.validation("Trying to update too many Load Balancers/Target Groups at once. The limit is 10")
    for identifier in identifiers:
        if type_ == "elbv2":
            group = view.get(TargetGroup, call.account, call.region, identifier)
            if group is None:
                raise faults.validation(
                    "Provided Target Groups may not be valid. Please ensure they exist and try again."
                )
            if group.target_type != "instance":
                raise faults.validation(
                    f"Target group {group.target_group_name} has target type {group.target_type}; "
                    "Auto Scaling groups can be attached to target groups of type instance only."
                )
        elif type_ == "elb":
            raise faults.validation("Provided Load Balancers may not be valid. Please ensure they exist and try again.")
        elif type_ != "vpc-lattice":
            raise faults.validation(f"Invalid traffic source type: {type_}")
        else:
            raise faults.validation(
                "Provided VPC Lattice Target Groups may not be valid. Please ensure they exist and try again."
            )
    return [Attachment(identifier=i, type=type_, legacy=legacy) for i in identifiers]


def _attach(tx: Transaction, call: Call, group: Group, new: list[Attachment]) -> None:
    refuse_during_refresh(tx, group)
    kept = {(a.type, a.identifier): a for a in group.attachments}
    for attachment in new:
        there = kept.get((attachment.type, attachment.identifier))
        if there is None or there.state in ("Removing", "Removed"):
            kept[attachment.type, attachment.identifier] = attachment
    for type_, limit in MAX_PER_GROUP.items():
        if sum(a.type == type_ for a in kept.values()) > limit:
            raise faults.limit(f"An Auto Scaling group can have at most {limit} attachments of type {type_}.")
    tx.put(msgspec.structs.replace(group, attachments=list(kept.values())))


def refuse_during_refresh(view: View, group: Group) -> None:
    """Raises: ApiError InstanceRefreshInProgress."""
    refreshes = view.children(InstanceRefresh, group.account, group.region, group.id)
    if any(r.active for r in refreshes):
        raise ApiError(
            "InstanceRefreshInProgress",
            "An active instance refresh blocks this operation on the Auto Scaling group.",
        )


TYPES_OF = {
    "Load Balancers": ("elb",),
    "Target Groups": ("elbv2",),
    "Traffic Sources": ("elb", "elbv2", "vpc-lattice"),
}
"""What each way of detaching takes off."""


def _detach(tx: Transaction, group: Group, identifiers: Iterable[str], kind: str) -> None:
    gone = set(identifiers)
    types = TYPES_OF[kind]
    known = {a.identifier for a in group.attachments if a.type in types}
    if unknown := sorted(gone - known):
        raise faults.validation(f"Trying to remove {kind} that are not part of the group: {unknown[0]}")
    tx.put(
        msgspec.structs.replace(
            group,
            attachments=[
                msgspec.structs.replace(a, state="Removing") if a.identifier in gone else a for a in group.attachments
            ],
        )
    )


def attach_load_balancer_target_groups(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    _attach(tx, call, group, _attachments(tx, call, request["target_group_arns"], "elbv2", legacy=True))
    return {}


def detach_load_balancer_target_groups(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    _detach(tx, group, request["target_group_arns"], "Target Groups")
    return {}


def attach_load_balancers(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError: Elba has no Classic Load Balancers yet, so none exists."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    _attach(tx, call, group, _attachments(tx, call, request["load_balancer_names"], "elb", legacy=True))
    return {}


def detach_load_balancers(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    _detach(tx, group, request["load_balancer_names"], "Load Balancers")
    return {}


def attach_traffic_sources(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    new: list[Attachment] = []
    for source in request["traffic_sources"]:
        new += _attachments(tx, call, [source["identifier"]], _type(source), legacy=False)
    _attach(tx, call, group, new)
    return {}


def detach_traffic_sources(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    _detach(tx, group, [s["identifier"] for s in request["traffic_sources"]], "Traffic Sources")
    return {}
