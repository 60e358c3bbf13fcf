"""What a scaling policy asks for: pure arithmetic over sizes and a metric value. Reads no clock and no store.

Source: Auto Scaling user guide, "Step and simple scaling policies", "Target tracking scaling policies",
"Multiple dynamic scaling policies".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SCALE_IN_STEP_PERCENT = 10
"""How much of desired capacity target tracking takes away at once. AWS does not publish its own step."""

ROUNDING = 1e-9
"""A ratio this little above a whole number is that number: 3 × 40 ÷ 40 must not become 4."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """A group's capacity units at the moment of the decision.

    `settled` units are in service and past their warmup; `warming` says that others are pending or warming.
    `busy`: some activity runs; `cooling`: a cooldown runs (both hold simple policies back).
    """

    minimum: int
    maximum: int
    desired: int
    settled: int
    warming: bool = False
    busy: bool = False
    cooling: bool = False

    def clamp(self, capacity: int) -> int:
        return max(self.minimum, min(self.maximum, capacity))


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one policy wants. `after` is within the group's bounds; equal to desired if it wants nothing.

    `blocked` says why it may not have what it wants (or ""); `arithmetic` shows the sum, for a reader.
    `calls_out`: it asks for more, though there may be no room or more may be on its way already. `refuses_in`: a
    target tracking policy that was asked to scale in and finds that fewer would pass its target.
    """

    policy: str
    after: int
    blocked: str = ""
    arithmetic: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    calls_out: bool = False
    refuses_in: bool = False
    tracking: bool = False


class NoStep(ValueError):
    """No step adjustment covers the breach."""


