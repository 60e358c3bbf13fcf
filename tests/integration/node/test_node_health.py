"""Health checks of a real node: what it asks, when states change, what it says of them, what it remembers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from elba.dataplane.protocol import Report, Snapshot, Target, TargetGroup
from tests.integration.node.harness import (
    OTHER_ZONE,
    Control,
    NodeProcess,
    Origin,
    a_balancer,
    a_check,
    a_group,
    a_node,
    an_address,
    put_targets,
    wait_until,
)

pytestmark = pytest.mark.integration


def load(control: Control, *groups: TargetGroup, version: int = 1) -> None:
    """A configuration with one load balancer that uses all of the groups."""
    balancer = a_balancer("shop", an_address(), 8080, *groups)
    control.apply(Snapshot(version=version, node=a_node(), load_balancers=[balancer], target_groups=list(groups)))


@contextmanager
def a_listener(answer: bytes | None) -> Iterator[int]:
    """A TCP server that sends `answer` to whoever connects, then closes; None = says nothing, keeps all open."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.append(connection)
                if answer is not None:
                    connection.recv(4096)
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in kept:
        connection.close()


def at(port: int, id: str = "i-raw", **more: str) -> Target:
    return Target(id=id, port=port, address="127.0.0.1", **more)


def test_one_success_makes_a_new_target_healthy(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    origin = make_origin("one")
    control = node.connect()
    load(control, a_group("web", origin.target(host_header="172.31.0.9:1")))
    healthy = control.wait_for_health("i-one", "healthy")
    assert (healthy.reason, healthy.description) == ("", "")
    path, headers = origin.health_requests()[0]
    assert path == "/health"
    assert headers == {
        "host": f"172.31.0.9:{origin.port}",
        "connection": "close",
        "user-agent": "ELB-HealthChecker/2.0",
        "accept-encoding": "gzip, compressed",
    }


def test_thresholds_and_texts(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    origin = make_origin("one")
    control = node.connect()
    load(control, a_group("web", origin.target(), health_check=a_check(healthy_threshold=3, unhealthy_threshold=4)))
    control.wait_for_health("i-one", "healthy")

    origin.status = 503
    unhealthy = control.wait_for_health("i-one", "unhealthy")
    assert unhealthy.reason == "Target.ResponseCodeMismatch"
    assert unhealthy.description == "Health checks failed with these codes: [503]"

    before = len(origin.health_requests())
    origin.status = 200
    healthy = control.wait_for_health("i-one", "healthy")
    assert len(origin.health_requests()) - before >= 3
    assert healthy.since > unhealthy.since

    origin.stop()
    failed = control.wait_for_health("i-one", "unhealthy", "Target.FailedHealthChecks")
    assert failed.description == "Health checks failed"


def test_fewer_failures_than_the_threshold_change_nothing(
    node: NodeProcess, make_origin: Callable[..., Origin]
) -> None:
    origin = make_origin("one")
    control = node.connect()
    load(control, a_group("web", origin.target(), health_check=a_check(unhealthy_threshold=10)))
    control.wait_for_health("i-one", "healthy")
    origin.status = 500
    seen = len(origin.health_requests())
    wait_until(lambda: len(origin.health_requests()) >= seen + 4, "four failed checks")
    origin.status = 200
    seen = len(origin.health_requests())
    wait_until(lambda: len(origin.health_requests()) >= seen + 4, "four good checks")
    assert control.health()["i-one"].state == "healthy"


def test_timeout(node: NodeProcess) -> None:
    with a_listener(None) as port:
        control = node.connect()
        load(control, a_group("web", at(port), health_check=a_check(timeout_seconds=0.1)))
        told = control.wait_for_health("i-raw", "unhealthy")
        assert (told.reason, told.description) == ("Target.Timeout", "Request timed out")


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 2"])
def test_malformed_answers(node: NodeProcess, answer: bytes) -> None:
    with a_listener(answer) as port:
        control = node.connect()
        load(control, a_group("web", at(port)))
        assert control.wait_for_health("i-raw", "unhealthy").reason == "Target.FailedHealthChecks"


def test_tcp_check(node: NodeProcess) -> None:
    with a_listener(None) as port:
        control = node.connect()
        load(control, a_group("web", at(port), health_check=a_check(protocol="TCP")))
        control.wait_for_health("i-raw", "healthy")
    assert control.wait_for_health("i-raw", "unhealthy").reason == "Target.FailedHealthChecks"


def test_matcher_and_health_check_port(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    origin = make_origin("admin", status=302)
    control = node.connect()
    check = a_check(port=origin.port, matcher="200,300-399")
    load(control, a_group("web", at(1, "i-elsewhere"), health_check=check))
    control.wait_for_health("i-elsewhere", "healthy")


def test_disabled_checks(node: NodeProcess) -> None:
    control = node.connect()
    load(control, a_group("web", at(1), health_check=a_check(enabled=False)))
    told = control.wait_for_health("i-raw", "unavailable")
    assert (told.reason, told.description) == ("Target.HealthCheckDisabled", "Health checks are disabled")


def test_groups_and_zones_not_in_use_are_not_checked(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    used, unused, elsewhere = make_origin("used"), make_origin("unused"), make_origin("elsewhere")
    group = a_group("web", used.target(), elsewhere.target(zone=OTHER_ZONE))
    other = a_group("other", unused.target())
    balancer = a_balancer("shop", an_address(), 8080, group)
    control = node.connect()
    control.apply(Snapshot(version=1, node=a_node(), load_balancers=[balancer], target_groups=[group, other]))
    wait_until(lambda: len(used.health_requests()) >= 5, "checks go on")
    assert not unused.requests and not elsewhere.requests
    assert set(control.health()) == {"i-used"}


def test_draining_targets_are_not_checked_and_start_anew(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    origin, other = make_origin("one"), make_origin("other")
    group = a_group("web", origin.target(), other.target())
    control = node.connect()
    load(control, group)
    control.wait_for_health("i-one", "healthy")
    control.apply(put_targets(1, group, origin.target(state="draining")))
    seen = len(other.health_requests())
    wait_until(lambda: len(other.health_requests()) >= seen + 3, "the other is still checked")
    seen = len(origin.health_requests())
    more = len(other.health_requests())
    wait_until(lambda: len(other.health_requests()) >= more + 3, "the other is still checked")
    assert len(origin.health_requests()) == seen
    first = control.health()["i-one"].since
    control.apply(put_targets(2, group, origin.target()))
    wait_until(lambda: control.health()["i-one"].since > first, "it is healthy anew")


def test_changed_settings_take_effect(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    origin = make_origin("one", status=404)
    group = a_group("web", origin.target())
    control = node.connect()
    load(control, group)
    control.wait_for_health("i-one", "unhealthy")
    relaxed = msgspec.structs.replace(group, health_check=a_check(matcher="200-404", healthy_threshold=2))
    load(control, relaxed, version=2)
    control.wait_for_health("i-one", "healthy")


def test_known_health_is_used_by_a_node_without_its_own(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    up, down = make_origin("up"), make_origin("down", status=500)
    slow = a_check(interval_seconds=300 * 100, healthy_threshold=2)  # the second check is far away
    control = node.connect()
    load(
        control,
        a_group(
            "web",
            up.target(known_health="unhealthy"),
            down.target(known_health="healthy"),
            health_check=slow,
        ),
    )
    wait_until(lambda: up.health_requests() and down.health_requests(), "both are checked")
    assert control.wait_for_health("i-up", "unhealthy")
    assert control.wait_for_health("i-down", "healthy")


def test_a_restarted_node_remembers(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    origin = make_origin("one")
    control = node.connect()
    load(control, a_group("web", origin.target()))
    since = control.wait_for_health("i-one", "healthy").since
    wait_until(
        lambda: (node.data / "health.json").exists() and b"healthy" in (node.data / "health.json").read_bytes(),
        "health is on disk",
    )
    node.kill()
    node.start()
    again = node.connect()
    first = again.wait_for(Report)
    assert first.full_health
    assert [(health.state, health.since) for health in first.health] == [("healthy", since)]


def test_thousands_of_targets(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    origin = make_origin("many")
    targets = [Target(id=f"i-{n}", port=origin.port, address=f"127.0.{n // 250}.{1 + n % 250}") for n in range(2000)]
    origin_everywhere = a_check(port=origin.port, interval_seconds=30 * 100, timeout_seconds=30)
    control = node.connect()
    with socket.create_server(("0.0.0.0", 0), backlog=1024) as anywhere:
        port = anywhere.getsockname()[1]
        check = msgspec.structs.replace(origin_everywhere, port=port, protocol="TCP")
        load(control, a_group("web", *targets, health_check=check))

        def accept() -> None:
            while True:
                try:
                    anywhere.accept()[0].close()
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        wait_until(
            lambda: sum(health.state == "healthy" for health in control.health().values()) == len(targets),
            "all are healthy",
        )
        anywhere.shutdown(socket.SHUT_RDWR)
        thread.join()
