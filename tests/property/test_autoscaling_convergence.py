"""Whatever is done to a group and to its instances, whenever the control plane dies, the group comes right.

Each example is one seeded run on the virtual clock: random API calls, faults and restarts at random moments, then
quiet. A failing seed replays exactly: `run(Harness(seed), random.Random(seed))`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elba.autoscaling.group_metrics import pool_target
from elba.autoscaling.lookup import units
from elba.autoscaling.mixed import distribution, heaviest, on_demand_units
from elba.autoscaling.placement import balanced
from elba.autoscaling.resources import Group, InstanceRefresh, WarmPool
from elba.ec2 import zones as zone_table
from elba.ec2.commands import capacity, volume_faults
from elba.ec2.resources import Instance
from elba.elbv2.resources import TargetHealth
from tests.unit.autoscaling.harness import ACCOUNT, REGION, Harness

STEPS = 30
QUIET_SECONDS = 3 * 3600.0
ZONES = ["a", "ab", "abc", "bc"]


class Chaos:
    """A group, and all that may happen to it."""

    def __init__(self, elba: Harness, chance: random.Random) -> None:
        self.elba = elba
        self.chance = chance
        self.arn = elba.target_group(delay=chance.choice([0, 20, 60]))
        self.shielded: set[str] = set()
        self.wrong: list[str] = []
        self.watch()
        maximum = chance.randint(1, 8)
        minimum = chance.randint(0, maximum)
        launch: dict[str, Any] = {"MixedInstancesPolicy": self.mixed()} if chance.random() < 0.25 else {}
        elba.create(
            **launch,
            minimum=minimum,
            maximum=maximum,
            zones=chance.choice(ZONES),
            HealthCheckType=chance.choice(["EC2", "ELB", "EBS,ELB"]),
            HealthCheckGracePeriod=chance.choice([0, 60, 300]),
            NewInstancesProtectedFromScaleIn=chance.random() < 0.2,
            TerminationPolicies=[chance.choice(["Default", "OldestInstance", "NewestInstance"])],
            TargetGroupARNs=[self.arn] if chance.random() < 0.7 else [],
        )

    def mixed(self) -> dict[str, Any]:
        """Two types, mostly with weights, some of them spot."""
        weighted = self.chance.random() < 0.7
        overrides: list[dict[str, str]] = [{"InstanceType": "t3.small"}, {"InstanceType": "t3.large"}]
        for override in overrides if weighted else []:
            override["WeightedCapacity"] = str(self.chance.randint(1, 4))
        return {
            "LaunchTemplate": {
                "LaunchTemplateSpecification": {"LaunchTemplateId": self.elba.template(), "Version": "$Latest"},
                "Overrides": overrides,
            },
            "InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": self.chance.choice([0, 50, 100])},
        }

    def watch(self) -> None:
        """Look at every durable change; what is wrong then is told at the end of the step."""
        self.elba.store.subscribe(lambda _: self.look())

    def look(self) -> None:
        group = self.elba.store.view.get(Group, ACCOUNT, REGION, "g")
        if group is None:
            return
        if not group.min_size <= group.desired_capacity <= group.max_size:
            self.wrong.append(f"desired {group.desired_capacity} not in {group.min_size}..{group.max_size}")
        for member in self.elba.members():
            if member.termination in ("scale-in", "rebalance"):
                if member.id in self.shielded:
                    self.wrong.append(f"{member.id} is protected and goes for {member.termination}")
            elif member.protected_from_scale_in and member.lifecycle_state == "InService":
                self.shielded.add(member.id)
            else:
                self.shielded.discard(member.id)

    def step(self) -> None:
        actions: list[Callable[[], None]] = [
            self.resize,
            self.resize,
            self.bounds,
            self.kill,
            self.die,
            self.terminate,
            self.mark,
            self.protect,
            self.standby,
            self.back,
            self.detach,
            self.suspend,
            self.resume,
            self.move,
            self.hook,
            self.unhook,
            self.sicken,
            self.hang,
            self.crowd,
            self.restart,
            self.attach,
            self.schedule,
            self.pool,
            self.drain_pool,
            self.refresh,
            self.cancel,
            self.maintain,
            self.share,
            self.stall,
            self.lose,
        ]
        try:
            self.chance.choice(actions)()
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400, error
        self.elba.advance(self.chance.choice([0, 0.5, 3, 20, 90, 400]))
        assert self.wrong == []

    def one(self) -> str:
        members = self.elba.members()
        return self.chance.choice(members).id if members else "i-0123456789abcdef0"

    def resize(self) -> None:
        group = self.elba.group()
        wanted = self.chance.randint(group.min_size, group.max_size)
        self.elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=wanted)

    def bounds(self) -> None:
        maximum = self.chance.randint(0, 8)
        self.elba.asg.update_auto_scaling_group(
            AutoScalingGroupName="g", MinSize=self.chance.randint(0, maximum), MaxSize=maximum
        )

    def kill(self) -> None:
        if self.elba.members():
            self.elba.kill(self.one())

    def die(self) -> None:
        running = [s.instance_id for s in self.elba.provider.running()]
        if running:
            victim = self.chance.choice(running)

            async def die() -> None:
                self.elba.provider.die(victim)

            self.elba.loop.run(die())

    def terminate(self) -> None:
        self.elba.asg.terminate_instance_in_auto_scaling_group(
            InstanceId=self.one(), ShouldDecrementDesiredCapacity=self.chance.random() < 0.5
        )

    def mark(self) -> None:
        self.elba.asg.set_instance_health(
            InstanceId=self.one(), HealthStatus="Unhealthy", ShouldRespectGracePeriod=self.chance.random() < 0.5
        )

    def protect(self) -> None:
        self.elba.asg.set_instance_protection(
            AutoScalingGroupName="g", InstanceIds=[self.one()], ProtectedFromScaleIn=self.chance.random() < 0.5
        )

    def standby(self) -> None:
        self.elba.asg.enter_standby(
            AutoScalingGroupName="g",
            InstanceIds=[self.one()],
            ShouldDecrementDesiredCapacity=self.chance.random() < 0.5,
        )

    def back(self) -> None:
        self.elba.asg.exit_standby(AutoScalingGroupName="g", InstanceIds=[self.one()])

    def detach(self) -> None:
        self.elba.asg.detach_instances(
            AutoScalingGroupName="g",
            InstanceIds=[self.one()],
            ShouldDecrementDesiredCapacity=self.chance.random() < 0.5,
        )

    def suspend(self) -> None:
        names = ["Launch", "Terminate", "AZRebalance", "HealthCheck", "ReplaceUnhealthy", "ScheduledActions"]
        self.elba.asg.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=[self.chance.choice(names)])

    def resume(self) -> None:
        self.elba.asg.resume_processes(AutoScalingGroupName="g")

    def move(self) -> None:
        zones = [REGION + z for z in self.chance.choice(ZONES)]
        self.elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", AvailabilityZones=zones)

    def hook(self) -> None:
        side = self.chance.choice(["LAUNCHING", "TERMINATING"])
        self.elba.asg.put_lifecycle_hook(
            AutoScalingGroupName="g",
            LifecycleHookName=side,
            LifecycleTransition=f"autoscaling:EC2_INSTANCE_{side}",
            HeartbeatTimeout=30,
            DefaultResult=self.chance.choice(["CONTINUE", "ABANDON"]),
        )

    def unhook(self) -> None:
        for side in ("LAUNCHING", "TERMINATING"):
            self.elba.asg.delete_lifecycle_hook(AutoScalingGroupName="g", LifecycleHookName=side)

    def sicken(self) -> None:
        targets = list(self.elba.targets())
        if targets:
            self.elba.set_health(self.chance.choice(targets), healthy=False)

    def hang(self) -> None:
        self.elba.provider.never_boot_next(1)

    def crowd(self) -> None:
        zone = REGION + self.chance.choice("abc")
        self.elba.provider.limit_capacity(self.chance.choice([0, 2, 100]), zone=zone)

    def restart(self) -> None:
        self.elba.restart()
        self.watch()

    def attach(self) -> None:
        if self.elba.group().attachments:
            self.elba.asg.detach_load_balancer_target_groups(AutoScalingGroupName="g", TargetGroupARNs=[self.arn])
        else:
            self.elba.asg.attach_load_balancer_target_groups(AutoScalingGroupName="g", TargetGroupARNs=[self.arn])

    def schedule(self) -> None:
        self.elba.asg.put_scheduled_update_group_action(
            AutoScalingGroupName="g",
            ScheduledActionName="s",
            StartTime=self.elba.now + self.chance.randint(5, 600),
            DesiredCapacity=self.chance.randint(0, 4),
        )

    def pool(self) -> None:
        self.elba.asg.put_warm_pool(
            AutoScalingGroupName="g",
            PoolState=self.chance.choice(["Stopped", "Running"]),
            MaxGroupPreparedCapacity=self.chance.randint(1, 6),
            InstanceReusePolicy={"ReuseOnScaleIn": self.chance.random() < 0.5},
        )

    def drain_pool(self) -> None:
        self.elba.asg.delete_warm_pool(AutoScalingGroupName="g")

    def refresh(self) -> None:
        low = self.chance.choice([0, 50, 90, 100])
        strategy: dict[str, Any] = {}
        if self.elba.group().mixed_instances_policy is not None and self.chance.random() < 0.5:
            strategy = {"Strategy": "ReplaceRootVolume", "DesiredConfiguration": self.with_images()}
        self.elba.asg.start_instance_refresh(
            AutoScalingGroupName="g",
            **strategy,
            Preferences={
                "MinHealthyPercentage": low,
                "MaxHealthyPercentage": 100 if low == 0 else self.chance.choice([100, 110, 150]),
                "InstanceWarmup": self.chance.choice([0, 30]),
                "ScaleInProtectedInstances": self.chance.choice(["Wait", "Ignore", "Refresh"]),
                "StandbyInstances": self.chance.choice(["Wait", "Ignore", "Terminate"]),
            },
        )

    def with_images(self) -> dict[str, Any]:
        """The group's mixed instances policy with an image in each override."""
        policy = self.elba.described()["MixedInstancesPolicy"]
        template = policy["LaunchTemplate"]
        specification = {k: v for k, v in template["LaunchTemplateSpecification"].items() if k != "LaunchTemplateName"}
        overrides = [{**o, "ImageId": self.chance.choice(self.elba.images())} for o in template["Overrides"]]
        launch = {"LaunchTemplateSpecification": specification, "Overrides": overrides}
        return {"MixedInstancesPolicy": {**policy, "LaunchTemplate": launch}}

    def cancel(self) -> None:
        self.elba.asg.cancel_instance_refresh(AutoScalingGroupName="g")

    def maintain(self) -> None:
        low, high = self.chance.choice([(-1, -1), (100, 150), (50, 100), (90, 110), (100, 100)])
        self.elba.asg.update_auto_scaling_group(
            AutoScalingGroupName="g",
            InstanceMaintenancePolicy={"MinHealthyPercentage": low, "MaxHealthyPercentage": high},
            DefaultInstanceWarmup=self.chance.choice([-1, 0, 60]),
            AvailabilityZoneDistribution={
                "CapacityDistributionStrategy": self.chance.choice(["balanced-only", "balanced-best-effort"])
            },
        )

    def share(self) -> None:
        """Another share of On-Demand instances."""
        if self.elba.group().mixed_instances_policy is not None:
            shares = {
                "OnDemandBaseCapacity": self.chance.choice([0, 0, 2]),
                "OnDemandPercentageAboveBaseCapacity": self.chance.choice([0, 30, 50, 100]),
            }
            self.elba.asg.update_auto_scaling_group(
                AutoScalingGroupName="g", MixedInstancesPolicy={"InstancesDistribution": shares}
            )

    def stall(self) -> None:
        if self.elba.members():
            call, id_ = self.elba.call(), self.one()
            self.elba.write(lambda tx: volume_faults.impair_volumes(tx, call, [id_]))

    def lose(self) -> None:
        call, zone = self.elba.call(), REGION + self.chance.choice("abc")
        self.elba.write(lambda tx: capacity.fail_zone(tx, call, zone))

    def calm(self) -> None:
        """No more faults; nothing suspended or hooked; standby members come back or go."""
        elba = self.elba
        for zone in "abc":
            elba.provider.limit_capacity(1000, zone=REGION + zone)
        call = elba.call()
        for name in zone_table.zone_names(elba.store.view, REGION):
            elba.write(lambda tx, z=name: capacity.restore_zone(tx, call, z))  # type: ignore[misc]
        elba.write(lambda tx: volume_faults.mend_volumes(tx, call))
        elba.unhealthy.clear()
        elba.asg.resume_processes(AutoScalingGroupName="g")
        elba.advance(1)
        for side in ("LAUNCHING", "TERMINATING"):
            try:
                elba.asg.delete_lifecycle_hook(AutoScalingGroupName="g", LifecycleHookName=side)
            except ClientError:
                continue
        for health in elba.store.view.all(TargetHealth):
            if health.state == "unhealthy":
                elba.set_health(health.id.rsplit("|", 1)[-1].partition(":")[0], healthy=True)


