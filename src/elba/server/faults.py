"""Faults that an operator injects, for clients on this machine only:

GET  /_elba/faults   what is broken now; region, account in the query
POST /_elba/faults   break or mend: {"fault": "capacity", "zone": …, "instance_type": …, "clear": false, "region": …},
                     as `elba.ec2.commands.faults.inject` has it

A POST ends instances, so unless auth is open it needs a known key: HTTP Basic, key id and secret (`curl -u`).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from elba.call import Call
from elba.ec2.commands.faults import active, inject
from elba.errors import ApiError, StoreError
from elba.server.exchange import Runtime
from elba.wire import HttpRequest, HttpResponse

PATH = "/_elba/faults"
CAUSE = "operator:fault"


class FaultGate:
    """Answers `/_elba/faults`."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """The caller has seen to it that the client is on this machine."""
        settings = self._runtime.settings
        if request.method == "GET":
            asked: dict[str, Any] = dict(parse_qsl(request.query))
        elif request.method == "POST":
            if settings.auth != "open" and not self._has_key(request):
                return _json(401, {"message": "A known key is needed: HTTP Basic, its id and its secret."})
            try:
                asked = msgspec.json.decode(request.body, type=dict[str, Any])
            except msgspec.DecodeError:
                return _json(400, {"message": "The body must be a JSON object."})
        else:
            return _json(405, {"message": f"{request.method} is not allowed here."})
        account = str(asked.get("account") or settings.account)
        region = str(asked.get("region") or settings.regions[0])
        if region not in self._runtime.regions:
            return _json(400, {"message": f"There is no region {region!r} here."})
        if request.method == "GET":
            return _json(200, active(self._runtime.store.view, account, region))
        call = Call(account=account, region=region, now=self._runtime.clock.now(), ids=self._runtime.ids, cause=CAUSE)
        try:
            done = await self._runtime.store.write(lambda tx: inject(tx, call, asked), CAUSE)
        except ApiError as error:
            return _json(error.status, {"code": error.code, "message": error.message})
        except StoreError:
            return _json(503, {"message": "The store cannot keep changes."})
        return _json(200, {"region": region, **done})

    def _has_key(self, request: HttpRequest) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            key_id, _, secret = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        key = self._runtime.keys.find(key_id)
        return key is not None and hmac.compare_digest(key.secret_access_key.encode(), secret.encode())


def _json(status: int, body: Any) -> HttpResponse:
    return HttpResponse(status, {"Content-Type": "application/json"}, msgspec.json.encode(body))
