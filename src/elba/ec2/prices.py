"""The price table: On-Demand by type, Spot by type and zone, and how deep each Spot pool is. Nobody is charged.

On-Demand: US dollars per hour of Linux in us-east-1, as AWS lists them, per vCPU or by size; the same in every
region. Spot: a fixed share of that, 30 to 45 percent, which differs among pools (a pool is a type in a zone) and not in
time. Depth stands for spare capacity, which AWS does not publish: 1 (shallow) to 10.
"""

from __future__ import annotations

from functools import cache
from zlib import crc32

from elba.ec2.instance_types import TYPES, InstanceType

_PER_VCPU = {
    "m4": 0.05, "m5": 0.048, "m5a": 0.043, "m5d": 0.0565, "m6i": 0.048, "m6a": 0.0432, "m7i": 0.0504, "m7a": 0.05796,
    "c4": 0.05, "c5": 0.0425, "c5a": 0.0385, "c6i": 0.0425, "c6a": 0.03825, "c7i": 0.04463,
    "r5": 0.063, "r5a": 0.0565, "r6i": 0.063, "r7i": 0.06615, "m1": 0.044,
    "m6g": 0.0385, "m7g": 0.0408, "c6g": 0.034, "c7g": 0.03613, "r6g": 0.0504, "r7g": 0.05355,
}  # fmt: skip

_NANO = {"t2": 0.0058, "t3": 0.0052, "t3a": 0.0047, "t4g": 0.0042}
"""Each size of these families costs twice the one below."""


def on_demand_price(type_: InstanceType) -> float:
    """US dollars per hour."""
    if type_.family in _NANO:
        return round(_NANO[type_.family] * type_.memory_mib / 512, 4)
    return round(_PER_VCPU[type_.family] * type_.vcpus, 4)


@cache
def spot_price(instance_type: str, zone: str) -> float:
    """US dollars per hour in this pool."""
    share = 0.30 + 0.15 * (crc32(f"price {instance_type} {zone}".encode()) % 101) / 100
    return round(on_demand_price(TYPES[instance_type]) * share, 4)


@cache
def spot_depth(instance_type: str, zone: str) -> int:
    """How much spare capacity the pool has, 1 to 10."""
    return 1 + crc32(f"depth {instance_type} {zone}".encode()) % 10
