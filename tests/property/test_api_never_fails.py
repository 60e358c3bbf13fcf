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
from botocore.exceptions import (
    ClientError,
    FlexibleChecksumError,
    MissingDependencyException,
    ParamValidationError,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elba.server.services import SERVED, Served
from elba.testing import World
from elba.wire import Style
from elba.wire.constraints import compile_check

SERVICES = [served for served in SERVED if served.built()]

DESTRUCTIVE = ("Delete", "Terminate", "Deregister", "Detach", "Disassociate", "Release", "Stop")

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
        s3 = self.world.boto3("s3")
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="a/b", Body=b"text")
        trust = '{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}'
        iam.create_role(RoleName="role", AssumeRolePolicyDocument=trust)
        iam.create_instance_profile(InstanceProfileName="role")
        groups = [each["GroupId"] for each in ec2.describe_security_groups()["SecurityGroups"]]
        role = "arn:aws:iam::000000000000:role/role"
        self.pools: dict[str, list[str]] = {
            "loadbalancerarn": [balancer],
            "loadbalancer": ["lb"],
            "targetgrouparn": [group["TargetGroupArn"]],
            "targetgroup": ["tg"],
            "listener": [listener],
            "resourcearn": [balancer, group["TargetGroupArn"], listener],
            "instance": [*instances, "i-0123456789abcdef0"],
            "target": instances,
            "image": [image],
            "subnet": subnets[:2],
            "vpczone": [",".join(subnets[:2])],
            "vpc": [vpc],
            "group": groups,
            "autoscalinggroup": ["asg"],
            "launchtemplatename": ["template"],
            "launchtemplate": [template],
            "version": ["1", "$Latest", "v1"],
            "role": ["role", role],
            "rolearn": [role],
            "profile": ["role"],
            "policyarn": ["arn:aws:iam::aws:policy/AdministratorAccess"],
            "policydocument": [trust, POLICY],
            "user": ["ann", "bob"],
            "cidr": ["10.0.0.0/16", "172.31.0.0/20", "0.0.0.0/0", "::/0"],
            "availabilityzone": ["us-east-1a", "us-east-1b"],
            "zone": ["us-east-1a"],
            "instancetype": ["t3.micro", "m5.large", "z9.nano"],
            "namespace": ["AWS/EC2", "Mine"],
            "metric": ["CPUUtilization", "m"],
            "alarm": ["alarm", "arn:aws:cloudwatch:us-east-1:000000000000:alarm:alarm"],
            "dashboardbody": ["{}", '{"widgets": []}'],
            "filter": ["vpc-id", "tag:a", "instance-state-name", "group-name", "state", "nonsense"],
            "expression": ["m1 + 1", "ALARM(alarm)", "SUM(METRICS())"],
            "recurrence": ["0 0 * * *", "rubbish"],
            "host": ["example.com", "*.example.com"],
            "path": ["/", "/a/*", "/a/"],
            "port": ["80", "traffic-port"],
            "stat": ["Average", "p99", "Sum"],
            "bucket": ["bucket", "another"],
            "key": ["a/b", "a", "c/"],
            "copysource": ["bucket/a/b", "another/c"],
            "versionid": ["null", "x"],
            "range": ["bytes=0-1", "bytes=9-", "x"],
            "protocol": ["tcp", "-1", "HTTP", "6"],
        }
        self.texts = [each for pool in self.pools.values() for each in pool]
        self.texts += ["a", "", "1", "true", "*", "$Default", "2026-01-01T00:00:00Z", "héß", "{", "-", " ", "\n"]

    def pool_of(self, name: str) -> list[str]:
        """Texts that may mean something to a member of that name: those of the longest word in it that we know."""
        lower = name.lower()
        fitting = sorted((word for word in self.pools if word in lower), key=len)
        return self.pools[fitting[-1]] if fitting else ["a", "b", "value"]


