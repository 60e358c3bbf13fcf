"""Zonal shift's queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from elba.arc_zonal_shift.commands import shift_answer
from elba.arc_zonal_shift.lookup import active_shift
from elba.arc_zonal_shift.managed import Managed, all_managed, require_managed
from elba.arc_zonal_shift.resources import ZonalShift
from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.store.interface import View

LARGEST_PAGE = 100


def _page(items: Sequence[dict[str, Any]], request: Request) -> Answer:
    token = request.get("next_token") or "0"
    if not token.isdecimal():
        raise ApiError("ValidationException", "The next token is not valid.", fields={"reason": "InvalidToken"})
    first = int(token)
    last = first + (request.get("max_results") or LARGEST_PAGE)
    return {"items": list(items[first:last]), "next_token": str(last) if last < len(items) else None}


def list_zonal_shifts(view: View, call: Call, request: Request) -> Answer:
    """The newest first."""
    arn, status = request.get("resource_identifier"), request.get("status")
    shifts = [
        shift
        for shift in view.all(ZonalShift, call.account, call.region)
        if arn in (None, shift.resource_arn) and status in (None, shift.status)
    ]
    shifts.sort(key=lambda shift: (-shift.start_time, shift.id))
    return _page([shift_answer(shift) | {"shift_type": "ZONAL_SHIFT"} for shift in shifts], request)


def _in_resource(view: View, call: Call, managed: Managed) -> dict[str, Any]:
    shift = active_shift(view, call.account, call.region, managed.arn)
    shifts = []
    if shift is not None:
        described = {key: value for key, value in shift_answer(shift).items() if key != "status"}
        shifts = [described | {"applied_status": "APPLIED", "shift_type": "ZONAL_SHIFT"}]
    away = shift.away_from if shift else ""
    return {
        "arn": managed.arn,
        "name": managed.name,
        "applied_weights": {zone: 0.0 if zone == away else 1.0 for zone in managed.zones},
        "zonal_shifts": shifts,
        "autoshifts": [],
        "zonal_autoshift_status": "DISABLED",
    }


def get_managed_resource(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError ResourceNotFoundException, ValidationException."""
    return _in_resource(view, call, require_managed(view, call, request["resource_identifier"]))


def list_managed_resources(view: View, call: Call, request: Request) -> Answer:
    items = [
        _in_resource(view, call, managed) | {"availability_zones": list(managed.zones)}
        for managed in all_managed(view, call)
    ]
    return _page(items, request)
