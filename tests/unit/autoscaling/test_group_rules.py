"""Rules of groups, table by table: attributes and their defaults, what they are launched from, deletion."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from elba.autoscaling import resources
from elba.autoscaling.activities import KEPT_SECONDS
from elba.autoscaling.commands import groups
from elba.autoscaling.resources import LaunchConfiguration
from elba.cloudwatch.resources import Alarm
from elba.ec2 import commands as ec2
from elba.ec2.resources import LaunchTemplate, Subnet
from elba.resource import Resource
from elba.sns.resources import Topic

from .harness import ACCOUNT, REGION, Harness

A, B = f"{REGION}a", f"{REGION}b"
TEMPLATE = {"LaunchTemplate": {"LaunchTemplateName": "web"}}


def subnets(elba: Harness) -> dict[str, str]:
    """Default subnets by zone."""
    elba.write(lambda tx: ec2.ensure_defaults(tx, elba.call()))
    return {s.availability_zone: s.id for s in elba.store.view.all(Subnet)}


# ── attributes ───────────────────────────────────────────────────────────────────────────────────────


def test_a_group_of_defaults_shows_no_more_than_these(elba: Harness) -> None:
    elba.create(minimum=0, maximum=1, zones="a")
    shown = elba.described()
    template = elba.store.view.all(LaunchTemplate)[0]
    assert shown.pop("AutoScalingGroupARN").startswith(f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:")
    shown.pop("CreatedTime")
    role = "autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    assert shown == {
        "AutoScalingGroupName": "g",
        "LaunchTemplate": {"LaunchTemplateId": template.id, "LaunchTemplateName": "web", "Version": "$Latest"},
        "MinSize": 0,
        "MaxSize": 1,
        "DesiredCapacity": 0,
        "DefaultCooldown": 300,
        "AvailabilityZones": [A],
        "AvailabilityZoneIds": ["use1-az1"],
        "LoadBalancerNames": [],
        "TargetGroupARNs": [],
        "HealthCheckType": "EC2",
        "HealthCheckGracePeriod": 0,
        "Instances": [],
        "SuspendedProcesses": [],
        "VPCZoneIdentifier": "",
        "EnabledMetrics": [],
        "Tags": [],
        "TerminationPolicies": ["Default"],
        "NewInstancesProtectedFromScaleIn": False,
        "ServiceLinkedRoleARN": f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{role}",
        "TrafficSources": [],
        "AvailabilityZoneDistribution": {"CapacityDistributionStrategy": "balanced-best-effort"},
    }


ATTRIBUTES: dict[str, tuple[Any, Any]] = {
    "DefaultCooldown": (10, 0),
    "DefaultInstanceWarmup": (0, 3600),
    "HealthCheckType": ("ELB", "ELB,EBS"),
    "HealthCheckGracePeriod": (300, 0),
    "TerminationPolicies": (["OldestInstance", "Default"], ["NewestInstance"]),
    "NewInstancesProtectedFromScaleIn": (True, False),
    "MaxInstanceLifetime": (86400, 31536000),
    "PlacementGroup": ("pg", "other"),
    "ServiceLinkedRoleARN": ("arn:aws:iam::111122223333:role/a", "arn:aws:iam::111122223333:role/b"),
    "InstanceMaintenancePolicy": (
        {"MinHealthyPercentage": 90, "MaxHealthyPercentage": 120},
        {"MinHealthyPercentage": 0, "MaxHealthyPercentage": 100},
    ),
    "AvailabilityZoneDistribution": (
        {"CapacityDistributionStrategy": "balanced-only"},
        {"CapacityDistributionStrategy": "balanced-best-effort"},
    ),
    "CapacityReservationSpecification": (
        {"CapacityReservationPreference": "none"},
        {"CapacityReservationPreference": "capacity-reservations-first"},
    ),
    "DeletionProtection": ("prevent-force-deletion", "prevent-all-deletion"),
    "InstanceLifecyclePolicy": (
        {"RetentionTriggers": {"TerminateHookAbandon": "retain"}},
        {"RetentionTriggers": {"TerminateHookAbandon": "terminate"}},
    ),
    "Context": ("one", "two"),
}


def test_every_attribute_is_shown_as_it_was_set_and_kept_until_it_is_changed(elba: Harness) -> None:
    elba.create(minimum=0, **{name: values[0] for name, values in ATTRIBUTES.items()})
    first = {name: values[0] for name, values in ATTRIBUTES.items()}
    assert {name: elba.described().get(name) for name in ATTRIBUTES} == first
    for name, (_, changed) in ATTRIBUTES.items():
        elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", **{name: changed})
        first[name] = changed
        assert {n: elba.described().get(n) for n in ATTRIBUTES} == first, name


@pytest.mark.parametrize(
    ("name", "value", "clear"),
    [
        ("DefaultInstanceWarmup", 30, -1),
        ("MaxInstanceLifetime", 86400, 0),
        (
            "InstanceMaintenancePolicy",
            {"MinHealthyPercentage": 90, "MaxHealthyPercentage": 120},
            {"MinHealthyPercentage": -1, "MaxHealthyPercentage": -1},
        ),
        ("Context", "one", ""),
        ("DeletionProtection", "prevent-all-deletion", "none"),
    ],
)
def test_what_clears_an_attribute(elba: Harness, name: str, value: Any, clear: Any) -> None:
    elba.create(minimum=0, **{name: value})
    assert elba.described()[name] == value
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", **{name: clear})
    assert name not in elba.described()


def test_a_warmup_of_zero_is_set(elba: Harness) -> None:
    elba.create(minimum=0, DefaultInstanceWarmup=0)
    assert elba.described()["DefaultInstanceWarmup"] == 0


def test_zones_by_name_by_id_and_by_subnet(elba: Harness) -> None:
    by_zone = subnets(elba)
    elba.template()
    request = {"MinSize": 0, "MaxSize": 1, **TEMPLATE}
    elba.asg.create_auto_scaling_group(AutoScalingGroupName="ids", AvailabilityZoneIds=["use1-az2"], **request)
    both = f"{by_zone[B]}, {by_zone[A]}"
    elba.asg.create_auto_scaling_group(AutoScalingGroupName="subnets", VPCZoneIdentifier=both, **request)
    assert elba.described("ids")["AvailabilityZones"] == [B]
    shown = elba.described("subnets")
    assert shown["AvailabilityZones"] == [A, B]
    assert shown["VPCZoneIdentifier"] == f"{by_zone[B]},{by_zone[A]}"
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="subnets", VPCZoneIdentifier=by_zone[A])
    assert elba.described("subnets")["AvailabilityZones"] == [A]
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="ids", AvailabilityZoneIds=["use1-az1", "use1-az2"])
    assert elba.described("ids")["AvailabilityZones"] == [A, B]


def test_filters_and_groups_without_instances(elba: Harness) -> None:
    for name, key, value in (("g", "team", "x"), ("h", "team", "y"), ("i", "other", "x")):
        elba.create(name, minimum=1, Tags=[{"Key": key, "Value": value}])

    def found(*filters: dict[str, Any]) -> list[str]:
        answer = elba.asg.describe_auto_scaling_groups(Filters=list(filters), IncludeInstances=False)
        return [g["AutoScalingGroupName"] for g in answer["AutoScalingGroups"]]

    assert found({"Name": "tag-key", "Values": ["team"]}) == ["g", "h"]
    assert found({"Name": "tag-value", "Values": ["x"]}) == ["g", "i"]
    assert found({"Name": "tag:team", "Values": ["y", "z"]}) == ["h"]
    assert found({"Name": "tag-key", "Values": ["team"]}, {"Name": "tag-value", "Values": ["x"]}) == ["g"]
    assert (
        elba.refused("describe_auto_scaling_groups", Filters=[{"Name": "no", "Values": ["x"]}])[0] == "ValidationError"
    )
    elba.advance(30)
    assert len(elba.described()["Instances"]) == 1
    (shown,) = elba.asg.describe_auto_scaling_groups(AutoScalingGroupNames=["g"], IncludeInstances=False)[
        "AutoScalingGroups"
    ]
    assert shown.get("Instances", []) == []


def test_names_may_be_arns(elba: Harness) -> None:
    elba.create(minimum=0)
    arn = elba.described()["AutoScalingGroupARN"]
    elba.asg.set_desired_capacity(AutoScalingGroupName=arn, DesiredCapacity=1)
    (shown,) = elba.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[arn])["AutoScalingGroups"]
    assert shown["DesiredCapacity"] == 1
    elba.asg.delete_auto_scaling_group(AutoScalingGroupName=arn, ForceDelete=True)
    elba.advance(60)
    elba.create(minimum=0)
    assert elba.described()["AutoScalingGroupARN"] != arn


def test_an_instance_shows_what_it_was_launched_from_while_that_is_there(elba: Harness) -> None:
    configuration = {"ImageId": elba.images()[0], "InstanceType": "t3.micro"}
    elba.asg.create_launch_configuration(LaunchConfigurationName="c", **configuration)
    elba.create(minimum=1, LaunchConfigurationName="c")
    elba.advance(30)
    elba.template()
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", **TEMPLATE, DesiredCapacity=2)
    elba.advance(30)
    old, new = elba.described()["Instances"]
    assert old["LaunchConfigurationName"] == "c" and "LaunchTemplate" not in old
    assert new["LaunchTemplate"]["Version"] == "1" and "LaunchConfigurationName" not in new
    elba.asg.delete_launch_configuration(LaunchConfigurationName="c")
    elba.asg.create_launch_configuration(LaunchConfigurationName="c", **configuration)  # another one
    assert "LaunchConfigurationName" not in elba.described()["Instances"][0]
    told = elba.asg.describe_auto_scaling_instances(InstanceIds=[old["InstanceId"], "i-0123456789abcdef0"])
    (instance,) = told["AutoScalingInstances"]
    assert "LaunchConfigurationName" not in instance
    assert (instance["AutoScalingGroupName"], instance["HealthStatus"]) == ("g", "HEALTHY")


def test_a_group_from_an_instance_has_a_launch_configuration_of_its_name(elba: Harness) -> None:
    elba.create("old", minimum=1, zones="b")
    elba.advance(30)
    (member,) = elba.in_service("old")
    elba.asg.create_auto_scaling_group(AutoScalingGroupName="g", MinSize=1, MaxSize=1, InstanceId=member.id)
    elba.advance(30)
    assert elba.described()["LaunchConfigurationName"] == "g"
    assert [(m.instance_type, m.availability_zone) for m in elba.in_service()] == [("t3.micro", B)]
    assert elba.store.view.get(LaunchConfiguration, ACCOUNT, REGION, "g") is not None


# ── deletion ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("protection", "force", "goes"),
    [
        ("none", False, True),
        ("none", True, True),
        ("prevent-force-deletion", False, True),
        ("prevent-force-deletion", True, False),
        ("prevent-all-deletion", False, False),
        ("prevent-all-deletion", True, False),
    ],
)
def test_deletion_protection(elba: Harness, protection: str, force: bool, goes: bool) -> None:
    elba.create(minimum=0, DeletionProtection=protection)
    request = {"AutoScalingGroupName": "g", "ForceDelete": force}
    if goes:
        elba.asg.delete_auto_scaling_group(**request)
        elba.advance(1)
        assert elba.asg.describe_auto_scaling_groups()["AutoScalingGroups"] == []
    else:
        assert elba.refused("delete_auto_scaling_group", **request)[0] == "ValidationError"


def test_what_keeps_a_group_from_being_deleted(elba: Harness) -> None:
    not_empty = "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group."  # noqa: E501
    busy = "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group."
    elba.create(minimum=0, maximum=2, DesiredCapacity=1)
    elba.asg.put_lifecycle_hook(
        AutoScalingGroupName="g",
        LifecycleHookName="h",
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        DefaultResult="CONTINUE",
        HeartbeatTimeout=300,
    )
    elba.advance(30)
    request = {"AutoScalingGroupName": "g", "InstanceIds": [elba.in_service()[0].id]}
    elba.asg.enter_standby(**request, ShouldDecrementDesiredCapacity=True)
    elba.advance(5)
    assert elba.refused("delete_auto_scaling_group", AutoScalingGroupName="g") == ("ResourceInUse", not_empty)
    elba.asg.exit_standby(**request)
    elba.advance(5)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=0)
    elba.advance(5)
    assert elba.refused("delete_auto_scaling_group", AutoScalingGroupName="g") == ("ScalingActivityInProgress", busy)
    elba.advance(400)
    elba.asg.put_warm_pool(AutoScalingGroupName="g", MinSize=1, MaxGroupPreparedCapacity=0)
    elba.advance(60)
    assert elba.refused("delete_auto_scaling_group", AutoScalingGroupName="g") == ("ResourceInUse", not_empty)
    elba.asg.delete_auto_scaling_group(AutoScalingGroupName="g", ForceDelete=True)
    elba.advance(60)
    assert elba.asg.describe_auto_scaling_groups()["AutoScalingGroups"] == []


def test_force_delete_waits_for_nothing(elba: Harness) -> None:
    arn = elba.target_group(delay=300)
    elba.create(minimum=2, TargetGroupARNs=[arn], NewInstancesProtectedFromScaleIn=True)
    elba.asg.put_lifecycle_hook(
        AutoScalingGroupName="g",
        LifecycleHookName="h",
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        HeartbeatTimeout=300,
    )
    elba.advance(60)
    elba.asg.suspend_processes(AutoScalingGroupName="g")
    elba.asg.delete_auto_scaling_group(AutoScalingGroupName="g", ForceDelete=True)
    for operation, parameters in (
        ("update_auto_scaling_group", {"MaxSize": 9}),
        ("set_desired_capacity", {"DesiredCapacity": 0}),
        ("attach_instances", {"InstanceIds": ["i-0123456789abcdef0"]}),
        ("launch_instances", {"RequestedCapacity": 1, "ClientToken": "t", "AvailabilityZones": [A]}),
    ):
        told = elba.refused(operation, AutoScalingGroupName="g", **parameters)
        assert told == ("ValidationError", "AutoScalingGroup g is pending delete")
    elba.advance(30)
    assert elba.asg.describe_auto_scaling_groups()["AutoScalingGroups"] == []
    assert elba.instance_states() == ["terminated"] * 2
    assert set(elba.targets().values()) <= {True}


def test_what_goes_with_a_group(elba: Harness) -> None:
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:t"
    elba.write(lambda tx: tx.put(Topic(account=ACCOUNT, region=REGION, id=topic)))
    elba.create(minimum=1)
    name = {"AutoScalingGroupName": "g"}
    elba.asg.put_notification_configuration(
        **name, TopicARN=topic, NotificationTypes=["autoscaling:EC2_INSTANCE_LAUNCH"]
    )
    elba.asg.put_scheduled_update_group_action(**name, ScheduledActionName="s", Recurrence="0 * * * *", MinSize=0)
    elba.asg.put_lifecycle_hook(**name, LifecycleHookName="h", LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING")
    elba.asg.put_warm_pool(**name, MinSize=1)
    arn = elba.asg.put_scaling_policy(**name, PolicyName="p", AdjustmentType="ChangeInCapacity", ScalingAdjustment=1)[
        "PolicyARN"
    ]
    target = {
        "TargetValue": 50.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
    }
    elba.asg.put_scaling_policy(
        **name, PolicyName="t", PolicyType="TargetTrackingScaling", TargetTrackingConfiguration=target
    )
    elba.alarm("mine", arn)
    elba.asg.start_instance_refresh(**name)
    elba.advance(60)
    elba.asg.delete_auto_scaling_group(**name, ForceDelete=True)
    elba.advance(120)
    (alarm,) = elba.store.view.all(Alarm)
    assert (alarm.id, alarm.alarm_actions) == ("mine", [])
    kept = {type(r).__name__ for kind in vars(resources).values() if _is_kind(kind) for r in elba.store.view.all(kind)}
    assert kept == {"Activity"}
    assert all(a.group_deleted for a in elba.activities())
    shown = elba.asg.describe_scaling_activities
    assert shown(**name)["Activities"] == []
    assert {a["AutoScalingGroupState"] for a in shown(**name, IncludeDeletedGroups=True)["Activities"]} == {"Deleted"}
    for days, left in ((41.9, True), (42.1, False)):
        call = dataclasses.replace(elba.call(), now=elba.now + days * 86400)
        request = {"older_than_seconds": KEPT_SECONDS}
        elba.write(lambda tx, c=call, r=request: groups.prune_activities(tx, c, r))  # type: ignore[misc]
        assert bool(elba.activities()) is left


def _is_kind(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, Resource) and found is not Resource


def test_hooks_of_the_specification_hold_the_first_launch(elba: Harness) -> None:
    hook = {
        "LifecycleHookName": "h",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
        "HeartbeatTimeout": 60,
    }
    elba.create(minimum=1, LifecycleHookSpecificationList=[hook])
    elba.advance(30)
    assert [m.lifecycle_state for m in elba.members()] == ["Pending:Wait"]
    (shown,) = elba.asg.describe_lifecycle_hooks(AutoScalingGroupName="g")["LifecycleHooks"]
    assert {k: shown[k] for k in hook} == hook
