"""``python -m benches``: measure, print a table, write benches/out/bench.json."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benches.clients import LINKS
from benches.echo import measure_echo
from benches.measure import machine
from benches.memory import measure_idle

GROUPS = ("echo", "idle")
OUT = Path(__file__).parent / "out" / "bench.json"

NEEDED_ECHO_RATIO = 5.0
NEEDED_LIMIT_SHARE = {"epoll": 0.75, "picows": 0.6}
NEEDED_IDLE_KIB = {
    ("epoll", "idle"): 2.5,
    ("epoll", "idle_socketio"): 3.5,
    ("picows", "idle"): 8.0,
    ("picows", "idle_socketio"): 9.0,
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    made.add_argument(
        "--quick", action="store_true", help="seconds instead of minutes; no figures to quote"
    )
    made.add_argument("--only", choices=GROUPS, action="append", help="these groups only")
    made.add_argument("--without-k6", action="store_true", help="no rival, no ratio")
    made.add_argument("--repeats", type=int, help="runs of each echo client (5; quick: 1)")
    made.add_argument("--seconds", type=float, help="length of each of these runs (5; quick: 1)")
    made.add_argument("--out", type=Path, default=OUT, help="where the JSON goes")
    return made


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything that the options ask for."""
    groups = options.only or GROUPS
    rivals = () if options.without_k6 else ("k6",)
    report: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "quick": options.quick,
        "machine": machine(),
    }
    if "echo" in groups:
        users, seconds = (20, 1.0) if options.quick else (200, 5.0)
        repeats = options.repeats or (1 if options.quick else 5)
        seconds = options.seconds or seconds
        report["echo"] = measure_echo(("C", *LINKS, *rivals), users, seconds, repeats)
    if "idle" in groups:
        few, many, pace, wait_s = (
            (50, 250, 250, 1.0) if options.quick else (1000, 10_000, 500, 10.0)
        )
        # k6 needs 160 KiB and more a user, and sets every one up before it begins: a third will do.
        kinds = [(link, kind, many) for link, kind in NEEDED_IDLE_KIB]
        kinds += [(rival, "idle", many if options.quick else 3000) for rival in rivals]
        report["idle"] = [
            measure_idle(client, kind, few=few, many=top, pace=pace, wait_s=wait_s)
            for client, kind, top in kinds
        ]
    return report


def tables(report: dict[str, Any]) -> list[Table]:
    """The report for people."""
    made = []
    if "echo" in report:
        made.append(echo_table(report["echo"]))
    if "idle" in report:
        made.append(idle_table(report["idle"]))
    return made


def echo_table(echo: dict[str, Any]) -> Table:
    title = f"echo, {echo['users']} sockets, 50 bytes of text (ratios: by the clock / by CPU time)"
    table = Table("client", "round\ntrips/s", "client\nCPU", "server\nCPU", "client\nus each",
                  "x k6", "share of C", title=title)  # fmt: skip
    for client, row in echo["medians"].items():
        table.add_row(client, f"{row['round_trips_per_s']:,.0f}", f"{row['client_share']:.0%}",
                      f"{row['server_share']:.0%}", f"{row['client_us']:.1f}",
                      ratios(echo["ratio_to_k6"].get(client)),
                      ratios(echo["share_of_limit"].get(client)))  # fmt: skip
    shares = ", ".join(f"{link} {share:g} of C" for link, share in NEEDED_LIMIT_SHARE.items())
    table.caption = f"needed: {NEEDED_ECHO_RATIO:g} x k6; {shares}"
    return table


def ratios(found: dict[str, float] | None) -> str:
    return f"{found['clock']:.2f} / {found['cpu']:.2f}" if found else ""


def idle_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("client", "users", "KiB a user", "needed", "kernel KiB, both ends",
                  "us of CPU a connect", title="idle users")  # fmt: skip
    for row in rows:
        needed = NEEDED_IDLE_KIB.get((row["client"], row["kind"]))
        table.add_row(
            row["client"] + (" Socket.IO" if row["kind"] == "idle_socketio" else ""),
            f"{row['runs'][0]['users']:,} to {row['runs'][1]['users']:,}",
            f"{row['kib_per_user']:.2f}",
            f"<= {needed:g}" if needed else "",
            f"{row['kernel_kib_per_connection']:.1f}",
            f"{row['connect_us']:.0f}",
        )
    return table


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    report = measure(options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    console = Console()
    for table in tables(report):
        console.print(table)
    console.print(f"{report['date']}  " + ", ".join(f"{v}" for v in report["machine"].values()))
    console.print(f"written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
