"""Target groups and their attributes: elb-api.md B4, alb.md §6, §9, §17.2."""

from __future__ import annotations

from typing import Any

import pytest

from elba.elbv2 import commands, queries
from elba.elbv2.commands.target_groups import parse_codes
from elba.elbv2.limits import LIMITS
from elba.elbv2.resources import Target, TargetGroup
from elba.errors import ApiError
from tests.unit.elbv2.account import AnAccount

LAMBDA: dict[str, Any] = {"target_type": "lambda", "protocol": None, "port": None, "vpc_id": None}


def test_defaults(account: AnAccount) -> None:
    account.target_group(target_type="ip")
    shown = account.ask(queries.describe_target_groups)["target_groups"][0]
    assert {key: value for key, value in shown.items() if value is not None} == {
        "target_group_arn": account.all(TargetGroup)[0].id,
        "target_group_name": "tg",
        "protocol": "HTTP",
        "port": 80,
        "vpc_id": account.vpc.id,
        "health_check_protocol": "HTTP",
        "health_check_port": "traffic-port",
        "health_check_enabled": True,
        "health_check_interval_seconds": 30,
        "health_check_timeout_seconds": 5,
        "healthy_threshold_count": 5,
        "unhealthy_threshold_count": 2,
        "health_check_path": "/",
        "matcher": {"http_code": "200"},
        "load_balancer_arns": [],
        "target_type": "ip",
        "protocol_version": "HTTP1",
        "ip_address_type": "ipv4",
    }


def test_lambda_defaults(account: AnAccount) -> None:
    account.target_group(**LAMBDA)
    group = account.all(TargetGroup)[0]
    assert (group.health_check_enabled, group.health_check_interval_seconds, group.health_check_timeout_seconds) == (
        False,
        35,
        30,
    )
    assert (group.protocol, group.port, group.vpc_id, group.health_check_protocol) == (None,) * 4


def test_grpc_defaults(account: AnAccount) -> None:
    account.target_group(protocol_version="GRPC")
    group = account.all(TargetGroup)[0]
    assert (group.matcher, group.health_check_path) == ({"grpc_code": "12"}, "/AWS.ALB/healthcheck")


NAME = (
    "1 validation error detected: Value '{}' at 'targetGroupName' failed to satisfy constraint: Member must satisfy "
    "regular expression pattern: (?!^-)(?!.*-$)^[A-Za-z0-9-]+$"
)
HEALTHY = "target_group_health.dns_failover.minimum_healthy_targets"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "x" * 33}, f"Target group name '{'x' * 33}' cannot be longer than '32' characters"),
        ({"name": "a_b"}, NAME.format("a_b")),
        ({"name": "-a"}, NAME.format("-a")),
        ({"name": "a-"}, NAME.format("a-")),
        ({"protocol": None}, "A protocol must be specified"),
        ({"port": None}, "A port must be specified"),
        ({"vpc_id": None}, "A VPC ID must be specified"),
        ({"vpc_id": "vpc-x"}, "The VPC ID 'vpc-x' is not found"),
        (
            {"protocol_version": "HTTP/2"},
            "Target group protocol version 'HTTP/2' must be one of '[HTTP2, HTTP1, GRPC]'",
        ),
        ({"ip_address_type": "ipv6"}, "ipv6"),
        (
            {"health_check_enabled": False},
            "Health check enabled must be true for target groups with target type 'instance'",
        ),
        ({"health_check_protocol": "TCP"}, "Health check protocol 'TCP' must be one of 'HTTP, HTTPS'"),
        ({"health_check_port": "0"}, "Health check port '0' must be within '1-65535' or 'traffic-port'"),
        ({"health_check_path": "x"}, "Health check path 'x'"),
        (
            {"health_check_interval_seconds": 5, "health_check_timeout_seconds": 5},
            "Health check timeout '5' must be smaller than the interval '5'",
        ),
        ({"matcher": {"http_code": "20x"}}, "HttpCode must be like 200 | 200-399 | 200,201 ..."),
        ({"matcher": {"http_code": "599"}}, "Health check matcher HTTP code '599' must be within '200-499' inclusive"),
        ({"matcher": {"grpc_code": "0"}}, "Health check matcher HTTP code cannot be empty"),
        (
            {"protocol_version": "GRPC", "matcher": {"grpc_code": "120"}},
            "Health check matcher GRPC code '120' must be within '0-99' inclusive",
        ),
        ({**LAMBDA, "ip_address_type": "ipv6"}, "Target type 'lambda' is not supported with an IPv6 target group"),
        ({**LAMBDA, "protocol": "HTTP"}, "Protocol cannot be specified for target groups with target type 'lambda'"),
        ({**LAMBDA, "port": 80}, "Port cannot be specified for target groups with target type 'lambda'"),
        ({**LAMBDA, "vpc_id": "vpc-1"}, "VPC ID cannot be specified for target groups with target type 'lambda'"),
    ],
)
def test_refused(account: AnAccount, change: dict[str, Any], text: str) -> None:
    with account.refused("ValidationError", text):
        account.target_group(**change)


