"""The API over a real socket: uvicorn, unmodified boto3, and clients that misbehave."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from elba.clock import RealClock
from elba.config import RootKey, Settings
from elba.context import Ports
from elba.datapoints import Datapoint
from elba.errors import UserError
from elba.server.app import build_app
from elba.server.serve import Listening, serve
from elba.store.interface import Store
from elba.store.memory import MemoryEngine

pytestmark = pytest.mark.integration

KEY = RootKey(access_key_id="AKIAROOT", secret_access_key="rootsecret", account="000000000000")


class Nothing:
    def put(self, datapoints: object) -> None:
        assert datapoints is not Datapoint

    async def console_output(self, instance_id: str) -> bytes:
        return b""


class Running:
    """An API server on a thread of its own."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.listening: Listening | None = None
        self.loop = asyncio.new_event_loop()
        self.stop = asyncio.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        assert self.ready.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._serve())
        self.loop.close()

    async def _serve(self) -> None:
        store = Store(MemoryEngine(), time.time)
        await store.open()
        ports = Ports(Nothing(), Nothing())
        app = build_app(store, RealClock(), ports, Settings(auth="verify"), root_key=KEY, hooks=[])
        self.listening = await serve(app, "127.0.0.1", 0)
        self.ready.set()
        await self.stop.wait()
        await self.listening.stop()
        await store.close()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture(scope="module")
def server() -> Iterator[Listening]:
    running = Running()
    assert running.listening is not None
    yield running.listening
    running.close()


def client(server: Listening, service: str, secret: str = KEY.secret_access_key) -> Any:
    return boto3.session.Session(KEY.access_key_id, secret, region_name="us-east-1").client(
        service, endpoint_url=server.url, config=Config(retries={"total_max_attempts": 1})
    )


def exchange(server: Listening, data: bytes) -> bytes:
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received


def test_boto3_over_http(server: Listening) -> None:
    sts = client(server, "sts")
    answer = sts.get_caller_identity()
    assert answer["Account"] == "000000000000"
    assert answer["ResponseMetadata"]["RequestId"] == answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client(server, "sts", "wrong").get_caller_identity()
    ssm = client(server, "ssm")
    ssm.put_parameter(Name="/a", Value="ü 1", Type="String")
    assert ssm.get_parameter(Name="/a")["Parameter"]["Value"] == "ü 1"
    url = sts.generate_presigned_url("get_caller_identity", HttpMethod="GET")
    answered = exchange(server, get(url.removeprefix(server.url), f"{server.host}:{server.port}"))
    assert answered.startswith(b"HTTP/1.1 200")


def get(path: str, host: str = "x") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


def aws(server: Listening, *arguments: str) -> Any:
    environment = {
        "AWS_ACCESS_KEY_ID": KEY.access_key_id,
        "AWS_SECRET_ACCESS_KEY": KEY.secret_access_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server.url,
        "AWS_CONFIG_FILE": "/nonexistent",
        "PATH": os.environ["PATH"],
    }
    command = [sys.executable, "-W", "ignore", "-m", "awscli", *arguments, "--output", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None


def test_the_aws_command_line(server: Listening) -> None:
    assert aws(server, "sts", "get-caller-identity")["Arn"] == "arn:aws:iam::000000000000:root"
    trust = '{"Statement": {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}}'
    role = aws(server, "iam", "create-role", "--role-name", "cli", "--assume-role-policy-document", trust)["Role"]
    assert role["AssumeRolePolicyDocument"]["Statement"]["Principal"] == {"AWS": "*"}
    session = aws(server, "sts", "assume-role", "--role-arn", role["Arn"], "--role-session-name", "me")
    assert session["AssumedRoleUser"]["Arn"] == "arn:aws:sts::000000000000:assumed-role/cli/me"


def test_health_and_rubbish(server: Listening) -> None:
    assert b'"status":"ok"' in exchange(server, get("/_elba/health"))
    assert exchange(server, b"\x16\x03\x01\x00\x05hello\r\n\r\n").startswith((b"HTTP/1.1 400", b""))
    refused = exchange(
        server, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\n\xff\xfe\xfd"
    )
    assert refused.startswith(b"HTTP/1.1 400") and b"MalformedQueryString" in refused


def test_an_address_in_use_is_a_users_error(server: Listening) -> None:
    async def again() -> None:
        await serve(lambda *_: asyncio.sleep(0), "127.0.0.1", server.port)

    with pytest.raises(UserError, match="cannot listen on"):
        asyncio.run(again())
