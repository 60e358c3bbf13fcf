"""Where values and times stand on an axis, which ticks it has and what these are called. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from elba.cloudwatch.widget_images.widget import Axis

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_TIME_STEPS = (1, 5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
DAY = 86400
SMALLEST = 1e-100
"""Less than this is nothing, for the eye."""
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `least` to `most` laid over the pixels from `first` to `last`."""

    least: float
    most: float
    first: float
    last: float

    def at(self, value: float) -> float:
        """The pixel of a value; values beyond an end are put at that end."""
        share = (value - self.least) / (self.most - self.least)
        return self.first + min(1.0, max(0.0, share)) * (self.last - self.first)


def value_bounds(values: Sequence[float], axis: Axis, ticks: int, *, from_zero: bool) -> tuple[float, float]:
    """Least and most of a value axis: as asked, else round numbers around the values."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    largest = max(abs(low), abs(high))
    if high - low <= 1e-6 * largest or largest < SMALLEST:
        # So near to each other that the numbers beside the axis could not tell them apart.
        margin = largest * 0.1 if largest >= SMALLEST else 1.0
        low, high = low - margin, high + margin
    step = round_step(high / ticks - low / ticks)
    least = math.floor(low / step) * step if axis.least is None else axis.least
    most = math.ceil(high / step) * step if axis.most is None else axis.most
    if least >= most:
        # One end was asked for and lies beyond the values.
        span = max(1.0, 0.1 * max(abs(least), abs(most)))
        least, most = (most - span, most) if axis.least is None else (least, least + span)
    return least, most


def round_step(rough: float) -> float:
    """The least of 1, 2, 2.5 and 5 times a power of ten that is not less than `rough`."""
    if rough <= 0 or not math.isfinite(rough):
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (*_STEPS, math.inf) if step * power >= rough * (1 - 1e-9))


def value_ticks(least: float, most: float, count: int) -> list[float]:
    step = round_step(most / count - least / count)
    first = math.ceil(least / step - 1e-9)
    found = [(first + i) * step for i in range(count + 2)]
    return [0.0 if abs(tick) < step * 1e-9 else tick for tick in found if tick <= most + step * 1e-9]


def number_text(value: float) -> str:
    """`12.3k`: four significant digits at most."""
    for size, prefix in _PREFIXES:
        if size <= abs(value) < size * 1000:
            return f"{value / size:.4g}{prefix}"
    return f"{value:.4g}"


def time_ticks(start: float, end: float, zone: tzinfo, count: int) -> list[tuple[float, str]]:
    """(time, text) of at most about `count` round times of day, or days."""
    rough = (end - start) / max(1, count)
    step = next((step for step in _TIME_STEPS if step >= rough), None) or math.ceil(rough / DAY) * DAY
    moment = datetime.fromtimestamp(start, zone)
    offset = moment.utcoffset()
    shift = offset.total_seconds() if offset is not None else 0.0
    form = "%m/%d" if step >= DAY else "%H:%M:%S" if step < 60 else "%H:%M"
    first = math.ceil((start + shift) / step) * step - shift
    times = [first + i * step for i in range(count + 2) if first + i * step <= end]
    return [(time, f"{datetime.fromtimestamp(time, zone):{form}}") for time in times]
