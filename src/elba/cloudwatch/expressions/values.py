"""What metric math computes with: numbers, time series and lists of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from elba.cloudwatch.expressions.parser import ExpressionError


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """Values by timestamp, in order of time. `raw` is true for a metric's own data (PERIOD takes only those)."""

    values: dict[int, float]
    label: str = ""
    raw: bool = False
    period: int = 60
    samples: dict[int, float] = field(default_factory=dict)

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
        return range(first, int(self.end), period) if self.end > first else range(0)


SECONDS_KEPT = 3 * 3600


def recent_only(window: Window, period: int, now: float) -> Window:
    """The part of the window that periods below a minute can be asked of: the last three hours.

    Source: API reference, GetMetricData, MetricStat, Period.
    """
    if period >= 60 or window.start >= now - SECONDS_KEPT:
        return window
    return replace(window, start=min(window.end, now - SECONDS_KEPT))


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
