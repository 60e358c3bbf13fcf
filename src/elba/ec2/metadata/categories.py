"""All that the instance metadata service knows of one instance, as a tree of paths. Pure.

Source: EC2 user guide, "Instance metadata categories"; ec2-iam spec §5.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeAlias

from elba.autoscaling.resources import Member, WarmPool
from elba.ec2.instance_types import find_type
from elba.ec2.profiles import find_profile
from elba.ec2.resources import (
    Instance,
    KeyPair,
    NetworkInterface,
    SecurityGroup,
    Subnet,
    Volume,
    Vpc,
)
from elba.iam.resources import GLOBAL, AccessKey, InstanceProfile, Role
from elba.store.interface import View
from elba.sts.trust import may_assume

Tree: TypeAlias = Mapping[str, "str | Tree"]
"""A directory: names to values or directories."""

CREDENTIALS_LEFT_SECONDS = 300.0
"""Credentials handed out are good for at least this long. Source: EC2 user guide, "IAM roles for Amazon EC2"."""


EC2 = "ec2.amazonaws.com"


def timestamp(seconds: float) -> str:
    """`2026-01-02T03:04:05Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def meta_data(view: View, instance: Instance, wall: float) -> dict[str, str | Tree]:
    """`/latest/meta-data/`. `wall` is the world's time, by which credentials expire."""
    type_ = find_type(instance.instance_type)
    tree: dict[str, str | Tree] = {
        "ami-id": instance.image_id,
        "ami-launch-index": str(instance.ami_launch_index),
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": _devices(view, instance),
        "events": _events(instance),
        "hostname": instance.private_dns_name,
        "instance-action": "none",
        "instance-id": instance.id,
        "instance-life-cycle": instance.lifecycle or "on-demand",
        "instance-type": instance.instance_type,
        "local-hostname": instance.private_dns_name,
        "local-ipv4": instance.private_ip_address,
        "placement": _placement(view, instance),
        "profile": "default-hvm",
        "reservation-id": instance.reservation_id,
        "security-groups": "\n".join(_group_names(view, instance, instance.group_ids)),
        "services": {"domain": "amazonaws.com", "partition": "aws"},
        "system": type_.hypervisor if type_ else "nitro",
    }
    if instance.public_ip_address:
        tree["public-hostname"] = instance.public_dns_name
        tree["public-ipv4"] = instance.public_ip_address
    interfaces = _interfaces(view, instance)
    if interfaces:
        tree["mac"] = interfaces[0].mac_address
        macs = {i.mac_address: _interface(view, instance, i) for i in interfaces}
        tree["network"] = {"interfaces": {"macs": macs}}
    if key := _key(view, instance):
        tree["public-keys"] = {f"0={key.key_name}": {"openssh-key": key.public_key.strip()}}
    if state := target_lifecycle_state(view, instance):
        tree["autoscaling"] = {"target-lifecycle-state": state}
    if iam := _iam(view, instance, wall):
        tree["iam"] = iam
    if instance.spot_interruption_time:
        at = timestamp(instance.spot_interruption_time)
        action = instance.spot_interruption_behavior or "terminate"
        spot: dict[str, str | Tree] = {"instance-action": json.dumps({"action": action, "time": at})}
        if action == "terminate":
            spot["termination-time"] = at
        tree["spot"] = spot
    if instance.instance_metadata_tags == "enabled" and instance.tags:
        tree["tags"] = {"instance": dict(instance.tags)}
    return tree


def dynamic(instance: Instance) -> dict[str, str | Tree]:
    """`/latest/dynamic/`. The document's signatures are AWS's to make, so there are none."""
    document = {
        "accountId": instance.account,
        "architecture": instance.architecture,
        "availabilityZone": instance.availability_zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "marketplaceProductCodes": None,
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "kernelId": None,
        "pendingTime": timestamp(instance.launch_time),
        "privateIp": instance.private_ip_address,
        "ramdiskId": None,
        "region": instance.region,
        "version": "2017-09-30",
    }
    return {
        "fws": {"instance-monitoring": "enabled" if instance.monitoring else "disabled"},
        "instance-identity": {"document": json.dumps(document, indent=2)},
    }


def target_lifecycle_state(view: View, instance: Instance) -> str:
    """The state that Auto Scaling is taking the instance to; "" for an instance of no group.

    Source: Auto Scaling user guide, "Retrieve the target lifecycle state through instance metadata".
    """
    member = view.get(Member, instance.account, instance.region, instance.id)
    if member is None:
        return ""
    state = member.lifecycle_state
    pool = view.get(WarmPool, member.account, member.region, member.group_name)
    warmed = f"Warmed:{pool.pool_state if pool else 'Stopped'}"
    if state.startswith("Warmed:"):
        rest = state.removeprefix("Warmed:")
        if rest.startswith("Terminat"):
            return "Warmed:Terminated"
        return warmed if rest.startswith("Pending") else state
    if state.startswith("Terminat"):
        reused = pool is not None and pool.reuse_on_scale_in and not pool.pending_delete
        return warmed if reused and member.termination == "scale-in" else "Terminated"
    if state in ("EnteringStandby", "Standby"):
        return "Standby"
    if state in ("Detaching", "Detached"):
        return "Detached"
    return "InService"


def role_of(view: View, instance: Instance) -> tuple[InstanceProfile, Role] | None:
    """The instance's profile and the role in it; None without either."""
    if not instance.iam_instance_profile_arn:
        return None
    profile = find_profile(view, instance.account, instance.iam_instance_profile_arn.rsplit("/", 1)[-1])
    if profile is None or not profile.role_name:
        return None
    role = view.get(Role, instance.account, GLOBAL, profile.role_name.lower())
    return None if role is None else (profile, role)


def credentials_of(view: View, instance: Instance, role: Role, wall: float) -> AccessKey | None:
    """The newest session of `role` that was made for this instance and is good for long enough."""
    owner = f"arn:aws:sts::{role.account}:assumed-role/{role.name}/{instance.id}"
    keys = [
        key
        for key in view.all(AccessKey, role.account, GLOBAL)
        if key.owner_arn == owner and key.expiration >= wall + CREDENTIALS_LEFT_SECONDS
    ]
    return max(keys, key=lambda key: key.expiration, default=None)


def _iam(view: View, instance: Instance, wall: float) -> Tree | None:
    found = role_of(view, instance)
    if found is None:
        return None
    profile, role = found
    key = credentials_of(view, instance, role, wall)
    updated = timestamp(key.create_time if key else wall)
    info = {
        "Code": "Success",
        "LastUpdated": updated,
        "InstanceProfileArn": profile.arn,
        "InstanceProfileId": profile.instance_profile_id,
    }
    credentials: dict[str, str | Tree] = {}
    if not may_assume(role.assume_role_policy_document, EC2):
        problem = f"EC2 cannot assume the role {role.name}: its trust policy does not allow it to {EC2}."
        code = "AssumeRoleUnauthorizedAccess"
        credentials[role.name] = json.dumps({"Code": code, "Message": problem, "LastUpdated": updated}, indent=2)
    elif key is not None:
        credentials[role.name] = json.dumps(
            {
                "Code": "Success",
                "LastUpdated": updated,
                "Type": "AWS-HMAC",
                "AccessKeyId": key.id,
                "SecretAccessKey": key.secret_access_key,
                "Token": key.session_token,
                "Expiration": timestamp(key.expiration),
            },
            indent=2,
        )
    return {"info": json.dumps(info, indent=2), "security-credentials": credentials}


def _devices(view: View, instance: Instance) -> Tree:
    tree: dict[str, str | Tree] = {"ami": instance.root_device_name, "root": instance.root_device_name}
    volumes = view.children(Volume, instance.account, instance.region, instance.id)
    for number, volume in enumerate((v for v in volumes if v.device != instance.root_device_name), start=1):
        tree[f"ebs{number}"] = volume.device
    return tree


def _events(instance: Instance) -> Tree:
    tree: dict[str, str | Tree] = {"maintenance": {"history": "[]", "scheduled": "[]"}}
    if instance.rebalance_recommendation_time:
        notice = json.dumps({"noticeTime": timestamp(instance.rebalance_recommendation_time)})
        tree["recommendations"] = {"rebalance": notice}
    return tree


def _placement(view: View, instance: Instance) -> Tree:
    tree: dict[str, str | Tree] = {"availability-zone": instance.availability_zone, "region": instance.region}
    subnet = view.get(Subnet, instance.account, instance.region, instance.subnet_id)
    if subnet is not None:
        tree["availability-zone-id"] = subnet.availability_zone_id
    if instance.placement_group:
        tree["group-name"] = instance.placement_group
    if instance.partition_number is not None:
        tree["partition-number"] = str(instance.partition_number)
    return tree


def _group_names(view: View, instance: Instance, group_ids: list[str]) -> list[str]:
    groups = (view.get(SecurityGroup, instance.account, instance.region, id_) for id_ in group_ids)
    return [group.group_name for group in groups if group is not None]


def _interfaces(view: View, instance: Instance) -> list[NetworkInterface]:
    ids = (instance.network_interface_id, *instance.secondary_network_interface_ids)
    found = (view.get(NetworkInterface, instance.account, instance.region, id_) for id_ in ids)
    return [interface for interface in found if interface is not None]


def _interface(view: View, instance: Instance, interface: NetworkInterface) -> Tree:
    primary = interface.id == instance.network_interface_id
    tree: dict[str, str | Tree] = {
        "device-number": str(interface.device_index),
        "interface-id": interface.id,
        "local-hostname": instance.private_dns_name,
        "local-ipv4s": "\n".join((interface.private_ip_address, *interface.secondary_private_ip_addresses)),
        "mac": interface.mac_address,
        "owner-id": interface.account,
        "security-group-ids": "\n".join(interface.group_ids),
        "security-groups": "\n".join(_group_names(view, instance, interface.group_ids)),
        "subnet-id": interface.subnet_id,
        "vpc-id": interface.vpc_id,
    }
    if primary and instance.public_ip_address:
        tree["public-hostname"] = instance.public_dns_name
        tree["public-ipv4s"] = instance.public_ip_address
        tree["ipv4-associations"] = {instance.public_ip_address: interface.private_ip_address}
    if subnet := view.get(Subnet, instance.account, instance.region, interface.subnet_id):
        tree["subnet-ipv4-cidr-block"] = subnet.cidr_block
    if vpc := view.get(Vpc, instance.account, instance.region, interface.vpc_id):
        tree["vpc-ipv4-cidr-block"] = vpc.cidr_block
        tree["vpc-ipv4-cidr-blocks"] = vpc.cidr_block
    return tree


def _key(view: View, instance: Instance) -> KeyPair | None:
    keys = view.all(KeyPair, instance.account, instance.region)
    return next((key for key in keys if instance.key_name and key.key_name == instance.key_name), None)
