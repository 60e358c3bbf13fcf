"""Mixed instances groups: what their policies may say, and how a group follows when they change."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError

from elba.autoscaling import mixed
from elba.ec2.images import built_in_images
from elba.ec2.instance_types import TYPES
from elba.ec2.resources import Instance

from .harness import ACCOUNT, REGION, Harness
from .test_processes_and_errors import mixed_policy


def remix(elba: Harness, *overrides: dict[str, Any], **distribution: Any) -> None:
    elba.asg.update_auto_scaling_group(
        AutoScalingGroupName="g", MixedInstancesPolicy=mixed_policy(elba, *overrides, **distribution)
    )


def options(elba: Harness) -> tuple[int, int]:
    """(On-Demand, spot) instances in service."""
    members = elba.in_service()
    return sum(not m.spot for m in members), sum(m.spot for m in members)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((0, 100), (0, 0), (0, 4)),
        ((0, 0), (0, 100), (4, 0)),
        ((0, 100), (0, 50), (2, 2)),
        ((0, 0), (3, 0), (3, 1)),
        ((4, 0), (1, 50), (3, 1)),
    ],
)
def test_other_shares_replace_instances_one_at_a_time_and_launch_first(
    elba: Harness, before: tuple[int, int], after: tuple[int, int], expected: tuple[int, int]
) -> None:
    names = ("OnDemandBaseCapacity", "OnDemandPercentageAboveBaseCapacity")
    kind = {"InstanceType": "t3.micro"}
    policy = mixed_policy(elba, kind, **dict(zip(names, before, strict=True)))
    elba.create(minimum=0, maximum=4, DesiredCapacity=4, zones="a", MixedInstancesPolicy=policy)
    elba.advance(60)
    old = options(elba)
    assert sum(old) == 4 and old != expected and elba.is_still()
    remix(elba, kind, **dict(zip(names, after, strict=True)))
    for _ in range(300):
        elba.advance(1)
        assert len(elba.in_service()) >= 4
        assert len([m for m in elba.members() if not m.termination]) <= 5
    assert options(elba) == expected
    assert elba.is_still() and elba.group().desired_capacity == 4
    moved = abs(old[0] - expected[0])
    said = [a.cause.split(" ", 2)[2] for a in elba.activities()[4:]]
    assert said.count("an instance was launched in response to a change of the purchase options of the group.") == moved
    assert len(said) == 2 * moved


def test_protected_instances_keep_their_purchase_option(elba: Harness) -> None:
    kind = {"InstanceType": "t3.micro"}
    policy = mixed_policy(elba, kind, OnDemandPercentageAboveBaseCapacity=100)
    elba.create(minimum=0, maximum=4, DesiredCapacity=3, MixedInstancesPolicy=policy)
    elba.advance(60)
    kept = elba.in_service()[0].id
    elba.asg.set_instance_protection(AutoScalingGroupName="g", InstanceIds=[kept], ProtectedFromScaleIn=True)
    remix(elba, kind, OnDemandPercentageAboveBaseCapacity=0)
    elba.advance(300)
    assert options(elba) == (1, 2) and kept in {m.id for m in elba.in_service()}
    assert elba.is_still()


@pytest.mark.parametrize("process", ["Launch", "Terminate"])
def test_suspended_processes_hold_the_change_of_shares_back(elba: Harness, process: str) -> None:
    kind = {"InstanceType": "t3.micro"}
    policy = mixed_policy(elba, kind, OnDemandPercentageAboveBaseCapacity=100)
    elba.create(minimum=0, maximum=4, DesiredCapacity=2, MixedInstancesPolicy=policy)
    elba.advance(60)
    elba.asg.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=[process])
    remix(elba, kind, OnDemandPercentageAboveBaseCapacity=0)
    elba.advance(300)
    assert options(elba) == (2, 0) and elba.is_still()
    elba.asg.resume_processes(AutoScalingGroupName="g")
    elba.advance(300)
    assert options(elba) == (0, 2)


@pytest.mark.parametrize("percentage", [0, 30, 50, 70, 100])
def test_weighted_groups_come_to_rest_near_their_shares(elba: Harness, percentage: int) -> None:
    kinds = [
        {"InstanceType": "t3.large", "WeightedCapacity": "4"},
        {"InstanceType": "t3.small", "WeightedCapacity": "1"},
    ]
    policy = mixed_policy(elba, *kinds, OnDemandPercentageAboveBaseCapacity=50)
    elba.create(minimum=0, maximum=30, DesiredCapacity=18, zones="abc", MixedInstancesPolicy=policy)
    elba.advance(120)
    remix(elba, *kinds, OnDemandPercentageAboveBaseCapacity=percentage)
    elba.advance(1800)
    assert elba.is_still()
    on_demand = sum(m.weighted_capacity or 0 for m in elba.in_service() if not m.spot)
    assert abs(on_demand - -(-18 * percentage // 100)) <= 4


@pytest.mark.parametrize("percentage", [0, 25, 50, 75, 100])
@pytest.mark.parametrize("base", [0, 3])
def test_zones_and_shares_do_not_fight(elba: Harness, base: int, percentage: int) -> None:
    """Rebalancing took On-Demand instances from a zone full of them, the shares brought them back, without an end."""
    shares = {"OnDemandBaseCapacity": base, "OnDemandPercentageAboveBaseCapacity": percentage}
    policy = mixed_policy(elba, {"InstanceType": "t3.micro"}, **shares)
    elba.create(minimum=0, maximum=10, DesiredCapacity=4, zones="a", MixedInstancesPolicy=policy)
    elba.advance(60)
    shared = options(elba)
    zones = [f"{REGION}{z}" for z in "abc"]
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", AvailabilityZones=zones)
    elba.advance(600)
    assert elba.is_still() and elba.zones() == [2, 1, 1] and options(elba) == shared
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", AvailabilityZones=zones[1:])
    elba.advance(600)
    assert elba.is_still() and elba.zones() == [2, 2] and options(elba) == shared


@pytest.mark.parametrize("notice", ["spot_interruption_time", "rebalance_recommendation_time"])
def test_a_member_at_risk_serves_until_its_notice(elba: Harness, notice: str) -> None:
    arn = elba.target_group(delay=30)
    policy = mixed_policy(elba, {"InstanceType": "t3.micro"}, OnDemandPercentageAboveBaseCapacity=0)
    elba.create(MixedInstancesPolicy=policy, CapacityRebalance=True, TargetGroupARNs=[arn])
    elba.asg.put_lifecycle_hook(
        AutoScalingGroupName="g",
        LifecycleHookName="h",
        LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING",
        HeartbeatTimeout=60,
        DefaultResult="CONTINUE",
    )
    elba.advance(120)
    (risky,) = elba.in_service()
    instance = elba.store.view.get(Instance, ACCOUNT, REGION, risky.id)
    assert instance is not None
    elba.write(lambda tx: tx.put(msgspec.structs.replace(instance, **{notice: elba.now + 120})))
    elba.advance(20)
    assert len(elba.members("Pending:Wait")) == 1
    # Only the two minutes' notice takes it out of traffic before the other one is there.
    assert elba.targets()[risky.id] is (notice == "spot_interruption_time")
    elba.advance(200)
    assert risky.id not in {m.id for m in elba.members()} and len(elba.in_service()) == 1


def test_no_function_is_asked_about_spot_instances_at_risk(elba: Harness) -> None:
    policies = [f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:choose", "Default"]
    policy = mixed_policy(elba, {"InstanceType": "t3.micro"}, OnDemandPercentageAboveBaseCapacity=0)
    elba.create(DesiredCapacity=2, MixedInstancesPolicy=policy, CapacityRebalance=True, TerminationPolicies=policies)
    elba.advance(60)
    risky = elba.in_service()[0].id
    elba.interrupt(risky)
    elba.advance(60)
    assert risky not in {m.id for m in elba.members()} and len(elba.in_service()) == 2


KIND = {"InstanceType": "t3.micro"}
NEEDS = {"InstanceRequirements": {"VCpuCount": {"Min": 2, "Max": 4}, "MemoryMiB": {"Min": 7000, "Max": 17000}}}


def needs(**more: Any) -> dict[str, Any]:
    return {"InstanceRequirements": {**NEEDS["InstanceRequirements"], **more}}


DISTRIBUTION = "1 validation error detected: Value '{}' at 'mixedInstancesPolicy.instancesDistribution.{}' failed to satisfy constraint: Member must "  # noqa: E501


@pytest.mark.parametrize(
    ("overrides", "distribution", "message"),
    [
        ([KIND] * 41, {}, "The number of LaunchTemplateOverrides must be fewer than 40."),
        ([NEEDS] * 5, {}, "You can only have 4 launch template overrides using instance requirements at most."),
        ([{**KIND, **NEEDS}], {},
         "The parameter InstanceType cannot be used in a launch template override using instance requirements."),
        ([KIND, KIND], {},
         "Cannot add same instance type override more than once. Remove these duplicates from the request and try "
         "again: [t3.micro]"),
        ([needs(AllowedInstanceTypes=["m5.*"], ExcludedInstanceTypes=["t3.*"])], {},
         "You can specify either AllowedInstanceTypes or ExcludedInstanceTypes, but not both. Remove either "
         "AllowedInstanceTypes or ExcludedInstanceTypes, and try again."),
        ([needs(SpotMaxPricePercentageOverLowestPrice=50, MaxSpotPriceAsPercentageOfOptimalOnDemandPrice=50)], {},
         "You can specify either SpotMaxPricePercentageOverLowestPrice or "
         "MaxSpotPriceAsPercentageOfOptimalOnDemandPrice to select instance types for Spot Instances based on price. "
         "Specify only one of these parameters, and try again."),
        ([needs(VCpuCount={"Min": 8, "Max": 2})], {},
         "Invalid instance requirements. The Min value (8) in VCpuCount must be less or equal to the Max value (2)."),
        ([NEEDS], {"SpotAllocationStrategy": "capacity-optimized-prioritized"},
         "The specified SpotAllocationStrategy is not valid. The capacity-optimized-prioritized allocation strategy is "
         "not compatible with instance requirements. Valid options are [lowest-price, capacity-optimized, "
         "price-capacity-optimized]."),
        ([{**KIND, "WeightedCapacity": "1"}, {"InstanceType": "t3.small"}], {},
         "Not all instance types have a defined WeightedCapacity. Specify missing weights, or remove all weights, and "
         "try again."),
        ([{**KIND, "WeightedCapacity": "1000"}], {}, "1 validation error detected: Value '1000'"),
        ([{**KIND, "WeightedCapacity": "0"}], {}, "1 validation error detected: Value '0'"),
        ([KIND], {"OnDemandAllocationStrategy": "no"}, DISTRIBUTION.format("no", "onDemandAllocationStrategy")),
        ([NEEDS], {"OnDemandAllocationStrategy": "prioritized"},
         "The specified OnDemandAllocationStrategy is not valid. The prioritized allocation strategy is not compatible "
         "with instance requirements. Valid options are [lowest-price]."),
        ([KIND], {"SpotAllocationStrategy": "no"}, DISTRIBUTION.format("no", "spotAllocationStrategy")),
        ([KIND], {"OnDemandBaseCapacity": -1}, DISTRIBUTION.format(-1, "onDemandBaseCapacity")),
        ([KIND], {"OnDemandPercentageAboveBaseCapacity": 101},
         "1 validation error detected: Value '101' at "
         "'mixedInstancesPolicy.launchStrategy.onDemandCapacityOverBasePercentage' failed to satisfy constraint: "
         "Member must have value less than or equal to 100"),
        ([KIND], {"SpotInstancePools": 21}, DISTRIBUTION.format(21, "spotInstancePools")),
        ([KIND], {"SpotInstancePools": 2, "SpotAllocationStrategy": "capacity-optimized"},
         "SpotInstancePools option is only available with the lowest-price allocation strategy."),
        ([KIND], {"SpotMaxPrice": "0.0001"}, "Invalid SpotMaxPrice: 0.0001."),
    ],
)  # fmt: skip
def test_policies_that_are_refused(
    elba: Harness, overrides: list[dict[str, Any]], distribution: dict[str, Any], message: str
) -> None:
    policy = mixed_policy(elba, *overrides, **distribution)
    with pytest.raises(ClientError) as caught:
        elba.create(MixedInstancesPolicy=policy)
    error = caught.value.response["Error"]
    assert error["Code"] == "ValidationError" and error["Message"].startswith(message)


def test_a_policy_names_at_most_twenty_templates(elba: Harness) -> None:
    names = [f"own-{n}" for n in range(21)]
    for name in names:
        elba.template(name)
    overrides = [
        {"InstanceType": type_, "LaunchTemplateSpecification": {"LaunchTemplateName": name}}
        for type_, name in zip(TYPES, names, strict=False)
    ]
    with pytest.raises(ClientError, match="at most 20 launch templates"):
        elba.create(MixedInstancesPolicy=mixed_policy(elba, *overrides[:20]))
    elba.create(minimum=0, MixedInstancesPolicy=mixed_policy(elba, *overrides[:19]))


def test_an_update_keeps_what_it_leaves_out_of_the_policy(elba: Harness) -> None:
    shares = {"OnDemandBaseCapacity": 1, "OnDemandPercentageAboveBaseCapacity": 25, "SpotMaxPrice": "0.5"}
    elba.create(minimum=0, MixedInstancesPolicy=mixed_policy(elba, KIND, SpotInstancePools=3, **shares))
    before = elba.described()["MixedInstancesPolicy"]
    assert before["InstancesDistribution"] == {
        **shares,
        "SpotInstancePools": 3,
        "SpotAllocationStrategy": "lowest-price",
        "OnDemandAllocationStrategy": "prioritized",
    }
    for change, expected in (
        ({"OnDemandBaseCapacity": 2}, {**before["InstancesDistribution"], "OnDemandBaseCapacity": 2}),
        (
            {"SpotAllocationStrategy": "capacity-optimized", "SpotMaxPrice": ""},
            {
                "OnDemandBaseCapacity": 2,
                "OnDemandPercentageAboveBaseCapacity": 25,
                "SpotAllocationStrategy": "capacity-optimized",
                "OnDemandAllocationStrategy": "prioritized",
            },
        ),
    ):
        elba.asg.update_auto_scaling_group(
            AutoScalingGroupName="g", MixedInstancesPolicy={"InstancesDistribution": change}
        )
        shown = elba.described()["MixedInstancesPolicy"]
        assert shown == {"LaunchTemplate": before["LaunchTemplate"], "InstancesDistribution": expected}
    other = {"LaunchTemplate": {**before["LaunchTemplate"], "Overrides": [{"InstanceType": "t3.small"}]}}
    other["LaunchTemplate"]["LaunchTemplateSpecification"].pop("LaunchTemplateName")
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", MixedInstancesPolicy=other)
    shown = elba.described()["MixedInstancesPolicy"]
    assert shown["LaunchTemplate"]["Overrides"] == [{"InstanceType": "t3.small"}]
    assert shown["InstancesDistribution"] == expected


def test_a_launch_source_takes_the_place_of_the_other(elba: Harness) -> None:
    elba.create(minimum=0, MixedInstancesPolicy=mixed_policy(elba, KIND))
    configuration = {"ImageId": elba.images()[0], "InstanceType": "t3.micro"}
    elba.asg.create_launch_configuration(LaunchConfigurationName="c", **configuration)
    elba.template()
    sources = {"LaunchConfigurationName": "c", "LaunchTemplate": {"LaunchTemplateName": "web"}}
    for name, source in sources.items():
        elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", **{name: source})
        shown = elba.described()
        assert [n for n in (*sources, "MixedInstancesPolicy") if n in shown] == [name]


@pytest.mark.parametrize(("capacity_type", "desired"), [("vcpu", 9), ("memory-mib", 40000)])
def test_capacity_in_cpus_or_memory(elba: Harness, capacity_type: str, desired: int) -> None:
    elba.create(
        minimum=0,
        maximum=100_000,
        DesiredCapacity=desired,
        DesiredCapacityType=capacity_type,
        MixedInstancesPolicy=mixed_policy(elba, NEEDS),
    )
    elba.advance(60)
    units = []
    for instance in elba.described()["Instances"]:
        type_ = TYPES[instance["InstanceType"]]
        units.append(type_.vcpus if capacity_type == "vcpu" else type_.memory_mib)
        assert instance["WeightedCapacity"] == str(units[-1])
    assert len(units) > 1 and sum(units[:-1]) < desired <= sum(units)
    assert elba.described()["DesiredCapacityType"] == capacity_type and elba.is_still()
    distribution = elba.described()["MixedInstancesPolicy"]["InstancesDistribution"]
    assert distribution["OnDemandAllocationStrategy"] == "lowest-price"
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=2)
    elba.advance(60)
    assert len(elba.in_service()) == 1 and elba.is_still()


@pytest.mark.parametrize("capacity_type", ["vcpu", "cores"])
def test_capacity_in_cpus_needs_selection_by_attributes(elba: Harness, capacity_type: str) -> None:
    sources: list[dict[str, Any]] = [{}, {"MixedInstancesPolicy": mixed_policy(elba, KIND)}]
    for source in sources:
        with pytest.raises(ClientError, match="DesiredCapacityType"):
            elba.create(DesiredCapacityType=capacity_type, **source)


def test_types_by_attributes_go_with_the_image_and_may_stand_in_the_template(elba: Harness) -> None:
    arm = next(i.id for i in built_in_images(REGION).values() if i.architecture == "arm64")
    needs = {"v_cpu_count": {"min": 2, "max": 2}, "memory_mi_b": {"min": 7000, "max": 9000}}
    elba.template("needs", image_id=arm, instance_type=None, instance_requirements=needs)
    plain = {"LaunchTemplateName": "needs"}
    elba.create(minimum=1, LaunchTemplate=plain)
    elba.create("mixed", minimum=1, MixedInstancesPolicy={"LaunchTemplate": {"LaunchTemplateSpecification": plain}})
    elba.advance(60)
    for name in ("g", "mixed"):
        (member,) = elba.in_service(name)
        assert TYPES[member.instance_type].architecture == "arm64" and TYPES[member.instance_type].vcpus == 2


def test_an_override_that_cannot_be_launched_is_passed_over(elba: Harness) -> None:
    kinds = [{"InstanceType": "zz.huge"}, {"InstanceType": "t4g.micro"}, {"InstanceType": "t3.small"}]
    elba.create(minimum=1, MixedInstancesPolicy=mixed_policy(elba, *kinds))
    elba.advance(60)
    assert [m.instance_type for m in elba.in_service()] == ["t3.small"]


def test_requirements_that_no_type_meets_fail_the_launch(elba: Harness) -> None:
    needs = {"InstanceRequirements": {**NEEDS["InstanceRequirements"], "AcceleratorCount": {"Min": 1}}}
    elba.create(minimum=1, MixedInstancesPolicy=mixed_policy(elba, needs))
    elba.advance(5)
    message = "No instance type meets the instance requirements. Launching EC2 instance failed."
    assert [a.status_message for a in elba.activities()] == [message]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {"m5.large", "m5a.large", "m6i.large", "r5.large"}),
        ({"cpu_manufacturers": ["amd"]}, {"m5a.large"}),
        ({"instance_generations": ["previous"]}, set()),
        ({"network_interface_count": {"min": 9}}, set()),
        ({"local_storage": "required"}, set()),
        ({"bare_metal": "required"}, set()),
        ({"accelerator_types": ["gpu"]}, set()),
        ({"memory_gi_b_per_v_cpu": {"max": 4}}, {"m5.large", "m5a.large", "m6i.large"}),
        ({"burstable_performance": "required"}, {"t3.large"}),
        ({"excluded_instance_types": ["m*"]}, {"r5.large"}),
        ({"allowed_instance_types": ["m5.*"]}, {"m5.large"}),
    ],
)
def test_which_types_meet_requirements(asked: dict[str, Any], expected: set[str]) -> None:
    known = [
        TYPES[n] for n in ("t3.large", "m5.large", "m5a.large", "m6i.large", "r5.large", "m5.4xlarge", "m6g.large")
    ]
    needs = {"v_cpu_count": {"min": 2, "max": 2}, "memory_mi_b": {"min": 8000}}
    assert set(mixed.matching_types({**needs, **asked}, known)) == expected
