"""A thousand changes, then a new version of the zone nodes, under load: not one request fails."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from elba.dataplane.program import NodeHome
from tests.acceptance.conftest import Elba, eventually, free_port
from tests.acceptance.test_https import import_, pair

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

CHANGES = 1000
TRAFFIC = Path(__file__).with_name("traffic.py")


@contextmanager
def traffic(*arguments: str) -> Iterator[Callable[[], str]]:
    """A traffic process that runs; the function ends it and gives what it prints."""
    command = [sys.executable, str(TRAFFIC), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def end() -> str:
            return process.communicate(timeout=60)[0]

        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "serving\n"
            yield end
        finally:
            process.kill()


class Shop:
    """An HTTP and an HTTPS listener that forward to servers at addresses of the VPC."""

    def __init__(self, elba: Elba) -> None:
        self.elb, ec2 = elba.client("elbv2"), elba.client("ec2")
        subnets = ec2.describe_subnets()["Subnets"]
        vpc = subnets[0]["VpcId"]
        self.certificates = [import_(elba, pair(f"{name}.example.com", kind="p256")) for name in ("a", "b", "c")]
        made = self.elb.create_load_balancer(Name="hot", Subnets=[s["SubnetId"] for s in subnets])["LoadBalancers"][0]
        self.balancer, self.name = made["LoadBalancerArn"], made["DNSName"]
        self.group, self.other = (
            self.elb.create_target_group(
                Name=name,
                Protocol="HTTP",
                Port=80,
                VpcId=vpc,
                TargetType="ip",
                HealthCheckIntervalSeconds=5,
                HealthCheckTimeoutSeconds=2,
                HealthyThresholdCount=2,
            )["TargetGroups"][0]["TargetGroupArn"]
            for name in ("one", "two")
        )
        self.plain, self.secure = free_port(), free_port()
        self.listener, self.tls = (
            self.elb.create_listener(
                LoadBalancerArn=self.balancer,
                Port=port,
                DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}],
                **more,
            )["Listeners"][0]["ListenerArn"]
            for port, more in (
                (self.plain, {"Protocol": "HTTP"}),
                (self.secure, {"Protocol": "HTTPS", "Certificates": [{"CertificateArn": self.certificates[0]}]}),
            )
        )
        self.elb.create_rule(  # what makes the second group one in use
            ListenerArn=self.listener, Priority=1, Conditions=self.path("/never"), Actions=self.to(self.other)
        )
        self.elb.get_waiter("load_balancer_available").wait(
            LoadBalancerArns=[self.balancer], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
        interfaces = ec2.describe_network_interfaces()["NetworkInterfaces"]
        public = next(i["Association"]["PublicIp"] for i in interfaces if "Association" in i)
        self.slice = ".".join(public.split(".")[:2])
        self.port = free_port()
        self.addresses = [f"172.31.251.{number}" for number in range(10, 16)]

    def places(self) -> list[str]:
        """Where the servers listen, as the host reaches them."""
        return [f"{self.slice}.{address.partition('31.')[2]}:{self.port}" for address in self.addresses]

    @staticmethod
    def path(value: str) -> list[dict[str, Any]]:
        return [{"Field": "path-pattern", "Values": [value]}]

    @staticmethod
    def to(group: str) -> list[dict[str, Any]]:
        return [{"Type": "forward", "TargetGroupArn": group}]

    def targets(self, *addresses: str) -> list[dict[str, Any]]:
        return [{"Id": address, "Port": self.port} for address in addresses]

    def healthy(self, group: str) -> int:
        found = self.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return sum(each["TargetHealth"]["State"] == "healthy" for each in found)

    def change_all(self, number: int) -> Iterator[object]:
        """A change of every kind, each made as the next is asked for; each leaves every request an answer."""
        elb, spare = self.elb, self.targets(self.addresses[2 + number % 4])
        listed = [{"CertificateArn": self.certificates[2]}]
        made = elb.create_rule(
            ListenerArn=self.listener,
            Priority=100 + number % 50,
            Conditions=self.path(f"/nobody-{number}"),
            Actions=self.to(self.other),
        )
        rule = made["Rules"][0]["RuleArn"]
        yield made
        yield elb.register_targets(TargetGroupArn=self.group, Targets=spare)
        yield elb.modify_rule(RuleArn=rule, Conditions=self.path("/x"))
        yield elb.add_listener_certificates(ListenerArn=self.tls, Certificates=listed)
        yield elb.set_rule_priorities(RulePriorities=[{"RuleArn": rule, "Priority": 200}])
        yield elb.deregister_targets(TargetGroupArn=self.group, Targets=spare)
        default = [{"CertificateArn": self.certificates[number % 2]}]
        yield elb.modify_listener(ListenerArn=self.tls, Certificates=default)
        yield elb.remove_listener_certificates(ListenerArn=self.tls, Certificates=listed)
        yield elb.delete_rule(RuleArn=rule)
        group = [self.group, self.other][number % 2]
        yield elb.modify_listener(ListenerArn=self.listener, DefaultActions=self.to(group))


@pytest.fixture(scope="module")
def shop(elba: Elba) -> Iterator[Shop]:
    shop = Shop(elba)
    with traffic("serve", *shop.places()):
        shop.elb.register_targets(TargetGroupArn=shop.group, Targets=shop.targets(*shop.addresses[:2]))
        shop.elb.register_targets(TargetGroupArn=shop.other, Targets=shop.targets(*shop.addresses[:2]))
        eventually(lambda: shop.healthy(shop.group) == shop.healthy(shop.other) == 2, 30, "healthy targets")
        yield shop


def served_without_failure(text: str) -> int:
    told = json.loads(text)
    assert told["failures"] == [], told
    return int(told["served"])


def test_a_thousand_changes_under_load(shop: Shop) -> None:
    with traffic("load", "127.0.0.1", str(shop.plain), str(shop.secure), shop.name) as end:
        changes = itertools.chain.from_iterable(shop.change_all(number) for number in itertools.count())
        assert sum(1 for _ in itertools.islice(changes, CHANGES)) == CHANGES
        assert served_without_failure(end()) > 1000


def test_nodes_of_a_new_version_take_over_under_load(elba: Elba, shop: Shop) -> None:
    def nodes() -> list[int]:
        return [NodeHome(elba.home.directory, zone).process_id() for zone in NodeHome.zones(elba.home.directory)]

    with traffic("load", "127.0.0.1", str(shop.plain), str(shop.secure), shop.name) as end:
        before = nodes()
        assert len(before) == 3
        elba.kill()
        # as after `pip install --upgrade`: this control plane is of another version than the nodes that run
        newer = "import elba; elba.__version__ = '999.0.0'; from elba.cli.main import main; main()"
        command = elba.command
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(elba, "command", lambda *arguments: [sys.executable, "-c", newer, *command(*arguments)[3:]])
            elba.up()
            eventually(lambda: 0 not in nodes() and not set(nodes()) & set(before), 60, "every node replaced")
        eventually(lambda: shop.healthy(shop.group) == 2, 30, "the nodes report")
        assert served_without_failure(end()) > 100
