"""Spot Instance requests: they live and end with their instances, unless they are cancelled first."""

from __future__ import annotations

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.faults import missing
from elba.ec2.queries.spot import requested
from elba.store.interface import Transaction


def cancel_spot_instance_requests(tx: Transaction, call: Call, request: Request) -> Answer:
    """The requests are cancelled; their instances go on. Raises: ApiError InvalidSpotInstanceRequestID.NotFound."""
    ids = request.get("spot_instance_request_ids")
    if not ids:
        raise missing("SpotInstanceRequestId")
    for instance in requested(tx, call, ids):
        tx.put(replace(instance, spot_request_cancelled=True))
    return {
        "cancelled_spot_instance_requests": [{"spot_instance_request_id": id_, "state": "cancelled"} for id_ in ids]
    }
