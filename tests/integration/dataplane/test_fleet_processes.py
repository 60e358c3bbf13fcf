"""What the fleet does with processes: start, adopt, restart, end; what it leaves on disk."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from elba.dataplane.interface import Place
from elba.dataplane.nodes import NodeFleet
from elba.dataplane.program import LOG_BYTES_MOST, NodeHome
from elba.testing.nodes_contract import GROUP, PLACE, Reports, configuration, until
from tests.integration.dataplane.kit import RealKit
from tests.integration.dataplane.stack import fetch

pytestmark = pytest.mark.integration


@pytest.fixture
def kit() -> Iterator[RealKit]:
    kit = RealKit()
    yield kit
    kit.close()


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_adopted_node_is_the_same_process(kit: RealKit) -> None:
    async def scenario() -> None:
        await kit.nodes.apply(PLACE, configuration(kit))
        home = NodeHome(kit.directory, PLACE.zone)
        pid = home.process_id()
        assert pid and os.getsid(pid) == pid  # a session of its own: no signal to our terminal reaches it
        await kit.nodes.close()
        assert runs(pid)
        nodes = kit.reopen()
        assert not nodes.up(PLACE)
        await nodes.apply(PLACE, configuration(kit))
        assert home.process_id() == pid

    kit.run(scenario())


def test_a_crashed_node_is_another_process_and_keeps_the_health_it_knew(kit: RealKit) -> None:
    async def scenario() -> None:
        reports = Reports(kit.nodes)
        target = kit.serving_target()
        await kit.nodes.apply(PLACE, configuration(kit, target))
        await until(kit, lambda: reports.health.get(target.key) == "healthy", "healthy")
        home = NodeHome(kit.directory, PLACE.zone)
        pid, full = home.process_id(), reports.full
        states: list[str] = []
        kit.nodes.listen(lambda _place, report: states.extend(h.state for h in report.health))
        kit.crash(PLACE)
        await until(kit, lambda: reports.full > full and kit.nodes.up(PLACE), "back")
        assert home.process_id() not in (0, pid)
        await kit.clock.sleep(5)
        assert set(states) == {"healthy"}  # it never went through initial: no fail-open, no gap

    kit.run(scenario())


def test_shutdown_ends_every_node_also_those_of_an_earlier_control_plane(kit: RealKit) -> None:
    async def scenario() -> None:
        other = Place(PLACE.region, "us-east-1b")
        for place in (PLACE, other):
            await kit.nodes.apply(place, configuration(kit))
        await kit.nodes.close()
        pids = [NodeHome(kit.directory, place.zone).process_id() for place in (PLACE, other)]
        assert all(pids)
        assert await NodeFleet(kit.settings, kit.clock).shutdown() == 2
        assert [NodeHome(kit.directory, place.zone).process_id() for place in (PLACE, other)] == [0, 0]
        assert await NodeFleet(kit.settings, kit.clock).shutdown() == 0

    kit.run(scenario())


def test_a_stopped_node_counts_as_away_and_is_ended_all_the_same(kit: RealKit) -> None:
    async def scenario() -> None:
        await kit.nodes.apply(PLACE, configuration(kit))
        home = NodeHome(kit.directory, PLACE.zone)
        home.signal(signal.SIGTERM)
        await until(kit, lambda: not kit.nodes.up(PLACE), "away")
        await until(kit, lambda: kit.nodes.up(PLACE), "restarted", 400)

    kit.run(scenario())


def test_a_node_that_hangs_is_killed_and_replaced(kit: RealKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elba.dataplane.nodes.SILENCE_SECONDS", 1.5)
    monkeypatch.setattr("elba.dataplane.nodes.HUNG_SECONDS", 0.5)
    monkeypatch.setattr("elba.dataplane.link.HELLO_SECONDS", 0.5)

    async def scenario() -> None:
        reports = Reports(kit.nodes)
        target = kit.serving_target()
        await kit.nodes.apply(PLACE, configuration(kit, target))
        await until(kit, lambda: reports.health.get(target.key) == "healthy", "healthy")
        home = NodeHome(kit.directory, PLACE.zone)
        pid, full = home.process_id(), reports.full
        home.signal(signal.SIGSTOP)
        await until(kit, lambda: not kit.nodes.up(PLACE), "noticed", 200)
        await until(kit, lambda: kit.nodes.up(PLACE) and reports.full > full, "replaced", 400)
        assert home.process_id() not in (0, pid)

    kit.run(scenario())


def test_many_changes_at_once_end_in_the_last(kit: RealKit) -> None:
    async def scenario() -> None:
        reports = Reports(kit.nodes)
        targets = [kit.serving_target() for _ in range(6)]
        whole = configuration(kit, *targets)
        for count in range(1, 7):
            group = type(whole.target_groups[0])(
                arn=GROUP,
                name="tg",
                resource_id=whole.target_groups[0].resource_id,
                health_check=whole.target_groups[0].health_check,
                targets=targets[:count],
            )
            await kit.nodes.apply(PLACE, type(whole)(whole.load_balancers, [group]))
        await until(kit, lambda: list(reports.health.values()) == ["healthy"] * 6, "all healthy")

    kit.run(scenario())


def test_a_log_that_grew_is_cut(kit: RealKit) -> None:
    home = NodeHome(kit.directory, PLACE.zone)
    home.directory.mkdir(parents=True)
    home.log_file.write_bytes(b"x" * (LOG_BYTES_MOST + 1))
    home.bound_log()
    assert home.log_file.stat().st_size == 0
    assert home.log_file.with_suffix(".log.1").stat().st_size == LOG_BYTES_MOST + 1
    home.log_file.write_bytes(b"short")
    home.bound_log()
    assert home.log_file.read_bytes() == b"short"


def test_a_program_that_cannot_start_is_said(kit: RealKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELBA_NODE", "/bin/false")
    monkeypatch.setattr("elba.dataplane.nodes.PATIENCE_SECONDS", 0.5)

    async def scenario() -> None:
        with pytest.raises(Exception, match="does not answer"):
            await kit.nodes.apply(PLACE, configuration(kit))
        monkeypatch.undo()
        await asyncio.sleep(0)
        await until(kit, lambda: kit.nodes.up(PLACE), "a program that works", 400)

    kit.run(scenario())


def test_a_node_of_another_version_is_replaced_without_refusing_anybody(
    kit: RealKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        reports = Reports(kit.nodes)
        target = kit.serving_target()
        wanted = configuration(kit, target)
        address = wanted.load_balancers[0].addresses[0].address
        await kit.nodes.apply(PLACE, wanted)
        await until(kit, lambda: reports.health.get(target.key) == "healthy", "healthy")
        await kit.nodes.close()
        home = NodeHome(kit.directory, PLACE.zone)
        pid = home.process_id()
        statuses: list[int] = []
        stop = asyncio.Event()

        async def requests() -> None:
            while not stop.is_set():
                statuses.append((await fetch(address, 8080))[0])

        traffic = asyncio.create_task(requests())
        monkeypatch.setattr("elba.dataplane.nodes.__version__", "another")
        nodes = kit.reopen()
        await nodes.apply(PLACE, wanted)
        assert home.process_id() not in (0, pid)
        await kit.clock.sleep(5)
        stop.set()
        await traffic
        assert set(statuses) == {200}
        assert len(statuses) > 10

    kit.run(scenario())
