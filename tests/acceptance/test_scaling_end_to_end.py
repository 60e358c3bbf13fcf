"""Scaling in real time with real instances, by boto3, while traffic flows through the load balancer: no request fails.

One group per way to scale, all behind one load balancer; AWS time passes 20 times as fast.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from elba.cli.demo.load import Load
from tests.acceptance.conftest import Elba, eventually, free_port

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(200)]

ROLE_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}

PUTS_CONNECTED_USERS = '''#!/usr/bin/env python3
"""Puts ConnectedUsers every second, signed with the instance's role's credentials: the standard library alone."""
import datetime, hashlib, hmac, json, os, time, urllib.parse, urllib.request

METADATA = os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
ENDPOINT, REGION = os.environ["AWS_ENDPOINT_URL"], os.environ["AWS_REGION"]
assert "AWS_SECRET_ACCESS_KEY" not in os.environ


def metadata(path, method="GET", **headers):
    request = urllib.request.Request(METADATA + path, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read().decode()


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def put(users, credentials):
    body = urllib.parse.urlencode({
        "Action": "PutMetricData", "Version": "2010-08-01", "Namespace": "Shop",
        "MetricData.member.1.MetricName": "ConnectedUsers", "MetricData.member.1.Value": str(users),
        "MetricData.member.1.Unit": "Count",
    }).encode()
    host = urllib.parse.urlsplit(ENDPOINT).netloc
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    headers = {"content-type": "application/x-www-form-urlencoded", "host": host, "x-amz-date": now,
               "x-amz-security-token": credentials["Token"]}
    names = ";".join(sorted(headers))
    canonical = "\\n".join(["POST", "/", "", *(f"{n}:{headers[n]}" for n in sorted(headers)), "", names,
                           hashlib.sha256(body).hexdigest()])
    scope = f"{now[:8]}/{REGION}/monitoring/aws4_request"
    text = "\\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + credentials["SecretAccessKey"]).encode()
    for part in scope.split("/"):
        key = sign(key, part)
    signature = sign(key, text).hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials['AccessKeyId']}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    urllib.request.urlopen(urllib.request.Request(ENDPOINT + "/", body, headers), timeout=10).read()


token = metadata("/latest/api/token", "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "21600"})
name = metadata("/latest/meta-data/iam/security-credentials/", **{"X-aws-ec2-metadata-token": token}).strip()
while True:
    found = metadata("/latest/meta-data/iam/security-credentials/" + name, **{"X-aws-ec2-metadata-token": token})
    put(300, json.loads(found))
    time.sleep(1)
'''


class Stack:
    """A load balancer, its target group and the launch template `web`; clients; groups are made as tests go."""

    def __init__(self, elba: Elba) -> None:
        self.elba = elba
        self.ec2, self.elbv2, self.asg = (elba.client(s) for s in ("ec2", "elbv2", "autoscaling"))
        self.cloudwatch, self.iam = elba.client("cloudwatch"), elba.client("iam")
        ssm = elba.client("ssm")
        path = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
        self.image = ssm.get_parameter(Name=path)["Parameter"]["Value"]
        subnets = self.ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
        self.subnets = ",".join(s["SubnetId"] for s in subnets)
        self.template("web")
        made = self.elbv2.create_load_balancer(Name="web", Subnets=[s["SubnetId"] for s in subnets])
        self.balancer = made["LoadBalancers"][0]
        group = self.elbv2.create_target_group(
            Name="web",
            Protocol="HTTP",
            Port=80,
            VpcId=subnets[0]["VpcId"],
            HealthCheckPath="/health",
            HealthCheckIntervalSeconds=10,
            HealthCheckTimeoutSeconds=5,
            HealthyThresholdCount=2,
        )["TargetGroups"][0]
        self.target_group = group["TargetGroupArn"]
        self.elbv2.modify_target_group_attributes(
            TargetGroupArn=self.target_group,
            Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "40"}],
        )
        self.port = free_port()
        self.elbv2.create_listener(
            LoadBalancerArn=self.balancer["LoadBalancerArn"],
            Protocol="HTTP",
            Port=self.port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.target_group}],
        )
        self.group("base", 2, 6)
        self.settles("base", 2)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="traffic")
        url = f"http://{self.balancer['DNSName']}:{self.port}/"
        self.load = Load(url, f"127.0.0.1:{elba.dns_port}", clients=6, rate=40)

    def start(self) -> None:
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.load.start(), self.loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.load.stop(), self.loop).result(60)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    @property
    def now(self) -> float:
        """Elba's clock."""
        settings = self.elba.settings
        return settings.clock_origin + (time.time() - settings.clock_origin) * settings.time_scale

    def template(self, name: str, **data: Any) -> None:
        data = {"ImageId": self.image, "InstanceType": "t3.micro", **data}
        self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)

    def group(self, name: str, minimum: int, maximum: int, **fields: Any) -> None:
        fields = {
            "LaunchTemplate": {"LaunchTemplateName": "web", "Version": "$Latest"},
            "TargetGroupARNs": [self.target_group],
            "HealthCheckType": "ELB",
            "HealthCheckGracePeriod": 300,
            "DefaultInstanceWarmup": 20,
            **fields,
        }
        self.asg.create_auto_scaling_group(
            AutoScalingGroupName=name, MinSize=minimum, MaxSize=maximum, VPCZoneIdentifier=self.subnets, **fields
        )

    def described(self, name: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = self.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])[
            "AutoScalingGroups"
        ]
        return found[0]

    def serving(self, name: str) -> set[str]:
        """Members in service that the load balancer finds healthy, if the group is behind it."""
        group = self.described(name)
        members = {i["InstanceId"] for i in group["Instances"] if i["LifecycleState"] == "InService"}
        if not group.get("TargetGroupARNs"):
            return members
        health = self.elbv2.describe_target_health(TargetGroupArn=self.target_group)["TargetHealthDescriptions"]
        return members & {h["Target"]["Id"] for h in health if h["TargetHealth"]["State"] == "healthy"}

    def settles(self, name: str, count: int, seconds: float = 50) -> set[str]:
        def there() -> set[str] | None:
            members = self.serving(name)
            return members if len(members) == count == len(self.described(name)["Instances"]) else None

        found: set[str] = eventually(there, seconds, f"{name} having {count} in service")
        return found

    def causes(self, name: str) -> str:
        found = self.asg.describe_scaling_activities(AutoScalingGroupName=name)["Activities"]
        return "\n".join(a["Cause"] for a in found)

    def explained(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.elba.run("explain", name, "--json").stdout)["decisions"]
        return found


