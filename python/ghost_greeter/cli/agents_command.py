"""``ghost-greeter agents``: a pool without visitors, for those of other processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ghost_greeter.cli.pool_options import PoolOptions, agent_options, seed_of
from ghost_greeter.metrics.agents import AGENTS, LOGIN_FAILURES
from ghost_greeter.settings import Settings, place_of
from ghost_greeter.switchboard import join_switchboard
from ghostcore import VU, ConstantVUs, InvalidPlan, PerVUIterations, UsageError, scenario
from ghostcore.cli import RunArguments, out_option, run_and_report

__all__ = ["agents_command"]

FOR_EVER = "8760h"


@scenario(name="agents", thresholds={LOGIN_FAILURES: "count<1"}, metrics=AGENTS.metrics)
async def attendance(vu: VU) -> None:
    """The agents are there for that long, and this user takes down what they do."""
    join_switchboard(vu)
    await vu.sleep(vu.env["DURATION"])


@click.command("agents")
@click.option("--url", "--server-url", "url", metavar="URL", help="The server, or $SERVER_URL.")
@click.option("-n", "--agents", "count", type=int, default=1, metavar="N", help="How many.")
@click.option("-d", "--duration", metavar="TIME", help="For how long. Default: until Ctrl-C.")
@agent_options
@click.option("--seed", type=int, metavar="N", help="Of everything random.")
@out_option()
@click.option("--quiet", is_flag=True, help="No progress, only the summary.")
def agents_command(
    url: str | None,
    count: int,
    duration: str | None,
    seed: int | None,
    out: Path | None,
    quiet: bool,
    **given: Any,
) -> int:
    """Log agents in and let them answer calls."""
    settings = Settings.of(server_url=url)
    if settings.server_url is None:
        raise UsageError("agents need a server: name it with --url or SERVER_URL")
    if count < 1:
        raise UsageError(f"-n is {count}: expected at least one agent")
    problems: Sequence[str] = ConstantVUs(1, duration or FOR_EVER).validate()
    if problems:
        raise InvalidPlan([f"-d: {text}" for text in problems])
    options = PoolOptions.of(count, given, embedded=False)
    drawn = seed_of(seed)
    pool = options.pool(settings.server_url, count, drawn)
    assert pool is not None  # it has agents
    accepts, rejects, ignores = options.mix
    click.echo(
        f"agents for {place_of(settings.server_url)}: {count}; they accept, reject and ignore "
        f"calls as {accepts:g} : {rejects:g} : {ignores:g}"
    )
    return run_and_report(
        attendance,
        arguments=RunArguments(seed=drawn, out=out, quiet=quiet),
        load=PerVUIterations(1, 1, FOR_EVER, graceful_stop=0),
        env={"DURATION": duration or FOR_EVER},
        setup=pool.setup,
        teardown=pool.teardown,
    )
