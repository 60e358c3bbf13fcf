"""A running node replaced by a new process: no connection is refused or reset, nothing known is lost."""

from __future__ import annotations

import http.client
import subprocess
import threading
from collections.abc import Callable

import pytest

from elba.dataplane.protocol import Hello, Report
from tests.integration.node.harness import (
    Control,
    NodeProcess,
    Origin,
    find_binary,
    get,
    in_background,
    put_targets,
    wait_until,
)
from tests.integration.node.test_node_traffic import Shop

pytestmark = pytest.mark.integration


def replace(node: NodeProcess) -> subprocess.Popen[bytes]:
    """Starts a successor; returns the old process, which is then draining or gone."""
    old = node.process
    assert old is not None
    before = len(node.events("taken_over"))
    node.start("--takeover")
    wait_until(lambda: len(node.events("taken_over")) > before, "the successor has taken over")
    return old


def reconnect(node: NodeProcess) -> Control:
    """Connects to the successor, whose socket replaces the old one."""
    process = node.process
    assert process is not None

    def look() -> Control | None:
        try:
            control = node.connect()
        except OSError:
            return None
        return control if control.wait_for(Hello).pid == process.pid else None

    return wait_until(look, "a connection to the successor")


def test_under_load_no_request_fails(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    shop = Shop(make_origin)
    shop.load(node.connect())
    failures: list[BaseException] = []
    served = 0
    stop = threading.Event()

    def load() -> None:
        nonlocal served
        while not stop.is_set():
            try:
                assert get(shop.address, shop.port) == (200, "one")
                served += 1
            except (OSError, http.client.HTTPException, AssertionError) as error:
                failures.append(error)

    threads = [threading.Thread(target=load, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        before = served
        wait_until(lambda before=before: served > before + 20, "requests flow")  # type: ignore[misc]
        old = replace(node)
        assert old.wait(15) == 0
    before = served
    wait_until(lambda: served > before + 20, "requests flow")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]


def test_configuration_health_and_counts_go_over(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    shop = Shop(make_origin)
    first = node.connect()
    shop.load(first)
    since = first.health()["i-one"].since
    for _ in range(5):
        assert get(shop.address, shop.port)[0] == 200
    old = replace(node)
    wait_until(lambda: first.is_closed, "the old node has let go")
    second = reconnect(node)
    assert second.wait_for(Hello).config_version == 1
    assert [(h.state, h.since) for h in second.wait_for(Report).health] == [("healthy", since)]
    assert old.wait(15) == 0
    assert get(shop.address, shop.port)[0] == 200
    wait_until(
        lambda: first.counter("RequestCount") + second.counter("RequestCount") == 6,
        "each request is counted once",
    )
    second.apply(put_targets(1, shop.group, shop.two.target()))


def test_a_request_in_flight_ends_on_the_old_node(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    shop = Shop(make_origin)
    shop.load(node.connect())
    with in_background(lambda: shop.get("/slow")) as result:
        wait_until(lambda: shop.one.slow_requests, "the request is in flight")
        old = replace(node)
        assert get(shop.address, shop.port) == (200, "one")
        assert old.poll() is None
        shop.one.gate.set()
        assert result() == (200, "one")
    assert old.wait(15) == 0
    second = reconnect(node)
    wait_until(lambda: second.counter("RequestCount") == 2, "what the old node counted last is told")


def test_takeover_of_nobody_is_an_ordinary_start(make_node: Callable[..., NodeProcess]) -> None:
    node = make_node()
    node.start("--takeover")
    node.wait_until_listening()
    node.connect()


def test_a_successor_that_cannot_start_leaves_the_old_one_in_charge(
    node: NodeProcess, make_origin: Callable[..., Origin]
) -> None:
    shop = Shop(make_origin)
    control = node.connect()
    shop.load(control)
    # The configuration on disk is for another node: this successor gets the sockets but refuses to serve.
    command = [find_binary(), "--id", "us-east-1x", "--control", f"{node.control_path}2"]
    failed = subprocess.run(
        [*command, "--data-dir", str(node.data), "--takeover"], capture_output=True, timeout=20, check=False
    )
    assert failed.returncode == 1
    wait_until(lambda: node.events("handover_failed"), "the old node goes on")
    control.apply(put_targets(1, shop.group, shop.two.target()))
    assert get(shop.address, shop.port)[0] == 200
    wait_until(lambda: b"i-two" in (node.data / "config.json").read_bytes(), "and stores what it is told")
