"""Lifecycle hooks, standby, attach, detach."""

from __future__ import annotations

from typing import Any

import pytest

from elba.autoscaling.resources import LifecycleAction
from elba.ec2 import commands as ec2
from elba.ec2.images import built_in_images
from elba.ec2.resources import Instance, Subnet

from .harness import ACCOUNT, REGION, Harness

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"


def hook(elba: Harness, transition: str = LAUNCHING, name: str = "hook", **fields: Any) -> None:
    elba.asg.put_lifecycle_hook(
        AutoScalingGroupName="g",
        LifecycleHookName=name,
        LifecycleTransition=transition,
        **{"HeartbeatTimeout": 300, **fields},
    )


def waiting(elba: Harness) -> list[LifecycleAction]:
    return [a for a in elba.store.view.all(LifecycleAction) if a.waits]


def launch_one(elba: Harness) -> str:
    """A group of one whose instance waits in its launch hook; the instance's id."""
    elba.create(minimum=0)
    hook(elba)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    elba.advance(30)
    (member,) = elba.members("Pending:Wait")
    return member.id


def test_continue_brings_the_instance_into_service(elba: Harness) -> None:
    instance_id = launch_one(elba)
    assert elba.activities()[-1].status_code == "MidLifecycleAction"
    elba.asg.complete_lifecycle_action(
        AutoScalingGroupName="g", LifecycleHookName="hook", InstanceId=instance_id, LifecycleActionResult="CONTINUE"
    )
    elba.advance(1)
    assert [m.id for m in elba.in_service()] == [instance_id]
    assert elba.activities()[-1].status_code == "Successful"
    _, message = elba.refused(
        "complete_lifecycle_action",
        AutoScalingGroupName="g",
        LifecycleHookName="hook",
        InstanceId=instance_id,
        LifecycleActionResult="CONTINUE",
    )
    assert message == f"No active Lifecycle Action found with instance ID {instance_id}"


@pytest.mark.parametrize("how", ["completed", "timed out"])
def test_abandon_replaces_the_instance(elba: Harness, how: str) -> None:
    instance_id = launch_one(elba)
    (action,) = waiting(elba)
    if how == "completed":
        elba.asg.complete_lifecycle_action(
            AutoScalingGroupName="g",
            LifecycleHookName="hook",
            LifecycleActionToken=action.id,
            LifecycleActionResult="ABANDON",
        )
        elba.advance(60)
    else:
        elba.advance(330)
    launch = next(
        a for a in elba.activities() if a.description.startswith("Launching") and a.instance_id == instance_id
    )
    reason = "Lifecycle Action Completed with ABANDON Result" if how == "completed" else "Heartbeat Timeout"
    assert launch.status_code == "Cancelled"
    assert launch.status_message == (
        "Instance failed to complete user's Lifecycle Action: "
        f"Lifecycle Action with token {action.id} was abandoned: {reason}"
    )
    (successor,) = elba.members()
    assert successor.id != instance_id


def test_heartbeats_extend_the_wait_up_to_the_global_timeout(elba: Harness) -> None:
    instance_id = launch_one(elba)
    for _ in range(3):
        elba.advance(200)
        elba.asg.record_lifecycle_action_heartbeat(
            AutoScalingGroupName="g", LifecycleHookName="hook", InstanceId=instance_id
        )
    assert [m.id for m in elba.members("Pending:Wait")] == [instance_id]
    (action,) = waiting(elba)
    assert action.heartbeat_deadline <= action.global_deadline == action.started_at + 30000
    elba.advance(400)
    assert instance_id not in {m.id for m in elba.members("Pending:Wait")}


def test_a_terminating_hook_holds_the_instance_until_it_is_done(elba: Harness) -> None:
    elba.create(minimum=0, maximum=2, DesiredCapacity=1)
    hook(elba, TERMINATING, DefaultResult="CONTINUE")
    elba.advance(30)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=0)
    elba.advance(100)
    (member,) = elba.members("Terminating:Wait")
    assert elba.instance_states() == ["running"]
    elba.advance(210)
    assert elba.members() == []
    assert elba.instance_states() == ["terminated"]
    assert member.id


def test_deleting_a_launch_hook_abandons_what_waits(elba: Harness) -> None:
    instance_id = launch_one(elba)
    elba.asg.delete_lifecycle_hook(AutoScalingGroupName="g", LifecycleHookName="hook")
    elba.advance(60)
    assert [m.id != instance_id for m in elba.in_service()] == [True]


