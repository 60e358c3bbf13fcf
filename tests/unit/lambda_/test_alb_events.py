"""HTTP to event and result to HTTP, case by case (the zone node does the same)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from elba.lambda_.alb_events import MOST_BYTES, Headers, Refused, event_of, health_check_event, response_of

GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/fn/6d0ecf831eec9f09"


def event(headers: Headers = (), body: bytes = b"", query: str = "", multi: bool = False) -> Any:
    return json.loads(event_of(GROUP, "GET", "/a%20b", query, headers, body, multi_value=multi))


def test_single_values_are_the_last_and_nothing_is_decoded() -> None:
    assert event([("Host", "x"), ("X-A", "1"), ("x-a", "2")], query="k=v1&k=v%202&flag&e=") == {
        "requestContext": {"elb": {"targetGroupArn": GROUP}},
        "httpMethod": "GET",
        "path": "/a%20b",
        "queryStringParameters": {"k": "v%202", "flag": "", "e": ""},
        "headers": {"host": "x", "x-a": "2"},
        "body": "",
        "isBase64Encoded": False,
    }


def test_multi_values_are_lists_in_order() -> None:
    got = event([("X-A", "1"), ("x-a", "2")], query="k=1&j=0&k=2", multi=True)
    assert got["multiValueHeaders"] == {"x-a": ["1", "2"]}
    assert got["multiValueQueryStringParameters"] == {"k": ["1", "2"], "j": ["0"]}
    assert "headers" not in got and "queryStringParameters" not in got


@pytest.mark.parametrize(
    ("headers", "encoded"),
    [
        ([("content-type", "text/html")], False),
        ([("Content-Type", "TEXT/plain; charset=utf-8")], False),
        ([("content-type", "application/json")], False),
        ([("content-type", "application/javascript")], False),
        ([("content-type", "application/xml")], False),
        ([("content-type", "application/x-www-form-urlencoded")], True),
        ([("content-type", "image/png")], True),
        ([], True),
        ([("content-type", "text/html"), ("content-encoding", "gzip")], True),
    ],
)
def test_which_bodies_are_base64(headers: Headers, encoded: bool) -> None:
    got = event(headers, "ä".encode())
    assert got["isBase64Encoded"] is encoded
    assert got["body"] == (base64.b64encode("ä".encode()).decode() if encoded else "ä")
    assert event(headers)["body"] == "" and event(headers)["isBase64Encoded"] is False


@pytest.mark.parametrize(
    ("headers", "body", "status", "reason"),
    [
        ([("content-type", "text/plain")], b"\xff", 400, "LambdaBadRequest"),
        ([("Upgrade", "WebSocket")], b"", 400, "LambdaWebsocketNotSupported"),
        ([], b"x" * (MOST_BYTES + 1), 413, "LambdaRequestTooLarge"),
    ],
)
def test_requests_that_are_refused(headers: Headers, body: bytes, status: int, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        event(headers, body)
    assert (caught.value.status, caught.value.reason) == (status, reason)


def test_a_health_check() -> None:
    got = json.loads(health_check_event(GROUP, "/ok", multi_value=False))
    assert (got["path"], got["queryStringParameters"], got["headers"]) == (
        "/ok",
        {},
        {"user-agent": "ELB-HealthChecker/2.0"},
    )


@pytest.mark.parametrize(
    ("result", "multi", "status", "headers", "body"),
    [
        ({"statusCode": 200}, False, 200, {"content-type": "application/octet-stream"}, b""),
        ({"statusCode": 201, "headers": {"Content-Type": "text/plain"}, "body": "ä"}, False, 201,
         {"content-type": "text/plain", "content-length": "2"}, "ä".encode()),
        ({"statusCode": 200, "body": "aGk=", "isBase64Encoded": True}, False, 200, {"content-length": "2"}, b"hi"),
        ({"statusCode": 200, "headers": {"Server": "mine", "Connection": "close", "Content-Length": "9"}}, False, 200,
         {"server": "mine", "connection": None, "content-length": "0"}, b""),
        ({"statusCode": 200, "headers": {"x-n": 1, "x-b": True}}, False, 200, {"x-n": "1", "x-b": "true"}, b""),
        ({"statusCode": 200, "multiValueHeaders": {"x-a": ["1"]}}, False, 200, {"x-a": None}, b""),
        ({"statusCode": 200, "headers": {"x-a": "1"}}, True, 200, {"x-a": None, "server": "awselb/2.0"}, b""),
    ],
)  # fmt: skip
def test_responses(result: Any, multi: bool, status: int, headers: dict[str, str | None], body: bytes) -> None:
    response = response_of(json.dumps(result).encode(), multi_value=multi)
    got = {name.lower(): value for name, value in response.headers}
    assert (response.status, response.body) == (status, body)
    assert {name: got.get(name) for name in headers} == headers


def test_several_values_of_a_header() -> None:
    result = {"statusCode": 200, "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]}}
    response = response_of(json.dumps(result).encode(), multi_value=True)
    assert [v for n, v in response.headers if n == "Set-Cookie"] == ["a=1", "b=2"]


@pytest.mark.parametrize(
    "result",
    [b"{", b"[]", b"null", b"{}", b'{"statusCode": "200"}', b'{"statusCode": true}', b'{"statusCode": 99}',
     b'{"statusCode": 200, "body": {}}', b'{"statusCode": 200, "isBase64Encoded": "yes"}',
     b'{"statusCode": 200, "body": "*", "isBase64Encoded": true}', b'{"statusCode": 200, "headers": []}',
     b'{"statusCode": 200, "headers": {"a": "b\\r\\nc: d"}}', b'{"statusCode": 200, "headers": {"a b": "c"}}',
     b'{"statusCode": 200, "body": "\\ud800"}'],
)  # fmt: skip
def test_results_that_are_no_response(result: bytes) -> None:
    with pytest.raises(Refused) as caught:
        response_of(result, multi_value=False)
    assert (caught.value.status, caught.value.reason) == (502, "LambdaInvalidResponse")


def test_a_result_that_is_too_large() -> None:
    with pytest.raises(Refused, match="LambdaResponseTooLarge"):
        response_of(b'"' + b"x" * MOST_BYTES + b'"', multi_value=False)
