"""Instance refreshes, maximum lifetime and maintenance policies."""

from __future__ import annotations

from typing import Any

import pytest

from elba.autoscaling.advance.replacing import allowed, bounds

from .harness import Harness


def running(elba: Harness, count: int, **fields: Any) -> set[str]:
    elba.create(minimum=0, maximum=20, DesiredCapacity=count, **fields)
    elba.advance(60)
    assert len(elba.in_service()) == count
    return {m.id for m in elba.in_service()}


def start(elba: Harness, **fields: Any) -> None:
    elba.asg.start_instance_refresh(AutoScalingGroupName="g", **fields)


def status(elba: Harness) -> dict[str, Any]:
    found: dict[str, Any] = elba.asg.describe_instance_refreshes(AutoScalingGroupName="g")["InstanceRefreshes"][0]
    return found


def watch(elba: Harness, seconds: int) -> tuple[int, int]:
    """Fewest in service and most members not terminating, while so much time passes."""
    least, most = 99, 0
    for _ in range(seconds):
        elba.advance(1)
        least = min(least, len(elba.in_service()))
        most = max(most, len([m for m in elba.members() if not m.lifecycle_state.startswith("Terminating")]))
    return least, most


@pytest.mark.parametrize(
    ("desired", "low", "high", "floor", "ceiling", "first"),
    [
        (10, 90, 100, 9, 10, 1),
        (10, 50, 100, 5, 10, 5),
        (10, 0, 100, 0, 10, 10),
        (1, 90, 100, 1, 1, 1),
        (3, 100, 200, 3, 6, 0),
        (4, 100, 110, 4, 5, 0),
        (10, 100, 100, 10, 10, 1),
    ],
)
def test_how_many_may_go_first(desired: int, low: int, high: int, floor: int, ceiling: int, first: int) -> None:
    limits = bounds(desired, low, high)
    assert (limits.floor, limits.ceiling) == (floor, ceiling)
    assert allowed(limits, desired, ready=desired, moving=False) == first


def test_all_are_replaced_one_at_a_time_by_default(elba: Harness) -> None:
    old = running(elba, 3)
    start(elba, Preferences={"InstanceWarmup": 10})
    least, most = watch(elba, 120)
    assert (least, most) == (2, 3)
    assert not old & {m.id for m in elba.members()}
    found = status(elba)
    assert (found["Status"], found["PercentageComplete"], found["InstancesToUpdate"]) == ("Successful", 100, 0)
    assert found["Preferences"]["MinHealthyPercentage"] == 90
    assert elba.is_still()
    assert any(
        a.cause.endswith("an instance was taken out of service in response to an instance refresh.")
        for a in elba.activities()
    )
    assert any(
        a.cause.endswith("an instance was launched in response to an instance refresh.") for a in elba.activities()
    )


def test_above_one_hundred_percent_it_launches_first(elba: Harness) -> None:
    old = running(elba, 3)
    start(elba, Preferences={"InstanceWarmup": 10, "MinHealthyPercentage": 100, "MaxHealthyPercentage": 200})
    least, most = watch(elba, 120)
    assert (least, most) == (3, 6)
    assert not old & {m.id for m in elba.members()}
    assert status(elba)["Status"] == "Successful"


def test_the_desired_configuration_becomes_the_groups_when_all_is_done(elba: Harness) -> None:
    running(elba, 2)
    template = elba.template(instance_type="t3.small")
    configuration = {"LaunchTemplate": {"LaunchTemplateId": template, "Version": "2"}}
    start(elba, DesiredConfiguration=configuration, Preferences={"InstanceWarmup": 0})
    assert elba.described()["LaunchTemplate"]["Version"] == "$Latest"
    elba.advance(120)
    assert elba.described()["LaunchTemplate"]["Version"] == "2"
    assert {m.instance_type for m in elba.in_service()} == {"t3.small"}


def test_skip_matching_leaves_them_alone(elba: Harness) -> None:
    old = running(elba, 2)
    start(elba, Preferences={"SkipMatching": True, "InstanceWarmup": 0})
    elba.advance(60)
    assert {m.id for m in elba.in_service()} == old
    assert status(elba)["Status"] == "Successful"


