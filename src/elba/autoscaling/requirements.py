"""What the overrides of a mixed instances policy may not ask for, in AWS's words (measured)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from elba.autoscaling import faults

_RANGES = {
    "v_cpu_count": "VCpuCount",
    "memory_mi_b": "MemoryMiB",
    "memory_gi_b_per_v_cpu": "MemoryGiBPerVCpu",
    "network_interface_count": "NetworkInterfaceCount",
    "total_local_storage_gb": "TotalLocalStorageGB",
    "baseline_ebs_bandwidth_mbps": "BaselineEbsBandwidthMbps",
    "accelerator_count": "AcceleratorCount",
    "accelerator_total_memory_mi_b": "AcceleratorTotalMemoryMiB",
    "network_bandwidth_gbps": "NetworkBandwidthGbps",
}


def check(given: Mapping[str, Any]) -> None:
    """Raises: ApiError ValidationError."""
    if given.get("allowed_instance_types") and given.get("excluded_instance_types"):
        raise faults.validation(
            "You can specify either AllowedInstanceTypes or ExcludedInstanceTypes, but not both. Remove either "
            "AllowedInstanceTypes or ExcludedInstanceTypes, and try again."
        )
    baselines = (
        "spot_max_price_percentage_over_lowest_price",
        "max_spot_price_as_percentage_of_optimal_on_demand_price",
    )
    if all(given.get(b) is not None for b in baselines):
        raise faults.validation(
            "You can specify either SpotMaxPricePercentageOverLowestPrice or "
            "MaxSpotPriceAsPercentageOfOptimalOnDemandPrice to select instance types for Spot Instances based on "
            "price. Specify only one of these parameters, and try again."
        )
    for field, name in _RANGES.items():
        bounds = given.get(field) or {}
        low, high = bounds.get("min"), bounds.get("max")
        if low is not None and high is not None and low > high:
            raise faults.validation(
                f"Invalid instance requirements. The Min value ({low}) in {name} must be less or equal to the Max "
                f"value ({high})."
            )


def refuse_repeated(overrides: Sequence[Mapping[str, Any]]) -> None:
    """Raises: ApiError if an instance type is named twice."""
    types = [o["instance_type"] for o in overrides if o.get("instance_type")]
    if repeated := [t for t in dict.fromkeys(types) if types.count(t) > 1]:
        raise faults.validation(
            "Cannot add same instance type override more than once. Remove these duplicates from the request and try "
            f"again: [{', '.join(repeated)}]"
        )
