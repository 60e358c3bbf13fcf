"""Instance refreshes, maximum lifetime and maintenance policies."""

from __future__ import annotations

from typing import Any

import pytest

from elba.autoscaling.advance.replacing import allowed, bounds

from .harness import Harness


def running(elba: Harness, count: int, **fields: Any) -> set[str]:
    elba.create(minimum=0, maximum=20, DesiredCapacity=count, **fields)
    elba.advance(60)
    assert len(elba.in_service()) == count
    return {m.id for m in elba.in_service()}


def start(elba: Harness, **fields: Any) -> None:
    elba.asg.start_instance_refresh(AutoScalingGroupName="g", **fields)


def status(elba: Harness) -> dict[str, Any]:
    found: dict[str, Any] = elba.asg.describe_instance_refreshes(AutoScalingGroupName="g")["InstanceRefreshes"][0]
    return found


def watch(elba: Harness, seconds: int) -> tuple[int, int]:
    """Fewest in service and most members not terminating, while so much time passes."""
    least, most = 99, 0
    for _ in range(seconds):
        elba.advance(1)
        least = min(least, len(elba.in_service()))
        most = max(most, len([m for m in elba.members() if not m.lifecycle_state.startswith("Terminating")]))
    return least, most


@pytest.mark.parametrize(
    ("desired", "low", "high", "floor", "ceiling", "first"),
    [
        (10, 90, 100, 9, 10, 1),
        (10, 50, 100, 5, 10, 5),
        (10, 0, 100, 0, 10, 10),
        (1, 90, 100, 1, 1, 1),
        (3, 100, 200, 3, 6, 0),
        (4, 100, 110, 4, 5, 0),
        (10, 100, 100, 10, 10, 1),
    ],
)
def test_how_many_may_go_first(desired: int, low: int, high: int, floor: int, ceiling: int, first: int) -> None:
    limits = bounds(desired, low, high)
    assert (limits.floor, limits.ceiling) == (floor, ceiling)
    assert allowed(limits, desired, ready=desired, moving=False) == first


def test_all_are_replaced_one_at_a_time_by_default(elba: Harness) -> None:
    old = running(elba, 3)
    start(elba, Preferences={"InstanceWarmup": 10})
    least, most = watch(elba, 120)
    assert (least, most) == (2, 3)
    assert not old & {m.id for m in elba.members()}
    found = status(elba)
    assert (found["Status"], found["PercentageComplete"], found["InstancesToUpdate"]) == ("Successful", 100, 0)
    assert found["Preferences"]["MinHealthyPercentage"] == 90
    assert elba.is_still()
    assert any(
        a.cause.endswith("an instance was taken out of service in response to an instance refresh.")
        for a in elba.activities()
    )
    assert any(
        a.cause.endswith("an instance was launched in response to an instance refresh.") for a in elba.activities()
    )


def test_above_one_hundred_percent_it_launches_first(elba: Harness) -> None:
    old = running(elba, 3)
    start(elba, Preferences={"InstanceWarmup": 10, "MinHealthyPercentage": 100, "MaxHealthyPercentage": 200})
    least, most = watch(elba, 120)
    assert (least, most) == (3, 6)
    assert not old & {m.id for m in elba.members()}
    assert status(elba)["Status"] == "Successful"


def test_the_desired_configuration_becomes_the_groups_when_all_is_done(elba: Harness) -> None:
    running(elba, 2)
    template = elba.template(instance_type="t3.small")
    configuration = {"LaunchTemplate": {"LaunchTemplateId": template, "Version": "2"}}
    start(elba, DesiredConfiguration=configuration, Preferences={"InstanceWarmup": 0})
    assert elba.described()["LaunchTemplate"]["Version"] == "$Latest"
    elba.advance(120)
    assert elba.described()["LaunchTemplate"]["Version"] == "2"
    assert {m.instance_type for m in elba.in_service()} == {"t3.small"}


def test_skip_matching_leaves_them_alone(elba: Harness) -> None:
    old = running(elba, 2)
    start(elba, Preferences={"SkipMatching": True, "InstanceWarmup": 0})
    elba.advance(60)
    assert {m.id for m in elba.in_service()} == old
    assert status(elba)["Status"] == "Successful"


def test_checkpoints_pause_it(elba: Harness) -> None:
    old = running(elba, 4)
    preferences = {
        "InstanceWarmup": 0,
        "MinHealthyPercentage": 0,
        "CheckpointPercentages": [50, 100],
        "CheckpointDelay": 600,
    }
    start(elba, Preferences=preferences)
    elba.advance(300)
    assert len(old & {m.id for m in elba.members()}) == 2
    assert status(elba)["PercentageComplete"] == 50
    elba.advance(700)
    assert not old & {m.id for m in elba.members()}
    assert status(elba)["Status"] == "Successful"


