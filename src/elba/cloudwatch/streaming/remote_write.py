"""Updates as a Prometheus remote-write request (version 1: snappy over protobuf). Pure.

Names and labels are those of `GET /metrics` (see `exposition`): a summary's quantiles, `_sum`, `_count`, `_min` and
`_max`; statistics that are no percentiles have the label `statistic`. A sample's time is its minute's end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from elba.cloudwatch.exposition import labels_of, metric_family
from elba.cloudwatch.statistics import parse_statistic
from elba.cloudwatch.streaming.updates import PERIOD_SECONDS, Update


def _write_request() -> type[Message]:
    """`WriteRequest{repeated TimeSeries{repeated Label, repeated Sample}}`, as much of prometheus/prompb as we send."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="elba/remote_write.proto", package="elba.prompb", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, descriptor_pb2.FieldDescriptorProto.Type.ValueType, str]) -> None:
        described = file.message_type.add(name=name)
        for member, number, type_, type_name in fields:
            label = field.LABEL_REPEATED if type_name else field.LABEL_OPTIONAL
            described.field.add(name=member, number=number, type=type_, type_name=type_name or None, label=label)

    message("Label", ("name", 1, field.TYPE_STRING, ""), ("value", 2, field.TYPE_STRING, ""))
    message("Sample", ("value", 1, field.TYPE_DOUBLE, ""), ("timestamp", 2, field.TYPE_INT64, ""))
    message(
        "TimeSeries",
        ("labels", 1, field.TYPE_MESSAGE, ".elba.prompb.Label"),
        ("samples", 2, field.TYPE_MESSAGE, ".elba.prompb.Sample"),
    )
    message("WriteRequest", ("timeseries", 1, field.TYPE_MESSAGE, ".elba.prompb.TimeSeries"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("elba.prompb.WriteRequest"))


WriteRequest = _write_request()


def series(update: Update) -> Iterator[tuple[str, list[tuple[str, str]], float]]:
    """(name, labels besides it, value) of each sample."""
    family = metric_family(update.namespace, update.metric_name)
    labels = labels_of(update.account, update.region, update.unit, update.dimensions)
    yield f"{family}_sum", labels, update.total
    yield f"{family}_count", labels, update.count
    yield f"{family}_min", labels, update.minimum
    yield f"{family}_max", labels, update.maximum
    for text, value in update.extra:
        statistic = parse_statistic(text)
        if statistic.kind == "p" and statistic.high is not None:
            yield family, [*labels, ("quantile", f"{statistic.high / 100:.12g}")], value
        else:
            yield family, [*labels, ("statistic", text)], value


def write_request(updates: Iterable[Update]) -> bytes:
    """The request's body. Samples of one series are in order of time, as the receiver wants them."""
    request = WriteRequest()
    by_series: dict[tuple[tuple[str, str], ...], list[tuple[int, float]]] = {}
    for update in sorted(updates, key=lambda u: u.start):
        at = (update.start + PERIOD_SECONDS) * 1000
        for name, labels, value in series(update):
            by_series.setdefault(tuple(sorted([("__name__", name), *labels])), []).append((at, value))
    add = request.timeseries.add  # type: ignore[attr-defined] # made at run time
    for pairs, samples in by_series.items():
        add(
            labels=[{"name": name, "value": value} for name, value in pairs],
            samples=[{"value": value, "timestamp": at} for at, value in samples],
        )
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
