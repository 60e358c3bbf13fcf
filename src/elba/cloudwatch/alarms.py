"""Which state a metric alarm should be in, and why. Pure: the reconciler brings the points and writes the state.

Source: CloudWatch user guide, "Configuring how CloudWatch alarms treat missing data" and "Alarm evaluation"; the texts
are those of the service's state reasons.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from elba.cloudwatch.resources import Alarm
from elba.cloudwatch.statistics import parse_statistic, samples_needed

EXTRA_PERIODS = 2
"""The evaluation range is this many periods longer than EvaluationPeriods; N=3 then gives the documented 5."""

LISTED_MOST = 5
"""From so many datapoints on a reason lists the newest of them in a sentence of its own."""

OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"


@dataclass(frozen=True, slots=True)
class Point:
    """One period's value; `lower` and `upper` are an anomaly band's bounds there."""

    time: float
    value: float
    samples: float = 1.0
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class Contributor:
    """One of the series that an alarm on a query with GROUP BY watches: its labels, and its evaluation range."""

    attributes: Mapping[str, str]
    points: Sequence[Point | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state to change to, with its reason."""

    state: str
    reason: str
    reason_data: str


_STATIC: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to the threshold"),
    "GreaterThanThreshold": (operator.gt, "greater than the threshold"),
    "LessThanThreshold": (operator.lt, "less than the threshold"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to the threshold"),
}
_BAND = {
    "LessThanLowerOrGreaterThanUpperThreshold": (
        "less than the lower thresholds {lower} or greater than the upper thresholds {upper}"
    ),
    "LessThanLowerThreshold": "less than the lower thresholds {lower}",
    "GreaterThanUpperThreshold": "greater than the upper thresholds {upper}",
}
STATIC_OPERATORS = frozenset(_STATIC)
BAND_OPERATORS = frozenset(_BAND)


def breaches(alarm: Alarm, point: Point) -> bool:
    """True if the point is on the alarm's side of its threshold or band."""
    comparison = _STATIC.get(alarm.comparison_operator)
    if comparison is not None:
        return comparison[0](point.value, alarm.threshold or 0.0)
    below = point.lower is not None and point.value < point.lower
    above = point.upper is not None and point.value > point.upper
    if alarm.comparison_operator == "LessThanLowerThreshold":
        return below
    if alarm.comparison_operator == "GreaterThanUpperThreshold":
        return above
    return below or above


def treatment(alarm: Alarm) -> str:
    """How the alarm treats missing data; DynamoDB's metrics are always `ignore`."""
    if alarm.namespace == "AWS/DynamoDB":
        return "ignore"
    return alarm.treat_missing_data or "missing"


def decide(row: Sequence[bool | None], periods: int, to_alarm: int, missing: str) -> str | None:
    """The state, or None to keep the present one.

    `row` is the evaluation range, oldest first: True breaching, False not, None missing. Reproduces every row of the
    user guide's tables; what these leave open is decided as the spec says.
    """
    real = [x for x in row if x is not None]
    if len(real) >= periods:
        return ALARM if sum(real[-periods:]) >= to_alarm else OK
    breaching = sum(real)
    if missing == "breaching":
        return ALARM if breaching + periods - len(real) >= to_alarm else OK
    if missing == "notBreaching":
        return ALARM if breaching >= to_alarm else OK
    if breaching >= to_alarm:
        return ALARM
    if not real:
        return INSUFFICIENT_DATA if missing == "missing" else None
    if not all(real):
        return OK
    if missing == "ignore":
        return None
    oldest_breaching = len(row) - list(row).index(True)
    return ALARM if oldest_breaching >= to_alarm else None


def evaluate(
    alarm: Alarm, points: Sequence[Point | None] | None, now: float, end: float | None = None
) -> Verdict | None:
    """The state the alarm should change to, or None if it is in it or keeps its own.

    `points` is the evaluation range, oldest first, None where a period has no data; its newest period ends at `end`
    (None: that is not known, and periods without data have no time in the reason's data). None instead of points means
    that there is nothing to compare them with: the band is untrained.
    """
    if points is None:
        if alarm.state_value == INSUFFICIENT_DATA:
            return None
        return Verdict(INSUFFICIENT_DATA, reason(alarm, [], INSUFFICIENT_DATA), reason_data(alarm, [], now, end))
    state = state_of(alarm, points)
    if state is None or state == alarm.state_value:
        return None
    if _too_few_samples(alarm, points):
        return None
    return Verdict(state, reason(alarm, points, state), reason_data(alarm, points, now, end))


