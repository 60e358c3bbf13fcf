"""Policies at work: alarms change capacity, cooldown and warmup hold them back, each decision is kept."""

from __future__ import annotations

from typing import Any

import pytest

from elba.autoscaling.resources import Decision
from elba.cloudwatch.resources import Alarm, AlarmAction, AlarmHistoryItem

from .harness import ACCOUNT, REGION, Harness


def put_simple(elba: Harness, name: str = "up", adjustment: int = 1, **fields: Any) -> str:
    answer = elba.asg.put_scaling_policy(
        AutoScalingGroupName="g",
        PolicyName=name,
        AdjustmentType="ChangeInCapacity",
        ScalingAdjustment=adjustment,
        **fields,
    )
    return str(answer["PolicyARN"])


def put_tracking(elba: Harness, target: float = 50.0, name: str = "track", **fields: Any) -> dict[str, Any]:
    configuration = {
        "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
        "TargetValue": target,
        **fields,
    }
    answer: dict[str, Any] = elba.asg.put_scaling_policy(
        AutoScalingGroupName="g",
        PolicyName=name,
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration=configuration,
    )
    return answer


def decisions(elba: Harness) -> list[Decision]:
    return elba.store.view.children(Decision, ACCOUNT, REGION, "g")


def running(elba: Harness, count: int = 2, maximum: int = 10, **fields: Any) -> None:
    elba.create(minimum=1, maximum=maximum, DesiredCapacity=count, **fields)
    elba.advance(400)
    assert len(elba.in_service()) == count


def test_simple_policy_acts_once_per_cooldown(elba: Harness) -> None:
    running(elba)
    elba.alarm("high", put_simple(elba))
    elba.fire("high", 90.0)
    assert elba.group().desired_capacity == 3
    elba.fire("high", 90.0, repeated=True)
    assert elba.group().desired_capacity == 3
    assert decisions(elba)[-1].summary == "stays at 3: a scaling activity is in progress"
    elba.advance(60)
    elba.fire("high", 90.0, repeated=True)
    assert decisions(elba)[-1].summary == "stays at 3: cooldown"
    elba.advance(300)
    elba.fire("high", 90.0, repeated=True)
    assert elba.group().desired_capacity == 4
    elba.advance(10)
    cause = elba.activities()[-1].cause
    assert "a monitor alarm high in state ALARM triggered policy up changing the desired capacity from 3 to 4." in cause
    assert '"AlarmName":"high"' in elba.activities()[-1].details


def test_alarm_actions_are_recorded_with_the_alarm(elba: Harness) -> None:
    running(elba)
    arn = put_simple(elba)
    elba.alarm("high", arn)
    elba.fire("high", 90.0)
    assert elba.store.view.all(AlarmAction) == []
    history = [h for h in elba.store.view.all(AlarmHistoryItem) if h.item_type == "Action"]
    assert [h.summary for h in history] == [f"Successfully executed action {arn}"]


def test_honor_cooldown(elba: Harness) -> None:
    running(elba)
    put_simple(elba)
    elba.asg.execute_policy(AutoScalingGroupName="g", PolicyName="up")
    elba.asg.execute_policy(AutoScalingGroupName="g", PolicyName="up")
    assert elba.group().desired_capacity == 4
    elba.advance(60)
    code, _ = elba.refused("execute_policy", AutoScalingGroupName="g", PolicyName="up", HonorCooldown=True)
    assert code == "ScalingActivityInProgress"
    code, _ = elba.refused("set_desired_capacity", AutoScalingGroupName="g", DesiredCapacity=5, HonorCooldown=True)
    assert code == "ScalingActivityInProgress"
    elba.advance(300)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=5, HonorCooldown=True)
    assert elba.group().desired_capacity == 5


STEPS = [
    {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 10.0, "ScalingAdjustment": 0},
    {"MetricIntervalLowerBound": 10.0, "MetricIntervalUpperBound": 20.0, "ScalingAdjustment": 10},
    {"MetricIntervalLowerBound": 20.0, "ScalingAdjustment": 30},
]


