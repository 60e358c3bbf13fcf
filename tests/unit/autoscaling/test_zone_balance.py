"""Zones are kept even: what holds rebalancing back, and how a maintenance policy changes its order."""

from __future__ import annotations

from typing import Any

import pytest

from elba.autoscaling import placement
from elba.ec2.commands import capacity

from .harness import REGION, Harness
from .test_processes_and_errors import mixed_policy

A, B = f"{REGION}a", f"{REGION}b"


def lopsided(elba: Harness, count: int = 4, **fields: object) -> None:
    """A group whose instances are all in zone a, to which zone b is added."""
    elba.create(**{"minimum": 0, "maximum": count, "DesiredCapacity": count, "zones": "a", **fields})  # type: ignore[arg-type]
    elba.advance(60)
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", AvailabilityZones=[A, B])


def staying(elba: Harness) -> int:
    return len([m for m in elba.members() if not m.termination])


def watch(elba: Harness, seconds: int = 400) -> tuple[int, int]:
    """(fewest in service, most that are not leaving) of the next `seconds`."""
    least, most = 10**9, 0
    for _ in range(seconds):
        elba.advance(1)
        least, most = min(least, len(elba.in_service())), max(most, staying(elba))
    return least, most


@pytest.mark.parametrize(
    ("percentages", "least", "most"),
    [
        (None, 10, 11),  # launches first, a tenth above the maximum
        ((90, 100), 9, 10),
        ((50, 100), 5, 10),
        ((100, 100), 9, 10),  # one at a time all the same
        ((100, 110), 10, 11),
        ((100, 150), 10, 15),
        ((90, 120), 10, 12),
    ],
)
def test_rebalancing_by_maintenance_policy(
    elba: Harness, percentages: tuple[int, int] | None, least: int, most: int
) -> None:
    fields = {}
    if percentages:
        low, high = percentages
        fields = {"InstanceMaintenancePolicy": {"MinHealthyPercentage": low, "MaxHealthyPercentage": high}}
    lopsided(elba, 10, **fields)
    assert watch(elba) == (least, most)
    assert elba.zones() == [5, 5] and elba.is_still()
    assert elba.group().desired_capacity == 10
    assert any("a rebalancing of the group's Availability Zones." in a.cause for a in elba.activities())


@pytest.mark.parametrize(("process", "zones"), [("AZRebalance", [4, 0]), ("Launch", [4, 0]), ("Terminate", [4, 1])])
def test_rebalancing_with_suspended_processes(elba: Harness, process: str, zones: list[int]) -> None:
    elba.create(minimum=0, maximum=4, DesiredCapacity=4, zones="a")
    elba.advance(60)
    elba.asg.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=[process])
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", AvailabilityZones=[A, B])
    elba.advance(600)
    assert elba.zones() == zones and elba.is_still()
    elba.asg.resume_processes(AutoScalingGroupName="g")
    elba.advance(600)
    assert elba.zones() == [2, 2] and elba.is_still()


def test_rebalancing_spares_protected_instances(elba: Harness) -> None:
    lopsided(elba, 4, NewInstancesProtectedFromScaleIn=True)
    assert watch(elba) == (4, 4)
    assert elba.zones() == [4, 0] and elba.is_still()


def test_an_ordinary_scale_in_needs_no_rebalancing(elba: Harness) -> None:
    elba.create(minimum=0, maximum=9, DesiredCapacity=9, zones="abc")
    elba.advance(60)
    launched = len(elba.provider.launches)
    for count, zones in ((8, [3, 3, 2]), (5, [2, 2, 1]), (4, [2, 1, 1])):
        elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=count)
        elba.advance(120)
        assert elba.zones() == zones
    assert len(elba.provider.launches) == launched


@pytest.mark.parametrize("how", ["detach", "standby", "terminate"])
def test_what_a_user_takes_from_one_zone_is_evened_out(elba: Harness, how: str) -> None:
    elba.create(minimum=0, maximum=6, DesiredCapacity=6)
    elba.advance(60)
    taken = [m.id for m in elba.in_service() if m.availability_zone == B][:2]
    request = {"AutoScalingGroupName": "g", "InstanceIds": taken, "ShouldDecrementDesiredCapacity": True}
    if how == "detach":
        elba.asg.detach_instances(**request)
    elif how == "standby":
        elba.asg.enter_standby(**request)
    else:
        for id_ in taken:
            elba.asg.terminate_instance_in_auto_scaling_group(InstanceId=id_, ShouldDecrementDesiredCapacity=True)
    elba.advance(300)
    assert elba.zones() == [2, 2] and elba.group().desired_capacity == 4


@pytest.mark.parametrize(
    ("units", "stranded", "desired", "maximum", "extra"),
    [
        ({"a": 3, "b": 2}, 0, 5, 9, None),
        ({"a": 3, "b": 1}, 0, 4, 9, 1),
        ({"a": 20, "b": 0}, 0, 20, 20, 2),  # a tenth of the maximum above it
        ({"a": 20, "b": 0}, 0, 20, 100, 10),
        ({"a": 2, "b": 2}, 1, 5, 5, 1),
        ({"a": 4, "b": 0}, 0, 4, 4, 1),  # one at least
        ({"a": 5}, 0, 5, 9, None),
    ],
)
def test_how_many_are_launched_first(
    units: dict[str, int], stranded: int, desired: int, maximum: int, extra: int | None
) -> None:
    plan = placement.rebalance(units, stranded, {**units, "": stranded}, desired, maximum)
    assert (plan and plan.extra) == extra


@pytest.mark.parametrize("strategy", ["balanced-best-effort", "reservations-then-balanced"])
def test_a_zone_without_capacity_is_passed_over_and_evened_out_later(elba: Harness, strategy: str) -> None:
    elba.provider.limit_capacity(0, zone=A)
    elba.create(minimum=4, AvailabilityZoneDistribution={"CapacityDistributionStrategy": strategy})
    elba.advance(200)
    assert elba.zones() == [4, 0]
    elba.provider.limit_capacity(100, zone=A)
    elba.advance(1200)
    assert elba.zones() == [2, 2]


@pytest.mark.parametrize("most", [0, 100, 150])
def test_while_a_zone_is_down_nothing_well_goes(elba: Harness, most: int) -> None:
    """Rebalancing launched in the other zone instead, every five minutes, and terminated one that was well."""
    policy: dict[str, Any] = (
        {"InstanceMaintenancePolicy": {"MinHealthyPercentage": 50, "MaxHealthyPercentage": most}} if most else {}
    )
    elba.create(minimum=2, maximum=4, **policy)
    elba.advance(60)
    elba.write(lambda tx: capacity.fail_zone(tx, elba.call(), A))
    elba.advance(120)
    settled = {m.id for m in elba.in_service()}
    assert elba.zones() == [2, 0] and len(settled) == 2
    elba.advance(3600)
    assert {m.id for m in elba.members()} == settled
    failed = [a.status_message for a in elba.activities() if a.status_code == "Failed"]
    assert (most == 100 or failed) and len(failed) <= 13 and all(f"requested ({A})" in m for m in failed)
    elba.write(lambda tx: capacity.restore_zone(tx, elba.call(), A))
    elba.advance(900)
    assert elba.zones() == [1, 1] and elba.is_still()


def test_a_type_that_is_of_no_use_does_not_hide_that_a_zone_is_full(elba: Harness) -> None:
    elba.write(lambda tx: capacity.begin_shortage(tx, elba.call(), A, "t3.micro"))
    policy = mixed_policy(elba, {"InstanceType": "t3.micro"}, {"InstanceType": "t4g.micro"})
    elba.create(minimum=1, MixedInstancesPolicy=policy)
    elba.advance(30)
    assert [m.availability_zone for m in elba.in_service()] == [B]


def test_a_zone_that_is_left_is_named_among_the_others(elba: Harness) -> None:
    elba.create(minimum=2, maximum=4)
    elba.advance(60)
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", AvailabilityZones=[A])
    elba.advance(60)
    assert elba.zones() == [2]
    cause = next(a.cause for a in elba.activities() if "to balance instances" in a.cause)
    assert f"availability zones {A} {B} had 1 1 instances respectively." in cause