@pytest.mark.parametrize("change", [{"protocol": "TCP"}, {"target_type": "alb", "protocol": "TCP"}])
def test_groups_of_other_load_balancers_are_honestly_not_there(account: AnAccount, change: dict[str, Any]) -> None:
    with account.refused("InvalidConfigurationRequest", "not built yet"):
        account.target_group(**change)


@pytest.mark.parametrize(
    ("kind", "text", "count"),
    [("http_code", "200", 1), ("http_code", "200,202", 2), ("http_code", "200-299", 100), ("grpc_code", "0-99", 100)],
)
def test_codes(kind: str, text: str, count: int) -> None:
    assert len(parse_codes(kind, text)) == count


@pytest.mark.parametrize("text", ["", "199", "200-", "299-200", "200;201", "a", "200-500"])
def test_codes_refused(text: str) -> None:
    with pytest.raises(ApiError):
        parse_codes("http_code", text)


def test_the_same_call_again_is_the_same_group(account: AnAccount) -> None:
    first = account.target_group(health_check_path="/x")
    assert account.target_group(health_check_path="/x") == first
    text = "A target group with the same name 'tg' exists, but with different settings"
    with account.refused("DuplicateTargetGroupName", text):
        account.target_group(port=81, health_check_path="/x")
    listener = account.listener(account.load_balancer(), first)
    assert account.target_group(health_check_path="/x") == first
    account.do(commands.delete_listener, listener_arn=listener)


def test_delete(account: AnAccount) -> None:
    group = account.target_group(target_type="ip")
    account.do(commands.register_targets, target_group_arn=group, targets=[{"id": "172.31.0.9"}])
    listener = account.listener(account.load_balancer(), group)
    with account.refused("ResourceInUse", f"Target group '{group}' is currently in use by a listener or a rule"):
        account.do(commands.delete_target_group, target_group_arn=group)
    account.do(commands.delete_listener, listener_arn=listener)
    account.do(commands.delete_target_group, target_group_arn=group)
    assert not account.all(TargetGroup) and not account.all(Target)
    account.do(commands.delete_target_group, target_group_arn=group)


def test_modify(account: AnAccount) -> None:
    group = account.target_group()
    answer = account.do(
        commands.modify_target_group,
        target_group_arn=group,
        health_check_path="/up",
        matcher={"http_code": "200-204"},
        healthy_threshold_count=2,
    )["target_groups"][0]
    assert (answer["health_check_path"], answer["matcher"], answer["healthy_threshold_count"]) == (
        "/up",
        {"http_code": "200-204"},
        2,
    )
    with account.refused("ValidationError", "must be smaller than the interval"):
        account.do(commands.modify_target_group, target_group_arn=group, health_check_timeout_seconds=30)


