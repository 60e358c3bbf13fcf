"""Forecasts, and the floor they put under desired capacity."""

from __future__ import annotations

from typing import Any

import pytest

from elba.autoscaling.predictive import (
    History,
    capacity_for,
    correlation,
    hourly,
    predict,
    scaling_per_load,
)
from elba.autoscaling.resources import Decision, Forecast
from elba.ec2.images import built_in_images
from elba.testing.world import World

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
    )[1].startswith("The metric specification is invalid. A policy must have either one scaling metric and one load ")
    increase = {"MetricSpecifications": [{"TargetValue": 50.0, **CPU_PAIR}]}
    for told, message in (
        ({}, "You must specify PredictiveScalingConfiguration."),
        ({"PredictiveScalingConfiguration": {"MetricSpecifications": []}},
         "You must specify one metric specification."),
        ({"PredictiveScalingConfiguration": {**increase, "MaxCapacityBuffer": 5}},
         "You must not specify max capacity buffer when using HonorMaxCapacity."),
        ({"PredictiveScalingConfiguration": {**increase, "MaxCapacityBreachBehavior": "IncreaseMaxCapacity"}},
         "You must specify max capacity buffer when using IncreaseMaxCapacity."),
        ({"PredictiveScalingConfiguration": increase,
          "TargetTrackingConfiguration": {
              "TargetValue": 50.0, "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}
          }},
         "You can't specify TargetTrackingConfiguration for policy type: PredictiveScaling"),
    ):  # fmt: skip
        bad = {"AutoScalingGroupName": "g", "PolicyName": "bad", "PolicyType": "PredictiveScaling", **told}
        assert elba.refused("put_scaling_policy", **bad) == ("ValidationError", message)


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
    assert elba.refused("put_scaling_policy", **policy("ALBRequestCount")) == (
        "ValidationError",
        "A resource label is required. A resource label identifies the Application Load Balancer target group for the "
        "Application Load Balancer metric that's specified.",
    )


def customized(part: str, *queries: dict[str, Any]) -> dict[str, Any]:
    return {f"Customized{part}MetricSpecification": {"MetricDataQueries": list(queries)}}


def stat(id_: str, name: str, statistic: str = "Sum", **fields: Any) -> dict[str, Any]:
    metric = {"Namespace": "Shop", "MetricName": name}
    return {"Id": id_, "MetricStat": {"Metric": metric, "Stat": statistic}, **fields}


