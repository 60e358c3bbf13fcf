"""What can be changed about an instance after its launch. Source: EC2 API reference, "ModifyInstanceAttribute"."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.commands.launch_interfaces import check_groups
from elba.ec2.commands.launch_settings import metadata_settings
from elba.ec2.faults import invalid, missing, require, require_all
from elba.ec2.instance_types import find_type
from elba.ec2.queries.instances import render_metadata_options, volumes_of
from elba.ec2.resources import Instance, NetworkInterface, Subnet
from elba.ec2.user_data import check_user_data
from elba.errors import ApiError
from elba.store.interface import Transaction

_OLD_FORM = {
    "instanceType": "instance_type",
    "userData": "user_data",
    "disableApiTermination": "disable_api_termination",
    "disableApiStop": "disable_api_stop",
    "instanceInitiatedShutdownBehavior": "instance_initiated_shutdown_behavior",
    "ebsOptimized": "ebs_optimized",
    "sourceDestCheck": "source_dest_check",
    "enaSupport": "ena_support",
    "sriovNetSupport": "sriov_net_support",
}
"""`Attribute` and `Value`, which say the same as the attribute's own member."""

_BOOLEANS = ("disable_api_termination", "disable_api_stop", "ebs_optimized", "source_dest_check")
_FLAGS_IN_TEXT = (*_BOOLEANS, "ena_support")


