"""MetricDataQueries evaluated on the metric store: what GetMetricData answers with and math alarms watch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from elba.cloudwatch.anomaly import Bands
from elba.cloudwatch.buckets import Bucket
from elba.cloudwatch.expressions.evaluator import evaluate
from elba.cloudwatch.expressions.meaning import meaning
from elba.cloudwatch.expressions.parser import (
    ExpressionError,
    Function,
    Node,
    Number,
    metrics_taken,
    names,
    parse,
    walk,
)
from elba.cloudwatch.expressions.values import Source, TimeSeries, Value, Window, kept_only, require_series
from elba.cloudwatch.insights import is_insights, parse_insights, select
from elba.cloudwatch.limits import UNITS
from elba.cloudwatch.metric import Metric
from elba.cloudwatch.search import FOUND_MOST, parse_search
from elba.cloudwatch.series import SeriesEngine
from elba.cloudwatch.statistics import Statistic, parse_statistic
from elba.datapoints import Dimensions, dimensions

DEFAULT_PERIOD = 60
RECENT_SECONDS = 14 * 86400


def dimensions_of(metric: Mapping[str, Any]) -> Dimensions:
    """A request's metric's dimensions in identifying form."""
    return dimensions({d["name"]: d["value"] for d in metric.get("dimensions") or ()})


Values = list[tuple[Bucket, float]]


def values_of(
    metric: Metric | None, statistic: Statistic, unit: str | None, window: Window, period: int
) -> tuple[Values, list[str]]:
    """(bucket, value) in order of time, and the units in which there are data.

    If those are several, the values are of the first in the service's order: it answers with one value for a period.
    """
    by_unit: dict[str, Values] = {}
    for series in () if metric is None else metric.series.values():
        if unit is not None and series.unit != unit:
            continue
        found = series.buckets(window.grid(period).start, window.end, period, window.origin)
        values = [(bucket, value) for bucket in found if (value := statistic.of(bucket)) is not None]
        if values:
            by_unit[series.unit] = values
    if not by_unit:
        return [], []
    return by_unit[min(by_unit, key=UNITS.index)], sorted(by_unit)


@dataclass(slots=True)
class QuerySet:
    """The queries of one request over one window. Raises ExpressionError where a method says so."""

    engine: SeriesEngine
    account: str
    region: str
    queries: Sequence[Mapping[str, Any]]
    window: Window
    now: float
    bands: Bands
    _trees: dict[str, Node] = field(default_factory=dict)
    _cache: dict[tuple[str, int], TimeSeries | list[TimeSeries]] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)

    def find(self, id_: str) -> Mapping[str, Any]:
        for query in self.queries:
            if query["id"] == id_:
                return query
        raise ExpressionError(f"Reference to unknown id '{id_}'")

    def tree(self, query: Mapping[str, Any]) -> Node:
        """Raises: ExpressionError."""
        id_ = query["id"]
        if id_ not in self._trees:
            self._trees[id_] = parse(query["expression"])
        return self._trees[id_]

    def metric(self, query: Mapping[str, Any]) -> Metric | None:
        wanted = query["metric_stat"]["metric"]
        return self.engine.find(
            self.account,
            self.region,
            wanted.get("namespace") or "",
            wanted.get("metric_name") or "",
            dimensions_of(wanted),
        )

    def period(self, query: Mapping[str, Any]) -> int:
        """Seconds: the metric's own; for an expression the longest of all it refers to. Raises: ExpressionError."""
        periods: set[int] = set()
        seen: set[str] = set()
        waiting = [query]
        while waiting:
            one = waiting.pop()
            if one["id"] in seen:
                continue
            seen.add(one["id"])
            if one.get("metric_stat") is not None:
                periods.add(int(one["metric_stat"]["period"]))
                continue
            if one.get("period"):
                periods.add(int(one["period"]))
            if is_insights(one["expression"]):
                continue
            tree = self.tree(one)
            waiting += [self.find(name) for name in names(tree)]
            for containing in metrics_taken(tree):
                waiting += [q for q in self.queries if q.get("metric_stat") is not None and containing in q["id"]]
            periods.update(_search_periods(tree))
        return max(periods, default=DEFAULT_PERIOD)

    def series(self, query: Mapping[str, Any], period: int) -> TimeSeries:
        """A metric query's data at `period`."""
        stat = query["metric_stat"]
        window = kept_only(self.window, period, self.now)
        found, _ = values_of(self.metric(query), parse_statistic(stat["stat"]), stat.get("unit"), window, period)
        values = {bucket.start: value for bucket, value in found}
        samples = {bucket.start: bucket.count for bucket, _ in found}
        wanted = stat["metric"]
        label = query.get("label") or wanted.get("metric_name") or ""
        source = Source(
            wanted.get("namespace") or "", wanted.get("metric_name") or "", dimensions_of(wanted), stat["stat"]
        )
        return TimeSeries(values, label, raw=True, period=period, samples=samples, source=source)

    def selected(self, query: Mapping[str, Any], period: int) -> TimeSeries | list[TimeSeries]:
        """What a Metrics Insights query finds: with GROUP BY an array. Raises: ExpressionError."""
        expression = query["expression"]
        window = kept_only(self.window, period, self.now)
        found = select(self.engine, (self.account, self.region), expression, window, period)
        if parse_insights(expression).group_by:
            return found
        return found[0] if found else TimeSeries({}, query.get("label") or "", period=period)

    def value(self, id_: str, period: int) -> TimeSeries | list[TimeSeries]:
        """A query's series at `period`. Raises: ExpressionError."""
        if (known := self._cache.get((id_, period))) is not None:
            return known
        if id_ in self._open:
            raise ExpressionError(f"The expression '{id_}' refers to itself")
        query = self.find(id_)
        result: TimeSeries | list[TimeSeries]
        if query.get("metric_stat") is not None:
            result = self.series(query, period)
        elif is_insights(query["expression"]):
            result = self.selected(query, period)
        else:
            self._open.append(id_)
            try:
                result = _require_result(evaluate(self.tree(query), _AtPeriod(self, period)))
            finally:
                self._open.pop()
        self._cache[(id_, period)] = result
        return result


