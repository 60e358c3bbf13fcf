"""`elba doctor`: what this machine lets Elba do, and what to change where it does not."""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console

from elba.config import DEFAULT_PORT, Home

WANTED_OPEN_FILES = 8192


@dataclass(frozen=True)
class Finding:
    """`level`: ok, note (works, with a limit) or problem (something will not work)."""

    check: str
    level: str
    message: str
    next: str = ""


def check_platform(_home: Home) -> Finding:
    if sys.platform != "linux":
        return Finding("platform", "problem", f"{platform.system()} is not supported", "Use Linux 5.4 or newer.")
    return Finding("platform", "ok", f"Linux {platform.release()}, Python {platform.python_version()}")


def node_binary() -> str | None:
    """The zone node: $ELBA_NODE, beside this Python, or on PATH."""
    if chosen := os.environ.get("ELBA_NODE"):
        return chosen
    beside = Path(sys.executable).with_name("elba-node")
    return str(beside) if beside.exists() else shutil.which("elba-node")


def check_node(_home: Home) -> Finding:
    binary = node_binary()
    if binary is None:
        return Finding(
            "zone node", "problem", "elba-node was not found", "Install Elba with `pip install .` or `make setup`."
        )
    return Finding("zone node", "ok", binary)


def check_loopback(_home: Home) -> Finding:
    with socket.socket() as probe:
        try:
            probe.bind(("127.16.0.1", 0))
        except OSError as error:
            return Finding(
                "loopback",
                "problem",
                f"cannot bind 127.16.0.1: {error.strerror}",
                "Elba needs all of 127.0.0.0/8 on lo.",
            )
    return Finding("loopback", "ok", "any address of 127.0.0.0/8 can be bound")


def check_low_ports(_home: Home) -> Finding:
    path = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    start = int(path.read_text()) if path.exists() else 1024
    if os.geteuid() == 0 or start <= 80:
        return Finding("ports below 1024", "ok", "listeners on 80 and 443 can be bound")
    return Finding(
        "ports below 1024",
        "note",
        f"only ports from {start} up can be bound without privileges; a listener on port 80 will not work",
        "sudo sysctl -w net.ipv4.ip_unprivileged_port_start=80 (or use listeners on higher ports)",
    )


def check_open_files(_home: Home) -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < WANTED_OPEN_FILES:
        return Finding(
            "open files",
            "note",
            f"at most {hard} per process",
            f"ulimit -Hn {WANTED_OPEN_FILES} or more for many connections",
        )
    return Finding("open files", "ok", f"{soft} now, {hard} at most; the zone node raises its own to the most")


def check_cgroups(_home: Home) -> Finding:
    v1 = Path("/sys/fs/cgroup/cpuacct")
    v2 = Path("/sys/fs/cgroup/cgroup.controllers")
    if v1.is_dir() and os.access(v1, os.W_OK):
        return Finding("cgroups", "ok", "version 1, writable: instances are limited and measured by the kernel")
    if v2.exists() and os.access(v2.parent, os.W_OK):
        return Finding("cgroups", "ok", "version 2, writable: instances are limited and measured by the kernel")
    return Finding(
        "cgroups",
        "note",
        "not writable: instances have no CPU or memory limit, CPU is measured from their process trees",
        "Run as root, or delegate a cgroup (systemd-run --user --scope -p Delegate=yes elba up).",
    )


def check_port(home: Home) -> Finding:
    settings = home.read_settings()
    port = settings.port if settings else DEFAULT_PORT
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return Finding("API port", "note", f"something listens on 127.0.0.1:{port} (Elba, if it is up)")
    return Finding("API port", "ok", f"127.0.0.1:{port} is free")


def check_data_directory(home: Home) -> Finding:
    directory = home.directory
    existing = next(p for p in (directory, *directory.parents) if p.exists())
    if not os.access(existing, os.W_OK):
        return Finding("data directory", "problem", f"{existing} is not writable", "Choose another with --data-dir.")
    free = shutil.disk_usage(existing).free // 2**20
    if free < 512:
        return Finding("data directory", "note", f"{directory}: only {free} MiB free", "Make room, or use --data-dir.")
    return Finding("data directory", "ok", f"{directory} ({free // 1024} GiB free)")


CHECKS: tuple[Callable[[Home], Finding], ...] = (
    check_platform,
    check_node,
    check_loopback,
    check_low_ports,
    check_open_files,
    check_cgroups,
    check_port,
    check_data_directory,
)


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of findings.")
@click.pass_obj
def command(home: Home, as_json: bool) -> None:
    """Check this machine. Exit code 1 if something will not work."""
    findings = [check(home) for check in CHECKS]
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        console = Console(highlight=False)
        marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "problem": "[red]problem[/]"}
        for finding in findings:
            console.print(f"{marks[finding.level]:<22} [bold]{finding.check}[/]: {finding.message}")
            if finding.next:
                console.print(f"        [dim]next:[/] {finding.next}")
    if any(finding.level == "problem" for finding in findings):
        raise SystemExit(1)