def test_checkpoints_pause_it(elba: Harness) -> None:
    old = running(elba, 4)
    preferences = {
        "InstanceWarmup": 0,
        "MinHealthyPercentage": 0,
        "CheckpointPercentages": [50, 100],
        "CheckpointDelay": 600,
    }
    start(elba, Preferences=preferences)
    elba.advance(300)
    assert len(old & {m.id for m in elba.members()}) == 2
    assert status(elba)["PercentageComplete"] == 50
    elba.advance(700)
    assert not old & {m.id for m in elba.members()}
    assert status(elba)["Status"] == "Successful"


def test_cancel_keeps_what_is_done(elba: Harness) -> None:
    old = running(elba, 3)
    start(elba, Preferences={"InstanceWarmup": 60})
    elba.advance(20)
    elba.asg.cancel_instance_refresh(AutoScalingGroupName="g")
    elba.advance(60)
    assert status(elba)["Status"] == "Cancelled"
    assert len(old & {m.id for m in elba.members()}) == 2
    assert elba.refused("cancel_instance_refresh", AutoScalingGroupName="g")[0] == "ActiveInstanceRefreshNotFound"


def test_rollback_goes_back(elba: Harness) -> None:
    running(elba, 3)
    template = elba.template(instance_type="t3.small")
    elba.asg.update_auto_scaling_group(
        AutoScalingGroupName="g", LaunchTemplate={"LaunchTemplateId": template, "Version": "1"}
    )
    configuration = {"LaunchTemplate": {"LaunchTemplateId": template, "Version": "2"}}
    start(elba, DesiredConfiguration=configuration, Preferences={"InstanceWarmup": 30})
    elba.advance(60)
    assert "t3.small" in {m.instance_type for m in elba.in_service()}
    elba.asg.rollback_instance_refresh(AutoScalingGroupName="g")
    elba.advance(300)
    assert status(elba)["Status"] == "RollbackSuccessful"
    assert {m.instance_type for m in elba.in_service()} == {"t3.micro"}
    assert len(elba.in_service()) == 3


def test_a_floating_version_cannot_be_rolled_back(elba: Harness) -> None:
    running(elba, 2)
    start(elba, Preferences={"InstanceWarmup": 300})
    assert elba.refused("rollback_instance_refresh", AutoScalingGroupName="g")[0] == "IrreversibleInstanceRefresh"
    assert elba.refused("start_instance_refresh", AutoScalingGroupName="g") == (
        "InstanceRefreshInProgress",
        "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.",
    )


@pytest.mark.parametrize(("choice", "ends"), [("Wait", "Failed"), ("Ignore", "Successful"), ("Refresh", "Successful")])
def test_protected_members(elba: Harness, choice: str, ends: str) -> None:
    old = running(elba, 2, NewInstancesProtectedFromScaleIn=True)
    start(elba, Preferences={"InstanceWarmup": 0, "ScaleInProtectedInstances": choice})
    elba.advance(4000)
    assert status(elba)["Status"] == ends
    assert len(old & {m.id for m in elba.members()}) == (0 if choice == "Refresh" else 2)


def test_baking(elba: Harness) -> None:
    running(elba, 1)
    start(elba, Preferences={"InstanceWarmup": 0, "BakeTime": 600})
    elba.advance(100)
    assert status(elba)["Status"] == "Baking"
    elba.advance(600)
    assert status(elba)["Status"] == "Successful"


def test_an_empty_group_is_refreshed_at_once(elba: Harness) -> None:
    running(elba, 0)
    start(elba)
    elba.advance(1)
    assert status(elba)["Status"] == "Successful"


def test_old_members_are_replaced_a_few_at_a_time(elba: Harness) -> None:
    old = running(elba, 3, MaxInstanceLifetime=86400)
    elba.advance(86000)
    assert {m.id for m in elba.in_service()} == old
    least, most = watch(elba, 700)
    assert least == 2
    assert not old & {m.id for m in elba.members()}
    assert most == 3


def test_a_maintenance_policy_replaces_the_unhealthy_launching_first(elba: Harness) -> None:
    policy = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150}
    old = running(elba, 2, InstanceMaintenancePolicy=policy)
    sick = sorted(old)[0]
    elba.asg.set_instance_health(InstanceId=sick, HealthStatus="Unhealthy")
    least, most = watch(elba, 60)
    assert (least, most) == (2, 3)
    assert sick not in {m.id for m in elba.members()}
    assert elba.is_still()


def reversible(elba: Harness, count: int = 3) -> dict[str, Any]:
    """A running group at version 1 of its template; a desired configuration of version 2."""
    running(elba, count)
    template = elba.template(instance_type="t3.small")
    elba.asg.update_auto_scaling_group(
        AutoScalingGroupName="g", LaunchTemplate={"LaunchTemplateId": template, "Version": "1"}
    )
    return {"LaunchTemplate": {"LaunchTemplateId": template, "Version": "2"}}


