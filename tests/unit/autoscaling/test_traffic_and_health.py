"""Target groups: registration, draining, attachment states, ELB and other health checks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from elba.autoscaling.resources import Activity
from elba.ec2.resources import Instance
from elba.elbv2.resources import TargetGroup

from .harness import ACCOUNT, REGION, Harness


def served(elba: Harness, count: int = 2, delay: int = 60, **fields: Any) -> str:
    """A group of `count` in service behind a target group; the target group's ARN."""
    arn = elba.target_group(delay=delay)
    elba.create(minimum=1, maximum=6, DesiredCapacity=count, TargetGroupARNs=[arn], **fields)
    elba.advance(60)
    assert len(elba.in_service()) == count
    return arn


def attachment_states(elba: Harness) -> list[str]:
    answer = elba.asg.describe_load_balancer_target_groups(AutoScalingGroupName="g")
    return [g["State"] for g in answer["LoadBalancerTargetGroups"]]


def test_members_are_registered_as_they_come_into_service(elba: Harness) -> None:
    served(elba)
    assert elba.targets() == {m.id: False for m in elba.in_service()}
    assert attachment_states(elba) == ["InService"]
    assert elba.is_still()


def test_a_group_without_instances_stays_added(elba: Harness) -> None:
    arn = elba.target_group()
    elba.create(minimum=0, TargetGroupARNs=[arn])
    elba.advance(60)
    assert attachment_states(elba) == ["Added"]


def test_scale_in_deregisters_drains_and_only_then_terminates(elba: Harness) -> None:
    served(elba, delay=60)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    elba.advance(1)
    (leaving,) = elba.members("Terminating")
    assert elba.targets()[leaving.id] is True
    activity = elba.store.view.get(Activity, ACCOUNT, REGION, leaving.activity_id)
    assert activity is not None
    assert activity.status_code == "WaitingForELBConnectionDraining"
    elba.advance(57)
    instance = elba.store.view.get(Instance, ACCOUNT, REGION, leaving.id)
    assert instance is not None
    assert instance.state == "running"
    elba.advance(5)
    assert len(elba.members()) == 1
    assert leaving.id not in elba.targets()
    assert elba.is_still()


def test_attach_registers_and_detach_drains(elba: Harness) -> None:
    elba.create(minimum=2)
    elba.advance(30)
    arn = elba.target_group()
    elba.asg.attach_load_balancer_target_groups(AutoScalingGroupName="g", TargetGroupARNs=[arn])
    elba.advance(1)
    assert set(elba.targets()) == {m.id for m in elba.in_service()}
    elba.advance(10)
    assert attachment_states(elba) == ["InService"]
    elba.asg.detach_load_balancer_target_groups(AutoScalingGroupName="g", TargetGroupARNs=[arn])
    assert elba.described()["TargetGroupARNs"] == []
    elba.advance(5)
    assert attachment_states(elba) == ["Removing"]
    assert set(elba.targets().values()) == {True}
    elba.advance(120)
    assert attachment_states(elba) == []
    assert elba.targets() == {}
    assert len(elba.in_service()) == 2


def test_traffic_sources_are_shown_where_they_were_attached(elba: Harness) -> None:
    elba.create(minimum=0)
    arn = elba.target_group()
    elba.asg.attach_traffic_sources(AutoScalingGroupName="g", TrafficSources=[{"Identifier": arn, "Type": "elbv2"}])
    elba.advance(1)
    assert attachment_states(elba) == []
    sources = elba.asg.describe_traffic_sources(AutoScalingGroupName="g")["TrafficSources"]
    assert [(s["Identifier"], s["State"], s["Type"]) for s in sources] == [(arn, "Added", "elbv2")]
    elba.asg.detach_traffic_sources(AutoScalingGroupName="g", TrafficSources=[{"Identifier": arn}])
    elba.advance(1)
    assert elba.asg.describe_traffic_sources(AutoScalingGroupName="g")["TrafficSources"] == []


def test_an_unhealthy_target_is_replaced_after_the_grace_period_and_not_before(elba: Harness) -> None:
    served(elba, HealthCheckType="ELB", HealthCheckGracePeriod=300)
    bad = elba.in_service()[0]
    elba.set_health(bad.id, healthy=False)
    elba.advance(200)
    assert bad.id in {m.id for m in elba.in_service()}
    elba.advance(200)
    assert bad.id not in {m.id for m in elba.members()}
    assert len(elba.in_service()) == 2
    assert any("an ELB system health check failure" in a.cause for a in elba.activities())


def test_without_elb_checks_target_health_does_not_matter(elba: Harness) -> None:
    served(elba)
    elba.set_health(elba.in_service()[0].id, healthy=False)
    before = {m.id for m in elba.members()}
    elba.advance(600)
    assert {m.id for m in elba.members()} == before


def test_when_all_fail_at_once_they_are_replaced_a_few_at_a_time(elba: Harness) -> None:
    served(elba, count=4, HealthCheckType="ELB", HealthCheckGracePeriod=0)
    old = {m.id for m in elba.in_service()}
    for id_ in old:
        elba.set_health(id_, healthy=False)
    least = 4
    for _ in range(200):
        elba.advance(5)
        least = min(least, len(elba.in_service()))
    assert least >= 3
    assert not old & {m.id for m in elba.members()}
    assert len(elba.in_service()) == 4
    assert elba.is_still()


