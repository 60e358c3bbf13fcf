"""Mixed instances groups: how capacity divides into On-Demand and spot, and which type is launched next. Pure.

Source: Auto Scaling user guide, "Auto Scaling groups with multiple instance types and purchase options".
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from elba.ec2.instance_types import PREVIOUS_GENERATION

DEFAULT_SPOT_POOLS = 2


def on_demand_units(capacity: int, base: int, percentage_above_base: int) -> int:
    """How many of `capacity` units are On-Demand: the base, and a share of the rest, rounded up."""
    fixed = min(capacity, base)
    return fixed + -((fixed - capacity) * percentage_above_base // 100)


def distribution(policy: Mapping[str, Any]) -> tuple[int, int]:
    """(OnDemandBaseCapacity, OnDemandPercentageAboveBaseCapacity) of a MixedInstancesPolicy, with defaults."""
    given: Mapping[str, Any] = policy.get("instances_distribution") or {}
    base = given.get("on_demand_base_capacity")
    percentage = given.get("on_demand_percentage_above_base_capacity")
    return base or 0, 100 if percentage is None else percentage


def overrides(policy: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    template: Mapping[str, Any] = policy.get("launch_template") or {}
    return template.get("overrides") or []


class TypeInfo(Protocol):
    """What attribute-based selection looks at."""

    @property
    def name(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def vcpus(self) -> int: ...
    @property
    def memory_mib(self) -> int: ...
    @property
    def architecture(self) -> str: ...
    @property
    def burstable(self) -> bool: ...
    @property
    def interfaces(self) -> int: ...
    @property
    def manufacturer(self) -> str: ...


def size_of(capacity_type: str, type_: TypeInfo | None) -> int | None:
    """The units of an instance of the type in a group that counts `vcpu` or `memory-mib`; else None."""
    if type_ is None:
        return None
    return {"vcpu": type_.vcpus, "memory-mib": type_.memory_mib}.get(capacity_type)


def weight_of(policy: Mapping[str, Any] | None, instance_type: str) -> int | None:
    """The units an instance of this type stands for by the overrides; None if they have no weights."""
    if policy is None:
        return None
    weighted = [o for o in overrides(policy) if o.get("weighted_capacity")]
    for override in weighted:
        if override.get("instance_type") == instance_type:
            return int(override["weighted_capacity"])
    return None


def heaviest(policy: Mapping[str, Any] | None) -> int:
    """The largest weight (1 without weights)."""
    if policy is None:
        return 1
    return max((int(o["weighted_capacity"]) for o in overrides(policy) if o.get("weighted_capacity")), default=1)


def grain(policy: Mapping[str, Any] | None, capacity_type: str, sizes: Iterable[int]) -> int:
    """By how many units capacity can miss its mark because instances are whole: the largest weight, or the largest of
    `sizes`, the members' units, where these follow from their types.
    """
    return max(sizes, default=1) if capacity_type in ("vcpu", "memory-mib") else heaviest(policy)


def next_is_spot(policy: Mapping[str, Any], capacity: int, on_demand: int) -> bool:
    """Which purchase option the next launch should have, with `on_demand` units there already."""
    base, percentage = distribution(policy)
    return on_demand >= on_demand_units(capacity, base, percentage)


def surplus(policy: Mapping[str, Any], capacity: int, on_demand: int, spot: int) -> str:
    """The purchase option that has more than its share of `capacity`: "on-demand", "spot" or ""."""
    base, percentage = distribution(policy)
    share = on_demand_units(capacity, base, percentage)
    if on_demand > share:
        return "on-demand"
    return "spot" if spot > capacity - share else ""


def rank_of(policy: Mapping[str, Any] | None, instance_type: str) -> int:
    """The type's place among the overrides; types that are not among them come last."""
    if policy is None:
        return 0
    types = [o.get("instance_type") for o in overrides(policy)]
    return types.index(instance_type) if instance_type in types else len(types)


