"""Describes of what cannot exist in Elba: always empty, and NotFound for an id that is named.

Tools ask for these before they do what they were asked to (Terraform before deleting a VPC, for one).
"""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.context import Query
from elba.ec2.filters import page
from elba.errors import ApiError
from elba.store.interface import View


def _none(member: str, ids: str, code: str, noun: str) -> Query:
    def describe(view: View, call: Call, request: Request) -> Answer:
        for id_ in request.get(ids) or ():
            raise ApiError(code, f"The {noun} ID '{id_}' does not exist")
        empty: list[Answer] = []
        page(empty, request)
        return {member: empty}

    describe.__doc__ = f"None. Raises: ApiError {code}."
    return describe


describe_transit_gateways = _none(
    "transit_gateways", "transit_gateway_ids", "InvalidTransitGatewayID.NotFound", "transitGateway"
)
describe_capacity_reservations = _none(
    "capacity_reservations",
    "capacity_reservation_ids",
    "InvalidCapacityReservationId.NotFound",
    "capacityReservation",
)
