"""S3's signatures: version 4 over paths as they are, presigned URLs of both versions, requests with none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from elba.wire import HttpRequest, HttpResponse

from .world import ROOT, ServerWorld

KEY = "a b/ü+1~(x).txt"


@pytest.fixture
def world() -> Iterator[ServerWorld]:
    made = ServerWorld(auth="verify")
    made.clock.wall_time = time.time()
    yield made
    made.close()


@pytest.fixture
def s3(world: ServerWorld) -> Any:
    client = world.clients.client("s3", access_key=ROOT.access_key_id, secret_key=ROOT.secret_access_key)
    client.create_bucket(Bucket="signed")
    client.put_object(Bucket="signed", Key=KEY, Body=b"body")
    return client


def url(version: str, operation: str = "get_object", *, expires: int = 600, **options: Any) -> str:
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=options.pop("endpoint", "http://127.0.0.1:4566"),
        aws_access_key_id=ROOT.access_key_id,
        aws_secret_access_key=ROOT.secret_access_key,
        config=Config(signature_version=version),
    )
    made: str = client.generate_presigned_url(operation, Params={"Bucket": "signed", "Key": KEY}, ExpiresIn=expires)
    return made


def fetch(world: ServerWorld, address: str, method: str = "GET", body: bytes = b"") -> HttpResponse:
    parts = urlsplit(address)
    request = HttpRequest(method, parts.path, parts.query, {"host": parts.netloc}, body)
    response: HttpResponse = world.loop.run(world.app.handle(request))
    return response


def test_a_signed_request_with_odd_characters_in_its_key(s3: Any) -> None:
    assert s3.get_object(Bucket="signed", Key=KEY)["Body"].read() == b"body"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:4566", "http://localhost:4566"])
def test_presigned_urls(world: ServerWorld, s3: Any, version: str, endpoint: str) -> None:
    address = url(version, endpoint=endpoint)
    response = fetch(world, address)
    assert (response.status, response.body) == (200, b"body")
    wrong = address.replace(ROOT.access_key_id, "AKIANOBODY")
    assert fetch(world, wrong).status == 403
    tampered = address.replace("txt", "exe", 1)
    assert b"SignatureDoesNotMatch" in fetch(world, tampered).body
    upload = url(version, "put_object", endpoint=endpoint)
    assert fetch(world, upload, "PUT", b"new").status == 200
    assert s3.get_object(Bucket="signed", Key=KEY)["Body"].read() == b"new"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_urls_end(world: ServerWorld, s3: Any, version: str) -> None:
    address = url(version, expires=60)
    world.clock.wall_time += 3600
    assert fetch(world, address).status == 403
