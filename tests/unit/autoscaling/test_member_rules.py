"""Rules of members: hooks that end in odd ways, who may be attached, detached or put aside, whose health counts."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from elba.ec2 import commands as ec2
from elba.ec2.images import built_in_images
from elba.ec2.resources import Instance, Subnet
from elba.sns.resources import Announcement, Topic

from .harness import ACCOUNT, REGION, Harness
from .test_hooks_and_standby import LAUNCHING, TERMINATING, hook, launch_one, waiting
from .test_processes_and_errors import mixed_policy

A, B, C = (f"{REGION}{z}" for z in "abc")


def complete(elba: Harness, name: str, instance_id: str, result: str) -> None:
    elba.asg.complete_lifecycle_action(
        AutoScalingGroupName="g", LifecycleHookName=name, InstanceId=instance_id, LifecycleActionResult=result
    )
    elba.advance(1)


def scaled_in_with_hooks(elba: Harness, *names: str) -> str:
    """A group whose only instance waits in these terminating hooks; the instance's id."""
    elba.create(minimum=0, maximum=2, DesiredCapacity=1)
    for name in names:
        hook(elba, TERMINATING, name)
    elba.advance(30)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=0)
    elba.advance(30)
    (member,) = elba.members("Terminating:Wait")
    return member.id


# ── hooks ────────────────────────────────────────────────────────────────────────────────────────────


def test_deleting_a_terminating_hook_lets_the_instance_go(elba: Harness) -> None:
    scaled_in_with_hooks(elba, "one", "two")
    elba.asg.delete_lifecycle_hook(AutoScalingGroupName="g", LifecycleHookName="one")
    elba.advance(5)
    assert len(elba.members("Terminating:Wait")) == 1
    elba.asg.delete_lifecycle_hook(AutoScalingGroupName="g", LifecycleHookName="two")
    elba.advance(5)
    assert elba.members() == [] and elba.instance_states() == ["terminated"]


def test_an_abandoned_termination_skips_the_other_hooks(elba: Harness) -> None:
    id_ = scaled_in_with_hooks(elba, "one", "two")
    complete(elba, "one", id_, "ABANDON")
    elba.advance(5)
    assert elba.members() == [] and elba.instance_states() == ["terminated"]


def test_an_abandoned_launch_runs_the_terminating_hooks(elba: Harness) -> None:
    """As the service was seen to by a client's tests."""
    elba.create(minimum=0)
    hook(elba)
    hook(elba, TERMINATING, "bye")
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    elba.advance(30)
    (member,) = elba.members("Pending:Wait")
    complete(elba, "hook", member.id, "ABANDON")
    elba.advance(5)
    assert [m.id for m in elba.members("Terminating:Wait")] == [member.id]
    complete(elba, "bye", member.id, "CONTINUE")
    elba.advance(5)
    assert member.id not in {m.id for m in elba.members()}


def test_one_abandoned_launch_hook_is_enough(elba: Harness) -> None:
    elba.create(minimum=0)
    for name in ("one", "two"):
        hook(elba, name=name)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    elba.advance(30)
    (member,) = elba.members("Pending:Wait")
    complete(elba, "one", member.id, "ABANDON")
    assert member.id not in {m.id for m in elba.members("Pending:Wait")}
    _, message = elba.refused(
        "complete_lifecycle_action",
        AutoScalingGroupName="g",
        LifecycleHookName="two",
        InstanceId=member.id,
        LifecycleActionResult="CONTINUE",
    )
    assert message == f"No active Lifecycle Action found with instance ID {member.id}"
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=0)
    elba.advance(60)
    assert elba.members() == []


def test_a_wait_keeps_the_terms_it_began_with(elba: Harness) -> None:
    id_ = launch_one(elba)
    (action,) = waiting(elba)
    assert len(action.id) == 36
    hook(elba, HeartbeatTimeout=7200, DefaultResult="CONTINUE")
    elba.advance(330)
    assert id_ not in {m.id for m in elba.members()}
    for operation, more in (
        ("record_lifecycle_action_heartbeat", {}),
        ("complete_lifecycle_action", {"LifecycleActionResult": "CONTINUE"}),
    ):
        told = elba.refused(
            operation, AutoScalingGroupName="g", LifecycleHookName="hook", LifecycleActionToken=action.id, **more
        )
        assert told == ("ValidationError", f"No active Lifecycle Action found with token {action.id}")