@pytest.fixture(scope="module")
def stack(elba: Elba) -> Iterator[Stack]:
    made = Stack(elba)
    made.start()
    try:
        yield made
    finally:
        made.stop()
    assert made.load.failures == []


@pytest.fixture(autouse=True)
def no_request_fails(stack: Stack) -> Iterator[None]:
    sent = stack.load.sent
    yield
    assert stack.load.failures == []
    assert stack.load.sent > sent


def test_a_scheduled_action_scales_out(stack: Stack) -> None:
    stack.asg.put_scheduled_update_group_action(
        AutoScalingGroupName="base", ScheduledActionName="morning", StartTime=stack.now + 60, DesiredCapacity=3
    )
    stack.settles("base", 3)
    assert "a scheduled action update of AutoScalingGroup constraints to min: 2, max: 6, desired: 3" in (
        stack.causes("base")
    )
    decision = stack.explained("base")[-1]
    assert (decision["trigger"], decision["before"], decision["after"]) == ("schedule", 2, 3)
    assert decision["activities"][0]["status"] == "Successful"
    assert "morning: 2 → 3" in stack.elba.run("explain", "base").stdout


def test_a_step_policy_follows_a_custom_alarm(stack: Stack) -> None:
    policy = stack.asg.put_scaling_policy(
        AutoScalingGroupName="base",
        PolicyName="queue",
        PolicyType="StepScaling",
        AdjustmentType="ChangeInCapacity",
        StepAdjustments=[
            {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 100, "ScalingAdjustment": 1},
            {"MetricIntervalLowerBound": 100, "ScalingAdjustment": 2},
        ],
    )["PolicyARN"]
    stack.cloudwatch.put_metric_alarm(
        AlarmName="backlog",
        Namespace="Shop",
        MetricName="Backlog",
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=10,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[policy],
    )
    before = stack.settles("base", 3)

    def grown() -> bool:
        stack.cloudwatch.put_metric_data(Namespace="Shop", MetricData=[{"MetricName": "Backlog", "Value": 50}])
        return bool(stack.described("base")["DesiredCapacity"] == 4)

    eventually(grown, 40, "the step policy scaling out")
    stack.cloudwatch.disable_alarm_actions(AlarmNames=["backlog"])
    size = stack.described("base")["DesiredCapacity"]
    assert before < stack.settles("base", size)
    assert (
        "a monitor alarm backlog in state ALARM triggered policy queue changing the desired capacity from 3 to 4"
        in (stack.causes("base"))
    )
    (proposal,) = next(d for d in stack.explained("base") if d["after"] == 4)["inputs"]["proposals"]
    assert (proposal["metric"], proposal["threshold"]) == (50.0, 10.0)
    stack.asg.delete_policy(AutoScalingGroupName="base", PolicyName="queue")
    stack.asg.set_desired_capacity(AutoScalingGroupName="base", DesiredCapacity=2)
    stack.settles("base", 2)


