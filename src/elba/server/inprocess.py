"""Unmodified boto3 clients against an application in this process: no sockets, any event loop.

    clients = InProcess(app, loop)                     # loop: elba.testing.VirtualLoop, not running now
    autoscaling = clients.client("autoscaling")        # a real boto3 client
    autoscaling.describe_auto_scaling_groups()         # runs the loop until the answer is there

botocore serializes, signs and parses as ever; only the sending is replaced (its `before-send` event). A call
drives the loop with `run_until_complete`, so it is made from outside the loop: a test is a plain function that
owns the loop. On a virtual loop whatever else is due runs meanwhile, and no virtual time passes unless the
operation itself waits.

Waiters sleep; inside `with clients.virtual_waits():` they let the loop's time pass instead, so
`client.get_waiter(…).wait(…)` takes no real time.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
import botocore.waiter
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.loaders import Loader

from elba.server.app import App
from elba.wire import HttpRequest

ENDPOINT = "http://127.0.0.1:4566"


@cache
def _loader() -> Loader:
    return Loader()


def _session() -> botocore.session.Session:
    """A session that shares the loaded models with all others: reading EC2's takes longer than many tests."""
    session = botocore.session.Session()
    session.register_component("data_loader", _loader())
    return session


class _Body(io.BytesIO):
    """What botocore reads a response's body from."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        while chunk := self.read(65536):
            yield chunk


class InProcess:
    """Makes boto3 clients whose requests are answered by `app` on `loop`.

    `access_key` may be a 12-digit account id where the application's auth is open. Clients do not retry: an error
    shows as it came.
    """

    def __init__(
        self,
        app: App,
        loop: asyncio.AbstractEventLoop,
        *,
        region: str = "us-east-1",
        access_key: str = "test",
        secret_key: str = "test",
    ) -> None:
        self.app = app
        self.loop = loop
        self._defaults = (region, access_key, secret_key)
        self._clients: dict[tuple[str, str, str], Any] = {}

    def client(
        self,
        service: str,
        *,
        region: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        session_token: str | None = None,
        validate: bool = True,
        api: str | None = None,
    ) -> Any:
        """A boto3 client of `service`, by default one for all calls with the same arguments.

        `validate=False` lets invalid parameters out, to see them refused by Elba rather than by botocore.
        """
        default_region, default_key, default_secret = self._defaults
        key = (service, region or default_region, f"{access_key}/{secret_key}/{session_token}/{validate}/{api}")
        if key not in self._clients:
            session = boto3.session.Session(
                botocore_session=_session(),
                aws_access_key_id=access_key or default_key,
                aws_secret_access_key=secret_key or default_secret,
                aws_session_token=session_token,
                region_name=region or default_region,
            )
            client = session.client(
                service,
                endpoint_url=ENDPOINT,
                api_version=api,
                config=Config(
                    retries={"total_max_attempts": 1},
                    parameter_validation=validate,
                    ignore_configured_endpoint_urls=True,
                ),
            )
            self.attach(client)
            self._clients[key] = client
        return self._clients[key]

    def attach(self, client: Any) -> None:
        """Answer all of a boto3 or botocore client's requests in this process."""
        client.meta.events.register("before-send", self._answer)

    @contextlib.contextmanager
    def virtual_waits(self) -> Iterator[None]:
        """Within it botocore's waiters let the loop's time pass instead of sleeping."""
        real = botocore.waiter.time
        botocore.waiter.time = SimpleNamespace(sleep=self.wait)
        try:
            yield
        finally:
            botocore.waiter.time = real

    def wait(self, seconds: float) -> None:
        """Run the loop for `seconds` of its time."""
        self._run(asyncio.sleep(seconds))

    def send(self, request: HttpRequest) -> Any:
        """The application's `HttpResponse` to a request made by hand."""
        return self._run(self.app.handle(request))

    def _run(self, coroutine: Any) -> Any:
        if self.loop.is_running():
            coroutine.close()
            raise RuntimeError("in-process clients are called from outside the loop they drive")
        asyncio.set_event_loop(self.loop)
        try:
            return self.loop.run_until_complete(coroutine)
        finally:
            asyncio.set_event_loop(None)

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        url = urlsplit(request.url)
        body = request.body
        if body is None:
            body = b""
        elif isinstance(body, str):
            body = body.encode()
        elif hasattr(body, "read"):
            body = body.read()
        headers = {}
        for name, value in request.headers.items():
            headers[name.lower()] = value.decode() if isinstance(value, bytes) else str(value)
        headers.setdefault("host", url.netloc)
        response = self.send(HttpRequest(request.method, url.path or "/", url.query, headers, bytes(body)))
        return AWSResponse(request.url, response.status, response.headers, _Body(response.body))
