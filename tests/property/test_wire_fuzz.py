"""Whatever arrives, the answer is AWS-shaped: a 4xx that botocore's own parser understands, never a 5xx."""

from __future__ import annotations

import gzip
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import cbor2
import pytest
from botocore.parsers import PROTOCOL_PARSERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elba.errors import ApiError
from elba.server.services import SERVED, Served
from elba.wire import CBOR, JSON, HttpRequest, detect

from ..unit.server.world import ServerWorld

PROFILE = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAMES = st.sampled_from(
    [
        "Action",
        "Version",
        "Filter.1.Name",
        "Filter.1.Value.1",
        "Filter",
        "Tags.member.1.Key",
        "Tags.member.x",
        "A..b",
        ".",
        "MaxResults",
        "DryRun",
        "AutoScalingGroupName",
        "MinSize",
        "StartTime",
        "Names.member",
        "InstanceId.1.2",
        "1",
    ]
)
VALUES = st.text(max_size=8) | st.sampled_from(["", "true", "1", "-1", "9" * 30, "NaN", "%zz", "٣"])
MEMBERS = st.sampled_from(
    [
        "Namespace",
        "MetricData",
        "MetricName",
        "Dimensions",
        "Timestamp",
        "Value",
        "Values",
        "AlarmNames",
        "Metrics",
        "StartTime",
    ]
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | MEMBERS, inner, max_size=3),
    max_leaves=8,
)
PATHS = st.sampled_from(
    [
        "/",
        "/x",
        "/service/GraniteServiceVersion20100801/operation/PutMetricData",
        "/service/x/operation/y",
        "/2015-03-31/functions/f",
        "/service/GraniteServiceVersion20100801/operation/",
    ]
)


