"""What alarms and Auto Scaling groups publish, as a queue behind a topic gets it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from elba.testing import World

from .test_sns_operations import messages, subscribe_queue

ROLE = "arn:aws:iam::000000000000:role/r"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def topic(world: World) -> str:
    arn = str(world.boto3("sns").create_topic(Name="t")["TopicArn"])
    subscribe_queue(world, arn)
    return arn


def told(world: World) -> list[tuple[str, dict[str, Any]]]:
    """(subject, message) of each notification in the queue."""
    envelopes = [json.loads(m["Body"]) for m in messages(world)]
    return [(e["Subject"], json.loads(e["Message"])) for e in envelopes]


def make_group(world: World, **more: Any) -> Any:
    autoscaling, ec2 = world.boto3("autoscaling"), world.boto3("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    ec2.create_launch_template(
        LaunchTemplateName="web", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"}
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="g",
        MinSize=0,
        MaxSize=2,
        LaunchTemplate={"LaunchTemplateName": "web"},
        AvailabilityZones=["us-east-1a"],
        **more,
    )
    return autoscaling


def instances(autoscaling: Any) -> list[dict[str, Any]]:
    group = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["g"])["AutoScalingGroups"][0]
    return list(group["Instances"])


def test_an_alarm_tells_its_topic(world: World, topic: str) -> None:
    cloudwatch = world.boto3("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="hot",
        AlarmDescription="too hot",
        Namespace="N",
        MetricName="m",
        Dimensions=[{"Name": "d", "Value": "1"}],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=5.0,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[topic],
    )
    cloudwatch.put_metric_data(
        Namespace="N", MetricData=[{"MetricName": "m", "Value": 9.0, "Dimensions": [{"Name": "d", "Value": "1"}]}]
    )
    world.advance(70)
    ((subject, said),) = told(world)
    assert subject == 'ALARM: "hot" in US East (N. Virginia)'
    assert said["AlarmName"] == "hot" and said["AlarmDescription"] == "too hot"
    assert (said["OldStateValue"], said["NewStateValue"]) == ("INSUFFICIENT_DATA", "ALARM")
    assert said["Region"] == "US East (N. Virginia)" and said["AWSAccountId"] == "000000000000"
    assert said["StateChangeTime"].endswith("+0000") and said["AlarmActions"] == [topic]
    assert said["NewStateReason"].startswith("Threshold Crossed")
    assert said["Trigger"] == {
        "MetricName": "m",
        "Namespace": "N",
        "StatisticType": "Statistic",
        "Statistic": "AVERAGE",
        "Unit": None,
        "Dimensions": [{"value": "1", "name": "d"}],
        "Period": 60,
        "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 5.0,
        "TreatMissingData": "",
        "EvaluateLowSampleCountPercentile": "",
    }
    history = cloudwatch.describe_alarm_history(AlarmName="hot", HistoryItemType="Action")["AlarmHistoryItems"]
    assert [h["HistorySummary"] for h in history] == [f"Successfully executed action {topic}"]


def test_composite_and_math_alarms_and_a_topic_that_is_gone(world: World, topic: str) -> None:
    cloudwatch = world.boto3("cloudwatch")
    query = {
        "Id": "m",
        "MetricStat": {"Metric": {"Namespace": "N", "MetricName": "x"}, "Period": 60, "Stat": "Sum"},
        "ReturnData": False,
    }
    cloudwatch.put_metric_alarm(
        AlarmName="math",
        Metrics=[query, {"Id": "e", "Expression": "m*2", "Label": "twice", "ReturnData": True}],
        EvaluationPeriods=1,
        Threshold=5.0,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[topic, topic + "x"],
    )
    cloudwatch.put_composite_alarm(AlarmName="both", AlarmRule="ALARM(math)", AlarmActions=[topic])
    world.settle()
    cloudwatch.set_alarm_state(AlarmName="math", StateValue="ALARM", StateReason="by hand")
    said = {message["AlarmName"]: message for _, message in told(world)}
    assert said["math"]["Trigger"]["Metrics"][0]["MetricStat"]["Metric"]["MetricName"] == "x"
    assert said["math"]["Trigger"]["Metrics"][1]["Expression"] == "m*2"
    assert said["both"]["AlarmRule"] == "ALARM(math)"
    (child,) = said["both"]["TriggeringChildren"]
    assert child["Arn"].endswith(":alarm:math") and child["State"]["Value"] == "ALARM"
    history = cloudwatch.describe_alarm_history(AlarmName="math", HistoryItemType="Action")["AlarmHistoryItems"]
    failed = f'Failed to execute action {topic}x. Received error: "Topic does not exist"'
    assert sorted(h["HistorySummary"] for h in history) == [failed, f"Successfully executed action {topic}"]


def test_a_group_tells_of_launches_and_terminations(world: World, topic: str) -> None:
    autoscaling = make_group(world)
    types = ["autoscaling:EC2_INSTANCE_LAUNCH", "autoscaling:EC2_INSTANCE_TERMINATE"]
    with pytest.raises(ClientError) as caught:
        autoscaling.put_notification_configuration(
            AutoScalingGroupName="g", TopicARN=topic + "x", NotificationTypes=types
        )
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    autoscaling.put_notification_configuration(AutoScalingGroupName="g", TopicARN=topic, NotificationTypes=types)
    ((subject, said),) = told(world)
    assert said["Event"] == "autoscaling:TEST_NOTIFICATION" and 'group "g"' in subject
    autoscaling.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    world.until(lambda: [i["LifecycleState"] for i in instances(autoscaling)] == ["InService"], 120)
    ((subject, said),) = told(world)
    instance = instances(autoscaling)[0]["InstanceId"]
    assert subject == 'Auto Scaling: launch for group "g"'
    assert said["Event"] == types[0] and said["EC2InstanceId"] == instance
    assert (said["Progress"], said["StatusCode"], said["Service"]) == (50, "InProgress", "AWS Auto Scaling")
    assert said["Details"]["Availability Zone"] == "us-east-1a" and said["Details"]["Subnet ID"]
    activity = autoscaling.describe_scaling_activities(AutoScalingGroupName="g")["Activities"][0]
    assert (said["ActivityId"], said["Cause"]) == (activity["ActivityId"], activity["Cause"])
    autoscaling.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=0)
    world.until(lambda: not instances(autoscaling), 600)
    ((subject, said),) = told(world)
    assert subject == 'Auto Scaling: termination for group "g"' and said["Event"] == types[1]


@pytest.mark.parametrize("kind", ["sns", "sqs"])
def test_a_hook_tells_its_target(world: World, topic: str, kind: str) -> None:
    autoscaling = make_group(world)
    target = topic if kind == "sns" else "arn:aws:sqs:us-east-1:000000000000:q"
    hook = {
        "AutoScalingGroupName": "g",
        "LifecycleHookName": "h",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
        "RoleARN": ROLE,
        "NotificationMetadata": "meta",
    }
    with pytest.raises(ClientError) as caught:
        autoscaling.put_lifecycle_hook(**hook, NotificationTargetARN=target + "x")
    assert caught.value.response["Error"] == {
        "Type": "Sender",
        "Code": "ValidationError",
        "Message": f"Unable to publish test message to notification target {target}x using IAM role {ROLE}. "
        "Please check your target and role configuration and try to put lifecycle hook again.",
    }
    assert autoscaling.describe_lifecycle_hooks(AutoScalingGroupName="g")["LifecycleHooks"] == []
    autoscaling.put_lifecycle_hook(**hook, NotificationTargetARN=target)

    def heard() -> list[dict[str, Any]]:
        if kind == "sns":
            return [message for _, message in told(world)]
        return [json.loads(m["Body"]) for m in messages(world)]

    assert [m["Event"] for m in heard()] == ["autoscaling:TEST_NOTIFICATION"]
    autoscaling.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    world.until(lambda: [i["LifecycleState"] for i in instances(autoscaling)] == ["Pending:Wait"], 120)
    (said,) = heard()
    assert said["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_LAUNCHING"
    assert said["EC2InstanceId"] == instances(autoscaling)[0]["InstanceId"]
    assert (said["LifecycleHookName"], said["NotificationMetadata"]) == ("h", "meta")
    assert (said["AccountId"], said["Service"]) == ("000000000000", "AWS Auto Scaling")
    assert "Origin" not in said
    autoscaling.complete_lifecycle_action(
        AutoScalingGroupName="g",
        LifecycleHookName="h",
        LifecycleActionToken=said["LifecycleActionToken"],
        LifecycleActionResult="CONTINUE",
    )
    world.until(lambda: [i["LifecycleState"] for i in instances(autoscaling)] == ["InService"], 120)
