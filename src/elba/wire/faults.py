"""Errors in each protocol's form, with the codes that each kind of client expects."""

from __future__ import annotations

from typing import Any

from elba.errors import ApiError
from elba.wire.http import HttpResponse
from elba.wire.model import Service
from elba.wire.objects import compile_encoder, dumps_cbor, dumps_json
from elba.wire.style import CBOR, EC2, JSON, QUERY, REST_JSON, REST_XML
from elba.wire.xml import compile_xml, escape

# Codes every service knows, under the query protocol's names, which the rest of Elba raises.
# Source: "Common errors" of the query services' API references and of the JSON ones'.
_JSON_NAMES = {
    "AccessDenied": "AccessDeniedException",
    "ExpiredToken": "ExpiredTokenException",
    "IncompleteSignature": "IncompleteSignatureException",
    "InvalidAction": "UnknownOperationException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "MalformedQueryString": "SerializationException",
    "MissingAction": "UnknownOperationException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "RequestExpired": "RequestExpired",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "Throttling": "ThrottlingException",
    "ValidationError": "ValidationException",
}
_EC2_NAMES = {
    "AccessDenied": ("UnauthorizedOperation", 403),
    "ExpiredToken": ("RequestExpired", 400),
    "IncompleteSignature": ("AuthFailure", 401),
    "InvalidClientTokenId": ("AuthFailure", 401),
    "InternalFailure": ("InternalError", 500),
    "Throttling": ("RequestLimitExceeded", 503),
    "ValidationError": ("InvalidParameterValue", 400),
}
_REST_XML_NAMES = {
    "ExpiredToken": ("ExpiredToken", 400),
    "IncompleteSignature": ("AuthorizationHeaderMalformed", 400),
    "InternalFailure": ("InternalError", 500),
    "InvalidAction": ("NotImplemented", 400),
    "InvalidClientTokenId": ("InvalidAccessKeyId", 403),
    "MissingAction": ("MethodNotAllowed", 405),
    "MissingAuthenticationToken": ("AccessDenied", 403),
    "RequestEntityTooLarge": ("EntityTooLarge", 400),
}
_QUERY_NAMES = {"SerializationException": "MalformedInput"}


def render_error(
    error: ApiError, protocol: str, service: Service | None, request_id: str, json_version: str = "1.0"
) -> HttpResponse:
    """The response that tells a client of `error`.

    The status is the error's own unless that is 400 and the model gives the error another.
    """
    code, shape_name = (error.code, error.code) if service is None else service.error_names(error.code)
    status = error.status
    modelled = None if service is None else service.error_status(error.code)
    if status == 400 and modelled is not None:
        status = modelled
    if protocol == EC2:
        code, status = _EC2_NAMES.get(code, (code, status))
        response = HttpResponse(status, {"Content-Type": "text/xml;charset=UTF-8"})
        response.body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Response><Errors><Error><Code>{escape(code)}</Code><Message>{escape(error.message)}</Message>"
            f"</Error></Errors><RequestID>{request_id}</RequestID></Response>"
        ).encode()
    elif protocol == REST_XML:
        code, status = _REST_XML_NAMES.get(code, (code, status))
        fields = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in error.fields.items())
        response = HttpResponse(status, {"Content-Type": "application/xml", "x-amz-request-id": request_id})
        if status != 304:
            response.body = (
                '<?xml version="1.0" encoding="UTF-8"?>\n'
                f"<Error><Code>{escape(code)}</Code><Message>{escape(error.message)}</Message>{fields}"
                f"<RequestId>{request_id}</RequestId></Error>"
            ).encode()
    elif protocol == QUERY:
        response = _query_error(error, _QUERY_NAMES.get(code, code), shape_name, status, service, request_id)
    else:
        response = _object_error(error, code, shape_name, status, protocol, service, json_version)
    response.headers["x-amzn-RequestId"] = request_id
    return response


def _query_error(
    error: ApiError, code: str, shape_name: str, status: int, service: Service | None, request_id: str
) -> HttpResponse:
    fault = "Receiver" if status >= 500 else "Sender"
    fields: list[str] = []
    shape = None if service is None or not error.fields else service.error_shape(shape_name)
    if shape is not None and service is not None:
        compile_xml(shape, QUERY, service.style)(fields.append, error.fields)
    namespace = "" if service is None else f' xmlns="{escape(service.namespace)}"'
    body = (
        f"<ErrorResponse{namespace}><Error><Type>{fault}</Type><Code>{escape(code)}</Code>"
        f"{f'<Message>{escape(error.message)}</Message>' if error.message else ''}{''.join(fields)}</Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return HttpResponse(status, {"Content-Type": "text/xml"}, body.encode())


def _object_error(
    error: ApiError,
    code: str,
    shape_name: str,
    status: int,
    protocol: str,
    service: Service | None,
    json_version: str,
) -> HttpResponse:
    shape = None if service is None else service.error_shape(shape_name)
    name = shape_name if shape is not None else _JSON_NAMES.get(code, code)
    if name == "UnrecognizedClientException" and protocol == JSON:
        status = 400
    message_key = "message"
    body: dict[str, Any] = {"__type": name}
    if shape is not None:
        if "Message" in shape.members:
            message_key = shape.members["Message"].serialization.get("name", "Message")
        if error.fields:
            body.update(compile_encoder(shape, protocol)(error.fields))
    body[message_key] = error.message
    headers = {"x-amzn-errortype": name}
    if service is not None and service.query_compatible:
        old = service.style.query_codes.get(code, code)
        headers["x-amzn-query-error"] = f"{old};{'Receiver' if status >= 500 else 'Sender'}"
    if protocol == CBOR:
        headers.update({"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"})
        return HttpResponse(status, headers, dumps_cbor(body))
    content_type = "application/json" if protocol == REST_JSON else f"application/x-amz-json-{json_version}"
    headers["Content-Type"] = content_type
    return HttpResponse(status, headers, dumps_json(body))
