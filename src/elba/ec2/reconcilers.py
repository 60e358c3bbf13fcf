"""What acts on the world for EC2: instances, images, and the loops beside them.

The provider is the world; the store says what is wanted and, after each step, what was found. All steps may be
cut off anywhere and done again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from weakref import WeakValueDictionary

from msgspec.structs import replace

from elba.call import Call
from elba.clock import Clock
from elba.compute.interface import (
    NoCapacity,
    NotFound,
    ObservedInstance,
    Permanent,
    Power,
    Provider,
    ProviderError,
    Transient,
)
from elba.ec2.commands.lifecycle import release_resources
from elba.ec2.commands.root_volumes import finish_task, forget_tasks, image_of_task, record_root
from elba.ec2.launch import build_spec
from elba.ec2.lifecycle import Act, Plan, World, failed_launch, failed_start, plan_instance
from elba.ec2.metadata.service import MetadataService
from elba.ec2.resources import Image, Instance, NetworkInterface
from elba.ec2.sampling import InstanceSampler
from elba.ec2.zones import public_dns_name
from elba.parts import Parts
from elba.reconcile import Again, Done, Reconciler, Ticker
from elba.resource import Key
from elba.store.interface import Transaction

log = logging.getLogger(__name__)

CAUSE = "reconciler:ec2.instance"

STEPS_AT_ONCE = 8
"""Steps of one instance in one call (a stop and a start are four) before the queue gets its turn again."""

WATCH_SECONDS = 5.0
"""Between looks at all instances (clock seconds), should the provider fail to tell of a change."""

WATCH_LEAST_SECONDS = 0.5
"""The world's time: a clock that runs fast does not make looking cheaper."""


def build(parts: Parts) -> list[Reconciler | Ticker]:
    """EC2's share of a control plane."""
    instances = InstanceReconciler(parts)
    built: list[Reconciler | Ticker] = [
        instances,
        ImageReconciler(parts),
        InstanceWatcher(parts, instances),
    ]
    metadata: MetadataService | None = None
    if parts.provider.on_this_host:
        metadata = MetadataService(parts)
        built.append(metadata)
    built.append(InstanceSampler(parts, metadata.take_requests_without_token if metadata else None))
    return built


def world_of(observed: ObservedInstance | None) -> World:
    """What the provider's answer means for the lifecycle."""
    if observed is None or observed.power is Power.TERMINATED:
        return World.ABSENT
    if observed.power is Power.PENDING:
        return World.PENDING
    if observed.power is Power.RUNNING:
        return World.RUNNING
    return World.EXITED if observed.exited else World.STOPPED


