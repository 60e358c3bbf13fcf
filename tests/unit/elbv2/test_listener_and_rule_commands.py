"""Listeners and rules: elb-api.md B2, B3; alb.md §2-§5."""

from __future__ import annotations

from typing import Any

import pytest

from elba.elbv2 import commands, queries
from elba.elbv2.resources import Listener, Rule, TargetGroup
from tests.unit.elbv2.account import ACCOUNT, REGION, AnAccount, fixed, forward, host, path, redirect, weighted

ARN = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
NO_GROUP = f"{ARN}:targetgroup/none/0123456789abcdef"
CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/1"


def groups(account: AnAccount) -> dict[str, list[str]]:
    """Load balancers of each group, by the group's name."""
    return {group.target_group_name: group.load_balancer_arns for group in account.all(TargetGroup)}


# ── listeners ────────────────────────────────────────────────────────────────────────────────────────


def test_a_listener_with_its_default_rule(account: AnAccount) -> None:
    balancer, group = account.load_balancer(), account.target_group()
    arn = account.listener(balancer, group)
    assert arn.startswith(balancer.replace(":loadbalancer/", ":listener/"))
    shown = account.ask(queries.describe_listeners, load_balancer_arn=balancer)["listeners"][0]
    expected = {
        "type": "forward",
        "target_group_arn": group,
        "forward_config": {
            "target_groups": [{"target_group_arn": group, "weight": 1}],
            "target_group_stickiness_config": {"enabled": False},
        },
    }
    assert shown == {
        "listener_arn": arn,
        "load_balancer_arn": balancer,
        "port": 80,
        "protocol": "HTTP",
        "default_actions": [expected],
    }
    rules = account.ask(queries.describe_rules, listener_arn=arn)["rules"]
    assert [(r["priority"], r["is_default"], r["conditions"], r["actions"]) for r in rules] == [
        ("default", True, [], [expected])
    ]
    assert rules[0]["rule_arn"].startswith(arn.replace(":listener/", ":listener-rule/"))
    assert groups(account) == {"tg": [balancer]}


PLAIN = "A certificate cannot be specified for HTTP listeners"


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"port": None}, "ValidationError", "A listener port must be specified"),
        ({"protocol": None}, "ValidationError", "A listener protocol must be specified"),
        ({"protocol": "TCP"}, "ValidationError", "Listener protocol 'TCP' must be one of 'HTTP, HTTPS'"),
        ({"protocol": "HTTPS"}, "ValidationError", "A certificate must be specified for HTTPS listeners"),
        (
            {"protocol": "HTTPS", "certificates": [{"certificate_arn": "a"}, {"certificate_arn": "b"}]},
            "ValidationError",
            "Up to '1' certificate ARNs can be specified, but '2' were specified",
        ),
        (
            {"protocol": "HTTPS", "certificates": [{"certificate_arn": "a", "is_default": True}]},
            "ValidationError",
            "IsDefault",
        ),
        (
            {"protocol": "HTTPS", "certificates": [{"certificate_arn": CERTIFICATE}]},
            "CertificateNotFound",
            CERTIFICATE,
        ),
        ({"certificates": [{"certificate_arn": CERTIFICATE}]}, "ValidationError", PLAIN),
        (
            {"ssl_policy": "ELBSecurityPolicy-2016-08"},
            "ValidationError",
            "An SSL policy cannot be specifed for HTTP listeners",
        ),
        (
            {"alpn_policy": ["HTTP2Only"]},
            "ValidationError",
            "You cannot set ALPN policy on load balancers of type 'application'",
        ),
        (
            {"mutual_authentication": {"mode": "verify"}},
            "ValidationError",
            "Mutual Authentication cannot be set for non secure listeners",
        ),
        (
            {"protocol": "HTTPS", "certificates": [{"certificate_arn": "arn:aws:s3:::my-cert"}]},
            "CertificateNotFound",
            "Certificate 'arn:aws:s3:::my-cert' not found",
        ),
        ({"default_actions": []}, "ValidationError", "An action must be specified"),
        ({"default_actions": [forward(NO_GROUP)]}, "TargetGroupNotFound", f"Target group '{NO_GROUP}' not found"),
        (
            {"load_balancer_arn": f"{ARN}:loadbalancer/app/x/0123456789abcdef"},
            "LoadBalancerNotFound",
            "not found",
        ),
    ],
)
def test_listener_refused(account: AnAccount, change: dict[str, Any], code: str, text: str) -> None:
    balancer = account.load_balancer()
    with account.refused(code, text):
        account.listener(**{"balancer": balancer, **change})


