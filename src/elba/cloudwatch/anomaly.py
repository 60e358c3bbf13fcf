"""Anomaly detection: a band around what a series usually does at the hour. Not the service's own (unpublished) model.

The model is the mean and the standard deviation of the last two weeks' values, by hour of the week where a week is
known, by hour of the day where a day is, and all together before that. Times in a detector's excluded ranges do not
count. With fewer than `POINTS_LEAST` points it is untrained and gives no band.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from elba.cloudwatch.expressions.meaning import Meaning, meaning
from elba.cloudwatch.expressions.parser import Name
from elba.cloudwatch.expressions.values import TimeSeries, Window
from elba.cloudwatch.resources import AnomalyDetector
from elba.cloudwatch.series import SeriesEngine
from elba.store.interface import View

TRAINING_SECONDS = 14 * 86400
RETRAIN_SECONDS = 3600
POINTS_LEAST = 30
MODELS_MOST = 2000
LEAST_DEVIATION = 1e-3
"""Of the mean: a series that never moved has a band of some width all the same."""

Owner = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Model:
    """Mean and standard deviation by slot of the week, of the day, or of everything."""

    slots: Mapping[int, tuple[float, float]]
    overall: tuple[float, float]
    hours: int
    zone: tzinfo

    def at(self, time: float) -> tuple[float, float]:
        return self.slots.get(_slot(time, self.hours, self.zone), self.overall)


def _slot(time: float, hours: int, zone: tzinfo) -> int:
    if hours == 1:
        return 0
    moment = datetime.fromtimestamp(time, zone)
    return moment.hour if hours == 24 else moment.weekday() * 24 + moment.hour


def _statistics(values: Sequence[float]) -> tuple[float, float]:
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
    return mean, max(deviation, abs(mean) * LEAST_DEVIATION, 1e-9)


def zone_of(name: str | None) -> tzinfo:
    """The zone, or UTC if there is none of that name."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def train(values: Mapping[int, float], excluded: Sequence[Mapping[str, float]], zone: tzinfo) -> Model | None:
    """A model of the values by time, or None if they are too few."""
    kept = {
        time: value
        for time, value in values.items()
        if not any(r["start_time"] <= time < r["end_time"] for r in excluded)
    }
    if len(kept) < POINTS_LEAST:
        return None
    span = max(kept) - min(kept)
    hours = 168 if span >= 7 * 86400 else 24 if span >= 86400 else 1
    by_slot: dict[int, list[float]] = {}
    for time, value in kept.items():
        by_slot.setdefault(_slot(time, hours, zone), []).append(value)
    overall = _statistics(list(kept.values()))
    slots = {slot: _statistics(found) for slot, found in by_slot.items() if len(found) > 1}
    return Model(slots, overall, hours, zone)


class Bands:
    """Models by what they watch, trained when first asked for and again each hour."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._models: dict[bytes, tuple[float, Model | None]] = {}

    def band(
        self,
        owner: Owner,
        subject: Meaning,
        history: Callable[[Window], TimeSeries],
        series: TimeSeries,
        period: int,
        deviations: float,
        now: float,
    ) -> tuple[TimeSeries, TimeSeries]:
        """Upper and lower bound at each of the series' points; empty while untrained."""
        key = msgspec.json.encode([owner, subject, period])
        trained_at, model = self._models.get(key, (-math.inf, None))
        age = now - trained_at
        if age >= RETRAIN_SECONDS or age < 0 or (model is None and age >= 60):
            detector = self._detector(owner, subject)
            end = now - now % period
            past = history(Window(end - TRAINING_SECONDS, end))
            model = train(
                past.values,
                [] if detector is None else detector.excluded_time_ranges,
                zone_of(None if detector is None else detector.metric_timezone),
            )
            if len(self._models) >= MODELS_MOST:
                self._models.pop(next(iter(self._models)))
            self._models[key] = (now, model)
        if model is None:
            return series.with_values({}), series.with_values({})
        upper: dict[int, float] = {}
        lower: dict[int, float] = {}
        for time in series.values:
            mean, deviation = model.at(time)
            upper[time], lower[time] = mean + deviations * deviation, mean - deviations * deviation
        return series.with_values(upper), series.with_values(lower)

    def forget(self) -> None:
        """Train anew when next asked: a detector was put or deleted."""
        self._models.clear()

    def _detector(self, owner: Owner, subject: Meaning) -> AnomalyDetector | None:
        return next((d for d in self._view.all(AnomalyDetector, *owner) if _watched(d) == subject), None)


def _watched(detector: AnomalyDetector) -> Meaning:
    """What the detector was put for, as `Bands.band` is told its subject."""
    if not detector.queries:
        metric = {
            "namespace": detector.namespace,
            "metric_name": detector.metric_name,
            "dimensions": detector.dimensions,
        }
        return meaning([{"id": "m", "metric_stat": {"metric": metric, "stat": detector.stat}}], Name("m"))
    returned = next(q["id"] for q in detector.queries if q.get("return_data") is not False)
    return meaning(detector.queries, Name(returned))


def detector_key(namespace: str, metric_name: str, dimensions: Sequence[Mapping[str, Any]] | None, stat: str) -> str:
    """Identifies the detector of a single metric."""
    pairs = sorted((d["name"], d["value"]) for d in dimensions or ())
    return msgspec.json.encode([namespace, metric_name, pairs, stat]).decode()


_bands: WeakKeyDictionary[SeriesEngine, Bands] = WeakKeyDictionary()


def bands_of(engine: SeriesEngine, view: View) -> Bands:
    """The one cache of models that queries and alarms over this metric store share."""
    found = _bands.get(engine)
    if found is None:
        found = _bands[engine] = Bands(view)
    return found
