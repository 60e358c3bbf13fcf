"""What AWS/EC2 shows of running instances, minute by minute."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from elba.autoscaling.resources import Group, Member
from elba.call import Call
from elba.compute.interface import Sample
from elba.ec2.commands import recover
from elba.ec2.credits import account, at_launch, earned_per_hour
from elba.ec2.resources import CpuCredits, Instance
from elba.ec2.sampling import InstanceSampler, usage_between
from elba.errors import ApiError
from elba.testing import VirtualLoop

from .bench import OWNER, Bench, a_network, an_instance


def run(story: Callable[[Bench], Awaitable[None]]) -> None:
    async def whole() -> None:
        bench = Bench()
        await bench.open()
        bench.queue.start()
        tasks = [
            asyncio.create_task(InstanceSampler(bench.parts).run()),
            asyncio.create_task(bench.watcher.run()),
        ]
        try:
            await story(bench)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await bench.queue.stop()

    loop = VirtualLoop()
    try:
        loop.run(whole())
    finally:
        loop.close()


async def launched(bench: Bench, number: int = 1, **changes: Any) -> Instance:
    instance = an_instance(number, **changes)
    await bench.put(*a_network(number), instance)
    await bench.until(lambda: bench.get(instance).state == "running")
    return instance


async def recovered(bench: Bench, instance: Instance) -> None:
    call = Call(instance.account, instance.region, bench.clock.now(), bench.parts.ids)
    await bench.store.write(lambda tx: recover(tx, call, instance.id), "test")


def a_sample(time: float, cpu: float, **changes: Any) -> Sample:
    return Sample(instance_id="i-1", time=time, cpu_seconds=cpu, vcpus=2.0, **changes)


@pytest.mark.parametrize(
    ("earlier", "later", "percent"),
    [
        (a_sample(0, 0), a_sample(60, 60), 50.0),
        (a_sample(0, 0), a_sample(60, 0), 0.0),
        (a_sample(0, 0), a_sample(60, 121), 100.0),
        (a_sample(0, 10), a_sample(60, 5), None),
        (a_sample(60, 0), a_sample(60, 5), None),
    ],
)
def test_usage_between(earlier: Sample, later: Sample, percent: float | None) -> None:
    usage = usage_between(earlier, later)
    assert (usage.cpu_percent if usage else None) == percent


def test_detailed_monitoring_is_a_point_a_minute_at_its_start() -> None:
    async def story(bench: Bench) -> None:
        instance = await launched(bench, monitoring=True)
        bench.provider.set_cpu(instance.id, 40)
        bench.provider.set_network(instance.id, 100, 50)
        await bench.clock.sleep(300)
        points = bench.metrics.named("CPUUtilization", InstanceId=instance.id)
        assert len(points) == 4
        assert not bench.metrics.named("NetworkIn", InstanceId="i-other")
        assert all(p.timestamp % 60 == 0 and p.unit == "Percent" for p in points)
        assert [b.timestamp - a.timestamp for a, b in itertools.pairwise(points)] == [60.0] * 3
        assert points[-1].values == (pytest.approx(40.0),)
        assert points[-1].namespace == "AWS/EC2"
        (*_, last) = bench.metrics.named("NetworkIn", InstanceId=instance.id)
        assert last.values == (pytest.approx(6000, abs=2),)
        for pairs in ({"ImageId": "ami-1"}, {"InstanceType": "t3.micro"}, {}):
            assert bench.metrics.named("CPUUtilization", **pairs)

    run(story)


def test_basic_monitoring_is_a_point_in_five_minutes() -> None:
    async def story(bench: Bench) -> None:
        instance = await launched(bench)
        bench.provider.set_cpu(instance.id, 40)
        await bench.clock.sleep(700)
        points = bench.metrics.named("CPUUtilization", InstanceId=instance.id)
        assert len(points) == 2
        assert all(p.timestamp % 300 == 0 for p in points)
        (*_, credits) = bench.metrics.named("CPUCreditUsage", InstanceId=instance.id)
        assert credits.values == (pytest.approx(0.4 * 2 * 5),)
        assert points[-1].values == (pytest.approx(40.0),)
        assert not bench.metrics.named("CPUUtilization", ImageId="ami-1")
        checks = bench.metrics.named("StatusCheckFailed", InstanceId=instance.id)
        assert len(checks) >= 10
        assert {p.values for p in checks} == {(0.0,)}

    run(story)


def test_a_groups_aggregate_has_a_value_per_member_in_service_and_warm() -> None:
    async def story(bench: Bench) -> None:
        bench.provider.set_load(1.0)
        group = Group(
            **OWNER, id="web", arn="arn", min_size=0, max_size=9, desired_capacity=3, default_instance_warmup=200
        )
        await bench.put(group)
        for number, state in enumerate(("InService", "InService", "Standby"), start=1):
            instance = await launched(bench, number, monitoring=True)
            await bench.put(
                Member(
                    **OWNER,
                    id=instance.id,
                    group_name="web",
                    availability_zone="us-east-1a",
                    instance_type="t3.micro",
                    lifecycle_state=state,
                    in_service_at=bench.clock.now() if number == 1 else bench.clock.now() + 100,
                )
            )
        await bench.clock.sleep(600)
        points = bench.metrics.named("CPUUtilization", AutoScalingGroupName="web")
        counts = [len(p.values) for p in points]
        assert counts == sorted(counts)
        assert set(counts) == {1, 2}
        # Three running instances share one CPU second a second: a third of one of two vCPUs each.
        assert points[-1].values == (pytest.approx(100 / 6), pytest.approx(100 / 6))
        assert points[-1].counts == (1.0, 1.0)

    run(story)


def test_status_checks() -> None:
    async def story(bench: Bench) -> None:
        instance = await launched(bench, instance_type="m5.large")
        assert bench.get(instance).instance_status == "initializing"
        await bench.clock.sleep(61)
        assert (bench.get(instance).instance_status, bench.get(instance).system_status) == ("ok", "ok")
        bench.provider.set_reachable(instance.id, False)
        await bench.clock.sleep(61)
        assert bench.get(instance).instance_status == "ok"
        await bench.clock.sleep(60)
        assert bench.get(instance).instance_status == "impaired"
        assert bench.metrics.named("StatusCheckFailed_Instance", InstanceId=instance.id)[-1].values == (1.0,)
        assert bench.metrics.named("StatusCheckFailed_System", InstanceId=instance.id)[-1].values == (0.0,)
        bench.provider.set_reachable(instance.id, True)
        await bench.clock.sleep(61)
        assert bench.get(instance).instance_status == "ok"
        revision = bench.store.revision
        await bench.clock.sleep(600)
        assert bench.store.revision == revision, "a check that changes nothing writes nothing"

    run(story)


def test_a_failed_host_fails_both_checks_until_the_instance_is_recovered() -> None:
    async def story(bench: Bench) -> None:
        instance = await launched(bench)
        await bench.clock.sleep(61)
        before = bench.get(instance)
        bench.provider.fail_host(instance.id)
        with pytest.raises(ApiError, match="not impaired"):
            await recovered(bench, instance)
        await bench.clock.sleep(121)
        found = bench.get(instance)
        assert (found.state, found.instance_status, found.system_status) == ("running", "impaired", "impaired")
        for name in ("StatusCheckFailed", "StatusCheckFailed_Instance", "StatusCheckFailed_System"):
            assert bench.metrics.named(name, InstanceId=instance.id)[-1].values == (1.0,)
        await recovered(bench, instance)
        await bench.until(lambda: not bench.get(instance).recovery)
        after = bench.get(instance)
        assert bench.provider.boots(instance.id) == 2
        for same in ("id", "state", "private_ip_address", "host_address", "public_ip_address", "launch_time"):
            assert getattr(after, same) == getattr(before, same)
        assert after.boots == after.boots_done and not after.force_stop
        await bench.clock.sleep(61)
        assert (bench.get(instance).instance_status, bench.get(instance).system_status) == ("ok", "ok")

    run(story)


def test_a_recovery_gives_way_to_a_stop() -> None:
    async def story(bench: Bench) -> None:
        instance = await launched(bench)
        bench.provider.fail_host(instance.id)
        await bench.clock.sleep(181)
        await recovered(bench, instance)
        await bench.change(instance, desired="stopped", state="stopping")
        await bench.until(lambda: bench.get(instance).state == "stopped")
        assert not bench.get(instance).recovery
        await bench.clock.sleep(120)
        assert bench.get(instance).state == "stopped"

    run(story)


def test_packets_and_credits_come_each_five_minutes_whatever_the_monitoring() -> None:
    async def story(bench: Bench) -> None:
        instance = await launched(bench, monitoring=True, cpu_credits="unlimited")
        bench.provider.set_cpu(instance.id, 100.0)
        await bench.clock.sleep(660)
        for name in ("NetworkPacketsIn", "NetworkPacketsOut", "CPUCreditUsage", "CPUCreditBalance"):
            times = [p.timestamp for p in bench.metrics.named(name, InstanceId=instance.id)]
            assert [b - a for a, b in itertools.pairwise(times)] == [300.0]
        # A t3.micro earns one credit in five minutes; two busy vCPUs spend ten.
        assert bench.metrics.named("CPUCreditUsage", InstanceId=instance.id)[-1].values == (pytest.approx(10.0),)
        assert bench.metrics.named("CPUCreditBalance", InstanceId=instance.id)[-1].values == (0.0,)
        surplus = [p.values[0] for p in bench.metrics.named("CPUSurplusCreditBalance", InstanceId=instance.id)]
        assert surplus[1] - surplus[0] == pytest.approx(9.0)
        for name in ("DiskReadOps", "DiskWriteOps", "EBSReadOps", "EBSWriteOps"):
            points = bench.metrics.named(name, InstanceId=instance.id)
            assert len(points) >= 10 and points[0].unit == "Count"

    run(story)


def credits(balance: float, surplus: float = 0.0) -> CpuCredits:
    return CpuCredits(**OWNER, id="i-1", balance=balance, surplus=surplus)


@pytest.mark.parametrize(
    ("before", "used", "unlimited", "after"),
    [
        (credits(10), 0.0, True, (11.0, 0.0, 0.0)),
        (credits(10), 5.0, True, (6.0, 0.0, 0.0)),
        (credits(288), 0.0, True, (288.0, 0.0, 0.0)),
        (credits(2), 10.0, True, (0.0, 7.0, 0.0)),
        (credits(2), 10.0, False, (0.0, 0.0, 0.0)),
        (credits(0, 0.25), 0.0, True, (0.75, 0.0, 0.0)),
        (credits(0, 7), 0.0, True, (0.0, 6.0, 0.0)),
        (credits(0, 285), 10.0, True, (0.0, 288.0, 6.0)),
    ],
)
def test_credits_of_five_minutes(
    before: CpuCredits, used: float, unlimited: bool, after: tuple[float, float, float]
) -> None:
    found = account(before, "t3.micro", 300, used, unlimited=unlimited)
    assert (found.balance, found.surplus, found.charged) == pytest.approx(after)


def test_credits_by_type() -> None:
    assert [earned_per_hour(t) for t in ("t2.nano", "t3.2xlarge", "t4g.small", "m5.large")] == [3.0, 192.0, 24.0, 0.0]
    assert [at_launch(t, 2) for t in ("t2.medium", "t3.medium")] == [60.0, 0.0]


def test_nothing_is_published_of_what_does_not_run() -> None:
    async def story(bench: Bench) -> None:
        instance = await launched(bench, monitoring=True)
        await bench.clock.sleep(130)
        await bench.change(instance, desired="stopped", state="stopping")
        await bench.until(lambda: bench.get(instance).state == "stopped")
        await bench.clock.sleep(60)
        before = len(bench.metrics.points)
        await bench.clock.sleep(600)
        assert len(bench.metrics.points) == before

    run(story)