def test_the_same_listener_again_and_another_on_its_port(account: AnAccount) -> None:
    balancer, group = account.load_balancer(), account.target_group()
    first = account.listener(balancer, group)
    assert account.listener(balancer, group) == first
    text = f"A listener already exists on this port for this load balancer '{balancer}'"
    with account.refused("DuplicateListener", text):
        account.listener(balancer)
    other = account.listener(balancer, port=81)
    with account.refused("DuplicateListener", text):
        account.do(commands.modify_listener, listener_arn=other, port=80)


def test_a_group_serves_one_load_balancer(account: AnAccount) -> None:
    one, two, group = account.load_balancer("one"), account.load_balancer("two"), account.target_group()
    account.listener(one, group)
    account.listener(one, group, port=81)
    text = f"The following target groups cannot be associated with more than one load balancer: {group}"
    with account.refused("TargetGroupAssociationLimit", text):
        account.listener(two, group)


def test_groups_that_do_not_fit(account: AnAccount) -> None:
    balancer = account.load_balancer()
    grpc = account.target_group("grpc", protocol_version="GRPC")
    text = "Listener protocol 'HTTP' is not supported with a target group with the protocol-version 'GRPC'"
    with account.refused("InvalidConfigurationRequest", text):
        account.listener(balancer, grpc)
    vpc, _, _ = account.another_vpc()
    elsewhere = account.target_group("elsewhere", vpc_id=vpc.id)
    with account.refused(
        "InvalidConfigurationRequest", f"in a different VPC than load balancer '{balancer}': {elsewhere}"
    ):
        account.listener(balancer, elsewhere)
    ipv6 = account.target_group("six", target_type="ip", ip_address_type="ipv6")
    four = account.target_group("four")
    text = "The IP address types of the target groups for a single action must be the same"
    with account.refused("InvalidConfigurationRequest", text):
        account.listener(balancer, default_actions=[weighted((four, 1), (ipv6, 1))])
    with account.refused("InvalidConfigurationRequest", "You cannot associate an IPv6 target group with a load "):
        account.listener(balancer, ipv6)


def test_modify_listener_replaces_what_is_given(account: AnAccount) -> None:
    balancer = account.load_balancer()
    one, two = account.target_group("one"), account.target_group("two")
    arn = account.listener(balancer, one)
    account.do(commands.modify_listener, listener_arn=arn, port=8080)
    assert (account.all(Listener)[0].port, groups(account)) == (8080, {"one": [balancer], "two": []})
    answer = account.do(commands.modify_listener, listener_arn=arn, default_actions=[forward(two)])
    assert answer["listeners"][0]["default_actions"][0]["target_group_arn"] == two
    assert groups(account) == {"one": [], "two": [balancer]}
    with account.refused("ValidationError", "A certificate must be specified for HTTPS listeners"):
        account.do(commands.modify_listener, listener_arn=arn, protocol="HTTPS")
    with account.refused("ListenerNotFound", "One or more listeners not found"):
        account.do(commands.modify_listener, listener_arn=arn[:-1] + ("0" if arn[-1] != "0" else "1"), port=1)


