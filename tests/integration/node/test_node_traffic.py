"""A real node with traffic: configurations take effect, outlive the control plane, drain; counts are not lost."""

from __future__ import annotations

import http.client
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from elba.dataplane.protocol import Delta, Report, Shutdown, Snapshot
from tests.integration.node.harness import (
    DEADLINE_SECONDS,
    OTHER_ZONE,
    Control,
    NodeProcess,
    Origin,
    a_balancer,
    a_free_port,
    a_group,
    a_node,
    an_address,
    get,
    get_or_none,
    in_background,
    put_targets,
    wait_until,
)

pytestmark = pytest.mark.integration


class Shop:
    """A load balancer with one group of two origins, the second not registered."""

    def __init__(self, make_origin: Callable[..., Origin], **node: Any) -> None:
        self.one, self.two = make_origin("one"), make_origin("two")
        self.address = an_address()
        self.port = a_free_port(self.address)
        self.group = a_group("web", self.one.target())
        self.balancer = a_balancer("shop", self.address, self.port, self.group)
        self.snapshot = Snapshot(
            version=1, node=a_node(**node), load_balancers=[self.balancer], target_groups=[self.group]
        )

    def load(self, control: Control) -> None:
        control.apply(self.snapshot)
        control.wait_for_health("i-one", "healthy")

    def get(self, path: str = "/") -> tuple[int, str]:
        return get(self.address, self.port, path)