def put_step(elba: Harness, **fields: Any) -> str:
    answer = elba.asg.put_scaling_policy(
        AutoScalingGroupName="g",
        PolicyName="steps",
        PolicyType="StepScaling",
        **{
            "AdjustmentType": "PercentChangeInCapacity",
            "StepAdjustments": STEPS,
            "EstimatedInstanceWarmup": 120,
            **fields,
        },
    )
    return str(answer["PolicyARN"])


def test_step_scaling_through_a_warmup(elba: Harness) -> None:
    running(elba, 10, 20)
    elba.alarm("high", put_step(elba))
    elba.fire("high", 60.0)
    assert elba.group().desired_capacity == 11
    elba.advance(30)
    elba.fire("high", 62.0, repeated=True)
    assert elba.group().desired_capacity == 11
    elba.fire("high", 70.0, repeated=True)
    assert elba.group().desired_capacity == 13
    elba.advance(200)
    elba.fire("high", 70.0, repeated=True)
    assert elba.group().desired_capacity == 16


def test_execute_step_policy(elba: Harness) -> None:
    running(elba, 10, 20)
    put_step(elba)
    code, message = elba.refused(
        "execute_policy", AutoScalingGroupName="g", PolicyName="steps", MetricValue=0.0, BreachThreshold=1.0
    )
    assert (code, message) == (
        "ValidationError",
        "No step adjustment found for metric value [0.0] and breach threshold 1.0",
    )
    elba.asg.execute_policy(AutoScalingGroupName="g", PolicyName="steps", MetricValue=75.0, BreachThreshold=50.0)
    assert elba.group().desired_capacity == 13


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (
            [{"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 5.0, "ScalingAdjustment": 1}],
            "There must be a StepAdjustment with an unspecified upper bound (i.e., upper bound is null) when one "
            "StepAdjustment has a positive upper bound.",
        ),
        (
            [{"MetricIntervalLowerBound": -5.0, "MetricIntervalUpperBound": 0.0, "ScalingAdjustment": 1}],
            "There must be a StepAdjustment with an unspecified lower bound (i.e., lower bound is null) when one "
            "StepAdjustment has a negative lower bound.",
        ),
        ([{"ScalingAdjustment": 1}], "Both lower and upper bounds of a StepAdjustment cannot be left unspecified."),
        (
            [
                {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 5.0, "ScalingAdjustment": 1},
                {"MetricIntervalLowerBound": 6.0, "ScalingAdjustment": 2},
            ],
            "StepAdjustment intervals cannot have gaps between them.",
        ),
    ],
    ids=["no upper", "no lower", "neither", "gap"],
)
def test_bad_steps(elba: Harness, steps: list[dict[str, Any]], message: str) -> None:
    elba.create(minimum=0)
    assert elba.refused(
        "put_scaling_policy",
        AutoScalingGroupName="g",
        PolicyName="steps",
        PolicyType="StepScaling",
        AdjustmentType="ChangeInCapacity",
        StepAdjustments=steps,
    ) == ("ValidationError", message)


UP = {"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}
SIMPLE = {"PolicyType": "SimpleScaling", "AdjustmentType": "ChangeInCapacity", "ScalingAdjustment": 1}
STEP = {"PolicyType": "StepScaling", "AdjustmentType": "ChangeInCapacity", "StepAdjustments": [UP]}
CPU = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}}
TRACKING = {"TargetTrackingConfiguration": {"TargetValue": 50.0, **CPU}}
ALARMS = "Unable to create alarms in CloudWatch: "
WRITTEN = "StepAdjustment{{MetricIntervalLowerBound=0.0,MetricIntervalUpperBound={},ScalingAdjustment={},ProportionalFactor=null}}"  # noqa: E501