def state_of(alarm: Alarm, points: Sequence[Point | None]) -> str | None:
    """The state that these points call for, or None to keep the present one."""
    row = [None if p is None else breaches(alarm, p) for p in points]
    periods = alarm.evaluation_periods
    return decide(row, periods, alarm.datapoints_to_alarm or periods, treatment(alarm))


def evaluate_contributors(
    alarm: Alarm, contributors: Sequence[Contributor], now: float, end: float | None = None
) -> Verdict | None:
    """The same for an alarm on several series: ALARM if one of them is, else OK if one of them is.

    Source: CloudWatch user guide, "Create alarms on Metrics Insights queries".
    """
    states = [(state_of(alarm, each.points), each.points) for each in contributors]
    if not states:
        return evaluate(alarm, [], now, end)
    # A series that would keep its state keeps the alarm in ALARM; it does not keep it from OK otherwise.
    order = (ALARM, None, OK) if alarm.state_value == ALARM else (ALARM, OK, None)
    for wanted in (*order, INSUFFICIENT_DATA):
        points = next((points for state, points in states if state == wanted), None)
        if points is None:
            continue
        if wanted is None or wanted == alarm.state_value:
            return None
        return Verdict(wanted, reason(alarm, points, wanted), reason_data(alarm, points, now, end))
    return None


def _evaluated(alarm: Alarm, points: Sequence[Point | None]) -> list[Point]:
    """The real points that decide, newest first."""
    return [p for p in reversed(points) if p is not None][: alarm.evaluation_periods]


def _too_few_samples(alarm: Alarm, points: Sequence[Point | None]) -> bool:
    if alarm.evaluate_low_sample_count_percentile != "ignore" or alarm.extended_statistic is None:
        return False
    needed = samples_needed(parse_statistic(alarm.extended_statistic))
    # A hair's breadth, since 10 / (1 - 0.99) is 999.9999… in floating point.
    return any(p.samples < needed * (1 - 1e-9) for p in _evaluated(alarm, points))


def reason(alarm: Alarm, points: Sequence[Point | None], state: str) -> str:
    """The text of StateReason for a change to `state`."""
    periods = alarm.evaluation_periods
    if state == INSUFFICIENT_DATA:
        return f"Insufficient Data: {_plural(periods, 'datapoint')} {_was(periods)} unknown."
    evaluated = _evaluated(alarm, points)
    absent = periods - len(evaluated)
    mode = {"breaching": "Breaching", "notBreaching": "NonBreaching"}.get(treatment(alarm))
    treated = ""
    if absent and mode:
        treated = f"{_plural(absent, 'missing datapoint')} {_was(absent)} treated as [{mode}]"
    if not evaluated:
        and_treated = f" and {treated}" if treated else ""
        return f"Threshold Crossed: no datapoints were received for {_plural(periods, 'period')}{and_treated}."
    alarming = state == ALARM
    minimum = ""
    if alarm.datapoints_to_alarm is not None:
        least = alarm.datapoints_to_alarm if alarming else periods - alarm.datapoints_to_alarm + 1
        transition = "OK -> ALARM" if alarming else "ALARM -> OK"
        minimum = f" (minimum {_plural(least, 'datapoint')} for {transition} transition)"
    word = "Threshold" if alarm.comparison_operator in _STATIC else "Thresholds"
    named = [p for p in evaluated if breaches(alarm, p) == alarming]
    if not named:
        return f"{word} Crossed: {treated or 'no datapoints were received'}{minimum}."
    count = len(named)
    subject = f"{count} out of the last {periods} datapoints" if minimum else _plural(count, "datapoint")
    listed = ", ".join(f"{number_text(p.value)} ({_short_date(p.time)})" for p in named[:LISTED_MOST])
    relation = f"{_was(count)} {'' if alarming else 'not '}{_relation(alarm, named)}" + (treated and f" and {treated}")
    if count < LISTED_MOST:
        return f"{word} Crossed: {subject} [{listed}] {relation}{minimum}."
    recent = f"The most recent datapoints which crossed the threshold: [{listed}]"
    return f"{word} Crossed: {subject} {relation}. {recent}{minimum}."


def _relation(alarm: Alarm, points: Sequence[Point]) -> str:
    if (static := _STATIC.get(alarm.comparison_operator)) is not None:
        return f"{static[1]} ({number_text(alarm.threshold or 0.0)})"
    lower = "[" + ", ".join(number_text(p.lower) for p in points if p.lower is not None) + "]"
    upper = "[" + ", ".join(number_text(p.upper) for p in points if p.upper is not None) + "]"
    return _BAND[alarm.comparison_operator].format(lower=lower, upper=upper)


