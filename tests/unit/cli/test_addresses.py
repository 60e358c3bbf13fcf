"""Blocks of loopback addresses: no two Elbas that run have the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from elba.cli import addresses
from elba.cli.locks import ControlPlaneLock
from elba.config import Home
from elba.errors import UserError


@pytest.fixture(autouse=True)
def own_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = tmp_path / "claims"
    claims.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(claims))


def home(tmp_path: Path, name: str) -> Home:
    made = Home(tmp_path / name)
    made.create()
    return made


def test_a_control_plane_keeps_its_block_though_no_command_line_names_its_directory(tmp_path: Path) -> None:
    first, second = home(tmp_path, "first"), home(tmp_path, "second")
    lock = ControlPlaneLock(first.lock_file)
    lock.take()
    try:
        mine = addresses.claim(first.directory)
        theirs = addresses.claim(second.directory, mine)
        assert theirs != mine
        assert addresses.claim(first.directory, mine) == mine
    finally:
        lock.release()
    assert addresses.claim(second.directory, mine) == mine, "nothing runs there any more"


def test_what_runs_keeps_the_block_though_the_control_plane_is_gone(tmp_path: Path) -> None:
    first, second = home(tmp_path, "first"), home(tmp_path, "second")
    mine = addresses.claim(first.directory)
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()", str(first.directory / "instances" / "i-1")],
        stdin=subprocess.PIPE,
    )
    try:
        assert addresses.claim(second.directory, mine) != mine
    finally:
        process.communicate()


def test_a_removed_directory_frees_its_block(tmp_path: Path) -> None:
    first, second = home(tmp_path, "first"), home(tmp_path, "second")
    lock = ControlPlaneLock(first.lock_file)
    lock.take()
    mine = addresses.claim(first.directory)
    lock.release()
    first.lock_file.unlink()
    first.directory.rmdir()
    assert addresses.claim(second.directory) == mine


def test_no_block_left_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "blocks", lambda: [(16, 31)])
    first = home(tmp_path, "first")
    lock = ControlPlaneLock(first.lock_file)
    lock.take()
    try:
        addresses.claim(first.directory)
        with pytest.raises(UserError, match="every block"):
            addresses.claim(home(tmp_path, "second").directory)
    finally:
        lock.release()
