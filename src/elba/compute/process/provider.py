"""Instances as process trees on this host, each under a supervisor that outlives the control plane.

An instance is a directory and, while it runs, a supervisor (`supervisor.py`) with all its processes below. The
supervisor holds a lock and listens on a socket in the directory, so a control plane that starts finds what runs by
looking, and while it is connected it hears at once when an instance ends. Where namespaces and overlayfs are to be had,
an instance has process ids and a host name of its own and changes the host's directories only in a layer of its own;
/tmp, /run and the network are the host's. Where they are not, user data can do what the user that runs Elba can.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elba.compute.allotment import allot_cpu
from elba.compute.interface import (
    InstanceSpec,
    NoCapacity,
    NotFound,
    ObservedInstance,
    Permanent,
    Power,
    Sample,
    Transient,
)
from elba.compute.process import waiting
from elba.compute.process.cgroups import Cgroups, Disk
from elba.compute.process.directory import InstanceDirectory, Launch
from elba.compute.process.link import Link, lock_holder
from elba.compute.process.network import SocketTraffic, Traffic

log = logging.getLogger(__name__)

SUPERVISOR = Path(__file__).with_name("supervisor.py")
STARTS_AT_ONCE = 4
START_SECONDS = 20.0
LATE_SECONDS = 2.0
"""How much longer than the grace a supervisor may take to stop before it is killed."""
LOOK_SECONDS = 0.02


@dataclass
class _Instance:
    """What we know of one directory. `link` is open while it runs; `starting`: its supervisor is being started."""

    directory: InstanceDirectory
    spec: InstanceSpec | None
    link: Link | None = None
    starting: bool = False
    ending: asyncio.Task[None] | None = None
    waits: waiting.CpuWaiting = field(default_factory=waiting.CpuWaiting)


class ProcessProvider:
    """Instances in `directory`. Limits: `max_instances` running at once, `memory_mib` of instance types in all
    (None = no limit). All seconds are the world's."""

    on_this_host = True

    def __init__(
        self,
        directory: Path,
        *,
        max_instances: int = 200,
        memory_mib: int | None = None,
        grace_seconds: float = 5.0,
        namespaces: bool = True,
        cgroups: bool = True,
    ) -> None:
        self._instances_directory = directory / "instances"
        self._images_directory = directory / "images"
        self._trash = directory / "trash"
        self._max_instances = max_instances
        self._memory_mib = memory_mib
        self._grace_seconds = grace_seconds
        self._namespaces = namespaces
        digest = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:8]
        self._cgroups = Cgroups.detect(f"elba-{digest}") if cgroups else None
        self._instances: dict[str, _Instance] = {}
        self._opened: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._starting = asyncio.Semaphore(STARTS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._traffic = SocketTraffic()

    # The provider contract.

    async def launch(self, spec: InstanceSpec) -> None:
        await self._open()
        known = self._instances.get(spec.instance_id)
        if known is not None and (known.starting or known.ending or await self._reconnected(known)):
            return
        if known is not None and known.directory.launched:
            return
        self._require_capacity(spec)
        directory = InstanceDirectory(self._instances_directory / spec.instance_id)
        instance = self._instances[spec.instance_id] = _Instance(directory, spec, starting=True)
        try:
            await asyncio.to_thread(directory.prepare, spec)
            await self._start_supervisor(instance, spec)
        except OSError as error:
            raise Transient(f"{spec.instance_id} cannot be launched: {error}", 5.0) from error
        finally:
            instance.starting = False
            self._changed.set()

    async def start(self, spec: InstanceSpec) -> None:
        instance = await self._require(spec.instance_id)
        if instance.starting or instance.ending or await self._reconnected(instance):
            return
        if instance.spec is None:
            raise NotFound(f"the directory of {spec.instance_id} is damaged")
        self._require_capacity(spec)
        instance.starting = True
        try:
            instance.directory.write_spec(spec)
            await self._start_supervisor(instance, spec)
        except OSError as error:
            raise Transient(f"{spec.instance_id} cannot be started: {error}", 5.0) from error
        finally:
            instance.starting = False
            self._changed.set()

    async def replace_root(self, spec: InstanceSpec) -> None:
        instance = await self._require(spec.instance_id)
        if instance.starting or instance.ending or await self._reconnected(instance):
            raise Transient(f"{spec.instance_id} is not stopped")
        instance.starting = True
        try:
            await asyncio.to_thread(instance.directory.replace_root, spec, self._trash)
            instance.spec = spec
        except OSError as error:
            raise Transient(f"the files of {spec.instance_id} cannot be replaced: {error}", 5.0) from error
        finally:
            instance.starting = False
            self._changed.set()

    async def stop(self, instance_id: str, *, force: bool = False) -> None:
        await self._open()
        instance = self._instances.get(instance_id)
        if instance is None or instance.link is None:
            return
        instance.directory.note_stop()
        grace = 0.0 if force else self._grace_seconds
        if instance.ending is None:
            instance.ending = self._background(self._end(instance, grace))
        elif force:
            with contextlib.suppress(NotFound, Transient):
                await instance.link.ask("stop", grace_seconds=0.0)

    async def reboot(self, instance_id: str) -> None:
        instance = await self._require(instance_id)
        if instance.link is None:
            raise NotFound(f"{instance_id} is not running")
        await instance.link.ask("reboot", grace_seconds=self._grace_seconds)

    async def terminate(self, instance_id: str) -> None:
        await self._open()
        instance = self._instances.get(instance_id)
        if instance is None:
            directory = InstanceDirectory(self._instances_directory / instance_id)
            if not directory.exists:
                return
            instance = self._instances[instance_id] = _Instance(directory, directory.read_spec())
        if instance.ending is not None and instance.ending.get_name() == "process.terminate":
            return
        instance.directory.note_stop()
        instance.ending = self._background(self._terminate(instance, instance.ending), "process.terminate")

    async def observe(self) -> Mapping[str, ObservedInstance]:
        await self._open()
        self._traffic.totals()  # observed more often than sampled: fewer connections are missed
        return {id_: self._observed(instance) for id_, instance in list(self._instances.items())}

    async def find(self, instance_id: str) -> ObservedInstance | None:
        await self._open()
        instance = self._instances.get(instance_id)
        return None if instance is None else self._observed(instance)

    async def sample(self) -> Sequence[Sample]:
        await self._open()
        running = {id_: i for id_, i in self._instances.items() if i.link is not None and i.spec is not None}
        vcpus = {id_: i.spec.vcpus for id_, i in running.items() if i.spec}
        # Where waiting is counted, what an instance used and waited for shows its need of the vCPUs it was promised.
        counted = self._cgroups is not None and waiting.available()
        allotted = {k: float(v) for k, v in vcpus.items()} if counted else allot_cpu(vcpus, os.cpu_count() or 1)
        traffic = self._traffic.totals()
        found = await asyncio.gather(*(self._sample(i, allotted[id_], traffic) for id_, i in running.items()))
        return [sample for sample in found if sample is not None]

    async def next_change(self) -> None:
        await self._open()
        await self._changed.wait()
        self._changed.clear()

    async def console_output(self, instance_id: str) -> bytes:
        instance = await self._require(instance_id)
        return await asyncio.to_thread(instance.directory.console)

    async def run(self, instance_id: str, command: Sequence[str]) -> int:
        """The process id is as the instance sees it. Raises: NotFound, Permanent (it cannot be executed)."""
        if self._opened is None:
            # A command-line tool beside a control plane that runs: it asks, and touches nothing else.
            link = await Link.open(self._instances_directory / instance_id, lambda: None)
        else:
            link = (await self._require(instance_id)).link
        if link is None:
            raise NotFound(f"{instance_id} is not running")
        try:
            answer = await link.ask("run", command=list(command))
        finally:
            if self._opened is None:
                await link.close()
        if "error" in answer:
            raise Permanent(f"{instance_id} cannot run {command[0]}: {answer['error']}")
        return int(answer["pid"])

    async def snapshot(self, instance_id: str, image_id: str) -> str:
        path = self._images_directory / image_id
        if not path.exists():
            instance = await self._require(instance_id)
            self._images_directory.mkdir(parents=True, exist_ok=True)
            await asyncio.to_thread(instance.directory.copy_to, path)
        return str(path)

    async def delete_image(self, image_id: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._images_directory / image_id, True)

    async def close(self) -> None:
        """Let go. What was ending ends: its supervisor knows, and the next control plane removes what is left."""
        for task in [*self._tasks, *([self._opened] if self._opened else [])]:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for instance in self._instances.values():
            if instance.link is not None:
                await instance.link.close()
        self._instances.clear()
        self._opened = None
        self._traffic.close()
        if self._cgroups is not None:
            self._cgroups.close()

    def supervisor_pid(self, instance_id: str) -> int:
        """The process whose end is the instance's end. Raises: NotFound (it does not run)."""
        instance = self._instances.get(instance_id)
        if instance is None or instance.link is None:
            raise NotFound(f"{instance_id} is not running")
        return instance.link.pid

    # Finding what runs.

    async def _open(self) -> None:
        """Once: connect to every supervisor there is."""
        if self._opened is None:
            self._opened = asyncio.create_task(self._adopt_all(), name="process.adopt")
        if not self._opened.done():
            await asyncio.shield(self._opened)

    async def _adopt_all(self) -> None:
        self._instances_directory.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(shutil.rmtree, self._trash, True)
        paths = sorted(self._instances_directory.iterdir(), key=lambda path: path.stat().st_mtime)
        await asyncio.gather(*(self._adopt(InstanceDirectory(path)) for path in paths if path.is_dir()))
        if self._cgroups is not None:
            self._cgroups.remove_all_but(self._instances)

    async def _adopt(self, directory: InstanceDirectory) -> None:
        instance = self._instances[directory.instance_id] = _Instance(directory, directory.read_spec())
        instance.link = await Link.open(directory.path, lambda: self._link_ended(instance))
        until = time.monotonic() + LATE_SECONDS
        while instance.link is None and (pid := lock_holder(directory.path)) is not None:
            # It lives but does not listen: it is beginning, ending or broken.
            if time.monotonic() > until and pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(LOOK_SECONDS)
            instance.link = await Link.open(directory.path, lambda: self._link_ended(instance))
        if instance.link is None:
            await asyncio.to_thread(self._sweep, instance)
        elif directory.told_to_stop:
            instance.ending = self._background(self._end(instance, self._grace_seconds))

    async def _reconnected(self, instance: _Instance) -> bool:
        """Whether there is a link: now, or again after an attempt to start it was given up too early."""
        if instance.link is None and lock_holder(instance.directory.path) is not None:
            instance.link = await Link.open(instance.directory.path, lambda: self._link_ended(instance))
        return instance.link is not None

    def _observed(self, instance: _Instance) -> ObservedInstance:
        id_ = instance.directory.instance_id
        if instance.link is not None:
            # The supervisor is what carries the instance, as a host does: hung, it takes the instance with it.
            alive = instance.link.responsive
            return ObservedInstance(instance_id=id_, power=Power.RUNNING, reachable=alive, host_failed=not alive)
        if instance.ending is not None:
            return ObservedInstance(instance_id=id_, power=Power.RUNNING)  # until nothing of it is left
        if instance.starting or not instance.directory.launched:
            return ObservedInstance(instance_id=id_, power=Power.PENDING)
        return ObservedInstance(instance_id=id_, power=Power.STOPPED, exited=not instance.directory.told_to_stop)

    async def _require(self, instance_id: str) -> _Instance:
        await self._open()
        instance = self._instances.get(instance_id)
        if instance is None:
            raise NotFound(f"no instance {instance_id}")
        return instance

    def _require_capacity(self, spec: InstanceSpec) -> None:
        up = [i.spec for i in self._instances.values() if i.spec and (i.link or i.starting)]
        if len(up) >= self._max_instances:
            raise NoCapacity(f"this host runs {self._max_instances} instances, its limit")
        if self._memory_mib is not None and sum(s.memory_mib for s in up) + spec.memory_mib > self._memory_mib:
            raise NoCapacity(f"the instance types' memory would exceed this host's limit of {self._memory_mib} MiB")

    # Starting.

    async def _start_supervisor(self, instance: _Instance, spec: InstanceSpec) -> None:
        """Raises: Transient, OSError."""
        async with self._starting:
            directory = instance.directory
            groups = self._cgroups.create(spec.instance_id, spec.vcpus, spec.memory_mib) if self._cgroups else []
            directory.write_launch(self._launch(spec, groups))
            # A file for its complaints, not a pipe: uvloop would wait for an end that the daemon's copy keeps away.
            with tempfile.TemporaryFile() as complaints:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-I",
                    "-S",
                    str(SUPERVISOR),
                    str(directory.path),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=complaints,
                    start_new_session=True,
                    env={},
                )
                try:
                    status = await asyncio.wait_for(process.wait(), START_SECONDS)
                except TimeoutError:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    raise Transient(f"{spec.instance_id}: no supervisor within {START_SECONDS} s") from None
                complaints.seek(0)
                problem = complaints.read(4096).decode(errors="replace")
            # 3: the supervisor that a control plane before us started.
            if status not in (0, 3):
                raise Transient(f"the supervisor of {spec.instance_id} did not start: {problem[-500:]}", 5.0)
            instance.spec = spec
            instance.link = await Link.open(directory.path, lambda: self._link_ended(instance))

    def _launch(self, spec: InstanceSpec, groups: list[str]) -> Launch:
        environment = {
            "ELBA_INSTANCE_ID": spec.instance_id,
            "ELBA_ADDRESS": spec.host_address,
            "ELBA_PRIVATE_ADDRESS": spec.private_address,
            "ELBA_INSTANCE_TYPE": spec.instance_type,
            "AWS_REGION": spec.region,
            "AWS_DEFAULT_REGION": spec.region,
            "ELBA_AVAILABILITY_ZONE": spec.zone,
            **spec.environment,
        }
        return Launch(
            instance_id=spec.instance_id,
            hostname=f"ip-{spec.private_address.replace('.', '-')}",
            environment=environment,
            grace_seconds=self._grace_seconds,
            namespaces=self._namespaces,
            cgroup_procs=groups,
        )

    # Ending.

    def _link_ended(self, instance: _Instance) -> None:
        instance.link = None
        if instance.ending is None:
            # It ended by itself: nothing of it may stay behind.
            instance.ending = self._background(self._end(instance, 0.0))

    async def _end(self, instance: _Instance, grace_seconds: float) -> None:
        """Stop the supervisor, gently and then not, and wait until it is gone with all its processes."""
        try:
            link = instance.link
            if link is not None:
                with contextlib.suppress(NotFound, Transient):
                    await link.ask("stop", grace_seconds=grace_seconds)
                try:
                    await asyncio.wait_for(link.closed.wait(), grace_seconds + LATE_SECONDS)
                except TimeoutError:
                    log.warning("supervisor does not stop; killed", extra={"resource": instance.directory.instance_id})
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(link.pid, signal.SIGKILL)
                    await link.closed.wait()
            await asyncio.to_thread(self._sweep, instance)
            if self._cgroups is not None:
                self._cgroups.remove(instance.directory.instance_id)
        finally:
            if instance.ending is asyncio.current_task():
                instance.ending = None
            self._changed.set()

    async def _terminate(self, instance: _Instance, stopping: asyncio.Task[None] | None) -> None:
        if stopping is not None:
            await asyncio.gather(stopping, return_exceptions=True)
        await self._end(instance, self._grace_seconds)
        await asyncio.to_thread(instance.directory.remove, self._trash)
        self._instances.pop(instance.directory.instance_id, None)
        self._changed.set()

    def _sweep(self, instance: _Instance) -> None:
        """Kill what an instance without a supervisor left behind: by cgroup, and by the mark in its environment."""
        id_ = instance.directory.instance_id
        until = time.monotonic() + LATE_SECONDS
        while time.monotonic() < until:
            found = self._cgroups.kill(id_) if self._cgroups is not None else False
            for pid in _marked(f"ELBA_ROOT={instance.directory.root.resolve()}"):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                    found = True
            if not found:
                return
            time.sleep(LOOK_SECONDS)

    # Measuring.

    async def _sample(self, instance: _Instance, vcpus: float, traffic: Mapping[str, Traffic]) -> Sample | None:
        id_ = instance.directory.instance_id
        used = self._cgroups.cpu_seconds(id_) if self._cgroups is not None else None
        at = time.monotonic()
        if used is None:
            try:
                if instance.link is None:
                    return None
                used = float((await instance.link.ask("sample"))["cpu_seconds"])
            except (NotFound, Transient):
                return None
            at = time.monotonic()
        waited = instance.waits.seconds(self._cgroups.pids(id_)) if self._cgroups is not None else 0.0
        disk = self._cgroups.disk(id_) if self._cgroups is not None else Disk()
        network = traffic.get(instance.spec.host_address if instance.spec else "", Traffic())
        return Sample(
            instance_id=id_,
            time=at,
            cpu_seconds=used,
            cpu_wait_seconds=waited,
            vcpus=vcpus,
            network_in_bytes=network.received_bytes,
            network_out_bytes=network.sent_bytes,
            network_packets_in=network.received_packets,
            network_packets_out=network.sent_packets,
            disk_read_bytes=disk.read_bytes,
            disk_write_bytes=disk.written_bytes,
            disk_read_ops=disk.reads,
            disk_write_ops=disk.writes,
        )

    def _background(self, work: Coroutine[Any, Any, None], name: str = "process.end") -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _marked(mark: str) -> list[int]:
    """Processes on this host that have `mark` in their environment."""
    wanted = mark.encode()
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208 - a Path per process of the host is waste
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:  # noqa: PTH123
                environment = file.read()
        except OSError:
            continue
        if wanted in environment.split(b"\0"):
            found.append(int(entry))
    return found
