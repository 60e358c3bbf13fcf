"""The command: starts an Elba of its own, plays the scenario, sums up, ends it again."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import botocore.exceptions
import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from elba.cli import down
from elba.cli.demo.scenario import Scenario, StepFailed
from elba.cli.demo.screen import Screen, Timeline
from elba.config import Home, Settings
from elba.errors import UserError

LIMIT_SECONDS = 175.0
START_SECONDS = 30.0


def free_port(preferred: int) -> int:
    """`preferred` if nothing has it on 127.0.0.1 (TCP and UDP), else any free port."""
    for candidate in (preferred, 0):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", candidate))
                udp.bind(("127.0.0.1", tcp.getsockname()[1]))
            except OSError:
                continue
            return int(tcp.getsockname()[1])
    raise UserError("no free port on 127.0.0.1")


def start_elba(home: Home, time_scale: float) -> subprocess.Popen[bytes]:
    """`elba up` in the background, answering. Raises: UserError with what it printed if it does not come up."""
    port, dns_port = free_port(4566), free_port(4553)
    output = home.directory / "up.log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "elba.cli.main", "--data-dir", str(home.directory), "up",
                "--port", str(port), "--dns-port", str(dns_port), "--time-scale", str(time_scale),
            ],
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_elba/health", timeout=1):
                return process
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                if process.poll() is None:
                    process.terminate()
                raise UserError(
                    f"Elba did not come up:\n{output.read_text(errors='replace')[-2000:]}",
                    "`elba doctor` checks this machine.",
                ) from None
            time.sleep(0.05)


async def play(home: Home, settings: Settings, console: Console, timeline: Timeline, port: int) -> tuple[Scenario, str]:
    """The scenario; it, and why it failed ("" = it did not)."""
    screen = Screen(console, timeline, settings.time_scale)
    scenario = Scenario(home, settings, port, timeline, screen)
    reason = ""
    try:
        with console.status("creating launch template, load balancer, group and policy"):
            await scenario.build()
        async with asyncio.timeout(LIMIT_SECONDS):
            await scenario.run()
    except StepFailed as error:
        reason = str(error)
    except TimeoutError:
        reason = f"the whole took more than {LIMIT_SECONDS:.0f} s"
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
        reason = f"an API call failed: {error}"
    finally:
        screen.stop()
        if hasattr(scenario, "watcher"):
            await scenario.watcher.stop()
        if hasattr(scenario, "load") and reason:
            await scenario.load.stop()
    if not reason and scenario.load.failures:
        first = scenario.load.failures[0]
        reason = f"{len(scenario.load.failures)} requests failed; the first after {first.at:.1f} s: {first.reason}"
    return scenario, reason


def sum_up(console: Console, timeline: Timeline, scenario: Scenario, reason: str) -> None:
    console.print()
    table = Table(title="Timeline", title_justify="left", box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column()
    for at, text in timeline.entries:
        table.add_row(f"{at:.1f} s", text)
    console.print(table)
    if hasattr(scenario, "load"):
        console.print()
        console.print("Scaling activities")
        for _, description, cause in scenario.causes():
            console.print(f"  {description}")
            console.print(Padding(Text(cause, style="dim"), (0, 0, 0, 4)))
        numbers = scenario.summary()
        console.print()
        console.print(
            f"[bold]{numbers['requests']}[/] requests over {numbers['instances_used']} instances, "
            f"p50 {numbers['p50_ms']} ms, p99 {numbers['p99_ms']} ms, "
            + (f"[bold red]{numbers['failed']} failed[/]" if numbers["failed"] else "[bold green]0 failed[/]")
        )
    took = time.monotonic() - timeline.began
    if reason:
        console.print(f"[bold red]The demo failed[/] after {took:.0f} s: {reason}")
    else:
        console.print(f"[bold green]The loop is closed[/]: everything above happened in {took:.0f} s.")


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave Elba and its fleet running afterwards.")
@click.option(
    "--time-scale",
    default=30.0,
    show_default=True,
    type=click.FloatRange(1, 60),
    help="How much faster AWS's time passes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.pass_obj
def command(home: Home, keep: bool, time_scale: float, as_json: bool) -> None:
    """Show the closed loop: traffic, load, alarm, scale-out, a killed instance, scale-in. Not one request fails.

    Takes under 3 minutes. Uses an Elba of its own in a directory of its own, whatever --data-dir says.
    """
    console = Console(highlight=False, stderr=as_json)
    timeline = Timeline()
    directory = Path(tempfile.mkdtemp(prefix="elba-demo-"))
    demo_home = Home(directory)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    kept = False
    try:
        with console.status("starting the control plane and its zone nodes"):
            start_elba(demo_home, time_scale)
        settings = demo_home.read_settings()
        if settings is None:
            raise UserError("Elba came up without settings")
        timeline.add(f"control plane up at {settings.endpoint}")
        scenario, reason = asyncio.run(play(demo_home, settings, console, timeline, free_port(8080)))
        sum_up(console, timeline, scenario, reason)
        if as_json:
            numbers = scenario.summary() if hasattr(scenario, "load") else {}
            click.echo(
                json.dumps({"ok": not reason, "reason": reason, "timeline": timeline.entries, **numbers}, indent=2)
            )
        if keep:
            kept = True
            console.print(
                f"\nIt goes on in {directory}. With ELBA_DATA_DIR={directory} in the environment:\n"
                '  look: elba status   use: eval "$(elba env)"   end: elba down --purge'
            )
        if reason:
            if not keep:
                console.print(f"Logs: {demo_home.log_file} (kept)")
                kept = True
                down.stop_control_plane(demo_home)
                asyncio.run(down.stop_world(demo_home))
            sys.exit(1)
    finally:
        if not kept:
            down.end(demo_home, purge=True)
