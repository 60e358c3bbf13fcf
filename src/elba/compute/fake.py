"""A compute provider without a world: instances are entries in a table, on whatever clock it is given.

For tests and the simulator. It keeps the provider contract (`elba.testing.provider_contract`), and a test can
make launches fail, limit capacity, let instances hang, die or turn unreachable, and say how busy they are:

    provider = FakeProvider(clock, boot_seconds=30)
    provider.fail_next_launch(NoCapacity("no room"))
    provider.limit_capacity(2, zone="us-east-1a")
    provider.die("i-…")                              # as if it were shut down from inside
    provider.set_cpu("i-…", 80)                      # percent of its vCPUs
    provider.set_load(lambda now: 3.0)               # 3 CPU seconds a second, shared by all running instances
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from elba.clock import Clock
from elba.compute.interface import (
    InstanceSpec,
    NoCapacity,
    NotFound,
    ObservedInstance,
    Power,
    ProviderError,
    Sample,
    Transient,
)

Load = Callable[[float], float]
"""Work at a moment of clock time, in CPU seconds a second."""

LOAD_STEP_SECONDS = 5.0
"""A load that changes over time is integrated in steps no longer than this."""


@dataclass
class _Instance:
    spec: InstanceSpec
    power: Power = Power.PENDING
    exited: bool = False
    reachable: bool = True
    host_failed: bool = False
    hangs: bool = False
    stopping: bool = False
    going: bool = False
    """Terminating: nothing but vanishing happens to it any more."""
    boots: int = 1
    roots: int = 1
    percent: float | None = None
    network: tuple[float, float] = (0.0, 0.0)
    cpu_seconds: float = 0.0
    in_bytes: float = 0.0
    out_bytes: float = 0.0
    console: bytes = b""
    commands: list[tuple[str, ...]] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None


@dataclass
class _SharedLoad:
    load: Load
    belongs: Callable[[InstanceSpec], bool]


class FakeProvider:
    """Instances that take `boot_seconds` to come up and `stop_seconds` to go, in clock time.

    It outlives the control plane under test, as real instances do: hand the same object to the next one.
    """

    def __init__(self, clock: Clock, *, boot_seconds: float = 5.0, stop_seconds: float = 1.0) -> None:
        self.boot_seconds = boot_seconds
        self.stop_seconds = stop_seconds
        self.launches: list[str] = []
        """Every instance id a launch created, in order: for asserting that nothing was launched twice."""
        self.images: dict[str, str] = {}
        """Image ids that `snapshot` made, and their paths."""
        self._clock = clock
        self._instances: dict[str, _Instance] = {}
        self._failures: list[ProviderError] = []
        self._root_failures: list[ProviderError] = []
        self._limits: list[tuple[int, str | None, str | None]] = []
        self._hanging_launches = 0
        self._loads: list[_SharedLoad] = []
        self._accounted_until: float | None = None
        self._changed: asyncio.Event | None = None
        self._pids = itertools.count(1000)

    # What a test does to the world.

    def fail_next_launch(self, error: ProviderError, count: int = 1) -> None:
        """The next `count` launches of new instances raise `error`."""
        self._failures.extend([error] * count)

    def limit_capacity(self, count: int, *, zone: str | None = None, instance_type: str | None = None) -> None:
        """At most `count` running instances (of `zone`, of `instance_type`); beyond that NoCapacity. The last
        limit set for the same zone and type holds."""
        self._limits = [limit for limit in self._limits if limit[1:] != (zone, instance_type)]
        self._limits.append((count, zone, instance_type))

    def never_boot_next(self, count: int = 1) -> None:
        """The next `count` new instances stay pending for ever."""
        self._hanging_launches += count

    def die(self, instance_id: str) -> None:
        """The instance stops by itself, as after `shutdown` inside or a crash. Raises: NotFound."""
        instance = self._require(instance_id)
        self._account()
        if not instance.going:
            self._cancel(instance)
        instance.power, instance.exited = Power.STOPPED, True
        self._notify()

    def lose(self, instance_id: str) -> None:
        """The instance and its directory vanish, as with a lost host. Raises: NotFound."""
        self._account()
        self._cancel(self._require(instance_id))
        del self._instances[instance_id]
        self._notify()

    def set_reachable(self, instance_id: str, reachable: bool) -> None:
        """Whether the instance answers status checks. Raises: NotFound."""
        self._require(instance_id).reachable = reachable
        self._notify()

    def fail_host(self, instance_id: str) -> None:
        """What carries the instance fails, until it is started elsewhere. Raises: NotFound."""
        self._require(instance_id).host_failed = True
        self._notify()

    def set_cpu(self, instance_id: str, percent: float | None) -> None:
        """CPU use of one instance, in percent of its vCPUs, from now on; None = its share of the loads again.
        Raises: NotFound."""
        self._account()
        self._require(instance_id).percent = percent

    def set_load(self, load: Load | float, belongs: Callable[[InstanceSpec], bool] | None = None) -> None:
        """Replace all loads by one, shared evenly by the running instances that `belongs` takes (all).

        What exceeds an instance's vCPUs is lost: it shows 100 %.
        """
        self._account()
        self._loads.clear()
        self.add_load(load, belongs)

    def add_load(self, load: Load | float, belongs: Callable[[InstanceSpec], bool] | None = None) -> None:
        """One more load beside those there are, say of another group."""
        self._account()
        at: Load = load if callable(load) else lambda now: load
        self._loads.append(_SharedLoad(at, belongs or (lambda spec: True)))

    def set_network(self, instance_id: str, in_bytes_per_second: float, out_bytes_per_second: float) -> None:
        """Traffic of one instance from now on. Raises: NotFound."""
        self._account()
        self._require(instance_id).network = (in_bytes_per_second, out_bytes_per_second)

    def print_to_console(self, instance_id: str, output: bytes) -> None:
        """Append to what `console_output` shows. Raises: NotFound."""
        self._require(instance_id).console += output

    def spec(self, instance_id: str) -> InstanceSpec:
        """What the instance was last launched or started with. Raises: NotFound."""
        return self._require(instance_id).spec

    def boots(self, instance_id: str) -> int:
        """How often it has booted: 1 after launch. Raises: NotFound."""
        return self._require(instance_id).boots

    def roots(self, instance_id: str) -> int:
        """How many root volumes it has had: 1 after launch. Raises: NotFound."""
        return self._require(instance_id).roots

    def fail_next_root(self, error: ProviderError) -> None:
        """The next `replace_root` raises `error`."""
        self._root_failures.append(error)

    def commands(self, instance_id: str) -> list[tuple[str, ...]]:
        """What `run` was asked to run inside. Raises: NotFound."""
        return list(self._require(instance_id).commands)

    def running(self) -> list[InstanceSpec]:
        """The running instances, oldest first."""
        return [i.spec for i in self._instances.values() if i.power is Power.RUNNING]

    # The provider contract.

    on_this_host = False

    async def launch(self, spec: InstanceSpec) -> None:
        if spec.instance_id in self._instances:
            return
        if self._failures:
            raise self._failures.pop(0)
        self._require_capacity(spec)
        instance = _Instance(spec)
        if self._hanging_launches:
            self._hanging_launches -= 1
            instance.hangs = True
        self._instances[spec.instance_id] = instance
        self.launches.append(spec.instance_id)
        instance.console = b"booting " + spec.instance_id.encode() + b"\n"
        self._begin_boot(instance)

    async def start(self, spec: InstanceSpec) -> None:
        instance = self._require(spec.instance_id)
        if instance.power is not Power.STOPPED or instance.going:
            return
        self._require_capacity(spec)
        instance.spec = spec
        instance.exited = instance.stopping = instance.host_failed = False
        instance.boots += 1
        self._begin_boot(instance)

    async def replace_root(self, spec: InstanceSpec) -> None:
        instance = self._require(spec.instance_id)
        if instance.power is not Power.STOPPED or instance.going:
            raise Transient(f"{spec.instance_id} is not stopped")
        if self._root_failures:
            raise self._root_failures.pop(0)
        instance.spec = spec
        instance.roots += 1

    async def stop(self, instance_id: str, *, force: bool = False) -> None:
        instance = self._instances.get(instance_id)
        if instance is None or instance.going or instance.power is Power.STOPPED:
            return
        if instance.stopping and not force:
            return
        instance.stopping = True
        self._later(instance, 0.0 if force else self.stop_seconds, lambda: self._stopped(instance))

    async def reboot(self, instance_id: str) -> None:
        instance = self._require(instance_id)
        if instance.power is not Power.RUNNING:
            return
        self._account()
        instance.boots += 1
        instance.cpu_seconds = instance.in_bytes = instance.out_bytes = 0.0

    async def terminate(self, instance_id: str) -> None:
        instance = self._instances.get(instance_id)
        if instance is not None and not instance.going:
            instance.going = True
            self._later(instance, self.stop_seconds, lambda: self._gone(instance))

    async def observe(self) -> Mapping[str, ObservedInstance]:
        return {id_: self._observed(instance) for id_, instance in self._instances.items()}

    async def find(self, instance_id: str) -> ObservedInstance | None:
        instance = self._instances.get(instance_id)
        return None if instance is None else self._observed(instance)

    async def sample(self) -> Sequence[Sample]:
        self._account()
        return [
            Sample(
                instance_id=id_,
                time=self._clock.now(),
                cpu_seconds=i.cpu_seconds,
                vcpus=float(i.spec.vcpus),
                network_in_bytes=int(i.in_bytes),
                network_out_bytes=int(i.out_bytes),
            )
            for id_, i in self._instances.items()
            if i.power is Power.RUNNING
        ]

    async def next_change(self) -> None:
        if self._changed is None:
            self._changed = asyncio.Event()
        await self._changed.wait()
        self._changed.clear()

    async def console_output(self, instance_id: str) -> bytes:
        return self._require(instance_id).console[-65536:]

    async def run(self, instance_id: str, command: Sequence[str]) -> int:
        instance = self._require(instance_id)
        if instance.power is not Power.RUNNING:
            raise NotFound(f"instance {instance_id} is not running")
        instance.commands.append(tuple(command))
        return next(self._pids)

    async def snapshot(self, instance_id: str, image_id: str) -> str:
        self._require(instance_id)
        return self.images.setdefault(image_id, f"/fake/images/{image_id}")

    async def delete_image(self, image_id: str) -> None:
        self.images.pop(image_id, None)

    async def close(self) -> None:
        """Instances go on; a next control plane may use this object again."""
        self._changed = None

    # Inside.

    def _observed(self, instance: _Instance) -> ObservedInstance:
        return ObservedInstance(
            instance_id=instance.spec.instance_id,
            power=instance.power,
            exited=instance.exited,
            reachable=(instance.reachable and not instance.host_failed) or instance.power is not Power.RUNNING,
            host_failed=instance.host_failed and instance.power is Power.RUNNING,
        )

    def _require(self, instance_id: str) -> _Instance:
        instance = self._instances.get(instance_id)
        if instance is None:
            raise NotFound(f"no instance {instance_id}")
        return instance

    def _require_capacity(self, spec: InstanceSpec) -> None:
        up = [i.spec for i in self._instances.values() if i.power is not Power.STOPPED]
        for count, zone, type_ in self._limits:
            if zone not in (None, spec.zone) or type_ not in (None, spec.instance_type):
                continue
            alike = [s for s in up if zone in (None, s.zone) and type_ in (None, s.instance_type)]
            if len(alike) >= count:
                raise NoCapacity(f"only {count} instances fit (zone {zone or 'any'}, type {type_ or 'any'})")

    def _begin_boot(self, instance: _Instance) -> None:
        self._account()
        instance.power = Power.PENDING
        instance.cpu_seconds = instance.in_bytes = instance.out_bytes = 0.0
        if not instance.hangs:
            self._later(instance, self.boot_seconds, lambda: self._booted(instance))
        self._notify()

    def _booted(self, instance: _Instance) -> None:
        self._account()
        instance.power = Power.RUNNING
        self._notify()

    def _stopped(self, instance: _Instance) -> None:
        self._account()
        instance.power, instance.exited = Power.STOPPED, False
        self._notify()

    def _gone(self, instance: _Instance) -> None:
        self._account()
        self._instances.pop(instance.spec.instance_id, None)
        self._notify()

    def _later(self, instance: _Instance, seconds: float, action: Callable[[], None]) -> None:
        """What an instance is about to do; a later order replaces an earlier one."""
        self._cancel(instance)
        instance.timer = asyncio.get_running_loop().call_later(seconds / self._clock.scale, action)

    def _cancel(self, instance: _Instance) -> None:
        if instance.timer is not None:
            instance.timer.cancel()
            instance.timer = None

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()

    def _account(self) -> None:
        """Charge all running instances for the time since the last call; called before anything changes."""
        if self._accounted_until is None and not self._instances:
            return
        now = self._clock.now()
        since = now if self._accounted_until is None else self._accounted_until
        self._accounted_until = now
        running = [i for i in self._instances.values() if i.power is Power.RUNNING]
        if not running or now <= since:
            return
        for instance in running:
            instance.in_bytes += instance.network[0] * (now - since)
            instance.out_bytes += instance.network[1] * (now - since)
        steps = max(1, int((now - since) / LOAD_STEP_SECONDS)) if self._loads else 1
        step = (now - since) / steps
        for n in range(steps):
            self._charge(running, since + (n + 0.5) * step, step)

    def _charge(self, running: Sequence[_Instance], at: float, seconds: float) -> None:
        use = {i.spec.instance_id: 0.0 for i in running}
        for shared in self._loads:
            takers = [i for i in running if i.percent is None and shared.belongs(i.spec)]
            for instance in takers:
                use[instance.spec.instance_id] += shared.load(at) / len(takers)
        for instance in running:
            rate = use[instance.spec.instance_id]
            if instance.percent is not None:
                rate = instance.percent / 100 * instance.spec.vcpus
            instance.cpu_seconds += min(rate, float(instance.spec.vcpus)) * seconds
