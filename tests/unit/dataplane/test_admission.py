"""Security groups compiled: whom a listener lets in, which targets refuse, and what changes with what."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from elba.ec2.commands import prefix_lists, security_groups
from elba.ec2.resources import Instance, NetworkInterface, SecurityGroup
from elba.elbv2 import commands
from elba.resource import Key
from tests.unit.dataplane.test_compile import PLACE, Watched, register
from tests.unit.elbv2.account import ACCOUNT, REGION


def sources(account: Watched, listener: int = 0) -> list[str] | None:
    return account.check().load_balancers[0].listeners[listener].allowed_sources


def refused(account: Watched) -> tuple[bool, bool]:
    target = account.check().target_groups[0].targets[0]
    return target.refused, target.check_refused


def group(account: Watched, name: str, *rules: dict[str, Any]) -> str:
    made = account.do(security_groups.create_security_group, group_name=name, description="x")
    group_id: str = made["group_id"]
    for rule in rules:
        allow(account, group_id, **rule)
    return group_id


def allow(account: Watched, group_id: str, *, port: int = 80, to: int | None = None, **source: Any) -> None:
    permission = {"ip_protocol": "tcp", "from_port": port, "to_port": to or port, **source}
    account.do(security_groups.authorize_security_group_ingress, group_id=group_id, ip_permissions=[permission])


def cidr(text: str) -> dict[str, Any]:
    return {"ip_ranges": [{"cidr_ip": text}]} if "." in text else {"ipv6_ranges": [{"cidr_ipv6": text}]}


def put_in(account: Watched, instance_id: str, *groups: str) -> None:
    def change(tx: Any) -> None:
        instance = tx.get(Instance, ACCOUNT, REGION, instance_id)
        interface = tx.get(NetworkInterface, ACCOUNT, REGION, instance.network_interface_id)
        tx.put(replace(instance, group_ids=list(groups)))
        tx.put(replace(interface, group_ids=list(groups)))

    account.write(change)


def the(account: Watched, instance_id: str) -> Instance:
    found = account.view.get(Instance, ACCOUNT, REGION, instance_id)
    assert found is not None
    return found


@pytest.fixture
def account() -> Watched:
    return Watched()


def test_the_default_group_as_made_lets_in_everybody_and_changed_is_a_group_like_others(account: Watched) -> None:
    account.listener(account.load_balancer())
    assert sources(account) is None
    (default,) = (g for g in account.all(SecurityGroup) if g.group_name == "default")
    allow(account, default.id, **cidr("203.0.113.0/24"))
    found = sources(account)
    assert found is not None
    assert "203.0.113.0/24" in found
    assert all(entry.endswith("/32") for entry in found if entry != "203.0.113.0/24")
    for rule in next(g for g in account.all(SecurityGroup) if g.id == default.id).permissions:
        if not rule.egress:
            request = {"group_id": default.id, "security_group_rule_ids": [rule.rule_id]}
            account.do(security_groups.revoke_security_group_ingress, **request)
    assert sources(account) == []


def test_each_port_has_the_rules_that_cover_it(account: Watched) -> None:
    web = group(account, "web", cidr("0.0.0.0/0") | {"port": 80, "to": 81}, cidr("::/0"), cidr("203.0.113.7/24"))
    other = group(account, "other", cidr("198.51.100.0/24") | {"port": 443})
    balancer = account.load_balancer(security_groups=[web, other])
    for port in (80, 81, 443, 8080):
        account.listener(balancer, port=port)
    assert sources(account, 0) is None  # both families: everybody
    assert sources(account, 1) == ["0.0.0.0/0"]
    assert sources(account, 2) == ["198.51.100.0/24"]
    assert sources(account, 3) == []
    account.do(commands.set_security_groups, load_balancer_arn=balancer, security_groups=[other])
    assert sources(account, 1) == []


def test_addresses_of_the_vpc_are_also_those_of_the_host(account: Watched) -> None:
    inside = group(account, "inside", cidr("172.31.16.0/20"), cidr("172.16.0.0/12"), cidr("172.31.0.9/32"))
    account.listener(account.load_balancer(security_groups=[inside]))
    number = account.vpc.slice
    assert sources(account) == [
        "172.31.16.0/20",
        f"127.{number}.16.0/20",
        "172.16.0.0/12",
        f"127.{number}.0.0/16",
        "172.31.0.9/32",
        f"127.{number}.0.9/32",
    ]


def test_a_group_means_its_members_as_they_come_and_go(account: Watched) -> None:
    clients = group(account, "clients")
    balancers = group(account, "balancers", {"user_id_group_pairs": [{"group_id": clients}]})
    account.listener(account.load_balancer(security_groups=[balancers]))
    assert sources(account) == []
    instance = account.instance()
    put_in(account, instance, clients)
    address = the(account, instance).host_address
    assert sources(account) == [f"{address}/32"]
    put_in(account, instance, balancers)
    assert sources(account) == []


def test_a_target_refuses_what_its_groups_do_not_let_in(account: Watched) -> None:
    lb = group(account, "lb", cidr("0.0.0.0/0"))
    web = group(account, "web")
    tg = account.target_group()
    account.listener(account.load_balancer(security_groups=[lb]), tg)
    instance = account.instance()
    register(account, tg, instance)
    assert refused(account) == (False, False)  # without any group
    put_in(account, instance, web)
    assert refused(account) == (True, True)
    allow(account, web, port=80, user_id_group_pairs=[{"group_id": lb}])
    assert refused(account) == (False, False)
    account.do(commands.modify_target_group, target_group_arn=tg, health_check_port="81")
    assert refused(account) == (False, True)
    allow(account, web, port=81, **cidr("172.31.0.0/16"))
    assert refused(account) == (False, False)


def test_a_load_balancer_is_not_let_out_without_a_rule(account: Watched) -> None:
    lb = group(account, "lb", cidr("0.0.0.0/0"))
    web = group(account, "web", cidr("0.0.0.0/0"))
    tg = account.target_group()
    account.listener(account.load_balancer(security_groups=[lb]), tg)
    instance = account.instance()
    register(account, tg, instance)
    put_in(account, instance, web)
    assert refused(account) == (False, False)
    everything = {"ip_protocol": "-1", **cidr("0.0.0.0/0")}
    account.do(security_groups.revoke_security_group_egress, group_id=lb, ip_permissions=[everything])
    assert refused(account) == (True, True)
    out = {"ip_protocol": "tcp", "from_port": 80, "to_port": 80, "user_id_group_pairs": [{"group_id": web}]}
    account.do(security_groups.authorize_security_group_egress, group_id=lb, ip_permissions=[out])
    assert refused(account) == (False, False)


def test_an_address_target_has_the_groups_of_its_interface(account: Watched) -> None:
    lb = group(account, "lb", cidr("0.0.0.0/0"))
    web = group(account, "web")
    instance = account.instance()
    put_in(account, instance, web)
    tg = account.target_group(target_type="ip")
    account.listener(account.load_balancer(security_groups=[lb]), tg)
    register(account, tg, the(account, instance).private_ip_address, port=80)
    assert refused(account) == (True, True)
    other = account.target_group("other", target_type="ip")
    account.listener(account.load_balancer("two"), other)
    register(account, other, "172.31.0.200")
    assert not account.check().target_groups[1].targets[0].refused


def test_what_does_not_matter_changes_nothing(account: Watched) -> None:
    lb = group(account, "lb", cidr("0.0.0.0/0"))
    unused = group(account, "unused")
    account.listener(account.load_balancer(security_groups=[lb]))
    before = account.check()
    allow(account, unused, **cidr("10.0.0.0/8"))
    key = Key(SecurityGroup.KIND, ACCOUNT, REGION, unused)
    assert not account.compiler.concerns(key)
    assert account.compiler.concerns(key._replace(id=lb))
    assert account.compiler.compile(PLACE).load_balancers[0] is before.load_balancers[0]


def test_a_prefix_list_means_its_entries_of_now(account: Watched) -> None:
    made = account.do(
        prefix_lists.create_managed_prefix_list,
        prefix_list_name="office",
        address_family="IPv4",
        max_entries=5,
        entries=[{"cidr": "203.0.113.0/24"}],
    )["prefix_list"]
    id_ = made["prefix_list_id"]
    web = group(account, "web", {"prefix_list_ids": [{"prefix_list_id": id_}]})
    account.listener(account.load_balancer(security_groups=[web]))
    assert sources(account) == ["203.0.113.0/24"]
    account.do(
        prefix_lists.modify_managed_prefix_list,
        prefix_list_id=id_,
        current_version=1,
        add_entries=[{"cidr": "198.51.100.0/24"}],
        remove_entries=[{"cidr": "203.0.113.0/24"}],
    )
    assert sources(account) == ["198.51.100.0/24"]
