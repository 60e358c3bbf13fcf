"""The demo's loop in a World: the same API calls, hours in milliseconds."""

from __future__ import annotations

import time
from typing import Any

import pytest

from elba.testing import World

CPU_SECONDS_PER_SECOND_UNDER_STRESS = 8.0
CPU_SECONDS_PER_SECOND_AT_REST = 0.2


class Stack:
    """The demo's stack in one World."""

    def __init__(self, world: World) -> None:
        self.world = world
        ec2, elbv2 = world.boto3("ec2"), world.boto3("elbv2")
        self.autoscaling, self.elbv2 = world.boto3("autoscaling"), elbv2
        self.cloudwatch = world.boto3("cloudwatch")
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        subnets = ec2.describe_subnets()["Subnets"]
        ec2.create_launch_template(
            LaunchTemplateName="web",
            LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro", "Monitoring": {"Enabled": True}},
        )
        balancer = elbv2.create_load_balancer(Name="web", Subnets=[s["SubnetId"] for s in subnets])
        self.balancer = balancer["LoadBalancers"][0]["LoadBalancerArn"]
        group = elbv2.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=subnets[0]["VpcId"])
        self.target_group = group["TargetGroups"][0]["TargetGroupArn"]
        elbv2.create_listener(
            LoadBalancerArn=self.balancer,
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.target_group}],
        )
        self.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName="web",
            LaunchTemplate={"LaunchTemplateName": "web"},
            MinSize=2,
            MaxSize=6,
            VPCZoneIdentifier=",".join(s["SubnetId"] for s in subnets),
            TargetGroupARNs=[self.target_group],
            HealthCheckType="ELB",
            HealthCheckGracePeriod=60,
            DefaultInstanceWarmup=60,
        )
        self.autoscaling.put_scaling_policy(
            AutoScalingGroupName="web",
            PolicyName="cpu",
            PolicyType="TargetTrackingScaling",
            TargetTrackingConfiguration={
                "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
                "TargetValue": 50.0,
            },
        )
        self.stress(False)

    def stress(self, on: bool) -> None:
        load = CPU_SECONDS_PER_SECOND_UNDER_STRESS if on else CPU_SECONDS_PER_SECOND_AT_REST
        self.world.provider.set_load(load)

    def group(self) -> dict[str, Any]:
        found = self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["web"])["AutoScalingGroups"]
        group: dict[str, Any] = found[0]
        return group

    def healthy(self) -> set[str]:
        found = self.elbv2.describe_target_health(TargetGroupArn=self.target_group)["TargetHealthDescriptions"]
        return {each["Target"]["Id"] for each in found if each["TargetHealth"]["State"] == "healthy"}

    def in_service(self) -> set[str]:
        """Members in service whose targets are healthy."""
        members = {i["InstanceId"] for i in self.group()["Instances"] if i["LifecycleState"] == "InService"}
        return members & self.healthy()

    def alarms(self) -> dict[str, str]:
        found = self.cloudwatch.describe_alarms(AlarmNamePrefix="TargetTracking-web-")["MetricAlarms"]
        return {"high" if "AlarmHigh" in a["AlarmName"] else "low": a["StateValue"] for a in found}


@pytest.fixture
def stack() -> Any:
    with World(seed=7) as world:
        yield Stack(world)


def test_load_scales_out_a_lost_instance_is_replaced_and_rest_scales_in(stack: Stack) -> None:
    began = time.monotonic()
    world = stack.world
    world.until(lambda: len(stack.in_service()) == 2, 300, "two instances in service")
    assert len({i["AvailabilityZone"] for i in stack.group()["Instances"]}) == 2

    stack.stress(True)
    world.until(lambda: stack.alarms().get("high") == "ALARM", 600, "the high alarm")
    world.until(lambda: len(stack.in_service()) > 2, 300, "scale-out")
    world.until(lambda: stack.group()["DesiredCapacity"] == 6, 1800, "the largest size")
    world.until(lambda: len(stack.in_service()) == 6, 600, "six in service")
    zones = [i["AvailabilityZone"] for i in stack.group()["Instances"]]
    assert sorted(zones.count(zone) for zone in set(zones)) == [2, 2, 2]

    victim = sorted(stack.in_service())[0]
    world.provider.die(victim)
    world.until(lambda: victim not in {i["InstanceId"] for i in stack.group()["Instances"]}, 600, "it leaves")
    world.until(lambda: len(stack.in_service()) == 6, 300, "its replacement")
    causes = [a["Cause"] for a in stack.autoscaling.describe_scaling_activities()["Activities"]]
    assert any("an EC2 health check indicating it has been terminated or stopped" in cause for cause in causes)
    assert any("in response to an unhealthy instance needing to be replaced" in cause for cause in causes)

    stack.stress(False)
    took = world.until(lambda: stack.alarms().get("low") == "ALARM", 3600, "the low alarm")
    assert took >= 14 * 60, "the low alarm needs fifteen minutes below 90 % of the target"
    world.until(lambda: len(stack.group()["Instances"]) == 2, 7200, "scale-in to the minimum")
    assert stack.group()["DesiredCapacity"] == 2
    world.until(lambda: len(stack.in_service()) == 2, 300, "two in service")
    assert time.monotonic() - began < 30, "hours of a quiet group take seconds at most"


def test_the_control_plane_may_die_at_any_moment_of_a_scale_out(stack: Stack) -> None:
    world = stack.world
    world.until(lambda: len(stack.in_service()) == 2, 300, "two instances in service")
    stack.stress(True)
    for step in range(60):
        world.advance(10 + step % 7)
        world.crash()
        world.advance(3)
        world.restart()
    world.until(lambda: len(stack.in_service()) == 6, 1200, "six in service in spite of sixty crashes")
    assert len(world.provider.running()) == 6, "an instance leaked"
