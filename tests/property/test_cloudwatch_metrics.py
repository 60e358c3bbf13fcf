"""The metric store and its statistics against slow, exact ones; texts of strangers against every parser."""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elba.cloudwatch.alarms import decide
from elba.cloudwatch.buckets import Bucket
from elba.cloudwatch.commands.dashboards import check_body
from elba.cloudwatch.composite import RuleError, parse_rule
from elba.cloudwatch.distribution import RELATIVE_ERROR, Distribution, of_values
from elba.cloudwatch.expressions.evaluator import evaluate
from elba.cloudwatch.expressions.functions import FUNCTIONS
from elba.cloudwatch.expressions.parser import ExpressionError, Node, parse
from elba.cloudwatch.expressions.values import TimeSeries
from elba.cloudwatch.insights import parse_insights
from elba.cloudwatch.journal import Frame, Journal
from elba.cloudwatch.metric import Series
from elba.cloudwatch.search import parse_search
from elba.cloudwatch.series import SeriesEngine
from elba.cloudwatch.statistics import parse_statistic
from elba.datapoints import Datapoint
from elba.errors import ApiError

NOW = 1_767_225_600.0
DAY = 86400

amounts = st.floats(min_value=0, max_value=1e12, allow_subnormal=False)
signed = st.floats(min_value=-1e12, max_value=1e12, allow_subnormal=False)


class Clock:
    scale = 1.0

    def now(self) -> float:
        return NOW

    def wall(self) -> float:
        return NOW

    async def sleep(self, seconds: float) -> None:
        raise AssertionError


def nearest_rank(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered) * (1 - 1e-9)) - 1)]


@given(st.lists(amounts, min_size=1, max_size=400), st.floats(min_value=0, max_value=100).map(lambda p: round(p, 2)))
def test_percentiles_within_the_stated_error(values: list[float], percent: float) -> None:
    exact = nearest_rank(values, percent)
    bucket = Bucket(
        0, float(len(values)), math.fsum(values), min(values), max(values), of_values((v, 1.0) for v in values)
    )
    found = parse_statistic(f"p{percent}").of(bucket)
    assert found is not None
    few = len(set(values)) <= 150
    smallest = max(values) * 1e-15
    assert found == exact if few else math.isclose(found, exact, rel_tol=RELATIVE_ERROR * 1.001, abs_tol=smallest)


@given(st.lists(st.lists(amounts, max_size=200), min_size=1, max_size=4))
def test_distributions_merge_as_if_they_had_been_one(parts: list[list[float]]) -> None:
    merged = Distribution()
    for part in parts:
        merged.merge(Distribution.decode(of_values((v, 1.0) for v in part).encode()))
    every = [v for part in parts for v in part]
    assert sum(c for _, c in merged.items(0.0, math.inf)) == len(every)
    if every:
        whole = Bucket(0, float(len(every)), math.fsum(every), min(every), max(every), merged)
        found = parse_statistic("p50").of(whole)
        assert found is not None
        assert math.isclose(found, nearest_rank(every, 50), rel_tol=RELATIVE_ERROR * 1.001, abs_tol=max(every) * 1e-15)


@st.composite
def datapoints(draw: st.DrawFn) -> Datapoint:
    kind = draw(st.sampled_from(["one", "many", "set"]))
    at = NOW - draw(st.integers(min_value=-7200, max_value=14 * DAY if draw(st.booleans()) else 900))
    more: dict[str, object]
    if kind == "one":
        more = {"values": (draw(signed),)}
    elif kind == "many":
        values = tuple(draw(st.lists(amounts, min_size=1, max_size=5)))
        more = {"values": values, "counts": tuple(float(draw(st.integers(1, 9))) for _ in values)}
    else:
        low, high = sorted((draw(signed), draw(signed)))
        count = float(draw(st.integers(2, 9)))
        more = {"sample_count": count, "sum": (low + high) / 2 * count, "minimum": low, "maximum": high}
    return Datapoint(
        account="1",
        region="r",
        namespace="N",
        metric_name=draw(st.sampled_from(["a", "b"])),
        timestamp=at,
        unit=draw(st.sampled_from(["None", "Seconds"])),
        resolution=draw(st.sampled_from([1, 60])),
        **more,  # type: ignore[arg-type] # three shapes of keywords
    )


Exact = tuple[float, float, float, float, tuple[tuple[float, float], ...] | None]


