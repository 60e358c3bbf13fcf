"""GetMetricStream, ListMetricStreams."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.cloudwatch.commands.streams import require_stream, require_stream_name
from elba.cloudwatch.paging import page
from elba.cloudwatch.resources import MetricStream
from elba.store.interface import View

RESULTS_DEFAULT = 500


def get_metric_stream(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError ResourceNotFoundException."""
    stream = require_stream(view, call, require_stream_name(request.get("name")))
    return {
        **_entry(stream),
        "include_filters": stream.include_filters or None,
        "exclude_filters": stream.exclude_filters or None,
        "role_arn": stream.role_arn,
        "statistics_configurations": stream.statistics_configurations,
        "include_linked_accounts_metrics": stream.include_linked_accounts_metrics,
    }


def _entry(stream: MetricStream) -> Answer:
    return {
        "arn": stream.arn,
        "name": stream.id,
        "firehose_arn": stream.firehose_arn,
        "state": stream.state,
        "creation_date": stream.created,
        "last_update_date": stream.updated,
        "output_format": stream.output_format,
    }


def list_metric_streams(view: View, call: Call, request: Request) -> Answer:
    """In order of their names."""
    found = sorted(view.all(MetricStream, call.account, call.region), key=lambda stream: stream.id)
    most = request.get("max_results") or RESULTS_DEFAULT
    taken, token = page(found, lambda stream: stream.id, request.get("next_token"), most)
    return {"entries": [_entry(stream) for stream in taken], "next_token": token}