def run(elba: Harness, chance: random.Random) -> None:
    chaos = Chaos(elba, chance)
    for _ in range(STEPS):
        chaos.step()
    chaos.calm()
    elba.advance(QUIET_SECONDS)
    assert chaos.wrong == []
    assert_converged(elba)


def assert_converged(elba: Harness) -> None:
    group, members = elba.group(), elba.members()
    states = Counter(m.lifecycle_state for m in members if not m.lifecycle_state.startswith("Warmed:"))
    warm = [m for m in members if m.lifecycle_state.startswith("Warmed:")]
    assert {m.lifecycle_state for m in warm} <= {"Warmed:Stopped", "Warmed:Running"}
    pool = elba.store.view.get(WarmPool, ACCOUNT, REGION, "g")
    assert len(warm) == (pool_target(group, pool) if pool else 0)
    serving = [m for m in members if m.lifecycle_state == "InService"]
    assert set(states) <= {"InService", "Standby"}, states
    assert all(m.health_status == "Healthy" and not m.activity_id for m in serving)
    protected = sum(m.protected_from_scale_in for m in serving)
    total = sum(units(m) for m in serving)
    assert total >= group.desired_capacity
    assert protected or not serving or total - max(units(m) for m in serving) < group.desired_capacity
    largest = heaviest(group.mixed_instances_policy)
    if largest == 1 and total > group.desired_capacity:
        assert protected == len(serving), "only protected members may keep a group too large"
    policy = group.mixed_instances_policy
    if policy is not None and largest == 1 and not protected:
        share = on_demand_units(group.desired_capacity, *distribution(policy))
        assert sum(not m.spot for m in serving) == share
    if not protected:
        zones = Counter(dict.fromkeys(group.availability_zones, 0))
        for member in serving:
            zones[member.availability_zone] += units(member)
        assert set(zones) == set(group.availability_zones)
        assert balanced(list(zones.values()), 1 if largest == 1 else 2 * largest - 1), zones
    assert group.surge == 0
    assert not any(r.active for r in elba.store.view.all(InstanceRefresh))
    assert not group.causes
    # No leak: what runs belongs to the group or was let go of; what is registered serves.
    mine = {
        i.id
        for i in elba.store.view.all(Instance, ACCOUNT, REGION)
        if i.state != "terminated" and i.tags.get("aws:autoscaling:groupName") == "g"
    }
    assert mine == {m.id for m in members}
    if any(a.type == "elbv2" for a in group.attachments):
        assert elba.targets() == {m.id: False for m in serving}
    running = [a for a in elba.activities() if a.end_time is None]
    assert running == []
    # A second turn does nothing, and time alone changes nothing.
    assert elba.is_still()
    revision = elba.store.revision
    elba.advance(3600)
    assert [m.id for m in elba.members()] == [m.id for m in members]
    assert elba.store.revision - revision < 100


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1))
def test_any_history_converges(seed: int) -> None:
    elba = Harness(seed)
    try:
        run(elba, random.Random(seed))
    finally:
        elba.close()
