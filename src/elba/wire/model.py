"""A service and its operations as the wire layer knows them, compiled from botocore's model on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import Any

from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel

from elba.wire.constraints import Check, compile_check, constraint_error, malformed_error
from elba.wire.envelope import Envelope, tree
from elba.wire.http import HttpResponse
from elba.wire.objects import (
    compile_decoder,
    compile_encoder,
    dumps_cbor,
    dumps_json,
    loads_cbor,
    loads_json,
)
from elba.wire.query import compile_query
from elba.wire.rest import Route, compile_rest_answer, compile_rest_request
from elba.wire.style import CBOR, EC2, QUERY, REST_JSON, REST_XML, AnswerError, Malformed, Style
from elba.wire.xml import compile_xml, escape
from elba.wire.xml_body import compile_xml_body

Parse = Callable[[Envelope], dict[str, Any]]
Write = Callable[[Mapping[str, Any], str, str], HttpResponse]

DEFAULT_STYLE = Style()


@cache
def _loader() -> Loader:
    return Loader()


class Service:
    """One service model. `name` is botocore's (`elbv2`); nothing is loaded before it is needed."""

    def __init__(self, name: str, style: Style = DEFAULT_STYLE) -> None:
        self.name = name
        self.style = style
        self._operations: dict[str, Operation | None] = {}

    @cached_property
    def raw(self) -> dict[str, Any]:
        """The model's JSON."""
        loaded: dict[str, Any] = _loader().load_service_model(self.name, "service-2")
        return loaded

    @cached_property
    def model(self) -> Any:
        return ServiceModel(self.raw, self.name)

    @cached_property
    def metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = self.raw["metadata"]
        return found

    @property
    def api_version(self) -> str:
        return str(self.metadata["apiVersion"])

    @property
    def target_prefix(self) -> str:
        """What `X-Amz-Target` and RPC-v2 paths call the service; empty for others."""
        return str(self.metadata.get("targetPrefix", ""))

    @property
    def signing_name(self) -> str:
        return str(self.metadata.get("signingName", self.metadata["endpointPrefix"]))

    @cached_property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that clients of this model may speak."""
        found = self.metadata.get("protocols") or [self.metadata["protocol"]]
        if "smithy-rpc-v2-cbor" in found or self.metadata["protocol"] == CBOR:
            return tuple(dict.fromkeys([*found, CBOR]))
        return tuple(found)

    @property
    def query_compatible(self) -> bool:
        """Whether JSON and CBOR clients expect the old query codes beside the new ones."""
        return "awsQueryCompatible" in self.metadata

    @cached_property
    def namespace(self) -> str:
        found = self.metadata.get("xmlNamespace")
        if not found:
            host = self.metadata["endpointPrefix"]
            found = f"http://{host}.amazonaws.com/doc/{self.api_version}/"
        text = str(found["uri"] if isinstance(found, dict) else found)
        return text if text.endswith("/") else text + "/"

    @property
    def operation_names(self) -> list[str]:
        return list(self.raw["operations"])

    def operation(self, name: str) -> Operation | None:
        """The operation by its wire name, or None."""
        if name not in self._operations:
            if name not in self.raw["operations"]:
                return None  # not remembered: a client could fill the memory with names
            self._operations[name] = Operation(self, name)
        return self._operations[name]

    @cached_property
    def routes(self) -> list[Route]:
        """REST operations, the most literal URI first."""
        routes = [
            Route(name, each["http"]["method"], each["http"]["requestUri"], *self._needed(each))
            for name, each in self.raw["operations"].items()
            # S3 has successors of its deprecated operations under the same URIs.
            if not (each.get("deprecated") and self.protocols == (REST_XML,))
        ]
        return sorted(routes, key=lambda r: (-len(r.flags) - len(r.queries) - len(r.headers), -r.literals))

    def _needed(self, operation: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """The query parameters and headers (lower case) that an operation requires; only REST-XML tells by them."""
        if self.protocols != (REST_XML,) or "input" not in operation:
            return [], []
        shape = self.raw["shapes"][operation["input"]["shape"]]
        found: dict[str, list[str]] = {"querystring": [], "header": []}
        for name in shape.get("required", ()):
            member = shape["members"][name]
            if (location := member.get("location")) in found:
                found[location].append(member.get("locationName", name))
        return found["querystring"], [name.lower() for name in found["header"]]

    def route(self, envelope: Envelope) -> str:
        """Name of the REST operation that an envelope's method and path name; empty if none."""
        request = envelope.request
        for route in self.routes:
            if route.match(request.method, request.path, envelope.form) is None:
                continue
            if route.has_needed(envelope.form, request.headers):
                return route.name
        return ""

    @cached_property
    def _errors(self) -> tuple[dict[str, str], dict[str, str]]:
        by_code: dict[str, str] = {}
        by_shape: dict[str, str] = {}
        for name, shape in self.raw["shapes"].items():
            if shape.get("exception"):
                code = shape.get("error", {}).get("code", name)
                # CloudWatch has two shapes of one code; the one that bears its name is the common one.
                if name == code:
                    by_code[code] = name
                by_code.setdefault(code, name)
                by_shape[name] = code
        return by_code, by_shape

    def error_names(self, code: str) -> tuple[str, str]:
        """(wire code, shape name) of an error given by either; both are `code` if the model has none."""
        by_code, by_shape = self._errors
        if code in by_code:
            return code, by_code[code]
        if code in by_shape:
            return by_shape[code], code
        return code, code

    def error_shape(self, shape_name: str) -> Any:
        """The model's shape of an error, or None."""
        if shape_name not in self._errors[1]:
            return None
        return self.model.shape_for(shape_name)

    def error_status(self, code: str) -> int | None:
        """The HTTP status that the model gives an error, if it gives one."""
        shape = self.raw["shapes"].get(self.error_names(code)[1], {})
        status = shape.get("error", {}).get("httpStatusCode")
        return status if isinstance(status, int) else None

    def query_protocol(self) -> str:
        """`ec2` for a service whose query requests are EC2's kind, else `query`."""
        return EC2 if EC2 in self.protocols else QUERY


