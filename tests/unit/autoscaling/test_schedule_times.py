"""Cron in time zones, and scheduled actions at work."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from elba.schedule import BadSchedule, next_run, parse_cron

from .harness import Harness


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("0 9 * * *", "", "2026-03-01T08:00:00", "2026-03-01T09:00:00"),
        ("0 9 * * *", "", "2026-03-01T09:00:00", "2026-03-02T09:00:00"),
        ("*/15 * * * *", "", "2026-03-01T08:07:00", "2026-03-01T08:15:00"),
        ("0 9 * * MON-FRI", "", "2026-03-06T09:00:00", "2026-03-09T09:00:00"),
        ("0 0 1 JAN *", "", "2026-03-06T09:00:00", "2027-01-01T00:00:00"),
        ("0 0 29 2 *", "", "2026-03-06T09:00:00", "2028-02-29T00:00:00"),
        ("0 9 * * *", "America/New_York", "2026-01-10T12:00:00", "2026-01-10T14:00:00"),
        ("0 9 * * *", "America/New_York", "2026-07-10T12:00:00", "2026-07-10T13:00:00"),
        # 2026-03-08 02:30 does not exist in New York: it runs after the jump, at 03:30 EDT.
        ("30 2 * * *", "America/New_York", "2026-03-08T05:00:00", "2026-03-08T07:30:00"),
        # 2026-11-01 01:30 comes twice: it runs at the first, EDT.
        ("30 1 * * *", "America/New_York", "2026-11-01T04:00:00", "2026-11-01T05:30:00"),
        ("30 1 * * *", "America/New_York", "2026-11-01T05:30:00", "2026-11-02T06:30:00"),
        # Both day fields restricted: either is enough.
        ("0 0 15 * MON", "", "2026-03-10T00:00:00", "2026-03-15T00:00:00"),
        ("0 0 15 * MON", "", "2026-03-15T00:00:00", "2026-03-16T00:00:00"),
        ("0 0 * * 7", "", "2026-03-10T00:00:00", "2026-03-15T00:00:00"),
    ],
)
def test_next_match(cron: str, zone: str, after: str, expected: str) -> None:
    assert next_run(cron, zone, None, None, at(after)) == at(expected)


@pytest.mark.parametrize(
    "cron", ["", "* * * *", "60 * * * *", "* * * * FOO", "*/0 * * * *", "5-1 * * * *", "? * * * *"]
)
def test_bad_cron(cron: str) -> None:
    with pytest.raises(BadSchedule):
        parse_cron(cron)


def test_start_and_end() -> None:
    start, end = at("2026-03-01T10:00:00"), at("2026-03-02T08:00:00")
    assert next_run("0 9 * * *", "", start, None, at("2026-02-01T00:00:00")) == start
    assert next_run("0 9 * * *", "", start, end, start) is None
    assert next_run("", "", start, None, start) is None


def put(elba: Harness, name: str = "s", **fields: object) -> None:
    elba.asg.put_scheduled_update_group_action(AutoScalingGroupName="g", ScheduledActionName=name, **fields)


def stamp(elba: Harness, seconds: float) -> datetime:
    return datetime.fromtimestamp(elba.now + seconds, UTC)


def test_an_action_runs_once_at_its_time_and_is_gone(elba: Harness) -> None:
    elba.create(minimum=1, maximum=4)
    put(elba, StartTime=stamp(elba, 3600), MinSize=2, MaxSize=8, DesiredCapacity=3)
    elba.advance(3590)
    assert elba.group().desired_capacity == 1
    elba.advance(60)
    group = elba.group()
    assert (group.min_size, group.max_size, group.desired_capacity) == (2, 8, 3)
    assert elba.asg.describe_scheduled_actions(AutoScalingGroupName="g")["ScheduledUpdateGroupActions"] == []
    assert (
        "a scheduled action update of AutoScalingGroup constraints to min: 2, max: 8, desired: 3 changing the "
        "desired capacity from 1 to 3." in elba.activities()[-1].cause
    )


def test_a_recurring_action_runs_each_time_until_its_end(elba: Harness) -> None:
    elba.create(minimum=0, maximum=4)
    put(elba, Recurrence="0 * * * *", EndTime=stamp(elba, 3 * 3600 - 1), DesiredCapacity=2)
    elba.advance(3700)
    assert elba.group().desired_capacity == 2
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=0)
    elba.advance(3600)
    assert elba.group().desired_capacity == 2
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=0)
    elba.advance(2 * 3600)
    assert elba.group().desired_capacity == 0
    assert elba.asg.describe_scheduled_actions()["ScheduledUpdateGroupActions"] == []


def test_a_recurring_action_is_there_until_its_end(elba: Harness) -> None:
    elba.create(minimum=0, maximum=4)
    put(elba, Recurrence="0 * * * *", EndTime=stamp(elba, 5400), DesiredCapacity=2)
    elba.advance(3700)
    (shown,) = elba.asg.describe_scheduled_actions()["ScheduledUpdateGroupActions"]
    assert "StartTime" not in shown
    elba.advance(1800)
    assert elba.asg.describe_scheduled_actions()["ScheduledUpdateGroupActions"] == []


def test_the_first_run_is_at_the_start_time_and_later_ones_by_the_recurrence(elba: Harness) -> None:
    elba.create(minimum=0, maximum=4)
    put(elba, Recurrence="0 * * * *", StartTime=stamp(elba, 1000), DesiredCapacity=1)
    for due in (1000, 3600, 7200):
        elba.advance(due - 1 - (elba.now - elba.clock.start))
        assert elba.group().desired_capacity == 0
        elba.advance(2)
        assert elba.group().desired_capacity == 1
        elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=0)
    put(elba, Recurrence="30 * * * *", DesiredCapacity=3)
    (shown,) = elba.asg.describe_scheduled_actions()["ScheduledUpdateGroupActions"]
    assert shown["StartTime"] == shown["Time"]
    assert shown["StartTime"].timestamp() == elba.clock.start + 9000


@pytest.mark.parametrize(
    ("sizes", "after"),
    [
        ({"MinSize": 4}, (4, 6, 4)),
        ({"MaxSize": 2}, (1, 2, 2)),
        ({"DesiredCapacity": 5}, (1, 6, 5)),
        ({"MinSize": 2, "MaxSize": 9, "DesiredCapacity": 7}, (2, 9, 7)),
        # The group's maximum is 6: nothing of it happens.
        ({"MinSize": 7}, (1, 6, 3)),
    ],
)
def test_what_an_action_leaves_out_stays_and_desired_follows(
    elba: Harness, sizes: dict[str, Any], after: tuple[int, int, int]
) -> None:
    elba.create(minimum=1, maximum=6, DesiredCapacity=3)
    put(elba, StartTime=stamp(elba, 60), **sizes)
    elba.advance(90)
    group = elba.group()
    assert (group.min_size, group.max_size, group.desired_capacity) == after


def test_a_policy_moves_what_a_schedule_has_set(elba: Harness) -> None:
    elba.create(minimum=1, maximum=3)
    put(elba, StartTime=stamp(elba, 60), MaxSize=8, DesiredCapacity=5)
    elba.advance(90)
    elba.asg.put_scaling_policy(
        AutoScalingGroupName="g", PolicyName="down", AdjustmentType="ChangeInCapacity", ScalingAdjustment=-2
    )
    elba.asg.execute_policy(AutoScalingGroupName="g", PolicyName="down")
    assert elba.group().desired_capacity == 3


def test_suspended_schedules_are_skipped_for_good(elba: Harness) -> None:
    elba.create(minimum=0, maximum=4)
    put(elba, StartTime=stamp(elba, 600), DesiredCapacity=2)
    elba.asg.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=["ScheduledActions"])
    elba.advance(700)
    elba.asg.resume_processes(AutoScalingGroupName="g", ScalingProcesses=["ScheduledActions"])
    elba.advance(700)
    assert elba.group().desired_capacity == 0


def test_a_desired_capacity_out_of_range_fails_visibly(elba: Harness) -> None:
    elba.create(minimum=0, maximum=4)
    put(elba, StartTime=stamp(elba, 600), DesiredCapacity=9)
    elba.advance(700)
    (activity,) = elba.activities()
    assert activity.status_code == "Failed"
    assert activity.status_message == "Desired capacity:9 must be between the specified min size:0 and max size:4"


ZONE = "Time zone specified does not conform to standardized time zones found in IANA Time Zone Database"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"StartTime": -60, "MinSize": 1}, "Given start time is in the past"),
        ({"Recurrence": "nonsense", "MinSize": 1}, "Given recurrence string: nonsense is invalid"),
        (
            {"StartTime": 60, "MinSize": 2, "DesiredCapacity": 1},
            "Desired capacity must be greater than or equal to min size",
        ),
        (
            {"StartTime": 60, "TimeZone": "Asia/Tokyo", "MinSize": 1},
            "Time zone is only supported for recurring schedules",
        ),
        ({"Recurrence": "0 * * * *", "TimeZone": "Mars/Base", "MinSize": 1}, ZONE),
        ({"StartTime": 60}, "At least one of MinSize, MaxSize or DesiredCapacity is required."),
        ({"MinSize": 1}, "Scheduled start time must be specified for non-recurrent future group action"),
        ({"StartTime": 3600, "MinSize": 1}, "Scheduled action with this scheduled start time already exists"),
        ({"Recurrence": "99 6 * * 2", "MinSize": 1}, "Given recurrence string: 99 6 * * 2 is invalid"),
        ({"Recurrence": "30 6 ? * 2", "MinSize": 1}, "Given recurrence string: 30 6 ? * 2 is invalid"),
        ({"Recurrence": "cron(30 6 * * 2)", "MinSize": 1}, "Given recurrence string: cron(30 6 * * 2) is invalid"),
        ({"StartTime": 60, "MinSize": -1}, "Min size must be non-negative"),
        ({"StartTime": 60, "DesiredCapacity": -1}, "Desired capacity must be non-negative"),
        (
            {"StartTime": 60, "MaxSize": 1, "DesiredCapacity": 2},
            "Desired capacity must be less than or equal to max size",
        ),
        ({"EndTime": -60, "StartTime": 60, "MinSize": 1}, "Given end time is in the past"),
        ({"EndTime": 60, "StartTime": 120, "MinSize": 1}, "Given end time must be after start time"),
    ],
)
def test_refused(elba: Harness, fields: dict[str, object], message: str) -> None:
    elba.create(minimum=0)
    put(elba, "other", StartTime=stamp(elba, 3600), MinSize=1)
    given = {k: stamp(elba, v) if k in ("StartTime", "EndTime") else v for k, v in fields.items()}  # type: ignore[arg-type]
    assert elba.refused(
        "put_scheduled_update_group_action", AutoScalingGroupName="g", ScheduledActionName="s", **given
    ) == ("ValidationError", message)


def test_batches_tell_what_failed(elba: Harness) -> None:
    elba.create(minimum=0)
    answer = elba.asg.batch_put_scheduled_update_group_action(
        AutoScalingGroupName="g",
        ScheduledUpdateGroupActions=[
            {"ScheduledActionName": "good", "StartTime": stamp(elba, 60), "MinSize": 1},
            {"ScheduledActionName": "bad", "StartTime": stamp(elba, -60), "MinSize": 1},
        ],
    )
    assert answer["FailedScheduledUpdateGroupActions"] == [
        {
            "ScheduledActionName": "bad",
            "ErrorCode": "ValidationError",
            "ErrorMessage": "Given start time is in the past",
        }
    ]
    answer = elba.asg.batch_delete_scheduled_action(AutoScalingGroupName="g", ScheduledActionNames=["good", "bad"])
    assert [f["ScheduledActionName"] for f in answer["FailedScheduledActions"]] == ["bad"]


def test_a_recurrence_runs_by_the_clock_of_its_time_zone(elba: Harness) -> None:
    elba.create(minimum=0, maximum=4)
    put(elba, Recurrence="30 12 * * *", TimeZone="Asia/Tokyo", DesiredCapacity=2)
    (shown,) = elba.asg.describe_scheduled_actions()["ScheduledUpdateGroupActions"]
    assert (shown["TimeZone"], shown["StartTime"]) == ("Asia/Tokyo", datetime(2026, 1, 1, 3, 30, tzinfo=UTC))
    elba.advance(3.5 * 3600 - 1)
    assert elba.group().desired_capacity == 0
    elba.advance(2)
    assert elba.group().desired_capacity == 2