def tracking(**configuration: Any) -> dict[str, Any]:
    given = {"TargetValue": 50.0, **configuration}
    return {"PolicyType": "TargetTrackingScaling", "TargetTrackingConfiguration": given}


def customized(*queries: dict[str, Any], **fields: Any) -> dict[str, Any]:
    given = {**fields, "Metrics": list(queries)} if queries else fields
    return tracking(CustomizedMetricSpecification=given)


def query(id_: str, period: int = 60, **fields: Any) -> dict[str, Any]:
    stat = {"Metric": {"Namespace": "Shop", "MetricName": id_}, "Stat": "Average", "Period": period}
    return {"Id": id_, "MetricStat": stat, **fields}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"PolicyType": "SimpleScaling", "ScalingAdjustment": 1},
         "You must specify an AdjustmentType for policy type: SimpleScaling"),
        ({"PolicyType": "StepScaling", "StepAdjustments": [UP]},
         "You must specify an AdjustmentType for policy type: StepScaling"),
        ({"PolicyType": "SimpleScaling", "AdjustmentType": "ChangeInCapacity"},
         "Scaling increment must be specified for a SimpleScaling policy"),
        ({**SIMPLE, "AdjustmentType": "ExactCapacity", "ScalingAdjustment": -1},
         "The lower range for adjustment is 0 with the specified adjustment type."),
        ({**SIMPLE, "MinAdjustmentMagnitude": 1},
         "MinAdjustmentMagnitude is not supported by the specified adjustment type."),
        ({**SIMPLE, "AdjustmentType": "PercentChangeInCapacity", "MinAdjustmentMagnitude": 0},
         "If specified, MinAdjustmentMagnitude must be greater than zero."),
        ({**SIMPLE, **TRACKING}, "TargetTrackingConfiguration is not supported for a SimpleScaling policy"),
        ({**STEP, **TRACKING}, "TargetTrackingConfiguration is not supported for a StepScaling policy"),
        ({**STEP, "StepAdjustments": []},
         "You should specify at least one StepAdjustment with a StepScaling policy."),
        ({**STEP, "StepAdjustments": [UP] * 21}, "Your policies can have at most 20 StepAdjustments."),
        ({**STEP, "AdjustmentType": "ExactCapacity", "StepAdjustments": [{**UP, "ScalingAdjustment": -1}]},
         "The lowest value for ScalingAdjustment parameter is 0 with the specified adjustment type. Erroneous "
         "StepAdjustment is " + WRITTEN.format("null", "-1.0")),
        ({**STEP, "StepAdjustments": [{**UP, "MetricIntervalUpperBound": 0.0}]},
         "LowerBound must be less than the UpperBound for StepAdjustment : " + WRITTEN.format("0.0", "1.0")),
        ({**STEP, "StepAdjustments": [UP, UP]},
         "At most one StepAdjustment may have an unspecified upper bound (i.e., upper bound is null)."),
        ({**STEP, "StepAdjustments": [{"MetricIntervalUpperBound": n, "ScalingAdjustment": -1} for n in (0.0, -5.0)]},
         "At most one StepAdjustment may have an unspecified lower bound (i.e., lower bound is null)."),
        ({**STEP,
          "StepAdjustments": [{**UP, "MetricIntervalUpperBound": 9.0}, {**UP, "MetricIntervalLowerBound": 5.0}]},
         "StepAdjustment intervals cannot overlap."),
        ({"PolicyType": "TargetTrackingScaling"}, "You should provide a TargetTrackingConfiguration"),
        ({**tracking(**CPU), "StepAdjustments": [UP]},
         "StepAdjustments are not supported for a TargetTracking policy"),
        (tracking(**{**CPU, "TargetValue": -5.0}), "Target value must be between 8.51592E-12 and 1.174271E17"),
        (tracking(), "You should provide either a CustomizedMetricSpecification or a PredefinedMetricSpecification"),
        (tracking(PredefinedMetricSpecification={"PredefinedMetricType": "ALBRequestCountPerTarget"}),
         "Resource label should be specified for predefined metric type ALBRequestCountPerTarget"),
        (tracking(PredefinedMetricSpecification={
            "PredefinedMetricType": "ALBRequestCountPerTarget",
            "ResourceLabel": "app/a/0123456789abcdef/targetgroup/t/0123456789abcdef"}),
         "Target group not attached to the Auto Scaling group"),
        (tracking(PredefinedMetricSpecification={
            "PredefinedMetricType": "ASGAverageCPUUtilization", "ResourceLabel": "x"}),
         "Resource label should not be specified for predefined metric type ASGAverageCPUUtilization"),
        (customized(MetricName="m", Namespace="Shop"),
         "1 validation error detected: Value null at "
         "'targetTrackingConfiguration.customizedMetricSpecification.statistic' failed to satisfy constraint: Member "
         "must not be null"),
        (customized(MetricName="m", Namespace="Shop", Statistic="Average", Period=300),
         "A metric period greater than 60 isn't supported. Specify a 'period' value less than or equal to 60 and try "
         "again."),
        (customized(query("a"), Namespace="Shop"),
         "A customized metric specification with 'Metrics' specified cannot have any of ['Dimensions', 'MetricName', "
         "'Namespace', 'Statistic', 'Unit', 'Period'] specified as well."),
        (customized(query("a"), query("b")), f"{ALARMS}Exactly one element of the metrics list should return data."),
        (customized(query("a", Expression="1")),
         f"{ALARMS}The parameters MetricDataQuery Expression and MetricStat are mutually exclusive and you have "
         "specified both."),
        (customized(query("a"), query("b", 10, ReturnData=False)),
         f"{ALARMS}All metrics in the alarm should have the same period"),
    ],
)  # fmt: skip
def test_policies_that_are_refused(elba: Harness, request_: dict[str, Any], message: str) -> None:
    elba.create(minimum=0)
    told = elba.refused("put_scaling_policy", AutoScalingGroupName="g", PolicyName="p", **request_)
    assert told == ("ValidationError", message)
    assert elba.asg.describe_policies()["ScalingPolicies"] == []


