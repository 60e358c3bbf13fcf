"""Several nodes' views of a target make one state."""

from __future__ import annotations

import pytest

from elba.dataplane.protocol import HealthReport
from elba.elbv2.health import CHECKING, merged

H, U, NEW, N, X = "healthy", "unhealthy", "initial", None, "unavailable"


def view(state: str | None, since: float = 0.0) -> HealthReport | None:
    if state is None:
        return None
    reason = f"reason-{since:g}" if state == "unhealthy" else ""
    return HealthReport(target_group="g", target="t", state=state, reason=reason, since=since)


@pytest.mark.parametrize(
    ("views", "known", "expected"),
    [
        ([], "", None),
        ([N, N], "", None),  # nobody has said anything: registration in progress
        ([NEW, N], "", NEW),
        ([H, N], "", NEW),  # the other zone has not decided: nobody is told "healthy" yet
        ([H, NEW, H], "", NEW),
        ([H, H], "", H),
        ([H, U], "", H),
        ([U, U], "", U),
        ([U, NEW], "", NEW),
        ([H, H], "initial", H),
        ([H, N], "healthy", H),  # a control plane that has just come back
        ([N, N], "healthy", None),
        ([NEW, NEW], "healthy", None),  # nodes that restarted
        ([U, N], "healthy", U),
        ([U, H], "healthy", H),  # one zone's bad moment
        ([U, NEW], "healthy", U),
        ([H, U], "unhealthy", H),
        ([U, U], "unhealthy", U),
        ([X, X], "", X),
    ],
)
def test_merged(views: list[str | None], known: str, expected: str | None) -> None:
    result = merged([view(state) for state in views], known)
    assert (result[0] if result else None) == expected
    if expected == NEW:
        assert result == CHECKING


def test_the_latest_reason_is_shown() -> None:
    result = merged([view(U, 5), view(U, 9), view(U, 7)], "healthy")
    assert result == ("unhealthy", "reason-9", "")