def _require_result(value: Value) -> TimeSeries | list[TimeSeries]:
    if isinstance(value, TimeSeries | list):
        return value
    raise ExpressionError("The expression must return a time series, not a single value")


def _search_periods(tree: Node) -> set[int]:
    return {
        int(node.arguments[2].value)
        for node in walk(tree)
        if isinstance(node, Function)
        and node.name == "SEARCH"
        and len(node.arguments) == 3
        and isinstance(node.arguments[2], Number)
    }


@dataclass(frozen=True, slots=True)
class _AtPeriod:
    """A query set seen by an expression, everything at one period."""

    queries: QuerySet
    period: int

    @property
    def grid(self) -> range:
        return kept_only(self.queries.window, self.period, self.queries.now).grid(self.period)

    def lookup(self, name: str) -> TimeSeries | list[TimeSeries]:
        return self.queries.value(name, self.period)

    def metrics(self, containing: str) -> list[TimeSeries]:
        return [
            self.queries.series(query, self.period)
            for query in self.queries.queries
            if query.get("metric_stat") is not None and containing in query["id"]
        ]

    def search(self, query: str, statistic: str, period: int) -> list[TimeSeries]:
        if period <= 0:
            raise ExpressionError("SEARCH needs a positive period")
        try:
            stat = parse_statistic(statistic)
        except ValueError as error:
            raise ExpressionError(str(error)) from None
        matches = parse_search(query)
        q = self.queries
        found = [
            metric
            for metric in q.engine.metrics(q.account, q.region)
            if matches(metric) and metric.newest >= q.now - RECENT_SECONDS
        ][:FOUND_MOST]
        result: list[TimeSeries] = []
        for metric in found:
            points, _ = values_of(metric, stat, None, kept_only(q.window, period, q.now), period)
            result.append(TimeSeries({bucket.start: value for bucket, value in points}, "", period=period))
        return [
            TimeSeries(series.values, label, period=period, source=Source(*metric.identity[2:], statistic))
            for series, label, metric in zip(result, search_labels(found), found, strict=True)
        ]

    def band(self, series: TimeSeries, deviations: float, node: Node) -> tuple[TimeSeries, TimeSeries]:
        q = self.queries

        def history(window: Window) -> TimeSeries:
            past = QuerySet(q.engine, q.account, q.region, q.queries, window, q.now, q.bands)
            return require_series(evaluate(node, _AtPeriod(past, self.period)), "ANOMALY_DETECTION_BAND")

        subject = meaning(q.queries, node)
        return q.bands.band((q.account, q.region), subject, history, series, self.period, deviations, q.now)


def search_labels(metrics: Sequence[Metric]) -> list[str]:
    """What tells the found metrics apart: the metric name if they differ in it, and dimension values that differ."""
    if len(metrics) == 1:
        return [metrics[0].name]
    several_names = len({m.name for m in metrics}) > 1
    varying = {
        name
        for name in {n for m in metrics for n, _ in m.dimensions}
        if len({dict(m.dimensions).get(name) for m in metrics}) > 1
    }
    labels = []
    for metric in metrics:
        words = [value for name, value in metric.dimensions if name in varying]
        if several_names or not words:
            words.append(metric.name)
        labels.append(" ".join(words))
    return labels
