"""Composite alarms: grammar, evaluation, circles and the suppressor's timeline."""

from __future__ import annotations

import json
from typing import Any

import pytest

from elba.cloudwatch import operations as api
from elba.cloudwatch.commands import remove_alarms
from elba.cloudwatch.composite import RuleError, children, holds, parse_rule
from elba.cloudwatch.resources import Alarm
from elba.errors import ApiError
from tests.unit.cloudwatch.bench import ACCOUNT, POLICY, REGION, TOPIC, Bench
from tests.unit.cloudwatch.test_alarm_loop import put_alarm

STATES = {"a": "ALARM", "b": "OK", "c": "INSUFFICIENT_DATA", "x y": "ALARM", 'q"': "ALARM"}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("TRUE", True),
        ("FALSE", False),
        ("ALARM(a)", True),
        ('ALARM("a")', True),
        ('ALARM("x y")', True),
        ('ALARM("q\\"")', True),
        (f"ALARM(arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:a)", True),
        ("OK(a)", False),
        ("INSUFFICIENT_DATA(c)", True),
        ("ALARM(gone) OR OK(gone) OR INSUFFICIENT_DATA(gone)", False),
        ("NOT ALARM(b)", True),
        ("NOT NOT ALARM(a)", True),
        ("ALARM(b) AND ALARM(b) OR ALARM(a)", True),
        ("ALARM(a) OR ALARM(b) AND ALARM(b)", True),
        ("(ALARM(a) OR ALARM(b)) AND ALARM(b)", False),
        ("NOT (ALARM(a) AND OK(b))", False),
        ("NOT ALARM(a) OR OK(b)", True),
        ("  ALARM ( a )\n AND OK(b) ", True),
        ("AT_LEAST(1, ALARM, (a, b, c))", True),
        ("AT_LEAST(2, ALARM, (a, b, c))", False),
        ("AT_LEAST(2, NOT ALARM, (a, b, gone))", True),
        ("AT_LEAST(50%, OK, (a, b))", True),
        ("AT_LEAST(51%, OK, (a, b))", False),
        ("AT_LEAST(33%, OK, (a, b, c))", True),
        ('NOT AT_LEAST( 100% ,ALARM,("a","x y")) OR FALSE', False),
    ],
)
def test_rules(rule: str, expected: bool) -> None:
    assert holds(parse_rule(rule), STATES.get) == expected


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "ALARM",
        "ALARM(",
        "ALARM()",
        "ALARM(a",
        "a",
        "ALARM(a) ALARM(b)",
        "alarm(a)",
        "AND ALARM(a)",
        "ALARM(a) AND",
        "ALARM(a) and ALARM(b)",
        "(ALARM(a)",
        "ALARM(a))",
        "ALARM(a b)",
        'ALARM("a)',
        "(" * 200 + "TRUE" + ")" * 200,
        " OR ".join(f"ALARM(n{i})" for i in range(101)),
        " OR ".join(["ALARM(a)"] * 501),
        "ALARM(a,b)",
        "AT_LEAST",
        "AT_LEAST(1, ALARM, a)",
        "AT_LEAST(1, ALARM, ())",
        "AT_LEAST(1, ALARM, (a,))",
        "AT_LEAST(1, ALARM, (a b))",
        "AT_LEAST(0, ALARM, (a))",
        "AT_LEAST(2, ALARM, (a))",
        "AT_LEAST(101%, ALARM, (a))",
        "AT_LEAST(x, ALARM, (a))",
        "AT_LEAST(1, TRUE, (a))",
        "AT_LEAST(1, ALARM (a))",
        "AT_LEAST(1, ALARM, (a)",
    ],
)
def test_not_rules(rule: str) -> None:
    with pytest.raises(RuleError):
        parse_rule(rule)


def test_children_once_each() -> None:
    assert children(parse_rule("ALARM(a) AND (OK(b) OR AT_LEAST(1, NOT OK, (a, c)))")) == ["a", "b", "c"]


