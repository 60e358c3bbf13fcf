"""Warm pools: sizes, taking from them, refilling, reuse and deletion."""

from __future__ import annotations

import json
from typing import Any

import pytest

from elba.autoscaling.group_metrics import pool_target
from elba.autoscaling.resources import Group, WarmPool
from elba.ec2 import commands as ec2
from elba.ec2.resources import Instance, Subnet
from elba.sns.resources import Announcement
from elba.sqs.resources import Queue

from .harness import ACCOUNT, REGION, Harness


@pytest.mark.parametrize(
    ("maximum", "desired", "prepared", "minimum", "target"),
    [(10, 6, None, 0, 4), (10, 6, 8, 0, 2), (10, 6, 4, 2, 2), (10, 10, None, 0, 0)],
)
def test_sizes(maximum: int, desired: int, prepared: int | None, minimum: int, target: int) -> None:
    owner: dict[str, Any] = {"account": ACCOUNT, "region": REGION, "id": "g"}
    group = Group(**owner, arn="", min_size=0, max_size=maximum, desired_capacity=desired)
    pool = WarmPool(**owner, min_size=minimum, max_group_prepared_capacity=prepared)
    assert pool_target(group, pool) == target


def pooled(elba: Harness, **fields: Any) -> None:
    """A group of 1, at most 3, and its warm pool of 2."""
    elba.create(minimum=0, maximum=3, DesiredCapacity=1)
    elba.asg.put_warm_pool(AutoScalingGroupName="g", **fields)
    elba.advance(60)


def warm_states(elba: Harness) -> list[str]:
    instances = elba.asg.describe_warm_pool(AutoScalingGroupName="g")["Instances"]
    return sorted(i["LifecycleState"] for i in instances)


def ec2_state(elba: Harness, instance_id: str) -> str:
    instance = elba.store.view.get(Instance, ACCOUNT, REGION, instance_id)
    assert instance is not None
    return instance.state


@pytest.mark.parametrize(("state", "ec2"), [("Stopped", "stopped"), ("Running", "running"), ("Hibernated", "stopped")])
def test_the_pool_fills(elba: Harness, state: str, ec2: str) -> None:
    pooled(elba, PoolState=state)
    assert warm_states(elba) == [f"Warmed:{state}"] * 2
    warm = [m for m in elba.members() if m.lifecycle_state.startswith("Warmed:")]
    assert {ec2_state(elba, m.id) for m in warm} == {ec2}
    shown = elba.described()
    assert (len(shown["Instances"]), shown["WarmPoolSize"]) == (1, 2)
    assert len(elba.asg.describe_auto_scaling_instances()["AutoScalingInstances"]) == 3
    assert elba.is_still()


def test_scale_out_takes_from_the_pool(elba: Harness) -> None:
    pooled(elba)
    warm = {m.id for m in elba.members("Warmed:Stopped")}
    launched = len(elba.provider.launches)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=2)
    elba.advance(30)
    serving = {m.id for m in elba.in_service()}
    assert len(serving & warm) == 1
    assert len(elba.provider.launches) == launched
    assert warm_states(elba) == ["Warmed:Stopped"]
    assert any(a.description.startswith("Launching a new EC2 instance from warm pool: i-") for a in elba.activities())
    assert elba.is_still()


def test_the_pool_is_refilled(elba: Harness) -> None:
    pooled(elba, MinSize=2)
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=2)
    elba.advance(60)
    assert warm_states(elba) == ["Warmed:Stopped"] * 2


@pytest.mark.parametrize("reuse", [True, False])
def test_scale_in(elba: Harness, reuse: bool) -> None:
    pooled(elba, InstanceReusePolicy={"ReuseOnScaleIn": reuse})
    (serving,) = elba.in_service()
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=0)
    elba.advance(90)
    assert warm_states(elba) == ["Warmed:Stopped"] * 3
    assert (serving.id in {m.id for m in elba.members()}) is reuse
    assert elba.is_still()


def test_a_hook_runs_on_both_ways(elba: Harness) -> None:
    elba.create(minimum=0, maximum=1)
    elba.asg.put_lifecycle_hook(
        AutoScalingGroupName="g",
        LifecycleHookName="h",
        LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING",
        HeartbeatTimeout=300,
    )
    elba.asg.put_warm_pool(AutoScalingGroupName="g")
    elba.advance(30)
    for waiting, settled in (("Warmed:Pending:Wait", "Warmed:Stopped"), ("Pending:Wait", "InService")):
        (member,) = elba.members(waiting)
        elba.asg.complete_lifecycle_action(
            AutoScalingGroupName="g", LifecycleHookName="h", InstanceId=member.id, LifecycleActionResult="CONTINUE"
        )
        elba.advance(30)
        assert [m.lifecycle_state for m in elba.members()] == [settled]
        elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
        elba.advance(30)