def test_target_tracking_on_requests_per_target(stack: Stack) -> None:
    label = (
        stack.balancer["LoadBalancerArn"].split(":loadbalancer/")[1]
        + "/"
        + stack.target_group.rsplit(":", maxsplit=1)[1]
    )
    stack.asg.put_scaling_policy(
        AutoScalingGroupName="base",
        PolicyName="requests",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "ALBRequestCountPerTarget",
                "ResourceLabel": label,
            },
            "TargetValue": 40.0,  # two instances get about 120 / 2 = 60 requests per clock minute of three seconds
            "DisableScaleIn": True,
        },
    )
    eventually(lambda: stack.described("base")["DesiredCapacity"] > 2, 45, "request count scaling out")
    stack.asg.delete_policy(AutoScalingGroupName="base", PolicyName="requests")
    eventually(lambda: len(stack.serving("base")) > 2, 40, "its instances in service")
    decision = next(d for d in stack.explained("base") if d["trigger"] == "alarm" and d["before"] == 2)
    assert decision["inputs"]["proposals"][0]["policy"] == "requests"
    assert decision["inputs"]["proposals"][0]["arithmetic"].startswith("ceil(2 × ")
    stack.asg.set_desired_capacity(AutoScalingGroupName="base", DesiredCapacity=2)


def test_a_hook_holds_an_instance_until_it_is_completed(stack: Stack) -> None:
    stack.group(
        "hooked",
        1,
        2,
        LifecycleHookSpecificationList=[
            {
                "LifecycleHookName": "prepare",
                "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
                "HeartbeatTimeout": 3600,
                "DefaultResult": "ABANDON",
            }
        ],
    )

    def waiting() -> str:
        members = stack.described("hooked")["Instances"]
        return members[0]["InstanceId"] if members and members[0]["LifecycleState"] == "Pending:Wait" else ""

    instance = eventually(waiting, 30, "the instance waiting in the hook")
    served_before = stack.load.by_instance[instance]
    time.sleep(1.5)  # half a clock minute: it waits, and gets no request
    assert waiting() == instance
    assert stack.load.by_instance[instance] == served_before == 0
    stack.asg.complete_lifecycle_action(
        AutoScalingGroupName="hooked",
        LifecycleHookName="prepare",
        InstanceId=instance,
        LifecycleActionResult="CONTINUE",
    )
    assert stack.settles("hooked", 1) == {instance}
    eventually(lambda: stack.load.by_instance[instance] > 0, 45, "requests reaching it")
    stack.asg.delete_auto_scaling_group(AutoScalingGroupName="hooked", ForceDelete=True)


def test_a_stopped_instance_of_the_warm_pool_comes_into_service(stack: Stack) -> None:
    stack.group("warm", 1, 3)
    stack.asg.put_warm_pool(AutoScalingGroupName="warm", MinSize=1, PoolState="Stopped", MaxGroupPreparedCapacity=2)

    def pooled() -> str:
        found = stack.asg.describe_warm_pool(AutoScalingGroupName="warm")["Instances"]
        stopped = [i["InstanceId"] for i in found if i["LifecycleState"] == "Warmed:Stopped"]
        return stopped[0] if len(stopped) == 1 else ""

    instance = eventually(pooled, 60, "one stopped instance in the warm pool")
    stack.settles("warm", 1)
    assert instance not in stack.load.by_instance
    stack.asg.set_desired_capacity(AutoScalingGroupName="warm", DesiredCapacity=2)
    eventually(lambda: instance in stack.serving("warm"), 50, "the pool's instance in service")
    eventually(lambda: stack.load.by_instance[instance] > 0, 45, "requests reaching it")
    stack.asg.delete_auto_scaling_group(AutoScalingGroupName="warm", ForceDelete=True)


