"""Statistics on one period, the bounds of extended statistics, and when there are none."""

from __future__ import annotations

import pytest

from elba.cloudwatch.buckets import OPAQUE, Bucket
from elba.cloudwatch.distribution import Distribution, of_values
from elba.cloudwatch.statistics import parse_statistic, samples_needed

ONE_TO_TEN = [float(v) for v in range(1, 11)]


def bucket(*values: float) -> Bucket:
    shape = None if min(values) == max(values) else of_values((v, 1.0) for v in values)
    return Bucket(0, float(len(values)), sum(values), min(values), max(values), shape)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SampleCount", 10),
        ("Sum", 55),
        ("Average", 5.5),
        ("Minimum", 1),
        ("Maximum", 10),
        ("p50", 5),
        ("p0", 1),
        ("p100", 10),
        ("p99.9", 10),
        ("p90", 9),
        ("tm90", 5),
        ("TM(10%:90%)", 5.5),
        ("TM(90%:)", 10),
        ("TM(:90%)", 5),
        ("TM(2:5)", 4),
        ("TC(2:5)", 3),
        ("tc90", 9),
        ("TS(2:5)", 12),
        ("ts90", 45),
        ("TS(20:30)", 0),
        ("TC(20:)", 0),
        ("wm90", 5.4),
        ("WM(10%:90%)", 5.5),
        ("WM(2:5)", (2 + 2 + 3 + 4 + 5 * 6) / 10),
        ("PR(:3)", 30),
        ("PR(3:)", 70),
        ("PR(2:5)", 30),
        ("IQM", 5.5),
    ],
)
def test_one_to_ten(text: str, expected: float) -> None:
    assert parse_statistic(text).of(bucket(*ONE_TO_TEN)) == pytest.approx(expected)


def test_nothing_in_bounds_has_no_mean() -> None:
    assert parse_statistic("TM(20:30)").of(bucket(*ONE_TO_TEN)) is None


def test_equal_values_need_no_distribution() -> None:
    same = bucket(7.0, 7.0, 7.0)
    assert same.shape is None
    assert parse_statistic("p99").of(same) == 7.0
    assert parse_statistic("tc50").of(same) == 2.0


@pytest.mark.parametrize("text", ["p50", "tm90", "PR(1:2)", "IQM"])
def test_statistic_sets_and_negative_values_have_no_percentiles(text: str) -> None:
    assert parse_statistic(text).of(Bucket(0, 2, 3.0, 1.0, 2.0, OPAQUE)) is None
    assert parse_statistic(text).of(Bucket(0, 1, -1.0, -1.0, -1.0, None)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p101",
        "p-1",
        "average",
        "TM",
        "TM()",
        "TM(:)",
        "TM(10%:90)",
        "TM(90%:10%)",
        "PR(10%:90%)",
        "TM(1:101%)",
        "P50",
        "px",
        "tm",
        "p50 ",
        "TM(5:5)",
        "p1.12345678901",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a statistic"):
        parse_statistic(text)


def test_samples_needed() -> None:
    assert samples_needed(parse_statistic("p99")) == pytest.approx(1000)
    assert samples_needed(parse_statistic("p50")) == pytest.approx(20)
    assert samples_needed(parse_statistic("p10")) == pytest.approx(100)
    assert samples_needed(parse_statistic("Average")) == 0


def test_distribution_survives_encoding_in_both_forms() -> None:
    exact = of_values([(1.5, 2.0), (3.0, 1.0)])
    binned = of_values((float(v), 1.0) for v in range(1, 2000))
    assert exact.values is not None
    assert binned.values is None
    for distribution in (exact, binned, Distribution()):
        again = Distribution.decode(distribution.encode())
        assert again.items(0.0, 2000.0) == distribution.items(0.0, 2000.0)


def test_distribution_is_bounded() -> None:
    wild = of_values((1.01**i, 1.0) for i in range(10_000))
    assert len(wild.bins) <= 2048
    assert sum(wild.bins.values()) == 10_000
