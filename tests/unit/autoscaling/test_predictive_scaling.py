"""Forecasts, and the floor they put under desired capacity."""

from __future__ import annotations

from typing import Any

import pytest

from elba.autoscaling.predictive import capacity_for, hourly, predict
from elba.autoscaling.resources import Decision, Forecast

from .harness import ACCOUNT, REGION, Harness

HOUR = 3600.0


def test_the_hourly_load_is_the_mean_of_its_minutes() -> None:
    assert hourly([(0.0, 10.0), (60.0, 30.0), (3600.0, 5.0)]) == {0: 20.0, 1: 5.0}


def test_less_than_a_day_of_history_predicts_nothing() -> None:
    assert predict(dict.fromkeys(range(23), 1.0), 23 * HOUR) == {}


def test_the_hour_of_the_day_until_there_is_a_week_then_the_hour_of_the_week() -> None:
    day = {h: float(h % 24) for h in range(48)}
    expected = predict(day, 48 * HOUR)
    assert len(expected) == 48
    assert (expected[48], expected[50], expected[95]) == (0.0, 2.0, 23.0)
    weeks = {h: 100.0 if h % 168 < 24 else 1.0 for h in range(336)}
    expected = predict(weeks, 336 * HOUR)
    assert (expected[336], expected[336 + 30]) == (100.0, 1.0)


@pytest.mark.parametrize(("load", "target", "capacity"), [(100, 50, 2), (101, 50, 3), (0, 50, 0)])
def test_capacity(load: float, target: float, capacity: int) -> None:
    assert capacity_for(load, target) == capacity


def put(elba: Harness, **fields: Any) -> str:
    configuration = {
        "MetricSpecifications": [
            {
                "TargetValue": 50.0,
                "PredefinedMetricPairSpecification": {"PredefinedMetricType": "ASGCPUUtilization"},
            }
        ],
        **fields,
    }
    answer = elba.asg.put_scaling_policy(
        AutoScalingGroupName="g",
        PolicyName="ahead",
        PolicyType="PredictiveScaling",
        PredictiveScalingConfiguration=configuration,
    )
    return str(answer["PolicyARN"])


def forecast(elba: Harness, arn: str, *capacity: int) -> None:
    """What each hour from the present one on will need."""
    first = int(elba.now // HOUR)
    made = Forecast(
        account=ACCOUNT,
        region=REGION,
        id=arn,
        group_name="g",
        update_time=elba.now,
        hours=list(range(first, first + len(capacity))),
        load=[c * 50.0 for c in capacity],
        capacity=list(capacity),
    )
    elba.write(lambda tx: tx.put(made))


def test_capacity_rises_before_the_hour_and_does_not_fall_by_itself(elba: Harness) -> None:
    elba.create(minimum=1, maximum=10)
    arn = put(elba, Mode="ForecastAndScale", SchedulingBufferTime=600)
    forecast(elba, arn, 1, 5, 2)
    elba.advance(2900)
    assert elba.group().desired_capacity == 1
    elba.advance(200)
    assert elba.group().desired_capacity == 5
    assert elba.store.view.all(Decision)[-1].summary == "ahead: 1 → 5 (forecast asks for 5)"
    assert elba.described()["PredictedCapacity"] == 5
    elba.advance(2 * HOUR)
    assert elba.group().desired_capacity == 5


def test_dynamic_scale_in_stops_at_the_forecast(elba: Harness) -> None:
    elba.create(minimum=1, maximum=10)
    forecast(elba, put(elba, Mode="ForecastAndScale"), 4, 4)
    elba.advance(400)
    assert elba.group().desired_capacity == 4
    elba.asg.put_scaling_policy(
        AutoScalingGroupName="g", PolicyName="down", AdjustmentType="ChangeInCapacity", ScalingAdjustment=-3
    )
    elba.asg.execute_policy(AutoScalingGroupName="g", PolicyName="down")
    assert elba.group().desired_capacity == 4


@pytest.mark.parametrize(
    ("fields", "desired", "maximum"),
    [
        ({"Mode": "ForecastOnly"}, 1, 3),
        ({"Mode": "ForecastAndScale"}, 3, 3),
        (
            {
                "Mode": "ForecastAndScale",
                "MaxCapacityBreachBehavior": "IncreaseMaxCapacity",
                "MaxCapacityBuffer": 20,
            },
            5,
            6,
        ),
    ],
)
def test_modes(elba: Harness, fields: dict[str, Any], desired: int, maximum: int) -> None:
    elba.create(minimum=1, maximum=3)
    forecast(elba, put(elba, **fields), 5)
    elba.advance(1)
    assert (elba.group().desired_capacity, elba.group().max_size) == (desired, maximum)


def test_describe_and_forecast_of_what_is_not_there(elba: Harness) -> None:
    elba.create(minimum=1, maximum=3)
    arn = put(elba)
    (shown,) = elba.asg.describe_policies(AutoScalingGroupName="g")["ScalingPolicies"]
    assert shown["PredictiveScalingConfiguration"]["Mode"] == "ForecastOnly"
    assert "TargetTrackingConfiguration" not in shown
    window = {"StartTime": elba.now, "EndTime": elba.now + 2 * HOUR}
    request = {"AutoScalingGroupName": "g", "PolicyName": "ahead", **window}
    assert elba.refused("get_predictive_scaling_forecast", **request)[0] == "ValidationError"
    forecast(elba, arn, 2, 3, 4, 5)
    answer = elba.asg.get_predictive_scaling_forecast(**request)
    assert answer["CapacityForecast"]["Values"] == [2.0, 3.0, 4.0]
    assert answer["LoadForecast"][0]["Values"] == [100.0, 150.0, 200.0]
    assert elba.refused(
        "put_scaling_policy",
        AutoScalingGroupName="g",
        PolicyName="bad",
        PolicyType="PredictiveScaling",
        PredictiveScalingConfiguration={"MetricSpecifications": [{"TargetValue": 50.0}]},
    )[1].startswith("Specify either a metric pair")


def test_a_label_is_needed_for_requests_and_says_nothing_elsewhere(elba: Harness) -> None:
    elba.create(minimum=1, maximum=4)

    def policy(kind: str, **label: str) -> dict[str, Any]:
        pair = {"PredefinedMetricType": kind, **label}
        specification = {"TargetValue": 50.0, "PredefinedMetricPairSpecification": pair}
        return {
            "AutoScalingGroupName": "g",
            "PolicyName": "p",
            "PolicyType": "PredictiveScaling",
            "PredictiveScalingConfiguration": {"MetricSpecifications": [specification]},
        }

    elba.asg.put_scaling_policy(**policy("ASGCPUUtilization", ResourceLabel="testLabel"))
    assert elba.refused("put_scaling_policy", **policy("ALBRequestCount"))[0] == "ValidationError"