def test_delete_listener_takes_its_rules(account: AnAccount) -> None:
    balancer = account.load_balancer()
    one, two = account.target_group("one"), account.target_group("two")
    first, second = account.listener(balancer, one), account.listener(balancer, one, port=81)
    account.rule(first, actions=[forward(two)])
    account.do(commands.delete_listener, listener_arn=first)
    assert groups(account) == {"one": [balancer], "two": []}
    assert [rule.listener_arn for rule in account.all(Rule)] == [second]
    with account.refused("ListenerNotFound"):
        account.do(commands.delete_listener, listener_arn=first)


def test_describe_listeners(account: AnAccount) -> None:
    balancer = account.load_balancer()
    arn = account.listener(balancer)
    assert account.ask(queries.describe_listeners, listener_arns=[arn])["listeners"][0]["listener_arn"] == arn
    with account.refused("ValidationError", "You must specify either listener ARNs or a load balancer ARN"):
        account.ask(queries.describe_listeners)
    with account.refused("ValidationError"):
        account.ask(queries.describe_listeners, listener_arns=[arn], load_balancer_arn=balancer)
    with account.refused("ListenerNotFound", "One or more listeners not found"):
        account.ask(queries.describe_listeners, listener_arns=[arn, arn[:-1] + ("0" if arn[-1] != "0" else "1")])


def test_certificates_of_a_plain_listener(account: AnAccount) -> None:
    arn = account.listener(account.load_balancer())
    given = [{"certificate_arn": CERTIFICATE}]
    with account.refused("ValidationError", PLAIN):
        account.do(commands.add_listener_certificates, listener_arn=arn, certificates=given)
    account.do(commands.remove_listener_certificates, listener_arn=arn, certificates=given)
    assert account.ask(queries.describe_listener_certificates, listener_arn=arn)["certificates"] == []


def test_listener_attributes(account: AnAccount) -> None:
    arn = account.listener(account.load_balancer())
    key = "routing.http.response.x_frame_options.header_value"

    def modify(key: str, value: str) -> dict[str, str]:
        given = [{"key": key, "value": value}]
        answer = account.do(commands.modify_listener_attributes, listener_arn=arn, attributes=given)
        return {a["key"]: a["value"] for a in answer["attributes"]}

    shown = account.ask(queries.describe_listener_attributes, listener_arn=arn)["attributes"]
    assert {a["key"]: a["value"] for a in shown}["routing.http.response.server.enabled"] == "true"
    assert modify(key, "DENY")[key] == "DENY"
    with account.refused(
        "ValidationError", f"The value of '{key}' must be from the following: [DENY, SAMEORIGIN], but was 'MAYBE'"
    ):
        modify(key, "MAYBE")
    enabled = "routing.http.response.server.enabled"
    with account.refused("ValidationError", f"The value of '{enabled}' must be 'true' or 'false', but was 'on'"):
        modify(enabled, "on")
    with account.refused("ValidationError", "Listener attribute key 'x' is not recognized"):
        modify("x", "1")
    for other in ("routing.http.request.x_amzn_tls_version.header_name", "tcp.idle_timeout.seconds"):
        with account.refused("InvalidConfigurationRequest", "The provided listener attribute is not supported"):
            modify(other, "X-Tls")


def test_listener_quota(account: AnAccount) -> None:
    balancer = account.load_balancer()
    for port in range(1, 51):
        account.listener(balancer, port=port)
    with account.refused("TooManyListeners"):
        account.listener(balancer, port=51)


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────


OIDC: dict[str, Any] = {
    "type": "authenticate-oidc",
    "authenticate_oidc_config": {
        "issuer": "https://i",
        "authorization_endpoint": "https://i/a",
        "token_endpoint": "https://i/t",
        "user_info_endpoint": "https://i/u",
        "client_id": "c",
        "client_secret": "s",
    },
}
LOOP = "The redirect configuration is not valid because it creates a loop."
CONTENT = (
    "The ContentType must be one of:'text/html', 'application/json', 'application/javascript', 'text/css', "
    "'text/plain'."
)
PATH = (
    "The Path parameter must be a valid path, should start with a '/', and may contain up to one of each of these "
    "placeholders: '#{path}', '#{host}', '#{port}'."
)


