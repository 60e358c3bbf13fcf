"""Turns the settings of Create- and UpdateAutoScalingGroup into a group's fields, refusing what AWS refuses."""

from __future__ import annotations

import re
from typing import Any

from elba.autoscaling import faults, launch_source, mixed, requirements
from elba.autoscaling.commands import registration
from elba.autoscaling.resources import Group, LaunchConfiguration
from elba.autoscaling.termination import POLICY_TYPES
from elba.call import Call, Request
from elba.ec2 import images, profiles, zones
from elba.ec2.resources import PlacementGroup, Subnet
from elba.elbv2.shifting import is_cross_zone
from elba.errors import ApiError
from elba.store.interface import View

HEALTH_CHECK_TYPES = ("EC2", "EBS", "ELB", "VPC_LATTICE")
MAX_OVERRIDES = 40
MAX_REQUIREMENTS = 4
"""Overrides that select types by attributes."""
MAX_TEMPLATES = 20
MAX_POOLS = 20
LEAST_SPOT_PRICE = 0.001
DISTRIBUTION_STRATEGIES = ("balanced-only", "balanced-best-effort", "reservations-then-balanced")
"""There are no capacity reservations here to use first."""
CAPACITY_TYPES = ("units", "vcpu", "memory-mib")
ON_DEMAND_STRATEGIES = ("lowest-price", "prioritized")
SPOT_STRATEGIES = (
    "capacity-optimized",
    "capacity-optimized-prioritized",
    "lowest-price",
    "price-capacity-optimized",
)
_LAMBDA = re.compile(r"arn:aws[a-z-]*:lambda:[^:]+:\d{12}:function:[A-Za-z0-9_-]+(:[A-Za-z0-9_-]+)?")

NO_SOURCE = (
    "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or "
    "MixedInstancesPolicy parameter."
)


def launch_fields(view: View, call: Call, request: Request, group: Group | None = None) -> dict[str, Any]:
    """`launch_configuration_name`, `launch_template`, `mixed_instances_policy`: the one given, the others cleared.

    `group`: the one to change, for which none needs to be given, and what a mixed instances policy leaves out stays
    as it is. Raises: ApiError.
    """
    names = ("launch_configuration_name", "launch_template", "mixed_instances_policy", "instance_id")
    given = [n for n in names if request.get(n)]
    if len(given) > 1 or (group is None and not given):
        raise faults.validation(NO_SOURCE)
    fields: dict[str, Any] = {
        "launch_configuration_name": "",
        "launch_template": None,
        "mixed_instances_policy": None,
    }
    if not given or given == ["instance_id"]:
        return {}
    if given == ["launch_configuration_name"]:
        name = str(request["launch_configuration_name"]).rsplit("launchConfigurationName/", 1)[-1]
        if view.get(LaunchConfiguration, call.account, call.region, name) is None:
            raise faults.launch_configuration_unknown(name)
        fields["launch_configuration_name"] = name
    elif given == ["launch_template"]:
        fields["launch_template"] = _template(view, call, request["launch_template"], typed=False)
    else:
        fields["mixed_instances_policy"] = _mixed(view, call, _completed(request["mixed_instances_policy"], group))
    return fields


def _template(view: View, call: Call, specification: dict[str, Any], *, typed: bool) -> dict[str, str]:
    if specification.get("launch_template_id") and specification.get("launch_template_name"):
        # Describe answers with both, but only one may be given.
        raise faults.validation("Valid requests must contain either launchTemplateId or LaunchTemplateName")
    template, _, data = launch_source.resolve(view, call, specification)
    if not data.get("image_id"):
        raise faults.validation(f"{launch_source.INVALID_TEMPLATE}The request must contain the parameter ImageId")
    if not typed and not data.get("instance_type") and not data.get("instance_requirements"):
        raise faults.validation(f"{launch_source.INVALID_TEMPLATE}The request must contain the parameter InstanceType")
    try:
        if not str(data["image_id"]).startswith("resolve:"):
            images.require_image(view, call, str(data["image_id"]))
        profiles.resolve_profile(view, call, data.get("iam_instance_profile"))
    except ApiError as error:
        raise faults.validation(f"{launch_source.INVALID_TEMPLATE}{error.message}") from error
    if typed and data.get("instance_market_options"):
        raise faults.validation(
            "Incompatible launch template: A launch template that specifies InstanceMarketOptions cannot be used "
            "in a mixed instances policy."
        )
    return launch_source.specification_of(template, specification.get("version") or "")


