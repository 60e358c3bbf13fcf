"""Zonal shift's one resource."""

from __future__ import annotations

from typing import ClassVar

from elba.resource import Resource


class ZonalShift(Resource, frozen=True, kw_only=True):
    """One resource's traffic kept from one zone for a time. `id` is a UUID.

    `away_from` is the zone's id (`use1-az1`), `zone` its name; `status` ACTIVE, EXPIRED or CANCELED.
    """

    KIND: ClassVar[str] = "arc_zonal_shift.zonal_shift"

    resource_arn: str
    away_from: str
    zone: str
    start_time: float
    expiry_time: float
    comment: str = ""
    status: str = "ACTIVE"
    ended_at: float | None = None

    def parent_id(self) -> str:
        return self.resource_arn