def types(elba: Harness) -> list[str]:
    return sorted(m.instance_type for m in elba.in_service())


def test_three_at_sixty_six_percent_lose_one_at_a_time(elba: Harness) -> None:
    running(elba, 3)
    start(elba, Preferences={"InstanceWarmup": 10, "MinHealthyPercentage": 66})
    assert watch(elba, 120) == (2, 3)
    assert status(elba)["Status"] == "Successful"


def test_an_alarm_rolls_back_and_does_not_fail_the_rollback(elba: Harness) -> None:
    configuration = reversible(elba)
    elba.alarm("bad", "arn:aws:sns:us-east-1:111122223333:nobody")
    preferences = {"InstanceWarmup": 100, "AutoRollback": True, "AlarmSpecification": {"Alarms": ["bad"]}}
    start(elba, DesiredConfiguration=configuration, Preferences=preferences)
    elba.advance(70)
    assert "t3.small" in types(elba)
    elba.fire("bad", 99.0)
    elba.advance(61)
    assert status(elba)["Status"] == "RollbackInProgress"
    details = status(elba)["RollbackDetails"]
    assert details["RollbackReason"] == "The CloudWatch alarm bad is in ALARM state."
    assert details["InstancesToUpdateOnRollback"] == 2
    elba.advance(300)
    assert status(elba)["Status"] == "RollbackSuccessful"
    assert types(elba) == ["t3.micro"] * 3


@pytest.mark.parametrize("status_then", ["Failed", "RollbackSuccessful"])
def test_an_alarm_while_baking(elba: Harness, status_then: str) -> None:
    configuration = reversible(elba, 1)
    elba.alarm("bad", "arn:aws:sns:us-east-1:111122223333:nobody")
    preferences = {"InstanceWarmup": 0, "BakeTime": 3600, "AlarmSpecification": {"Alarms": ["bad"]}}
    preferences["AutoRollback"] = status_then != "Failed"
    start(elba, DesiredConfiguration=configuration, Preferences=preferences)
    elba.advance(100)
    assert status(elba)["Status"] == "Baking"
    elba.fire("bad", 99.0)
    elba.advance(200)
    assert status(elba)["Status"] == status_then


def test_a_rollback_does_not_stop_at_checkpoints(elba: Harness) -> None:
    configuration = reversible(elba, 4)
    points = {"CheckpointPercentages": [50], "CheckpointDelay": 3600}
    start(
        elba,
        DesiredConfiguration=configuration,
        Preferences={"InstanceWarmup": 0, "MinHealthyPercentage": 0, "BakeTime": 600, **points},
    )
    elba.advance(100)
    assert types(elba) == ["t3.micro"] * 2 + ["t3.small"] * 2
    elba.asg.rollback_instance_refresh(AutoScalingGroupName="g")
    elba.advance(100)
    assert status(elba)["Status"] == "RollbackSuccessful"
    assert types(elba) == ["t3.micro"] * 4


def test_two_checkpoints_that_one_instance_passes_are_one_pause(elba: Harness) -> None:
    running(elba, 2)
    points = {"CheckpointPercentages": [10, 40, 100], "CheckpointDelay": 600}
    start(elba, Preferences={"InstanceWarmup": 300, "MinHealthyPercentage": 50, **points})
    # The instance warms up within the delay, not before it.
    elba.advance(590)
    assert status(elba)["PercentageComplete"] == 50
    elba.advance(60)
    assert status(elba)["PercentageComplete"] == 100
    assert status(elba)["Status"] == "InProgress"
    elba.advance(320)
    assert status(elba)["Status"] == "Successful"


def test_a_last_checkpoint_below_a_hundred_is_the_end(elba: Harness) -> None:
    old = running(elba, 4)
    points = {"CheckpointPercentages": [25, 50], "CheckpointDelay": 100}
    start(elba, Preferences={"InstanceWarmup": 0, "MinHealthyPercentage": 50, **points})
    elba.advance(600)
    assert status(elba)["Status"] == "Successful"
    assert len(old & {m.id for m in elba.in_service()}) == 2


