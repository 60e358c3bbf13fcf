"""The state an alarm should have: the user guide's tables, and the texts of its reasons."""

from __future__ import annotations

import json

import pytest

from elba.cloudwatch.alarms import Point, decide, evaluate, number_text
from elba.cloudwatch.resources import Alarm

KEEP = None
ALARM, OK, INSUFFICIENT = "ALARM", "OK", "INSUFFICIENT_DATA"
MODES = ("missing", "ignore", "breaching", "notBreaching")

TABLES = [
    (3, 3, "0-X-X", (OK, OK, OK, OK)),
    (3, 3, "0----", (OK, OK, OK, OK)),
    (3, 3, "-----", (INSUFFICIENT, KEEP, ALARM, OK)),
    (3, 3, "0XX-X", (ALARM, ALARM, ALARM, ALARM)),
    (3, 3, "--X--", (ALARM, KEEP, ALARM, OK)),
    (3, 2, "0-X-X", (ALARM, ALARM, ALARM, ALARM)),
    (3, 2, "00X0X", (ALARM, ALARM, ALARM, ALARM)),
    (3, 2, "0-X--", (OK, OK, ALARM, OK)),
    (3, 2, "----0", (OK, OK, ALARM, OK)),
    (3, 2, "---X-", (ALARM, KEEP, ALARM, OK)),
    # Beyond the tables: what the spec says of them.
    (3, 3, "XXX--", (ALARM, ALARM, ALARM, ALARM)),
]


def row(text: str) -> list[bool | None]:
    return [{"0": False, "X": True, "-": None}[c] for c in text]


@pytest.mark.parametrize(("periods", "to_alarm", "text", "expected"), TABLES)
def test_tables_of_the_user_guide(periods: int, to_alarm: int, text: str, expected: tuple[str | None, ...]) -> None:
    assert tuple(decide(row(text), periods, to_alarm, mode) for mode in MODES) == expected


@pytest.mark.parametrize("text", ["----X", "---X-"])
def test_no_premature_alarm(text: str) -> None:
    assert decide(row(text), 3, 3, "missing") is KEEP


def an_alarm(**changes: object) -> Alarm:
    values: dict[str, object] = {
        "account": "1",
        "region": "r",
        "id": "a",
        "arn": "arn",
        "namespace": "N",
        "metric_name": "m",
        "statistic": "Average",
        "period": 60,
        "threshold": 50.0,
        "comparison_operator": "GreaterThanThreshold",
    }
    return Alarm(**(values | changes))  # type: ignore[arg-type] # a builder


AT = 1570035540.0  # 2019-10-02T16:59:00Z


def points(*values: float | None, samples: float = 1.0) -> list[Point | None]:
    return [None if v is None else Point(AT + 60 * i, v, samples) for i, v in enumerate(values)]


def verdict(alarm: Alarm, *values: float | None) -> tuple[str, str]:
    found = evaluate(alarm, points(*values), AT + 340.985)
    assert found is not None
    return found.state, found.reason


def test_reason_of_one_datapoint_and_its_data() -> None:
    found = evaluate(an_alarm(datapoints_to_alarm=1), points(99.5), AT + 340.985)
    assert found is not None
    assert found.state == ALARM
    assert found.reason == (
        "Threshold Crossed: 1 out of the last 1 datapoints [99.5 (02/10/19 16:59:00)] was greater than the threshold "
        "(50.0) (minimum 1 datapoint for OK -> ALARM transition)."
    )
    assert json.loads(found.reason_data) == {
        "version": "1.0",
        "queryDate": "2019-10-02T17:04:40.985+0000",
        "startDate": "2019-10-02T16:59:00.000+0000",
        "statistic": "Average",
        "period": 60,
        "recentDatapoints": [99.5],
        "threshold": 50.0,
        "evaluatedDatapoints": [{"timestamp": "2019-10-02T16:59:00.000+0000", "sampleCount": 1.0, "value": 99.5}],
    }