@pytest.mark.parametrize(
    ("actions", "code", "text"),
    [
        ([{"type": "teleport"}], "ValidationError", "teleport"),
        ([fixed(), fixed()], "ValidationError", "you must specify an order for each action"),
        ([{**fixed(), "order": 1}, {**fixed(), "order": 1}], "ValidationError", "unique"),
        (
            [{**fixed(), "order": 1}, {**fixed(), "order": 2}],
            "ValidationError",
            "exactly one of forward, redirect, fixed-response",
        ),
        (
            [{**redirect(port="443"), "order": 1}, {**fixed(), "order": 2}],
            "ValidationError",
            "Action types 'redirect,fixed-response' cannot be specified together",
        ),
        (
            [{"type": "fixed-response", "redirect_config": {"status_code": "HTTP_301"}}],
            "ValidationError",
            "For actions of type 'fixed-response', you must specify the following fields: 'FixedResponseConfig'",
        ),
        (
            [{**fixed(), "order": 1}, {**OIDC, "order": 2}],
            "ValidationError",
            "An action of type 'fixed-response' must have a higher order than all other actions",
        ),
        ([{**fixed(), "redirect_config": {"status_code": "HTTP_301"}}], "ValidationError", "not compatible"),
        ([{"type": "fixed-response"}], "ValidationError", "FixedResponseConfig"),
        ([{"type": "forward"}], "ValidationError", "target group ARN"),
        ([fixed(content_type="image/png")], "InvalidLoadBalancerAction", CONTENT),
        (
            [redirect()],
            "InvalidLoadBalancerAction",
            "The redirect configuration is not valid because it creates a loop.",
        ),
        ([redirect(path="x")], "ValidationError", PATH),
        ([redirect(path="/#{path}/#{path}")], "ValidationError", PATH),
        (
            [redirect(port="70000")],
            "ValidationError",
            "The Port parameter must be either an integer between 1 and 65535 or '#{port}'.",
        ),
        ([redirect(host="#{query}")], "ValidationError", "#{query}"),
        ([redirect(query="?a", host="x")], "ValidationError", "query"),
        (
            [
                {**OIDC, "order": 1},
                {**fixed(), "order": 2},
            ],
            "InvalidLoadBalancerAction",
            "HTTPS listeners",
        ),
    ],
)
def test_actions_refused(account: AnAccount, actions: list[dict[str, Any]], code: str, text: str) -> None:
    balancer = account.load_balancer()
    with account.refused(code, text):
        account.listener(balancer, default_actions=actions)


def test_redirect_is_filled_in(account: AnAccount) -> None:
    account.listener(account.load_balancer(), default_actions=[redirect(protocol="HTTPS", port="443")])
    assert account.all(Rule)[0].actions[0]["redirect_config"] == {
        "protocol": "HTTPS",
        "port": "443",
        "host": "#{host}",
        "path": "/#{path}",
        "query": "#{query}",
        "status_code": "HTTP_301",
    }


ONE_WEIGHT = "The weight for the target group must be between 1 and 999, inclusive"
EACH_WEIGHT = "The weight for each target group must be between 0 and 999, inclusive"


def unweighted(*arns: str, **more: Any) -> dict[str, Any]:
    groups_ = [{"target_group_arn": arn} for arn in arns]
    return {"type": "forward", "forward_config": {"target_groups": groups_, **more}}


