"""Groups reach the capacity they are told to have: scenarios of create, scale, replace and delete."""

from __future__ import annotations

import pytest

from .harness import REGION, Harness


def test_a_new_group_launches_its_desired_capacity_across_zones(elba: Harness) -> None:
    elba.create(minimum=1, maximum=4, DesiredCapacity=2)
    assert elba.in_service() == []
    elba.advance(30)
    instances = elba.described()["Instances"]
    assert [(i["LifecycleState"], i["HealthStatus"]) for i in instances] == [("InService", "Healthy")] * 2
    assert {i["AvailabilityZone"] for i in instances} == {f"{REGION}a", f"{REGION}b"}
    activities = elba.asg.describe_scaling_activities(AutoScalingGroupName="g")["Activities"]
    assert [a["StatusCode"] for a in activities] == ["Successful"] * 2
    assert all(a["Progress"] == 100 for a in activities)
    time = "2026-01-01T00:00:00Z"
    assert activities[0]["Cause"] == (
        f"At {time} a user request created an AutoScalingGroup changing the desired capacity from 0 to 2.  "
        f"At {time} an instance was started in response to a difference between desired and actual capacity, "
        "increasing the capacity from 0 to 2."
    )
    assert activities[0]["Description"].startswith("Launching a new EC2 instance: i-")
    assert elba.is_still()


def test_desired_seven_in_three_zones_is_three_two_two(elba: Harness) -> None:
    elba.create(minimum=7, maximum=9, zones="abc")
    elba.advance(30)
    assert elba.zones() == [3, 2, 2]


def test_scaling_two_one_to_five_gives_three_two(elba: Harness) -> None:
    elba.create(minimum=3, maximum=9)
    elba.advance(30)
    assert elba.zones() == [2, 1]
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=5)
    elba.advance(30)
    assert elba.zones() == [3, 2]


def test_an_instance_terminated_outside_is_replaced_even_in_its_grace_period(elba: Harness) -> None:
    elba.create(minimum=2, HealthCheckGracePeriod=3600)
    elba.advance(30)
    gone = elba.in_service()[0].id
    elba.kill(gone)
    elba.advance(60)
    assert len(elba.in_service()) == 2
    assert gone not in {m.id for m in elba.members()}
    assert elba.group().desired_capacity == 2
    causes = [a.cause.split(" ", 2)[2] for a in elba.activities()[2:]]
    assert causes == [
        "an instance was taken out of service in response to an EC2 health check indicating it has been "
        "terminated or stopped.",
        "an instance was started in response to an unhealthy instance needing to be replaced.",
    ]
    assert elba.is_still()


def test_scale_in_takes_from_the_fullest_zone_and_says_why(elba: Harness) -> None:
    elba.create(minimum=1, maximum=4, DesiredCapacity=3)
    elba.advance(30)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=2)
    elba.advance(30)
    assert elba.zones() == [1, 1]
    last = elba.activities()[-1]
    assert last.status_code == "Successful"
    assert "explicitly set group desired capacity changing the desired capacity from 3 to 2.  At" in last.cause
    assert "shrinking the capacity from 3 to 2.  At" in last.cause
    assert last.cause.endswith(f"instance {last.instance_id} was selected for termination.")


def test_protected_members_stay_and_desired_falls_anyway(elba: Harness) -> None:
    elba.create(minimum=0, maximum=4, DesiredCapacity=3, NewInstancesProtectedFromScaleIn=True)
    elba.advance(30)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    elba.advance(30)
    assert elba.group().desired_capacity == 1
    assert len(elba.in_service()) == 3
    assert elba.is_still()
    message = "Could not scale to desired capacity because all remaining instances are protected from scale-in."
    assert [a.status_message for a in elba.activities()].count(message) == 1
    elba.asg.set_instance_protection(
        AutoScalingGroupName="g", InstanceIds=[m.id for m in elba.in_service()], ProtectedFromScaleIn=False
    )
    elba.advance(30)
    assert len(elba.in_service()) == 1


def test_sizes_pull_desired_along(elba: Harness) -> None:
    elba.create(minimum=1, maximum=4, DesiredCapacity=2)
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", MinSize=3)
    assert elba.group().desired_capacity == 3
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", MinSize=0, MaxSize=1)
    assert elba.group().desired_capacity == 1
    code, message = elba.refused("update_auto_scaling_group", AutoScalingGroupName="g", DesiredCapacity=2)
    assert (code, message) == (
        "ValidationError",
        "Desired capacity:2 must be between the specified min size:0 and max size:1",
    )


