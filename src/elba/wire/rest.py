"""REST-JSON and REST-XML: members in the URI, the query string, headers and the payload."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from botocore import xform_name

from elba.wire.envelope import Envelope
from elba.wire.http import HttpResponse
from elba.wire.objects import (
    PARSE_TIME,
    compile_decoder,
    compile_encoder,
    dumps_json,
    items_of,
    loads_json,
    moment,
    number,
)
from elba.wire.style import REST_JSON, REST_XML, AnswerError, Malformed
from elba.wire.timestamps import format_iso8601, format_rfc822
from elba.wire.xml_body import compile_xml_decoder

_LABEL = re.compile(r"\{([^}+]+)(\+?)\}")


class Route:
    """One operation's method and URI pattern. `+` labels take slashes too."""

    def __init__(
        self, name: str, method: str, uri: str, queries: Sequence[str] = (), headers: Sequence[str] = ()
    ) -> None:
        path, _, query = uri.partition("?")
        self.name = name
        self.queries = queries
        self.headers = headers
        """Parameters and headers without which a request is for another operation of the same URI."""
        self.method = method
        self.flags = [pair.partition("=")[0::2] for pair in query.split("&") if pair]
        self.literals = len(_LABEL.sub("", path))
        pattern, position = "", 0
        for label in _LABEL.finditer(path):
            pattern += re.escape(path[position : label.start()])
            pattern += f"(?P<{_group(label.group(1))}>{'.+' if label.group(2) else '[^/]+'})"
            position = label.end()
        self.pattern = re.compile(pattern + re.escape(path[position:]).removesuffix("/") + "/?")

    def has_needed(self, form: list[tuple[str, str]], headers: Mapping[str, str]) -> bool:
        """Whether the request has what tells this operation from others of the same method and URI."""
        return all(any(n == name for n, _ in form) for name in self.queries) and all(h in headers for h in self.headers)

    def match(self, method: str, path: str, form: list[tuple[str, str]]) -> dict[str, str] | None:
        """The labels' values (still by label group), or None."""
        if method != self.method:
            return None
        for name, value in self.flags:
            if not any(n == name and (not value or v == value) for n, v in form):
                return None
        found = self.pattern.fullmatch(path)
        return None if found is None else {k: unquote(v) for k, v in found.groupdict().items()}


def _group(label: str) -> str:
    return "L_" + re.sub(r"\W", "_", label)


def compile_rest_request(shape: Any, route: Route, protocol: str = REST_JSON) -> Callable[[Envelope], dict[str, Any]]:
    """A function from an envelope to the request's dict. Raises (when called): Malformed."""
    labels: list[tuple[str, str, Callable[[str], Any]]] = []
    queries: list[tuple[str, str, bool, Callable[[str], Any]]] = []
    query_maps: list[tuple[str, bool]] = []
    headers: list[tuple[str, str, Callable[[str], Any]]] = []
    prefixes: list[tuple[str, str]] = []
    payload = shape.serialization.get("payload")
    has_body = payload is None
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        key, python_name = member.serialization.get("name", name), xform_name(name)
        if location == "uri":
            labels.append((_group(key), python_name, _from_text(member, "iso8601")))
        elif location == "querystring" and member.type_name == "map":
            query_maps.append((python_name, member.value.type_name == "list"))
        elif location == "querystring":
            many = member.type_name == "list"
            queries.append((key, python_name, many, _from_text(member.member if many else member, "iso8601")))
        elif location == "header":
            headers.append((key.lower(), python_name, _from_text(member, "rfc822")))
        elif location == "headers":
            prefixes.append((key.lower(), python_name))
    payload_shape = None if payload is None else shape.members[payload]
    raw_kind = "" if payload_shape is None else str(payload_shape.type_name)
    raw = raw_kind in ("blob", "string")
    decode: Callable[[bytes], Any] | None = None
    if not raw:
        decode = _body_decoder(shape if has_body else payload_shape, protocol)
    located = {xform_name(n) for n, m in shape.members.items() if m.serialization.get("location")}

    def parse(envelope: Envelope) -> dict[str, Any]:
        request = envelope.request
        result: dict[str, Any] = {}
        if payload is None:
            assert decode is not None
            body = decode(envelope.body)
            result.update((k, v) for k, v in body.items() if k not in located)
        elif raw:
            if envelope.body:
                result[xform_name(payload)] = envelope.body.decode() if raw_kind == "string" else envelope.body
        elif envelope.body and decode is not None:
            result[xform_name(payload)] = decode(envelope.body)
        if labels:
            values = route.match(request.method, request.path, envelope.form) or {}
            for group, python_name, convert in labels:
                result[python_name] = convert(values[group])
        for key, python_name, many, convert in queries:
            found = [value for name, value in envelope.form if name == key]
            if found:
                result[python_name] = [convert(v) for v in found] if many else convert(found[0])
        for python_name, many in query_maps:
            known = {key for key, *_ in queries}
            rest: dict[str, Any] = {}
            for name, value in envelope.form:
                if name not in known:
                    if many:
                        rest.setdefault(name, []).append(value)
                    else:
                        rest[name] = value
            if rest:
                result[python_name] = rest
        for key, python_name, convert in headers:
            if key in request.headers:
                result[python_name] = convert(request.headers[key])
        for prefix, python_name in prefixes:
            tail = {k[len(prefix) :]: v for k, v in request.headers.items() if k.startswith(prefix)}
            if tail:
                result[python_name] = tail
        return result

    return parse


