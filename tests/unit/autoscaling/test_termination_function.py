"""A Lambda function chooses who is terminated."""

from __future__ import annotations

import json
from typing import Any

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
