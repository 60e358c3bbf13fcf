"""What metric math computes with: numbers, time series and lists of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from elba.cloudwatch.expressions.parser import ExpressionError
from elba.datapoints import Dimensions


@dataclass(frozen=True, slots=True)
class Source:
    """The metric that a series was read from."""

    namespace: str
    metric_name: str
    dimensions: Dimensions
    stat: str


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """Values by timestamp, in order of time. `raw` is true for a metric's own data (PERIOD takes only those)."""

    values: dict[int, float]
    label: str = ""
    raw: bool = False
    period: int = 60
    samples: dict[int, float] = field(default_factory=dict)
    source: Source | None = None

    def with_values(self, values: dict[int, float]) -> TimeSeries:
        return replace(self, values=values, raw=False, samples={})


@dataclass(frozen=True, slots=True)
class Window:
    """[start, end) in periods counted from `origin`: 0 for queries, the end for alarms (whose periods slide)."""

    start: float
    end: float
    origin: float = 0.0

    def grid(self, period: int) -> range:
        first = int(self.start - (self.start - self.origin) % period)
        return range(first, max(first, int(self.end)), period)


_KEPT = ((60, 3 * 3600), (300, 15 * 86400), (3600, 63 * 86400), (math.inf, 455 * 86400))
"""Data can be asked for in periods shorter than the first number while they are no older than the second."""
FUTURE_SECONDS = 2 * 3600
"""How far ahead of the clock a datapoint's timestamp can be."""


def kept_only(window: Window, period: int, now: float) -> Window:
    """The part of the window for which there can be data in that period.

    Source: API reference, GetMetricData, MetricStat, Period.
    """
    oldest = now - next(age for limit, age in _KEPT if period < limit)
    newest = now + FUTURE_SECONDS + period
    if window.start >= oldest and window.end <= newest:
        return window
    start = max(window.start, oldest)
    return replace(window, start=start, end=max(start, min(window.end, newest)))


Value = float | str | TimeSeries | list[TimeSeries]


def union(*many: TimeSeries) -> list[int]:
    """All timestamps of any of them, in order."""
    return sorted(set().union(*(s.values for s in many)))


def require_series(value: Value, function: str) -> TimeSeries:
    if isinstance(value, TimeSeries):
        return value
    if isinstance(value, list) and len(value) == 1:
        return value[0]
    raise ExpressionError(f"{function} needs a time series")


def require_many(value: Value, function: str) -> list[TimeSeries]:
    """A list; a single series counts as a list of one."""
    if isinstance(value, list):
        return value
    if isinstance(value, TimeSeries):
        return [value]
    raise ExpressionError(f"{function} needs an array of time series")


def require_number(value: Value, function: str) -> float:
    if isinstance(value, float):
        return value
    raise ExpressionError(f"{function} needs a number")
