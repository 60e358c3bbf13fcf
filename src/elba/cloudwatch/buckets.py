"""Periods of one length and what was measured in them, in little memory.

Buckets are columns of numbers while they are new and compressed blocks afterwards. Nothing here knows of time or of
where the data come from: see `metric` for the tiers of one metric and `series` for all of them.
"""

from __future__ import annotations

import math
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec

from elba.cloudwatch.distribution import Distribution
from elba.cloudwatch.journal import PackedTier

OPEN_SECONDS = 60
"""How long a block that got late data stays uncompressed, since more may come."""
PERIODS = (1, 60, 300, 3600)
BLOCK = 240
"""Buckets in a block: four hours of minutes. The newest 240 to 480 are not compressed: alarms read those."""

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


class Columns:
    """Buckets in columns in order of time: 40 bytes each, and a shape where values differed.

    Starts have 64 bits: a clock scaled a thousandfold leaves 32 bits behind within a month.
    """

    __slots__ = ("counts", "maxima", "minima", "shapes", "starts", "totals")

    def __init__(self) -> None:
        self.starts = array("q")
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

    def take_before(self, cut: int) -> Columns:
        """Remove all buckets that begin before `cut`; what was removed."""
        return self.take(bisect_left(self.starts, max(0, cut)))

    def take(self, size: int) -> Columns:
        """Remove the `size` oldest buckets; what was removed."""
        taken = Columns()
        for mine, other in zip(self._all(), taken._all(), strict=True):
            other.extend(mine[:size])
            del mine[:size]
        if self.shapes:
            for start in taken.starts:
                if (shape := self.shapes.pop(start, None)) is not None:
                    taken.shapes[start] = shape
        return taken

    def _all(self) -> tuple[array[Any], ...]:
        return self.starts, self.counts, self.totals, self.minima, self.maxima

    def encode(self) -> bytes:
        """Compressed; a column that follows from others is left out."""
        equal = self.minima == self.maxima
        single = equal and self.totals == self.minima and all(count == 1.0 for count in self.counts)
        columns = (
            _gaps(self.starts),
            b"" if single else _transposed(self.counts),
            b"" if single else _transposed(self.totals),
            _transposed(self.minima),
            b"" if equal else _transposed(self.maxima),
            {s: d if isinstance(d, bytes) else d.encode() for s, d in self.shapes.items()},
        )
        return zlib.compress(msgspec.msgpack.encode(columns), 6)

    @classmethod
    def decode(cls, data: bytes) -> Columns:
        """Raises: zlib.error, msgspec.DecodeError."""
        result = cls()
        starts, counts, totals, minima, maxima, shapes = _packed.decode(zlib.decompress(data))
        result.minima = _restored(minima)
        for gap in array("I" if len(starts) < len(minima) else "q", starts):
            result.starts.append(gap + (result.starts[-1] if result.starts else 0))
        result.maxima = _restored(maxima) if maxima else result.minima[:]
        result.counts = _restored(counts) if counts else array("d", (1.0,)) * len(result.starts)
        result.totals = _restored(totals) if totals else result.minima[:]
        result.shapes.update(shapes)
        return result


_packed = msgspec.msgpack.Decoder(tuple[bytes, bytes, bytes, bytes, bytes, dict[int, bytes]])


def _gaps(starts: array[int]) -> bytes:
    """The first start and the steps from there; 32 bits each where that is enough, as it is before 2106."""
    steps = [start - before for before, start in pairwise((0, *starts))]
    return array("I" if max(steps, default=0) < 1 << 32 else "q", steps).tobytes()


def _transposed(column: array[float]) -> bytes:
    """All first bytes, then all second ones …: what neighbours have in common lies together."""
    data = column.tobytes()
    return b"".join(data[place::8] for place in range(8))


def _restored(data: bytes) -> array[float]:
    size = len(data) // 8
    mixed = bytearray(len(data))
    for place in range(8):
        mixed[place::8] = data[place * size : (place + 1) * size]
    column = array("d")
    column.frombytes(bytes(mixed))
    return column


