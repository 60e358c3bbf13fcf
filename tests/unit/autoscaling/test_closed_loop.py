"""The whole ring on the virtual clock: load → CPU → metrics → alarm → policy → instances, behind a load balancer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from elba.autoscaling.resources import Decision, Forecast, Member
from elba.ec2.images import built_in_images
from elba.ec2.resources import Instance
from elba.elbv2.resources import Target
from elba.testing.world import World

REGION = "us-east-1"


@pytest.fixture
def world() -> Iterator[World]:
    with World(seed=7) as made:
        yield made


def launch_template(world: World) -> None:
    image = next(i.id for i in built_in_images(REGION).values() if i.architecture == "x86_64")
    world.boto3("ec2").create_launch_template(
        LaunchTemplateName="web",
        LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro", "Monitoring": {"Enabled": True}},
    )


def group(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.boto3("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    return found


def set_load(world: World, cpus: float) -> None:
    async def apply() -> None:
        world.provider.set_load(cpus)

    world.loop.run(apply())


def test_target_tracking_follows_the_load(world: World) -> None:
    launch_template(world)
    autoscaling = world.boto3("autoscaling")
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="web",
        MinSize=1,
        MaxSize=10,
        DesiredCapacity=2,
        AvailabilityZones=[f"{REGION}a", f"{REGION}b"],
        LaunchTemplate={"LaunchTemplateName": "web"},
        DefaultInstanceWarmup=60,
    )
    autoscaling.put_scaling_policy(
        AutoScalingGroupName="web",
        PolicyName="cpu",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
            "TargetValue": 50.0,
        },
    )
    # t3.micro has 2 vCPUs: 5 busy CPUs keep 5 instances at half.
    set_load(world, 5.0)
    world.advance(20 * 60)
    assert group(world)["DesiredCapacity"] in (5, 6)
    assert len(group(world)["Instances"]) == group(world)["DesiredCapacity"]
    set_load(world, 1.6)
    world.advance(45 * 60)
    assert group(world)["DesiredCapacity"] == 2
    decisions = world.store.view.all(Decision)
    assert decisions[-1].inputs["proposals"][0]["policy"] == "cpu"
    history = [d.after for d in decisions if d.after != d.before]
    top = history.index(max(history))
    assert history[:top] == sorted(history[:top]), "it does not go down while the load is up"
    assert history[top:] == sorted(history[top:], reverse=True), "it does not overshoot on the way down"


def test_scale_in_behind_a_load_balancer_loses_nothing(world: World) -> None:
    launch_template(world)
    elbv2, autoscaling, ec2 = (world.boto3(s) for s in ("elbv2", "autoscaling", "ec2"))
    subnets = [s for s in ec2.describe_subnets()["Subnets"] if s["AvailabilityZone"] in (f"{REGION}a", f"{REGION}b")]
    ids = [s["SubnetId"] for s in subnets]
    arn = elbv2.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=subnets[0]["VpcId"])["TargetGroups"][0][
        "TargetGroupArn"
    ]
    elbv2.modify_target_group_attributes(
        TargetGroupArn=arn, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}]
    )
    balancer = elbv2.create_load_balancer(Name="web", Subnets=ids)["LoadBalancers"][0]["LoadBalancerArn"]
    elbv2.create_listener(
        LoadBalancerArn=balancer,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="web",
        MinSize=1,
        MaxSize=3,
        DesiredCapacity=3,
        VPCZoneIdentifier=",".join(ids),
        LaunchTemplate={"LaunchTemplateName": "web"},
        TargetGroupARNs=[arn],
        HealthCheckType="ELB",
        HealthCheckGracePeriod=120,
    )
    world.advance(300)
    assert {
        t["TargetHealth"]["State"] for t in elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    } == {"healthy"}
    states = autoscaling.describe_load_balancer_target_groups(AutoScalingGroupName="web")
    assert [g["State"] for g in states["LoadBalancerTargetGroups"]] == ["InService"]
    autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=1)
    for _ in range(90):
        world.advance(1)
        registered = {t.target_id for t in world.store.view.all(Target)}
        for member in world.store.view.all(Member):
            instance = world.store.view.get(Instance, member.account, member.region, member.id)
            assert instance is not None
            if instance.state != "running":
                assert member.id not in registered, "nobody is terminated who may still get traffic"
    assert len(group(world)["Instances"]) == 1
    assert len(world.store.view.all(Target)) == 1


def test_a_crash_in_the_middle_of_scaling_changes_nothing_about_the_end(world: World) -> None:
    launch_template(world)
    world.boto3("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="web",
        MinSize=4,
        MaxSize=4,
        AvailabilityZones=[f"{REGION}a", f"{REGION}b"],
        LaunchTemplate={"LaunchTemplateName": "web"},
    )
    world.crash()
    world.advance(30)
    world.restart()
    world.advance(60)
    assert [i["LifecycleState"] for i in group(world)["Instances"]] == ["InService"] * 4
    assert len(world.provider.launches) == 4


def test_a_forecast_is_made_after_a_day_of_metrics(world: World) -> None:
    launch_template(world)
    autoscaling = world.boto3("autoscaling")
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="web",
        MinSize=1,
        MaxSize=4,
        AvailabilityZones=[f"{REGION}a"],
        LaunchTemplate={"LaunchTemplateName": "web"},
    )
    specification = {
        "TargetValue": 20.0,
        "PredefinedMetricPairSpecification": {"PredefinedMetricType": "ASGCPUUtilization"},
    }
    autoscaling.put_scaling_policy(
        AutoScalingGroupName="web",
        PolicyName="ahead",
        PolicyType="PredictiveScaling",
        PredictiveScalingConfiguration={"MetricSpecifications": [specification], "Mode": "ForecastAndScale"},
    )
    set_load(world, 1.0)  # of 2 vCPUs: 50 %, and 20 % is wanted
    world.advance(26 * 3600)
    (forecast,) = world.store.view.all(Forecast)
    assert len(forecast.hours) == 48
    assert forecast.load[5] == pytest.approx(50.0, rel=0.05)
    assert set(forecast.capacity) == {3}
    assert group(world)["DesiredCapacity"] == 3