def test_heartbeats_end_at_the_global_timeout(elba: Harness) -> None:
    elba.create(minimum=0)
    hook(elba, HeartbeatTimeout=30)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    elba.advance(10)
    (member,) = elba.members("Pending:Wait")
    for _ in range(145):
        elba.advance(20)
        elba.asg.record_lifecycle_action_heartbeat(
            AutoScalingGroupName="g", LifecycleHookName="hook", InstanceId=member.id
        )
    (action,) = waiting(elba)
    assert action.global_deadline - action.started_at == 3000
    elba.advance(20)
    request = {"AutoScalingGroupName": "g", "LifecycleHookName": "hook", "InstanceId": member.id}
    for _ in range(10):  # the last of these come too late
        elba.advance(15)
        if member.id in {m.id for m in elba.members("Pending:Wait")}:
            elba.asg.record_lifecycle_action_heartbeat(**request)
    assert elba.now > action.started_at + 3000
    assert member.id not in {m.id for m in elba.members("Pending:Wait")}


def test_what_a_hook_tells_its_target(elba: Harness) -> None:
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:t"
    elba.write(lambda tx: tx.put(Topic(account=ACCOUNT, region=REGION, id=topic)))
    elba.create(minimum=0)
    elba.asg.put_notification_configuration(
        AutoScalingGroupName="g", TopicARN=topic, NotificationTypes=["autoscaling:TEST_NOTIFICATION"]
    )
    role = f"arn:aws:iam::{ACCOUNT}:role/r"
    hook(elba, NotificationTargetARN=topic, RoleARN=role, NotificationMetadata="meta")
    tests = [json.loads(a.body) for a in elba.store.view.all(Announcement)]
    assert [t["Event"] for t in tests] == ["autoscaling:TEST_NOTIFICATION"] * 2
    before = {a.id for a in elba.store.view.all(Announcement)}
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    elba.advance(30)
    (member,) = elba.members("Pending:Wait")
    (action,) = waiting(elba)
    (told,) = [a for a in elba.store.view.all(Announcement) if a.id not in before]
    body = json.loads(told.body)
    assert told.subject == f"Auto Scaling:  Lifecycle action 'LAUNCHING' for instance {member.id} in progress."
    assert body.pop("Time").startswith("2026-") and body.pop("RequestId")
    assert body == {
        "LifecycleActionToken": action.id,
        "AccountId": ACCOUNT,
        "AutoScalingGroupName": "g",
        "LifecycleHookName": "hook",
        "EC2InstanceId": member.id,
        "LifecycleTransition": LAUNCHING,
        "NotificationMetadata": "meta",
        "Service": "AWS Auto Scaling",
    }


def test_an_interruption_does_not_wait_for_a_hook(elba: Harness) -> None:
    policy = mixed_policy(elba, {"InstanceType": "t3.micro"}, OnDemandPercentageAboveBaseCapacity=0)
    elba.create(minimum=0, MixedInstancesPolicy=policy)
    hook(elba, HeartbeatTimeout=7200)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    elba.advance(30)
    (member,) = elba.members("Pending:Wait")
    elba.interrupt(member.id)
    elba.advance(180)
    assert member.id not in {m.id for m in elba.members()}
    assert [m.lifecycle_state for m in elba.members()] == ["Pending:Wait"]


def test_no_hook_runs_for_what_users_move(elba: Harness) -> None:
    elba.create(minimum=0, maximum=4, DesiredCapacity=2)
    elba.advance(30)
    hook(elba, name="in")
    hook(elba, TERMINATING, "out")
    first, second = (m.id for m in elba.in_service())
    request = {"AutoScalingGroupName": "g", "InstanceIds": [first]}
    elba.asg.enter_standby(**request, ShouldDecrementDesiredCapacity=True)
    elba.advance(2)
    assert [m.id for m in elba.members("Standby")] == [first]
    elba.asg.exit_standby(**request)
    elba.advance(2)
    assert len(elba.in_service()) == 2
    elba.asg.detach_instances(**request, ShouldDecrementDesiredCapacity=True)
    elba.advance(2)
    assert [m.id for m in elba.members()] == [second]
    elba.asg.attach_instances(**request)
    elba.advance(2)
    assert len(elba.in_service()) == 2 and waiting(elba) == []


def test_a_user_s_termination_runs_hooks_and_drains(elba: Harness) -> None:
    arn = elba.target_group(delay=60)
    elba.create(minimum=1, TargetGroupARNs=[arn], NewInstancesProtectedFromScaleIn=True)
    hook(elba, TERMINATING, DefaultResult="CONTINUE")
    elba.advance(60)
    (member,) = elba.in_service()
    elba.asg.terminate_instance_in_auto_scaling_group(InstanceId=member.id, ShouldDecrementDesiredCapacity=False)
    elba.advance(30)
    assert [m.id for m in elba.members("Terminating")] == [member.id]
    elba.advance(60)
    assert [m.id for m in elba.members("Terminating:Wait")] == [member.id]
    elba.advance(300)
    assert member.id not in {m.id for m in elba.members()} and len(elba.in_service()) == 1