UNSENT = (FlexibleChecksumError, MissingDependencyException, ParamValidationError)
"""What the client itself refuses to send: some of S3's names and checksums."""

POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'


@pytest.fixture(scope="module")
def known() -> Iterator[Known]:
    made = Known()
    yield made
    made.world.close()


def value_of(known: Known, shape: Any, name: str, depth: int = 0) -> st.SearchStrategy[Any]:
    kind = shape.type_name
    if kind == "structure":
        return structure_of(known, shape, depth)
    if kind == "list":
        least, most = shape.metadata.get("min", 0), min(shape.metadata.get("max", 2), 2)
        return st.lists(value_of(known, shape.member, name, depth + 1), min_size=min(least, most), max_size=most)
    if kind == "map":
        return st.dictionaries(st.sampled_from(["a", "b"]), value_of(known, shape.value, name, depth + 1), max_size=2)
    if kind == "timestamp":
        return st.sampled_from(["2026-01-01T00:00:00Z", "2025-12-31T00:00:00Z", "2026-01-01T01:00:00Z", 0])
    if kind == "boolean":
        return st.booleans()
    if kind in ("integer", "long", "float", "double"):
        least, most = shape.metadata.get("min", -1), shape.metadata.get("max", 2**31 - 1)
        wanted = [n for n in (0, 1, 2, 5, 60, 80, 300, 3600, least, min(most, 2**31 - 1)) if least <= n <= most]
        if kind in ("integer", "long"):
            return st.sampled_from([int(n) for n in wanted])
        return st.sampled_from([float(n) for n in wanted] + [0.5, 1e300])
    if kind == "blob":
        return st.sampled_from([b"", b"x", b"\xff\x00", b"#!/bin/sh\n"])
    anything = st.sampled_from(known.texts)
    pool = shape.enum or known.pool_of(name)
    check = compile_check(shape, Style(), "query")
    fitting = st.sampled_from([text for text in pool if check is None or not check(text)] or pool)
    return st.integers(0, 9).flatmap(lambda dice: anything if dice == 0 else fitting)


def structure_of(known: Known, shape: Any, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    required = set(shape.required_members)
    # DryRun would end most calls before they have done anything; it has a test of its own.
    optional = [n for n in shape.members if n not in required and n not in ("DryRun", "NextToken", "Marker")]
    most = 4 if depth < 5 else 0

    @st.composite
    def build(draw: st.DrawFn) -> dict[str, Any]:
        chosen = set(draw(st.lists(st.sampled_from(optional), max_size=most, unique=True))) if optional else set()
        return {
            name: draw(
                value_of(known, member, f"{shape.name}{name}" if name in ("Name", "Values") else name, depth + 1)
            )
            for name, member in shape.members.items()
            if name in required or name in chosen
        }

    return build()


@pytest.mark.parametrize("served", SERVICES, ids=lambda served: served.name)
def test_never_a_5xx(known: Known, served: Served, caplog: pytest.LogCaptureFixture) -> None:
    client = known.world.boto3(served.name, validate=False)
    # What deletes what the others work on comes last.
    names = sorted(served.built(), key=lambda name: name.startswith(DESTRUCTIVE))
    lasting = [name for name in names if not name.startswith(DESTRUCTIVE)]

    def check(data: st.DataObject, names: list[str]) -> None:
        operation = served.wire.operation(data.draw(st.sampled_from(names)))
        assert operation is not None
        shape = operation.model.input_shape
        parameters = data.draw(structure_of(known, shape, 0)) if shape is not None else {}
        caplog.clear()
        try:
            with mock.patch.object(botocore.parsers, "LOG", logging.getLogger("quiet")):
                getattr(client, operation.python_name)(**parameters)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            assert status < 500, caplog.text
            assert error.response["Error"]["Code"], error.response
        except UNSENT:
            pass

    for some in (lasting, names):
        PROFILE(given(st.data(), st.just(some))(check))()
