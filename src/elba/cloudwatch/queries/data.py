"""GetMetricData."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timezone
from typing import Any

from elba.call import Answer, Call, Request
from elba.cloudwatch.anomaly import bands_of
from elba.cloudwatch.commands.validation import require_queries
from elba.cloudwatch.expressions.parser import ExpressionError
from elba.cloudwatch.expressions.queries import QuerySet, dimensions_of, values_of
from elba.cloudwatch.expressions.values import TimeSeries, Window, kept_only
from elba.cloudwatch.insights import is_insights, select
from elba.cloudwatch.labels import expand_label, zone_offset
from elba.cloudwatch.limits import validation_error
from elba.cloudwatch.paging import decode_token, encode_token
from elba.cloudwatch.queries.metrics import round_start
from elba.cloudwatch.series import SeriesEngine
from elba.cloudwatch.statistics import parse_statistic
from elba.store.interface import View

QUERIES_MOST = 500
DATAPOINTS_MOST = 100_800
PERIOD_MOST = 86400


@dataclass(slots=True)
class QueryResult:
    id: str
    label: str
    points: list[tuple[int, float]] = field(default_factory=list)
    series: TimeSeries | None = None
    """Of an expression: where the points are from."""
    status: str = "Complete"
    messages: list[dict[str, str]] = field(default_factory=list)


def get_metric_data(engine: SeriesEngine, view: View, call: Call, request: Request) -> Answer:
    """The queries that return data, each with its points. Raises: ApiError.

    Source: CloudWatch API reference, GetMetricData.
    """
    queries = request.get("metric_data_queries") or []
    if not queries:
        raise validation_error("The parameter MetricDataQueries is required.")
    if len(queries) > QUERIES_MOST:
        raise validation_error(f"The collection MetricDataQueries must not have a size greater than {QUERIES_MOST}.")
    start, end = float(request["start_time"]), float(request["end_time"])
    if int(start) == int(end):
        raise validation_error("The parameter StartTime must not equal parameter EndTime.")
    if start > end:
        raise validation_error("The parameter EndTime must be greater than StartTime.")
    require_queries(queries)
    if any((_own_period(query) or 0) > PERIOD_MOST for query in queries):
        raise validation_error(f"The parameter Period must be less than or equal to {PERIOD_MOST}.")
    zone = zone_offset((request.get("label_options") or {}).get("timezone"))
    shortest = min((p for q in queries if (p := _own_period(q))), default=60)
    window = Window(round_start(call.now, start, shortest), end)
    query_set = QuerySet(engine, call.account, call.region, queries, window, call.now, bands_of(engine, view))
    labels = default_labels(queries)
    results: list[QueryResult] = []
    for query in queries:
        if query.get("return_data") is False:
            continue
        try:
            found = evaluate_query(query_set, query, labels[query["id"]])
        except ExpressionError as error:
            raise validation_error(f"Error in expression '{query['id']}': {error}") from None
        for result in found:
            result.label = label_of(query, result, len(found), call, zone)
        results += found
    descending = request.get("scan_by") != "TimestampAscending"
    for result in results:
        result.points.sort(key=lambda point: point[0], reverse=descending)
    return _page(results, request)


def _own_period(query: Mapping[str, Any]) -> int | None:
    stat = query.get("metric_stat")
    period = query.get("period") if stat is None else stat["period"]
    return None if period is None else int(period)


def evaluate_query(queries: QuerySet, query: Mapping[str, Any], label: str) -> list[QueryResult]:
    """A query's series; one, or for an array as many as it has. Raises: ExpressionError."""
    id_ = query["id"]
    if query.get("account_id") not in (None, queries.account):
        return [QueryResult(id_, label, status="Forbidden")]
    if (stat := query.get("metric_stat")) is not None:
        metric = queries.metric(query)
        if metric is not None:
            metric.roll_up(queries.now)
        statistic = parse_statistic(stat["stat"])
        window = kept_only(queries.window, stat["period"], queries.now)
        found, units = values_of(metric, statistic, stat.get("unit"), window, stat["period"])
        result = QueryResult(id_, label, [(bucket.start, value) for bucket, value in found])
        if len(units) > 1:
            value = f"Multiple units returned: '[{', '.join(units)}]'"
            result.messages.append({"code": "MultipleUnits", "value": value})
        return [result]
    if is_insights(query["expression"]):
        period = int(query.get("period") or 60)
        window = kept_only(queries.window, period, queries.now)
        many: TimeSeries | list[TimeSeries] = select(
            queries.engine, (queries.account, queries.region), query["expression"], window, period
        )
    else:
        many = queries.value(id_, queries.period(query))
    if isinstance(many, TimeSeries):
        return [QueryResult(id_, label, list(many.values.items()))]
    return [QueryResult(id_, series.label or label, list(series.values.items()), series) for series in many]


def label_of(query: Mapping[str, Any], result: QueryResult, results: int, call: Call, zone: timezone) -> str:
    """A result's label; of several results that a query has, its own label follows the query's.

    Source: CloudWatch user guide, "Add a math expression to a CloudWatch graph".
    """
    label, own = query.get("label"), result.label
    if result.series is not None and "${" in own:
        own = expand_label({"label": own}, own, result.points, call, zone, result.series)
    if results > 1 and label and "${" not in label:
        return f"{label} {own}"
    return expand_label(query, own, result.points, call, zone, result.series)


def default_labels(queries: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The metric's name, and what tells it from the request's other metrics; an expression's Id.

    Statistic and period come after the name if the request's metrics differ in them.
    """
    stats = [q["metric_stat"] for q in queries if q.get("metric_stat") is not None]
    metrics = [(s["metric"].get("metric_name") or "", dict(dimensions_of(s["metric"]))) for s in stats]
    several = len(metrics) > 1
    same_name = several and len({m[0] for m in metrics}) == 1
    varying = {n for _, d in metrics for n in d if len({other.get(n) for _, other in metrics}) > 1}
    endings = [key for key in ("stat", "period") if len({s[key] for s in stats}) > 1]
    labels: dict[str, str] = {}
    for query in queries:
        if query.get("metric_stat") is None:
            labels[query["id"]] = query["id"]
            continue
        stat = query["metric_stat"]
        name, pairs = stat["metric"].get("metric_name") or "", dict(dimensions_of(stat["metric"]))
        words = [value for key, value in pairs.items() if several and key in varying]
        if not same_name or not words:
            words.append(name)
        words += [str(stat[key]) for key in endings]
        labels[query["id"]] = " ".join(words)
    return labels


def _page(results: list[QueryResult], request: Request) -> Answer:
    """The next MaxDatapoints of all points, in order of the queries."""
    most = min(request.get("max_datapoints") or DATAPOINTS_MOST, DATAPOINTS_MOST)
    skip = decode_token(request.get("next_token"), int) or 0
    first, last = skip, skip + most
    place = 0
    answers: list[Answer] = []
    for result in results:
        begin, finish = place, place + len(result.points)
        place = finish
        points = result.points[max(0, first - begin) : max(0, last - begin)]
        if not points and result.points and not begin <= first < finish:
            continue
        if not result.points and skip:
            continue
        answers.append(
            {
                "id": result.id,
                "label": result.label,
                "timestamps": [float(time) for time, _ in points],
                "values": [value for _, value in points],
                "status_code": "PartialData" if finish > last and result.status == "Complete" else result.status,
                "messages": result.messages or None,
            }
        )
    return {
        "metric_data_results": answers,
        "messages": [],
        "next_token": encode_token(last) if place > last else None,
    }
