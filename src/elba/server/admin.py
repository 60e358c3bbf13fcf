"""Elba's own endpoints under `/_elba/`: health and status, read-only, for clients on this machine only.

GET /_elba/health    {"status": "ok", "version": …}
GET /_elba/status    version, clock, store revision, settings that matter to clients, resources counted by
                     kind, operations built by service, and what `Admin.sources` add
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

import msgspec

from elba import __version__
from elba.server.exchange import Runtime
from elba.server.web_pages import is_foreign
from elba.wire import HttpRequest, HttpResponse

PREFIX = "/_elba/"


class Admin:
    """Answers what begins with `/_elba/`. `sources` add parts to the status by name."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.sources: dict[str, Callable[[], Any]] = {}

    def answer(self, request: HttpRequest) -> HttpResponse | None:
        """The answer, or None if the request is not for us."""
        if not request.path.startswith(PREFIX):
            return None
        if not _is_local(request.client) or is_foreign(request.headers, self._runtime.settings.host):
            return _json(403, {"message": "Only clients on this machine may ask that."})
        if request.method not in ("GET", "HEAD"):
            return _json(405, {"message": f"{request.method} is not allowed here."})
        page = request.path.removeprefix(PREFIX)
        if page == "health":
            return _json(200, {"status": "ok", "version": __version__})
        if page == "status":
            return _json(200, self.status())
        return _json(404, {"message": f"There is no {request.path}; try {PREFIX}health or {PREFIX}status."})

    def status(self) -> dict[str, Any]:
        """What `/_elba/status` shows."""
        runtime = self._runtime
        settings = runtime.settings
        return {
            "version": __version__,
            "clock": runtime.clock.now(),
            "time_scale": runtime.clock.scale,
            "revision": runtime.store.revision,
            "auth": settings.auth,
            "account": settings.account,
            "regions": list(settings.regions),
            "resources": runtime.store.counts(),
            "services": {
                s.name: {"built": len(s.built()), "known": len(s.wire.operation_names)} for s in runtime.served
            },
            **{name: source() for name, source in self.sources.items()},
        }


def _is_local(client: str) -> bool:
    try:
        return client == "" or ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False


def _json(status: int, body: Any) -> HttpResponse:
    return HttpResponse(status, {"Content-Type": "application/json"}, msgspec.json.encode(body))
