"""Groups under a zonal shift: where they launch, what they leave alone, and what comes after. autoscaling.md §5.3."""

from __future__ import annotations

from typing import Any

import msgspec

from elba.elbv2.resources import TargetGroup

from .harness import ACCOUNT, REGION, Harness
from .test_scaling_policies import decisions, put_simple


def shiftable(elba: Harness, behavior: str = "ReplaceUnhealthy", desired: int = 4, **fields: Any) -> None:
    policy = {"ZonalShiftEnabled": True, "ImpairedZoneHealthCheckBehavior": behavior}
    elba.create(minimum=1, maximum=12, DesiredCapacity=desired, AvailabilityZoneImpairmentPolicy=policy, **fields)
    elba.advance(60)
    assert len(elba.in_service()) == desired


def shift(elba: Harness, zone: str = "use1-az1") -> Any:
    assert elba.clients is not None
    client = elba.clients.client("arc-zonal-shift")
    started = client.start_zonal_shift(
        resourceIdentifier=elba.group().arn, awayFrom=zone, expiresIn="2h", comment="a is out"
    )
    elba.advance(1)
    return lambda: client.cancel_zonal_shift(zonalShiftId=started["zonalShiftId"])


def by_zone(elba: Harness) -> dict[str, int]:
    counts = {"a": 0, "b": 0, "c": 0}
    for member in elba.members("InService"):
        counts[member.availability_zone[-1]] += 1
    return counts


def test_launches_go_to_the_other_zones_and_afterwards_balance_returns(elba: Harness) -> None:
    shiftable(elba, zones="abc", desired=3)
    cancel = shift(elba)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=9)
    elba.advance(60)
    assert by_zone(elba) == {"a": 1, "b": 4, "c": 4}
    elba.advance(900)
    assert by_zone(elba) == {"a": 1, "b": 4, "c": 4}  # nobody is taken from or moved to zone a
    assert elba.is_still()
    cancel()
    elba.advance(900)
    assert by_zone(elba) == {"a": 3, "b": 3, "c": 3}


def test_the_other_zones_are_balanced_among_themselves(elba: Harness) -> None:
    shiftable(elba, zones="abc", desired=9)
    shift(elba)
    victims = [m.id for m in elba.members() if m.availability_zone.endswith("b")][:2]
    elba.asg.detach_instances(AutoScalingGroupName="g", InstanceIds=victims, ShouldDecrementDesiredCapacity=True)
    elba.advance(900)
    assert by_zone(elba) == {"a": 3, "b": 2, "c": 2}


def test_unhealthy_members_of_the_zone_are_replaced_elsewhere(elba: Harness) -> None:
    shiftable(elba, "ReplaceUnhealthy")
    shift(elba)
    elba.kill(*[m.id for m in elba.members() if m.availability_zone.endswith("a")])
    elba.advance(120)
    assert by_zone(elba) == {"a": 0, "b": 4, "c": 0}


def test_unhealthy_members_of_the_zone_may_be_left_alone(elba: Harness) -> None:
    shiftable(elba, "IgnoreUnhealthy")
    cancel = shift(elba)
    gone = next(m.id for m in elba.members() if m.availability_zone.endswith("a"))
    other = next(m.id for m in elba.members() if m.availability_zone.endswith("b"))
    for instance in (gone, other):
        elba.asg.set_instance_health(InstanceId=instance, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False)
    elba.advance(120)
    left = {m.id: m.health_status for m in elba.members()}
    assert left[gone] == "Unhealthy" and other not in left and by_zone(elba) == {"a": 2, "b": 2, "c": 0}
    cancel()
    elba.advance(120)
    assert gone not in {m.id for m in elba.members()} and by_zone(elba) == {"a": 2, "b": 2, "c": 0}


def test_policies_do_not_scale_in_but_out_and_users_do(elba: Harness) -> None:
    shiftable(elba)
    elba.alarm("low", put_simple(elba, "down", -1))
    elba.alarm("high", put_simple(elba, "up", 1))
    cancel = shift(elba)
    elba.fire("low", 1.0)
    assert elba.group().desired_capacity == 4
    assert decisions(elba)[-1].summary == "stays at 4: a zonal shift away from us-east-1a is active"
    elba.fire("high", 99.0)
    assert elba.group().desired_capacity == 5
    elba.advance(600)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=3)
    assert elba.group().desired_capacity == 3
    elba.advance(600)
    cancel()
    elba.fire("low", 1.0)
    assert elba.group().desired_capacity == 2


def test_a_group_of_one_zone_waits(elba: Harness) -> None:
    shiftable(elba, zones="a", desired=1)
    cancel = shift(elba)
    elba.asg.put_warm_pool(AutoScalingGroupName="g", MinSize=1, MaxGroupPreparedCapacity=0)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=2)
    elba.advance(300)
    assert len(elba.members()) == 1
    cancel()
    elba.advance(600)
    assert len(elba.in_service()) == 2


def test_without_the_policy_nothing_is_managed(elba: Harness) -> None:
    elba.create(minimum=1, maximum=4)
    assert elba.clients is not None
    client = elba.clients.client("arc-zonal-shift")
    assert client.list_managed_resources()["items"] == []
    code, message = elba.refused(
        "update_auto_scaling_group",
        AutoScalingGroupName="g",
        AvailabilityZoneImpairmentPolicy={"ZonalShiftEnabled": True},
    )
    assert code == "ValidationError" and "ImpairedZoneHealthCheckBehavior" in message


def test_enabling_it_with_cross_zone_off_must_be_meant(elba: Harness) -> None:
    arn = elba.target_group()
    group = elba.store.view.get(TargetGroup, ACCOUNT, REGION, arn)
    assert group is not None
    attributes = group.attributes | {"load_balancing.cross_zone.enabled": "false"}
    elba.write(lambda tx: tx.put(msgspec.structs.replace(group, attributes=attributes)))
    elba.create(minimum=1, maximum=4, TargetGroupARNs=[arn])
    policy = {"ZonalShiftEnabled": True, "ImpairedZoneHealthCheckBehavior": "IgnoreUnhealthy"}
    wanted = {"AutoScalingGroupName": "g", "AvailabilityZoneImpairmentPolicy": policy}
    code, message = elba.refused("update_auto_scaling_group", **wanted)
    assert code == "ValidationError" and "SkipZonalShiftValidation" in message
    assert elba.group().availability_zone_impairment_policy is None
    elba.asg.update_auto_scaling_group(**wanted, SkipZonalShiftValidation=True)
    described = elba.asg.describe_auto_scaling_groups(AutoScalingGroupNames=["g"])["AutoScalingGroups"][0]
    assert described["AvailabilityZoneImpairmentPolicy"] == policy
