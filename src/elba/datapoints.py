"""A measured value on its way into the metric store, and the interface it goes through.

Producers (node reports, compute samples, PutMetricData) know only this module; CloudWatch's series
engine implements `MetricSink`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

Dimensions = tuple[tuple[str, str], ...]
"""(name, value) pairs sorted by name: a metric's identity does not depend on their order."""


def dimensions(pairs: Mapping[str, str]) -> Dimensions:
    """`pairs` in the form that identifies a metric."""
    return tuple(sorted(pairs.items()))


class Datapoint(msgspec.Struct, frozen=True, kw_only=True):
    """One contribution to one metric, either raw values or a statistic set.

    `values` with `counts` (how often each value occurred) keep percentiles exact; a statistic set
    (`sample_count` > 0 and no values) has none unless all its samples were equal.
    `timestamp` is in clock seconds since the epoch; `resolution` is 60 or 1 second.
    Source: CloudWatch API reference, MetricDatum.
    """

    account: str
    region: str
    namespace: str
    metric_name: str
    timestamp: float
    dimensions: Dimensions = ()
    unit: str = "None"
    values: tuple[float, ...] = ()
    counts: tuple[float, ...] = ()
    sample_count: float = 0.0
    sum: float = 0.0
    minimum: float = 0.0
    maximum: float = 0.0
    resolution: int = 60


class MetricSink(Protocol):
    """Where datapoints go. Putting never waits and never fails: the values were validated before."""

    def put(self, datapoints: Iterable[Datapoint]) -> None: ...
