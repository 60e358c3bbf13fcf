"""The metric store: buckets, units, resolutions, roll-up, and its journal."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from elba.cloudwatch.journal import Journal, Name, Record, State
from elba.cloudwatch.series import SeriesEngine
from elba.datapoints import Datapoint

NOW = 1_767_225_600.0
DAY = 86400


class Clock:
    """A clock that stands where it is put."""

    scale = 1.0

    def __init__(self, now: float = NOW) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the metric store sleeps in the world's time only")


def point(value: float, at: float = NOW, **more: object) -> Datapoint:
    values: dict[str, object] = {"values": (value,), "metric_name": "m", "namespace": "N"} | more
    return Datapoint(account="1", region="r", timestamp=at, **values)  # type: ignore[arg-type] # a builder


def found(
    engine: SeriesEngine, start: float, end: float, period: int, unit: str = "None"
) -> list[tuple[int, float, float]]:
    metric = engine.find("1", "r", "N", "m", ())
    assert metric is not None
    return [(b.start, b.count, b.total) for b in metric.series[unit].buckets(start, end, period)]


def test_minutes_add_up_and_periods_are_aligned_to_the_epoch() -> None:
    engine = SeriesEngine(Clock())
    engine.put([point(1, NOW + 5), point(2, NOW + 59), point(4, NOW + 60), point(8, NOW + 299), point(16, NOW + 300)])
    assert found(engine, NOW, NOW + 600, 60) == [(NOW, 2, 3), (NOW + 60, 1, 4), (NOW + 240, 1, 8), (NOW + 300, 1, 16)]
    assert found(engine, NOW, NOW + 600, 300) == [(NOW, 4, 15), (NOW + 300, 1, 16)]
    assert found(engine, NOW + 60, NOW + 300, 60) == [(NOW + 60, 1, 4), (NOW + 240, 1, 8)]


def test_periods_can_be_counted_from_elsewhere() -> None:
    engine = SeriesEngine(Clock())
    engine.put([point(1, NOW + 60), point(2, NOW + 120), point(4, NOW + 360)])
    metric = engine.find("1", "r", "N", "m", ())
    assert metric is not None
    buckets = metric.series["None"].buckets(NOW + 60, NOW + 660, 300, NOW + 60)
    assert [(b.start, b.total) for b in buckets] == [(NOW + 60, 3), (NOW + 360, 4)]


def test_late_and_unordered_points_find_their_place() -> None:
    engine = SeriesEngine(Clock())
    for minute in (5, 1, 3, 1, 0, 5):
        engine.put([point(float(minute), NOW - 600 + 60 * minute)])
    start = NOW - 600
    assert found(engine, start, NOW, 60) == [
        (start, 1, 0),
        (start + 60, 2, 2),
        (start + 180, 1, 3),
        (start + 300, 2, 10),
    ]


def test_units_are_kept_apart() -> None:
    engine = SeriesEngine(Clock())
    engine.put([point(1, unit="Seconds"), point(2, unit="Milliseconds"), point(3, unit="Seconds")])
    assert found(engine, NOW, NOW + 60, 60, "Seconds") == [(NOW, 2, 4)]
    assert found(engine, NOW, NOW + 60, 60, "Milliseconds") == [(NOW, 1, 2)]


def test_short_periods_see_seconds_and_a_minute_where_it_begins() -> None:
    engine = SeriesEngine(Clock())
    engine.put([point(1, NOW + 3, resolution=1), point(2, NOW + 4, resolution=1), point(4, NOW + 7)])
    assert found(engine, NOW, NOW + 60, 1) == [(NOW, 1, 4), (NOW + 3, 1, 1), (NOW + 4, 1, 2)]
    assert found(engine, NOW, NOW + 60, 5) == [(NOW, 3, 7)]
    assert found(engine, NOW, NOW + 60, 60) == [(NOW, 3, 7)]


def test_dimensions_identify_a_metric_whatever_their_order_and_nothing_is_rolled_up_over_them() -> None:
    engine = SeriesEngine(Clock())
    engine.put([point(1, dimensions=(("a", "1"), ("b", "2")))])
    assert engine.find("1", "r", "N", "m", (("a", "1"), ("b", "2"))) is not None
    assert engine.find("1", "r", "N", "m", (("a", "1"),)) is None
    assert engine.find("2", "r", "N", "m", (("a", "1"), ("b", "2"))) is None


def test_statistic_sets_and_values_with_counts() -> None:
    engine = SeriesEngine(Clock())
    engine.put(
        [
            point(0, values=(), sample_count=4.0, sum=20.0, minimum=2.0, maximum=8.0),
            point(0, values=(1.0, 3.0), counts=(2.0, 5.0)),
        ]
    )
    metric = engine.find("1", "r", "N", "m", ())
    assert metric is not None
    (bucket,) = metric.series["None"].buckets(NOW, NOW + 60, 60)
    assert (bucket.count, bucket.total, bucket.minimum, bucket.maximum) == (11, 37, 1, 8)
    assert bucket.items() is None


def test_a_statistic_set_of_equal_values_has_percentiles() -> None:
    engine = SeriesEngine(Clock())
    engine.put([point(0, values=(), sample_count=4.0, sum=20.0, minimum=5.0, maximum=5.0), point(7)])
    metric = engine.find("1", "r", "N", "m", ())
    assert metric is not None
    assert metric.series["None"].buckets(NOW, NOW + 60, 60)[0].items() == [(5.0, 4.0), (7.0, 1.0)]


@pytest.mark.parametrize("block", [240, 7])
def test_roll_up_keeps_sums_and_percentiles_and_refuses_finer_periods(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elba.cloudwatch.metric.ROLL_UP_SLACK_SECONDS", 0)
    monkeypatch.setattr("elba.cloudwatch.buckets.BLOCK", block)
    clock = Clock()
    engine = SeriesEngine(clock)
    start = NOW - NOW % 3600
    engine.put([point(float(i), start + 60 * i) for i in range(60)])
    metric = engine.find("1", "r", "N", "m", ())
    assert metric is not None
    for age, period, buckets in ((16 * DAY, 300, 12), (64 * DAY, 3600, 1)):
        clock.time = NOW + age
        assert metric.roll_up(clock.time)
        rolled = metric.series["None"].buckets(start, start + 3600, period)
        assert len(rolled) == buckets
        assert sum(b.total for b in rolled) == sum(range(60))
        assert [v for b in rolled for v, _ in b.items() or []] == list(range(60))
        assert metric.series["None"].buckets(start, start + 3600, 60) == []
    assert not metric.roll_up(NOW + 456 * DAY)


def test_seconds_become_minutes_after_three_hours() -> None:
    clock = Clock()
    engine = SeriesEngine(clock)
    engine.put([point(float(i), NOW + i, resolution=1) for i in range(60)])
    metric = engine.find("1", "r", "N", "m", ())
    assert metric is not None
    clock.time += 4 * 3600
    metric.roll_up(clock.time)
    assert [b.start for b in metric.series["None"].buckets(NOW, NOW + 60, 10)] == [NOW]
    assert [(b.count, b.total) for b in metric.series["None"].buckets(NOW, NOW + 60, 60)] == [(60, 1770)]


def test_late_data_open_a_block_and_time_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elba.cloudwatch.buckets.BLOCK", 10)
    clock = Clock()
    engine = SeriesEngine(clock)
    engine.put([point(1.0, NOW - 60 * minute) for minute in range(100, 0, -1)])
    metric = engine.find("1", "r", "N", "m", ())
    assert metric is not None
    tier = metric.series["None"].tiers[1]
    assert tier is not None
    assert len(tier.blocks) == 9
    for minute in (95, 96, 150, 40):
        engine.put([point(5.0, NOW - 60 * minute)])
    assert sum(block.columns is not None for block in tier.blocks) == 2
    for later in (0, 61):
        clock.time = NOW + later
        metric.roll_up(clock.time)
    assert all(block.columns is None for block in tier.blocks)
    buckets = metric.series["None"].buckets(0, NOW, 60)
    assert len(buckets) == 101
    assert sum(b.total for b in buckets) == 120
    assert tier.blocks[0].first == NOW - 60 * 150


def test_a_million_minutes_are_small() -> None:
    """Compressed blocks: a metric that hardly changes, and one that does."""
    engine = SeriesEngine(Clock())
    for minute in range(5000):
        at = NOW - 60 * (5000 - minute)
        engine.put([point(0.0, at), point(float(minute * 7919 % 1000) / 10, at, metric_name="busy")])
    for name, most in (("m", 1.0), ("busy", 6.0)):
        metric = engine.find("1", "r", "N", name, ())
        assert metric is not None
        tier = metric.series["None"].tiers[1]
        assert tier is not None
        assert sum(len(b.data) for b in tier.blocks) / sum(b.size for b in tier.blocks) < most
        assert len(metric.series["None"].buckets(0, NOW, 60)) == 5000


def test_metrics_without_data_are_forgotten_in_passing() -> None:
    clock = Clock()
    engine = SeriesEngine(clock)
    engine.put([point(1)])
    clock.time += 456 * DAY
    engine.put([point(float(i), clock.time, metric_name="other") for i in range(64)])
    assert engine.find("1", "r", "N", "m", ()) is None


def contents(engine: SeriesEngine) -> object:
    return sorted(
        (metric.identity, unit, b.start, b.count, b.total, b.minimum, b.maximum, tuple(b.items() or ()))
        for metric in engine.all_metrics()
        for unit, series in metric.series.items()
        for b in series.buckets(0, NOW + 10 * DAY, 1 if series.tiers[0] else 60)
    )


def journals(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir())


def some_points(seed: int) -> list[Datapoint]:
    return [
        point(
            0,
            NOW - 60 * (i % 7),
            values=tuple(float((seed + i + k) % 13) for k in range(1 + i % 3)),
            metric_name=f"m{i % 5}",
            unit=("None", "Count")[i % 2],
        )
        for i in range(200)
    ]


def test_what_was_closed_is_there_when_opened_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = SeriesEngine(Clock(), tmp_path)
        await first.open()
        first.put(some_points(1))
        first.put([point(0, values=(), sample_count=2.0, sum=3.0, minimum=1.0, maximum=2.0, metric_name="set")])
        await first.flush()
        first.put(some_points(2))
        await first.close()
        second = SeriesEngine(Clock(), tmp_path)
        await second.open()
        assert contents(second) == contents(first)
        second.put(some_points(3))
        await second.close()
        third = SeriesEngine(Clock(), tmp_path)
        await third.open()
        assert contents(third) == contents(second)
        await third.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("damage", ["torn", "garbage", "flipped"])
def test_a_damaged_end_costs_the_last_frame_only(tmp_path: Path, damage: str) -> None:
    async def scenario() -> None:
        engine = SeriesEngine(Clock(), tmp_path)
        await engine.open()
        engine.put([point(1)])
        await engine.flush()
        engine.put([point(2)])
        await engine.close()
        file = tmp_path / "00000001.journal"
        data = file.read_bytes()
        if damage == "torn":
            file.write_bytes(data[:-3])
        elif damage == "garbage":
            file.write_bytes(data + b"\xff" * 11)
        else:
            file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        again = SeriesEngine(Clock(), tmp_path)
        await again.open()
        assert found(again, NOW, NOW + 60, 60) == [(NOW, 2, 3) if damage == "garbage" else (NOW, 1, 1)]
        again.put([point(4)])
        await again.close()
        last = SeriesEngine(Clock(), tmp_path)
        await last.open()
        assert found(last, NOW, NOW + 60, 60)[0][2] == (7 if damage == "garbage" else 5)
        await last.close()

    asyncio.run(scenario())


def test_rewriting_the_journal_keeps_everything_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each flush of a rewrite under way, what is on disk is what is in memory."""
    monkeypatch.setattr("elba.cloudwatch.journal.REWRITE_LEAST_BYTES", 2000)
    monkeypatch.setattr("elba.cloudwatch.series.REWRITE_STEP_BYTES", 300)
    monkeypatch.setattr("elba.cloudwatch.buckets.BLOCK", 2)

    async def scenario() -> None:
        engine = SeriesEngine(Clock(), tmp_path / "a")
        await engine.open()
        generations = set()
        for step in range(40):
            engine.put(some_points(step))
            await engine.flush()
            files = journals(tmp_path / "a")
            generations.update(files)
            copy = tmp_path / f"copy{step}"
            shutil.copytree(tmp_path / "a", copy)
            reader = SeriesEngine(Clock(), copy)
            await reader.open()
            assert contents(reader) == contents(engine)
            await reader.close()
        assert len(generations) > 2, "it was rewritten"
        assert len(files) <= 2, "old files go"
        await engine.close()

    asyncio.run(scenario())


