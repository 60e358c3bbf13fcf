"""Network interfaces as the API shows them."""

from __future__ import annotations

from collections.abc import Iterable

from elba.call import Answer, Call, Request
from elba.ec2 import zones
from elba.ec2.faults import invalid, require, require_all
from elba.ec2.filters import Fields, page, select
from elba.ec2.resources import NetworkInterface, SecurityGroup, Vpc
from elba.ec2.tagging import tag_list
from elba.store.interface import View


def render_groups(view: View, call: Call, group_ids: Iterable[str]) -> list[dict[str, str]]:
    """[{group_id, group_name}]"""
    result = []
    for id_ in group_ids:
        group = view.get(SecurityGroup, call.account, call.region, id_)
        result.append({"group_id": id_, "group_name": group.group_name if group else ""})
    return result


def public_address(interface: NetworkInterface) -> str:
    """Its Elastic IP address, else its public one; "" if it has none."""
    return interface.elastic_ip or (interface.host_address if interface.public else "")


def public_name(view: View, call: Call, interface: NetworkInterface) -> str:
    """The DNS name of its public address: only in VPCs with DNS host names."""
    address = public_address(interface)
    vpc = view.get(Vpc, call.account, call.region, interface.vpc_id)
    if not address or vpc is None or not vpc.enable_dns_hostnames:
        return ""
    return zones.public_dns_name(call.region, address)


def render_association(view: View, call: Call, interface: NetworkInterface) -> Answer | None:
    address = public_address(interface)
    if not address:
        return None
    return {
        "public_ip": address,
        "public_dns_name": public_name(view, call, interface),
        "ip_owner_id": call.account if interface.allocation_id else "amazon",
        "allocation_id": interface.allocation_id or None,
        "association_id": interface.association_id or None,
    }


def render_addresses(view: View, call: Call, interface: NetworkInterface) -> list[Answer]:
    """The primary address first."""
    association = render_association(view, call, interface)
    return [
        {
            "primary": n == 0,
            "private_ip_address": address,
            "private_dns_name": zones.private_dns_name(call.region, address),
            "association": association if n == 0 else None,
        }
        for n, address in enumerate([interface.private_ip_address, *interface.secondary_private_ip_addresses])
    ]


def instance_of(interface: NetworkInterface) -> str | None:
    """The id of the instance it is attached to."""
    return interface.owner if interface.owner.startswith("i-") else None


def render_interface(view: View, call: Call, interface: NetworkInterface) -> Answer:
    association = render_association(view, call, interface)
    attachment: Answer | None = None
    instance = instance_of(interface)
    if interface.status == "in-use":
        attachment = {
            "attachment_id": interface.attachment_id,
            "instance_id": instance,
            "instance_owner_id": call.account if instance else "amazon-elb",
            "device_index": interface.device_index,
            "network_card_index": 0,
            "status": "attached",
            "attach_time": interface.attach_time,
            "delete_on_termination": interface.delete_on_termination,
        }
    return {
        "network_interface_id": interface.id,
        "subnet_id": interface.subnet_id,
        "vpc_id": interface.vpc_id,
        "availability_zone": interface.availability_zone,
        "availability_zone_id": zones.zone_id(interface.availability_zone),
        "description": interface.description,
        "owner_id": interface.account,
        "requester_id": "amazon-elb" if interface.requester_managed else None,
        "requester_managed": interface.requester_managed,
        "status": interface.status,
        "interface_type": interface.interface_type,
        "mac_address": interface.mac_address,
        "private_ip_address": interface.private_ip_address,
        "private_dns_name": zones.private_dns_name(call.region, interface.private_ip_address),
        "private_ip_addresses": render_addresses(view, call, interface),
        "ipv6_addresses": [],
        "groups": render_groups(view, call, interface.group_ids),
        "source_dest_check": interface.source_dest_check,
        "association": association,
        "attachment": attachment,
        "tag_set": tag_list(interface.tags),
    }


def _fields(view: View, call: Call) -> Fields[NetworkInterface]:
    return {
        "network-interface-id": lambda i: i.id,
        "subnet-id": lambda i: i.subnet_id,
        "vpc-id": lambda i: i.vpc_id,
        "availability-zone": lambda i: i.availability_zone,
        "availability-zone-id": lambda i: zones.zone_id(i.availability_zone),
        "description": lambda i: i.description,
        "group-id": lambda i: i.group_ids,
        "group-name": lambda i: [g["group_name"] for g in render_groups(view, call, i.group_ids)],
        "owner-id": lambda i: i.account,
        "requester-id": lambda i: "amazon-elb" if i.requester_managed else None,
        "requester-managed": lambda i: i.requester_managed,
        "status": lambda i: i.status,
        "interface-type": lambda i: i.interface_type,
        "mac-address": lambda i: i.mac_address,
        "private-ip-address": lambda i: i.private_ip_address,
        "private-dns-name": lambda i: zones.private_dns_name(call.region, i.private_ip_address),
        "addresses.private-ip-address": lambda i: [i.private_ip_address, *i.secondary_private_ip_addresses],
        "addresses.primary": lambda i: ["true", *("false" for _ in i.secondary_private_ip_addresses)],
        "addresses.association.public-ip": public_address,
        "association.public-ip": public_address,
        "association.allocation-id": lambda i: i.allocation_id or None,
        "association.association-id": lambda i: i.association_id or None,
        "association.ip-owner-id": lambda i: call.account if i.allocation_id else None,
        "association.public-dns-name": lambda i: public_name(view, call, i),
        "attachment.attachment-id": lambda i: i.attachment_id or None,
        "attachment.instance-id": instance_of,
        "attachment.instance-owner-id": lambda i: i.account if instance_of(i) else None,
        "attachment.device-index": lambda i: i.device_index,
        "attachment.status": lambda i: "attached" if i.status == "in-use" else None,
        "attachment.delete-on-termination": lambda i: i.delete_on_termination,
        "attachment.attach-time": lambda i: None,
        "ipv6-addresses.ipv6-address": lambda i: None,
        "source-dest-check": lambda i: i.source_dest_check,
    }


def describe_network_interfaces(view: View, call: Call, request: Request) -> Answer:
    ids = request.get("network_interface_ids")
    found = (
        require_all(view, call, NetworkInterface, ids) if ids else view.all(NetworkInterface, call.account, call.region)
    )
    found = select(found, request.get("filters"), _fields(view, call), lambda i: i.tags)
    part, token = page(found, request, ids="network_interface_ids")
    return {"network_interfaces": [render_interface(view, call, i) for i in part], "next_token": token}


def describe_network_interface_attribute(view: View, call: Call, request: Request) -> Answer:
    interface = require(view, call, NetworkInterface, request["network_interface_id"])
    rendered = render_interface(view, call, interface)
    attributes: dict[str, Answer] = {
        "description": {"description": {"value": interface.description}},
        "groupSet": {"groups": rendered["groups"]},
        "sourceDestCheck": {"source_dest_check": {"value": interface.source_dest_check}},
        "attachment": {"attachment": rendered["attachment"]},
        "associatePublicIpAddress": {"associate_public_ip_address": interface.public},
    }
    attribute = request.get("attribute") or ""
    if attribute not in attributes:
        raise invalid(attribute, "attribute")
    return {"network_interface_id": interface.id, **attributes[attribute]}