def _missing_times(alarm: Alarm, points: Sequence[Point | None], end: float) -> list[float]:
    """When the newest periods without data began, as many as data are lacking."""
    period = period_of(alarm)
    lacking = alarm.evaluation_periods - len(_evaluated(alarm, points))
    slots = list(reversed(points)) or [None] * alarm.evaluation_periods
    return [end - (place + 1) * period for place, point in enumerate(slots) if point is None][:lacking]


def reason_data(alarm: Alarm, points: Sequence[Point | None], now: float, end: float | None = None) -> str:
    """The JSON of StateReasonData. `recentDatapoints` is oldest first, `evaluatedDatapoints` newest first."""
    evaluated = _evaluated(alarm, points)
    data: dict[str, object] = {"version": "1.0", "queryDate": iso(now)}
    if evaluated:
        data["startDate"] = iso(evaluated[-1].time)
    if alarm.unit:
        data["unit"] = alarm.unit
    statistic = alarm.statistic or alarm.extended_statistic
    if statistic:
        data["statistic"] = statistic
    period = period_of(alarm)
    if period:
        data["period"] = period
    data["recentDatapoints"] = [p.value for p in reversed(evaluated)]
    if alarm.threshold is not None:
        data["threshold"] = alarm.threshold
    if evaluated and evaluated[0].upper is not None:
        if alarm.comparison_operator != "GreaterThanUpperThreshold":
            data["recentLowerThresholds"] = [p.lower for p in reversed(evaluated)]
        if alarm.comparison_operator != "LessThanLowerThreshold":
            data["recentUpperThresholds"] = [p.upper for p in reversed(evaluated)]
    entries = [(p.time, _evaluated_entry(alarm, p)) for p in evaluated]
    if end is not None:
        entries += [(time, {"timestamp": iso(time)}) for time in _missing_times(alarm, points, end)]
    data["evaluatedDatapoints"] = [entry for _, entry in sorted(entries, key=lambda each: -each[0])]
    return msgspec.json.encode(data).decode()


def _evaluated_entry(alarm: Alarm, point: Point) -> dict[str, object]:
    entry: dict[str, object] = {"timestamp": iso(point.time)}
    if not alarm.metrics:
        entry["sampleCount"] = float(point.samples)
    entry["value"] = point.value
    if alarm.comparison_operator == "GreaterThanUpperThreshold":
        entry["threshold"] = point.upper
    elif alarm.comparison_operator == "LessThanLowerThreshold":
        entry["threshold"] = point.lower
    return entry


def period_of(alarm: Alarm) -> int:
    """Seconds of one period; for a math alarm that of its metrics (which is one for all)."""
    if alarm.period:
        return alarm.period
    for query in alarm.metrics:
        if (stat := query.get("metric_stat")) is not None:
            return int(stat["period"])
    return next((int(q["period"]) for q in alarm.metrics if q.get("period")), 60)


_OFFSET = re.compile(r"(?:UTC|GMT|UT)?([+-])(\d{2}):?(\d{2})")
MONDAY = 4 * 86400
"""1970-01-05, the first Monday of the epoch: weeks are counted from here."""


def parse_zone(text: str) -> tzinfo:
    """An IANA name, `+05:30` or `UTC+05:30` (in steps of five minutes). Raises: ValueError."""
    if match := _OFFSET.fullmatch(text):
        minutes = int(match[2]) * 60 + int(match[3])
        if minutes % 5 or int(match[3]) > 59 or minutes > 18 * 60:
            raise ValueError(f"{text} is not an offset in steps of five minutes")
        return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{text} is not a time zone") from None


def window_end(alarm: Alarm, end: float) -> float:
    """Where the alarm's newest complete period ends: at `end`, or with a wall-clock window at the boundary before."""
    wall = (alarm.evaluation_window or {}).get("wall_clock_window")
    if wall is None:
        return end
    moment = datetime.fromtimestamp(end, parse_zone(wall.get("timezone") or "UTC"))
    offset = moment.utcoffset() or timedelta()
    period = period_of(alarm)
    start = MONDAY if period % (7 * 86400) == 0 else 0
    return end - (end + offset.total_seconds() - start) % period


def iso(time: float) -> str:
    """`2019-10-02T17:04:40.985+0000`."""
    moment = datetime.fromtimestamp(time, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"


def _short_date(time: float) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%d/%m/%y %H:%M:%S}"


def number_text(value: float) -> str:
    """The number as the service prints it: always with a decimal point, exponents from 1.0E7 and below 1.0E-3."""
    value = float(value)
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    mantissa, _, exponent = f"{value:e}".partition("e")
    shortest = repr(value)
    digits = shortest.replace("-", "").split("e")[0].replace(".", "").strip("0") or "0"
    mantissa = f"{'-' if value < 0 else ''}{digits[0]}.{digits[1:] or '0'}"
    return f"{mantissa}E{int(exponent)}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
