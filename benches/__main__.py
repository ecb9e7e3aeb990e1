"""``python -m benches``: measure, print tables, write benches/out/bench.json."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benches import (
    accuracy,
    clean,
    connect,
    echo,
    flight,
    hold,
    memory,
    omission,
    pacing,
    rate,
    simulator,
    timers,
)
from benches.measure import NO_FIGURE, machine, reason_text
from ghostcore.testing._main import raise_descriptor_limit

WIDTH = 140
"""Of tables in a file or a log."""

OUT = Path(__file__).parent / "out" / "bench.json"


class Group(NamedTuple):
    """What one word of ``--only`` stands for."""

    measure: Callable[[argparse.Namespace], Any]
    tables: Callable[[Any], list[Table]]


GROUPS = {
    "echo": Group(echo.measure, echo.tables),
    "rate": Group(rate.measure, rate.tables),
    "flight": Group(flight.measure, flight.tables),
    "idle": Group(memory.measure, memory.tables),
    "wss": Group(memory.measure_wss, memory.tables),
    "hold": Group(hold.measure, hold.tables),
    "connect": Group(connect.measure, connect.tables),
    "timers": Group(timers.measure, timers.tables),
    "pacing": Group(pacing.measure, pacing.tables),
    "clean": Group(clean.measure, clean.tables),
    "accuracy": Group(accuracy.measure, accuracy.tables),
    "omission": Group(omission.measure, omission.tables),
    "simulator": Group(simulator.measure, simulator.tables),
}


def groups_of(text: str) -> list[str]:
    """The groups that a word of the command line names: ``echo,idle``."""
    names = text.split(",")
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no bench {', '.join(map(repr, unknown))}; there are {', '.join(GROUPS)}"
        )
    return names


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    made.add_argument(
        "--quick", action="store_true", help="seconds instead of minutes; no figures to quote"
    )
    made.add_argument("--only", type=groups_of, action="extend", metavar="NAME[,NAME..]",
                      help=f"these groups only, of {', '.join(GROUPS)}")  # fmt: skip
    made.add_argument("--without-k6", action="store_true", help="no rival, no ratio")
    made.add_argument("--repeats", type=int, help="rounds of echo (5), rate and flight (3)")
    made.add_argument("--seconds", type=float, help="length of each run of these, and of timers")
    made.add_argument("--rate", type=int, help="round trips a second of `rate`")
    made.add_argument("--hold", type=float, metavar="SECONDS", help="length of `hold` (300)")
    made.add_argument("--paces", type=int, nargs="+", help="connects a second of `connect`")
    made.add_argument("--out", type=Path, default=OUT, help="where the JSON goes")
    return made


def measured(group: Group, options: argparse.Namespace) -> Any:
    """What the group found, or why it found nothing: the other groups go on."""
    try:
        return group.measure(options)
    except NO_FIGURE as reason:
        return {"refused": reason_text(reason)}


def is_refused(found: Any) -> bool:
    """Whether that is a reason in place of figures."""
    return isinstance(found, dict) and isinstance(found.get("refused"), str)


def has_figures(found: Any) -> bool:
    """Whether a group measured anything: one of its rows, or one of its clients in one round."""
    if isinstance(found, list):
        return any(map(has_figures, found))
    if "medians" in found:
        return any(found["medians"].values())
    return not is_refused(found)


def show(name: str, found: Any, console: Console) -> bool:
    """Print the tables of a group; whether there is a figure in them."""
    if is_refused(found):
        console.print(f"{name}: no figures. {found['refused']}", markup=False)
        return False
    for table in GROUPS[name].tables(found):
        console.print(table)
    return has_figures(found)


def main(arguments: list[str] | None = None) -> int:
    """Measure group after group. 1 if one of them has no figures, else 0."""
    options = parser().parse_args(arguments)
    raise_descriptor_limit()
    report: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "quick": options.quick,
        "machine": machine(),
    }
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    whole = True
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for name in dict.fromkeys(options.only or GROUPS):
        report[name] = measured(GROUPS[name], options)
        options.out.write_text(json.dumps(report, indent=1) + "\n")
        whole = show(name, report[name], console) and whole
    console.print(f"{report['date']}  " + ", ".join(f"{v}" for v in report["machine"].values()))
    console.print(f"written to {options.out}")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
