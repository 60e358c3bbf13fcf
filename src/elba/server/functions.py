"""What zone nodes ask of functions, for clients on this machine only:

POST /_elba/functions/<function ARN>/invocations   → 200 and the answer, or {"reason": "LambdaUnhandled", "status": 502}
     with that status: why the load balancer must answer itself. `x-elba-form` says what the body is:
     event (or no such header)   the event; the answer is the result as the function gave it (JSON)
     request                     an HTTP/1.1 request's head with its fields as a target would get them, and its body
                                 without chunks; the answer is an HTTP/1.1 response, head and body
     check                       nothing: a health check; the answer as for `request`
GET  /_elba/functions/code/<digest>                the zip file, as GetFunction's Code.Location names it

An invocation needs `x-elba-node` (the node's id), `x-elba-secret` (that node's secret, `node_secret`) and
`x-elba-target-group` (the ARN on whose behalf it invokes: it must be a group with this function as a target, which
the function's policy lets invoke it).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from urllib.parse import unquote

from elba.call import Call
from elba.elbv2.attributes import target_group_attribute
from elba.elbv2.resources import Target, TargetGroup
from elba.lambda_ import alb_events
from elba.lambda_.interface import CodeMissing, Throttled
from elba.lambda_.names import find, program_of
from elba.lambda_.permissions import ELB, may_invoke, split_arn
from elba.server.exchange import Runtime
from elba.wire import HttpRequest, HttpResponse

PREFIX = "/_elba/functions/"
SECRET_SETTING = "functions_secret"


def node_secret(secret: str, node_id: str) -> str:
    """The secret of one zone node, hex: what the control plane's own secret makes of its id."""
    return hmac.new(secret.encode(), node_id.encode(), hashlib.sha256).hexdigest()


class FunctionGate:
    """Answers what begins with `/_elba/functions/`."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """The caller has seen to it that the client is on this machine."""
        rest = unquote(request.path.removeprefix(PREFIX))
        if request.method == "GET" and rest.startswith("code/"):
            return self._code(rest.removeprefix("code/"))
        if request.method == "POST" and rest.endswith("/invocations"):
            return await self._invoke(rest.removesuffix("/invocations"), request)
        return _json(404, {"message": f"There is no {request.method} {request.path}."})

    def _code(self, digest: str) -> HttpResponse:
        functions = self._runtime.ports.functions
        is_digest = len(digest) == 64 and all(c in "0123456789abcdef" for c in digest)
        code = functions.code(digest) if functions is not None and is_digest else None
        if code is None:
            return _json(404, {"message": "There is no such code."})
        return HttpResponse(200, {"Content-Type": "application/zip"}, code)

    def _is_node(self, request: HttpRequest) -> bool:
        secret = self._runtime.ports.settings.get(SECRET_SETTING, "")
        given = request.headers.get("x-elba-secret", "")
        expected = node_secret(secret, request.headers.get("x-elba-node", ""))
        return bool(secret) and hmac.compare_digest(given.encode(), expected.encode())

    async def _invoke(self, arn: str, request: HttpRequest) -> HttpResponse:
        runtime = self._runtime
        if not self._is_node(request):
            return _json(403, {"message": "Only zone nodes may ask that."})
        if runtime.ports.functions is None:
            return _refused(502, "LambdaServiceException")
        try:
            account, region, name, qualifier = split_arn(arn)
        except ValueError:
            return _refused(502, "LambdaResourceNotFound")
        view = runtime.store.view
        group = view.get(TargetGroup, account, region, request.headers.get("x-elba-target-group", ""))
        targets = [] if group is None else view.children(Target, account, region, group.id)
        call = Call(account, region, runtime.clock.now(), runtime.ids, cause="load balancer")
        function = find(view, call, name, qualifier, runtime.ids.random)
        if function is None:
            return _refused(502, "LambdaResourceNotFound")
        if group is None or all(target.target_id != arn for target in targets):
            return _refused(502, "LambdaAccessDenied")
        if not may_invoke(view, arn, ELB, group.id, account):
            return _refused(502, "LambdaAccessDenied")
        form = request.headers.get("x-elba-form", "event")
        multi_value = target_group_attribute(group, "lambda.multi_value_headers.enabled") == "true"
        try:
            event = _event(form, group, request.body, multi_value)
            result = await runtime.ports.functions.invoke(program_of(view, function), event, runtime.ids.uuid())
        except Throttled:
            return _refused(502, "LambdaThrottling")
        except CodeMissing:
            return _refused(502, "LambdaInvalidZipFileException")
        except alb_events.Refused as refused:
            return _refused(refused.status, refused.reason)
        if result.error:
            return _refused(502, "LambdaUnhandled")
        if form == "event":
            return HttpResponse(200, {"Content-Type": "application/json"}, result.payload)
        try:
            response = alb_events.response_of(result.payload, multi_value=multi_value)
        except alb_events.Refused as refused:
            return _refused(refused.status, refused.reason)
        processed = {"x-elba-processed": str(len(event) + len(result.payload))}
        return HttpResponse(200, {"Content-Type": "message/http", **processed}, alb_events.written(response))


def _event(form: str, group: TargetGroup, body: bytes, multi_value: bool) -> bytes:
    """Raises: alb_events.Refused."""
    if form == "event":
        return body
    if form == "check":
        return alb_events.health_check_event(group.id, group.health_check_path or "/", multi_value=multi_value)
    return alb_events.event_of_request(group.id, body, multi_value=multi_value)


def _refused(status: int, reason: str) -> HttpResponse:
    return _json(status, {"reason": reason, "status": status})


def _json(status: int, body: object) -> HttpResponse:
    return HttpResponse(status, {"Content-Type": "application/json"}, json.dumps(body).encode())
