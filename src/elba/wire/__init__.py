"""AWS's wire protocols, from botocore's service models. Knows no service by name.

    HttpRequest ──detect──► Envelope ──Operation.parse──► snake_case dict (the request)
    snake_case dict (the answer) ──Operation.serialize──► HttpResponse
    ApiError ──render_error──► HttpResponse

One plan per operation and protocol is compiled from the model on first use into nested closures, so a
call costs what its own members cost, not what the model holds.

    model.py      services, operations, error shapes: what is known of a model, compiled lazily
    envelope.py   which protocol a request speaks and which operation it names
    query.py      query and EC2 query requests      objects.py   JSON and CBOR requests and answers
    xml.py        query and EC2 query answers       rest.py      REST: URI, headers, payload
    xml_body.py   REST-XML bodies
    constraints.py  the model's constraints, in AWS's wording
    faults.py     errors in each protocol's form    sigv4.py, sigv2.py  signatures
"""

from elba.wire.envelope import Envelope, detect, rest_xml
from elba.wire.faults import render_error
from elba.wire.http import HttpRequest, HttpResponse
from elba.wire.model import Operation, Service
from elba.wire.style import CBOR, EC2, JSON, QUERY, REST_JSON, REST_XML, AnswerError, Malformed, Style

__all__ = [
    "CBOR",
    "EC2",
    "JSON",
    "QUERY",
    "REST_JSON",
    "REST_XML",
    "AnswerError",
    "Envelope",
    "HttpRequest",
    "HttpResponse",
    "Malformed",
    "Operation",
    "Service",
    "Style",
    "detect",
    "render_error",
    "rest_xml",
]
