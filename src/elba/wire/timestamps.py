"""Timestamps in AWS's three forms: ISO 8601, epoch seconds, RFC 822."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import formatdate, parsedate_to_datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Years 1 to 9999: what datetime, and so every client library, can show.
_LEAST = -62_135_596_800.0
_MOST = 253_402_300_800.0


def parse_iso8601(text: str) -> float:
    """Epoch seconds of an ISO 8601 date or time; no zone means UTC. Epoch numbers are taken too.

    Raises: ValueError.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return parse_epoch(float(text))
    return to_epoch(moment)


def parse_rfc822(text: str) -> float:
    """Epoch seconds of an HTTP date. Raises: ValueError."""
    return to_epoch(parsedate_to_datetime(text))


def parse_epoch(number: float) -> float:
    """The number itself, if a date can show it. Raises: ValueError."""
    number = float(number)
    if not _LEAST <= number < _MOST:
        raise ValueError(f"{number} is out of range")
    return number


def to_epoch(value: datetime | float) -> float:
    """Epoch seconds of either form that an answer may hold."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        return (value - _EPOCH).total_seconds()
    return float(value)


def format_iso8601(value: datetime | float, milliseconds: bool = True) -> str:
    """`2024-05-01T12:00:00.123Z`, or without the fraction."""
    thousandths = round(to_epoch(value) * 1000)
    moment = _EPOCH + timedelta(milliseconds=thousandths)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S") if moment.year >= 1000 else moment.isoformat()[:19]
    return f"{text}.{thousandths % 1000:03d}Z" if milliseconds else f"{text}Z"


def format_epoch(value: datetime | float) -> float:
    """Epoch seconds, to the millisecond."""
    return round(to_epoch(value), 3)


def format_rfc822(value: datetime | float) -> str:
    """An HTTP date."""
    return formatdate(int(to_epoch(value)), usegmt=True)
