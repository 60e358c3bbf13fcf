"""Suspended processes row by row, LaunchInstances, mixed groups, metrics, and the exact words of refusals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from elba.autoscaling import mixed

from .harness import REGION, Harness


def running(elba: Harness, count: int = 2, **fields: Any) -> set[str]:
    elba.create(**{"minimum": 0, "maximum": 10, "DesiredCapacity": count, **fields})
    elba.advance(60)
    assert len(elba.in_service()) == count
    return {m.id for m in elba.in_service()}


def suspend(elba: Harness, *names: str) -> None:
    elba.asg.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=list(names))


def resume(elba: Harness) -> None:
    elba.asg.resume_processes(AutoScalingGroupName="g")
    elba.advance(60)


def desire(elba: Harness, count: int) -> None:
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=count)
    elba.advance(60)


def test_launch(elba: Harness) -> None:
    running(elba)
    suspend(elba, "Launch")
    desire(elba, 4)
    elba.kill(elba.in_service()[0].id)
    elba.advance(60)
    assert len(elba.members()) == 1
    resume(elba)
    assert len(elba.in_service()) == 4
    assert any("unhealthy instance needing to be replaced" in a.cause for a in elba.activities())


def test_terminate(elba: Harness) -> None:
    old = running(elba)
    suspend(elba, "Terminate")
    desire(elba, 1)
    elba.asg.set_instance_health(InstanceId=sorted(old)[0], HealthStatus="Unhealthy")
    elba.advance(60)
    assert {m.id for m in elba.members()} == old
    resume(elba)
    assert len(elba.in_service()) == 1


def test_add_to_load_balancer(elba: Harness) -> None:
    arn = elba.target_group()
    running(elba, 1, TargetGroupARNs=[arn])
    suspend(elba, "AddToLoadBalancer")
    desire(elba, 2)
    resume(elba)
    assert len(elba.in_service()) == 2
    assert len(elba.targets()) == 1


def test_az_rebalance(elba: Harness) -> None:
    running(elba, 4, zones="a")
    suspend(elba, "AZRebalance")
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", AvailabilityZones=[f"{REGION}a", f"{REGION}b"])
    elba.advance(300)
    assert elba.zones() == [4, 0]
    resume(elba)
    elba.advance(300)
    assert elba.zones() == [2, 2]
    causes = [a.cause for a in elba.activities()]
    assert any("instances were launched to balance instances in zones us-east-1b with other zones" in c for c in causes)
    assert any("availability zones us-east-1a us-east-1b had 4 0 instances respectively." in c for c in causes)


def test_rebalancing_launches_before_it_terminates_and_leaves_a_removed_zone(elba: Harness) -> None:
    running(elba, 4, maximum=4)
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", AvailabilityZones=[f"{REGION}b", f"{REGION}c"])
    least, most = 9, 0
    for _ in range(200):
        elba.advance(1)
        least = min(least, len(elba.in_service()))
        most = max(most, len([m for m in elba.members() if not m.termination]))
    assert (least, most) == (4, 5)
    assert {m.availability_zone for m in elba.in_service()} == {f"{REGION}b", f"{REGION}c"}


def test_terminate_suspended_lets_rebalancing_grow_to_a_tenth_above_the_maximum(elba: Harness) -> None:
    running(elba, 20, maximum=20, zones="a")
    suspend(elba, "Terminate")
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", AvailabilityZones=[f"{REGION}a", f"{REGION}b"])
    elba.advance(600)
    assert elba.zones() == [20, 2]
    assert elba.group().desired_capacity == 20
    assert elba.is_still()
    resume(elba)
    elba.advance(600)
    assert elba.zones() == [10, 10]


@pytest.mark.parametrize(
    ("low", "high", "least", "most"),
    [(100, 150, 4, 6), (50, 100, 2, 4), (90, 100, 3, 4), (100, 100, 3, 4), (90, 110, 4, 5)],
)
def test_rebalancing_keeps_to_the_maintenance_policy(elba: Harness, low: int, high: int, least: int, most: int) -> None:
    policy = {"MinHealthyPercentage": low, "MaxHealthyPercentage": high}
    running(elba, 4, zones="a", InstanceMaintenancePolicy=policy)
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", AvailabilityZones=[f"{REGION}a", f"{REGION}b"])
    serving, staying = 9, 0
    for _ in range(200):
        elba.advance(1)
        serving = min(serving, len(elba.in_service()))
        staying = max(staying, len([m for m in elba.members() if not m.termination]))
    assert elba.zones() == [2, 2]
    assert (serving, staying) == (least, most)
    assert any("instances were launched to balance instances in zones us-east-1b" in a.cause for a in elba.activities())
    assert elba.is_still()


def test_what_a_suspended_launch_refuses_and_what_it_lets_through(elba: Harness) -> None:
    running(elba, 2)
    first, second = (m.id for m in elba.in_service())
    elba.asg.enter_standby(AutoScalingGroupName="g", InstanceIds=[first], ShouldDecrementDesiredCapacity=True)
    elba.advance(10)
    elba.asg.detach_instances(AutoScalingGroupName="g", InstanceIds=[second], ShouldDecrementDesiredCapacity=True)
    elba.advance(10)
    suspend(elba, "Launch")
    for operation, id_ in (("attach_instances", second), ("exit_standby", first)):
        assert elba.refused(operation, AutoScalingGroupName="g", InstanceIds=[id_]) == (
            "ValidationError",
            "The Launch process of the Auto Scaling group is suspended.",
        )
    elba.asg.put_scaling_policy(
        AutoScalingGroupName="g", PolicyName="up", AdjustmentType="ChangeInCapacity", ScalingAdjustment=1
    )
    elba.asg.execute_policy(AutoScalingGroupName="g", PolicyName="up")
    in_a_minute = datetime.fromtimestamp(elba.now + 60, UTC)
    elba.asg.put_scheduled_update_group_action(
        AutoScalingGroupName="g", ScheduledActionName="s", StartTime=in_a_minute, DesiredCapacity=4
    )
    elba.advance(1)
    assert elba.group().desired_capacity == 1
    elba.advance(120)
    assert elba.group().desired_capacity == 4
    assert elba.in_service() == []
    resume(elba)
    assert len(elba.in_service()) == 4


def test_terminate_suspended_does_not_hold_up_a_forced_deletion(elba: Harness) -> None:
    running(elba, 2)
    suspend(elba, "Terminate")
    elba.asg.delete_auto_scaling_group(AutoScalingGroupName="g", ForceDelete=True)
    elba.advance(60)
    assert elba.members() == []


def test_without_rebalancing_scaling_still_balances_as_it_goes(elba: Harness) -> None:
    running(elba, 3, zones="a")
    suspend(elba, "AZRebalance")
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", AvailabilityZones=[f"{REGION}a", f"{REGION}b"])
    desire(elba, 5)
    assert elba.zones() == [3, 2]
    desire(elba, 3)
    assert elba.zones() == [2, 1]


def test_execute_policy_works_while_alarms_are_not_heard(elba: Harness) -> None:
    running(elba, 1)
    suspend(elba, "AlarmNotification")
    elba.asg.put_scaling_policy(
        AutoScalingGroupName="g", PolicyName="up", AdjustmentType="ChangeInCapacity", ScalingAdjustment=1
    )
    elba.asg.execute_policy(AutoScalingGroupName="g", PolicyName="up")
    assert elba.group().desired_capacity == 2


def test_all_processes_are_suspended_and_resumed_without_a_list(elba: Harness) -> None:
    running(elba, 0)
    names = {p["ProcessName"] for p in elba.asg.describe_scaling_process_types()["Processes"]}
    assert len(names) == 9
    elba.asg.suspend_processes(AutoScalingGroupName="g")
    assert {s["ProcessName"] for s in elba.described()["SuspendedProcesses"]} == names
    elba.asg.resume_processes(AutoScalingGroupName="g", ScalingProcesses=["Launch"])
    assert {s["ProcessName"] for s in elba.described()["SuspendedProcesses"]} == names - {"Launch"}
    elba.asg.resume_processes(AutoScalingGroupName="g")
    assert elba.described()["SuspendedProcesses"] == []


def test_health_check(elba: Harness) -> None:
    old = running(elba)
    suspend(elba, "HealthCheck")
    elba.kill(sorted(old)[0])
    elba.advance(60)
    assert {m.id for m in elba.in_service()} == old
    elba.asg.set_instance_health(InstanceId=sorted(old)[1], HealthStatus="Unhealthy")
    elba.advance(60)
    assert sorted(old)[1] not in {m.id for m in elba.members()}


def test_replace_unhealthy(elba: Harness) -> None:
    old = running(elba)
    suspend(elba, "ReplaceUnhealthy")
    elba.kill(sorted(old)[0])
    elba.advance(60)
    assert sorted(m.health_status for m in elba.in_service()) == ["Healthy", "Unhealthy"]
    resume(elba)
    assert sorted(old)[0] not in {m.id for m in elba.members()}


def test_how_suspension_is_shown(elba: Harness) -> None:
    running(elba, 0)
    suspend(elba, "Launch")
    suspend(elba, "Launch", "Terminate")
    shown = elba.described()["SuspendedProcesses"]
    assert [s["ProcessName"] for s in shown] == ["Launch", "Terminate"]
    assert shown[0]["SuspensionReason"].startswith("User suspended at 2026-01-01T00:")
    assert elba.refused("suspend_processes", AutoScalingGroupName="g", ScalingProcesses=["No"])[0] == "ValidationError"


def test_launch_instances_answers_with_what_it_launched(elba: Harness) -> None:
    running(elba, 1)
    request = {
        "AutoScalingGroupName": "g",
        "RequestedCapacity": 2,
        "ClientToken": "once",
        "AvailabilityZones": [f"{REGION}a"],
    }
    answer = elba.asg.launch_instances(**request)
    ids = answer["Instances"][0]["InstanceIds"]
    assert len(ids) == 2
    assert answer["Instances"][0]["AvailabilityZone"] == f"{REGION}a"
    assert elba.group().desired_capacity == 3
    assert elba.asg.launch_instances(**request)["Instances"][0]["InstanceIds"] == ids
    code, _ = elba.refused("launch_instances", **{**request, "RequestedCapacity": 1})
    assert code == "IdempotentParameterMismatch"
    elba.advance(60)
    assert set(ids) <= {m.id for m in elba.in_service()}
    assert len(elba.in_service()) == 3


@pytest.mark.parametrize(
    ("base", "percentage", "capacity", "on_demand"),
    [
        (0, 50, 5, 3),
        (10, 50, 10, 10),
        (10, 50, 20, 15),
        (10, 50, 30, 20),
        (10, 50, 40, 25),
        (12, 0, 10, 10),
        (12, 0, 20, 12),
        (0, 0, 4, 0),
    ],
)
def test_on_demand_share(base: int, percentage: int, capacity: int, on_demand: int) -> None:
    assert mixed.on_demand_units(capacity, base, percentage) == on_demand


def mixed_policy(elba: Harness, *overrides: dict[str, Any], **distribution: Any) -> dict[str, Any]:
    template = elba.template("mix")
    policy: dict[str, Any] = {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "$Latest"},
            "Overrides": list(overrides),
        }
    }
    if distribution:
        policy["InstancesDistribution"] = distribution
    return policy


def test_weights(elba: Harness) -> None:
    policy = mixed_policy(elba, {"InstanceType": "t3.large", "WeightedCapacity": "4"})
    elba.create(minimum=0, maximum=20, DesiredCapacity=10, zones="abc", MixedInstancesPolicy=policy)
    elba.advance(60)
    assert len(elba.in_service()) == 3
    assert {i["WeightedCapacity"] for i in elba.described()["Instances"]} == {"4"}
    desire(elba, 9)
    assert len(elba.in_service()) == 3
    desire(elba, 8)
    assert len(elba.in_service()) == 2
    assert elba.is_still()


def test_what_serves_stays_until_the_heavier_one_does(elba: Harness) -> None:
    small, large = ({"InstanceType": f"t3.{n}", "WeightedCapacity": w} for n, w in (("small", "2"), ("large", "4")))
    elba.create(minimum=0, maximum=20, DesiredCapacity=2, zones="a", MixedInstancesPolicy=mixed_policy(elba, small))
    elba.advance(60)
    policy = mixed_policy(elba, large, small)
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", MixedInstancesPolicy=policy)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=4)
    for _ in range(60):
        elba.advance(1)
        assert elba.in_service(), "the small one went before the large one came"
    assert [m.instance_type for m in elba.in_service()] == ["t3.large"]
    assert elba.is_still()


def test_spot_and_on_demand(elba: Harness) -> None:
    policy = mixed_policy(
        elba,
        {"InstanceType": "t3.micro"},
        {"InstanceType": "t3.small"},
        OnDemandBaseCapacity=1,
        OnDemandPercentageAboveBaseCapacity=50,
    )
    elba.create(minimum=0, maximum=20, DesiredCapacity=5, MixedInstancesPolicy=policy)
    elba.advance(60)
    shown = elba.described()["MixedInstancesPolicy"]["LaunchTemplate"]
    assert [each["InstanceType"] for each in shown["Overrides"]] == ["t3.micro", "t3.small"]
    members = elba.in_service()
    assert sorted(m.spot for m in members) == [False] * 3 + [True] * 2
    assert {m.instance_type for m in members if not m.spot} == {"t3.micro"}
    desire(elba, 3)
    assert sorted(m.spot for m in elba.in_service()) == [False] * 2 + [True]


def test_a_mixed_group_without_overrides_shows_an_empty_list_of_them(elba: Harness) -> None:
    elba.create(minimum=0, maximum=1, MixedInstancesPolicy=mixed_policy(elba))
    assert elba.described()["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"] == []


def test_an_interruption_notice_is_answered_before_the_instance_is_gone(elba: Harness) -> None:
    policy = mixed_policy(elba, {"InstanceType": "t3.micro"}, OnDemandPercentageAboveBaseCapacity=0)
    running(elba, 2, maximum=2, MixedInstancesPolicy=policy, CapacityRebalance=True)
    risky = elba.in_service()[0].id
    elba.interrupt(risky)
    least, most = 9, 0
    for _ in range(100):
        elba.advance(1)
        least = min(least, len(elba.in_service()))
        most = max(most, len([m for m in elba.members() if not m.termination]))
    assert (least, most) == (2, 3)
    assert risky not in {m.id for m in elba.members()}
    assert elba.is_still()


def test_attribute_based_types(elba: Harness) -> None:
    requirements = {"VCpuCount": {"Min": 2, "Max": 2}, "MemoryMiB": {"Min": 7000, "Max": 9000}}
    policy = mixed_policy(elba, {"InstanceRequirements": requirements})
    elba.create(minimum=1, maximum=2, MixedInstancesPolicy=policy)
    elba.advance(60)
    assert next(m.instance_type for m in elba.in_service()).endswith(".large")


def test_group_metrics(elba: Harness) -> None:
    running(elba, 2)
    elba.asg.enable_metrics_collection(
        AutoScalingGroupName="g", Granularity="1Minute", Metrics=["GroupInServiceInstances", "GroupMaxSize"]
    )
    elba.sink.points.clear()
    elba.advance(61)
    found = {p.metric_name: p.values for p in elba.sink.points if p.namespace == "AWS/AutoScaling"}
    assert found == {"GroupInServiceInstances": (2.0,), "GroupMaxSize": (10.0,)}
    elba.asg.disable_metrics_collection(AutoScalingGroupName="g", Metrics=["GroupMaxSize"])
    assert elba.described()["EnabledMetrics"] == [{"Metric": "GroupInServiceInstances", "Granularity": "1Minute"}]


CREATE = {"AutoScalingGroupName": "n", "MinSize": 0, "MaxSize": 1, "AvailabilityZones": [f"{REGION}a"]}
TEMPLATE = {"LaunchTemplate": {"LaunchTemplateName": "web"}}


@pytest.mark.parametrize(
    ("operation", "parameters", "code", "message"),
    [
        ("create_auto_scaling_group", {**CREATE, **TEMPLATE, "AutoScalingGroupName": "g"}, "AlreadyExists",
         "AutoScalingGroup by this name already exists - A group with the name g already exists"),
        ("create_auto_scaling_group", CREATE, "ValidationError",
         "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or "
         "MixedInstancesPolicy parameter."),
        ("create_auto_scaling_group", {**TEMPLATE, "AutoScalingGroupName": "n", "MinSize": 0, "MaxSize": 1},
         "ValidationError", "At least one Availability Zone or VPC Subnet is required."),
        ("create_auto_scaling_group", {**CREATE, **TEMPLATE, "MinSize": 2}, "ValidationError",
         "Max bound, 1, must be greater than or equal to min bound, 2"),
        ("create_auto_scaling_group", {**CREATE, **TEMPLATE, "MinSize": 4, "MaxSize": 10, "DesiredCapacity": 2},
         "ValidationError", "Desired capacity:2 must be between the specified min size:4 and max size:10"),
        ("create_auto_scaling_group", {**CREATE, "LaunchConfigurationName": "no"}, "ValidationError",
         "Launch configuration name not found - Launch configuration no not found"),
        ("set_desired_capacity", {"AutoScalingGroupName": "g", "DesiredCapacity": 11}, "ValidationError",
         "New SetDesiredCapacity value 11 is above max value 10 for the AutoScalingGroup."),
        ("set_desired_capacity", {"AutoScalingGroupName": "no", "DesiredCapacity": 1}, "ValidationError",
         "AutoScalingGroup name not found - AutoScalingGroup no not found"),
        ("update_auto_scaling_group", {"AutoScalingGroupName": "no", "MinSize": 1}, "ValidationError",
         "AutoScalingGroup name not found - null"),
        ("create_or_update_tags", {"Tags": [{"ResourceId": "no", "Key": "k"}]}, "ValidationError",
         "AutoScalingGroup not found - AutoScaling Group no not found"),
        ("delete_launch_configuration", {"LaunchConfigurationName": "no"}, "ValidationError",
         "Launch configuration name not found - Launch configuration no not found"),
        ("create_launch_configuration", {"LaunchConfigurationName": "c", "ImageId": "ami-12345678"}, "ValidationError",
         "Valid requests must contain either the InstanceID parameter or both the ImageId and InstanceType "
         "parameters."),
        ("delete_scheduled_action", {"AutoScalingGroupName": "g", "ScheduledActionName": "no"}, "ValidationError",
         "Scheduled action name not found"),
        ("set_instance_protection",
         {"AutoScalingGroupName": "g", "InstanceIds": ["i-12345678"], "ProtectedFromScaleIn": True},
         "ValidationError", "The instance i-12345678 is not part of Auto Scaling group g."),
        ("terminate_instance_in_auto_scaling_group",
         {"InstanceId": "i-12345678", "ShouldDecrementDesiredCapacity": True}, "ValidationError",
         "Instance Id not found - No managed instance found for instance ID i-12345678"),
    ],
)  # fmt: skip
def test_refusals(elba: Harness, operation: str, parameters: dict[str, Any], code: str, message: str) -> None:
    running(elba, 0)
    assert elba.refused(operation, **parameters) == (code, message)


def test_a_template_is_named_by_its_id_or_its_name_not_both(elba: Harness) -> None:
    both = {"LaunchTemplateId": elba.template("both"), "LaunchTemplateName": "both"}
    text = "Valid requests must contain either launchTemplateId or LaunchTemplateName"
    assert elba.refused("create_auto_scaling_group", **CREATE, LaunchTemplate=both) == ("ValidationError", text)
    policy = {"LaunchTemplate": {"LaunchTemplateSpecification": both}}
    assert elba.refused("create_auto_scaling_group", **CREATE, MixedInstancesPolicy=policy) == ("ValidationError", text)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        ({"image_id": "ami-0123456789abcdef0"}, "The image id '[ami-0123456789abcdef0]' does not exist"),
        (
            {"iam_instance_profile": {"name": "no"}},
            "Value (no) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
        ),
        ({"image_id": ""}, "The request must contain the parameter ImageId"),
    ],
)
def test_templates_that_cannot_launch(elba: Harness, data: dict[str, Any], detail: str) -> None:
    elba.template("broken", **data)
    code, message = elba.refused("create_auto_scaling_group", **CREATE, LaunchTemplate={"LaunchTemplateName": "broken"})
    assert code == "ValidationError"
    assert message == f"You must use a valid fully-formed launch template. {detail}"


def test_launch_configurations(elba: Harness) -> None:
    image = next(iter(elba.images()))
    elba.asg.create_launch_configuration(LaunchConfigurationName="c", ImageId=image, InstanceType="t3.micro")
    elba.create(minimum=1, LaunchConfigurationName="c")
    elba.advance(60)
    (instance,) = elba.described()["Instances"]
    assert (instance["LaunchConfigurationName"], instance["LifecycleState"]) == ("c", "InService")
    assert "LaunchTemplate" not in instance
    code, message = elba.refused("delete_launch_configuration", LaunchConfigurationName="c")
    assert (code, message) == (
        "ResourceInUse",
        "Cannot delete launch configuration c because it is attached to AutoScalingGroup g",
    )
    (shown,) = elba.asg.describe_launch_configurations()["LaunchConfigurations"]
    assert (shown["InstanceMonitoring"], shown["KernelId"], shown["UserData"]) == ({"Enabled": True}, "", "")


def test_tags_go_to_instances(elba: Harness) -> None:
    tags = [{"Key": "a", "Value": "1", "PropagateAtLaunch": True}, {"Key": "b", "Value": "2"}]
    running(elba, 1, Tags=tags)
    (instance,) = elba.instances()
    assert instance.tags["a"] == "1"
    assert "b" not in instance.tags
    assert instance.tags["aws:autoscaling:groupName"] == "g"
    assert instance.tags["aws:ec2launchtemplate:version"] == "1"
    elba.asg.delete_tags(Tags=[{"ResourceId": "g", "ResourceType": "auto-scaling-group", "Key": "a"}])
    found = elba.asg.describe_tags(Filters=[{"Name": "auto-scaling-group", "Values": ["g"]}])["Tags"]
    assert [t["Key"] for t in found] == ["b"]


def test_pages(elba: Harness) -> None:
    for number in range(3):
        elba.create(f"g{number}", minimum=0)
    first = elba.asg.describe_auto_scaling_groups(MaxRecords=2)
    assert [g["AutoScalingGroupName"] for g in first["AutoScalingGroups"]] == ["g0", "g1"]
    second = elba.asg.describe_auto_scaling_groups(MaxRecords=2, NextToken=first["NextToken"])
    assert [g["AutoScalingGroupName"] for g in second["AutoScalingGroups"]] == ["g2"]
    assert "NextToken" not in second
    assert elba.refused("describe_auto_scaling_groups", NextToken="x")[0] == "InvalidNextToken"