def test_traffic_flows(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    shop = Shop(make_origin)
    shop.load(node.connect())
    assert shop.get() == (200, "one")


def test_a_registered_target_gets_traffic_and_a_removed_one_none(
    node: NodeProcess, make_origin: Callable[..., Origin]
) -> None:
    shop = Shop(make_origin)
    control = node.connect()
    shop.load(control)
    control.apply(put_targets(1, shop.group, shop.two.target()))
    control.wait_for_health("i-two", "healthy")
    assert {shop.get()[1] for _ in range(8)} == {"one", "two"}
    control.apply(put_targets(2, shop.group, removed=[shop.one.target().key]))
    assert {shop.get()[1] for _ in range(8)} == {"two"}


def test_unhealthy_targets_get_no_traffic(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    shop = Shop(make_origin)
    control = node.connect()
    shop.load(control)
    control.apply(put_targets(1, shop.group, shop.two.target()))
    control.wait_for_health("i-two", "healthy")
    shop.two.status = 500
    control.wait_for_health("i-two", "unhealthy")
    assert {shop.get()[1] for _ in range(8)} == {"one"}


def test_serves_from_disk_after_kill_without_control_plane(
    node: NodeProcess, make_origin: Callable[..., Origin]
) -> None:
    shop = Shop(make_origin)
    control = node.connect()
    shop.load(control)
    control.apply(put_targets(1, shop.group, shop.two.target()))
    control.wait_for_health("i-two", "healthy")
    control.close()
    wait_until(
        lambda: (node.data / "config.json").exists() and b"i-two" in (node.data / "config.json").read_bytes(),
        "the change is on disk",
    )
    node.kill()
    assert get_or_none(shop.address, shop.port) is None
    node.start()
    wait_until(lambda: get_or_none(shop.address, shop.port) == (200, "two"), "both serve again")
    wait_until(lambda: get_or_none(shop.address, shop.port) == (200, "one"), "both serve again")


def test_serves_on_while_the_control_plane_is_away_and_loses_no_counts(
    node: NodeProcess, make_origin: Callable[..., Origin]
) -> None:
    shop = Shop(make_origin)
    first = node.connect()
    shop.load(first)
    assert shop.get()[0] == 200
    wait_until(lambda: first.counter("RequestCount") == 1, "the first is counted")
    first.close()
    wait_until(lambda: node.events("control_disconnected"), "the node sees it")
    for _ in range(10):
        assert shop.get()[0] == 200
    again = node.connect()
    wait_until(lambda: again.counter("RequestCount") == 10, "all ten are told")
    by_target = sum(t.response_time.count for r in again.received(Report) for t in r.targets)
    assert by_target == 10
    assert shop.get()[0] == 200
    wait_until(lambda: again.counter("RequestCount") == 11, "counting goes on")


def test_a_change_of_one_load_balancer_leaves_others_alone(
    node: NodeProcess, make_origin: Callable[..., Origin]
) -> None:
    shop = Shop(make_origin)
    other_address, new_address = an_address(), an_address()
    port = a_free_port(other_address)
    other = a_balancer("other", other_address, port, shop.group)
    control = node.connect()
    shop.load(control)
    connection = http.client.HTTPConnection(shop.address, shop.port, timeout=DEADLINE_SECONDS)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"one"
    kept = connection.sock.getsockname()

    control.apply(Delta(base=1, version=2, put_load_balancers=[other]))
    assert get(other_address, port)[0] == 200
    moved = a_balancer("other", new_address, port, shop.group)
    control.apply(Delta(base=2, version=3, put_load_balancers=[moved]))
    assert get(new_address, port)[0] == 200
    wait_until(lambda: get_or_none(other_address, port) is None, "the old address is given up")
    control.apply(Delta(base=3, version=4, removed_load_balancers=[moved.arn]))
    wait_until(lambda: get_or_none(new_address, port) is None, "the new address is given up")

    connection.request("GET", "/")
    assert connection.getresponse().read() == b"one"
    assert connection.sock.getsockname() == kept, "the same connection all along"
    connection.close()


def test_front_door_by_host(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    door = an_address()
    port = a_free_port(door)
    one, two = make_origin("one"), make_origin("two")
    groups = [a_group("g1", one.target()), a_group("g2", two.target())]
    balancers = [a_balancer(f"lb{n}", an_address(), port, group) for n, group in enumerate(groups, start=1)]
    control = node.connect()
    control.apply(Snapshot(version=1, node=a_node(front_door=door), load_balancers=balancers, target_groups=groups))
    control.wait_for_health("i-one", "healthy")
    control.wait_for_health("i-two", "healthy")
    assert get(door, port, host=balancers[0].dns_name) == (200, "one")
    assert get(door, port, host=f"{balancers[1].dns_name.upper()}:{port}") == (200, "two")
    assert get(balancers[0].addresses[0].address, port)[1] == "one"


def test_two_nodes_share_the_front_door(
    make_node: Callable[..., NodeProcess], make_origin: Callable[..., Origin]
) -> None:
    door = an_address()
    port = a_free_port(door)
    origin = make_origin("one")
    group = a_group("web", origin.target())
    controls = []
    for zone in ("us-east-1a", OTHER_ZONE):
        control = make_node(zone).start().connect()
        balancer = a_balancer("shop", an_address(), port, group)
        control.apply(
            Snapshot(version=1, node=a_node(zone, front_door=door), load_balancers=[balancer], target_groups=[group])
        )
        control.wait_for_health("i-one", "healthy")
        controls.append(control)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not all(control.counter("RequestCount") for control in controls):
        assert get(door, port) == (200, "one")
        assert time.monotonic() < deadline, "both nodes should get a share"


@pytest.mark.parametrize("way", ["signal", "message"])
def test_drain_finishes_what_is_in_flight(node: NodeProcess, make_origin: Callable[..., Origin], way: str) -> None:
    shop = Shop(make_origin)
    control = node.connect()
    shop.load(control)
    with in_background(lambda: shop.get("/slow")) as result:
        wait_until(lambda: shop.one.slow_requests, "the request is in flight")
        if way == "signal":
            node.signal(signal.SIGTERM)
        else:
            control.send(Shutdown(drain_seconds=DEADLINE_SECONDS))

        def is_refused() -> bool:
            try:
                socket.create_connection((shop.address, shop.port), 1).close()
            except ConnectionRefusedError:
                return True
            return False

        wait_until(is_refused, "new connections are refused")
        assert node.process is not None and node.process.poll() is None
        shop.one.gate.set()
        assert result() == (200, "one")
    assert node.wait_for_exit() == 0
    assert control.counter("RequestCount") == 1, "the last report has been sent"


def test_drain_has_an_end(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    shop = Shop(make_origin)
    control = node.connect()
    shop.load(control)
    with in_background(lambda: get_or_none(shop.address, shop.port, "/slow")) as result:
        wait_until(lambda: shop.one.slow_requests, "the request is in flight")
        control.send(Shutdown(drain_seconds=0.2))
        assert node.wait_for_exit() == 0
        shop.one.gate.set()
        result()


def test_a_second_signal_ends_it_at_once(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    shop = Shop(make_origin)
    shop.load(node.connect())
    with in_background(lambda: get_or_none(shop.address, shop.port, "/slow")) as result:
        wait_until(lambda: shop.one.slow_requests, "the request is in flight")
        node.signal(signal.SIGTERM)
        wait_until(lambda: node.events("draining"), "it drains")
        node.signal(signal.SIGTERM)
        assert node.wait_for_exit() == 0
        shop.one.gate.set()
        result()