def test_new_instances_that_never_become_healthy_fail_it_after_an_hour(elba: Harness) -> None:
    arn = elba.target_group(delay=0)
    old = running(elba, 2, TargetGroupARNs=[arn], HealthCheckType="ELB", HealthCheckGracePeriod=60)
    start(elba, Preferences={"InstanceWarmup": 300, "MinHealthyPercentage": 50})
    for _ in range(140):
        elba.advance(30)
        for member in elba.in_service():
            if member.id not in old and member.id not in elba.unhealthy:
                elba.set_health(member.id, healthy=False)
    assert status(elba)["Status"] == "Failed"
    assert len(old & {m.id for m in elba.in_service()}) == 1


def test_the_warm_pool_is_refreshed_after_the_group(elba: Harness) -> None:
    old = running(elba, 2)
    elba.asg.put_warm_pool(AutoScalingGroupName="g", MaxGroupPreparedCapacity=4)
    elba.advance(60)
    old |= {m.id for m in elba.members("Warmed:Stopped")}
    assert len(old) == 4
    start(elba, Preferences={"InstanceWarmup": 0})
    elba.advance(3)
    progress = status(elba)["ProgressDetails"]
    assert progress["WarmPoolProgress"] == {"PercentageComplete": 0, "InstancesToUpdate": 2}
    assert not old & {m.id for m in elba.members("Pending")}, "an old warm instance is no replacement"
    elba.advance(200)
    assert status(elba)["Status"] == "Successful"
    assert status(elba)["ProgressDetails"]["WarmPoolProgress"]["PercentageComplete"] == 100
    assert not old & {m.id for m in elba.members()}
    assert len(elba.members("Warmed:Stopped")) == 2
    assert elba.is_still()


@pytest.mark.parametrize("process", ["Launch", "Terminate", "InstanceRefresh"])
def test_suspended_processes_pause_it(elba: Harness, process: str) -> None:
    old = running(elba, 2)
    elba.asg.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=[process])
    start(elba, Preferences={"InstanceWarmup": 0})
    elba.advance(300)
    assert {m.id for m in elba.in_service()} == old
    assert status(elba)["Status"] == "Pending"
    elba.asg.resume_processes(AutoScalingGroupName="g")
    elba.advance(300)
    assert status(elba)["Status"] == "Successful"


@pytest.mark.parametrize(
    ("preferences", "message"),
    [
        ({"CheckpointDelay": 60}, "CheckpointDelay requires CheckpointPercentages."),
        ({"CheckpointPercentages": [50, 20]}, "CheckpointPercentages must be unique, ascending and between 1 and 100."),
        (
            {"MaxHealthyPercentage": 150},
            "MinHealthyPercentage is required when MaxHealthyPercentage is specified.",
        ),
        (
            {"MinHealthyPercentage": 50, "MaxHealthyPercentage": 160},
            "MinHealthyPercentage must be between 0 and 100, MaxHealthyPercentage between 100 and 200, and they may "
            "differ by at most 100.",
        ),
        ({"AutoRollback": True}, "AutoRollback requires a desired configuration."),
        ({"AlarmSpecification": {"Alarms": [f"a{i}" for i in range(11)]}}, "At most 10 alarms can be specified."),
    ],
)
def test_preferences_that_are_refused(elba: Harness, preferences: dict[str, Any], message: str) -> None:
    elba.create(minimum=0)
    refused = elba.refused("start_instance_refresh", AutoScalingGroupName="g", Preferences=preferences)
    assert refused == ("ValidationError", message)


def test_no_rollback_to_an_image_that_a_parameter_names(elba: Harness) -> None:
    image = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    template = elba.template(image_id=image)
    own = {"LaunchTemplateId": template, "Version": "1"}
    elba.create(minimum=0, LaunchTemplate=own)
    elba.template(instance_type="t3.small")
    wanted = {"LaunchTemplate": {"LaunchTemplateId": template, "Version": "2"}}
    code, message = elba.refused(
        "start_instance_refresh",
        AutoScalingGroupName="g",
        DesiredConfiguration=wanted,
        Preferences={"AutoRollback": True},
    )
    assert (code, "Systems Manager parameter" in message) == ("ValidationError", True)


