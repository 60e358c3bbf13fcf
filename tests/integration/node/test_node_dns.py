"""DNS of a real node: which zones' addresses it answers with, as health and peers change."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from typing import Any

import pytest

from elba.dataplane.protocol import (
    Delta,
    LoadBalancer,
    Node,
    NodeClock,
    Peer,
    Report,
    Snapshot,
    TargetGroup,
    ZoneAddress,
)
from tests.integration.node.harness import (
    OTHER_ZONE,
    ZONE,
    Control,
    DnsAnswer,
    NodeProcess,
    Origin,
    a_balancer,
    a_free_port,
    a_group,
    a_node,
    an_address,
    dns_query,
    resolve,
    resolve_tcp,
    wait_until,
)

pytestmark = pytest.mark.integration

NAME = "shop-1.us-east-1.elb.amazonaws.com"


class Setup:
    """One load balancer in two zones, served by a node of the first that answers DNS on `server`."""

    def __init__(self, *groups: TargetGroup, **node: Any) -> None:
        address = an_address()
        self.server = f"{address}:{a_free_port(address, socket.SOCK_DGRAM)}"
        self.addresses = {ZONE: an_address(), OTHER_ZONE: an_address()}
        self.groups = list(groups)
        self.node: Node = a_node(dns=[self.server], **node)

    @property
    def balancer(self) -> LoadBalancer:
        places = [ZoneAddress(zone=zone, address=address) for zone, address in self.addresses.items()]
        return a_balancer("shop", "", 8080, *self.groups, addresses=places)

    def load(self, control: Control, version: int = 1) -> None:
        control.apply(
            Snapshot(version=version, node=self.node, load_balancers=[self.balancer], target_groups=self.groups)
        )

    def wait_for(self, *zones: str, name: str = NAME) -> DnsAnswer:
        expected = {self.addresses[zone] for zone in zones}
        answers: list[DnsAnswer] = []

        def look() -> bool:
            try:
                answers.append(resolve(self.server, name))
            except ConnectionRefusedError:
                return False
            return set(answers[-1].addresses) == expected

        try:
            wait_until(look, f"{name} is {zones}")
        except AssertionError as error:
            raise AssertionError(f"{error}; last {answers[-1:]}, addresses {self.addresses}") from None
        return answers[-1]


def test_names_and_codes(node: NodeProcess) -> None:
    setup = Setup()
    setup.load(node.connect())
    answer = setup.wait_for(ZONE, OTHER_ZONE)
    assert (answer.code, answer.ttl) == (0, 1)  # 60 s at a clock of 100
    assert set(resolve(setup.server, NAME.upper()).addresses) == set(setup.addresses.values())
    for zone, address in setup.addresses.items():
        assert resolve(setup.server, f"{zone}.{NAME}").addresses == [address]
    first = {resolve(setup.server, NAME).addresses[0] for _ in range(4)}
    assert first == set(setup.addresses.values()), "the order is turned"
    aaaa = resolve(setup.server, NAME, kind=28)
    assert (aaaa.code, aaaa.addresses, aaaa.authorities) == (0, [], 1)
    unknown = resolve(setup.server, "other-1.us-east-1.elb.amazonaws.com")
    assert (unknown.code, unknown.authorities) == (3, 1)
    assert resolve(setup.server, "example.org").code == 5
    assert set(resolve_tcp(setup.server, NAME).addresses) == set(setup.addresses.values())


def test_ttl_is_60_seconds_at_the_worlds_pace(node: NodeProcess) -> None:
    setup = Setup(clock=NodeClock())
    setup.load(node.connect())
    assert setup.wait_for(ZONE, OTHER_ZONE).ttl == 60


def test_zones_follow_health(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    here, there = make_origin("here"), make_origin("there")
    setup = Setup(a_group("web", here.target(zone=ZONE), there.target(zone=OTHER_ZONE), cross_zone=False))
    control = node.connect()
    setup.load(control)
    setup.wait_for(ZONE, OTHER_ZONE)
    here.status = 500
    setup.wait_for(OTHER_ZONE)
    there.status = 500
    setup.wait_for(ZONE, OTHER_ZONE)  # none healthy = all
    here.status = 200
    setup.wait_for(ZONE)


def test_cross_zone_keeps_all_zones_while_any_target_is_healthy(
    node: NodeProcess, make_origin: Callable[..., Origin]
) -> None:
    here, there = make_origin("here"), make_origin("there", status=500)
    setup = Setup(a_group("web", here.target(zone=ZONE), there.target(zone=OTHER_ZONE)))
    control = node.connect()
    setup.load(control)
    control.wait_for_health("i-there", "unhealthy")
    control.wait_for_health("i-here", "healthy")
    setup.wait_for(ZONE, OTHER_ZONE)


def test_dns_threshold(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    origins = [make_origin(name) for name in ("a1", "a2", "b1", "b2")]
    targets = [o.target(zone=ZONE if o.name[0] == "a" else OTHER_ZONE) for o in origins]
    group = a_group("web", *targets, cross_zone=False, dns_minimum_healthy_count=2)
    setup = Setup(group)
    setup.load(node.connect())
    setup.wait_for(ZONE, OTHER_ZONE)
    origins[0].status = 500  # one of two is left in the zone
    setup.wait_for(OTHER_ZONE)


def test_a_zone_whose_node_is_down_leaves(make_node: Callable[..., NodeProcess]) -> None:
    liveness = an_address()
    peer = make_node(OTHER_ZONE).start()
    place = f"{liveness}:{a_free_port(liveness)}"
    peer.connect().apply(Snapshot(version=1, node=a_node(OTHER_ZONE, liveness=place)))
    setup = Setup(peers=[Peer(zone=OTHER_ZONE, address=place)])
    control = make_node().start().connect()
    setup.load(control)
    setup.wait_for(ZONE, OTHER_ZONE)
    control.wait_for(Report, lambda report: report.zones_up == [ZONE, OTHER_ZONE])
    peer.kill()
    setup.wait_for(ZONE)
    wait_until(lambda: control.received(Report)[-1].zones_up == [ZONE], "the report says so")
    peer.start()
    setup.wait_for(ZONE, OTHER_ZONE)


def test_noise_does_not_stop_it(node: NodeProcess) -> None:
    setup = Setup()
    setup.load(node.connect())
    setup.wait_for(ZONE, OTHER_ZONE)
    address, port = setup.server.split(":")
    noise = random.Random(7)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(500):
            packet = bytearray(dns_query(NAME))
            for _ in range(noise.randrange(8)):
                packet[noise.randrange(len(packet))] = noise.randrange(256)
            sock.sendto(bytes(packet[: noise.randrange(len(packet) + 1)]), (address, int(port)))
    with socket.create_connection((address, int(port))) as stream:
        stream.sendall(b"\xff\xff" + b"x" * 100)
    setup.wait_for(ZONE, OTHER_ZONE)


def test_truncated_on_udp(node: NodeProcess) -> None:
    setup = Setup()
    setup.addresses = {f"zone-{n}": f"127.60.0.{n}" for n in range(60)}
    setup.addresses[ZONE] = an_address()
    setup.load(node.connect())

    def is_truncated() -> bool:
        try:
            return resolve(setup.server, NAME).truncated
        except ConnectionRefusedError:
            return False

    wait_until(is_truncated, "the answer is truncated")
    assert set(resolve_tcp(setup.server, NAME).addresses) == set(setup.addresses.values())


def test_a_changed_address_is_followed(node: NodeProcess) -> None:
    setup = Setup()
    control = node.connect()
    setup.load(control)
    setup.wait_for(ZONE, OTHER_ZONE)
    before = setup.server
    address = an_address()
    setup.server = f"{address}:{a_free_port(address, socket.SOCK_DGRAM)}"
    control.apply(Delta(base=1, version=2, node=a_node(dns=[setup.server])))
    setup.wait_for(ZONE, OTHER_ZONE)

    def is_closed() -> bool:
        try:
            resolve(before, NAME)
        except ConnectionRefusedError:
            return True
        return False

    wait_until(is_closed, "the old address is given up")
