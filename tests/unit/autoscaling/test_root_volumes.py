"""Root volumes made anew: CreateReplaceRootVolumeTask, and instance refreshes that keep the instances."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from elba.compute.interface import Permanent
from elba.ec2.resources import Instance, ReplaceRootVolumeTask, Volume

from .harness import ACCOUNT, REGION, Harness
from .test_instance_refresh import start, status

TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"


def ec2_client(elba: Harness) -> Any:
    assert elba.clients is not None
    return elba.clients.client("ec2")


def policy(elba: Harness, image: str = "", *types: str) -> dict[str, Any]:
    """A mixed instances policy, with the image in every override if one is given."""
    template = elba.template_id() if elba.has_template() else elba.template()
    overrides = [{"InstanceType": t, **({"ImageId": image} if image else {})} for t in types or ("t3.micro",)]
    specification = {"LaunchTemplateId": template, "Version": "1"}
    return {"LaunchTemplate": {"LaunchTemplateSpecification": specification, "Overrides": overrides}}


def running(elba: Harness, count: int = 3, **fields: Any) -> set[str]:
    elba.create(minimum=0, maximum=10, DesiredCapacity=count, MixedInstancesPolicy=policy(elba), **fields)
    elba.advance(60)
    return {m.id for m in elba.in_service()}


def refresh(elba: Harness, image: str, **preferences: Any) -> None:
    start(
        elba,
        Strategy="ReplaceRootVolume",
        DesiredConfiguration={"MixedInstancesPolicy": policy(elba, image)},
        Preferences={"InstanceWarmup": 0, **preferences},
    )


def images(elba: Harness) -> set[str]:
    return {i.image_id for i in elba.instances() if i.state == "running"}


def test_a_task_replaces_the_root_of_a_running_instance(elba: Harness) -> None:
    (id_,) = running(elba, 1)
    client, other = ec2_client(elba), elba.images()[1]
    before = elba.store.view.get(Instance, ACCOUNT, REGION, id_)
    assert before is not None
    task = client.create_replace_root_volume_task(
        InstanceId=id_,
        ImageId=other,
        DeleteReplacedRootVolume=True,
        TagSpecifications=[{"ResourceType": "replace-root-volume-task", "Tags": [{"Key": "why", "Value": "patch"}]}],
    )["ReplaceRootVolumeTask"]
    assert (task["TaskState"], task["ImageId"], task["InstanceId"]) == ("pending", other, id_)
    elba.advance(2)
    (shown,) = client.describe_replace_root_volume_tasks()["ReplaceRootVolumeTasks"]
    assert (shown["TaskState"], "CompleteTime" in shown) == ("in-progress", False)
    elba.advance(20)
    asked = {"Filters": [{"Name": "instance-id", "Values": [id_]}, {"Name": "tag:why", "Values": ["patch"]}]}
    (shown,) = client.describe_replace_root_volume_tasks(**asked)["ReplaceRootVolumeTasks"]
    assert shown["TaskState"] == "succeeded"
    assert shown["CompleteTime"] > shown["StartTime"]
    after = elba.store.view.get(Instance, ACCOUNT, REGION, id_)
    assert after is not None
    assert (after.state, after.image_id, after.private_ip_address) == ("running", other, before.private_ip_address)
    assert after.root_volume_id != before.root_volume_id
    assert [v.id for v in elba.store.view.all(Volume)] == [after.root_volume_id]
    assert (elba.provider.roots(id_), elba.provider.boots(id_)) == (2, 2)
    assert elba.in_service()[0].id == id_, "EC2 does not tell Auto Scaling of it"


def test_to_the_launch_state_and_the_old_volume_kept(elba: Harness) -> None:
    (id_,) = running(elba, 1)
    client = ec2_client(elba)
    old = elba.instances()[0]
    task = client.create_replace_root_volume_task(InstanceId=id_)["ReplaceRootVolumeTask"]
    assert "ImageId" not in task
    elba.advance(20)
    volumes = {v["VolumeId"]: v["State"] for v in client.describe_volumes()["Volumes"]}
    new = elba.instances()[0]
    assert volumes == {old.root_volume_id: "available", new.root_volume_id: "in-use"}
    assert new.image_id == old.image_id


@pytest.mark.parametrize("how", ["stopped", "terminated", "impossible"])
def test_a_task_that_fails(elba: Harness, how: str) -> None:
    (id_,) = running(elba, 1)
    elba.asg.suspend_processes(AutoScalingGroupName="g")
    client = ec2_client(elba)
    if how == "impossible":
        elba.provider.fail_next_root(Permanent("the files are gone"))
    before = elba.instances()[0]
    client.create_replace_root_volume_task(InstanceId=id_, ImageId=elba.images()[1])
    if how == "stopped":
        client.stop_instances(InstanceIds=[id_])
    elif how == "terminated":
        client.terminate_instances(InstanceIds=[id_])
    elba.advance(30)
    (task,) = elba.store.view.all(ReplaceRootVolumeTask)
    assert task.state == "failed"
    after = elba.instances()[0]
    assert after.state == {"impossible": "running"}.get(how, how)
    assert (after.image_id, after.root_task_id, after.recovery) == (before.image_id, "", "")
    if how != "terminated":
        assert after.root_volume_id == before.root_volume_id


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"InstanceId": "i-0123456789abcdef0"}, "InvalidInstanceID.NotFound"),
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound"),
        ({"SnapshotId": "snap-0123456789abcdef0"}, "InvalidSnapshot.NotFound"),
        ({"SnapshotId": "snap-0123456789abcdef0", "ImageId": "ami-0123456789abcdef0"}, "InvalidParameterCombination"),
    ],
)
def test_tasks_that_are_refused(elba: Harness, request_: dict[str, str], code: str) -> None:
    (id_,) = running(elba, 1)
    client = ec2_client(elba)
    with pytest.raises(client.exceptions.ClientError) as caught:
        client.create_replace_root_volume_task(**{"InstanceId": id_, **request_})
    assert caught.value.response["Error"]["Code"] == code


def test_a_control_plane_that_dies_in_between_goes_on_with_the_task(elba: Harness) -> None:
    (id_,) = running(elba, 1)
    ec2_client(elba).create_replace_root_volume_task(InstanceId=id_, ImageId=elba.images()[1])
    for _ in range(8):
        elba.restart()
        elba.advance(0.4)
    elba.advance(20)
    (task,) = elba.store.view.all(ReplaceRootVolumeTask)
    assert task.state == "succeeded"
    assert elba.provider.roots(id_) == 2


def test_a_refresh_keeps_the_instances_and_replaces_their_roots(elba: Harness) -> None:
    arn = elba.target_group(delay=30)
    old, other = running(elba, TargetGroupARNs=[arn]), elba.images()[1]
    launches = len(elba.provider.launches)
    seen: set[str] = set()
    elba.store.subscribe(lambda _: seen.update(m.lifecycle_state for m in elba.members()))
    refresh(elba, other, MinHealthyPercentage=66)
    least = 9
    for _ in range(200):
        elba.advance(1)
        least = min(least, len(elba.in_service()))
    assert least == 2
    assert seen >= {"ReplacingRootVolume", "ReplacingRootVolume:Proceed", "RootVolumeReplaced", "Pending", "InService"}
    assert {m.id for m in elba.in_service()} == old
    assert len(elba.provider.launches) == launches
    assert images(elba) == {other}
    assert {m.image_id for m in elba.in_service()} == {other}
    found = status(elba)
    assert (found["Status"], found["Strategy"], found["PercentageComplete"]) == ("Successful", "ReplaceRootVolume", 100)
    assert set(elba.targets()) == old
    assert set(elba.targets().values()) == {False}
    shown = elba.described()["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]
    assert shown == [{"InstanceType": "t3.micro", "ImageId": other}]
    texts = {(a.description.partition(":")[0], a.status_code) for a in elba.activities()}
    assert ("Replacing the root volume of EC2 instance", "Successful") in texts
    assert elba.is_still()


def test_hooks_run_before_and_after(elba: Harness) -> None:
    (id_,) = running(elba, 1)
    for transition in (LAUNCHING, TERMINATING):
        elba.asg.put_lifecycle_hook(
            AutoScalingGroupName="g",
            LifecycleHookName=transition[-11:],
            LifecycleTransition=transition,
            HeartbeatTimeout=300,
        )
    refresh(elba, elba.images()[1])
    for waiting, root in (("ReplacingRootVolume:Wait", 1), ("Pending:Wait", 2)):
        elba.advance(30)
        (member,) = elba.members()
        assert (member.lifecycle_state, elba.provider.roots(id_)) == (waiting, root)
        (action,) = elba.waiting_actions()
        elba.asg.complete_lifecycle_action(
            AutoScalingGroupName="g",
            LifecycleHookName=action.lifecycle_hook_name,
            InstanceId=id_,
            LifecycleActionResult="CONTINUE",
        )
    elba.advance(30)
    assert [m.lifecycle_state for m in elba.members()] == ["InService"]
    assert status(elba)["Status"] == "Successful"


def test_skip_matching_goes_by_the_image(elba: Harness) -> None:
    running(elba, 2)
    refresh(elba, elba.images()[0], SkipMatching=True)
    elba.advance(60)
    assert status(elba)["Status"] == "Successful"
    assert elba.store.view.all(ReplaceRootVolumeTask) == []


def test_a_rollback_replaces_the_roots_again(elba: Harness) -> None:
    old, first = running(elba), elba.images()[0]
    refresh(elba, elba.images()[1], InstanceWarmup=60)
    elba.advance(75)
    assert len(images(elba)) == 2
    elba.asg.rollback_instance_refresh(AutoScalingGroupName="g")
    for _ in range(60):
        elba.advance(10)
        assert 0 <= status(elba)["PercentageComplete"] <= 100
    assert status(elba)["Status"] == "RollbackSuccessful"
    assert images(elba) == {first}
    assert {m.id for m in elba.in_service()} == old


def test_a_root_that_cannot_be_replaced_costs_the_instance(elba: Harness) -> None:
    old, other = running(elba, 2), elba.images()[1]
    elba.provider.fail_next_root(Permanent("the files are gone"))
    refresh(elba, other)
    elba.advance(200)
    assert status(elba)["Status"] == "Successful"
    assert len(old & {m.id for m in elba.in_service()}) == 1
    assert images(elba) == {other}
    assert len(elba.in_service()) == 2


def test_scheduled_scaling_goes_on_meanwhile(elba: Harness) -> None:
    old, other = running(elba, 2), elba.images()[1]
    refresh(elba, other, InstanceWarmup=120)
    elba.asg.put_scheduled_update_group_action(
        AutoScalingGroupName="g",
        ScheduledActionName="s",
        StartTime=datetime.fromtimestamp(elba.now + 30, UTC),
        DesiredCapacity=4,
    )
    elba.advance(900)
    assert status(elba)["Status"] == "Successful"
    assert old < {m.id for m in elba.in_service()}
    assert len(elba.in_service()) == 4
    assert images(elba) == {other}


@pytest.mark.parametrize("case", ["no configuration", "a template", "no image", "another type", "group of one type"])
def test_what_the_strategy_asks_for(elba: Harness, case: str) -> None:
    other = elba.images()[1]
    if case == "group of one type":
        elba.create(minimum=0)
    else:
        running(elba, 1)
    configuration: dict[str, Any] = {"MixedInstancesPolicy": policy(elba, other)}
    if case == "a template":
        configuration = {"LaunchTemplate": {"LaunchTemplateId": elba.template_id(), "Version": "1"}}
    elif case == "no image":
        configuration = {"MixedInstancesPolicy": policy(elba)}
    elif case == "another type":
        configuration = {"MixedInstancesPolicy": policy(elba, other, "t3.small")}
    given = {} if case == "no configuration" else {"DesiredConfiguration": configuration}
    refused = elba.refused("start_instance_refresh", AutoScalingGroupName="g", Strategy="ReplaceRootVolume", **given)
    assert refused[0] == "ValidationError"
