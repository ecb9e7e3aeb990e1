"""``python -m benches.instructions``: count, compare with accepted.json; see the package's text."""

from __future__ import annotations

import argparse
import cProfile
import sys
from contextlib import ExitStack
from pathlib import Path
from types import CodeType

from rich.console import Console
from rich.table import Table

import ghostcore
from benches.instructions import guard, workloads
from benches.instructions.callgrind import (
    ROOT,
    MissingTool,
    control_library,
    count_functions,
    count_lowest,
)
from benches.instructions.workloads import WORKLOADS
from ghostcore.testing import ServerProcess

SHOWN_FUNCTIONS = 40


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benches.instructions", description=__doc__)
    made.add_argument("--only", choices=WORKLOADS, action="append", help="these workloads only")
    made.add_argument("--accept", action="store_true", help="store what is measured")
    made.add_argument("--functions", action="store_true", help="also where the instructions go")
    made.add_argument(
        "--calls", action="store_true", help="only Python's own profile, outside of valgrind"
    )
    return made


def judged_table(judged: list[guard.Judged]) -> Table:
    table = Table("workload", "one", "instructions", "accepted", "change", "", title="callgrind")
    for one in judged:
        table.add_row(
            one.name,
            WORKLOADS[one.name].unit,
            f"{one.count:,}",
            "" if one.accepted is None else f"{one.accepted:,}",
            "" if one.change is None else f"{one.change:+.1%}",
            one.verdict,
        )
    return table


def functions_table(name: str, *, inclusive: bool) -> Table:
    kind = "with what they call" if inclusive else "by themselves"
    table = Table("instructions", "function", "of", title=f"{name}: functions {kind}")
    counts = count_functions(name, inclusive=inclusive)
    if inclusive:  # of the interpreter's own functions, these sums mean nothing
        counts = {key: count for key, count in counts.items() if "python" not in key[1]}
    for (function, binary), count in sorted(counts.items(), key=lambda item: -item[1])[
        :SHOWN_FUNCTIONS
    ]:
        table.add_row(f"{count:,.0f}", function, binary)
    return table


def calls_table(name: str) -> Table:
    """The Python functions of a workload as cProfile sees them: who calls much looks worse than it
    is, but the number of calls is exact."""
    workload = WORKLOADS[name]
    count = workload.many * 4
    with ExitStack() as stack:
        url = stack.enter_context(ServerProcess(workload.server)).url if workload.server else ""
        workloads.run(workload, workload.few, url)
        with cProfile.Profile() as profile:
            workloads.run(workload, count, url)
    table = Table("calls", "us itself", "us in all", "function", title=f"{name}: each unit")
    # What comes once a run is none of the unit's.
    seen = [one for one in profile.getstats() if one.callcount >= count / 2]
    for one in sorted(seen, key=lambda one: one.inlinetime, reverse=True)[:SHOWN_FUNCTIONS]:
        match one.code:
            case CodeType() as code:
                function = f"{code.co_name}  {Path(code.co_filename).name}:{code.co_firstlineno}"
            case str(function):  # what is no Python
                pass
        own_us, all_us = one.inlinetime / count * 1e6, one.totaltime / count * 1e6
        table.add_row(f"{one.callcount / count:.1f}", f"{own_us:.2f}", f"{all_us:.2f}", function)
    return table


def enough(name: str, options: argparse.Namespace) -> int:
    """The count that needs no second look; 0 where all layouts are to be tried."""
    if options.accept:
        return 0
    accepted = guard.Accepted.load()
    return int(accepted.counts.get(name, 0) * (1 + guard.tolerance(accepted)))


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    names = options.only or list(WORKLOADS)
    if Path(ghostcore.__file__).parent.parent != ROOT:
        print(f"this would count {ghostcore.__file__}, not the tree {ROOT}", file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 160)
    if options.calls:
        for name in names:
            console.print(calls_table(name))
        return 0
    try:
        control_library()
        counts = {name: count_lowest(name, enough=enough(name, options)) for name in names}
    except MissingTool as error:
        print(f"instructions cannot be counted: {error}", file=sys.stderr)
        return 2
    if options.functions:
        for name in names:
            console.print(functions_table(name, inclusive=False))
            console.print(functions_table(name, inclusive=True))
    if options.accept:
        guard.accept(counts, set(WORKLOADS))
        console.print(f"stored in {guard.ACCEPTED.relative_to(ROOT)}")
    return report(counts, console)


def report(counts: dict[str, int], console: Console) -> int:
    """Print the comparison; returns the exit code."""
    accepted = guard.Accepted.load()
    strange = guard.differences(accepted, guard.environment())
    tolerance = guard.tolerance(accepted)
    judged = guard.judge(counts, accepted, tolerance)
    console.print(judged_table(judged))
    if strange:
        console.print(
            f"The accepted counts come from elsewhere, so {tolerance:.0%} are tolerated instead of "
            f"{guard.TOLERANCE:.0%}:\n  " + "\n  ".join(strange)
        )
    verdicts = {one.verdict for one in judged}
    if "less" in verdicts and not strange:
        console.print("Less than accepted: store it with python -m benches.instructions --accept")
    if verdicts & {"more", "new"}:
        console.print(
            f"More than accepted by over {tolerance:.0%}, or never accepted. To find what grew: "
            "--functions, and the text of benches/instructions/__init__.py. If it is worth its "
            "price: --accept"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
