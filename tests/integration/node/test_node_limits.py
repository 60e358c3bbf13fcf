"""A real node short of file descriptors: it turns clients away, it does not die, and it recovers."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from elba.dataplane.protocol import Report
from tests.integration.node.harness import NodeProcess, Origin, get, wait_until
from tests.integration.node.test_node_traffic import Shop

pytestmark = pytest.mark.integration


def test_descriptors_run_out_and_come_back(
    make_node: Callable[..., NodeProcess], make_origin: Callable[..., Origin]
) -> None:
    node = make_node()
    node.prefix = ["sh", "-c", 'ulimit -n 96 && exec "$0" "$@"']
    shop = Shop(make_origin)
    control = node.start().connect()
    shop.load(control)
    clients = [socket.create_connection((shop.address, shop.port)) for _ in range(300)]
    try:
        wait_until(lambda: control.received(Report)[-1].open_connections > 20, "connections fill the table")
        before = control.received(Report)[-1].sequence
        wait_until(lambda: control.received(Report)[-1].sequence > before + 5, "reports go on")
        assert control.health()["i-one"].state == "healthy", "a shortage of the node's is no fault of the target"
        rejected = sum(
            balancer.counters.get("RejectedConnectionCount", 0)
            for report in control.received(Report)
            for balancer in report.load_balancers
        )
        assert rejected > 100
        clients[0].sendall(f"GET / HTTP/1.1\r\nHost: {shop.address}\r\n\r\n".encode())
        clients[0].settimeout(10)
        assert clients[0].recv(12) == b"HTTP/1.1 200", "who was let in is served, with connections to targets kept free"
    finally:
        for client in clients:
            client.close()
    assert get(shop.address, shop.port) == (200, "one")
    wait_until(lambda: control.received(Report)[-1].open_connections == 0, "all are gone")
    seen = len(shop.one.health_requests())
    wait_until(lambda: len(shop.one.health_requests()) > seen + 2, "checks go on")