class InstanceReconciler:
    """Brings each instance to the state its `desired` names."""

    name = "ec2.instance"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store
        self._clock: Clock = parts.clock
        self._provider: Provider = parts.provider
        # The watcher calls as well as the queue; calls for one instance must not overlap.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def keys_for(self, changed: Key) -> Iterable[Key]:
        return (changed,) if changed.kind == Instance.KIND else ()

    def all_keys(self) -> Iterable[Key]:
        return [instance.key for instance in self._store.view.all(Instance)]

    async def reconcile(self, key: Key) -> Done | Again:
        async with self._lock(key.id):
            for _ in range(STEPS_AT_ONCE):
                outcome = await self._step(key)
                if outcome is not None:
                    return outcome
        return Again(0.0, "more steps")

    async def reap(self, instance_id: str) -> None:
        """End an instance of the provider's that the store does not know. Raises: ProviderError."""
        async with self._lock(instance_id):
            log.warning("ending an instance that the store does not know", extra={"resource": instance_id})
            await self._provider.terminate(instance_id)

    async def _step(self, key: Key) -> Done | Again | None:
        """One round of observe, plan, record, act; None = at once again."""
        world = world_of(await self._provider.find(key.id))
        instance = self._store.view.get(Instance, key.account, key.region, key.id)
        if instance is None:
            if world is not World.ABSENT:
                await self._provider.terminate(key.id)
            return Done()
        plan = plan_instance(instance, world, self._clock.now())
        if plan.instance != instance and not await self._record(instance, plan.instance):
            return None
        if plan.instance is None:
            return Done()
        instance = plan.instance
        try:
            await self._act(plan, instance)
        except NoCapacity as error:
            await self._give_up(instance, "Server.InsufficientInstanceCapacity", str(error))
            return None
        except Permanent as error:
            if plan.act is Act.REPLACE_ROOT:
                await self._root_replaced(instance, str(error))
                return None
            await self._give_up(instance, "Server.InternalError", str(error))
            return None
        except Transient as error:
            return Again(error.after_seconds * self._clock.scale, str(error))
        if plan.act is Act.REBOOT:
            await self._record(instance, replace(instance, boots_done=instance.boots))
        if plan.act is Act.REPLACE_ROOT:
            await self._root_replaced(instance)
        if plan.after_seconds is None:
            return Done()
        if plan.after_seconds <= 0:
            return None
        if plan.act is not Act.NOTHING and world_of(await self._provider.find(key.id)) is not world:
            return None
        return Again(plan.after_seconds, f"{instance.state}, {world}")

    async def _act(self, plan: Plan, instance: Instance) -> None:
        match plan.act:
            case Act.LAUNCH:
                await self._provider.launch(build_spec(self._store.view, self._parts.settings, instance))
            case Act.START:
                await self._start(instance)
            case Act.STOP:
                await self._provider.stop(instance.id, force=instance.force_stop)
            case Act.REBOOT:
                await self._provider.reboot(instance.id)
            case Act.TERMINATE:
                await self._provider.terminate(instance.id)
            case Act.REPLACE_ROOT:
                wanted = replace(instance, image_id=image_of_task(self._store.view, instance))
                try:
                    await self._provider.replace_root(build_spec(self._store.view, self._parts.settings, wanted))
                except NotFound:
                    raise Permanent("the instance is gone from its host") from None
            case Act.NOTHING:
                pass

    async def _start(self, instance: Instance) -> None:
        spec = build_spec(self._store.view, self._parts.settings, instance)
        try:
            await self._provider.start(spec)
        except NotFound:
            if instance.boots_done:
                raise Permanent("the instance is gone from its host") from None
            # It was stopped before its first launch came to anything.
            await self._provider.launch(spec)

    async def _root_replaced(self, seen: Instance, problem: str = "") -> None:
        """The new root is there, or it cannot be had and the old one stays: either way it is started."""
        now = self._clock.now()
        call = Call(account=seen.account, region=seen.region, now=now, ids=self._parts.ids, cause=CAUSE)
        log.log(
            logging.WARNING if problem else logging.INFO,
            "root volume not replaced" if problem else "root volume replaced",
            extra={"resource": seen.id, "cause": problem or seen.root_task_id},
        )
        await self._store.write(lambda tx: record_root(tx, call, seen, problem), CAUSE)

    async def _give_up(self, instance: Instance, reason: str, detail: str) -> None:
        log.warning("instance not launched", extra={"resource": instance.id, "cause": f"{reason}: {detail}"})
        fail = failed_start if instance.boots and reason != "Server.InternalError" else failed_launch
        await self._record(instance, fail(instance, self._clock.now(), reason, f"{reason}: {detail}"))

    async def _record(self, seen: Instance, new: Instance | None) -> bool:
        """Write `new` in the place of `seen`; False (and nothing written) if that has changed meanwhile."""
        ids, now = self._parts.ids, self._clock.now()
        call = Call(account=seen.account, region=seen.region, now=now, ids=ids, cause=CAUSE)

        def command(tx: Transaction) -> bool:
            if tx.get(Instance, seen.account, seen.region, seen.id) != seen:
                return False
            if seen.root_task_id and (new is None or new.root_task_id != seen.root_task_id or new.terminated_at):
                finish_task(tx, call, seen)
            if new is None:
                forget_tasks(tx, seen)
                tx.delete(seen)
                return True
            tx.put(new if new.state == seen.state else _entered_state(tx, call, new))
            return True

        written = await self._store.write(command, CAUSE)
        if written and new is not None and new.state != seen.state:
            log.info(
                "instance state",
                extra={"resource": new.id, "cause": f"{seen.state} -> {new.state} {new.state_reason_code}".rstrip()},
            )
        return written

    def _lock(self, instance_id: str) -> asyncio.Lock:
        lock = self._locks.get(instance_id)
        if lock is None:
            lock = self._locks[instance_id] = asyncio.Lock()
        return lock


