"""Mixed instances groups: what their policies may say, and how a group follows when they change."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import REGION, Harness
from .test_processes_and_errors import mixed_policy


def remix(elba: Harness, *overrides: dict[str, Any], **distribution: Any) -> None:
    elba.asg.update_auto_scaling_group(
        AutoScalingGroupName="g", MixedInstancesPolicy=mixed_policy(elba, *overrides, **distribution)
    )


def options(elba: Harness) -> tuple[int, int]:
    """(On-Demand, spot) instances in service."""
    members = elba.in_service()
    return sum(not m.spot for m in members), sum(m.spot for m in members)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((0, 100), (0, 0), (0, 4)),
        ((0, 0), (0, 100), (4, 0)),
        ((0, 100), (0, 50), (2, 2)),
        ((0, 0), (3, 0), (3, 1)),
        ((4, 0), (1, 50), (3, 1)),
    ],
)
def test_other_shares_replace_instances_one_at_a_time_and_launch_first(
    elba: Harness, before: tuple[int, int], after: tuple[int, int], expected: tuple[int, int]
) -> None:
    names = ("OnDemandBaseCapacity", "OnDemandPercentageAboveBaseCapacity")
    kind = {"InstanceType": "t3.micro"}
    policy = mixed_policy(elba, kind, **dict(zip(names, before, strict=True)))
    elba.create(minimum=0, maximum=4, DesiredCapacity=4, zones="a", MixedInstancesPolicy=policy)
    elba.advance(60)
    old = options(elba)
    assert sum(old) == 4 and old != expected and elba.is_still()
    remix(elba, kind, **dict(zip(names, after, strict=True)))
    for _ in range(300):
        elba.advance(1)
        assert len(elba.in_service()) >= 4
        assert len([m for m in elba.members() if not m.termination]) <= 5
    assert options(elba) == expected
    assert elba.is_still() and elba.group().desired_capacity == 4
    moved = abs(old[0] - expected[0])
    said = [a.cause.split(" ", 2)[2] for a in elba.activities()[4:]]
    assert said.count("an instance was launched in response to a change of the purchase options of the group.") == moved
    assert len(said) == 2 * moved


def test_protected_instances_keep_their_purchase_option(elba: Harness) -> None:
    kind = {"InstanceType": "t3.micro"}
    policy = mixed_policy(elba, kind, OnDemandPercentageAboveBaseCapacity=100)
    elba.create(minimum=0, maximum=4, DesiredCapacity=3, MixedInstancesPolicy=policy)
    elba.advance(60)
    kept = elba.in_service()[0].id
    elba.asg.set_instance_protection(AutoScalingGroupName="g", InstanceIds=[kept], ProtectedFromScaleIn=True)
    remix(elba, kind, OnDemandPercentageAboveBaseCapacity=0)
    elba.advance(300)
    assert options(elba) == (1, 2) and kept in {m.id for m in elba.in_service()}
    assert elba.is_still()


@pytest.mark.parametrize("process", ["Launch", "Terminate"])
def test_suspended_processes_hold_the_change_of_shares_back(elba: Harness, process: str) -> None:
    kind = {"InstanceType": "t3.micro"}
    policy = mixed_policy(elba, kind, OnDemandPercentageAboveBaseCapacity=100)
    elba.create(minimum=0, maximum=4, DesiredCapacity=2, MixedInstancesPolicy=policy)
    elba.advance(60)
    elba.asg.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=[process])
    remix(elba, kind, OnDemandPercentageAboveBaseCapacity=0)
    elba.advance(300)
    assert options(elba) == (2, 0) and elba.is_still()
    elba.asg.resume_processes(AutoScalingGroupName="g")
    elba.advance(300)
    assert options(elba) == (0, 2)


@pytest.mark.parametrize("percentage", [0, 30, 50, 70, 100])
def test_weighted_groups_come_to_rest_near_their_shares(elba: Harness, percentage: int) -> None:
    kinds = [
        {"InstanceType": "t3.large", "WeightedCapacity": "4"},
        {"InstanceType": "t3.small", "WeightedCapacity": "1"},
    ]
    policy = mixed_policy(elba, *kinds, OnDemandPercentageAboveBaseCapacity=50)
    elba.create(minimum=0, maximum=30, DesiredCapacity=18, zones="abc", MixedInstancesPolicy=policy)
    elba.advance(120)
    remix(elba, *kinds, OnDemandPercentageAboveBaseCapacity=percentage)
    elba.advance(1800)
    assert elba.is_still()
    on_demand = sum(m.weighted_capacity or 0 for m in elba.in_service() if not m.spot)
    assert abs(on_demand - -(-18 * percentage // 100)) <= 4


@pytest.mark.parametrize("percentage", [0, 25, 50, 75, 100])
@pytest.mark.parametrize("base", [0, 3])
def test_zones_and_shares_do_not_fight(elba: Harness, base: int, percentage: int) -> None:
    """Rebalancing took On-Demand instances from a zone full of them, the shares brought them back, without an end."""
    shares = {"OnDemandBaseCapacity": base, "OnDemandPercentageAboveBaseCapacity": percentage}
    policy = mixed_policy(elba, {"InstanceType": "t3.micro"}, **shares)
    elba.create(minimum=0, maximum=10, DesiredCapacity=4, zones="a", MixedInstancesPolicy=policy)
    elba.advance(60)
    shared = options(elba)
    zones = [f"{REGION}{z}" for z in "abc"]
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", AvailabilityZones=zones)
    elba.advance(600)
    assert elba.is_still() and elba.zones() == [2, 1, 1] and options(elba) == shared
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", AvailabilityZones=zones[1:])
    elba.advance(600)
    assert elba.is_still() and elba.zones() == [2, 2] and options(elba) == shared
