"""CloudWatch's three encodings by hand: what clients other than botocore may send, and what is on every answer."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import cbor2
import pytest

from elba.testing import World
from elba.wire.http import HttpRequest


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World(seed=5) as made:
        made.boto3("cloudwatch")  # makes the in-process clients
        yield made


def send(world: World, path: str, headers: dict[str, str], body: bytes) -> Any:
    key = "AWS4-HMAC-SHA256 Credential=000000000000/20260101/us-east-1/monitoring/aws4_request, SignedHeaders=host"
    assert world._clients is not None
    head = {"host": "127.0.0.1", "authorization": f"{key}, Signature=x"} | headers
    response = world._clients.send(HttpRequest("POST", path, "", head, body))
    response.headers = {name.lower(): value for name, value in response.headers.items()}
    assert re.fullmatch(r"[0-9a-f-]{36}", response.headers["x-amzn-requestid"])
    return response


def cbor(world: World, operation: str, body: bytes, **headers: str) -> Any:
    head = {"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor", "accept": "application/cbor"}
    response = send(world, f"/service/GraniteServiceVersion20100801/operation/{operation}", head | headers, body)
    assert response.headers["smithy-protocol"] == "rpc-v2-cbor"
    return response


def json_(world: World, operation: str, body: dict[str, Any]) -> Any:
    head = {
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": f"GraniteServiceVersion20100801.{operation}",
        "x-amzn-query-mode": "true",
    }
    return send(world, "/", head, json.dumps(body).encode())


def query(world: World, operation: str, **parameters: str) -> Any:
    form = urlencode({"Action": operation, "Version": "2010-08-01"} | parameters).encode()
    return send(world, "/", {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}, form)


def text(value: str) -> bytes:
    """A text of indefinite length in two chunks."""
    half = len(value) // 2
    return b"\x7f" + b"".join(cbor2.dumps(part) for part in (value[:half], value[half:])) + b"\xff"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"\xf9\x3e\x00", 1.5),  # half
        (b"\xfa\x40\x20\x00\x00", 2.5),  # single
        (b"\xfb\x40\x0c\x00\x00\x00\x00\x00\x00", 3.5),  # double
        (b"\x07", 7.0),  # a whole number
        (b"\x26", -7.0),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_cbor_of_any_length_and_any_number(world: World, value: bytes, expected: float, zipped: bool) -> None:
    name = f"m{expected}{zipped}".replace(".", "_").replace("-", "n")
    datum = b"\xbf" + text("MetricName") + text(name) + text("Value") + value + text("Unit") + b"\xf6\xff"
    body = b"\xbf" + text("Namespace") + text("Wire") + text("MetricData") + b"\x9f" + datum + b"\xff"
    body += text("Nothing known") + b"\x9f\x01\xf6\xff" + b"\xff"
    extra = {"content-encoding": "gzip"} if zipped else {}
    answer = cbor(world, "PutMetricData", gzip.compress(body) if zipped else body, **extra)
    assert answer.status == 200, answer.body
    assert cbor2.loads(answer.body or b"\xa0") == {}
    query_ = {
        "Namespace": "Wire",
        "MetricName": name,
        "StartTime": cbor2.CBORTag(1, world.now - 60),
        "EndTime": cbor2.CBORTag(1, int(world.now) + 60),
        "Period": 60,
        "Statistics": ["Sum", "SampleCount"],
    }
    answer = cbor(world, "GetMetricStatistics", cbor2.dumps(query_))
    (point,) = cbor2.loads(answer.body)["Datapoints"]
    assert (point["Sum"], point["SampleCount"], point["Unit"]) == (expected, 1.0, "None")
    assert isinstance(point["Sum"], float) and point["Timestamp"].tzinfo is not None


def test_errors_name_shape_and_query_code(world: World) -> None:
    request = {"AlarmName": "nobody", "StateValue": "OK", "StateReason": "r"}
    for answer in (json_(world, "SetAlarmState", request), cbor(world, "SetAlarmState", cbor2.dumps(request))):
        assert (answer.status, answer.headers["x-amzn-query-error"]) == (404, "ResourceNotFound;Sender")
    body = json.loads(json_(world, "SetAlarmState", request).body)
    assert body["__type"].rpartition("#")[2] == "ResourceNotFound"
    body = cbor2.loads(cbor(world, "SetAlarmState", cbor2.dumps(request)).body)
    assert body["__type"].rpartition("#")[2] == "ResourceNotFound"
    answer = query(world, "SetAlarmState", **request)
    assert answer.status == 404
    for part in (b"<Type>Sender</Type>", b"<Code>ResourceNotFound</Code>", b"<RequestId>"):
        assert part in answer.body
    assert b'<ErrorResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/">' in answer.body


def test_members_that_are_null_are_not_there(world: World) -> None:
    request: dict[str, Any] = {"AlarmNames": None, "StateValue": None, "MaxRecords": None}
    answer = json_(world, "DescribeAlarms", request)
    assert (answer.status, json.loads(answer.body)["MetricAlarms"]) == (200, [])
    assert cbor2.loads(cbor(world, "DescribeAlarms", cbor2.dumps(request)).body)["MetricAlarms"] == []


@pytest.mark.parametrize("operation", ["Nothing", "GetDataset", "PutLogAlarm"])
def test_unknown_and_unbuilt_operations_are_400(world: World, operation: str) -> None:
    assert query(world, operation).status == 400
    assert b"<Code>InvalidAction</Code>" in query(world, operation).body
    for answer in (json_(world, operation, {}), cbor(world, operation, cbor2.dumps({}))):
        assert answer.status == 400
        assert b"UnknownOperationException" in answer.body


def test_numbers_that_are_none_are_refused(world: World) -> None:
    head = b"\xa2" + cbor2.dumps("Namespace") + cbor2.dumps("Wire") + cbor2.dumps("MetricData")
    for number in (b"\xf9\x7e\x00", b"\xf9\x7c\x00", b"\xf9\xfc\x00"):  # NaN, infinity, minus infinity
        datum = cbor2.dumps("MetricName") + cbor2.dumps("m") + cbor2.dumps("Value") + number
        body = head + b"\x81\xa2" + datum
        answer = cbor(world, "PutMetricData", body)
        assert (answer.status, answer.headers["x-amzn-query-error"]) == (400, "InvalidParameterValue;Sender")
