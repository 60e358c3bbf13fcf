"""EC2's errors in its own words, and look-ups that raise them.

Sources: EC2 API reference, "Error codes"; ec2-iam spec §7. Codes are what clients match on; texts are as close
to EC2's as is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

from elba.call import Call
from elba.ec2 import edge_resources as e
from elba.ec2 import resources as r
from elba.errors import ApiError
from elba.resource import Resource
from elba.store.interface import View

R = TypeVar("R", bound=Resource)

_ABSENT: dict[type[Resource], tuple[str, str]] = {
    r.Instance: ("InvalidInstanceID.NotFound", "The instance ID '{}' does not exist"),
    r.Image: ("InvalidAMIID.NotFound", "The image id '[{}]' does not exist"),
    r.Vpc: ("InvalidVpcID.NotFound", "The vpc ID '{}' does not exist"),
    r.Subnet: ("InvalidSubnetID.NotFound", "The subnet ID '{}' does not exist"),
    r.SecurityGroup: ("InvalidGroup.NotFound", "The security group '{}' does not exist"),
    r.InternetGateway: ("InvalidInternetGatewayID.NotFound", "The internetGateway ID '{}' does not exist"),
    r.RouteTable: ("InvalidRouteTableID.NotFound", "The routeTable ID '{}' does not exist"),
    r.NetworkAcl: ("InvalidNetworkAclID.NotFound", "The networkAcl ID '{}' does not exist"),
    r.NetworkInterface: ("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '{}' does not exist"),
    r.Address: ("InvalidAllocationID.NotFound", "The allocation ID '{}' does not exist"),
    r.Volume: ("InvalidVolume.NotFound", "The volume '{}' does not exist."),
    r.Snapshot: ("InvalidSnapshot.NotFound", "The snapshot '{}' does not exist."),
    r.ReplaceRootVolumeTask: (
        "InvalidReplaceRootVolumeTaskID.NotFound",
        "The replaceRootVolumeTask ID '{}' does not exist",
    ),
    r.KeyPair: ("InvalidKeyPair.NotFound", "The key pair ID '{}' does not exist"),
    r.PlacementGroup: ("InvalidPlacementGroupId.NotFound", "The placement group ID '{}' does not exist"),
    e.VpcEndpoint: ("InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '{}' does not exist"),
    e.EgressOnlyInternetGateway: ("InvalidGatewayID.NotFound", "The eigw ID '{}' does not exist"),
    e.VpnGateway: ("InvalidVpnGatewayID.NotFound", "The vpnGateway ID '{}' does not exist"),
    e.CustomerGateway: ("InvalidCustomerGatewayID.NotFound", "The customerGateway ID '{}' does not exist"),
    e.VpcPeeringConnection: (
        "InvalidVpcPeeringConnectionID.NotFound",
        "The vpcPeeringConnection ID '{}' does not exist",
    ),
    e.DhcpOptions: ("InvalidDhcpOptionID.NotFound", "The dhcpOption ID '{}' does not exist"),
    e.PrefixList: ("InvalidPrefixListID.NotFound", "The prefix list ID '{}' does not exist"),
    e.FlowLog: ("InvalidFlowLogId.NotFound", "The flow log ID '{}' does not exist"),
    r.LaunchTemplate: (
        "InvalidLaunchTemplateId.NotFound",
        "The specified launch template, with template ID {}, does not exist.",
    ),
}

_MALFORMED: dict[type[Resource], tuple[str, str]] = {
    r.Instance: ("i", "InvalidInstanceID.Malformed"),
    r.Image: ("ami", "InvalidAMIID.Malformed"),
    r.SecurityGroup: ("sg", "InvalidGroupId.Malformed"),
    r.NetworkInterface: ("eni", "InvalidNetworkInterfaceId.Malformed"),
    r.Volume: ("vol", "InvalidVolumeID.Malformed"),
    r.Snapshot: ("snap", "InvalidSnapshotID.Malformed"),
    r.LaunchTemplate: ("lt", "InvalidLaunchTemplateId.Malformed"),
}


def check_id(type_: type[Resource], id_: str) -> None:
    """Raises: ApiError `Invalid….Malformed` for the kinds of which EC2 checks the form of ids."""
    form = _MALFORMED.get(type_)
    if form is None:
        return
    prefix, code = form
    if not re.fullmatch(rf"{prefix}-[0-9a-f]{{8}}([0-9a-f]{{9}})?", id_):
        raise ApiError(code, f'Invalid id: "{id_}"')


def not_found(type_: type[Resource], id_: str) -> ApiError:
    code, text = _ABSENT[type_]
    return ApiError(code, text.format(id_))


def require(view: View, call: Call, type_: type[R], id_: str) -> R:
    """The resource. Raises: ApiError `Invalid….Malformed` or `Invalid….NotFound`."""
    found = view.get(type_, call.account, call.region, id_)
    if found is None:
        check_id(type_, id_)
        raise not_found(type_, id_)
    return found


def require_all(view: View, call: Call, type_: type[R], ids: Iterable[str]) -> list[R]:
    """One resource for each id, in the order of `ids`. Raises: as `require`; for instances, all that are absent."""
    ids = list(dict.fromkeys(ids))
    for id_ in ids:
        if view.get(type_, call.account, call.region, id_) is None:
            check_id(type_, id_)
    absent = [id_ for id_ in ids if view.get(type_, call.account, call.region, id_) is None]
    if type_ is r.Instance and len(absent) > 1:
        raise ApiError("InvalidInstanceID.NotFound", f"The instance IDs '{', '.join(absent)}' do not exist")
    return [require(view, call, type_, id_) for id_ in ids]


def missing(name: str) -> ApiError:
    """A parameter that must be there is not; `name` as on the wire (`ImageId`)."""
    return ApiError("MissingParameter", f"The request must contain the parameter {name}")


def invalid(value: object, name: str, why: str = "") -> ApiError:
    """`name` as EC2 says it in messages: lower camel case."""
    return ApiError("InvalidParameterValue", f"Value ({value}) for parameter {name} is invalid. {why}".rstrip())


def has_dependencies(noun: str, id_: str) -> ApiError:
    return ApiError("DependencyViolation", f"The {noun} '{id_}' has dependencies and cannot be deleted.")
