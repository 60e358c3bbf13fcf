"""`elba down`: end the control plane, the zone nodes and the instances."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time

import click
from rich.console import Console

from elba.cli import locks
from elba.cli.assemble import fleet_at, provider_at
from elba.config import Home, Settings
from elba.errors import UserError

PATIENCE_SECONDS = 20.0
RUNNING = ("running", "pending")

# What Elba makes in its data directory; beginnings, since SQLite and rotated logs add to them.
OWN_NAMES = (
    "control-plane.", "settings.json", "root-key.json", "store.db", "metrics", "metadata-key", "up.log",
    "instances", "images", "trash", "nodes", "logs", "buckets", "lambda", "functions-secret",
)  # fmt: skip


def stop_control_plane(home: Home) -> bool:
    """End the control plane and wait for it. True if one ran. Raises: UserError if it does not end."""
    process = locks.holder(home.lock_file)
    if process is None:
        return False
    os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while locks.holder(home.lock_file) is not None:
        if time.monotonic() > deadline:
            raise UserError(
                f"the control plane (process {process}) does not end",
                f"kill -9 {process} is safe: no acknowledged write is lost. Then `elba down` again.",
            )
        time.sleep(0.05)
    return True


async def stop_world(home: Home) -> tuple[int, int]:
    """End every zone node and instance of `home`; how many ran of each."""
    settings = home.read_settings()
    if settings is None:  # its file is gone, or nothing ever ran here: the folders tell
        if not any((home.directory / name).is_dir() for name in ("nodes", "instances")):
            return 0, 0
        settings = Settings()
    nodes = await fleet_at(home, settings).shutdown()
    provider = provider_at(home, settings)
    try:
        found = await provider.observe()
        ran = sum(each.power in RUNNING for each in found.values())
        await asyncio.gather(*(provider.stop(instance_id, force=True) for instance_id in found))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(each.power in RUNNING for each in (await provider.observe()).values()):
            if time.monotonic() > deadline:
                raise UserError("some instances do not end", f"See {home.directory}/instances/*/console.log.")
            await asyncio.sleep(0.05)
    finally:
        await provider.close()
    return nodes, ran


def remove(home: Home) -> None:
    """Remove what Elba keeps in its data directory, and the directory if nothing else is in it.

    A data directory may be a home directory by mistake: what Elba did not make stays. Raises: UserError.
    """
    for path in sorted(home.directory.iterdir()) if home.directory.is_dir() else ():
        if not path.name.startswith(OWN_NAMES):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty: files of others
        home.directory.rmdir()


def end(home: Home, *, purge: bool) -> tuple[bool, int, int]:
    """End everything; whether a control plane ran, and how many nodes and instances. Raises: UserError."""
    ran = stop_control_plane(home)
    nodes, instances = asyncio.run(stop_world(home))
    if purge:
        remove(home)
    return ran, nodes, instances


@click.command("down")
@click.option("--purge", is_flag=True, help="Remove the data directory too: nothing is left.")
@click.pass_obj
def command(home: Home, purge: bool) -> None:
    """End this Elba: control plane, zone nodes, instances. Its state stays, unless --purge."""
    console = Console(stderr=True, highlight=False)
    if purge and home.directory.exists() and not home.settings_file.exists() and not home.lock_file.exists():
        raise UserError(f"no Elba has run from {home.directory}; nothing in it is removed")
    with console.status("ending control plane, zone nodes and instances"):
        ran, nodes, instances = end(home, purge=purge)
    console.print(
        f"{'Control plane ended' if ran else 'No control plane ran'}; "
        f"{nodes} zone nodes and {instances} instances ended."
    )
    if purge:
        left = sorted(path.name for path in home.directory.iterdir()) if home.directory.is_dir() else []
        console.print(
            f"Removed {home.directory}" + (f", but for what is not Elba's: {', '.join(left)}." if left else ".")
        )
    elif home.directory.exists():
        console.print(
            f"Its state is kept in {home.directory}; `elba up` goes on with it, `elba down --purge` removes it."
        )