def _body_decoder(shape: Any, protocol: str) -> Callable[[bytes], Any]:
    if protocol == REST_XML:
        return compile_xml_decoder(shape)
    decode = compile_decoder(shape, protocol)
    return lambda body: decode(loads_json(body))


def _from_text(shape: Any, time_form: str) -> Callable[[str], Any]:
    kind: str = shape.type_name
    if kind == "timestamp":
        parse_time = PARSE_TIME[shape.serialization.get("timestampFormat", time_form).lower()]

        def timestamp(text: str) -> float:
            try:
                return parse_time(text)
            except (ValueError, OverflowError):
                raise Malformed("Invalid timestamp", value=text) from None

        return timestamp
    if kind == "boolean":
        return lambda text: text.lower() == "true"
    if kind in ("integer", "long", "float", "double"):
        convert: Callable[[str], Any] = int if kind in ("integer", "long") else float

        def real(text: str) -> Any:
            try:
                return convert(text)
            except ValueError:
                raise Malformed("must be a number", value=text) from None

        return real
    if kind == "list":
        item = _from_text(shape.member, time_form)
        return lambda text: [item(part.strip()) for part in text.split(",")]
    if kind == "blob":
        return lambda text: base64.b64decode(text)
    if shape.serialization.get("jsonvalue"):
        return lambda text: loads_json(base64.b64decode(text))
    return lambda text: text


def compile_rest_answer(
    shape: Any, status: int, encode_xml: Callable[[Any, str], Callable[[Any], bytes]] | None = None
) -> Callable[[Any], HttpResponse]:
    """A function from an answer to the response, without its request id. Raises (when called): AnswerError.

    `encode_xml` makes the writer of a REST-XML body for (shape, root element), "" being the operation's own.
    """
    if shape is None:
        return lambda _answer: HttpResponse(status, {})
    headers: dict[str, tuple[str, str]] = {}
    prefixes: dict[str, str] = {}
    status_member = ""
    located: set[str] = set()
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        if location is None:
            continue
        located.add(name)
        if location == "header":
            kind = "iso8601" if member.serialization.get("timestampFormat") == "iso8601" else member.type_name
            headers[xform_name(name)] = (member.serialization.get("name", name), kind)
        elif location == "headers":
            prefixes[xform_name(name)] = member.serialization.get("name", "")
        elif location == "statusCode":
            status_member = xform_name(name)
    payload = shape.serialization.get("payload")
    payload_shape = None if payload is None else shape.members[payload]
    raw = payload_shape is not None and payload_shape.type_name in ("blob", "string")
    to_bytes: Callable[[Any], bytes] | None = None
    if encode_xml is not None:
        if payload is None:
            to_bytes = encode_xml(shape, "") if len(located) < len(shape.members) else None
        elif payload_shape is not None and not raw:
            to_bytes = encode_xml(payload_shape, payload_shape.serialization.get("name", payload_shape.name))
    elif payload is None or not raw:
        encode = compile_encoder(shape, REST_JSON, frozenset(located)) if payload is None else None
        encode = encode or compile_encoder(payload_shape, REST_JSON)
        to_bytes = _json_bytes(encode)
    content_type = "application/json" if encode_xml is None else "application/xml"
    payload_name = "" if payload is None else xform_name(payload)

    def write(answer: Any) -> HttpResponse:
        response = HttpResponse(status, {})
        body: dict[str, Any] = {}
        for key, value in items_of(answer, shape.name):
            if value is None:
                continue
            if key in headers:
                name, kind = headers[key]
                response.headers[name] = _header_text(value, kind)
            elif key in prefixes:
                response.headers.update({prefixes[key] + k: v for k, v in value.items()})
            elif key == status_member:
                response.status = value
            elif payload is None or key == payload_name:
                body[key] = value
            else:
                raise AnswerError(f"{shape.name} has no member {key}")
        if payload is None:
            if to_bytes is not None:
                response.body = to_bytes(body)
                response.headers["Content-Type"] = content_type
        elif payload_name in body:
            content = body[payload_name]
            if to_bytes is None:
                response.body = content.encode() if isinstance(content, str) else bytes(content)
            else:
                response.body = to_bytes(content)
                response.headers["Content-Type"] = content_type
        return response

    return write


def _json_bytes(encode: Callable[[Any], Any]) -> Callable[[Any], bytes]:
    return lambda value: dumps_json(encode(value))


def _header_text(value: Any, kind: str) -> str:
    if kind == "iso8601":
        return format_iso8601(moment(value))
    if kind == "timestamp":
        return format_rfc822(moment(value))
    if kind == "boolean":
        return "true" if value else "false"
    if kind in ("float", "double"):
        return repr(number(value))
    if kind == "list":
        return ",".join(str(item) for item in value)
    return str(value)