def test_the_alarms_of_target_tracking(elba: Harness) -> None:
    elba.create(minimum=1)
    answer = put_tracking(elba, 60.0)
    high, low = (elba.store.view.get(Alarm, ACCOUNT, REGION, n) for n in elba.tracking_alarms())
    assert high is not None and low is not None
    assert {a["AlarmName"] for a in answer["Alarms"]} == {high.id, low.id}
    assert high.description == f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {answer['PolicyARN']}."
    shown = [
        (a.comparison_operator, a.threshold, a.evaluation_periods, a.period, a.statistic, a.alarm_actions)
        for a in (high, low)
    ]
    assert shown == [
        ("GreaterThanThreshold", 60.0, 3, 60, "Average", [answer["PolicyARN"]]),
        ("LessThanThreshold", 54.0, 15, 60, "Average", [answer["PolicyARN"]]),
    ]
    assert (high.namespace, high.metric_name) == ("AWS/EC2", "CPUUtilization")
    assert high.dimensions == [{"name": "AutoScalingGroupName", "value": "g"}]
    elba.asg.delete_policy(AutoScalingGroupName="g", PolicyName="track")
    assert elba.store.view.all(Alarm) == []


def test_disable_scale_in_makes_no_low_alarm(elba: Harness) -> None:
    elba.create(minimum=1)
    assert len(put_tracking(elba, DisableScaleIn=True)["Alarms"]) == 1
    assert len(put_tracking(elba)["Alarms"]) == 2
    assert len(elba.store.view.all(Alarm)) == 2