def percent_of(base: int, percent: int) -> int:
    """`base` × `percent` / 100 as AWS rounds it: towards zero, but never to nothing.

    12.7 → 12, 0.67 → 1, −0.58 → −1, −6.67 → −6.
    """
    hundredths = base * percent
    if hundredths == 0:
        return 0
    sign = 1 if hundredths > 0 else -1
    return sign * max(1, abs(hundredths) // 100)


def adjusted(base: int, adjustment_type: str, adjustment: int, minimum_magnitude: int | None = None) -> int:
    """The capacity that an adjustment of `base` asks for, before the group's bounds.

    Raises: ValueError for an unknown adjustment type.
    """
    if adjustment_type == "ExactCapacity":
        return adjustment
    if adjustment_type == "ChangeInCapacity":
        return base + adjustment
    if adjustment_type != "PercentChangeInCapacity":
        raise ValueError(f"no such adjustment type: {adjustment_type}")
    change = percent_of(base, adjustment)
    if change and minimum_magnitude and abs(change) < minimum_magnitude:
        change = minimum_magnitude if change > 0 else -minimum_magnitude
    return base + change


def shown(adjustment_type: str, adjustment: int) -> str:
    if adjustment_type == "ExactCapacity":
        return f"exactly {adjustment}"
    return f"{adjustment:+d}{'%' if adjustment_type == 'PercentChangeInCapacity' else ''}"


def simple(
    policy: str, sizes: Sizes, adjustment_type: str, adjustment: int, minimum_magnitude: int | None = None
) -> Proposal:
    """A simple policy acts alone: not while an activity runs or a cooldown lasts."""
    wanted = adjusted(sizes.desired, adjustment_type, adjustment, minimum_magnitude)
    after = sizes.clamp(wanted)
    text = f"{sizes.desired} {shown(adjustment_type, adjustment)} = {wanted}"
    if after != wanted:
        text += f", within {sizes.minimum}..{sizes.maximum}: {after}"
    blocked = "a scaling activity is in progress" if sizes.busy else "cooldown" if sizes.cooling else ""
    out = wanted > sizes.desired and not blocked
    return Proposal(policy, sizes.desired if blocked else after, blocked, text, calls_out=out)


def matching_step(
    steps: Sequence[Mapping[str, float]], difference: float, above: bool | None = None
) -> Mapping[str, float]:
    """The step whose interval holds `difference` (metric minus threshold).

    Above the threshold the lower bound belongs to the step, below it the upper one. `above` is the alarm's
    direction; without one (ExecutePolicy) the sign decides and zero tries both. Raises: NoStep.
    """
    if above is None:
        above = difference > 0 or (difference == 0 and any(_holds(s, difference, True) for s in steps))
    for step in steps:
        if _holds(step, difference, above):
            return step
    raise NoStep(f"{difference}")


def _holds(step: Mapping[str, float], difference: float, above: bool) -> bool:
    lower = step.get("metric_interval_lower_bound")
    upper = step.get("metric_interval_upper_bound")
    low = -math.inf if lower is None else lower
    high = math.inf if upper is None else upper
    return low <= difference < high if above else low < difference <= high


def step(
    policy: str,
    sizes: Sizes,
    adjustment_type: str,
    steps: Sequence[Mapping[str, float]],
    metric: float,
    threshold: float,
    above: bool | None = None,
    minimum_magnitude: int | None = None,
) -> Proposal:
    """A step policy scales out from what is already warm, so that one breach is not answered twice.

    Scale-in waits while anything warms. Raises: NoStep.
    """
    found = matching_step(steps, metric - threshold, above)
    adjustment = int(found["scaling_adjustment"])
    base = min(sizes.desired, sizes.settled)
    grows = adjustment > sizes.desired if adjustment_type == "ExactCapacity" else adjustment > 0
    if grows:
        wanted = adjusted(base, adjustment_type, adjustment, minimum_magnitude)
        after = max(sizes.desired, sizes.clamp(wanted))
        blocked = "" if after > sizes.desired else _why_not(sizes, wanted)
    else:
        base = sizes.desired
        wanted = adjusted(base, adjustment_type, adjustment, minimum_magnitude)
        after = sizes.clamp(wanted)
        blocked = "instances are warming up" if sizes.warming and after < sizes.desired else ""
        if blocked:
            after = sizes.desired
    lower, upper = found.get("metric_interval_lower_bound"), found.get("metric_interval_upper_bound")
    interval = f"{'-∞' if lower is None else f'{lower:g}'}..{'∞' if upper is None else f'{upper:g}'}"
    text = (
        f"{metric:g} - {threshold:g} = {metric - threshold:g} in step {interval}: "
        f"{base} {shown(adjustment_type, adjustment)} = {wanted}"
    )
    if base != sizes.desired:
        text += f" (from {base} warm units; desired is {sizes.desired})"
    return Proposal(policy, after, blocked, text, calls_out=grows)


def _why_not(sizes: Sizes, wanted: int) -> str:
    if sizes.desired >= sizes.maximum:
        return f"at the maximum size {sizes.maximum}"
    if wanted <= sizes.desired:
        return "capacity asked for earlier is still warming up"
    return ""


def target_tracking_out(policy: str, sizes: Sizes, metric: float, target: float) -> Proposal:
    """Scale-out is proportional and rounds up, from the units whose load the metric shows."""
    ratio = sizes.settled * metric / target
    wanted = math.ceil(ratio - ROUNDING)
    after = max(sizes.desired, sizes.clamp(wanted))
    text = f"ceil({sizes.settled} × {metric:g} ÷ {target:g}) = ceil({ratio:.3f}) = {wanted}"
    blocked = "" if after > sizes.desired else _why_not(sizes, wanted)
    return Proposal(policy, after, blocked, text, calls_out=True, tracking=True)


def target_tracking_in(policy: str, sizes: Sizes, metric: float, target: float) -> Proposal:
    """Scale-in is gradual, and never so far that the metric would pass the target again."""
    ratio = sizes.settled * metric / target
    floor = math.ceil(ratio - ROUNDING)
    gentle = max(1, sizes.desired * SCALE_IN_STEP_PERCENT // 100)
    after = min(sizes.desired, sizes.clamp(max(floor, sizes.desired - gentle)))
    text = (
        f"ceil({sizes.settled} × {metric:g} ÷ {target:g}) = {floor} keeps the target; at most {gentle} at once: {after}"
    )
    blocked = ""
    if sizes.warming:
        after, blocked = sizes.desired, "instances are warming up"
    elif after == sizes.desired:
        if sizes.desired <= sizes.minimum:
            blocked = f"at the minimum size {sizes.minimum}"
        elif floor >= sizes.desired:
            blocked = "fewer would exceed the target"
    refuses = after == sizes.desired
    return Proposal(policy, after, blocked, text, refuses_in=refuses, tracking=True)


def winner(desired: int, proposals: Sequence[Proposal]) -> Proposal | None:
    """Of several proposals made at once: the largest scale-out, else the scale-in that leaves the most.

    None if none changes anything, or if one asks for more while there is no room for it: that leaves the most. Target
    tracking policies scale in only if all of them would.
    """
    out = [p for p in proposals if p.after > desired]
    if out:
        return max(out, key=lambda p: p.after)
    if any(p.calls_out for p in proposals):
        return None
    held = any(p.refuses_in for p in proposals)
    inward = [p for p in proposals if p.after < desired and not (held and p.tracking)]
    return max(inward, key=lambda p: p.after) if inward else None


def aggregated(points: Sequence[float], aggregation: str | None) -> float | None:
    """An alarm's recent datapoints as one value: Average (default), Minimum or Maximum; None without any."""
    if not points:
        return None
    if aggregation == "Minimum":
        return min(points)
    if aggregation == "Maximum":
        return max(points)
    return sum(points) / len(points)