def _completed(given: dict[str, Any], group: Group | None) -> dict[str, Any]:
    """The policy with what it leaves out of the group's present one: the template, and parts of the distribution."""
    present = group.mixed_instances_policy if group is not None else None
    if present is None:
        return given
    merged = {**present["instances_distribution"], **(given.get("instances_distribution") or {})}
    if merged.get("spot_allocation_strategy") != present["instances_distribution"].get("spot_allocation_strategy"):
        merged.pop("spot_instance_pools", None)
    if "spot_instance_pools" in (given.get("instances_distribution") or {}):
        merged["spot_instance_pools"] = given["instances_distribution"]["spot_instance_pools"]
    template = given.get("launch_template") or {}
    specification = template.get("launch_template_specification")
    if not specification:
        shown = present["launch_template"]["launch_template_specification"]
        specification = {k: v for k, v in shown.items() if k != "launch_template_name"}
    overrides = template.get("overrides")
    if overrides is None:
        overrides = [] if given.get("launch_template") else present["launch_template"].get("overrides") or []
        overrides = [_as_given(o) for o in overrides]
    return {
        "launch_template": {"launch_template_specification": specification, "overrides": overrides},
        "instances_distribution": merged,
    }


def _as_given(override: dict[str, Any]) -> dict[str, Any]:
    """A stored override as a request would have it: its template by id alone."""
    own = override.get("launch_template_specification")
    if own is None:
        return override
    by_id = {k: v for k, v in own.items() if k != "launch_template_name"}
    return {**override, "launch_template_specification": by_id}


def _mixed(view: View, call: Call, given: dict[str, Any]) -> dict[str, Any]:
    template = given.get("launch_template") or {}
    specification = template.get("launch_template_specification")
    if not specification:
        raise faults.validation("Valid requests must contain either launchTemplateId or LaunchTemplateName")
    overrides = [dict(o) for o in template.get("overrides") or []]
    if len(overrides) > MAX_OVERRIDES:
        # AWS says "fewer" and takes as many (measured).
        raise faults.validation(f"The number of LaunchTemplateOverrides must be fewer than {MAX_OVERRIDES}.")
    typed = bool(overrides) and all(o.get("instance_type") or o.get("instance_requirements") for o in overrides)
    shown = _template(view, call, specification, typed=True)
    if not typed:
        _template(view, call, specification, typed=False)
    if sum(bool(o.get("instance_requirements")) for o in overrides) > MAX_REQUIREMENTS:
        raise faults.validation(
            f"You can only have {MAX_REQUIREMENTS} launch template overrides using instance requirements at most."
        )
    weights = [o.get("weighted_capacity") for o in overrides]
    if any(weights) and not all(weights):
        raise faults.validation(
            "Not all instance types have a defined WeightedCapacity. Specify missing weights, or remove all weights, "
            "and try again."
        )
    for weight in weights:
        if weight and not re.fullmatch(r"[1-9]\d{0,2}", weight):
            raise faults.constraint(weight, "mixedInstancesPolicy.weightedCapacity", "be between 1 and 999")
    for override in overrides:
        if override.get("instance_type") and override.get("instance_requirements"):
            raise faults.validation(
                "The parameter InstanceType cannot be used in a launch template override using instance requirements."
            )
        requirements.check(override.get("instance_requirements") or {})
        if own := override.get("launch_template_specification"):
            override["launch_template_specification"] = _template(view, call, own, typed=True)
    requirements.refuse_repeated(overrides)
    templates = {shown["launch_template_id"]} | {
        o["launch_template_specification"]["launch_template_id"]
        for o in overrides
        if "launch_template_specification" in o
    }
    if len(templates) > MAX_TEMPLATES:
        raise faults.validation(f"A mixed instances policy may name at most {MAX_TEMPLATES} launch templates.")
    by_attributes = any(o.get("instance_requirements") for o in overrides) or (
        not typed and bool(launch_source.resolve(view, call, specification)[2].get("instance_requirements"))
    )
    distribution = _distribution(given, by_attributes)
    policy: dict[str, Any] = {
        "launch_template": {"launch_template_specification": shown, "overrides": overrides},
        "instances_distribution": distribution,
    }
    return policy


