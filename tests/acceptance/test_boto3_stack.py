"""An unmodified boto3 client builds the stack of the tour and traffic flows through it."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
from typing import Any

import aiohttp
import botocore.exceptions
import pytest

from tests.acceptance.conftest import Elba, eventually, free_port

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def stack(elba: Elba) -> dict[str, Any]:
    """Launch template, load balancer, target group, listener, group of two."""
    ec2, elbv2, autoscaling, ssm = (elba.client(s) for s in ("ec2", "elbv2", "autoscaling", "ssm"))
    image = ssm.get_parameter(Name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64")
    subnets = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    assert len(subnets) == 3
    ec2.create_launch_template(
        LaunchTemplateName="web",
        LaunchTemplateData={"ImageId": image["Parameter"]["Value"], "InstanceType": "t3.micro"},
    )
    balancer = elbv2.create_load_balancer(Name="web", Subnets=[s["SubnetId"] for s in subnets])["LoadBalancers"][0]
    assert balancer["State"]["Code"] in ("provisioning", "active")
    group = elbv2.create_target_group(
        Name="web", Protocol="HTTP", Port=80, VpcId=subnets[0]["VpcId"], HealthCheckPath="/health"
    )["TargetGroups"][0]
    port = free_port()
    listener = elbv2.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=port,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
    )["Listeners"][0]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="web",
        LaunchTemplate={"LaunchTemplateName": "web", "Version": "$Latest"},
        MinSize=2,
        MaxSize=4,
        VPCZoneIdentifier=",".join(s["SubnetId"] for s in subnets),
        TargetGroupARNs=[group["TargetGroupArn"]],
        HealthCheckType="ELB",
        HealthCheckGracePeriod=120,
    )
    elbv2.get_waiter("load_balancer_available").wait(
        LoadBalancerArns=[balancer["LoadBalancerArn"]], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    elbv2.get_waiter("target_in_service").wait(
        TargetGroupArn=group["TargetGroupArn"], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    eventually(lambda: len(healthy(elba, group["TargetGroupArn"])) == 2, 60, "two healthy targets")
    return {"balancer": balancer, "group": group, "listener": listener, "port": port}


def healthy(elba: Elba, target_group: str) -> list[str]:
    found = elba.client("elbv2").describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
    return [each["Target"]["Id"] for each in found if each["TargetHealth"]["State"] == "healthy"]


def get(elba: Elba, name: str, port: int, times: int) -> list[tuple[int, str]]:
    """(status, instance) of so many requests, the name resolved by Elba's DNS."""

    async def main() -> list[tuple[int, str]]:
        connector = aiohttp.TCPConnector(resolver=elba.resolver(), force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            answers = []
            for _ in range(times):
                async with session.get(f"http://{name}:{port}/") as response:
                    await response.read()
                    answers.append((response.status, response.headers.get("X-Instance-Id", "")))
            return answers

    return asyncio.run(main())


def test_traffic_reaches_every_instance_by_the_dns_name(elba: Elba, stack: dict[str, Any]) -> None:
    answers = get(elba, stack["balancer"]["DNSName"], stack["port"], 40)
    assert {status for status, _ in answers} == {200}
    assert {instance for _, instance in answers} == set(healthy(elba, stack["group"]["TargetGroupArn"]))


def test_the_front_door_chooses_by_host_header(elba: Elba, stack: dict[str, Any]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack["port"], timeout=10)
    connection.request("GET", "/", headers={"Host": stack["balancer"]["DNSName"].upper()})
    response = connection.getresponse()
    assert response.status == 200
    assert response.getheader("X-Instance-Id")
    connection.close()


def test_the_group_launched_with_the_causes_aws_gives(elba: Elba, stack: dict[str, Any]) -> None:
    activities = elba.client("autoscaling").describe_scaling_activities(AutoScalingGroupName="web")["Activities"]
    assert len(activities) == 2
    for activity in activities:
        assert activity["StatusCode"] == "Successful"
        assert activity["Description"].startswith("Launching a new EC2 instance: i-")
        assert (
            "a user request created an AutoScalingGroup changing the desired capacity from 0 to 2." in activity["Cause"]
        )


def test_scaling_by_hand_out_and_in_loses_no_request(elba: Elba, stack: dict[str, Any]) -> None:
    autoscaling = elba.client("autoscaling")
    elba.client("elbv2").modify_target_group_attributes(
        TargetGroupArn=stack["group"]["TargetGroupArn"],
        Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "20"}],
    )
    autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=3)
    answers: list[tuple[int, str]] = []

    def step(condition: Any) -> bool:
        answers.extend(get(elba, stack["balancer"]["DNSName"], stack["port"], 5))
        return bool(condition())

    target_group = stack["group"]["TargetGroupArn"]
    eventually(lambda: step(lambda: len(healthy(elba, target_group)) == 3), 60, "three healthy targets")
    autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=2)

    def members() -> int:
        group = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["web"])["AutoScalingGroups"][0]
        return len(group["Instances"])

    eventually(lambda: step(lambda: members() == 2), 60, "two members again")
    assert {status for status, _ in answers} == {200}


