"""Launch configurations: immutable, made whole or derived from an instance."""

from __future__ import annotations

import base64
import re
from typing import Any

from elba.autoscaling import faults
from elba.autoscaling.resources import Group, LaunchConfiguration
from elba.call import Answer, Call, Request
from elba.ec2.resources import Instance
from elba.errors import ApiError
from elba.store.interface import Transaction, View

MAX_CONFIGURATIONS = 200
MAX_USER_DATA = 21847

FIELDS = (
    "image_id",
    "instance_type",
    "key_name",
    "security_groups",
    "user_data",
    "kernel_id",
    "ramdisk_id",
    "block_device_mappings",
    "spot_price",
    "iam_instance_profile",
    "ebs_optimized",
    "associate_public_ip_address",
    "placement_tenancy",
    "metadata_options",
    "classic_link_vpc_id",
    "classic_link_vpc_security_groups",
)


def create_launch_configuration(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    name = request["launch_configuration_name"]
    if tx.get(LaunchConfiguration, call.account, call.region, name) is not None:
        raise faults.launch_configuration_exists(name)
    if len(tx.all(LaunchConfiguration, call.account, call.region)) >= MAX_CONFIGURATIONS:
        raise faults.limit(f"You have reached the limit of {MAX_CONFIGURATIONS} launch configurations.")
    data: dict[str, Any] = {}
    if request.get("instance_id"):
        data = _data_of(_instance(tx, call, request["instance_id"]))
    elif not request.get("image_id") or not request.get("instance_type"):
        raise faults.validation(
            "Valid requests must contain either the InstanceID parameter or both the ImageId and InstanceType "
            "parameters."
        )
    data |= {f: request[f] for f in FIELDS if request.get(f) not in (None, "")}
    monitoring = (request.get("instance_monitoring") or {}).get("enabled")
    data["instance_monitoring"] = {"enabled": True if monitoring is None else monitoring}
    data.setdefault("ebs_optimized", False)
    _check(data)
    _put(tx, call, name, data)
    return {}


def _check(data: dict[str, Any]) -> None:
    if len(data.get("user_data") or "") > MAX_USER_DATA:
        raise faults.validation("User data is limited to 16384 bytes")
    if "user_data" in data:
        try:
            base64.b64decode(data["user_data"], validate=True)
        except ValueError as error:
            raise faults.validation("Invalid BASE64 encoding of user data.") from error
    price = data.get("spot_price")
    if price is not None:
        if not re.fullmatch(r"\d+(\.\d+)?", price) or float(price) <= 0:
            raise faults.validation(f"Invalid spot price: {price}")
        if float(price) < 0.001:
            raise faults.validation(f"Spot price {price} is below the minimum of 0.001")
    tenancy = data.get("placement_tenancy")
    if tenancy not in (None, "default", "dedicated"):
        raise faults.validation(f"Invalid placement tenancy: {tenancy}")


def _put(tx: Transaction, call: Call, name: str, data: dict[str, Any]) -> LaunchConfiguration:
    configuration = LaunchConfiguration(
        account=call.account,
        region=call.region,
        id=name,
        arn=call.arn("autoscaling", f"launchConfiguration:{call.ids.uuid()}:launchConfigurationName/{name}"),
        data=data,
        created_time=call.now,
    )
    tx.put(configuration)
    return configuration


def _instance(view: View, call: Call, instance_id: str) -> Instance:
    instance = view.get(Instance, call.account, call.region, instance_id)
    if instance is None:
        raise faults.validation(f"Invalid Instance ID(s): [{instance_id}] specified")
    return instance


def _data_of(instance: Instance) -> dict[str, Any]:
    data: dict[str, Any] = {
        "image_id": instance.image_id,
        "instance_type": instance.instance_type,
        "security_groups": list(instance.group_ids),
        "key_name": instance.key_name,
        "user_data": instance.user_data,
        "iam_instance_profile": instance.iam_instance_profile_arn,
        "ebs_optimized": instance.ebs_optimized,
        "associate_public_ip_address": instance.public,
    }
    return {k: v for k, v in data.items() if v not in ("", [])}


def from_instance(tx: Transaction, call: Call, name: str, instance_id: str) -> LaunchConfiguration:
    """The launch configuration that CreateAutoScalingGroup derives from a running instance. Raises: ApiError."""
    if tx.get(LaunchConfiguration, call.account, call.region, name) is not None:
        raise faults.launch_configuration_exists(name)
    data = _data_of(_instance(tx, call, instance_id))
    data["instance_monitoring"] = {"enabled": True}
    return _put(tx, call, name, data)


def subnet_of(view: View, call: Call, request: Request) -> str:
    """The subnet of the instance that the request names."""
    return _instance(view, call, request["instance_id"]).subnet_id


def delete_launch_configuration(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError ValidationError, ResourceInUse."""
    name = request["launch_configuration_name"].rsplit("launchConfigurationName/", 1)[-1]
    configuration = tx.get(LaunchConfiguration, call.account, call.region, name)
    if configuration is None:
        raise faults.launch_configuration_unknown(name)
    for group in tx.all(Group, call.account, call.region):
        if group.launch_configuration_name == name:
            raise ApiError(
                "ResourceInUse",
                f"Cannot delete launch configuration {name} because it is attached to AutoScalingGroup {group.id}",
            )
    tx.delete(configuration)
    return {}
