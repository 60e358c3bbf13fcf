"""`elba up`: the control plane in the foreground, with its zone nodes and instances beside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from pathlib import Path

import click
import msgspec
import uvloop
from rich.console import Console

from elba import __version__
from elba import log as logs
from elba.acm.authority import ensure_authority
from elba.buckets import DirectoryBuckets
from elba.cli import addresses
from elba.cli.assemble import real_parts
from elba.cli.locks import ControlPlaneLock
from elba.cloudwatch.streaming.destinations import parse_destinations
from elba.config import DEFAULT_PORT, Home, Settings
from elba.context import Ports
from elba.errors import UserError
from elba.object_endpoint import S3Endpoint
from elba.server.app import build_app
from elba.server.control_plane import ControlPlane
from elba.server.serve import serve

log = logging.getLogger(__name__)


async def run(home: Home, settings: Settings, console: Console) -> None:
    """Serve until SIGINT or SIGTERM. Raises: UserError if it cannot start."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        require_dns_port(home, settings)
        parts = await real_parts(home, settings, stack)
        root_key = home.root_key(settings.account)
        ports = Ports(
            metrics=parts.metrics,
            console=parts.provider,
            settings=parts.settings,
            functions=parts.functions,
            buckets=DirectoryBuckets(home.buckets_directory),
            endpoint=S3Endpoint(settings.s3_endpoint) if settings.s3_endpoint else None,
        )
        app = build_app(parts.store, parts.clock, ports, settings, root_key=root_key, ids=parts.ids)
        listening = await serve(app, settings.host, settings.port)
        stack.push_async_callback(listening.stop)
        home.write_settings(settings)  # not before the port is had: the next `elba up` goes by them
        await ensure_authority(parts.store, parts.clock, parts.ids)
        for region in settings.regions:
            await app.prepare(settings.account, region)
        plane = ControlPlane(parts)
        stack.push_async_callback(plane.stop)
        await plane.start()
        log.info("up", extra={"endpoint": settings.endpoint, "version": __version__})
        console.print(f"[bold green]Elba {__version__} is up[/] at [bold]{settings.endpoint}[/]")
        others = "" if settings.only_regions else " and all others"
        console.print(
            f"  regions {', '.join(settings.regions)}{others} · zones {', '.join(settings.zones)} · "
            f"DNS {settings.host}:{settings.dns_port} · auth {settings.auth}"
            + (f" · time ×{settings.time_scale:g}" if settings.time_scale != 1 else "")
        )
        console.print(f"  data in {home.directory}, log in {home.log_file}")
        console.print(
            '  next: eval "$(elba env)" in another shell, then use any AWS client; `elba status` shows what runs'
        )
        await stop.wait()
        console.print("Control plane ends; zone nodes and instances go on (`elba down` ends them).")
        log.info("down")


