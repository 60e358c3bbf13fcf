"""What an operator may break, by name: one request form for the command line and the endpoint behind it."""

from __future__ import annotations

from typing import Any

from elba.call import Call, Request
from elba.ec2.commands import capacity, interruptions
from elba.ec2.fault_resources import EVERY_TYPE, WORLD, CapacityShortage, ZoneFailure
from elba.ec2.resources import Instance
from elba.errors import ApiError
from elba.store.interface import Transaction, View

NAMES = ("capacity", "interrupt", "rebalance", "zone", "all")


def inject(tx: Transaction, call: Call, request: Request) -> dict[str, Any]:
    """Break, or with `clear` mend, what `fault` names; what came of it.

    capacity: `zone`, `instance_type` ("" = every); zone: `zone`; interrupt, rebalance: `instance_ids` of running Spot
    Instances; all: only with `clear`. Notices once given cannot be taken back. Raises: ApiError.
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
        return {"ended": capacity.end_shortages(tx, call) + sum(capacity.restore_zone(tx, call, z) for z in failed)}
    if fault in ("interrupt", "rebalance"):
        ids = request.get("instance_ids")
        if clear:
            raise ApiError("InvalidParameterValue", "A notice cannot be taken back.")
        if not isinstance(ids, list) or not ids or not all(isinstance(i, str) for i in ids):
            raise ApiError("InvalidParameterValue", "Name the Spot Instances: a list of their ids.")
        act = interruptions.interrupt_spot_instances if fault == "interrupt" else interruptions.recommend_rebalance
        return {"instances": [_notice(i) for i in act(tx, call, ids)]}
    raise ApiError("InvalidParameterValue", f"There is no fault {fault!r} to inject; there are {', '.join(NAMES)}.")


def active(view: View, account: str, region: str) -> dict[str, Any]:
    """What is broken in the region now, and the account's Spot Instances that have a notice."""
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
    }


def _notice(instance: Instance) -> dict[str, Any]:
    return {
        "instance_id": instance.id,
        "interruption_at": instance.spot_interruption_time or None,
        "rebalance_recommended_at": instance.rebalance_recommendation_time or None,
    }
