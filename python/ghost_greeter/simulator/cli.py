"""``ghost-greeter simulate``, and ``python -m ghost_greeter.simulator``: the simulator alone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from ghost_greeter import events
from ghost_greeter.simulator.server import Simulator
from ghost_greeter.simulator.setup.behaviour import Behaviour
from ghost_greeter.simulator.setup.distribution import Distribution
from ghost_greeter.simulator.setup.faults import OVER_LIMIT, Faults
from ghost_greeter.simulator.setup.setup import (
    DEFAULT_ORIGINS,
    MAX_REQUESTS,
    Database,
    HttpSetup,
    Setup,
)
from ghost_greeter.simulator.setup.timings import Timings
from ghost_greeter.simulator.setup.token_file import read_token_file
from ghostcore import UsageError
from ghostcore.cli import invoke
from ghostcore.testing import run_server

__all__ = ["main", "simulate_command", "simulator_arguments"]


@click.command(
    "simulate",
    short_help="Serve the simulator alone.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=0, metavar="PORT", help="0 takes any free port.")
@click.option(
    "--watch-stdin",
    is_flag=True,
    help="Stop at the end of standard input: a server started by a program ends with it.",
)
@click.option(
    "--mode",
    type=click.Choice(("memory", "redis")),
    help="Where the state lives. Default: memory, or redis with several replicas.",
)
@click.option(
    "--replicas",
    type=int,
    default=1,
    metavar="N",
    help="Servers over one state, on N ports from PORT on.",
)
@click.option(
    "--time-scale",
    type=float,
    default=1.0,
    metavar="F",
    help="Multiplies every time of the protocol: 0.1 is ten times faster.",
)
@click.option("--ping-interval", type=float, metavar="SECONDS", help="Not scaled.")
@click.option("--ping-timeout", type=float, metavar="SECONDS", help="Not scaled.")
@click.option("--seed", type=int, metavar="N", help="Makes ids and chances the same every time.")
# Built-in agents.
@click.option(
    "--agents",
    type=int,
    default=0,
    metavar="N",
    help="Built-in agents, taking up to 25 visitors each; 0: none.",
)
@click.option(
    "--agent-mix",
    default="accept",
    metavar="A,R,I",
    help="Shares of calls they accept, reject and ignore, e.g. 90,8,2; or one of the words.",
)
@click.option(
    "--agent-answer",
    default="1s..3s",
    metavar="TIME",
    help="How long they let it ring: 2s, 1s..3s, 1s@90,10s@10, tail:1s.",
)
# HTTP.
@click.option(
    "--metrics-key",
    metavar="KEY",
    help="Key that GET /metrics asks for; seen in lists of processes, so rather --metrics-key-env.",
)
@click.option(
    "--metrics-key-env", metavar="NAME", help="Name of an environment variable with that key."
)
@click.option("--production", is_flag=True, help="GET /metrics asks for a key even if none is set.")
@click.option("--allowed-origins", metavar="LIST", help="Comma-separated, or * for all.")
@click.option(
    "--http-limit",
    type=int,
    default=MAX_REQUESTS,
    metavar="N",
    help="Requests a minute to unknown paths below /api; 0: any number.",
)
@click.option(
    "--control", is_flag=True, help="Answer /_simulator: counts, faults, crash (this machine only)."
)
# The database behind it, which any of these brings.
@click.option("--database", is_flag=True, help="A database behind it: calls have reconnect tokens.")
@click.option(
    "--paused-org",
    multiple=True,
    metavar="ORG",
    help="An organisation whose visitors are told that it is paused.",
)
@click.option(
    "--blocked-org", multiple=True, metavar="ORG", help="An organisation whose visitors are kicked."
)
@click.option(
    "--agent-tokens",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Who may log in: lines of a token and an agent id, or * for any agent.",
)
@click.option("--ring-timeout", type=float, metavar="SECONDS", help="Memory mode; scaled.")
@click.option("--max-call", type=float, metavar="SECONDS", help="Memory mode; scaled.")
# Faults.
@click.option("--max-connections", type=int, metavar="N", help="At once, per replica.")
@click.option(
    "--over-limit",
    type=click.Choice(OVER_LIMIT),
    help="What happens to a connection over that. Default: 503.",
)
@click.option(
    "--fault",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any fault, e.g. latency=5ms@90,2s@10 or drop=0.01 or "
    f"rate_limits={events.VISITOR_JOIN}=3. Repeat for more.",
)
@click.option("--crash-after", type=float, metavar="SECONDS", help="End as if killed; not scaled.")
@click.option("--back-after", type=float, metavar="SECONDS",
    help="And be there again so long after that, as when a platform restarts it.")  # fmt: skip
def simulate_command(
    crash_after: float | None, back_after: float | None, watch_stdin: bool, **given: Any
) -> int:
    """Serve the simulator alone, until SIGTERM or Ctrl-C.

    The first line of output is "listening on http://HOST:PORT", of the first replica; with more of
    them a second line "replicas: URL URL .." names them all. Faults are listed in the README of the
    simulator.
    """
    try:
        _check_crash(crash_after, back_after, control=given["control"])
        arguments = simulator_arguments(given)
        Simulator(**arguments)  # what is wrong with them is told before anything starts
    except UsageError as error:
        raise click.UsageError(str(error)) from None

    def make() -> Simulator:
        return _Program(crash_after, back_after, **arguments)

    return run_server(make, watch_stdin=watch_stdin)


def main(arguments: Sequence[str] | None = None) -> int:
    """The program ``python -m ghost_greeter.simulator``; returns its exit code.

    :param arguments: without the program's name; those of the process unless given.
    """
    return invoke(simulate_command, arguments, name="ghost-greeter simulate")


def simulator_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of :class:`Simulator`, from the options of :func:`simulate_command`.

    :raises UsageError: options that cannot be.
    """
    if given["agents"] < 0:
        raise UsageError(f"--agents is {given['agents']}: expected 0 or more")
    behaviour = Behaviour(
        Behaviour.parse_mix(given["agent_mix"]), Distribution.parse(given["agent_answer"])
    )
    http = HttpSetup(
        _metrics_key(given["metrics_key"], given["metrics_key_env"]),
        given["production"],
        _origins(given["allowed_origins"]),
        given["http_limit"],
        given["control"],
    )
    setup = Setup(
        given["mode"] or ("memory" if given["replicas"] == 1 else "redis"),
        given["replicas"],
        _timings(given),
        _database(given),
        given["agents"],
        behaviour,
        http,
    )
    return {
        "setup": setup,
        "host": given["host"],
        "port": given["port"],
        "faults": _faults(given),
        "seed": given["seed"],
    }


