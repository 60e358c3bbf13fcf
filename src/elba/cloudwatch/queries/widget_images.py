"""GetMetricWidgetImage: the series that a widget shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from elba.call import Call, Request
from elba.cloudwatch.anomaly import bands_of
from elba.cloudwatch.commands.validation import require_queries
from elba.cloudwatch.expressions.parser import ExpressionError
from elba.cloudwatch.expressions.queries import QuerySet
from elba.cloudwatch.expressions.values import Window
from elba.cloudwatch.limits import validation_error
from elba.cloudwatch.queries.data import default_labels, evaluate_query, label_of
from elba.cloudwatch.series import SeriesEngine
from elba.cloudwatch.widget_images.widget import Widget, read_widget
from elba.store.interface import View

if TYPE_CHECKING:
    from elba.cloudwatch.widget_images.painting import Line

FORMATS = (None, "png")


@dataclass(frozen=True, slots=True)
class Picture:
    """All that `paint` needs."""

    widget: Widget
    lines: list[Line]


def picture_of(engine: SeriesEngine, view: View, call: Call, request: Request) -> Picture:
    """The widget and its series. Raises: ApiError ValidationError.

    Source: CloudWatch API reference, GetMetricWidgetImage.
    """
    # Loads Pillow: nobody else needs it.
    from elba.cloudwatch.widget_images.painting import Line

    if request.get("output_format") not in FORMATS:
        raise validation_error(
            f"The value {request['output_format']} for parameter OutputFormat is invalid: only png is."
        )
    widget = read_widget(request["metric_widget"], call.now)
    require_queries(widget.queries)
    region = widget.region or call.region
    window = Window(widget.start, widget.end)
    bands = bands_of(engine, view)
    labels = default_labels(widget.queries)
    lines: list[Line] = []
    for row, query in zip(widget.rows, widget.queries, strict=True):
        if query["return_data"] is False:
            continue
        here = row.rendering.get("region") if row.fields else None
        own = here if isinstance(here, str) and here else region
        queries = QuerySet(engine, call.account, own, widget.queries, window, call.now, bands)
        try:
            results = evaluate_query(queries, query, labels[query["id"]])
            period = queries.period(query)
        except ExpressionError as error:
            raise validation_error(f"Error in expression '{query['id']}': {error}") from None
        for result in results:
            points = sorted(result.points)
            label = label_of(query, result, len(results), call, widget.zone)
            color = row.rendering.get("color") if len(results) == 1 else None
            right = row.rendering.get("yAxis") == "right"
            lines.append(Line(label, points, period, color, right, _unit(queries, query)))
    return Picture(widget, lines)


def _unit(queries: QuerySet, query: Mapping[str, Any]) -> str:
    """The metric's unit if it has one only."""
    if query.get("metric_stat") is None:
        return ""
    metric = queries.metric(query)
    units = [] if metric is None else list(metric.series)
    return units[0] if len(units) == 1 else ""
