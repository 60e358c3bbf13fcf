"""Alarms on the clock: evaluation each minute, actions, repetition, restart, history."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from elba.cloudwatch import commands
from elba.cloudwatch import operations as api
from elba.cloudwatch.alarms import iso, window_end
from elba.cloudwatch.resources import Alarm, AlarmAction
from elba.errors import ApiError
from elba.lambda_.alarm_events import event_of
from elba.store.interface import Transaction
from tests.unit.cloudwatch.bench import ACCOUNT, LAG, POLICY, REGION, TOPIC, Bench


def put_alarm(bench: Bench, name: str = "a", **more: Any) -> None:
    request: dict[str, Any] = {
        "namespace": "N",
        "metric_name": "m",
        "statistic": "Average",
        "period": 60,
        "evaluation_periods": 1,
        "threshold": 5.0,
        "comparison_operator": "GreaterThanThreshold",
    } | more
    bench.run(api.put_metric_alarm, alarm_name=name, **{k: v for k, v in request.items() if v is not None})


def alarm(bench: Bench, name: str = "a") -> dict[str, Any]:
    (found,) = bench.run(api.describe_alarms, alarm_names=[name])["metric_alarms"]
    return dict(found)


def state(bench: Bench, name: str = "a") -> str:
    return str(alarm(bench, name)["state_value"])


def summaries(bench: Bench, **request: Any) -> list[str]:
    items = bench.run(api.describe_alarm_history, scan_by="TimestampAscending", **request)["alarm_history_items"]
    return [item["history_summary"] for item in items]


def refused(bench: Bench, **request: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        put_alarm(bench, **request)
    return caught.value


def minutes(bench: Bench, *values: float | None) -> None:
    """One value in each of the next minutes, or none; ends when the last of them was evaluated."""
    for value in values:
        if value is not None:
            bench.put(value)
        bench.advance(60 - (bench.now % 60) + LAG + 0.001)


def test_a_new_alarm_is_unchecked_and_evaluated_as_soon_as_the_minute_is_over(bench: Bench) -> None:
    put_alarm(bench)
    assert alarm(bench)["state_reason"] == "Unchecked: Initial alarm creation"
    bench.put(9.0)
    bench.advance(60 + LAG - 0.01)
    assert state(bench) == "INSUFFICIENT_DATA"
    bench.advance(0.02)
    assert state(bench) == "ALARM"
    assert alarm(bench)["state_transitioned_timestamp"] == pytest.approx(bench.clock.start + 60 + LAG)


def test_the_unfinished_minute_does_not_count(bench: Bench) -> None:
    put_alarm(bench)
    minutes(bench, 1.0)
    assert state(bench) == "OK"
    bench.put(9.0)
    bench.advance(30)
    assert state(bench) == "OK"


def test_three_of_five_and_back(bench: Bench) -> None:
    put_alarm(bench, evaluation_periods=5, datapoints_to_alarm=3)
    minutes(bench, 9.0, 1.0, 9.0, 1.0)
    assert state(bench) == "OK"
    minutes(bench, 9.0)
    assert state(bench) == "ALARM"
    minutes(bench, 1.0)
    assert state(bench) == "OK", "three of the newest five do not breach"


def test_data_that_stops_alarms_for_a_while_and_then_is_insufficient(bench: Bench) -> None:
    put_alarm(bench)
    minutes(bench, 9.0, None, None)
    assert state(bench) == "ALARM"
    minutes(bench, None)
    assert state(bench) == "INSUFFICIENT_DATA"
    assert alarm(bench)["state_reason"] == "Insufficient Data: 1 datapoint was unknown."


def test_periods_slide_by_the_minute(bench: Bench) -> None:
    """A five-minute alarm does not wait for an aligned five minutes (as in the documented event, 16:59 to 17:04)."""
    put_alarm(bench, period=300, statistic="Sum")
    bench.advance(120)
    minutes(bench, 3.0, 3.0)
    assert state(bench) == "ALARM"
    data = json.loads(alarm(bench)["state_reason_data"])
    assert data["recentDatapoints"] == [6.0]
    assert data["startDate"] == "2025-12-31T23:59:00.000+0000"


def test_wall_clock_window_is_aligned(bench: Bench) -> None:
    put_alarm(bench, period=300, statistic="Sum", evaluation_window={"wall_clock_window": {}})
    minutes(bench, 3.0, 3.0)
    assert state(bench) == "INSUFFICIENT_DATA"
    minutes(bench, None, None, None)
    assert state(bench) == "ALARM"


@pytest.mark.parametrize(
    ("zone", "period", "end"),
    [
        (None, 86400, "2026-01-01T00:00:00.000+0000"),
        ("Asia/Kolkata", 86400, "2026-01-01T18:30:00.000+0000"),
        ("+05:30", 3600, "2026-01-01T19:30:00.000+0000"),
        ("UTC-03:00", 86400, "2026-01-01T03:00:00.000+0000"),
        ("UTC", 604800, "2025-12-29T00:00:00.000+0000"),
    ],
)
def test_wall_clock_zones(zone: str | None, period: int, end: str) -> None:
    alarm_ = Alarm(
        account="1",
        region="r",
        id="a",
        arn="",
        period=period,
        evaluation_window={"wall_clock_window": {"timezone": zone}},
    )
    assert iso(window_end(alarm_, 1_767_225_600.0 + 20 * 3600)) == end


def test_short_periods_are_evaluated_every_ten_seconds(bench: Bench) -> None:
    put_alarm(bench, period=10)
    bench.put(9.0, resolution=1)
    bench.advance(10 + LAG + 0.01)
    assert state(bench) == "ALARM"
    bench.put(1.0, resolution=1)
    bench.advance(10)
    assert state(bench) == "OK"


def test_extended_statistic_and_unit(bench: Bench) -> None:
    put_alarm(bench, "p", statistic=None, extended_statistic="p90", threshold=8.0)
    put_alarm(bench, "u", unit="Seconds")
    bench.put(*[float(v) for v in range(1, 11)], unit="Count")
    minutes(bench, None)
    assert state(bench, "p") == "ALARM"
    assert state(bench, "u") == "INSUFFICIENT_DATA"


def test_an_alarm_on_an_expression(bench: Bench) -> None:
    def query(id_: str, name: str) -> dict[str, Any]:
        metric = {"namespace": "N", "metric_name": name}
        return {
            "id": id_,
            "metric_stat": {"metric": metric, "period": 60, "stat": "Sum"},
            "return_data": False,
        }

    bench.run(
        api.put_metric_alarm,
        alarm_name="rate",
        metrics=[
            query("errors", "e"),
            query("requests", "r"),
            {"id": "x", "expression": "100*FILL(errors,0)/requests", "label": "rate"},
        ],
        evaluation_periods=1,
        threshold=10.0,
        comparison_operator="GreaterThanThreshold",
        alarm_actions=[POLICY],
    )
    bench.put(100.0, name="r")
    minutes(bench, None)
    assert state(bench, "rate") == "OK"
    bench.put(100.0, name="r")
    bench.put(20.0, name="e")
    minutes(bench, None)
    assert state(bench, "rate") == "ALARM"
    assert json.loads(alarm(bench, "rate")["state_reason_data"])["recentDatapoints"] == [20.0]
    assert [a.action_arn for a in bench.actions()] == [POLICY]
    shown = alarm(bench, "rate")
    assert [m["return_data"] for m in shown["metrics"]] == [False, False, True]
    assert shown["metric_name"] is None


def test_other_actions_run_once_policies_each_minute_until_the_state_ends(bench: Bench) -> None:
    put_alarm(bench, alarm_actions=[TOPIC, POLICY], ok_actions=[TOPIC])
    minutes(bench, 9.0)
    first = bench.take_actions()
    assert [(a.service, a.repeated) for a in first] == [("sns", False), ("autoscaling", False)]
    assert (first[1].old_state, first[1].state) == ("INSUFFICIENT_DATA", "ALARM")
    minutes(bench, 11.0)
    (again,) = bench.take_actions()
    assert (again.service, again.repeated) == ("autoscaling", True)
    assert json.loads(again.state_reason_data)["recentDatapoints"] == [11.0]
    minutes(bench, 12.0)
    assert len(bench.take_actions()) == 1
    minutes(bench, 1.0)
    assert [(a.service, a.state) for a in bench.take_actions()] == [("sns", "OK")]
    minutes(bench, 1.0, 1.0)
    assert bench.take_actions() == []


def test_an_action_nobody_took_is_not_asked_for_again(bench: Bench) -> None:
    put_alarm(bench, alarm_actions=[POLICY])
    minutes(bench, 9.0, 9.0, 9.0)
    assert len(bench.actions()) == 1


def test_repetition_goes_on_after_a_restart_without_a_second_one_in_the_minute(bench: Bench) -> None:
    put_alarm(bench, alarm_actions=[POLICY])
    minutes(bench, 9.0)
    assert len(bench.take_actions()) == 1
    bench.put(9.0)
    bench.advance(20)
    bench.restart()
    bench.advance(30)
    assert bench.take_actions() == []
    bench.advance(12)
    assert [a.repeated for a in bench.take_actions()] == [True]


def test_what_ended_while_elba_was_down_is_judged_at_the_start(bench: Bench) -> None:
    put_alarm(bench, alarm_actions=[POLICY])
    bench.put(9.0)
    bench.advance(50)
    bench.stop()
    bench.advance(30)
    assert state(bench) == "INSUFFICIENT_DATA"
    bench.restart()
    bench.advance(0.01)
    assert state(bench) == "ALARM"
    bench.restart()
    bench.advance(10)
    assert len(bench.actions()) == 1


def test_disabled_actions(bench: Bench) -> None:
    put_alarm(bench, alarm_actions=[POLICY])
    minutes(bench, 9.0)
    bench.run(api.disable_alarm_actions, alarm_names=["a", "nobody"])
    assert bench.actions() == [], "what waited is forgotten"
    minutes(bench, 9.0, 1.0, 9.0)
    assert state(bench) == "ALARM"
    assert bench.actions() == []
    bench.run(api.enable_alarm_actions, alarm_names=["a"])
    assert bench.actions() == [], "enabling replays nothing"
    assert alarm(bench)["actions_enabled"] is True


def test_a_deleted_alarm_acts_on_nothing_and_its_history_stays(bench: Bench) -> None:
    put_alarm(bench, alarm_actions=[POLICY])
    minutes(bench, 9.0)
    bench.run(api.delete_alarms, alarm_names=["a"])
    assert bench.actions() == []
    minutes(bench, 9.0)
    assert bench.actions() == []
    assert bench.run(api.describe_alarms)["metric_alarms"] == []
    assert summaries(bench, alarm_name="a") == [
        'Alarm "a" created',
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
        'Alarm "a" deleted',
    ]


def test_delete_passes_over_unknown_names(bench: Bench) -> None:
    put_alarm(bench)
    bench.run(api.delete_alarms, alarm_names=["b", "c"])
    assert len(bench.run(api.describe_alarms)["metric_alarms"]) == 1
    bench.run(api.delete_alarms, alarm_names=["a", "b"])
    assert bench.run(api.describe_alarms)["metric_alarms"] == []


def test_set_alarm_state_holds_until_the_next_evaluation(bench: Bench) -> None:
    put_alarm(bench, alarm_actions=[TOPIC], ok_actions=[TOPIC])
    minutes(bench, 1.0)
    assert [a.state for a in bench.take_actions()] == ["OK"]
    data = '{"recentDatapoints": [99.0], "threshold": 5.0}'
    bench.run(api.set_alarm_state, alarm_name="a", state_value="ALARM", state_reason="testing", state_reason_data=data)
    (action,) = bench.take_actions()
    assert (action.state, action.state_reason, action.state_reason_data) == ("ALARM", "testing", data)
    bench.run(api.set_alarm_state, alarm_name="a", state_value="ALARM", state_reason="again")
    assert bench.take_actions() == []
    assert alarm(bench)["state_reason"] == "again"
    minutes(bench, 1.0)
    assert [a.state for a in bench.take_actions()] == ["OK"]


def test_set_alarm_state_refuses(bench: Bench) -> None:
    put_alarm(bench)
    for request, code in (
        ({"alarm_name": "b", "state_value": "OK", "state_reason": ""}, "ResourceNotFound"),
        ({"alarm_name": "a", "state_value": "OK", "state_reason": "", "state_reason_data": "{"}, "InvalidFormat"),
        ({"alarm_name": "a", "state_value": "FINE", "state_reason": ""}, "ValidationError"),
    ):
        with pytest.raises(ApiError) as caught:
            bench.run(api.set_alarm_state, **request)
        assert caught.value.code == code


def test_put_again_keeps_state_and_tags_and_replaces_all_else(bench: Bench) -> None:
    put_alarm(bench, alarm_description="x", tags=[{"key": "k", "value": "v"}], treat_missing_data="ignore")
    minutes(bench, 9.0)
    before = alarm(bench)
    put_alarm(bench, threshold=100.0, tags=[{"key": "other", "value": "v"}], alarm_actions=[POLICY])
    after = alarm(bench)
    assert (after["state_value"], after["state_reason"]) == ("ALARM", before["state_reason"])
    assert (after["alarm_description"], after["treat_missing_data"], after["threshold"]) == (None, None, 100.0)
    assert after["alarm_configuration_updated_timestamp"] > before["alarm_configuration_updated_timestamp"]
    assert bench.actions() == [], "an action added in the state does not run"
    tags = bench.run(api.list_tags_for_resource, resource_arn=after["alarm_arn"])["tags"]
    assert tags == [{"key": "k", "value": "v"}]


def test_an_alarm_changed_during_a_pass_is_left_for_the_next(bench: Bench) -> None:
    put_alarm(bench)
    bench.put(9.0)
    bench.advance(50)
    bench.run(api.set_alarm_state, alarm_name="a", state_value="OK", state_reason="meanwhile")
    bench.advance(13)
    assert state(bench) == "ALARM"


def test_tags(bench: Bench) -> None:
    put_alarm(bench)
    arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:a"
    bench.run(api.tag_resource, resource_arn=arn, tags=[{"key": "a", "value": "1"}, {"key": "b", "value": "2"}])
    bench.run(api.untag_resource, resource_arn=arn, tag_keys=["a", "nothing"])
    assert bench.run(api.list_tags_for_resource, resource_arn=arn)["tags"] == [{"key": "b", "value": "2"}]
    assert bench.run(api.list_tags_for_resource, resource_arn=arn + "x") == {"tags": []}
    with pytest.raises(ApiError) as caught:
        bench.run(api.tag_resource, resource_arn=arn + "x", tags=[])
    assert (caught.value.code, caught.value.message, caught.value.status) == (
        "ResourceNotFoundException",
        "Unknown",
        404,
    )
    with pytest.raises(ApiError):
        bench.run(api.list_tags_for_resource, resource_arn="arn:aws:sns:us-east-1:1:x")
    with pytest.raises(ApiError):
        bench.run(api.tag_resource, resource_arn=arn, tags=[{"key": "aws:x", "value": "1"}])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"period": 45}, "ValidationError"),
        ({"period": None}, "ValidationError"),
        ({"evaluation_periods": 1441}, "ValidationError"),
        ({"evaluation_periods": 3, "datapoints_to_alarm": 4}, "ValidationError"),
        ({"threshold": None}, "ValidationError"),
        ({"statistic": None}, "MissingParameter"),
        ({"extended_statistic": "p90"}, "InvalidParameterCombination"),
        ({"statistic": None, "extended_statistic": "p900"}, "InvalidParameterValue"),
        ({"comparison_operator": "GreaterThanUpperThreshold"}, "ValidationError"),
        ({"treat_missing_data": "whatever"}, "ValidationError"),
        ({"evaluate_low_sample_count_percentile": "ignore"}, "ValidationError"),
        ({"alarm_actions": ["nonsense"]}, "ValidationError"),
        ({"alarm_actions": [TOPIC.replace("us-east-1", "us-west-2")]}, "ValidationError"),
        ({"alarm_actions": ["arn:aws:automate:us-east-1:ec2:stop"]}, "ValidationError"),
        ({"alarm_actions": [f"{TOPIC}{i}" for i in range(6)]}, "ValidationError"),
        ({"metric_name": None}, "ValidationError"),
        ({"metrics": [{"id": "a", "expression": "1"}]}, "ValidationError"),
        ({"name": "x" * 256}, "ValidationError"),
        ({"evaluation_criteria": {}}, "ValidationError"),
        ({"evaluation_window": {}}, "ValidationError"),
        ({"evaluation_window": {"wall_clock_window": {"timezone": "Mars/Olympus"}}}, "ValidationError"),
        ({"evaluation_window": {"wall_clock_window": {"timezone": "+05:31"}}}, "ValidationError"),
        ({"dimensions": [{"name": "a", "value": "1"}] * 2}, "InvalidParameterValue"),
    ],
)
def test_put_metric_alarm_refuses(bench: Bench, change: dict[str, Any], code: str) -> None:
    assert refused(bench, **change).code == code
    assert bench.store.view.all(Alarm) == []


def metric(id_: str, period: int = 60, **more: Any) -> dict[str, Any]:
    stat = {"metric": {"namespace": "N", "metric_name": "m"}, "period": period, "stat": "Sum"}
    return {"id": id_, "metric_stat": stat} | more


@pytest.mark.parametrize(
    "metrics",
    [
        [metric("a"), metric("b")],
        [metric("a", return_data=False)],
        [metric("a", return_data=False), metric("b", 300, return_data=False), {"id": "e", "expression": "a+b"}],
        [metric("a", return_data=False), {"id": "e", "expression": "a+c"}],
        [
            metric("a", return_data=False),
            {"id": "e", "expression": "a+f"},
            {"id": "f", "expression": "e", "return_data": False},
        ],
        [{"id": "e", "expression": "SEARCH('x','Sum',60)"}],
        [{"id": "e", "expression": "TIME_SERIES(1)"}],
        [metric(f"a{i}", return_data=False) for i in range(11)] + [{"id": "e", "expression": "a1"}],
    ],
)
def test_put_metric_alarm_refuses_metrics(bench: Bench, metrics: list[dict[str, Any]]) -> None:
    with pytest.raises(ApiError) as caught:
        bench.run(
            api.put_metric_alarm,
            alarm_name="a",
            metrics=metrics,
            evaluation_periods=1,
            threshold=1.0,
            comparison_operator="GreaterThanThreshold",
        )
    assert caught.value.code == "ValidationError"


def test_describe_filters_and_pages(bench: Bench) -> None:
    for i in range(60):
        put_alarm(bench, f"a{i:02d}")
    put_alarm(bench, "b", alarm_actions=[POLICY])

    def names(**request: Any) -> list[str]:
        return [a["alarm_name"] for a in bench.run(api.describe_alarms, **request)["metric_alarms"]]

    first = bench.run(api.describe_alarms)
    assert len(first["metric_alarms"]) == 50
    assert len(names(next_token=first["next_token"])) == 11
    assert names(alarm_name_prefix="b") == ["b"]
    assert names(alarm_names=["b", "nobody", "a00"]) == ["a00", "b"]
    assert names(action_prefix="arn:aws:autoscaling") == ["b"]
    assert names(state_value="ALARM") == []
    assert names(alarm_types=["CompositeAlarm"]) == []
    with pytest.raises(ApiError):
        names(alarm_names=["b"], alarm_name_prefix="a")


def test_describe_alarms_for_metric(bench: Bench) -> None:
    put_alarm(bench, "with", dimensions=[{"name": "x", "value": "1"}, {"name": "y", "value": "2"}])
    put_alarm(bench, "without")

    def names(**request: Any) -> list[str]:
        answer = bench.run(api.describe_alarms_for_metric, namespace="N", metric_name="m", **request)
        return [a["alarm_name"] for a in answer["metric_alarms"]]

    assert names() == ["without"]
    assert names(dimensions=[{"name": "y", "value": "2"}, {"name": "x", "value": "1"}]) == ["with"]
    assert names(statistic="Sum") == []


def test_history_filters_order_and_age(bench: Bench) -> None:
    put_alarm(bench)
    minutes(bench, 9.0, 1.0)
    assert summaries(bench, alarm_name="a", history_item_type="StateUpdate") == [
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
        "Alarm updated from ALARM to OK",
    ]
    newest = bench.run(api.describe_alarm_history, max_records=1)
    assert newest["alarm_history_items"][0]["history_summary"] == "Alarm updated from ALARM to OK"
    rest = bench.run(api.describe_alarm_history, next_token=newest["next_token"])
    assert len(rest["alarm_history_items"]) == 2
    data = json.loads(newest["alarm_history_items"][0]["history_data"])
    assert data["newState"]["stateReasonData"]["recentDatapoints"] == [1.0]
    bench.run(api.delete_alarms, alarm_names=["a"])
    bench.stop()
    bench.advance(31 * 86400)
    bench.restart()
    bench.advance(3600)
    assert summaries(bench) == []


def test_record_action_writes_history_once(bench: Bench) -> None:
    put_alarm(bench, alarm_actions=[POLICY])
    minutes(bench, 9.0)
    (action,) = bench.actions()

    for error in ("No step adjustment found", None):
        bench.loop.run(bench.store.write(partial(record, bench, action, error), "t"))
    assert bench.actions() == []
    assert summaries(bench, history_item_type="Action") == [
        f'Failed to execute action {POLICY}. Received error: "No step adjustment found"'
    ]


def test_a_repetition_is_written_down_only_if_it_ends_otherwise(bench: Bench) -> None:
    put_alarm(bench, alarm_actions=[POLICY, POLICY])
    for error in (None, None, "No step adjustment found", "No step adjustment found", None):
        minutes(bench, 9.0)
        (action,) = bench.actions()
        bench.loop.run(bench.store.write(partial(record, bench, action, error), "t"))
    done, failed = (
        f"Successfully executed action {POLICY}",
        f'Failed to execute action {POLICY}. Received error: "No step adjustment found"',
    )
    assert summaries(bench, history_item_type="Action") == [done, failed, done]


def record(bench: Bench, action: AlarmAction, error: str | None, tx: Transaction) -> None:
    commands.record_action(tx, bench.call(), action, error)


def test_actions_of_services_that_are_not_built_end_as_failed() -> None:
    bench = Bench(actions=True)
    try:
        item = f"arn:aws:ssm:{REGION}:{ACCOUNT}:opsitem:1"
        put_alarm(bench, alarm_actions=[item])
        minutes(bench, 9.0)
        assert bench.actions() == []
        assert summaries(bench, history_item_type="Action") == [
            f'Failed to execute action {item}. Received error: "Systems Manager OpsItems are not part of this Elba"'
        ]
    finally:
        bench.close()


def test_stop_action_on_an_instance_that_is_gone_fails_in_history() -> None:
    bench = Bench(actions=True)
    try:
        arn = "arn:aws:automate:us-east-1:ec2:stop"
        put_alarm(bench, alarm_actions=[arn], dimensions=[{"name": "InstanceId", "value": "i-00000000000000001"}])
        bench.put(9.0, dims={"InstanceId": "i-00000000000000001"})
        minutes(bench, None)
        (summary,) = summaries(bench, history_item_type="Action")
        assert summary.startswith(f"Failed to execute action {arn}. Received error:")
    finally:
        bench.close()


def test_an_alarm_on_a_grouped_query_is_in_alarm_while_one_of_its_series_is(bench: Bench) -> None:
    query = 'SELECT MAX(load) FROM "N" GROUP BY host'
    bench.run(
        api.put_metric_alarm,
        alarm_name="hosts",
        metrics=[{"id": "q", "expression": query, "period": 60}],
        evaluation_periods=2,
        threshold=5.0,
        comparison_operator="GreaterThanThreshold",
    )

    def minute(**loads: float) -> str:
        for host, load in loads.items():
            bench.put(load, name="load", dims={"host": host})
        bench.advance(60)
        return str(alarm(bench, "hosts")["state_value"])

    def contributors() -> list[dict[str, str]]:
        found = bench.run(api.describe_alarm_contributors, alarm_name="hosts")["alarm_contributors"]
        return [each["contributor_attributes"] for each in found]

    bench.advance(LAG + 1)
    assert minute(a=1.0, b=9.0) == "OK" and contributors() == []
    # Each series for itself: two hosts over the threshold once are not one that is so twice.
    assert minute(a=9.0, b=1.0) == "OK"
    assert minute(a=9.0, b=1.0) == "ALARM"
    assert contributors() == [{"host": "a"}]
    assert alarm(bench, "hosts")["state_reason"].startswith("Threshold Crossed: 2 datapoints [9.0 (")
    assert minute(a=1.0, b=1.0) == "OK" and contributors() == []
    for _ in range(4):
        minute()
    assert alarm(bench, "hosts")["state_value"] == "INSUFFICIENT_DATA"
    with pytest.raises(ApiError) as caught:
        bench.run(api.describe_alarm_contributors, alarm_name="nobody")
    assert caught.value.code == "ResourceNotFoundException"


def test_an_action_knows_the_state_before(bench: Bench) -> None:
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    put_alarm(bench, alarm_actions=[function])
    created = bench.now
    bench.advance(3)
    bench.run(api.set_alarm_state, alarm_name="a", state_value="ALARM", state_reason="testing alarm")
    (action,) = bench.take_actions()
    data = event_of(action, None)["alarmData"]
    assert data["state"]["reason"] == "testing alarm"
    assert data["previousState"] == {
        "value": "INSUFFICIENT_DATA",
        "reason": "Unchecked: Initial alarm creation",
        "timestamp": iso(created),
    }
