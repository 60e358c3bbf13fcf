"""What groups, hooks and their users are refused, in AWS's words; quotas, pages and names that do not exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.exceptions import ClientError

from elba.autoscaling.commands import groups, hooks, launch_configurations
from elba.ec2 import commands as ec2
from elba.ec2.commands import placement_groups
from elba.ec2.resources import Subnet, Vpc
from elba.sns.resources import Topic
from elba.sqs.resources import Queue
from elba.wire import HttpRequest

from .harness import ACCOUNT, REGION, Harness

A, B = f"{REGION}a", f"{REGION}b"
TEMPLATE = {"LaunchTemplate": {"LaunchTemplateName": "web"}}


def subnets(elba: Harness) -> dict[str, str]:
    """Default subnets by zone."""
    elba.write(lambda tx: ec2.ensure_defaults(tx, elba.call()))
    return {s.availability_zone: s.id for s in elba.store.view.all(Subnet)}


# ── quotas, pages, names ─────────────────────────────────────────────────────────────────────────────


def test_account_limits(elba: Harness) -> None:
    elba.create(minimum=0)
    told = elba.asg.describe_account_limits()
    told.pop("ResponseMetadata")
    assert told == {
        "MaxNumberOfAutoScalingGroups": 500,
        "MaxNumberOfLaunchConfigurations": 200,
        "NumberOfAutoScalingGroups": 1,
        "NumberOfLaunchConfigurations": 0,
    }
    assert (groups.MAX_GROUPS, launch_configurations.MAX_CONFIGURATIONS, hooks.MAX_HOOKS) == (500, 200, 50)


def test_quotas_of_an_account(elba: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MAX_GROUPS", 1)
    monkeypatch.setattr(launch_configurations, "MAX_CONFIGURATIONS", 0)
    elba.create(minimum=0)
    with pytest.raises(ClientError, match="LimitExceeded"):
        elba.create("h", minimum=0)
    configuration = {"ImageId": elba.images()[0], "InstanceType": "t3.micro"}
    assert (
        elba.refused("create_launch_configuration", LaunchConfigurationName="c", **configuration)[0] == "LimitExceeded"
    )


def test_quotas_of_a_group(elba: Harness) -> None:
    elba.create(minimum=0)
    for number in range(50):
        elba.asg.put_lifecycle_hook(
            AutoScalingGroupName="g",
            LifecycleHookName=f"h{number}",
            LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING",
        )
    hook = {"LifecycleHookName": "more", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
    assert elba.refused("put_lifecycle_hook", AutoScalingGroupName="g", **hook)[0] == "LimitExceeded"
    tags = [{"ResourceId": "g", "ResourceType": "auto-scaling-group", "Key": f"k{n}", "Value": "v"} for n in range(51)]
    assert elba.refused("create_or_update_tags", Tags=tags[:26])[0] == "ValidationError"
    elba.asg.create_or_update_tags(Tags=tags[:25])
    elba.asg.create_or_update_tags(Tags=tags[25:50])
    assert elba.refused("create_or_update_tags", Tags=tags[50:])[0] == "LimitExceeded"
    assert len(elba.described()["Tags"]) == 50
    many = [f"i-{n:017x}" for n in range(51)]
    limits: list[tuple[str, int, dict[str, Any]]] = [
        ("attach_instances", 20, {}),
        ("detach_instances", 20, {"ShouldDecrementDesiredCapacity": True}),
        ("enter_standby", 20, {"ShouldDecrementDesiredCapacity": True}),
        ("exit_standby", 20, {}),
        ("set_instance_protection", 50, {"ProtectedFromScaleIn": True}),
    ]
    for operation, most, more in limits:
        code, message = elba.refused(operation, AutoScalingGroupName="g", InstanceIds=many[: most + 1], **more)
        assert (code, message) == ("ValidationError", f"At most {most} instances can be named in one request.")
        assert (
            "can be named" not in elba.refused(operation, AutoScalingGroupName="g", InstanceIds=many[:most], **more)[1]
        )
    assert elba.refused("describe_auto_scaling_instances", InstanceIds=many)[0] == "ValidationError"


def test_quotas_of_policies_schedules_and_topics(elba: Harness) -> None:
    elba.create(minimum=0)
    name = {"AutoScalingGroupName": "g"}
    change = {"AdjustmentType": "ChangeInCapacity", "ScalingAdjustment": 1}

    def topic(number: int) -> dict[str, Any]:
        arn = f"arn:aws:sns:{REGION}:{ACCOUNT}:t{number}"
        elba.write(lambda tx: tx.put(Topic(account=ACCOUNT, region=REGION, id=arn)))
        return {"TopicARN": arn, "NotificationTypes": ["autoscaling:EC2_INSTANCE_LAUNCH"]}

    def schedule(number: int) -> dict[str, Any]:
        return {"ScheduledActionName": f"s{number}", "Recurrence": f"{number % 60} {number // 60} * * *", "MinSize": 0}

    quotas: list[tuple[str, int, Callable[[int], dict[str, Any]]]] = [
        ("put_scaling_policy", 50, lambda number: {"PolicyName": f"p{number}", **change}),
        ("put_scheduled_update_group_action", 125, schedule),
        ("put_notification_configuration", 10, topic),
    ]
    for operation, most, request in quotas:
        for number in range(most):
            getattr(elba.asg, operation)(**name, **request(number))
        assert elba.refused(operation, **name, **request(most))[0] == "LimitExceeded"
        getattr(elba.asg, operation)(**name, **request(0))  # putting one again is no more


@pytest.mark.parametrize(
    ("operation", "most", "of_group"),
    [
        ("describe_auto_scaling_groups", 100, False),
        ("describe_auto_scaling_instances", 50, False),
        ("describe_launch_configurations", 100, False),
        ("describe_policies", 100, False),
        ("describe_scheduled_actions", 100, False),
        ("describe_scaling_activities", 100, False),
        ("describe_tags", 100, False),
        ("describe_notification_configurations", 100, False),
        ("describe_instance_refreshes", 100, True),
        ("describe_load_balancers", 100, True),
        ("describe_load_balancer_target_groups", 100, True),
        ("describe_traffic_sources", 50, True),
        ("describe_warm_pool", 50, True),
    ],
)
def test_pages_and_names_that_do_not_exist(elba: Harness, operation: str, most: int, of_group: bool) -> None:
    elba.create(minimum=0)
    elba.asg.put_warm_pool(AutoScalingGroupName="g", MaxGroupPreparedCapacity=0)
    group = {"AutoScalingGroupName": "g"} if of_group else {}
    call = getattr(elba.asg, operation)
    assert "NextToken" not in call(**group, MaxRecords=most)
    assert elba.refused(operation, **group, MaxRecords=most + 1)[0] == "ValidationError"
    assert elba.refused(operation, **group, NextToken="no")[0] == "InvalidNextToken"
    if of_group:
        text = "AutoScalingGroup name not found - AutoScalingGroup no not found"
        assert elba.refused(operation, AutoScalingGroupName="no") == ("ValidationError", text)
        return
    names: dict[str, dict[str, Any]] = {
        "describe_auto_scaling_groups": {"AutoScalingGroupNames": ["no"]},
        "describe_auto_scaling_instances": {"InstanceIds": ["i-0123456789abcdef0"]},
        "describe_launch_configurations": {"LaunchConfigurationNames": ["no"]},
        "describe_tags": {"Filters": [{"Name": "auto-scaling-group", "Values": ["no"]}]},
        "describe_notification_configurations": {"AutoScalingGroupNames": ["no"]},
    }
    answer = call(**names.get(operation, {"AutoScalingGroupName": "no"}))
    answer.pop("ResponseMetadata")
    assert list(answer.values()) == [[]]


def raw(elba: Harness, **form: str) -> tuple[int, str]:
    """(status, body) of a request as no SDK sends it."""
    assert elba.clients is not None
    scope = f"{ACCOUNT}/20260101/{REGION}/autoscaling/aws4_request"
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    }
    body = urlencode({"Version": "2011-01-01", **form}).encode()
    response = elba.clients.send(HttpRequest("POST", "/", "", headers, body, "127.0.0.1"))
    return response.status, response.body.decode()


def test_the_wire(elba: Harness) -> None:
    elba.create(minimum=0)
    name = {"AutoScalingGroupName": "g"}
    status, body = raw(elba, Action="No")
    assert status == 400
    assert body.startswith(
        '<ErrorResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><Error><Type>Sender</Type>'
        "<Code>InvalidAction</Code><Message>"
    )
    status, body = raw(
        elba, Action="UpdateAutoScalingGroup", **name, MinSize="", DefaultCooldown="7", HealthCheckType=""
    )
    assert status == 200
    assert body.startswith(
        '<UpdateAutoScalingGroupResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/">'
        "<ResponseMetadata><RequestId>"
    )
    elba.advance(0.25)
    elba.asg.put_scheduled_update_group_action(**name, ScheduledActionName="s", Recurrence="0 * * * *", MinSize=0)
    elba.create("later", minimum=0)
    groups_shown = raw(elba, Action="DescribeAutoScalingGroups", **{"AutoScalingGroupNames.member.1": "later"})[1]
    assert "<CreatedTime>2026-01-01T00:00:00.250Z</CreatedTime>" in groups_shown
    assert "<NewInstancesProtectedFromScaleIn>false<" in groups_shown
    assert "<StartTime>2026-01-01T01:00:00Z</StartTime>" in raw(elba, Action="DescribeScheduledActions")[1]
    assert raw(elba, Action="SetDesiredCapacity", **name, DesiredCapacity="0", HonorCooldown="maybe")[0] == 400


def test_hooks_of_a_group_that_does_not_exist(elba: Harness) -> None:
    text = "AutoScalingGroup name not found - AutoScalingGroup no not found"
    assert elba.refused("describe_lifecycle_hooks", AutoScalingGroupName="no") == ("ValidationError", text)


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────

PLAIN: dict[str, Any] = {"AutoScalingGroupName": "n", "MinSize": 0, "MaxSize": 1, "AvailabilityZones": [A], **TEMPLATE}
BOUND = "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: Member must "
HOOK = {"LifecycleHookName": "h", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
NO_ZONE = "You must use a valid fully-formed launch template. Invalid availability zone: [us-east-1z]"
QUEUE = "arn:aws:sqs:us-east-1:111122223333:q"
ROLE = "arn:aws:iam::111122223333:role/r"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"AutoScalingGroupName": "a:b"}, BOUND.format("a:b", "autoScalingGroupName")),
        ({"AutoScalingGroupName": "a b"}, BOUND.format("a b", "autoScalingGroupName")),
        ({"AutoScalingGroupName": "é"}, BOUND.format("é", "autoScalingGroupName")),
        ({"AutoScalingGroupName": "n" * 256}, BOUND.format("n" * 256, "autoScalingGroupName")),
        ({"MinSize": -1}, BOUND.format(-1, "minSize")),
        ({"DefaultCooldown": -1}, BOUND.format(-1, "defaultCooldown")),
        ({"HealthCheckGracePeriod": -1}, "Grace period must be a positive integer."),
        ({"HealthCheckGracePeriod": -1, "AvailabilityZones": ["us-east-1z"]}, NO_ZONE),
        ({"DesiredCapacity": 3, "AvailabilityZones": ["us-east-1z"]}, NO_ZONE),
        ({"DefaultCooldown": -1, "AvailabilityZones": ["us-east-1z"]}, BOUND.format(-1, "defaultCooldown")),
        ({"DefaultInstanceWarmup": 3601}, BOUND.format(3601, "defaultInstanceWarmup")),
        ({"DefaultInstanceWarmup": -2}, BOUND.format(-2, "defaultInstanceWarmup")),
        ({"MaxInstanceLifetime": 86399}, "maxInstanceLifetime must be between 86400 and 31536000 seconds (inclusive)."),
        ({"MaxInstanceLifetime": 31536001},
         "maxInstanceLifetime must be between 86400 and 31536000 seconds (inclusive)."),
        ({"HealthCheckType": "EC2,ELB"},
         "Specifying EC2 in addition to other health check types is not supported. Remove EC2 from HealthCheckType and "
         "try again."),
        ({"CapacityReservationSpecification": {
            "CapacityReservationPreference": "none",
            "CapacityReservationTarget": {"CapacityReservationIds": ["cr-0123456789abcdef0"]}}},
         "You can't specify CapacityReservationPreference as default or none and provide a CapacityReservationTarget "
         "in the same request."),
        ({"HealthCheckType": "EC2,ALB"}, "Invalid health check type: ALB."),
        ({"DeletionProtection": "no"}, BOUND.format("no", "deletionProtection")),
        ({"InstanceMaintenancePolicy": {"MinHealthyPercentage": 90}},
         "MinHealthyPercentage and MaxHealthyPercentage must both be specified."),
        ({"InstanceMaintenancePolicy": {"MinHealthyPercentage": 40, "MaxHealthyPercentage": 150}},
         "The difference between MaxHealthyPercentage and MinHealthyPercentage must be less than or equal to 100."),
        ({"InstanceMaintenancePolicy": {"MinHealthyPercentage": 90, "MaxHealthyPercentage": 99}},
         "MinHealthyPercentage must be between 0 and 100, MaxHealthyPercentage between 100 and 200."),
        ({"AvailabilityZoneDistribution": {"CapacityDistributionStrategy": "no"}},
         BOUND.format("no", "availabilityZoneDistribution.capacityDistributionStrategy")),
        ({"TerminationPolicies": ["No"]},
         "[No] is not a valid termination policy. Valid termination policies are: [AllocationStrategy, "
         "ClosestToNextInstanceHour, Default, Lambda, NewestInstance, OldestInstance, OldestLaunchConfiguration, "
         "OldestLaunchTemplate]."),
        ({"TerminationPolicies": ["Default", "OldestInstance"]}, "The Default termination policy must be the last"),
        ({"AvailabilityZones": ["us-east-1z"]}, NO_ZONE),
        ({"AvailabilityZoneIds": ["use1-az1"]},
         "AvailabilityZones and AvailabilityZoneIds can't be used together. Specify only one of these parameters."),
        ({"VPCZoneIdentifier": "subnet-0123456789abcdef0"}, "The subnet ID 'subnet-0123456789abcdef0' does not exist"),
        ({"LaunchConfigurationName": "c"}, "Valid requests must contain either LaunchTemplate, "),
        ({"Tags": [{"Key": "aws:x", "Value": "v"}]}, "aws: prefixed tag key names are not allowed for external use."),
        ({"Tags": [{"Key": "k" * 129, "Value": "v"}]}, BOUND.format("k" * 129, "tags.1.member.key")),
        ({"Tags": [{"Key": "k", "Value": "v" * 257}]}, BOUND.format("v" * 257, "tags.1.member.value")),
        ({"LaunchTemplate": {"LaunchTemplateName": "web", "Version": "9"}},
         "You must use a valid fully-formed launch template. Could not find the specified version 9"),
        ({"LaunchTemplate": {"LaunchTemplateName": "none"}},
         "You must use a valid fully-formed launch template. The specified launch template, with template name none, "),
        ({"LaunchTemplate": {"Version": "1"}},
         "Valid requests must contain either launchTemplateId or LaunchTemplateName"),
        ({"LifecycleHookSpecificationList": [
            {**HOOK, "NotificationTargetARN": QUEUE, "RoleARN": ROLE}, {**HOOK, "LifecycleHookName": "i"}]},
         "All lifecycle hooks that are specified with a group must have the same notification target and role."),
        ({"LifecycleHookSpecificationList": [{**HOOK, "LifecycleHookName": f"h{n}"} for n in range(6)]},
         "You cannot specify more than 5 hooks"),
        ({"LifecycleHookSpecificationList": [HOOK, HOOK]}, "Multiple lifecycle hooks found for name 'h'"),
    ],
)  # fmt: skip
def test_groups_that_are_refused(elba: Harness, changed: dict[str, Any], message: str) -> None:
    elba.template()
    code, told = elba.refused("create_auto_scaling_group", **{**PLAIN, **changed})
    assert code == "ValidationError"
    assert told.startswith(message)
    assert elba.asg.describe_auto_scaling_groups()["AutoScalingGroups"] == []


def test_zones_and_subnets_must_agree(elba: Harness) -> None:
    by_zone = subnets(elba)
    elba.template()
    text = "The availability zones of the specified subnets and the Auto Scaling group do not match"
    request = {**PLAIN, "VPCZoneIdentifier": by_zone[B]}
    assert elba.refused("create_auto_scaling_group", **request) == ("ValidationError", text)
    elba.asg.create_auto_scaling_group(**{**PLAIN, "AvailabilityZones": [B], "VPCZoneIdentifier": by_zone[B]})
    told = elba.refused("update_auto_scaling_group", AutoScalingGroupName="n", AvailabilityZones=[A])
    assert told == ("ValidationError", text)
    vpc = elba.store.view.all(Vpc)[0]
    other = Vpc(
        account=ACCOUNT, region=REGION, id="vpc-0123456789abcdef0", cidr_block="10.0.0.0/16", slice=vpc.slice + 1
    )
    elsewhere = elba.store.view.all(Subnet)[0]

    def add(tx: Any) -> None:
        tx.put(other)
        fields = {f: getattr(elsewhere, f) for f in elsewhere.__struct_fields__}
        tx.put(Subnet(**{**fields, "id": "subnet-0123456789abcdef0", "vpc_id": other.id, "default_for_az": False}))

    elba.write(add)
    both = f"{by_zone[A]},subnet-0123456789abcdef0"
    _, message = elba.refused(
        "create_auto_scaling_group", **{**PLAIN, "AutoScalingGroupName": "m", "VPCZoneIdentifier": both}
    )
    assert message == "The subnets of an Auto Scaling group must all be in the same VPC."


@pytest.mark.parametrize("mixed", [False, True])
def test_a_template_s_interface_is_in_a_subnet_of_the_group(elba: Harness, mixed: bool) -> None:
    by_zone = subnets(elba)
    elba.template(network_interfaces=[{"device_index": 0, "subnet_id": by_zone[B]}])
    source: dict[str, Any] = {"LaunchTemplate": {"LaunchTemplateName": "web"}}
    if mixed:
        source = {"MixedInstancesPolicy": {"LaunchTemplate": {"LaunchTemplateSpecification": source["LaunchTemplate"]}}}
    with pytest.raises(ClientError, match="Its network interface is in subnet"):
        elba.create(zones="a", **source)
    elba.create(minimum=1, zones="b", **source)
    elba.advance(30)
    assert [m.availability_zone for m in elba.in_service()] == [B]
    told = elba.refused("update_auto_scaling_group", AutoScalingGroupName="g", VPCZoneIdentifier=by_zone[A])
    assert told[0] == "ValidationError" and told[1].startswith("You must use a valid fully-formed launch template. ")


def test_a_cluster_placement_group_is_of_one_zone(elba: Harness) -> None:
    for name, strategy in (("close", "cluster"), ("apart", "spread")):
        request = {"group_name": name, "strategy": strategy}
        elba.write(lambda tx, r=request: placement_groups.create_placement_group(tx, elba.call(), r))  # type: ignore[misc]
    with pytest.raises(ClientError, match="cannot span Availability Zones"):
        elba.create(PlacementGroup="close")
    elba.create("one", minimum=0, zones="a", PlacementGroup="close")
    with pytest.raises(ClientError, match="cannot span Availability Zones"):
        elba.asg.update_auto_scaling_group(AutoScalingGroupName="one", AvailabilityZones=[A, B])
    elba.create("many", minimum=0, PlacementGroup="apart")


@pytest.mark.parametrize(
    ("changed", "code", "message"),
    [
        ({"DesiredCapacity": 5}, "ValidationError",
         "Desired capacity:5 must be between the specified min size:1 and max size:3"),
        ({"MinSize": 2, "DesiredCapacity": 1}, "ValidationError",
         "Desired capacity:1 must be between the specified min size:2 and max size:3"),
        ({"MinSize": 4}, "ValidationError", "Max bound, 3, must be greater than or equal to min bound, 4"),
        ({"MaxSize": -1}, "ValidationError", "Max bound, -1, must be greater than or equal to min bound, 1"),
        ({"LaunchConfigurationName": "no"}, "ValidationError",
         "Launch configuration name not found - Launch configuration no not found"),
        ({"LaunchTemplate": {"LaunchTemplateName": "web"}, "LaunchConfigurationName": "c"}, "ValidationError",
         "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or "
         "MixedInstancesPolicy parameter."),
    ],
)  # fmt: skip
def test_a_refused_update_changes_nothing(elba: Harness, changed: dict[str, Any], code: str, message: str) -> None:
    elba.create(minimum=1, maximum=3, DesiredCapacity=2)
    before = elba.described()
    request = {"AutoScalingGroupName": "g", "DefaultCooldown": 7, **changed}
    assert elba.refused("update_auto_scaling_group", **request) == (code, message)
    assert elba.described() == before


@pytest.mark.parametrize(
    ("desired", "message"),
    [
        (0, "New SetDesiredCapacity value 0 is below min value 1 for the AutoScalingGroup."),
        (4, "New SetDesiredCapacity value 4 is above max value 3 for the AutoScalingGroup."),
    ],
)
def test_desired_capacity_out_of_range(elba: Harness, desired: int, message: str) -> None:
    elba.create(minimum=1, maximum=3)
    told = elba.refused("set_desired_capacity", AutoScalingGroupName="g", DesiredCapacity=desired)
    assert told == ("ValidationError", message)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"HeartbeatTimeout": 29}, "HeartbeatTimeout must be between 30 and 7200 seconds"),
        ({"HeartbeatTimeout": 7201}, "HeartbeatTimeout must be between 30 and 7200 seconds"),
        ({"DefaultResult": "NO"}, "'DefaultResult' must be one of: CONTINUE, ABANDON"),
        ({"LifecycleTransition": "autoscaling:NO"},
         "'LifecycleTransition' must be one of: autoscaling:EC2_INSTANCE_LAUNCHING, "
         "autoscaling:EC2_INSTANCE_TERMINATING"),
        ({"LifecycleTransition": None}, "LifecycleTransition is required to create a lifecycle hook."),
        ({"LifecycleHookName": "a b"}, BOUND.format("a b", "lifecycleHookName")),
        ({"NotificationTargetARN": QUEUE},
         "'RoleARN' parameter required when 'NotificationTargetARN' parameter is specified"),
        ({"RoleARN": ROLE}, "'NotificationTargetARN' parameter required when 'RoleARN' parameter is specified"),
        ({"NotificationTargetARN": "queue", "RoleARN": ROLE}, "'NotificationTargetARN' must be a valid ARN."),
        ({"NotificationTargetARN": "arn:aws:lambda:us-east-1:111122223333:function:f", "RoleARN": ROLE},
         "'RoleARN' parameter should not be specified when 'NotificationTargetARN' is a Lambda function. Remove "
         "'RoleARN' from your request and try again."),
        ({"NotificationTargetARN": QUEUE, "RoleARN": ROLE},
         f"Unable to publish test message to notification target {QUEUE} using IAM role {ROLE}. Please check your "
         "target and role configuration and try to put lifecycle hook again."),
        ({"NotificationMetadata": "m" * 4001}, BOUND.format("m" * 4001, "notificationMetadata")),
    ],
)  # fmt: skip
def test_hooks_that_are_refused(elba: Harness, changed: dict[str, Any], message: str) -> None:
    elba.create(minimum=0)
    hook = {k: v for k, v in {**HOOK, **changed}.items() if v is not None}
    code, told = elba.refused("put_lifecycle_hook", AutoScalingGroupName="g", **hook)
    assert code == "ValidationError" and told.startswith(message)
    assert elba.asg.describe_lifecycle_hooks(AutoScalingGroupName="g")["LifecycleHooks"] == []


def test_targets_that_cannot_be_told(elba: Harness) -> None:
    elba.create(minimum=0)
    fifo = Queue(account=ACCOUNT, region=REGION, id="q.fifo")
    topic = Topic(account=ACCOUNT, region="us-west-2", id=f"arn:aws:sns:us-west-2:{ACCOUNT}:t")
    elba.write(lambda tx: (tx.put(fifo), tx.put(topic)))
    for target in (fifo.arn, topic.id):
        hook = {**HOOK, "NotificationTargetARN": target, "RoleARN": ROLE}
        code, message = elba.refused("put_lifecycle_hook", AutoScalingGroupName="g", **hook)
        assert code == "ValidationError"
        assert message.startswith(f"Unable to publish test message to notification target {target} using IAM role ")
    told = {"TopicARN": topic.id, "NotificationTypes": ["autoscaling:EC2_INSTANCE_LAUNCH"]}
    answer = elba.refused("put_notification_configuration", AutoScalingGroupName="g", **told)
    assert answer == ("ValidationError", "Invalid parameter: TopicArn")


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("put_notification_configuration",
         {"TopicARN": f"arn:aws:sns:{REGION}:{ACCOUNT}:t", "NotificationTypes": ["autoscaling:NO"]},
         '"autoscaling:NO" is not a valid Notification Type.'),
        ("enable_metrics_collection", {"Granularity": "5Minute"}, "Valid metrics granularity type is: [1Minute]."),
        ("enable_metrics_collection", {"Granularity": "1Minute", "Metrics": ["No"]},
         "Valid metrics collection types are: [GroupMinSize, GroupMaxSize, GroupDesiredCapacity, "
         "GroupInServiceInstances, GroupInServiceCapacity, GroupPendingInstances, GroupPendingCapacity, "
         "GroupTerminatingInstances, GroupTerminatingCapacity, "),
    ],
)  # fmt: skip
def test_what_else_is_refused(elba: Harness, operation: str, request_: dict[str, Any], message: str) -> None:
    elba.create(minimum=0)
    code, told = elba.refused(operation, AutoScalingGroupName="g", **request_)
    assert code == "ValidationError" and told.startswith(message)


def test_a_hook_is_changed_by_putting_it_again(elba: Harness) -> None:
    elba.create(minimum=0)
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:t"
    elba.write(lambda tx: tx.put(Topic(account=ACCOUNT, region=REGION, id=topic)))

    def shown() -> dict[str, Any]:
        (hook,) = elba.asg.describe_lifecycle_hooks(AutoScalingGroupName="g")["LifecycleHooks"]
        return dict(hook)

    expected = {**HOOK, "AutoScalingGroupName": "g", "HeartbeatTimeout": 3600, "GlobalTimeout": 172800,
                "DefaultResult": "ABANDON"}  # fmt: skip
    for changed, told in (
        (dict(HOOK), {}),
        ({"HeartbeatTimeout": 30}, {"HeartbeatTimeout": 30, "GlobalTimeout": 3000}),
        ({"DefaultResult": "CONTINUE", "NotificationMetadata": "m"},) * 2,
        ({"NotificationTargetARN": topic, "RoleARN": ROLE},) * 2,
    ):
        elba.asg.put_lifecycle_hook(AutoScalingGroupName="g", **{"LifecycleHookName": "h", **changed})
        expected |= told
        assert shown() == expected
    elba.asg.put_lifecycle_hook(AutoScalingGroupName="g", LifecycleHookName="h", NotificationTargetARN="")
    expected.pop("NotificationTargetARN")
    assert shown() == expected
