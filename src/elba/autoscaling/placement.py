"""Which zone the next instance goes to, and whether zones need rebalancing. Pure.

Source: Auto Scaling user guide, "Distribute instances across Availability Zones", "Rebalancing activities".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

IMBALANCE = 2
"""Units by which two zones must differ before rebalancing begins."""


def zone_units(zones: Iterable[str], placed: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Units in each of `zones` (in that order); `placed` holds each counted member's zone and weight."""
    units = dict.fromkeys(zones, 0)
    for zone, weight in placed:
        if zone in units:
            units[zone] += weight
    return units


def next_zone(units: Mapping[str, int], avoided: Iterable[str] = ()) -> str | None:
    """The zone with the fewest units, by name among equals; None if all are avoided."""
    avoided = set(avoided)
    usable = sorted(z for z in units if z not in avoided)
    return min(usable, key=lambda z: units[z]) if usable else None


@dataclass(frozen=True, slots=True)
class Rebalance:
    """Launch `extra` units first; what is then too much is taken from the fullest zones. `moves` are due in all."""

    extra: int
    moves: int
    low: str
    units: dict[str, int]


def rebalance(
    units: Mapping[str, int],
    stranded: int,
    movable: Mapping[str, int],
    desired: int,
    maximum: int,
    heaviest: int = 1,
    ceiling: int | None = None,
) -> Rebalance | None:
    """What rebalancing would do now, or None.

    `stranded` units are in zones no longer enabled; `movable` says how many units of each zone (and under ""
    of the stranded ones) may be terminated. The group may pass its maximum by a tenth, at least 1, meanwhile.
    `heaviest` is the largest weight: zones that differ by less than two of those are balanced. `ceiling`: what a
    maintenance policy says instead of that tenth; at desired capacity nothing may be launched first.
    """
    if not units:
        return None
    low = next_zone(units)
    assert low is not None
    moves = min(stranded, movable.get("", 0))
    level: dict[str, int] = dict(units)
    for _ in range(moves):
        level[min(sorted(level), key=lambda z: level[z])] += 1
    can_move = dict(movable)
    while True:
        lowest = min(sorted(level), key=lambda z: level[z])
        givers = [z for z in sorted(level) if level[z] - level[lowest] >= IMBALANCE * heaviest and can_move.get(z, 0)]
        if not givers:
            break
        giver = max(givers, key=lambda z: level[z])
        level[giver] -= 1
        level[lowest] += 1
        can_move[giver] -= 1
        moves += 1
    if moves == 0:
        return None
    limit = max(maximum, desired)
    if desired + moves > limit:
        limit = maximum + max(1, maximum // 10)
    if ceiling is not None:
        limit = ceiling
    extra = min(moves, max(0, limit - desired))
    return Rebalance(extra, moves, low, dict(units)) if extra or ceiling is not None else None


def balanced(units: Sequence[int], heaviest: int = 1) -> bool:
    """AWS's promise for healthy zones: they differ by at most one unit (or one heaviest instance)."""
    return not units or max(units) - min(units) <= heaviest
