"""One control group per instance, where this process may make them: exact CPU and disk counters, and limits.

Version 1 hierarchies and the unified version 2 one are both used as found. Where none is writable (an ordinary user,
most containers) there are no limits, and the supervisor counts from its process tree.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

PERIOD_MICROSECONDS = 100_000
CONTROLLERS = ("cpu", "cpuacct", "memory", "blkio")


def _hierarchies(mounts: str, own: str) -> dict[str, Path]:
    """This process's own group by version 1 controller name, and under "" in the version 2 tree."""
    paths = {}
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    found: dict[str, Path] = {}
    for line in mounts.splitlines():
        _, where, type_, options, *_ = line.split(" ")
        if type_ == "cgroup2":
            found.setdefault("", Path(where) / paths.get("", "/").lstrip("/"))
        elif type_ == "cgroup":
            for name in set(options.split(",")) & set(CONTROLLERS):
                found.setdefault(name, Path(where) / paths.get(name, "/").lstrip("/"))
    return found


def _write(path: Path, value: str) -> None:
    """Limits are kept where the kernel lets us set them; without one the instance runs all the same."""
    with contextlib.suppress(OSError):
        path.write_text(value)


class Disk(NamedTuple):
    """What an instance read and wrote, in bytes and in operations."""

    read_bytes: int = 0
    written_bytes: int = 0
    reads: int = 0
    writes: int = 0


class Cgroups:
    """The groups of one provider, named `<name>/<instance id>` below this process's own group."""

    def __init__(self, name: str, roots: dict[str, Path]) -> None:
        self._name = name
        self._roots = roots

    @classmethod
    def detect(cls, name: str) -> Cgroups | None:
        """Groups under `name` in every hierarchy that can count CPU or limit; None if CPU cannot be counted."""
        try:
            found = _hierarchies(Path("/proc/mounts").read_text(), Path("/proc/self/cgroup").read_text())
        except (OSError, ValueError):
            return None
        if "cpuacct" in found:
            found.pop("", None)
        usable: dict[str, Path] = {}
        for controller, own in found.items():
            group = own / name
            try:
                group.mkdir(exist_ok=True)
            except OSError:
                continue
            usable[controller] = group
            if controller == "":
                for tree in (own, group):
                    for wanted in ("+cpu", "+memory", "+io"):
                        _write(tree / "cgroup.subtree_control", wanted)
            elif controller == "cpu":
                # The instances together weigh as much as one busy process per core.
                _write(group / "cpu.shares", str(1024 * (os.cpu_count() or 1)))
        if "cpuacct" not in usable and "" not in usable:
            for group in usable.values():
                with contextlib.suppress(OSError):
                    group.rmdir()
            return None
        return cls(name, usable)

    def create(self, instance_id: str, vcpus: int, memory_mib: int) -> list[str]:
        """Make the instance's groups with its limits; the `cgroup.procs` files its first process must write to."""
        quota = vcpus * PERIOD_MICROSECONDS if vcpus < (os.cpu_count() or 1) else -1
        procs = []
        for controller, root in self._roots.items():
            group = root / instance_id
            try:
                group.mkdir(exist_ok=True, parents=True)
            except OSError:
                continue
            if controller == "cpu":
                _write(group / "cpu.cfs_period_us", str(PERIOD_MICROSECONDS))
                _write(group / "cpu.cfs_quota_us", str(quota))
                _write(group / "cpu.shares", str(1024 * vcpus))
            elif controller == "memory":
                _write(group / "memory.limit_in_bytes", str(memory_mib << 20))
            elif controller == "":
                _write(group / "cpu.max", f"{quota if quota > 0 else 'max'} {PERIOD_MICROSECONDS}")
                _write(group / "cpu.weight", str(min(10_000, 100 * vcpus)))
                _write(group / "memory.max", str(memory_mib << 20))
            procs.append(str(group / "cgroup.procs"))
        return procs

    def cpu_seconds(self, instance_id: str) -> float | None:
        """CPU time used in the instance's group; None if it has none."""
        try:
            if root := self._roots.get("cpuacct"):
                return int((root / instance_id / "cpuacct.usage").read_text()) / 1e9
            for line in (self._roots[""] / instance_id / "cpu.stat").read_text().splitlines():
                if line.startswith("usage_usec "):
                    return int(line.split()[1]) / 1e6
        except (OSError, ValueError, KeyError):
            return None
        return None

    def disk(self, instance_id: str) -> Disk:
        """What it did on block devices; the page cache is not counted."""
        found = {"rbytes": 0, "wbytes": 0, "rios": 0, "wios": 0}
        with contextlib.suppress(OSError, ValueError):
            if root := self._roots.get("blkio"):
                for file, unit in (("io_service_bytes", "bytes"), ("io_serviced", "ios")):
                    for line in (root / instance_id / f"blkio.throttle.{file}").read_text().splitlines():
                        match line.split():
                            case [_, "Read" | "Write" as way, count]:
                                found[way[0].lower() + unit] += int(count)
            elif root := self._roots.get(""):
                for line in (root / instance_id / "io.stat").read_text().splitlines():
                    fields = dict(f.split("=", 1) for f in line.split()[1:] if "=" in f)
                    for name in found:
                        found[name] += int(fields.get(name, 0))
        return Disk(found["rbytes"], found["wbytes"], found["rios"], found["wios"])

    def pids(self, instance_id: str) -> set[int]:
        """The processes in the instance's groups."""
        found: set[int] = set()
        for root in self._roots.values():
            with contextlib.suppress(OSError, ValueError):
                found.update(int(pid) for pid in (root / instance_id / "cgroup.procs").read_text().split())
        return found

    def kill(self, instance_id: str) -> bool:
        """SIGKILL to what is in the instance's groups; True if there was something."""
        pids = self.pids(instance_id) - {0, os.getpid()}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        return bool(pids)

    def remove(self, instance_id: str) -> None:
        """Remove the instance's groups; what the kernel still holds stays until `close`."""
        self._rmdir(root / instance_id for root in self._roots.values())

    def remove_all_but(self, instance_ids: Collection[str]) -> None:
        """Remove groups of instances that are no more."""
        for root in self._roots.values():
            self._rmdir(group for group in root.iterdir() if group.is_dir() and group.name not in instance_ids)

    def close(self) -> None:
        """Remove the provider's own groups if no instance is left in them."""
        self._rmdir(self._roots.values())

    def _rmdir(self, groups: Iterable[Path]) -> None:
        for group in groups:
            with contextlib.suppress(OSError):
                group.rmdir()
