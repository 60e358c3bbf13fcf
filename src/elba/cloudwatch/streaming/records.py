"""Updates as the records that CloudWatch hands to a delivery stream, in a metric stream's output format. Pure.

Source: CloudWatch user guide, "Metric streams output formats".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from elba.cloudwatch.resources import MetricStream
from elba.cloudwatch.streaming.updates import Update

UPDATES_PER_MESSAGE = 100
"""OpenTelemetry messages are kept short: a record holds one or several, each with its length before it."""

_lines = msgspec.json.Encoder()


def record(stream: MetricStream, updates: Sequence[Update]) -> bytes:
    """The record's data: lines of JSON, or OpenTelemetry messages each after its length as a varint."""
    if stream.output_format == "json":
        return b"".join(_lines.encode(_line(stream, update)) + b"\n" for update in updates)
    # Late, here and in `destinations`: only who streams pays for loading the schema (80 ms).
    from elba.cloudwatch.streaming.otlp import export_request

    parts = []
    for some in _chunks(updates):
        request = export_request(some, stream.arn, labels=stream.output_format == "opentelemetry0.7")
        message = request.SerializeToString()
        parts += [varint(len(message)), message]
    return b"".join(parts)


def _line(stream: MetricStream, update: Update) -> dict[str, object]:
    return {
        "metric_stream_name": stream.id,
        "account_id": update.account,
        "region": update.region,
        "namespace": update.namespace,
        "metric_name": update.metric_name,
        "dimensions": dict(update.dimensions),
        "timestamp": update.start * 1000,
        "value": {
            "max": update.maximum,
            "min": update.minimum,
            "sum": update.total,
            "count": update.count,
            **dict(update.extra),
        },
        "unit": update.unit,
    }


def _chunks(updates: Sequence[Update]) -> Iterator[Sequence[Update]]:
    for first in range(0, len(updates), UPDATES_PER_MESSAGE):
        yield updates[first : first + UPDATES_PER_MESSAGE]


def varint(number: int) -> bytes:
    """`number` in seven-bit groups, the least first."""
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)