def test_reason_of_two_out_of_three() -> None:
    alarm = an_alarm(evaluation_periods=3, datapoints_to_alarm=2, comparison_operator="LessThanOrEqualToThreshold")
    assert verdict(alarm, 10.0, 60.0, 50.0) == (
        ALARM,
        "Threshold Crossed: 2 out of the last 3 datapoints [50.0 (02/10/19 17:01:00), 10.0 (02/10/19 16:59:00)] were "
        "less than or equal to the threshold (50.0) (minimum 2 datapoints for OK -> ALARM transition).",
    )


def test_reason_of_the_way_back() -> None:
    alarm = an_alarm(state_value=ALARM, datapoints_to_alarm=1)
    assert verdict(alarm, 1.0) == (
        OK,
        "Threshold Crossed: 1 out of the last 1 datapoints [1.0 (02/10/19 16:59:00)] was not greater than the "
        "threshold (50.0) (minimum 1 datapoint for ALARM -> OK transition).",
    )


def test_reasons_without_datapoints_to_alarm() -> None:
    """As the service writes them if DatapointsToAlarm is not set: recorded from it."""
    assert verdict(an_alarm(), 99.5)[1] == (
        "Threshold Crossed: 1 datapoint [99.5 (02/10/19 16:59:00)] was greater than the threshold (50.0)."
    )
    assert verdict(an_alarm(state_value=ALARM), 1.0)[1] == (
        "Threshold Crossed: 1 datapoint [1.0 (02/10/19 16:59:00)] was not greater than the threshold (50.0)."
    )
    assert verdict(an_alarm(evaluation_periods=2), 60.0, 70.0)[1] == (
        "Threshold Crossed: 2 datapoints [70.0 (02/10/19 17:00:00), 60.0 (02/10/19 16:59:00)] were greater than the "
        "threshold (50.0)."
    )


def test_reasons_of_many_datapoints_list_the_newest_five() -> None:
    many = [60.0 + i for i in range(6)]
    listed = ", ".join(f"{65.0 - i} (02/10/19 17:0{4 - i}:00)" for i in range(5))
    assert verdict(an_alarm(evaluation_periods=6), *many)[1] == (
        "Threshold Crossed: 6 datapoints were greater than the threshold (50.0). "
        f"The most recent datapoints which crossed the threshold: [{listed}]."
    )
    assert verdict(an_alarm(evaluation_periods=6, datapoints_to_alarm=5), *many)[1] == (
        "Threshold Crossed: 6 out of the last 6 datapoints were greater than the threshold (50.0). "
        f"The most recent datapoints which crossed the threshold: [{listed}] "
        "(minimum 5 datapoints for OK -> ALARM transition)."
    )


def test_periods_without_data_are_named_in_the_reasons_data() -> None:
    def evaluated(alarm: Alarm, *values: float | None) -> list[tuple[str, float | None]]:
        end = AT + 60 * len(values)
        found = evaluate(alarm, points(*values), end + 2, end)
        assert found is not None
        entries = json.loads(found.reason_data)["evaluatedDatapoints"]
        return [(entry["timestamp"][11:16], entry.get("value")) for entry in entries]

    breaching = an_alarm(evaluation_periods=2, treat_missing_data="breaching")
    assert evaluated(breaching, None, None, None, None) == [("17:02", None), ("17:01", None)]
    assert evaluated(breaching, None, None, 60.0, None) == [("17:02", None), ("17:01", 60.0)]
    assert evaluated(an_alarm(state_value=OK), None, None, None) == [("17:01", None)]
    found = evaluate(an_alarm(evaluation_periods=2, state_value=OK), [], AT, AT)
    assert found is not None
    data = json.loads(found.reason_data)
    assert data["recentDatapoints"] == [] and "startDate" not in data
    assert [e["timestamp"][11:16] for e in data["evaluatedDatapoints"]] == ["16:58", "16:57"]


