"""A server that stands still for two seconds, as seen by 20 users: what the response time from the
due moment says, what theory says, and what is left where only made requests count (k6).

Without arguments a demonstration: both loads, side by side with k6. With arguments: the client.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

import ghostcore
from benches.clients import TEXT, k6_command, until_turn_s
from benches.measure import Refused, row_of, wait_until
from benches.needed import OMITTED_MS, THEORY, verdict
from benches.processes import Client, Server, Stall
from ghostcore import VU, ConstantArrivalRate, ConstantVUs, Result, Trend, scenario
from ghostcore.metrics import TrendView

__all__ = ["CASES", "Case", "measure", "measure_once", "tables", "theory_ms"]

USERS = 20
LONG_S, STALL_S = 10.0, 2.0
STALL_AT = 0.3
"""Of the length of the run: then the server stops."""
QUANTILES = (50, 90, 95, 99)
START_TIMEOUT_S = 30.0

SEEN = (
    "The server answered nobody for two of ten seconds, so every tenth request that was due waited "
    "a second or longer: 'from due' says so, as theory does. k6 (and the service time) knows of "
    "one slow answer for each of 20 users, and of none of the requests that these users could not "
    "make meanwhile: its p90 shows a few ms."
)

VISIT, ROUND_TRIP = Trend("visit_time"), Trend("round_trip_time")


class Case(NamedTuple):
    """A load.

    :ivar kind: of the users, and of k6's script. :ivar on_busy: of an arrival rate.
    """

    title: str
    kind: str
    per_second: int
    on_busy: str = "drop"


CASES = {
    "drop": Case("constant arrivals, starts that find nobody free are dropped", "arrivals", 200),
    # So few that those that waited do not wait for each other as well: 100 connects at once.
    "queue": Case("constant arrivals, starts wait for a free user", "arrivals", 50, "queue"),
    "paced": Case("closed loops, paced, on sockets that last", "paced", 200),
}


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    seconds, stall_s = (5.0, 0.6) if options.quick else (LONG_S, STALL_S)
    return [measured(name, seconds, stall_s, with_k6=not options.without_k6) for name in CASES]


def measured(name: str, seconds: float, stall_s: float, *, with_k6: bool) -> dict[str, Any]:
    """A row, be it one that says why there are no figures."""
    row = {"case": name, "users": USERS, "seconds": seconds}
    return row_of(row, lambda: measure_once(CASES[name], seconds, stall_s, with_k6=with_k6))


def measure_once(case: Case, seconds: float, stall_s: float, *, with_k6: bool) -> dict[str, Any]:
    """Both generators at once on one server, which stands still in the middle.

    :raises Refused: the load was not what theory is about.
    """
    rate, period_ns = str(case.per_second), 10**9 // case.per_second
    words = (case.kind, rate, str(seconds), case.on_busy)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server("benches.limit.server"))
        command = k6_command(case.kind, server.url, USERS, seconds, RATE=rate)
        k6 = stack.enter_context(Client("k6", command)) if with_k6 else None
        command = [sys.executable, "-m", "benches.omission", server.url, *words]
        client = stack.enter_context(Client("epoll", command))

        def begun() -> bool:
            client.check()
            return client.said().endswith("\n")

        wait_until(begun, START_TIMEOUT_S, "the first due moment")
        first_ns = int(client.said())
        # Between two due moments: what was due just before may still be on its way.
        stop_ns = first_ns + (round(STALL_AT * seconds * case.per_second) * 2 + 1) * period_ns // 2
        time.sleep(max(0.0, (stop_ns - time.monotonic_ns()) / 1e9))
        stall = server.stand_still(stall_s)
        told = json.loads(client.output(seconds + START_TIMEOUT_S).splitlines()[-1])
        rival = json.loads(k6.output(seconds + START_TIMEOUT_S)) if k6 else None
    offered, planned = told["offered"], round(case.per_second * seconds)
    if abs(offered - planned) > max(USERS, 0.01 * planned):
        raise Refused(f"{offered:,} moments were due, not {planned:,}")
    return {
        "stall_s": (stall.end_ns - stall.start_ns) / 1e9,
        "unsure_ms": stall.unsure_ns / 1e6,
        "theory_ms": {str(q): theory_ms(q, first_ns, period_ns, offered, stall) for q in QUANTILES},
        "k6": rival,
        **told,
    }


def theory_ms(quantile: float, first_ns: int, period_ns: int, count: int, stall: Stall) -> float:
    """The response time from due where what is due during the stall is answered at its end, and
    anything else at once: by nearest rank, as ghostcore's quantiles are.

    :param first_ns: when the first of `count` was due; the others follow every `period_ns`.
    """
    dues = (first_ns + number * period_ns for number in range(count))
    waits = sorted(max(0, stall.end_ns - due) if due >= stall.start_ns else 0 for due in dues)
    return waits[math.ceil(quantile / 100 * count) - 1] / 1e6


def tables(rows: Sequence[dict[str, Any]]) -> list[Table]:
    return [_table(row) for row in rows]


def _table(row: dict[str, Any]) -> Table:
    case = CASES[row["case"]]
    title = f"{case.title}: {case.per_second}/s, {row['users']} users, {row['seconds']:g} s"
    table = Table("", "theory\nms", "from due\nms", "within\nms", "holds", "service\nms",
                  "k6\nms", title=title)  # fmt: skip
    if "refused" in row:
        table.add_row("refused")
        table.caption = f"refused: {row['refused']}"
        return table
    k6 = row["k6"]
    for q in map(str, QUANTILES):
        theory, found = row["theory_ms"][q], row["from_due"][q]
        share, more = THEORY
        within = share * theory + more
        # A start that was dropped is known to have waited at least so long.
        shown = f"{'>= ' if row['open'][q] else ''}{found:,.1f}"
        table.add_row(f"p{q}", f"{theory:,.1f}", shown, f"{within:,.1f}",
                      verdict(abs(found - theory) <= within), f"{row['service'][q]:,.1f}",
                      f"{k6[f'p({q})']:,.1f}" if k6 else "")  # fmt: skip
    if k6:
        table.add_section()
        table.add_row("k6, p90", "", "", f"<= {OMITTED_MS:g}",
                      verdict(k6["p(90)"] <= OMITTED_MS), "", f"{k6['p(90)']:,.1f}")  # fmt: skip
    table.caption = (
        f"the server stood still for {row['stall_s']:.4f} s (+- {row['unsure_ms']:.2f} ms)\n"
        f"due {row['offered']:,}, made {row['made']:,}"
        + (f"; k6 made {k6['count']:,}" if k6 else "")
    )
    return table


# ---- the client ---------------------------------------------------------------------------------


@scenario(metrics=[VISIT])
async def arrivals(vu: VU) -> None:
    """Connect, one round trip, close. Nothing measured comes before: it counts from when it was
    due."""
    note_start(vu.random.index, int(vu.env["RATE"]))
    with vu.timer(VISIT):
        async with vu.connect(vu.env["URL"]) as ws:
            await ws.send(TEXT)
            await ws.recv()


@scenario(metrics=[ROUND_TRIP])
async def paced(vu: VU) -> None:
    """Round trips of all users in even turns, on a grid of time."""
    per_second = float(vu.env["RATE"])
    interval_s = USERS / per_second
    async with vu.connect(vu.env["URL"]) as ws:
        await vu.sleep(until_turn_s(time.monotonic_ns(), vu.id - 1, USERS, interval_s))
        if vu.id == 1:  # users have their turns at multiples of the period
            period_ns = 10**9 // int(per_second)
            print(time.monotonic_ns() // period_ns * period_ns, flush=True)
        async for _ in vu.every(interval_s):
            with vu.timer(ROUND_TRIP):
                await ws.send(TEXT)
                await ws.recv()


STARTS_NOTED = 25
_origins_ns: list[int] = []


def note_start(number: int, per_second: int) -> None:
    """Tell who measures when start 0 was due. Starts are late at times, never early: of the first
    few the one that says the earliest is right."""
    if number < STARTS_NOTED:
        _origins_ns.append(time.monotonic_ns() - number * 10**9 // per_second)
    elif number == STARTS_NOTED:
        print(min(_origins_ns), flush=True)


def told_by(result: Result, metric: Trend) -> dict[str, Any]:
    """Response time and service time, as plain data."""
    service, response = result.metrics[metric.name], result.metrics[f"{metric.name}_from_due"]
    assert isinstance(service, TrendView) and isinstance(response, TrendView)
    return {
        "offered": response.count,
        "made": service.count,
        "from_due": {str(q): response.p(q) for q in QUANTILES},
        "open": {str(q): not response.bounds(q).agree for q in QUANTILES},
        "service": {str(q): service.p(q) for q in QUANTILES},
        "verdict": result.verdict,
        "reasons": result.reasons,
    }


def run_client(url: str, kind: str, per_second: str, seconds: str, on_busy: str) -> int:
    env = {"URL": url, "RATE": per_second}
    if kind == "paced":
        closed = ConstantVUs(USERS, float(seconds), graceful_stop=0)
        result = ghostcore.run(paced, load=closed, env=env, seed=1)
        metric = ROUND_TRIP
    else:
        load = ConstantArrivalRate(
            float(per_second), float(seconds), preallocated_vus=USERS, max_vus=USERS,
            on_busy="queue" if on_busy == "queue" else "drop",
        )  # fmt: skip
        result = ghostcore.run(arrivals, load=load, env=env, seed=1)
        metric = VISIT
    print(json.dumps(told_by(result, metric)))
    return 0


def demonstrate() -> int:
    """Both loads beside k6, and what the reader sees; 1 if a line does not hold."""
    console, fine = Console(width=100), True
    for name in ("drop", "paced"):
        row = measured(name, LONG_S, STALL_S, with_k6=True)
        console.print(*tables([row]))
        fine = fine and "refused" not in row
    console.print(SEEN)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(run_client(*sys.argv[1:]) if sys.argv[1:] else demonstrate())
