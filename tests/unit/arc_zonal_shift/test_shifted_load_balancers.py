"""Zonal shifts of load balancers, in a whole Elba on virtual time, through an unmodified boto3 client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError

from elba.arc_zonal_shift.reconcilers import KEPT_SECONDS
from elba.arc_zonal_shift.resources import ZonalShift
from elba.dataplane.interface import Place
from elba.dataplane.protocol import LoadBalancer, TargetGroup
from elba.testing.world import World
from tests.unit.elbv2.test_in_world import Shop

NODE = Place("us-east-1", "us-east-1a")
TARGETS = ("172.31.0.9", "172.31.16.9", "172.31.32.9")
"""One in each of zones a, b and c."""


@pytest.fixture
def shop() -> Iterator[Shop]:
    with World() as world:
        shop = Shop(world)
        enable(shop)
        shop.register(*TARGETS)
        world.advance(30)
        yield shop


def enable(shop: Shop, value: str = "true") -> None:
    attributes = [{"Key": "zonal_shift.config.enabled", "Value": value}]
    shop.elb.modify_load_balancer_attributes(LoadBalancerArn=shop.balancer, Attributes=attributes)


def arc(shop: Shop) -> Any:
    return shop.world.boto3("arc-zonal-shift")


def start(shop: Shop, zone: str = "use1-az2", expires_in: str = "1h") -> Any:
    return arc(shop).start_zonal_shift(
        resourceIdentifier=shop.balancer, awayFrom=zone, expiresIn=expires_in, comment="az2 is slow"
    )


def at_node(shop: Shop) -> tuple[LoadBalancer, TargetGroup]:
    configuration = shop.world.nodes.configuration(NODE)
    return configuration.load_balancers[0], configuration.target_groups[0]


def blocked(shop: Shop) -> list[str]:
    return [target.id for target in at_node(shop)[1].targets if target.shifted]


def overrides(shop: Shop) -> dict[str, str]:
    answer = shop.elb.describe_target_health(TargetGroupArn=shop.group)
    return {d["Target"]["Id"]: d["AdministrativeOverride"]["State"] for d in answer["TargetHealthDescriptions"]}


def refusal(raised: pytest.ExceptionInfo[ClientError]) -> tuple[str, int, str]:
    response: Any = raised.value.response
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    return response["Error"]["Code"], status, response.get("reason", "")


def test_a_shift_takes_the_zone_out_of_dns_and_its_targets_out_of_the_choice_until_it_expires(shop: Shop) -> None:
    assert at_node(shop)[0].shifted_zone == ""
    assert set(overrides(shop).values()) == {"no_override"}
    started = start(shop, expires_in="10m")
    assert (started["status"], started["awayFrom"]) == ("ACTIVE", "use1-az2")
    assert (started["expiryTime"] - started["startTime"]).total_seconds() == 600
    shop.world.settle()
    assert at_node(shop)[0].shifted_zone == "us-east-1b"
    assert blocked(shop) == ["172.31.16.9"]
    assert overrides(shop) == dict(zip(TARGETS, ("no_override", "zonal_shift_active", "no_override"), strict=True))
    assert set(shop.health().values()) == {"healthy"}  # health is another matter
    shop.world.advance(180)
    names = {"LoadBalancer": shop.balancer.split("loadbalancer/")[1], "TargetGroup": shop.group.split(":")[-1]}
    assert shop.statistic("ZonalShiftedHostCount", "Maximum", **names)[-1] == 1
    shop.world.advance(430)
    assert at_node(shop)[0].shifted_zone == "" and blocked(shop) == []
    (listed,) = arc(shop).list_zonal_shifts(resourceIdentifier=shop.balancer)["items"]
    assert (listed["status"], listed["zonalShiftId"]) == ("EXPIRED", started["zonalShiftId"])
    assert arc(shop).list_zonal_shifts(status="ACTIVE")["items"] == []


def test_a_shift_that_ended_long_ago_is_forgotten(shop: Shop) -> None:
    id_ = start(shop)["zonalShiftId"]
    arc(shop).cancel_zonal_shift(zonalShiftId=id_)
    (shift,) = shop.world.store.view.all(ZonalShift)
    old = msgspec.structs.replace(shift, ended_at=shop.world.now - KEPT_SECONDS + 100)
    shop.world.loop.run(shop.world.store.write(lambda tx: tx.put(old), "test"))
    shop.world.settle()
    assert len(arc(shop).list_zonal_shifts()["items"]) == 1
    shop.world.advance(101)
    assert arc(shop).list_zonal_shifts()["items"] == []


def test_with_cross_zone_off_only_dns_shifts(shop: Shop) -> None:
    attributes = [{"Key": "load_balancing.cross_zone.enabled", "Value": "false"}]
    shop.elb.modify_target_group_attributes(TargetGroupArn=shop.group, Attributes=attributes)
    start(shop)
    shop.world.settle()
    assert (at_node(shop)[0].shifted_zone, blocked(shop)) == ("us-east-1b", [])
    assert overrides(shop)["172.31.16.9"] == "zonal_shift_delegated_to_dns"
    attributes[0]["Value"] = "true"
    shop.elb.modify_target_group_attributes(TargetGroupArn=shop.group, Attributes=attributes)
    shop.world.settle()
    assert blocked(shop) == ["172.31.16.9"]


def test_a_target_that_comes_during_a_shift_is_blocked_too(shop: Shop) -> None:
    start(shop, "use1-az1")
    shop.register("172.31.0.77", "172.31.16.77")
    shop.world.settle()
    assert blocked(shop) == ["172.31.0.9", "172.31.0.77"]


def test_managed_resources_say_what_is_in_force(shop: Shop) -> None:
    managed = arc(shop).get_managed_resource(resourceIdentifier=shop.balancer)
    assert (managed["arn"], managed["name"]) == (shop.balancer, "shop")
    assert managed["appliedWeights"] == {"use1-az1": 1.0, "use1-az2": 1.0, "use1-az3": 1.0}
    id_ = start(shop)["zonalShiftId"]
    managed = arc(shop).get_managed_resource(resourceIdentifier=shop.balancer)
    assert managed["appliedWeights"] == {"use1-az1": 1.0, "use1-az2": 0.0, "use1-az3": 1.0}
    (shift,) = managed["zonalShifts"]
    assert (shift["zonalShiftId"], shift["appliedStatus"], shift["comment"]) == (id_, "APPLIED", "az2 is slow")
    (summary,) = arc(shop).list_managed_resources()["items"]
    assert summary["availabilityZones"] == ["use1-az1", "use1-az2", "use1-az3"]
    enable(shop, "false")
    shop.world.settle()
    assert arc(shop).list_managed_resources()["items"] == []
    assert arc(shop).list_zonal_shifts()["items"][0]["status"] == "CANCELED"
    assert at_node(shop)[0].shifted_zone == ""


def test_update_and_cancel(shop: Shop) -> None:
    id_ = start(shop, expires_in="5m")["zonalShiftId"]
    shop.world.advance(200)
    updated = arc(shop).update_zonal_shift(zonalShiftId=id_, comment="still", expiresIn="2h")
    assert (updated["comment"], updated["status"]) == ("still", "ACTIVE")
    assert abs(updated["expiryTime"].timestamp() - shop.world.now - 7200) < 1
    shop.world.advance(200)
    assert blocked(shop) == ["172.31.16.9"]  # the first expiry is past
    assert arc(shop).cancel_zonal_shift(zonalShiftId=id_)["status"] == "CANCELED"
    shop.world.settle()
    assert blocked(shop) == []
    assert start(shop, "use1-az1")["status"] == "ACTIVE"
    (first, second) = arc(shop).list_zonal_shifts()["items"]
    assert (first["awayFrom"], second["status"]) == ("use1-az1", "CANCELED")
    pages = arc(shop).get_paginator("list_zonal_shifts").paginate(PaginationConfig={"PageSize": 1})
    assert [len(page["items"]) for page in pages] == [1, 1]


def test_what_is_refused(shop: Shop) -> None:
    client = arc(shop)
    id_ = start(shop)["zonalShiftId"]
    with pytest.raises(client.exceptions.ConflictException) as raised:
        start(shop, "use1-az1")
    assert refusal(raised) == ("ConflictException", 409, "ZonalShiftAlreadyExists")
    assert raised.value.response["zonalShiftId"] == id_
    client.cancel_zonal_shift(zonalShiftId=id_)
    for operation in ("cancel_zonal_shift", "update_zonal_shift"):
        with pytest.raises(client.exceptions.ConflictException) as raised:
            getattr(client, operation)(zonalShiftId=id_)
        assert refusal(raised)[2] == "ZonalShiftStatusNotActive"
    for zone, expires_in, reason in (("use1-az9", "1h", "InvalidAz"), ("use1-az1", "73h", "InvalidExpiresIn")):
        with pytest.raises(client.exceptions.ValidationException) as raised:
            start(shop, zone, expires_in)
        assert refusal(raised) == ("ValidationException", 400, reason)
    for operation, parameters in (
        ("cancel_zonal_shift", {"zonalShiftId": "0" * 36}),
        ("get_managed_resource", {"resourceIdentifier": shop.group}),
        ("get_managed_resource", {"resourceIdentifier": shop.balancer.replace("us-east-1", "eu-west-1")}),
    ):
        with pytest.raises(client.exceptions.ResourceNotFoundException) as raised:
            getattr(client, operation)(**parameters)
        assert refusal(raised)[1] == 404
    with pytest.raises(client.exceptions.ValidationException) as raised:
        client.get_managed_resource(resourceIdentifier="no-arn-at-all")
    assert refusal(raised)[2] == "InvalidResourceIdentifier"
    with pytest.raises(client.exceptions.ValidationException):
        start(shop, expires_in="soon")
    id_ = start(shop)["zonalShiftId"]
    with pytest.raises(client.exceptions.ValidationException) as raised:
        client.update_zonal_shift(zonalShiftId=id_)
    assert refusal(raised)[2] == "MissingValue"
