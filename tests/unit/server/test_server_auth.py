"""Who is let in: known keys with a right signature, or in open mode anyone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from elba.iam.resources import GLOBAL, AccessKey
from elba.wire import HttpRequest

from .world import ROOT, ServerWorld

ROOT_KEY = {"access_key": ROOT.access_key_id, "secret_key": ROOT.secret_access_key}


@pytest.fixture
def world() -> Iterator[ServerWorld]:
    made = ServerWorld(auth="verify")
    made.clock.wall_time = time.time()
    yield made
    made.close()


def add_key(world: ServerWorld, **fields: Any) -> dict[str, str]:
    values = {
        "account": "111122223333",
        "id": "AKIAOTHER",
        "secret_access_key": "other",
        "owner_arn": "arn:aws:iam::111122223333:user/ann",
        "owner_id": "AIDA1",
        **fields,
    }
    key = AccessKey(region=GLOBAL, **values)
    world.loop.run(world.store.write(lambda tx: tx.put(key), "test"))
    return {"access_key": key.id, "secret_key": key.secret_access_key, "session_token": key.session_token or None}  # type: ignore[dict-item]


def error_of(client: Any, operation: str = "get_caller_identity", **parameters: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"], error["Message"]


def test_the_root_key_is_the_default_account(world: ServerWorld) -> None:
    answer = world.clients.client("sts", **ROOT_KEY).get_caller_identity()
    assert (answer["Account"], answer["Arn"]) == ("000000000000", "arn:aws:iam::000000000000:root")


def test_stored_keys_are_known_at_once_and_until_deleted(world: ServerWorld) -> None:
    credentials = add_key(world)
    answer = world.clients.client("sts", **credentials).get_caller_identity()
    assert answer["Account"] == "111122223333"
    assert answer["Arn"] == "arn:aws:iam::111122223333:user/ann"
    key = world.store.view.all(AccessKey)[0]
    world.loop.run(world.store.write(lambda tx: tx.delete(key), "test"))
    assert error_of(world.clients.client("sts", **credentials))[0] == "InvalidClientTokenId"


@pytest.mark.parametrize(
    ("service", "operation", "code", "status"),
    [
        ("sts", "get_caller_identity", "InvalidClientTokenId", 403),
        ("ec2", "describe_vpcs", "AuthFailure", 401),
        ("elbv2", "describe_load_balancers", "InvalidClientTokenId", 403),
        ("ssm", "describe_parameters", "UnrecognizedClientException", 400),
        ("cloudwatch", "list_metrics", "InvalidClientTokenId", 400),
        ("lambda", "list_functions", "UnrecognizedClientException", 403),
    ],
)
def test_an_unknown_key(world: ServerWorld, service: str, operation: str, code: str, status: int) -> None:
    # A 12-digit key id is no key here: only open mode takes it for an account.
    for key in ("AKIANOBODY", "123456789012"):
        client = world.clients.client(service, access_key=key)
        assert error_of(client, operation)[:2] == (code, status)


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("sts", "get_caller_identity", "SignatureDoesNotMatch"),
        ("ec2", "describe_vpcs", "SignatureDoesNotMatch"),
        ("ssm", "describe_parameters", "InvalidSignatureException"),
        ("cloudwatch", "list_metrics", "SignatureDoesNotMatch"),
    ],
)
def test_a_wrong_secret(world: ServerWorld, service: str, operation: str, code: str) -> None:
    client = world.clients.client(service, access_key=ROOT.access_key_id, secret_key="guess")
    assert error_of(client, operation)[:2] == (code, 403)


def test_sixteen_minutes_of_skew(world: ServerWorld) -> None:
    assert world.clock.wall_time is not None
    world.clock.wall_time += 16 * 60
    code, status, message = error_of(world.clients.client("sts", **ROOT_KEY))
    assert (code, status) == ("SignatureDoesNotMatch", 403)
    assert message.startswith("Signature expired: ")
    assert error_of(world.clients.client("ec2", **ROOT_KEY), "describe_vpcs")[:2] == ("RequestExpired", 400)


def test_sessions_need_their_token_and_expire(world: ServerWorld) -> None:
    credentials = add_key(world, id="ASIA1", session_token="token", expiration=time.time() + 1000)
    assert world.clients.client("sts", **credentials).get_caller_identity()["Account"] == "111122223333"
    for token in (None, "wrong"):
        client = world.clients.client("sts", **{**credentials, "session_token": token})
        assert error_of(client)[0] == "InvalidClientTokenId"
    credentials = add_key(world, id="ASIA2", session_token="token", expiration=(world.clock.wall_time or 0) - 1)
    assert error_of(world.clients.client("sts", **credentials))[:2] == ("ExpiredToken", 403)
    assert error_of(world.clients.client("ec2", **credentials), "describe_vpcs")[0] == "RequestExpired"
    assert error_of(world.clients.client("ssm", **credentials), "describe_parameters")[0] == "ExpiredTokenException"


def test_an_inactive_key_is_unknown(world: ServerWorld) -> None:
    credentials = add_key(world, status="Inactive")
    assert error_of(world.clients.client("sts", **credentials))[0] == "InvalidClientTokenId"


def test_no_signature(world: ServerWorld) -> None:
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    response = world.clients.send(HttpRequest("POST", "/", "", headers, body))
    assert response.status == 403
    assert b"<Code>MissingAuthenticationToken</Code>" in response.body
    headers = {"x-amz-target": "AmazonSSM.GetParameter", "content-type": "application/x-amz-json-1.1"}
    response = world.clients.send(HttpRequest("POST", "/", "", headers, b"{}"))
    assert json.loads(response.body)["__type"] == "MissingAuthenticationTokenException"


def test_presigned_get_caller_identity(world: ServerWorld) -> None:
    client = world.clients.client("sts", **ROOT_KEY)
    url = client.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    query = url.partition("?")[2]
    response = world.clients.send(HttpRequest("GET", "/", query, {"host": "127.0.0.1:4566"}))
    assert response.status == 200, response.body
    forged = replace(HttpRequest("GET", "/", query + "0", {"host": "127.0.0.1:4566"}))
    assert world.clients.send(forged).status == 403


def test_open_mode_takes_any_key() -> None:
    world = ServerWorld(auth="open", account="999988887777")
    try:
        credentials = add_key(world)
        for key, account in (
            ("test", "999988887777"),
            ("123456789012", "123456789012"),
            ("1234567890123", "999988887777"),
            (credentials["access_key"], "111122223333"),
        ):
            client = world.clients.client("sts", access_key=key, secret_key="anything")
            assert client.get_caller_identity()["Account"] == account
        body = b"Action=GetCallerIdentity&Version=2011-06-15"
        unsigned = HttpRequest("POST", "/", "", {"content-type": "application/x-www-form-urlencoded"}, body)
        assert b"999988887777" in world.clients.send(unsigned).body
    finally:
        world.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "elba.internal:4566"}, 200),
        ({"origin": "http://127.0.0.1:4566"}, 200),
        ({"origin": "http://localhost:3000", "sec-fetch-site": "same-origin", "host": "localhost:4566"}, 200),
        ({"origin": "https://example.com"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
        ({"sec-fetch-site": "cross-site", "host": "127.0.0.1:4566"}, 403),
        ({"sec-fetch-site": "same-site", "host": "127.0.0.1:4566"}, 403),
        ({"sec-fetch-site": "same-origin", "host": "rebound.example.com:4566"}, 403),
    ],
)
def test_open_mode_refuses_what_web_pages_elsewhere_send(headers: dict[str, str], status: int) -> None:
    world = ServerWorld(auth="open")
    try:
        headers = {"content-type": "application/x-www-form-urlencoded", **headers}
        body = b"Action=GetCallerIdentity&Version=2011-06-15"
        assert world.clients.send(HttpRequest("POST", "/", "", headers, body)).status == status
    finally:
        world.close()