def oracle(points: list[Datapoint], name: str, unit: str, start: int, end: int, period: int) -> dict[int, Exact]:
    """Every value in its period, with all values known or (None) not."""
    found: dict[int, list[Datapoint]] = defaultdict(list)
    for p in points:
        if (p.metric_name, p.unit) != (name, unit):
            continue
        stored = 1 if p.resolution == 1 and NOW - p.timestamp < 3 * 3600 else 60
        at = math.floor(p.timestamp / stored) * stored
        # A minute is seen by shorter periods too, in the one it begins with.
        if (period % stored == 0 or period < stored) and start <= at < end:
            found[at - at % period].append(p)
    result: dict[int, Exact] = {}
    for slot, those in found.items():
        pairs = [(v, c) for p in those for v, c in zip(p.values, p.counts or (1.0,) * len(p.values), strict=True)]
        sets = [p for p in those if not p.values]
        known = [(p.minimum, p.sample_count) for p in sets if p.minimum == p.maximum]
        raw = len(known) == len(sets)
        low = min([v for v, _ in pairs] + [p.minimum for p in sets])
        high = max([v for v, _ in pairs] + [p.maximum for p in sets])
        counted: dict[float, float] = defaultdict(float)
        for v, c in pairs + known:
            counted[v] += c
        result[slot] = (
            sum(c for _, c in pairs) + sum(p.sample_count for p in sets),
            math.fsum(v * c for v, c in pairs) + math.fsum(p.sum for p in sets),
            low,
            high,
            tuple(sorted(counted.items())) if raw and low >= 0 else None,
        )
    return result


@settings(max_examples=150)
@given(
    st.lists(datapoints(), min_size=1, max_size=60),
    st.sampled_from([1, 5, 10, 30, 60, 120, 300, 420, 3600, 86400]),
    st.booleans(),
    st.sampled_from([240, 1, 3]),
)
def test_store_against_an_oracle(points: list[Datapoint], period: int, in_batches: bool, block: int) -> None:
    engine = SeriesEngine(Clock())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elba.cloudwatch.buckets.BLOCK", block)
        put_and_compare(engine, points, period, in_batches)


def put_and_compare(engine: SeriesEngine, points: list[Datapoint], period: int, in_batches: bool) -> None:
    for batch in [points] if in_batches else [[p] for p in points]:
        engine.put(batch)
    # Whole periods, so that none is cut by the window.
    start = int(NOW - 15 * DAY) // 86400 * 86400
    end = int(NOW + DAY) // 86400 * 86400
    for name in ("a", "b"):
        for unit in ("None", "Seconds"):
            expected = oracle(points, name, unit, start, end, period)
            metric = engine.find("1", "r", "N", name, ())
            series = None if metric is None else metric.series.get(unit)
            found = [] if series is None else series.buckets(start, end, period)
            assert [b.start for b in found] == sorted(expected)
            for b in found:
                count, total, low, high, raw = expected[b.start]
                assert (b.count, b.minimum, b.maximum) == (count, low, high)
                assert math.isclose(b.total, total, rel_tol=1e-9, abs_tol=1e-3)
                items = b.items()
                assert (None if items is None else tuple(items)) == raw


@settings(max_examples=60)
@given(st.lists(datapoints(), min_size=1, max_size=40))
def test_roll_up_loses_nothing_but_detail(points: list[Datapoint]) -> None:
    engine = SeriesEngine(Clock())
    engine.put(points)
    for metric in engine.all_metrics():
        before = {unit: totals(series) for unit, series in metric.series.items()}
        for age in (4 * 3600, 16 * DAY, 70 * DAY):
            metric.roll_up(NOW + age)
            for unit, series in metric.series.items():
                count, low, high, total = totals(series)
                assert (count, low, high) == before[unit][:3]
                assert math.isclose(total, before[unit][3], rel_tol=1e-9, abs_tol=1e-3)


def totals(series: Series) -> tuple[float, float, float, float]:
    buckets = series.buckets(0, NOW + 10 * DAY, 86400)
    return (
        sum(b.count for b in buckets),
        min(b.minimum for b in buckets),
        max(b.maximum for b in buckets),
        math.fsum(b.total for b in buckets),
    )


# Texts


words = st.sampled_from(
    [
        *FUNCTIONS,
        *("m1", "m2", "nobody", "REPEAT", "LINEAR", "ASC", "AVG", "AND", "OR", "(", ")", ",", "[", "]", "+", "-", "*"),
        *("/", "^", "<", ">=", "==", "1", "0", "2.5", "1e308", "'x'", '"m"', " ", "&&", "!"),
    ]
)
math_texts = st.one_of(
    st.text(max_size=60), st.lists(words, max_size=25).map("".join), st.lists(words, max_size=25).map(" ".join)
)


