"""What a metric stream sends of one metric and one minute. Pure.

Source: CloudWatch user guide, "Use metric streams"; API reference, PutMetricStream.
"""

from __future__ import annotations

from dataclasses import dataclass

from elba.cloudwatch.buckets import Bucket
from elba.cloudwatch.metric import Metric
from elba.cloudwatch.resources import MetricStream
from elba.cloudwatch.statistics import parse_statistic
from elba.datapoints import Dimensions

PERIOD_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Update:
    """One metric's minute that began at `start`; `extra` are additional statistics by their CloudWatch names."""

    account: str
    region: str
    namespace: str
    metric_name: str
    dimensions: Dimensions
    unit: str
    start: int
    count: float
    total: float
    minimum: float
    maximum: float
    extra: tuple[tuple[str, float], ...] = ()


def selects(stream: MetricStream, namespace: str, metric_name: str) -> bool:
    """True if the stream's filters let the metric through."""
    for each in stream.include_filters:
        if each["namespace"] == namespace and metric_name in each.get("metric_names", (metric_name,)):
            return True
    if stream.include_filters:
        return False
    return not any(
        each["namespace"] == namespace and metric_name in each.get("metric_names", (metric_name,))
        for each in stream.exclude_filters
    )


def additional_statistics(stream: MetricStream, namespace: str, metric_name: str) -> tuple[str, ...]:
    """The statistics that the stream sends of this metric besides the four it always sends."""
    found: dict[str, None] = {}
    for each in stream.statistics_configurations:
        if any(m["namespace"] == namespace and m["metric_name"] == metric_name for m in each["include_metrics"]):
            found.update(dict.fromkeys(each["additional_statistics"]))
    return tuple(found)


def update_of(metric: Metric, unit: str, bucket: Bucket, statistics: tuple[str, ...]) -> Update:
    """`bucket` as it is sent; statistics that it cannot give (no raw values) are left out."""
    account, region, namespace, name, dimensions = metric.identity
    values = ((text, parse_statistic(text).of(bucket)) for text in statistics)
    return Update(
        account=account,
        region=region,
        namespace=namespace,
        metric_name=name,
        dimensions=dimensions,
        unit=unit,
        start=bucket.start,
        count=bucket.count,
        total=bucket.total,
        minimum=bucket.minimum,
        maximum=bucket.maximum,
        extra=tuple((text, value) for text, value in values if value is not None),
    )