def test_a_retained_instance_stays_until_it_is_terminated(elba: Harness) -> None:
    elba.create(
        minimum=0, DesiredCapacity=1, InstanceLifecyclePolicy={"RetentionTriggers": {"TerminateHookAbandon": "retain"}}
    )
    hook(elba, TERMINATING)
    elba.advance(30)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=0)
    elba.advance(400)
    (member,) = elba.members("Terminating:Retained")
    assert elba.instance_states() == ["running"]
    elba.asg.terminate_instance_in_auto_scaling_group(InstanceId=member.id, ShouldDecrementDesiredCapacity=False)
    elba.advance(30)
    assert elba.members() == []


def test_several_hooks_must_all_continue(elba: Harness) -> None:
    elba.create(minimum=0)
    hook(elba, name="one")
    hook(elba, name="two")
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    elba.advance(30)
    (member,) = elba.members("Pending:Wait")
    for name, state in (("one", "Pending:Wait"), ("two", "InService")):
        elba.asg.complete_lifecycle_action(
            AutoScalingGroupName="g", LifecycleHookName=name, InstanceId=member.id, LifecycleActionResult="CONTINUE"
        )
        elba.advance(1)
        assert [m.lifecycle_state for m in elba.members()] == [state]


@pytest.mark.parametrize("decrement", [True, False])
def test_standby_and_back(elba: Harness, decrement: bool) -> None:
    elba.create(minimum=1, maximum=4, DesiredCapacity=2)
    elba.advance(30)
    aside = elba.in_service()[0].id
    answer = elba.asg.enter_standby(
        AutoScalingGroupName="g", InstanceIds=[aside], ShouldDecrementDesiredCapacity=decrement
    )
    assert answer["Activities"][0]["Description"] == f"Moving EC2 instance to Standby: {aside}"
    elba.advance(30)
    assert [m.id for m in elba.members("Standby")] == [aside]
    assert len(elba.in_service()) == (1 if decrement else 2)
    elba.asg.exit_standby(AutoScalingGroupName="g", InstanceIds=[aside])
    elba.advance(30)
    assert elba.group().desired_capacity == (2 if decrement else 3)
    assert len(elba.in_service()) == (2 if decrement else 3)
    assert elba.is_still()


def test_standby_below_the_minimum_is_refused(elba: Harness) -> None:
    elba.create(minimum=1)
    elba.advance(30)
    _, message = elba.refused(
        "enter_standby",
        AutoScalingGroupName="g",
        InstanceIds=[elba.in_service()[0].id],
        ShouldDecrementDesiredCapacity=True,
    )
    assert message.startswith("AutoScalingGroup g has min-size=1, max-size=4, and desired-size=1.")


@pytest.mark.parametrize("decrement", [True, False])
def test_detach_lets_the_instance_run_on(elba: Harness, decrement: bool) -> None:
    elba.create(minimum=1, maximum=4, DesiredCapacity=2)
    elba.advance(30)
    gone = elba.in_service()[0].id
    elba.asg.detach_instances(AutoScalingGroupName="g", InstanceIds=[gone], ShouldDecrementDesiredCapacity=decrement)
    elba.advance(30)
    assert len(elba.in_service()) == (1 if decrement else 2)
    instance = elba.store.view.get(Instance, ACCOUNT, REGION, gone)
    assert instance is not None
    assert instance.state == "running"
    assert "aws:autoscaling:groupName" not in instance.tags


def test_attach_takes_a_running_instance_in(elba: Harness) -> None:
    elba.create(minimum=0, maximum=1, Tags=[{"Key": "team", "Value": "x", "PropagateAtLaunch": True}])
    image = next(i.id for i in built_in_images(REGION).values() if i.architecture == "x86_64")
    subnet = next(s for s in elba.store.view.all(Subnet) if s.availability_zone == f"{REGION}a")
    request = {"image_id": image, "instance_type": "t3.micro", "subnet_id": subnet.id}
    (instance,) = elba.write(lambda tx: ec2.launch(tx, elba.call(), request))
    elba.advance(30)
    elba.asg.attach_instances(AutoScalingGroupName="g", InstanceIds=[instance.id])
    elba.advance(5)
    assert [m.id for m in elba.in_service()] == [instance.id]
    assert elba.group().desired_capacity == 1
    found = elba.store.view.get(Instance, ACCOUNT, REGION, instance.id)
    assert found is not None
    assert found.tags == {"team": "x", "aws:autoscaling:groupName": "g"}
    assert elba.is_still()
    (other,) = elba.write(lambda tx: ec2.launch(tx, elba.call(), request))
    elba.advance(30)
    _, message = elba.refused("attach_instances", AutoScalingGroupName="g", InstanceIds=[other.id])
    assert message == (
        "AutoScalingGroup g has min-size=0, max-size=1, and desired-size=1. To attach 1 instance, please update the "
        "AutoScalingGroup sizes appropriately."
    )
