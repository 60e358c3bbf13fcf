"""A Lambda function chooses who is terminated."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from elba.autoscaling.resources import Member
from elba.testing.world import World
from tests.unit.lambda_.kit import create, zipped

CHOOSE = """
def handler(event, context):
    assert event["Cause"] == "SCALE_IN" and event["CapacityToTerminate"][0]["Capacity"] == 1
    return {"InstanceIDs": [max(i["InstanceId"] for i in event["Instances"])]}
"""


def group_of(world: World, arn: str) -> Any:
    ec2, autoscaling = world.boto3("ec2"), world.boto3("autoscaling")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    autoscaling.create_launch_configuration(LaunchConfigurationName="lc", ImageId=image, InstanceType="t3.micro")
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="g", LaunchConfigurationName="lc", MinSize=0, MaxSize=5, DesiredCapacity=4,
        AvailabilityZones=["us-east-1a"], TerminationPolicies=[arn, "OldestInstance"],
    )  # fmt: skip
    world.advance(120)
    return autoscaling


def members(world: World) -> list[str]:
    groups = world.boto3("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["g"])["AutoScalingGroups"]
    return sorted(i["InstanceId"] for i in groups[0]["Instances"] if i["LifecycleState"] == "InService")


def test_the_function_names_who_goes() -> None:
    with World() as world:
        autoscaling = group_of(world, create(world, source=CHOOSE)["FunctionArn"])
        before = members(world)
        autoscaling.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=3)
        world.advance(60)
        assert len(before) == 4 and members(world) == before[:3]
        assert len(world.functions.invocations) == 1
        assert len(json.loads(world.functions.invocations[0][1])["Instances"]) == 4


def test_nothing_goes_while_the_function_fails_and_it_is_asked_again() -> None:
    with World() as world:
        autoscaling = group_of(
            world, create(world, source="def handler(e, c): return {'InstanceIDs': []}")["FunctionArn"]
        )
        before = members(world)
        autoscaling.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=3)
        world.advance(100)
        assert members(world) == before and len(world.functions.invocations) >= 3
        world.boto3("lambda").update_function_code(FunctionName="fn", ZipFile=zipped(CHOOSE))
        world.advance(100)
        assert members(world) == before[:3]


REPLACE = """
def handler(event, context):
    assert event["Cause"] == "{cause}" and event["CapacityToTerminate"][0]["Capacity"] == 1
    return {{"InstanceIDs": [max(i["InstanceId"] for i in event["Instances"])]}}
"""


def test_a_refresh_replaces_those_it_names_one_after_the_other() -> None:
    with World() as world:
        autoscaling = group_of(world, create(world, source=REPLACE.format(cause="INSTANCE_REFRESH"))["FunctionArn"])
        left = members(world)
        autoscaling.start_instance_refresh(
            AutoScalingGroupName="g", Preferences={"MinHealthyPercentage": 75, "InstanceWarmup": 0}
        )
        for _ in range(4):
            world.until(lambda: left[-1] not in members(world), 120)
            assert left[:-1] == [i for i in members(world) if i in left]
            left.pop()
        world.advance(120)
        assert len(members(world)) == 4 and len(world.functions.invocations) == 4
        (refresh,) = autoscaling.describe_instance_refreshes(AutoScalingGroupName="g")["InstanceRefreshes"]
        assert refresh["Status"] == "Successful"


def test_a_refresh_fails_when_the_function_names_nobody_for_an_hour() -> None:
    with World() as world:
        autoscaling = group_of(world, create(world, source="def handler(e, c): return {}")["FunctionArn"])
        before = members(world)
        autoscaling.start_instance_refresh(AutoScalingGroupName="g")

        def status() -> str:
            refreshes = autoscaling.describe_instance_refreshes(AutoScalingGroupName="g")["InstanceRefreshes"]
            return str(refreshes[0]["Status"])

        took = world.until(lambda: status() == "Failed", 3800)
        assert 3600 <= took <= 3700 and members(world) == before


def test_a_rebalancing_that_terminates_first_asks_too() -> None:
    with World() as world:
        source = REPLACE.format(cause="REBALANCE")
        autoscaling = group_of(world, create(world, source=source)["FunctionArn"])
        before = members(world)
        autoscaling.update_auto_scaling_group(
            AutoScalingGroupName="g", AvailabilityZones=["us-east-1a", "us-east-1b"],
            InstanceMaintenancePolicy={"MinHealthyPercentage": 75, "MaxHealthyPercentage": 100},
        )  # fmt: skip
        world.advance(600)
        after = members(world)
        assert len(after) == 4 and len(set(after) & set(before)) == 2
        assert set(before) - set(after) == set(before[2:])
        assert len(world.functions.invocations) == 2


def test_members_past_their_lifetime_go_by_its_word() -> None:
    with World() as world:
        source = "def handler(e, c): return {'InstanceIDs': [min(i['InstanceId'] for i in e['Instances'])]}"
        autoscaling = group_of(world, create(world, source=source)["FunctionArn"])
        before = members(world)
        for member in world.store.view.all(Member):
            old = msgspec.structs.replace(member, launched_at=world.now - 86400)
            world.loop.run(world.store.write(lambda tx, m=old: tx.put(m), "test"))  # type: ignore[misc]  # no type for m
        autoscaling.update_auto_scaling_group(AutoScalingGroupName="g", MaxInstanceLifetime=86400)
        autoscaling.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=3)
        world.until(lambda: not set(before) & set(members(world)), 600)
        world.advance(120)
        assert len(members(world)) == 3
        causes = [json.loads(payload)["Cause"] for _, payload in world.functions.invocations]
        assert causes == ["MAX_INSTANCE_LIFETIME"] * 4  # the first makes the group as small as it is to be
