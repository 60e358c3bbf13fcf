"""botocore is the oracle: what its serializers send we read, what we answer its parsers read."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from botocore import xform_name
from botocore.awsrequest import prepare_request_dict
from botocore.model import OperationModel
from botocore.parsers import PROTOCOL_PARSERS
from botocore.serialize import SERIALIZERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elba.wire import CBOR, EC2, JSON, QUERY, REST_JSON, HttpRequest, Service, detect

from .wire_models import snake, structure_of, without_unsayable

CASES = [
    ("elb", QUERY),
    ("elbv2", QUERY),
    ("autoscaling", QUERY),
    ("cloudwatch", QUERY),
    ("cloudwatch", JSON),
    ("cloudwatch", CBOR),
    ("ec2", EC2),
    ("iam", QUERY),
    ("sts", QUERY),
    ("sns", QUERY),
    ("ssm", JSON),
    ("acm", JSON),
    ("lambda", REST_JSON),
]
SERVICES = {name: Service(name) for name, _ in CASES}
# Streams of events are no request and no answer; httpPayload of an event stream alike.
STREAMING = {("lambda", "InvokeWithResponseStream"), ("ssm", "StartSession")}

PROFILE = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def operations(name: str) -> list[str]:
    return [o for o in SERVICES[name].operation_names if (name, o) not in STREAMING]


def sent_by_botocore(protocol: str, model: OperationModel, parameters: dict[str, Any]) -> HttpRequest:
    """What arrives at a server when a client calls the operation."""
    serializer = SERIALIZERS[protocol](**({"timestamp_precision": "millisecond"} if protocol == CBOR else {}))
    request = serializer.serialize_to_request(parameters, model)
    prepare_request_dict(request, endpoint_url="http://127.0.0.1", context={})
    body = request["body"]
    if isinstance(body, dict):
        body = urlencode(body, doseq=True).encode()
    elif isinstance(body, str):
        body = body.encode()
    url = urlsplit(request["url"])
    headers = {k.lower(): v for k, v in request["headers"].items()}
    return HttpRequest(request["method"], url.path, url.query, headers, bytes(body))


@pytest.mark.parametrize(("name", "protocol"), CASES)
def test_requests_arrive_as_sent(name: str, protocol: str) -> None:
    service = SERVICES[name]

    @PROFILE
    @given(st.data())
    def check(data: st.DataObject) -> None:
        operation = service.operation(data.draw(st.sampled_from(operations(name))))
        assert operation is not None
        shape = operation.model.input_shape
        parameters = data.draw(structure_of(shape)) if shape is not None else {}
        envelope = detect(sent_by_botocore(protocol, operation.model, parameters))
        if protocol == REST_JSON:
            assert service.route(envelope) == operation.name
        else:
            assert envelope.operation == operation.name
            if protocol in (JSON, CBOR):
                assert envelope.target_prefix == service.target_prefix
            assert envelope.protocol == (QUERY if protocol == EC2 else protocol)
        got = operation.decode(envelope, protocol)
        expected = snake(shape, parameters) if shape is not None else {}
        if protocol in (QUERY, EC2, REST_JSON) and shape is not None:  # REST sends {} for no payload
            expected = without_unsayable(shape, expected, protocol == EC2)
            got = without_unsayable(shape, got, protocol == EC2)
        assert got == expected

    check()


@pytest.mark.parametrize(("name", "protocol"), CASES)
def test_answers_are_read_back(name: str, protocol: str) -> None:
    service = SERVICES[name]

    @PROFILE
    @given(st.data())
    def check(data: st.DataObject) -> None:
        # botocore's parser hands out a raw payload as it is read from the socket: no oracle for Invoke's.
        names = [o for o in operations(name) if o != "Invoke"]
        operation = service.operation(data.draw(st.sampled_from(names)))
        assert operation is not None
        shape = operation.model.output_shape
        answer = data.draw(structure_of(shape)) if shape is not None else {}
        snake_answer = snake(shape, answer) if shape is not None else {}
        response = operation.serialize(snake_answer, protocol, "the-request-id")
        parser = PROTOCOL_PARSERS[protocol]()
        headers = {k.lower(): v for k, v in response.headers.items()}
        parsed = parser.parse({"status_code": response.status, "headers": headers, "body": response.body}, shape)
        metadata = parsed.pop("ResponseMetadata")
        if not (protocol == CBOR and shape is None):
            assert metadata["RequestId"] == "the-request-id"
        assert metadata["HTTPHeaders"]["x-amzn-requestid"] == "the-request-id"
        got = snake(shape, parsed) if shape is not None else {}
        for member, member_shape in (shape.members if shape is not None else {}).items():
            if member_shape.serialization.get("location") == "statusCode":
                got.pop(xform_name(member), None)
        assert got == snake_answer

    check()


def test_a_raw_payload_is_the_body() -> None:
    operation = SERVICES["lambda"].operation("Invoke")
    assert operation is not None
    response = operation.serialize({"status_code": 202, "function_error": "x", "payload": b"\x80"}, REST_JSON, "id")
    assert (response.status, response.body) == (202, b"\x80")
    assert response.headers["X-Amz-Function-Error"] == "x"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_non_finite_numbers_reach_the_commands(text: str) -> None:
    """CloudWatch refuses them itself, in its own words."""
    operation = SERVICES["cloudwatch"].operation("PutMetricAlarm")
    assert operation is not None
    headers = {"content-type": "application/x-www-form-urlencoded"}
    query = detect(HttpRequest("POST", "/", "", headers, f"Action=PutMetricAlarm&Threshold={text}".encode()))
    target = {"x-amz-target": "GraniteServiceVersion20100801.PutMetricAlarm"}
    json = detect(HttpRequest("POST", "/", "", target, f'{{"Threshold": "{text}"}}'.encode()))
    for got in (operation.decode(query, QUERY), operation.decode(json, JSON)):
        assert repr(got["threshold"]) == repr(float(text))
