"""The API server: an ASGI application that passes each request along a chain of handlers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from elba.clock import Clock
from elba.config import RootKey, Settings
from elba.context import Ports
from elba.errors import ApiError, StoreError
from elba.ids import IdSource
from elba.server.admin import Admin
from elba.server.authenticate import authenticate
from elba.server.dispatch import find_operation, first_use, invoke, parse, prepare
from elba.server.exchange import Exchange, Runtime
from elba.server.faults import PATH as FAULTS
from elba.server.faults import FaultGate
from elba.server.functions import PREFIX as FUNCTIONS
from elba.server.functions import FunctionGate
from elba.server.identify import identify
from elba.server.keys import KnownKeys
from elba.server.regions import all_regions
from elba.server.services import SERVED, FirstUseHook, Served, first_use_hooks
from elba.store.interface import Store
from elba.wire import HttpRequest, HttpResponse, render_error
from elba.wire.envelope import MAX_BODY_BYTES

log = logging.getLogger(__name__)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]

CHAIN: tuple[Callable[[Exchange], Awaitable[HttpResponse | None]], ...] = (
    identify,  #       which service, in which protocol
    authenticate,  #   who asks: account, region
    find_operation,  # which operation
    parse,  #          the request, checked against the model's constraints
    first_use,  #      what an account finds in a region from the start
    invoke,  #         operation, then its answer once durable
)
"""The handlers in order. Each fills in its part of the exchange; the first to return a response ends the chain."""


class App:
    """The ASGI application. `mounts` are further ASGI applications by path prefix, before the API."""

    def __init__(self, runtime: Runtime, mounts: Mapping[str, AsgiApp] | None = None) -> None:
        self.runtime = runtime
        self.admin = Admin(runtime)
        self.functions = FunctionGate(runtime)
        self.faults = FaultGate(runtime)
        self.mounts = dict(mounts or {})

    async def prepare(self, account: str, region: str) -> None:
        """Give `account` its default VPC and the like in `region` now, not at its first request."""
        await prepare(self.runtime, account, region)

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """The answer to one request. Raises nothing but cancellation."""
        if request.path.startswith(FUNCTIONS) and not self.admin.is_foreign(request):
            return await self.functions.answer(request)
        if request.path == FAULTS and not self.admin.is_foreign(request):
            return await self.faults.answer(request)
        admin = self.admin.answer(request)
        if admin is not None:
            return admin
        exchange = Exchange(self.runtime, request, self.runtime.ids.uuid())
        try:
            for handler in CHAIN:
                response = await handler(exchange)
                if response is not None:
                    return response
            raise AssertionError("the last handler answers")
        except ApiError as error:
            return self._refuse(exchange, error)
        except StoreError:
            log.exception("store failed", extra={"request_id": exchange.request_id})
            return self._refuse(exchange, ApiError("ServiceUnavailable", "The store cannot keep changes.", 503))
        except Exception:
            log.exception(
                "request failed",
                extra={
                    "request_id": exchange.request_id,
                    "operation": "" if exchange.operation is None else exchange.operation.name,
                },
            )
            return self._refuse(
                exchange,
                ApiError("InternalFailure", "The request processing has failed because of an internal error.", 500),
            )

    def _refuse(self, exchange: Exchange, error: ApiError) -> HttpResponse:
        service = None if exchange.served is None else exchange.served.wire
        version = "1.1" if exchange.envelope is None else exchange.envelope.json_version
        response = render_error(error, exchange.protocol, service, exchange.request_id, version)
        if exchange.http.method == "HEAD":
            response.body = b""
        return response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._other(scope, receive, send)
        path = scope["path"]
        for prefix, mounted in self.mounts.items():
            if path.startswith(prefix):
                return await mounted(scope, receive, send)
        request = await _read(scope, receive)
        if request is None:
            error = ApiError("RequestEntityTooLarge", "The request body is too large.", 413)
            response = render_error(error, "query", None, self.runtime.ids.uuid())
        else:
            response = await self.handle(request)
        headers = [(k.encode("latin-1"), v.encode("latin-1", "replace")) for k, v in response.headers.items()]
        if not any(name.lower() == b"content-length" for name, _ in headers):
            headers.append((b"content-length", str(len(response.body)).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})
        return None

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        mounted = None
        if scope["type"] == "websocket":
            path = scope["path"]
            mounted = next((app for prefix, app in self.mounts.items() if path.startswith(prefix)), None)
        if mounted is not None:
            await mounted(scope, receive, send)
        elif scope["type"] == "lifespan":
            kind = ""
            while kind != "lifespan.shutdown":
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})


async def _read(scope: Scope, receive: Receive) -> HttpRequest | None:
    """The whole request, or None if its body is too large."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        chunks, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                return None
            chunks.append(chunk)
        body = b"".join(chunks)
    if len(body) > MAX_BODY_BYTES:
        return None
    raw_path = scope.get("raw_path") or scope["path"].encode()
    client = scope.get("client") or ("", 0)
    return HttpRequest(
        scope["method"],
        raw_path.partition(b"?")[0].decode("latin-1"),
        scope["query_string"].decode("latin-1"),
        headers,
        body,
        client[0],
    )


def build_app(
    store: Store,
    clock: Clock,
    ports: Ports,
    settings: Settings,
    *,
    root_key: RootKey | None = None,
    ids: IdSource | None = None,
    served: Sequence[Served] = SERVED,
    hooks: list[FirstUseHook] | None = None,
    mounts: Mapping[str, AsgiApp] | None = None,
) -> App:
    """The application over an open store. `hooks` default to those in `services.FIRST_USE_HOOKS`."""
    runtime = Runtime(
        store=store,
        clock=clock,
        ids=ids or IdSource(),
        ports=ports,
        settings=settings,
        regions=frozenset(settings.regions) | (frozenset() if settings.only_regions else all_regions()),
        keys=KnownKeys(store, root_key),
        served=served,
        hooks=first_use_hooks() if hooks is None else hooks,
    )
    return App(runtime, mounts)