def _distribution(given: dict[str, Any], by_attributes: bool) -> dict[str, Any]:
    """The InstancesDistribution with its defaults. Raises: ApiError."""
    field = "mixedInstancesPolicy.instancesDistribution"
    inner = "mixedInstancesPolicy.launchStrategy"  # what AWS itself calls it, where measured
    wanted = given.get("instances_distribution") or {}
    base, percentage = mixed.distribution(given)
    if base < 0:
        raise faults.constraint(base, f"{field}.onDemandBaseCapacity", "have value greater than or equal to 0")
    if not 0 <= percentage <= 100:
        bound = "greater than or equal to 0" if percentage < 0 else "less than or equal to 100"
        raise faults.constraint(percentage, f"{inner}.onDemandCapacityOverBasePercentage", f"have value {bound}")
    on_demand = wanted.get("on_demand_allocation_strategy") or ("lowest-price" if by_attributes else "prioritized")
    spot = wanted.get("spot_allocation_strategy") or "lowest-price"
    for name, value, known in (("onDemand", on_demand, ON_DEMAND_STRATEGIES), ("spot", spot, SPOT_STRATEGIES)):
        if value not in known:
            allowed = ", ".join(known)
            raise faults.constraint(value, f"{field}.{name}AllocationStrategy", f"satisfy enum value set: [{allowed}]")
    if by_attributes and on_demand == "prioritized":
        raise faults.validation(_incompatible("OnDemand", on_demand, ["lowest-price"]))
    if by_attributes and spot == "capacity-optimized-prioritized":
        others = ["lowest-price", "capacity-optimized", "price-capacity-optimized"]
        raise faults.validation(_incompatible("Spot", spot, others))
    distribution = {
        "on_demand_allocation_strategy": on_demand,
        "on_demand_base_capacity": base,
        "on_demand_percentage_above_base_capacity": percentage,
        "spot_allocation_strategy": spot,
    }
    pools = wanted.get("spot_instance_pools")
    if pools is not None and not 1 <= pools <= MAX_POOLS:
        raise faults.constraint(pools, f"{field}.spotInstancePools", f"have value between 1 and {MAX_POOLS}")
    if spot == "lowest-price":
        distribution["spot_instance_pools"] = pools or mixed.DEFAULT_SPOT_POOLS
    elif pools is not None:
        raise faults.validation("SpotInstancePools option is only available with the lowest-price allocation strategy.")
    if price := wanted.get("spot_max_price"):
        if not re.fullmatch(r"\d+(\.\d+)?", price) or float(price) < LEAST_SPOT_PRICE:
            raise faults.validation(f"Invalid SpotMaxPrice: {price}. The minimum value is {LEAST_SPOT_PRICE}.")
        distribution["spot_max_price"] = price
    return distribution


def _incompatible(side: str, strategy: str, others: list[str]) -> str:
    return (
        f"The specified {side}AllocationStrategy is not valid. The {strategy} allocation strategy is not compatible "
        f"with instance requirements. Valid options are [{', '.join(others)}]."
    )


def _check_capacity_type(group: Group) -> None:
    """Raises: ApiError if the group counts in vCPUs or memory and its types are not selected by attributes."""
    policy = group.mixed_instances_policy
    if group.desired_capacity_type in ("", "units"):
        return
    if group.desired_capacity_type not in CAPACITY_TYPES:
        raise faults.validation(
            f"Invalid DesiredCapacityType: {group.desired_capacity_type}. Valid are {', '.join(CAPACITY_TYPES)}."
        )
    if policy is None or policy["instances_distribution"]["on_demand_allocation_strategy"] == "prioritized":
        raise faults.validation(
            "DesiredCapacityType is supported for attribute-based instance type selection only: the group has no "
            "InstanceRequirements."
        )


