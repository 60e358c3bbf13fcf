"""Texts of refusals that were measured against the service, or that its users report."""

from __future__ import annotations

from typing import Any

import pytest

from elba.cloudwatch import operations as api
from elba.errors import ApiError
from tests.unit.cloudwatch.bench import ACCOUNT, POLICY, REGION, TOPIC, Bench
from tests.unit.cloudwatch.test_alarm_loop import metric, put_alarm
from tests.unit.cloudwatch.test_dashboards_detectors_search import put_band_alarm
from tests.unit.cloudwatch.test_metric_streams import STREAM

METRICS: dict[str, Any] = {
    "metric_name": None,
    "namespace": None,
    "statistic": None,
    "period": None,
    "dimensions": None,
    "metrics": [metric("a")],
}
WEEK = "a week (EvaluationPeriods * Period must be <= 604800) for alarms using period >= 3600"
EC2 = "Invalid use of EC2 action. An EC2 action can only be used if the alarm is monitoring an EC2 instance."


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"metric_name": None}, "MetricName must not be null"),
        ({"threshold": None}, "PutMetricAlarm request should have valid Threshold parameter"),
        ({"threshold_metric_id": "a"}, "Threshold and ThresholdMetricId cannot both be set"),
        (
            {"comparison_operator": "GreaterThanUpperThreshold", "threshold": None},
            "ComparisonOperators for ranges require ThresholdMetricId to be set",
        ),
        (
            {"evaluation_periods": 2, "datapoints_to_alarm": 3},
            "DatapointsToAlarm must be less than or equal to EvaluationPeriods",
        ),
        ({"period": None}, "Period must not be null"),
        (METRICS | {"metrics": [{"id": "e", "expression": "TIME_SERIES(1)"}]}, "Period must not be null"),
        ({"period": 45}, "Period must be 10, 20, 30 or a multiple of 60"),
        (METRICS | {"metrics": [metric("a", 5)]}, "Period must be 10, 20, 30 or a multiple of 60"),
        ({"period": 3600, "evaluation_periods": 169}, f"Metrics cannot be checked across more than {WEEK}"),
        (
            {"evaluate_low_sample_count_percentile": "ignore", "statistic": "Sum"},
            "Option evaluateLowSampleCountPercentile can not be applied with statistic Sum.",
        ),
        (METRICS | {"period": 60}, "Period should not be set if list of Metrics is set."),
        (METRICS | {"statistic": "Sum"}, "Statistic should not be set if list of Metrics is set."),
        (
            METRICS | {"metrics": [metric(f"a{i}", return_data=i == 0) for i in range(11)]},
            "Too many metrics in alarm, maximum is 10",
        ),
        (
            METRICS | {"metrics": [{"id": f"a{i}", "expression": "1", "return_data": i == 0} for i in range(11)]},
            "Too many expressions in alarm, maximum is 10",
        ),
        (
            METRICS | {"metrics": [metric("a"), metric("b")]},
            "Exactly one element of the metrics list should return data.",
        ),
        ({"alarm_actions": [f"arn:aws:automate:{REGION}:ec2:stop"], "dimensions": []}, EC2),
        ({"alarm_actions": [f"arn:aws:automate:{REGION}:ec2:stop"]} | METRICS, EC2),
        ({"ok_actions": [f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"]}, "Unsupported AWS vendor sqs"),
        ({"alarm_actions": ["nonsense"]}, "Invalid arn syntax: nonsense"),
        (
            {"ok_actions": [TOPIC.replace(REGION, "eu-west-1")]},
            f"Invalid region eu-west-1 specified. Only {REGION} is supported.",
        ),
        (
            {"ok_actions": [TOPIC] * 6},
            f"1 validation error detected: Value '[{', '.join([TOPIC] * 6)}]' at 'oKActions' failed to satisfy "
            "constraint: Member must have length less than or equal to 5",
        ),
    ],
)
def test_metric_alarms(bench: Bench, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ApiError) as caught:
        put_alarm(bench, **changes)
    assert (caught.value.code, caught.value.message) == ("ValidationError", text)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"alarm_actions": [POLICY]}, "autoscaling actions not supported when ThresholdMetricId is set"),
        (
            {"threshold_metric_id": "other"},
            "Metrics list must contain exactly one metric matching the ThresholdMetricId parameter",
        ),
        (
            {"metrics": [metric("m1"), {"id": "ad", "expression": "ANOMALY_DETECTION_BAND(m1)", "return_data": False}]},
            "Metrics list must contain exactly one metric matching the ThresholdMetricId parameter",
        ),
        (
            {"metrics": [metric("m1", return_data=False), {"id": "ad", "expression": "ANOMALY_DETECTION_BAND(m1)"}]},
            "Exactly two elements of the metrics list should return data.",
        ),
    ],
)
def test_band_alarms(bench: Bench, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ApiError) as caught:
        put_band_alarm(bench, **changes)
    assert (caught.value.code, caught.value.message) == ("ValidationError", text)


