"""Signatures: botocore signs, we verify; then everything that can be wrong with one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from elba.errors import ApiError
from elba.wire import HttpRequest
from elba.wire.sigv4 import check_scope, read_authorization, read_scope, verify

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
BODY = "Action=DescribeThings&Version=2015-12-01"


def signed(
    url: str = "http://127.0.0.1:4566/",
    *,
    presign: int = 0,
    token: str | None = None,
    service: str = "elasticloadbalancing",
    method: str = "POST",
    body: str = BODY,
    headers: dict[str, str] | None = None,
) -> HttpRequest:
    credentials = Credentials("AKIDEXAMPLE", SECRET, token)
    request = AWSRequest(method, url, data=body, headers={"Content-Type": "text/plain", **(headers or {})})
    request.context["timestamp"] = ""
    signer = SigV4QueryAuth if presign else SigV4Auth
    arguments: list[Any] = [credentials, service, "eu-west-1"]
    if presign:
        arguments.append(presign)
    signer(*arguments).add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    sent = {k.lower(): v.decode() if isinstance(v, bytes) else v for k, v in prepared.headers.items()}
    sent.setdefault("host", parts.netloc)
    content = prepared.body or b""
    return HttpRequest(
        method, parts.path, parts.query, sent, content if isinstance(content, bytes) else content.encode()
    )


def check(request: HttpRequest, *, after: float = 0.0, secret: str = SECRET, ec2: bool = False) -> None:
    authorization = read_authorization(request, ec2)
    assert authorization is not None
    check_scope(authorization, frozenset({"eu-west-1"}), "elasticloadbalancing", ec2)
    verify(authorization, request, secret, datetime.now(UTC).timestamp() + after, ec2)


def refused(request: HttpRequest, *, after: float = 0.0, secret: str = SECRET, ec2: bool = False) -> ApiError:
    with pytest.raises(ApiError) as caught:
        check(request, after=after, secret=secret, ec2=ec2)
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4566/",
        "http://127.0.0.1:4566",
        "http://example.localhost/2015-03-31/functions/a%20b%3Ac/invocations?Qualifier=%24LATEST&b=&a=1&a=0",
        "http://127.0.0.1:4566/a/./b//c/../d/?x=1+2&empty",
        "http://127.0.0.1/service/GraniteServiceVersion20100801/operation/ListMetrics",
    ],
)
@pytest.mark.parametrize("presign", [0, 60])
@pytest.mark.parametrize("token", [None, "a/session+token=="])
def test_what_botocore_signs_is_accepted(url: str, presign: int, token: str | None) -> None:
    request = signed(
        url, presign=presign, token=token, method="GET" if presign else "POST", body="" if presign else BODY
    )
    check(request)
    assert read_scope(request) == ("AKIDEXAMPLE", "eu-west-1", "elasticloadbalancing")
    read = read_authorization(request, False)
    assert read is not None and read.token == (token or "")


def test_headers_are_trimmed_and_their_spaces_collapsed() -> None:
    check(signed(headers={"X-Amz-Meta": "  a   b  c "}))


@pytest.mark.parametrize("part", ["body", "path", "query", "header", "method", "secret", "signature"])
def test_a_change_anywhere_breaks_it(part: str) -> None:
    request = signed("http://127.0.0.1/x?a=1")
    secret = SECRET
    if part == "body":
        request.body += b"&Evil=1"
    elif part == "path":
        request.path = "/y"
    elif part == "query":
        request.query = "a=2"
    elif part == "header":
        request.headers["host"] = "other"
    elif part == "method":
        request.method = "PUT"
    elif part == "secret":
        secret = "guess"
    else:
        request.headers["authorization"] = request.headers["authorization"][:-1] + "x"
    error = refused(request, secret=secret)
    assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)
    assert error.message.startswith("The request signature we calculated does not match")
    assert refused(request, secret=secret, ec2=True).code == "SignatureDoesNotMatch"


def test_clock_skew_is_900_seconds_either_way() -> None:
    request = signed()
    check(request, after=898)
    check(request, after=-898)
    late = refused(request, after=902)
    assert (late.code, late.status) == ("SignatureDoesNotMatch", 403)
    assert late.message.startswith("Signature expired: ") and late.message.endswith(" - 15 min.)")
    early = refused(request, after=-902)
    assert early.message.startswith("Signature not yet current: ")
    ec2 = refused(request, after=902, ec2=True)
    assert (ec2.code, ec2.status) == ("RequestExpired", 400)


def test_a_presigned_url_lives_as_long_as_it_says() -> None:
    request = signed(presign=3600, method="GET", body="")
    check(request, after=3590)
    assert refused(request, after=3610).message.startswith("Signature expired")


def test_scope_must_fit() -> None:
    wrong_service = refused(signed(service="ec2"))
    assert wrong_service.message.startswith("Credential should be scoped to correct service: 'elasticloadbalancing'.")
    assert wrong_service.code == "SignatureDoesNotMatch"
    request = signed()
    request.headers["authorization"] = request.headers["authorization"].replace("eu-west-1", "mars-1")
    assert refused(request).message.startswith("Credential should be scoped to a valid Region, not 'mars-1'.")
    assert (refused(request, ec2=True).code, refused(request, ec2=True).status) == ("AuthFailure", 401)
    request = signed()
    request.headers["authorization"] = request.headers["authorization"].replace("aws4_request", "aws5_request")
    assert "terminator: 'aws4_request'" in refused(request).message
    request = signed()
    day = datetime.now(UTC).strftime("%Y%m%d")
    request.headers["authorization"] = request.headers["authorization"].replace(f"/{day}/", "/20200101/")
    assert refused(request).message.startswith("Date in Credential scope does not match YYYYMMDD")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Basic dXNlcjpwYXNz", "Unsupported AWS 'algorithm': 'Basic'."),
        ("", "Unsupported AWS 'algorithm': ''."),
        ("AWS4-HMAC-SHA256 Credential", "'Credential' not a valid key=value pair (missing equal-sign)."),
        ("AWS4-HMAC-SHA256 Credential=a/b/c/d/e", "requires 'Signature' parameter."),
        ("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=f", "exactly 5 slash-delimited"),
    ],
)
def test_malformed_headers(header: str, message: str) -> None:
    request = HttpRequest("POST", "/", "", {"authorization": header, "x-amz-date": "20260101T000000Z"}, b"")
    for ec2, code, status in ((False, "IncompleteSignature", 400), (True, "AuthFailure", 401)):
        with pytest.raises(ApiError) as caught:
            read_authorization(request, ec2)
        assert (caught.value.code, caught.value.status) == (code, status)
        assert message in caught.value.message


def test_what_must_be_signed() -> None:
    request = signed(token="token")
    request.headers["authorization"] = request.headers["authorization"].replace(";x-amz-security-token", "")
    assert "'X-Amz-Security-Token' must be a 'SignedHeader'" in refused(request).message
    request = signed()
    request.headers["authorization"] = request.headers["authorization"].replace(
        "SignedHeaders=content-type;host", "SignedHeaders=content-type"
    )
    assert "'Host' or ':authority' must be a 'SignedHeader'" in refused(request).message
    request = signed()
    request.headers["x-amz-date"] = "yesterday"
    assert "Date must be in ISO-8601" in refused(request).message


def test_a_stated_body_hash_must_be_true() -> None:
    request = signed(headers={"X-Amz-Content-SHA256": "0" * 64})
    assert refused(request).code == "SignatureDoesNotMatch"


def test_no_authorization() -> None:
    assert read_authorization(HttpRequest("GET", "/"), False) is None
