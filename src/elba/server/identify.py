"""Finds out which service a request is for, in which protocol.

A signed request says it in its credential scope; versions of one service (both ELB APIs) and unsigned requests
are told apart by API version, target and path.
"""

from __future__ import annotations

from collections.abc import Sequence

from elba.errors import ApiError
from elba.server.exchange import Exchange
from elba.server.services import Served
from elba.wire import CBOR, JSON, QUERY, REST_JSON, REST_XML, Envelope, detect, rest_xml
from elba.wire.sigv2 import read_presigned
from elba.wire.sigv4 import read_scope


async def identify(exchange: Exchange) -> None:
    """Sets `envelope`, `served`, `protocol`, `scope_region`. Raises: ApiError."""
    _key, exchange.scope_region, signing_name = read_scope(exchange.http)
    served = exchange.runtime.served
    if not signing_name and read_presigned(exchange.http) is not None:
        signing_name = "s3"
    named = [s for s in served if s.signing_name == signing_name]
    if len(named) == 1 and named[0].wire.protocols == (REST_XML,):
        exchange.served, exchange.protocol = named[0], REST_XML
        exchange.envelope = rest_xml(exchange.http, bucket_in_host(exchange.http.headers.get("host", "")))
        return
    if len(named) == 1:
        exchange.served = named[0]
        exchange.protocol = _protocol_hint(exchange, named[0])
    elif "x-amz-target" in exchange.http.headers:
        exchange.protocol = JSON
    exchange.envelope = envelope = detect(exchange.http)
    exchange.protocol = envelope.protocol
    found = _choose(named, envelope) if named else None
    if found is None:
        found = _choose(served, envelope)
    if found is None:
        raise _nothing_served(signing_name, envelope)
    exchange.served = found
    if envelope.protocol == QUERY:
        exchange.protocol = found.wire.query_protocol()
    if exchange.protocol not in found.wire.protocols:
        raise ApiError("InvalidAction", f"{found.title} does not speak {exchange.protocol}.")


def bucket_in_host(host: str) -> str:
    """The bucket that a virtual host names: `logs.s3.us-east-1.amazonaws.com`, `logs.localhost`; or ""."""
    name = host.rpartition(":")[0] if ":" in host else host
    if (at := name.find(".s3.")) > 0:
        return name[:at]
    bucket, found, rest = name.rpartition(".localhost")
    return bucket if found and not rest and bucket != "s3" and not bucket.startswith("s3.") else ""


def _protocol_hint(exchange: Exchange, served: Served) -> str:
    """The protocol to answer in if the body cannot even be decoded."""
    headers = exchange.http.headers
    if "x-amz-target" in headers:
        return JSON
    if exchange.http.path.startswith("/service/"):
        return CBOR
    protocol = served.wire.query_protocol()
    return protocol if protocol in served.wire.protocols else REST_JSON


def _choose(candidates: Sequence[Served], envelope: Envelope) -> Served | None:
    if len(candidates) == 1:
        return candidates[0]
    if envelope.target_prefix:
        return next((s for s in candidates if s.target_prefix == envelope.target_prefix), None)
    if envelope.protocol == REST_JSON:
        for candidate in candidates:
            if candidate.name == "lambda" and candidate.wire.route(envelope):
                return candidate
        return None
    for candidate in candidates:
        if candidate.version == envelope.version:
            return candidate
    # No such version (an old client's): whoever knows the action.
    for candidate in candidates:
        if not candidate.target_prefix and candidate.wire.operation(envelope.operation) is not None:
            return candidate
    signing_names = {candidate.signing_name for candidate in candidates}
    return candidates[0] if len(signing_names) == 1 else None


def _nothing_served(signing_name: str, envelope: Envelope) -> ApiError:
    if signing_name:
        return ApiError("InvalidAction", f"The service {signing_name} is not served by Elba.")
    if not envelope.operation:
        return ApiError("MissingAction", "The request must contain the parameter Action")
    return ApiError("InvalidAction", f"The action {envelope.operation} is not valid for this web service.")
