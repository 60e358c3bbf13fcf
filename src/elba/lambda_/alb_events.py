"""An HTTP request as the event a load balancer gives to a function, and the function's result as a response. Pure.

Zone nodes hand requests over as they are and have them mapped here. Source: Application Load Balancers guide,
"Lambda functions as targets".
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

Headers = Sequence[tuple[str, str]]

MOST_BYTES = 1024 * 1024
"""Of a request's body, and of a result's JSON."""

_TEXT = ("application/json", "application/javascript", "application/xml")
_HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "content-length",
    }
)  # fmt: skip

_FRAMING = frozenset({"connection", "keep-alive", "transfer-encoding"})
"""Of the connection, not of the request."""
_DESCRIPTION = re.compile(r"[0-9]{3} ([\x20-\x7e]{1,200})")


class Refused(Exception):
    """The load balancer answers itself: `status`, and `reason` for its log and metrics."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    phrase: str = ""


def event_of(
    target_group_arn: str, method: str, path: str, query: str, headers: Headers, body: bytes, *, multi_value: bool
) -> bytes:
    """The event, JSON. `path` and `query` as sent, not decoded; of several values the last one counts unless
    `multi_value`. Raises: Refused."""
    named = [(name.lower(), value) for name, value in headers]
    if any(name == "upgrade" and value.lower() == "websocket" for name, value in named):
        raise Refused(400, "LambdaWebsocketNotSupported")
    if len(body) > MOST_BYTES:
        raise Refused(413, "LambdaRequestTooLarge")
    cut = [pair.partition("=") for pair in query.split("&") if pair]
    pairs = [(name, value) for name, _, value in cut]
    event: dict[str, Any] = {
        "requestContext": {"elb": {"targetGroupArn": target_group_arn}},
        "httpMethod": method,
        "path": path,
    }
    if multi_value:
        event["multiValueQueryStringParameters"] = _lists(pairs)
        event["multiValueHeaders"] = _lists(named)
    else:
        event["queryStringParameters"] = dict(pairs)
        event["headers"] = dict(named)
    event["body"], event["isBase64Encoded"] = _body(dict(named), body)
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def event_of_request(target_group_arn: str, request: bytes, *, multi_value: bool) -> bytes:
    """As `event_of`, from an HTTP/1.1 request: its head, and its body as it is. Raises: Refused."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    method, _, rest = line.partition(" ")
    path, _, query = rest.rpartition(" ")[0].partition("?")
    cut = [field.partition(":") for field in fields]
    headers = [(name, value.strip(" \t")) for name, _, value in cut if name.lower() not in _FRAMING]
    return event_of(target_group_arn, method, path, query, headers, body, multi_value=multi_value)


def written(response: Response) -> bytes:
    """The response as an HTTP/1.1 message."""
    lines = [f"HTTP/1.1 {response.status} {response.phrase}", *(f"{name}: {value}" for name, value in response.headers)]
    return "\r\n".join([*lines, "", ""]).encode() + response.body


def _lists(pairs: Headers) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return lists


def _body(headers: dict[str, str], body: bytes) -> tuple[str, bool]:
    if not body:
        return "", False
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if "content-encoding" in headers or not (kind.startswith("text/") or kind in _TEXT):
        return base64.b64encode(body).decode(), True
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        raise Refused(400, "LambdaBadRequest") from None


def health_check_event(target_group_arn: str, path: str, *, multi_value: bool) -> bytes:
    """The event of a health check."""
    headers = [("user-agent", "ELB-HealthChecker/2.0")]
    return event_of(target_group_arn, "GET", path, "", headers, b"", multi_value=multi_value)


def response_of(result: bytes, *, multi_value: bool) -> Response:
    """The response that a function's result describes. Raises: Refused."""
    if len(result) > MOST_BYTES:
        raise Refused(502, "LambdaResponseTooLarge")
    invalid = Refused(502, "LambdaInvalidResponse")
    try:
        answer = json.loads(result)
    except (ValueError, RecursionError):
        raise invalid from None
    if not isinstance(answer, dict):
        raise invalid
    status, text, encoded = answer.get("statusCode"), answer.get("body"), answer.get("isBase64Encoded", False)
    if type(status) is not int or not 200 <= status <= 599:
        raise invalid
    if not isinstance(text, str | None) or not isinstance(encoded, bool):
        raise invalid
    headers = _headers(answer, multi_value, invalid)
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("content-type", "application/octet-stream"))
    if not any(name.lower() == "server" for name, _ in headers):
        headers.append(("server", "awselb/2.0"))
    try:
        body = base64.b64decode(text or "", validate=True) if encoded else (text or "").encode()
    except (binascii.Error, ValueError):  # also a lone surrogate
        raise invalid from None
    return Response(status, [*headers, ("content-length", str(len(body)))], body, _phrase(status, answer))


def _phrase(status: int, answer: dict[str, Any]) -> str:
    """What follows the code in the status line: of `statusDescription` ("200 OK"), else what HTTP calls it."""
    described = _DESCRIPTION.fullmatch(given) if isinstance(given := answer.get("statusDescription"), str) else None
    if described:
        return described[1]
    return HTTPStatus(status).phrase if status in list(HTTPStatus) else ""


def _headers(answer: dict[str, Any], multi_value: bool, invalid: Refused) -> list[tuple[str, str]]:
    given = answer.get("multiValueHeaders" if multi_value else "headers")
    if given is None:
        return []
    if not isinstance(given, dict):
        raise invalid
    headers: list[tuple[str, str]] = []
    for name, values in given.items():
        for value in values if multi_value and isinstance(values, list) else [values]:
            if isinstance(value, bool):
                value = "true" if value else "false"
            elif isinstance(value, int | float):
                value = str(value)
            if not _is_header(name, value) or (multi_value and not isinstance(values, list)):
                raise invalid
            if name.lower() not in _HOP_BY_HOP:
                headers.append((name, value))
    return headers


def _is_header(name: str, value: object) -> bool:
    token = bool(name) and name.isascii() and all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name)
    return token and isinstance(value, str) and not any(c in value for c in "\r\n\0")