def test_target_tracking_scales_out_and_later_in(elba: Harness) -> None:
    running(elba, 4, 10)
    put_tracking(elba)
    high, low = elba.tracking_alarms()
    elba.fire(high, 70.0, 80.0)
    assert elba.group().desired_capacity == 7
    decision = decisions(elba)[-1]
    assert decision.summary == "track: 4 → 7 (ceil(4 × 80 ÷ 50) = ceil(6.400) = 7)"
    elba.calm(high)
    elba.fire(low, 10.0)
    assert elba.group().desired_capacity == 7
    assert decisions(elba)[-1].summary == "stays at 7: instances are warming up"
    elba.advance(400)
    elba.fire(low, 10.0, repeated=True)
    assert elba.group().desired_capacity == 6


def test_scale_in_needs_all_target_tracking_policies(elba: Harness) -> None:
    running(elba, 4, 10)
    put_tracking(elba)
    _, low = elba.tracking_alarms()
    elba.asg.put_scaling_policy(
        AutoScalingGroupName="g",
        PolicyName="network",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageNetworkIn"},
            "TargetValue": 1000.0,
        },
    )
    elba.fire(low, 10.0)
    assert elba.group().desired_capacity == 4
    assert decisions(elba)[-1].summary == "stays at 4: policy network does not want to scale in"
    other = next(a.id for a in elba.store.view.all(Alarm) if a.metric_name == "NetworkIn" and "AlarmLow" in a.id)
    elba.fire(other, 10.0)
    assert elba.group().desired_capacity == 3


def test_a_second_policy_for_the_same_metric_is_refused(elba: Harness) -> None:
    elba.create(minimum=1)
    put_tracking(elba)
    _, message = elba.refused(
        "put_scaling_policy",
        AutoScalingGroupName="g",
        PolicyName="again",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
            "TargetValue": 70.0,
        },
    )
    assert message == "Only one TargetTrackingScaling policy for a given metric specification is allowed."


def test_requests_per_target(elba: Harness) -> None:
    arn = elba.target_group()
    elba.create(minimum=1, TargetGroupARNs=[arn])
    label = "app/lb/0123456789abcdef/targetgroup/tg/0123456789abcdef"
    elba.asg.put_scaling_policy(
        AutoScalingGroupName="g",
        PolicyName="requests",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "ALBRequestCountPerTarget",
                "ResourceLabel": label,
            },
            "TargetValue": 1000.0,
        },
    )
    high = elba.store.view.get(Alarm, ACCOUNT, REGION, elba.tracking_alarms()[0])
    assert high is not None
    assert (high.namespace, high.metric_name, high.statistic) == ("AWS/ApplicationELB", "RequestCountPerTarget", "Sum")
    assert {"name": "TargetGroup", "value": "targetgroup/tg/0123456789abcdef"} in high.dimensions


def test_suspended_alarm_notification_drops_alarms(elba: Harness) -> None:
    running(elba)
    elba.alarm("high", put_simple(elba))
    elba.asg.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=["AlarmNotification"])
    elba.fire("high", 90.0)
    assert elba.group().desired_capacity == 2
    elba.asg.resume_processes(AutoScalingGroupName="g", ScalingProcesses=["AlarmNotification"])
    elba.fire("high", 90.0, repeated=True)
    assert elba.group().desired_capacity == 3


