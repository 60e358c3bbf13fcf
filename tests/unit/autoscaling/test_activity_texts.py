"""What scaling activities say: descriptions, causes, details, states, and how they are listed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from .harness import REGION, Harness


def running(elba: Harness, count: int = 3, **fields: Any) -> list[str]:
    elba.create(**{"minimum": 0, "maximum": 10, "DesiredCapacity": count, **fields})
    elba.advance(60)
    return [m.id for m in elba.in_service()]


def set_desired(elba: Harness, ids: list[str]) -> None:
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=4)


def update(elba: Harness, ids: list[str]) -> None:
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", MinSize=4, MaxSize=9)


def execute(elba: Harness, ids: list[str]) -> None:
    elba.asg.put_scaling_policy(
        AutoScalingGroupName="g", PolicyName="up", AdjustmentType="ChangeInCapacity", ScalingAdjustment=1
    )
    elba.alarm("high", elba.asg.describe_policies()["ScalingPolicies"][0]["PolicyARN"])
    elba.fire("high", 90.0)


def schedule(elba: Harness, ids: list[str]) -> None:
    elba.asg.put_scheduled_update_group_action(
        AutoScalingGroupName="g",
        ScheduledActionName="s",
        StartTime=datetime.fromtimestamp(elba.now + 1, UTC),
        DesiredCapacity=4,
    )


def terminate(elba: Harness, ids: list[str]) -> None:
    elba.asg.terminate_instance_in_auto_scaling_group(InstanceId=ids[0], ShouldDecrementDesiredCapacity=False)


def terminate_for_good(elba: Harness, ids: list[str]) -> None:
    elba.asg.terminate_instance_in_auto_scaling_group(InstanceId=ids[0], ShouldDecrementDesiredCapacity=True)


def detach(elba: Harness, ids: list[str]) -> None:
    elba.asg.detach_instances(AutoScalingGroupName="g", InstanceIds=ids[:1], ShouldDecrementDesiredCapacity=True)


def attach(elba: Harness, ids: list[str]) -> None:
    detach(elba, ids)
    elba.advance(30)
    elba.asg.attach_instances(AutoScalingGroupName="g", InstanceIds=ids[:1])


def standby(elba: Harness, ids: list[str]) -> None:
    elba.asg.enter_standby(AutoScalingGroupName="g", InstanceIds=ids[:1], ShouldDecrementDesiredCapacity=True)


def back(elba: Harness, ids: list[str]) -> None:
    standby(elba, ids)
    elba.advance(30)
    elba.asg.exit_standby(AutoScalingGroupName="g", InstanceIds=ids[:1])


def mark(elba: Harness, ids: list[str]) -> None:
    elba.asg.set_instance_health(InstanceId=ids[0], HealthStatus="Unhealthy")


STARTED = (
    "an instance was started in response to a difference between desired and actual capacity, increasing the capacity "
    "from 3 to 4."
)


@pytest.mark.parametrize(
    ("act", "description", "sentences"),
    [
        (
            set_desired,
            "Launching a new EC2 instance: {new}",
            [
                "a user request explicitly set group desired capacity changing the desired capacity from 3 to 4.",
                STARTED,
            ],
        ),
        (
            update,
            "Launching a new EC2 instance: {new}",
            [
                "a user request update of AutoScalingGroup constraints to min: 4, max: 9, desired: 4 changing the "
                "desired capacity from 3 to 4.",
                STARTED,
            ],
        ),
        (
            execute,
            "Launching a new EC2 instance: {new}",
            [
                "a monitor alarm high in state ALARM triggered policy up changing the desired capacity from 3 to 4.",
                STARTED,
            ],
        ),
        (
            schedule,
            "Launching a new EC2 instance: {new}",
            [
                "a scheduled action update of AutoScalingGroup constraints to min: 0, max: 10, desired: 4 changing the "
                "desired capacity from 3 to 4.",
                STARTED,
            ],
        ),
        (
            terminate,
            "Terminating EC2 instance: {old}",
            ["instance {old} was taken out of service in response to a user request."],
        ),
        (
            terminate_for_good,
            "Terminating EC2 instance: {old}",
            [
                "instance {old} was taken out of service in response to a user request, shrinking the capacity from 3 "
                "to 2."
            ],
        ),
        (
            mark,
            "Terminating EC2 instance: {old}",
            ["an instance was taken out of service in response to a user health-check."],
        ),
        (
            detach,
            "Detaching EC2 instance: {old}",
            ["instance {old} was detached in response to a user request, shrinking the capacity from 3 to 2."],
        ),
        (
            attach,
            "Attaching an existing EC2 instance: {old}",
            ["an instance was added in response to user request.  Keeping the capacity at the new 3."],
        ),
        (
            standby,
            "Moving EC2 instance to Standby: {old}",
            ["instance {old} was moved to standby in response to a user request, shrinking the capacity from 3 to 2."],
        ),
        (
            back,
            "Moving EC2 instance out of Standby: {old}",
            [
                "instance {old} was moved out of standby in response to a user request, increasing the capacity from 2 "
                "to 3."
            ],
        ),
    ],
)
def test_descriptions_and_causes(
    elba: Harness, act: Callable[[Harness, list[str]], None], description: str, sentences: list[str]
) -> None:
    ids = running(elba)
    act(elba, ids)
    elba.advance(60)
    new = next((m.id for m in elba.members() if m.id not in ids), "")
    wanted = description.format(old=ids[0], new=new)
    (found,) = [
        a
        for a in elba.asg.describe_scaling_activities(AutoScalingGroupName="g")["Activities"]
        if a["Description"] == wanted
    ]
    said = found["Cause"]
    for sentence in sentences:
        assert sentence.format(old=ids[0]) in said
    assert [part[:3] for part in said.split("  At ")] == ["At "] + ["202"] * (len(sentences) - 1)
    assert (found["StatusCode"], found["Progress"]) == ("Successful", 100)
    assert found["EndTime"] >= found["StartTime"]


def test_details_name_the_place_and_the_alarm(elba: Harness) -> None:
    ids = running(elba)
    execute(elba, ids)
    elba.advance(10)
    details = json.loads(elba.asg.describe_scaling_activities(AutoScalingGroupName="g")["Activities"][0]["Details"])
    assert details["Availability Zone"].startswith(REGION)
    assert details["Availability Zone ID"].startswith("use1-az")
    assert details["Subnet ID"].startswith("subnet-")
    (alarm,) = details["InvokingAlarms"]
    assert (alarm["AlarmName"], alarm["Trigger"]["Threshold"]) == ("high", 50.0)


def test_running_activities_come_first_then_the_latest(elba: Harness) -> None:
    running(elba, 1, TargetGroupARNs=[elba.target_group(delay=300)])
    set_desired(elba, [])
    elba.advance(60)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=3)
    elba.advance(10)
    set_desired(elba, [])
    elba.advance(30)
    shown = elba.asg.describe_scaling_activities(AutoScalingGroupName="g")["Activities"]
    assert shown[0]["StatusCode"] == "WaitingForELBConnectionDraining"
    assert "EndTime" not in shown[0]
    assert shown[0]["StartTime"] < shown[1]["StartTime"]
    times = [a["StartTime"] for a in shown[1:]]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ([], 4),
        ([("Status", "Successful")], 4),
        ([("Status", "Failed")], 0),
        ([("StartTimeLowerBound", "2026-01-01T00:00:30Z")], 1),
        ([("StartTimeUpperBound", "2026-01-01T00:00:30Z")], 3),
        ([("StartTimeLowerBound", "2026-01-01T00:00:30Z"), ("StartTimeUpperBound", "2026-01-01T00:00:40Z")], 0),
    ],
)
def test_filters(elba: Harness, filters: list[tuple[str, str]], count: int) -> None:
    set_desired(elba, running(elba))
    elba.advance(30)
    found = elba.asg.describe_scaling_activities(
        AutoScalingGroupName="g", Filters=[{"Name": n, "Values": [v]} for n, v in filters]
    )
    assert len(found["Activities"]) == count