def put(bench: Bench, name: str, rule: str, **more: Any) -> None:
    bench.run(api.put_composite_alarm, alarm_name=name, alarm_rule=rule, **more)


def composite(bench: Bench, name: str = "c") -> dict[str, Any]:
    answer = bench.run(api.describe_alarms, alarm_names=[name], alarm_types=["CompositeAlarm"])
    return dict(answer["composite_alarms"][0])


def set_state(bench: Bench, name: str, state: str) -> None:
    bench.run(api.set_alarm_state, alarm_name=name, state_value=state, state_reason="test")
    bench.advance(0)


@pytest.fixture
def still(bench: Bench) -> Bench:
    """Nothing but composite alarms is evaluated: the children are set by hand."""
    bench.task.cancel()
    return bench


def test_follows_its_children_at_once(still: Bench) -> None:
    put_alarm(still, "a")
    put_alarm(still, "b")
    put(still, "c", 'ALARM("a") AND NOT ALARM("b")', alarm_actions=[TOPIC], ok_actions=[f"{TOPIC}2"])
    still.advance(0.01)
    assert composite(still)["state_value"] == "OK"
    assert [a.action_arn for a in still.take_actions()] == [f"{TOPIC}2"]
    set_state(still, "a", "ALARM")
    found = composite(still)
    assert found["state_value"] == "ALARM"
    assert found["state_reason"] == (
        f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:a transitioned to ALARM at Thursday 01 January, 2026 00:00:00 UTC"
    )
    (action,) = still.take_actions()
    assert (action.action_arn, action.old_state, action.state) == (TOPIC, "OK", "ALARM")
    set_state(still, "b", "ALARM")
    assert composite(still)["state_value"] == "OK"


def test_set_state_of_a_composite_lasts_until_a_child_changes(still: Bench) -> None:
    put_alarm(still, "a")
    put(still, "c", "ALARM(a)", alarm_actions=[TOPIC])
    still.advance(0.01)
    set_state(still, "c", "ALARM")
    assert [a.state for a in still.take_actions()] == ["ALARM"]
    still.advance(600)
    assert composite(still)["state_value"] == "ALARM"
    set_state(still, "a", "OK")
    assert composite(still)["state_value"] == "OK"


def test_names_are_shared_with_metric_alarms(still: Bench) -> None:
    put_alarm(still, "a")
    with pytest.raises(ApiError):
        put(still, "a", "TRUE")
    put(still, "c", "TRUE")
    with pytest.raises(ApiError):
        put_alarm(still, "c")


@pytest.mark.parametrize(
    "more",
    [
        {"rule": "ALARM(nobody)"},
        {"rule": "ALARM("},
        {"rule": f"ALARM(arn:aws:cloudwatch:us-west-2:{ACCOUNT}:alarm:a)"},
        {"alarm_actions": [POLICY]},
        {"alarm_actions": [f"arn:aws:automate:{REGION}:ec2:stop"]},
        {"actions_suppressor": "a"},
        {"actions_suppressor_wait_period": 1},
        {"actions_suppressor": "nobody", "actions_suppressor_wait_period": 1, "actions_suppressor_extension_period": 1},
    ],
)
def test_put_refuses(still: Bench, more: dict[str, Any]) -> None:
    put_alarm(still, "a")
    rule = more.pop("rule", "ALARM(a)")
    with pytest.raises(ApiError) as caught:
        put(still, "c", rule, **more)
    assert caught.value.code == "ValidationError"


