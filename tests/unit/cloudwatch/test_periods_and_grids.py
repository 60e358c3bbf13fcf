"""Which data a period can be asked of, what StartTime is rounded to, and how long a series without data can be."""

from __future__ import annotations

from typing import Any

import pytest

from elba.cloudwatch import operations as api
from elba.cloudwatch.expressions.values import Window, kept_only
from elba.cloudwatch.queries.metrics import round_start
from elba.errors import ApiError
from tests.unit.cloudwatch.bench import Bench
from tests.unit.cloudwatch.test_metrics_api import DAY, HOUR, data, stat, statistics

NOW = 1_767_225_600.0


@pytest.mark.parametrize(
    ("age", "period", "rounded_to"),
    [
        (10 * DAY, 60, 60),
        (20 * DAY, 60, 300),
        (70 * DAY, 3600, 3600),
        (10 * DAY, 300, 60),
        (HOUR, 1, None),
        (HOUR, 5, 5),
        (HOUR, 10, 10),
        (HOUR, 20, 20),
        (HOUR, 30, 30),
        (70 * DAY, 30, 30),
    ],
)
def test_start_time_is_rounded_down_by_its_age(age: int, period: int, rounded_to: int | None) -> None:
    start = NOW - age - 17.25
    assert round_start(NOW, start, period) == (start if rounded_to is None else start - start % rounded_to)


@pytest.mark.parametrize(
    ("period", "kept"),
    [(1, 3 * HOUR), (30, 3 * HOUR), (60, 15 * DAY), (240, 15 * DAY), (300, 63 * DAY), (3600, 455 * DAY)],
)
def test_each_period_has_its_past(period: int, kept: int) -> None:
    assert kept_only(Window(0, NOW), period, NOW) == Window(NOW - kept, NOW)
    assert kept_only(Window(NOW - kept, NOW), period, NOW) == Window(NOW - kept, NOW)
    old = kept_only(Window(0, NOW - 2 * kept), period, NOW)
    assert len(old.grid(period)) == 0 and old.grid(period).start > NOW - kept - period
    assert kept_only(Window(NOW, 9 * NOW), period, NOW) == Window(NOW, NOW + 2 * HOUR + period)


@pytest.mark.parametrize(("age", "finest"), [(HOUR, 1), (10 * DAY, 60), (30 * DAY, 300), (100 * DAY, 3600)])
def test_old_data_are_found_by_the_periods_they_are_kept_in(bench: Bench, age: int, finest: int) -> None:
    for i in range(4):
        bench.put(1.0, resolution=1, timestamp=bench.now + 20 * i)
    born = bench.now
    bench.stop()
    bench.advance(age)
    times = {"start_time": born - 3600, "end_time": born + 3600}
    for period in (1, 10, 60, 300, 3600):
        (result,) = data(bench, stat("a", stat_="Sum", period=period), **times)
        total = sum(result["values"])
        assert total == (4.0 if period >= finest else 0.0), period
        found = statistics(bench, **(times | {"period": period, "start_time": born - 60, "end_time": born + 600}))
        assert sum(p["sum"] for p in found) == total
        assert all(p["timestamp"] % period == 0 for p in found)


@pytest.mark.parametrize(
    ("period", "high", "regular"),
    [
        (1, [1.0, 2.0, 3.0], [9.0]),
        (5, [1.0, 5.0], [9.0]),
        (10, [1.0, 5.0], [9.0]),
        (20, [6.0], [9.0]),
        (30, [6.0], [9.0]),
        (60, [6.0], [9.0]),
    ],
)
def test_short_periods(bench: Bench, period: int, high: list[float], regular: list[float]) -> None:
    """A regular minute is found where it begins, seconds where they are."""
    for second, value in ((0, 1.0), (10, 2.0), (12, 3.0)):
        bench.put(value, resolution=1, timestamp=bench.now + second)
        bench.put(value * 1.5, name="regular", timestamp=bench.now + second)
    times = {"start_time": bench.now, "end_time": bench.now + 60}
    found = data(bench, stat("a", stat_="Sum", period=period), stat("b", "regular", "Sum", period), **times)
    assert [result["values"] for result in found] == [high, regular]


@pytest.mark.parametrize("period", [0, 2, 7, 15, 45, 61, 90, -60, 86460])
def test_periods_that_are_none(bench: Bench, period: int) -> None:
    times = {"start_time": bench.now - 600, "end_time": bench.now}
    queries: list[list[dict[str, Any]]] = [
        [stat("a", period=period)],
        [stat("a"), {"id": "e", "expression": "a", "period": period}],
    ]
    for each in queries:
        with pytest.raises(ApiError) as caught:
            bench.run(api.get_metric_data, metric_data_queries=each, **times)
        assert caught.value.code == "ValidationError"


@pytest.mark.parametrize("expression", ["TIME_SERIES(PERIOD(m1))", "FILL(m1, 0)", "MINUTE(m1)"])
def test_a_series_without_gaps_is_no_longer_than_data_can_be(bench: Bench, expression: str) -> None:
    """Eternity at one point a second would be more than memory holds."""
    for period, most in ((1, 5 * HOUR + 2), (60, 15 * 1440 + 130), (86400, 460)):
        queries = [stat("m1", period=period, return_data=False), {"id": "e", "expression": expression}]
        (result,) = data(bench, *queries, start_time=0.0, end_time=9e10, max_datapoints=100_800)
        assert 0 < len(result["values"]) <= most


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        # METRICS("f") is of one metric only: its period counts, not that of the other.
        ('SUM(METRICS("f"))', [0.0, 1.0, 2.0, 3.0, 4.0]),
        ("SUM(METRICS())", [60.0]),
        ("f * 1", [0.0, 1.0, 2.0, 3.0, 4.0]),
        ("f + c", [60.0]),
        ("DIFF(f) + DIFF(c)", []),
        ("PERIOD(f) * TIME_SERIES(1)", [60.0] * 5),
        ("PERIOD(c) * TIME_SERIES(1)", [300.0]),
    ],
)
def test_periods_of_expressions(bench: Bench, expression: str, values: list[float]) -> None:
    bench.advance(300)
    start = bench.now
    for i in range(5):
        bench.put(float(i), name="fine")
        bench.put(10.0, name="coarse")
        bench.advance(60)
    (result,) = data(
        bench,
        stat("f", "fine", "Sum", 60, return_data=False),
        stat("c", "coarse", "Sum", 300, return_data=False),
        {"id": "e", "expression": expression},
        start_time=start,
        end_time=bench.now,
    )
    assert result["values"] == values
