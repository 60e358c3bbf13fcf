"""The control link of a real node: configurations taken and refused, bad frames, replacement, signals."""

from __future__ import annotations

import os
import signal
import socket
import stat
import struct
import subprocess
from collections.abc import Callable

import msgspec
import pytest

from elba.dataplane import protocol
from elba.dataplane.protocol import Current, Delta, GetSnapshot, Hello, LoadBalancer, Report, Shutdown, Snapshot
from tests.integration.node.harness import (
    NodeProcess,
    Origin,
    a_balancer,
    a_free_port,
    a_group,
    a_node,
    an_address,
    find_binary,
    put_targets,
    wait_until,
)

pytestmark = pytest.mark.integration


def test_hello_then_report(node: NodeProcess) -> None:
    control = node.connect()
    hello = control.wait_for(Hello)
    assert isinstance(control.messages[0], Hello)
    assert (hello.protocol, hello.node_id, hello.config_version) == (protocol.PROTOCOL_VERSION, "us-east-1a", 0)
    assert node.process is not None and hello.pid == node.process.pid
    assert control.wait_for(Report).full_health


def test_socket_is_private(node: NodeProcess) -> None:
    assert stat.S_IMODE(node.control_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(node.data.stat().st_mode) == 0o700


def test_snapshot_plus_delta_is_what_is_loaded(node: NodeProcess) -> None:
    group = a_group("web")
    balancer = a_balancer("shop", an_address(), 8080, group)
    target = protocol.Target(id="i-1", port=80, address="127.0.0.1")
    control = node.connect()
    control.apply(Snapshot(version=7, node=a_node(), load_balancers=[balancer], target_groups=[group]))
    control.apply(put_targets(7, group, target))
    control.send(GetSnapshot())
    current = control.wait_for(Current).snapshot
    assert current == Snapshot(
        version=8,
        node=a_node(),
        load_balancers=[balancer],
        target_groups=[msgspec.structs.replace(group, targets=[target])],
    )


def test_refusals_leave_the_old_configuration(node: NodeProcess) -> None:
    control = node.connect()
    assert control.refused(Delta(base=5, version=6)) == "base"
    wrong = control.refused(Snapshot(version=1, node=a_node("us-east-1c")))
    assert wrong == 'this is node us-east-1a, the configuration is for node "us-east-1c"'
    group = a_group("web")
    control.apply(Snapshot(version=1, node=a_node(), target_groups=[group]))
    assert control.refused(Snapshot(version=2, node=a_node(), target_groups=[group, group])) == (
        f"target group {group.arn} stands twice"
    )
    bad = protocol.Target(id="i-1", port=80, address="not an address")
    assert "which is no IP address" in control.refused(put_targets(1, group, bad))
    assert control.refused(put_targets(4, group)) == "base"
    control.send(GetSnapshot())
    assert control.wait_for(Current).snapshot == Snapshot(version=1, node=a_node(), target_groups=[group])


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (struct.pack(">I", 0), "is no message"),
        (struct.pack(">I", 5) + b"hello", "is no message"),
        (struct.pack(">I", 2) + b"{}", "is no message"),
        (struct.pack(">I", 18) + b'{"type":"nonsense"}'[:18], "is no message"),
        (struct.pack(">I", 31) + b'{"type":"delta","base":"three"}', "is no message"),
        (struct.pack(">I", 64 * 1024 * 1024 + 1), "is longer than"),
        (b"GET / HTTP/1.1\r\n\r\n", "is longer than"),
    ],
)
def test_bad_frames_close_the_connection_and_no_more(node: NodeProcess, payload: bytes, reason: str) -> None:
    control = node.connect()
    control.socket.sendall(payload)
    wait_until(lambda: control.is_closed, "the connection is closed")
    assert reason in node.events("control_disconnected")[-1]["reason"]
    node.connect().apply(Snapshot(version=1, node=a_node()))


def test_a_connection_cut_within_a_frame(node: NodeProcess) -> None:
    control = node.connect()
    control.socket.sendall(struct.pack(">I", 1000) + b'{"type":')
    control.close()
    node.connect().apply(Snapshot(version=1, node=a_node()))


def test_a_newer_connection_replaces_the_older(node: NodeProcess) -> None:
    older = node.connect()
    newer = node.connect()
    wait_until(lambda: older.is_closed, "the older is closed")
    newer.apply(Snapshot(version=1, node=a_node()))


def test_a_burst_of_deltas_is_taken_in_order_and_stored(node: NodeProcess) -> None:
    group = a_group("web")
    control = node.connect()
    control.apply(Snapshot(version=1, node=a_node(), target_groups=[group]))
    for base in range(1, 301):
        target = protocol.Target(id=f"i-{base}", port=80, address="127.0.0.1")
        control.send(put_targets(base, group, target))
    control.wait_for(protocol.Ack, lambda ack: ack.version == 301)
    assert not control.received(protocol.Nack)

    def is_stored() -> bool:
        if not (node.data / "config.json").exists():
            return False
        content = msgspec.json.decode((node.data / "config.json").read_bytes())["content"]
        return bool(content["version"] == 301)

    wait_until(is_stored, "the last version is on disk")


