"""Short runs in which nothing is wrong: none may be inconclusive. And one whose script blocks the
event loop: it must be, and say where. Run as a program: the client.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table

import ghostcore
from benches.clients import TEXT
from benches.measure import row_of
from benches.needed import CLEAN_RUNS, verdict
from benches.processes import Client, Server
from ghostcore import VU, ConstantArrivalRate, ConstantVUs, Result, Trend, scenario

__all__ = ["KINDS", "measure", "measured", "tables"]

SECONDS = 3.0

VISIT, ROUND_TRIP = Trend("visit_time"), Trend("round_trip_time")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    runs, seconds = (4, 1.0) if options.quick else (CLEAN_RUNS, SECONDS)
    clean = [kind for kind in KINDS if kind != "blocking"]
    with Server("benches.limit.server") as server:
        rows = [measured(clean[run % len(clean)], server.url, seconds) for run in range(runs)]
        blocking = measured("blocking", server.url, seconds)
    return {"seconds": seconds, "runs": rows, "blocking": blocking}


def measured(kind: str, url: str, seconds: float) -> dict[str, Any]:
    """A run in a process of its own, as in CI."""
    command = [sys.executable, "-m", "benches.clean", kind, url, str(seconds)]

    def told() -> dict[str, Any]:
        with Client(kind, command) as client:
            found: dict[str, Any] = json.loads(client.output(3 * seconds + 60))
        return found

    return row_of({"kind": kind}, told)


def tables(report: dict[str, Any]) -> list[Table]:
    runs = report["runs"]
    refused = [run for run in runs if "refused" in run]
    count = f"{len(runs)} clean runs of {report['seconds']:g} s"
    table = Table("", "measured", "needed", "holds", title=count)
    verdicts = Counter(run["verdict"] for run in runs if "refused" not in run)
    for what, needed in (("pass", len(runs)), ("inconclusive", 0), ("fail", 0)):
        table.add_row(what, f"{verdicts[what]}", f"{needed}", verdict(verdicts[what] == needed))
    suspect = sum(bool(run.get("suspect_s")) for run in runs)
    table.add_row("with a second that was suspect", f"{suspect}", "", "")
    said = [f"{run['kind']}: {run['verdict']}: {reason}" for run in runs
            if run.get("verdict", "pass") != "pass" for reason in run["reasons"]]  # fmt: skip
    said += [f"refused: {run['kind']}: {run['refused']}" for run in refused]
    table.caption = "\n".join(said) or None
    return [table, _blocking_table(report["blocking"])]


def _blocking_table(run: dict[str, Any]) -> Table:
    table = Table("", "measured", "needed", "holds", title="a script with time.sleep(0.5)")
    if "refused" in run:
        table.add_row("refused")
        table.caption = f"refused: {run['refused']}"
        return table
    reasons = "\n".join(run["reasons"])
    named = blocking_place() in reasons
    table.add_row("exit code", f"{run['exit_code']}", "111", verdict(run["exit_code"] == 111))
    table.add_row("names", blocking_place() if named else "-", blocking_place(), verdict(named))
    table.caption = reasons
    return table


def blocking_place() -> str:
    """The file and the line that must be named."""
    lines, first = inspect.getsourcelines(blocking.function)
    at = next(number for number, line in enumerate(lines, first) if "time.sleep(" in line)
    return f"{Path(__file__).name}:{at}"


# ---- the client ---------------------------------------------------------------------------------


@scenario(metrics=[VISIT], thresholds={VISIT: "p(95)<200", "ws_errors": "count<1"})
async def arrivals(vu: VU) -> None:
    """Visitors that come, ask once and go."""
    with vu.timer(VISIT):
        async with vu.connect(vu.env["URL"]) as ws:
            await ws.send(TEXT)
            vu.check((await ws.recv()).text == TEXT, "echoed")


@scenario(
    metrics=[ROUND_TRIP],
    thresholds={"round_trip_time_from_due": "p(99)<200", "checks": "rate>0.99"},
)
async def paced(vu: VU) -> None:
    """Users that stay, and ask ten times a second."""
    async with vu.connect(vu.env["URL"]) as ws:
        async for _ in vu.every(0.1):
            with vu.timer(ROUND_TRIP):
                await ws.send(TEXT)
                message = await ws.recv()
            vu.check(message.text == TEXT, "echoed")


@scenario(metrics=[ROUND_TRIP], thresholds={ROUND_TRIP: "p(95)<200"})
async def blocking(vu: VU) -> None:
    """A script with a mistake."""
    async with vu.connect(vu.env["URL"]) as ws:
        async for tick in vu.every(0.1):
            with vu.timer(ROUND_TRIP):
                await ws.send(TEXT)
                await ws.recv()
            if vu.id == 1 and tick == 2:
                time.sleep(0.5)


KINDS = {"arrivals": arrivals, "paced": paced, "blocking": blocking}


def load_of(kind: str, seconds: float) -> ConstantArrivalRate | ConstantVUs:
    if kind == "arrivals":
        return ConstantArrivalRate(100, seconds)
    return ConstantVUs(50, seconds, graceful_stop=0)


def told_by(result: Result) -> dict[str, Any]:
    """What came of a run, as plain data."""
    spans = result.generator.suspect_spans
    return {
        "verdict": result.verdict,
        "exit_code": result.exit_code,
        "reasons": result.reasons,
        "suspect_s": sum(end_s - start_s for start_s, end_s in spans),
    }


def main() -> int:
    kind, url, seconds = sys.argv[1:]
    one = replace(KINDS[kind], load=load_of(kind, float(seconds)))
    print(json.dumps(told_by(ghostcore.run(one, env={"URL": url}, seed=1))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
