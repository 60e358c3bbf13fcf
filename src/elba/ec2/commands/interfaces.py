"""Network interfaces: create, attach, modify, delete."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.addresses import allocate_interface, free_address, release_interface, take_address
from elba.ec2.commands.launch_interfaces import check_groups
from elba.ec2.faults import missing, require
from elba.ec2.idempotency import once
from elba.ec2.queries.interfaces import render_interface
from elba.ec2.resources import Instance, NetworkInterface, Subnet
from elba.ec2.tagging import specified_tags
from elba.errors import ApiError
from elba.store.interface import Transaction, View


def create_network_interface(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidSubnetID.NotFound, InvalidGroup.NotFound, InvalidIPAddress.InUse …"""
    tags = specified_tags(request, "network-interface")["network-interface"]
    subnet = require(tx, call, Subnet, request["subnet_id"])
    groups = check_groups(tx, call, list(request.get("groups") or ()), subnet)
    wanted = request.get("private_ip_address")
    extra: list[str] = []
    for one in request.get("private_ip_addresses") or ():
        if one.get("primary"):
            wanted = one.get("private_ip_address")
        else:
            extra.append(one.get("private_ip_address") or "")

    def make() -> list[str]:
        interface = allocate_interface(
            tx,
            call,
            subnet.id,
            owner="",
            description=request.get("description") or "",
            group_ids=groups,
            private_ip=wanted,
        )
        secondary = [take_address(tx, subnet, interface.id, address or None) for address in extra]
        for _ in range(request.get("secondary_private_ip_address_count") or 0):
            secondary.append(take_address(tx, subnet, interface.id))
        tx.put(
            replace(
                interface,
                tags=tags,
                secondary_private_ip_addresses=secondary,
                delete_on_termination=False,
            )
        )
        return [interface.id]

    (id_,) = once(tx, call, request, "CreateNetworkInterface", make)
    return {
        "network_interface": render_interface(tx, call, require(tx, call, NetworkInterface, id_)),
        "client_token": request.get("client_token"),
    }


