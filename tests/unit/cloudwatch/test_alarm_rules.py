"""Bounds of alarms, and what they do over several minutes of data that come, stop, or are few."""

from __future__ import annotations

from typing import Any

import pytest

from elba.cloudwatch import operations as api
from elba.errors import ApiError
from tests.unit.cloudwatch.bench import ACCOUNT, POLICY, REGION, TOPIC, Bench
from tests.unit.cloudwatch.test_alarm_loop import metric, minutes, put_alarm, state
from tests.unit.cloudwatch.test_composite_alarms import composite, put

DAY, WEEK = 86400, 7 * 86400


@pytest.mark.parametrize(
    ("period", "most"),
    [(10, DAY // 10), (20, DAY // 20), (30, DAY // 30), (60, 1440), (3540, 24), (3600, 168), (DAY, 7), (WEEK, 1)],
)
def test_how_far_an_alarm_can_look_back(bench: Bench, period: int, most: int) -> None:
    """A day; from periods of an hour on a week."""
    put_alarm(bench, period=period, evaluation_periods=most, datapoints_to_alarm=most)
    with pytest.raises(ApiError) as caught:
        put_alarm(bench, period=period, evaluation_periods=most + 1)
    assert caught.value.code == "ValidationError" and "EvaluationPeriods * Period" in caught.value.message


@pytest.mark.parametrize("period", [0, -60, 1, 5, 15, 45, 61, 90, WEEK + 60])
def test_periods_that_alarms_cannot_have(bench: Bench, period: int) -> None:
    request = {"evaluation_periods": 1, "threshold": 1.0, "comparison_operator": "GreaterThanThreshold"}
    with pytest.raises(ApiError) as caught:
        put_alarm(bench, period=period)
    assert caught.value.code == "ValidationError"
    with pytest.raises(ApiError) as caught:
        bench.run(api.put_metric_alarm, alarm_name="a", metrics=[metric("m1", period)], **request)
    assert caught.value.code == "ValidationError"


def test_numbers_of_queries(bench: Bench) -> None:
    request = {"evaluation_periods": 1, "threshold": 1.0, "comparison_operator": "GreaterThanThreshold"}

    def queries(metrics: int, expressions: int) -> list[dict[str, Any]]:
        found = [metric(f"m{i}", return_data=False) for i in range(metrics)]
        found += [{"id": f"e{i}", "expression": "m0", "return_data": i == 0} for i in range(expressions)]
        return found

    bench.run(api.put_metric_alarm, alarm_name="a", metrics=queries(10, 10), **request)
    for counts in ((11, 1), (1, 11)):
        with pytest.raises(ApiError) as caught:
            bench.run(api.put_metric_alarm, alarm_name="b", metrics=queries(*counts), **request)
        assert caught.value.code == "ValidationError"


EC2 = f"arn:aws:automate:{REGION}:ec2:"
SWF = f"arn:aws:swf:{REGION}:{ACCOUNT}:action/actions/AWS_EC2.InstanceId."


@pytest.mark.parametrize(
    ("arn", "on"),
    [
        (TOPIC, {"metric", "math", "band", "composite"}),
        (f"{TOPIC}.fifo", {"metric", "math", "band", "composite"}),
        (f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f", {"metric", "math", "band", "composite"}),
        (f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f:alias", {"metric", "math", "band", "composite"}),
        (f"arn:aws:ssm:{REGION}:{ACCOUNT}:opsitem:1", {"metric", "math", "band", "composite"}),
        (POLICY, {"metric", "math"}),
        *((EC2 + verb, {"metric"}) for verb in ("stop", "terminate", "reboot", "recover")),
        *((f"{SWF}{verb}/1.0", {"metric"}) for verb in ("Stop", "Terminate", "Reboot", "Recover")),
        (f"{EC2}start", set()),
        (f"{SWF}Start/1.0", set()),
        (TOPIC.replace(REGION, "eu-west-1"), set()),
        (f"arn:aws:s3:{REGION}:{ACCOUNT}:bucket", set()),
        ("topic", set()),
    ],
)
def test_which_alarms_can_do_what(bench: Bench, arn: str, on: set[str]) -> None:
    band = [metric("m1"), {"id": "ad", "expression": "ANOMALY_DETECTION_BAND(m1)"}]
    math = [metric("m1", return_data=False), {"id": "e", "expression": "m1*2"}]
    over = {"evaluation_periods": 1, "threshold": 1.0, "comparison_operator": "GreaterThanThreshold"}
    upper = {"evaluation_periods": 1, "comparison_operator": "GreaterThanUpperThreshold", "threshold_metric_id": "ad"}
    instance = {"dimensions": [{"name": "InstanceId", "value": "i-1"}]}
    puts: dict[str, Any] = {
        "metric": lambda: put_alarm(bench, "metric", alarm_actions=[arn], **instance),
        "math": lambda: bench.run(api.put_metric_alarm, alarm_name="math", metrics=math, alarm_actions=[arn], **over),
        "band": lambda: bench.run(api.put_metric_alarm, alarm_name="band", metrics=band, alarm_actions=[arn], **upper),
        "composite": lambda: put(bench, "composite", "TRUE", alarm_actions=[arn]),
    }
    taken = set()
    for name, attempt in puts.items():
        try:
            attempt()
        except ApiError as error:
            assert error.code == "ValidationError"
        else:
            taken.add(name)
    assert taken == on


@pytest.mark.parametrize(
    ("more", "data", "states"),
    [
        # The last 0 is judged until it leaves the range of N + 2 periods, then the missing ones are.
        ({"evaluation_periods": 3, "treat_missing_data": "breaching"}, "0------", "OK OK OK OK OK ALARM ALARM"),
        ({"evaluation_periods": 3, "treat_missing_data": "notBreaching"}, "XXX-----", ". . A A A O O O"),
        ({"evaluation_periods": 3}, "XXX-----", "I I A A A A A I"),
        ({"evaluation_periods": 3, "treat_missing_data": "ignore"}, "XXX-----", "I I A A A A A A"),
        # Basic monitoring under an alarm of a minute: a point in five.
        ({}, "X----X----0----", "A A A I I A A A I I O O O I I"),
        ({"treat_missing_data": "ignore"}, "X----0----", "A A A A A O O O O O"),
        # M of N.
        ({"evaluation_periods": 5, "datapoints_to_alarm": 3}, "0X0X0X00X", "O O O O O A O O O"),
    ],
)
def test_states_by_the_minute(bench: Bench, more: dict[str, Any], data: str, states: str) -> None:
    put_alarm(bench, **more)
    seen = []
    for each in data:
        minutes(bench, {"X": 9.0, "0": 1.0, "-": None}[each])
        seen.append(state(bench))
    short = {"A": "ALARM", "O": "OK", "I": "INSUFFICIENT_DATA"}
    for place, (found, wanted) in enumerate(zip(seen, states.split(), strict=True)):
        assert wanted == "." or found == short.get(wanted, wanted), (place, seen)


def test_few_samples_keep_the_state_while_one_of_the_periods_has_them(bench: Bench) -> None:
    put_alarm(bench, statistic=None, extended_statistic="p50", evaluate_low_sample_count_percentile="ignore",
              evaluation_periods=2)  # fmt: skip
    seen = []
    for samples in (20, 19, 20, 20):
        bench.put(*[9.0] * samples)
        minutes(bench, None)
        seen.append(state(bench))
    assert seen == ["INSUFFICIENT_DATA"] * 3 + ["ALARM"]


def test_insufficient_data_is_acted_on_when_it_is_entered_not_when_it_was_there(bench: Bench) -> None:
    put_alarm(bench, insufficient_data_actions=[TOPIC])
    minutes(bench, None, None)
    assert bench.take_actions() == []
    minutes(bench, 1.0, None, None, None)
    assert [a.state for a in bench.take_actions()] == ["INSUFFICIENT_DATA"]


def test_a_child_belongs_to_150_composite_alarms_at_most(bench: Bench) -> None:
    bench.task.cancel()
    put_alarm(bench, "a")
    for i in range(150):
        put(bench, f"c{i}", "ALARM(a)")
    put(bench, "c0", "OK(a)")
    with pytest.raises(ApiError) as caught:
        put(bench, "c150", "ALARM(a)")
    assert caught.value.code == "ValidationError" and "150" in caught.value.message


def test_composite_alarms_of_each_other_stand_still(bench: Bench) -> None:
    put(bench, "c", "FALSE")
    put(bench, "d", "NOT ALARM(c)")
    put(bench, "c", "ALARM(d)")
    bench.advance(600)
    assert [composite(bench, name)["state_value"] for name in ("c", "d")] == ["OK", "ALARM"]


def test_pages_go_over_both_kinds(bench: Bench) -> None:
    for i in range(3):
        put_alarm(bench, f"z{i}")
        put(bench, f"a{i}", "TRUE")
    names: list[str] = []
    token: str | None = None
    for _ in range(3):
        answer = bench.run(
            api.describe_alarms, alarm_types=["MetricAlarm", "CompositeAlarm"], max_records=2, next_token=token
        )
        names += [a["alarm_name"] for a in (*answer["metric_alarms"], *answer["composite_alarms"])]
        token = answer["next_token"]
    assert names == ["z0", "z1", "z2", "a0", "a1", "a2"] and token is None
