"""Zonal shift's commands. Source: ARC zonal shift API reference; messages are Elba's own words."""

from __future__ import annotations

from typing import Any

import msgspec

from elba.arc_zonal_shift.lookup import active_shift
from elba.arc_zonal_shift.managed import require_managed
from elba.arc_zonal_shift.resources import ZonalShift
from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.store.interface import Transaction, View

LONGEST_SECONDS = 72 * 3600
_UNITS = {"m": 60, "h": 3600}


def _invalid(message: str, reason: str) -> ApiError:
    return ApiError("ValidationException", message, fields={"reason": reason})


def _conflict(message: str, reason: str, shift: ZonalShift) -> ApiError:
    return ApiError("ConflictException", message, 409, fields={"reason": reason, "zonal_shift_id": shift.id})


def _seconds(expires_in: str) -> int:
    """`90m`, `20h`. Raises: ApiError ValidationException beyond three days."""
    seconds = int(expires_in[:-1]) * _UNITS[expires_in[-1]]
    if seconds > LONGEST_SECONDS:
        raise _invalid("A zonal shift can be set to expire in three days (72 hours) at most.", "InvalidExpiresIn")
    return seconds


def shift_answer(shift: ZonalShift) -> dict[str, Any]:
    return {
        "zonal_shift_id": shift.id,
        "resource_identifier": shift.resource_arn,
        "away_from": shift.away_from,
        "expiry_time": shift.expiry_time,
        "start_time": shift.start_time,
        "status": shift.status,
        "comment": shift.comment,
    }


def start_zonal_shift(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError ResourceNotFoundException, ConflictException (one is active), ValidationException."""
    managed = require_managed(tx, call, request["resource_identifier"])
    away_from = request["away_from"]
    if away_from not in managed.zones:
        zones = ", ".join(managed.zones)
        raise _invalid(f"{away_from} is not an Availability Zone of the resource: {zones}.", "InvalidAz")
    seconds = _seconds(request["expires_in"])
    before = active_shift(tx, call.account, call.region, managed.arn)
    if before is not None:
        if before.expiry_time > call.now:
            raise _conflict("A zonal shift is already active for the resource.", "ZonalShiftAlreadyExists", before)
        tx.put(ended(before, "EXPIRED", before.expiry_time))
    shift = ZonalShift(
        account=call.account,
        region=call.region,
        id=call.ids.uuid(),
        resource_arn=managed.arn,
        away_from=away_from,
        zone=managed.zones[away_from],
        start_time=call.now,
        expiry_time=call.now + seconds,
        comment=request["comment"],
    )
    tx.put(shift)
    return shift_answer(shift)


def ended(shift: ZonalShift, status: str, at: float) -> ZonalShift:
    """The shift with its end: CANCELED or EXPIRED."""
    return msgspec.structs.replace(shift, status=status, ended_at=at)


def _require_active(view: View, call: Call, id_: str) -> ZonalShift:
    shift = view.get(ZonalShift, call.account, call.region, id_)
    if shift is None:
        raise ApiError("ResourceNotFoundException", f"No zonal shift was found with the ID {id_}.", 404)
    if shift.status != "ACTIVE" or shift.expiry_time <= call.now:
        raise _conflict("The zonal shift is not active.", "ZonalShiftStatusNotActive", shift)
    return shift


def cancel_zonal_shift(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError ResourceNotFoundException, ConflictException."""
    shift = ended(_require_active(tx, call, request["zonal_shift_id"]), "CANCELED", call.now)
    tx.put(shift)
    return shift_answer(shift)


def update_zonal_shift(tx: Transaction, call: Call, request: Request) -> Answer:
    """Changes the comment, the expiry (counted from now), or both. Raises: as cancel, ValidationException."""
    shift = _require_active(tx, call, request["zonal_shift_id"])
    comment, expires_in = request.get("comment"), request.get("expires_in")
    if comment is None and expires_in is None:
        raise _invalid("The comment, the expiry, or both must be given.", "MissingValue")
    if comment is not None:
        shift = msgspec.structs.replace(shift, comment=comment)
    if expires_in is not None:
        shift = msgspec.structs.replace(shift, expiry_time=call.now + _seconds(expires_in))
    tx.put(shift)
    return shift_answer(shift)