def test_restart_from_disk_after_kill(node: NodeProcess) -> None:
    group = a_group("web")
    control = node.connect()
    control.apply(Snapshot(version=3, node=a_node(), target_groups=[group]))
    wait_until(lambda: (node.data / "config.json").exists(), "the configuration is on disk")
    node.kill()
    node.start()
    assert node.connect().wait_for(Hello).config_version == 3


def test_a_corrupt_configuration_is_no_reason_to_die(make_node: Callable[..., NodeProcess]) -> None:
    node = make_node()
    node.data.mkdir()
    (node.data / "config.json").write_bytes(b'{"format":1,"content":{"version":')
    control = node.start().connect()
    assert control.wait_for(Hello).config_version == 0
    report = control.wait_for(Report, lambda report: bool(report.problems))
    assert "config.json is corrupt" in report.problems[0]
    control.apply(Snapshot(version=1, node=a_node()))


def test_only_one_node_per_data_directory(node: NodeProcess) -> None:
    command = [find_binary(), "--id", "x", "--control", f"{node.control_path}2", "--data-dir", str(node.data)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert second.returncode == 1
    assert f"another node runs on {node.data}" in second.stderr


def test_help_and_version() -> None:
    version = subprocess.run([find_binary(), "--version"], capture_output=True, text=True, timeout=10, check=True)
    assert version.stdout.startswith("elba-node ")
    assert "--data-dir" in subprocess.run([find_binary(), "--help"], capture_output=True, text=True, check=True).stdout
    assert subprocess.run([find_binary()], capture_output=True, check=False).returncode == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(node: NodeProcess, number: int) -> None:
    node.connect().apply(Snapshot(version=1, node=a_node()))
    node.signal(number)
    assert node.wait_for_exit() == 0
    assert not node.control_path.exists()


def test_hang_up_does_not_end_it(node: NodeProcess) -> None:
    node.signal(signal.SIGHUP)
    wait_until(lambda: node.events("hang_up_ignored"), "the signal is seen")
    node.connect().apply(Snapshot(version=1, node=a_node()))


def test_shutdown_message(node: NodeProcess) -> None:
    control = node.connect()
    control.send(Shutdown(drain_seconds=0))
    assert node.wait_for_exit() == 0


def test_a_bind_that_fails_is_a_problem_and_is_retried(node: NodeProcess, make_origin: Callable[..., Origin]) -> None:
    origin = make_origin("one")
    group = a_group("web", origin.target())
    address = an_address()
    with socket.socket() as squatter:
        squatter.bind((address, 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        balancer: LoadBalancer = a_balancer("shop", address, port, group)
        control = node.connect()
        control.apply(Snapshot(version=1, node=a_node(), load_balancers=[balancer], target_groups=[group]))
        expected = f"cannot bind {address}:{port}: {os.strerror(98)} (os error 98)"
        control.wait_for(Report, lambda report: expected in report.problems)
    wait_until(lambda: not control.received(Report)[-1].problems, "the problem is solved")


def test_several_nodes_share_the_front_door_and_dns(make_node: Callable[..., NodeProcess]) -> None:
    address = an_address()
    dns = f"{address}:{a_free_port(address)}"
    for zone in ("us-east-1a", "us-east-1b"):
        control = make_node(zone).start().connect()
        balancer = a_balancer("shop", an_address(), 8080, a_group("web"))
        settings = a_node(zone, front_door=address, dns=[dns])
        control.apply(Snapshot(version=1, node=settings, load_balancers=[balancer], target_groups=[a_group("web")]))
        sequence = control.received(Report)[-1].sequence
        assert control.wait_for(Report, lambda r, s=sequence: r.sequence > s + 1).problems == []  # type: ignore[misc]


def test_an_address_wanted_twice_is_a_problem(node: NodeProcess) -> None:
    address = an_address()
    port = a_free_port(address)
    balancers = [a_balancer(name, address, port) for name in ("one", "two")]
    control = node.connect()
    control.apply(Snapshot(version=1, node=a_node(), load_balancers=balancers))
    report = control.wait_for(Report, lambda report: bool(report.problems))
    assert report.problems == [
        f"{address}:{port} is wanted twice, for {balancers[0].arn} and for {balancers[1].arn}: the first has it"
    ]


def test_killed_in_a_burst_of_deltas_it_comes_back_whole(node: NodeProcess) -> None:
    group = a_group("web")
    node.connect().apply(Snapshot(version=1, node=a_node(), target_groups=[group]))
    wait_until(lambda: (node.data / "config.json").exists(), "the configuration is on disk")
    version = 1
    for round_number in range(4):
        control = node.connect()
        for base in range(version, version + 400):
            target = protocol.Target(id=f"i-{round_number}-{base}", port=80, address="127.0.0.1")
            control.send(put_targets(base, group, target))
        # At a moment of the disk's own: within, before or after a write.
        acked = version + 100 * round_number
        control.wait_for(protocol.Ack, lambda ack, acked=acked: ack.version > acked)  # type: ignore[misc]
        node.kill()
        node.start()
        again = node.connect()
        found = again.wait_for(Hello).config_version
        assert version <= found <= version + 400
        assert again.wait_for(Report).problems == []
        again.send(GetSnapshot())
        current = again.wait_for(Current).snapshot
        # Whole: one target for each delta up to the version that it says.
        assert len(current.target_groups[0].targets) == found - 1
        version = found
