"""The functions of metric math, by name. Source: CloudWatch user guide, "Functions supported for metric math"."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from elba.cloudwatch.expressions.evaluator import Environment, finite
from elba.cloudwatch.expressions.parser import ExpressionError, Function
from elba.cloudwatch.expressions.values import (
    TimeSeries,
    Value,
    require_many,
    require_number,
    require_series,
    union,
)

Implementation = Callable[[Environment, list[Value], Function], Value]


def _each(name: str, value: Value, change: Callable[[TimeSeries], TimeSeries]) -> Value:
    """`change` applied to a series or to each of an array."""
    if isinstance(value, list):
        return [change(series) for series in value]
    return change(require_series(value, name))


def _per_point(name: str, function: Callable[[float], float]) -> Implementation:
    def change(series: TimeSeries) -> TimeSeries:
        values: dict[int, float] = {}
        for time, value in series.values.items():
            result = finite(lambda value=value: function(value))  # type: ignore[misc] # lambda default keeps the value
            if result is not None:
                values[time] = result
        return series.with_values(values)

    def implementation(_: Environment, arguments: list[Value], __: Function) -> Value:
        if isinstance(arguments[0], float):
            number = arguments[0]
            result = finite(lambda: function(number))
            if result is None:
                raise ExpressionError(f"{name} has no finite result on this number")
            return result
        return _each(name, arguments[0], change)

    return implementation


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))


_AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "AVG": _mean,
    "MAX": max,
    "MIN": min,
    "SUM": math.fsum,
    "STDDEV": _deviation,
}


def _aggregate(name: str) -> Implementation:
    function = _AGGREGATES[name]

    def implementation(_: Environment, arguments: list[Value], __: Function) -> Value:
        value = arguments[0]
        if isinstance(value, list):
            if not value:
                return TimeSeries({}, name)
            values: dict[int, float] = {}
            for time in union(*value):
                present = [s.values[time] for s in value if time in s.values]
                if name == "AVG":
                    present += [0.0] * (len(value) - len(present))
                if (result := finite(lambda present=present: function(present))) is not None:  # type: ignore[misc] # as above
                    values[time] = result
            return value[0].with_values(values)
        series = require_series(value, name)
        if not series.values:
            return series.with_values({})
        result = finite(lambda: function(list(series.values.values())))
        return series.with_values({}) if result is None else result

    return implementation


def _datapoint_count(_: Environment, arguments: list[Value], __: Function) -> Value:
    value = arguments[0]
    if isinstance(value, list):
        counts = {t: float(sum(t in s.values for s in value)) for t in union(*value)} if value else {}
        return TimeSeries(counts, "DATAPOINT_COUNT")
    return float(len(require_series(value, "DATAPOINT_COUNT").values))


def _steps(name: str, function: Callable[[float, float, float, float], float]) -> Implementation:
    """A function of each two neighbours: time before, value before, time, value."""

    def change(series: TimeSeries) -> TimeSeries:
        points = list(series.values.items())
        return series.with_values({t: function(t0, v0, t, v) for (t0, v0), (t, v) in pairwise(points)})

    return lambda _, arguments, __: _each(name, arguments[0], change)


def _running_sum(_: Environment, arguments: list[Value], __: Function) -> Value:
    def change(series: TimeSeries) -> TimeSeries:
        total = 0.0
        values: dict[int, float] = {}
        for time, value in series.values.items():
            total += value
            values[time] = total
        return series.with_values(values)

    return _each("RUNNING_SUM", arguments[0], change)


def _fill(environment: Environment, arguments: list[Value], _: Function) -> Value:
    filler = arguments[1]
    if isinstance(filler, list):
        filler = require_series(filler, "FILL")

    def change(series: TimeSeries) -> TimeSeries:
        times = sorted({*environment.grid, *series.values})
        if isinstance(filler, float):
            return series.with_values({t: series.values.get(t, filler) for t in times})
        if isinstance(filler, TimeSeries):
            filled = {t: series.values.get(t, filler.values.get(t)) for t in times}
            return series.with_values({t: v for t, v in filled.items() if v is not None})
        if filler == "REPEAT":
            return series.with_values(_repeated(series.values, times))
        if filler == "LINEAR":
            return series.with_values(_interpolated(series.values, times))
        raise ExpressionError("FILL takes a number, REPEAT, LINEAR or a time series")

    return _each("FILL", arguments[0], change)


def _repeated(values: dict[int, float], times: Iterable[int]) -> dict[int, float]:
    result: dict[int, float] = {}
    last: float | None = None
    for time in times:
        last = values.get(time, last)
        if last is not None:
            result[time] = last
    return result


def _interpolated(values: dict[int, float], times: Iterable[int]) -> dict[int, float]:
    """Between two points on the line through them; outside all points nothing."""
    result: dict[int, float] = {}
    points = list(values.items())
    place = 0
    for time in times:
        while place < len(points) and points[place][0] < time:
            place += 1
        if place < len(points) and points[place][0] == time:
            result[time] = points[place][1]
        elif 0 < place < len(points):
            (t0, v0), (t1, v1) = points[place - 1], points[place]
            result[time] = v0 + (v1 - v0) * (time - t0) / (t1 - t0)
    return result


def _if(_: Environment, arguments: list[Value], __: Function) -> Value:
    condition, then, *rest = (each if isinstance(each, float) else require_series(each, "IF") for each in arguments)
    otherwise = rest[0] if rest else None
    if isinstance(condition, float):
        if condition:
            return then
        return TimeSeries({}) if otherwise is None else otherwise
    values: dict[int, float] = {}
    for time, chosen in condition.values.items():
        if chosen:
            values[time] = _at(then, time, 0.0) or 0.0
        elif otherwise is not None and (value := _at(otherwise, time, None)) is not None:
            values[time] = value
    return condition.with_values(values)


def _at(value: float | TimeSeries, time: int, absent: float | None) -> float | None:
    return value if isinstance(value, float) else value.values.get(time, absent)


def _calendar(name: str, function: Callable[[datetime], int]) -> Implementation:
    def implementation(environment: Environment, arguments: list[Value], _: Function) -> Value:
        series = require_series(arguments[0], name)
        return series.with_values({t: float(function(datetime.fromtimestamp(t, UTC))) for t in environment.grid})

    return implementation


def _period(_: Environment, arguments: list[Value], __: Function) -> Value:
    series = require_series(arguments[0], "PERIOD")
    if not series.raw:
        raise ExpressionError("PERIOD takes a metric, not an expression")
    return float(series.period)


def _metrics(environment: Environment, arguments: list[Value], _: Function) -> Value:
    containing = arguments[0] if arguments else ""
    if not isinstance(containing, str):
        raise ExpressionError("METRICS takes a text")
    return environment.metrics(containing)


def _slice(_: Environment, arguments: list[Value], __: Function) -> Value:
    many = require_many(arguments[0], "SLICE")
    start = int(require_number(arguments[1], "SLICE"))
    end = int(require_number(arguments[2], "SLICE")) if len(arguments) == 3 else len(many)
    if start < 0 or end < 0:
        raise ExpressionError("SLICE counts from 0")
    return many[start:end]


def _sort(_: Environment, arguments: list[Value], __: Function) -> Value:
    many = require_many(arguments[0], "SORT")
    by, direction = arguments[1], arguments[2]
    if not isinstance(by, str) or by not in ("AVG", "MIN", "MAX", "SUM"):
        raise ExpressionError("SORT orders by AVG, MIN, MAX or SUM")
    if direction not in ("ASC", "DESC"):
        raise ExpressionError("SORT takes ASC or DESC")
    function = _AGGREGATES[by]
    present = [s for s in many if s.values]
    order = sorted(present, key=lambda s: function(list(s.values.values())), reverse=direction == "DESC")
    order += [s for s in many if not s.values]
    most = int(require_number(arguments[3], "SORT")) if len(arguments) == 4 else len(order)
    return order[: max(0, most)]


def _search(environment: Environment, arguments: list[Value], _: Function) -> Value:
    query, statistic = arguments[0], arguments[1]
    if not isinstance(query, str) or not isinstance(statistic, str):
        raise ExpressionError("SEARCH takes a search text and a statistic")
    period = int(require_number(arguments[2], "SEARCH")) if len(arguments) == 3 else environment.period
    return environment.search(query, statistic, period)


def _band(environment: Environment, arguments: list[Value], node: Function) -> Value:
    series = require_series(arguments[0], "ANOMALY_DETECTION_BAND")
    deviations = require_number(arguments[1], "ANOMALY_DETECTION_BAND") if len(arguments) == 2 else 2.0
    if deviations <= 0:
        raise ExpressionError("ANOMALY_DETECTION_BAND needs a positive number of standard deviations")
    return list(environment.band(series, deviations, node.arguments[0]))


def _unsupported(name: str) -> Implementation:
    def implementation(_: Environment, __: list[Value], ___: Function) -> Value:
        raise ExpressionError(f"The function {name} is not supported")

    return implementation


def _first(_: Environment, arguments: list[Value], node: Function) -> Value:
    many = require_many(arguments[0], node.name)
    if not many:
        return TimeSeries({})
    return many[0] if node.name == "FIRST" else many[-1]


FUNCTIONS: dict[str, tuple[int, int, Implementation]] = {
    "ABS": (1, 1, _per_point("ABS", abs)),
    "CEIL": (1, 1, _per_point("CEIL", lambda v: float(math.ceil(v)))),
    "FLOOR": (1, 1, _per_point("FLOOR", lambda v: float(math.floor(v)))),
    "LOG": (1, 1, _per_point("LOG", math.log)),
    "LOG10": (1, 1, _per_point("LOG10", math.log10)),
    **{name: (1, 1, _aggregate(name)) for name in _AGGREGATES},
    "DATAPOINT_COUNT": (1, 1, _datapoint_count),
    "DIFF": (1, 1, _steps("DIFF", lambda t0, v0, t, v: v - v0)),
    "DIFF_TIME": (1, 1, _steps("DIFF_TIME", lambda t0, v0, t, v: float(t - t0))),
    "RATE": (1, 1, _steps("RATE", lambda t0, v0, t, v: (v - v0) / (t - t0))),
    "RUNNING_SUM": (1, 1, _running_sum),
    "FILL": (2, 2, _fill),
    "FIRST": (1, 1, _first),
    "LAST": (1, 1, _first),
    "IF": (2, 3, _if),
    "METRICS": (0, 1, _metrics),
    "METRIC_COUNT": (1, 1, lambda _, a, __: float(len(require_many(a[0], "METRIC_COUNT")))),
    "MINUTE": (1, 1, _calendar("MINUTE", lambda d: d.minute)),
    "HOUR": (1, 1, _calendar("HOUR", lambda d: d.hour)),
    "DAY": (1, 1, _calendar("DAY", lambda d: d.isoweekday())),
    "DATE": (1, 1, _calendar("DATE", lambda d: d.day)),
    "MONTH": (1, 1, _calendar("MONTH", lambda d: d.month)),
    "YEAR": (1, 1, _calendar("YEAR", lambda d: d.year)),
    "EPOCH": (1, 1, _calendar("EPOCH", lambda d: int(d.timestamp()))),
    "PERIOD": (1, 1, _period),
    "REMOVE_EMPTY": (1, 1, lambda _, a, __: [s for s in require_many(a[0], "REMOVE_EMPTY") if s.values]),
    "SLICE": (2, 3, _slice),
    "SORT": (3, 4, _sort),
    "TIME_SERIES": (
        1,
        1,
        lambda e, a, __: TimeSeries(dict.fromkeys(e.grid, require_number(a[0], "TIME_SERIES")), period=e.period),
    ),
    "ANOMALY_DETECTION_BAND": (1, 2, _band),
    "SEARCH": (2, 3, _search),
    "INSIGHT_RULE_METRIC": (1, 2, _unsupported("INSIGHT_RULE_METRIC")),
    "SERVICE_QUOTA": (1, 1, _unsupported("SERVICE_QUOTA")),
}
"""Fewest arguments, most arguments, implementation."""