# ── attach, detach, standby ──────────────────────────────────────────────────────────────────────────


def loose(elba: Harness, zone: str = A) -> str:
    """A running instance of no group."""
    elba.write(lambda tx: ec2.ensure_defaults(tx, elba.call()))
    image = next(i.id for i in built_in_images(REGION).values() if i.architecture == "x86_64")
    subnet = next(s for s in elba.store.view.all(Subnet) if s.availability_zone == zone)
    request = {"image_id": image, "instance_type": "t3.micro", "subnet_id": subnet.id}
    (instance,) = elba.write(lambda tx: ec2.launch(tx, elba.call(), request))
    elba.advance(30)
    return str(instance.id)


def change(elba: Harness, id_: str, **fields: Any) -> None:
    instance = elba.store.view.get(Instance, ACCOUNT, REGION, id_)
    assert instance is not None
    elba.write(lambda tx: tx.put(msgspec.structs.replace(instance, **fields)))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("unknown", "Invalid Instance ID(s): [{}] specified"),
        ("stopped", "Instance {} is not in correct state for attachment."),
        ("member", "Instance {} is already part of this Auto Scaling group."),
        ("other", "Instance {} is already part of another Auto Scaling group."),
        ("zone", f"The instance {{}} is not in one of the group's Availability Zones: {A}, {B}."),
        ("vpc", "The instance {} is not in the VPC of the Auto Scaling group."),
        ("image", "The AMI of instance {} no longer exists."),
        ("suspended", "The Launch process of the Auto Scaling group is suspended."),
    ],
)
def test_instances_that_cannot_be_attached(elba: Harness, what: str, message: str) -> None:
    elba.create(minimum=1, maximum=4)
    elba.create("other", minimum=1)
    elba.advance(30)
    id_ = "i-0123456789abcdef0"
    if what == "member":
        id_ = elba.in_service()[0].id
    elif what == "other":
        id_ = elba.in_service("other")[0].id
    elif what != "unknown":
        id_ = loose(elba, C if what == "zone" else A)
    if what == "stopped":
        elba.write(lambda tx: ec2.stop(tx, elba.call(), [id_], honour_protection=False))
        elba.advance(30)
    elif what == "vpc":
        change(elba, id_, vpc_id="vpc-0123456789abcdef0")
    elif what == "image":
        change(elba, id_, image_id="ami-0123456789abcdef0")
    elif what == "suspended":
        elba.asg.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=["Launch"])
    told = elba.refused("attach_instances", AutoScalingGroupName="g", InstanceIds=[id_])
    assert told == ("ValidationError", message.format(id_))
    assert elba.group().desired_capacity == 1


def test_an_attached_instance_is_as_any_other(elba: Harness) -> None:
    arn = elba.target_group()
    elba.create(
        minimum=0,
        maximum=1,
        TargetGroupARNs=[arn],
        HealthCheckType="ELB",
        HealthCheckGracePeriod=120,
        NewInstancesProtectedFromScaleIn=True,
    )
    id_ = loose(elba)
    elba.set_health(id_, healthy=False)
    elba.asg.attach_instances(AutoScalingGroupName="g", InstanceIds=[id_])
    elba.advance(10)
    (shown,) = elba.described()["Instances"]
    assert (shown["InstanceId"], shown["LifecycleState"], shown["ProtectedFromScaleIn"]) == (id_, "InService", True)
    assert id_ in elba.targets()
    (activity,) = elba.activities()
    assert activity.description == f"Attaching an existing EC2 instance: {id_}"
    assert activity.cause.endswith(
        "an instance was added in response to user request.  Keeping the capacity at the new 1."
    )
    elba.advance(60)
    assert [m.id for m in elba.in_service()] == [id_]


REQUIRED: dict[str, dict[str, Any]] = {
    "detach_instances": {"ShouldDecrementDesiredCapacity": True},
    "enter_standby": {"ShouldDecrementDesiredCapacity": True},
    "exit_standby": {},
}


