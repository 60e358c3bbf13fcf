"""The zone node's program as a process: found, started detached, ended. Nothing here talks to it."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from elba.errors import UserError

PROGRAM = "elba-node"
LOG_BYTES_MOST = 8 * 1024 * 1024
SOCKET_PATH_MOST = 100
"""A Unix socket's path has 107 characters at most."""


def find_program() -> Path:
    """`$ELBA_NODE`, else the one installed beside this Python, else on PATH, else a build in the source tree.

    Raises: UserError if there is none.
    """
    if given := os.environ.get("ELBA_NODE"):
        if Path(given).is_file():
            return Path(given)
        raise UserError(f"$ELBA_NODE names {given}, which is not there")
    installed = Path(sys.executable).parent / PROGRAM
    if installed.is_file():
        return installed
    if found := shutil.which(PROGRAM):
        return Path(found)
    builds = Path(__file__).resolve().parents[3].glob(f"target*/release/{PROGRAM}")
    newest = max(builds, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        raise UserError(
            f"the zone node's program, {PROGRAM}, is not installed",
            "Install the package with pip, or build it (cargo build --release -p elba-node), or set ELBA_NODE.",
        )
    return newest


class NodeHome:
    """One node's folder, `<data directory>/nodes/<zone>`, and its process."""

    def __init__(self, data_directory: Path, zone: str) -> None:
        self.zone = zone
        self.directory = data_directory / "nodes" / zone
        self.log_file = self.directory / "node.log"
        self._lock_file = self.directory / "lock"
        self._child = 0

    @staticmethod
    def zones(data_directory: Path) -> list[str]:
        """The zones that have a folder."""
        folder = data_directory / "nodes"
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    @property
    def socket(self) -> Path:
        """The control socket; in the temporary directory if the folder's path is too long for one."""
        beside = self.directory / "control.sock"
        if len(str(beside)) <= SOCKET_PATH_MOST:
            return beside
        digest = hashlib.sha256(str(self.directory).encode()).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"elba-{os.getuid()}-{digest}"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / "control.sock"

    def start(self, program: Path, *, takeover: bool = False) -> int:
        """Start the node in a session of its own; its process id. It outlives this process.

        `takeover`: it replaces the one that runs, which hands its listening sockets over.
        """
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.bound_log()
        arguments = [str(program), "--id", self.zone, "--control", str(self.socket), "--data-dir", str(self.directory)]
        if takeover:
            arguments.append("--takeover")
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._child = os.posix_spawn(
            program,
            arguments,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log_file), append, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        return self._child

    def reap(self) -> int | None:
        """The exit status of the node this process started, once it has ended; None while it runs."""
        if not self._child:
            return None
        try:
            pid, status = os.waitpid(self._child, os.WNOHANG)
        except ChildProcessError:
            self._child = 0
            return None
        if pid == 0:
            return None
        self._child = 0
        return os.waitstatus_to_exitcode(status)

    def process_id(self) -> int:
        """The running node's process id as its folder says; 0 if none runs."""
        try:
            pid = int(self._lock_file.read_text().strip() or 0)
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return 0
        return pid if str(self.directory).encode() in arguments else 0

    def signal(self, number: signal.Signals) -> None:
        """Send the running node a signal, if one runs."""
        if pid := self.process_id():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def bound_log(self) -> None:
        """Keep the log from growing without end: beyond the bound it moves to `node.log.1` and starts anew.

        The node appends to the open file, so the file is copied and cut, not renamed.
        """
        with suppress(OSError):
            if self.log_file.stat().st_size > LOG_BYTES_MOST:
                shutil.copyfile(self.log_file, self.log_file.with_suffix(".log.1"))
                os.truncate(self.log_file, 0)
