"""LaunchInstances: launches in the call itself and says what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from elba.autoscaling import activities, faults, mixed, sentences
from elba.autoscaling.advance.launches import first_source, launch_one
from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.lookup import require_living_group, suspended, units
from elba.autoscaling.resources import Group, LaunchToken
from elba.call import Answer, Call, Request
from elba.ec2 import zones
from elba.ec2.resources import Subnet
from elba.errors import ApiError
from elba.store.interface import Transaction

MOST = 100
TOKEN_SECONDS = 8 * 3600.0


def launch_instances(tx: Transaction, call: Call, request: Request) -> Answer:
    """Launch so many instances into the group now; desired capacity grows by those launched. Raises: ApiError.

    What could not be launched is among the answer's errors; with RetryStrategy retry-with-group-configuration the
    reconciler goes on trying to launch it.
    """
    group = require_living_group(tx, call, request["auto_scaling_group_name"])
    capacity, token = request["requested_capacity"], request["client_token"]
    if not 1 <= len(token) <= 64:
        raise faults.constraint(token, "clientToken", "have length less than or equal to 64")
    asked = {k: v for k, v in request.items() if k != "client_token" and v is not None}
    digest = hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()
    id_ = f"{group.id}|{token}"
    known = tx.get(LaunchToken, call.account, call.region, id_)
    if known is not None and call.now - known.created_at < TOKEN_SECONDS:
        if known.digest != digest:
            raise ApiError(
                "IdempotentParameterMismatch",
                "The client token was used before with different parameters.",
            )
        return dict(known.answer)
    spot = _is_spot(group)
    if suspended(group, "Launch"):
        raise faults.validation("The Launch process of the Auto Scaling group is suspended.")
    # With weights it counts units: more of these may be asked for, though not more instances.
    weighted = group.desired_capacity_type in ("vcpu", "memory-mib") or mixed.heaviest(group.mixed_instances_policy) > 1
    if capacity < 1 or (capacity > MOST and not weighted):
        raise faults.validation(f"RequestedCapacity must be between 1 and {MOST}.")
    if group.desired_capacity + capacity > group.max_size:
        raise faults.sizes(group.id, group.min_size, group.max_size, group.desired_capacity, "launch", capacity)
    answer = _launch(tx, call, group, capacity, _subnets(tx, call, group, request), request, spot)
    tx.put(
        LaunchToken(
            account=call.account,
            region=call.region,
            id=id_,
            group_name=group.id,
            digest=digest,
            answer=answer,
            created_at=call.now,
        )
    )
    return answer


def _is_spot(group: Group) -> bool:
    """Whether the group's policy makes all its instances spot. Raises: ApiError if it mixes, or names no template."""
    if group.launch_template is not None:
        return False
    if group.mixed_instances_policy is None:
        raise faults.validation("LaunchInstances requires an Auto Scaling group that uses a launch template.")
    base, percentage = mixed.distribution(group.mixed_instances_policy)
    if percentage == 100:
        return False
    if base == 0 and percentage == 0:
        return True
    raise faults.validation("LaunchInstances does not support groups that mix On-Demand and Spot Instances.")


def _subnets(tx: Transaction, call: Call, group: Group, request: Request) -> list[Subnet]:
    """Where to launch: the subnets of the zone, or those named. Raises: ApiError."""
    names = ("availability_zones", "availability_zone_ids", "subnet_ids")
    given = [n for n in names if request.get(n)]
    if len(given) > 1 or (not given and len(group.availability_zones) > 1):
        raise faults.validation("Exactly one of AvailabilityZones, AvailabilityZoneIds or SubnetIds is required.")
    own = [s for i in group.subnet_ids if (s := tx.get(Subnet, call.account, call.region, i)) is not None]
    if not given:
        return own
    wanted: Iterable[str] = request[given[0]]
    found = [s for s in own if _named(given[0], s) in wanted]
    if {_named(given[0], s) for s in found} != set(wanted):
        raise faults.validation("The requested zones and subnets must be among those of the Auto Scaling group.")
    return found


def _named(parameter: str, subnet: Subnet) -> str:
    """What the request's parameter calls the subnet."""
    if parameter == "subnet_ids":
        return subnet.id
    zone = subnet.availability_zone
    return zone if parameter == "availability_zones" else zones.zone_id(zone)


def _launch(
    tx: Transaction, call: Call, group: Group, capacity: int, subnets: list[Subnet], request: Request, spot: bool
) -> Answer:
    turn = Turn(tx, call, group.id)
    cause = sentences.at(
        call.now,
        "a user request launched instances, increasing the capacity "
        f"from {group.desired_capacity} to {group.desired_capacity + capacity}.",
    )
    errors: list[dict[str, Any]] = []
    launched: dict[str, dict[str, Any]] = {}
    count = 0
    for number in range(MOST):
        if count >= capacity:
            break
        subnet = subnets[number % len(subnets)]
        where = {
            "subnet_id": subnet.id,
            "availability_zone": subnet.availability_zone,
            "availability_zone_id": zones.zone_id(subnet.availability_zone),
            "market_type": "spot" if spot else "on-demand",
        }
        try:
            source = first_source(turn, group, subnet.availability_zone)
            member = turn.attempt(lambda s=source, n=subnet: launch_one(turn, s, spot, n))  # type: ignore[misc]
        except ApiError as error:
            errors.append({**where, "error_code": error.code, "error_message": error.message})
            break
        activity = activities.begin(
            tx,
            call,
            group,
            sentences.launching(member.id),
            cause,
            status="PreInService",
            instance_id=member.id,
            details=activities.details(subnet.id, subnet.availability_zone),
        )
        tx.put(msgspec.structs.replace(member, activity_id=activity.id))
        count += units(member)
        shown: dict[str, Any] = {
            **where,
            "market_type": "spot" if member.spot else "on-demand",
            "instance_type": member.instance_type,
            "instance_ids": [],
        }
        of_subnet = launched.setdefault(subnet.id, shown)
        of_subnet["instance_ids"].append(member.id)
    retries = request.get("retry_strategy") == "retry-with-group-configuration"
    grown = group.desired_capacity + (max(capacity, count) if retries else count)
    turn.change(desired_capacity=grown)
    return {
        "auto_scaling_group_name": group.id,
        "client_token": request["client_token"],
        "instances": list(launched.values()),
        "errors": errors,
    }