def test_describe_policies_shows_what_was_put_and_no_more(elba: Harness) -> None:
    elba.create(minimum=1)
    arn = put_simple(elba, "up", 2, Cooldown=60)
    elba.alarm("mine", arn)
    (shown,) = elba.asg.describe_policies(AutoScalingGroupName="g")["ScalingPolicies"]
    assert shown == {
        "AutoScalingGroupName": "g",
        "PolicyName": "up",
        "PolicyARN": arn,
        "PolicyType": "SimpleScaling",
        "AdjustmentType": "ChangeInCapacity",
        "ScalingAdjustment": 2,
        "Cooldown": 60,
        "StepAdjustments": [],
        "Alarms": [{"AlarmName": "mine", "AlarmARN": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:mine"}],
        "Enabled": True,
    }


def test_decisions_are_bounded(elba: Harness) -> None:
    elba.create(minimum=0, maximum=100)
    elba.asg.suspend_processes(AutoScalingGroupName="g")
    elba.asg.put_scaling_policy(
        AutoScalingGroupName="g", PolicyName="flip", AdjustmentType="ChangeInCapacity", ScalingAdjustment=1
    )
    for i in range(205):
        elba.asg.execute_policy(AutoScalingGroupName="g", PolicyName="flip")
        elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=i % 2)
    assert len(decisions(elba)) == 200


def test_customized_metrics(elba: Harness) -> None:
    elba.create(minimum=1)
    queries = [
        {
            "Id": "m1",
            "MetricStat": {"Metric": {"Namespace": "N", "MetricName": "Backlog"}, "Stat": "Sum"},
            "ReturnData": False,
        },
        {"Id": "e1", "Expression": "FILL(m1, 0)"},
    ]
    answer = elba.asg.put_scaling_policy(
        AutoScalingGroupName="g",
        PolicyName="backlog",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={"CustomizedMetricSpecification": {"Metrics": queries}, "TargetValue": 10.0},
    )
    high = elba.store.view.get(Alarm, ACCOUNT, REGION, elba.tracking_alarms()[0])
    assert high is not None
    assert [q["id"] for q in high.metrics] == ["m1", "e1"]
    assert high.metrics[0]["metric_stat"]["period"] == 60
    (shown,) = elba.asg.describe_policies(PolicyNames=[answer["PolicyARN"]])["ScalingPolicies"]
    tracked = shown["TargetTrackingConfiguration"]
    assert tracked["CustomizedMetricSpecification"]["Metrics"][1]["Expression"] == "FILL(m1, 0)"
    assert tracked["DisableScaleIn"] is False


def test_one_datapoint_is_not_acted_on_twice(elba: Harness) -> None:
    running(elba, 10, 20)
    put_tracking(elba)
    _, low = elba.tracking_alarms()
    elba.fire(low, 10.0, newest=elba.now - 60)
    assert elba.group().desired_capacity == 9
    newest = elba.now - 60
    elba.advance(30)
    elba.fire(low, 10.0, repeated=True, newest=newest - 10)
    assert elba.group().desired_capacity == 9
    assert decisions(elba)[-1].summary == "stays at 9: the metric does not show the last change yet"
    elba.fire(low, 10.0, repeated=True, newest=elba.now)
    assert elba.group().desired_capacity == 8


@pytest.mark.parametrize(
    ("kind", "asked", "message"),
    [
        ("simple", {"PolicyName": "no"}, "not found"),
        ("tracking", {}, "is not supported by ExecutePolicy"),
        ("step", {}, "MetricValue and BreachThreshold are required"),
        ("disabled", {}, "is disabled"),
    ],
)
def test_what_execute_policy_refuses(elba: Harness, kind: str, asked: dict[str, Any], message: str) -> None:
    elba.create(minimum=1)
    name = {"tracking": "track", "step": "steps"}.get(kind, "up")
    if kind == "tracking":
        put_tracking(elba)
    elif kind == "step":
        put_step(elba)
    else:
        put_simple(elba, Enabled=kind != "disabled")
    code, said = elba.refused("execute_policy", **{"AutoScalingGroupName": "g", "PolicyName": name, **asked})
    assert code == "ValidationError"
    assert message in said


def test_a_disabled_policy_has_no_alarms_and_hears_none(elba: Harness) -> None:
    running(elba)
    arn = put_simple(elba, Enabled=False)
    elba.alarm("high", arn)
    elba.fire("high", 90.0)
    assert elba.group().desired_capacity == 2
    put_simple(elba, Enabled=True)
    elba.fire("high", 90.0, repeated=True)
    assert elba.group().desired_capacity == 3
    put_tracking(elba)
    assert len(elba.store.view.all(Alarm)) == 3
    request = {
        "AutoScalingGroupName": "g",
        "PolicyName": "track",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingConfiguration": {
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
            "TargetValue": 50.0,
        },
    }
    elba.asg.put_scaling_policy(**request, Enabled=False)
    assert [a.id for a in elba.store.view.all(Alarm)] == ["high"]
    elba.asg.put_scaling_policy(**request, Enabled=True)
    assert len(elba.store.view.all(Alarm)) == 3