def _check_placement(view: View, group: Group) -> None:
    """Raises: ApiError if a cluster placement group should span zones."""
    if not group.placement_group:
        return
    known = view.all(PlacementGroup, group.account, group.region)
    found = next((p for p in known if p.group_name == group.placement_group), None)
    if found is not None and found.strategy == "cluster" and len(group.availability_zones) > 1:
        raise faults.validation(
            f"The cluster placement group '{found.group_name}' cannot span Availability Zones: "
            f"{', '.join(group.availability_zones)}."
        )


def check_whole(view: View, call: Call, group: Group) -> None:
    """What depends on several settings of the group. Raises: ApiError."""
    if group.health_check_grace_period < 0:  # after the zones: measured
        raise faults.validation("Grace period must be a positive integer.")
    _check_capacity_type(group)
    _check_placement(view, group)
    _check_interfaces(view, call, group)


def _check_interfaces(view: View, call: Call, group: Group) -> None:
    """Raises: ApiError if a template's network interface is in a subnet that the group does not launch into."""
    template = (group.mixed_instances_policy or {}).get("launch_template") or {}
    specifications = [group.launch_template, template.get("launch_template_specification")]
    specifications += [o.get("launch_template_specification") for o in template.get("overrides") or []]
    for specification in specifications:
        if not specification:
            continue
        try:
            _, _, data = launch_source.resolve(view, call, specification)
        except ApiError:
            continue  # gone since: launches will say so
        for interface in data.get("network_interfaces") or []:
            if interface.get("subnet_id") and interface["subnet_id"] not in group.subnet_ids:
                raise faults.validation(
                    f"{launch_source.INVALID_TEMPLATE}Its network interface is in subnet "
                    f"'{interface['subnet_id']}', which is not among the subnets of the Auto Scaling group."
                )


def zone_fields(view: View, call: Call, request: Request, group: Group | None) -> dict[str, Any]:
    """`availability_zones`, `subnet_ids`, `vpc_zone_identifier` as the request changes them. Raises: ApiError."""
    named = list(request.get("availability_zones") or [])
    if ids := request.get("availability_zone_ids"):
        if named:
            raise faults.validation(
                "AvailabilityZones and AvailabilityZoneIds can't be used together. Specify only one of these "
                "parameters."
            )
        by_id = {zones.zone_id(z): z for z in zones.zone_names(view, call.region)}
        for id_ in ids:
            if id_ not in by_id:
                raise faults.validation(f"Invalid availability zone ids: [{id_}]")
        named = [by_id[i] for i in ids]
    identifier = request.get("vpc_zone_identifier")
    if not named and not identifier:
        if group is None:
            raise faults.validation("At least one Availability Zone or VPC Subnet is required.")
        return {}
    if unknown := [z for z in named if z not in zones.zone_names(view, call.region)]:
        template = any(request.get(n) for n in ("launch_template", "mixed_instances_policy"))
        if template:  # EC2 refuses the launch that AWS tries with them
            raise faults.validation(f"{launch_source.INVALID_TEMPLATE}Invalid availability zone: [{unknown[0]}]")
        raise faults.validation(f"Invalid availability zones: [{', '.join(unknown)}]")
    if identifier:
        subnets = _subnets(view, call, identifier)
        of_subnets = sorted({s.availability_zone for s in subnets})
        if named and sorted(set(named)) != of_subnets:
            raise faults.validation(
                "The availability zones of the specified subnets and the Auto Scaling group do not match"
            )
        return {
            "availability_zones": of_subnets,
            "subnet_ids": [s.id for s in subnets],
            "vpc_zone_identifier": ",".join(s.id for s in subnets),
        }
    if group is not None and group.vpc_zone_identifier:
        # Zones alone narrow the group to those of its subnets that lie there.
        of_group = [view.get(Subnet, call.account, call.region, s) for s in group.subnet_ids]
        kept = [s for s in of_group if s is not None and s.availability_zone in named]
        if {s.availability_zone for s in kept} != set(named):
            raise faults.validation(
                "The availability zones of the specified subnets and the Auto Scaling group do not match"
            )
        return {
            "availability_zones": sorted(set(named)),
            "subnet_ids": [s.id for s in kept],
            "vpc_zone_identifier": ",".join(s.id for s in kept),
        }
    defaults = {s.availability_zone: s.id for s in view.all(Subnet, call.account, call.region) if s.default_for_az}
    if missing := [z for z in named if z not in defaults]:
        raise faults.validation(
            f"No default subnet for availability zone: '{', '.join(missing)}'. "
            "Please specify a subnet with VPCZoneIdentifier."
        )
    ordered = sorted(set(named))
    return {
        "availability_zones": ordered,
        "subnet_ids": [defaults[z] for z in ordered],
        "vpc_zone_identifier": "",
    }


