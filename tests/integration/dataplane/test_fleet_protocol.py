"""What the fleet says to a node, seen from the node's end of the socket: a node played by the test."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from elba import __version__
from elba.clock import RealClock
from elba.dataplane.interface import Configuration, NodeAway, NodeRefused
from elba.dataplane.nodes import NodeFleet
from elba.dataplane.program import NodeHome, find_program
from elba.dataplane.protocol import (
    PROTOCOL_VERSION,
    Ack,
    Delta,
    Down,
    HealthReport,
    Hello,
    LoadBalancer,
    Nack,
    Report,
    Snapshot,
    Target,
    TargetGroup,
    Up,
)
from elba.errors import UserError
from elba.testing.nodes_contract import BALANCER, GROUP, PLACE

pytestmark = pytest.mark.integration

DECODER: msgspec.json.Decoder[Down] = msgspec.json.Decoder(Down)


class PlayedNode:
    """Listens where the zone's node would; `heard` is what it was told, `answer` what it says to that."""

    def __init__(self, directory: Path) -> None:
        self.home = NodeHome(directory, PLACE.zone)
        self.heard: list[Down] = []
        self.answer: Callable[[Down], Up | None] = lambda message: Ack(version=getattr(message, "version", 0))
        self.config_version = 7
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self.home.directory.mkdir(parents=True, exist_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self.home.socket))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.say(
            Hello(
                protocol=PROTOCOL_VERSION,
                node_id=PLACE.zone,
                pid=os.getpid(),
                program_version=__version__,
                config_version=self.config_version,
            )
        )
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(4), "big")
                message = DECODER.decode(await reader.readexactly(length))
                self.heard.append(message)
                if (answer := self.answer(message)) is not None:
                    self.say(answer)
        except (OSError, EOFError):
            writer.close()

    def say(self, message: Up) -> None:
        body = msgspec.json.encode(message)
        self._writers[-1].write(len(body).to_bytes(4, "big") + body)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()
        await asyncio.sleep(0.01)


Scenario = Callable[[PlayedNode, NodeFleet], Awaitable[None]]


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="elba-played-") as folder:
        yield Path(folder)


def play(directory: Path, scenario: Scenario) -> None:
    async def whole() -> None:
        node = PlayedNode(directory)
        await node.start()
        fleet = NodeFleet({"data_dir": str(directory), "first_slice": "40"}, RealClock())
        try:
            await scenario(node, fleet)
        finally:
            await fleet.close()
            await node.stop()

    asyncio.run(whole())


def wanted(*targets: int) -> Configuration:
    balancer = LoadBalancer(arn=BALANCER, name="lb", resource_id="app/lb/1", dns_name="lb")
    group = TargetGroup(
        arn=GROUP,
        name="tg",
        resource_id="targetgroup/tg/1",
        targets=[Target(id=f"i-{n}", port=80, address="127.0.0.1") for n in targets],
    )
    return Configuration([balancer], [group])


def test_a_snapshot_first_then_deltas(directory: Path) -> None:
    async def scenario(node: PlayedNode, fleet: NodeFleet) -> None:
        await fleet.apply(PLACE, wanted(1))
        await fleet.apply(PLACE, wanted(1, 2))
        await fleet.apply(PLACE, wanted(1, 2))
        await fleet.apply(PLACE, wanted(2))
        snapshot, first, second = node.heard
        assert isinstance(snapshot, Snapshot) and isinstance(first, Delta) and isinstance(second, Delta)
        assert snapshot.version == 8  # above what the node had
        assert (snapshot.node.id, snapshot.node.region) == (PLACE.zone, PLACE.region)
        assert [t.id for t in snapshot.target_groups[0].targets] == ["i-1"]
        assert (first.base, first.version, first.put_target_groups) == (8, 9, [])
        assert [t.id for t in first.targets[0].put] == ["i-2"]
        assert (second.base, second.version, second.targets[0].removed) == (9, 10, ["i-1:80"])

    play(directory, scenario)