class Everything(ModuleType):
    """An operations module that has every operation; each answers nothing that a model must hold."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        async def operation(ctx: Any, request: Any) -> dict[str, Any]:
            return {}

        return operation


@pytest.fixture(scope="module")
def world() -> Any:
    made = ServerWorld(modules={s.name: Everything(s.name) for s in SERVED})
    yield made
    made.close()


def check(world: ServerWorld, request: HttpRequest) -> None:
    response = world.clients.send(request)
    assert response.status < 500, response.body
    assert response.headers["x-amzn-RequestId"]
    if response.status >= 400:
        content = response.headers["Content-Type"]
        protocol = CBOR if "cbor" in content else JSON if "json" in content else "ec2"
        headers = {k.lower(): v for k, v in response.headers.items()}
        parsed = PROTOCOL_PARSERS[protocol]().parse(
            {"status_code": response.status, "headers": headers, "body": response.body}, None
        )
        assert parsed["Error"]["Code"]
        assert parsed["Error"]["Code"] not in ("InternalFailure", "InternalError")


@PROFILE
@given(body=st.binary(max_size=64), data=st.data())
def test_random_bytes_under_any_header(world: ServerWorld, body: bytes, data: st.DataObject) -> None:
    headers = {}
    for name, values in {
        "content-type": [
            "application/x-www-form-urlencoded",
            "application/json",
            "application/x-amz-json-1.0",
            "text/plain",
        ],
        "content-encoding": ["gzip", "br", "identity, gzip"],
        "x-amz-target": ["GraniteServiceVersion20100801.ListMetrics", "AmazonSSM.GetParameter", "x", ".", ""],
        "authorization": ["AWS4-HMAC-SHA256 Credential=a/b/us-east-1/ec2/aws4_request, x", "Basic", ""],
        "smithy-protocol": ["rpc-v2-cbor"],
    }.items():
        chosen = data.draw(st.none() | st.sampled_from(values))
        if chosen is not None:
            headers[name] = chosen
    path = data.draw(PATHS)
    query = data.draw(st.sampled_from(["", "Action=DescribeVpcs", "%ff", "Action=%ff", "&&=&", "X-Amz-Credential=a"]))
    check(world, HttpRequest(data.draw(st.sampled_from(["GET", "POST", "PUT"])), path, query, headers, body))


@PROFILE
@given(data=st.data())
def test_random_query_parameters(world: ServerWorld, data: st.DataObject) -> None:
    served: Served = data.draw(st.sampled_from([s for s in SERVED if not s.target_prefix and s.name != "lambda"]))
    action = data.draw(st.sampled_from(served.wire.operation_names))
    operation = served.wire.operation(action)
    assert operation is not None
    names = NAMES
    if operation.model.input_shape is not None and operation.model.input_shape.members:
        own = st.sampled_from(list(operation.model.input_shape.members))
        names = (
            NAMES
            | own
            | st.tuples(own, st.sampled_from(["1", "member.1", "Value", "member.1.Key", "entry.1.key"])).map(".".join)
        )
    pairs = data.draw(st.lists(st.tuples(names, VALUES), max_size=5))

    body = urlencode([("Action", action), ("Version", served.version), *pairs], errors="ignore").encode()
    check(world, HttpRequest("POST", "/", "", {"content-type": "application/x-www-form-urlencoded"}, body))


@PROFILE
@given(value=ANYTHING, tail=st.binary(max_size=3), cut=st.integers(0, 4))
def test_random_cbor(world: ServerWorld, value: Any, tail: bytes, cut: int) -> None:
    body = cbor2.dumps(value)
    for content in (body, body + tail, body[:-cut] if cut else body, gzip.compress(body)):
        headers = {"content-type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
        if content[:2] == b"\x1f\x8b":
            headers["content-encoding"] = "gzip"
        for name in ("PutMetricData", "DescribeAlarms"):
            path = f"/service/GraniteServiceVersion20100801/operation/{name}"
            check(world, HttpRequest("POST", path, "", headers, content))


@PROFILE
@given(body=st.binary(min_size=1, max_size=24))
def test_random_bytes_as_cbor(world: ServerWorld, body: bytes) -> None:
    path = "/service/GraniteServiceVersion20100801/operation/PutMetricData"
    check(world, HttpRequest("POST", path, "", {"smithy-protocol": "rpc-v2-cbor"}, body))


@pytest.mark.parametrize(
    "body",
    [
        b"\xd8\x1c\x81\xd8\x1d\x00",  # a list that holds itself (shared references)
        b"\x9b" + b"\xff" * 8,  # a list of 2**64 items
        b"\x81" * 100_000,  # nested far deeper than any stack
        b"\xa1\xa0\x00",  # a map as a key
        b"\xa1\x6aMetricData\xd8\x1c\x81\xd8\x1d\x00",
        b"\xa1\x69Namespace\xc1\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00",  # an infinite time
        b"\xa1\x69Namespace\xc3\x5b\xff\xff\xff\xff\xff\xff\xff\xff",  # a number of 2**64 bytes
    ],
)
def test_hostile_cbor(world: ServerWorld, body: bytes) -> None:
    check(world, HttpRequest("POST", "/service/GraniteServiceVersion20100801/operation/PutMetricData", "", {}, body))


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 50_000, b"{", b'"x"', b"1e999", b"\xff", b"null", b"[]"])
def test_hostile_json(world: ServerWorld, body: bytes) -> None:
    headers = {"x-amz-target": "GraniteServiceVersion20100801.PutMetricData"}
    check(world, HttpRequest("POST", "/", "", headers, body))


def test_a_gzip_bomb_is_refused() -> None:
    body = gzip.compress(b"\0" * (64 * 1024 * 1024))
    with pytest.raises(ApiError) as caught:
        detect(HttpRequest("POST", "/", "", {"content-encoding": "gzip"}, body))
    assert caught.value.status == 413


def test_very_deep_query_names_are_harmless(world: ServerWorld) -> None:
    body = b"Action=DescribeVpcs&Version=2016-11-15&" + b"a." * 200_000 + b"=1"
    check(world, HttpRequest("POST", "/", "", {"content-type": "application/x-www-form-urlencoded"}, body))
