"""Every kind of decision is kept with what it went by, and `elba explain` can show it."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

from elba.autoscaling.queries.decisions import explain
from elba.autoscaling.resources import Decision
from elba.cli.explain import show
from elba.wire import HttpRequest
from tests.unit.autoscaling.harness import ACCOUNT, REGION, Harness


def explained(elba: Harness, last: int = 10) -> list[dict[str, Any]]:
    found = explain(elba.store.view, ACCOUNT, REGION, "g", last)
    assert found is not None
    json.dumps(found)
    decisions: list[dict[str, Any]] = found["decisions"]
    return decisions


def printed(elba: Harness) -> str:
    recorder = Console(width=200, highlight=False)
    with recorder.capture() as capture:
        found = explain(elba.store.view, ACCOUNT, REGION, "g", 50)
        assert found is not None
        show(found, recorder)
    return capture.get()


def step_policy(elba: Harness, name: str = "step", lower: float = 0.0) -> str:
    arn: str = elba.asg.put_scaling_policy(
        AutoScalingGroupName="g",
        PolicyName=name,
        PolicyType="StepScaling",
        AdjustmentType="ChangeInCapacity",
        StepAdjustments=[{"MetricIntervalLowerBound": lower, "ScalingAdjustment": 1}],
    )["PolicyARN"]
    return arn


def test_a_policy_decision_shows_its_arithmetic_and_the_activity_it_caused(elba: Harness) -> None:
    elba.create(minimum=1)
    elba.advance(1000)
    elba.alarm("high", step_policy(elba))
    elba.fire("high", 60.0)
    elba.advance(100)
    decision = explained(elba)[-1]
    assert (decision["trigger"], decision["before"], decision["after"]) == ("alarm", 1, 2)
    (proposal,) = decision["inputs"]["proposals"]
    assert proposal["metric"] == 60.0
    assert proposal["threshold"] == 50.0
    assert proposal["won"]
    assert proposal["arithmetic"] == "60 - 50 = 10 in step 0..∞: 1 +1 = 2"
    (activity,) = decision["activities"]
    assert activity["status"] == "Successful"
    assert (
        "alarm high in state ALARM triggered policy step changing the desired capacity from 1 to 2"
        in (activity["cause"])
    )
    text = printed(elba)
    for expected in ("step: 1 → 2", "metric 60, threshold 50", "wins with 2", "Successful: Launching"):
        assert expected in text


def test_what_held_a_policy_back_is_told_and_repetitions_are_counted(elba: Harness) -> None:
    elba.create(minimum=1, maximum=1)
    elba.advance(1000)
    elba.alarm("high", step_policy(elba))
    for _ in range(5):
        elba.fire("high", 60.0)
        elba.advance(60)
    decision = explained(elba)[-1]
    assert decision["times"] == 5
    assert decision["time"] - decision["since"] >= 240
    assert decision["inputs"]["proposals"][0]["blocked"] == "at the maximum size 1"
    assert "held back: at the maximum size 1" in printed(elba)
    assert "5 times since" in printed(elba)


def test_a_breach_without_a_step_a_disabled_policy_and_a_suspended_process_are_decisions_too(elba: Harness) -> None:
    elba.create(minimum=1)
    elba.advance(1000)
    elba.alarm("high", step_policy(elba, lower=20.0))
    elba.fire("high", 60.0)
    assert explained(elba)[-1]["summary"] == "stays at 1: no step adjustment holds 10.0"
    elba.asg.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=["AlarmNotification"])
    elba.fire("high", 90.0)
    assert explained(elba)[-1]["summary"] == "stays at 1: AlarmNotification is suspended"


def test_scheduled_actions_leave_decisions_also_when_they_fail(elba: Harness) -> None:
    elba.create(minimum=1, maximum=4)
    elba.asg.put_scheduled_update_group_action(
        AutoScalingGroupName="g", ScheduledActionName="morning", StartTime=elba.now + 60, DesiredCapacity=3
    )
    elba.asg.put_scheduled_update_group_action(
        AutoScalingGroupName="g", ScheduledActionName="party", StartTime=elba.now + 600, DesiredCapacity=9
    )
    elba.advance(1000)
    morning, party = [d for d in explained(elba) if d["trigger"] == "schedule"]
    assert morning["summary"] == "morning: 1 → 3"
    assert len(morning["activities"]) == 2
    assert party["before"] == party["after"] == 3
    assert "party failed" in party["summary"]
    assert "Max" in printed(elba) or "max" in party["inputs"]["blocked"]


def test_users_and_health_leave_decisions(elba: Harness) -> None:
    elba.create(minimum=1)
    elba.advance(1000)
    victim = elba.members()[0].id
    elba.kill(victim)
    elba.advance(300)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=2)
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", MinSize=3)
    shown = [(d["trigger"], d["summary"]) for d in explained(elba)]
    assert shown == [
        ("user", "CreateAutoScalingGroup: 0 → 1"),
        ("health", f"stays at 1: unhealthy {victim} is replaced"),
        ("user", "SetDesiredCapacity: 1 → 2"),
        ("user", "UpdateAutoScalingGroup: 2 → 3"),
    ]
    assert len(explained(elba, last=1)) == 1
    elba.asg.delete_auto_scaling_group(AutoScalingGroupName="g", ForceDelete=True)
    elba.advance(600)
    assert elba.store.view.all(Decision) == []
    assert explain(elba.store.view, ACCOUNT, REGION, "g", 10) is None


def test_the_page_is_for_this_machine_only_and_says_what_is_wrong(elba: Harness) -> None:
    elba.create(minimum=1)

    def ask(query: str, client: str = "127.0.0.1", path: str = "/_elba/explain") -> tuple[int, str]:
        answer = elba.app.admin.answer(HttpRequest("GET", path, query, {}, b"", client))
        assert answer is not None
        return answer.status, answer.body.decode()

    status, body = ask(f"group=g&last=1&region={REGION}&account={ACCOUNT}")
    assert status == 200
    assert json.loads(body)["decisions"][0]["summary"] == "CreateAutoScalingGroup: 0 → 1"
    assert ask("group=none")[0] == 404
    assert ask("group=g&last=-1")[0] == 400
    assert ask("group=g", client="192.0.2.1")[0] == 403
    assert ask("", client="192.0.2.1", path="/metrics")[0] == 403
