"""A real node short of file descriptors: it waits, it does not die, and it recovers."""

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
    finally:
        for client in clients:
            client.close()
    assert get(shop.address, shop.port) == (200, "one")
    wait_until(lambda: control.received(Report)[-1].open_connections == 0, "all are gone")
    seen = len(shop.one.health_requests())
    wait_until(lambda: len(shop.one.health_requests()) > seen + 2, "checks go on")
