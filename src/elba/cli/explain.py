"""`elba explain`: why a group's capacity changed or did not."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from elba.cli.client import running
from elba.config import Home
from elba.errors import UserError

SECONDS_TO_ANSWER = 10


def fetch(home: Home, group: str, last: int, region: str | None) -> dict[str, Any]:
    """The running Elba's explanation. Raises: UserError if it does not answer or knows no such group."""
    settings = running(home)
    asked = {"group": group, "last": last, "region": region or settings.regions[0], "account": settings.account}
    url = f"{settings.endpoint}/_elba/explain?{urllib.parse.urlencode(asked)}"
    try:
        with urllib.request.urlopen(url, timeout=SECONDS_TO_ANSWER) as response:
            found: dict[str, Any] = json.load(response)
            return found
    except urllib.error.HTTPError as error:
        with error:
            message = json.load(error).get("message", str(error))
        raise UserError(message, "`elba status` shows the groups.") from error
    except OSError as error:
        raise UserError(f"Elba does not answer at {settings.endpoint}", "Start it with `elba up`.") from error


def _clock(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _policy_lines(proposal: Mapping[str, Any]) -> list[str]:
    """One policy's part of a decision: what it saw, what it made of it, what came of it."""
    kind = f" ({proposal['policy_type']})" if proposal.get("policy_type") else ""
    lines = [f"policy {proposal['policy']}{kind}"]
    if proposal.get("alarm"):
        lines.append(f"  alarm {proposal['alarm']} in {proposal.get('alarm_state') or 'unknown state'}")
    seen = []
    if proposal.get("metric") is not None:
        seen.append(f"metric {_number(proposal['metric'])}")
    if proposal.get("threshold") is not None:
        seen.append(f"threshold {_number(proposal['threshold'])}")
    if proposal.get("target") is not None:
        seen.append(f"target {_number(proposal['target'])}")
    if seen:
        lines.append("  " + ", ".join(seen))
    if proposal.get("arithmetic"):
        lines.append(f"  {proposal['arithmetic']}")
    if proposal.get("blocked"):
        lines.append(f"  held back: {proposal['blocked']}")
    elif proposal.get("won"):
        lines.append(f"  wins with {proposal['wants']}")
    elif proposal.get("wants") is not None:
        lines.append(f"  wanted {proposal['wants']}")
    return lines


def lines_of(decision: Mapping[str, Any]) -> list[str]:
    """A decision below its headline, as plain text."""
    inputs = decision["inputs"]
    lines = []
    if "min_size" in inputs and "max_size" in inputs:
        lines.append(f"within {inputs['min_size']}..{inputs['max_size']}")
    for proposal in inputs.get("proposals", []):
        lines += _policy_lines(proposal)
    told = ("proposals", "min_size", "max_size", "desired_capacity", "action")
    for name, value in inputs.items():
        if name in told or value in (None, "", []):
            continue
        if name in ("due", "in_service_since"):
            value = _clock(value)
        elif isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items() if v is not None)
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        lines.append(f"{name.replace('_', ' ')}: {value}")
    lines += [f"→ {each['status']}: {each['description']}" for each in decision["activities"]]
    return lines


def show(found: Mapping[str, Any], console: Console) -> None:
    console.print(
        f"[bold]{escape(found['group'])}[/] in {found['region']}: {found['desired_capacity']} of "
        f"{found['min_size']}..{found['max_size']}"
    )
    if not found["decisions"]:
        console.print("No decision yet: no policy, schedule or user has asked for anything.")
    for decision in found["decisions"]:
        changed = decision["before"] != decision["after"]
        style = "bold green" if changed else "yellow"
        often = f" · {decision['times']} times since {_clock(decision['since'])}" if decision["times"] > 1 else ""
        console.print()
        console.print(
            f"[dim]{_clock(decision['time'])}[/] {decision['trigger']}  "
            f"[{style}]{escape(decision['summary'])}[/][dim]{often}[/]",
            soft_wrap=True,
        )
        for line in lines_of(decision):
            console.print(Padding(escape(line), (0, 0, 0, 4)))


@click.command("explain")
@click.argument("group")
@click.option("--last", type=click.IntRange(1, 200), default=10, show_default=True, help="How many decisions.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@click.option("--region", help="Another region than the first one.")
@click.pass_obj
def command(home: Home, group: str, last: int, as_json: bool, region: str | None) -> None:
    """Tell why the Auto Scaling group GROUP has the capacity it has.

    Each decision shows what was asked, by whom, the metric, the threshold, the arithmetic, which policy won, and what
    was held back and why. Times are Elba's clock.
    """
    found = fetch(home, group, last, region)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        show(found, Console(highlight=False))
