"""Requests that are wrong in one place: another type, far too much, nothing, a member nobody knows.

They start as ones that make sense (see `test_api_never_fails`), are broken at a random place and written by hand, in
every protocol that the service speaks, since no SDK would send them. The answer is AWS-shaped and prompt, never a 5xx.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import cbor2
import pytest
from botocore.parsers import PROTOCOL_PARSERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elba.server.services import Served
from elba.wire import CBOR, EC2, JSON, QUERY, HttpRequest

from .test_api_never_fails import DESTRUCTIVE, SERVICES, Known, structure_of

PROFILE = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
MOST_SECONDS = 5.0
"""Of CPU: far above what any of them takes; a hang, or work that grows with the square of the input, is above it."""

CASES = [(served, protocol) for served in SERVICES for protocol in served.wire.protocols if protocol in (
    CBOR, EC2, JSON, QUERY
)]  # fmt: skip

WRONG: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [
            None, True, False, 0, -1, 2**31, 2**63, -(2**63) - 1, 10**40, 0.5, 1e300, float("nan"), float("inf"),
            "", " ", "\x00", "\ud83d", "9" * 400, "-1", "1e400", "NaN", "true", "٣", "{", "[" * 300, "%s%n{0}",
            "x" * 10_000, "arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/app/", "arn:" + ":" * 300, "*" * 300,
            "i-0123456789abcdef0", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", b"", b"\xff\xfe",
            [], {}, [None], [[]], [{}], {"": ""}, {"a": {"b": {"c": []}}}, ["x"] * 300, [{"Key": "a"}] * 300,
        ]
    ),
    st.text(max_size=20),
)  # fmt: skip


@pytest.fixture(scope="module")
def known() -> Iterator[Known]:
    made = Known()
    yield made
    made.world.close()


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value in a request."""
    yield at
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places(inner, (*at, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*at, index))


def broken(value: Any, at: tuple[Any, ...], wrong: Any) -> Any:
    """`value` with `wrong` at that place."""
    if not at:
        return wrong
    if isinstance(value, dict):
        return {name: broken(inner, at[1:], wrong) if name == at[0] else inner for name, inner in value.items()}
    return [broken(inner, at[1:], wrong) if index == at[0] else inner for index, inner in enumerate(value)]


def text_of(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def flat(value: Any, name: str, list_name: str) -> Iterator[tuple[str, str]]:
    """Query parameters that say `value`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else str(key), list_name)
    elif isinstance(value, list):
        for index, inner in enumerate(value, 1):
            yield from flat(inner, f"{name}.{list_name}{index}", list_name)
    else:
        yield name or "x", text_of(value)


def plain(value: Any) -> Any:
    """As JSON can carry it."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def encodable(value: Any) -> Any:
    """Without the half characters that only JSON's escapes can carry."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {encodable(key): encodable(inner) for key, inner in value.items()}
    return [encodable(inner) for inner in value] if isinstance(value, list) else value


def written(served: Served, protocol: str, operation: str, value: Any) -> HttpRequest:
    if protocol == JSON:
        prefix = served.target_prefix or served.wire.target_prefix
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"{prefix}.{operation}"}
        return HttpRequest("POST", "/", "", headers, json.dumps(plain(value)).encode())
    if protocol == CBOR:
        path = f"/service/{served.wire.target_prefix}/operation/{operation}"
        headers = {"content-type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
        return HttpRequest("POST", path, "", headers, cbor2.dumps(encodable(value)))
    list_name = "" if protocol == EC2 else "member."
    pairs = [("Action", operation), ("Version", served.version), *flat(encodable(value), "", list_name)]
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return HttpRequest("POST", "/", "", headers, urlencode(pairs).encode())


@pytest.mark.parametrize(("served", "protocol"), CASES, ids=[f"{s.name}-{p}" for s, p in CASES])
def test_one_wrong_place(known: Known, served: Served, protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    names = [name for name in served.built() if not name.startswith(DESTRUCTIVE)]

    clients = known.world._clients
    assert clients is not None

    def check(data: st.DataObject) -> None:
        operation = served.wire.operation(data.draw(st.sampled_from(names)))
        assert operation is not None
        shape = operation.model.input_shape
        value: Any = data.draw(structure_of(known, shape, 0)) if shape is not None else {}
        for _ in range(data.draw(st.integers(1, 2))):
            at = data.draw(st.sampled_from(sorted(places(value), key=str)))
            if isinstance(value, dict) and data.draw(st.integers(0, 9)) == 0:
                value = {**value, "Nobody": data.draw(WRONG), "nobody": 1}
            else:
                value = broken(value, at, data.draw(WRONG))
        began = time.process_time()
        caplog.clear()
        response = clients.send(written(served, protocol, operation.name, value))
        assert time.process_time() - began < MOST_SECONDS, (operation.name, value)
        assert response.status < 500, caplog.text
        assert not caplog.records, caplog.text
        if response.status >= 400:
            headers = {name.lower(): text for name, text in response.headers.items()}
            answer = {"status_code": response.status, "headers": headers, "body": response.body}
            assert PROTOCOL_PARSERS[protocol]().parse(answer, None)["Error"]["Code"]

    PROFILE(given(st.data())(check))()
