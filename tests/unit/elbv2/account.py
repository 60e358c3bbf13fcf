"""An account in memory for testing commands: no loop, no clock but the one a test sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from elba.call import Answer, Call
from elba.context import Command, Query
from elba.ec2.addresses import allocate_interface
from elba.ec2.defaults import default_security_group, ensure_defaults, make_subnet, make_vpc
from elba.ec2.resources import Instance, Subnet, Vpc
from elba.elbv2 import commands
from elba.errors import ApiError
from elba.ids import IdSource
from elba.resource import Resource
from elba.store.interface import Image, Transaction

R = TypeVar("R", bound=Resource)
ACCOUNT, REGION = "123456789012", "us-east-1"


class AnAccount:
    """Commands change it as the store would; one that raises changes nothing."""

    def __init__(self) -> None:
        self.view = Image()
        self.ids = IdSource(7)
        self.now = 1_700_000_000.0
        self.write(lambda tx: ensure_defaults(tx, self.call))

    @property
    def call(self) -> Call:
        return Call(ACCOUNT, REGION, self.now, self.ids)

    def write(self, change: Callable[[Transaction], Any]) -> Any:
        tx = Transaction(self.view)
        answer = change(tx)
        for key, value in tx.changes.items():
            if value is None:
                self.view.delete(key)
            else:
                self.view.put(value)
        return answer

    def do(self, command: Command, **request: Any) -> Answer:
        answer: Answer = self.write(lambda tx: command(tx, self.call, request))
        return answer

    def ask(self, query: Query, **request: Any) -> Answer:
        return query(self.view, self.call, request)

    def all(self, type_: type[R]) -> list[R]:
        return self.view.all(type_, ACCOUNT, REGION)

    @contextmanager
    def refused(self, code: str, text: str = "") -> Iterator[None]:
        """What is inside must raise this ApiError and change nothing."""
        before = list(self.view)
        with pytest.raises(ApiError) as raised:
            yield
        assert (raised.value.code, raised.value.status) == (code, 400), raised.value.message
        assert text in raised.value.message, raised.value.message
        assert list(self.view) == before

    # ── what tests start from ────────────────────────────────────────────────────────────────────────

    @property
    def vpc(self) -> Vpc:
        return self.all(Vpc)[0]

    @property
    def subnets(self) -> list[str]:
        return [subnet.id for subnet in self.view.children(Subnet, ACCOUNT, REGION, self.vpc.id)]

    def another_vpc(self) -> tuple[Vpc, list[str], str]:
        """A VPC of its own without internet gateway: itself, two subnets, its default security group."""

        def make(tx: Transaction) -> tuple[Vpc, list[str], str]:
            vpc = make_vpc(tx, self.call, cidr_block="10.9.0.0/16", number=99)
            subnets = [
                make_subnet(tx, self.call, vpc, f"10.9.{n}.0/24", f"{REGION}{letter}").id
                for n, letter in enumerate("ab")
            ]
            group = default_security_group(tx, self.call, vpc.id)
            assert group is not None
            return vpc, subnets, group.id

        made: tuple[Vpc, list[str], str] = self.write(make)
        return made

    def subnet(self, cidr: str, zone: str) -> str:
        """One more subnet of the default VPC."""
        made: Subnet = self.write(lambda tx: make_subnet(tx, self.call, self.vpc, cidr, zone))
        return made.id

    def load_balancer(self, name: str = "lb", **more: Any) -> str:
        request = {"name": name, "subnets": self.subnets[:2], **more}
        arn: str = self.do(commands.create_load_balancer, **request)["load_balancers"][0]["load_balancer_arn"]
        return arn

    def target_group(self, name: str = "tg", **more: Any) -> str:
        request = {"name": name, "protocol": "HTTP", "port": 80, "vpc_id": self.vpc.id, **more}
        request = {key: value for key, value in request.items() if value is not None}
        arn: str = self.do(commands.create_target_group, **request)["target_groups"][0]["target_group_arn"]
        return arn

    def listener(self, balancer: str, group: str | None = None, port: int = 80, **more: Any) -> str:
        action = forward(group) if group else fixed()
        request = {
            "load_balancer_arn": balancer,
            "protocol": "HTTP",
            "port": port,
            "default_actions": [action],
            **more,
        }
        arn: str = self.do(commands.create_listener, **request)["listeners"][0]["listener_arn"]
        return arn

    def rule(self, listener: str, priority: int = 1, **more: Any) -> str:
        request = {
            "listener_arn": listener,
            "priority": priority,
            "conditions": [path("/a")],
            "actions": [fixed()],
            **more,
        }
        arn: str = self.do(commands.create_rule, **request)["rules"][0]["rule_arn"]
        return arn

    def instance(self, state: str = "running", subnet: str | None = None, vpc: Vpc | None = None) -> str:
        """An instance in `state`."""
        subnet_id = subnet or self.subnets[0]

        def make(tx: Transaction) -> str:
            id_ = self.ids.ec2("i")
            interface = allocate_interface(tx, self.call, subnet_id, owner=id_, description="", group_ids=[])
            tx.put(
                Instance(
                    account=ACCOUNT,
                    region=REGION,
                    id=id_,
                    image_id="ami-1",
                    instance_type="t3.micro",
                    subnet_id=subnet_id,
                    vpc_id=interface.vpc_id,
                    availability_zone=interface.availability_zone,
                    private_ip_address=interface.private_ip_address,
                    host_address=interface.host_address,
                    network_interface_id=interface.id,
                    reservation_id="r-1",
                    launch_time=self.now,
                    state=state,
                )
            )
            return id_

        id_: str = self.write(make)
        return id_

    def set_instance(self, instance_id: str, state: str) -> None:
        """Move an instance to `state`."""
        found = self.view.get(Instance, ACCOUNT, REGION, instance_id)
        assert found is not None
        self.view.put(replace(found, state=state))

    def health(self, group: str, **more: Any) -> dict[str, tuple[str, str, str]]:
        """(state, reason, description) by `<id>:<port>`."""
        answer = self.ask(commands.describe_target_health, target_group_arn=group, **more)
        return {
            f"{d['target']['id']}:{d['target']['port']}": (
                d["target_health"]["state"],
                d["target_health"].get("reason", ""),
                d["target_health"].get("description", ""),
            )
            for d in answer["target_health_descriptions"]
        }


def forward(group: str) -> dict[str, Any]:
    return {"type": "forward", "target_group_arn": group}


def weighted(*groups: tuple[str, int], sticky: int | None = None) -> dict[str, Any]:
    config: dict[str, Any] = {"target_groups": [{"target_group_arn": arn, "weight": w} for arn, w in groups]}
    if sticky is not None:
        config["target_group_stickiness_config"] = {"enabled": True, "duration_seconds": sticky}
    return {"type": "forward", "forward_config": config}


def fixed(**more: Any) -> dict[str, Any]:
    return {"type": "fixed-response", "fixed_response_config": {"status_code": "200", **more}}


def redirect(**more: Any) -> dict[str, Any]:
    return {"type": "redirect", "redirect_config": {"status_code": "HTTP_301", **more}}


def path(*values: str) -> dict[str, Any]:
    return {"field": "path-pattern", "path_pattern_config": {"values": list(values)}}


def host(*values: str) -> dict[str, Any]:
    return {"field": "host-header", "host_header_config": {"values": list(values)}}
