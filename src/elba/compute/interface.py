"""The interface of every compute provider, its errors and its contract.

The contract suite in `elba.testing` runs against the fake and every real provider. All methods are
idempotent by instance id, so that a reconciler stopped after acting may act again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from elba.errors import ElbaError


class ProviderError(ElbaError):
    """Base. The reconciler's choice follows from the kind alone."""


class NotFound(ProviderError):
    """No such instance here (any more)."""


class NoCapacity(ProviderError):
    """The host has no room: EC2's InsufficientInstanceCapacity."""


class Transient(ProviderError):
    """Will likely work later."""

    def __init__(self, message: str, after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class Permanent(ProviderError):
    """Will never work as asked (an image that is gone); becomes the instance's state reason."""


class InstanceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All a provider needs to launch one instance.

    `host_address` is where the host (zone nodes, clients) reaches the instance: with the process provider
    an address in 127.0.0.0/8, with real networks the private address itself.
    """

    instance_id: str
    account: str
    region: str
    zone: str
    image_id: str
    instance_type: str
    vcpus: int
    memory_mib: int
    private_address: str
    host_address: str
    user_data: bytes = b""
    environment: Mapping[str, str] = {}
    image_path: str = ""
    """Directory with the image's files (the built-in image's default web app), copied at first boot."""


class Power(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    STOPPED = "stopped"
    TERMINATED = "terminated"


class ObservedInstance(msgspec.Struct, frozen=True, kw_only=True):
    """The world, not our memory of it. `exited` = it stopped by itself (shutdown inside, or killed).

    `reachable` is what EC2's instance status check looks at: it runs but no longer answers. `host_failed` is what the
    system status check looks at: what carries the instance has failed, and it would run again elsewhere.
    """

    instance_id: str
    power: Power
    exited: bool = False
    detail: str = ""
    reachable: bool = True
    host_failed: bool = False


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Cumulative since boot; the reader takes differences. `time` is world seconds (monotonic).

    `vcpus` is the CPU seconds a second that 100 % means: the instance type's count, or less on a host that cannot
    give every running instance its vCPUs at once (`elba.compute.allotment`). `cpu_wait_seconds`: how long its threads
    were ready to run and got no CPU; what was used and what was waited for are together what it would have used on
    vCPUs of its own.
    """

    instance_id: str
    time: float
    cpu_seconds: float
    cpu_wait_seconds: float = 0.0
    vcpus: float = 1.0
    network_in_bytes: int = 0
    network_out_bytes: int = 0
    disk_read_bytes: int = 0
    disk_write_bytes: int = 0
    network_packets_in: int = 0
    network_packets_out: int = 0
    disk_read_ops: int = 0
    disk_write_ops: int = 0


class Provider(Protocol):
    """Launches, stops, measures instances."""

    @property
    def on_this_host(self) -> bool:
        """Whether `InstanceSpec.host_address` is an address of this host that a listener here can bind, so that the
        control plane serves each instance's metadata there itself."""

    async def launch(self, spec: InstanceSpec) -> None:
        """Start the instance unless it is there already. Raises: NoCapacity, Permanent, Transient."""

    async def start(self, spec: InstanceSpec) -> None:
        """Start a stopped instance with its directory as it was; user data does not run again. Raises: NotFound."""

    async def replace_root(self, spec: InstanceSpec) -> None:
        """Give a stopped instance files as a first boot from `spec`'s image finds them; the old ones are gone, and user
        data will run again. Raises: NotFound, Permanent (the image's files are gone: nothing is changed), Transient."""

    async def stop(self, instance_id: str, *, force: bool = False) -> None:
        """Begin stopping: the whole process tree ends, the directory stays. No error if it is not running."""

    async def reboot(self, instance_id: str) -> None:
        """Stop and start in place. Raises: NotFound."""

    async def terminate(self, instance_id: str) -> None:
        """Begin ending the whole process tree and removing the directory. No error if it is gone."""

    async def observe(self) -> Mapping[str, ObservedInstance]:
        """Every instance this provider has, whoever started it: a restarted control plane adopts them."""

    async def find(self, instance_id: str) -> ObservedInstance | None:
        """What `observe` says of one instance; None if it is not here."""

    async def sample(self) -> Sequence[Sample]:
        """Resource use of every running instance."""

    async def next_change(self) -> None:
        """Return once an instance's power may have changed since the last call; may return early.

        For one waiter; it polls `observe` now and then as well, since a provider may miss changes.
        """

    async def console_output(self, instance_id: str) -> bytes:
        """The last 64 KiB of what the instance printed. Raises: NotFound."""

    async def run(self, instance_id: str, command: Sequence[str]) -> int:
        """Start `command` inside the instance, detached, and return its process id. Raises: NotFound."""

    async def snapshot(self, instance_id: str, image_id: str) -> str:
        """Copy the instance's files to a directory of the provider's own, kept as the image `image_id`, and return it
        (`InstanceSpec.image_path` of later launches). What is there already is kept. Raises: NotFound, Permanent."""

    async def delete_image(self, image_id: str) -> None:
        """Remove what `snapshot` made. No error if there is none."""

    async def close(self) -> None:
        """Release what this object holds; instances go on running."""
