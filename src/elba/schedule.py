"""Five-field cron in a time zone: when a scheduled action runs, when an alarm mute rule begins. Pure.

Source: Auto Scaling user guide, "Scheduled scaling"; crontab(5) for the fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
MONTHS = {name: number for number, name in enumerate(_MONTHS, 1)}
DAYS = {n: i for i, n in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"])}
LOOK_AHEAD_DAYS = 366 * 8 + 2
"""Far enough for 29 February over a century year that is none."""


class BadSchedule(ValueError):
    """The recurrence or time zone cannot be understood."""


@dataclass(frozen=True, slots=True)
class Cron:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def on(self, day: date) -> bool:
        """With both day fields restricted either is enough."""
        if day.month not in self.months:
            return False
        in_month = day.day in self.days
        in_week = day.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return in_month and in_week
        return in_month or in_week


def _number(text: str, names: dict[str, int]) -> int:
    if text.upper() in names:
        return names[text.upper()]
    if not text.isdigit():
        raise BadSchedule(f"not a number: {text!r}")
    return int(text)


def _field(text: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = 1
        if slash:
            step = _number(step_text, {})
            if step < 1:
                raise BadSchedule(f"step must be at least 1: {part!r}")
        if span == "*":
            first, last = low, high
        elif "-" in span:
            a, _, b = span.partition("-")
            first, last = _number(a, names), _number(b, names)
        else:
            first = _number(span, names)
            last = high if slash else first
        if first < low or last > high or first > last:
            raise BadSchedule(f"out of range: {part!r}")
        values.update(range(first, last + 1, step))
    return frozenset(values)


def parse_cron(text: str) -> Cron:
    """Minute, hour, day of month, month, day of week. Raises: BadSchedule."""
    fields = text.split()
    if len(fields) != 5:
        raise BadSchedule(f"five fields are needed, not {len(fields)}")
    minute, hour, day, month, weekday = fields
    weekdays = _field(weekday, 0, 7, DAYS)
    return Cron(
        minutes=_field(minute, 0, 59, {}),
        hours=_field(hour, 0, 23, {}),
        days=_field(day, 1, 31, {}),
        months=_field(month, 1, 12, MONTHS),
        weekdays=frozenset(d % 7 for d in weekdays),
        any_day=day.startswith("*"),
        any_weekday=weekday.startswith("*"),
    )


def parse_zone(name: str) -> ZoneInfo:
    """Raises: BadSchedule."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadSchedule(f"no such time zone: {name!r}") from error


def _times(cron: Cron, day: date, zone: ZoneInfo) -> Iterator[float]:
    for hour in sorted(cron.hours):
        for minute in sorted(cron.minutes):
            # A local time that is skipped falls after the jump; one that is repeated is taken once, the first.
            yield datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).timestamp()


def next_match(cron: Cron, zone: ZoneInfo, after: float) -> float | None:
    """The first match later than `after` (epoch seconds), or None within eight years."""
    first = datetime.fromtimestamp(after, UTC).astimezone(zone).date() - timedelta(days=1)
    for offset in range(LOOK_AHEAD_DAYS):
        day = first + timedelta(days=offset)
        if cron.on(day):
            later = [t for t in _times(cron, day, zone) if t > after]
            if later:
                return min(later)
    return None


def next_run(recurrence: str, time_zone: str, start: float | None, end: float | None, after: float) -> float | None:
    """When an action runs next, later than `after`; None: never again.

    With a start time the first run is exactly then, later ones at each match. Raises: BadSchedule.
    """
    if start is not None and start > after:
        run: float | None = start
    elif recurrence:
        run = next_match(parse_cron(recurrence), parse_zone(time_zone), after)
    else:
        run = None
    if run is not None and end is not None and run > end:
        return None
    return run
