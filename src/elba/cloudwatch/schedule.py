"""When a minute's metrics are all in: after its end, and a little."""

from __future__ import annotations

from collections.abc import Mapping

from elba.clock import Clock

MINUTE = 60
LAG_SETTING = "alarm_lag_seconds"
REPORT_SECONDS = 2.5
"""Real seconds after a minute's end in which its metrics are published: the nodes' come two reports after it."""


def publication_lag(settings: Mapping[str, str], clock: Clock) -> float:
    """Clock seconds to wait after the end of a minute."""
    lag = settings.get(LAG_SETTING)
    return float(lag) if lag else 0.5 + REPORT_SECONDS * clock.scale