class Tier:
    """Buckets of one length: the newest in columns, those before in compressed blocks of `BLOCK` buckets.

    A metric of one value a minute takes 40 bytes for each in the columns and 1 to 10 in a block.
    """

    __slots__ = ("blocks", "head", "late", "late_since", "period")

    def __init__(self, period: int) -> None:
        self.period = period
        self.late = False
        self.late_since: float | None = None
        self.head = Columns()
        self.blocks: list[Block] = []

    @property
    def oldest(self) -> int | None:
        """Start of the oldest bucket, None if there is none."""
        if self.blocks:
            return self.blocks[0].first
        return self.head.starts[0] if self.head.starts else None

    @property
    def newest(self) -> int:
        """Start of the newest bucket, 0 if there is none."""
        if self.head.starts:
            return self.head.starts[-1]
        return self.blocks[-1].last if self.blocks else 0

    def add(self, start: int, count: float, total: float, minimum: float, maximum: float, shape: Shape | None) -> None:
        if self.blocks and start <= self.blocks[-1].last:
            place = self._place(start)
            columns = self.blocks[place].opened()
            columns.add(start, count, total, minimum, maximum, shape)
            self.blocks[place : place + 1] = [Block.open(part) for part in _halves(columns)]
            self.late = True
            return
        self.head.add(start, count, total, minimum, maximum, shape)
        if len(self.head.starts) >= 2 * BLOCK:
            self.blocks.append(Block.of(self.head.take(BLOCK)))

    def between(self, start: float, end: float) -> Iterator[Bucket]:
        if self.blocks and start <= self.blocks[-1].last:
            for block in self.blocks[self._place(start) :]:
                if block.first >= end:
                    return
                if block.last >= start:
                    yield from block.opened(keep=False).between(start, end)
        yield from self.head.between(start, end)

    def _place(self, start: float) -> int:
        """Which block `start` belongs to."""
        return max(0, bisect_right(self.blocks, start, key=lambda block: block.first) - 1)

    def settle(self, now: float) -> None:
        """Compress blocks that late data opened, once they have been open for a while."""
        if not self.late:
            return
        if self.late_since is None:
            self.late_since = now
        elif now - self.late_since >= OPEN_SECONDS:
            for block in self.blocks:
                block.close()
            self.late, self.late_since = False, None

    def take_before(self, cut: int) -> list[Bucket]:
        """Remove and return all buckets that begin before `cut`."""
        gone: list[Bucket] = []
        while self.blocks and self.blocks[0].first < cut:
            columns = self.blocks.pop(0).opened()
            taken = columns.take_before(cut)
            gone += [taken.at(i) for i in range(len(taken.starts))]
            if columns.starts:
                self.blocks.insert(0, Block.of(columns))
        if not self.blocks:
            taken = self.head.take_before(cut)
            gone += [taken.at(i) for i in range(len(taken.starts))]
        return gone

    def size_since(self, start: float) -> int:
        """About how many buckets begin at or after `start`: blocks count as a whole."""
        after = len(self.head.starts) - bisect_left(self.head.starts, max(0, math.ceil(start)))
        return after + sum(block.size for block in self.blocks if block.last >= start)

    def pack(self, unit: str, index: int) -> PackedTier:
        """As it goes to the journal."""
        return unit, index, [(b.first, b.last, b.size, b.close()) for b in self.blocks], self.head.encode()

    @classmethod
    def unpack(cls, packed: PackedTier) -> Tier:
        tier = cls(PERIODS[packed[1]])
        tier.blocks = [Block(*block) for block in packed[2]]
        tier.head = Columns.decode(packed[3])
        return tier


class Block:
    """Some hundred buckets, compressed (`data`) or, while late data come, open (`columns`)."""

    __slots__ = ("columns", "data", "first", "last", "size")

    def __init__(self, first: int, last: int, size: int, data: bytes, columns: Columns | None = None) -> None:
        self.first = first
        self.last = last
        self.size = size
        self.data = data
        self.columns = columns

    def opened(self, *, keep: bool = True) -> Columns:
        """Its buckets; with `keep` it stays open, for those who change them."""
        columns = self.columns
        if columns is None:
            columns = Columns.decode(self.data)
            if keep:
                self.columns = columns
        return columns

    def close(self) -> bytes:
        """Compressed."""
        if self.columns is not None:
            self.data, self.columns = self.columns.encode(), None
        return self.data

    @classmethod
    def open(cls, columns: Columns) -> Block:
        """`columns` is not empty."""
        return cls(columns.starts[0], columns.starts[-1], len(columns.starts), b"", columns)

    @classmethod
    def of(cls, columns: Columns) -> Block:
        """`columns` is not empty."""
        return cls(columns.starts[0], columns.starts[-1], len(columns.starts), columns.encode())


def _halves(columns: Columns) -> list[Columns]:
    """In two if late data has made a block twice as long as it should be."""
    return [columns.take(BLOCK), columns] if len(columns.starts) >= 2 * BLOCK else [columns]