def test_an_instance_refresh_replaces_every_instance(stack: Stack) -> None:
    old = stack.settles("base", 2)
    refresh = stack.asg.start_instance_refresh(
        AutoScalingGroupName="base",
        Preferences={"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200, "InstanceWarmup": 10},
    )["InstanceRefreshId"]

    def state() -> str:
        found = stack.asg.describe_instance_refreshes(AutoScalingGroupName="base", InstanceRefreshIds=[refresh])
        return str(found["InstanceRefreshes"][0]["Status"])

    eventually(lambda: state() == "Successful", 60, "the refresh")
    new = stack.settles("base", 2)
    assert not new & old
    eventually(lambda: all(stack.load.by_instance[i] for i in new), 45, "requests reaching the new ones")


def test_traffic_turns_away_from_a_zone_and_comes_back(stack: Stack) -> None:
    stack.settles("base", 2)
    eventually(lambda: len(stack.load.window().by_zone) == 2, 20, "both instances taking requests")
    zone = stack.described("base")["Instances"][0]["AvailabilityZone"]
    zones = stack.ec2.describe_availability_zones(ZoneNames=[zone])["AvailabilityZones"]
    stack.elbv2.modify_load_balancer_attributes(
        LoadBalancerArn=stack.balancer["LoadBalancerArn"],
        Attributes=[{"Key": "zonal_shift.config.enabled", "Value": "true"}],
    )
    arc = stack.elba.client("arc-zonal-shift")
    shift = arc.start_zonal_shift(
        resourceIdentifier=stack.balancer["LoadBalancerArn"],
        awayFrom=zones[0]["ZoneId"],
        expiresIn="1h",
        comment="a drill",
    )["zonalShiftId"]
    eventually(lambda: zone not in stack.load.window().by_zone, 15, "nobody asking in the zone")
    assert stack.load.window().by_zone
    described = stack.elbv2.describe_target_health(TargetGroupArn=stack.target_group)["TargetHealthDescriptions"]
    assert {d["AdministrativeOverride"]["State"] for d in described} == {"no_override", "zonal_shift_active"}
    assert {d["TargetHealth"]["State"] for d in described} == {"healthy"}
    arc.cancel_zonal_shift(zonalShiftId=shift)
    eventually(lambda: zone in stack.load.window().by_zone, 15, "the zone taking requests again")


def test_a_group_scales_on_a_metric_that_its_instances_put_with_their_role(stack: Stack) -> None:
    stack.iam.create_role(RoleName="shop", AssumeRolePolicyDocument=json.dumps(ROLE_TRUST))
    stack.iam.create_instance_profile(InstanceProfileName="shop")
    stack.iam.add_role_to_instance_profile(InstanceProfileName="shop", RoleName="shop")
    user_data = base64.b64encode(PUTS_CONNECTED_USERS.encode()).decode()
    stack.template("shop", IamInstanceProfile={"Name": "shop"}, UserData=user_data)
    stack.group("shop", 1, 3, LaunchTemplate={"LaunchTemplateName": "shop"}, TargetGroupARNs=[], HealthCheckType="EC2")
    stack.asg.put_scaling_policy(
        AutoScalingGroupName="shop",
        PolicyName="users",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={
            "CustomizedMetricSpecification": {
                "Namespace": "Shop",
                "MetricName": "ConnectedUsers",
                "Statistic": "Average",
                "Unit": "Count",
            },
            "TargetValue": 100.0,
        },
    )
    eventually(lambda: stack.described("shop")["DesiredCapacity"] == 3, 60, "scaling out on ConnectedUsers")
    stack.settles("shop", 3)
    decision = next(d for d in stack.explained("shop") if d["trigger"] == "alarm" and d["after"] != d["before"])
    proposal = decision["inputs"]["proposals"][0]
    assert (proposal["policy"], proposal["metric"], proposal["target"]) == ("users", 300.0, 100.0)
    assert proposal["arithmetic"].startswith("ceil(1 × 300 ÷ 100)")
    with urllib.request.urlopen(f"{stack.elba.endpoint}/metrics", timeout=10) as response:
        scraped = response.read().decode()
    assert 'shop_connected_users_max{account="000000000000",region="us-east-1",unit="Count"} 300.0' in scraped
    assert "aws_application_elb_request_count_sum" in scraped