def test_irrelevant_zeros_are_taken_and_not_told(elba: Harness) -> None:
    """Terraform sends them with any type once it has seen drift."""
    elba.create(minimum=1)
    put_simple(elba, EstimatedInstanceWarmup=0)
    put_step(elba, Cooldown=0)
    by_name = {p["PolicyName"]: p for p in elba.asg.describe_policies()["ScalingPolicies"]}
    assert "EstimatedInstanceWarmup" not in by_name["up"]
    assert "Cooldown" not in by_name["steps"]


def test_a_deleted_policy_leaves_alarms_that_others_made(elba: Harness) -> None:
    elba.create(minimum=1)
    elba.alarm("mine", put_simple(elba))
    elba.asg.delete_policy(AutoScalingGroupName="g", PolicyName="up")
    (alarm,) = elba.store.view.all(Alarm)
    assert (alarm.id, alarm.alarm_actions) == ("mine", [])


def test_both_alarms_low_but_one_policy_finds_fewer_too_few(elba: Harness) -> None:
    running(elba, 3)
    put_tracking(elba, 50.0)
    _, low = elba.tracking_alarms()
    elba.asg.put_scaling_policy(
        AutoScalingGroupName="g",
        PolicyName="network",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageNetworkIn"},
            "TargetValue": 100.0,
        },
    )
    other = next(a.id for a in elba.store.view.all(Alarm) if a.metric_name == "NetworkIn" and "AlarmLow" in a.id)
    for metric, desired in ((85.0, 3), (60.0, 2)):
        elba.fire_together({low: 5.0, other: metric})
        assert elba.group().desired_capacity == desired


@pytest.mark.parametrize(("period", "good"), [(10, True), (30, True), (60, True), (20, False), (300, False)])
def test_periods_of_customized_metrics(elba: Harness, period: int, good: bool) -> None:
    elba.create(minimum=1)
    metric = {"MetricName": "Backlog", "Namespace": "N", "Statistic": "Average", "Period": period}
    request = {
        "AutoScalingGroupName": "g",
        "PolicyName": "backlog",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingConfiguration": {"CustomizedMetricSpecification": metric, "TargetValue": 10.0},
    }
    if good:
        elba.asg.put_scaling_policy(**request)
        assert {a.period for a in elba.store.view.all(Alarm)} == {period}
    else:
        assert elba.refused("put_scaling_policy", **request)[0] == "ValidationError"


@pytest.mark.parametrize(
    ("cooldown", "default", "waits"), [(None, 300, 300), (60, 300, 60), (0, 300, 0), (None, 0, 0), (600, 30, 600)]
)
def test_whose_cooldown_counts(elba: Harness, cooldown: int | None, default: int, waits: int) -> None:
    running(elba, 2, DefaultCooldown=default)
    fields: dict[str, Any] = {} if cooldown is None else {"Cooldown": cooldown}
    elba.alarm("high", put_simple(elba, **fields))
    elba.fire("high", 90.0)
    # The instance boots for five seconds; only then the cooldown begins.
    elba.advance(5 + waits - 2 if waits else 6)
    elba.fire("high", 90.0, repeated=True)
    assert elba.group().desired_capacity == (3 if waits else 4)
    elba.advance(4)
    elba.fire("high", 90.0, repeated=True)
    assert elba.group().desired_capacity == 4


