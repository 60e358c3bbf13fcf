"""Anomaly detectors: which metrics, or expressions, have a trained band, and what is left out of the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from elba.call import Answer, Call, Request
from elba.cloudwatch.anomaly import detector_key
from elba.cloudwatch.commands.validation import require_queries
from elba.cloudwatch.limits import (
    combination,
    invalid,
    missing,
    require_dimensions,
    require_metric_name,
    require_namespace,
)
from elba.cloudwatch.resources import AnomalyDetector
from elba.cloudwatch.statistics import parse_statistic
from elba.errors import ApiError
from elba.store.interface import Transaction, View

DETECTORS_MOST = 500


def _subject(request: Request) -> tuple[str, Mapping[str, Any], list[dict[str, Any]]]:
    """What a request is about: the detector's id, its single metric, or its queries. Raises: ApiError."""
    single, math = request.get("single_metric_anomaly_detector"), request.get("metric_math_anomaly_detector")
    flat = {m: request[m] for m in ("namespace", "metric_name", "dimensions", "stat") if request.get(m) is not None}
    if sum(1 for form in (single, math, flat) if form) > 1:
        raise combination(
            "Either single metric attributes, SingleMetricAnomalyDetector or MetricMathAnomalyDetector can be set"
        )
    if math:
        queries = [dict(q) for q in math.get("metric_data_queries") or ()]
        if not queries:
            raise missing("The parameter MetricMathAnomalyDetector.MetricDataQueries is required.")
        if len(queries) == 1:
            raise invalid(
                "The MetricDataQueries list in MetricMathAnomalyDetector contains a single metric, please use "
                "SingleMetricAnomalyDetector instead"
            )
        require_queries(queries)
        if sum(q.get("return_data") is not False for q in queries) != 1:
            raise invalid("Exactly one element of MetricDataQueries must return data.")
        return msgspec.json.encode(["math", queries]).decode(), {}, queries
    metric = single or flat
    namespace = require_namespace(metric.get("namespace"))
    name = require_metric_name(metric.get("metric_name"))
    require_dimensions(metric.get("dimensions"), "Dimensions")
    stat = metric.get("stat")
    if not stat:
        raise missing("The parameter Stat is required.")
    try:
        parse_statistic(stat)
    except ValueError:
        raise invalid(f"The value {stat} for parameter Stat is invalid.") from None
    return detector_key(namespace, name, metric.get("dimensions"), stat), metric, []


def put_anomaly_detector(tx: Transaction, call: Call, request: Request) -> Answer:
    """Create or reconfigure. Raises: ApiError."""
    id_, metric, queries = _subject(request)
    old = tx.get(AnomalyDetector, call.account, call.region, id_)
    if old is None and len(tx.all(AnomalyDetector, call.account, call.region)) >= DETECTORS_MOST:
        raise ApiError("LimitExceededException", f"An account can have at most {DETECTORS_MOST} anomaly detectors.")
    configuration = request.get("configuration") or {}
    ranges = [
        {"start_time": float(r["start_time"]), "end_time": float(r["end_time"])}
        for r in configuration.get("excluded_time_ranges") or ()
    ]
    if any(r["start_time"] >= r["end_time"] for r in ranges):
        raise invalid("Input has invalid parameter.")
    for member, name in (
        ("adaptation_speed", "AdaptationSpeed"),
        ("outlier_filtering_strength", "OutlierFilteringStrength"),
    ):
        if configuration.get(member) is not None:
            raise invalid(f"The parameter Configuration.{name} is not supported.")
    detector = AnomalyDetector(
        account=call.account,
        region=call.region,
        id=id_,
        detector_id=call.ids.uuid() if old is None else old.detector_id,
        namespace=metric.get("namespace"),
        metric_name=metric.get("metric_name"),
        dimensions=[{"name": d["name"], "value": d["value"]} for d in metric.get("dimensions") or ()],
        stat=metric.get("stat"),
        queries=queries,
        excluded_time_ranges=ranges,
        metric_timezone=configuration.get("metric_timezone"),
        periodic_spikes=(request.get("metric_characteristics") or {}).get("periodic_spikes"),
        created=call.now if old is None else old.created,
    )
    tx.put(detector)
    return {"anomaly_detector_id": detector.detector_id}


def delete_anomaly_detector(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError ResourceNotFoundException."""
    found = _by_detector_id(tx, call, request)
    if found is None and not request.get("anomaly_detector_id"):
        found = tx.get(AnomalyDetector, call.account, call.region, _subject(request)[0])
    if found is None:
        raise ApiError("ResourceNotFoundException", "The anomaly detector does not exist.", 404)
    tx.delete(found)
    return {}


def _by_detector_id(view: View, call: Call, request: Request) -> AnomalyDetector | None:
    wanted = request.get("anomaly_detector_id")
    if not wanted:
        return None
    return next((d for d in view.all(AnomalyDetector, call.account, call.region) if d.detector_id == wanted), None)
