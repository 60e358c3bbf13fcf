"""The points an alarm is judged by, read from the metric store. No writing, no waiting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from elba.cloudwatch.alarms import EXTRA_PERIODS, Contributor, Point, period_of, window_end
from elba.cloudwatch.anomaly import Bands
from elba.cloudwatch.expressions.parser import ExpressionError
from elba.cloudwatch.expressions.queries import QuerySet, dimensions_of
from elba.cloudwatch.expressions.values import TimeSeries, Window
from elba.cloudwatch.insights import is_grouped, is_insights, select_groups
from elba.cloudwatch.journal import Identity
from elba.cloudwatch.metric import Metric, Series
from elba.cloudwatch.resources import Alarm
from elba.cloudwatch.series import SeriesEngine
from elba.cloudwatch.statistics import Statistic, parse_statistic
from elba.resource import Key


def grouped_query(alarm: Alarm) -> str | None:
    """The Metrics Insights query with GROUP BY that the alarm watches; None if it watches one series."""
    for query in alarm.metrics:
        expression = query.get("expression") or ""
        if _returns(query) and is_insights(expression) and is_grouped(expression):
            return str(expression)
    return None


class Watch:
    """Reads the evaluation ranges of alarms; remembers what each alarm refers to while it stays the same."""

    def __init__(self, engine: SeriesEngine, bands: Bands) -> None:
        self._engine = engine
        self._bands = bands
        self._known: dict[Key, tuple[Alarm, Identity, Statistic]] = {}

    def points(self, alarm: Alarm, end: float) -> list[Point | None] | None:
        """The evaluation range up to `end` (a minute, or ten seconds, that has passed), oldest first.

        None if there are data but the anomaly band to compare them with is not trained.

        Periods slide: they are counted back from `end`, except for an alarm with a wall-clock window.
        """
        period = period_of(alarm)
        end = window_end(alarm, end)
        window = Window(end - (alarm.evaluation_periods + EXTRA_PERIODS) * period, end, end)
        if alarm.metrics:
            return self._of_queries(alarm, window, period)
        known = self._known.get(alarm.key)
        if known is None or known[0] is not alarm:
            known = self._known[alarm.key] = (alarm, _identity(alarm), _statistic(alarm))
        metric = self._engine.find(*known[1])
        return [] if metric is None else _range(metric, known[2], alarm.unit, window, period)

    def contributors(self, alarm: Alarm, end: float) -> list[Contributor]:
        """The evaluation range of each series of an alarm on a query with GROUP BY, up to `end`."""
        period = period_of(alarm)
        end = window_end(alarm, end)
        window = Window(end - (alarm.evaluation_periods + EXTRA_PERIODS) * period, end, end)
        expression = grouped_query(alarm) or ""
        found = select_groups(self._engine, (alarm.account, alarm.region), expression, window, period)
        return [
            Contributor(
                attributes,
                [
                    None if (value := series.values.get(time)) is None else Point(time, value)
                    for time in window.grid(period)
                ],
            )
            for attributes, series in found
        ]

    def forget_all_but(self, alarms: Sequence[Alarm]) -> None:
        if len(self._known) > 2 * len(alarms) + 100:
            kept = {alarm.key for alarm in alarms}
            self._known = {key: known for key, known in self._known.items() if key in kept}

    def _of_queries(self, alarm: Alarm, window: Window, period: int) -> list[Point | None] | None:
        queries = QuerySet(self._engine, alarm.account, alarm.region, alarm.metrics, window, window.end, self._bands)
        watched = next(q for q in alarm.metrics if _returns(q) and q["id"] != alarm.threshold_metric_id)
        try:
            series = self._single(queries, watched, period)
            upper = lower = None
            if alarm.threshold_metric_id is not None:
                upper, lower = _band(queries.value(alarm.threshold_metric_id, period))
        except ExpressionError:
            # Nothing to compare is no data; the state reason then says so.
            return []
        if upper is not None and series.values and not upper.values:
            return None
        points: list[Point | None] = []
        for time in window.grid(period):
            value = series.values.get(time)
            if value is None or (upper is not None and time not in upper.values):
                points.append(None)
            else:
                points.append(
                    Point(
                        time,
                        value,
                        series.samples.get(time, 1.0),
                        None if lower is None else lower.values[time],
                        None if upper is None else upper.values[time],
                    )
                )
        return points

    def _single(self, queries: QuerySet, query: Mapping[str, Any], period: int) -> TimeSeries:
        found = queries.value(query["id"], period)
        if isinstance(found, TimeSeries):
            return found
        if len(found) != 1:
            raise ExpressionError("An alarm watches one time series")
        return found[0]


def _returns(query: Mapping[str, Any]) -> bool:
    return query.get("return_data") is not False


def _band(value: TimeSeries | list[TimeSeries]) -> tuple[TimeSeries, TimeSeries]:
    if isinstance(value, TimeSeries) or len(value) != 2:
        raise ExpressionError("The threshold is not a band")
    return value[0], value[1]


def _identity(alarm: Alarm) -> Identity:
    pairs = dimensions_of({"dimensions": alarm.dimensions})
    return alarm.account, alarm.region, alarm.namespace or "", alarm.metric_name or "", pairs


def _statistic(alarm: Alarm) -> Statistic:
    return parse_statistic(alarm.statistic or alarm.extended_statistic or "Average")


def _range(metric: Metric, statistic: Statistic, unit: str | None, window: Window, period: int) -> list[Point | None]:
    """One point for each period; where several units have data there, the one that was published first."""
    grid = window.grid(period)
    points: list[Point | None] = [None] * len(grid)
    chosen: Sequence[Series] = list(metric.series.values())
    if unit is not None:
        chosen = [series for series in chosen if series.unit == unit]
    for series in chosen:
        for bucket in series.buckets(window.start, window.end, period, window.origin):
            place = math.floor((bucket.start - grid.start) / period)
            if 0 <= place < len(points) and points[place] is None:
                value = statistic.of(bucket)
                if value is not None:
                    points[place] = Point(bucket.start, value, bucket.count)
    return points
