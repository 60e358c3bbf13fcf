"""`elba ca`: the root certificate of this Elba's own authority."""

from __future__ import annotations

import urllib.error
import urllib.request

import click

from elba.cli.client import running
from elba.config import Home
from elba.errors import UserError


@click.command("ca")
@click.pass_obj
def command(home: Home) -> None:
    """Print the root certificate (PEM) that signs what ACM's RequestCertificate issues.

    Trust it in one command: curl --cacert <(elba ca) https://…
    """
    url = f"{running(home).endpoint}/_elba/ca.pem"
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            text = response.read().decode()
    except urllib.error.HTTPError as error:
        error.close()
        raise UserError(f"{url} answers {error.code}", "Is that Elba of another version? Restart it.") from error
    except OSError as error:
        raise UserError(f"Elba does not answer at {url}", "Start it with `elba up`.") from error
    click.echo(text, nl=False)
