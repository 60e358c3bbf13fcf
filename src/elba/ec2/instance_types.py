"""The instance types Elba knows: how much of the host each gets, and what the API says of it.

Source: EC2 instance types guide; ec2-iam spec §3.3.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InstanceType:
    """`memory_mib` and `vcpus` are limits the provider applies. `interfaces`: how many network interfaces fit."""

    name: str
    family: str
    size: str
    vcpus: int
    memory_mib: int
    architecture: str
    burstable: bool
    hypervisor: str
    clock_ghz: float
    network_performance: str
    interfaces: int
    addresses_per_interface: int
    threads_per_core: int
    manufacturer: str
    free_tier: bool = False

    @property
    def cores(self) -> int:
        return max(1, self.vcpus // self.threads_per_core)

    @property
    def default_credits(self) -> str:
        """ "unlimited", "standard", or "" for types that have no CPU credits."""
        if not self.burstable:
            return ""
        return "standard" if self.family == "t2" else "unlimited"


PREVIOUS_GENERATION = ("m1", "m4", "c4")
"""Families that are not of the current generation."""

_BURST = {"nano": 0.5, "micro": 1, "small": 2, "medium": 4, "large": 8, "xlarge": 16, "2xlarge": 32}
_BURST_VCPUS = {"nano": 2, "micro": 2, "small": 2, "medium": 2, "large": 2, "xlarge": 4, "2xlarge": 8}
_T2_VCPUS = {"nano": 1, "micro": 1, "small": 1, "medium": 2, "large": 2, "xlarge": 4, "2xlarge": 8}
_GENERAL = {"large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "8xlarge": 32, "12xlarge": 48, "16xlarge": 64, "24xlarge": 96}  # noqa: E501  # fmt: skip
_C5 = {"large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "9xlarge": 36, "12xlarge": 48, "18xlarge": 72, "24xlarge": 96}  # noqa: E501  # fmt: skip
_GRAVITON = {"medium": 1, "large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "8xlarge": 32, "12xlarge": 48, "16xlarge": 64}  # noqa: E501  # fmt: skip

_X86_FAMILIES: dict[str, tuple[dict[str, int], float, float, str]] = {
    # family: (vCPUs by size, GiB per vCPU, clock, manufacturer)
    "m4": ({"large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "10xlarge": 40, "16xlarge": 64}, 4, 2.4, "Intel"),
    "m5": (_GENERAL, 4, 3.1, "Intel"),
    "m5a": (_GENERAL, 4, 2.5, "AMD"),
    "m5d": (_GENERAL, 4, 3.1, "Intel"),
    "m6i": (_GENERAL | {"32xlarge": 128}, 4, 3.5, "Intel"),
    "m6a": (_GENERAL | {"32xlarge": 128, "48xlarge": 192}, 4, 3.6, "AMD"),
    "m7i": (_GENERAL | {"48xlarge": 192}, 4, 3.2, "Intel"),
    "m7a": ({"medium": 1} | _GENERAL | {"32xlarge": 128, "48xlarge": 192}, 4, 3.7, "AMD"),
    "c4": ({"large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "8xlarge": 36}, 2, 2.9, "Intel"),
    "c5": (_C5, 2, 3.4, "Intel"),
    "c5a": (_GENERAL, 2, 3.3, "AMD"),
    "c6i": (_GENERAL | {"32xlarge": 128}, 2, 3.5, "Intel"),
    "c6a": (_GENERAL | {"32xlarge": 128, "48xlarge": 192}, 2, 3.6, "AMD"),
    "c7i": (_GENERAL | {"48xlarge": 192}, 2, 3.2, "Intel"),
    "r5": (_GENERAL, 8, 3.1, "Intel"),
    "r5a": (_GENERAL, 8, 2.5, "AMD"),
    "r6i": (_GENERAL | {"32xlarge": 128}, 8, 3.5, "Intel"),
    "r7i": (_GENERAL | {"48xlarge": 192}, 8, 3.2, "Intel"),
}

_ARM_FAMILIES: dict[str, tuple[int, float]] = {
    "m6g": (4, 2.5),
    "m7g": (4, 2.6),
    "c6g": (2, 2.5),
    "c7g": (2, 2.6),
    "r6g": (8, 2.5),
    "r7g": (8, 2.6),
}

_ODD_MEMORY_GIB = {"c4.large": 3.75, "c4.xlarge": 7.5, "c4.2xlarge": 15, "c4.4xlarge": 30, "c4.8xlarge": 60}
"""Where GiB per vCPU is not the family's."""


def _network(vcpus: int, *, burstable: bool, xen: bool) -> tuple[str, int, int]:
    """(performance, interfaces, IPv4 addresses per interface)."""
    if xen and burstable:
        return "Low to Moderate", 2 if vcpus == 1 else 3, 4 if vcpus == 1 else 6
    if burstable:
        return "Up to 5 Gigabit", 2 if vcpus <= 2 else 4, 4 if vcpus <= 2 else 15
    if vcpus <= 2:
        return "Up to 10 Gigabit", 3, 10
    if vcpus <= 8:
        return "Up to 10 Gigabit", 4, 15
    if vcpus <= 36:
        return "10 Gigabit", 8, 30
    return "25 Gigabit", 15, 50


def _make(
    family: str, size: str, vcpus: int, gib: float, *, arch: str = "x86_64", clock: float, maker: str
) -> InstanceType:
    burstable = family.startswith("t")
    xen = family in ("m1", "t2", "m4", "c4")
    performance, interfaces, addresses = _network(vcpus, burstable=burstable, xen=xen)
    threads = 1 if arch == "arm64" or family == "t2" or vcpus == 1 or family in ("m7a",) else 2
    name = f"{family}.{size}"
    return InstanceType(
        name=name,
        family=family,
        size=size,
        vcpus=vcpus,
        memory_mib=int(_ODD_MEMORY_GIB.get(name, gib) * 1024),
        architecture=arch,
        burstable=burstable,
        hypervisor="xen" if xen else "nitro",
        clock_ghz=clock,
        network_performance=performance,
        interfaces=interfaces,
        addresses_per_interface=addresses,
        threads_per_core=threads,
        manufacturer=maker,
        free_tier=name in ("t2.micro", "t3.micro"),
    )


def _all() -> dict[str, InstanceType]:
    types: list[InstanceType] = []
    for size, gib in _BURST.items():
        types.append(_make("t2", size, _T2_VCPUS[size], gib, clock=2.5, maker="Intel"))
        types.append(_make("t3", size, _BURST_VCPUS[size], gib, clock=2.5, maker="Intel"))
        types.append(_make("t3a", size, _BURST_VCPUS[size], gib, clock=2.2, maker="AMD"))
        types.append(_make("t4g", size, _BURST_VCPUS[size], gib, arch="arm64", clock=2.5, maker="AWS"))
    # The type of a launch that names none; one of the previous generation.
    types.append(_make("m1", "small", 1, 1.7, clock=2.5, maker="Intel"))
    for family, (sizes, ratio, clock, maker) in _X86_FAMILIES.items():
        types += [_make(family, s, v, v * ratio, clock=clock, maker=maker) for s, v in sizes.items()]
    for family, (ratio, clock) in _ARM_FAMILIES.items():
        types += [_make(family, s, v, v * ratio, arch="arm64", clock=clock, maker="AWS") for s, v in _GRAVITON.items()]
    return {one.name: one for one in types}


TYPES: dict[str, InstanceType] = _all()
"""By name."""


def find_type(name: str) -> InstanceType | None:
    return TYPES.get(name)
