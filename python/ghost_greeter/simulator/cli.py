"""Command line of the simulator."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ghost_greeter.simulator.http.express import DEFAULT_ORIGINS, MAX_REQUESTS
from ghost_greeter.simulator.server import Simulator
from ghost_greeter.simulator.setup.behaviour import Behaviour
from ghost_greeter.simulator.setup.distribution import Distribution
from ghost_greeter.simulator.setup.faults import OVER_LIMIT, Faults
from ghost_greeter.simulator.setup.setup import Database
from ghost_greeter.simulator.setup.token_file import read_token_file
from ghostcore import UsageError
from ghostcore.testing import run_server, server_arguments

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code.

    The first line of output is ``listening on http://HOST:PORT``, of the first replica; with more
    of them a second line ``replicas: URL URL ..`` names them all.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        settings = _settings(options)
        Simulator(**settings)  # what is wrong with them is told before anything starts
    except UsageError as error:
        parser.error(str(error))

    def make() -> Simulator:
        return _Program(options.crash_after, options.back_after, **settings)

    return run_server(make, watch_stdin=options.watch_stdin)


class _Program(Simulator):
    """The simulator as a process: a crash ends it, unless it is to come back."""

    def __init__(
        self, crash_after_s: float | None, back_after_s: float | None, **settings: Any
    ) -> None:
        super().__init__(**settings)
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


def _parser() -> argparse.ArgumentParser:
    parser = server_arguments("A simulator of the Ghost Greeter signaling server.")
    add = parser.add_argument
    add("--mode", choices=("memory", "redis"), help="where the state lives; default: memory, or"
        " redis with several replicas")  # fmt: skip
    add("--replicas", type=int, default=1, metavar="N",
        help="servers over one state, on N ports from PORT on")  # fmt: skip
    add("--time-scale", type=float, default=1.0, metavar="F",
        help="multiplies every time of the protocol: 0.1 is ten times faster")  # fmt: skip
    add("--ping-interval", type=float, metavar="SECONDS", help="not scaled")
    add("--ping-timeout", type=float, metavar="SECONDS", help="not scaled")
    add("--seed", type=int, help="makes ids and chances the same every time")

    agents = parser.add_argument_group("built-in agents")
    add = agents.add_argument
    add("--agents", type=int, default=0, metavar="N", help="taking up to 25 visitors each; 0: none")
    add("--agent-mix", default="accept", metavar="A,R,I",
        help="shares of calls they accept, reject and ignore, e.g. 90,8,2; or one of the"
        " words")  # fmt: skip
    add("--agent-answer", default="1s..3s", metavar="TIME",
        help="how long they let it ring: 2s, 1s..3s, 1s@90,10s@10, tail:1s")  # fmt: skip

    http = parser.add_argument_group("HTTP")
    add = http.add_argument
    add("--metrics-key", metavar="KEY", help="key that GET /metrics asks for; seen in lists of"
        " processes, so rather:")  # fmt: skip
    add("--metrics-key-env", metavar="NAME", help="name of an environment variable with that key")
    add("--production", action="store_true",
        help="GET /metrics asks for a key even if none is set")  # fmt: skip
    add("--allowed-origins", metavar="LIST", help="comma-separated, or * for all")
    add("--http-limit", type=int, default=MAX_REQUESTS, metavar="N",
        help="requests a minute to unknown paths below /api; 0: any number")  # fmt: skip
    add("--control", action="store_true",
        help="answer /_simulator: counts, faults, crash (this machine only)")  # fmt: skip

    database = parser.add_argument_group("the database behind it, which any of these brings")
    add = database.add_argument
    add("--database", action="store_true", help="calls have reconnect tokens")
    add("--paused-org", action="append", default=[], metavar="ORG")
    add("--blocked-org", action="append", default=[], metavar="ORG",
        help="an organisation whose visitors are kicked")  # fmt: skip
    add("--agent-tokens", type=Path, metavar="FILE",
        help="who may log in: lines of a token and an agent id, or * for any agent")  # fmt: skip
    add("--ring-timeout", type=float, metavar="SECONDS", help="memory mode; scaled")
    add("--max-call", type=float, metavar="SECONDS", help="memory mode; scaled")

    faults = parser.add_argument_group("faults (see README.md of the simulator)")
    add = faults.add_argument
    add("--max-connections", type=int, metavar="N", help="at once, per replica")
    add("--over-limit", choices=OVER_LIMIT,
        help="what happens to a connection over that; default: 503")  # fmt: skip
    add(
        "--fault",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any fault, e.g. latency=5ms@90,2s@10 or drop=0.01 or rate_limits=visitor:join=3",
    )
    add("--crash-after", type=float, metavar="SECONDS", help="end as if killed; not scaled")
    add("--back-after", type=float, metavar="SECONDS",
        help="and be there again so long after that, as when a platform restarts it")  # fmt: skip
    return parser


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of :class:`Simulator`."""
    if options.agents < 0:
        raise UsageError(f"--agents is {options.agents}: expected 0 or more")
    if options.crash_after is not None and not options.crash_after > 0:
        raise UsageError(f"--crash-after is {options.crash_after}: expected more than 0 seconds")
    if options.back_after is not None:
        if options.crash_after is None and not options.control:
            raise UsageError("--back-after is for after a crash: give --crash-after, too")
        if not options.back_after > 0:
            raise UsageError(f"--back-after is {options.back_after}: expected more than 0 seconds")
    answer = Distribution.parse(options.agent_answer)
    return {
        "host": options.host,
        "port": options.port,
        "agents": options.agents,
        "behaviour": Behaviour(Behaviour.parse_mix(options.agent_mix), answer),
        "mode": options.mode or ("memory" if options.replicas == 1 else "redis"),
        "replicas": options.replicas,
        "time_scale": options.time_scale,
        "database": _database(options),
        "faults": _faults(options),
        "control": options.control,
        "metrics_key": _metrics_key(options),
        "production": options.production,
        "origins": _origins(options.allowed_origins),
        "http_limit": options.http_limit,
        "ping_interval": options.ping_interval,
        "ping_timeout": options.ping_timeout,
        "seed": options.seed,
    }


def _metrics_key(options: argparse.Namespace) -> str | None:
    name = options.metrics_key_env
    if name is None:
        return options.metrics_key or None
    if options.metrics_key:
        raise UsageError("--metrics-key and --metrics-key-env both name a key: expected one")
    key = os.environ.get(name)
    if not key:
        raise UsageError(f"--metrics-key-env names {name}, which is not set")
    return key


def _origins(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return DEFAULT_ORIGINS
    return None if text == "*" else tuple(part.strip() for part in text.split(","))


def _database(options: argparse.Namespace) -> Database | None:
    database = Database(
        frozenset(options.paused_org),
        frozenset(options.blocked_org),
        None if options.agent_tokens is None else dict(read_token_file(options.agent_tokens)),
        options.ring_timeout,
        options.max_call,
    )
    return database if options.database or database != Database() else None


def _faults(options: argparse.Namespace) -> Faults:
    values: dict[str, Any] = {}
    for text in options.fault:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--fault: {text!r} has no value: expected NAME=VALUE")
        values[name] = {"true": True, "false": False}.get(value, value)
    if options.max_connections is not None:
        values["connection_limit"] = options.max_connections
    if options.over_limit is not None:
        if values.get("connection_limit") is None:
            raise UsageError(
                f"--over-limit {options.over_limit} is for connections over a limit, and there is "
                "none: give --max-connections N, too"
            )
        values["over_limit"] = options.over_limit
    faults = Faults()
    faults.set(values)
    return faults
