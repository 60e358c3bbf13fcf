"""PutMetricData's request as datapoints. Pure.

Source: CloudWatch API reference, PutMetricData, MetricDatum; messages where known are the service's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elba.call import Call, Request
from elba.cloudwatch.limits import (
    combination,
    invalid,
    missing,
    require_dimensions,
    require_metric_name,
    require_namespace,
    require_number,
    require_unit,
)
from elba.datapoints import Datapoint
from elba.errors import ApiError

METRICS_MOST = 1000
VALUES_MOST = 150
PAST_SECONDS = 14 * 86400
FUTURE_SECONDS = 2 * 3600


def parse_metric_data(call: Call, request: Request) -> list[Datapoint]:
    """The request's datapoints, all valid. Raises: ApiError; then none of them is to be stored.

    Of several wrong ones each is told in a line of the error, as the service does, if it is of the first one's code.
    """
    namespace = require_namespace(request.get("namespace"))
    if namespace.startswith("AWS/"):
        raise invalid(f"The value {namespace} for parameter Namespace is invalid.")
    entries = [(f"MetricData.member.{i}", datum) for i, datum in enumerate(request.get("metric_data") or (), 1)]
    for i, group in enumerate(request.get("entity_metric_data") or (), 1):
        at = f"EntityMetricData.member.{i}.MetricData.member"
        entries += [(f"{at}.{j}", datum) for j, datum in enumerate(group.get("metric_data") or (), 1)]
    if not entries:
        raise missing("The parameter MetricData is required.")
    if len(entries) > METRICS_MOST:
        raise invalid(f"The collection MetricData must not have a size greater than {METRICS_MOST}.")
    found: list[Datapoint] = []
    errors: list[ApiError] = []
    for at, datum in entries:
        try:
            found.append(_datapoint(call, namespace, at, datum))
        except ApiError as error:
            errors.append(error)
    if errors:
        code = errors[0].code
        raise ApiError(code, "\n".join(error.message for error in errors if error.code == code))
    return found


def _datapoint(call: Call, namespace: str, at: str, datum: Mapping[str, Any]) -> Datapoint:
    resolution = datum.get("storage_resolution")
    if resolution not in (None, 1, 60):
        raise invalid(f"The value {resolution} for parameter {at}.StorageResolution is invalid.")
    values, counts, statistics = _measured(at, datum)
    return Datapoint(
        account=call.account,
        region=call.region,
        namespace=namespace,
        metric_name=require_metric_name(datum.get("metric_name"), f"{at}.MetricName"),
        timestamp=_timestamp(call, at, datum.get("timestamp")),
        dimensions=require_dimensions(datum.get("dimensions"), f"{at}.Dimensions"),
        unit=require_unit(datum.get("unit"), f"{at}.Unit") or "None",
        values=values,
        counts=counts,
        sample_count=statistics[0],
        sum=statistics[1],
        minimum=statistics[2],
        maximum=statistics[3],
        resolution=resolution or 60,
    )


def _timestamp(call: Call, at: str, timestamp: float | None) -> float:
    if timestamp is None:
        return call.now
    if timestamp > call.now + FUTURE_SECONDS:
        raise invalid(f"The parameter {at}.Timestamp must specify a time no more than two hours in the future.")
    if timestamp < call.now - PAST_SECONDS:
        raise invalid(f"The parameter {at}.Timestamp must specify a time within the past two weeks.")
    return float(timestamp)


_Measured = tuple[tuple[float, ...], tuple[float, ...], tuple[float, float, float, float]]


def _measured(at: str, datum: Mapping[str, Any]) -> _Measured:
    """Values, their counts, or a statistic set."""
    value, values, statistics = datum.get("value"), datum.get("values"), datum.get("statistic_values")
    given = [
        name
        for name, there in (
            ("Value", value is not None),
            ("Values", bool(values)),
            ("StatisticValues", statistics is not None),
        )
        if there
    ]
    if len(given) > 1 and given != ["Values", "StatisticValues"]:  # of these two it takes the values
        raise combination(
            f"The parameters {at}.{given[0]} and {at}.{given[1]} are mutually exclusive and you have specified both."
        )
    none = (0.0, 0.0, 0.0, 0.0)
    if value is not None:
        return (require_number(value, f"{at}.Value"),), (), none
    if values:
        return *_array(at, values, datum.get("counts")), none
    if statistics is not None:
        return (), (), _statistic_set(f"{at}.StatisticValues", statistics)
    raise combination(
        f"At least one of the parameters {at}.Value, {at}.Values and {at}.StatisticValues must be specified."
    )


def _array(at: str, values: list[float], counts: list[float] | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if len(values) > VALUES_MOST:
        raise invalid(f"The collection {at}.Values must not have a size greater than {VALUES_MOST}.")
    checked = tuple(require_number(v, f"{at}.Values.member.{i}") for i, v in enumerate(values, 1))
    if not counts:
        return checked, ()
    if len(counts) != len(values):
        raise invalid(f"The parameters {at}.Values and {at}.Counts must be of the same size.")
    numbers = [require_number(c, f"{at}.Counts.member.{i}") for i, c in enumerate(counts, 1)]
    for i, count in enumerate(numbers, 1):
        if count < 0:
            raise invalid(f"The value {count} for parameter {at}.Counts.member.{i} is invalid.")
    kept = [(v, c) for v, c in zip(checked, numbers, strict=True) if c > 0]
    if not kept:
        raise invalid(f"The parameter {at}.Counts must hold a number greater than 0.")
    return tuple(v for v, _ in kept), tuple(c for _, c in kept)


def _statistic_set(at: str, statistics: Mapping[str, Any]) -> tuple[float, float, float, float]:
    names = {"maximum": "Maximum", "minimum": "Minimum", "sample_count": "SampleCount", "sum": "Sum"}
    if absent := [name for member, name in names.items() if statistics.get(member) is None]:
        raise missing("\n".join(f"The parameter {at}.{name} is required." for name in absent))
    maximum, minimum, count, total = (require_number(statistics[m], f"{at}.{name}") for m, name in names.items())
    if count < 0:
        raise invalid(f"The parameter {at}.SampleCount must be greater than 0.")
    if count == 0:
        raise invalid(f"The parameter {at}.SampleCount must not equal 0.")
    if minimum > maximum:
        raise invalid(f"The parameter {at}.Maximum must be greater than {at}.Minimum.")
    return count, total, minimum, maximum