CPU_LOAD = {"PredefinedLoadMetricSpecification": {"PredefinedMetricType": "ASGTotalCPUUtilization"}}
CPU_SCALING = {"PredefinedScalingMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}}
CPU_PAIR = {"PredefinedMetricPairSpecification": {"PredefinedMetricType": "ASGCPUUtilization"}}


@pytest.mark.parametrize(
    ("specification", "said"),
    [
        (CPU_PAIR, ""),
        ({**CPU_LOAD, **CPU_SCALING}, ""),
        ({**CPU_LOAD, **customized("Scaling", stat("m", "PerServer", "Average"))}, ""),
        ({**customized("Load", stat("m", "Orders")), **CPU_SCALING}, ""),
        ({**CPU_LOAD}, "or one metric pair."),
        (
            {**CPU_PAIR, **customized("Load", stat("m", "Orders"))},
            "or one metric pair.",
        ),
        (
            {**CPU_LOAD, **customized("Load", stat("m", "Orders")), **CPU_SCALING},
            "or one metric pair.",
        ),
        (
            {**CPU_LOAD, **CPU_SCALING, **customized("Capacity", stat("m", "Servers"))},
            "Capacity metric can only",
        ),
        ({**customized("Load", stat("M", "Orders")), **CPU_SCALING}, "MetricDataQueries.member.1.Id"),
        ({**customized("Load", stat("m", "Orders"), stat("m", "Orders")), **CPU_SCALING}, "has a problem or incorrect"),
        ({**customized("Load", stat("a", "Orders"), stat("b", "Orders")), **CPU_SCALING}, "exactly one time series."),
        ({**customized("Load", stat("m", "Orders", ReturnData=False)), **CPU_SCALING}, "exactly one time series."),
        ({**customized("Load", {"Id": "e", "Expression": "SUM("}), **CPU_SCALING}, "e"),
        ({**customized("Load", {"Id": "e", "Expression": "m1 * 2"}), **CPU_SCALING}, "unknown id m1"),
        ({**customized("Load", {"Id": "e", "Expression": "SEARCH('Orders', 'Sum', 300)"}), **CPU_SCALING}, "one time"),
        ({**customized("Load", {"Id": "e"}), **CPU_SCALING}, "MetricStat is required"),
        (
            {**customized("Load", *[stat(f"m{i}", "Orders", ReturnData=i == 0) for i in range(11)]), **CPU_SCALING},
            "between 1 and 10",
        ),
    ],
)
def test_which_metrics_may_be_given(elba: Harness, specification: dict[str, Any], said: str) -> None:
    elba.create(minimum=1)
    request = {
        "AutoScalingGroupName": "g",
        "PolicyName": "p",
        "PolicyType": "PredictiveScaling",
        "PredictiveScalingConfiguration": {"MetricSpecifications": [{"TargetValue": 50.0, **specification}]},
    }
    if not said:
        elba.asg.put_scaling_policy(**request)
        (shown,) = elba.asg.describe_policies()["ScalingPolicies"]
        assert shown["PredictiveScalingConfiguration"]["MetricSpecifications"] == [
            {"TargetValue": 50.0, **specification}
        ]
        return
    code, message = elba.refused("put_scaling_policy", **request)
    assert code == "ValidationError"
    assert said in message


def test_what_an_instance_shows_for_its_share_of_the_load() -> None:
    own: dict[str, Any] = {"customized_load_metric_specification": {"metric_data_queries": []}}
    # 1 000 orders on 4 instances show 50 % CPU: 0.2 for each order an instance has.
    history = History({"load": {1: 1000.0, 2: 500.0}, "scaling": {1: 50.0, 2: 25.0}, "capacity": {1: 4.0, 2: 4.0}})
    assert scaling_per_load(own, history) == pytest.approx(0.2)
    assert scaling_per_load(own, History({"load": {1: 1000.0}})) == 1.0
    pair = {"predefined_metric_pair_specification": {"predefined_metric_type": "ASGCPUUtilization"}}
    assert scaling_per_load(pair, history) == 1.0
    assert correlation(history) == pytest.approx(1.0)
    opposite = History({"load": {1: 10.0, 2: 20.0}, "scaling": {1: 2.0, 2: 1.0}, "capacity": {1: 1.0, 2: 1.0}})
    assert correlation(opposite) == pytest.approx(-1.0)
    assert correlation(History({"load": {1: 10.0}})) is None


def test_a_changed_target_forgets_the_forecast_and_another_mode_does_not(elba: Harness) -> None:
    elba.create(minimum=1, maximum=10)
    arn = put(elba)
    forecast(elba, arn, 5)
    put(elba, Mode="ForecastAndScale")
    assert len(elba.store.view.all(Forecast)) == 1
    pair = {"PredefinedMetricPairSpecification": {"PredefinedMetricType": "ASGCPUUtilization"}}
    put(elba, MetricSpecifications=[{"TargetValue": 60.0, **pair}])
    assert elba.store.view.all(Forecast) == []


def test_a_forecast_from_customized_metrics() -> None:
    """Load by metric math, scaling metric and capacity by SEARCH: 600 orders a minute at noon, 60 at other times.

    One instance shows 40 % CPU for 100 orders a minute, so that 50 % are reached at 125: noon needs five.
    """
    with World(seed=11) as world:
        scaling, watch, start = world.boto3("autoscaling"), world.boto3("cloudwatch"), world.clock.now()
        world.boto3("ec2").create_launch_template(
            LaunchTemplateName="web", LaunchTemplateData={"ImageId": world_image(), "InstanceType": "t3.micro"}
        )
        points = []
        for hour in range(48):
            orders = 600.0 if hour % 24 == 12 else 60.0
            servers = 4.0 if hour % 24 == 12 else 1.0
            for shop in ("a", "b"):
                points.append(("Orders", hour, orders / 2, {"Shop": shop}))
            points.append(("Busy", hour, orders / servers * 0.4, {}))
            points.append(("Servers", hour, servers, {"Fleet": "blue"}))
        for first in range(0, len(points), 100):
            watch.put_metric_data(
                Namespace="Shop",
                MetricData=[
                    {
                        "MetricName": name,
                        "Timestamp": start + (hour - 48) * HOUR + 60,
                        "Value": value,
                        "Dimensions": [{"Name": n, "Value": v} for n, v in pairs.items()],
                    }
                    for name, hour, value, pairs in points[first : first + 100]
                ],
            )
        scaling.create_auto_scaling_group(
            AutoScalingGroupName="g",
            MinSize=1,
            MaxSize=9,
            AvailabilityZones=[f"{REGION}a"],
            LaunchTemplate={"LaunchTemplateName": "web"},
        )
        shops = [
            {
                "Id": f"m{i}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "Shop",
                        "MetricName": "Orders",
                        "Dimensions": [{"Name": "Shop", "Value": shop}],
                    },
                    "Stat": "Sum",
                },
                "ReturnData": False,
            }
            for i, shop in enumerate("ab")
        ]
        found = "SUM(SEARCH('{Shop,Fleet} MetricName=\"Servers\"', 'Average', 300))"
        scaling.put_scaling_policy(
            AutoScalingGroupName="g",
            PolicyName="ahead",
            PolicyType="PredictiveScaling",
            PredictiveScalingConfiguration={
                "Mode": "ForecastAndScale",
                "MetricSpecifications": [
                    {
                        "TargetValue": 50.0,
                        **customized("Load", *shops, {"Id": "e", "Expression": "m0 + m1"}),
                        **customized("Scaling", stat("busy", "Busy", "Average")),
                        **customized("Capacity", {"Id": "all", "Expression": found}),
                    }
                ],
            },
        )
        world.advance(1300)
        noon = start - start % HOUR + 12 * HOUR
        window = {"StartTime": noon - HOUR, "EndTime": noon + HOUR}
        told = scaling.get_predictive_scaling_forecast(AutoScalingGroupName="g", PolicyName="ahead", **window)
        assert told["LoadForecast"][0]["Values"] == [60.0, 600.0, 60.0]
        assert told["CapacityForecast"]["Values"] == [1.0, 5.0, 1.0]
        world.advance(13 * HOUR)
        (group,) = scaling.describe_auto_scaling_groups()["AutoScalingGroups"]
        assert group["DesiredCapacity"] == 5
        # The hours that are past are still told, though the forecast has been made anew.
        told = scaling.get_predictive_scaling_forecast(AutoScalingGroupName="g", PolicyName="ahead", **window)
        assert told["CapacityForecast"]["Values"] == [1.0, 5.0, 1.0]
        for name, pairs, expected in (
            ("PredictiveScalingLoadForecast", {"PairIndex": "0"}, 600.0),
            ("PredictiveScalingCapacityForecast", {}, 5.0),
            ("PredictiveScalingMetricPairCorrelation", {"PairIndex": "0"}, 1.0),
        ):
            dimensions = {"AutoScalingGroupName": "g", "PolicyName": "ahead", **pairs}
            (point,) = watch.get_metric_statistics(
                Namespace="AWS/AutoScaling",
                MetricName=name,
                Dimensions=[{"Name": n, "Value": v} for n, v in dimensions.items()],
                StartTime=noon,
                EndTime=noon + HOUR,
                Period=3600,
                Statistics=["Average"],
            )["Datapoints"]
            assert point["Average"] == pytest.approx(expected)


def world_image() -> str:
    return next(i.id for i in built_in_images(REGION).values() if i.architecture == "x86_64")
