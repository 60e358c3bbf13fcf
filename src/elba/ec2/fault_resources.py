"""What an operator has broken: capacity that is not there, zones that are down. They concern all accounts."""

from __future__ import annotations

from typing import ClassVar

from elba.clock import Timestamp
from elba.resource import Resource

WORLD = "elba"
"""The account that owns them."""

EVERY_TYPE = "*"


class CapacityShortage(Resource, frozen=True, kw_only=True):
    """No instance of `instance_type` ("*": of any type) can be launched or started in `zone`. id: `zone/type`."""

    KIND: ClassVar[str] = "ec2.capacity_shortage"

    zone: str
    instance_type: str = EVERY_TYPE
    since: Timestamp = 0.0


class ZoneFailure(Resource, frozen=True, kw_only=True):
    """The zone `id` is down: its instances are lost, and nothing can be launched or started there."""

    KIND: ClassVar[str] = "ec2.zone_failure"

    since: Timestamp = 0.0
