"""Which addresses of 127.0.0.0/8 an Elba may use, so that several of them on one host do not collide.

Blocks of forty second octets are claimed by a file per block in the system's temporary directory. The file names
the data directory it belongs to; a block is free again when that directory is gone or nothing of it runs any more.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

from elba.cli.locks import holder
from elba.config import Home
from elba.errors import UserError

FIRST_OCTET = 16
BLOCK = 40


def blocks() -> list[tuple[int, int]]:
    """(first, last) second octets of every block: 127.16.0.0 up to 127.255.255.255."""
    return [(first, first + BLOCK - 1) for first in range(FIRST_OCTET, 256, BLOCK)]


def claim(directory: Path, preferred: tuple[int, int] | None = None) -> tuple[int, int]:
    """A block for the Elba at `directory`: the one it had, else the first free one. Raises: UserError if none is."""
    wanted = [preferred] if preferred in blocks() else []
    for first, last in [*wanted, *(block for block in blocks() if block not in wanted)]:
        if _claim(first, directory):
            return first, last
    raise UserError(
        "every block of loopback addresses is in use by another Elba", "End one with `elba --data-dir DIR down`."
    )


def release(directory: Path) -> None:
    """Give back the blocks of the Elba at `directory`."""
    for first, _ in blocks():
        path = _path(first)
        with suppress(FileNotFoundError):
            if path.read_text().strip() == str(directory):
                path.unlink()


def _path(first: int) -> Path:
    return Path(tempfile.gettempdir()) / f"elba-addresses-127.{first}"


def _claim(first: int, directory: Path) -> bool:
    try:
        descriptor = os.open(_path(first), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError:
        return False
    with os.fdopen(descriptor, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        owner = file.read().strip()
        if owner and owner != str(directory) and Path(owner).is_dir() and _in_use(Home(Path(owner))):
            return False
        file.seek(0)
        file.truncate()
        file.write(str(directory))
    return True


def _in_use(home: Home) -> bool:
    """Whether a control plane runs from `home`, or one of its zone nodes or instances."""
    return holder(home.lock_file) is not None or runs(home.directory)


def runs(directory: Path) -> bool:
    """Whether a process other than this one has something in `directory` on its command line."""
    name = str(directory)
    for process in psutil.process_iter(["cmdline"]):
        for argument in process.info["cmdline"] or ():
            if argument.startswith(name + "/"):
                return True
    return False
