"""The unmodified aws command line."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

import pytest

from tests.acceptance.conftest import Elba

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


class Aws:
    def __init__(self, elba: Elba) -> None:
        self._environment = {**elba.environment(), "AWS_PAGER": "", "AWS_CONFIG_FILE": "/dev/null"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "awscli", *arguments, "--output", "json"],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def __call__(self, *arguments: str) -> Any:
        result = self.run(*arguments)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout) if result.stdout.strip() else None


@pytest.fixture(scope="module")
def aws(elba: Elba) -> Aws:
    return Aws(elba)


def test_who_am_i(aws: Aws) -> None:
    assert aws("sts", "get-caller-identity")["Account"] == "000000000000"


def test_a_balancer_a_group_and_its_policy(aws: Aws) -> None:
    subnets = aws("ec2", "describe-subnets", "--query", "Subnets[].SubnetId")
    vpc = aws("ec2", "describe-vpcs", "--query", "Vpcs[0].VpcId")
    image = aws(
        "ec2", "describe-images", "--owners", "amazon", "--filters", "Name=name,Values=al2023-ami-2023*-x86_64",
        "--query", "sort_by(Images,&CreationDate)[-1].ImageId",
    )  # fmt: skip
    aws(
        "ec2", "create-launch-template", "--launch-template-name", "cli",
        "--launch-template-data", json.dumps({"ImageId": image, "InstanceType": "t3.micro"}),
    )  # fmt: skip
    balancer = aws("elbv2", "create-load-balancer", "--name", "cli", "--subnets", *subnets)["LoadBalancers"][0]
    group = aws("elbv2", "create-target-group", "--name", "cli", "--protocol", "HTTP", "--port", "80", "--vpc-id", vpc)[
        "TargetGroups"
    ][0]
    listener = aws(
        "elbv2", "create-listener", "--load-balancer-arn", balancer["LoadBalancerArn"], "--protocol", "HTTP",
        "--port", "8081", "--default-actions", f"Type=forward,TargetGroupArn={group['TargetGroupArn']}",
    )["Listeners"][0]  # fmt: skip
    rule = aws(
        "elbv2", "create-rule", "--listener-arn", listener["ListenerArn"], "--priority", "10",
        "--conditions", "Field=path-pattern,Values=/images/*",
        "--actions", f"Type=forward,TargetGroupArn={group['TargetGroupArn']}",
    )["Rules"][0]  # fmt: skip
    assert rule["Priority"] == "10"
    aws(
        "autoscaling", "create-auto-scaling-group", "--auto-scaling-group-name", "cli",
        "--launch-template", "LaunchTemplateName=cli,Version=$Latest", "--min-size", "1", "--max-size", "2",
        "--vpc-zone-identifier", ",".join(subnets), "--target-group-arns", group["TargetGroupArn"],
    )  # fmt: skip
    policy = aws(
        "autoscaling", "put-scaling-policy", "--auto-scaling-group-name", "cli", "--policy-name", "cpu",
        "--policy-type", "TargetTrackingScaling", "--target-tracking-configuration",
        json.dumps(
            {
                "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
                "TargetValue": 50.0,
            }
        ),
    )  # fmt: skip
    assert len(policy["Alarms"]) == 2
    alarms = aws("cloudwatch", "describe-alarms", "--alarm-name-prefix", "TargetTracking-cli-")["MetricAlarms"]
    assert {alarm["Threshold"] for alarm in alarms} == {50.0, 45.0}
    aws("elbv2", "wait", "load-balancer-available", "--load-balancer-arns", balancer["LoadBalancerArn"])
    aws("autoscaling", "delete-auto-scaling-group", "--auto-scaling-group-name", "cli", "--force-delete")
    aws("elbv2", "delete-load-balancer", "--load-balancer-arn", balancer["LoadBalancerArn"])


def test_an_error_shows_as_from_aws(aws: Aws) -> None:
    result = aws.run("elbv2", "describe-load-balancers", "--names", "nobody")
    assert result.returncode != 0
    assert "(LoadBalancerNotFound) when calling the DescribeLoadBalancers operation" in result.stderr


def test_metrics_put_and_read_back(aws: Aws) -> None:
    aws(
        "cloudwatch", "put-metric-data", "--namespace", "Shop", "--metric-name", "Users", "--value", "42",
        "--dimensions", "Site=a",
    )  # fmt: skip
    found = aws("cloudwatch", "list-metrics", "--namespace", "Shop")["Metrics"]
    assert found == [{"Namespace": "Shop", "MetricName": "Users", "Dimensions": [{"Name": "Site", "Value": "a"}]}]
    widget = json.dumps({"metrics": [["Shop", "Users", "Site", "a"]], "start": "-PT1H", "end": "P0D", "title": "Users"})
    image = aws("cloudwatch", "get-metric-widget-image", "--metric-widget", widget)["MetricWidgetImage"]
    assert base64.b64decode(image).startswith(b"\x89PNG")
