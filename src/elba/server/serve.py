"""Serves the API on a socket, with uvicorn over httptools."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn

from elba.errors import UserError
from elba.server.app import AsgiApp


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.accepting.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are whoever's who runs the loop, not the API server's."""
        yield


class Listening:
    """A server that listens. `port` is the real one, also if 0 was asked for."""

    def __init__(self, server: uvicorn.Server, task: asyncio.Task[None], host: str, port: int) -> None:
        self._server = server
        self.task = task
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def stop(self) -> None:
        """Finish the requests under way, then stop listening."""
        self._server.should_exit = True
        await self.task


async def serve(app: AsgiApp, host: str = "127.0.0.1", port: int = 4566) -> Listening:
    """Listen on host and port in the running loop; returns when connections are accepted.

    Raises: UserError if the address cannot be had.
    """
    try:
        server_socket = await _bind(host, port)
    except OSError as error:
        hint = (
            "Something else listens there; choose another port with --port." if error.errno == errno.EADDRINUSE else ""
        )
        raise UserError(f"cannot listen on {host}:{port}: {error.strerror or error}", hint) from error
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[server_socket]), name="api")
    ready = asyncio.create_task(server.accepting.wait())
    await asyncio.wait({ready, task}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if task.done():
        task.result()
    return Listening(server, task, host, server_socket.getsockname()[1])


async def _bind(host: str, port: int) -> socket.socket:
    """A socket bound to the first address of `host`. Raises: OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, kind, protocol, _name, address = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound
