"""RunInstances: what it takes, and what it makes.

All is checked before anything is made, and the transaction keeps nothing of a request that fails, so a launch is
whole or has not happened. Source: EC2 API reference, "RunInstances"; ec2-iam spec §3.5.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2 import zones
from elba.ec2.addresses import allocate_interface, available_address_count
from elba.ec2.commands.block_devices import BlockDevice, block_devices
from elba.ec2.commands.capacity import check_capacity, full_zones
from elba.ec2.commands.launch_templates import merge_launch_template, resolve_launch_template
from elba.ec2.defaults import default_security_group, default_vpc, ensure_defaults
from elba.ec2.faults import invalid, missing, require
from elba.ec2.idempotency import once
from elba.ec2.images import ImageInfo, public_parameters, require_image
from elba.ec2.instance_types import InstanceType, find_type
from elba.ec2.prices import spot_price
from elba.ec2.profiles import resolve_profile
from elba.ec2.queries.instances import render_reservation
from elba.ec2.resources import (
    Instance,
    KeyPair,
    NetworkInterface,
    PlacementGroup,
    SecurityGroup,
    Subnet,
    Tags,
    Volume,
    Vpc,
)
from elba.ec2.tagging import check_count, specified_tags
from elba.ec2.user_data import check_user_data
from elba.errors import ApiError
from elba.store.interface import Transaction, View

DEFAULT_TYPE = "m1.small"
"""Source: EC2 API reference, RunInstances, InstanceType."""
MOST_GROUPS = 5


@dataclass(frozen=True, slots=True)
class _Interface:
    """One network interface a launch asks for: an existing one (`existing`), or what to make."""

    device_index: int
    subnet: Subnet
    group_ids: list[str]
    public: bool
    private_ip: str | None = None
    description: str = ""
    delete_on_termination: bool = True
    existing: NetworkInterface | None = None
    secondary_count: int = 0


@dataclass(frozen=True, slots=True)
class _Launch:
    """A checked request."""

    image: ImageInfo
    type_: InstanceType
    interfaces: list[_Interface]
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
    settings = _settings(view, call, request, type_)
    interfaces = _interfaces(view, call, request, most)
    if any(one.existing or one.private_ip for one in interfaces) and most > 1:
        raise ApiError(
            "InvalidParameterCombination",
            "Private IP addresses and existing network interfaces can only be used to launch a single instance.",
        )
    spot = settings.get("lifecycle") == "spot"
    check_capacity(view, call.region, interfaces[0].subnet.availability_zone, type_.name, spot=spot)
    _check_max_price(settings, type_, interfaces[0].subnet.availability_zone)
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


def _settings(view: View, call: Call, request: Request, type_: InstanceType) -> dict[str, Any]:
    """The instance's fields that come from the request and do not differ among instances."""
    settings: dict[str, Any] = {
        "user_data": check_user_data(request.get("user_data")),
        "client_token": request.get("client_token") or "",
        "monitoring": bool((request.get("monitoring") or {}).get("enabled")),
        "disable_api_termination": bool(request.get("disable_api_termination")),
        "disable_api_stop": bool(request.get("disable_api_stop")),
        "ebs_optimized": bool(request.get("ebs_optimized")),
        "hibernation": bool((request.get("hibernation_options") or {}).get("configured")),
        "enclave": bool((request.get("enclave_options") or {}).get("enabled")),
        "auto_recovery": (request.get("maintenance_options") or {}).get("auto_recovery") or "default",
        "capacity_reservation_preference": (request.get("capacity_reservation_specification") or {}).get(
            "capacity_reservation_preference"
        )
        or "open",
    }
    behavior = request.get("instance_initiated_shutdown_behavior") or "stop"
    if behavior not in ("stop", "terminate"):
        raise invalid(behavior, "instanceInitiatedShutdownBehavior")
    settings["instance_initiated_shutdown_behavior"] = behavior
    if key_name := request.get("key_name"):
        if not any(k.key_name == key_name for k in view.all(KeyPair, call.account, call.region)):
            raise ApiError("InvalidKeyPair.NotFound", f"The key pair '{key_name}' does not exist")
        settings["key_name"] = key_name
    if profile := resolve_profile(view, call, request.get("iam_instance_profile")):
        settings["iam_instance_profile_arn"] = profile.arn
        settings["iam_instance_profile_id"] = profile.instance_profile_id
    settings |= metadata_settings(request.get("metadata_options") or {})
    settings |= _market(call, request)
    settings |= _placement(view, call, request.get("placement") or {})
    settings["cpu_credits"] = _credits(request, type_)
    if options := request.get("cpu_options"):
        cores, threads = options.get("core_count"), options.get("threads_per_core")
        if (cores is None) != (threads is None):
            raise missing("CoreCount" if cores is None else "ThreadsPerCore")
        if cores is not None:
            if not 1 <= cores <= type_.cores or threads not in (1, type_.threads_per_core):
                raise invalid(f"{cores}, {threads}", "cpuOptions", f"Not offered by {type_.name}.")
            settings["core_count"], settings["threads_per_core"] = cores, threads
    names = request.get("private_dns_name_options") or {}
    settings["enable_resource_name_dns_a_record"] = bool(names.get("enable_resource_name_dns_a_record"))
    if names.get("hostname_type"):
        settings["hostname_type"] = names["hostname_type"]
    return settings


