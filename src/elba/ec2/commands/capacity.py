"""Capacity, as an operator limits it to see what happens: shortages of a type in a zone, and zones that fail.

Sources: EC2 API reference, "Error codes" (InsufficientInstanceCapacity); EC2 user guide, "Insufficient instance
capacity".
"""

from __future__ import annotations

from msgspec.structs import replace

from elba.call import Call
from elba.ec2 import zones
from elba.ec2.fault_resources import EVERY_TYPE, WORLD, CapacityShortage, ZoneFailure
from elba.ec2.instance_types import find_type
from elba.ec2.resources import Instance
from elba.errors import ApiError
from elba.store.interface import Transaction, View

LOST = "Server.InternalError"
LOST_MESSAGE = "Server.InternalError: the instance was lost with its Availability Zone"


def has_capacity(view: View, region: str, zone: str, instance_type: str) -> bool:
    """Whether an instance of the type can be launched in the zone, as far as the operator is concerned."""
    if view.get(ZoneFailure, WORLD, region, zone) is not None:
        return False
    return not any(view.get(CapacityShortage, WORLD, region, f"{zone}/{t}") for t in (instance_type, EVERY_TYPE))


def full_zones(view: View, region: str, instance_type: str) -> set[str]:
    """The zones in which the type cannot be launched."""
    broken = [f.id for f in view.all(ZoneFailure, WORLD, region)]
    short = [
        s.zone for s in view.all(CapacityShortage, WORLD, region) if s.instance_type in (instance_type, EVERY_TYPE)
    ]
    return {*broken, *short}


def check_capacity(view: View, region: str, zone: str, instance_type: str, *, spot: bool = False) -> None:
    """Raises: ApiError InsufficientInstanceCapacity, in EC2's words."""
    full = full_zones(view, region, instance_type)
    if zone not in full:
        return
    if spot:
        raise ApiError("InsufficientInstanceCapacity", "There is no Spot capacity available that matches your request.")
    message = (
        f"We currently do not have sufficient {instance_type} capacity in the Availability Zone you requested "
        f"({zone}). Our system will be working on provisioning additional capacity."
    )
    if others := [z for z in zones.zone_names(view, region) if z not in full]:
        message += (
            f" You can currently get {instance_type} capacity by not specifying an Availability Zone in your request "
            f"or choosing {', '.join(others)}."
        )
    raise ApiError("InsufficientInstanceCapacity", message)


def begin_shortage(tx: Transaction, call: Call, zone: str, instance_type: str) -> CapacityShortage:
    """No more of the type ("*": of any) in the zone; what runs goes on. Raises: ApiError InvalidParameterValue."""
    _check_zone(tx, call, zone)
    if instance_type != EVERY_TYPE and find_type(instance_type) is None:
        raise ApiError("InvalidParameterValue", f"There is no instance type {instance_type!r}.")
    id_ = f"{zone}/{instance_type}"
    found = tx.get(CapacityShortage, WORLD, call.region, id_)
    if found is None:
        found = CapacityShortage(
            account=WORLD, region=call.region, id=id_, zone=zone, instance_type=instance_type, since=call.now
        )
        tx.put(found)
    return found


def end_shortages(tx: Transaction, call: Call, zone: str = "", instance_type: str = "") -> int:
    """There is capacity again: of the type ("": of all) in the zone ("": in all). The number of shortages ended."""
    ended = [
        s
        for s in tx.all(CapacityShortage, WORLD, call.region)
        if zone in ("", s.zone) and instance_type in ("", s.instance_type)
    ]
    for shortage in ended:
        tx.delete(shortage)
    return len(ended)


def fail_zone(tx: Transaction, call: Call, zone: str) -> list[str]:
    """The zone goes down: ids of the instances (of all accounts) that are lost with it. Stopped ones stay stopped.

    Raises: ApiError InvalidParameterValue.
    """
    _check_zone(tx, call, zone)
    if tx.get(ZoneFailure, WORLD, call.region, zone) is None:
        tx.put(ZoneFailure(account=WORLD, region=call.region, id=zone, since=call.now))
    lost = []
    for instance in tx.all(Instance, None, call.region):
        if instance.availability_zone != zone or instance.state not in ("pending", "running", "stopping"):
            continue
        tx.put(
            replace(
                instance,
                desired="terminated",
                state="shutting-down",
                state_transition_time=call.now,
                state_reason_code=LOST,
                state_reason_message=LOST_MESSAGE,
            )
        )
        lost.append(instance.id)
    return lost


def restore_zone(tx: Transaction, call: Call, zone: str) -> bool:
    """The zone takes launches again; False if it was not down. What was lost stays lost."""
    failure = tx.get(ZoneFailure, WORLD, call.region, zone)
    if failure is None:
        return False
    tx.delete(failure)
    return True


def _check_zone(view: View, call: Call, zone: str) -> None:
    known = zones.zone_names(view, call.region)
    if zone not in known:
        raise ApiError(
            "InvalidParameterValue", f"There is no zone {zone!r} in {call.region}: it has {', '.join(known)}."
        )
