"""What is told of alarms: their history's data, their relatives, those of a metric; and bands that are not trained."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from elba.cloudwatch import commands
from elba.cloudwatch import operations as api
from elba.cloudwatch.alarms import iso
from elba.errors import ApiError
from elba.lambda_.alarm_events import event_of
from tests.unit.cloudwatch.bench import ACCOUNT, LAG, POLICY, REGION, TOPIC, Bench
from tests.unit.cloudwatch.test_alarm_loop import alarm, metric, minutes, put_alarm, state
from tests.unit.cloudwatch.test_composite_alarms import put

HERE = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}"


def history(bench: Bench, item_type: str, **request: Any) -> list[dict[str, Any]]:
    answer = bench.run(api.describe_alarm_history, history_item_type=item_type, scan_by="TimestampAscending", **request)
    return [json.loads(item["history_data"]) for item in answer["alarm_history_items"]]


def test_configuration_in_history_is_written_as_the_service_does(bench: Bench) -> None:
    """Names, forms and what is left out: as recorded from the service."""
    dims = [{"name": "Currency", "value": "USD"}]
    put_alarm(bench, dimensions=dims, datapoints_to_alarm=1, treat_missing_data="missing", alarm_description="x")
    created = iso(bench.now)
    expected = {
        "alarmName": "a",
        "alarmDescription": "x",
        "alarmArn": f"{HERE}:alarm:a",
        "alarmConfigurationUpdatedTimestamp": created,
        "namespace": "N",
        "metricName": "m",
        "statistic": "Average",
        "period": 60,
        "dimensions": dims,
        "threshold": 5.0,
        "comparisonOperator": "GreaterThanThreshold",
        "evaluationPeriods": 1,
        "datapointsToAlarm": 1,
        "treatMissingData": "missing",
        "stateValue": "INSUFFICIENT_DATA",
        "stateUpdatedTimestamp": created,
        "actionsEnabled": True,
        "alarmActions": [],
        "insufficientDataActions": [],
        "okactions": [],
    }
    bench.advance(1)
    put_alarm(bench, threshold=9.0)
    bench.run(api.delete_alarms, alarm_names=["a"])
    first, second, third = history(bench, "ConfigurationUpdate")
    assert first == {"version": "1.0", "type": "Create", "createdAlarm": expected}
    assert (second["type"], second["updatedAlarm"]["threshold"], third["type"]) == ("Update", 9.0, "Delete")
    assert "dimensions" in second["updatedAlarm"] and "alarmDescription" not in second["updatedAlarm"]


def test_configuration_of_composite_and_math_alarms_in_history(bench: Bench) -> None:
    put_alarm(bench, "a")
    put(bench, "c", "ALARM(a)", actions_suppressor="a", actions_suppressor_wait_period=1,
        actions_suppressor_extension_period=2)  # fmt: skip
    (data,) = history(bench, "ConfigurationUpdate", alarm_types=["CompositeAlarm"])
    assert set(data["createdAlarm"]) == {
        *("alarmName", "alarmArn", "alarmRule", "alarmConfigurationUpdatedTimestamp", "stateValue"),
        *("stateUpdatedTimestamp", "actionsEnabled", "alarmActions", "insufficientDataActions", "okactions"),
        *("actionsSuppressor", "actionsSuppressorWaitPeriod", "actionsSuppressorExtensionPeriod"),
    }
    queries = [metric("a", return_data=False), {"id": "e", "expression": "a*2"}]
    request = {"evaluation_periods": 1, "threshold": 1.0, "comparison_operator": "GreaterThanThreshold"}
    bench.run(api.put_metric_alarm, alarm_name="math", metrics=queries, **request)
    (data,) = history(bench, "ConfigurationUpdate", alarm_name="math")
    shown = data["createdAlarm"]
    assert [q["id"] for q in shown["metrics"]] == ["a", "e"]
    assert shown["metrics"][0]["metricStat"]["metric"]["metricName"] == "m"
    assert "dimensions" not in shown and "metricName" not in shown


def test_state_and_action_in_history(bench: Bench) -> None:
    put_alarm(bench, alarm_actions=[POLICY, TOPIC])
    minutes(bench, 9.0)
    (data,) = history(bench, "StateUpdate")
    assert data["version"] == "1.0"
    assert data["oldState"] == {
        "stateValue": "INSUFFICIENT_DATA",
        "stateReason": "Unchecked: Initial alarm creation",
    }
    assert set(data["newState"]) == {"stateValue", "stateReason", "stateReasonData"}
    assert data["newState"]["stateReasonData"]["recentDatapoints"] == [9.0]
    entered = int(bench.now * 1000)
    for action, error, text in zip(bench.actions(), ("No step adjustment found", None), (None, "hello"), strict=True):
        record = partial(commands.record_action, call=bench.call(), action=action, error=error, message=text)
        bench.loop.run(bench.store.write(record, "t"))
    failed, done = history(bench, "Action")
    assert failed.pop("stateUpdateTimestamp") == pytest.approx(entered, abs=1000)
    assert failed == {
        "actionState": "Failed",
        "notificationResource": POLICY,
        "publishedMessage": None,
        "error": "No step adjustment found",
    }
    assert (done["actionState"], done["error"]) == ("Succeeded", None)
    assert json.loads(done["publishedMessage"]) == {"default": "hello"}


def test_history_lasts_30_days_pages_and_knows_types(bench: Bench) -> None:
    put_alarm(bench)
    put(bench, "c", "ALARM(a)")
    start = bench.now
    bench.advance(10)
    bench.run(api.set_alarm_state, alarm_name="a", state_value="ALARM", state_reason="r")
    bench.advance(0)

    def found(**request: Any) -> list[tuple[str, str]]:
        items = bench.run(api.describe_alarm_history, **request)["alarm_history_items"]
        return [(item["alarm_name"], item["history_item_type"]) for item in items]

    assert {name for name, _ in found()} == {"a"}, "metric alarms only unless asked otherwise"
    assert {name for name, _ in found(alarm_types=["CompositeAlarm"])} == {"c"}
    assert found(start_date=start + 5) == [("a", "StateUpdate")]
    assert found(end_date=start + 5) == [("a", "ConfigurationUpdate")]
    assert found(alarm_name="nobody") == []


def test_relatives_are_told_in_few_words(bench: Bench) -> None:
    """ "Only the Alarm Name, ARN, StateValue, and StateUpdatedTimestamp information are returned" (DescribeAlarms)."""
    put_alarm(bench, "a")
    put(bench, "c", "ALARM(a)")
    put(bench, "d", "ALARM(c) OR ALARM(a)")
    children = bench.run(api.describe_alarms, children_of_alarm_name="d")
    told = {"alarm_name", "alarm_arn", "state_value", "state_updated_timestamp"}
    assert [set(a) for a in (*children["metric_alarms"], *children["composite_alarms"])] == [told, told]
    parents = bench.run(api.describe_alarms, parents_of_alarm_name="a", max_records=1)
    assert parents["composite_alarms"] == [{"alarm_name": "c", "alarm_arn": f"{HERE}:alarm:c"}]
    rest = bench.run(api.describe_alarms, parents_of_alarm_name="a", next_token=parents["next_token"])
    assert [a["alarm_name"] for a in rest["composite_alarms"]] == ["d"] and rest["next_token"] is None
    for more in ({"state_value": "OK"}, {"alarm_types": ["MetricAlarm"]}, {"parents_of_alarm_name": "a"}):
        with pytest.raises(ApiError) as caught:
            bench.run(api.describe_alarms, children_of_alarm_name="d", **more)
        assert caught.value.code == "ValidationError"


def test_alarms_of_a_metric_are_those_on_it_alone(bench: Bench) -> None:
    """ "It does not retrieve alarms based on math expressions that use the specified metric" (API reference)."""
    request = {"evaluation_periods": 1, "threshold": 1.0, "comparison_operator": "GreaterThanThreshold"}
    put_alarm(bench, "plain")
    put_alarm(bench, "p90", statistic=None, extended_statistic="p90", period=300, unit="Count")
    bench.run(api.put_metric_alarm, alarm_name="single", metrics=[metric("a")], **request)
    queries = [metric("a", return_data=False), {"id": "e", "expression": "a*2"}]
    bench.run(api.put_metric_alarm, alarm_name="math", metrics=queries, **request)

    def names(**more: Any) -> list[str]:
        answer = bench.run(api.describe_alarms_for_metric, namespace="N", metric_name="m", **more)
        return [a["alarm_name"] for a in answer["metric_alarms"]]

    assert sorted(names()) == ["p90", "plain", "single"]
    assert names(statistic="Sum") == ["single"]
    assert names(extended_statistic="p90") == names(period=300) == names(unit="Count") == ["p90"]


def test_a_lambda_function_is_told_a_math_alarms_queries_in_the_events_words(bench: Bench) -> None:
    stat = {"namespace": "N", "metric_name": "m", "dimensions": [{"name": "d", "value": "1"}]}
    queries = [
        {"id": "a", "metric_stat": {"metric": stat, "period": 60, "stat": "Sum"}, "return_data": False},
        {"id": "e", "expression": "a*2", "label": "twice"},
    ]
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    request = {"evaluation_periods": 1, "threshold": 1.0, "comparison_operator": "GreaterThanThreshold"}
    bench.run(api.put_metric_alarm, alarm_name="a", metrics=queries, alarm_actions=[function], **request)
    bench.run(api.set_alarm_state, alarm_name="a", state_value="ALARM", state_reason="r")
    (action,) = bench.take_actions()
    from elba.cloudwatch.resources import Alarm

    event = event_of(action, bench.store.view.get(Alarm, ACCOUNT, REGION, "a"))
    assert event["alarmData"]["configuration"]["metrics"] == [
        {
            "id": "a",
            "metricStat": {
                "metric": {"namespace": "N", "name": "m", "dimensions": {"d": "1"}},
                "period": 60,
                "stat": "Sum",
            },
            "returnData": False,
        },
        {"id": "e", "expression": "a*2", "label": "twice", "returnData": True},
    ]


# ── Anomaly detection ────────────────────────────────────────────────────────────────────────────────


def band_alarm(bench: Bench, expression: str = "ANOMALY_DETECTION_BAND(m1)", **more: Any) -> None:
    bench.run(
        api.put_metric_alarm,
        alarm_name="a",
        metrics=[metric("m1"), {"id": "ad", "expression": expression}],
        threshold_metric_id="ad",
        comparison_operator="LessThanLowerOrGreaterThanUpperThreshold",
        evaluation_periods=1,
        **more,
    )


@pytest.mark.parametrize("treatment", ["breaching", "notBreaching", "ignore", "missing"])
def test_data_without_a_trained_band_are_insufficient_whatever_is_missing(bench: Bench, treatment: str) -> None:
    band_alarm(bench, treat_missing_data=treatment)
    minutes(bench, 5.0)
    assert state(bench) == "INSUFFICIENT_DATA"
    bench.run(api.set_alarm_state, alarm_name="a", state_value="OK", state_reason="r")
    minutes(bench, 5.0)
    assert state(bench) == "INSUFFICIENT_DATA"
    assert alarm(bench)["state_reason"] == "Insufficient Data: 1 datapoint was unknown."


def test_without_data_missing_data_are_treated_as_ever(bench: Bench) -> None:
    band_alarm(bench, treat_missing_data="breaching")
    bench.advance(60 + LAG + 1)
    assert state(bench) == "ALARM"


def bounds(bench: Bench, *queries: dict[str, Any]) -> list[float]:
    """The newest upper and lower bound of the band `ad`."""
    answer = bench.run(
        api.get_metric_data,
        metric_data_queries=[dict(q, return_data=q["id"] == "ad") for q in queries],
        start_time=bench.now - 300,
        end_time=bench.now + 60,
    )
    return [result["values"][0] for result in answer["metric_data_results"]]


@pytest.mark.parametrize("form", ["single", "math", "renamed"])
def test_a_detectors_excluded_ranges_are_left_out_of_training(bench: Bench, form: str) -> None:
    bench.advance(3600)
    strange = (bench.now - 3000, bench.now - 1500)
    for i in range(60):
        time = bench.now - 60 * i
        bench.put(1000.0 if strange[0] <= time < strange[1] else 10.0 + i % 2, timestamp=time)
    queries = [metric("m1"), {"id": "e", "expression": "m1 * 2"}]
    if form == "single":
        queries = [metric("m1"), {"id": "ad", "expression": "ANOMALY_DETECTION_BAND(m1, 2)"}]
        subject: dict[str, Any] = {
            "single_metric_anomaly_detector": {"namespace": "N", "metric_name": "m", "stat": "Sum"}
        }
    else:
        name = "x" if form == "renamed" else "m1"
        named = [metric(name, return_data=False), {"id": "y", "expression": f"{name} * 2", "return_data": True}]
        subject = {"metric_math_anomaly_detector": {"metric_data_queries": named}}
        queries = [*queries, {"id": "ad", "expression": "ANOMALY_DETECTION_BAND(e, 2)"}]
    assert bounds(bench, *queries)[0] > 500
    excluded = [{"start_time": strange[0], "end_time": strange[1]}]
    bench.run(api.put_anomaly_detector, **subject, configuration={"excluded_time_ranges": excluded})
    upper, lower = bounds(bench, *queries)
    factor = 1 if form == "single" else 2
    assert 8 * factor < lower < upper < 13 * factor


def test_a_band_around_an_expression_is_trained_on_its_past(bench: Bench) -> None:
    bench.advance(3600)
    for i in range(60):
        bench.put(10.0, timestamp=bench.now - 60 * i)
    upper, lower = bounds(bench, metric("m1"), {"id": "ad", "expression": "ANOMALY_DETECTION_BAND(m1 * 3, 2)"})
    assert lower == pytest.approx(30, abs=0.1) and upper == pytest.approx(30, abs=0.1)