def _entered_state(tx: Transaction, call: Call, instance: Instance) -> Instance:
    """What entering a state brings with it: addresses and volumes come and go."""
    if instance.state == "running":
        return _with_public_address(tx, instance)
    if instance.state in ("stopped", "terminated"):
        instance = replace(instance, public_ip_address="", public_dns_name="")
    if instance.state != "terminated":
        return instance
    release_resources(tx, call, instance)
    return instance


def _with_public_address(tx: Transaction, instance: Instance) -> Instance:
    """The running instance with its public address: an Elastic IP address, or the one its subnet gives."""
    interface = tx.get(NetworkInterface, instance.account, instance.region, instance.network_interface_id)
    address = (interface.elastic_ip if interface else "") or (instance.host_address if instance.public else "")
    name = public_dns_name(instance.region, address) if address else ""
    return replace(instance, public_ip_address=address, public_dns_name=name)


class ImageReconciler:
    """Makes an image's files from its instance's: pending to available or failed; removes those of deregistered
    ones that no instance needs any more."""

    name = "ec2.image"

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._provider: Provider = parts.provider

    def keys_for(self, changed: Key) -> Iterable[Key]:
        return (changed,) if changed.kind == Image.KIND else ()

    def all_keys(self) -> Iterable[Key]:
        return [image.key for image in self._store.view.all(Image)]

    async def reconcile(self, key: Key) -> Done | Again:
        image = self._store.view.get(Image, key.account, key.region, key.id)
        if image is None or image.deregistered:
            await self._provider.delete_image(key.id)
            return Done()
        if image.state != "pending":
            return Done()
        path, problem = "", ""
        try:
            path = await self._provider.snapshot(image.source_instance_id, image.id)
        except (NotFound, Permanent) as error:
            problem = str(error)
        except Transient as error:
            return Again(error.after_seconds, str(error))

        def command(tx: Transaction) -> None:
            current = tx.get(Image, key.account, key.region, key.id)
            if current is None or current.state != "pending":
                return
            state = "failed" if problem else "available"
            tx.put(replace(current, state=state, path=path, state_reason_message=problem))

        await self._store.write(command, "reconciler:ec2.image")
        return Done()


class InstanceWatcher:
    """Notices what happens to instances without anyone having asked: they exit, vanish, or are not ours."""

    name = "ec2.instance_watcher"

    def __init__(self, parts: Parts, reconciler: InstanceReconciler) -> None:
        self._store = parts.store
        self._clock: Clock = parts.clock
        self._provider: Provider = parts.provider
        self._reconciler = reconciler

    async def run(self) -> None:
        while True:
            change = asyncio.ensure_future(self._provider.next_change())
            try:
                await self.look()
                await asyncio.wait({change}, timeout=max(WATCH_LEAST_SECONDS, WATCH_SECONDS / self._clock.scale))
                if change.done():
                    change.result()
            finally:
                change.cancel()

    async def look(self) -> None:
        """Reconcile every instance whose recorded state the world contradicts."""
        observed = await self._provider.observe()
        known = {instance.id: instance for instance in self._store.view.all(Instance)}
        await asyncio.gather(
            *(
                self._quietly(instance.id, partial(self._reconciler.reconcile, instance.key))
                for instance in known.values()
                if not _agrees(instance, world_of(observed.get(instance.id)))
            ),
            *(
                self._quietly(instance_id, partial(self._reconciler.reap, instance_id))
                for instance_id, found in observed.items()
                if instance_id not in known and found.power is not Power.TERMINATED
            ),
        )

    async def _quietly(self, instance_id: str, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except ProviderError:
            log.warning("will look again", exc_info=True, extra={"resource": instance_id})


def _agrees(instance: Instance, world: World) -> bool:
    """Whether the store already says what the provider shows."""
    if instance.state == "running":
        return world is World.RUNNING
    if instance.state == "pending":
        return world in (World.ABSENT, World.PENDING)
    if instance.state in ("shutting-down", "stopping"):
        return world in (World.RUNNING, World.PENDING)
    if instance.state == "terminated":
        return world is World.ABSENT
    return world in (World.STOPPED, World.EXITED, World.ABSENT)