@pytest.mark.parametrize(
    ("operation", "state", "message"),
    [
        ("detach_instances", "Pending", "The instance {} is not in InService or Standby."),
        ("enter_standby", "Pending", "The instance {} is not in InService."),
        ("enter_standby", "Standby", "The instance {} is not in InService."),
        ("exit_standby", "InService", "The instance {} is not in Standby."),
        ("detach_instances", "", "The instance {} is not part of Auto Scaling group g."),
        ("enter_standby", "", "The instance {} is not part of Auto Scaling group g."),
        ("exit_standby", "", "The instance {} is not part of Auto Scaling group g."),
    ],
)
def test_states_that_do_not_fit(elba: Harness, operation: str, state: str, message: str) -> None:
    elba.create(minimum=0, maximum=3, DesiredCapacity=1)
    id_ = "i-0123456789abcdef0"
    elba.advance(1 if state == "Pending" else 30)
    if state:
        id_ = elba.members()[0].id
    if state == "Standby":
        elba.asg.enter_standby(AutoScalingGroupName="g", InstanceIds=[id_], ShouldDecrementDesiredCapacity=True)
        elba.advance(5)
    told = elba.refused(operation, AutoScalingGroupName="g", InstanceIds=[id_], **REQUIRED[operation])
    assert told == ("ValidationError", message.format(id_))


@pytest.mark.parametrize(
    ("operation", "verb", "count"),
    [
        ("detach_instances", "detach", 1),
        ("enter_standby", "enter standby with", 2),
        ("exit_standby", "exit standby with", 1),
    ],
)
def test_sizes_that_do_not_fit(elba: Harness, operation: str, verb: str, count: int) -> None:
    elba.create(minimum=2, maximum=2)
    elba.advance(30)
    ids = [m.id for m in elba.in_service()][:count]
    if operation == "exit_standby":
        elba.asg.enter_standby(AutoScalingGroupName="g", InstanceIds=ids, ShouldDecrementDesiredCapacity=False)
        elba.advance(30)
    _, message = elba.refused(operation, AutoScalingGroupName="g", InstanceIds=ids, **REQUIRED[operation])
    noun = "instance" if count == 1 else "instances"
    assert message == (
        "AutoScalingGroup g has min-size=2, max-size=2, and desired-size=2. "
        f"To {verb} {count} {noun}, please update the AutoScalingGroup sizes appropriately."
    )


def test_activities_of_what_users_move(elba: Harness) -> None:
    elba.create(minimum=0, maximum=4, DesiredCapacity=3)
    elba.advance(30)
    first, second, third = (m.id for m in elba.in_service())
    request = {"AutoScalingGroupName": "g", "InstanceIds": [first, second]}
    answers = list(elba.asg.enter_standby(**request, ShouldDecrementDesiredCapacity=True)["Activities"])
    elba.advance(5)
    answers += elba.asg.exit_standby(**request)["Activities"]
    for id_, decrement in ((third, True), (second, False)):
        elba.advance(30)
        detached = {"InstanceIds": [id_], "ShouldDecrementDesiredCapacity": decrement}
        answers += elba.asg.detach_instances(AutoScalingGroupName="g", **detached)["Activities"]
    elba.advance(60)
    ended = {"InstanceId": first, "ShouldDecrementDesiredCapacity": True}
    answers.append(elba.asg.terminate_instance_in_auto_scaling_group(**ended)["Activity"])
    aside, back = "was moved to standby in response to a user request", "was moved out of standby in response to a user"
    gone = "was detached in response to a user request"
    assert [(a["Description"], a["Cause"].split("Z ", 1)[1]) for a in answers] == [
        (f"Moving EC2 instance to Standby: {first}", f"instance {first} {aside}, shrinking the capacity from 3 to 2."),
        (
            f"Moving EC2 instance to Standby: {second}",
            f"instance {second} {aside}, shrinking the capacity from 2 to 1.",
        ),
        (
            f"Moving EC2 instance out of Standby: {first}",
            f"instance {first} {back} request, increasing the capacity from 1 to 2.",
        ),
        (
            f"Moving EC2 instance out of Standby: {second}",
            f"instance {second} {back} request, increasing the capacity from 2 to 3.",
        ),
        (f"Detaching EC2 instance: {third}", f"instance {third} {gone}, shrinking the capacity from 3 to 2."),
        (f"Detaching EC2 instance: {second}", f"instance {second} {gone}."),
        (
            f"Terminating EC2 instance: {first}",
            f"instance {first} was taken out of service in response to a user request, "
            "shrinking the capacity from 2 to 1.",
        ),
    ]


def test_what_is_on_standby_is_not_checked(elba: Harness) -> None:
    elba.create(minimum=1, maximum=3, DesiredCapacity=1)
    elba.advance(30)
    (aside,) = elba.in_service()
    request = {"AutoScalingGroupName": "g", "InstanceIds": [aside.id]}
    elba.asg.enter_standby(**request, ShouldDecrementDesiredCapacity=False)
    elba.advance(30)
    elba.write(lambda tx: ec2.stop(tx, elba.call(), [aside.id], honour_protection=False))
    elba.advance(300)
    assert [(m.id, m.health_status) for m in elba.members("Standby")] == [(aside.id, "Healthy")]
    assert len(elba.in_service()) == 1 and elba.is_still()