def test_cancel_keeps_what_is_done(elba: Harness) -> None:
    old = running(elba, 3)
    start(elba, Preferences={"InstanceWarmup": 60})
    elba.advance(20)
    elba.asg.cancel_instance_refresh(AutoScalingGroupName="g")
    elba.advance(60)
    assert status(elba)["Status"] == "Cancelled"
    assert len(old & {m.id for m in elba.members()}) == 2
    assert elba.refused("cancel_instance_refresh", AutoScalingGroupName="g")[0] == "ActiveInstanceRefreshNotFound"


def test_rollback_goes_back(elba: Harness) -> None:
    running(elba, 3)
    template = elba.template(instance_type="t3.small")
    elba.asg.update_auto_scaling_group(
        AutoScalingGroupName="g", LaunchTemplate={"LaunchTemplateId": template, "Version": "1"}
    )
    configuration = {"LaunchTemplate": {"LaunchTemplateId": template, "Version": "2"}}
    start(elba, DesiredConfiguration=configuration, Preferences={"InstanceWarmup": 30})
    elba.advance(60)
    assert "t3.small" in {m.instance_type for m in elba.in_service()}
    elba.asg.rollback_instance_refresh(AutoScalingGroupName="g")
    elba.advance(300)
    assert status(elba)["Status"] == "RollbackSuccessful"
    assert {m.instance_type for m in elba.in_service()} == {"t3.micro"}
    assert len(elba.in_service()) == 3


def test_a_floating_version_cannot_be_rolled_back(elba: Harness) -> None:
    running(elba, 2)
    start(elba, Preferences={"InstanceWarmup": 300})
    assert elba.refused("rollback_instance_refresh", AutoScalingGroupName="g")[0] == "IrreversibleInstanceRefresh"
    assert elba.refused("start_instance_refresh", AutoScalingGroupName="g") == (
        "InstanceRefreshInProgress",
        "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.",
    )


@pytest.mark.parametrize(("choice", "ends"), [("Wait", "Failed"), ("Ignore", "Successful"), ("Refresh", "Successful")])
def test_protected_members(elba: Harness, choice: str, ends: str) -> None:
    old = running(elba, 2, NewInstancesProtectedFromScaleIn=True)
    start(elba, Preferences={"InstanceWarmup": 0, "ScaleInProtectedInstances": choice})
    elba.advance(4000)
    assert status(elba)["Status"] == ends
    assert len(old & {m.id for m in elba.members()}) == (0 if choice == "Refresh" else 2)


def test_baking(elba: Harness) -> None:
    running(elba, 1)
    start(elba, Preferences={"InstanceWarmup": 0, "BakeTime": 600})
    elba.advance(100)
    assert status(elba)["Status"] == "Baking"
    elba.advance(600)
    assert status(elba)["Status"] == "Successful"


def test_an_empty_group_is_refreshed_at_once(elba: Harness) -> None:
    running(elba, 0)
    start(elba)
    elba.advance(1)
    assert status(elba)["Status"] == "Successful"


def test_suspended_it_waits(elba: Harness) -> None:
    old = running(elba, 2)
    elba.asg.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=["InstanceRefresh"])
    start(elba, Preferences={"InstanceWarmup": 0})
    elba.advance(300)
    assert {m.id for m in elba.in_service()} == old
    elba.asg.resume_processes(AutoScalingGroupName="g")
    elba.advance(300)
    assert status(elba)["Status"] == "Successful"


def test_old_members_are_replaced_a_few_at_a_time(elba: Harness) -> None:
    old = running(elba, 3, MaxInstanceLifetime=86400)
    elba.advance(86000)
    assert {m.id for m in elba.in_service()} == old
    least, most = watch(elba, 700)
    assert least == 2
    assert not old & {m.id for m in elba.members()}
    assert most == 3


def test_a_maintenance_policy_replaces_the_unhealthy_launching_first(elba: Harness) -> None:
    policy = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150}
    old = running(elba, 2, InstanceMaintenancePolicy=policy)
    sick = sorted(old)[0]
    elba.asg.set_instance_health(InstanceId=sick, HealthStatus="Unhealthy")
    least, most = watch(elba, 60)
    assert (least, most) == (2, 3)
    assert sick not in {m.id for m in elba.members()}
    assert elba.is_still()
