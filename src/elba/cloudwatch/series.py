"""The metric store: time series in memory, with CloudWatch's retention tiers, durable through a journal.

Datapoints come in through `SeriesEngine.put` (from the node reports, the compute samples and PutMetricData) and are
added at once to the bucket of their second or minute; queries, alarms and the console read buckets from here. Older
buckets are rolled up: seconds for 3 hours, minutes for 15 days, 5 minutes for 63 days, hours for 455 days.
Source: CloudWatch user guide, "Metrics retention".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path

from elba.clock import Clock
from elba.cloudwatch.distribution import Distribution, of_values
from elba.cloudwatch.journal import Columns, Extremes, Identity, Journal, RawShape, Record, State
from elba.datapoints import Datapoint, Dimensions

log = logging.getLogger(__name__)

PERIODS = (1, 60, 300, 3600)
RETENTION_SECONDS = (3 * 3600, 15 * 86400, 63 * 86400, 455 * 86400)
FLUSH_SECONDS = 0.5
"""Real seconds between writes of the journal: with the write itself, less than a second can be lost."""
PENDING_MOST = 2_000_000
"""Records kept for a disk that takes none; the oldest are given up beyond that."""
SWEEP_SHARE = 8
"""One metric is checked for buckets to roll up for so many datapoints put."""

OPAQUE = b""
"""In place of a distribution: the bucket holds statistic sets or negative values, so there are no percentiles."""

Shape = Distribution | bytes


class Bucket:
    """What is known of one period. `shape` is None if all values were equal."""

    __slots__ = ("count", "maximum", "minimum", "shape", "start", "total")

    def __init__(
        self, start: int, count: float, total: float, minimum: float, maximum: float, shape: Shape | None
    ) -> None:
        self.start = start
        self.count = count
        self.total = total
        self.minimum = minimum
        self.maximum = maximum
        self.shape = shape

    def merge(self, other: Bucket) -> None:
        """Add what `other` holds, leaving `other` as it is."""
        self.shape = _merged(self, other)
        self.count += other.count
        self.total += other.total
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)

    def items(self) -> list[tuple[float, float]] | None:
        """(value, count) in ascending order of value, or None if that is not known."""
        if self.minimum < 0:
            return None
        if self.shape is None:
            return [(self.minimum, self.count)]
        distribution = _thawed(self.shape)
        return None if distribution is None else distribution.items(self.minimum, self.maximum)


def _thawed(shape: Shape) -> Distribution | None:
    if isinstance(shape, Distribution):
        return shape
    return Distribution.decode(shape) if shape else None


def _merged(a: Bucket, b: Bucket) -> Shape | None:
    """The shape of both together; never one of theirs, except when frozen."""
    if a.shape is None and b.shape is None and a.minimum == b.minimum:
        return None
    if a.minimum < 0 or b.minimum < 0 or a.shape == OPAQUE or b.shape == OPAQUE:
        return OPAQUE
    if a.shape is None:
        result = Distribution({a.minimum: a.count})
    elif isinstance(a.shape, bytes):
        result = Distribution.decode(a.shape)
    else:
        result = Distribution()
        result.merge(a.shape)
    _add_shape(result, b)
    return result


def _add_shape(result: Distribution, b: Bucket) -> None:
    if b.shape is None:
        result.add(b.minimum, b.count)
    elif (other := _thawed(b.shape)) is not None:
        result.merge(other)


class Tier:
    """Buckets of one length, in columns in order of time: 36 bytes each, and a shape where values differed."""

    __slots__ = ("counts", "maxima", "minima", "period", "shapes", "starts", "totals")

    def __init__(self, period: int) -> None:
        self.period = period
        self.starts = array("I")
        self.counts = array("d")
        self.totals = array("d")
        self.minima = array("d")
        self.maxima = array("d")
        self.shapes: dict[int, Shape] = {}

    def add(self, start: int, count: float, total: float, minimum: float, maximum: float, shape: Shape | None) -> None:
        starts = self.starts
        size = len(starts)
        if not size or start > starts[-1]:
            starts.append(start)
            self.counts.append(count)
            self.totals.append(total)
            self.minima.append(minimum)
            self.maxima.append(maximum)
            if shape is not None:
                self.shapes[start] = shape
            if size > 1 and self.shapes:
                self._freeze(starts[-3])
            return
        i = size - 1 if start == starts[-1] else bisect_left(starts, start)
        if starts[i] != start:
            starts.insert(i, start)
            self.counts.insert(i, count)
            self.totals.insert(i, total)
            self.minima.insert(i, minimum)
            self.maxima.insert(i, maximum)
            if shape is not None:
                self.shapes[start] = shape
                self._freeze(start)
            return
        if shape is not None or minimum != self.minima[i] or start in self.shapes:
            self._merge_shape(i, Bucket(start, count, total, minimum, maximum, shape))
        self.counts[i] += count
        self.totals[i] += total
        if minimum < self.minima[i]:
            self.minima[i] = minimum
        if maximum > self.maxima[i]:
            self.maxima[i] = maximum

    def _merge_shape(self, i: int, new: Bucket) -> None:
        old = self.shapes.get(new.start)
        if isinstance(old, Distribution) and new.minimum >= 0 and new.shape != OPAQUE:
            _add_shape(old, new)
        else:
            merged = _merged(self.at(i), new)
            if merged is not None:
                self.shapes[new.start] = merged
        if i < len(self.starts) - 2:
            self._freeze(new.start)

    def _freeze(self, start: int) -> None:
        """Into the form at rest, once later buckets have come."""
        shape = self.shapes.get(start)
        if isinstance(shape, Distribution):
            self.shapes[start] = shape.encode()

    def at(self, i: int) -> Bucket:
        start = self.starts[i]
        return Bucket(start, self.counts[i], self.totals[i], self.minima[i], self.maxima[i], self.shapes.get(start))

    def between(self, start: float, end: float) -> Iterator[Bucket]:
        starts = self.starts
        first = bisect_left(starts, max(0, math.ceil(start)))
        last = bisect_left(starts, max(0, math.ceil(end)), first)
        for i in range(first, last):
            yield self.at(i)

    def drop_before(self, cut: int) -> list[Bucket]:
        """Remove and return all buckets that begin before `cut`."""
        end = bisect_left(self.starts, max(0, cut))
        gone = [self.at(i) for i in range(end)]
        for column in (self.starts, self.counts, self.totals, self.minima, self.maxima):
            del column[:end]
        for bucket in gone:
            self.shapes.pop(bucket.start, None)
        return gone


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
            if tier is None or not tier.starts:
                continue
            length = PERIODS[min(index + 1, 3)]
            cut = int((now - RETENTION_SECONDS[index]) // length) * length
            if tier.starts[0] >= cut:
                continue
            gone = tier.drop_before(cut)
            if index < 3:
                coarser = self.tier(index + 1)
                for b in gone:
                    coarser.add(b.start - b.start % length, b.count, b.total, b.minimum, b.maximum, b.shape)

    def buckets(self, start: float, end: float, period: int, origin: float = 0) -> list[Bucket]:
        """What was measured in [start, end), by periods counted from `origin`, in order of time.

        Periods without data are left out; data kept only in coarser buckets than `period` are not seen.
        """
        result: dict[int, Bucket] = {}
        for tier in self.tiers:
            if tier is None or period % tier.period:
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
        return max((t.starts[-1] for t in self.tiers if t is not None and t.starts), default=0)


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
        """How many buckets of any length and unit begin at or after `start`."""
        tiers = (tier for series in self.series.values() for tier in series.tiers if tier is not None)
        return sum(len(tier.starts) - bisect_left(tier.starts, max(0, math.ceil(start))) for tier in tiers)

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


def _shape_of(raw: RawShape) -> Shape | None:
    if raw is None or isinstance(raw, bytes):
        return raw
    values, counts = raw
    return of_values(zip(values, counts, strict=True))


def _contribution(point: Datapoint) -> tuple[Extremes, RawShape]:
    """(count, total, minimum, maximum) and the shape of a datapoint."""
    values = point.values
    if len(values) == 1:
        value = values[0]
        count = point.counts[0] if point.counts else 1.0
        return (count, value * count, value, value), None
    if not values:
        uniform = point.minimum == point.maximum and math.isclose(
            point.sum, point.minimum * point.sample_count, rel_tol=1e-9
        )
        return (
            (point.sample_count, point.sum, point.minimum, point.maximum),
            None if uniform else OPAQUE,
        )
    minimum, maximum = min(values), max(values)
    if point.counts:
        counts = point.counts
        count = math.fsum(counts)
        total = math.fsum(v * c for v, c in zip(values, counts, strict=True))
    else:
        counts = (1.0,) * len(values)
        count, total = float(len(values)), math.fsum(values)
    shape: RawShape = None
    if minimum < 0:
        shape = OPAQUE
    elif minimum != maximum:
        shape = (values, counts)
    return (count, total, minimum, maximum), shape


class SeriesEngine:
    """All metrics of all owners; implements `MetricSink`.

    `path` is the directory of its journal, made if absent; None keeps everything in memory only. Call `open` before
    the first `put` and `close` at the end. All methods belong to the event loop's thread; the disk is written by
    another one.
    """

    def __init__(self, clock: Clock, path: Path | None = None) -> None:
        self._clock = clock
        self._by_identity: dict[Identity, Metric] = {}
        self._owners: dict[tuple[str, str], dict[int, Metric]] = {}
        self._metrics: dict[int, Metric] = {}
        self._next_number = 1
        self._journal = None if path is None else Journal(path)
        self._pending: list[Record] = []
        self._defined: list[Metric] = []
        self._to_rewrite: list[int] = []
        self._rewriting = False
        self._flusher: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._sweep: list[int] = []
        self._sweep_credit = 0
        self.ingested = 0
        """Datapoints put since the start."""

    async def open(self) -> None:
        """Read the journal and begin writing it. A torn end (from a crash) is cut off. Raises: OSError."""
        if self._journal is None:
            return
        await asyncio.to_thread(self._replay, self._journal)
        self._flusher = asyncio.create_task(self._flush_forever(), name="cloudwatch.series.flush")

    async def close(self) -> None:
        """Write what is pending. Raises: OSError if the disk does not take it."""
        if self._journal is None:
            return
        if self._flusher is not None:
            self._closing.set()
            await self._flusher
            self._flusher = None
        await self.flush()
        self._journal.close()

    def put(self, datapoints: Iterable[Datapoint]) -> None:
        """Add validated datapoints; they are visible at once and durable within a second."""
        now = self._clock.now()
        durable = self._journal is not None
        pending = self._pending
        known = self._by_identity
        number_before = self.ingested
        for point in datapoints:
            identity = (point.account, point.region, point.namespace, point.metric_name, point.dimensions)
            metric = known.get(identity)
            if metric is None:
                metric = self._define(identity)
            bucket, raw = _contribution(point)
            if bucket[0] <= 0:
                continue
            self.ingested += 1
            metric.add(now, point.timestamp, point.resolution, point.unit, bucket, _shape_of(raw))
            if durable:
                pending.append((metric.number, point.unit, point.timestamp, point.resolution, bucket, raw))
        self._sweep_some(now, self.ingested - number_before)

    def find(self, account: str, region: str, namespace: str, name: str, dimensions: Dimensions) -> Metric | None:
        """The metric with exactly these dimensions, or None."""
        return self._by_identity.get((account, region, namespace, name, dimensions))

    def metrics(self, account: str, region: str) -> Iterable[Metric]:
        """An owner's metrics in order of their `number`."""
        return self._owners.get((account, region), {}).values()

    def all_metrics(self) -> Iterable[Metric]:
        return self._metrics.values()

    def _define(self, identity: Identity) -> Metric:
        metric = Metric(identity, self._next_number)
        self._next_number += 1
        self._keep(metric)
        if self._journal is not None:
            self._defined.append(metric)
        return metric

    def _keep(self, metric: Metric) -> None:
        self._by_identity[metric.identity] = metric
        self._metrics[metric.number] = metric
        self._owners.setdefault(metric.identity[:2], {})[metric.number] = metric

    def _forget(self, metric: Metric) -> None:
        if self._by_identity.get(metric.identity) is metric:
            del self._by_identity[metric.identity]
        del self._metrics[metric.number]
        del self._owners[metric.identity[:2]][metric.number]

    def _sweep_some(self, now: float, put: int) -> None:
        """Roll up a share of the metrics, so that the work is spread over time and never a pause."""
        self._sweep_credit += put
        while self._sweep_credit >= SWEEP_SHARE:
            self._sweep_credit -= SWEEP_SHARE
            if not self._sweep:
                self._sweep = list(self._metrics)
                if not self._sweep:
                    return
            metric = self._metrics.get(self._sweep.pop())
            if metric is not None and not metric.roll_up(now):
                self._forget(metric)

    # The journal. Records of one metric are in the order of their effect; a state record replaces all before it, so
    # that a new file can be filled metric by metric while datapoints go on arriving.

    async def _flush_forever(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), FLUSH_SECONDS)
            try:
                await self.flush()
            except OSError:
                log.exception("metrics could not be written; they are kept in memory and tried again")
                if len(self._pending) > PENDING_MOST:
                    log.error("giving up %d metric records", len(self._pending) - PENDING_MOST)
                    del self._pending[: len(self._pending) - PENDING_MOST]

    async def flush(self) -> None:
        """Make durable what was put before. Raises: OSError (everything is then kept for the next time)."""
        journal = self._journal
        if journal is None:
            return
        defined, self._defined = self._defined, []
        pending, self._pending = self._pending, []
        states = [state for number in self._take_rewrites() if (state := self._state(number)) is not None]
        if not (defined or pending or states or self._rewriting):
            return
        names = [(m.number, m.identity) for m in defined]
        try:
            await asyncio.to_thread(journal.append, names, pending, states)
        except OSError:
            self._defined = defined + self._defined
            self._pending = pending + self._pending
            if states:
                self._to_rewrite += [state[0] for state in states]
            raise
        if self._rewriting and not self._to_rewrite:
            await asyncio.to_thread(journal.drop_old)
            self._rewriting = False
        elif not self._rewriting and journal.wants_rewrite:
            await asyncio.to_thread(journal.rotate)
            self._to_rewrite, self._rewriting = list(self._metrics), True

    def _take_rewrites(self, most: int = 500) -> list[int]:
        taken, self._to_rewrite = self._to_rewrite[-most:], self._to_rewrite[:-most]
        return taken

    def _state(self, number: int) -> State | None:
        metric = self._metrics.get(number)
        if metric is None:
            return None
        metric.roll_up(self._clock.now())
        return (
            number,
            metric.identity,
            [
                _columns(series.unit, index, tier)
                for series in metric.series.values()
                for index, tier in enumerate(series.tiers)
                if tier is not None and tier.starts
            ],
        )

    def _replay(self, journal: Journal) -> None:
        now = self._clock.now()
        for names, records, states in journal.read():
            for number, identity in names:
                if number not in self._metrics:
                    self._keep(Metric(identity, number))
            for record in records:
                number, unit, timestamp, resolution, bucket, raw = record
                metric = self._metrics.get(number)
                if metric is not None:
                    metric.add(now, timestamp, resolution, unit, bucket, _shape_of(raw))
            for number, identity, tiers in states:
                metric = Metric(identity, number)
                for columns in tiers:
                    series = metric.series.setdefault(columns[0], Series(columns[0]))
                    series.tiers[columns[1]] = _tier_of(columns)
                self._keep(metric)
        self._next_number = max(self._metrics, default=0) + 1
        for metric in list(self._metrics.values()):
            if not metric.roll_up(now):
                self._forget(metric)
        self._rewriting = journal.unfinished
        self._to_rewrite = list(self._metrics) if journal.unfinished else []


def _columns(unit: str, index: int, tier: Tier) -> Columns:
    shapes = {s: d if isinstance(d, bytes) else d.encode() for s, d in tier.shapes.items()}
    columns = (tier.starts, tier.counts, tier.totals, tier.minima, tier.maxima)
    starts, counts, totals, minima, maxima = (column.tobytes() for column in columns)
    return unit, index, starts, counts, totals, minima, maxima, shapes


def _tier_of(columns: Columns) -> Tier:
    tier = Tier(PERIODS[columns[1]])
    tier.starts.frombytes(columns[2])
    tier.counts.frombytes(columns[3])
    tier.totals.frombytes(columns[4])
    tier.minima.frombytes(columns[5])
    tier.maxima.frombytes(columns[6])
    tier.shapes.update(columns[7])
    return tier
