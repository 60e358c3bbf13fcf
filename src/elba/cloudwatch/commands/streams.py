"""Metric streams: which metrics are sent on, with which statistics, and whether they are at the moment.

Source: CloudWatch API reference, PutMetricStream, StartMetricStreams, StopMetricStreams, DeleteMetricStream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from elba.call import Answer, Call, Request
from elba.cloudwatch.limits import combination, invalid, missing, require_tags
from elba.cloudwatch.resources import MetricStream, MetricStreamProgress
from elba.cloudwatch.statistics import SIMPLE, parse_statistic
from elba.errors import ApiError
from elba.store.interface import Transaction, View

OUTPUT_FORMATS = ("json", "opentelemetry0.7", "opentelemetry1.0")
FILTER_NAMES_MOST = 1000
"""Namespaces and metric names of all filters of a stream."""
CONFIGURATIONS_MOST = 100
CONFIGURATION_METRICS_MOST = 100
ADDITIONAL_STATISTICS_MOST = 20
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_FIREHOSE = re.compile(r"arn:aws[\w-]*:firehose:([a-z0-9-]+):(\d{12}):deliverystream/[A-Za-z0-9_.-]{1,64}")
_ROLE = re.compile(r"arn:aws[\w-]*:iam::(\d{12}):role/[\x21-\x7e]+")


def require_stream_name(name: str | None) -> str:
    if not name:
        raise missing("The parameter Name is required.")
    if _NAME.fullmatch(name) is None:
        raise invalid(f"The value {name} for parameter Name is invalid: it takes A-Z a-z 0-9 - _, at most 255.")
    return name


def put_metric_stream(tx: Transaction, call: Call, request: Request) -> Answer:
    """Create a running stream, or replace a stream's configuration: its state and its tags stay. Raises: ApiError."""
    name = require_stream_name(request.get("name"))
    includes, excludes = request.get("include_filters") or [], request.get("exclude_filters") or []
    if includes and excludes:
        raise combination("IncludeFilters and ExcludeFilters cannot both be present")
    firehose, role = _require_arns(call, request)
    output_format = request.get("output_format")
    if output_format not in OUTPUT_FORMATS:
        raise invalid(f"The value {output_format or ''} for parameter OutputFormat is invalid.")
    old = tx.get(MetricStream, call.account, call.region, name)
    stream = MetricStream(
        account=call.account,
        region=call.region,
        id=name,
        arn=call.arn("cloudwatch", f"metric-stream/{name}"),
        firehose_arn=firehose,
        role_arn=role,
        output_format=output_format,
        include_filters=_require_filters(includes, "IncludeFilters"),
        exclude_filters=_require_filters(excludes, "ExcludeFilters"),
        statistics_configurations=_require_configurations(
            request.get("statistics_configurations") or [], output_format
        ),
        include_linked_accounts_metrics=bool(request.get("include_linked_accounts_metrics")),
        created=call.now,
        updated=call.now,
        started=call.now,
        tags=require_tags(request.get("tags")) if old is None else old.tags,
    )
    if old is not None:
        stream = msgspec.structs.replace(stream, state=old.state, created=old.created, started=old.started)
    tx.put(stream)
    return {"arn": stream.arn}


def _require_arns(call: Call, request: Request) -> tuple[str, str]:
    firehose, role = request.get("firehose_arn"), request.get("role_arn")
    for name, value in (("FirehoseArn", firehose), ("RoleArn", role)):
        if not value:
            raise missing(f"The parameter {name} is required.")
    assert firehose is not None and role is not None
    place = _FIREHOSE.fullmatch(firehose)
    if place is None:
        raise invalid(f"The value {firehose} for parameter FirehoseArn is not the ARN of a delivery stream.")
    owner = _ROLE.fullmatch(role)
    if owner is None:
        raise invalid(f"The value {role} for parameter RoleArn is not the ARN of a role.")
    if place[1] != call.region:
        raise invalid("FirehoseArn must be in the same region and AWS partition as the Metric Stream")
    if place[2] != call.account:
        raise invalid("FirehoseArn must be in the same account as the Metric Stream")
    if owner[1] != call.account:
        raise invalid("Cross-account pass role is not allowed.")
    return firehose, role


def _require_text(text: str | None, where: str) -> str:
    if not text or not text.strip() or len(text) > 255 or not (text.isascii() and text.isprintable()):
        raise invalid(f"The value {text or ''} for parameter {where} is invalid.")
    return text


def _require_namespace(text: str | None, where: str) -> str:
    if (text or "").startswith(":"):
        raise invalid(f"The value {text} for parameter {where} is invalid.")
    return _require_text(text, where)


