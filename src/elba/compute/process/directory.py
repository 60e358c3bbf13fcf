"""One instance's directory on disk: what is in it, how it is made and removed. No processes in here."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from elba.compute.image import EXECUTABLE, LINKS, ROOT
from elba.compute.interface import InstanceSpec, Permanent
from elba.compute.process.user_data import BootPlan, parse_user_data

CONSOLE_BYTES = 64 * 1024
NOT_IN_IMAGES = {"var/lib/cloud", "var/log", "run"}
"""What belongs to one instance only: its scripts, its output, its notes of running processes."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor is told (`launch.json`), anew at each start."""

    instance_id: str
    hostname: str
    environment: dict[str, str]
    grace_seconds: float
    namespaces: bool
    cgroup_procs: list[str] = []


class InstanceDirectory:
    """Files: `spec.json` (written last, so a directory with one is whole), see also `supervisor.py`.

    `stopped` exists while it was told to stop: its absence beside a dead supervisor means it ended by itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = path / "root"

    @property
    def instance_id(self) -> str:
        return self.path.name

    @property
    def exists(self) -> bool:
        return self.path.is_dir()

    @property
    def launched(self) -> bool:
        """Whether its supervisor has ever been started."""
        return (self.path / "lock").exists()

    @property
    def told_to_stop(self) -> bool:
        return (self.path / "stopped").exists()

    def note_stop(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.path / "stopped").touch()

    def read_spec(self) -> InstanceSpec | None:
        """None if there is none, or none that can be read."""
        try:
            return msgspec.json.decode((self.path / "spec.json").read_bytes(), type=InstanceSpec)
        except (OSError, msgspec.MsgspecError):
            return None

    def prepare(self, spec: InstanceSpec) -> None:
        """Make the directory for a first boot; harmless if it was begun before. Raises: Permanent."""
        source = Path(spec.image_path) if spec.image_path else ROOT
        if not source.is_dir():
            raise Permanent(f"the files of image {spec.image_id} are gone: {source}")
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copytree(source, self.root, symlinks=True, dirs_exist_ok=True, ignore=_no_bytecode)
        for name in EXECUTABLE:
            for file in (self.root / name).glob("*"):
                if not file.is_symlink():
                    file.chmod(0o755)
        for name, target in LINKS.items():
            if (self.root / target).parent.is_dir() and not os.path.lexists(self.root / name):
                (self.root / name).symlink_to(target)
        for name in ("etc", "run", "tmp", "var/log"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        _replace(self.path / "user-data.json", msgspec.json.encode(_plan(spec)))
        self.write_spec(spec)

    def replace_root(self, spec: InstanceSpec, trash: Path) -> None:
        """As before a first boot from `spec`, in the same directory: console and lock stay. Harmless to begin again.
        Raises: Permanent, with nothing changed."""
        source = Path(spec.image_path) if spec.image_path else ROOT
        if not source.is_dir():
            raise Permanent(f"the files of image {spec.image_id} are gone: {source}")
        (self.path / "booted").unlink(missing_ok=True)
        doomed = trash / f"{self.instance_id}.root"
        _discard(doomed)
        doomed.mkdir(parents=True)
        for old in (self.root, self.path / "work"):
            with contextlib.suppress(FileNotFoundError):
                old.rename(doomed / old.name)
        _discard(doomed)
        self.prepare(spec)

    def write_spec(self, spec: InstanceSpec) -> None:
        _replace(self.path / "spec.json", msgspec.json.encode(spec))

    def write_launch(self, launch: Launch) -> None:
        """The supervisor's orders; from here on it counts as running until it says otherwise."""
        _replace(self.path / "launch.json", msgspec.json.encode(launch))
        (self.path / "stopped").unlink(missing_ok=True)

    def console(self) -> bytes:
        """The last 64 KiB of output."""
        found = b""
        for name in ("console.log.1", "console.log"):
            with contextlib.suppress(OSError):
                found += (self.path / name).read_bytes()
        return found[-CONSOLE_BYTES:]

    def copy_to(self, image: Path) -> None:
        """Copy the instance's files to `image` unless that is there already; it appears whole or not at all.
        Raises: Permanent."""
        if image.exists():
            return
        new = image.with_name(image.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        try:
            shutil.copytree(self.root, new, symlinks=True, ignore=self._not_in_image)
            new.rename(image)
        except (OSError, shutil.Error) as error:
            raise Permanent(f"the files of {self.instance_id} cannot be copied: {error}") from error

    def remove(self, trash: Path) -> None:
        """Remove the directory: at once from its place, then file by file."""
        doomed = trash / self.instance_id
        shutil.rmtree(doomed, ignore_errors=True)
        trash.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.path.rename(doomed)
        _discard(doomed)

    def _not_in_image(self, directory: str, names: Sequence[str]) -> set[str]:
        left_out = set()
        for name in names:
            path = Path(directory) / name
            kind = path.lstat().st_mode
            special = not (stat.S_ISREG(kind) or stat.S_ISDIR(kind) or stat.S_ISLNK(kind))
            if special or path.relative_to(self.root).as_posix() in NOT_IN_IMAGES:
                left_out.add(name)
        return left_out


def _discard(doomed: Path) -> None:
    for locked in doomed.glob("work/*/work"):  # overlayfs takes all permissions from these
        with contextlib.suppress(OSError):
            locked.chmod(0o700)
    shutil.rmtree(doomed, ignore_errors=True)


def _plan(spec: InstanceSpec) -> BootPlan:
    return parse_user_data(spec.user_data) if spec.user_data else BootPlan()


def _no_bytecode(directory: str, names: Sequence[str]) -> set[str]:
    return {name for name in names if name == "__pycache__"}


def _replace(path: Path, data: bytes) -> None:
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    new.replace(path)
