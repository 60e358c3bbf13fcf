"""Updates as OpenTelemetry metrics, in the two versions of AWS's output format. Pure.

Each update is a Summary data point: count, sum, and quantile 0 and 1 for minimum and maximum, percentiles between
them. Version 1.0 has the metric's identity in attributes, version 0.7 in string labels, which are the same bytes under
another field number. Source: CloudWatch user guide, "Metric streams output formats", OpenTelemetry 1.0.0 and 0.7.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue, KeyValueList
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, SummaryDataPoint

from elba.cloudwatch.statistics import parse_statistic
from elba.cloudwatch.streaming.updates import PERIOD_SECONDS, Update

_UNITS = {
    "Seconds": "s",
    "Microseconds": "us",
    "Milliseconds": "ms",
    "Bytes": "By",
    "Kilobytes": "kBy",
    "Megabytes": "MBy",
    "Gigabytes": "GBy",
    "Terabytes": "TBy",
    "Bits": "bit",
    "Kilobits": "kbit",
    "Megabits": "MBit",
    "Gigabits": "GBit",
    "Terabits": "Tbit",
    "Percent": "%",
    "Count": "{Count}",
    "None": "1",
}
NANOSECONDS = 1_000_000_000


def unit_of(unit: str) -> str:
    """CloudWatch's unit as the Unified Code for Units of Measure has it: `Bytes/Second` is `By/s`."""
    head, _, per = unit.partition("/")
    code = _UNITS.get(head, head)
    return f"{code}/s" if per else code


def quantiles(update: Update) -> list[tuple[float, float]]:
    """(quantile, value) in ascending order: minimum, the percentiles among the additional statistics, maximum."""
    between = [
        (statistic.high / 100, value)
        for text, value in update.extra
        if (statistic := parse_statistic(text)).kind == "p" and statistic.high is not None
    ]
    return [(0.0, update.minimum), *sorted(q for q in between if 0 < q[0] < 1), (1.0, update.maximum)]


def export_request(updates: Iterable[Update], stream_arn: str, *, labels: bool = False) -> ExportMetricsServiceRequest:
    """The updates, of one owner, as one request; with `labels` in version 0.7."""
    request = ExportMetricsServiceRequest()
    ordered = sorted(updates, key=lambda u: (u.account, u.region, u.namespace, u.metric_name, u.unit))
    for (account, region), own in groupby(ordered, key=lambda u: (u.account, u.region)):
        resource = request.resource_metrics.add()
        for key, value in (
            ("cloud.provider", "aws"),
            ("cloud.account.id", account),
            ("cloud.region", region),
            ("aws.exporter.arn", stream_arn),
        ):
            resource.resource.attributes.append(_pair(key, value))
        scope = resource.scope_metrics.add()
        for (namespace, name, unit), same in groupby(own, key=lambda u: (u.namespace, u.metric_name, u.unit)):
            scope.metrics.append(_metric(namespace, name, unit, list(same), labels))
    return request


def _metric(namespace: str, name: str, unit: str, updates: Sequence[Update], labels: bool) -> Metric:
    metric = Metric(name=f"amazonaws.com/{namespace}/{name}", unit=unit_of(unit))
    for update in updates:
        point = metric.summary.data_points.add(
            start_time_unix_nano=update.start * NANOSECONDS,
            time_unix_nano=(update.start + PERIOD_SECONDS) * NANOSECONDS,
            count=max(0, round(update.count)),
            sum=update.total,
        )
        for quantile, value in quantiles(update):
            point.quantile_values.add(quantile=quantile, value=value)
        if labels:
            _add_labels(point, update)
        else:
            point.attributes.append(_pair("Namespace", namespace))
            point.attributes.append(_pair("MetricName", name))
            pairs = KeyValueList(values=[_pair(key, value) for key, value in update.dimensions])
            point.attributes.append(KeyValue(key="Dimensions", value=AnyValue(kvlist_value=pairs)))
    return metric


def _pair(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _labels_message() -> type[Message]:
    """A message that has only version 0.7's `repeated StringKeyValue labels = 1`, which the present schema reserves."""
    file = descriptor_pb2.FileDescriptorProto(name="elba/otlp_labels.proto", package="elba.otlp", syntax="proto3")
    pair = file.message_type.add(name="StringKeyValue")
    string, repeated = descriptor_pb2.FieldDescriptorProto.TYPE_STRING, descriptor_pb2.FieldDescriptorProto
    pair.field.add(name="key", number=1, type=string, label=repeated.LABEL_OPTIONAL)
    pair.field.add(name="value", number=2, type=string, label=repeated.LABEL_OPTIONAL)
    holder = file.message_type.add(name="Labels")
    holder.field.add(
        name="labels",
        number=1,
        type=repeated.TYPE_MESSAGE,
        type_name=".elba.otlp.StringKeyValue",
        label=repeated.LABEL_REPEATED,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("elba.otlp.Labels"))


Labels = _labels_message()


def _add_labels(point: SummaryDataPoint, update: Update) -> None:
    """As fields that the present schema does not know: what parses as version 0.7 finds them."""
    pairs = [("Namespace", update.namespace), ("MetricName", update.metric_name), *update.dimensions]
    labels = Labels(labels=[{"key": key, "value": value} for key, value in pairs])
    point.MergeFromString(labels.SerializeToString())


def as_json(request: ExportMetricsServiceRequest) -> bytes:
    """OTLP's JSON encoding."""
    return json_format.MessageToJson(request, indent=None).encode()