def _check_crash(crash_after_s: float | None, back_after_s: float | None, *, control: bool) -> None:
    if crash_after_s is not None and not crash_after_s > 0:
        raise UsageError(f"--crash-after is {crash_after_s}: expected more than 0 seconds")
    if back_after_s is not None:
        if crash_after_s is None and not control:
            raise UsageError("--back-after is for after a crash: give --crash-after, too")
        if not back_after_s > 0:
            raise UsageError(f"--back-after is {back_after_s}: expected more than 0 seconds")


def _timings(given: Mapping[str, Any]) -> Timings:
    pings = {"ping_interval_s": given["ping_interval"], "ping_timeout_s": given["ping_timeout"]}
    scaled = Timings().scaled(given["time_scale"])
    return replace(scaled, **{name: s for name, s in pings.items() if s is not None})


def _metrics_key(key: str | None, name: str | None) -> str | None:
    """The key itself, or that in the environment variable called `name`."""
    if name is None:
        return key or None
    if key:
        raise UsageError("--metrics-key and --metrics-key-env both name a key: expected one")
    found = os.environ.get(name)
    if not found:
        raise UsageError(f"--metrics-key-env names {name}, which is not set")
    return found


def _origins(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return DEFAULT_ORIGINS
    return None if text == "*" else tuple(part.strip() for part in text.split(","))


def _database(given: Mapping[str, Any]) -> Database | None:
    database = Database(
        frozenset(given["paused_org"]),
        frozenset(given["blocked_org"]),
        None if given["agent_tokens"] is None else dict(read_token_file(given["agent_tokens"])),
        given["ring_timeout"],
        given["max_call"],
    )
    return database if given["database"] or database != Database() else None


def _faults(given: Mapping[str, Any]) -> Faults:
    values: dict[str, Any] = {}
    for text in given["fault"]:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--fault: {text!r} has no value: expected NAME=VALUE")
        values[name] = {"true": True, "false": False}.get(value, value)
    if given["max_connections"] is not None:
        values["connection_limit"] = given["max_connections"]
    if given["over_limit"] is not None:
        if values.get("connection_limit") is None:
            raise UsageError(
                f"--over-limit {given['over_limit']} is for connections over a limit, and there is "
                "none: give --max-connections N, too"
            )
        values["over_limit"] = given["over_limit"]
    faults = Faults()
    faults.set(values)
    return faults


class _Program(Simulator):
    """The simulator as a process: a crash ends it, unless it is to come back."""

    def __init__(
        self, crash_after_s: float | None, back_after_s: float | None, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        if back_after_s is None:
            self.on_crash = _die
        else:
            self.on_crash = partial(self.crash_soon, back_after_s)
        self._crash_after_s = crash_after_s
        self._has_started = False

    async def start(self) -> None:
        await super().start()
        if self._has_started:
            return
        self._has_started = True
        loop = asyncio.get_running_loop()
        if len(self.servers) > 1:  # after the first line, which the caller prints
            loop.call_soon(lambda: print("replicas:", *self.urls, flush=True))
        if self._crash_after_s is not None:
            loop.call_later(self._crash_after_s, self.on_crash)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