def delete_network_interface(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidNetworkInterfaceID.NotFound, InvalidParameterValue while it is in use."""
    interface = require(tx, call, NetworkInterface, request["network_interface_id"])
    if interface.requester_managed:
        raise ApiError(
            "OperationNotPermitted", f"You are not allowed to manage the network interface '{interface.id}'."
        )
    if interface.status == "in-use":
        raise ApiError("InvalidParameterValue", f"Network interface '{interface.id}' is currently in use.")
    release_interface(tx, call, interface.id)
    return {}


def attach_network_interface(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidNetworkInterface.InUse, IncorrectInstanceState, InvalidParameterValue (device index)."""
    interface = require(tx, call, NetworkInterface, request["network_interface_id"])
    instance = require(tx, call, Instance, request["instance_id"])
    index = request["device_index"]
    if interface.status != "available":
        raise ApiError("InvalidNetworkInterface.InUse", f"Interface: [{interface.id}] in use.")
    if instance.state not in ("running", "stopped", "pending"):
        raise ApiError(
            "IncorrectInstanceState", f"The instance '{instance.id}' is not in a valid state for this operation."
        )
    if interface.availability_zone != instance.availability_zone:
        raise ApiError(
            "InvalidParameterCombination",
            "You may not attach a network interface to an instance if they are not in the same availability zone",
        )
    others = (instance.network_interface_id, *instance.secondary_network_interface_ids)
    taken = {require(tx, call, NetworkInterface, id_).device_index for id_ in others}
    if index in taken:
        raise ApiError(
            "InvalidParameterValue",
            f"Instance '{instance.id}' already has an interface attached at device index '{index}'.",
        )
    attachment = call.ids.ec2("eni-attach")
    tx.put(
        replace(
            interface,
            owner=instance.id,
            status="in-use",
            attachment_id=attachment,
            attach_time=call.now,
            device_index=index,
            delete_on_termination=False,
        )
    )
    tx.put(
        replace(
            instance,
            secondary_network_interface_ids=[*instance.secondary_network_interface_ids, interface.id],
        )
    )
    return {"attachment_id": attachment, "network_card_index": 0}


def _attached(view: View, call: Call, attachment_id: str) -> NetworkInterface:
    for interface in view.all(NetworkInterface, call.account, call.region):
        if interface.attachment_id == attachment_id:
            return interface
    raise ApiError("InvalidAttachmentID.NotFound", f"The attachment ID '{attachment_id}' does not exist")


def detach_network_interface(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidAttachmentID.NotFound, OperationNotPermitted (the primary one, or a service's)."""
    interface = _attached(tx, call, request["attachment_id"])
    if interface.requester_managed:
        raise ApiError(
            "OperationNotPermitted", f"You are not allowed to manage the network interface '{interface.id}'."
        )
    if interface.device_index == 0:
        raise ApiError("OperationNotPermitted", "The network interface at device index 0 cannot be detached.")
    instance = tx.get(Instance, call.account, call.region, interface.owner)
    if instance is not None:
        kept = [id_ for id_ in instance.secondary_network_interface_ids if id_ != interface.id]
        tx.put(replace(instance, secondary_network_interface_ids=kept))
    tx.put(replace(interface, owner="", status="available", attachment_id="", attach_time=0.0, device_index=0))
    return {}


def modify_network_interface_attribute(tx: Transaction, call: Call, request: Request) -> Answer:
    interface = require(tx, call, NetworkInterface, request["network_interface_id"])
    changes: dict[str, Any] = {}
    if request.get("groups"):
        subnet = require(tx, call, Subnet, interface.subnet_id)
        changes["group_ids"] = check_groups(tx, call, list(request["groups"]), subnet)
    description = (request.get("description") or {}).get("value")
    if description is not None:
        changes["description"] = description
    check = (request.get("source_dest_check") or {}).get("value")
    if check is not None:
        changes["source_dest_check"] = bool(check)
    attachment = request.get("attachment") or {}
    if attachment:
        if attachment.get("attachment_id") != interface.attachment_id or not interface.attachment_id:
            raise ApiError(
                "InvalidAttachmentID.NotFound",
                f"The attachment ID '{attachment.get('attachment_id')}' does not exist",
            )
        if attachment.get("delete_on_termination") is not None:
            changes["delete_on_termination"] = bool(attachment["delete_on_termination"])
    if not changes:
        raise missing("of the attribute to modify")
    changed = replace(interface, **changes)
    tx.put(changed)
    instance = tx.get(Instance, call.account, call.region, interface.owner)
    if instance is not None and instance.network_interface_id == interface.id:
        tx.put(replace(instance, group_ids=changed.group_ids, source_dest_check=changed.source_dest_check))
    return {}


def assign_private_ip_addresses(tx: Transaction, call: Call, request: Request) -> Answer:
    interface = require(tx, call, NetworkInterface, request["network_interface_id"])
    subnet = require(tx, call, Subnet, interface.subnet_id)
    wanted: list[str | None] = list(request.get("private_ip_addresses") or ())
    wanted += [None] * (request.get("secondary_private_ip_address_count") or 0)
    if not wanted:
        raise missing("SecondaryPrivateIpAddressCount")
    new = [take_address(tx, subnet, interface.id, address) for address in wanted]
    tx.put(
        replace(
            interface,
            secondary_private_ip_addresses=[*interface.secondary_private_ip_addresses, *new],
        )
    )
    return {
        "network_interface_id": interface.id,
        "assigned_private_ip_addresses": [{"private_ip_address": address} for address in new],
    }


def unassign_private_ip_addresses(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidParameterValue for an address that is not one of its secondary ones."""
    interface = require(tx, call, NetworkInterface, request["network_interface_id"])
    subnet = require(tx, call, Subnet, interface.subnet_id)
    kept = list(interface.secondary_private_ip_addresses)
    for address in request.get("private_ip_addresses") or ():
        if address not in kept:
            raise ApiError(
                "InvalidParameterValue",
                f"Some of the specified addresses are not assigned to interface {interface.id}",
            )
        kept.remove(address)
        free_address(tx, subnet, address)
    tx.put(replace(interface, secondary_private_ip_addresses=kept))
    return {}