def test_impaired_status_checks_count_after_a_while(elba: Harness) -> None:
    elba.create(minimum=1)
    elba.advance(30)
    (member,) = elba.in_service()

    def impair(tx: object) -> None:
        instance = elba.store.view.get(Instance, ACCOUNT, REGION, member.id)
        assert instance is not None
        tx.put(msgspec.structs.replace(instance, instance_status="impaired"))  # type: ignore[attr-defined]

    elba.write(impair)
    elba.advance(100)
    assert elba.in_service() == [msgspec.structs.replace(member, impaired_since=elba.in_service()[0].impaired_since)]
    elba.advance(60)
    assert member.id not in {m.id for m in elba.in_service()}


def test_set_instance_health_respects_the_grace_period_unless_told_not_to(elba: Harness) -> None:
    elba.create(minimum=1, HealthCheckGracePeriod=300)
    elba.advance(30)
    (member,) = elba.in_service()
    elba.asg.set_instance_health(InstanceId=member.id, HealthStatus="Unhealthy")
    elba.advance(30)
    assert [m.id for m in elba.in_service()] == [member.id]
    elba.asg.set_instance_health(InstanceId=member.id, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False)
    elba.advance(30)
    assert member.id not in {m.id for m in elba.members()}
    assert len(elba.in_service()) == 1
    assert any("in response to a user health-check." in a.cause for a in elba.activities())


def test_launches_fail_while_a_target_group_is_gone(elba: Harness) -> None:
    arn = elba.target_group()
    elba.create(minimum=0, TargetGroupARNs=[arn])
    elba.advance(5)
    group = elba.store.view.get(TargetGroup, ACCOUNT, REGION, arn)
    elba.write(lambda tx: tx.delete(group))
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    elba.advance(1)
    assert elba.activities()[-1].status_message == (
        "One or more target groups not found. Validating load balancer configuration failed."
    )


def test_unknown_target_groups_are_refused(elba: Harness) -> None:
    elba.create(minimum=0)
    code, message = elba.refused(
        "attach_load_balancer_target_groups",
        AutoScalingGroupName="g",
        TargetGroupARNs=[f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/no/0123456789abcdef"],
    )
    assert code == "ValidationError"
    assert message == "Provided Target Groups may not be valid. Please ensure they exist and try again."
    many = [f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/n{i}/0123456789abcdef" for i in range(11)]
    _, message = elba.refused("attach_load_balancer_target_groups", AutoScalingGroupName="g", TargetGroupARNs=many)
    assert message == "Trying to update too many Load Balancers/Target Groups at once. The limit is 10"


def test_a_way_of_detaching_takes_off_what_is_of_its_kind(elba: Harness) -> None:
    arn = elba.target_group()
    elba.create(TargetGroupARNs=[arn])
    code, message = elba.refused("detach_load_balancers", AutoScalingGroupName="g", LoadBalancerNames=[arn])
    assert (code, message) == (
        "ValidationError",
        f"Trying to remove Load Balancers that are not part of the group: {arn}",
    )
    assert elba.described()["TargetGroupARNs"] == [arn]
    elba.asg.detach_traffic_sources(AutoScalingGroupName="g", TrafficSources=[{"Identifier": arn}])
    elba.advance(1)
    assert "TargetGroupARNs" not in elba.described() or elba.described()["TargetGroupARNs"] == []


def test_unknown_classic_load_balancers_are_refused_in_every_way(elba: Harness) -> None:
    elba.create()
    told = ("ValidationError", "Provided Load Balancers may not be valid. Please ensure they exist and try again.")
    assert elba.refused("attach_load_balancers", AutoScalingGroupName="g", LoadBalancerNames=["old"]) == told
    for source in ({"Identifier": "old"}, {"Identifier": "old", "Type": "elb"}):
        assert elba.refused("attach_traffic_sources", AutoScalingGroupName="g", TrafficSources=[source]) == told
    code, _ = elba.refused(
        "attach_traffic_sources", AutoScalingGroupName="g", TrafficSources=[{"Identifier": "old", "Type": "tcp"}]
    )
    assert code == "ValidationError"
    eleven = [str(n) for n in range(11)]
    code, message = elba.refused("attach_load_balancers", AutoScalingGroupName="g", LoadBalancerNames=eleven)
    assert message == "Trying to update too many Load Balancers/Target Groups at once. The limit is 10"


@pytest.mark.parametrize(
    ("low", "high", "least", "most"),
    [(100, 150, 4, 6), (75, 100, 3, 4), (75, 125, 3, 5), (100, 100, 3, 4)],
)
def test_failed_target_checks_are_answered_within_the_maintenance_policy(
    elba: Harness, low: int, high: int, least: int, most: int
) -> None:
    """Two of four fail at once. Above 100 % others come first, unless the minimum lets some go right away."""
    arn = elba.target_group(delay=0)
    policy = {"MinHealthyPercentage": low, "MaxHealthyPercentage": high}
    elba.create(
        minimum=4,
        maximum=4,
        TargetGroupARNs=[arn],
        HealthCheckType="ELB",
        HealthCheckGracePeriod=0,
        InstanceMaintenancePolicy=policy,
    )
    elba.advance(60)
    sick = {m.id for m in elba.in_service()[:2]}
    for id_ in sick:
        elba.set_health(id_, healthy=False)
    serving, staying = 9, 0
    for _ in range(120):
        elba.advance(1)
        serving = min(serving, len(elba.in_service()))
        staying = max(staying, len([m for m in elba.members() if not m.termination]))
    assert not sick & {m.id for m in elba.members()}
    assert len(elba.in_service()) == 4
    assert (serving, staying) == (least, most)
    assert elba.is_still()