def metadata_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """MetadataOptions as fields of an instance: only those that were given. Raises: ApiError InvalidParameterValue."""
    settings: dict[str, Any] = {}
    for name, allowed in (
        ("http_tokens", ("optional", "required")),
        ("http_endpoint", ("enabled", "disabled")),
        ("http_protocol_ipv6", ("enabled", "disabled")),
        ("instance_metadata_tags", ("enabled", "disabled")),
    ):
        value = options.get(name)
        if value:
            if value not in allowed:
                raise invalid(value, name)
            settings[name] = value
    hops = options.get("http_put_response_hop_limit")
    if hops is not None:
        if not 1 <= hops <= 64:
            raise invalid(hops, "httpPutResponseHopLimit", "It must be between 1 and 64.")
        settings["http_put_response_hop_limit"] = hops
    return settings


def _market(call: Call, request: Request) -> dict[str, Any]:
    options = request.get("instance_market_options") or {}
    market = options.get("market_type")
    if not market or market == "on-demand":
        return {}
    if market != "spot":
        raise ApiError("InvalidParameterValue", f"Invalid value '{market}' for MarketType.")
    spot = options.get("spot_options") or {}
    type_ = spot.get("spot_instance_type") or "one-time"
    behavior = spot.get("instance_interruption_behavior") or "terminate"
    if behavior != "terminate" and type_ != "persistent":
        raise ApiError(
            "InvalidParameterCombination",
            f"One-time Spot Instances cannot have the interruption behavior '{behavior}'.",
        )
    return {
        "lifecycle": "spot",
        "spot_instance_request_id": f"sir-{call.ids.hex(8)}",
        "spot_interruption_behavior": behavior,
        "spot_instance_type": type_,
        "spot_max_price": str(spot.get("max_price") or ""),
    }


def _check_max_price(settings: Mapping[str, Any], type_: InstanceType, zone: str) -> None:
    """Raises: ApiError SpotMaxPriceTooLow, InvalidParameterValue."""
    given = settings.get("spot_max_price")
    if not given:
        return
    try:
        most = float(given)
    except ValueError:
        most = 0.0
    if not 0 < most < float("inf"):
        raise ApiError("InvalidParameterValue", f"'{given}' is not a valid Spot Instance price")
    if most < (needed := spot_price(type_.name, zone)):
        raise ApiError(
            "SpotMaxPriceTooLow",
            f"Your Spot request price of {given} is lower than the minimum required Spot request fulfillment price of "
            f"{needed:g}.",
        )


def _placement(view: View, call: Call, placement: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    tenancy = placement.get("tenancy") or "default"
    if tenancy not in ("default", "dedicated", "host"):
        raise invalid(tenancy, "tenancy")
    settings["tenancy"] = tenancy
    name = placement.get("group_name")
    if name:
        groups = view.all(PlacementGroup, call.account, call.region)
        if not any(g.group_name == name for g in groups):
            raise ApiError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
        settings["placement_group"] = name
        settings["partition_number"] = placement.get("partition_number")
    zone = placement.get("availability_zone")
    if zone and zone not in zones.zone_names(view, call.region):
        raise ApiError("InvalidParameterValue", f"Invalid availability zone: [{zone}]")
    return settings


def _credits(request: Request, type_: InstanceType) -> str:
    given = (request.get("credit_specification") or {}).get("cpu_credits")
    if not given:
        return type_.default_credits
    if given not in ("standard", "unlimited"):
        raise invalid(given, "cpuCredits")
    if not type_.burstable:
        raise ApiError(
            "InvalidParameterCombination",
            f"The CreditSpecification parameter is not supported for the instance type {type_.name}.",
        )
    return str(given)


def _interfaces(view: View, call: Call, request: Request, most: int) -> list[_Interface]:
    zone = (request.get("placement") or {}).get("availability_zone")
    given = request.get("network_interfaces")
    if not given:
        full = full_zones(view, call.region, request.get("instance_type") or DEFAULT_TYPE)
        subnet = _subnet(view, call, request.get("subnet_id"), zone, full)
        groups = _groups(view, call, request, subnet)
        return [
            _Interface(
                device_index=0,
                subnet=subnet,
                group_ids=groups,
                public=subnet.map_public_ip_on_launch,
                private_ip=request.get("private_ip_address"),
            )
        ]
    for name, what in (
        ("subnet_id", "an instance-level subnet ID"),
        ("security_group_ids", "instance-level security groups"),
        ("security_groups", "instance-level security groups"),
        ("private_ip_address", "an instance-level private IP address"),
    ):
        if request.get(name):
            raise ApiError(
                "InvalidParameterCombination",
                f"Network interfaces and {what} may not be specified on the same request",
            )
    wanted = sorted((_wanted_interface(view, call, one, zone) for one in given), key=lambda i: i.device_index)
    indexes = [i.device_index for i in wanted]
    if indexes[0] != 0 or len(set(indexes)) != len(indexes):
        raise ApiError(
            "InvalidParameterValue",
            "Each network interface requires a device index of its own, and one of them the device index 0.",
        )
    if len({i.subnet.availability_zone for i in wanted}) > 1:
        raise ApiError("InvalidParameterCombination", "All network interfaces must be in the same Availability Zone.")
    if len(wanted) > 1 and any(one.get("associate_public_ip_address") for one in given):
        raise ApiError(
            "InvalidParameterCombination",
            "The associatePublicIPAddress parameter cannot be specified when launching with multiple network "
            "interfaces.",
        )
    return wanted


def _wanted_interface(view: View, call: Call, spec: Mapping[str, Any], zone: str | None) -> _Interface:
    index = spec.get("device_index") or 0
    if spec.get("network_interface_id"):
        existing = require(view, call, NetworkInterface, spec["network_interface_id"])
        if existing.status != "available":
            raise ApiError("InvalidNetworkInterface.InUse", f"Interface: [{existing.id}] in use.")
        if spec.get("subnet_id") or spec.get("groups"):
            raise ApiError(
                "InvalidParameterCombination",
                "A network interface may not specify both a network interface ID and a subnet or security groups.",
            )
        return _Interface(
            device_index=index,
            subnet=require(view, call, Subnet, existing.subnet_id),
            group_ids=existing.group_ids,
            public=existing.public,
            delete_on_termination=bool(spec.get("delete_on_termination", False)),
            existing=existing,
        )
    subnet = _subnet(view, call, spec.get("subnet_id"), zone)
    public = spec.get("associate_public_ip_address")
    wanted_address = spec.get("private_ip_address")
    for address in spec.get("private_ip_addresses") or ():
        if address.get("primary"):
            wanted_address = address.get("private_ip_address")
    return _Interface(
        device_index=index,
        subnet=subnet,
        group_ids=_groups(view, call, {"security_group_ids": spec.get("groups")}, subnet),
        public=subnet.map_public_ip_on_launch if public is None else bool(public),
        private_ip=wanted_address,
        description=spec.get("description") or "",
        delete_on_termination=bool(spec.get("delete_on_termination", True)),
    )


def _subnet(view: View, call: Call, subnet_id: str | None, zone: str | None, full: Container[str] = ()) -> Subnet:
    """The subnet to launch in: the one named, else a default one (the one in `zone`, or the emptiest outside the zones
    that are `full`)."""
    if subnet_id:
        subnet = require(view, call, Subnet, subnet_id)
        if zone and zone != subnet.availability_zone:
            raise ApiError(
                "InvalidParameterValue",
                f"The availability zone '{zone}' does not match the subnet's, '{subnet.availability_zone}'.",
            )
        return subnet
    vpc = default_vpc(view, call)
    if vpc is None:
        raise ApiError(
            "VPCIdNotSpecified",
            "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.",
        )
    subnets = [
        s
        for s in view.children(Subnet, call.account, call.region, vpc.id)
        if s.default_for_az and zone in (None, "", s.availability_zone)
    ]
    if not subnets:
        where = f" in zone '{zone}'" if zone else ""
        raise ApiError(
            "MissingInput",
            f"No subnets found for the default VPC '{vpc.id}'{where}. Please specify a subnet.",
        )
    with_room = [s for s in subnets if s.availability_zone not in full]
    return max(with_room or subnets, key=lambda s: available_address_count(view, s))


def _groups(view: View, call: Call, request: Request, subnet: Subnet) -> list[str]:
    """The ids of the security groups asked for; the VPC's default one if none is."""
    names = request.get("security_groups") or ()
    if names and request.get("subnet_id"):
        raise ApiError(
            "InvalidParameterCombination", "The parameter groupName cannot be used with the parameter subnet"
        )
    ids = list(request.get("security_group_ids") or ())
    for name in names:
        ids.append(group_named(view, call, name, subnet.vpc_id).id)
    return check_groups(view, call, ids, subnet)


def check_groups(view: View, call: Call, ids: list[str], subnet: Subnet) -> list[str]:
    """`ids` without repetitions, or the default group of the subnet's VPC if there are none.

    Raises: ApiError InvalidGroup.NotFound, InvalidParameter (another VPC's), SecurityGroupsPerInterfaceLimitExceeded.
    """
    if not ids:
        default = default_security_group(view, call, subnet.vpc_id)
        return [default.id] if default else []
    for id_ in ids:
        group = require(view, call, SecurityGroup, id_)
        if group.vpc_id != subnet.vpc_id:
            raise ApiError(
                "InvalidParameter",
                f"Security group {id_} and subnet {subnet.id} belong to different networks.",
            )
    unique = list(dict.fromkeys(ids))
    if len(unique) > MOST_GROUPS:
        raise ApiError(
            "SecurityGroupsPerInterfaceLimitExceeded",
            "The maximum number of security groups per interface has been reached.",
        )
    return unique


def group_named(view: View, call: Call, name: str, vpc_id: str) -> SecurityGroup:
    """Raises: ApiError InvalidGroup.NotFound."""
    vpc_groups = view.children(SecurityGroup, call.account, call.region, vpc_id)
    found = next((g for g in vpc_groups if g.group_name == name), None)
    if found is None:
        vpc = view.get(Vpc, call.account, call.region, vpc_id)
        where = "in default VPC" if vpc and vpc.is_default else "in VPC"
        raise ApiError("InvalidGroup.NotFound", f"The security group '{name}' does not exist {where} '{vpc_id}'")
    return found


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


def _attach(tx: Transaction, call: Call, plan: _Launch, wanted: _Interface, instance_id: str) -> NetworkInterface:
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