def _require_filters(filters: Sequence[Mapping[str, Any]], where: str) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    total = 0
    for i, each in enumerate(filters, 1):
        at = f"{where}.member.{i}"
        kept: dict[str, Any] = {"namespace": _require_namespace(each.get("namespace"), f"{at}.Namespace")}
        names = each.get("metric_names") or []
        if names:
            kept["metric_names"] = [_require_text(n, f"{at}.MetricNames.member.{j}") for j, n in enumerate(names, 1)]
        total += 1 + len(names)
        result.append(kept)
    if total > FILTER_NAMES_MOST:
        raise invalid(f"{where} can hold at most {FILTER_NAMES_MOST} namespaces and metric names.")
    if len({f["namespace"] for f in result}) < len(result):
        raise invalid(f"{where} must name each namespace once.")
    return result


def _require_configurations(configurations: Sequence[Mapping[str, Any]], output_format: str) -> list[dict[str, Any]]:
    if len(configurations) > CONFIGURATIONS_MOST:
        raise invalid(f"StatisticsConfigurations can have at most {CONFIGURATIONS_MOST} members.")
    result = []
    for i, each in enumerate(configurations, 1):
        at = f"StatisticsConfigurations.member.{i}"
        metrics, statistics = each.get("include_metrics") or [], each.get("additional_statistics") or []
        if not metrics:
            raise invalid("IncludeMetrics less than 1")
        if not statistics:
            raise missing(f"The parameter {at}.AdditionalStatistics is required.")
        if len(metrics) > CONFIGURATION_METRICS_MOST:
            raise invalid(f"{at}.IncludeMetrics can have at most {CONFIGURATION_METRICS_MOST} members.")
        if len(statistics) > ADDITIONAL_STATISTICS_MOST:
            raise invalid(f"{at}.AdditionalStatistics can have at most {ADDITIONAL_STATISTICS_MOST} members.")
        result.append(
            {
                "include_metrics": [
                    {
                        "namespace": _require_namespace(m.get("namespace"), f"{at}.IncludeMetrics.Namespace"),
                        "metric_name": _require_text(m.get("metric_name"), f"{at}.IncludeMetrics.MetricName"),
                    }
                    for m in metrics
                ],
                "additional_statistics": [_require_additional(s, output_format) for s in statistics],
            }
        )
    return result


def _require_additional(text: str, output_format: str) -> str:
    try:
        statistic = parse_statistic(text)
    except ValueError:
        statistic = None
    if statistic is None or text in SIMPLE or (output_format != "json" and statistic.kind != "p"):
        raise invalid(f"Unsupported statistic {text} for selected OutputFormat")
    return text


def require_stream(view: View, call: Call, name: str) -> MetricStream:
    """Raises: ApiError ResourceNotFoundException."""
    found = view.get(MetricStream, call.account, call.region, name)
    if found is None:
        raise ApiError("ResourceNotFoundException", f"The metric stream {name} does not exist.", 404)
    return found


def start_metric_streams(tx: Transaction, call: Call, request: Request) -> Answer:
    """All of the named run, or none is changed. What was measured meanwhile is not sent."""
    for stream in _named(tx, call, request):
        if stream.state != "running":
            tx.put(msgspec.structs.replace(stream, state="running", updated=call.now, started=call.now))
    return {}


def stop_metric_streams(tx: Transaction, call: Call, request: Request) -> Answer:
    """All of the named are stopped, or none is changed. What waits for delivery is forgotten."""
    for stream in _named(tx, call, request):
        if stream.state != "stopped":
            tx.put(msgspec.structs.replace(stream, state="stopped", updated=call.now))
    return {}


def _named(tx: Transaction, call: Call, request: Request) -> list[MetricStream]:
    names = list(dict.fromkeys(request.get("names") or ()))
    if not names:
        raise missing("The parameter Names is required.")
    found = [tx.get(MetricStream, call.account, call.region, require_stream_name(name)) for name in names]
    if absent := [name for name, stream in zip(names, found, strict=True) if stream is None]:
        raise invalid(f"The metric streams {', '.join(absent)} do not exist.")
    return [stream for stream in found if stream is not None]


def delete_metric_stream(tx: Transaction, call: Call, request: Request) -> Answer:
    """A stream that is not there is no error."""
    name = require_stream_name(request.get("name"))
    for type_ in (MetricStream, MetricStreamProgress):
        found = tx.get(type_, call.account, call.region, name)
        if found is not None:
            tx.delete(found)
    return {}


def record_progress(tx: Transaction, call: Call, request: Request) -> Answer:
    """The stream `name`, if it is still there, has delivered or given up all before `through`."""
    name, through = request["name"], float(request["through"])
    if tx.get(MetricStream, call.account, call.region, name) is None:
        return {}
    old = tx.get(MetricStreamProgress, call.account, call.region, name)
    if old is None or old.through < through:
        tx.put(MetricStreamProgress(account=call.account, region=call.region, id=name, through=through))
    return {}
