"""Store to configuration: a small store compiled whole, and incremental compilation against compiling afresh."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from elba.dataplane.compile import Compiler, compile_place
from elba.dataplane.delta import diff
from elba.dataplane.interface import Configuration, Place
from elba.dataplane.protocol import (
    Action,
    Condition,
    FixedResponse,
    HealthCheck,
    KeyValue,
    Redirect,
    Rewrite,
    Target,
    TargetGroup,
    Transform,
    WeightedTargetGroup,
)
from elba.ec2.resources import Instance
from elba.elbv2 import commands
from elba.elbv2.resources import LoadBalancer
from elba.resource import Key
from elba.store.interface import Transaction
from tests.unit.elbv2.account import ACCOUNT, REGION, AnAccount, fixed, forward, path, redirect, weighted

PLACE = Place(REGION, "us-east-1a")


@pytest.fixture
def account() -> AnAccount:
    return AnAccount()


def register(account: AnAccount, group: str, *ids: str, port: int | None = None) -> None:
    targets = [{"id": id_, "port": port} if port else {"id": id_} for id_ in ids]
    account.do(commands.register_targets, target_group_arn=group, targets=targets)


def test_a_load_balancer_with_all_it_has(account: AnAccount) -> None:
    one, two = account.target_group("one"), account.target_group("two")
    unused = account.target_group("unused")
    arn = account.load_balancer()
    listener = account.listener(arn, one)
    account.rule(
        listener,
        7,
        conditions=[
            path("/a/*"),
            {"field": "query-string", "query_string_config": {"values": [{"key": "k", "value": "v"}]}},
            {"field": "http-header", "http_header_config": {"http_header_name": "X-A", "values": ["b"]}},
        ],
        actions=[weighted((one, 3), (two, 0), sticky=60)],
        transforms=[{"type": "url-rewrite", "url_rewrite_config": {"rewrites": [{"regex": "^/a", "replace": "/b"}]}}],
    )
    account.rule(listener, 5, actions=[redirect(protocol="HTTPS", port="443", status_code="HTTP_302")])
    account.rule(listener, 6, actions=[fixed(message_body="hi", content_type="text/html")])
    account.listener(arn, port=81)
    configuration = compile_place(account.view, PLACE)
    (balancer,) = configuration.load_balancers
    stored = account.all(LoadBalancer)[0]
    assert (balancer.arn, balancer.name, balancer.resource_id) == (arn, "lb", stored.resource_id)
    assert (balancer.dns_name, balancer.kind, balancer.account) == (stored.dns_name, "application", ACCOUNT)
    assert [(a.zone, a.address) for a in balancer.addresses] == [
        (zone.zone_name, zone.host_address) for zone in stored.zones
    ]
    assert balancer.attributes["idle_timeout.timeout_seconds"] == "60"
    assert len(balancer.cookie_keys) == 1
    first, second = balancer.listeners
    assert (first.port, first.protocol, second.port) == (80, "HTTP", 81)
    assert [rule.priority for rule in first.rules] == [5, 6, 7, 0]
    assert first.rules[0].actions == [
        Action(kind="redirect", redirect=Redirect(protocol="HTTPS", port="443", status=302))
    ]
    assert first.rules[1].actions == [
        Action(kind="fixed-response", fixed_response=FixedResponse(status=200, body="hi", content_type="text/html"))
    ]
    seventh = first.rules[2]
    assert seventh.conditions == [
        Condition(field="path-pattern", values=["/a/*"]),
        Condition(field="query-string", query=[KeyValue(key="k", value="v")]),
        Condition(field="http-header", header_name="X-A", values=["b"]),
    ]
    assert seventh.actions == [
        Action(
            kind="forward",
            target_groups=[WeightedTargetGroup(arn=one, weight=3), WeightedTargetGroup(arn=two, weight=0)],
            group_stickiness_seconds=60,
        )
    ]
    assert seventh.transforms == [Transform(kind="url-rewrite", rewrites=[Rewrite(regex="^/a", replace="/b")])]
    assert first.rules[3].actions == [Action(kind="forward", target_groups=[WeightedTargetGroup(arn=one)])]
    assert {group.arn for group in configuration.target_groups} == {one, two}
    assert unused not in {group.arn for group in configuration.target_groups}


def test_a_target_group_with_all_it_has(account: AnAccount) -> None:
    group = account.target_group(
        health_check_path="/up",
        health_check_port="9000",
        matcher={"http_code": "200-204"},
        health_check_interval_seconds=10,
    )
    pairs = {
        "stickiness.enabled": "true",
        "stickiness.type": "app_cookie",
        "stickiness.app_cookie.cookie_name": "SID",
        "stickiness.app_cookie.duration_seconds": "60",
        "slow_start.duration_seconds": "30",
        "target_group_health.dns_failover.minimum_healthy_targets.count": "off",
        "target_group_health.dns_failover.minimum_healthy_targets.percentage": "50",
    }
    given = [{"key": key, "value": value} for key, value in pairs.items()]
    account.do(commands.modify_target_group_attributes, target_group_arn=group, attributes=given)
    account.listener(account.load_balancer(), group)
    instance = account.instance()
    register(account, group, instance)
    account.do(commands.record_health, seen=[commands.Seen(f"{group}|{instance}:80", "healthy")])
    (compiled,) = compile_place(account.view, PLACE).target_groups
    found = account.all(Instance)[0]
    assert compiled == TargetGroup(
        arn=group,
        name="tg",
        resource_id=group.split(":", 5)[5],
        stickiness_enabled=True,
        stickiness_type="app_cookie",
        stickiness_seconds=60,
        app_cookie_name="SID",
        slow_start_seconds=30,
        dns_minimum_healthy_count=None,
        dns_minimum_healthy_percentage=50,
        health_check=HealthCheck(path="/up", port=9000, matcher="200-204", interval_seconds=10),
        targets=[
            Target(
                id=instance,
                port=80,
                address=found.host_address,
                zone="us-east-1a",
                known_health="healthy",
                host_header=found.private_ip_address,
            )
        ],
    )


def test_addresses_inside_and_outside_the_vpc(account: AnAccount) -> None:
    group = account.target_group(target_type="ip", port=8080)
    account.listener(account.load_balancer(), group)
    targets = [{"id": "172.31.16.9"}, {"id": "10.1.1.1", "availability_zone": "all"}]
    account.do(commands.register_targets, target_group_arn=group, targets=targets)
    inside, outside = compile_place(account.view, PLACE).target_groups[0].targets
    assert (inside.address, inside.zone, inside.host_header) == (
        f"127.{account.vpc.slice}.16.9",
        "us-east-1b",
        "172.31.16.9:8080",
    )
    assert (outside.address, outside.zone) == ("10.1.1.1", "all")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("pending", ["active"]),
        ("running", ["active"]),
        ("stopping", ["draining"]),
        ("shutting-down", ["draining"]),
        ("stopped", []),
        ("terminated", []),
    ],
)
def test_what_an_instance_that_comes_or_goes_gets(account: AnAccount, state: str, expected: list[str]) -> None:
    group, instance = account.target_group(), account.instance()
    account.listener(account.load_balancer(), group)
    register(account, group, instance)
    account.set_instance(instance, state)
    assert [t.state for t in compile_place(account.view, PLACE).target_groups[0].targets] == expected


def test_a_draining_target_stays_until_its_time_is_over(account: AnAccount) -> None:
    group = account.target_group(target_type="ip")
    account.listener(account.load_balancer(), group)
    register(account, group, "172.31.0.9")
    account.do(commands.deregister_targets, target_group_arn=group, targets=[{"id": "172.31.0.9"}])
    assert [t.state for t in compile_place(account.view, PLACE).target_groups[0].targets] == ["draining"]
    account.now += 301
    account.do(commands.end_draining, target_group_arn=group)
    assert compile_place(account.view, PLACE).target_groups[0].targets == []


def test_failed_load_balancers_and_other_regions_are_left_out(account: AnAccount) -> None:
    arn = account.load_balancer()
    assert compile_place(account.view, Place("eu-west-1", "eu-west-1a")) == Configuration([], [])
    account.do(commands.set_load_balancer_state, load_balancer_arns=[arn], state_code="failed", state_reason="x")
    assert compile_place(account.view, PLACE) == Configuration([], [])


# ── incremental ──────────────────────────────────────────────────────────────────────────────────────


class Watched(AnAccount):
    """Tells a compiler of every change, as the store's feed does."""

    def __init__(self) -> None:
        super().__init__()
        self.compiler = Compiler(self.view)

    def write(self, change: Callable[[Transaction], Any]) -> Any:
        keys: list[Key] = []

        def recorded(tx: Transaction) -> Any:
            answer = change(tx)
            keys.extend(tx.changes)
            return answer

        answer = super().write(recorded)
        if hasattr(self, "compiler"):
            self.compiler.changed(keys)
        return answer

    def set_instance(self, instance_id: str, state: str) -> None:
        super().set_instance(instance_id, state)
        self.compiler.changed([Key(Instance.KIND, ACCOUNT, REGION, instance_id)])

    def check(self) -> Configuration:
        """What the compiler says, which must mean the same as compiling afresh."""
        compiled = self.compiler.compile(PLACE)
        assert diff(compile_place(self.view, PLACE), compiled, base=1, version=2) is None
        return compiled


