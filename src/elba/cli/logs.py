"""`elba logs`: what the control plane, a zone node or an instance has to say; and a load balancer's access log."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import click

from elba import access_log
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
        while True:
            file.seek(end - size)
            found = file.read(size)
            if size == end or found.count(b"\n") > lines:  # the first of them is whole
                return found.decode(errors="replace").splitlines()[-lines:]
            size = min(end, 2 * size)


class Follower:
    """New lines of a file as they come, over its rotations; it need not be there yet."""

    def __init__(self, path: Path, from_start: bool = False) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""
        if path.exists() and not from_start:
            self._file = path.open("rb")
            self._file.seek(0, os.SEEK_END)

    def lines(self) -> list[str]:
        """What has come since the last call."""
        found = self._read()
        if self._is_rotated():
            self.close()
            self._file = self._path.open("rb")
            found += self._read()
        *lines, self._rest = (self._rest + found).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def _read(self) -> bytes:
        return self._file.read() if self._file else b""

    def _is_rotated(self) -> bool:
        if not self._path.exists():
            return False
        return self._file is None or self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


def follow(paths: Callable[[], list[Path]]) -> Iterator[str]:
    """New lines of all the files as they come; files that appear meanwhile are read from their beginning."""
    followers = {path: Follower(path) for path in paths()}
    try:
        while True:
            lines = [line for follower in followers.values() for line in follower.lines()]
            yield from lines
            if not lines:
                time.sleep(POLL_SECONDS)
            for path in paths():
                if path not in followers:
                    followers[path] = Follower(path, from_start=True)
    finally:
        for follower in followers.values():
            follower.close()


_PARSERS = {"connection": access_log.parse_connection, "health_check": access_log.parse_health_check}


def access_files(home: Home, load_balancer: str, kind: str = "access") -> list[Path]:
    """The live log of the load balancer (name, or name.id) in every zone that has written one."""
    nodes = home.directory / "nodes"
    found = (
        path for path in nodes.glob(f"*/{kind}/*.log") if load_balancer in (path.stem, path.stem.rpartition(".")[0])
    )
    return sorted(found)


def shown(line: str, as_json: bool, kind: str = "access") -> str:
    """A line of a log for people or, as JSON, for programs; as it is if it cannot be read."""
    try:
        if kind in _PARSERS:
            return json.dumps(_PARSERS[kind](line)) if as_json else line
        fields = access_log.parse(line)
    except access_log.BadLine:
        return line
    return json.dumps(fields) if as_json else access_log.summary(fields)


def print_access_log(home: Home, name: str, lines: int, following: bool, as_json: bool, kind: str) -> None:
    """The newest lines over all zones in the order of time, then new ones as they come. Raises: UserError."""
    files = access_files(home, name, kind)
    if not files and not following:
        raise UserError(
            f"no {kind} log of a load balancer {name} is here",
            f"Set its attribute {kind}_logs.s3.enabled (and .bucket), and send it a request.",
        )
    newest = [line for path in files for line in tail(path, lines)]
    column = 0 if kind == "connection" else 1  # the time's
    newest.sort(key=lambda line: line.split(" ", 2)[column : column + 1])
    for line in newest[-lines:] if lines else []:
        click.echo(shown(line, as_json, kind))
    if following:
        for line in follow(lambda: access_files(home, name, kind)):
            click.echo(shown(line, as_json, kind))


@click.command("logs")
@click.argument("source", default="control-plane")
@click.option("-n", "--lines", default=50, show_default=True, help="How many lines from the end.")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on as lines are added.")
@click.option("--lb", "load_balancer", metavar="NAME", help="The log of a load balancer, over all zones.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["access", "connection", "health-check"]),
    default="access",
    show_default=True,
    help="With --lb: which of its logs.",
)
@click.option("--json", "as_json", is_flag=True, help="With --lb: one JSON object a line.")
@click.pass_obj
def command(
    home: Home, source: str, lines: int, following: bool, load_balancer: str | None, kind: str, as_json: bool
) -> None:
    """Print the log of the control plane, of a zone's node (us-east-1a), of an instance (i-…), or a load balancer's
    access log (--lb)."""
    if load_balancer is not None:
        print_access_log(home, load_balancer, lines, following, as_json, kind.replace("-", "_"))
        return
    path = log_file(home, source)
    for line in tail(path, lines):
        click.echo(line)
    if following:
        for line in follow(lambda: [path]):
            click.echo(line)