def test_describe(account: AnAccount) -> None:
    one, two = account.target_group("one"), account.target_group("two")
    balancer = account.load_balancer()
    account.listener(balancer, two)

    def names(**request: Any) -> list[str]:
        found = account.ask(queries.describe_target_groups, **request)["target_groups"]
        return [group["target_group_name"] for group in found]

    assert names() == ["one", "two"]
    assert names(load_balancer_arn=balancer) == ["two"]
    assert names(names=["two", "one"]) == ["one", "two"]
    assert names(target_group_arns=[one]) == ["one"]
    text = "Target group names, target group ARNs, and a load balancer ARN cannot be specified at the same time"
    with account.refused("ValidationError", text):
        names(names=["one"], target_group_arns=[one])
    with account.refused("TargetGroupNotFound", "One or more target groups not found"):
        names(names=["three"])
    with account.refused("TargetGroupNotFound", "One or more target groups not found"):
        names(target_group_arns=[one[:-1] + ("0" if one[-1] != "0" else "1")])


def attributes(account: AnAccount, group: str, *pairs: tuple[str, str]) -> dict[str, str]:
    given = [{"key": key, "value": value} for key, value in pairs]
    answer = account.do(commands.modify_target_group_attributes, target_group_arn=group, attributes=given)
    return {a["key"]: a["value"] for a in answer["attributes"]}


def test_attribute_defaults(account: AnAccount) -> None:
    group = account.target_group()
    shown = account.ask(queries.describe_target_group_attributes, target_group_arn=group)["attributes"]
    assert {a["key"]: a["value"] for a in shown} == {
        "deregistration_delay.timeout_seconds": "300",
        "load_balancing.algorithm.anomaly_mitigation": "off",
        "load_balancing.algorithm.type": "round_robin",
        "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
        "slow_start.duration_seconds": "0",
        "stickiness.app_cookie.cookie_name": "",
        "stickiness.app_cookie.duration_seconds": "86400",
        "stickiness.enabled": "false",
        "stickiness.lb_cookie.duration_seconds": "86400",
        "stickiness.type": "lb_cookie",
        "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
        "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
    }
    other = account.target_group("fn", **LAMBDA)
    shown = account.ask(queries.describe_target_group_attributes, target_group_arn=other)["attributes"]
    assert "lambda.multi_value_headers.enabled" in {a["key"] for a in shown}
    assert "deregistration_delay.timeout_seconds" not in {a["key"] for a in shown}


def test_an_attribute_without_a_key_is_refused(account: AnAccount) -> None:
    group = account.target_group()
    with account.refused("ValidationError", "Target group attribute key '' is not recognized"):
        account.do(commands.modify_target_group_attributes, target_group_arn=group, attributes=[{"value": "1"}])


