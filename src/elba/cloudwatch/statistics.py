"""CloudWatch's statistics: their texts, and their value on one bucket. Pure.

Percentiles are nearest-rank on the known values. Percent bounds count ranks: `TM(10%:90%)` of ten values takes the
second to the ninth; absolute bounds exclude the lower and include the upper value.
Source: CloudWatch user guide, "Statistics definitions".
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

from elba.cloudwatch.buckets import Bucket

SIMPLE = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
_NUMBER = r"\d{1,300}(?:\.\d{0,10})?(?:[Ee][+-]?\d{1,3})?"
_SHORT = re.compile(r"(p|tm|tc|ts|wm)(\d{1,2}(?:\.\d{0,10})?|100(?:\.0{0,10})?)")
_RANGE = re.compile(rf"(TM|TC|TS|WM|PR)\(({_NUMBER}%?)?:({_NUMBER}%?)?\)")
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Statistic:
    """A parsed statistic. `kind` is one of SIMPLE, `p` (with `high` the percentage) or TM, TC, TS, WM, PR."""

    text: str
    kind: str
    low: float | None = None
    high: float | None = None
    percent: bool = False

    @property
    def extended(self) -> bool:
        return self.kind not in SIMPLE

    def of(self, bucket: Bucket) -> float | None:
        """The value on `bucket`, or None if the bucket does not hold what it takes (raw, not negative values)."""
        kind = self.kind
        if kind == "Average":
            return bucket.total / bucket.count
        if kind == "Sum":
            return bucket.total
        if kind == "Maximum":
            return bucket.maximum
        if kind == "Minimum":
            return bucket.minimum
        if kind == "SampleCount":
            return bucket.count
        items = bucket.items()
        if items is None:
            return None
        if kind == "p":
            return _percentile(items, self.high or 0.0)
        return self._within(items)

    def _within(self, items: list[tuple[float, float]]) -> float | None:
        total = math.fsum(count for _, count in items)
        inside = _by_rank(items, total, self.low, self.high) if self.percent else _by_value(items, self.low, self.high)
        count = math.fsum(c for _, c in inside)
        if self.kind == "TC":
            return count
        if self.kind == "PR":
            return 100 * count / total
        amount = math.fsum(v * c for v, c in inside)
        if self.kind == "TS":
            return amount
        if self.kind == "TM":
            return amount / count if count else None
        return self._winsorized(items, inside, total)

    def _winsorized(
        self, items: list[tuple[float, float]], inside: list[tuple[float, float]], total: float
    ) -> float | None:
        """The mean with all values outside replaced by the nearer bound (for ranks: the value there)."""
        if self.percent:
            if not inside:
                return None
            low, high = inside[0][0], inside[-1][0]
        else:
            low = -math.inf if self.low is None else self.low
            high = math.inf if self.high is None else self.high
        return math.fsum(min(high, max(low, value)) * count for value, count in items) / total


def _percentile(items: list[tuple[float, float]], percent: float) -> float:
    rank = percent / 100 * math.fsum(count for _, count in items) * (1 - _TINY)
    cumulated = 0.0
    for value, count in items:
        cumulated += count
        if cumulated >= rank:
            return value
    return items[-1][0]


def _by_rank(
    items: list[tuple[float, float]], total: float, low: float | None, high: float | None
) -> list[tuple[float, float]]:
    first = math.floor((low or 0.0) / 100 * total + _TINY)
    last = total if high is None else min(total, math.ceil(high / 100 * total - _TINY))
    result: list[tuple[float, float]] = []
    cumulated = 0.0
    for value, count in items:
        share = min(cumulated + count, last) - max(cumulated, first)
        if share > 0:
            result.append((value, share))
        cumulated += count
    return result


def _by_value(items: list[tuple[float, float]], low: float | None, high: float | None) -> list[tuple[float, float]]:
    return [(v, c) for v, c in items if (low is None or v > low) and (high is None or v <= high)]


@lru_cache(maxsize=1024)
def parse_statistic(text: str) -> Statistic:
    """The statistic that `text` names. Raises: ValueError."""
    if text in SIMPLE:
        return Statistic(text, text)
    if text == "IQM":
        return Statistic(text, "TM", 25.0, 75.0, True)
    if match := _SHORT.fullmatch(text):
        kind = match[1]
        return Statistic(text, kind if kind == "p" else kind.upper(), None, float(match[2]), True)
    if match := _RANGE.fullmatch(text):
        kind, low, high = match.groups()
        percents = {bound.endswith("%") for bound in (low, high) if bound}
        if not percents or len(percents) > 1 or (kind == "PR" and True in percents):
            raise ValueError(f"{text} is not a statistic")
        bounds = [None if bound is None else float(bound.rstrip("%")) for bound in (low, high)]
        percent = percents.pop()
        if percent and any(b is not None and b > 100 for b in bounds):
            raise ValueError(f"{text} is not a statistic")
        if bounds[0] is not None and bounds[1] is not None and bounds[0] >= bounds[1]:
            raise ValueError(f"{text} is not a statistic")
        return Statistic(text, kind, bounds[0], bounds[1], percent)
    raise ValueError(f"{text} is not a statistic")


def samples_needed(statistic: Statistic) -> float:
    """How few samples make a percentile "low sample count": 10/(1-p) from p50 on, else 10/p; 0 if not a percentile.

    Source: CloudWatch user guide, "Percentile-based alarms and low data samples".
    """
    if statistic.kind != "p" or statistic.high is None:
        return 0.0
    share = statistic.high / 100
    if share in (0.0, 1.0):
        return 0.0
    return 10 / (1 - share) if share >= 0.5 else 10 / share