def _subnets(view: View, call: Call, identifier: str) -> list[Subnet]:
    ids = list(dict.fromkeys(i.strip() for i in identifier.split(",") if i.strip()))
    found = [(i, view.get(Subnet, call.account, call.region, i)) for i in ids]
    if absent := [i for i, s in found if s is None]:
        raise faults.validation(f"The subnet ID '{absent[0]}' does not exist")
    subnets = [s for _, s in found if s is not None]
    if len({s.vpc_id for s in subnets}) > 1:
        raise faults.validation("The subnets of an Auto Scaling group must all be in the same VPC.")
    return subnets


def plain_fields(request: Request) -> dict[str, Any]:
    """All settings that stand for themselves, as given in the request. Raises: ApiError."""
    fields: dict[str, Any] = {}
    cooldown = request.get("default_cooldown")
    if cooldown is not None:
        if cooldown < 0:
            raise faults.constraint(cooldown, "defaultCooldown", "have value greater than or equal to 0")
        fields["default_cooldown"] = cooldown
    warmup = request.get("default_instance_warmup")
    if warmup is not None:
        if not -1 <= warmup <= 3600:
            raise faults.constraint(warmup, "defaultInstanceWarmup", "have value between 0 and 3600")
        fields["default_instance_warmup"] = None if warmup == -1 else warmup
    if request.get("health_check_type"):
        fields["health_check_types"] = _health_checks(request["health_check_type"])
    if request.get("termination_policies"):
        fields["termination_policies"] = _termination_policies(request["termination_policies"])
    lifetime = request.get("max_instance_lifetime")
    if lifetime is not None:
        if lifetime and not 86400 <= lifetime <= 31536000:
            raise faults.validation("maxInstanceLifetime must be between 86400 and 31536000 seconds (inclusive).")
        fields["max_instance_lifetime"] = lifetime or None
    reservations = request.get("capacity_reservation_specification") or {}
    if reservations.get("capacity_reservation_preference") in ("default", "none") and reservations.get(
        "capacity_reservation_target"
    ):
        raise faults.validation(
            "You can't specify CapacityReservationPreference as default or none and provide a "
            "CapacityReservationTarget in the same request."
        )
    for name in (
        "health_check_grace_period",
        "new_instances_protected_from_scale_in",
        "capacity_rebalance",
        "placement_group",
        "context",
        "desired_capacity_type",
        "deletion_protection",
        "capacity_reservation_specification",
        "instance_lifecycle_policy",
    ):
        if request.get(name) is not None:
            fields[name] = request[name]
    if request.get("service_linked_role_arn"):
        fields["service_linked_role_arn"] = request["service_linked_role_arn"]
    if (maintenance := request.get("instance_maintenance_policy")) is not None:
        fields["instance_maintenance_policy"] = _maintenance(maintenance)
    if distribution := request.get("availability_zone_distribution"):
        strategy = distribution.get("capacity_distribution_strategy") or "balanced-best-effort"
        if strategy not in DISTRIBUTION_STRATEGIES:
            raise faults.constraint(
                strategy,
                "availabilityZoneDistribution.capacityDistributionStrategy",
                f"satisfy enum value set: [{', '.join(DISTRIBUTION_STRATEGIES)}]",
            )
        fields["availability_zone_distribution"] = strategy
    if (impairment := request.get("availability_zone_impairment_policy")) is not None:
        if impairment.get("zonal_shift_enabled") and not impairment.get("impaired_zone_health_check_behavior"):
            raise faults.validation("ImpairedZoneHealthCheckBehavior is required when ZonalShiftEnabled is true.")
        fields["availability_zone_impairment_policy"] = dict(impairment)
    return fields