@pytest.mark.parametrize(
    ("policy", "given", "expected"),
    [
        (None, {}, (90, 100)),
        ((100, 110), {}, (100, 110)),
        ((100, 110), {"MinHealthyPercentage": 50}, (50, 100)),
        (None, {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150}, (100, 150)),
    ],
)
def test_percentages_come_from_the_request_else_the_maintenance_policy(
    elba: Harness, policy: tuple[int, int] | None, given: dict[str, int], expected: tuple[int, int]
) -> None:
    fields: dict[str, Any] = {}
    if policy is not None:
        low, high = policy
        fields["InstanceMaintenancePolicy"] = {"MinHealthyPercentage": low, "MaxHealthyPercentage": high}
    elba.create(minimum=0, HealthCheckGracePeriod=77, **fields)
    start(elba, Preferences=given)
    shown = status(elba)["Preferences"]
    assert (shown["MinHealthyPercentage"], shown["MaxHealthyPercentage"]) == expected
    assert shown["InstanceWarmup"] == 77


@pytest.mark.parametrize(
    ("choice", "ends"), [("Wait", "Failed"), ("Ignore", "Successful"), ("Terminate", "Successful")]
)
def test_members_on_standby(elba: Harness, choice: str, ends: str) -> None:
    old = running(elba, 2)
    aside = sorted(old)[0]
    elba.asg.enter_standby(AutoScalingGroupName="g", InstanceIds=[aside], ShouldDecrementDesiredCapacity=True)
    elba.advance(10)
    start(elba, Preferences={"InstanceWarmup": 0, "StandbyInstances": choice})
    elba.advance(300)
    if choice == "Wait":
        reason = "Waiting for instances to leave standby before continuing."
        assert status(elba)["StatusReason"].startswith(reason)
    elba.advance(3700)
    assert status(elba)["Status"] == ends
    assert old & {m.id for m in elba.members()} == (set() if choice == "Terminate" else {aside})


def test_waiting_ends_when_the_member_is_unprotected(elba: Harness) -> None:
    old = running(elba, 2, NewInstancesProtectedFromScaleIn=True)
    start(elba, Preferences={"InstanceWarmup": 0})
    elba.advance(600)
    assert "is protected from scale-in" in status(elba)["StatusReason"]
    elba.asg.set_instance_protection(AutoScalingGroupName="g", InstanceIds=sorted(old), ProtectedFromScaleIn=False)
    elba.advance(100)
    assert status(elba)["Status"] == "Successful"
    assert not old & {m.id for m in elba.members()}


def test_what_is_launched_during_a_refresh_and_after_its_cancellation(elba: Harness) -> None:
    configuration = reversible(elba, 2)
    start(elba, DesiredConfiguration=configuration, Preferences={"InstanceWarmup": 600})
    elba.advance(30)
    assert types(elba) == ["t3.micro", "t3.small"]
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=3)
    elba.advance(30)
    assert types(elba) == ["t3.micro", "t3.small", "t3.small"]
    elba.asg.cancel_instance_refresh(AutoScalingGroupName="g")
    elba.advance(30)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=4)
    elba.advance(30)
    assert types(elba) == ["t3.micro", "t3.micro", "t3.small", "t3.small"]
    assert elba.described()["LaunchTemplate"]["Version"] == "1"


def test_an_old_protected_member_stays_and_a_policy_launches_first(elba: Harness) -> None:
    policy = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150}
    old = running(elba, 2, MaxInstanceLifetime=86400, InstanceMaintenancePolicy=policy)
    kept = sorted(old)[0]
    elba.asg.set_instance_protection(AutoScalingGroupName="g", InstanceIds=[kept], ProtectedFromScaleIn=True)
    elba.advance(86000)
    assert watch(elba, 600) == (2, 3)
    assert old & {m.id for m in elba.members()} == {kept}
    causes = [a.cause for a in elba.activities()]
    assert any(c.endswith("in response to the maximum instance lifetime having been reached.") for c in causes)


@pytest.mark.parametrize("status_then", ["InProgress", "Baking"])
def test_when_a_refresh_can_be_rolled_back(elba: Harness, status_then: str) -> None:
    configuration = reversible(elba, 1)
    start(elba, DesiredConfiguration=configuration, Preferences={"InstanceWarmup": 60, "BakeTime": 600})
    elba.advance(30 if status_then == "InProgress" else 100)
    assert status(elba)["Status"] == status_then
    elba.asg.rollback_instance_refresh(AutoScalingGroupName="g")
    assert status(elba)["Status"] == "RollbackInProgress"
    assert elba.refused("rollback_instance_refresh", AutoScalingGroupName="g")[0] == "ActiveInstanceRefreshNotFound"
    elba.advance(200)
    assert status(elba)["Status"] == "RollbackSuccessful"
    assert types(elba) == ["t3.micro"]
