"""ListMetrics and GetMetricStatistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from elba.call import Answer, Call, Request
from elba.cloudwatch.expressions.values import Window, kept_only
from elba.cloudwatch.limits import (
    combination,
    invalid,
    missing,
    require_dimensions,
    require_metric_name,
    require_namespace,
    require_unit,
    validation_error,
)
from elba.cloudwatch.metric import Metric, Series
from elba.cloudwatch.paging import encode_token, require_token
from elba.cloudwatch.series import SeriesEngine
from elba.cloudwatch.statistics import SIMPLE, Statistic, parse_statistic

METRICS_PER_PAGE = 500
FILTERS_MOST = 10
LISTED_SECONDS = 14 * 86400
RECENT_SECONDS = 3 * 3600
DATAPOINTS_MOST = 1440
HIGH_RESOLUTION = (1, 5, 10, 20, 30)


def list_metrics(engine: SeriesEngine, call: Call, request: Request) -> Answer:
    """Metrics with data in the last two weeks (RecentlyActive: three hours). Raises: ApiError."""
    recent = request.get("recently_active")
    if recent not in (None, "PT3H"):
        raise validation_error(f"The value {recent} for parameter RecentlyActive is invalid: only PT3H is.")
    filters = request.get("dimensions") or ()
    if len(filters) > FILTERS_MOST:
        raise invalid(f"At most {FILTERS_MOST} dimension filters can be given.")
    namespace, name = request.get("namespace"), request.get("metric_name")
    since = call.now - (RECENT_SECONDS if recent else LISTED_SECONDS)
    after = require_token(request.get("next_token"), int) or 0
    found: list[Metric] = []
    token: str | None = None
    own = request.get("owning_account") in (None, call.account)
    for metric in engine.metrics(call.account, call.region) if own else ():
        if metric.number <= after:
            continue
        if namespace not in (None, metric.namespace) or name not in (None, metric.name):
            continue
        if (filters and not _passes(metric, filters)) or metric.newest < since:
            continue
        if len(found) == METRICS_PER_PAGE:
            token = encode_token(found[-1].number)
            break
        found.append(metric)
    return {
        "metrics": [
            {
                "namespace": metric.namespace,
                "metric_name": metric.name,
                "dimensions": [{"name": n, "value": v} for n, v in metric.dimensions],
            }
            for metric in found
        ],
        "next_token": token,
        "owning_accounts": [call.account] * len(found) if request.get("include_linked_accounts") else None,
    }


def _passes(metric: Metric, filters: Sequence[Mapping[str, Any]]) -> bool:
    present = dict(metric.dimensions)
    return all(f["name"] in present and f.get("value") in (None, present[f["name"]]) for f in filters)


def get_metric_statistics(engine: SeriesEngine, call: Call, request: Request) -> Answer:
    """One datapoint for each period and unit with data, in order of time. Raises: ApiError.

    Source: CloudWatch API reference, GetMetricStatistics.
    """
    namespace = require_namespace(request.get("namespace"))
    name = require_metric_name(request.get("metric_name"))
    pairs = require_dimensions(request.get("dimensions"), "Dimensions")
    unit = require_unit(request.get("unit"))
    simple, extended = _statistics(request)
    start, end, period = _times(call, request)
    metric = engine.find(call.account, call.region, namespace, name, pairs)
    if metric is not None:
        metric.roll_up(call.now)
    datapoints: list[Answer] = []
    for series in () if metric is None else metric.series.values():
        if unit is None or series.unit == unit:
            datapoints += _datapoints(series, call.now, start, end, period, simple, extended)
    datapoints.sort(key=lambda point: point["timestamp"])
    return {"label": name, "datapoints": datapoints}


def _statistics(request: Request) -> tuple[list[Statistic], list[Statistic]]:
    simple, extended = request.get("statistics") or [], request.get("extended_statistics") or []
    if simple and extended:
        raise combination("The parameters Statistics and ExtendedStatistics cannot be specified together.")
    if not simple and not extended:
        raise combination("At least one of the parameters Statistics and ExtendedStatistics must be specified.")
    if len(simple) > 5 or len(extended) > 10:
        raise validation_error("At most 5 statistics or 10 extended statistics can be requested.")
    for text in simple:
        if text not in SIMPLE:
            raise invalid(f"The parameter Statistics.member must be a value in the set [ {', '.join(SIMPLE)} ].")
    parsed: list[Statistic] = []
    for text in extended:
        try:
            parsed.append(parse_statistic(text))
        except ValueError:
            raise invalid(f"The value {text} for parameter ExtendedStatistics.member is invalid.") from None
    return [parse_statistic(text) for text in simple], parsed


def _times(call: Call, request: Request) -> tuple[float, float, int]:
    start, end, period = request.get("start_time"), request.get("end_time"), request.get("period")
    for value, name in ((start, "StartTime"), (end, "EndTime"), (period, "Period")):
        if value is None:
            raise missing(f"The parameter {name} is required.")
    assert start is not None and end is not None and period is not None
    if int(start) >= int(end):
        raise invalid("The parameter StartTime must be less than the parameter EndTime.")
    if period < 1 or (period not in HIGH_RESOLUTION and period % 60):
        raise invalid(f"The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60, not {period}.")
    if period > 86400:
        raise invalid("The parameter Period must be less than or equal to 86400.")
    # Of the times as asked: a day of minutes is 1,440 also when it does not begin with a minute.
    asked = -(-(end - start) // period)
    start = round_start(call.now, start, period)
    if asked > DATAPOINTS_MOST:
        raise combination(
            f"You have requested up to {int(asked)} datapoints, which exceeds the limit of {DATAPOINTS_MOST}. "
            "You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        )
    return start, end, period


def round_start(now: float, start: float, period: int) -> float:
    """StartTime rounded down as the service does. Source: GetMetricStatistics, StartTime."""
    if period == 1:
        return start
    age = now - start
    unit = 60 if age < 15 * 86400 else 300 if age < 63 * 86400 else 3600
    if period in HIGH_RESOLUTION:
        unit = period
    return start - start % unit


def _datapoints(
    series: Series,
    now: float,
    start: float,
    end: float,
    period: int,
    simple: list[Statistic],
    extended: list[Statistic],
) -> list[Answer]:
    result = []
    window = kept_only(Window(start, end), period, now)
    for bucket in series.buckets(window.grid(period).start, window.end, period):
        point: Answer = {"timestamp": float(bucket.start), "unit": series.unit}
        for statistic in simple:
            point[_MEMBER[statistic.text]] = statistic.of(bucket)
        if extended:
            values = {s.text: value for s in extended if (value := s.of(bucket)) is not None}
            if not values:
                continue
            point["extended_statistics"] = values
        result.append(point)
    return result


_MEMBER = {
    "SampleCount": "sample_count",
    "Average": "average",
    "Sum": "sum",
    "Minimum": "minimum",
    "Maximum": "maximum",
}
