"""How much CPU 100 % means, on a host that has promised more vCPUs than it has cores. Pure."""

from __future__ import annotations

from collections.abc import Mapping


def allot_cpu(vcpus: Mapping[str, int], host_cores: float) -> dict[str, float]:
    """CPU seconds a second that are each running instance's 100 %, by instance id.

    An instance's vCPUs while the host has cores for all of them; else the host's cores divided in proportion, so that
    instances which all run flat out show about 100 % as they would on EC2, not the fraction of their nominal vCPUs
    that the host could give. The price: one busy instance among idle ones may use more than its allotment, which
    shows as 100 %, and an idle instance's small use shows larger on a crowded host.
    """
    promised = sum(vcpus.values())
    if promised <= host_cores:
        return {instance_id: float(count) for instance_id, count in vcpus.items()}
    return {instance_id: host_cores * count / promised for instance_id, count in vcpus.items()}