def test_weighted_forward(account: AnAccount) -> None:
    balancer = account.load_balancer()
    arns = [account.target_group(f"tg-{n}") for n in range(6)]
    action = weighted((arns[0], 10), (arns[1], 0), sticky=60)
    account.listener(balancer, default_actions=[action])
    stored = account.all(Rule)[0].actions[0]
    assert "target_group_arn" not in stored
    assert stored["forward_config"]["target_group_stickiness_config"] == {"enabled": True, "duration_seconds": 60}
    for bad, code, text in (
        (weighted((arns[0], 1000)), "ValidationError", ONE_WEIGHT),
        (weighted((arns[0], 0)), "ValidationError", ONE_WEIGHT),
        (weighted((arns[0], 1000), (arns[1], 1)), "ValidationError", EACH_WEIGHT),
        (unweighted(arns[0], arns[1]), "ValidationError", EACH_WEIGHT),
        (weighted((arns[0], 1), (arns[0], 1)), "ValidationError", "more than once"),
        (
            weighted(*((arn, 1) for arn in arns)),
            "TooManyTargetGroups",
            "You cannot specify more than 5 target groups per action",
        ),
        (
            weighted((arns[0], 1), sticky=604_801),
            "ValidationError",
            "Target group stickiness duration must be between 1 and 604800 seconds",
        ),
        (
            unweighted(arns[0], target_group_stickiness_config={"enabled": True}),
            "ValidationError",
            "You must provide a duration when enabling target group stickiness",
        ),
        (
            {**weighted((arns[0], 1)), "target_group_arn": arns[1]},
            "ValidationError",
            "You can specify both a target group list and a top-level target group ARN only if the ARNs match",
        ),
    ):
        with account.refused(code, text):
            account.listener(balancer, port=81, default_actions=[bad])
    account.do(
        commands.modify_target_group_attributes,
        target_group_arn=arns[2],
        attributes=[{"key": "stickiness.enabled", "value": "true"}],
    )
    with account.refused("InvalidConfigurationRequest", "You must enable group stickiness on a rule"):
        account.listener(balancer, port=81, default_actions=[weighted((arns[2], 1), (arns[3], 1))])
    assert account.listener(balancer, port=81, default_actions=[weighted((arns[2], 1), (arns[3], 1), sticky=1)])


def test_unique_groups_of_a_load_balancer(account: AnAccount) -> None:
    listener = account.listener(account.load_balancer())
    arns = [account.target_group(f"tg-{n}") for n in range(101)]
    for n in range(20):
        account.rule(listener, n + 1, actions=[weighted(*((arn, 1) for arn in arns[n * 5 : n * 5 + 5]))])
    with account.refused("TooManyUniqueTargetGroupsPerLoadBalancer"):
        account.rule(listener, 21, actions=[forward(arns[100])])


# ── conditions ───────────────────────────────────────────────────────────────────────────────────────


EXACTLY_ONE = "You must provide exactly one of the following: ['Values' 'RegexValues'] for config of type"
SOURCE = "The specified value '1.2.3.4' is not a valid CIDR block"