def test_a_warm_instance_is_not_terminated_by_hand(elba: Harness) -> None:
    elba.create(minimum=0, maximum=1)
    elba.asg.put_warm_pool(AutoScalingGroupName="g")
    elba.advance(60)
    (member,) = elba.members("Warmed:Stopped")
    _, message = elba.refused(
        "terminate_instance_in_auto_scaling_group", InstanceId=member.id, ShouldDecrementDesiredCapacity=False
    )
    assert message == f"The instance {member.id} is in the warm pool of Auto Scaling group g."
    elba.asg.detach_instances(AutoScalingGroupName="g", InstanceIds=[member.id], ShouldDecrementDesiredCapacity=True)
    elba.advance(60)
    assert member.id not in {m.id for m in elba.members()}


# ── health ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_mark_is_lifted_until_replacement_begins(elba: Harness) -> None:
    elba.create(minimum=1)
    elba.advance(30)
    (member,) = elba.in_service()
    elba.asg.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=["ReplaceUnhealthy"])
    elba.asg.set_instance_health(InstanceId=member.id, HealthStatus="Unhealthy")
    assert elba.described()["Instances"][0]["HealthStatus"] == "Unhealthy"
    elba.asg.set_instance_health(InstanceId=member.id, HealthStatus="Healthy")
    elba.asg.resume_processes(AutoScalingGroupName="g")
    elba.advance(60)
    assert [m.id for m in elba.in_service()] == [member.id]
    assert elba.refused("set_instance_health", InstanceId=member.id, HealthStatus="Ill")[0] == "ValidationError"
    elba.asg.set_instance_health(InstanceId=member.id, HealthStatus="Unhealthy")
    elba.advance(1)
    elba.asg.set_instance_health(InstanceId=member.id, HealthStatus="Healthy")
    elba.advance(60)
    assert member.id not in {m.id for m in elba.members()}


@pytest.mark.parametrize("how", ["launch", "attach", "standby"])
def test_the_grace_period_begins_with_service(elba: Harness, how: str) -> None:
    arn = elba.target_group()
    elba.create(minimum=0, TargetGroupARNs=[arn], HealthCheckType="ELB", HealthCheckGracePeriod=200)
    if how == "attach":
        id_ = loose(elba)
        elba.asg.attach_instances(AutoScalingGroupName="g", InstanceIds=[id_])
    else:
        elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    elba.advance(30)
    (member,) = elba.in_service()
    if how == "standby":
        elba.advance(600)
        request = {"AutoScalingGroupName": "g", "InstanceIds": [member.id]}
        elba.asg.enter_standby(**request, ShouldDecrementDesiredCapacity=True)
        elba.advance(100)
        elba.asg.exit_standby(**request)
        elba.advance(10)
    elba.set_health(member.id, healthy=False)
    elba.advance(150)
    assert member.id in {m.id for m in elba.in_service()}
    elba.advance(100)
    assert member.id not in {m.id for m in elba.in_service()}


@pytest.mark.parametrize("state", ["draining", "initial", "unused"])
def test_targets_that_say_nothing_of_health(elba: Harness, state: str) -> None:
    arn = elba.target_group()
    elba.create(minimum=1, TargetGroupARNs=[arn], HealthCheckType="ELB")
    elba.advance(60)
    (member,) = elba.in_service()
    if state == "draining":
        elba.unhealthy.add(member.id)
        elba.deregister(arn, member.id)
    else:
        target = elba.targets_of(member.id)[0]
        told = msgspec.structs.replace(elba.health_of(target), state=state)
        elba.write(lambda tx: tx.put(told))
    elba.advance(300)
    assert [m.id for m in elba.in_service()] == [member.id]


def test_one_bad_target_group_is_enough(elba: Harness) -> None:
    arns = [elba.target_group("one"), elba.target_group("two")]
    elba.create(minimum=1, TargetGroupARNs=arns, HealthCheckType="ELB")
    elba.advance(60)
    (member,) = elba.in_service()
    first, second = elba.targets_of(member.id)
    assert first.target_group_arn != second.target_group_arn
    told = msgspec.structs.replace(elba.health_of(second), state="unhealthy")
    elba.write(lambda tx: tx.put(told))
    elba.advance(60)
    assert member.id not in {m.id for m in elba.members("InService")}
