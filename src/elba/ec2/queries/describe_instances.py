"""DescribeInstances, DescribeInstanceStatus, DescribeInstanceAttribute and other questions about instances."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from elba.call import Answer, Call, Request
from elba.ec2 import zones
from elba.ec2.faults import invalid, require, require_all
from elba.ec2.filters import Fields, Values, page, select
from elba.ec2.instance_types import find_type
from elba.ec2.queries.instances import (
    interfaces_of,
    public_ip_of,
    render_instance,
    render_reservation,
    render_state,
    volumes_of,
)
from elba.ec2.queries.interfaces import render_groups
from elba.ec2.resources import STATE_CODES, Instance, NetworkInterface
from elba.errors import ApiError
from elba.store.interface import View


def instance_time(seconds: float) -> str:
    """As filters compare it: `2026-01-02T03:04:05.000Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def instance_fields(view: View, call: Call) -> Fields[Instance]:
    """All filters of DescribeInstances that anything here can match."""

    def rendered(*path: str) -> Callable[[Instance], Values]:
        def read(instance: Instance) -> Values:
            value: Any = render_instance(view, call, instance)
            for name in path:
                value = (value or {}).get(name)
            return value if value != "" else None

        return read

    def of_interfaces(read: Callable[[NetworkInterface], object]) -> Callable[[Instance], Values]:
        def texts(instance: Instance) -> list[str]:
            values = (read(i) for i in interfaces_of(view, instance))
            found: list[str] = []
            for value in values:
                if isinstance(value, bool):
                    found.append("true" if value else "false")
                elif isinstance(value, list):
                    found += [str(v) for v in value]
                elif value not in (None, ""):
                    found.append(str(value))
            return found

        return texts

    def there(value: Callable[[Instance], str]) -> Callable[[Instance], Values]:
        return lambda i: None if i.state == "terminated" else value(i) or None

    volumes: Fields[Instance] = {
        "block-device-mapping.volume-id": lambda i: [v.id for v in volumes_of(view, i)],
        "block-device-mapping.device-name": lambda i: [v.device for v in volumes_of(view, i)],
        "block-device-mapping.status": lambda i: ["attached" for _ in volumes_of(view, i)],
        "block-device-mapping.attach-time": lambda i: [instance_time(v.attach_time) for v in volumes_of(view, i)],
        "block-device-mapping.delete-on-termination": lambda i: [
            "true" if v.delete_on_termination else "false" for v in volumes_of(view, i)
        ],
    }
    interfaces: Fields[Instance] = {
        "network-interface.network-interface-id": of_interfaces(lambda n: n.id),
        "network-interface.subnet-id": of_interfaces(lambda n: n.subnet_id),
        "network-interface.vpc-id": of_interfaces(lambda n: n.vpc_id),
        "network-interface.availability-zone": of_interfaces(lambda n: n.availability_zone),
        "network-interface.description": of_interfaces(lambda n: n.description),
        "network-interface.group-id": of_interfaces(lambda n: n.group_ids),
        "network-interface.group-name": of_interfaces(
            lambda n: [g["group_name"] for g in render_groups(view, call, n.group_ids)]
        ),
        "network-interface.mac-address": of_interfaces(lambda n: n.mac_address),
        "network-interface.owner-id": of_interfaces(lambda n: n.account),
        "network-interface.private-ip-address": of_interfaces(lambda n: n.private_ip_address),
        "network-interface.private-dns-name": of_interfaces(
            lambda n: zones.private_dns_name(call.region, n.private_ip_address)
        ),
        "network-interface.requester-managed": of_interfaces(lambda n: n.requester_managed),
        "network-interface.source-dest-check": of_interfaces(lambda n: n.source_dest_check),
        "network-interface.status": of_interfaces(lambda n: n.status),
        "network-interface.addresses.primary": of_interfaces(lambda n: True),
        "network-interface.addresses.private-ip-address": of_interfaces(
            lambda n: [n.private_ip_address, *n.secondary_private_ip_addresses]
        ),
        "network-interface.addresses.association.public-ip": of_interfaces(
            lambda n: n.elastic_ip or (n.host_address if n.public else "")
        ),
        "network-interface.association.public-ip": of_interfaces(
            lambda n: n.elastic_ip or (n.host_address if n.public else "")
        ),
        "network-interface.association.allocation-id": of_interfaces(lambda n: n.allocation_id),
        "network-interface.association.association-id": of_interfaces(lambda n: n.association_id),
        "network-interface.association.ip-owner-id": of_interfaces(
            lambda n: n.account if n.allocation_id else ("amazon" if n.public else "")
        ),
        "network-interface.attachment.attachment-id": of_interfaces(lambda n: n.attachment_id),
        "network-interface.attachment.instance-id": of_interfaces(lambda n: n.owner),
        "network-interface.attachment.instance-owner-id": of_interfaces(lambda n: n.account),
        "network-interface.attachment.device-index": of_interfaces(lambda n: n.device_index),
        "network-interface.attachment.status": of_interfaces(lambda n: "attached"),
        "network-interface.attachment.attach-time": of_interfaces(lambda n: instance_time(n.attach_time)),
        "network-interface.attachment.delete-on-termination": of_interfaces(lambda n: n.delete_on_termination),
    }
    return {
        "affinity": lambda i: None,
        "architecture": lambda i: i.architecture,
        "availability-zone": lambda i: i.availability_zone,
        "availability-zone-id": lambda i: zones.zone_id(i.availability_zone),
        "client-token": lambda i: i.client_token or None,
        "current-instance-boot-mode": lambda i: "legacy-bios",
        "dns-name": rendered("public_dns_name"),
        "ebs-optimized": lambda i: i.ebs_optimized,
        "ena-support": lambda i: True,
        "enclave-options.enabled": lambda i: i.enclave,
        "hibernation-options.configured": lambda i: i.hibernation,
        "host-id": lambda i: None,
        "hypervisor": lambda i: "xen",
        "iam-instance-profile.arn": lambda i: i.iam_instance_profile_arn or None,
        "iam-instance-profile.id": lambda i: i.iam_instance_profile_id or None,
        "iam-instance-profile.name": lambda i: i.iam_instance_profile_arn.rsplit("/", 1)[-1] or None,
        "image-id": lambda i: i.image_id,
        "instance-id": lambda i: i.id,
        "instance-lifecycle": lambda i: i.lifecycle or None,
        "instance-state-code": lambda i: STATE_CODES[i.state],
        "instance-state-name": lambda i: i.state,
        "instance-type": lambda i: i.instance_type,
        "instance.group-id": lambda i: [] if i.state == "terminated" else i.group_ids,
        "instance.group-name": lambda i: [
            g["group_name"] for g in ([] if i.state == "terminated" else render_groups(view, call, i.group_ids))
        ],
        "group-id": lambda i: i.group_ids,
        "group-name": lambda i: [g["group_name"] for g in render_groups(view, call, i.group_ids)],
        "ip-address": lambda i: public_ip_of(view, i) or None,
        "ipv6-address": lambda i: None,
        "kernel-id": lambda i: None,
        "key-name": lambda i: i.key_name or None,
        "launch-index": lambda i: i.ami_launch_index,
        "launch-time": lambda i: instance_time(i.launch_time),
        "maintenance-options.auto-recovery": lambda i: i.auto_recovery,
        "metadata-options.http-tokens": lambda i: i.http_tokens,
        "metadata-options.http-endpoint": lambda i: i.http_endpoint,
        "metadata-options.http-put-response-hop-limit": lambda i: i.http_put_response_hop_limit,
        "metadata-options.instance-metadata-tags": lambda i: i.instance_metadata_tags,
        "monitoring-state": lambda i: "enabled" if i.monitoring else "disabled",
        "owner-id": lambda i: i.account,
        "outpost-arn": lambda i: None,
        "placement-group-name": lambda i: i.placement_group or None,
        "placement-partition-number": lambda i: i.partition_number,
        "platform": lambda i: None,
        "platform-details": lambda i: "Linux/UNIX",
        "private-dns-name": there(lambda i: i.private_dns_name),
        "private-dns-name-options.hostname-type": lambda i: i.hostname_type,
        "private-ip-address": there(lambda i: i.private_ip_address),
        "product-code": lambda i: None,
        "product-code.type": lambda i: None,
        "ramdisk-id": lambda i: None,
        "reason": lambda i: i.state_transition_reason or None,
        "requester-id": lambda i: None,
        "reservation-id": lambda i: i.reservation_id,
        "root-device-name": lambda i: i.root_device_name,
        "root-device-type": lambda i: "ebs",
        "source-dest-check": lambda i: i.source_dest_check,
        "spot-instance-request-id": lambda i: i.spot_instance_request_id or None,
        "state-reason-code": lambda i: i.state_reason_code or None,
        "state-reason-message": lambda i: i.state_reason_message or None,
        "subnet-id": there(lambda i: i.subnet_id),
        "tenancy": lambda i: i.tenancy,
        "usage-operation": lambda i: "RunInstances",
        "virtualization-type": lambda i: "hvm",
        "vpc-id": there(lambda i: i.vpc_id),
        **volumes,
        **interfaces,
    }


def _found(view: View, call: Call, request: Request) -> list[Instance]:
    ids = request.get("instance_ids")
    found = require_all(view, call, Instance, ids) if ids else view.all(Instance, call.account, call.region)
    return select(found, request.get("filters"), instance_fields(view, call), lambda i: i.tags)


def describe_instances(view: View, call: Call, request: Request) -> Answer:
    """Instances of one launch together, in the order of launches."""
    part, token = page(_found(view, call, request), request, ids="instance_ids")
    reservations: dict[str, list[Instance]] = {}
    for instance in part:
        reservations.setdefault(instance.reservation_id, []).append(instance)
    return {
        "reservations": [render_reservation(view, call, members) for members in reservations.values()],
        "next_token": token,
    }


_STATUS_FIELDS: Fields[Instance] = {
    "availability-zone": lambda i: i.availability_zone,
    "availability-zone-id": lambda i: zones.zone_id(i.availability_zone),
    "event.code": lambda i: None,
    "event.description": lambda i: None,
    "event.instance-event-id": lambda i: None,
    "event.not-after": lambda i: None,
    "event.not-before": lambda i: None,
    "event.not-before-deadline": lambda i: None,
    "instance-state-code": lambda i: STATE_CODES[i.state],
    "instance-state-name": lambda i: i.state,
    "instance-status.reachability": lambda i: _reachability(_status(i, i.instance_status)),
    "instance-status.status": lambda i: _status(i, i.instance_status),
    "system-status.reachability": lambda i: _reachability(_status(i, i.system_status)),
    "system-status.status": lambda i: _status(i, i.system_status),
}

_REACHABILITY = {"ok": "passed", "impaired": "failed", "initializing": "initializing"}


def _status(instance: Instance, status: str) -> str:
    """Only a running instance is checked."""
    return status if instance.state == "running" else "not-applicable"


def _reachability(status: str) -> str | None:
    return _REACHABILITY.get(status)


def _summary(status: str) -> Answer:
    reachability = _reachability(status)
    details = [{"name": "reachability", "status": reachability}] if reachability else []
    return {"status": status, "details": details}


def describe_instance_status(view: View, call: Call, request: Request) -> Answer:
    """Running instances only, unless IncludeAllInstances."""
    ids = request.get("instance_ids")
    found = require_all(view, call, Instance, ids) if ids else view.all(Instance, call.account, call.region)
    if not request.get("include_all_instances"):
        found = [i for i in found if i.state == "running"]

    def volumes(instance: Instance) -> str:
        return _status(instance, "impaired" if any(v.impaired_since for v in volumes_of(view, instance)) else "ok")

    fields = {**_STATUS_FIELDS, "attached-ebs-status.status": volumes}
    found = select(found, request.get("filters"), fields, lambda i: i.tags)
    part, token = page(found, request, ids="instance_ids")
    return {
        "instance_statuses": [
            {
                "instance_id": i.id,
                "availability_zone": i.availability_zone,
                "availability_zone_id": zones.zone_id(i.availability_zone),
                "instance_state": render_state(i.state),
                "instance_status": _summary(_status(i, i.instance_status)),
                "system_status": _summary(_status(i, i.system_status)),
                "attached_ebs_status": _summary(volumes(i)),
                "events": [],
            }
            for i in part
        ],
        "next_token": token,
    }


def describe_instance_attribute(view: View, call: Call, request: Request) -> Answer:
    instance = require(view, call, Instance, request["instance_id"])
    rendered = render_instance(view, call, instance)
    attribute = request.get("attribute") or ""
    attributes: dict[str, Answer] = {
        "instanceType": {"instance_type": {"value": instance.instance_type}},
        "kernel": {"kernel_id": {}},
        "ramdisk": {"ramdisk_id": {}},
        "userData": {"user_data": {"value": instance.user_data or None}},
        "disableApiTermination": {"disable_api_termination": {"value": instance.disable_api_termination}},
        "disableApiStop": {"disable_api_stop": {"value": instance.disable_api_stop}},
        "instanceInitiatedShutdownBehavior": {
            "instance_initiated_shutdown_behavior": {"value": instance.instance_initiated_shutdown_behavior}
        },
        "rootDeviceName": {"root_device_name": {"value": instance.root_device_name}},
        "blockDeviceMapping": {"block_device_mappings": rendered["block_device_mappings"]},
        "productCodes": {"product_codes": []},
        "sourceDestCheck": {"source_dest_check": {"value": instance.source_dest_check}},
        "groupSet": {"groups": rendered["security_groups"]},
        "ebsOptimized": {"ebs_optimized": {"value": instance.ebs_optimized}},
        "sriovNetSupport": {"sriov_net_support": {}},
        "enaSupport": {"ena_support": {"value": True}},
        "enclaveOptions": {"enclave_options": {"enabled": instance.enclave}},
    }
    if attribute not in attributes:
        raise invalid(attribute, "attribute", "Unknown attribute.")
    return {"instance_id": instance.id, **attributes[attribute]}


def describe_instance_credit_specifications(view: View, call: Call, request: Request) -> Answer:
    """Of burstable instances that are there. Raises: ApiError UnsupportedOperation for others that were named."""
    ids = request.get("instance_ids")
    found = require_all(view, call, Instance, ids) if ids else view.all(Instance, call.account, call.region)
    if ids:
        plain = [i for i in found if not _burstable(i)]
        if plain:
            raise ApiError(
                "UnsupportedOperation",
                f"The instance '{plain[0].id}' of type {plain[0].instance_type} has no credit specification.",
            )
    else:
        found = [i for i in found if _burstable(i) and i.state != "terminated"]
    fields: Fields[Instance] = {"instance-id": lambda i: i.id}
    found = select(found, request.get("filters"), fields)
    part, token = page(found, request, ids="instance_ids")
    return {
        "instance_credit_specifications": [
            {"instance_id": i.id, "cpu_credits": i.cpu_credits or "standard"} for i in part
        ],
        "next_token": token,
    }


def _burstable(instance: Instance) -> bool:
    type_ = find_type(instance.instance_type)
    return type_ is not None and type_.burstable


def console_answer(instance: Instance, output: bytes, now: float) -> Answer:
    """GetConsoleOutput's: base64, as the API carries it."""
    return {
        "instance_id": instance.id,
        "timestamp": now,
        "output": base64.b64encode(output).decode(),
    }


def get_launch_template_data(view: View, call: Call, request: Request) -> Answer:
    """A launch template that would make the instance again."""
    instance = require(view, call, Instance, request["instance_id"])
    data: Answer = {
        "image_id": instance.image_id,
        "instance_type": instance.instance_type,
        "key_name": instance.key_name or None,
        "ebs_optimized": instance.ebs_optimized,
        "disable_api_termination": instance.disable_api_termination,
        "disable_api_stop": instance.disable_api_stop,
        "instance_initiated_shutdown_behavior": instance.instance_initiated_shutdown_behavior,
        "user_data": instance.user_data or None,
        "monitoring": {"enabled": instance.monitoring},
        "placement": {
            "availability_zone": instance.availability_zone,
            "group_name": instance.placement_group,
            "tenancy": instance.tenancy,
        },
        "iam_instance_profile": {"arn": instance.iam_instance_profile_arn}
        if instance.iam_instance_profile_arn
        else None,
        "block_device_mappings": [
            {
                "device_name": v.device,
                "ebs": {
                    "delete_on_termination": v.delete_on_termination,
                    "encrypted": v.encrypted,
                    "snapshot_id": v.snapshot_id or None,
                    "volume_size": v.size,
                    "volume_type": v.volume_type,
                    "iops": v.iops,
                    "throughput": v.throughput,
                },
            }
            for v in volumes_of(view, instance)
        ],
        "network_interfaces": [
            {
                "device_index": n.device_index,
                "subnet_id": n.subnet_id,
                "groups": n.group_ids,
                "description": n.description,
                "delete_on_termination": n.delete_on_termination,
                "associate_public_ip_address": n.public,
            }
            for n in interfaces_of(view, instance)
        ],
        "metadata_options": {
            "http_tokens": instance.http_tokens,
            "http_put_response_hop_limit": instance.http_put_response_hop_limit,
            "http_endpoint": instance.http_endpoint,
            "http_protocol_ipv6": instance.http_protocol_ipv6,
            "instance_metadata_tags": instance.instance_metadata_tags,
        },
        "credit_specification": {"cpu_credits": instance.cpu_credits} if instance.cpu_credits else None,
        "tag_specifications": [
            {
                "resource_type": "instance",
                "tags": [{"key": k, "value": v} for k, v in instance.tags.items() if not k.startswith("aws:")],
            }
        ]
        if instance.tags
        else None,
    }
    return {"launch_template_data": data}