@pytest.mark.parametrize(
    ("conditions", "text"),
    [
        ([], "A condition must be specified"),
        (
            [{"field": "x", "values": ["1"]}],
            "Condition field 'x' must be one of 'http-header,http-request-method,host-header,query-string,"
            "path-pattern,source-ip'",
        ),
        (
            [{"field": "http-header", "values": ["1"]}],
            "The 'Values' field is not compatible with 'http-header'",
        ),
        (
            [{**path("/b"), "values": ["/a"]}],
            "You cannot provide both Values and 'PathPatternConfig' for a condition of type 'path-pattern'",
        ),
        (
            [{"field": "path-pattern", "host_header_config": {"values": ["example.com"]}}],
            "For conditions of type 'path-pattern', you must specify the following fields: "
            "'Values or RegexValues or PathPatternConfig'",
        ),
        ([path()], f"{EXACTLY_ONE} 'PathPatternConfig'"),
        ([host()], f"{EXACTLY_ONE} 'HostHeaderConfig'"),
        (
            [{"field": "query-string", "regex_values": ["a"], "query_string_config": {"values": [{"value": "v"}]}}],
            "'RegexValues' is not supported for a condition of type 'query-string'",
        ),
        ([{"field": "path-pattern", "values": ["/a", "/b"]}], "contains too many values; the limit is '1'"),
        ([path(*(f"/{n}" for n in range(6)))], "A rule can only have '5' condition values and regex values"),
        (
            [path("/1", "/2", "/3"), host("a.b", "c.d", "e.f")],
            "A rule can only have '5' condition values and regex values",
        ),
        ([path("/******")], "A rule can only have '5' condition wildcards"),
        ([path("/" + "a" * 128)], "Condition value for 'path-pattern' cannot contain more than 128 characters"),
        ([host("a" * 127 + ".b")], "Condition value for 'host-header' cannot contain more than 128 characters"),
        ([host("nodot")], "Condition value 'nodot' contains a character that is not valid"),
        ([host("a.b1")], "Condition value 'a.b1' contains a character that is not valid"),
        ([path("/a b")], "Condition value '/a b' contains a character that is not valid"),
        ([path("/a"), path("/b")], "A rule can only have one 'path-pattern' condition"),
        ([{"field": "source-ip", "source_ip_config": {"values": ["1.2.3.4"]}}], SOURCE),
        ([{"field": "source-ip", "source_ip_config": {"values": ["255.255.255.255/32"]}}], "255.255.255.255/32"),
        (
            [{"field": "http-request-method", "http_request_method_config": {"values": ["get"]}}],
            "Condition value 'get' contains a character that is not valid",
        ),
        (
            [{"field": "http-request-method"}],
            "For conditions of type 'http-request-method', you must specify the following fields: "
            "'HttpRequestMethodConfig'",
        ),
        ([{"field": "source-ip"}], "you must specify the following fields: 'SourceIpConfig'"),
        ([{"field": "source-ip", "source_ip_config": {"values": []}}], "A 'source-ip' value must be specified"),
        (
            [{"field": "query-string", "query_string_config": {"values": [{"key": "k" * 129, "value": "v"}]}}],
            "Condition value for 'query-string' cannot contain more than 128 characters",
        ),
        (
            [{"field": "http-header", "http_header_config": {"http_header_name": "Host", "values": ["a"]}}],
            "You cannot specify 'host' as an HTTP header name",
        ),
        (
            [{"field": "http-header", "http_header_config": {"http_header_name": "x" * 41, "values": ["a"]}}],
            "Condition value for 'http-header' cannot contain more than 40 characters",
        ),
        ([{"field": "query-string", "query_string_config": {"values": [{"key": "a"}]}}], "'QueryStringKeyValuePair'"),
        ([{"field": "path-pattern", "path_pattern_config": {"regex_values": ["("]}}], "regular expression"),
        ([{"field": "path-pattern", "path_pattern_config": {"regex_values": ["a(?=b)"]}}], "regular expression"),
        (
            [{"field": "path-pattern", "path_pattern_config": {"regex_values": ["a"], "values": ["/a"]}}],
            f"{EXACTLY_ONE} 'PathPatternConfig'",
        ),
    ],
)
def test_conditions_refused(account: AnAccount, conditions: list[dict[str, Any]], text: str) -> None:
    listener = account.listener(account.load_balancer())
    with account.refused("ValidationError", text):
        account.rule(listener, conditions=conditions)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (
            {"field": "path-pattern", "values": ["/a"]},
            {"field": "path-pattern", "values": ["/a"], "path_pattern_config": {"values": ["/a"]}},
        ),
        (
            host("*.example.com", "example.com"),
            {
                "field": "host-header",
                "values": ["*.example.com", "example.com"],
                "host_header_config": {"values": ["*.example.com", "example.com"]},
            },
        ),
        (
            {"field": "http-header", "http_header_config": {"http_header_name": "X-A", "values": ["a*"]}},
            {"field": "http-header", "http_header_config": {"http_header_name": "X-A", "values": ["a*"]}},
        ),
        (
            {"field": "query-string", "query_string_config": {"values": [{"key": "a", "value": "b"}, {"value": "c"}]}},
            {"field": "query-string", "query_string_config": {"values": [{"key": "a", "value": "b"}, {"value": "c"}]}},
        ),
        (
            {"field": "source-ip", "source_ip_config": {"values": ["10.0.0.0/8", "2001:db8::/32"]}},
            {"field": "source-ip", "source_ip_config": {"values": ["10.0.0.0/8", "2001:db8::/32"]}},
        ),
        (
            {"field": "http-request-method", "http_request_method_config": {"values": ["GET", "X-FOO_"]}},
            {"field": "http-request-method", "http_request_method_config": {"values": ["GET", "X-FOO_"]}},
        ),
        (
            {"field": "path-pattern", "path_pattern_config": {"regex_values": ["^/v[0-9]+/"]}},
            {
                "field": "path-pattern",
                "regex_values": ["^/v[0-9]+/"],
                "path_pattern_config": {"regex_values": ["^/v[0-9]+/"]},
            },
        ),
    ],
)
def test_conditions_stored(account: AnAccount, given: dict[str, Any], stored: dict[str, Any]) -> None:
    rule = account.rule(account.listener(account.load_balancer()), conditions=[given])
    shown = account.ask(queries.describe_rules, rule_arns=[rule])["rules"][0]
    assert shown["conditions"] == [stored]


