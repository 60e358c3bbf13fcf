"""RunInstances: what it takes, and what it makes.

All is checked before anything is made, and the transaction keeps nothing of a request that fails, so a launch is
whole or has not happened. Source: EC2 API reference, "RunInstances"; ec2-iam spec §3.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2 import zones
from elba.ec2.addresses import allocate_interface, available_address_count
from elba.ec2.commands.block_devices import BlockDevice, block_devices
from elba.ec2.commands.capacity import check_capacity
from elba.ec2.commands.launch_interfaces import WantedInterface, wanted_interfaces
from elba.ec2.commands.launch_settings import check_max_price, launch_settings
from elba.ec2.commands.launch_templates import merge_launch_template, resolve_launch_template
from elba.ec2.defaults import ensure_defaults
from elba.ec2.faults import invalid, missing
from elba.ec2.idempotency import once
from elba.ec2.images import ImageInfo, public_parameters, require_image
from elba.ec2.instance_types import InstanceType, find_type
from elba.ec2.queries.instances import render_reservation
from elba.ec2.resources import (
    Instance,
    NetworkInterface,
    Tags,
    Volume,
    Vpc,
)
from elba.ec2.tagging import check_count, specified_tags
from elba.errors import ApiError
from elba.store.interface import Transaction, View

DEFAULT_TYPE = "m1.small"
"""Source: EC2 API reference, RunInstances, InstanceType."""


@dataclass(frozen=True, slots=True)
class _Launch:
    """A checked request."""

    image: ImageInfo
    type_: InstanceType
    interfaces: list[WantedInterface]
    devices: list[BlockDevice]
    tags: dict[str, Tags]
    settings: dict[str, Any]
    least: int
    most: int


def run_instances(tx: Transaction, call: Call, request: Request) -> Answer:
    ids = once(tx, call, request, "RunInstances", lambda: [i.id for i in launch(tx, call, request)])
    found = (tx.get(Instance, call.account, call.region, id_) for id_ in ids)
    instances = [i for i in found if i is not None]
    if not instances:
        raise ApiError("InvalidParameterValue", "The instances that this client token launched do not exist any more.")
    return render_reservation(tx, call, instances)


def launch(
    tx: Transaction,
    call: Call,
    request: Request,
    *,
    system_tags: Mapping[str, str] | None = None,
    subnet_id: str | None = None,
) -> list[Instance]:
    """Instances in state pending, one reservation of them. For services as for API clients.

    `system_tags` are AWS's own (`aws:autoscaling:groupName`). `subnet_id` overrides wherever the request or its
    launch template says the subnet (or its zone) is, in its network interfaces too, as Auto Scaling does.
    MinCount and MaxCount default to 1. Raises: ApiError, with nothing launched.
    """
    ensure_defaults(tx, call)
    template_tags: dict[str, str] = {}
    origin: dict[str, Any] = {}
    merged: dict[str, Any] = {k: v for k, v in request.items() if v is not None}
    if request.get("launch_template"):
        template, version = resolve_launch_template(tx, call, request["launch_template"])
        merged = merge_launch_template(version.data, request)
        origin = {
            "launch_template_id": template.id,
            "launch_template_version": version.version_number,
        }
        template_tags = {
            "aws:ec2launchtemplate:id": template.id,
            "aws:ec2launchtemplate:version": str(version.version_number),
        }
    if subnet_id is not None:
        merged = _in_subnet(merged, subnet_id)
    plan = _check(tx, call, merged)
    plan.tags["instance"].update({**template_tags, **(system_tags or {})})
    check_count(plan.tags["instance"])
    return _make(tx, call, plan, origin)


def _in_subnet(request: dict[str, Any], subnet_id: str) -> dict[str, Any]:
    placement = {k: v for k, v in (request.get("placement") or {}).items() if not k.startswith("availability_zone")}
    request = {**request, "placement": placement}
    interfaces = request.get("network_interfaces")
    if not interfaces:
        return {**request, "subnet_id": subnet_id}
    without = {k: v for k, v in request.items() if k not in ("subnet_id", "security_group_ids", "security_groups")}
    return {**without, "network_interfaces": [{**i, "subnet_id": subnet_id} for i in interfaces]}


def _check(view: View, call: Call, request: Request) -> _Launch:
    least, most = _counts(request)
    image_id = request.get("image_id")
    if not image_id:
        raise missing("ImageId")
    image = require_image(view, call, _resolve_image_id(call, image_id))
    type_ = _instance_type(request.get("instance_type") or DEFAULT_TYPE, image)
    tags = specified_tags(request, "instance", "volume", "network-interface", "spot-instances-request")
    settings = launch_settings(view, call, request, type_)
    interfaces = wanted_interfaces(view, call, request, DEFAULT_TYPE)
    if any(one.existing or one.private_ip for one in interfaces) and most > 1:
        raise ApiError(
            "InvalidParameterCombination",
            "Private IP addresses and existing network interfaces can only be used to launch a single instance.",
        )
    spot = settings.get("lifecycle") == "spot"
    check_capacity(view, call.region, interfaces[0].subnet.availability_zone, type_.name, spot=spot)
    check_max_price(settings, type_, interfaces[0].subnet.availability_zone)
    free = min(available_address_count(view, one.subnet) for one in interfaces)
    if not any(one.existing for one in interfaces):
        if free < least * len(interfaces):
            raise ApiError(
                "InsufficientFreeAddressesInSubnet",
                "There are not enough free addresses in subnet "
                f"'{interfaces[0].subnet.id}' to satisfy the requested number of instances.",
            )
        most = min(most, free // len(interfaces))
    return _Launch(
        image=image,
        type_=type_,
        interfaces=interfaces,
        devices=block_devices(image, request.get("block_device_mappings") or ()),
        tags=tags,
        settings=settings,
        least=least,
        most=most,
    )


def _counts(request: Request) -> tuple[int, int]:
    least = request.get("min_count", 1)
    most = request.get("max_count", max(1, least))
    if least < 1:
        raise invalid(least, "minCount", "Minimum count must be greater than zero.")
    if most < 1:
        raise invalid(most, "maxCount", "Maximum count must be greater than zero.")
    if least > most:
        raise ApiError(
            "InvalidParameterValue",
            f"Value ({least}) for parameter minCount is invalid. Minimum count must not exceed maximum count ({most}).",
        )
    return least, most


def _resolve_image_id(call: Call, image_id: str) -> str:
    """`resolve:ssm:<parameter>` as the image id that it names now."""
    if not image_id.startswith("resolve:ssm:"):
        return image_id
    parameter = image_id.removeprefix("resolve:ssm:")
    found = public_parameters(call.region).get(parameter.split(":")[0])
    if found is None:
        raise ApiError("InvalidParameterValue", f"The SSM parameter '{parameter}' does not exist or holds no image id.")
    return found


def _instance_type(name: str, image: ImageInfo) -> InstanceType:
    type_ = find_type(name)
    if type_ is None:
        raise ApiError("InvalidParameterValue", f"Invalid value '{name}' for InstanceType.")
    if type_.architecture != image.architecture:
        raise ApiError(
            "InvalidParameterValue",
            f"The architecture '{type_.architecture}' of the specified instance type does not match the architecture "
            f"'{image.architecture}' of the specified AMI. Specify an instance type and an AMI that have matching "
            "architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover "
            "the architecture of the instance type or AMI.",
        )
    return type_


def _make(tx: Transaction, call: Call, plan: _Launch, origin: Mapping[str, Any]) -> list[Instance]:
    reservation = call.ids.ec2("r")
    instances: list[Instance] = []
    for index in range(plan.most):
        instance_id = call.ids.ec2("i")
        made = [_attach(tx, call, plan, one, instance_id) for one in plan.interfaces]
        primary = made[0]
        volumes = [_volume(tx, call, plan, one, instance_id, primary.availability_zone) for one in plan.devices]
        vpc = tx.get(Vpc, call.account, call.region, primary.vpc_id)
        public_ip = primary.elastic_ip or (primary.host_address if primary.public else "")
        instance = Instance(
            account=call.account,
            region=call.region,
            id=instance_id,
            image_id=plan.image.id,
            architecture=plan.image.architecture,
            root_device_name=plan.image.root_device_name,
            instance_type=plan.type_.name,
            subnet_id=primary.subnet_id,
            vpc_id=primary.vpc_id,
            availability_zone=primary.availability_zone,
            private_ip_address=primary.private_ip_address,
            host_address=primary.host_address,
            network_interface_id=primary.id,
            secondary_network_interface_ids=[i.id for i in made[1:]],
            reservation_id=reservation,
            launch_time=call.now,
            state_transition_time=call.now,
            public=primary.public,
            public_ip_address=public_ip,
            private_dns_name=zones.private_dns_name(call.region, primary.private_ip_address),
            public_dns_name=zones.public_dns_name(call.region, public_ip)
            if public_ip and vpc is not None and vpc.enable_dns_hostnames
            else "",
            group_ids=primary.group_ids,
            source_dest_check=primary.source_dest_check,
            ami_launch_index=index,
            root_volume_id=volumes[0].id,
            tags=plan.tags["instance"],
            **plan.settings,
            **origin,
        )
        tx.put(instance)
        instances.append(instance)
    return instances


def _attach(tx: Transaction, call: Call, plan: _Launch, wanted: WantedInterface, instance_id: str) -> NetworkInterface:
    if wanted.existing is not None:
        interface = replace(
            wanted.existing,
            owner=instance_id,
            status="in-use",
            attachment_id=call.ids.ec2("eni-attach"),
            attach_time=call.now,
        )
    else:
        interface = allocate_interface(
            tx,
            call,
            wanted.subnet.id,
            owner=instance_id,
            description=wanted.description,
            group_ids=wanted.group_ids,
            public=wanted.public,
            private_ip=wanted.private_ip,
        )
        interface = replace(interface, tags=plan.tags["network-interface"])
    interface = replace(interface, device_index=wanted.device_index, delete_on_termination=wanted.delete_on_termination)
    tx.put(interface)
    return interface


def _volume(tx: Transaction, call: Call, plan: _Launch, device: BlockDevice, instance_id: str, zone: str) -> Volume:
    volume = Volume(
        account=call.account,
        region=call.region,
        id=call.ids.ec2("vol"),
        instance_id=instance_id,
        device=device.name,
        availability_zone=zone,
        size=device.size,
        volume_type=device.volume_type,
        iops=device.iops,
        throughput=device.throughput,
        encrypted=device.encrypted,
        kms_key_id=device.kms_key_id,
        snapshot_id=device.snapshot_id,
        delete_on_termination=device.delete_on_termination,
        attach_time=call.now,
        create_time=call.now,
        tags=plan.tags["volume"],
    )
    tx.put(volume)
    return volume
