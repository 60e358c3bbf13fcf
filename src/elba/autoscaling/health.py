"""When a member counts as unhealthy, and how many may be replaced at once. Pure.

Source: Auto Scaling user guide, "Health checks for instances in an Auto Scaling group".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

NOT_RUNNING = ("stopping", "stopped", "shutting-down", "terminated")

IMPAIRED_SECONDS = 120.0
"""How long a status check must stay impaired; AWS says "a few minutes"."""

GRADUAL_PERCENT = 10
"""Share of desired capacity that status-check and ELB verdicts may replace at once."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known of a member. `instance_state` is "" if EC2 has no such instance (any more).

    `volume_impaired_since`: when the first of its volumes stalled (0: none has). `target_states` are those of its
    targets in attachments that are InService.
    """

    instance_state: str
    in_service_at: float
    impaired_since: float = 0.0
    volume_impaired_since: float = 0.0
    target_states: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason`: EC2, EC2 status, EBS, ELB, or "" for healthy. `look_again_at`: when time alone may change it."""

    reason: str = ""
    look_again_at: float | None = None


def verdict(observed: Observed, checks: Iterable[str], grace_seconds: float, now: float) -> Verdict:
    """A stopped or terminated instance is unhealthy at once, all other verdicts wait for the grace period."""
    if observed.instance_state in ("", *NOT_RUNNING):
        return Verdict("EC2")
    failing_at: list[tuple[float, str]] = []
    grace_ends = observed.in_service_at + grace_seconds
    if observed.impaired_since:
        failing_at.append((max(grace_ends, observed.impaired_since + IMPAIRED_SECONDS), "EC2 status"))
    if "EBS" in checks and observed.volume_impaired_since:
        failing_at.append((grace_ends, "EBS"))
    if "ELB" in checks and "unhealthy" in observed.target_states:
        failing_at.append((grace_ends, "ELB"))
    if not failing_at:
        return Verdict()
    when, reason = min(failing_at)
    return Verdict(reason) if when <= now else Verdict(look_again_at=when)


def immediate(reason: str) -> bool:
    """Whether all members with this verdict are replaced at once."""
    return reason in ("EC2", "custom")


def gradual_budget(desired: int, in_flight: int) -> int:
    """How many more members with other verdicts may be taken out; `in_flight` are being replaced or settle."""
    return max(0, max(1, desired * GRADUAL_PERCENT // 100) - in_flight)