def test_reasons_of_missing_data() -> None:
    assert verdict(an_alarm(state_value=ALARM, treat_missing_data="notBreaching"), None, None, None) == (
        OK,
        "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as "
        "[NonBreaching].",
    )
    assert verdict(an_alarm(evaluation_periods=3, treat_missing_data="breaching"), None, None, None, None, None) == (
        ALARM,
        "Threshold Crossed: no datapoints were received for 3 periods and 3 missing datapoints were treated as "
        "[Breaching].",
    )
    assert verdict(an_alarm(evaluation_periods=5, state_value=OK), *[None] * 7) == (
        INSUFFICIENT,
        "Insufficient Data: 5 datapoints were unknown.",
    )
    assert verdict(an_alarm(state_value=OK), None)[1] == "Insufficient Data: 1 datapoint was unknown."


def test_no_verdict_for_the_state_it_has() -> None:
    assert evaluate(an_alarm(state_value=ALARM), points(99.0), AT) is None
    assert evaluate(an_alarm(), points(None), AT) is None


def test_ignore_keeps_and_dynamodb_always_ignores() -> None:
    assert evaluate(an_alarm(state_value=ALARM, treat_missing_data="ignore"), points(None), AT) is None
    dynamo = an_alarm(state_value=ALARM, namespace="AWS/DynamoDB", treat_missing_data="notBreaching")
    assert evaluate(dynamo, points(None), AT) is None


def test_unit_is_told_only_if_the_alarm_has_one() -> None:
    found = evaluate(an_alarm(unit="Percent"), points(99.0), AT)
    assert found is not None
    assert json.loads(found.reason_data)["unit"] == "Percent"


@pytest.mark.parametrize(("samples", "changes"), [(999.0, False), (1000.0, True)])
def test_low_sample_percentile(samples: float, changes: bool) -> None:
    alarm = an_alarm(statistic=None, extended_statistic="p99", evaluate_low_sample_count_percentile="ignore")
    assert (evaluate(alarm, points(99.0, samples=samples), AT) is not None) == changes
    evaluated = an_alarm(statistic=None, extended_statistic="p99", evaluate_low_sample_count_percentile="evaluate")
    assert evaluate(evaluated, points(99.0, samples=samples), AT) is not None


def test_alarm_to_ok_needs_more_than_n_minus_m_points() -> None:
    alarm = an_alarm(evaluation_periods=3, datapoints_to_alarm=2, state_value=ALARM)
    assert evaluate(alarm, points(99.0, 99.0, 1.0), AT) is None
    assert verdict(alarm, 99.0, 1.0, 1.0)[0] == OK


def test_band() -> None:
    alarm = an_alarm(
        threshold=None,
        comparison_operator="GreaterThanUpperThreshold",
        threshold_metric_id="b",
        datapoints_to_alarm=1,
        metrics=[{"id": "m", "metric_stat": {"period": 60}}],
        statistic=None,
    )
    found = evaluate(alarm, [Point(AT, 10.0, 1.0, 1.0, 5.0)], AT)
    assert found is not None
    assert found.reason == (
        "Thresholds Crossed: 1 out of the last 1 datapoints [10.0 (02/10/19 16:59:00)] was greater than the upper "
        "thresholds [5.0] (minimum 1 datapoint for OK -> ALARM transition)."
    )
    data = json.loads(found.reason_data)
    assert data["recentUpperThresholds"] == [5.0] and "recentLowerThresholds" not in data
    assert data["evaluatedDatapoints"] == [
        {"timestamp": "2019-10-02T16:59:00.000+0000", "value": 10.0, "threshold": 5.0}
    ]
    low = an_alarm(
        threshold=None, comparison_operator="LessThanLowerThreshold", threshold_metric_id="b", state_value=OK
    )
    assert evaluate(low, [Point(AT, 10.0, 1.0, 1.0, 5.0)], AT) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (50.0, "50.0"),
        (0.0, "0.0"),
        (99.50160229693434, "99.50160229693434"),
        (1e7, "1.0E7"),
        (12345678.0, "1.2345678E7"),
        (9999999.0, "9999999.0"),
        (0.001, "0.001"),
        (0.0001, "1.0E-4"),
        (-2.5e-5, "-2.5E-5"),
        (1.5e300, "1.5E300"),
    ],
)
def test_numbers_as_the_service_prints_them(value: float, text: str) -> None:
    assert number_text(value) == text
