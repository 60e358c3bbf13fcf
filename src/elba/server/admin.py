"""Elba's own endpoints under `/_elba/`, and `/metrics`: read-only, for clients on this machine only.

GET /_elba/health    {"status": "ok", "version": …}
GET /_elba/ca.pem    the root certificate of this Elba's own authority, which signs requested certificates
GET /_elba/public-keys/<kid>   the public key of what load balancers sign (x-amzn-oidc-data)
GET /_elba/trust-store?…   contents of a trust store, by the signed address that ELBv2 gave out
GET /_elba/status    version, clock, store revision, settings that matter to clients, resources counted by
                     kind, operations built by service, and what `Admin.sources` add
GET /_elba/explain   why a group has the capacity it has; group, last, region, account in the query
GET /metrics         the newest minute of every CloudWatch metric, for Prometheus to scrape
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from elba import __version__
from elba.acm.lookup import authority_of
from elba.autoscaling.queries.decisions import explain
from elba.cloudwatch.exposition import CONTENT_TYPE, expose
from elba.cloudwatch.series import SeriesEngine
from elba.elbv2.downloads import PATH as TRUST_STORE_PATH
from elba.elbv2.downloads import content_at
from elba.elbv2.identity_keys import public_key
from elba.server.exchange import Runtime
from elba.server.web_pages import is_foreign
from elba.wire import HttpRequest, HttpResponse

PREFIX = "/_elba/"
METRICS = "/metrics"
DECISIONS_SHOWN = 10


class Admin:
    """Answers what begins with `/_elba/`, and `/metrics`. `sources` add parts to the status by name."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.sources: dict[str, Callable[[], Any]] = {}

    def answer(self, request: HttpRequest) -> HttpResponse | None:
        """The answer, or None if the request is not for us."""
        if not request.path.startswith(PREFIX) and request.path != METRICS:
            return None
        if self.is_foreign(request):
            return _json(403, {"message": "Only clients on this machine may ask that."})
        if request.method not in ("GET", "HEAD"):
            return _json(405, {"message": f"{request.method} is not allowed here."})
        if request.path == METRICS:
            return self._metrics()
        page = request.path.removeprefix(PREFIX)
        if page == "health":
            return _json(200, {"status": "ok", "version": __version__})
        if page == "status":
            return _json(200, self.status())
        if page == "explain":
            return self._explain(dict(parse_qsl(request.query)))
        if page == "ca.pem":
            authority = authority_of(self._runtime.store.view)
            return _pem(authority.certificate if authority else None)
        if page.startswith("public-keys/"):
            return _pem(public_key(self._runtime.store.view, page.removeprefix("public-keys/")))
        if request.path == TRUST_STORE_PATH:
            return _pem(content_at(self._runtime.store.view, request.query, self._runtime.clock.wall()))
        return _json(404, {"message": f"There is no {request.path}; try {PREFIX}health or {PREFIX}status."})

    def is_foreign(self, request: HttpRequest) -> bool:
        """Whether the request comes from another machine, or from a page of another site."""
        return not _is_local(request.client) or is_foreign(request.headers, self._runtime.settings.host)

    def _metrics(self) -> HttpResponse:
        engine = self._runtime.ports.metrics
        metrics = engine.all_metrics() if isinstance(engine, SeriesEngine) else ()
        text = expose(metrics, self._runtime.clock.now())
        return HttpResponse(200, {"Content-Type": CONTENT_TYPE}, text.encode())

    def _explain(self, asked: dict[str, str]) -> HttpResponse:
        settings = self._runtime.settings
        account = asked.get("account", settings.account)
        region, group = asked.get("region", settings.regions[0]), asked.get("group", "")
        last = asked.get("last", str(DECISIONS_SHOWN))
        if not last.isdecimal() or len(last) > 9:
            return _json(400, {"message": f"last must be a number of decisions, not {last!r}."})
        found = explain(self._runtime.store.view, account, region, group, int(last))
        if found is None:
            return _json(404, {"message": f"There is no Auto Scaling group {group!r} in {region} of {account}."})
        return _json(200, found)

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


def _pem(text: str | None) -> HttpResponse:
    if text is None:
        return _json(404, {"message": "There is nothing, or not any more."})
    return HttpResponse(200, {"Content-Type": "application/x-pem-file"}, text.encode())
