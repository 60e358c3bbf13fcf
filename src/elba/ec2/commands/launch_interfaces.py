"""The network interfaces that a launch asks for: subnets, security groups, addresses."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from elba.call import Call, Request
from elba.ec2.addresses import available_address_count
from elba.ec2.commands.capacity import full_zones
from elba.ec2.defaults import default_security_group, default_vpc
from elba.ec2.faults import require
from elba.ec2.resources import NetworkInterface, SecurityGroup, Subnet, Vpc
from elba.errors import ApiError
from elba.store.interface import View

MOST_GROUPS = 5


@dataclass(frozen=True, slots=True)
class WantedInterface:
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


def wanted_interfaces(view: View, call: Call, request: Request, default_type: str) -> list[WantedInterface]:
    zone = (request.get("placement") or {}).get("availability_zone")
    given = request.get("network_interfaces")
    if not given:
        full = full_zones(view, call.region, request.get("instance_type") or default_type)
        subnet = _subnet(view, call, request.get("subnet_id"), zone, full)
        groups = _groups(view, call, request, subnet)
        return [
            WantedInterface(
                device_index=0,
                subnet=subnet,
                group_ids=groups,
                public=subnet.map_public_ip_on_launch,
                private_ip=request.get("private_ip_address"),
            )
        ]
    for name, what in (
        ("subnet_id", "an instance-level subnet ID"),
        ("security_group_ids", "an instance-level security groups"),
        ("security_groups", "an instance-level security groups"),
        ("private_ip_address", "an instance-level private IP address"),
    ):
        if request.get(name):
            raise ApiError(
                "InvalidParameterCombination",
                f"Network interfaces and {what} may not be specified on the same request",
            )
    wanted = sorted((_wanted(view, call, one, zone) for one in given), key=lambda i: i.device_index)
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


def _wanted(view: View, call: Call, spec: Mapping[str, Any], zone: str | None) -> WantedInterface:
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
        return WantedInterface(
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
    return WantedInterface(
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
