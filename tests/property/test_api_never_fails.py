"""Whatever a client asks of any built operation, the answer is the operation's or an AWS-shaped 4xx.

Requests are drawn from the models, with identifiers, names and numbers that mean something to a small world often
enough for the calls to get past the first look-up. A 5xx is a bug: an unforeseen value, or an answer that its own
model does not allow.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from unittest import mock

import botocore.parsers
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elba.server.services import SERVED, Served
from elba.testing import World

SERVICES = [served for served in SERVED if served.built()]

PROFILE = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


class Known:
    """A world with a little of everything, and the texts that name its parts."""

    def __init__(self) -> None:
        self.world = World()
        ec2, iam = self.world.boto3("ec2"), self.world.boto3("iam")
        elbv2, autoscaling = self.world.boto3("elbv2"), self.world.boto3("autoscaling")
        subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]]
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        balancer = elbv2.create_load_balancer(Name="lb", Subnets=subnets[:2])["LoadBalancers"][0]["LoadBalancerArn"]
        group = elbv2.create_target_group(Name="tg", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]
        listener = elbv2.create_listener(
            LoadBalancerArn=balancer,
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
        )["Listeners"][0]["ListenerArn"]
        template = ec2.create_launch_template(
            LaunchTemplateName="template", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"}
        )["LaunchTemplate"]["LaunchTemplateId"]
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName="asg",
            MinSize=0,
            MaxSize=3,
            DesiredCapacity=1,
            LaunchTemplate={"LaunchTemplateId": template},
            VPCZoneIdentifier=subnets[0],
            TargetGroupARNs=[group["TargetGroupArn"]],
        )
        self.world.advance(120)
        instances = [each["InstanceId"] for r in ec2.describe_instances()["Reservations"] for each in r["Instances"]]
        trust = '{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}'
        iam.create_role(RoleName="role", AssumeRolePolicyDocument=trust)
        iam.create_instance_profile(InstanceProfileName="role")
        self.texts = [balancer, group["TargetGroupArn"], listener, template, image, vpc, *subnets[:2], *instances]
        self.texts += [each["GroupId"] for each in ec2.describe_security_groups()["SecurityGroups"]]
        self.texts += ["lb", "tg", "template", "asg", "role"]
        self.texts += ["a", "", "tag:a", "10.0.0.0/16", "172.31.0.5", "us-east-1a", "t3.small", "$Latest", "1", "*"]
        self.texts += [
            "arn:aws:iam::000000000000:role/role",
            "AWS/EC2",
            "CPUUtilization",
            trust,
            "2026-01-01T00:00:00Z",
        ]
        self.texts += [
            "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/x/0123456789abcdef",
            "héß",
            "{",
            "-",
        ]


@pytest.fixture(scope="module")
def known() -> Iterator[Known]:
    made = Known()
    yield made
    made.world.close()


def value_of(shape: Any, texts: st.SearchStrategy[str], depth: int = 0) -> st.SearchStrategy[Any]:
    kind = shape.type_name
    if kind == "structure":
        return structure_of(shape, texts, depth)
    if kind == "list":
        return st.lists(value_of(shape.member, texts, depth + 1), max_size=2)
    if kind == "map":
        return st.dictionaries(texts, value_of(shape.value, texts, depth + 1), max_size=2)
    if kind == "timestamp":
        return st.sampled_from(["2026-01-01T00:00:00Z", "2025-12-31T00:00:00Z", "2030-01-01T00:00:00Z", 0])
    if kind == "boolean":
        return st.booleans()
    if kind in ("integer", "long"):
        least, most = shape.metadata.get("min", -1), shape.metadata.get("max", 2**31 - 1)
        return st.sampled_from([0, 1, 2, 60, 80, 300, -1, 65536, int(least), int(min(most, 2**31 - 1))])
    if kind in ("float", "double"):
        return st.sampled_from([0.0, 1.0, 50.0, -1.0, 1e300])
    if kind == "blob":
        return st.sampled_from([b"", b"x", b"\xff\x00"])
    if shape.enum:
        return st.sampled_from(shape.enum)
    return texts


def structure_of(shape: Any, texts: st.SearchStrategy[str], depth: int) -> st.SearchStrategy[dict[str, Any]]:
    required = set(shape.required_members)
    optional = [name for name in shape.members if name not in required]

    @st.composite
    def build(draw: st.DrawFn) -> dict[str, Any]:
        chosen = (
            set(draw(st.lists(st.sampled_from(optional), max_size=4, unique=True))) if optional and depth < 5 else set()
        )
        return {
            n: draw(value_of(m, texts, depth + 1)) for n, m in shape.members.items() if n in required or n in chosen
        }

    return build()


@pytest.mark.parametrize("served", SERVICES, ids=lambda served: served.name)
def test_never_a_5xx(known: Known, served: Served, caplog: pytest.LogCaptureFixture) -> None:
    client = known.world.boto3(served.name, validate=False)
    texts = st.sampled_from(known.texts)
    names = served.built()

    @PROFILE
    @given(st.data())
    def check(data: st.DataObject) -> None:
        operation = served.wire.operation(data.draw(st.sampled_from(names)))
        assert operation is not None
        shape = operation.model.input_shape
        parameters = data.draw(structure_of(shape, texts, 0)) if shape is not None else {}
        caplog.clear()
        try:
            with mock.patch.object(botocore.parsers, "LOG", logging.getLogger("quiet")):
                getattr(client, operation.python_name)(**parameters)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            assert status < 500, caplog.text
            assert error.response["Error"]["Code"], error.response

    check()