def test_load_balancer_metrics_count_what_was_sent(elba: Elba, stack: dict[str, Any]) -> None:
    cloudwatch = elba.client("cloudwatch")
    name = stack["balancer"]["LoadBalancerArn"].split(":loadbalancer/")[1]

    def total() -> float:
        listed = cloudwatch.list_metrics(
            Namespace="AWS/ApplicationELB",
            MetricName="RequestCount",
            Dimensions=[{"Name": "LoadBalancer", "Value": name}],
        )["Metrics"]
        if not listed:
            return 0.0
        # AWS time runs ahead of ours here: ask up to two hours past now, as the API allows.
        settings = elba.settings
        now = settings.clock_origin + (time.time() - settings.clock_origin) * settings.time_scale
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/ApplicationELB",
            MetricName="RequestCount",
            Dimensions=[{"Name": "LoadBalancer", "Value": name}],
            StartTime=now - 7200,
            EndTime=now + 60,
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        return float(sum(point["Sum"] for point in points))

    before = total()
    get(elba, stack["balancer"]["DNSName"], stack["port"], 25)
    eventually(lambda: total() >= before + 25, 30, "25 more requests counted")


def test_errors_are_those_of_aws(elba: Elba) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        elba.client("ec2").describe_instances(InstanceIds=["i-0123456789abcdef0"])
    assert caught.value.response["Error"]["Code"] == "InvalidInstanceID.NotFound"
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        elba.client("elbv2", aws_secret_access_key="wrong").describe_load_balancers()
    assert caught.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        elba.client("ec2", aws_access_key_id="AKIAUNKNOWNUNKNOWN00").describe_instances()
    assert caught.value.response["Error"]["Code"] == "AuthFailure"
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        elba.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName="nobody")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert caught.value.response["ResponseMetadata"]["RequestId"]


def test_a_second_elba_on_the_same_port_says_what_to_do(elba: Elba, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Elba(tmp_path_factory.mktemp("other"))
    result = other.run("up", "--port", str(elba.port), "--dns-port", str(free_port()), check=False)
    assert result.returncode == 1
    assert f"127.0.0.1:{elba.port}" in result.stderr
    assert "--port" in result.stderr
    other.run("down", "--purge")


def test_a_second_elba_in_the_same_directory_is_refused(elba: Elba) -> None:
    result = elba.run("up", "--port", str(free_port()), check=False)
    assert result.returncode == 1
    assert "already runs" in result.stderr


def test_status_env_and_doctor(elba: Elba, stack: dict[str, Any]) -> None:
    status = json.loads(elba.run("status", "--json").stdout)
    assert status["load_balancers"][0]["name"] == "web"
    assert status["groups"][0]["in_service"] == 2
    assert "web" in elba.run("status").stdout
    exports = elba.run("env").stdout
    assert f"export AWS_ENDPOINT_URL={elba.endpoint}" in exports
    findings = json.loads(elba.run("doctor", "--json", check=False).stdout)
    assert {finding["level"] for finding in findings} <= {"ok", "note"}
    assert elba.run("logs", "-n", "5").stdout


def test_nothing_listens_on_a_deleted_listener(elba: Elba, stack: dict[str, Any]) -> None:
    elbv2 = elba.client("elbv2")
    port = free_port()
    listener = elbv2.create_listener(
        LoadBalancerArn=stack["balancer"]["LoadBalancerArn"],
        Protocol="HTTP",
        Port=port,
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": "hi"}}],
    )["Listeners"][0]

    def connects() -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    eventually(connects, 10, "the new listener listening")
    elbv2.delete_listener(ListenerArn=listener["ListenerArn"])
    eventually(lambda: not connects(), 10, "the deleted listener gone")