@pytest.mark.parametrize(
    ("code", "text", "pairs"),
    [
        ("ValidationError", "Target group attribute key 'x' is not recognized", [("x", "1")]),
        (
            "ValidationError",
            "'deregistration_delay.timeout_seconds' value '3601' must be between '0-3600' inclusive",
            [("deregistration_delay.timeout_seconds", "3601")],
        ),
        (
            "ValidationError",
            "'slow_start.duration_seconds' value '29' must be between '30-900' inclusive",
            [("slow_start.duration_seconds", "29")],
        ),
        (
            "ValidationError",
            "'stickiness.lb_cookie.duration_seconds' value '0' must be between '1-604800' inclusive",
            [("stickiness.lb_cookie.duration_seconds", "0")],
        ),
        (
            "ValidationError",
            "The value of 'stickiness.enabled' must be 'true' or 'false', but was '1'",
            [("stickiness.enabled", "1")],
        ),
        (
            "ValidationError",
            "'Load balancer algorithm' must be one of [round_robin, weighted_random, least_outstanding_requests]",
            [("load_balancing.algorithm.type", "random")],
        ),
        (
            "ValidationError",
            "'load_balancing.algorithm.anomaly_mitigation' must be one of [off, on]",
            [("load_balancing.algorithm.anomaly_mitigation", "true")],
        ),
        (
            "ValidationError",
            "'load_balancing.cross_zone.enabled' must be one of use_load_balancer_configuration,true,false",
            [("load_balancing.cross_zone.enabled", "on")],
        ),
        (
            "ValidationError",
            f"The value of '{HEALTHY}.count' must be 'off' or a positive integer",
            [(f"{HEALTHY}.count", "0")],
        ),
        (
            "ValidationError",
            f"'{HEALTHY}.percentage' must be 'off' or an integer from 1 to 100 inclusive",
            [(f"{HEALTHY}.percentage", "101")],
        ),
        (
            "ValidationError",
            "Target group attribute keys must be unique: '[load_balancing.algorithm.type]'",
            [("load_balancing.algorithm.type", "round_robin"), ("load_balancing.algorithm.type", "weighted_random")],
        ),
        (
            "InvalidConfigurationRequest",
            "A target group with HTTP protocol does not support the attribute preserve_client_ip.enabled",
            [("preserve_client_ip.enabled", "true")],
        ),
        (
            "InvalidConfigurationRequest",
            "not supported for target groups with the HTTP",
            [("stickiness.type", "source_ip")],
        ),
        ("ValidationError", "'Stickiness type' must be one of", [("stickiness.type", "source_ip_dest_ip")]),
        (
            "InvalidConfigurationRequest",
            "You must set an application cookie name to enable stickiness of type 'app_cookie'",
            [("stickiness.type", "app_cookie"), ("stickiness.enabled", "true")],
        ),
        (
            "InvalidConfigurationRequest",
            "AWSALB",
            [("stickiness.app_cookie.cookie_name", "AWSALBAPP")],
        ),
        (
            "InvalidConfigurationRequest",
            "Slow start",
            [("slow_start.duration_seconds", "30"), ("load_balancing.algorithm.type", "least_outstanding_requests")],
        ),
        (
            "InvalidConfigurationRequest",
            "You cannot enable both anomaly mitigation and round robin algorithm on a target group",
            [("load_balancing.algorithm.anomaly_mitigation", "on")],
        ),
        (
            "InvalidConfigurationRequest",
            "weighted_random",
            [("load_balancing.algorithm.type", "weighted_random"), ("stickiness.enabled", "true")],
        ),
        (
            "InvalidConfigurationRequest",
            "cross-zone",
            [("load_balancing.cross_zone.enabled", "false"), ("stickiness.enabled", "true")],
        ),
        (
            "InvalidConfigurationRequest",
            "DNS failover threshold must be greater than or equal to unhealthy state routing threshold",
            [("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "3")],
        ),
        (
            "InvalidConfigurationRequest",
            "A target group with HTTP protocol does not support the attribute lambda.headers.multiple_values.enabled",
            [("lambda.multi_value_headers.enabled", "true")],
        ),
    ],
)
def test_attributes_refused(account: AnAccount, code: str, text: str, pairs: list[tuple[str, str]]) -> None:
    group = account.target_group()
    with account.refused(code, text):
        attributes(account, group, *pairs)


def test_attributes_kept(account: AnAccount) -> None:
    group = account.target_group()
    after = attributes(account, group, ("stickiness.enabled", "true"), ("deregistration_delay.timeout_seconds", "0"))
    assert after["stickiness.enabled"] == "true"
    assert account.all(TargetGroup)[0].attributes == {
        "stickiness.enabled": "true",
        "deregistration_delay.timeout_seconds": "0",
    }


def test_quota(account: AnAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "target-groups", 3)
    for n in range(3):
        account.target_group(f"tg-{n}")
    with account.refused("TooManyTargetGroups"):
        account.target_group("tg-3")
