"""RegisterTargets, DeregisterTargets, DescribeTargetHealth: elb-api.md B4, alb.md §6, §9, §10."""

from __future__ import annotations

import pytest

from elba.elbv2 import commands
from elba.elbv2.limits import LIMITS
from elba.elbv2.resources import LoadBalancer, Target, TargetHealth
from tests.unit.elbv2.account import AnAccount

NOT_IN_USE = (
    "unused",
    "Target.NotInUse",
    "Target group is not configured to receive traffic from the load balancer",
)
REGISTERING = ("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
DRAINING = ("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
NOT_REGISTERED = ("unused", "Target.NotRegistered", "Target is not registered to the target group")


def register(account: AnAccount, group: str, *ids: str, port: int | None = None, zone: str | None = None) -> None:
    targets = [{"id": id_, "port": port, "availability_zone": zone} for id_ in ids]
    targets = [{key: value for key, value in target.items() if value is not None} for target in targets]
    account.do(commands.register_targets, target_group_arn=group, targets=targets)


def deregister(account: AnAccount, group: str, *ids: str, port: int | None = None) -> None:
    targets = [{"id": id_, "port": port} if port else {"id": id_} for id_ in ids]
    account.do(commands.deregister_targets, target_group_arn=group, targets=targets)


def record(account: AnAccount, group: str, key: str, state: str, reason: str = "") -> None:
    """As if the nodes had reported it."""
    account.do(commands.record_health, seen=[commands.Seen(f"{group}|{key}", state, reason, "")])


def in_use(account: AnAccount, target_type: str = "instance") -> str:
    """A target group behind a load balancer in zones a and b."""
    group = account.target_group(target_type=target_type)
    account.listener(account.load_balancer(), group)
    return group


# ── instances ────────────────────────────────────────────────────────────────────────────────────────


def test_an_instance(account: AnAccount) -> None:
    group, instance = in_use(account), account.instance()
    register(account, group, instance)
    register(account, group, instance, port=8080)
    assert account.health(group) == {f"{instance}:80": REGISTERING, f"{instance}:8080": REGISTERING}
    record(account, group, f"{instance}:80", "healthy")
    assert account.health(group)[f"{instance}:80"] == ("healthy", "", "")
    before = account.all(Target)
    account.now += 5
    register(account, group, instance)
    assert account.all(Target) == before
    assert account.health(group)[f"{instance}:80"][0] == "healthy"


def test_instances_refused(account: AnAccount) -> None:
    group = account.target_group()
    with account.refused("InvalidTarget"):
        register(account, group, "i-0123456789abcdef0")
    with account.refused("ValidationError", "Instance ID '10.0.0.1' is not valid"):
        register(account, group, "10.0.0.1")
    running, stopped = account.instance(), account.instance("stopped")
    text = f"The following targets are not in a running state and cannot be registered: '{stopped}'"
    with account.refused("InvalidTarget", text):
        register(account, group, running, stopped)
    _, subnets, _ = account.another_vpc()
    elsewhere = account.instance(subnet=subnets[0])
    text = f"The following targets are not in the target group VPC '{account.vpc.id}': '{elsewhere}'"
    with account.refused("InvalidTarget", text):
        register(account, group, elsewhere)


@pytest.mark.parametrize(("state", "shown"), [("stopped", "stopped"), ("terminated", "terminated")])
def test_an_instance_that_stops(account: AnAccount, state: str, shown: str) -> None:
    group, instance = in_use(account), account.instance()
    register(account, group, instance)
    record(account, group, f"{instance}:80", "healthy")
    account.set_instance(instance, state)
    expected = ("unused", "Target.InvalidState", f"Target is in the {shown} state")
    assert account.health(group) == {f"{instance}:80": expected}


def test_a_terminated_instance_is_forgotten(account: AnAccount) -> None:
    group, instance, other = in_use(account), account.instance(), account.instance()
    register(account, group, instance, other)
    record(account, group, f"{instance}:80", "healthy")
    account.set_instance(instance, "stopped")
    account.do(commands.forget_instance, instance_id=instance)
    assert list(account.health(group)) == [f"{instance}:80", f"{other}:80"]
    assert account.all(TargetHealth) == []
    account.set_instance(instance, "terminated")
    account.do(commands.forget_instance, instance_id=instance)
    assert list(account.health(group)) == [f"{other}:80"]


def test_a_zone_that_is_not_enabled(account: AnAccount) -> None:
    group, instance = in_use(account), account.instance(subnet=account.subnets[2])
    register(account, group, instance)
    text = "Target is in an Availability Zone that is not enabled for the load balancer"
    assert account.health(group) == {f"{instance}:80": ("unused", "Target.NotInUse", text)}


# ── addresses ────────────────────────────────────────────────────────────────────────────────────────


def test_addresses(account: AnAccount) -> None:
    group = in_use(account, "ip")
    register(account, group, "172.31.0.9")
    register(account, group, "172.31.16.9", zone="us-east-1b")
    register(account, group, "10.1.1.1", "192.168.4.4", "100.64.1.1", zone="all")
    assert {target.target_id: target.availability_zone for target in account.all(Target)} == {
        "172.31.0.9": "us-east-1a",
        "172.31.16.9": "us-east-1b",
        "10.1.1.1": "all",
        "192.168.4.4": "all",
        "100.64.1.1": "all",
    }
    assert set(account.health(group).values()) == {REGISTERING}


def test_addresses_refused(account: AnAccount) -> None:
    group = account.target_group(target_type="ip")
    for address, zone, text in (
        ("8.8.8.8", "all", "8.8.8.8"),
        ("127.0.0.1", "all", "127.0.0.1"),
        ("10.1.1.1", None, "must be 'all'"),
        ("10.1.1.1", "us-east-1a", "must be 'all'"),
        ("172.31.0.9", "us-east-1b", "Availability Zone 'us-east-1b'"),
        ("172.31.0", None, "not a valid IPv4 address"),
        ("i-0123456789abcdef0", None, "not a valid IPv4 address"),
        ("2001:db8::1", None, "not a valid IPv4 address"),
    ):
        with account.refused("ValidationError", text):
            register(account, group, address, zone=zone)


def test_a_load_balancers_own_address_is_no_target(account: AnAccount) -> None:
    group = in_use(account, "ip")
    own = account.all(LoadBalancer)[0].zones[0].private_ip_address
    register(account, group, own)
    assert account.health(group)[f"{own}:80"] == (
        "unused",
        "Target.IpUnusable",
        "The IP address cannot be used as a target, as it is in use by a load balancer",
    )


def test_lambda_functions_do_not_exist_yet(account: AnAccount) -> None:
    group = account.target_group(target_type="lambda", protocol=None, port=None, vpc_id=None)
    arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
    with account.refused("InvalidTarget", arn):
        register(account, group, arn)
    with account.refused("ValidationError"):
        register(account, group, "f")


# ── use, draining ────────────────────────────────────────────────────────────────────────────────────


def test_a_group_that_is_not_in_use(account: AnAccount) -> None:
    group = account.target_group(target_type="ip")
    register(account, group, "172.31.0.9")
    assert account.health(group) == {"172.31.0.9:80": NOT_IN_USE}
    deregister(account, group, "172.31.0.9")
    assert account.all(Target) == []


def test_draining_ends_after_the_delay(account: AnAccount) -> None:
    group = in_use(account, "ip")
    register(account, group, "172.31.0.9", "172.31.0.10")
    record(account, group, "172.31.0.9:80", "healthy")
    deregister(account, group, "172.31.0.9")
    assert account.health(group)["172.31.0.9:80"] == DRAINING
    assert account.all(TargetHealth) == []
    since = account.all(Target)[0].draining_since
    account.now += 100
    deregister(account, group, "172.31.0.9")  # again: it goes on as it was
    assert account.all(Target)[0].draining_since == since
    assert account.do(commands.end_draining, target_group_arn=group) == {"seconds_left": 200}
    account.now += 200
    assert account.do(commands.end_draining, target_group_arn=group) == {"seconds_left": None}
    assert list(account.health(group)) == ["172.31.0.10:80"]


def test_a_draining_target_registered_again_is_back(account: AnAccount) -> None:
    group = in_use(account, "ip")
    register(account, group, "172.31.0.9")
    deregister(account, group, "172.31.0.9")
    register(account, group, "172.31.0.9")
    assert account.health(group) == {"172.31.0.9:80": REGISTERING}


def test_no_delay_is_no_draining(account: AnAccount) -> None:
    group = in_use(account, "ip")
    delay = [{"key": "deregistration_delay.timeout_seconds", "value": "0"}]
    account.do(commands.modify_target_group_attributes, target_group_arn=group, attributes=delay)
    register(account, group, "172.31.0.9")
    deregister(account, group, "172.31.0.9")
    assert account.health(group) == {}


def test_deregistering_means_one_port(account: AnAccount) -> None:
    group = account.target_group(target_type="ip")
    register(account, group, "172.31.0.9")
    register(account, group, "172.31.0.9", port=81)
    deregister(account, group, "172.31.0.9")
    assert list(account.health(group)) == ["172.31.0.9:81"]
    deregister(account, group, "172.31.0.9", port=81)
    deregister(account, group, "172.31.0.9")  # not registered: nothing
    with account.refused("ValidationError"):
        deregister(account, group, "nonsense")


def test_taken_out_of_use_all_are_unused(account: AnAccount) -> None:
    group = account.target_group(target_type="ip")
    listener = account.listener(account.load_balancer(), group)
    register(account, group, "172.31.0.9", "172.31.0.10")
    record(account, group, "172.31.0.9:80", "healthy")
    deregister(account, group, "172.31.0.10")
    account.do(commands.delete_listener, listener_arn=listener)
    assert account.health(group) == {"172.31.0.9:80": NOT_IN_USE}
    assert account.all(TargetHealth) == []


# ── describing ───────────────────────────────────────────────────────────────────────────────────────


def test_only_those_asked_for(account: AnAccount) -> None:
    group = in_use(account, "ip")
    register(account, group, "172.31.0.9", "172.31.0.10")
    asked = account.health(group, targets=[{"id": "172.31.0.10"}, {"id": "172.31.0.11", "port": 5}])
    assert asked == {"172.31.0.10:80": REGISTERING, "172.31.0.11:5": NOT_REGISTERED}
    answer = account.ask(
        commands.describe_target_health, target_group_arn=group, targets=[{"id": "172.31.0.11"}, {"id": "172.31.0.10"}]
    )
    assert [each["health_check_port"] for each in answer["target_health_descriptions"]] == ["80", "80"]
    with account.refused("ValidationError"):
        account.health(group, targets=[{"id": "x"}])
    with account.refused("TargetGroupNotFound"):
        account.health(group[:-1] + ("0" if group[-1] != "0" else "1"))


def test_details(account: AnAccount) -> None:
    group = account.target_group(health_check_port="9000", target_type="ip")
    register(account, group, "172.31.0.9")
    answer = account.ask(commands.describe_target_health, target_group_arn=group, include=["AnomalyDetection"])
    described = answer["target_health_descriptions"][0]
    assert described["health_check_port"] == "9000"
    assert described["anomaly_detection"] == {"result": "normal", "mitigation_in_effect": "no"}
    plain = account.ask(commands.describe_target_health, target_group_arn=group)["target_health_descriptions"][0]
    assert "anomaly_detection" not in plain


def test_unhealthy_with_reason(account: AnAccount) -> None:
    group = in_use(account, "ip")
    register(account, group, "172.31.0.9")
    seen = commands.Seen(
        f"{group}|172.31.0.9:80",
        "unhealthy",
        "Target.ResponseCodeMismatch",
        "Health checks failed with these codes: [503]",
    )
    account.do(commands.record_health, seen=[seen, commands.Seen(f"{group}|172.31.0.99:80", "healthy")])
    assert account.health(group) == {
        "172.31.0.9:80": (
            "unhealthy",
            "Target.ResponseCodeMismatch",
            "Health checks failed with these codes: [503]",
        )
    }


# ── quotas ───────────────────────────────────────────────────────────────────────────────────────────


def test_targets_per_group(account: AnAccount) -> None:
    group = account.target_group(target_type="ip")
    register(account, group, *(f"172.31.{n // 250}.{n % 250}" for n in range(1000)))
    with account.refused("TooManyTargets"):
        register(account, group, "172.31.9.9")
    register(account, group, "172.31.0.5")  # there already


def test_targets_per_load_balancer(account: AnAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "targets-per-application-load-balancer", 3)
    balancer = account.load_balancer()
    one, two = account.target_group("one", target_type="ip"), account.target_group("two", target_type="ip")
    listener = account.listener(balancer, one)
    register(account, one, "172.31.0.9", "172.31.0.10")
    register(account, two, "172.31.0.9", "172.31.0.10")
    with account.refused("TooManyTargets"):
        account.rule(listener, actions=[{"type": "forward", "target_group_arn": two}])
    deregister(account, two, "172.31.0.10")
    account.rule(listener, actions=[{"type": "forward", "target_group_arn": two}])
    with account.refused("TooManyTargets"):
        register(account, two, "172.31.0.11")


def test_registrations_of_one_target(account: AnAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "target-id-registrations-per-application-load-balancer", 2)
    group = in_use(account, "ip")
    register(account, group, "172.31.0.9", port=1)
    register(account, group, "172.31.0.9", port=2)
    with account.refused("TooManyRegistrationsForTargetId"):
        register(account, group, "172.31.0.9", port=3)
