"""``ghost-greeter run SCENARIO``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from ghost_greeter.agents import AgentPool, agents_needed
from ghost_greeter.agents.agent_settings import longest_s
from ghost_greeter.cli.console import SuiteConsole
from ghost_greeter.cli.pool_options import PoolOptions, agent_options, seed_of
from ghost_greeter.cli.run_parts import hooks_of
from ghost_greeter.cli.storm_options import StormOptions, storm_options
from ghost_greeter.cli.storm_run import StormRun
from ghost_greeter.scenarios import SCENARIOS, connections
from ghost_greeter.scenarios.calls import HOLD_S, WAIT_S, calls, calls_load, longest_visit_s
from ghost_greeter.server.census import Census
from ghost_greeter.server.figures import Figures
from ghost_greeter.server.probe import probe
from ghost_greeter.settings import Settings, place_of
from ghost_greeter.simulator import EmbeddedSimulator
from ghostcore import InvalidPlan, Scenario
from ghostcore.cli import (
    RunArguments,
    load_options,
    run_and_report,
    run_options,
)

__all__ = ["run_command"]

SERVED = {"widget", "calls", "reconnect-storm"}
"""Scenarios whose visitors need agents."""


@click.command("run")
@click.argument("scenario", type=click.Choice(sorted(SCENARIOS)))
@click.option("--server-url", metavar="URL", help="The server. Default: $SERVER_URL.")
@click.option("--org-id", metavar="ID", help="Organisation that visitors join. Default: $ORG_ID.")
@click.option("--session", metavar="MIN-MAX", help="Seconds of a visit or call, e.g. 5-10.")
@click.option("--agent-id", metavar="ID", help="Whom to ask for if nobody is assigned. $AGENT_ID.")
@click.option("--call-rate", metavar="N", help="calls: requests a second. Default: $CALL_RATE, 10.")
@click.option("--test-duration", metavar="TIME", help="calls: default $TEST_DURATION, 2m.")
@click.option("--call-deadline", metavar="SECONDS", help="calls: lost without an outcome by then.")
@click.option(
    "--agents",
    "agent_count",
    type=int,
    metavar="N",
    help="Agents of this run. Default: enough for the embedded simulator, else 0.",
)
@agent_options
@storm_options
@load_options
@run_options
def run_command(
    scenario: str,
    storm: StormOptions,
    server_url: str | None,
    org_id: str | None,
    session: str | None,
    agent_id: str | None,
    call_rate: str | None,
    test_duration: str | None,
    call_deadline: str | None,
    agent_count: int | None,
    arguments: RunArguments,
    **agents: Any,
) -> int:
    """Run a scenario against a server, or against the embedded simulator if none is named.

    -u and -d, or -s, replace the scenario's own profile.
    """
    load = arguments.load()
    extra = arguments.env()
    chosen = Settings.of(
        server_url=server_url,
        org_id=org_id,
        session=session,
        agent_id=agent_id,
        call_rate=call_rate,
        test_duration=test_duration,
        call_deadline=call_deadline,
    )
    embedded = chosen.server_url is None
    options = PoolOptions.of(agent_count, agents, embedded=embedded)
    one = SCENARIOS[scenario]
    profile = load or _profile(one, chosen)
    storm_run = StormRun.of(storm, one, profile.peak_vus, embedded=embedded)
    drawn = seed_of(arguments.seed)
    with _target(chosen) as (settings_at, simulator), storm_run.over(simulator):
        url = settings_at.server_url
        assert url is not None
        default = 0
        if embedded and one.name in SERVED:
            default = _agents_for(one, profile, chosen, options, by_rate=load is None)
        pool = options.pool(url, default, drawn, _longest_hold_s(chosen))
        _announce(one, profile, settings_at, pool, embedded=embedded)
        storm_run.announce()
        if warning := probe(url):
            click.echo(f"warning: {warning}", err=True)
        figures = Figures(url, settings_at.metrics_key)
        census = Census(figures, "sockets" if one is connections else "visitors")
        setup, teardown = hooks_of(*([] if pool is None else [pool]), census)
        return run_and_report(
            storm_run.scenario,
            arguments=arguments,
            load=profile,
            env={**extra, **settings_at.env()},
            seed=drawn,
            console=SuiteConsole(
                progress=not arguments.quiet,
                findings=[census.findings],
                answers=[storm_run.answers, census.answers],
            ),
            setup=setup,
            teardown=teardown,
        )


def _profile(scenario: Scenario, settings: Settings) -> Any:
    """The scenario's own load, as the settings say."""
    if scenario is not calls:
        return scenario.load
    longest = longest_visit_s(_longest_hold_s(settings), settings.call_deadline_s)
    load = calls_load(settings.call_rate, settings.test_duration, longest)
    problems = load.validate()
    if problems:
        raise InvalidPlan(problems)
    return load


def _longest_hold_s(settings: Settings) -> float:
    """The longest that a visitor holds a call."""
    return (settings.session_s or HOLD_S)[1]


def _agents_for(
    scenario: Scenario, profile: Any, settings: Settings, options: PoolOptions, *, by_rate: bool
) -> int:
    """How many agents serve this load."""
    users: int = profile.peak_vus
    if scenario is not calls:
        return agents_needed(users)
    if not by_rate:  # so many users ask for so many calls at a time at the most
        return math.ceil(users * 1.1)
    hold_s = _longest_hold_s(settings)
    # The most users of an arrival model are for a server that does not answer: those that are
    # there if it does are rate x visit.
    ring_s = longest_s(options.answer)
    visitors = math.ceil(settings.call_rate * (WAIT_S[1] + ring_s + hold_s))
    return agents_needed(visitors, settings.call_rate, ring_s, hold_s)


@contextmanager
def _target(settings: Settings) -> Iterator[tuple[Settings, EmbeddedSimulator | None]]:
    """The settings with a server: the one that was named, or a simulator started for the run."""
    if settings.server_url is not None:
        yield settings, None
        return
    with EmbeddedSimulator(metrics_key=settings.metrics_key) as simulator:
        yield settings.at(simulator.url), simulator


def _announce(
    scenario: Scenario, profile: Any, settings: Settings, pool: AgentPool | None, *, embedded: bool
) -> None:
    """The first lines: what will be hit, how hard, and who answers."""
    url = settings.server_url or ""
    where = (
        f"the embedded simulator at {url} (SERVER_URL names no server)"
        if embedded
        else place_of(url)
    )
    click.echo(f"{scenario.name} loads {where}: {profile.describe()}")
    if settings.session_s is not None:
        low_s, high_s = settings.session_s
        click.echo(f"visits are shortened: {low_s:g} to {high_s:g} s instead of the scenario's own")
    if scenario is calls:
        click.echo(
            f"a call without an outcome within {settings.call_deadline_s:g} s counts as lost; one "
            "ring takes up to 20 s, so that a call that is passed on may have several in that time"
        )
    if pool is not None:
        accepts, rejects, ignores = pool.settings.mix
        click.echo(
            f"{pool.size} agents of this run accept, reject and ignore calls as "
            f"{accepts:g} : {rejects:g} : {ignores:g}"
        )
    elif scenario.name in SERVED:
        click.echo("no agents of this run (--agents N): it is served by those that are there")
