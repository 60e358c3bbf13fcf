"""Where an operator wants a delivery stream's records to go, and the requests that bring them there. Pure.

CloudWatch hands a metric stream's records to a Firehose delivery stream (`FirehoseArn`); there is none here. Instead
the operator names an endpoint for the delivery stream's name, for its ARN, or for all of them (`*`), with
`elba up --metric-stream NAME=URL`. The URL's scheme says what is spoken there: `otlp+http`, `otlp-json+http`,
`remote-write+http` or `firehose+http`, each also with https.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from elba.cloudwatch.resources import MetricStream
from elba.cloudwatch.streaming.records import record
from elba.cloudwatch.streaming.updates import Update

SETTING = "metric_streams"
ANY = "*"
GZIP_LEAST_BYTES = 512


@dataclass(frozen=True, slots=True)
class Destination:
    """An endpoint: what is spoken there, its URL without credentials, and these."""

    kind: str
    url: str
    user: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request, to be posted as often as it takes."""

    url: str
    headers: Mapping[str, str]
    body: bytes


def parse_destination(text: str) -> Destination:
    """The endpoint of a URL. Raises: ValueError."""
    parts = urlsplit(text)
    kind, plus, scheme = parts.scheme.rpartition("+")
    if not plus or kind not in _REQUESTS or scheme not in ("http", "https") or not parts.hostname:
        kinds = ", ".join(f"{kind}+http://…" for kind in _REQUESTS)
        raise ValueError(f"{text} is not the URL of an endpoint: {kinds} (or https)")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if parts.port is None else f"{host}:{parts.port}"
    url = urlunsplit((scheme, place, parts.path or "/", parts.query, ""))
    return Destination(kind, url, unquote(parts.username or ""), unquote(parts.password or ""))


def parse_destinations(text: str) -> dict[str, Destination]:
    """By delivery stream: `NAME=URL` separated by commas. Raises: ValueError."""
    result = {}
    for item in filter(None, text.split(",")):
        name, equals, url = item.partition("=")
        if not equals or not name:
            raise ValueError(f"{item} is not of the form NAME=URL")
        result[name] = parse_destination(url)
    return result


def destination_of(stream: MetricStream, destinations: Mapping[str, Destination]) -> Destination | None:
    """The endpoint of the stream's delivery stream: by ARN, by name, or that of all."""
    name = stream.firehose_arn.partition("/")[2]
    return next((destinations[key] for key in (stream.firehose_arn, name, ANY) if key in destinations), None)


def request_for(
    destination: Destination, stream: MetricStream, updates: Sequence[Update], request_id: str, now: float
) -> Outgoing:
    """The request that brings the updates, all of the stream's owner, to the endpoint."""
    headers, body = _REQUESTS[destination.kind](stream, updates, request_id, now)
    if destination.kind == "firehose":
        # Firehose's receivers take an access key and no user.
        if key := destination.password or destination.user:
            headers["X-Amz-Firehose-Access-Key"] = key
    elif destination.user:
        token = base64.b64encode(f"{destination.user}:{destination.password}".encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    if "Content-Encoding" not in headers and len(body) >= GZIP_LEAST_BYTES:
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, 5, mtime=0)
    return Outgoing(destination.url, headers, body)


_Encoded = tuple[dict[str, str], bytes]


def _otlp(stream: MetricStream, updates: Sequence[Update], _id: str, _now: float) -> _Encoded:
    from elba.cloudwatch.streaming.otlp import export_request

    body = export_request(updates, stream.arn).SerializeToString()
    return {"Content-Type": "application/x-protobuf"}, body


def _otlp_json(stream: MetricStream, updates: Sequence[Update], _id: str, _now: float) -> _Encoded:
    from elba.cloudwatch.streaming.otlp import as_json, export_request

    return {"Content-Type": "application/json"}, as_json(export_request(updates, stream.arn))


def _remote_write(_stream: MetricStream, updates: Sequence[Update], _id: str, _now: float) -> _Encoded:
    from elba.cloudwatch.streaming.remote_write import write_request

    headers = {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    return headers, write_request(updates)


def _firehose(stream: MetricStream, updates: Sequence[Update], request_id: str, now: float) -> _Encoded:
    data = base64.b64encode(record(stream, updates)).decode()
    body = {"requestId": request_id, "timestamp": int(now * 1000), "records": [{"data": data}]}
    headers = {
        "Content-Type": "application/json",
        "X-Amz-Firehose-Protocol-Version": "1.0",
        "X-Amz-Firehose-Request-Id": request_id,
        "X-Amz-Firehose-Source-Arn": stream.firehose_arn,
    }
    return headers, msgspec.json.encode(body)


_REQUESTS: Mapping[str, Callable[[MetricStream, Sequence[Update], str, float], _Encoded]] = {
    "otlp": _otlp,
    "otlp-json": _otlp_json,
    "remote-write": _remote_write,
    "firehose": _firehose,
}
