"""CPU time of a round trip at a fixed rate, with a server that has time to spare.

In a closed loop a faster client finds another number of sockets ready each time that it looks, and
so pays another price for each. At a fixed rate all clients do the same work.
"""

from __future__ import annotations

import argparse
from typing import Any

from rich.table import Table

from benches import loops
from benches.clients import LINKS, LOOPS
from benches.measure import Refused
from benches.needed import LIMIT_SHARE, MOST_SERVER_SHARE, verdict

__all__ = ["measure", "tables"]

RATE_PER_S = 30_000
DELIVERED = 0.99
"""Of the rate: a client that falls behind is in a closed loop."""


def measure(options: argparse.Namespace) -> dict[str, Any]:
    users, seconds, rate_per_s = (20, 1.0, 2000) if options.quick else (300, 4.0, RATE_PER_S)
    seconds = options.seconds or seconds
    rate_per_s = options.rate or rate_per_s
    clients = ("C", *LINKS, *LOOPS)

    def run(client: str) -> loops.LoopFigures:
        figures = loops.measure_once(client, "paced", users, seconds, RATE=str(rate_per_s))
        return checked(figures, rate_per_s)

    turns = loops.in_turns(clients, options.repeats or (1 if options.quick else 3), run)
    return {
        "users": users,
        "asked_per_s": rate_per_s,
        **turns.report(),
        "share_of_limit": {client: turns.ratio(client, "C") for client in clients},
    }


def checked(figures: loops.LoopFigures, asked_per_s: float) -> loops.LoopFigures:
    """The figures, if both sides had time to spare; :raises Refused: they had not."""
    if figures.server_share > MOST_SERVER_SHARE:
        raise Refused(
            f"the server was {figures.server_share:.0%} busy, over {MOST_SERVER_SHARE:.0%}: "
            "ask for less with --rate"
        )
    if figures.round_trips_per_s < DELIVERED * asked_per_s:
        busy = figures.client_share > 0.9
        advice = "ask for less with --rate" if busy else "others had the core, or the server's"
        raise Refused(
            f"{figures.round_trips_per_s:,.0f} of {asked_per_s:,.0f} a second, at "
            f"{figures.client_share:.0%} of a core: {advice}"
        )
    return figures


def tables(report: dict[str, Any]) -> list[Table]:
    asked_per_s = report["asked_per_s"]
    title = f"{asked_per_s:,} round trips/s asked for, {report['users']} sockets in even turns"
    table = Table("client", "round\ntrips/s", "client\nCPU", "server\nCPU", "client\nus each",
                  "share of C,\nby CPU", "needed", "holds", title=title)  # fmt: skip
    for client, share in report["share_of_limit"].items():
        needed = LIMIT_SHARE.get(client)
        held = verdict(share["cpu"] >= needed) if share and needed else ""
        table.add_row(client, *loops.cells(report, client), f"{share['cpu']:.2f}" if share else "",
                      f">= {needed:g}" if needed else "", held)  # fmt: skip
    table.caption = f"server at most {MOST_SERVER_SHARE:.0%} busy" + loops.refusals(report)
    return [table]
