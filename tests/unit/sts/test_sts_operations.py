"""STS: identities, sessions, and what a session's key may do with whom."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError

from elba.call import Call
from elba.iam.resources import AccessKey
from elba.sts.commands import get_session_token
from elba.sts.trust import may_assume

from ..server.world import ROOT, ServerWorld

ARN = "arn:aws:iam::000000000000:role/r"


def trust(principal: Any, effect: str = "Allow", **more: Any) -> str:
    statement = {"Effect": effect, "Principal": principal, "Action": "sts:AssumeRole", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def world() -> Iterator[ServerWorld]:
    made = ServerWorld(auth="verify")
    made.clock.wall_time = time.time()
    yield made
    made.close()


def root(world: ServerWorld, service: str) -> Any:
    return world.clients.client(service, access_key=ROOT.access_key_id, secret_key=ROOT.secret_access_key)


def as_client(world: ServerWorld, credentials: Any, **changes: str) -> Any:
    options = {
        "access_key": credentials["AccessKeyId"],
        "secret_key": credentials["SecretAccessKey"],
        "session_token": credentials["SessionToken"],
        **changes,
    }
    return world.clients.client("sts", **options)


def code_of(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


def test_session_tags_are_told_apart_by_more_than_case_and_hold_the_transitive_ones(world: ServerWorld) -> None:
    root(world, "iam").create_role(RoleName="r", AssumeRolePolicyDocument=trust({"AWS": "000000000000"}))
    sts = root(world, "sts")
    tag = {"Key": "Team", "Value": "a"}
    asked = {"RoleArn": ARN, "RoleSessionName": "me"}
    assert sts.assume_role(**asked, Tags=[tag], TransitiveTagKeys=["team"])["Credentials"]
    assert code_of(sts.assume_role, **asked, Tags=[tag], TransitiveTagKeys=["b"]) == "InvalidParameterValue"
    twice = [tag, {"Key": "team", "Value": "b"}]
    assert code_of(sts.assume_role, **asked, Tags=twice) == "InvalidParameterValue"


def test_assume_role_then_use_the_session(world: ServerWorld) -> None:
    iam, sts = root(world, "iam"), root(world, "sts")
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust({"AWS": "000000000000"}))["Role"]
    assumed = sts.assume_role(RoleArn=ARN, RoleSessionName="me", DurationSeconds=900)
    assert assumed["AssumedRoleUser"] == {
        "AssumedRoleId": f"{role['RoleId']}:me",
        "Arn": "arn:aws:sts::000000000000:assumed-role/r/me",
    }
    credentials = assumed["Credentials"]
    assert credentials["AccessKeyId"].startswith("ASIA")
    assert abs(credentials["Expiration"].timestamp() - time.time() - 900) < 5
    who = as_client(world, credentials).get_caller_identity()
    assert (who["Arn"], who["UserId"]) == (assumed["AssumedRoleUser"]["Arn"], f"{role['RoleId']}:me")
    assert code_of(as_client(world, credentials, secret_key="x").get_caller_identity) == "SignatureDoesNotMatch"
    assert code_of(as_client(world, credentials, session_token="x").get_caller_identity) == "InvalidClientTokenId"
    assert sts.get_access_key_info(AccessKeyId=credentials["AccessKeyId"])["Account"] == "000000000000"
    assert code_of(as_client(world, credentials).get_session_token) == "AccessDenied"
    # A signature lives 900 s, a session as long or longer: to see it end, end it early.
    key = next(k for k in world.store.view.all(AccessKey) if k.id == credentials["AccessKeyId"])
    ended = msgspec.structs.replace(key, expiration=(world.clock.wall_time or 0) - 1)
    world.loop.run(world.store.write(lambda tx: tx.put(ended), "test"))
    assert code_of(as_client(world, credentials).get_caller_identity) == "ExpiredToken"


def test_who_may_not(world: ServerWorld) -> None:
    iam, sts = root(world, "iam"), root(world, "sts")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust({"Service": "ec2.amazonaws.com"}))
    assert code_of(sts.assume_role, RoleArn=ARN, RoleSessionName="me") == "AccessDenied"
    assert code_of(sts.assume_role, RoleArn=ARN + "x", RoleSessionName="me") == "AccessDenied"
    assert code_of(sts.assume_role, RoleArn="arn:aws:iam::x:role/r", RoleSessionName="me") == "ValidationError"
    iam.update_assume_role_policy(RoleName="r", PolicyDocument=trust("*"))
    for wrong in ({"RoleSessionName": "a b"}, {"DurationSeconds": 7200}, {"DurationSeconds": 899}):
        parameters = {"RoleArn": ARN, "RoleSessionName": "me", **wrong}
        client = world.clients.client(
            "sts", access_key=ROOT.access_key_id, secret_key=ROOT.secret_access_key, validate=False
        )
        assert code_of(client.assume_role, **parameters) == "ValidationError"


def test_expired_sessions_are_forgotten_an_hour_later(world: ServerWorld) -> None:
    sts = root(world, "sts")
    sts.get_session_token(DurationSeconds=900)
    key = world.store.view.all(AccessKey)[0]
    assert key.owner_arn == "arn:aws:iam::000000000000:root"
    for after, known in ((-1, True), (3599, True), (3601, False)):
        open_session(world, key.expiration + after)
        assert (key.id in {each.id for each in world.store.view.all(AccessKey)}) is known


def open_session(world: ServerWorld, now: float) -> None:
    call = Call("000000000000", "us-east-1", now, world.app.runtime.ids, caller_arn="arn:x", caller_id="x")
    command = partial(get_session_token, call=call, request={"duration_seconds": 900})
    world.loop.run(world.store.write(command, "test"))


ANN = "arn:aws:iam::111122223333:user/ann"
SESSION = "arn:aws:sts::111122223333:assumed-role/ops/me"


@pytest.mark.parametrize(
    ("principal", "caller", "allowed"),
    [
        ("*", ANN, True),
        ({"AWS": "*"}, ANN, True),
        ({"AWS": "111122223333"}, ANN, True),
        ({"AWS": ["arn:aws:iam::111122223333:root"]}, SESSION, True),
        ({"AWS": ANN}, ANN, True),
        ({"AWS": "arn:aws:iam::111122223333:role/path/ops"}, SESSION, True),
        ({"AWS": "arn:aws:iam::111122223333:role/path/dev"}, SESSION, False),
        ({"AWS": "444455556666"}, ANN, False),
        ({"Service": "ec2.amazonaws.com"}, ANN, False),
        ({"Service": ["lambda.amazonaws.com", "ec2.amazonaws.com"]}, "ec2.amazonaws.com", True),
        ({"Service": "lambda.amazonaws.com"}, "ec2.amazonaws.com", False),
    ],
)
def test_trust(principal: Any, caller: str, allowed: bool) -> None:
    assert may_assume(trust(principal), caller) is allowed
    denied = json.loads(trust(principal))["Statement"] + json.loads(trust("*", "Deny"))["Statement"]
    assert not may_assume(json.dumps({"Statement": denied}), caller)
    assert not may_assume(trust(principal), caller, "sts:TagSession")
