"""The model's constraints in AWS's words."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from elba.errors import ApiError
from elba.server.services import SERVED
from elba.wire import JSON, HttpRequest, detect
from elba.wire.constraints import translate_pattern

SERVICES = {served.name: served.wire for served in SERVED}


def refusal(service: str, operation: str, body: dict[str, str] | bytes) -> ApiError:
    wire = SERVICES[service]
    found = wire.operation(operation)
    assert found is not None
    if isinstance(body, bytes):
        envelope = detect(HttpRequest("POST", "/", "", {"x-amz-target": f"{wire.target_prefix}.{operation}"}, body))
        protocol = JSON
    else:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        envelope = detect(HttpRequest("POST", "/", "", headers, urlencode(body).encode()))
        protocol = wire.query_protocol()
    with pytest.raises(ApiError) as caught:
        found.parse(envelope, protocol)
    return caught.value


ARN = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/a/1"


@pytest.mark.parametrize(
    ("service", "operation", "body", "code", "message"),
    [
        (
            "elbv2",
            "SetIpAddressType",
            {"LoadBalancerArn": ARN, "IpAddressType": "x"},
            "ValidationError",
            "1 validation error detected: Value 'x' at 'ipAddressType' failed to satisfy constraint: "
            "Member must satisfy enum value set: [ipv4, dualstack, dualstack-without-public-ipv4]",
        ),
        (
            "elbv2",
            "DescribeLoadBalancers",
            {"PageSize": "0"},
            "ValidationError",
            "1 validation error detected: Value '0' at 'pageSize' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1",
        ),
        (
            "elbv2",
            "SetIpAddressType",
            {},
            "ValidationError",
            "2 validation errors detected: Value null at 'loadBalancerArn' failed to satisfy constraint: Member must "
            "not be null; Value null at 'ipAddressType' failed to satisfy constraint: Member must not be null",
        ),
        (
            "elbv2",
            "AddTags",
            {"ResourceArns.member.1": ARN, "Tags.member.1.Value": "v"},
            "ValidationError",
            "1 validation error detected: Value null at 'tags.1.member.key' failed to satisfy constraint: "
            "Member must not be null",
        ),
        (
            "elbv2",
            "DescribeLoadBalancers",
            {"PageSize": "many"},
            "ValidationError",
            "1 validation error detected: Value 'many' at 'pageSize' failed to satisfy constraint: "
            "Member must be an integer",
        ),
        (
            "autoscaling",
            "SetDesiredCapacity",
            {"AutoScalingGroupName": "", "DesiredCapacity": "1"},
            "ValidationError",
            "1 validation error detected: Value null at 'autoScalingGroupName' failed to satisfy constraint: "
            "Member must not be null",
        ),
        (
            "autoscaling",
            "SetDesiredCapacity",
            {"AutoScalingGroupName": "g" * 256, "DesiredCapacity": "1"},
            "ValidationError",
            f"1 validation error detected: Value '{'g' * 256}' at 'autoScalingGroupName' failed to satisfy "
            "constraint: Member must have length less than or equal to 255",
        ),
        ("ec2", "TerminateInstances", {}, "MissingParameter", "The request must contain the parameter InstanceId"),
        (
            "ec2",
            "DescribeInstances",
            {"MaxResults": "x"},
            "InvalidParameterValue",
            "Value (x) for parameter maxResults is invalid. It must be an integer.",
        ),
        (
            "ec2",
            "CreateVpc",
            {"CidrBlock": "10.0.0.0/16", "InstanceTenancy": "x"},
            "InvalidParameterValue",
            "Value (x) for parameter instanceTenancy is invalid.",
        ),
        ("cloudwatch", "ListMetrics", {"Namespace": ":x"}, "ValidationError", None),
        ("cloudwatch", "PutMetricAlarm", {}, "MissingParameter", "The parameter AlarmName is required."),
        ("ssm", "GetParameter", b"{}", "ValidationException", None),
        (
            "ssm",
            "GetParameter",
            b'{"Name": 1}',
            "SerializationException",
            "NUMBER_VALUE can not be converted to a String",
        ),
        ("ssm", "GetParameter", b"[]", "SerializationException", "START_ARRAY can not be converted to a structure"),
        ("iam", "CreateRole", {"RoleName": "a b", "AssumeRolePolicyDocument": "{}"}, "ValidationError", None),
    ],
)
def test_wording(service: str, operation: str, body: dict[str, str] | bytes, code: str, message: str | None) -> None:
    error = refusal(service, operation, body)
    assert (error.code, error.status) == (code, 400)
    if message is not None:
        assert error.message == message
    else:
        assert error.message.startswith("1 validation error detected: Value ")


def test_secrets_are_not_repeated() -> None:
    error = refusal("acm", "ImportCertificate", b'{"Certificate": "eA==", "PrivateKey": ""}')
    assert "Value at 'privateKey' failed to satisfy constraint: Member must have length" in error.message


def test_ec2_takes_instance_types_that_the_model_does_not_know() -> None:
    operation = SERVICES["ec2"].operation("RunInstances")
    assert operation is not None
    headers = {"content-type": "application/x-www-form-urlencoded"}
    body = b"Action=RunInstances&InstanceType=z9.nano&MinCount=1&MaxCount=1"
    request = operation.parse(detect(HttpRequest("POST", "/", "", headers, body)), "ec2")
    assert request == {"instance_type": "z9.nano", "min_count": 1, "max_count": 1}


def test_an_empty_tag_value_is_a_value() -> None:
    operation = SERVICES["ec2"].operation("CreateTags")
    assert operation is not None
    headers = {"content-type": "application/x-www-form-urlencoded"}
    body = b"Action=CreateTags&ResourceId.1=i-1&Tag.1.Key=k&Tag.1.Value=&Tag.2.Key=&Tag.10.Key=ten&Tag.9.Key=nine"
    request = operation.parse(detect(HttpRequest("POST", "/", "", headers, body)), "ec2")
    assert request["tags"] == [{"key": "k", "value": ""}, {}, {"key": "nine"}, {"key": "ten"}]


def test_an_empty_string_clears_what_is_documented_to_be_cleared_by_it() -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    for name, field in (("PlacementGroup", "placement_group"), ("Context", "context")):
        operation = SERVICES["autoscaling"].operation("UpdateAutoScalingGroup")
        assert operation is not None
        body = f"Action=UpdateAutoScalingGroup&AutoScalingGroupName=g&MinSize=&{name}=".encode()
        request = operation.parse(detect(HttpRequest("POST", "/", "", headers, body)), "query")
        assert request == {"auto_scaling_group_name": "g", field: ""}


@pytest.mark.parametrize(
    ("source", "yes", "no"),
    [
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*", "aé\U0001f600\n", "\x01"),
        (r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$", "Größe 東京/1", "a\tb"),
        (r"\p{L}+", "ß", "1"),
        (r"[\w+=,.@-]+", "a@b", "a b"),
        (r"\p{Alnum}+", "aZ9", "é"),
    ],
)
def test_java_patterns(source: str, yes: str, no: str) -> None:
    pattern = translate_pattern(source)
    assert pattern is not None
    assert pattern.fullmatch(yes)
    assert not pattern.fullmatch(no)


def test_every_pattern_of_the_built_services_is_understood_or_known_not_to_be() -> None:
    unknown = {
        (name, shape["pattern"])
        for name in ("elb", "elbv2", "autoscaling", "cloudwatch", "sts", "iam", "ssm")
        for shape in SERVICES[name].raw["shapes"].values()
        if "pattern" in shape and translate_pattern(shape["pattern"]) is None
    }
    assert not unknown
