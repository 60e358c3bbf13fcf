"""Which protocol a request speaks and which operation it names, before any model is consulted."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote_plus

from elba.errors import ApiError
from elba.wire.http import HttpRequest
from elba.wire.style import CBOR, JSON, QUERY, REST_JSON, REST_XML

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Largest body, as sent and after decompression; AWS's query services take far less."""


@dataclass(slots=True)
class Envelope:
    """A request's outside: `protocol`, and whichever names of service and operation it carries.

    `protocol` is `query` for EC2 as well: only the service tells the two apart. `form` holds the
    parameters of a query request, `body` the decompressed body.
    """

    request: HttpRequest
    protocol: str
    body: bytes
    operation: str = ""
    version: str = ""
    target_prefix: str = ""
    json_version: str = "1.0"
    form: list[tuple[str, str]] = field(default_factory=list)


def detect(request: HttpRequest) -> Envelope:
    """The envelope of a request. Raises: ApiError for a body that cannot be decompressed or decoded.

    Order as CloudWatch's three protocols on one endpoint need it: path, then target, then action.
    """
    headers = request.headers
    body = request.body
    if "content-encoding" in headers:
        body = _decompress(headers["content-encoding"], body)
    path = request.path
    if path.startswith("/service/"):
        parts = path.split("/")
        if len(parts) == 5 and parts[3] == "operation":
            return Envelope(request, CBOR, body, operation=parts[4], target_prefix=parts[2])
    target = headers.get("x-amz-target")
    if target is not None:
        prefix, _, operation = target.rpartition(".")
        content_type = headers.get("content-type", "")
        version = "1.1" if content_type.startswith("application/x-amz-json-1.1") else "1.0"
        return Envelope(request, JSON, body, operation=operation, target_prefix=prefix, json_version=version)
    try:
        form = _parse_form(request.query) if request.query else []
        if is_form(request):
            form += _parse_form(body.decode("utf-8"))
        elif path not in ("", "/"):
            return Envelope(request, REST_JSON, body, form=form)
    except UnicodeDecodeError:
        raise ApiError("MalformedQueryString", "The query string contains a syntax error.", 400) from None
    envelope = Envelope(request, QUERY, body, form=form)
    for name, value in form:
        if name == "Action":
            envelope.operation = value
        elif name == "Version":
            envelope.version = value
    return envelope


def rest_xml(request: HttpRequest, bucket: str = "") -> Envelope:
    """The envelope of a REST-XML request; `bucket` (from the host name) goes before its path.

    The body stays as it is, but for the chunks in which signed clients may send it: a `Content-Encoding` belongs to
    the object. Raises: ApiError for a query string or chunks that cannot be read.
    """
    body = request.body
    if request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        body = _unchunk(body)
    try:
        form = _parse_form(request.query) if request.query else []
    except UnicodeDecodeError:
        raise ApiError("InvalidURI", "Couldn't parse the specified URI.", 400) from None
    if bucket:
        request = replace(request, path=f"/{bucket}{request.path or '/'}")
    return Envelope(request, REST_XML, body, form=form)


def _unchunk(body: bytes) -> bytes:
    """The content of an `aws-chunked` body: `size[;chunk-signature=…]`, a chunk, and at the end trailing headers."""
    parts: list[bytes] = []
    position = 0
    while True:
        end = body.find(b"\r\n", position)
        if end < 0:
            raise ApiError("IncompleteBody", "The request body terminated unexpectedly.", 400)
        try:
            size = int(body[position:end].partition(b";")[0], 16)
        except ValueError:
            raise ApiError("InvalidChunkSizeError", "The chunk size is not a hexadecimal number.", 403) from None
        if size == 0:
            return b"".join(parts)
        start, position = end + 2, end + 2 + size + 2
        if position > len(body):
            raise ApiError("IncompleteBody", "The request body terminated unexpectedly.", 400)
        parts.append(body[start : start + size])


def is_form(request: HttpRequest) -> bool:
    """Whether the body holds query parameters: it says so, or is posted to `/` with no other type."""
    content_type = request.headers.get("content-type", "")
    if content_type.startswith("application/x-www-form-urlencoded"):
        return True
    return request.method == "POST" and request.path in ("", "/") and not content_type.startswith("application/")


def _decompress(encoding: str, body: bytes) -> bytes:
    for name in reversed([part.strip().lower() for part in encoding.split(",")]):
        if name in ("", "identity", "aws-chunked"):
            continue
        if name not in ("gzip", "x-gzip"):
            raise ApiError("UnsupportedMediaTypeException", f"The content encoding {name} is not supported.", 415)
        stream = zlib.decompressobj(wbits=31)
        try:
            body = stream.decompress(body, MAX_BODY_BYTES)
        except zlib.error:
            raise ApiError("SerializationException", "The body is not valid gzip.", 400) from None
        if stream.unconsumed_tail:
            raise ApiError("RequestEntityTooLarge", "The request body is too large.", 413)
        if not stream.eof:
            raise ApiError("SerializationException", "The body is not valid gzip.", 400)
    return body


def _parse_form(text: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for item in text.split("&"):
        name, _, value = item.partition("=")
        if not name:
            continue
        if "%" in name or "+" in name:
            name = _unquote(name)
        if "%" in value or "+" in value:
            value = _unquote(value)
        pairs.append((name, value))
    return pairs


Tree = dict[str, Any]


def tree(pairs: list[tuple[str, str]]) -> Tree:
    """Query parameters nested at their dots: `{"Tags": {"member": {"1": {"Key": "k"}}}}`.

    A name that is both a value and a prefix keeps its own value under the empty name.
    """
    root: Tree = {}
    for name, value in pairs:
        node = root
        if "." in name:
            *prefixes, name = name.split(".")
            for prefix in prefixes:
                child = node.get(prefix)
                if type(child) is not dict:
                    node[prefix] = child = {} if child is None else {"": child}
                node = child
        existing = node.get(name)
        if type(existing) is dict:
            existing[""] = value
        else:
            node[name] = value
    return root


def _unquote(text: str) -> str:
    return unquote_plus(text, errors="strict")
