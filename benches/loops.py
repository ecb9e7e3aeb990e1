"""Loops of messages against the server in C (limit/server.c), which counts them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benches.clients import COMMANDS
from benches.measure import NO_FIGURE, Refused, reason_text
from benches.processes import Client, Server

__all__ = [
    "LoopFigures",
    "Turns",
    "cells",
    "in_turns",
    "measure_once",
    "ratio_text",
    "refusals",
]

SETTLE_S = 1.0
START_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class LoopFigures:
    """One measurement. The shares are of one core each.

    :ivar client_us: CPU time of the client for each round trip.
    """

    client: str
    users: int
    round_trips_per_s: float
    client_share: float
    server_share: float
    client_us: float


def measure_once(client: str, kind: str, users: int, seconds: float, **env: str) -> LoopFigures:
    """Start server and client anew, let them settle, measure for so long.

    :param kind: echo, flight or paced. :param env: what it needs more, see ``benches.clients``.
    :raises Refused: a connection was lost, or nothing came back.
    """
    with Server("benches.limit.server") as server:
        command = COMMANDS[client](kind, server.url, users, START_TIMEOUT_S + seconds, **env)
        with Client(client, command) as process:
            server.wait_for(process, users, START_TIMEOUT_S)
            time.sleep(min(SETTLE_S, seconds))
            before, server_before = process.read(), server.read()
            messages_before = server.state().messages
            time.sleep(seconds)
            after, server_after = process.read(), server.read()
            state = server.state()
            process.check()
    if (state.connections, state.accepted) != (users, users):
        raise Refused(
            f"{users} connections were to last, {state.accepted} were made and "
            f"{state.accepted - state.connections} lost"
        )
    elapsed_s = after.at_s - before.at_s
    round_trips = state.messages - messages_before
    if round_trips == 0:
        raise Refused("no message came back")
    return LoopFigures(
        client,
        users,
        round_trips / elapsed_s,
        after.share_since(before),
        server_after.share_since(server_before),
        (after.cpu_s - before.cpu_s) / round_trips * 1e6,
    )


@dataclass
class Turns:
    """Measurements of several things in turns, so that a noisy minute hits all of them.

    :ivar runs: of each, one a round; None where there was no figure.
    :ivar refused: why not, of those that were refused.
    """

    runs: dict[str, list[LoopFigures | None]]
    refused: dict[str, list[str]] = field(default_factory=dict)

    def medians(self, name: str) -> dict[str, float] | None:
        """Of each figure; None if every run was refused."""
        runs = [asdict(run) for run in self.runs[name] if run is not None]
        figures = ("round_trips_per_s", "client_share", "server_share", "client_us")
        return {figure: median(run[figure] for run in runs) for figure in figures} if runs else None

    def ratio(self, name: str, base: str) -> dict[str, float] | None:
        """Of one to another: the median over neighbours in time; None without any.

        ``clock`` compares round trips a second. ``cpu`` compares round trips for a second of the
        client's own CPU time, and so holds on a machine where others take some of the core.
        """
        pairs = [
            (a, b)
            for a, b in zip(self.runs[name], self.runs.get(base, ()), strict=False)
            if a and b
        ]
        if not pairs:
            return None
        return {
            "clock": median(a.round_trips_per_s / b.round_trips_per_s for a, b in pairs),
            "cpu": median(b.client_us / a.client_us for a, b in pairs),
        }

    def report(self) -> dict[str, Any]:
        """Medians, every run and what was refused, for the JSON."""
        return {
            "medians": {name: self.medians(name) for name in self.runs},
            "runs": {
                name: [asdict(run) if run else None for run in runs]
                for name, runs in self.runs.items()
            },
            "refused": self.refused,
        }


def in_turns(names: Iterable[str], rounds: int, measure: Callable[[str], LoopFigures]) -> Turns:
    """Measure each of them in every round."""
    turns = Turns({name: [] for name in names})
    for _ in range(rounds):
        for name, runs in turns.runs.items():
            try:
                runs.append(measure(name))
            except NO_FIGURE as reason:
                runs.append(None)
                turns.refused.setdefault(name, []).append(reason_text(reason))
    return turns


def ratio_text(found: dict[str, float] | None) -> str:
    """By the clock and by CPU time, as tables show them."""
    return f"{found['clock']:.2f} / {found['cpu']:.2f}" if found else ""


def cells(report: dict[str, Any], name: str) -> tuple[str, str, str, str]:
    """Round trips a second, both shares and the cost of each, as tables show them."""
    row = report["medians"][name]
    if row is None:
        return "refused", "", "", ""
    return (
        f"{row['round_trips_per_s']:,.0f}",
        f"{row['client_share']:.0%}",
        f"{row['server_share']:.0%}",
        f"{row['client_us']:.1f}",
    )


def refusals(report: dict[str, Any]) -> str:
    """Lines for the caption of a table."""
    return "".join(
        f"\nrefused: {name}: {reason}"
        for name, reasons in report["refused"].items()
        for reason in reasons
    )