def test_delete(elba: Harness) -> None:
    elba.create(minimum=2)
    elba.advance(30)
    assert elba.refused("delete_auto_scaling_group", AutoScalingGroupName="g")[0] == "ResourceInUse"
    elba.asg.delete_auto_scaling_group(AutoScalingGroupName="g", ForceDelete=True)
    assert elba.described()["Status"] == "Delete in progress"
    elba.advance(30)
    assert elba.asg.describe_auto_scaling_groups(AutoScalingGroupNames=["g"])["AutoScalingGroups"] == []
    assert elba.instance_states() == ["terminated", "terminated"]
    kept = elba.asg.describe_scaling_activities(AutoScalingGroupName="g", IncludeDeletedGroups=True)["Activities"]
    assert {a["AutoScalingGroupState"] for a in kept} == {"Deleted"}
    assert len(kept) == 4


def test_an_empty_group_goes_at_once(elba: Harness) -> None:
    elba.create(minimum=0)
    elba.asg.delete_auto_scaling_group(AutoScalingGroupName="g")
    assert elba.asg.describe_auto_scaling_groups()["AutoScalingGroups"] == []


@pytest.mark.parametrize(
    ("decrement", "left", "desired"), [(False, 2, 2), (True, 1, 1)], ids=["replaced", "decremented"]
)
def test_terminate_instance_in_auto_scaling_group(elba: Harness, decrement: bool, left: int, desired: int) -> None:
    elba.create(minimum=1, DesiredCapacity=2)
    elba.advance(30)
    victim = elba.in_service()[0].id
    activity = elba.asg.terminate_instance_in_auto_scaling_group(
        InstanceId=victim, ShouldDecrementDesiredCapacity=decrement
    )["Activity"]
    assert (activity["StatusCode"], activity["Progress"]) == ("InProgress", 0)
    elba.advance(60)
    assert len(elba.in_service()) == left
    assert victim not in {m.id for m in elba.members()}
    assert elba.group().desired_capacity == desired


def test_terminate_with_decrement_at_the_minimum_is_refused(elba: Harness) -> None:
    elba.create(minimum=1)
    elba.advance(30)
    code, message = elba.refused(
        "terminate_instance_in_auto_scaling_group",
        InstanceId=elba.in_service()[0].id,
        ShouldDecrementDesiredCapacity=True,
    )
    assert code == "ValidationError"
    assert message.startswith("Currently, desiredSize equals minSize (1). Terminating instance without replacement")


def test_launch_failures_are_told_and_tried_again_later(elba: Harness) -> None:
    elba.template()
    elba.create(minimum=0)
    elba.delete_template()
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    elba.advance(1)
    failed = elba.asg.describe_scaling_activities(AutoScalingGroupName="g")["Activities"][0]
    assert (failed["StatusCode"], failed["Progress"]) == ("Failed", 100)
    assert failed["StatusMessage"].endswith("Launching EC2 instance failed.")
    elba.template()
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", LaunchTemplate={"LaunchTemplateName": "web"})
    elba.advance(60)
    assert len(elba.in_service()) == 1


def test_a_full_zone_sends_launches_to_the_next(elba: Harness) -> None:
    elba.provider.limit_capacity(0, zone=f"{REGION}a")
    elba.create(minimum=2)
    elba.advance(120)
    assert [m.availability_zone for m in elba.in_service()] == [f"{REGION}b"] * 2
    messages = [a.status_message for a in elba.activities() if a.status_code == "Failed"]
    assert messages[0].startswith("We currently do not have sufficient t3.micro capacity")


def test_an_instance_that_never_boots_is_replaced(elba: Harness) -> None:
    elba.provider.never_boot_next(1)
    elba.create(minimum=1)
    elba.advance(2000)
    assert len(elba.in_service()) == 1
    assert elba.is_still()


def test_a_restart_at_any_moment_loses_nothing(elba: Harness) -> None:
    elba.create(minimum=3, maximum=9, zones="abc")
    elba.restart()
    elba.advance(2)
    elba.restart()
    elba.advance(60)
    assert elba.zones() == [1, 1, 1]
    assert len(elba.provider.launches) == 3


def test_a_desired_capacity_of_two_billion_is_launched_in_batches(elba: Harness) -> None:
    elba.create(minimum=0, maximum=2_000_000_000, DesiredCapacity=2_000_000_000)
    elba.advance(3)
    assert 25 <= len(elba.members()) <= 100
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", MaxSize=10, DesiredCapacity=10)
    elba.advance(600)
    assert len(elba.in_service()) == 10


def test_a_warm_pool_of_two_billion_is_filled_in_batches(elba: Harness) -> None:
    elba.create(minimum=0, maximum=2_000_000_000, DesiredCapacity=0)
    elba.asg.put_warm_pool(AutoScalingGroupName="g", MinSize=2_000_000_000)
    elba.advance(3)
    assert 25 <= len(elba.members()) <= 100
