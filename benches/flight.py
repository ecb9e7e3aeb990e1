"""Closed loops with several messages in flight: what one send(2) for all of them is worth."""

from __future__ import annotations

import argparse
from typing import Any

from rich.table import Table

from benches import loops
from benches.clients import IN_FLIGHT, LINKS, LOOPS
from benches.needed import IN_FLIGHT_GAIN

__all__ = ["measure", "tables"]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    users, seconds = (20, 1.0) if options.quick else (200, 3.0)
    seconds = options.seconds or seconds
    rounds = options.repeats or (1 if options.quick else 3)
    clients = ("C", *LINKS, *LOOPS, *(() if options.without_k6 else ("k6",)))

    def run(name: str) -> loops.LoopFigures:
        kind, client = name.split()
        return loops.measure_once(client, kind, users, seconds)

    # One after the other, so that neighbours in time differ in nothing else.
    names = [f"{kind} {client}" for client in clients for kind in ("echo", "flight")]
    turns = loops.in_turns(names, rounds, run)
    return {
        "users": users,
        "in_flight": IN_FLIGHT,
        **turns.report(),
        "ratio_to_one": {one: turns.ratio(f"flight {one}", f"echo {one}") for one in clients},
        "ratio_to_k6": {one: turns.ratio(f"flight {one}", "flight k6") for one in clients},
        "share_of_limit": {one: turns.ratio(f"flight {one}", "flight C") for one in clients},
    }


def tables(report: dict[str, Any]) -> list[Table]:
    title = (
        f"{report['in_flight']} messages in flight, {report['users']} sockets, 50 bytes of text "
        "(ratios: by the clock / by CPU time)"
    )
    table = Table("client", "messages/s", "client\nCPU", "server\nCPU", "client\nus each",
                  "x one in\nflight", "x k6", "share of C", title=title)  # fmt: skip
    for client, ratio in report["ratio_to_one"].items():
        table.add_row(client, *loops.cells(report, f"flight {client}"), loops.ratio_text(ratio),
                      loops.ratio_text(report["ratio_to_k6"][client]),
                      loops.ratio_text(report["share_of_limit"][client]))  # fmt: skip
    least, most = IN_FLIGHT_GAIN
    table.caption = f"expected: {least:g} to {most:g} x one in flight" + loops.refusals(report)
    return [table]
