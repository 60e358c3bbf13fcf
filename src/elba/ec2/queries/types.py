"""DescribeInstanceTypes and DescribeInstanceTypeOfferings."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.ec2 import zones
from elba.ec2.filters import Fields, page, select
from elba.ec2.instance_types import PREVIOUS_GENERATION, TYPES, InstanceType
from elba.errors import ApiError
from elba.store.interface import View


def _ebs_optimized(type_: InstanceType) -> str:
    return "unsupported" if type_.family in ("m1", "t2") else "default"


def _ebs_info(type_: InstanceType) -> Answer:
    nvme = "unsupported" if type_.hypervisor == "xen" else "required"
    info: Answer = {
        "ebs_optimized_support": _ebs_optimized(type_),
        "encryption_support": "supported",
        "nvme_support": nvme,
        "attachment_limit_type": "shared",
        "maximum_ebs_attachments": 27,
    }
    if _ebs_optimized(type_) != "unsupported":
        baseline = min(19000, max(650, 594 * type_.vcpus))
        info["ebs_optimized_info"] = {
            "baseline_bandwidth_in_mbps": baseline,
            "baseline_throughput_in_m_bps": baseline / 8,
            "baseline_iops": min(80000, 2000 * type_.vcpus),
            "maximum_bandwidth_in_mbps": max(4750, baseline),
            "maximum_throughput_in_m_bps": max(4750, baseline) / 8,
            "maximum_iops": max(18750, min(80000, 2000 * type_.vcpus)),
        }
    return info


def _network_info(type_: InstanceType) -> Answer:
    nitro = type_.hypervisor == "nitro"
    return {
        "network_performance": type_.network_performance,
        "maximum_network_interfaces": type_.interfaces,
        "maximum_network_cards": 1,
        "default_network_card_index": 0,
        "network_cards": [
            {
                "network_card_index": 0,
                "network_performance": type_.network_performance,
                "maximum_network_interfaces": type_.interfaces,
            }
        ],
        "ipv4_addresses_per_interface": type_.addresses_per_interface,
        "ipv6_addresses_per_interface": type_.addresses_per_interface,
        "ipv6_supported": True,
        "ena_support": "required" if nitro else "unsupported",
        "efa_supported": False,
        "encryption_in_transit_supported": False,
        "ena_srd_supported": False,
    }


def render_type(type_: InstanceType) -> Answer:
    current = type_.family not in PREVIOUS_GENERATION
    return {
        "instance_type": type_.name,
        "current_generation": current,
        "free_tier_eligible": type_.free_tier,
        "supported_usage_classes": ["on-demand", "spot"],
        "supported_root_device_types": ["ebs"],
        "supported_virtualization_types": ["hvm"],
        "bare_metal": False,
        "hypervisor": type_.hypervisor,
        "processor_info": {
            "supported_architectures": [type_.architecture],
            "sustained_clock_speed_in_ghz": type_.clock_ghz,
            "manufacturer": type_.manufacturer,
        },
        "v_cpu_info": {
            "default_v_cpus": type_.vcpus,
            "default_cores": type_.cores,
            "default_threads_per_core": type_.threads_per_core,
            "valid_cores": list(range(1, type_.cores + 1)) if type_.cores <= 2 else list(range(2, type_.cores + 1, 2)),
            "valid_threads_per_core": [1, 2] if type_.threads_per_core == 2 else [1],
        },
        "memory_info": {"size_in_mi_b": type_.memory_mib},
        "instance_storage_supported": False,
        "ebs_info": _ebs_info(type_),
        "network_info": _network_info(type_),
        "placement_group_info": {
            "supported_strategies": ["partition", "spread"] if type_.burstable else ["cluster", "partition", "spread"]
        },
        "hibernation_supported": current and not type_.burstable and type_.architecture == "x86_64",
        "burstable_performance_supported": type_.burstable,
        "dedicated_hosts_supported": not type_.burstable,
        "auto_recovery_supported": True,
        "supported_boot_modes": ["uefi"] if type_.architecture == "arm64" else ["legacy-bios", "uefi"],
        "nitro_enclaves_support": "unsupported",
        "nitro_tpm_support": "unsupported",
        "phc_support": "unsupported",
    }


_FIELDS: Fields[InstanceType] = {
    "instance-type": lambda t: t.name,
    "auto-recovery-supported": lambda t: True,
    "bare-metal": lambda t: False,
    "burstable-performance-supported": lambda t: t.burstable,
    "current-generation": lambda t: t.family not in PREVIOUS_GENERATION,
    "dedicated-hosts-supported": lambda t: not t.burstable,
    "ebs-info.ebs-optimized-support": _ebs_optimized,
    "ebs-info.encryption-support": lambda t: "supported",
    "ebs-info.nvme-support": lambda t: "unsupported" if t.hypervisor == "xen" else "required",
    "free-tier-eligible": lambda t: t.free_tier,
    "hibernation-supported": lambda t: render_type(t)["hibernation_supported"],
    "hypervisor": lambda t: t.hypervisor,
    "instance-storage-supported": lambda t: False,
    "memory-info.size-in-mib": lambda t: t.memory_mib,
    "network-info.ena-support": lambda t: "required" if t.hypervisor == "nitro" else "unsupported",
    "network-info.efa-supported": lambda t: False,
    "network-info.ipv4-addresses-per-interface": lambda t: t.addresses_per_interface,
    "network-info.ipv6-supported": lambda t: True,
    "network-info.maximum-network-interfaces": lambda t: t.interfaces,
    "network-info.network-performance": lambda t: t.network_performance,
    "nitro-enclaves-support": lambda t: "unsupported",
    "nitro-tpm-support": lambda t: "unsupported",
    "processor-info.supported-architecture": lambda t: t.architecture,
    "processor-info.sustained-clock-speed-in-ghz": lambda t: t.clock_ghz,
    "supported-boot-mode": lambda t: render_type(t)["supported_boot_modes"],
    "supported-root-device-type": lambda t: "ebs",
    "supported-usage-class": lambda t: ["on-demand", "spot"],
    "supported-virtualization-type": lambda t: "hvm",
    "vcpu-info.default-cores": lambda t: t.cores,
    "vcpu-info.default-threads-per-core": lambda t: t.threads_per_core,
    "vcpu-info.default-vcpus": lambda t: t.vcpus,
}


def describe_instance_types(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidInstanceType, naming all that do not exist."""
    found = list(TYPES.values())
    if names := request.get("instance_types"):
        absent = [name for name in names if name not in TYPES]
        if absent:
            raise ApiError(
                "InvalidInstanceType",
                f"The following supplied instance types do not exist: [{', '.join(absent)}]",
            )
        found = [TYPES[name] for name in dict.fromkeys(names)]
    found = select(found, request.get("filters"), _FIELDS)
    # EC2 cuts even what is not paged at 100.
    part, token = page(
        found, {"max_results": 100, **request} if not request.get("instance_types") else request, most=100
    )
    return {"instance_types": [render_type(t) for t in part], "next_token": token}


_Offering = tuple[str, str]


def describe_instance_type_offerings(view: View, call: Call, request: Request) -> Answer:
    """Every type is offered everywhere."""
    location_type = request.get("location_type") or "region"
    names = zones.zone_names(view, call.region)
    locations = {
        "region": [call.region],
        "availability-zone": names,
        "availability-zone-id": [zones.zone_id(n) for n in names],
        "outpost": [],
    }
    if location_type not in locations:
        raise ApiError("InvalidParameterValue", f"Value ({location_type}) for parameter locationType is invalid.")
    fields: Fields[_Offering] = {"instance-type": lambda o: o[0], "location": lambda o: o[1]}
    offerings = [(name, location) for name in TYPES for location in locations[location_type]]
    part, token = page(select(offerings, request.get("filters"), fields), request)
    return {
        "instance_type_offerings": [
            {"instance_type": name, "location_type": location_type, "location": location} for name, location in part
        ],
        "next_token": token,
    }
