"""Connecting, from no socket to as many as one process may hold: what the first and the last cost.

The server in C counts; its counts and the CPU time of both sides are read many times a second, and
the connects cut into four quarters of the same number.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from rich.table import Table

from benches.clients import COMMANDS
from benches.measure import Refused, check_descriptors, row_of
from benches.needed import CONNECT_US, FLAT, verdict
from benches.processes import Client, Server

__all__ = ["Case", "Quarter", "Sample", "measure", "measure_once", "quarters", "tables"]

USERS = 19_000
PACES = (500, 2000)
SETTLE_S = 1.0
MOST_SERVER_SHARE = 0.9
"""Of its core, in any quarter: a busier server would be what limits."""


class Sample(NamedTuple):
    """Both sides at one moment; the times are sums so far."""

    at_s: float
    client_s: float
    server_s: float
    connections: float


@dataclass(frozen=True)
class Quarter:
    """A quarter of the connects. :ivar client_us: CPU time of the client for each."""

    connects_per_s: float
    client_us: float
    server_share: float


class Case(NamedTuple):
    """One row.

    :ivar pace: connects a second; 0: closed loops.
    :ivar source: the one address that all come from; "": the client may take several.
    """

    client: str
    pace: int = 0
    source: str = ""


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    users, idle_s = (500, 0.5) if options.quick else (USERS, 4.0)
    check_descriptors(users)
    paces = options.paces or ((500,) if options.quick else PACES)
    cases = [Case(client, pace) for pace in paces for client in ("C", "epoll")]
    cases += [Case("C"), Case("epoll"), Case("epoll", source="127.0.0.1"), Case("picows")]
    return [measure_once(case, users, idle_s) for case in cases]


def measure_once(case: Case, users: int, idle_s: float) -> dict[str, Any]:
    """Connect them all; then look for so long what they cost while nothing happens."""
    row: dict[str, Any] = {**case._asdict(), "users": users}
    return row_of(row, lambda: _figures(case, users, idle_s))


def _figures(case: Case, users: int, idle_s: float) -> dict[str, Any]:
    ramp_s = users / case.pace if case.pace else 0.0
    timeout_s = 60 + 3 * ramp_s
    kind, env = "idle", {}
    if case.client != "C" and not case.pace:
        kind, env = "connects", {"SOURCE": case.source} if case.source else {}
    with Server("benches.limit.server") as server:
        duration_s = timeout_s + idle_s
        command = COMMANDS[case.client](kind, server.url, users, duration_s, ramp_s, **env)
        with Client(case.client, command) as process:
            samples = connect_all(server, process, users, timeout_s, 0.1 if case.pace else 0.02)
            time.sleep(min(SETTLE_S, idle_s))
            before = process.read()
            time.sleep(idle_s)
            idle_share = process.read().share_since(before)
            process.check()
            state = server.state()
            # The server closes first, so that no port of the client's stays taken (TIME_WAIT)
            # when the next row begins.
            process.freeze()
            server.stop()
    if (state.connections, state.accepted) != (users, users):
        raise Refused(f"{users} connections were to last: {state}")
    parts = quarters(samples)
    connect_us = sum(part.client_us for part in parts) / len(parts)
    whole_s = samples[-1].at_s - samples[0].at_s
    first, last = parts[0], parts[-1]
    return {
        "quarters": [asdict(part) for part in parts],
        "connects_per_s": (users - samples[0].connections) / whole_s,
        "connect_us": connect_us,
        "idle_share": idle_share,
        "connect_us_over_idle": connect_us - idle_share * whole_s / users * 1e6,
        "flat": {
            "clock": last.connects_per_s / first.connects_per_s,
            "cpu": first.client_us / last.client_us,
        },
    }


def connect_all(
    server: Server, client: Client, users: int, timeout_s: float, look_s: float
) -> list[Sample]:
    """Look until all are connected; the samples begin with the first connect that was seen."""
    samples: list[Sample] = []
    deadline_s = time.monotonic() + timeout_s
    while not samples or samples[-1].connections < users:
        client.check()
        connections = server.state().connections
        reading = client.read()
        if connections:
            samples.append(Sample(reading.at_s, reading.cpu_s, server.read().cpu_s, connections))
        if reading.at_s > deadline_s:
            raise TimeoutError(f"{client.name}: {connections} of {users} in {timeout_s:g} s")
        time.sleep(look_s)
    return samples


def quarters(samples: Sequence[Sample]) -> list[Quarter]:
    """Four parts of the same number of connects. The last sample, seen at some time after the last
    connect, is left out: where the next to last stands, they were still coming.

    :raises Refused: the connects came too fast to be seen, or the server was what limits.
    """
    samples = samples[:-1]
    if len(samples) < 2 or samples[0].connections == samples[-1].connections:
        raise Refused("connects within two looks: more users are needed")
    first, last = samples[0].connections, samples[-1].connections
    ends = [crossing(samples, first + (last - first) * part / 4) for part in range(5)]
    found = []
    for begin, end in pairwise(ends):
        elapsed_s, connects = end.at_s - begin.at_s, end.connections - begin.connections
        found.append(
            Quarter(
                connects / elapsed_s,
                (end.client_s - begin.client_s) / connects * 1e6,
                (end.server_s - begin.server_s) / elapsed_s,
            )
        )
    busiest = max(part.server_share for part in found)
    if busiest > MOST_SERVER_SHARE:
        raise Refused(f"the server was {busiest:.0%} busy, over {MOST_SERVER_SHARE:.0%}")
    return found


def crossing(samples: Sequence[Sample], connections: float) -> Sample:
    """When so many were connected, on a straight line between the samples around it."""
    for before, after in pairwise(samples):
        if before.connections <= connections <= after.connections > before.connections:
            part = (connections - before.connections) / (after.connections - before.connections)
            return Sample(*(a + part * (b - a) for a, b in zip(before, after, strict=True)))
    raise ValueError(f"{connections:g} connections were never crossed")


def tables(rows: Sequence[dict[str, Any]]) -> list[Table]:
    title = f"connecting {rows[0]['users']:,} sockets, by quarters" if rows else None
    table = Table(title=title)
    for name in ("client", "asked/s", "source", "connects/s", "CPU us each", "us", "less\nidle",
                 "of C", f"<= {CONNECT_US:g} us\nholds", "last x first,\nclock / CPU",
                 f">= {FLAT:g}\nholds"):  # fmt: skip
        table.add_column(name, no_wrap=True)
    limits_us = {
        row["pace"]: row["connect_us"] for row in rows if row["client"] == "C" and "quarters" in row
    }
    refused = []
    for row in rows:
        shown = [row["client"], f"{row['pace'] or 'closed'}", row["source"] or "own"]
        if "refused" in row:
            table.add_row(*shown, "refused")
            refused.append(f"refused: {' '.join(shown)}: {row['refused']}")
            continue
        parts, flat, cost_us = row["quarters"], row["flat"], row["connect_us"]
        limit_us = limits_us.get(row["pace"])
        # From one address the kernel's search for a port is what grows: it is shown, not judged.
        judged = row["client"] == "epoll" and not row["source"]
        table.add_row(
            *shown,
            " ".join(f"{part['connects_per_s']:,.0f}" for part in parts),
            " ".join(f"{part['client_us']:.0f}" for part in parts),
            f"{cost_us:.0f}",
            f"{row['connect_us_over_idle']:.0f}",
            f"{limit_us / cost_us:.2f}" if limit_us else "",
            verdict(cost_us <= CONNECT_US) if judged else "",
            f"{flat['clock']:.2f} / {flat['cpu']:.2f}",
            verdict(min(flat.values()) >= FLAT) if judged else "",
        )
    table.caption = "\n".join(refused) or None
    return [table]
