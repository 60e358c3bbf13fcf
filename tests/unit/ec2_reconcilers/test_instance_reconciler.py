"""Instances follow what is desired of them, whatever the world does and wherever the control plane is cut off."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from elba.call import Call
from elba.compute.interface import NoCapacity, Permanent, Power, Transient
from elba.ec2.commands.interruptions import interrupt_spot_instances, recommend_rebalance
from elba.ec2.resources import Image, Instance, NetworkInterface, ReplaceRootVolumeTask
from elba.errors import ApiError
from elba.testing import VirtualLoop

from .bench import OWNER, Bench, a_network, an_instance

Story = Callable[[Bench], Awaitable[None]]


def run(story: Story) -> None:
    async def whole() -> None:
        bench = Bench()
        await bench.open()
        bench.queue.start()
        watching = asyncio.create_task(bench.watcher.run())
        try:
            await story(bench)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await bench.queue.stop()

    loop = VirtualLoop()
    try:
        loop.run(whole())
    finally:
        loop.close()


def state(bench: Bench, instance: Instance) -> tuple[str, str]:
    now = bench.get(instance)
    return now.state, now.state_reason_code


def test_pending_becomes_running_once_booted() -> None:
    async def story(bench: Bench) -> None:
        instance = an_instance(public=True)
        begun = bench.clock.now()
        await bench.put(*a_network(), instance)
        await bench.until(lambda: bench.get(instance).state == "running")
        assert bench.get(instance).state_transition_time == pytest.approx(begun + 5, abs=0.01)
        assert bench.get(instance).public_ip_address == instance.host_address
        assert bench.get(instance).public_dns_name == "ec2-127-16-0-4.compute-1.amazonaws.com"
        assert bench.provider.spec(instance.id).vcpus == 2

    run(story)


def test_terminate_frees_the_address_and_forgets_after_an_hour() -> None:
    async def story(bench: Bench) -> None:
        instance = an_instance()
        await bench.put(*a_network(), instance)
        await bench.until(lambda: bench.get(instance).state == "running")
        await bench.change(instance, desired="terminated")
        await bench.until(lambda: bench.get(instance).state == "shutting-down", 1)
        await bench.until(lambda: bench.get(instance).state == "terminated", 10)
        assert state(bench, instance) == ("terminated", "Client.UserInitiatedShutdown")
        assert not await bench.provider.observe()
        assert not bench.store.view.all(NetworkInterface)
        gone_at = bench.clock.now()
        await bench.until(lambda: not bench.store.view.all(Instance), 4000)
        assert bench.clock.now() - gone_at == pytest.approx(3600, abs=10)

    run(story)


def test_an_interface_that_outlives_its_instance_is_detached() -> None:
    async def story(bench: Bench) -> None:
        from msgspec.structs import replace

        vpc, subnet, interface = a_network()
        instance = an_instance()
        await bench.put(vpc, subnet, replace(interface, delete_on_termination=False), instance)
        await bench.until(lambda: bench.get(instance).state == "running")
        await bench.change(instance, desired="terminated")
        await bench.until(lambda: bench.get(instance).state == "terminated", 10)
        (left,) = bench.store.view.all(NetworkInterface)
        assert (left.status, left.owner) == ("available", "")

    run(story)


def test_stop_start_reboot() -> None:
    async def story(bench: Bench) -> None:
        instance = an_instance(public=True)
        await bench.put(*a_network(), instance)
        await bench.until(lambda: bench.get(instance).state == "running")
        await bench.change(instance, desired="stopped", state="stopping")
        await bench.until(lambda: bench.get(instance).state == "stopped", 10)
        assert state(bench, instance) == ("stopped", "Client.UserInitiatedShutdown")
        assert bench.get(instance).public_ip_address == ""
        assert len(bench.store.view.all(NetworkInterface)) == 1
        await bench.change(instance, desired="running", state="pending", boots=1)
        await bench.until(lambda: bench.get(instance).state == "running", 10)
        assert state(bench, instance) == ("running", "")
        assert bench.provider.boots(instance.id) == 2
        await bench.change(instance, boots=2)
        await bench.until(lambda: bench.get(instance).boots_done == 2, 10)
        assert bench.provider.boots(instance.id) == 3
        assert bench.get(instance).state == "running"
        assert bench.provider.launches == [instance.id]

    run(story)


@pytest.mark.parametrize(("behavior", "end"), [("stop", "stopped"), ("terminate", "terminated")])
def test_an_instance_that_shuts_itself_down(behavior: str, end: str) -> None:
    async def story(bench: Bench) -> None:
        instance = an_instance(instance_initiated_shutdown_behavior=behavior)
        await bench.put(*a_network(), instance)
        await bench.until(lambda: bench.get(instance).state == "running")
        died_at = bench.clock.now()
        bench.provider.die(instance.id)
        await bench.until(lambda: bench.get(instance).state != "running", 10)
        assert bench.clock.now() - died_at < 0.5
        await bench.until(lambda: bench.get(instance).state == end, 10)
        assert state(bench, instance) == (end, "Client.InstanceInitiatedShutdown")
        assert bench.get(instance).desired == end

    run(story)


def test_an_instance_that_was_stopped_behind_the_stores_back_is_started_again() -> None:
    async def story(bench: Bench) -> None:
        instance = an_instance()
        await bench.put(*a_network(), instance)
        await bench.until(lambda: bench.get(instance).state == "running")
        await bench.provider.stop(instance.id)
        await bench.until(lambda: bench.get(instance).state == "pending", 10)
        await bench.until(lambda: bench.get(instance).state == "running", 10)
        assert bench.provider.boots(instance.id) == 2
        assert bench.get(instance).boots == bench.get(instance).boots_done

    run(story)


def test_a_lost_instance_is_terminated() -> None:
    async def story(bench: Bench) -> None:
        instance = an_instance()
        await bench.put(*a_network(), instance)
        await bench.until(lambda: bench.get(instance).state == "running")
        bench.provider.lose(instance.id)
        await bench.until(lambda: bench.get(instance).state == "terminated", 10)
        assert state(bench, instance) == ("terminated", "Server.InternalError")

    run(story)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(NoCapacity("full"), "Server.InsufficientInstanceCapacity"), (Permanent("bad"), "Server.InternalError")],
)
def test_a_launch_that_cannot_be(error: Exception, reason: str) -> None:
    async def story(bench: Bench) -> None:
        instance = an_instance()
        bench.provider.fail_next_launch(error)  # type: ignore[arg-type]
        await bench.put(*a_network(), instance)
        await bench.until(lambda: bench.get(instance).state == "terminated", 10)
        assert state(bench, instance) == ("terminated", reason)
        assert not bench.store.view.all(NetworkInterface)

    run(story)


def test_a_transient_failure_is_tried_again() -> None:
    async def story(bench: Bench) -> None:
        instance = an_instance()
        bench.provider.fail_next_launch(Transient("busy", 2.0), count=3)
        await bench.put(*a_network(), instance)
        await bench.until(lambda: bench.get(instance).state == "running", 30)
        assert bench.provider.launches == [instance.id]

    run(story)


def test_a_start_without_room_leaves_it_stopped() -> None:
    async def story(bench: Bench) -> None:
        first, second = an_instance(1), an_instance(2)
        await bench.put(*a_network(), first)
        await bench.until(lambda: bench.get(first).state == "running")
        await bench.change(first, desired="stopped")
        await bench.until(lambda: bench.get(first).state == "stopped")
        bench.provider.limit_capacity(1)
        await bench.put(*a_network(2)[2:], second)
        await bench.until(lambda: bench.get(second).state == "running")
        await bench.change(first, desired="running", state="pending", boots=1)
        await bench.until(lambda: bench.get(first).state == "stopped")
        assert state(bench, first) == ("stopped", "Server.InsufficientInstanceCapacity")

    run(story)


def test_an_instance_that_never_boots_stays_pending_and_can_be_terminated() -> None:
    async def story(bench: Bench) -> None:
        instance = an_instance()
        bench.provider.never_boot_next()
        await bench.put(*a_network(), instance)
        await bench.clock.sleep(900)
        assert bench.get(instance).state == "pending"
        await bench.change(instance, desired="terminated")
        await bench.until(lambda: bench.get(instance).state == "terminated", 10)

    run(story)


def test_instances_the_store_does_not_know_are_ended() -> None:
    async def story(bench: Bench) -> None:
        from elba.ec2.launch import build_spec

        stray = an_instance(9)
        await bench.provider.launch(build_spec(bench.store.view, {}, stray))
        instance = an_instance()
        await bench.put(*a_network(), instance)
        await bench.until(lambda: bench.get(instance).state == "running")
        await bench.clock.sleep(10)
        assert set(await bench.provider.observe()) == {instance.id}

    run(story)


def test_a_spot_interruption_comes_at_its_time() -> None:
    async def story(bench: Bench) -> None:
        instance = an_instance(lifecycle="spot")
        await bench.put(*a_network(), instance)
        await bench.until(lambda: bench.get(instance).state == "running")
        call = Call(**OWNER, now=bench.clock.now(), ids=bench.parts.ids)
        for _ in range(2):
            await bench.store.write(lambda tx: interrupt_spot_instances(tx, call, [instance.id]), "test")
            await bench.clock.sleep(0.5)
        await bench.store.write(lambda tx: recommend_rebalance(tx, call, [instance.id]), "test")
        assert bench.get(instance).rebalance_recommendation_time == call.now
        await bench.clock.sleep(118)
        assert bench.get(instance).state == "running"
        await bench.until(lambda: bench.get(instance).state == "terminated", 10)
        assert state(bench, instance) == ("terminated", "Server.SpotInstanceTermination")

    run(story)


def test_only_running_spot_instances_are_interrupted() -> None:
    async def story(bench: Bench) -> None:
        instance = an_instance()
        await bench.put(*a_network(), instance, an_instance(2, lifecycle="spot"))
        await bench.until(lambda: bench.get(instance).state == "running")
        await bench.change(an_instance(2), desired="stopped", state="stopping")
        call = Call(**OWNER, now=bench.clock.now(), ids=bench.parts.ids)
        for id_ in (instance.id, an_instance(2).id):
            with pytest.raises(ApiError):
                await bench.store.write(lambda tx, id_=id_: interrupt_spot_instances(tx, call, [id_]), "test")  # type: ignore[misc]

    run(story)


def test_an_image_is_made_and_removed() -> None:
    async def story(bench: Bench) -> None:
        instance = an_instance()
        await bench.put(*a_network(), instance)
        await bench.until(lambda: bench.get(instance).state == "running")
        image = Image(**OWNER, id="ami-9", name="mine", state="pending", source_instance_id=instance.id)
        lost = Image(**OWNER, id="ami-8", name="lost", state="pending", source_instance_id="i-gone")
        await bench.put(image, lost)

        def images() -> dict[str, Image]:
            return {each.id: each for each in bench.store.view.all(Image)}

        await bench.until(lambda: all(each.state != "pending" for each in images().values()), 10)
        assert images()["ami-9"].state == "available"
        assert images()["ami-9"].path == bench.provider.images["ami-9"]
        assert images()["ami-8"].state == "failed"
        await bench.store.write(lambda tx: tx.delete(images()["ami-9"]), "test")
        await bench.until(lambda: not bench.provider.images, 10)

    run(story)


async def replace_root(bench: Bench, instance: Instance) -> None:
    """As the command does it, for an image of which there is no record here."""
    id_ = f"replacevol-{bench.store.revision}"
    task = ReplaceRootVolumeTask(**OWNER, id=id_, instance_id=instance.id, image_id="ami-2", image_given=True)
    await bench.put(task)
    await bench.change(instance, recovery="replacing", root_task_id=id_, boots=instance.boots + 1)


SETTLED = {"running": Power.RUNNING, "stopped": Power.STOPPED}


async def disturb(bench: Bench, instance: Instance, chance: random.Random) -> None:
    """One thing that a client or the world may do at any time."""
    current = bench.store.view.get(Instance, instance.account, instance.region, instance.id)
    if current is None:
        return
    what = chance.choice(("stop", "start", "reboot", "terminate", "die", "replace", "nothing"))
    if what == "stop" and current.desired == "running" and current.state in ("pending", "running"):
        await bench.change(instance, desired="stopped", state="stopping")
    elif what == "start" and current.state == "stopped" and current.desired == "stopped":
        await bench.change(instance, desired="running", state="pending", boots=current.boots + 1)
    elif what == "reboot" and current.state == "running":
        await bench.change(instance, boots=current.boots + 1)
    elif what == "replace" and current.state == "running" and current.desired == "running" and not current.recovery:
        await replace_root(bench, current)
    elif what == "terminate" and chance.random() < 0.3:
        await bench.change(instance, desired="terminated")
    elif what == "die" and instance.id in await bench.provider.observe():
        bench.provider.die(instance.id)


@pytest.mark.parametrize("seed", range(60))
def test_converges_whatever_happens_wherever_it_is_cut_off(seed: int) -> None:
    """Random orders, deaths and kills of the control plane; once it is quiet, store and world agree and nothing
    moves any more."""

    async def whole() -> None:
        chance = random.Random(seed)
        bench = Bench()
        await bench.open()
        instances = [an_instance(n) for n in range(1, 5)]
        for n, instance in enumerate(instances, start=1):
            await bench.put(*a_network(n), instance)
        bench.queue.start()
        for _ in range(25):
            for instance in instances:
                await disturb(bench, instance, chance)
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)  # cut off at any await
            if chance.random() < 0.5:
                await bench.clock.sleep(chance.random() * 8)
            if chance.random() < 0.5:
                await bench.restart()
        watching = asyncio.create_task(bench.watcher.run())
        await bench.clock.sleep(120)
        revision = bench.store.revision
        boots = [bench.provider.boots(id_) for id_ in await bench.provider.observe()]
        await bench.clock.sleep(300)
        assert bench.store.revision == revision, "it still moves"
        assert boots == [bench.provider.boots(id_) for id_ in await bench.provider.observe()]
        observed = await bench.provider.observe()
        for instance in instances:
            now = bench.get(instance)
            assert now.state == now.desired
            assert now.boots_done == now.boots or now.state == "terminated"
            assert (now.recovery, now.root_task_id) == ("", "")
            if now.state == "terminated":
                assert instance.id not in observed
            else:
                assert observed[instance.id].power is SETTLED[now.state]
        assert len(bench.provider.launches) == len(set(bench.provider.launches)), "launched twice"
        for task in bench.store.view.all(ReplaceRootVolumeTask):
            assert task.state in ("succeeded", "failed")
            assert task.complete_time
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await bench.queue.stop()

    loop = VirtualLoop()
    try:
        loop.run(whole())
    finally:
        loop.close()


def test_cut_off_at_every_await_of_a_launch() -> None:
    """Cancel the first reconcile after n rounds of the loop, for every n it takes; then do it again whole."""

    async def whole(rounds: int) -> bool:
        bench = Bench()
        await bench.open()
        instance = an_instance()
        await bench.put(*a_network(), instance)
        task: asyncio.Task[Any] = asyncio.create_task(bench.reconciler.reconcile(instance.key))
        for _ in range(rounds):
            await asyncio.sleep(0)
        finished = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        bench.queue.start()
        await bench.until(lambda: bench.get(instance).state == "running", 30)
        await bench.queue.stop()
        assert bench.provider.launches == [instance.id]
        return finished

    for rounds in range(50):
        loop = VirtualLoop()
        try:
            if loop.run(whole(rounds)):
                return
        finally:
            loop.close()
    pytest.fail("never finished")
