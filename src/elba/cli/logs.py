"""`elba logs`: what the control plane, a zone node or an instance has to say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import click

from elba.config import Home
from elba.errors import UserError

POLL_SECONDS = 0.2


def log_file(home: Home, source: str) -> Path:
    """The file behind `source`: "control-plane", a zone ("us-east-1a") or an instance id. Raises: UserError."""
    if source == "control-plane":
        path = home.log_file
    elif source.startswith("i-"):
        path = home.directory / "instances" / source / "console.log"
    else:
        path = home.directory / "nodes" / source / "node.log"
    if not path.exists():
        nodes = home.directory / "nodes"
        known = ["control-plane", *(sorted(p.name for p in nodes.iterdir()) if nodes.is_dir() else [])]
        raise UserError(
            f"nothing has been logged by {source}", f"Sources: {', '.join(known)}, or an instance id (i-…)."
        )
    return path


def tail(path: Path, lines: int) -> list[str]:
    """The last `lines` lines of a file that may be large."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        size = min(end, max(4096, lines * 400))
        file.seek(end - size)
        return file.read().decode(errors="replace").splitlines()[-lines:]


def follow(path: Path) -> Iterator[str]:
    """New lines as they come, over rotations of the file."""
    file = path.open("rb")
    file.seek(0, 2)
    inode = path.stat().st_ino
    try:
        while True:
            if line := file.readline():
                yield line.decode(errors="replace").rstrip("\n")
                continue
            time.sleep(POLL_SECONDS)
            if path.exists() and path.stat().st_ino != inode:
                file.close()
                file = path.open("rb")
                inode = path.stat().st_ino
    finally:
        file.close()


@click.command("logs")
@click.argument("source", default="control-plane")
@click.option("-n", "--lines", default=50, show_default=True, help="How many lines from the end.")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on as lines are added.")
@click.pass_obj
def command(home: Home, source: str, lines: int, following: bool) -> None:
    """Print the log of the control plane, of a zone's node (us-east-1a) or of an instance (i-…)."""
    path = log_file(home, source)
    for line in tail(path, lines):
        click.echo(line)
    if following:
        for line in follow(path):
            click.echo(line)
