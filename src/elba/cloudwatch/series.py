"""The metric store: all metrics in memory, durable through a journal.

Datapoints come in through `SeriesEngine.put` (from the node reports, the compute samples and PutMetricData) and are
added at once to the bucket of their second or minute; queries, alarms and the console read buckets from here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Iterable
from pathlib import Path

from elba.clock import Clock
from elba.cloudwatch.buckets import OPAQUE, Shape, Tier
from elba.cloudwatch.distribution import of_values
from elba.cloudwatch.journal import Extremes, Identity, Journal, RawShape, Record, State
from elba.cloudwatch.metric import Metric, Series
from elba.datapoints import Datapoint, Dimensions

log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.5
"""Real seconds between writes of the journal: with the write itself, less than a second can be lost."""
PENDING_MOST = 2_000_000
"""Records kept for a disk that takes none; the oldest are given up beyond that."""
SWEEP_SHARE = 8
"""One metric is checked for buckets to roll up for so many datapoints put."""
TOUCHED_MOST = 1_000_000
"""Minutes noted for metric streams between two of their rounds; more are not noted."""
REWRITE_STEP_BYTES = 4 * 1024 * 1024
"""How much of a rewrite goes to disk with one flush."""

Touched = set[tuple[int, str, int]]
"""(metric number, unit, start of a minute) of minutes to which something was added."""


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
        self._flushing = asyncio.Lock()
        self._failing = False
        self._sweep: list[int] = []
        self._sweep_credit = 0
        self.touched: Touched | None = None
        """What was added to since it was last emptied; None while no metric stream wants to know."""
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
        known, touched = self._by_identity, self.touched
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
            if touched is not None and len(touched) < TOUCHED_MOST:
                touched.add((metric.number, point.unit, int(point.timestamp // 60) * 60))
            if durable:
                pending.append((metric.number, point.unit, point.timestamp, point.resolution, bucket, raw))
        self._sweep_some(now, self.ingested - number_before)

    def find(self, account: str, region: str, namespace: str, name: str, dimensions: Dimensions) -> Metric | None:
        """The metric with exactly these dimensions, or None."""
        return self._by_identity.get((account, region, namespace, name, dimensions))

    def metric_by_number(self, number: int) -> Metric | None:
        return self._metrics.get(number)

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
            except OSError as error:
                self._disk_failed(error)
            except Exception:
                # A batch that cannot be written is lost; those after it are not.
                log.exception("metrics could not be encoded; a batch is lost")
            else:
                if self._failing:
                    log.info("metrics can be written again")
                self._failing = False

    def _disk_failed(self, error: OSError) -> None:
        """Say so once, not twice a second; keep in memory what memory can hold."""
        if not self._failing:
            log.error("metrics cannot be written (%s); they are kept in memory and tried again", error)
        self._failing = True
        if (surplus := len(self._pending) - PENDING_MOST) > 0:
            log.error("giving up %d metric records", surplus)
            del self._pending[:surplus]

    async def flush(self) -> None:
        """Make durable what was put before. Raises: OSError (everything is then kept for the next time)."""
        if self._journal is not None:
            async with self._flushing:
                await self._flush(self._journal)

    async def _flush(self, journal: Journal) -> None:
        defined, self._defined = self._defined, []
        pending, self._pending = self._pending, []
        states = self._next_states()
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

    def _next_states(self) -> list[State]:
        """The next share of a rewrite under way."""
        states: list[State] = []
        size = 0
        while self._to_rewrite and size < REWRITE_STEP_BYTES:
            metric = self._metrics.get(self._to_rewrite.pop())
            if metric is None:
                continue
            metric.roll_up(self._clock.now())
            tiers = [
                tier.pack(series.unit, index)
                for series in metric.series.values()
                for index, tier in enumerate(series.tiers)
                if tier is not None and tier.oldest is not None
            ]
            states.append((metric.number, metric.identity, tiers))
            size += 200 + sum(len(head) + sum(len(block[3]) for block in blocks) for _, _, blocks, head in tiers)
        return states

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
                for packed in tiers:
                    series = metric.series.setdefault(packed[0], Series(packed[0]))
                    series.tiers[packed[1]] = Tier.unpack(packed)
                self._keep(metric)
        self._next_number = max(self._metrics, default=0) + 1
        for metric in list(self._metrics.values()):
            if not metric.roll_up(now):
                self._forget(metric)
        self._rewriting = journal.unfinished
        self._to_rewrite = list(self._metrics) if journal.unfinished else []