class Operation:
    """One operation: parses its requests, writes its answers."""

    def __init__(self, service: Service, name: str) -> None:
        self.service = service
        self.name = name
        self.python_name: str = xform_name(name)
        self._parsers: dict[str, Parse] = {}
        self._writers: dict[str, Write] = {}
        self._checks: dict[str, Check | None] = {}

    @cached_property
    def model(self) -> Any:
        return self.service.model.operation_model(self.name)

    def parse(self, envelope: Envelope, protocol: str) -> dict[str, Any]:
        """The request, decoded and checked against the model's constraints. Raises: ApiError."""
        request = self.decode(envelope, protocol)
        if protocol not in self._checks:
            shape = self.model.input_shape
            style = self.service.style
            unchecked = shape is None or self.name in style.unchecked_operations
            self._checks[protocol] = None if unchecked else compile_check(shape, style, protocol)
        check = self._checks[protocol]
        if check is not None and (failures := check(request)):
            raise constraint_error(failures, self.service.style, protocol)
        return request

    def decode(self, envelope: Envelope, protocol: str) -> dict[str, Any]:
        """The request without the constraint checks. Raises: ApiError."""
        parse = self._parsers.get(protocol)
        if parse is None:
            parse = self._parsers[protocol] = self._compile_parser(protocol)
        try:
            return parse(envelope)
        except Malformed as error:
            raise malformed_error(error, self.service.style, protocol) from None

    def serialize(
        self, answer: Mapping[str, Any], protocol: str, request_id: str, json_version: str = "1.0"
    ) -> HttpResponse:
        """The response. Raises: AnswerError if the answer is not what the model says."""
        write = self._writers.get(protocol)
        if write is None:
            write = self._writers[protocol] = self._compile_writer(protocol)
        response = write(answer, request_id, json_version)
        response.headers["x-amzn-RequestId"] = request_id
        return response

    def _compile_parser(self, protocol: str) -> Parse:
        shape = self.model.input_shape
        if shape is None:
            return lambda _envelope: {}
        if protocol in (QUERY, EC2):
            from_tree = compile_query(shape, protocol, self.service.style)
            return lambda envelope: from_tree(tree(envelope.form))
        if protocol in (REST_JSON, REST_XML):
            http = self.model.http
            return compile_rest_request(shape, Route(self.name, http["method"], http["requestUri"]), protocol)
        decode = compile_decoder(shape, protocol)
        loads = loads_cbor if protocol == CBOR else loads_json
        return lambda envelope: decode(loads(envelope.body))

    def _compile_writer(self, protocol: str) -> Write:
        shape = self.model.output_shape
        if protocol in (QUERY, EC2):
            return self._compile_xml_writer(shape, protocol)
        if protocol == REST_JSON:
            status = self.model.http.get("responseCode", 200)
            to_response = compile_rest_answer(shape, status)
            return lambda answer, _id, _version: to_response(answer)
        if protocol == REST_XML:
            style, root = self.service.style, self.service.style.root_names.get(self.name, f"{self.name}Result")
            namespace = self.service.namespace

            def xml_of(of: Any, tag: str) -> Callable[[Any], bytes]:
                return compile_xml_body(of, tag or root, namespace, style)

            write_rest = compile_rest_answer(shape, self.model.http.get("responseCode", 200), xml_of)

            def write_rest_xml(answer: Mapping[str, Any], _id: str, _version: str) -> HttpResponse:
                response = write_rest(answer)
                response.headers["x-amz-request-id"] = _id
                if answer.get("content_range"):
                    response.status = 206
                return response

            return write_rest_xml
        encode = None if shape is None else compile_encoder(shape, protocol)
        if protocol == CBOR:

            def write_cbor(answer: Mapping[str, Any], _id: str, _version: str) -> HttpResponse:
                body = b"" if encode is None else dumps_cbor(encode(answer))
                return HttpResponse(200, {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}, body)

            return write_cbor

        def write_json(answer: Mapping[str, Any], _id: str, version: str) -> HttpResponse:
            body = b"" if encode is None else dumps_json(encode(answer))
            return HttpResponse(200, {"Content-Type": f"application/x-amz-json-{version}"}, body)

        return write_json

    def _compile_xml_writer(self, shape: Any, protocol: str) -> Write:
        members = None if shape is None else compile_xml(shape, protocol, self.service.style)
        namespace = escape(self.service.namespace)
        start = f'<{self.name}Response xmlns="{namespace}">'
        end = f"</{self.name}Response>"
        if protocol == EC2:
            start = f'<?xml version="1.0" encoding="UTF-8"?>\n{start}<requestId>'
            middle, content_type = "</requestId>", "text/xml;charset=UTF-8"
        else:
            content_type = "text/xml"
            end = "</RequestId></ResponseMetadata>" + end
            middle = "<ResponseMetadata><RequestId>"
        wrapper = "" if shape is None else shape.serialization.get("resultWrapper", "")
        before, after = (f"<{wrapper}>", f"</{wrapper}>") if wrapper else ("", "")

        def write(answer: Mapping[str, Any], request_id: str, _version: str) -> HttpResponse:
            out: list[str] = [start]
            append = out.append
            if protocol == EC2:
                append(request_id + middle)
            append(before)
            if members is not None:
                members(append, answer)
            elif answer:
                raise AnswerError(f"{self.name} answers nothing")
            append(after)
            if protocol != EC2:
                append(middle + request_id)
            append(end)
            return HttpResponse(200, {"Content-Type": content_type}, "".join(out).encode())

        return write