def test_delete(elba: Harness) -> None:
    pooled(elba)
    elba.asg.delete_warm_pool(AutoScalingGroupName="g")
    assert elba.described()["WarmPoolConfiguration"]["Status"] == "PendingDelete"
    elba.advance(60)
    assert "WarmPoolConfiguration" not in elba.described()
    assert len(elba.members()) == 1


def test_force_deleting_the_group_takes_the_pool_along(elba: Harness) -> None:
    pooled(elba)
    elba.asg.delete_auto_scaling_group(AutoScalingGroupName="g", ForceDelete=True)
    elba.advance(60)
    assert elba.members() == []
    assert set(elba.instance_states()) == {"terminated"}


def test_a_dead_warm_instance_is_replaced(elba: Harness) -> None:
    pooled(elba)
    gone = elba.members("Warmed:Stopped")[0].id
    elba.kill(gone)
    elba.advance(90)
    assert warm_states(elba) == ["Warmed:Stopped"] * 2
    assert gone not in {m.id for m in elba.members()}


def test_a_member_for_which_there_is_no_capacity_is_not_started_without_a_pause(elba: Harness) -> None:
    """The group started it, EC2 stopped it again, the group started it …: no time passed any more."""
    elba.create(minimum=0, maximum=2, DesiredCapacity=1)
    elba.asg.put_lifecycle_hook(
        AutoScalingGroupName="g",
        LifecycleHookName="h",
        LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING",
        DefaultResult="CONTINUE",
        HeartbeatTimeout=60,
    )
    elba.asg.put_warm_pool(AutoScalingGroupName="g", PoolState="Running")
    elba.advance(20)
    (waiting,) = elba.members("Warmed:Pending:Wait")
    elba.write(lambda tx: ec2.stop(tx, elba.call(), [waiting.id], honour_protection=False))
    elba.advance(5)
    elba.provider.limit_capacity(1)
    before = elba.store.revision
    elba.advance(90)
    assert elba.store.revision - before < 200
    elba.provider.limit_capacity(10)
    elba.advance(60)
    assert warm_states(elba) == ["Warmed:Running"]
    assert ec2_state(elba, waiting.id) == "running"


@pytest.mark.parametrize("source", ["template", "configuration", "mixed"])
def test_no_warm_pool_for_spot_or_several_types(elba: Harness, source: str) -> None:
    if source == "template":
        elba.template(instance_market_options={"market_type": "spot"})
        elba.create(minimum=0)
    elif source == "configuration":
        elba.asg.create_launch_configuration(
            LaunchConfigurationName="lc", ImageId=elba.images()[0], InstanceType="t3.micro", SpotPrice="0.01"
        )
        elba.create(minimum=0, LaunchConfigurationName="lc")
    else:
        elba.template()
        template = {"LaunchTemplateSpecification": {"LaunchTemplateName": "web", "Version": "1"}}
        elba.create(minimum=0, MixedInstancesPolicy={"LaunchTemplate": template})
    assert elba.refused("put_warm_pool", AutoScalingGroupName="g")[0] == "ValidationError"


def test_a_group_with_a_warm_pool_keeps_to_one_type(elba: Harness) -> None:
    elba.create(minimum=0)
    elba.asg.put_warm_pool(AutoScalingGroupName="g")
    template = {"LaunchTemplateSpecification": {"LaunchTemplateName": "web", "Version": "1"}}
    policy = {"LaunchTemplate": template}
    refused = elba.refused("update_auto_scaling_group", AutoScalingGroupName="g", MixedInstancesPolicy=policy)
    assert refused[0] == "ValidationError"


