"""Dynamic labels of GetMetricData: `${LABEL}`, `${AVG}`, `${PROP('Dim.InstanceId')}` and the like. Pure.

Source: CloudWatch user guide, "Using dynamic labels".
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from elba.call import Call
from elba.cloudwatch.expressions.queries import dimensions_of
from elba.cloudwatch.expressions.values import TimeSeries
from elba.cloudwatch.limits import validation_error

_PLACE = re.compile(r"\$\{([^{}]*)\}")
_PROPERTY = re.compile(r"""PROP\(\s*['"]([^'"]*)['"]\s*\)""")
_WORD = re.compile(
    r"(?P<whole>AVG|SUM)|(?P<range>FIRST_LAST|MIN_MAX)_(?P<span>TIME_)?RANGE"
    r"|(?P<point>FIRST|LAST|MIN|MAX)(?P<time>_TIME(?P<relative>_RELATIVE)?)?"
)
_ZONE = re.compile(r"([+-])(\d{2})(\d{2})")


def zone_offset(text: str | None) -> timezone:
    """LabelOptions.Timezone (`+0130`). Raises: ApiError ValidationError."""
    if text is None:
        return UTC
    match = _ZONE.fullmatch(text)
    if match is None or int(match[2]) > 23 or int(match[3]) > 59:
        raise validation_error(f"The value {text} for parameter LabelOptions.Timezone is not of the form +HHMM.")
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)


def expand_label(
    query: Mapping[str, Any],
    default: str,
    points: Sequence[tuple[int, float]],
    call: Call,
    zone: timezone,
    series: TimeSeries | None = None,
) -> str:
    """The query's Label with its places filled, or `default` if it has none.

    `series` is one that an expression gave, whose metric is told if it has one.
    """
    label = query.get("label")
    if not label:
        return default
    if "${" not in label:
        return str(label)
    properties = _properties(query, series, call)
    return _PLACE.sub(lambda match: _filled(match, properties, default, sorted(points), call, zone), label)


def _filled(
    match: re.Match[str],
    properties: Mapping[str, str],
    default: str,
    ordered: Sequence[tuple[int, float]],
    call: Call,
    zone: timezone,
) -> str:
    """`ordered` is the points, oldest first."""
    word = match[1].strip()
    if word == "LABEL":
        return default
    if (prop := _PROPERTY.fullmatch(word)) is not None:
        return properties.get(prop[1], "")
    if word == "DATAPOINT_COUNT":
        return str(len(ordered))
    place = _WORD.fullmatch(word)
    if place is None:
        return match[0]
    if not ordered:
        return "--"
    if place["whole"]:
        total = math.fsum(value for _, value in ordered)
        return f"{total / len(ordered) if place['whole'] == 'AVG' else total:g}"
    found = {
        "FIRST": ordered[0],
        "LAST": ordered[-1],
        "MIN": min(ordered, key=lambda p: p[1]),
        "MAX": max(ordered, key=lambda p: p[1]),
    }
    if place["range"]:
        first, last = (found[name] for name in place["range"].split("_"))
        return _duration(abs(last[0] - first[0])) if place["span"] else f"{last[1] - first[1]:g}"
    point = found[place["point"]]
    if place["relative"]:
        return _duration(call.now - point[0])
    if place["time"]:
        return f"{datetime.fromtimestamp(point[0], zone):%Y-%m-%d %H:%M:%S}"
    return f"{point[1]:g}"


def _duration(seconds: float) -> str:
    return f"{max(0, int(seconds) // 60)}m"


def _properties(query: Mapping[str, Any], series: TimeSeries | None, call: Call) -> dict[str, str]:
    stat = query.get("metric_stat") or {}
    metric = stat.get("metric") or {}
    known = {
        "AccountId": call.account,
        "MetricName": metric.get("metric_name"),
        "Namespace": metric.get("namespace"),
        "Period": stat.get("period"),
        "Region": call.region,
        "Stat": stat.get("stat"),
    }
    pairs = dimensions_of(metric)
    if series is not None and (source := series.source) is not None:
        known |= {"MetricName": source.metric_name, "Namespace": source.namespace, "Stat": source.stat}
        known["Period"] = series.period
        pairs = source.dimensions
    told = {name: str(value) for name, value in known.items() if value}
    return told | {f"Dim.{name}": value for name, value in pairs}