def test_the_cooldown_of_a_scale_in_begins_when_the_instance_has_drained(elba: Harness) -> None:
    arn = elba.target_group(delay=100)
    running(elba, 3, TargetGroupARNs=[arn])
    elba.alarm("low", put_simple(elba, "down", -1, Cooldown=60), operator="LessThanThreshold")
    elba.fire("low", 10.0)
    for seconds, why in ((90, "a scaling activity is in progress"), (40, "cooldown")):
        elba.advance(seconds)
        elba.fire("low", 10.0, repeated=True)
        assert decisions(elba)[-1].summary == f"stays at 2: {why}"
    elba.advance(60)
    elba.fire("low", 10.0, repeated=True)
    assert elba.group().desired_capacity == 1


@pytest.mark.parametrize("what", ["step", "user", "health", "schedule"])
def test_what_begins_no_cooldown(elba: Harness, what: str) -> None:
    running(elba, 2, 20)
    if what == "step":
        elba.alarm("steps", put_step(elba, AdjustmentType="ChangeInCapacity"))
        elba.fire("steps", 60.0)
    elif what == "user":
        elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=3)
    elif what == "health":
        elba.kill(elba.in_service()[0].id)
    else:
        elba.asg.put_scheduled_update_group_action(
            AutoScalingGroupName="g", ScheduledActionName="s", StartTime=elba.now + 1, DesiredCapacity=3
        )
    elba.advance(60)
    before = elba.group().desired_capacity
    elba.alarm("high", put_simple(elba))
    elba.fire("high", 90.0)
    assert elba.group().desired_capacity == before + 1


def test_a_cooldown_holds_back_neither_steps_nor_tracking_nor_schedules_nor_users(elba: Harness) -> None:
    running(elba, 2, 30)
    elba.alarm("high", put_simple(elba))
    elba.fire("high", 90.0)
    elba.advance(60)
    elba.alarm("steps", put_step(elba, AdjustmentType="ChangeInCapacity", EstimatedInstanceWarmup=0))
    elba.fire("steps", 60.0)
    assert elba.group().desired_capacity == 13
    elba.advance(30)
    put_tracking(elba)
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", DefaultInstanceWarmup=0)
    elba.fire(elba.tracking_alarms()[0], 55.0)
    assert elba.group().desired_capacity == 15
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=5)
    elba.asg.put_scheduled_update_group_action(
        AutoScalingGroupName="g", ScheduledActionName="s", StartTime=elba.now + 1, DesiredCapacity=6
    )
    elba.advance(2)
    assert elba.group().desired_capacity == 6
    elba.fire("high", 90.0, repeated=True)
    assert elba.group().desired_capacity == 6


def test_a_policy_without_its_alarms_does_nothing_until_it_is_put_again(elba: Harness) -> None:
    running(elba, 4, 10)
    first = put_tracking(elba)
    assert elba.clients is not None
    elba.clients.client("cloudwatch").delete_alarms(AlarmNames=[a["AlarmName"] for a in first["Alarms"]])
    assert elba.asg.describe_policies()["ScalingPolicies"][0]["Alarms"] == []
    second = put_tracking(elba)
    assert second["PolicyARN"] == first["PolicyARN"]
    elba.fire(elba.tracking_alarms()[0], 80.0)
    assert elba.group().desired_capacity == 7


def test_a_policy_may_become_one_of_another_type(elba: Harness) -> None:
    elba.create(minimum=1)
    arn = put_simple(elba, "p", Cooldown=10)
    put_tracking(elba, name="p")
    (shown,) = elba.asg.describe_policies()["ScalingPolicies"]
    assert (shown["PolicyARN"], shown["PolicyType"]) == (arn, "TargetTrackingScaling")
    assert not {"AdjustmentType", "Cooldown", "ScalingAdjustment"} & set(shown)
    put_simple(elba, "p")
    (shown,) = elba.asg.describe_policies()["ScalingPolicies"]
    assert (shown["PolicyType"], shown["Alarms"]) == ("SimpleScaling", [])
    assert elba.store.view.all(Alarm) == []
