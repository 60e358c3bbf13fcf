"""`elba fault`: break things on purpose, and mend them."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.markup import escape

from elba.cli.client import running
from elba.config import Home
from elba.errors import UserError

SECONDS_TO_ANSWER = 10
F = TypeVar("F", bound=Callable[..., Any])


def ask(home: Home, region: str | None, asked: dict[str, Any] | None = None) -> dict[str, Any]:
    """The running Elba's answer: what is broken, or what came of breaking what `asked` says. Raises: UserError."""
    settings = running(home)
    where = {"region": region or settings.regions[0], "account": settings.account}
    if asked is None:
        request = urllib.request.Request(f"{settings.endpoint}/_elba/faults?{urllib.parse.urlencode(where)}")
    else:
        key = home.root_key(settings.account)
        pair = f"{key.access_key_id}:{str.__str__(key.secret_access_key)}"
        request = urllib.request.Request(
            f"{settings.endpoint}/_elba/faults",
            data=json.dumps({**where, **asked}).encode(),
            headers={
                "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
                "Content-Type": "application/json",
            },
        )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS_TO_ANSWER) as response:
            found: dict[str, Any] = json.load(response)
            return found
    except urllib.error.HTTPError as error:
        with error:
            message = json.load(error).get("message", str(error))
        raise UserError(message, "`elba fault list` shows what is broken, `elba status` what there is.") from error
    except OSError as error:
        raise UserError(f"Elba does not answer at {settings.endpoint}", "Start it with `elba up`.") from error


def zone_name(home: Home, region: str | None, zone: str) -> str:
    """`zone` as AWS writes it; a letter alone is one of the region's."""
    return f"{region or running(home).regions[0]}{zone}" if len(zone) == 1 else zone


def _common(function: F) -> F:
    function = click.option("--region", help="Another region than the first one.")(function)
    return click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")(function)


def _tell(found: dict[str, Any], as_json: bool, text: str) -> None:
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        Console(highlight=False).print(text, soft_wrap=True)


def _time(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds or 0.0, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


@click.group("fault")
def command() -> None:
    """Break things on purpose, to see what load balancers and groups make of it.

    Shortages and failed zones last until they are cleared, over restarts too, and concern all accounts.
    """


@command.command("list")
@_common
@click.pass_obj
def show(home: Home, region: str | None, as_json: bool) -> None:
    """Show what is broken now."""
    found = ask(home, region)
    lines = [f"[red]no capacity[/]  {escape(c['instance_type'])} in {c['zone']} since {_time(c['since'])}"
             for c in found["capacity"]]  # fmt: skip
    lines += [f"[red]zone down[/]    {z['zone']} since {_time(z['since'])}" for z in found["zones"]]
    for each in found["instances"]:
        if each["interruption_at"]:
            lines.append(f"[yellow]interrupted[/]  {each['instance_id']} ends at {_time(each['interruption_at'])}")
        else:
            lines.append(f"[yellow]at risk[/]      {each['instance_id']}")
    lines += [f"[red]stalled[/]      {v['volume_id']} of {v['instance_id']} since {_time(v['since'])}"
              for v in found["volumes"]]  # fmt: skip
    _tell(found, as_json, "\n".join(lines) or f"Nothing is broken in {found['region']}.")


@command.command("capacity")
@click.argument("zone", required=False)
@click.argument("instance_type", required=False)
@click.option("--clear", is_flag=True, help="There is capacity again: of the type, in the zone, or everywhere.")
@_common
@click.pass_obj
def capacity(
    home: Home, zone: str | None, instance_type: str | None, clear: bool, region: str | None, as_json: bool
) -> None:
    """No more instances in ZONE (us-east-1a, or a): of INSTANCE_TYPE, or of any.

    RunInstances and StartInstances answer InsufficientInstanceCapacity; groups go to other zones and types. What runs
    goes on.
    """
    if zone is None and not clear:
        raise click.UsageError("Name a ZONE.")
    asked = {"fault": "capacity", "zone": zone_name(home, region, zone) if zone else "",
             "instance_type": instance_type or "", "clear": clear}  # fmt: skip
    found = ask(home, region, asked)
    text = f"{found['ended']} shortages ended." if clear else f"No more capacity: {found['shortage']}."
    _tell(found, as_json, text)


@command.command("zone")
@click.argument("zone", required=False)
@click.option("--clear", is_flag=True, help="The zone (or every one) takes launches again.")
@_common
@click.pass_obj
def zone(home: Home, zone: str | None, clear: bool, region: str | None, as_json: bool) -> None:
    """ZONE fails: its instances are lost, and none can be launched or started there.

    Its load balancer node goes on: stop that by its process id (`elba status`) to take it out of DNS.
    """
    if zone is None and not clear:
        raise click.UsageError("Name a ZONE.")
    name = zone_name(home, region, zone) if zone else ""
    found = ask(home, region, {"fault": "zone", "zone": name, "clear": clear})
    text = f"{found['ended']} zones are up again." if clear else f"{name} is down, {len(found['lost'])} instances lost."
    _tell(found, as_json, text)


def _notice(home: Home, fault: str, instance_ids: tuple[str, ...], region: str | None, as_json: bool) -> None:
    found = ask(home, region, {"fault": fault, "instance_ids": list(instance_ids)})
    lines = [
        f"{i['instance_id']} ends at {_time(i['interruption_at'])}."
        if i["interruption_at"]
        else f"{i['instance_id']} is at risk."
        for i in found["instances"]
    ]
    _tell(found, as_json, "\n".join(lines))


@command.command("interrupt")
@click.argument("instance_ids", nargs=-1, required=True)
@_common
@click.pass_obj
def interrupt(home: Home, instance_ids: tuple[str, ...], region: str | None, as_json: bool) -> None:
    """Give Spot Instances their two minutes' notice (of Elba's clock)."""
    _notice(home, "interrupt", instance_ids, region, as_json)


@command.command("rebalance")
@click.argument("instance_ids", nargs=-1, required=True)
@_common
@click.pass_obj
def rebalance(home: Home, instance_ids: tuple[str, ...], region: str | None, as_json: bool) -> None:
    """Recommend that Spot Instances be replaced: they are at an elevated risk of interruption."""
    _notice(home, "rebalance", instance_ids, region, as_json)


@command.command("volume")
@click.argument("ids", nargs=-1)
@click.option("--clear", is_flag=True, help="The volumes (or all that are stalled) work again.")
@_common
@click.pass_obj
def volume(home: Home, ids: tuple[str, ...], clear: bool, region: str | None, as_json: bool) -> None:
    """The I/O of volumes stalls: IDS are theirs, or those of instances for all of their volumes.

    DescribeVolumeStatus shows them as impaired; groups whose health check types hold EBS replace their instances, warm
    pools in any case. The instance's own disk goes on.
    """
    if not ids and not clear:
        raise click.UsageError("Name IDS of volumes or instances.")
    found = ask(home, region, {"fault": "volume", "ids": list(ids), "clear": clear})
    if clear:
        _tell(found, as_json, f"{found['ended']} volumes work again.")
    else:
        lines = [f"{v['volume_id']} of {v['instance_id']} is stalled." for v in found["volumes"]]
        _tell(found, as_json, "\n".join(lines))


@command.command("clear")
@_common
@click.pass_obj
def clear(home: Home, region: str | None, as_json: bool) -> None:
    """Mend all: every shortage, failed zone and stalled volume of the region."""
    found = ask(home, region, {"fault": "all", "clear": True})
    _tell(found, as_json, f"{found['ended']} faults ended.")