def require_dns_port(home: Home, settings: Settings) -> None:
    """Raises: UserError if something else answers on the DNS port; zone nodes share it among themselves alone."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((settings.host, settings.dns_port))
        except OSError as error:
            if addresses.runs(home.directory):
                return  # our own zone nodes
            raise UserError(
                f"zone nodes cannot answer DNS on {settings.host}:{settings.dns_port}: {error.strerror}",
                "Something else listens there (another Elba?); choose another port with --dns-port.",
            ) from error


def settings_for(home: Home, changes: dict[str, object]) -> Settings:
    """What the last run here used, with what the command line changes. Raises: UserError."""
    kept = home.read_settings()
    given = {name: value for name, value in changes.items() if value is not None}
    if "regions" in given:
        given["only_regions"] = True
    if kept is not None and (scale := given.get("time_scale")) is not None and scale != kept.time_scale:
        # The clock may not jump back: it goes on from where it was, at its new speed.
        now = time.time()
        reached = kept.clock_origin + (now - kept.clock_origin) * kept.time_scale
        given["clock_origin"] = now if scale == 1.0 else (reached - float(str(scale)) * now) / (1 - float(str(scale)))
        if scale == 1.0 and reached > now + 1:
            raise UserError(
                f"the clock of {home.directory} is {reached - now:.0f} s ahead (it ran ×{kept.time_scale:g}) "
                "and may not go back",
                "Keep --time-scale, or start afresh: `elba down --purge`.",
            )
    for name in ("s3_endpoint", "identity_ca"):
        if given.get(name) == "none":
            given[name] = ""
    if given.get("identity_ca"):
        given["identity_ca"] = str(Path(str(given["identity_ca"])).resolve())
    base = kept or Settings(clock_origin=time.time())
    try:
        return msgspec.structs.replace(base, **given)
    except ValueError as error:
        raise UserError(str(error), "`elba up --help` shows the options.") from error


def _names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    if not names:
        raise click.BadParameter("name at least one, separated by commas")
    return names


def _destinations(
    _context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...] | None:
    if not value:
        return None
    if value == ("none",):
        return ()
    try:
        parse_destinations(",".join(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return value


@click.command("up")
@click.option("--host", help="Address the API listens on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help=f"Port of the API.  [default: {DEFAULT_PORT}]")
@click.option("--dns-port", type=click.IntRange(1, 65535), help="Port on which zone nodes answer DNS.  [default: 4553]")
@click.option(
    "--regions", callback=_names, help="The only regions, separated by commas.  [default: all; us-east-1 first]"
)
@click.option("--zones", callback=_names, help="Zone letters of each region.  [default: a,b,c]")
@click.option(
    "--time-scale",
    type=click.FloatRange(min=0.1, max=1000),
    help="How much faster AWS's time passes: at 60 a five-minute cooldown takes five seconds.  [default: 1]",
)
@click.option(
    "--auth", type=click.Choice(["verify", "open"]), help="verify: signatures are checked. open: any key works."
)
@click.option(
    "--sns-endpoints",
    type=click.Choice(["loopback", "any"]),
    help="Web endpoints that SNS may contact: those on this machine, or all.  [default: loopback]",
)
@click.option(
    "--metric-stream",
    "metric_streams",
    multiple=True,
    callback=_destinations,
    metavar="NAME=URL",
    help="Where CloudWatch metric streams to the Firehose delivery stream NAME (or its ARN, or *) go: otlp+http://…, "
    "otlp-json+http://…, remote-write+http://…, firehose+http://… (or https). May be repeated; `none` forgets all.",
)
@click.option(
    "--s3-endpoint",
    metavar="URL",
    help="An S3 endpoint where log files of load balancers go besides the local buckets; `none` forgets it. "
    "Credentials: ELBA_S3_ACCESS_KEY_ID and ELBA_S3_SECRET_ACCESS_KEY, else those that AWS's tools would take.",
)
@click.option(
    "--identity-ca",
    metavar="FILE",
    help="PEM file of authorities that certificates of identity providers may come from, besides the "
    "system's; `none` forgets it.",
)
@click.option("--node-workers", type=click.IntRange(0, 256), help="Worker threads per zone node; 0 = one per core.")
@click.option("--log-level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]))
@click.pass_obj
def command(home: Home, /, **changes: object) -> None:
    """Start Elba in the foreground. Ctrl-C ends the control plane; traffic and instances go on until `elba down`.

    Settings are kept in the data directory: a plain `elba up` goes on as before.
    """
    console = Console(stderr=True, highlight=False)
    home.create()
    lock = ControlPlaneLock(home.lock_file)
    lock.take()
    try:
        settings = settings_for(home, changes)
        first, last = addresses.claim(home.directory, (settings.first_slice, settings.last_slice))
        settings = msgspec.structs.replace(settings, first_slice=first, last_slice=last)
        if settings.auth == "open" and settings.host not in ("127.0.0.1", "localhost", "::1"):
            console.print(
                "[yellow]warning:[/] --auth open on an address that others can reach: anyone can do anything."
            )
        logs.set_up(settings.log_level, home.log_file)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(home, settings, console))
    finally:
        lock.release()
