"""Finding this process's groups, and reading what the kernel writes, on a tree of ordinary files."""

from __future__ import annotations

from pathlib import Path

from elba.compute.process.cgroups import Cgroups, _hierarchies

V1_MOUNTS = """\
proc /proc proc rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup /sys/fs/cgroup/freezer cgroup rw,freezer 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
"""
V1_OWN = """\
4:memory:/user.slice
3:cpu,cpuacct:/
2:freezer:/
0::/user.slice/x
"""


def test_version_one() -> None:
    assert _hierarchies(V1_MOUNTS, V1_OWN) == {
        "cpu": Path("/sys/fs/cgroup/cpu,cpuacct"),
        "cpuacct": Path("/sys/fs/cgroup/cpu,cpuacct"),
        "memory": Path("/sys/fs/cgroup/memory/user.slice"),
        "": Path("/sys/fs/cgroup/unified/user.slice/x"),
    }


def test_version_two() -> None:
    found = _hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "0::/system.slice/elba.service\n")
    assert found == {"": Path("/sys/fs/cgroup/system.slice/elba.service")}


def test_limits_and_counters_of_version_two(tmp_path: Path) -> None:
    groups = Cgroups("elba-1", {"": tmp_path})
    assert groups.create("i-1", 1, 512) == [str(tmp_path / "i-1" / "cgroup.procs")]
    assert (tmp_path / "i-1" / "memory.max").read_text() == str(512 << 20)
    assert (tmp_path / "i-1" / "cpu.max").read_text().endswith(" 100000")
    (tmp_path / "i-1" / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (tmp_path / "i-1" / "io.stat").write_text("8:0 rbytes=10 wbytes=20 rios=1 wios=3\n8:16 rbytes=1 wbytes=2\n")
    (tmp_path / "i-1" / "cgroup.procs").write_text("7\n9\n")
    assert groups.cpu_seconds("i-1") == 1.5
    assert groups.disk("i-1") == (11, 22, 1, 3)
    assert groups.pids("i-1") == {7, 9}


def test_limits_and_counters_of_version_one(tmp_path: Path) -> None:
    roots = {name: tmp_path / name for name in ("cpu", "cpuacct", "memory", "blkio")}
    for root in roots.values():
        root.mkdir()
    groups = Cgroups("elba-1", roots)
    assert len(groups.create("i-1", 1, 512)) == 4
    assert (tmp_path / "memory" / "i-1" / "memory.limit_in_bytes").read_text() == str(512 << 20)
    (tmp_path / "cpuacct" / "i-1" / "cpuacct.usage").write_text("2500000000\n")
    (tmp_path / "blkio" / "i-1" / "blkio.throttle.io_service_bytes").write_text("8:0 Read 5\n8:0 Write 6\nTotal 11\n")
    (tmp_path / "blkio" / "i-1" / "blkio.throttle.io_serviced").write_text("8:0 Read 2\n8:0 Write 3\nTotal 5\n")
    assert groups.cpu_seconds("i-1") == 2.5
    assert groups.disk("i-1") == (5, 6, 2, 3)


def test_what_is_not_there_counts_nothing(tmp_path: Path) -> None:
    groups = Cgroups("elba-1", {"": tmp_path})
    assert groups.cpu_seconds("i-1") is None
    assert groups.disk("i-1") == (0, 0, 0, 0)
    assert groups.pids("i-1") == set()
    assert not groups.kill("i-1")
    groups.remove("i-1")
