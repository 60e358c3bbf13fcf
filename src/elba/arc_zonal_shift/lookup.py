"""Which zone a resource is shifted away from, for those who balance and scale. Pure."""

from __future__ import annotations

from elba.arc_zonal_shift.resources import ZonalShift
from elba.store.interface import View


def active_shift(view: View, account: str, region: str, resource_arn: str) -> ZonalShift | None:
    """The shift that is in force for a load balancer or group. One that is over is `EXPIRED` within a moment."""
    shifts = view.children(ZonalShift, account, region, resource_arn)
    return next((shift for shift in shifts if shift.status == "ACTIVE"), None)


def shifted_zone(view: View, account: str, region: str, resource_arn: str) -> str:
    """The name of the zone that gets no new traffic or capacity, or ""."""
    shift = active_shift(view, account, region, resource_arn)
    return shift.zone if shift else ""