def test_a_node_that_has_another_base_gets_a_snapshot(directory: Path) -> None:
    async def scenario(node: PlayedNode, fleet: NodeFleet) -> None:
        await fleet.apply(PLACE, wanted(1))

        def answer(message: Down) -> Up:
            version = getattr(message, "version", 0)
            return Nack(version=version, reason="base") if isinstance(message, Delta) else Ack(version=version)

        node.answer = answer
        await fleet.apply(PLACE, wanted(1, 2))
        kinds = [type(message).__name__ for message in node.heard]
        assert kinds == ["Snapshot", "Delta", "Snapshot"]
        node.answer = lambda message: Ack(version=getattr(message, "version", 0))
        await fleet.apply(PLACE, wanted(1))
        assert isinstance(node.heard[-1], Delta) and node.heard[-1].base == 9

    play(directory, scenario)


def test_a_refusal_is_said_and_the_next_change_starts_from_what_the_node_has(directory: Path) -> None:
    async def scenario(node: PlayedNode, fleet: NodeFleet) -> None:
        await fleet.apply(PLACE, wanted(1))
        node.answer = lambda message: Nack(version=getattr(message, "version", 0), reason="no room")
        with pytest.raises(NodeRefused, match="no room"):
            await fleet.apply(PLACE, wanted(1, 2))
        node.answer = lambda message: Ack(version=getattr(message, "version", 0))
        await fleet.apply(PLACE, wanted(1, 3))
        last = node.heard[-1]
        assert isinstance(last, Delta)
        assert (last.base, [t.id for t in last.targets[0].put]) == (8, ["i-3"])

    play(directory, scenario)


def test_a_node_that_does_not_acknowledge_counts_as_away(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elba.dataplane.nodes.ANSWER_SECONDS", 0.1)

    async def scenario(node: PlayedNode, fleet: NodeFleet) -> None:
        await fleet.apply(PLACE, wanted(1))
        node.answer = lambda _message: None
        with pytest.raises(NodeAway, match="version 9"):
            await fleet.apply(PLACE, wanted(1, 2))
        node.answer = lambda message: Ack(version=getattr(message, "version", 0))
        await fleet.apply(PLACE, wanted(1, 2))
        last = node.heard[-1]
        assert isinstance(last, Snapshot)  # a new connection starts afresh
        assert len(last.target_groups[0].targets) == 2

    play(directory, scenario)


def test_reports_reach_every_listener_and_their_health_goes_into_snapshots(directory: Path) -> None:
    async def scenario(node: PlayedNode, fleet: NodeFleet) -> None:
        heard: list[tuple[str, int]] = []
        fleet.listen(lambda place, report: heard.append((place.zone, report.sequence)))
        fleet.listen(lambda place, report: heard.append((place.zone, -report.sequence)))
        await fleet.apply(PLACE, wanted(1, 2))
        healthy = HealthReport(target_group=GROUP, target="i-1:80", state="healthy")
        node.say(Report(sequence=5, time=0.0, interval_seconds=1.0, health=[healthy]))
        for _ in range(200):
            if heard:
                break
            await asyncio.sleep(0.005)
        assert heard == [(PLACE.zone, 5), (PLACE.zone, -5)]
        await node.stop()
        await node.start()
        for _ in range(400):
            if len(node.heard) > 1:
                break
            await asyncio.sleep(0.005)
        snapshot = node.heard[-1]
        assert isinstance(snapshot, Snapshot)
        assert {t.id: t.known_health for t in snapshot.target_groups[0].targets} == {"i-1": "healthy", "i-2": ""}

    play(directory, scenario)


def test_where_the_program_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "elba-node"
    program.touch()
    monkeypatch.setenv("ELBA_NODE", str(program))
    assert find_program() == program
    monkeypatch.setenv("ELBA_NODE", str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="ELBA_NODE"):
        find_program()
    monkeypatch.delenv("ELBA_NODE")
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert find_program() == program


def test_a_socket_path_that_is_too_long_moves(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 90)
    socket = NodeHome(deep, PLACE.zone).socket
    assert len(str(socket)) < 108
    assert socket == NodeHome(deep, PLACE.zone).socket
    assert socket != NodeHome(deep, "us-east-1b").socket
    socket.parent.rmdir()
    NodeHome(deep, "us-east-1b").socket.parent.rmdir()
