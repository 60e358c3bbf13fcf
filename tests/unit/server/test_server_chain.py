"""The handler chain: who is asked, who asks, what is refused and how it is said."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import cbor2
import pytest
from botocore.exceptions import ClientError

from elba.call import Answer, Call, Request
from elba.context import Context
from elba.errors import ApiError
from elba.resource import Resource
from elba.server.services import SERVED
from elba.store.interface import Transaction
from elba.testing import World
from elba.wire import HttpRequest

from .world import ServerWorld


class Note(Resource, frozen=True, kw_only=True):
    KIND = "test.note"


def module(name: str, *functions: Any) -> ModuleType:
    made = ModuleType(name)
    for function in functions:
        setattr(made, function.__name__, function)
    return made


def note(tx: Transaction, call: Call, request: Request | None = None) -> Answer:
    tx.put(Note(account=call.account, region=call.region, id="note"))
    return {}


async def create_vpc(ctx: Context, request: Request) -> Answer:
    await ctx.write(note, request)
    return {"vpc": {"vpc_id": "vpc-1", "cidr_block": request.get("cidr_block")}}


async def describe_vpcs(ctx: Context, request: Request) -> Answer:
    return {"vpcs": [{"vpc_id": n.id, "owner_id": n.account} for n in ctx.view.all(Note, ctx.call.account)]}


async def describe_alarms(ctx: Context, request: Request) -> Answer:
    if request.get("alarm_names") == ["bug"]:
        raise ZeroDivisionError
    if request.get("alarm_names") == ["wrong answer"]:
        return {"metric_alarm": []}
    return {"metric_alarms": [{"alarm_name": n, "threshold": 1.5} for n in request.get("alarm_names", [])]}


async def get_dashboard(ctx: Context, request: Request) -> Answer:
    raise ApiError("ResourceNotFound", f"Dashboard {request['dashboard_name']} does not exist")


async def put_metric_data(ctx: Context, request: Request) -> Answer:
    return {}


async def get_parameter(ctx: Context, request: Request) -> Answer:
    raise ApiError("ParameterNotFound", "")


@pytest.fixture
def world() -> Iterator[ServerWorld]:
    made = ServerWorld(
        modules={
            "ec2": module("ec2", create_vpc, describe_vpcs),
            "cloudwatch": module("cw", describe_alarms, get_dashboard, put_metric_data),
            "ssm": module("ssm", get_parameter),
        },
        hooks=[note],
        regions=("us-east-1", "eu-west-1"),
    )
    yield made
    made.close()


def form(body: str, **headers: str) -> HttpRequest:
    headers.setdefault("content-type", "application/x-www-form-urlencoded")
    return HttpRequest("POST", "/", "", headers, body.encode())


def test_registry_repeats_the_models() -> None:
    for served in SERVED:
        assert served.signing_name == served.wire.signing_name
        assert served.version == served.wire.api_version
        if served.wire.protocols != ("query",) and served.wire.query_protocol() != "ec2":
            assert served.target_prefix == served.wire.target_prefix


def test_dry_run_is_judged_and_changes_nothing(world: ServerWorld) -> None:
    ec2 = world.clients.client("ec2", region="eu-west-1", access_key="111122223333")
    with pytest.raises(ClientError) as caught:
        ec2.create_vpc(CidrBlock="10.0.0.0/16", DryRun=True)
    assert caught.value.response["Error"]["Code"] == "DryRunOperation"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    with pytest.raises(ClientError, match="DryRunOperation"):
        ec2.describe_vpcs(DryRun=True)


def test_first_use_of_an_account_and_region_runs_the_hooks_once(world: ServerWorld) -> None:
    revision = world.store.revision
    answer = world.clients.client("ec2", access_key="111122223333").describe_vpcs()
    assert answer["Vpcs"] == [{"VpcId": "note", "OwnerId": "111122223333"}]
    assert world.store.revision == revision + 1
    world.clients.client("ec2", access_key="111122223333").describe_vpcs()
    assert world.store.revision == revision + 1
    world.clients.client("ec2", access_key="111122223333", region="eu-west-1").describe_vpcs()
    assert world.store.revision == revision + 2


def test_unknown_region_is_refused(world: ServerWorld) -> None:
    with pytest.raises(ClientError, match="valid Region, not 'mars-1'"):
        world.clients.client("ec2", region="mars-1").describe_vpcs()
    assert world.clients.client("sts", region="mars-1").get_caller_identity()["Account"] == "000000000000"


@pytest.mark.parametrize("protocol", ["query", "json", "smithy-rpc-v2-cbor"])
def test_cloudwatch_speaks_three_protocols(world: ServerWorld, protocol: str) -> None:
    name, body, headers, path = "DescribeAlarms", b"", {}, "/"
    if protocol == "query":
        body = b"Action=DescribeAlarms&Version=2010-08-01&AlarmNames.member.1=a&AlarmNames.member.2=b"
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    elif protocol == "json":
        body = b'{"AlarmNames": ["a", "b"], "Unknown": 1, "MaxRecords": null}'
        headers = {
            "x-amz-target": f"GraniteServiceVersion20100801.{name}",
            "content-type": "application/x-amz-json-1.0",
        }
    else:
        # An indefinite-length map and list, as some clients send them.
        body = b"\xbf\x6aAlarmNames\x9f\x61a\x61b\xff\xff"
        headers = {"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor"}
        path = f"/service/GraniteServiceVersion20100801/operation/{name}"
    packed = {**headers, "content-encoding": "gzip"}
    for request in (
        HttpRequest("POST", path, "", headers, body),
        HttpRequest("POST", path, "", packed, gzip.compress(body)),
    ):
        response = world.clients.send(request)
        assert response.status == 200
        assert response.headers["x-amzn-RequestId"]
        if protocol == "query":
            space = "{http://monitoring.amazonaws.com/doc/2010-08-01/}"
            names = [e.text for e in ElementTree.fromstring(response.body).iter(f"{space}AlarmName")]
        elif protocol == "json":
            names = [a["AlarmName"] for a in json.loads(response.body)["MetricAlarms"]]
        else:
            assert response.headers["smithy-protocol"] == "rpc-v2-cbor"
            names = [a["AlarmName"] for a in cbor2.loads(response.body)["MetricAlarms"]]
        assert names == ["a", "b"]


def test_query_compatible_errors_carry_both_codes(world: ServerWorld) -> None:
    client = world.clients.client("cloudwatch")
    with pytest.raises(client.exceptions.ResourceNotFound) as caught:
        client.get_dashboard(DashboardName="d")
    error = caught.value.response["Error"]
    assert error["Code"] == "ResourceNotFound"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    with pytest.raises(ClientError) as missing:
        world.clients.client("cloudwatch", validate=False).get_dashboard()
    assert missing.value.response["Error"]["Code"] == "MissingParameter"
    assert missing.value.response["Error"]["QueryErrorCode"] == "MissingRequiredParameterException"
    assert missing.value.response["Error"]["Message"] == "The parameter DashboardName is required."


def test_json_errors_name_the_shape(world: ServerWorld) -> None:
    client = world.clients.client("ssm")
    with pytest.raises(client.exceptions.ParameterNotFound):
        client.get_parameter(Name="x")
    with pytest.raises(ClientError) as caught:
        world.clients.client("ssm", validate=False).get_parameter()
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert "Value null at 'name'" in caught.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (form("Action=NoSuchThing&Version=2016-11-15"), "InvalidAction", "The action NoSuchThing is not valid"),
        (form("Action=RunInstances&Version=2016-11-15"), "InvalidAction", "not built yet"),
        (form("Action=NoSuchThing&Version=2015-12-01"), "InvalidAction", "NoSuchThing"),
        (form("Version=2016-11-15"), "MissingAction", "Action"),
        (form(""), "MissingAction", "Action"),
        (HttpRequest("GET", "/nowhere", "", {}), "MissingAction", "Action"),
        (form("Action=DescribeVpcs&Version=2016-11-15&x=%ff"), "MalformedQueryString", "syntax"),
    ],
)
def test_what_is_not_served_is_a_400(world: ServerWorld, request_: HttpRequest, code: str, message: str) -> None:
    response = world.clients.send(request_)
    assert response.status == 400
    assert f"<Code>{code}</Code>" in response.body.decode() or json.loads(response.body)["__type"]
    assert message in response.body.decode()
    assert response.headers["x-amzn-RequestId"]


def test_unbuilt_json_operation_is_an_unknown_operation(world: ServerWorld) -> None:
    headers = {"x-amz-target": "AmazonSSM.ListDocuments", "content-type": "application/x-amz-json-1.1"}
    response = world.clients.send(HttpRequest("POST", "/", "", headers, b"{}"))
    assert response.status == 400
    assert json.loads(response.body)["__type"] == "UnknownOperationException"
    assert response.headers["Content-Type"] == "application/x-amz-json-1.1"


@pytest.mark.parametrize("name", ["bug", "wrong answer"])
def test_a_bug_is_an_internal_failure_logged_once(
    world: ServerWorld, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    with caplog.at_level(logging.ERROR):
        response = world.clients.send(
            form(f"Action=DescribeAlarms&Version=2010-08-01&AlarmNames.member.1={name.replace(' ', '+')}")
        )
    assert response.status == 500
    assert b"<Type>Receiver</Type><Code>InternalFailure</Code>" in response.body
    assert [r.request_id for r in caplog.records] == [response.headers["x-amzn-RequestId"]]  # type: ignore[attr-defined]


def test_ec2_errors_are_in_its_own_form(world: ServerWorld) -> None:
    response = world.clients.send(form("Action=DescribeVpcs&Version=2016-11-15&MaxResults=1"))
    root = ElementTree.fromstring(response.body)
    assert root.tag == "Response"
    assert root.findtext("Errors/Error/Code") == "InvalidParameterValue"
    assert root.findtext("RequestID") == response.headers["x-amzn-RequestId"]


def test_empty_ec2_parameters_are_absent(world: ServerWorld) -> None:
    response = world.clients.send(form("Action=CreateVpc&Version=2016-11-15&CidrBlock=&Ipv4NetmaskLength="))
    assert response.status == 200
    assert b"<vpcId>vpc-1</vpcId>" in response.body
    assert b"cidrBlock" not in response.body


def test_admin_is_for_this_machine_only(world: ServerWorld) -> None:
    response = world.clients.send(HttpRequest("GET", "/_elba/health", client="127.0.0.1"))
    assert json.loads(response.body)["status"] == "ok"
    status = json.loads(world.clients.send(HttpRequest("GET", "/_elba/status", client="::1")).body)
    assert status["services"]["ec2"]["built"] == 2
    assert world.clients.send(HttpRequest("GET", "/_elba/status", client="192.0.2.1")).status == 403
    foreign = {"origin": "https://example.com"}
    assert world.clients.send(HttpRequest("GET", "/_elba/status", "", foreign, client="127.0.0.1")).status == 403
    assert world.clients.send(HttpRequest("POST", "/_elba/status", client="127.0.0.1")).status == 405
    assert world.clients.send(HttpRequest("GET", "/_elba/nothing", client="127.0.0.1")).status == 404


def test_prometheus_scrapes_metrics_from_this_machine() -> None:
    with World() as world:
        world.boto3("cloudwatch").put_metric_data(
            Namespace="Shop", MetricData=[{"MetricName": "ConnectedUsers", "Value": 12.0}]
        )
        answer = world.app.admin.answer(HttpRequest("GET", "/metrics", client="127.0.0.1"))
        assert answer is not None
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = answer.body.decode()
        assert "# TYPE shop_connected_users summary" in text
        assert 'shop_connected_users_sum{account="000000000000",region="us-east-1",unit="None"} 12.0' in text
        refused = world.app.admin.answer(
            HttpRequest("GET", "/metrics", headers={"origin": "http://evil.example"}, client="127.0.0.1")
        )
        assert refused is not None and refused.status == 403
