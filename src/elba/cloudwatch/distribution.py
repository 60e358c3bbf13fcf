"""How a period's values were distributed, in bounded memory: what percentile statistics are computed from.

Up to `EXACT_VALUES` different values are kept as they are. Beyond that they are counted in logarithmic bins, so that a
value read back differs by at most `RELATIVE_ERROR` from the one put in. Values are never negative (CloudWatch has no
percentiles for those). Distributions merge without further error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

RELATIVE_ERROR = 0.01
EXACT_VALUES = 150
"""As many as one PutMetricData entry can hold."""
MOST_BINS = 2048
"""The smallest values share a bin if the largest is more than e^40 times larger than they."""

_GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA = math.log(_GAMMA)
_MIDDLE = 2 / (_GAMMA + 1)
_ZERO_BIN = -40_000
"""Below the bin of the smallest positive double."""


def _compact(number: float) -> float | int:
    """`number` as an integer if it is one: MessagePack then needs one to five bytes and not nine."""
    whole = int(number)
    return whole if whole == number and abs(whole) < 2**53 else number


class Distribution:
    """Counts by value; either `values` (exact) or `bins` (logarithmic) is set."""

    __slots__ = ("bins", "values")

    def __init__(self, values: dict[float, float] | None = None) -> None:
        self.values: dict[float, float] | None = {} if values is None else values
        self.bins: dict[int, float] = {}

    def add(self, value: float, count: float) -> None:
        values = self.values
        if values is not None:
            values[value] = values.get(value, 0.0) + count
            if len(values) > EXACT_VALUES:
                self._to_bins()
            return
        index = _ZERO_BIN if value <= 0.0 else math.ceil(math.log(value) / _LOG_GAMMA)
        bins = self.bins
        bins[index] = bins.get(index, 0.0) + count
        if len(bins) > MOST_BINS:
            self._collapse()

    def merge(self, other: Distribution) -> None:
        if other.values is not None:
            for value, count in other.values.items():
                self.add(value, count)
            return
        if self.values is not None:
            self._to_bins()
        bins = self.bins
        for index, count in other.bins.items():
            bins[index] = bins.get(index, 0.0) + count
        if len(bins) > MOST_BINS:
            self._collapse()

    def items(self, minimum: float, maximum: float) -> list[tuple[float, float]]:
        """(value, count) in ascending order of value; values of bins are kept within the known extremes."""
        if self.values is not None:
            return sorted(self.values.items())
        return [
            (
                minimum if index == _ZERO_BIN else min(maximum, max(minimum, _GAMMA**index * _MIDDLE)),
                count,
            )
            for index, count in sorted(self.bins.items())
        ]

    def _to_bins(self) -> None:
        values, self.values = self.values, None
        for value, count in (values or {}).items():
            self.add(value, count)

    def _collapse(self) -> None:
        order = sorted(self.bins)
        floor = order[len(order) - MOST_BINS]
        for index in order[: len(order) - MOST_BINS]:
            self.bins[floor] += self.bins.pop(index)

    def encode(self) -> bytes:
        """As it is kept at rest and on disk: one to three bytes for most counts and bins."""
        if self.values is not None:
            counts = [_compact(c) for c in self.values.values()]
            return msgspec.msgpack.encode((0, [_compact(v) for v in self.values], counts))
        order = sorted(self.bins)
        gaps = [index - before for index, before in zip(order, [0, *order], strict=False)]
        return msgspec.msgpack.encode((1, gaps, [_compact(self.bins[i]) for i in order]))

    @classmethod
    def decode(cls, data: bytes) -> Distribution:
        """Raises: msgspec.DecodeError."""
        mode, keys, counts = msgspec.msgpack.decode(data, type=tuple[int, list[float], list[float]])
        if mode == 0:
            return cls(dict(zip(keys, counts, strict=True)))
        result = cls()
        result.values = None
        index = 0
        for gap, count in zip(keys, counts, strict=True):
            index += int(gap)
            result.bins[index] = count
        return result


def of_values(pairs: Iterable[tuple[float, float]]) -> Distribution:
    """The distribution of (value, count) pairs."""
    result = Distribution()
    for value, count in pairs:
        result.add(value, count)
    return result