def check_zonal_shift(view: View, group: Group, request: Request) -> None:
    """Zonal shift is enabled here only for groups whose target groups balance over all zones: with cross-zone off, the
    zones that are left get no more of the traffic than their instances' share. Raises: ApiError ValidationError."""
    policy = request.get("availability_zone_impairment_policy") or {}
    if not policy.get("zonal_shift_enabled") or request.get("skip_zonal_shift_validation"):
        return
    if any(not is_cross_zone(target_group) for target_group in registration.target_groups(view, group)):
        raise faults.validation(
            "Zonal shift cannot be enabled: a load balancer of the Auto Scaling group has cross-zone load balancing "
            "disabled. To enable it all the same, set SkipZonalShiftValidation to true."
        )


def _health_checks(text: str) -> list[str]:
    given = [part.strip() for part in text.split(",") if part.strip()]
    if wrong := [t for t in given if t not in HEALTH_CHECK_TYPES]:
        raise faults.validation(
            f"Invalid health check type: {wrong[0]}. Valid types are {', '.join(HEALTH_CHECK_TYPES)}."
        )
    if "EC2" in given and len(set(given)) > 1:
        raise faults.validation(
            "Specifying EC2 in addition to other health check types is not supported. Remove EC2 from HealthCheckType "
            "and try again."
        )
    return list(dict.fromkeys(given))


def _termination_policies(given: list[str]) -> list[str]:
    functions = [p for p in given if p.startswith("arn:")]
    if wrong := [p for p in given if not _LAMBDA.fullmatch(p) and p not in POLICY_TYPES]:
        valid = ", ".join(sorted([*POLICY_TYPES, "Lambda"]))
        raise faults.validation(
            f"[{', '.join(wrong)}] is not a valid termination policy. Valid termination policies are: [{valid}]."
        )
    if functions and (len(functions) > 1 or given[0] not in functions):
        raise faults.validation("A Lambda function must be the first termination policy, and the only one.")
    if "Default" in given[:-1]:
        raise faults.validation("The Default termination policy must be the last one in the list.")
    return list(given)


def _maintenance(given: dict[str, int]) -> dict[str, int] | None:
    low, high = given.get("min_healthy_percentage"), given.get("max_healthy_percentage")
    if low is None or high is None:
        raise faults.validation("MinHealthyPercentage and MaxHealthyPercentage must both be specified.")
    if low == -1 and high == -1:
        return None
    if not 0 <= low <= 100 or not 100 <= high <= 200:
        raise faults.validation(
            "MinHealthyPercentage must be between 0 and 100, MaxHealthyPercentage between 100 and 200."
        )
    if high - low > 100:
        raise faults.validation(
            "The difference between MaxHealthyPercentage and MinHealthyPercentage must be less than or equal to 100."
        )
    return {"min_healthy_percentage": low, "max_healthy_percentage": high}


def check_sizes(minimum: int, maximum: int, desired: int) -> None:
    """Raises: ApiError ValidationError unless minimum ≤ desired ≤ maximum."""
    if minimum < 0:
        raise faults.constraint(minimum, "minSize", "have value greater than or equal to 0")
    if maximum < minimum:
        raise faults.validation(f"Max bound, {maximum}, must be greater than or equal to min bound, {minimum}")
    if not minimum <= desired <= maximum:
        raise faults.validation(
            f"Desired capacity:{desired} must be between the specified min size:{minimum} and max size:{maximum}"
        )