def by_preference(
    options: Sequence[Mapping[str, Any]],
    wanted: Mapping[str, Any],
    *,
    spot: bool,
    price: Callable[[str], float],
    depth: Callable[[str], int],
    there: Mapping[str, int],
) -> list[Mapping[str, Any]]:
    """Overrides (with an `instance_type`) in the order in which a launch in one zone tries them.

    `wanted`: the InstancesDistribution. `price` in dollars per hour, by type, of the purchase option at hand; it counts
    per unit where there are weights. `depth` of the type's Spot pool; `there`: spot members in the zone by type.
    """

    def per_unit(option: Mapping[str, Any]) -> float:
        return price(option["instance_type"]) / int(option.get("weighted_capacity") or 1)

    if not spot:
        cheapest = wanted.get("on_demand_allocation_strategy") == "lowest-price"
        return sorted(options, key=per_unit) if cheapest else list(options)
    strategy = wanted.get("spot_allocation_strategy") or "lowest-price"
    if strategy == "capacity-optimized":
        return sorted(options, key=lambda o: -depth(o["instance_type"]))
    if strategy == "capacity-optimized-prioritized":
        # Capacity first: the order given counts among pools of about the same depth.
        return sorted(options, key=lambda o: -(depth(o["instance_type"]) // 4))
    if strategy == "price-capacity-optimized":
        # The deeper half of the pools, the cheapest of them first.
        deepest = sorted(options, key=lambda o: -depth(o["instance_type"]))
        half = (len(deepest) + 1) // 2
        return sorted(deepest[:half], key=per_unit) + sorted(deepest[half:], key=per_unit)
    pools = sorted(options, key=per_unit)
    count = wanted.get("spot_instance_pools") or DEFAULT_SPOT_POOLS
    return sorted(pools[:count], key=lambda o: there.get(o["instance_type"], 0)) + pools[count:]


def _wants_accelerators(requirements: Mapping[str, Any]) -> bool:
    count = requirements.get("accelerator_count") or {}
    named = ("accelerator_types", "accelerator_manufacturers", "accelerator_names")
    return bool(count.get("min")) or (count.get("max") != 0 and any(requirements.get(n) for n in named))


def _within(value: float, bounds: Mapping[str, Any] | None) -> bool:
    if not bounds:
        return True
    low, high = bounds.get("min"), bounds.get("max")
    return (low is None or value >= low) and (high is None or value <= high)


def _matches_any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, p) for p in patterns)


_MANUFACTURERS = {"Intel": "intel", "AMD": "amd", "AWS": "amazon-web-services"}


def matching_types(
    requirements: Mapping[str, Any], types: Iterable[TypeInfo], architecture: str = "x86_64"
) -> list[str]:
    """Names of the types that meet InstanceRequirements, smallest first.

    None that there is is bare metal, has accelerators or instance store volumes.
    """
    found: list[tuple[int, int, str]] = []
    if "required" in (requirements.get("bare_metal"), requirements.get("local_storage")):
        return []
    if _wants_accelerators(requirements):
        return []
    for type_ in types:
        if type_.architecture != architecture:
            continue
        per_vcpu = type_.memory_mib / 1024 / type_.vcpus
        if not _within(type_.vcpus, requirements.get("v_cpu_count")):
            continue
        if not _within(type_.memory_mib, requirements.get("memory_mi_b")):
            continue
        if not _within(per_vcpu, requirements.get("memory_gi_b_per_v_cpu")):
            continue
        burst = requirements.get("burstable_performance") or "excluded"
        if (burst == "excluded" and type_.burstable) or (burst == "required" and not type_.burstable):
            continue
        if not _within(type_.interfaces, requirements.get("network_interface_count")):
            continue
        makers = requirements.get("cpu_manufacturers")
        if makers and _MANUFACTURERS.get(type_.manufacturer) not in makers:
            continue
        generations = requirements.get("instance_generations")
        if generations and ("previous" if type_.family in PREVIOUS_GENERATION else "current") not in generations:
            continue
        if _matches_any(type_.name, requirements.get("excluded_instance_types") or []):
            continue
        allowed = requirements.get("allowed_instance_types")
        if allowed and not _matches_any(type_.name, allowed):
            continue
        found.append((type_.vcpus, type_.memory_mib, type_.name))
    return [name for _, _, name in sorted(found)]
