"""Start, stop, reboot, terminate: what is desired, and the state that shows it at once.

A command takes an instance to the state on the way (stopping, shutting-down, pending); the reconciler, to the end of
it. Source: EC2 user guide, "Instance lifecycle"; ec2-iam spec §3.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.addresses import release_interface
from elba.ec2.commands.capacity import has_capacity
from elba.ec2.faults import missing, require_all
from elba.ec2.queries.instances import render_state
from elba.ec2.resources import Instance, NetworkInterface, Volume
from elba.errors import ApiError
from elba.store.interface import Transaction

FORGET_SECONDS = 3600.0
"""How long a terminated instance can still be described."""

USER_INITIATED = "Client.UserInitiatedShutdown"


def user_initiated(now: float) -> str:
    """The state transition reason of a request, as `User initiated (2026-01-02 03:04:05 GMT)`."""
    return datetime.fromtimestamp(now, UTC).strftime("User initiated (%Y-%m-%d %H:%M:%S GMT)")


def _ids(request: Request) -> list[str]:
    ids = request.get("instance_ids")
    if not ids:
        raise missing("InstanceId")
    return list(ids)


def _changes(before: Iterable[Instance], after: Iterable[Instance]) -> list[Answer]:
    return [
        {
            "instance_id": old.id,
            "current_state": render_state(new.state),
            "previous_state": render_state(old.state),
        }
        for old, new in zip(before, after, strict=True)
    ]


def terminate_instances(tx: Transaction, call: Call, request: Request) -> Answer:
    return terminate(tx, call, _ids(request), honour_protection=True)


def terminate(tx: Transaction, call: Call, instance_ids: Iterable[str], *, honour_protection: bool) -> Answer:
    """TerminateInstances, all or none. Auto Scaling does not honour termination protection.

    Raises: ApiError InvalidInstanceID.NotFound, OperationNotPermitted.
    """
    before = require_all(tx, call, Instance, instance_ids)
    after: list[Instance] = []
    for instance in before:
        if instance.state in ("shutting-down", "terminated"):
            after.append(instance)
            continue
        if honour_protection and instance.disable_api_termination:
            raise ApiError(
                "OperationNotPermitted",
                f"The instance '{instance.id}' may not be terminated. Modify its 'disableApiTermination' instance "
                "attribute and try again.",
            )
        changed = replace(
            instance,
            desired="terminated",
            state="shutting-down",
            state_transition_time=call.now,
            state_transition_reason=user_initiated(call.now),
            state_reason_code=USER_INITIATED,
            state_reason_message=f"{USER_INITIATED}: User initiated shutdown",
        )
        tx.put(changed)
        after.append(changed)
    return {"terminating_instances": _changes(before, after)}


def stop_instances(tx: Transaction, call: Call, request: Request) -> Answer:
    ids = _ids(request)
    if request.get("hibernate"):
        for instance in require_all(tx, call, Instance, ids):
            if not instance.hibernation:
                raise ApiError(
                    "UnsupportedHibernationConfiguration",
                    f"Instance {instance.id} is not configured for hibernation.",
                )
    return stop(tx, call, ids, force=bool(request.get("force")))


def stop(
    tx: Transaction,
    call: Call,
    instance_ids: Iterable[str],
    *,
    force: bool = False,
    honour_protection: bool = True,
) -> Answer:
    """StopInstances. Raises: ApiError InvalidInstanceID.NotFound, IncorrectInstanceState, OperationNotPermitted,
    UnsupportedOperation (a one-time Spot Instance).
    """
    before = require_all(tx, call, Instance, instance_ids)
    after: list[Instance] = []
    for instance in before:
        if instance.state == "stopped" or (instance.state == "stopping" and not force):
            after.append(instance)
            continue
        if instance.state not in ("running", "stopping"):
            raise ApiError(
                "IncorrectInstanceState",
                f"This instance '{instance.id}' is not in a state from which it can be stopped.",
            )
        if honour_protection and instance.disable_api_stop:
            raise ApiError(
                "OperationNotPermitted",
                f"The instance '{instance.id}' may not be stopped. Modify its 'disableApiStop' instance attribute "
                "and try again.",
            )
        if honour_protection and instance.lifecycle == "spot" and instance.spot_instance_type != "persistent":
            raise ApiError(
                "UnsupportedOperation",
                f"You can't stop the Spot Instance '{instance.id}' because it is associated with a one-time Spot "
                "Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests.",
            )
        changed = replace(
            instance,
            desired="stopped",
            state="stopping",
            force_stop=force,
            state_transition_time=call.now,
            state_transition_reason=user_initiated(call.now),
            state_reason_code=USER_INITIATED,
            state_reason_message=f"{USER_INITIATED}: User initiated shutdown",
        )
        tx.put(changed)
        after.append(changed)
    return {"stopping_instances": _changes(before, after)}


def start_instances(tx: Transaction, call: Call, request: Request) -> Answer:
    for instance in require_all(tx, call, Instance, _ids(request)):
        if instance.state == "stopped" and not has_capacity(
            tx, call.region, instance.availability_zone, instance.instance_type
        ):
            raise ApiError("InsufficientInstanceCapacity", "Insufficient capacity.")
    return start(tx, call, _ids(request))


def start(tx: Transaction, call: Call, instance_ids: Iterable[str]) -> Answer:
    """StartInstances. Raises: ApiError InvalidInstanceID.NotFound, IncorrectInstanceState."""
    before = require_all(tx, call, Instance, instance_ids)
    after: list[Instance] = []
    for instance in before:
        if instance.state in ("running", "pending"):
            after.append(instance)
            continue
        if instance.state != "stopped":
            raise ApiError(
                "IncorrectInstanceState",
                f"The instance '{instance.id}' is not in a state from which it can be started.",
            )
        changed = replace(
            instance,
            desired="running",
            state="pending",
            boots=instance.boots + 1,
            force_stop=False,
            launch_time=call.now,
            state_transition_time=call.now,
            state_transition_reason="",
            state_reason_code="",
            state_reason_message="",
            instance_status="initializing",
            system_status="initializing",
        )
        tx.put(changed)
        after.append(changed)
    return {"starting_instances": _changes(before, after)}


def reboot_instances(tx: Transaction, call: Call, request: Request) -> Answer:
    return reboot(tx, call, _ids(request))


def reboot(tx: Transaction, call: Call, instance_ids: Iterable[str]) -> Answer:
    """RebootInstances: the instance stays running. Raises: ApiError InvalidInstanceID.NotFound,
    IncorrectInstanceState.
    """
    for instance in require_all(tx, call, Instance, instance_ids):
        if instance.state not in ("running", "pending"):
            raise ApiError(
                "IncorrectInstanceState",
                f"This instance '{instance.id}' is not in the 'running' state.",
            )
        if instance.state == "running":
            tx.put(replace(instance, boots=instance.boots + 1))
    return {}


def recover(tx: Transaction, call: Call, instance_id: str) -> None:
    """The impaired instance goes on elsewhere, with its id, addresses and disk; what it had in memory is lost.

    Raises: ApiError InvalidInstanceID.NotFound, IncorrectInstanceState; UnsupportedOperation unless its system status
    check fails.
    """
    (instance,) = require_all(tx, call, Instance, [instance_id])
    if instance.state != "running" or instance.desired != "running":
        raise ApiError("IncorrectInstanceState", f"This instance '{instance.id}' is not in the 'running' state.")
    if instance.system_status != "impaired":
        raise ApiError(
            "UnsupportedOperation", f"The instance '{instance.id}' is not impaired: its system status check passes."
        )
    if not instance.recovery:
        tx.put(replace(instance, recovery="stopping", force_stop=True, boots=instance.boots + 1))


def record_terminated(tx: Transaction, call: Call, instance_id: str) -> None:
    """The world has no more of the instance: state terminated; its addresses and volumes are free again.

    For the reconciler, once the provider has nothing left that could answer on the address.
    """
    instance = tx.get(Instance, call.account, call.region, instance_id)
    if instance is None or instance.state == "terminated":
        return
    release_resources(tx, call, instance)
    tx.put(
        replace(
            instance,
            desired="terminated",
            state="terminated",
            state_transition_time=call.now,
            terminated_at=call.now,
            public_ip_address="",
            public_dns_name="",
        )
    )


def release_resources(tx: Transaction, call: Call, instance: Instance) -> None:
    """Delete or detach the instance's interfaces and volumes, each as its DeleteOnTermination says."""
    for id_ in (instance.network_interface_id, *instance.secondary_network_interface_ids):
        interface = tx.get(NetworkInterface, call.account, call.region, id_)
        if interface is None or interface.owner != instance.id:
            continue
        if interface.delete_on_termination:
            release_interface(tx, call, id_)
        else:
            tx.put(replace(interface, owner="", status="available", attachment_id="", attach_time=0.0))
    for volume in tx.children(Volume, call.account, call.region, instance.id):
        if volume.delete_on_termination:
            tx.delete(volume)
        else:
            tx.put(replace(volume, instance_id="", attach_time=0.0))


def forget_terminated(tx: Transaction, call: Call) -> list[str]:
    """Delete instances of (account, region) that have been terminated for an hour; their ids."""
    forgotten: list[str] = []
    for instance in tx.all(Instance, call.account, call.region):
        if instance.state == "terminated" and instance.terminated_at <= call.now - FORGET_SECONDS:
            release_resources(tx, call, instance)
            tx.delete(instance)
            forgotten.append(instance.id)
    return forgotten
