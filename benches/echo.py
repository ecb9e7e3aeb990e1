"""Closed echo loops: how many round trips a second one core makes."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from rich.table import Table

from benches import loops
from benches.clients import LINKS, LOOPS
from benches.needed import ECHO_RATIO, LIMIT_SHARE

__all__ = ["measure", "measure_echo", "tables"]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    users, seconds = (20, 1.0) if options.quick else (200, 4.0)
    rivals = () if options.without_k6 else ("k6",)
    rounds = options.repeats or (1 if options.quick else 5)
    return measure_echo(("C", *LINKS, *LOOPS, *rivals), users, options.seconds or seconds, rounds)


def measure_echo(
    clients: tuple[str, ...], users: int, seconds: float, rounds: int
) -> dict[str, Any]:
    """Medians of the rounds, and ratios to k6 and to the client in C."""
    run = partial(loops.measure_once, kind="echo", users=users, seconds=seconds)
    turns = loops.in_turns(clients, rounds, run)
    return {
        "users": users,
        **turns.report(),
        "ratio_to_k6": {client: turns.ratio(client, "k6") for client in clients},
        "share_of_limit": {client: turns.ratio(client, "C") for client in clients},
    }


def tables(report: dict[str, Any]) -> list[Table]:
    title = (
        f"echo, {report['users']} sockets, 50 bytes of text (ratios: by the clock / by CPU time)"
    )
    table = Table("client", "round\ntrips/s", "client\nCPU", "server\nCPU", "client\nus each",
                  "x k6", "share of C", title=title)  # fmt: skip
    for client in report["medians"]:
        table.add_row(client, *loops.cells(report, client),
                      loops.ratio_text(report["ratio_to_k6"][client]),
                      loops.ratio_text(report["share_of_limit"][client]))  # fmt: skip
    shares = ", ".join(f"{link} {share:g} of C" for link, share in LIMIT_SHARE.items())
    table.caption = f"needed: {ECHO_RATIO:g} x k6; {shares}" + loops.refusals(report)
    return [table]
