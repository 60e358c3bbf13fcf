"""Days in the life of Auto Scaling groups: seeded groups, faults and API calls, checked at every change and each night.

A group-day is 24 virtual hours of one group. How busy it is: from midnight on, six bursts of one to four events
each, three hours apart on average, seconds to minutes apart within a burst: resizes, policies run by alarms, schedules,
hooks, warm pools, refreshes, protection, standby and every other call of the API; instances that never boot, die or
are called unhealthy, zones without capacity or lost altogether (and, as `elba fault` does it, refused to the caller: by
type and zone), zonal shifts, Spot notices, a control plane killed at that moment. Then the faults
end, and after three quiet hours the group must have come right. Between bursts it idles: that is most of a day, as it
is for real groups, and is why a day takes a fraction of a second. Alarms and load balancers are played by the
harness (`tests/simulation/test_closed_loop.py` has the whole loop with metrics). What the provider does not announce is
looked for every five minutes instead of every five seconds: of an idle day that was nine tenths of the cost.

A world holds one group for `DAYS_PER_WORLD` days. `ELBA_GROUP_DAYS` sets how many days in all, `ELBA_TEST_SEED` which.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from elba.arc_zonal_shift.lookup import active_shift
from elba.autoscaling.resources import Activity, Group, LifecycleAction
from elba.compute.interface import InstanceSpec
from elba.ec2 import reconcilers as ec2_reconcilers
from elba.ec2.commands.faults import inject
from elba.errors import ApiError
from elba.testing.world import seed_from_environment
from tests.property.test_autoscaling_convergence import Chaos, assert_converged
from tests.unit.autoscaling.harness import ACCOUNT, REGION, Harness

GROUP_DAYS = int(os.environ.get("ELBA_GROUP_DAYS", "500"))
DAYS_PER_WORLD = 5
BURSTS = 6
BUSY_SECONDS = 20 * 3600.0
QUIET_SECONDS = 3 * 3600.0
DAY_SECONDS = 24 * 3600.0
HOOK_SECONDS = 30.0
SLACK_SECONDS = 5.0


class Days(Chaos):
    """The property test's chaos, with alarms, cron, lost zones and hooks that clients answer, or do not."""

    def __init__(self, elba: Harness, chance: random.Random) -> None:
        self.heartbeats: set[str] = set()
        self.log: list[str] = []
        assert elba.clients is not None
        self.arc = elba.clients.client("arc-zonal-shift")
        super().__init__(elba, chance)
        self.log.append(f"group {elba.described()}")
        adjustment = chance.choice(["ChangeInCapacity", "PercentChangeInCapacity"])
        for name, bound, amount in (("out", "Lower", 1), ("in", "Upper", -1)):
            arn = elba.asg.put_scaling_policy(
                AutoScalingGroupName="g",
                PolicyName=name,
                PolicyType="StepScaling",
                AdjustmentType=adjustment,
                StepAdjustments=[
                    {f"MetricInterval{bound}Bound": 0, "ScalingAdjustment": amount * chance.choice([1, 2, 50])}
                ],
                EstimatedInstanceWarmup=chance.choice([0, 60, 300]),
            )["PolicyARN"]
            operator = "GreaterThanThreshold" if bound == "Lower" else "LessThanThreshold"
            elba.alarm(name, arn, 50.0, operator)

    def look(self) -> None:
        super().look()
        view, now = self.elba.store.view, self.elba.now
        for action in view.all(LifecycleAction, ACCOUNT, REGION):
            if (
                action.waits
                and action.id not in self.heartbeats
                and now > action.started_at + HOOK_SECONDS + SLACK_SECONDS
            ):
                self.wrong.append(f"lifecycle action {action.id} waits for {now - action.started_at:.0f} s")
        group = view.get(Group, ACCOUNT, REGION, "g")
        shift = active_shift(view, ACCOUNT, REGION, group.arn) if group else None
        if shift is not None:
            for activity in view.children(Activity, ACCOUNT, REGION, "g"):
                is_launch = activity.description.startswith("Launching a new EC2 instance")
                if is_launch and activity.start_time > shift.start_time and f'"{shift.zone}"' in activity.details:
                    self.wrong.append(f"{activity.description} in {shift.zone}, which is shifted away from")

    def happen(self) -> None:
        """One event, and seconds or minutes until the next."""
        event = self.chance.choice(self.events())
        self.log.append(f"{self.elba.now - self.elba.clock.start:.1f} {event.__name__}")
        try:
            event()
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404, 409), error
        except ApiError as error:  # a user ends an instance that EC2 has forgotten and a suspended group has not
            assert error.status == 400, error
        self.elba.advance(self.chance.choice([0, 0.5, 3, 20, 90, 400]))
        assert self.wrong == []

    def events(self) -> list[Callable[[], None]]:
        return [
            *[self.resize, self.alarm_out, self.alarm_out, self.alarm_in, self.bounds, self.kill, self.die, self.lose],
            *[self.terminate, self.mark, self.protect, self.standby, self.back, self.detach, self.suspend, self.resume],
            *[self.move, self.hook, self.unhook, self.answer, self.beat, self.sicken, self.hang, self.crowd],
            *[self.restart, self.restart, self.attach, self.schedule, self.nightly, self.pool, self.drain_pool],
            *[self.refresh, self.cancel, self.maintain, self.shorten, self.fail_zone, self.mend, self.notify],
            *[self.shift, self.shift, self.unshift],
        ]

    def alarm_out(self) -> None:
        self.elba.fire("out", 50.0 + self.chance.randint(1, 100))

    def alarm_in(self) -> None:
        self.elba.fire("in", 49.0 - self.chance.randint(0, 40))

    def lose(self) -> None:
        """A zone goes: what runs in it dies, and nothing can be launched there."""
        zone = REGION + self.chance.choice("abc")
        self.elba.provider.limit_capacity(0, zone=zone)
        lost: list[InstanceSpec] = [s for s in self.elba.provider.running() if s.zone == zone]

        async def die() -> None:
            for spec in lost:
                self.elba.provider.die(spec.instance_id)

        self.elba.loop.run(die())

    def inject(self, **asked: Any) -> None:
        self.elba.write(lambda tx: inject(tx, self.elba.call(), asked))

    def shorten(self) -> None:
        zone, type_ = REGION + self.chance.choice("abc"), self.chance.choice(["t3.micro", "t3.small", "t3.large", ""])
        self.inject(fault="capacity", zone=zone, instance_type=type_)

    def fail_zone(self) -> None:
        self.inject(fault="zone", zone=REGION + self.chance.choice("abc"))

    def mend(self) -> None:
        self.inject(fault="all", clear=True)

    def shift(self) -> None:
        """A zonal shift, if the group may have one."""
        behavior = self.chance.choice(["ReplaceUnhealthy", "IgnoreUnhealthy"])
        enabled = self.chance.random() < 0.8
        policy = {"ZonalShiftEnabled": enabled, "ImpairedZoneHealthCheckBehavior": behavior}
        if not enabled:
            self.unshift()  # as the reconciler of shifts does, which does not run here
        self.elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", AvailabilityZoneImpairmentPolicy=policy)
        zone = f"use1-az{self.chance.randint(1, 3)}"
        self.arc.start_zonal_shift(
            resourceIdentifier=self.elba.group().arn, awayFrom=zone, expiresIn="72h", comment="chaos"
        )

    def unshift(self) -> None:
        shift = active_shift(self.elba.store.view, ACCOUNT, REGION, self.elba.group().arn)
        if shift is not None:
            self.arc.cancel_zonal_shift(zonalShiftId=shift.id)

    def notify(self) -> None:
        """A Spot Instance is to be interrupted, or at risk; the group may want it replaced before that."""
        self.elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", CapacityRebalance=self.chance.random() < 0.5)
        spot = [i.id for i in self.elba.instances() if i.lifecycle == "spot" and i.state == "running"]
        if spot:
            self.inject(fault=self.chance.choice(["interrupt", "rebalance"]), instance_ids=[self.chance.choice(spot)])

    def nightly(self) -> None:
        self.elba.asg.put_scheduled_update_group_action(
            AutoScalingGroupName="g",
            ScheduledActionName="nightly",
            Recurrence=f"{self.chance.randint(0, 59)} {self.chance.randint(0, 19)} * * *",
            DesiredCapacity=self.chance.randint(0, 4),
        )

    def answer(self) -> None:
        waiting = self.elba.store.view.all(LifecycleAction, ACCOUNT, REGION)
        if waiting:
            action = self.chance.choice(waiting)
            self.elba.asg.complete_lifecycle_action(
                AutoScalingGroupName="g",
                LifecycleHookName=action.lifecycle_hook_name,
                InstanceId=action.instance_id,
                LifecycleActionResult=self.chance.choice(["CONTINUE", "ABANDON"]),
            )

    def beat(self) -> None:
        waiting = self.elba.store.view.all(LifecycleAction, ACCOUNT, REGION)
        if waiting:
            action = self.chance.choice(waiting)
            self.heartbeats.add(action.id)
            self.elba.asg.record_lifecycle_action_heartbeat(
                AutoScalingGroupName="g", LifecycleHookName=action.lifecycle_hook_name, InstanceId=action.instance_id
            )

    def day(self) -> None:
        """24 hours: six bursts, then quiet, then all must be well."""
        began = self.elba.now
        bursts = sorted(self.chance.uniform(0, BUSY_SECONDS - 8000) for _ in range(BURSTS))
        for burst in bursts:
            self.elba.advance(max(0.0, began + burst - self.elba.now))
            for _ in range(self.chance.randint(1, 4)):
                self.happen()
        self.elba.advance(max(0.0, began + BUSY_SECONDS - self.elba.now))
        self.mend()
        self.unshift()
        self.calm()
        self.elba.advance(QUIET_SECONDS)
        assert self.wrong == []
        assert_converged(self.elba)
        self.elba.advance(max(0.0, began + DAY_SECONDS - self.elba.now))


def live(seed: int, days: int) -> None:
    """One world for so many days; on failure the seed and what happened are printed."""
    elba = Harness(seed)
    life: Days | None = None
    try:
        life = Days(elba, random.Random(seed))
        for _ in range(days):
            life.day()
    except BaseException:
        print(f"\ngroup-days failed: ELBA_TEST_SEED={seed} ELBA_GROUP_DAYS={days}")
        print("\n".join(life.log if life else []))
        raise
    finally:
        elba.close()


@pytest.mark.timeout(max(600, GROUP_DAYS))
def test_group_days(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ec2_reconcilers, "WATCH_SECONDS", 300.0)
    caplog.set_level(logging.ERROR, "elba")
    seed, began, left = seed_from_environment(20_261_124), time.process_time(), GROUP_DAYS
    while left > 0:
        live(seed, min(left, DAYS_PER_WORLD))
        left -= DAYS_PER_WORLD
        seed += 1
    rate = GROUP_DAYS / (time.process_time() - began)
    with capsys.disabled():
        print(f"\n{GROUP_DAYS} group-days, {rate:.1f} per CPU-second", flush=True)