def test_what_a_composite_alarm_depends_on_cannot_be_deleted(still: Bench) -> None:
    """The texts are recorded from the service."""
    for name in ("a", "b", "e"):
        put_alarm(still, name)
    put(still, "c", "ALARM(a) OR ALARM(b)")
    put(still, "d", "NOT ALARM(c)")

    def refused(*names: str) -> str:
        with pytest.raises(ApiError) as caught:
            still.run(api.delete_alarms, alarm_names=list(names))
        assert caught.value.code == "ValidationError"
        return caught.value.message

    assert refused("a") == "Cannot delete a as there are composite alarm(s) depending on it."
    assert refused("a", "e", "b") == "Cannot delete a,b as there are composite alarm(s) depending on them."
    assert refused("c") == "Cannot delete c as there are composite alarm(s) depending on it."
    assert len(still.run(api.describe_alarms)["metric_alarms"]) == 3, "nor is what nothing depends on"
    assert "one composite alarm" in refused("c", "d")
    still.run(api.delete_alarms, alarm_names=["d"])
    still.run(api.delete_alarms, alarm_names=["c", "a", "b"])
    still.run(api.delete_alarms, alarm_names=["e", "nobody"])
    assert refused() == "1 to 100 alarms can be deleted at once."


def test_a_child_that_is_gone_is_in_no_state(still: Bench) -> None:
    put_alarm(still, "a")
    put(still, "c", "NOT ALARM(a)")
    set_state(still, "a", "ALARM")
    assert composite(still)["state_value"] == "OK"
    alarm = still.store.view.get(Alarm, ACCOUNT, REGION, "a")
    assert alarm is not None
    # As Auto Scaling deletes those of its policies.
    still.loop.run(still.store.write(lambda tx: remove_alarms(tx, still.call(), [alarm]), "t"))
    still.advance(0.01)
    assert composite(still)["state_value"] == "ALARM"


def test_circles_stand_still_until_broken(still: Bench) -> None:
    put(still, "x", "TRUE")
    put(still, "y", "ALARM(x)")
    still.advance(0.01)
    assert composite(still, "y")["state_value"] == "ALARM"
    put(still, "x", "OK(y)")
    still.advance(0.01)
    assert composite(still, "x")["state_value"] == "ALARM", "not evaluated"
    with pytest.raises(ApiError):
        still.run(api.delete_alarms, alarm_names=["y"])
    put(still, "x", "FALSE")
    still.advance(0.01)
    assert (composite(still, "x")["state_value"], composite(still, "y")["state_value"]) == ("OK", "OK")
    still.run(api.delete_alarms, alarm_names=["y"])


def test_parents_and_children(still: Bench) -> None:
    put_alarm(still, "a")
    put(still, "c", "ALARM(a)")
    put(still, "d", "ALARM(c)")
    answer = still.run(api.describe_alarms, children_of_alarm_name="c")
    assert [a["alarm_name"] for a in answer["metric_alarms"]] == ["a"]
    answer = still.run(api.describe_alarms, parents_of_alarm_name="c")
    assert [a["alarm_name"] for a in answer["composite_alarms"]] == ["d"]
    with pytest.raises(ApiError):
        still.run(api.describe_alarms, parents_of_alarm_name="c", alarm_names=["a"])