def test_one_target_more_touches_nothing_else() -> None:
    account = Watched()
    balancer = account.load_balancer()
    one, two = account.target_group("one", target_type="ip"), account.target_group("two", target_type="ip")
    account.rule(account.listener(balancer, one), actions=[forward(two)])
    register(account, one, *(f"172.31.0.{n}" for n in range(10, 60)))
    before = account.check()
    register(account, one, "172.31.0.9")
    after = account.check()
    assert [a is b for a, b in zip(before.load_balancers, after.load_balancers, strict=True)] == [True]
    assert [a is b for a, b in zip(before.target_groups, after.target_groups, strict=True)] == [False, True]
    kept = zip(before.target_groups[0].targets, after.target_groups[0].targets, strict=False)
    assert all(a is b for a, b in kept)


def test_health_is_no_change_of_configuration() -> None:
    account = Watched()
    group = account.target_group(target_type="ip")
    account.listener(account.load_balancer(), group)
    register(account, group, "172.31.0.9")
    before = account.check()
    account.do(commands.record_health, seen=[commands.Seen(f"{group}|172.31.0.9:80", "healthy")])
    assert account.compiler.compile(PLACE).target_groups[0] is before.target_groups[0]


def test_a_group_used_again_starts_with_what_is_known_then() -> None:
    account = Watched()
    group, balancer = account.target_group(target_type="ip"), account.load_balancer()
    listener = account.listener(balancer, group)
    register(account, group, "172.31.0.9")
    account.do(commands.record_health, seen=[commands.Seen(f"{group}|172.31.0.9:80", "healthy")])
    account.check()
    account.do(commands.delete_listener, listener_arn=listener)
    assert account.check().target_groups == []
    account.listener(balancer, group)
    assert account.check().target_groups[0].targets[0].known_health == ""


