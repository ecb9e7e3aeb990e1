"""The command line of the suite: ``ghost-greeter run SCENARIO`` and ``ghost-greeter simulate``."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ghost_greeter.scenarios import SCENARIOS
from ghost_greeter.settings import Settings, is_loopback
from ghost_greeter.simulator import EmbeddedSimulator
from ghost_greeter.simulator.cli import main as simulate_main
from ghostcore import Scenario, UsageError
from ghostcore.cli import (
    invoke,
    load_from_options,
    load_options,
    print_problems,
    run_and_report,
    run_options,
    settings_from_options,
)
from ghostcore.report import Console

__all__ = ["main"]

VISITORS_PER_AGENT = 25


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ghostcore", prog_name="ghost-greeter")
def program() -> None:
    """Find what the Ghost Greeter signaling server can take."""


@program.command()
@click.argument("scenario", type=click.Choice(sorted(SCENARIOS)))
@click.option("--server-url", metavar="URL", help="The server. Default: $SERVER_URL.")
@click.option("--org-id", metavar="ID", help="Organisation that visitors join. Default: $ORG_ID.")
@click.option("--session", metavar="MIN-MAX", help="Seconds of a visit, e.g. 5-10.")
@load_options
@run_options
def run(
    scenario: str,
    server_url: str | None,
    org_id: str | None,
    session: str | None,
    vus: int | None,
    duration: str | None,
    iterations: int | None,
    stages: Sequence[str],
    settings: Sequence[str],
    seed: int | None,
    warmup: str,
    out: Path | None,
    allow_empty: bool,
    allow_script_errors: bool,
    allow_oversized: bool,
    calibrate: bool,
    quiet: bool,
) -> int:
    """Run a scenario against a server, or against the embedded simulator if none is named.

    -u and -d, or -s, replace the scenario's own profile.
    """
    try:
        load = load_from_options(vus, duration, iterations, stages)
        extra = settings_from_options(settings)
        chosen = Settings.of(server_url=server_url, org_id=org_id, session=session)
    except UsageError as error:
        return print_problems(list(getattr(error, "problems", (str(error),))))
    one = SCENARIOS[scenario]
    profile = load or one.load
    with _target(chosen, profile.peak_vus) as settings_at:
        _announce(one, profile, settings_at, embedded=chosen.server_url is None)
        return run_and_report(
            one,
            load=load,
            env={**extra, **settings_at.env()},
            seed=seed,
            warmup=warmup,
            out=out,
            console=Console(progress=not quiet),
            allow_empty=allow_empty,
            allow_script_errors=allow_script_errors,
            allow_oversized=allow_oversized,
            calibrate=calibrate,
        )


@contextmanager
def _target(settings: Settings, users: int) -> Iterator[Settings]:
    """The settings with a server: the one that was named, or a simulator started for the run."""
    if settings.server_url is not None:
        yield settings
        return
    # Enough for every visitor, and 10 % more, so that the run is not one of unavailable agents.
    agents = math.ceil(users / VISITORS_PER_AGENT * 1.1)
    with EmbeddedSimulator(agents=agents) as simulator:
        yield settings.at(simulator.url)


def _announce(scenario: Scenario, profile: Any, settings: Settings, *, embedded: bool) -> None:
    """The first line: what will be hit, and how hard."""
    url = settings.server_url or ""
    if embedded:
        where = f"the embedded simulator at {url} (SERVER_URL names no server)"
    elif is_loopback(url):
        where = f"{url}, on this machine"
    else:
        where = f"{url}, NOT this machine"
    click.echo(f"{scenario.name} loads {where}: {profile.describe()}")
    if settings.session_s is not None:
        low_s, high_s = settings.session_s
        click.echo(f"visits are shortened: {low_s:g} to {high_s:g} s instead of the scenario's own")


@program.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulate(arguments: Sequence[str]) -> int:
    """Serve the simulator alone: --port P --agents N (built-in agents; 0 = none)."""
    return simulate_main(list(arguments))


def main(arguments: Sequence[str] | None = None) -> int:
    """The program ``ghost-greeter``; returns its exit code."""
    return invoke(program, arguments, name="ghost-greeter")


if __name__ == "__main__":
    sys.exit(main())
