"""Instances as the API shows them.

Source: EC2 API reference, "Instance"; a terminated instance has lost its network and its volumes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from elba.call import Answer, Call
from elba.ec2 import zones
from elba.ec2.instance_types import find_type
from elba.ec2.queries.interfaces import (
    public_address,
    public_name,
    render_addresses,
    render_association,
    render_groups,
)
from elba.ec2.resources import STATE_CODES, Instance, NetworkInterface, Volume
from elba.ec2.tagging import tag_list
from elba.store.interface import View


def render_state(state: str) -> dict[str, int | str]:
    return {"code": STATE_CODES[state], "name": state}


def interfaces_of(view: View, instance: Instance) -> Iterator[NetworkInterface]:
    """Its network interfaces by device index; none once it is terminated."""
    if instance.state == "terminated":
        return
    for id_ in (instance.network_interface_id, *instance.secondary_network_interface_ids):
        interface = view.get(NetworkInterface, instance.account, instance.region, id_)
        if interface is not None and interface.owner == instance.id:
            yield interface


def volumes_of(view: View, instance: Instance) -> list[Volume]:
    return view.children(Volume, instance.account, instance.region, instance.id)


def public_ip_of(view: View, instance: Instance) -> str:
    """Its public address now: an automatic one is there only while it is not stopped, an Elastic one stays."""
    primary = next(interfaces_of(view, instance), None)
    if primary is None:
        return ""
    if primary.elastic_ip:
        return primary.elastic_ip
    return "" if instance.state in ("stopped", "shutting-down") else public_address(primary)


def render_instance(view: View, call: Call, instance: Instance) -> Answer:
    gone = instance.state == "terminated"
    interfaces = list(interfaces_of(view, instance))
    public_ip = public_ip_of(view, instance)
    type_ = find_type(instance.instance_type)
    cores = instance.core_count or (type_.cores if type_ else 1)
    threads = instance.threads_per_core or (type_.threads_per_core if type_ else 1)
    return {
        "instance_id": instance.id,
        "image_id": instance.image_id,
        "state": render_state(instance.state),
        "private_dns_name": "" if gone else instance.private_dns_name,
        "public_dns_name": public_name(view, call, interfaces[0]) if public_ip and interfaces else "",
        "state_transition_reason": instance.state_transition_reason,
        "state_reason": {"code": instance.state_reason_code, "message": instance.state_reason_message}
        if instance.state_reason_code
        else None,
        "key_name": instance.key_name or None,
        "ami_launch_index": instance.ami_launch_index,
        "product_codes": [],
        "instance_type": instance.instance_type,
        "launch_time": instance.launch_time,
        "placement": {
            "availability_zone": instance.availability_zone,
            "availability_zone_id": zones.zone_id(instance.availability_zone),
            "group_name": instance.placement_group,
            "partition_number": instance.partition_number,
            "tenancy": instance.tenancy,
        },
        "monitoring": {"state": "enabled" if instance.monitoring else "disabled"},
        "subnet_id": None if gone else instance.subnet_id,
        "vpc_id": None if gone else instance.vpc_id,
        "private_ip_address": None if gone else instance.private_ip_address,
        "public_ip_address": public_ip or None,
        "source_dest_check": None if gone else instance.source_dest_check,
        "security_groups": [] if gone else render_groups(view, call, instance.group_ids),
        "architecture": instance.architecture,
        "root_device_type": "ebs",
        "root_device_name": instance.root_device_name,
        "block_device_mappings": [] if gone else [_block_device(v) for v in volumes_of(view, instance)],
        "virtualization_type": "hvm",
        "client_token": instance.client_token,
        "tags": tag_list(instance.tags) or None,  # EC2 leaves it out where there is none
        "hypervisor": "xen",
        "network_interfaces": [_interface(view, call, i, bool(public_ip)) for i in interfaces],
        "iam_instance_profile": {
            "arn": instance.iam_instance_profile_arn,
            "id": instance.iam_instance_profile_id,
        }
        if instance.iam_instance_profile_arn
        else None,
        "instance_lifecycle": instance.lifecycle or None,
        "spot_instance_request_id": instance.spot_instance_request_id or None,
        "ebs_optimized": instance.ebs_optimized,
        "ena_support": True,
        "capacity_reservation_specification": {
            "capacity_reservation_preference": instance.capacity_reservation_preference
        },
        "hibernation_options": {"configured": instance.hibernation},
        "metadata_options": render_metadata_options(instance),
        "enclave_options": {"enabled": instance.enclave},
        "maintenance_options": {"auto_recovery": instance.auto_recovery, "reboot_migration": "default"},
        "private_dns_name_options": None
        if gone
        else {
            "hostname_type": instance.hostname_type,
            "enable_resource_name_dns_a_record": instance.enable_resource_name_dns_a_record,
            "enable_resource_name_dns_aaaa_record": False,
        },
        "cpu_options": {"core_count": cores, "threads_per_core": threads},
        "boot_mode": "uefi-preferred",
        "current_instance_boot_mode": "legacy-bios",
        "platform_details": "Linux/UNIX",
        "usage_operation": "RunInstances",
        "usage_operation_update_time": instance.launch_time,
    }


def render_metadata_options(instance: Instance) -> Answer:
    return {
        "state": "applied",
        "http_tokens": instance.http_tokens,
        "http_put_response_hop_limit": instance.http_put_response_hop_limit,
        "http_endpoint": instance.http_endpoint,
        "http_protocol_ipv6": instance.http_protocol_ipv6,
        "instance_metadata_tags": instance.instance_metadata_tags,
    }


def _block_device(volume: Volume) -> Answer:
    return {
        "device_name": volume.device,
        "ebs": {
            "volume_id": volume.id,
            "status": "attached",
            "attach_time": volume.attach_time,
            "delete_on_termination": volume.delete_on_termination,
        },
    }


def _interface(view: View, call: Call, interface: NetworkInterface, public: bool) -> Answer:
    association = render_association(view, call, interface) if public else None
    if association is not None:
        # The instance's own list knows less of the association than DescribeNetworkInterfaces.
        association = {k: association[k] for k in ("public_ip", "public_dns_name", "ip_owner_id")}
    addresses = render_addresses(view, call, interface)
    for address in addresses:
        address["association"] = association if address["primary"] else None
    return {
        "network_interface_id": interface.id,
        "subnet_id": interface.subnet_id,
        "vpc_id": interface.vpc_id,
        "description": interface.description,
        "owner_id": interface.account,
        "status": interface.status,
        "interface_type": interface.interface_type,
        "mac_address": interface.mac_address,
        "private_ip_address": interface.private_ip_address,
        "private_dns_name": zones.private_dns_name(call.region, interface.private_ip_address),
        "private_ip_addresses": addresses,
        "ipv6_addresses": [],
        "groups": render_groups(view, call, interface.group_ids),
        "source_dest_check": interface.source_dest_check,
        "association": association,
        "attachment": {
            "attachment_id": interface.attachment_id,
            "attach_time": interface.attach_time,
            "delete_on_termination": interface.delete_on_termination,
            "device_index": interface.device_index,
            "network_card_index": 0,
            "status": "attached",
        },
    }


def render_reservation(view: View, call: Call, instances: Iterable[Instance]) -> Answer:
    """`instances` all belong to one reservation."""
    members = list(instances)
    return {
        "reservation_id": members[0].reservation_id,
        "owner_id": members[0].account,
        "groups": [],
        "instances": [render_instance(view, call, i) for i in members],
    }
