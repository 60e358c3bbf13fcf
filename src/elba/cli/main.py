"""`elba`: the command line. One module per subcommand; answers on stdout, everything else on stderr."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from elba import __version__
from elba.cli import ca, demo, doctor, down, env, explain, fault, logs, status, stress, up
from elba.config import Home, default_data_directory
from elba.errors import UserError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="elba", message="%(prog)s %(version)s")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where Elba keeps its state.  [default: $ELBA_DATA_DIR or ~/.local/state/elba]",
)
@click.pass_context
def cli(context: click.Context, data_dir: Path | None) -> None:
    """Elastic Load Balancing and Auto Scaling on your own machines.

    Start it with `elba up`, point any AWS client at it with `eval "$(elba env)"`, or watch it work with `elba demo`.
    """
    context.obj = Home((data_dir or default_data_directory()).absolute())


for command in (
    up.command,
    down.command,
    env.command,
    ca.command,
    status.command,
    explain.command,
    fault.command,
    doctor.command,
    demo.command,
    stress.command,
    logs.command,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; a UserError becomes a message that says what to do next, exit code 1."""
    try:
        cli(prog_name="elba")
    except UserError as error:
        console = Console(stderr=True, highlight=False)
        console.print(f"[bold red]error:[/] {error}")
        if error.hint:
            console.print(f"[bold]next:[/] {error.hint}")
        sys.exit(1)


if __name__ == "__main__":
    main()
