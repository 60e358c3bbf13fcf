"""Functions, versions, aliases, permissions and invocations through boto3."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from elba.testing.world import World

from .kit import create, role, zipped

ARN = "arn:aws:lambda:us-east-1:000000000000:function:fn"
GROUP = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/x/y"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def refused(call: Any, **parameters: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


def test_a_function_through_its_life(world: World) -> None:
    fn = world.boto3("lambda")
    made = create(world, Environment={"Variables": {"AB": "1"}}, Tags={"k": "v"}, Timeout=5)
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (made["FunctionArn"], made["State"], made["LastUpdateStatus"]) == (ARN, "Active", "Successful")
    assert (made["Version"], made["PackageType"], made["Architectures"]) == ("$LATEST", "Zip", ["x86_64"])
    found = fn.get_function(FunctionName="fn")
    assert found["Tags"] == {"k": "v"} and found["Configuration"]["CodeSha256"] == made["CodeSha256"]
    with world.virtual_waits():
        fn.get_waiter("function_active_v2").wait(FunctionName=ARN)
    updated = fn.update_function_configuration(FunctionName="fn", Timeout=9, MemorySize=256)
    assert (updated["Timeout"], updated["MemorySize"]) == (9, 256)
    assert updated["RevisionId"] != made["RevisionId"]
    changed = fn.update_function_code(FunctionName="fn", ZipFile=zipped("def handler(e, c): return 2"))
    assert changed["CodeSha256"] != made["CodeSha256"]
    assert [f["FunctionName"] for f in fn.list_functions()["Functions"]] == ["fn"]
    assert fn.get_function_code_signing_config(FunctionName="fn")["FunctionName"] == "fn"
    fn.tag_resource(Resource=ARN, Tags={"x": "y"})
    fn.untag_resource(Resource=ARN, TagKeys=["k"])
    assert fn.list_tags(Resource=ARN)["Tags"] == {"x": "y"}
    assert fn.delete_function(FunctionName="fn")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(fn.get_function, FunctionName="fn") == (
        "ResourceNotFoundException",
        404,
        f"Function not found: {ARN}",
    )


def test_invocation_types_and_errors(world: World) -> None:
    fn = world.boto3("lambda")
    create(world, source="def handler(event, context):\n    return {'got': event['x']}\n")
    answer = fn.invoke(FunctionName="fn", Payload=b'{"x": [1]}', LogType="Tail")
    assert answer["StatusCode"] == 200 and json.loads(answer["Payload"].read()) == {"got": [1]}
    assert answer["ExecutedVersion"] == "$LATEST" and "FunctionError" not in answer
    assert base64.b64decode(answer["LogResult"]) == b""
    failed = fn.invoke(FunctionName="fn", Payload=b"{}")
    assert failed["StatusCode"] == 200 and failed["FunctionError"] == "Unhandled"
    assert json.loads(failed["Payload"].read())["errorType"] == "KeyError"
    assert fn.invoke(FunctionName="fn", InvocationType="DryRun")["StatusCode"] == 204
    assert refused(fn.invoke, FunctionName="fn", Payload=b"{nope")[:2] == ("InvalidRequestContentException", 400)
    assert refused(fn.invoke, FunctionName="no")[:2] == ("ResourceNotFoundException", 404)
    large = json.dumps("x" * 6_291_556).encode()
    assert refused(fn.invoke, FunctionName="fn", Payload=large)[:2] == ("RequestTooLargeException", 413)
    fn.put_function_concurrency(FunctionName="fn", ReservedConcurrentExecutions=0)
    assert refused(fn.invoke, FunctionName="fn")[:2] == ("TooManyRequestsException", 429)


def test_event_invocations_are_tried_three_times(world: World) -> None:
    fn = world.boto3("lambda")
    create(world, source="def handler(event, context):\n    raise ValueError('x')\n")
    assert fn.invoke(FunctionName="fn", InvocationType="Event", Payload=b'{"n": 1}')["StatusCode"] == 202
    world.advance(30)
    assert len(world.functions.invocations) == 1
    world.advance(300)
    assert world.functions.invocations == [(ARN, b'{"n": 1}')] * 3


def test_versions_and_aliases(world: World) -> None:
    fn = world.boto3("lambda")
    create(world, source="def handler(e, c): return 1")
    assert fn.publish_version(FunctionName="fn")["FunctionArn"] == f"{ARN}:1"
    assert fn.publish_version(FunctionName="fn")["Version"] == "1"  # nothing has changed
    fn.update_function_code(FunctionName="fn", ZipFile=zipped("def handler(e, c): return 2"))
    assert fn.publish_version(FunctionName="fn")["Version"] == "2"
    versions = fn.list_versions_by_function(FunctionName="fn")["Versions"]
    assert [v["Version"] for v in versions] == ["$LATEST", "1", "2"]
    alias = fn.create_alias(FunctionName="fn", Name="live", FunctionVersion="1")
    assert alias["AliasArn"] == f"{ARN}:live"
    assert fn.invoke(FunctionName=f"{ARN}:live")["Payload"].read() == b"1"
    assert fn.invoke(FunctionName="fn", Qualifier="2")["Payload"].read() == b"2"
    fn.update_alias(FunctionName="fn", Name="live", FunctionVersion="2")
    assert fn.invoke(FunctionName="fn", Qualifier="live")["Payload"].read() == b"2"
    assert refused(fn.create_alias, FunctionName="fn", Name="live", FunctionVersion="1")[:2] == (
        "ResourceConflictException",
        409,
    )
    assert refused(fn.delete_function, FunctionName="fn", Qualifier="2")[:2] == ("ResourceConflictException", 409)
    assert [a["Name"] for a in fn.list_aliases(FunctionName="fn")["Aliases"]] == ["live"]
    fn.delete_alias(FunctionName="fn", Name="live")
    assert refused(fn.get_alias, FunctionName="fn", Name="live")[:2] == ("ResourceNotFoundException", 404)


def test_permissions(world: World) -> None:
    fn = world.boto3("lambda")
    create(world)
    given = {"FunctionName": "fn", "StatementId": "s", "Action": "lambda:InvokeFunction",
             "Principal": "elasticloadbalancing.amazonaws.com", "SourceArn": GROUP}  # fmt: skip
    statement = json.loads(fn.add_permission(**given)["Statement"])
    assert statement["Principal"] == {"Service": "elasticloadbalancing.amazonaws.com"}
    assert statement["Condition"] == {"ArnLike": {"AWS:SourceArn": GROUP}}
    assert refused(fn.add_permission, **given)[:2] == ("ResourceConflictException", 409)
    assert json.loads(fn.get_policy(FunctionName="fn")["Policy"])["Statement"] == [statement]
    fn.remove_permission(FunctionName="fn", StatementId="s")
    assert refused(fn.get_policy, FunctionName="fn")[:2] == ("ResourceNotFoundException", 404)
    assert refused(fn.remove_permission, FunctionName="fn", StatementId="s")[:2] == ("ResourceNotFoundException", 404)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Runtime": "nodejs20.x"}, ("InvalidParameterValueException", 400)),
        ({"Role": "arn:aws:iam::000000000000:role/none"}, ("InvalidParameterValueException", 400)),
        ({"Code": {"ZipFile": b"no zip"}}, ("InvalidParameterValueException", 400)),
        ({"Code": {"ZipFile": zipped("x", "../out.py")}}, ("InvalidParameterValueException", 400)),
        ({"Code": {"S3Bucket": "bucket", "S3Key": "key"}}, ("InvalidParameterValueException", 400)),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, ("InvalidParameterValueException", 400)),
        ({"Timeout": 901}, ("ValidationException", 400)),
        ({"FunctionName": "fn"}, ("ResourceConflictException", 409)),
    ],
)
def test_what_create_refuses(world: World, changes: dict[str, Any], expected: tuple[str, int]) -> None:
    fn = world.boto3("lambda")
    create(world)
    parameters = {"FunctionName": "other", "Runtime": "python3.12", "Role": role(world.boto3("iam")),
                  "Handler": "app.handler", "Code": {"ZipFile": zipped("x = 1")}}  # fmt: skip
    assert refused(fn.create_function, **{**parameters, **changes})[:2] == expected
    assert len(fn.list_functions()["Functions"]) == 1


def test_an_alarm_invokes_a_function(world: World) -> None:
    cloudwatch, fn = world.boto3("cloudwatch"), world.boto3("lambda")
    create(world)
    cloudwatch.put_metric_alarm(
        AlarmName="hot", MetricName="m", Namespace="n", Statistic="Average", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold", AlarmActions=[ARN],
    )  # fmt: skip

    def outcome() -> str:
        cloudwatch.set_alarm_state(AlarmName="hot", StateValue="ALARM", StateReason="test")
        world.advance(5)
        cloudwatch.set_alarm_state(AlarmName="hot", StateValue="OK", StateReason="test")
        items = cloudwatch.describe_alarm_history(AlarmName="hot", HistoryItemType="Action")["AlarmHistoryItems"]
        return str(items[0]["HistorySummary"])

    assert outcome().startswith("Failed to execute action")
    fn.add_permission(
        FunctionName="fn", StatementId="a", Action="lambda:InvokeFunction",
        Principal="lambda.alarms.cloudwatch.amazonaws.com", SourceAccount="000000000000",
    )  # fmt: skip
    world.advance(5)
    assert outcome() == f"Successfully executed action {ARN}"
    event = json.loads(world.functions.invocations[-1][1])
    assert event["source"] == "aws.cloudwatch" and event["alarmData"]["state"]["value"] == "ALARM"
    assert event["alarmData"]["configuration"]["metrics"][0]["metricStat"]["metric"]["name"] == "m"