def test_literal_wildcards_do_not_count(account: AnAccount) -> None:
    value = {"value": r"\*\*\*\*\*\*\?"}
    condition = {"field": "query-string", "query_string_config": {"values": [value]}}
    assert account.rule(account.listener(account.load_balancer()), conditions=[condition])


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────


def test_rules_in_the_order_they_are_tried(account: AnAccount) -> None:
    listener = account.listener(account.load_balancer())
    for priority in (100, 9, 50_000):
        account.rule(listener, priority)
    shown = account.ask(queries.describe_rules, listener_arn=listener)["rules"]
    assert [rule["priority"] for rule in shown] == ["9", "100", "50000", "default"]
    first = account.ask(queries.describe_rules, listener_arn=listener, page_size=3)
    rest = account.ask(queries.describe_rules, listener_arn=listener, page_size=3, marker=first["next_marker"])
    assert [rule["priority"] for rule in rest["rules"]] == ["default"]
    assert rest["next_marker"] is None


def test_priorities(account: AnAccount) -> None:
    listener = account.listener(account.load_balancer())
    account.rule(listener, 1)
    with account.refused("PriorityInUse", "Priority '1' is currently in use"):
        account.rule(listener, 1)
    with account.refused("ListenerNotFound"):
        account.rule(listener[:-1] + ("0" if listener[-1] != "0" else "1"), 2)


def test_set_rule_priorities(account: AnAccount) -> None:
    listener = account.listener(account.load_balancer())
    one, two, three = (account.rule(listener, n) for n in (1, 2, 3))
    default = next(rule.id for rule in account.all(Rule) if rule.is_default)

    def prioritise(*pairs: tuple[str, int]) -> list[tuple[str, str]]:
        given = [{"rule_arn": arn, "priority": priority} for arn, priority in pairs]
        answer = account.do(commands.set_rule_priorities, rule_priorities=given)
        return [(rule["rule_arn"], rule["priority"]) for rule in answer["rules"]]

    assert prioritise((one, 2), (two, 1)) == [(one, "2"), (two, "1")]
    with account.refused("PriorityInUse", "Priority '3' is currently in use"):
        prioritise((one, 3))
    with account.refused("ValidationError", "Priority '7' was provided multiple times"):
        prioritise((one, 7), (two, 7))
    with account.refused("OperationNotPermitted"):
        prioritise((default, 9))
    with account.refused("RuleNotFound"):
        prioritise((three[:-1] + ("0" if three[-1] != "0" else "1"), 9))
    other = account.rule(account.listener(account.load_balancer("other")), 1)
    with account.refused("ValidationError", "same listener"):
        prioritise((one, 10), (other, 11))