def modify_instance_attribute(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError IncorrectInstanceState (instance type and user data need state stopped),
    InvalidParameterCombination (more than one attribute), InvalidParameterValue, UnsupportedOperation.
    """
    instance = require(tx, call, Instance, request["instance_id"])
    if instance.state in ("shutting-down", "terminated"):
        raise ApiError(
            "IncorrectInstanceState", f"The instance '{instance.id}' is not in a state in which it can be modified."
        )
    if request.get("groups"):
        _modify_groups(tx, call, instance, list(request["groups"]))
        return {}
    if request.get("block_device_mappings"):
        _modify_devices(tx, call, instance, request["block_device_mappings"])
        return {}
    name, value = _attribute(request)
    changes: dict[str, Any] = {}
    if name in _BOOLEANS:
        changes[name] = bool(value)
    elif name == "instance_initiated_shutdown_behavior":
        if value not in ("stop", "terminate"):
            raise invalid(value, "instanceInitiatedShutdownBehavior")
        changes[name] = value
    elif name == "instance_type":
        changes |= _new_type(instance, str(value))
    elif name == "user_data":
        _require_stopped(instance)
        encoded = base64.b64encode(value).decode() if isinstance(value, bytes) else value
        changes[name] = check_user_data(encoded)
    elif name in ("kernel", "ramdisk"):
        raise ApiError("UnsupportedOperation", "Kernels and RAM disks of HVM instances cannot be changed.")
    else:
        # enaSupport, sriovNetSupport, enclaveOptions: accepted while stopped; nothing follows from them.
        _require_stopped(instance)
        if name == "enclave_options":
            changes["enclave"] = bool(value)
    changed = replace(instance, **changes)
    tx.put(changed)
    if name == "source_dest_check":
        interface = tx.get(NetworkInterface, call.account, call.region, instance.network_interface_id)
        if interface is not None:
            tx.put(replace(interface, source_dest_check=bool(value)))
    return {}


def _attribute(request: Request) -> tuple[str, Any]:
    """(member name, value) of the one attribute that the request changes."""
    given: list[tuple[str, Any]] = []
    for name in dict.fromkeys((*_OLD_FORM.values(), "enclave_options", "kernel", "ramdisk")):
        member = request.get(name)
        if isinstance(member, Mapping):
            given.append((name, member.get("enabled" if name == "enclave_options" else "value")))
    if attribute := request.get("attribute"):
        if attribute not in _OLD_FORM:
            raise invalid(attribute, "attribute", "Unknown attribute.")
        name, value = _OLD_FORM[attribute], request.get("value")
        if name in _FLAGS_IN_TEXT:
            value = str(value).lower() == "true"
        given.append((name, value))
    given = [(name, value) for name, value in given if value is not None]
    if not given:
        raise ApiError("MissingParameter", "The request must contain the parameter of the attribute to modify")
    if len(given) > 1:
        raise ApiError("InvalidParameterCombination", "Fields for multiple attribute types specified")
    return given[0]


def _require_stopped(instance: Instance) -> None:
    if instance.state != "stopped":
        raise ApiError("IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'stopped' state.")


def _new_type(instance: Instance, name: str) -> dict[str, Any]:
    type_ = find_type(name)
    if type_ is None:
        raise ApiError("InvalidParameterValue", f"Invalid value '{name}' for InstanceType.")
    _require_stopped(instance)
    if instance.lifecycle == "spot":
        raise ApiError("UnsupportedOperation", "The instance type of a Spot Instance cannot be changed.")
    if instance.hibernation:
        raise ApiError(
            "OperationNotPermitted", "The instance type of an instance enabled for hibernation cannot be changed."
        )
    if type_.architecture != instance.architecture:
        raise ApiError(
            "InvalidParameterValue",
            f"The architecture '{type_.architecture}' of the specified instance type does not match the architecture "
            f"'{instance.architecture}' of the instance.",
        )
    old = find_type(instance.instance_type)
    keeps = type_.burstable and old is not None and old.burstable
    return {
        "instance_type": name,
        "cpu_credits": instance.cpu_credits if keeps else type_.default_credits,
        "core_count": 0,
        "threads_per_core": 0,
    }


def _modify_groups(tx: Transaction, call: Call, instance: Instance, ids: list[str]) -> None:
    subnet = require(tx, call, Subnet, instance.subnet_id)
    if instance.secondary_network_interface_ids:
        raise ApiError(
            "InvalidInstanceID",
            "There are multiple interfaces attached to instance "
            f"'{instance.id}'. Please specify an interface ID for the operation instead.",
        )
    groups = check_groups(tx, call, ids, subnet)
    interface = require(tx, call, NetworkInterface, instance.network_interface_id)
    tx.put(replace(instance, group_ids=groups))
    tx.put(replace(interface, group_ids=groups))


def _modify_devices(tx: Transaction, call: Call, instance: Instance, mappings: list[Any]) -> None:
    volumes = {v.device: v for v in volumes_of(tx, instance)}
    for mapping in mappings:
        volume = volumes.get(mapping.get("device_name") or "")
        if volume is None:
            raise ApiError(
                "InvalidInstanceAttributeValue",
                f"No device is currently mapped at {mapping.get('device_name')}",
            )
        keep = (mapping.get("ebs") or {}).get("delete_on_termination")
        if keep is not None:
            tx.put(replace(volume, delete_on_termination=bool(keep)))


def modify_instance_metadata_options(tx: Transaction, call: Call, request: Request) -> Answer:
    """What is not given stays. Takes effect at once."""
    instance = require(tx, call, Instance, request["instance_id"])
    if instance.state in ("shutting-down", "terminated"):
        raise ApiError(
            "IncorrectInstanceState", f"The instance '{instance.id}' is not in a state in which it can be modified."
        )
    changes = metadata_settings(request)
    if not changes:
        raise missing("HttpTokens, HttpEndpoint, HttpPutResponseHopLimit or InstanceMetadataTags")
    if request.get("http_endpoint") == "disabled" and request.get("http_tokens"):
        raise ApiError("InvalidParameterCombination", "HttpTokens cannot be set while HttpEndpoint is disabled.")
    changed = replace(instance, **changes)
    tx.put(changed)
    return {
        "instance_id": changed.id,
        "instance_metadata_options": render_metadata_options(changed),
    }


def monitor_instances(tx: Transaction, call: Call, request: Request) -> Answer:
    return _monitor(tx, call, request, enabled=True)


def unmonitor_instances(tx: Transaction, call: Call, request: Request) -> Answer:
    return _monitor(tx, call, request, enabled=False)


def _monitor(tx: Transaction, call: Call, request: Request, *, enabled: bool) -> Answer:
    """Detailed monitoring is on or off at once; the answer names the step between, as EC2's does."""
    answers: list[Answer] = []
    for instance in require_all(tx, call, Instance, request.get("instance_ids") or ()):
        before = instance.monitoring
        tx.put(replace(instance, monitoring=enabled))
        if enabled:
            state = "enabled" if before else "pending"
        else:
            state = "disabling" if before else "disabled"
        answers.append({"instance_id": instance.id, "monitoring": {"state": state}})
    return {"instance_monitorings": answers}


def modify_instance_credit_specification(tx: Transaction, call: Call, request: Request) -> Answer:
    """Each on its own: what cannot be done is in the answer, with EC2's reason."""
    done: list[Answer] = []
    failed: list[Answer] = []
    for one in request.get("instance_credit_specifications") or ():
        id_, credits = one.get("instance_id") or "", one.get("cpu_credits") or ""
        problem = _set_credits(tx, call, id_, credits)
        if problem is None:
            done.append({"instance_id": id_})
        else:
            failed.append({"instance_id": id_, "error": {"code": problem[0], "message": problem[1]}})
    return {
        "successful_instance_credit_specifications": done,
        "unsuccessful_instance_credit_specifications": failed,
    }


def _set_credits(tx: Transaction, call: Call, id_: str, credits: str) -> tuple[str, str] | None:
    if credits not in ("standard", "unlimited"):
        raise invalid(credits, "cpuCredits")
    instance = tx.get(Instance, call.account, call.region, id_)
    if instance is None:
        return "InvalidInstanceID.NotFound", f"The instance ID '{id_}' does not exist"
    if instance.state not in ("running", "stopped"):
        return "IncorrectInstanceState", f"The instance '{id_}' is not in the 'running' or 'stopped' state."
    type_ = find_type(instance.instance_type)
    if type_ is None or not type_.burstable:
        return (
            "InstanceCreditSpecification.NotSupported",
            f"The credit specification of type {instance.instance_type} cannot be changed.",
        )
    tx.put(replace(instance, cpu_credits=credits))
    return None


def reset_instance_attribute(tx: Transaction, call: Call, request: Request) -> Answer:
    """`sourceDestCheck` is true again; kernels and RAM disks were never anything else."""
    attribute = request.get("attribute")
    if attribute not in ("sourceDestCheck", "kernel", "ramdisk"):
        raise invalid(attribute, "attribute")
    if attribute != "sourceDestCheck":
        _require_stopped(require(tx, call, Instance, request["instance_id"]))
        return {}
    return modify_instance_attribute(
        tx, call, {"instance_id": request["instance_id"], "source_dest_check": {"value": True}}
    )