@pytest.mark.parametrize("seed", range(8))
def test_any_sequence_of_changes_compiles_as_afresh(seed: int) -> None:
    account, dice = Watched(), random.Random(seed)
    balancers = [account.load_balancer(f"lb-{n}") for n in range(2)]
    arns = [account.target_group(f"tg-{n}") for n in range(3)]
    listeners: dict[str, str] = {}
    instances = [account.instance(subnet=account.subnets[n % 3]) for n in range(5)]
    states = ["running", "stopping", "stopped", "terminated", "pending"]
    for step in range(60):
        group, instance = dice.choice(arns), dice.choice(instances)
        owner = balancers[arns.index(group) % 2]
        match dice.randrange(8):
            case 0 if group not in listeners:
                listeners[group] = account.listener(owner, group, port=100 + step)
            case 1 if group in listeners:
                account.do(commands.delete_listener, listener_arn=listeners.pop(group))
            case 2:
                account.set_instance(instance, "running")
                register(account, group, instance, port=dice.choice([80, 81]))
            case 3:
                targets = [{"id": instance, "port": dice.choice([80, 81])}]
                account.do(commands.deregister_targets, target_group_arn=group, targets=targets)
            case 4:
                account.set_instance(instance, dice.choice(states))
            case 5:
                account.now += 200
                account.do(commands.end_draining, target_group_arn=group)
            case 6:
                value = dice.choice(["round_robin", "least_outstanding_requests"])
                given = [{"key": "load_balancing.algorithm.type", "value": value}]
                account.do(commands.modify_target_group_attributes, target_group_arn=group, attributes=given)
            case 7 if group in listeners:
                account.do(
                    commands.modify_listener,
                    listener_arn=listeners[group],
                    default_actions=[dice.choice([fixed(), forward(group)])],
                )
        account.check()


def test_compiled_is_what_goes_over_the_wire(account: AnAccount) -> None:
    group = account.target_group(target_type="ip")
    account.rule(account.listener(account.load_balancer(), group), actions=[forward(group)])
    register(account, group, "172.31.0.9")
    for part in (*compile_place(account.view, PLACE).load_balancers, *compile_place(account.view, PLACE).target_groups):
        assert msgspec.json.decode(msgspec.json.encode(part), type=type(part)) == part