def test_hook_messages_tell_each_leg(elba: Harness) -> None:
    """Into the pool, out of it, back into it, and from it away."""
    queue = Queue(account=ACCOUNT, region=REGION, id="q")
    elba.write(lambda tx: tx.put(queue))
    elba.create(minimum=0, maximum=1)
    for way in ("LAUNCHING", "TERMINATING"):
        elba.asg.put_lifecycle_hook(
            AutoScalingGroupName="g",
            LifecycleHookName=way.lower(),
            LifecycleTransition=f"autoscaling:EC2_INSTANCE_{way}",
            HeartbeatTimeout=30,
            DefaultResult="CONTINUE",
            NotificationTargetARN=f"arn:aws:sqs:{REGION}:{ACCOUNT}:q",
            RoleARN=f"arn:aws:iam::{ACCOUNT}:role/r",
        )
    elba.asg.put_warm_pool(AutoScalingGroupName="g", InstanceReusePolicy={"ReuseOnScaleIn": True})
    elba.advance(100)
    for desired in (1, 0):
        elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=desired)
        elba.advance(100)
    elba.asg.delete_warm_pool(AutoScalingGroupName="g")
    elba.advance(100)
    bodies = [json.loads(a.body) for a in elba.store.view.all(Announcement)]
    legs = [
        (b["LifecycleTransition"].rsplit("_", 1)[-1], b["Origin"], b["Destination"])
        for b in sorted(bodies, key=lambda b: str(b["Time"]))
        if "Origin" in b
    ]
    assert legs == [
        ("LAUNCHING", "EC2", "WarmPool"),
        ("LAUNCHING", "WarmPool", "AutoScalingGroup"),
        ("TERMINATING", "AutoScalingGroup", "WarmPool"),
        ("LAUNCHING", "AutoScalingGroup", "WarmPool"),
        ("TERMINATING", "WarmPool", "EC2"),
    ]


def test_one_that_stops_while_its_hook_waits_is_given_up(elba: Harness) -> None:
    """It came from the pool, and was taken for one that was still to be started: its hook was never looked at again."""
    elba.create(minimum=0, maximum=2, DesiredCapacity=0)
    elba.asg.put_warm_pool(AutoScalingGroupName="g", MaxGroupPreparedCapacity=1)
    elba.advance(60)
    elba.asg.put_lifecycle_hook(
        AutoScalingGroupName="g",
        LifecycleHookName="h",
        LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING",
        DefaultResult="CONTINUE",
        HeartbeatTimeout=60,
    )
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    elba.advance(20)
    (waiting,) = elba.members("Pending:Wait")
    elba.write(lambda tx: ec2.stop(tx, elba.call(), [waiting.id], honour_protection=False))
    elba.advance(200)
    (serving,) = elba.in_service()
    assert serving.id != waiting.id


@pytest.mark.parametrize(("low", "high"), [(50, 100), (100, 150)])
def test_a_rebalancing_takes_none_from_another_zone(elba: Harness, low: int, high: int) -> None:
    """It would not come to an end: what it puts right is undone at once."""
    elba.create(
        minimum=0,
        maximum=3,
        DesiredCapacity=3,
        zones="a",
        TargetGroupARNs=[elba.target_group(delay=30)],
        InstanceMaintenancePolicy={"MinHealthyPercentage": low, "MaxHealthyPercentage": high},
    )
    elba.asg.put_warm_pool(AutoScalingGroupName="g", PoolState="Running", MinSize=1)
    elba.advance(60)
    assert [m.availability_zone for m in elba.members("Warmed:Running")] == [f"{REGION}a"]
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", AvailabilityZones=[f"{REGION}a", f"{REGION}b"])
    elba.advance(300)
    assert elba.zones() == [2, 1]
    assert elba.is_still()


def test_a_pool_shrinks_by_the_default_policy_whatever_the_groups_is(elba: Harness) -> None:
    elba.create(minimum=0, maximum=2, DesiredCapacity=0, zones="a", TerminationPolicies=["NewestInstance"])
    elba.asg.put_warm_pool(AutoScalingGroupName="g", MaxGroupPreparedCapacity=1)
    elba.advance(1800)
    (old,) = elba.members("Warmed:Stopped")
    elba.asg.put_warm_pool(AutoScalingGroupName="g", MaxGroupPreparedCapacity=2)
    elba.advance(60)
    elba.asg.put_warm_pool(AutoScalingGroupName="g", MaxGroupPreparedCapacity=1)
    elba.advance(60)
    (left,) = elba.members()
    assert left.id != old.id, "the older one is nearer to its next hour"


def test_a_pool_whose_subnet_is_gone_says_so(elba: Harness) -> None:
    elba.create(minimum=0, maximum=3, DesiredCapacity=0, zones="b")
    gone = [s for s in elba.store.view.all(Subnet) if s.availability_zone.endswith("b")]
    elba.write(lambda tx: [tx.delete(subnet) for subnet in gone])
    elba.asg.put_warm_pool(AutoScalingGroupName="g", MinSize=1)
    elba.advance(60)
    assert elba.members() == []
    activities = elba.asg.describe_scaling_activities(AutoScalingGroupName="g")["Activities"]
    assert {a["StatusCode"] for a in activities} == {"Failed"}
    assert "no subnet in us-east-1b any more" in activities[0]["StatusMessage"]
