"""Who goes at scale-in: zone first, then termination policies, then chance. Pure.

Source: Auto Scaling user guide, "Configure termination policies", "Use instance scale-in protection".
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

HOUR_SECONDS = 3600.0

POLICY_TYPES = (
    "AllocationStrategy",
    "ClosestToNextInstanceHour",
    "Default",
    "NewestInstance",
    "OldestInstance",
    "OldestLaunchConfiguration",
    "OldestLaunchTemplate",
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A member as termination policies see it.

    `rank` is its type's place in the overrides (0 = preferred); `launch_configuration_created` 0 for one that
    was launched from a template.
    """

    instance_id: str
    zone: str
    launched_at: float
    in_service: bool = True
    protected: bool = False
    weight: int = 1
    spot: bool = False
    rank: int = 0
    launch_configuration_name: str = ""
    launch_configuration_created: float = 0.0
    launch_template_id: str = ""
    launch_template_version: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What the group says. `template_id`: its current launch template ("" for a launch configuration group).

    `surplus`: of a mixed group, which purchase option has more than its share: "spot", "on-demand" or "". It comes
    before zones, but not while `rebalancing`, which would else undo itself for ever.
    """

    zones: Sequence[str]
    policies: Sequence[str] = ("Default",)
    template_id: str = ""
    surplus: str = ""
    mixed: bool = False
    rebalancing: bool = False


Filter = Callable[[list[Candidate], Terms, float], list[Candidate]]


def _least(pool: list[Candidate], of: Callable[[Candidate], float]) -> list[Candidate]:
    least = min(of(c) for c in pool)
    return [c for c in pool if of(c) == least]


def _oldest(pool: list[Candidate], terms: Terms, now: float) -> list[Candidate]:
    return _least(pool, lambda c: c.launched_at)


def _newest(pool: list[Candidate], terms: Terms, now: float) -> list[Candidate]:
    return _least(pool, lambda c: -c.launched_at)


def _oldest_launch_configuration(pool: list[Candidate], terms: Terms, now: float) -> list[Candidate]:
    launched = [c for c in pool if c.launch_configuration_name]
    return _least(launched, lambda c: c.launch_configuration_created) if launched else pool


def _oldest_launch_template(pool: list[Candidate], terms: Terms, now: float) -> list[Candidate]:
    from_configuration = [c for c in pool if c.launch_configuration_name]
    if from_configuration:
        return from_configuration
    others = [c for c in pool if c.launch_template_id != terms.template_id]
    return others or _least(pool, lambda c: c.launch_template_version)


def _next_hour(pool: list[Candidate], terms: Terms, now: float) -> list[Candidate]:
    return _least(pool, lambda c: (HOUR_SECONDS - (now - c.launched_at)) % HOUR_SECONDS)


def _allocation_strategy(pool: list[Candidate], terms: Terms, now: float) -> list[Candidate]:
    if not terms.mixed:
        return pool
    return _least(pool, lambda c: -c.rank)


def _default(pool: list[Candidate], terms: Terms, now: float) -> list[Candidate]:
    steps: list[Filter] = [_allocation_strategy]
    steps.append(_oldest_launch_template if terms.template_id else _oldest_launch_configuration)
    steps.append(_next_hour)
    for narrow in steps:
        if len(pool) > 1:
            pool = narrow(pool, terms, now)
    return pool


FILTERS: Mapping[str, Filter] = {
    "Default": _default,
    "OldestInstance": _oldest,
    "NewestInstance": _newest,
    "OldestLaunchConfiguration": _oldest_launch_configuration,
    "OldestLaunchTemplate": _oldest_launch_template,
    "ClosestToNextInstanceHour": _next_hour,
    "AllocationStrategy": _allocation_strategy,
}


def _of_surplus(pool: list[Candidate], terms: Terms) -> list[Candidate]:
    """Those of the purchase option that has more than its share, if there are any."""
    return [c for c in pool if terms.surplus and c.spot == (terms.surplus == "spot")] or pool


def pick(members: Iterable[Candidate], terms: Terms, now: float, chance: random.Random) -> Candidate | None:
    """The next one to go, or None if all that are left are protected.

    Members in a zone no longer enabled go first; then the fullest zone with anybody to give; with all zones equal
    the policies choose over all of them. Pending members go only when nobody unprotected is in service.
    """
    members = list(members)
    pool = [c for c in members if c.in_service and not c.protected]
    if not pool:
        pool = [c for c in members if not c.in_service and not c.protected]
    if not pool:
        return None
    if not terms.rebalancing:
        pool = _of_surplus(pool, terms)
    stranded = [c for c in pool if c.zone not in terms.zones]
    if stranded:
        pool = stranded
    else:
        counts = dict.fromkeys(terms.zones, 0)
        for member in members:
            if member.zone in counts:
                counts[member.zone] += member.weight
        if len(set(counts.values())) > 1:
            fullest = max(counts[c.zone] for c in pool)
            pool = [c for c in pool if counts[c.zone] == fullest]
    pool = _of_surplus(pool, terms)
    for policy in terms.policies:
        if len(pool) == 1:
            break
        if policy in FILTERS:
            pool = FILTERS[policy](pool, terms, now)
    return chance.choice(pool)