SUPPRESSED = {
    "actions_suppressor": "a",
    "actions_suppressor_wait_period": 1,
    "actions_suppressor_extension_period": 1,
}
EDGES = "AlarmRule must not contain leading or trailing whitespace or be null"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"alarm_rule": ""}, EDGES),
        ({"alarm_rule": "TRUE\n"}, EDGES),
        (
            {"alarm_rule": "(ALARM(Sample Queue))"},
            "Error in AlarmRule [Unsupported token 'Queue' at char 14, must be: ')']",
        ),
        (
            {"alarm_rule": "()"},
            "Error in AlarmRule [Unsupported token ')' at char 1, must be: '(', 'NOT', AT_LEAST, TRUE or FALSE, ALARM, "
            "OK, or INSUFFICIENT_DATA]",
        ),
        (
            {"alarm_rule": "OK(a) OR ALARM(c)"},
            "A composite alarm cannot have a child relation with itself via its AlarmRule",
        ),
        (
            {"alarm_rule": f"NOT OK(arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:c)"},
            "A composite alarm cannot have a child relation with itself via its AlarmRule",
        ),
        (
            SUPPRESSED | {"actions_suppressor_wait_period": None},
            "ActionsSuppressorWaitPeriod must not be null",
        ),
        (
            SUPPRESSED | {"actions_suppressor_extension_period": None},
            "ActionsSuppressorExtensionPeriod must not be null",
        ),
        ({"actions_suppressor_wait_period": 1}, "ActionsSuppressorWaitPeriod requires an ActionSuppressor"),
        ({"actions_suppressor_extension_period": 1}, "ActionsSuppressorExtensionPeriod requires an ActionSuppressor"),
        (
            SUPPRESSED | {"actions_suppressor": TOPIC},
            "ActionsSuppressor must be a valid CloudWatch Alarm ARN or an Alarm name",
        ),
    ],
)
def test_composite_alarms(bench: Bench, changes: dict[str, Any], text: str) -> None:
    put_alarm(bench, "a")
    with pytest.raises(ApiError) as caught:
        bench.run(api.put_composite_alarm, **({"alarm_name": "c", "alarm_rule": "TRUE"} | changes))
    assert (caught.value.code, caught.value.message) == ("ValidationError", text)


def test_statistics(bench: Bench) -> None:
    with pytest.raises(ApiError) as caught:
        bench.run(api.get_metric_statistics, namespace="N", metric_name="m", start_time=0.0, end_time=60.0, period=60)
    assert (caught.value.code, caught.value.message) == (
        "InvalidParameterCombination",
        "At least one of the parameters Statistics and ExtendedStatistics must be specified.",
    )


AT = "MetricData.member"


