"""What an operator may break, by name: one request form for the command line and the endpoint behind it."""

from __future__ import annotations

from typing import Any

from elba.call import Call, Request
from elba.ec2.commands import capacity, interruptions, volume_faults
from elba.ec2.fault_resources import EVERY_TYPE, WORLD, CapacityShortage, ZoneFailure
from elba.ec2.resources import Instance, Volume
from elba.errors import ApiError
from elba.store.interface import Transaction, View

NAMES = ("capacity", "interrupt", "rebalance", "volume", "zone", "all")


def inject(tx: Transaction, call: Call, request: Request) -> dict[str, Any]:
    """Break, or with `clear` mend, what `fault` names; what came of it.

    capacity: `zone`, `instance_type` ("" = every); zone: `zone`; interrupt, rebalance: `instance_ids` of running Spot
    Instances; volume: `ids` of volumes, or of instances for all of theirs (mending all without any); all: only with
    `clear`. Notices once given cannot be taken back. Raises: ApiError.
    """
    fault, clear = request.get("fault"), bool(request.get("clear"))
    zone, type_ = str(request.get("zone") or ""), str(request.get("instance_type") or "")
    if fault == "capacity":
        if clear:
            return {"ended": capacity.end_shortages(tx, call, zone, type_)}
        return {"shortage": capacity.begin_shortage(tx, call, zone, type_ or EVERY_TYPE).id}
    if fault == "zone":
        if clear:
            failed = [zone] if zone else [f.id for f in tx.all(ZoneFailure, WORLD, call.region)]
            return {"ended": sum(capacity.restore_zone(tx, call, z) for z in failed)}
        return {"lost": capacity.fail_zone(tx, call, zone)}
    if fault == "all" and clear:
        failed = [f.id for f in tx.all(ZoneFailure, WORLD, call.region)]
        ended = capacity.end_shortages(tx, call) + sum(capacity.restore_zone(tx, call, z) for z in failed)
        return {"ended": ended + volume_faults.mend_volumes(tx, call)}
    if fault == "volume":
        ids = request.get("ids") or []
        if not _texts(ids) or not (ids or clear):
            raise ApiError("InvalidParameterValue", "Name the volumes, or the instances: a list of their ids.")
        if clear:
            return {"ended": volume_faults.mend_volumes(tx, call, ids)}
        return {"volumes": [_volume(v) for v in volume_faults.impair_volumes(tx, call, ids)]}
    if fault in ("interrupt", "rebalance"):
        ids = request.get("instance_ids")
        if clear:
            raise ApiError("InvalidParameterValue", "A notice cannot be taken back.")
        if not ids or not _texts(ids):
            raise ApiError("InvalidParameterValue", "Name the Spot Instances: a list of their ids.")
        act = interruptions.interrupt_spot_instances if fault == "interrupt" else interruptions.recommend_rebalance
        return {"instances": [_notice(i) for i in act(tx, call, ids)]}
    raise ApiError("InvalidParameterValue", f"There is no fault {fault!r} to inject; there are {', '.join(NAMES)}.")


def _texts(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(i, str) for i in given)


def active(view: View, account: str, region: str) -> dict[str, Any]:
    """What is broken in the region now, with the account's stalled volumes and Spot Instances that have a notice."""
    noticed = [
        i
        for i in view.all(Instance, account, region)
        if i.state == "running" and (i.spot_interruption_time or i.rebalance_recommendation_time)
    ]
    return {
        "region": region,
        "capacity": [
            {"zone": s.zone, "instance_type": s.instance_type, "since": s.since}
            for s in view.all(CapacityShortage, WORLD, region)
        ],
        "zones": [{"zone": f.id, "since": f.since} for f in view.all(ZoneFailure, WORLD, region)],
        "instances": [_notice(i) for i in noticed],
        "volumes": [_volume(v) for v in volume_faults.impaired_volumes(view, account, region)],
    }


def _volume(volume: Volume) -> dict[str, Any]:
    return {"volume_id": volume.id, "instance_id": volume.instance_id, "since": volume.impaired_since}


def _notice(instance: Instance) -> dict[str, Any]:
    return {
        "instance_id": instance.id,
        "interruption_at": instance.spot_interruption_time or None,
        "rebalance_recommended_at": instance.rebalance_recommendation_time or None,
    }
