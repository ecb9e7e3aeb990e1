"""The program ``ghost-greeter``: its commands."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ghost_greeter.cli.agents_command import agents_command
from ghost_greeter.cli.run_command import run_command
from ghost_greeter.simulator.cli import simulate_command
from ghostcore.cli import invoke

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ghostcore", prog_name="ghost-greeter")
def program() -> None:
    """Find what the Ghost Greeter signaling server can take."""


program.add_command(run_command)
program.add_command(agents_command)
program.add_command(simulate_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """The program ``ghost-greeter``; returns its exit code.

    :param arguments: without the program's name; those of the process unless given.
    """
    return invoke(program, arguments, name="ghost-greeter")
