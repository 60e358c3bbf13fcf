"""`elba env`: what a shell needs to point AWS clients at this Elba."""

from __future__ import annotations

import json
import shlex

import click

from elba.cli.client import running
from elba.config import Home


@click.command("env")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of shell exports.")
@click.option("--unset", is_flag=True, help="Print what takes it back.")
@click.pass_obj
def command(home: Home, as_json: bool, unset: bool) -> None:
    """Print shell exports: endpoint, region and the root key. Use it as: eval "$(elba env)"."""
    settings = running(home)
    key = home.root_key(settings.account)
    variables = {
        "AWS_ENDPOINT_URL": settings.endpoint,
        "AWS_REGION": settings.regions[0],
        "AWS_DEFAULT_REGION": settings.regions[0],
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
    }
    if as_json:
        click.echo(json.dumps(variables, indent=2))
    elif unset:
        click.echo(f"unset {' '.join(variables)}")
    else:
        for name, value in variables.items():
            click.echo(f"export {name}={shlex.quote(value)}")