@pytest.mark.parametrize(
    ("data", "code", "text"),
    [
        (
            [{}],
            "InvalidParameterCombination",
            f"At least one of the parameters {AT}.1.Value, {AT}.1.Values and {AT}.1.StatisticValues must be specified.",
        ),
        (
            [{"value": 1.0, "dimensions": [{"name": "d", "value": ""}]}],
            "MissingParameter",
            f"The parameter {AT}.1.Dimensions.member.1.Value is required.",
        ),
        (
            [{"value": 1.0, "dimensions": [{"name": "d", "value": "x" * 1025}]}],
            "InvalidParameterValue",
            f"The parameter {AT}.1.Dimensions.member.1.Value must be shorter than 1025 characters.",
        ),
        (
            [{"value": 1.0, "metric_name": "x" * 256}],
            "InvalidParameterValue",
            f"The parameter {AT}.1.MetricName must be shorter than 256 characters.",
        ),
        (
            [{"statistic_values": {"sample_count": 1.0, "sum": 1.0}}],
            "MissingParameter",
            f"The parameter {AT}.1.StatisticValues.Maximum is required.\n"
            f"The parameter {AT}.1.StatisticValues.Minimum is required.",
        ),
        (
            [{"statistic_values": {"sample_count": 0.0, "sum": 1.0, "minimum": 1.0, "maximum": 1.0}}],
            "InvalidParameterValue",
            f"The parameter {AT}.1.StatisticValues.SampleCount must not equal 0.",
        ),
        (
            [{"statistic_values": {"sample_count": -1.0, "sum": 1.0, "minimum": 1.0, "maximum": 1.0}}],
            "InvalidParameterValue",
            f"The parameter {AT}.1.StatisticValues.SampleCount must be greater than 0.",
        ),
        (
            [{"statistic_values": {"sample_count": 1.0, "sum": 1.0, "minimum": 2.0, "maximum": 1.0}}],
            "InvalidParameterValue",
            f"The parameter {AT}.1.StatisticValues.Maximum must be greater than {AT}.1.StatisticValues.Minimum.",
        ),
        (
            [{"value": float("nan")}, {"value": 1.0}, {"value": 1.0, "metric_name": ""}, {"value": float("inf")}],
            "InvalidParameterValue",
            f"The value NaN for parameter {AT}.1.Value is invalid.\n"
            f"The value Infinity for parameter {AT}.4.Value is invalid.",
        ),
    ],
)
def test_data(bench: Bench, data: list[dict[str, Any]], code: str, text: str) -> None:
    with pytest.raises(ApiError) as caught:
        bench.run(api.put_metric_data, namespace="N", metric_data=[{"metric_name": "m"} | datum for datum in data])
    assert (caught.value.code, caught.value.message) == (code, text)
    assert bench.run(api.list_metrics)["metrics"] == []


SINGLE = {"namespace": "N", "metric_name": "m", "stat": "Sum"}


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (
            {"single_metric_anomaly_detector": SINGLE, "metric_math_anomaly_detector": {"metric_data_queries": []}},
            "Either single metric attributes, SingleMetricAnomalyDetector or MetricMathAnomalyDetector can be set",
        ),
        (
            {"metric_math_anomaly_detector": {"metric_data_queries": [metric("a")]}},
            "The MetricDataQueries list in MetricMathAnomalyDetector contains a single metric, please use "
            "SingleMetricAnomalyDetector instead",
        ),
        (
            {
                "single_metric_anomaly_detector": SINGLE,
                "configuration": {"excluded_time_ranges": [{"start_time": 2.0, "end_time": 1.0}]},
            },
            "Input has invalid parameter.",
        ),
    ],
)
def test_detectors(bench: Bench, request_: dict[str, Any], text: str) -> None:
    with pytest.raises(ApiError) as caught:
        bench.run(api.put_anomaly_detector, **request_)
    assert caught.value.message == text


FILTERS = [{"namespace": "N"}]
FIREHOSE = str(STREAM["firehose_arn"])


def statistics(metrics: list[dict[str, str]], *additional: str) -> dict[str, Any]:
    return {"statistics_configurations": [{"include_metrics": metrics, "additional_statistics": list(additional)}]}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"include_filters": FILTERS, "exclude_filters": FILTERS},
            "IncludeFilters and ExcludeFilters cannot both be present",
        ),
        (
            {"firehose_arn": FIREHOSE.replace(REGION, "eu-west-1")},
            "FirehoseArn must be in the same region and AWS partition as the Metric Stream",
        ),
        (
            {"firehose_arn": FIREHOSE.replace(ACCOUNT, "210987654321")},
            "FirehoseArn must be in the same account as the Metric Stream",
        ),
        ({"role_arn": "arn:aws:iam::210987654321:role/r"}, "Cross-account pass role is not allowed."),
        (statistics([], "p99"), "IncludeMetrics less than 1"),
        (
            statistics([{"namespace": "N", "metric_name": "m"}], "TM99") | {"output_format": "opentelemetry1.0"},
            "Unsupported statistic TM99 for selected OutputFormat",
        ),
        (
            statistics([{"namespace": "N", "metric_name": "m"}], "Sum"),
            "Unsupported statistic Sum for selected OutputFormat",
        ),
    ],
)
def test_metric_streams(bench: Bench, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ApiError) as caught:
        bench.run(api.put_metric_stream, **(STREAM | changes))
    assert caught.value.message == text


def test_metrics_of_alarms(bench: Bench) -> None:
    with pytest.raises(ApiError) as caught:
        put_alarm(bench, **METRICS | {"metrics": [metric("5xx")]})
    assert caught.value.message.startswith(
        "Invalid metrics list: The value 5xx for parameter MetricDataQueries.member.1"
    )
