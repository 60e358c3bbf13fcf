"""DescribeAnomalyDetectors."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.cloudwatch.anomaly import POINTS_LEAST, TRAINING_SECONDS
from elba.cloudwatch.limits import require_dimensions
from elba.cloudwatch.paging import page
from elba.cloudwatch.resources import AnomalyDetector
from elba.cloudwatch.series import SeriesEngine
from elba.datapoints import dimensions
from elba.store.interface import View

RESULTS_DEFAULT = 10


def describe_anomaly_detectors(engine: SeriesEngine, view: View, call: Call, request: Request) -> Answer:
    """The detectors that match all that is given, in order of their id; single metrics unless math is asked for."""
    types = request.get("anomaly_detector_types") or ["SINGLE_METRIC"]
    ids = request.get("anomaly_detector_ids")
    pairs = request.get("dimensions")
    wanted = None if pairs is None else require_dimensions(pairs, "Dimensions")
    found = [
        d
        for d in view.all(AnomalyDetector, call.account, call.region)
        if (ids is not None or ("METRIC_MATH" if d.queries else "SINGLE_METRIC") in types)
        and (ids is None or d.detector_id in ids)
        and request.get("namespace") in (None, d.namespace)
        and request.get("metric_name") in (None, d.metric_name)
        and wanted in (None, _pairs(d))
    ]
    found.sort(key=lambda d: d.id)
    most = request.get("max_results") or RESULTS_DEFAULT
    taken, token = page(found, lambda d: d.id, request.get("next_token"), most)
    return {"anomaly_detectors": [_answer(engine, d, call.now) for d in taken], "next_token": token}


def _pairs(detector: AnomalyDetector) -> tuple[tuple[str, str], ...]:
    return dimensions({d["name"]: d["value"] for d in detector.dimensions})


def _answer(engine: SeriesEngine, detector: AnomalyDetector, now: float) -> Answer:
    configuration: Answer = {"excluded_time_ranges": detector.excluded_time_ranges}
    if detector.metric_timezone is not None:
        configuration["metric_timezone"] = detector.metric_timezone
    answer: Answer = {
        "anomaly_detector_id": detector.detector_id,
        "configuration": configuration,
        "state_value": _state(engine, detector, now),
    }
    if detector.periodic_spikes is not None:
        answer["metric_characteristics"] = {"periodic_spikes": detector.periodic_spikes}
    if detector.queries:
        answer["metric_math_anomaly_detector"] = {"metric_data_queries": detector.queries}
        return answer
    single = {
        "namespace": detector.namespace,
        "metric_name": detector.metric_name,
        "dimensions": detector.dimensions,
        "stat": detector.stat,
    }
    return {
        **answer,
        **single,
        "single_metric_anomaly_detector": {**single, "account_id": detector.account},
    }


def _state(engine: SeriesEngine, detector: AnomalyDetector, now: float) -> str:
    """Trained as soon as there are points enough; a model is made when it is first needed."""
    stats = [q["metric_stat"]["metric"] for q in detector.queries if q.get("metric_stat") is not None] or [
        {
            "namespace": detector.namespace,
            "metric_name": detector.metric_name,
            "dimensions": detector.dimensions,
        }
    ]
    least = POINTS_LEAST
    for metric in stats:
        pairs = dimensions({d["name"]: d["value"] for d in metric.get("dimensions") or ()})
        found = engine.find(
            detector.account, detector.region, metric.get("namespace") or "", metric.get("metric_name") or "", pairs
        )
        points = 0 if found is None else found.points_since(now - TRAINING_SECONDS)
        least = min(least, points)
    if least == 0:
        return "PENDING_TRAINING"
    return "TRAINED" if least >= POINTS_LEAST else "TRAINED_INSUFFICIENT_DATA"
