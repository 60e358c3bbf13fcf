"""`elba stress`: burn CPU inside an instance, as `stress -c N` run there would."""

from __future__ import annotations

import asyncio

import click

from elba.cli.assemble import provider_at
from elba.cli.client import running
from elba.compute.interface import NotFound
from elba.config import Home
from elba.errors import UserError


async def start(home: Home, instance_id: str, cpus: int, seconds: float | None = None) -> None:
    """Start `cpus` busy processes inside the instance. Raises: UserError if there is no such running instance."""
    arguments = ["elba-stress", "--cpu", str(cpus)]
    if seconds is not None:
        arguments += ["--seconds", str(seconds)]
    await _run(home, instance_id, arguments)


async def stop(home: Home, instance_id: str) -> None:
    """End all stress inside the instance. Raises: UserError if there is no such running instance."""
    await _run(home, instance_id, ["elba-stress", "stop"])


async def _run(home: Home, instance_id: str, arguments: list[str]) -> None:
    provider = provider_at(home, running(home))
    try:
        await provider.run(instance_id, arguments)
    except NotFound as error:
        raise UserError(f"no running instance {instance_id} here", "`elba status` lists the instances.") from error
    finally:
        await provider.close()


@click.command("stress")
@click.argument("instance_id", metavar="INSTANCE")
@click.option("--cpu", default=1, show_default=True, type=click.IntRange(1, 256), help="How many busy processes.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="End by itself after so long.")
@click.option("--stop", "stopping", is_flag=True, help="End the stress that runs in the instance.")
@click.pass_obj
def command(home: Home, instance_id: str, cpu: int, seconds: float | None, stopping: bool) -> None:
    """Burn CPU inside INSTANCE (i-…), so that its CPUUtilization really rises."""
    if stopping:
        asyncio.run(stop(home, instance_id))
        click.echo(f"stress in {instance_id} ended", err=True)
        return
    asyncio.run(start(home, instance_id, cpu, seconds))
    until = f"for {seconds:g} seconds" if seconds else f"until `elba stress {instance_id} --stop`"
    click.echo(f"{cpu} busy processes in {instance_id} {until}", err=True)
