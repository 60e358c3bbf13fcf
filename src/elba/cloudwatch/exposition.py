"""The metric store's newest values in Prometheus' text format, for a scraper that knows nothing of CloudWatch. Pure.

Each metric becomes a summary over its newest minute: `<namespace>_<metric>` with the quantiles where the values allow
them, `_sum` and `_count`, and gauges `_min` and `_max`; account, region, unit and the dimensions are labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from elba.cloudwatch.buckets import Bucket
from elba.cloudwatch.metric import Metric
from elba.cloudwatch.statistics import parse_statistic
from elba.datapoints import Dimensions

FRESH_SECONDS = 600
"""Metrics without data for so long are left out."""
QUANTILES = (("0.5", "p50"), ("0.9", "p90"), ("0.99", "p99"))
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_WORDS = re.compile(r"[^A-Za-z0-9]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def _snake(text: str) -> str:
    words = [_HUMP.sub("_", word) for word in _WORDS.split(text) if word]
    name = "_".join(words).lower()
    return f"_{name}" if name[:1].isdigit() else name


def _labels(pairs: Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs) + "}"


def metric_family(namespace: str, metric_name: str) -> str:
    """`aws_ec2_cpu_utilization`."""
    return f"{_snake(namespace)}_{_snake(metric_name)}"


def labels_of(account: str, region: str, unit: str, dimensions: Dimensions) -> list[tuple[str, str]]:
    """account, region, unit, and the dimensions under names that no other label has."""
    pairs = [("account", account), ("region", region), ("unit", unit)]
    used = {"account", "region", "unit", "quantile", "statistic"}
    for dimension, value in dimensions:
        label = _snake(dimension) or "dimension"
        while label in used:
            label += "_"
        used.add(label)
        pairs.append((label, value))
    return pairs


def expose(metrics: Iterable[Metric], now: float) -> str:
    """The text of one scrape."""
    families: dict[str, list[str]] = {}
    for metric in metrics:
        name = metric_family(metric.namespace, metric.name)
        for unit, series in metric.series.items():
            newest = series.newest
            if newest < now - FRESH_SECONDS:
                continue
            minute = newest - newest % 60
            buckets = series.buckets(minute, minute + 60, 60)
            if not buckets:
                continue
            pairs = labels_of(*metric.identity[:2], unit, metric.dimensions)
            families.setdefault(name, []).extend(_samples(name, pairs, buckets[0]))
    lines: list[str] = []
    for name, samples in sorted(families.items()):
        own = [s for s in samples if not s.startswith((f"{name}_min{{", f"{name}_max{{"))]
        lines += [f"# TYPE {name} summary", *own]
        for suffix in ("min", "max"):
            lines.append(f"# TYPE {name}_{suffix} gauge")
            lines += [s for s in samples if s.startswith(f"{name}_{suffix}{{")]
    return "\n".join(lines) + "\n" if lines else ""


def _samples(name: str, pairs: list[tuple[str, str]], bucket: Bucket) -> Iterator[str]:
    for quantile, statistic in QUANTILES:
        value = parse_statistic(statistic).of(bucket)
        if value is not None:
            yield f"{name}{_labels([*pairs, ('quantile', quantile)])} {value!r}"
    labels = _labels(pairs)
    yield f"{name}_sum{labels} {bucket.total!r}"
    yield f"{name}_count{labels} {bucket.count!r}"
    yield f"{name}_min{labels} {bucket.minimum!r}"
    yield f"{name}_max{labels} {bucket.maximum!r}"
