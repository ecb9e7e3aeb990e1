"""Starts at a constant rate that do nothing but sleep: the pacer alone. With the machine to itself,
and with a neighbour that burns the same core. Run as a program: the client.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from statistics import median
from typing import Any

from rich.table import Table

import ghostcore
from benches.measure import row_of
from benches.needed import LATE_MS, verdict
from benches.processes import Client
from ghostcore import VU, ConstantArrivalRate, Result, scenario
from ghostcore.metrics import TrendView

__all__ = ["measure", "measure_once", "paced", "tables", "told_by"]

PER_SECOND, SECONDS = 5000, 30.0
BURNER = "while True: pass"

ALONE, BURNED = "alone on its core", "a burner on the same core"


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    per_second, seconds = (500, 2.0) if options.quick else (PER_SECOND, SECONDS)
    return [measured(case, per_second, seconds) for case in (ALONE, BURNED)]


def measured(case: str, per_second: int, seconds: float) -> dict[str, Any]:
    """A row, be it one that says why there are no figures."""
    row = {"case": case, "per_second": per_second, "seconds": seconds}
    return row_of(row, lambda: measure_once(per_second, seconds, burner=case == BURNED))


def measure_once(per_second: int, seconds: float, *, burner: bool) -> dict[str, Any]:
    """One run in a process of its own, on the core of the clients."""
    command = [sys.executable, "-m", "benches.pacing", str(per_second), str(seconds)]
    with contextlib.ExitStack() as stack:
        neighbour = Client("burner", [sys.executable, "-c", BURNER])
        if burner:
            stack.enter_context(neighbour)
        client = stack.enter_context(Client("pacer", command))
        told: dict[str, Any] = json.loads(client.output(3 * seconds + 60))
        if burner:
            neighbour.check()
        return told


def tables(rows: Sequence[dict[str, Any]]) -> list[Table]:
    found = []
    for row in rows:
        title = f"{row['per_second']:,} starts/s for {row['seconds']:g} s, {row['case']}"
        table = Table("", "measured", "needed", "holds", title=title)
        if "refused" in row:
            table.add_row("refused")
            table.caption = f"refused: {row['refused']}"
        else:
            for what, shown, needed, holds in _lines(row):
                table.add_row(what, shown, needed, "" if holds is None else verdict(holds))
            table.caption = "\n".join(row["reasons"])
        found.append(table)
    return found


def _lines(row: dict[str, Any]) -> list[tuple[str, str, str, bool | None]]:
    planned = round(row["per_second"] * row["seconds"])
    dropped, late, alone = row["offered"] - row["made"], row["late_ms"], row["case"] == ALONE
    expected = "pass" if alone else "inconclusive"
    shown = " / ".join(f"{late[name]:.3f}" for name in ("p50", "p99", "max"))
    return [
        ("due", f"{row['offered']:,}", f"{planned:,}", row["offered"] == planned),
        ("dropped", f"{dropped:,}", "0" if alone else "", dropped == 0 if alone else None),
        ("late, p50 / p99 / max, ms", shown, f"p99 <= {LATE_MS:g}" if alone else "",
         late["p99"] <= LATE_MS if alone else None),
        (f"verdict on lateness p(99)<={LATE_MS:g}", row["verdict"], expected,
         row["verdict"] == expected),
        ("late, p99 of the median second, ms", f"{row['late_second_ms']:.3f}", "", None),
        ("CPU of the process, busiest second", f"{row['cpu_share']:.0%}", "", None),
        ("no core / stolen, worst second", f"{row['waiting_share']:.0%} / {row['steal_share']:.0%}",
         "", None),
    ]  # fmt: skip


# ---- the client ---------------------------------------------------------------------------------


def paced(
    per_second: float, duration: float | str, *, users: int = 500, iteration_s: float = 0.01
) -> Result:
    """One run. Its ``iteration_lateness`` is from the due time to the first line of the scenario.

    :param users: those preallocated; a start that finds none free is dropped.
    :param iteration_s: how long each iteration sleeps.
    """

    @scenario(
        load=ConstantArrivalRate(per_second, duration, preallocated_vus=users),
        thresholds={"iteration_lateness": f"p(99)<={LATE_MS:g}"},
        name="paced",
    )
    async def sleeper(vu: VU) -> None:
        await vu.sleep(iteration_s)

    return ghostcore.run(sleeper, seed=1)


def told_by(result: Result) -> dict[str, Any]:
    """What came of it, as plain data."""
    late = result.metrics["iteration_lateness"]
    assert isinstance(late, TrendView)
    return {
        "offered": result.outcome.offered,
        "made": result.outcome.delivered,
        "late_ms": {"p50": late.p(50), "p99": late.p(99), "max": late.max},
        "late_second_ms": median(
            one.values["iteration_lateness"]["p99"]
            for one in result.timeline.seconds
            if "iteration_lateness" in one.values
        ),
        "verdict": result.verdict,
        "exit_code": result.exit_code,
        "reasons": result.reasons,
        "cpu_share": result.generator.maximum("cpu_share"),
        "waiting_share": result.generator.maximum("waiting_share"),
        "steal_share": result.generator.maximum("steal_share"),
    }


if __name__ == "__main__":
    print(json.dumps(told_by(paced(float(sys.argv[1]), float(sys.argv[2])))))
