"""Functions as targets: registration, what nodes are told, and the nodes' way to invoke them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError

from elba.config import Settings
from elba.context import Ports
from elba.dataplane.compile import compile_target
from elba.elbv2.resources import Target, TargetGroup
from elba.server.app import build_app
from elba.server.functions import node_secret
from elba.testing.world import World
from elba.wire import HttpRequest, HttpResponse

from .kit import create


def allow(world: World, group: str) -> None:
    world.boto3("lambda").add_permission(
        FunctionName="fn", StatementId="lb", Action="lambda:InvokeFunction",
        Principal="elasticloadbalancing.amazonaws.com", SourceArn=group,
    )  # fmt: skip


def refusal(call: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_function_as_a_target() -> None:
    with World() as world:
        elbv2 = world.boto3("elbv2")
        made = elbv2.create_target_group(Name="fn", TargetType="lambda")["TargetGroups"][0]
        group = made["TargetGroupArn"]
        arn = create(world)["FunctionArn"]
        targets = [{"Id": arn}]
        missing = refusal(elbv2.register_targets, TargetGroupArn=group, Targets=[{"Id": arn + "x"}])
        assert missing == ("InvalidTarget", f"The Lambda function '{arn}x' does not exist")
        assert refusal(elbv2.register_targets, TargetGroupArn=group, Targets=targets) == (
            "AccessDenied",
            f"elasticloadbalancing principal does not have permission to invoke {arn} from target group {group}",
        )
        allow(world, group)
        elbv2.register_targets(TargetGroupArn=group, Targets=targets)
        elbv2.register_targets(TargetGroupArn=group, Targets=targets)
        shown = elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        assert [s["Target"]["Id"] for s in shown] == [arn]
        view = world.store.view
        stored, target = view.all(TargetGroup)[0], view.all(Target)[0]
        compiled = compile_target(view, stored, target)
        assert compiled is not None and (compiled.id, compiled.address) == (arn, "")

        app = build_app(
            world.store, world.clock, Ports(
                metrics=world.metrics, console=world.provider, settings={"functions_secret": "s"},
                functions=world.functions,
            ),
            Settings(auth="open"),
        )  # fmt: skip

        def ask(event: bytes, secret: str = node_secret("s", "us-east-1a"), **headers: str) -> HttpResponse:
            given = {"x-elba-node": "us-east-1a", "x-elba-secret": secret, "x-elba-target-group": group, **headers}
            path = f"/_elba/functions/{arn}/invocations"
            return world.loop.run(app.handle(HttpRequest("POST", path, "", given, event, "127.0.0.1")))

        assert (ask(b'{"a":1}').status, ask(b'{"a":1}').body) == (200, b'{"a": 1}')
        assert ask(b"{}", secret="no").status == 403
        assert ask(b"{}", **{"x-elba-target-group": group + "x"}).status == 502
        world.functions.throttled = True
        assert json.loads(ask(b"{}").body) == {"reason": "LambdaThrottling", "status": 502}
        world.functions.throttled = False
        world.functions.unanswered = {"fn"}  # a time-out of the function's own is its error, not a gateway's
        assert json.loads(ask(b"{}").body) == {"reason": "LambdaUnhandled", "status": 502}
        world.functions.unanswered = set()
        world.boto3("lambda").remove_permission(FunctionName="fn", StatementId="lb")
        assert msgspec.json.decode(ask(b"{}").body)["reason"] == "LambdaAccessDenied"
        world.boto3("lambda").delete_function(FunctionName="fn")
        assert msgspec.json.decode(ask(b"{}").body)["reason"] == "LambdaResourceNotFound"
