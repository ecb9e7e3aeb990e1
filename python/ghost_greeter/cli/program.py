"""The program ``ghost-greeter``: its commands."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ghost_greeter.cli.agents_command import agents_command
from ghost_greeter.cli.run_command import run_command
from ghost_greeter.simulator.cli import main as simulate_main
from ghostcore.cli import invoke

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ghostcore", prog_name="ghost-greeter")
def program() -> None:
    """Find what the Ghost Greeter signaling server can take."""


@program.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulate(arguments: Sequence[str]) -> int:
    """Serve the simulator alone: --port P --agents N (built-in agents; 0 = none)."""
    return simulate_main(list(arguments))


program.add_command(run_command)
program.add_command(agents_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """The program ``ghost-greeter``; returns its exit code.

    :param arguments: without the program's name; those of the process unless given.
    """
    return invoke(program, arguments, name="ghost-greeter")