def test_modify_rule(account: AnAccount) -> None:
    balancer = account.load_balancer()
    group = account.target_group()
    listener = account.listener(balancer)
    rule = account.rule(listener, actions=[forward(group)])
    transforms = [{"type": "url-rewrite", "url_rewrite_config": {"rewrites": [{"regex": "^/a", "replace": "/b"}]}}]
    account.do(commands.modify_rule, rule_arn=rule, transforms=transforms)
    answer = account.do(commands.modify_rule, rule_arn=rule, conditions=[host("a.b")], actions=[fixed()])
    shown = answer["rules"][0]
    assert (shown["priority"], shown["transforms"]) == ("1", transforms)
    assert shown["conditions"][0]["field"] == "host-header"
    assert groups(account) == {"tg": []}
    answer = account.do(commands.modify_rule, rule_arn=rule, reset_transforms=True)
    assert answer["rules"][0]["transforms"] is None
    with account.refused("ValidationError", "Either conditions or actions must be specified"):
        account.do(commands.modify_rule, rule_arn=rule)
    with account.refused("ValidationError"):
        account.do(commands.modify_rule, rule_arn=rule, transforms=transforms, reset_transforms=True)
    default = next(rule.id for rule in account.all(Rule) if rule.is_default)
    with account.refused("OperationNotPermitted", f"Default rule '{default}'"):
        account.do(commands.modify_rule, rule_arn=default, actions=[fixed()])


def test_transforms(account: AnAccount) -> None:
    listener = account.listener(account.load_balancer())
    one = {"type": "url-rewrite", "url_rewrite_config": {"rewrites": [{"regex": "a", "replace": "b"}]}}
    for bad in (
        [one, one],
        [{"type": "url-rewrite"}],
        [{**one, "host_header_rewrite_config": {"rewrites": [{"regex": "a", "replace": "b"}]}}],
        [{"type": "url-rewrite", "url_rewrite_config": {"rewrites": [{"regex": "(", "replace": ""}]}}],
        [{"type": "url-rewrite", "url_rewrite_config": {"rewrites": [{"regex": "a" * 1025, "replace": ""}]}}],
    ):
        with account.refused("ValidationError"):
            account.rule(listener, transforms=bad)
    assert account.rule(listener, transforms=[one])


def test_delete_rule(account: AnAccount) -> None:
    listener = account.listener(account.load_balancer())
    group = account.target_group()
    rule = account.rule(listener, actions=[forward(group)])
    account.do(commands.delete_rule, rule_arn=rule)
    assert groups(account) == {"tg": []}
    with account.refused("RuleNotFound", "One or more rules not found"):
        account.do(commands.delete_rule, rule_arn=rule)
    default = account.all(Rule)[0].id
    with account.refused("OperationNotPermitted", f"Default rule '{default}' cannot be deleted"):
        account.do(commands.delete_rule, rule_arn=default)


def test_describe_rules_needs_one_of_both(account: AnAccount) -> None:
    listener = account.listener(account.load_balancer())
    rule = account.all(Rule)[0].id
    with account.refused("ValidationError", "You must specify either listener rule ARNs or a listener ARN"):
        account.ask(queries.describe_rules)
    text = "Listener rule ARNs and a listener ARN cannot be specified at the same time"
    with account.refused("ValidationError", text):
        account.ask(queries.describe_rules, listener_arn=listener, rule_arns=[rule])
    with account.refused("RuleNotFound", "One or more rules not found"):
        account.ask(queries.describe_rules, rule_arns=[rule[:-1] + ("0" if rule[-1] != "0" else "1")])


def test_rule_quota(account: AnAccount) -> None:
    balancer = account.load_balancer()
    one, two = account.listener(balancer), account.listener(balancer, port=81)
    for n in range(1, 101):
        account.rule(one if n % 2 else two, n)
    with account.refused("TooManyRules"):
        account.rule(one, 101)