class Environment:
    period = 60
    grid = range(0, 300, 60)

    def lookup(self, name: str) -> TimeSeries:
        if name in ("m1", "m2"):
            return TimeSeries({0: 1.0, 60: -2.0, 180: 1e300} if name == "m1" else {60: 0.0}, name, True)
        raise ExpressionError(name)

    def metrics(self, containing: str) -> list[TimeSeries]:
        return [self.lookup(name) for name in ("m1", "m2") if containing in name]

    def search(self, query: str, statistic: str, period: int) -> list[TimeSeries]:
        return self.metrics("")

    def band(self, series: TimeSeries, deviations: float, node: Node) -> tuple[TimeSeries, TimeSeries]:
        return series, series


@settings(max_examples=500)
@given(math_texts)
def test_metric_math_gives_finite_series_or_a_refusal(text: str) -> None:
    try:
        value = evaluate(parse(text), Environment())
    except ExpressionError:
        return
    for series in value if isinstance(value, list) else [value]:
        if isinstance(series, TimeSeries):
            assert list(series.values) == sorted(series.values)
            assert all(math.isfinite(v) for v in series.values.values())


rule_words = st.sampled_from(
    ["ALARM", "OK", "INSUFFICIENT_DATA", "NOT", "AND", "OR", "TRUE", "FALSE", "(", ")", "a", '"b c"', '"', "\\"]
)


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=60), st.lists(rule_words, max_size=20).map(" ".join)))
def test_rules_searches_queries_and_statistics_parse_or_refuse(text: str) -> None:
    parsers: list[tuple[Callable[[str], object], type[Exception]]] = [
        (parse_rule, RuleError),
        (parse_search, ExpressionError),
        (parse_insights, ExpressionError),
        (parse_statistic, ValueError),
    ]
    for parser, error in parsers:
        with contextlib.suppress(error):
            parser(text)


WIDGET_KEYS = ("widgets", "type", "properties", "metrics", "x", "width", "view", "alarms")
METRIC_WIDGET_KEYS = ("period", "stat", "yAxis", "left", "min", "max", "annotations")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2000) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(WIDGET_KEYS + METRIC_WIDGET_KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(json_values)
def test_dashboards_are_checked_whatever_they_hold(document: object) -> None:
    body = msgspec.json.encode(document).decode()
    if isinstance(document, dict):
        assert check_body(body) or "widgets" in document
        return
    with pytest.raises(ApiError):
        check_body(body)


@given(json_values)
def test_widgets_are_checked_whatever_they_hold(properties: object) -> None:
    body = {"widgets": [{"type": "metric", "properties": properties}]}
    check_body(msgspec.json.encode(body).decode())


# Alarms


def slow_decision(row: list[bool | None], periods: int, to_alarm: int, missing: str) -> str | None:
    """The user guide's words once more, in another order."""
    real = [x for x in row if x is not None]
    if missing in ("breaching", "notBreaching") or len(real) >= periods:
        used = real[len(real) - min(periods, len(real)) :]
        used = used + [missing == "breaching"] * (periods - len(used))
        return "ALARM" if used.count(True) >= to_alarm else "OK"
    if real.count(True) >= to_alarm:
        return "ALARM"
    if False in real:
        return "OK"
    if missing == "ignore":
        return None
    if not real:
        return "INSUFFICIENT_DATA"
    first = next(i for i, x in enumerate(row) if x)
    return "ALARM" if len(row) - first >= to_alarm else None


@settings(max_examples=500)
@given(st.data(), st.integers(1, 6), st.sampled_from(["missing", "ignore", "breaching", "notBreaching"]))
def test_decision_against_an_oracle(data: st.DataObject, periods: int, missing: str) -> None:
    to_alarm = data.draw(st.integers(1, periods))
    row = data.draw(st.lists(st.sampled_from([True, False, None]), min_size=periods + 2, max_size=periods + 2))
    assert decide(row, periods, to_alarm, missing) == slow_decision(row, periods, to_alarm, missing)


# The journal


@settings(max_examples=40)
@given(tail=st.binary(max_size=200), cut=st.integers(0, 400))
def test_any_bytes_after_whole_frames_leave_these_whole(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, cut: int
) -> None:
    path = tmp_path_factory.mktemp("journal")
    journal = Journal(path)
    list(journal.read())
    frames: list[Frame] = [([], [(1, "None", float(i), 60, (1.0, 1.0, 1.0, 1.0), None)], []) for i in range(3)]
    sizes = [0]
    for names, records, states in frames:
        journal.append(names, records, states)
        sizes.append((path / "00000001.journal").stat().st_size)
    journal.close()
    file = path / "00000001.journal"
    kept = file.read_bytes()[: max(0, sizes[-1] - cut)]
    file.write_bytes(kept + tail)
    again = Journal(path)
    read: list[Frame] = list(again.read())
    again.close()
    whole = sum(size <= len(kept) for size in sizes[1:])
    assert [frame[1] for frame in read[:whole]] == [frame[1] for frame in frames[:whole]]
    assert len(read) >= whole
