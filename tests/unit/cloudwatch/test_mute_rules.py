"""Alarm mute rules: their schedules, and actions that are held back and then carried out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from elba.cloudwatch import operations as api
from elba.cloudwatch.muting import begins, is_active, parse_duration, status
from elba.cloudwatch.resources import AlarmMuteRule
from elba.errors import ApiError
from tests.unit.cloudwatch.bench import ACCOUNT, LAG, POLICY, REGION, TOPIC, Bench


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def a_rule(**changes: Any) -> AlarmMuteRule:
    values = {"expression": "cron(0 2 * * *)", "duration": "PT4H"} | changes
    return AlarmMuteRule(account=ACCOUNT, region=REGION, id="r", arn="", **values)


@pytest.mark.parametrize(
    ("text", "seconds"), [("PT1M", 60), ("PT4H", 14400), ("P2DT12H", 216000), ("P15D", 1296000), ("P1W", 604800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "P", "PT", "4h", "PT59S", "P16D", "P1DT", "PT-1H", "P1Y"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "rate(5 minutes)", "cron(0 2 * *)", "cron(0 25 * * *)", "at(2026-01-01)"])
def test_expressions_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        begins(text, None, 0)


def test_a_recurring_window() -> None:
    rule = a_rule(timezone="Europe/Berlin")  # one hour ahead in winter
    assert [is_active(rule, at(f"2026-01-10T{time}")) for time in ("00:59", "01:00", "04:59", "05:00")] == [
        False,
        True,
        True,
        False,
    ]
    bounded = a_rule(start_date=at("2026-01-10T03:00"), expire_date=at("2026-01-11T03:00"))
    moments = ("2026-01-10T02:30", "2026-01-10T03:00", "2026-01-10T12:00", "2026-01-11T02:59", "2026-01-11T03:00")
    assert [status(bounded, at(moment)) for moment in moments] == [
        "SCHEDULED",
        "ACTIVE",
        "SCHEDULED",
        "ACTIVE",
        "EXPIRED",
    ]


def test_a_single_window() -> None:
    rule = a_rule(expression="at(2026-01-10T14:00)", duration="PT30M")
    moments = ("2026-01-10T13:59", "2026-01-10T14:00", "2026-01-10T14:29", "2026-01-10T14:30")
    assert [status(rule, at(moment)) for moment in moments] == ["SCHEDULED", "ACTIVE", "ACTIVE", "EXPIRED"]


def put_alarm(bench: Bench, *actions: str) -> None:
    bench.run(
        api.put_metric_alarm,
        alarm_name="a",
        namespace="N",
        metric_name="m",
        statistic="Average",
        period=60,
        evaluation_periods=1,
        threshold=5.0,
        comparison_operator="GreaterThanThreshold",
        alarm_actions=list(actions),
        ok_actions=[TOPIC],
    )


def mute(bench: Bench, minutes: int, name: str = "r") -> None:
    begin = datetime.fromtimestamp(bench.now // 60 * 60, UTC)
    schedule = {"expression": f"at({begin:%Y-%m-%dT%H:%M})", "duration": f"PT{minutes}M"}
    bench.run(api.put_alarm_mute_rule, name=name, rule={"schedule": schedule}, mute_targets={"alarm_names": ["a"]})


def minute(bench: Bench, value: float) -> list[str]:
    """The states whose actions a minute with this value brought about."""
    bench.put(value)
    bench.advance(60)
    return [action.state for action in bench.take_actions()]


def test_actions_are_held_back_and_carried_out_for_the_state_at_the_end(bench: Bench) -> None:
    put_alarm(bench, TOPIC)
    bench.advance(LAG + 1)
    assert minute(bench, 1.0) == ["OK"]
    mute(bench, 4)
    assert minute(bench, 9.0) == []
    (found,) = bench.run(api.describe_alarms)["metric_alarms"]
    assert found["state_value"] == "ALARM", "states change all the same"
    assert minute(bench, 1.0) == minute(bench, 9.0) == []
    assert minute(bench, 9.0) + minute(bench, 9.0) == ["ALARM"]
    assert minute(bench, 9.0) == []


def test_a_state_that_came_back_within_the_window_calls_for_nothing(bench: Bench) -> None:
    put_alarm(bench, TOPIC)
    bench.advance(LAG + 1)
    minute(bench, 1.0)
    mute(bench, 3)
    assert [minute(bench, value) for value in (9.0, 1.0, 1.0, 1.0, 1.0)] == [[]] * 5
    assert minute(bench, 9.0) == ["ALARM"]


def test_scaling_policies_are_not_invoked_again_while_muted(bench: Bench) -> None:
    put_alarm(bench, POLICY)
    bench.advance(LAG + 1)
    assert minute(bench, 9.0) == ["ALARM"]
    assert minute(bench, 9.0) == ["ALARM"], "the repetition of each minute"
    mute(bench, 2)
    assert minute(bench, 9.0) == []
    bench.advance(60)
    bench.take_actions()
    assert minute(bench, 9.0) == ["ALARM"]


def test_deleting_the_rule_unmutes_at_once_unless_another_holds(bench: Bench) -> None:
    put_alarm(bench, TOPIC)
    bench.advance(LAG + 1)
    minute(bench, 1.0)
    mute(bench, 60, "one")
    mute(bench, 60, "two")
    assert minute(bench, 9.0) == []
    bench.run(api.delete_alarm_mute_rule, alarm_mute_rule_name="one")
    assert bench.take_actions() == []
    bench.run(api.delete_alarm_mute_rule, alarm_mute_rule_name="two")
    assert [action.state for action in bench.take_actions()] == ["ALARM"]
    bench.run(api.delete_alarm_mute_rule, alarm_mute_rule_name="two")


def test_what_is_refused(bench: Bench) -> None:
    def refused(**changes: Any) -> str:
        request = {"name": "r", "rule": {"schedule": {"expression": "cron(0 2 * * *)", "duration": "PT1H"}}} | changes
        with pytest.raises(ApiError) as caught:
            bench.run(api.put_alarm_mute_rule, **request)
        return caught.value.code

    assert refused(mute_targets={"alarm_names": ["nobody"]}) == "ValidationError"
    assert refused(expire_date=bench.now - 1) == "ValidationError"
    assert refused(rule={"schedule": {"expression": "cron(0 2 * * *)", "duration": "PT1S"}}) == "ValidationError"
    assert refused(rule={"schedule": {"expression": "x", "duration": "PT1H"}}) == "ValidationError"
    with pytest.raises(ApiError) as caught:
        bench.run(api.get_alarm_mute_rule, alarm_mute_rule_name="r")
    assert (caught.value.code, caught.value.status) == ("ResourceNotFoundException", 404)
