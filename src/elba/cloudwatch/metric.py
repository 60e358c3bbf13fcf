"""One metric: its data by unit, in the tiers of CloudWatch's retention.

Seconds are kept for 3 hours, minutes for 15 days, 5 minutes for 63 days, hours for 455 days; what is older is rolled
up into the next tier. Source: CloudWatch user guide, "Metrics retention".
"""

from __future__ import annotations

from elba.cloudwatch.buckets import PERIODS, Bucket, Shape, Tier
from elba.cloudwatch.journal import Extremes, Identity
from elba.datapoints import Dimensions

RETENTION_SECONDS = (3 * 3600, 15 * 86400, 63 * 86400, 455 * 86400)
ROLL_UP_SLACK_SECONDS = 6 * 3600
"""Compressed blocks are opened for a roll-up no more often than this."""


class Series:
    """One metric's data in one unit."""

    __slots__ = ("tiers", "unit")

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.tiers: list[Tier | None] = [None, None, None, None]

    def tier(self, index: int) -> Tier:
        tier = self.tiers[index]
        if tier is None:
            tier = self.tiers[index] = Tier(PERIODS[index])
        return tier

    def roll_up(self, now: float) -> None:
        """Move buckets that are past their tier's retention to the next tier; forget those past the last."""
        for index in range(4):
            tier = self.tiers[index]
            if tier is None or (oldest := tier.oldest) is None:
                continue
            tier.settle(now)
            length = PERIODS[min(index + 1, 3)]
            cut = int((now - RETENTION_SECONDS[index]) // length) * length
            if oldest >= cut - (ROLL_UP_SLACK_SECONDS if tier.blocks else 0):
                continue
            gone = tier.take_before(cut)
            if index < 3:
                coarser = self.tier(index + 1)
                for b in gone:
                    coarser.add(b.start - b.start % length, b.count, b.total, b.minimum, b.maximum, b.shape)

    def buckets(self, start: float, end: float, period: int, origin: float = 0) -> list[Bucket]:
        """What was measured in [start, end), by periods counted from `origin`, in order of time.

        Periods without data are left out; data kept only in coarser buckets than `period` are not seen, except that a
        minute is seen by shorter periods, in the one it begins with (as the service answers).
        """
        result: dict[int, Bucket] = {}
        for tier in self.tiers:
            if tier is None or (period % tier.period and not period < tier.period == 60):
                continue
            for bucket in tier.between(start, end):
                slot = bucket.start - int((bucket.start - origin) % period)
                if (present := result.get(slot)) is not None:
                    present.merge(bucket)
                else:
                    bucket.start = slot
                    result[slot] = bucket
        return [result[slot] for slot in sorted(result)] if len(result) > 1 else list(result.values())

    @property
    def newest(self) -> int:
        """Start of the newest bucket, 0 if there is none."""
        return max((tier.newest for tier in self.tiers if tier is not None), default=0)


class Metric:
    """One metric with its data by unit, in order of their first publication."""

    __slots__ = ("identity", "number", "series")

    def __init__(self, identity: Identity, number: int) -> None:
        self.identity = identity
        self.number = number
        self.series: dict[str, Series] = {}

    @property
    def namespace(self) -> str:
        return self.identity[2]

    @property
    def name(self) -> str:
        return self.identity[3]

    @property
    def dimensions(self) -> Dimensions:
        return self.identity[4]

    @property
    def newest(self) -> int:
        return max((s.newest for s in self.series.values()), default=0)

    def points_since(self, start: float) -> int:
        """About how many buckets of any length and unit begin at or after `start`."""
        tiers = (tier for series in self.series.values() for tier in series.tiers if tier is not None)
        return sum(tier.size_since(start) for tier in tiers)

    def add(
        self,
        now: float,
        timestamp: float,
        resolution: int,
        unit: str,
        bucket: Extremes,
        shape: Shape | None,
    ) -> None:
        series = self.series.get(unit)
        if series is None:
            series = self.series[unit] = Series(unit)
        age = now - timestamp
        if resolution == 1 and age < RETENTION_SECONDS[0]:
            series.tier(0).add(int(timestamp), *bucket, shape)
            return
        index = 1
        while index < 3 and age >= RETENTION_SECONDS[index]:
            index += 1
        length = PERIODS[index]
        series.tier(index).add(int(timestamp // length) * length, *bucket, shape)

    def roll_up(self, now: float) -> bool:
        """Roll up; False if nothing is left of this metric."""
        for unit in [unit for unit, series in self.series.items() if _empty_after(series, now)]:
            del self.series[unit]
        return bool(self.series)


def _empty_after(series: Series, now: float) -> bool:
    series.roll_up(now)
    return series.newest == 0