class Timeline:
    """Composite `c` follows `a`, suppressed by `s` with W = 2 and X = 3. Times are minutes of the clock."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        for name in ("a", "s"):
            put_alarm(bench, name)
            set_state(bench, name, "OK")
        put(
            bench,
            "c",
            "ALARM(a)",
            alarm_actions=[TOPIC],
            ok_actions=[f"{TOPIC}-ok"],
            actions_suppressor="s",
            actions_suppressor_wait_period=120,
            actions_suppressor_extension_period=180,
        )
        bench.advance(600)
        bench.take_actions()
        self.zero = bench.now

    def at(self, minute: float) -> None:
        self.bench.advance(self.zero + 60 * minute - self.bench.now + 0.01)

    def by(self) -> Any:
        return composite(self.bench)["actions_suppressed_by"]

    def ran(self) -> list[str]:
        return [action.state for action in self.bench.take_actions()]


def test_suppressor_not_in_alarm_only_delays(still: Bench) -> None:
    line = Timeline(still)
    line.at(2)
    set_state(still, "a", "ALARM")
    assert line.by() == "WaitPeriod"
    line.at(3.9)
    assert line.ran() == []
    line.at(4)
    assert line.ran() == ["ALARM"]
    assert line.by() is None


def test_suppressor_timeline_of_the_spec(still: Bench) -> None:
    line = Timeline(still)
    line.at(2)
    set_state(still, "a", "ALARM")
    line.at(3)
    set_state(still, "s", "ALARM")
    assert line.by() == "Alarm"
    line.at(6)
    assert line.ran() == []
    set_state(still, "s", "OK")
    assert line.by() == "ExtensionPeriod"
    line.at(8.9)
    assert line.ran() == []
    line.at(9)
    assert line.ran() == ["ALARM"]


def test_a_change_within_the_extension_begins_a_new_wait(still: Bench) -> None:
    line = Timeline(still)
    line.at(2)
    set_state(still, "a", "ALARM")
    line.at(3)
    set_state(still, "s", "ALARM")
    line.at(6)
    set_state(still, "s", "OK")
    line.at(7)
    set_state(still, "a", "OK")
    assert line.by() == "WaitPeriod"
    line.at(8.9)
    assert line.ran() == []
    line.at(9)
    assert line.ran() == ["OK"]


def test_a_change_within_the_wait_begins_a_new_wait(still: Bench) -> None:
    line = Timeline(still)
    line.at(2)
    set_state(still, "a", "ALARM")
    line.at(3)
    set_state(still, "a", "OK")
    line.at(4.9)
    assert line.ran() == []
    line.at(5)
    assert line.ran() == ["OK"]


def test_suppressor_already_in_alarm(still: Bench) -> None:
    line = Timeline(still)
    set_state(still, "s", "ALARM")
    line.at(2)
    set_state(still, "a", "ALARM")
    assert line.by() == "Alarm"
    line.at(60)
    assert line.ran() == []


def test_another_suppressor_drops_the_timer(still: Bench) -> None:
    line = Timeline(still)
    put_alarm(still, "s2")
    line.at(2)
    set_state(still, "a", "ALARM")
    put(
        still,
        "c",
        "ALARM(a)",
        alarm_actions=[TOPIC],
        actions_suppressor="s2",
        actions_suppressor_wait_period=120,
        actions_suppressor_extension_period=180,
    )
    line.at(10)
    assert line.ran() == []
    assert composite(still)["state_value"] == "ALARM"


def test_timers_survive_a_restart(bench: Bench) -> None:
    bench.task.cancel()
    line = Timeline(bench)
    line.at(2)
    set_state(bench, "a", "ALARM")
    line.at(3)
    bench.restart()
    bench.task.cancel()
    line.at(3.9)
    assert line.ran() == []
    line.at(4.1)
    assert line.ran() == ["ALARM"]


def test_reasons_of_a_put_name_all_children_those_of_a_change_one(still: Bench) -> None:
    """As recorded from the service."""
    for name in ("a", "b"):
        put_alarm(still, name)
        set_state(still, name, "ALARM" if name == "a" else "OK")
    put(still, "c", "ALARM(a) AND ALARM(b)")
    still.advance(1)

    def told() -> tuple[str, list[str]]:
        found = composite(still)
        data = json.loads(found["state_reason_data"])
        names = [each["arn"].rpartition(":")[2] for each in data["triggeringAlarms"]]
        return found["state_reason"].replace(found["alarm_arn"], "C"), names

    assert told() == ("C was created and its alarm rule evaluates to OK", ["a", "b"])
    put(still, "c", "ALARM(a) OR ALARM(b)")
    still.advance(1)
    assert told() == ("C was updated and its alarm rule evaluates to ALARM", ["a", "b"])
    set_state(still, "a", "OK")
    still.advance(1)
    reason, names = told()
    assert reason.endswith(" UTC") and "alarm:a transitioned to OK at " in reason and names == ["a"]