def test_flushes_at_the_same_time_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow write that defines a metric is not overtaken by one that uses it."""
    append = Journal.append

    def slow(journal: Journal, names: Sequence[Name], records: Sequence[Record], states: Sequence[State]) -> None:
        if names:
            threading.Event().wait(0.05)
        append(journal, names, records, states)

    monkeypatch.setattr(Journal, "append", slow)

    async def scenario() -> None:
        engine = SeriesEngine(Clock(), tmp_path)
        await engine.open()
        flushes = []
        for step in range(5):
            engine.put(some_points(step))
            flushes.append(asyncio.create_task(engine.flush()))
            await asyncio.sleep(0.001)
        await asyncio.gather(*flushes)
        await engine.close()
        again = SeriesEngine(Clock(), tmp_path)
        await again.open()
        assert contents(again) == contents(engine)
        await again.close()

    asyncio.run(scenario())


def test_a_full_disk_loses_nothing_that_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        engine = SeriesEngine(Clock(), tmp_path)
        await engine.open()
        engine.put([point(1)])

        def refuse(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as broken:
            broken.setattr("elba.cloudwatch.journal.os.fdatasync", refuse)
            with pytest.raises(OSError, match="No space"):
                await engine.flush()
        engine.put([point(2)])
        await engine.close()
        again = SeriesEngine(Clock(), tmp_path)
        await again.open()
        assert found(again, NOW, NOW + 60, 60) == [(NOW, 2, 3)]
        await again.close()

    asyncio.run(scenario())


def test_a_disk_that_fails_is_told_once_and_so_is_that_it_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("elba.cloudwatch.series.FLUSH_SECONDS", 0.01)
    monkeypatch.setattr("elba.cloudwatch.series.PENDING_MOST", 3)
    tries = 0

    async def scenario() -> None:
        nonlocal tries
        engine = SeriesEngine(Clock(), tmp_path)
        await engine.open()
        worked = asyncio.Event()
        loop = asyncio.get_running_loop()

        def refuse_three_times(_: int) -> None:
            nonlocal tries
            tries += 1
            if tries <= 3:
                raise OSError(28, "No space left on device")
            loop.call_soon_threadsafe(worked.set)

        monkeypatch.setattr("elba.cloudwatch.journal.os.fdatasync", refuse_three_times)
        engine.put([point(float(i)) for i in range(5)])
        await worked.wait()
        await engine.close()
        again = SeriesEngine(Clock(), tmp_path)
        await again.open()
        assert found(again, NOW, NOW + 60, 60) == [(NOW, 3, 9)], "the newest that memory was allowed to hold"
        await again.close()

    with caplog.at_level("INFO", "elba.cloudwatch.series"):
        asyncio.run(scenario())
    told = [record.getMessage() for record in caplog.records]
    assert sum("cannot be written" in text for text in told) == 1
    assert "metrics can be written again" in told
    assert "giving up 2 metric records" in told


def test_a_clock_beyond_2106_is_a_clock_like_any_other(tmp_path: Path) -> None:
    """A clock a thousand times as fast is there within a month."""

    async def go() -> None:
        clock = Clock(float(1 << 33) // 3600 * 3600)
        engine = SeriesEngine(clock, tmp_path)
        await engine.open()
        start = clock.time
        for minute in range(1000):
            clock.time = start + 60 * minute
            engine.put([point(float(minute), clock.time)])
        await engine.close()
        again = SeriesEngine(clock, tmp_path)
        await again.open()
        again._to_rewrite, again._rewriting = list(again._metrics), True
        await again.flush()
        await again.close()
        last = SeriesEngine(clock, tmp_path)
        await last.open()
        for each in (engine, again, last):
            (metric,) = each.all_metrics()
            buckets = metric.series["None"].buckets(start, start + 60_000, 60)
            assert [(b.start, b.total) for b in buckets] == [(start + 60 * i, float(i)) for i in range(1000)]
        await last.close()

    asyncio.run(go())
