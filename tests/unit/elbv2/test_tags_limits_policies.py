"""Tags (elb-api.md A4), account limits (B1), security policies (alb.md §15)."""

from __future__ import annotations

import pytest

from elba.elbv2 import commands, queries
from elba.elbv2.resources import Rule
from tests.unit.elbv2.account import AnAccount


def tags(account: AnAccount, *arns: str) -> dict[str, dict[str, str]]:
    answer = account.ask(queries.describe_tags, resource_arns=list(arns))
    return {d["resource_arn"]: {t["key"]: t["value"] for t in d["tags"]} for d in answer["tag_descriptions"]}


def add(account: AnAccount, arns: list[str], *pairs: tuple[str, str]) -> None:
    given = [{"key": key, "value": value} for key, value in pairs]
    account.do(commands.add_tags, resource_arns=arns, tags=given)


def test_every_kind_has_tags(account: AnAccount) -> None:
    given = [{"key": "a", "value": "1"}]
    balancer = account.load_balancer(tags=given)
    group = account.target_group(tags=given)
    listener = account.listener(balancer, tags=given)
    rule = account.rule(listener, tags=given)
    arns = [balancer, group, listener, rule]
    assert tags(account, *arns) == {arn: {"a": "1"} for arn in arns}
    add(account, arns, ("a", "2"), ("b", ""))
    assert tags(account, *arns) == {arn: {"a": "2", "b": ""} for arn in arns}
    account.do(commands.remove_tags, resource_arns=arns, tag_keys=["a", "nothing"])
    assert tags(account, *arns) == {arn: {"b": ""} for arn in arns}
    default = next(found.id for found in account.all(Rule) if found.is_default)
    assert tags(account, default) == {default: {}}


def test_tags_refused(account: AnAccount) -> None:
    balancer = account.load_balancer()
    with account.refused("DuplicateTagKeys", "A tag key was specified more than once: 'a'"):
        add(account, [balancer], ("a", "1"), ("a", "2"))
    with account.refused("ValidationError", "aws:"):
        add(account, [balancer], ("aws:a", "1"))
    add(account, [balancer], *((str(n), "") for n in range(50)))
    with account.refused("TooManyTags"):
        add(account, [balancer], ("one more", ""))
    add(account, [balancer], ("7", "again"))
    with account.refused("TooManyTags"):
        account.load_balancer("other", tags=[{"key": str(n), "value": ""} for n in range(51)])
    with account.refused("ValidationError", "Up to 20"):
        tags(account, *([balancer] * 21))


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        ("loadbalancer/app/x/0123456789abcdef", "LoadBalancerNotFound"),
        ("targetgroup/x/0123456789abcdef", "TargetGroupNotFound"),
        ("listener/app/x/0123456789abcdef/0123456789abcdef", "ListenerNotFound"),
        ("listener-rule/app/x/0123456789abcdef/0123456789abcdef/0123456789abcdef", "RuleNotFound"),
        ("truststore/x/0123456789abcdef", "TrustStoreNotFound"),
        ("nonsense", "ValidationError"),
    ],
)
def test_tags_of_what_is_not_there(account: AnAccount, arn: str, code: str) -> None:
    full = f"arn:aws:elasticloadbalancing:us-east-1:123456789012:{arn}"
    with account.refused(code):
        tags(account, full)
    with account.refused(code):
        add(account, [full], ("a", "1"))


def test_limits(account: AnAccount) -> None:
    limits = {limit["name"]: limit["max"] for limit in account.ask(queries.describe_account_limits)["limits"]}
    assert limits["application-load-balancers"] == "50"
    assert limits["targets-per-application-load-balancer"] == "1000"
    assert len(limits) == 23
    first = account.ask(queries.describe_account_limits, page_size=20)
    rest = account.ask(queries.describe_account_limits, page_size=20, marker=first["next_marker"])
    assert len(first["limits"]) + len(rest["limits"]) == 23


def test_security_policies(account: AnAccount) -> None:
    found = {p["name"]: p for p in account.ask(queries.describe_ssl_policies)["ssl_policies"]}
    assert len(found) == 39
    default = found["ELBSecurityPolicy-2016-08"]
    assert default["ssl_protocols"] == ["TLSv1", "TLSv1.1", "TLSv1.2"]
    assert default["ciphers"][0] == {"name": "ECDHE-ECDSA-AES128-GCM-SHA256", "priority": 1}
    assert len(default["ciphers"]) == 18
    assert default["supported_load_balancer_types"] == ["application", "network"]
    assert [c["name"] for c in found["ELBSecurityPolicy-TLS13-1-3-2021-06"]["ciphers"]] == [
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
    ]
    fips = found["ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04"]["ciphers"]
    assert not any("CHACHA20" in cipher["name"] for cipher in fips)
    one = account.ask(queries.describe_ssl_policies, names=["ELBSecurityPolicy-FS-2018-06"])["ssl_policies"]
    assert [policy["name"] for policy in one] == ["ELBSecurityPolicy-FS-2018-06"]
    with account.refused("SSLPolicyNotFound", "nope"):
        account.ask(queries.describe_ssl_policies, names=["nope"])
