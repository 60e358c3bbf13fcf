"""Finds the operation, reads the request, runs the operation and writes its answer."""

from __future__ import annotations

from elba.call import Call
from elba.context import Context, dry_run_error
from elba.errors import ApiError
from elba.server.exchange import Exchange, Runtime
from elba.server.services import GLOBAL_REGION
from elba.store.interface import Transaction
from elba.wire import EC2, REST_JSON, REST_XML, HttpResponse


async def find_operation(exchange: Exchange) -> None:
    """Sets `operation`. Raises: ApiError, for an unknown one and for one that is not built.

    Both are 400 InvalidAction (UnknownOperationException): SDKs and Terraform retry a 5xx for minutes.
    """
    envelope, served = exchange.envelope, exchange.served
    assert envelope is not None and served is not None
    name = envelope.operation
    if exchange.protocol in (REST_JSON, REST_XML):
        name = served.wire.route(envelope)
    elif not name:
        raise ApiError("MissingAction", "The request must contain the parameter Action")
    elif served.target_prefix and envelope.target_prefix not in ("", served.target_prefix):
        raise ApiError("InvalidAction", f"The target {envelope.target_prefix}.{name} is not one of {served.title}.")
    exchange.operation = served.wire.operation(name)
    if exchange.operation is None:
        if exchange.protocol == EC2:
            raise ApiError("InvalidAction", f"The action {name} is not valid for this web service.")
        raise ApiError("InvalidAction", f"Could not find operation {name} for version {served.version}")
    if served.function(exchange.operation.python_name) is None:
        raise ApiError(
            "InvalidAction",
            f"The action {name} is not valid for this web service: Elba knows it, but it is not built yet.",
        )


async def parse(exchange: Exchange) -> None:
    """Sets `request`. Raises: ApiError for what the model does not allow."""
    operation, envelope = exchange.operation, exchange.envelope
    assert operation is not None and envelope is not None
    most = exchange.served.body_most_bytes.get(operation.name) if exchange.served is not None else None
    if most is not None and len(envelope.body) > most:
        text = f"Request size {len(envelope.body)} exceeded {most} bytes"
        raise ApiError("RequestEntityTooLarge", text, 413)
    exchange.request = operation.parse(envelope, exchange.protocol)


async def first_use(exchange: Exchange) -> None:
    """Gives an account what it has in a region from the start, before its first request there."""
    runtime, place = exchange.runtime, (exchange.account, exchange.region)
    if place in runtime.used or exchange.region == GLOBAL_REGION or exchange.region not in runtime.regions:
        return
    await prepare(runtime, *place)


async def prepare(runtime: Runtime, account: str, region: str) -> None:
    """Run the first-use hooks for `account` in `region`. A hook finds out itself that it ran in an earlier life."""
    call = Call(account, region, runtime.clock.now(), runtime.ids, cause="first use")

    def run(tx: Transaction) -> None:
        for hook in runtime.hooks:
            hook(tx, call)

    await runtime.store.write(run, call.cause)
    runtime.used.add((account, region))


async def invoke(exchange: Exchange) -> HttpResponse:
    """The operation's answer, once all that it may tell of is durable. Raises: ApiError, StoreError."""
    runtime, operation, served = exchange.runtime, exchange.operation, exchange.served
    envelope, request = exchange.envelope, exchange.request
    assert operation is not None and served is not None and envelope is not None
    function = served.function(operation.python_name)
    assert function is not None
    call = Call(
        account=exchange.account,
        region=exchange.region,
        now=runtime.clock.now(),
        ids=runtime.ids,
        request_id=exchange.request_id,
        caller_arn=exchange.caller_arn,
        caller_id=exchange.caller_id,
    )
    answer = await function(Context(call, runtime.store, runtime.clock, runtime.ports), request)
    if request.get("dry_run") is True:
        raise dry_run_error()
    await runtime.store.settled()
    return operation.serialize(answer, exchange.protocol, exchange.request_id, envelope.json_version)
