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
from elba.cloudwatch.limits import validation_error

_PLACE = re.compile(r"\$\{([^{}]*)\}")
_PROPERTY = re.compile(r"""PROP\(\s*['"]([^'"]*)['"]\s*\)""")
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
    query: Mapping[str, Any], default: str, points: Sequence[tuple[int, float]], call: Call, zone: timezone
) -> str:
    """The query's Label with its places filled, or `default` if it has none."""
    label = query.get("label")
    if not label:
        return default
    if "${" not in label:
        return str(label)
    return _PLACE.sub(lambda match: _filled(match, query, default, points, call, zone), label)


def _filled(
    match: re.Match[str],
    query: Mapping[str, Any],
    default: str,
    points: Sequence[tuple[int, float]],
    call: Call,
    zone: timezone,
) -> str:
    word = match[1].strip()
    if word == "LABEL":
        return default
    if (prop := _PROPERTY.fullmatch(word)) is not None:
        return _property(prop[1], query, call)
    if word == "DATAPOINT_COUNT":
        return str(len(points))
    name = word.removesuffix("_TIME_RELATIVE").removesuffix("_TIME")
    if name not in ("MIN", "MAX", "AVG", "SUM", "FIRST", "LAST"):
        return match[0]
    if not points:
        return "--"
    if name in ("AVG", "SUM"):
        total = math.fsum(value for _, value in points)
        return f"{total / len(points) if name == 'AVG' else total:g}"
    ordered = sorted(points)
    point = {
        "FIRST": ordered[0],
        "LAST": ordered[-1],
        "MIN": min(ordered, key=lambda p: p[1]),
        "MAX": max(ordered, key=lambda p: p[1]),
    }[name]
    if word.endswith("_RELATIVE"):
        return f"{max(0, int(call.now - point[0]) // 60)}m"
    if word.endswith("_TIME"):
        return f"{datetime.fromtimestamp(point[0], zone):%Y-%m-%d %H:%M:%S}"
    return f"{point[1]:g}"


def _property(name: str, query: Mapping[str, Any], call: Call) -> str:
    stat = query.get("metric_stat") or {}
    metric = stat.get("metric") or {}
    if name.startswith("Dim."):
        return dict(dimensions_of(metric)).get(name.removeprefix("Dim."), "")
    known = {
        "AccountId": call.account,
        "MetricName": metric.get("metric_name"),
        "Namespace": metric.get("namespace"),
        "Period": stat.get("period"),
        "Region": call.region,
        "Stat": stat.get("stat"),
    }
    return str(known.get(name) or "")
