"""How late the timer queue is, and what timers that are far off cost. Run as a program: one row."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from array import array
from collections.abc import Awaitable
from typing import Any

import uvloop
from rich.table import Table

from benches.needed import LATE_MS, verdict
from benches.processes import Client
from ghostcore.execution.collector import quiet_collector
from ghostcore.loop.timers import TimerQueue

__all__ = ["measure", "tables"]

EXPIRIES_PER_S = 4900
FAR = 20_000
FAR_S = 86_400.0
SLEEPER_PER_S = 10
"""Expiries of each sleeper: a tenth as many sleepers as expiries a second."""

QUEUE, ASYNCIO = "timer queue", "asyncio.sleep"


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The queue without and with far sleepers, those alone, and asyncio's own timers (uvloop)."""
    seconds, far = (1.0, 1000) if options.quick else (10.0, FAR)
    seconds = options.seconds or seconds
    rows = [
        (QUEUE, EXPIRIES_PER_S, 0),
        (QUEUE, EXPIRIES_PER_S, far),
        (QUEUE, 0, far),
        (ASYNCIO, EXPIRIES_PER_S, 0),
    ]
    found = []
    for timers, expiries_per_s, sleepers in rows:
        words = (timers, str(expiries_per_s), str(sleepers), str(seconds))
        with Client(timers, [sys.executable, "-m", "benches.timers", *words]) as process:
            found.append(json.loads(process.output(seconds + 60)))
    return found


def tables(rows: list[dict[str, Any]]) -> list[Table]:
    table = Table("timers", "expiries/s", "far\nsleepers", "p50 us\nlate", "p99 us\nlate",
                  "needed", "holds", "max us\nlate", "early", "CPU share")  # fmt: skip
    for row in rows:
        shown = [row["timers"], f"{row['expiries_per_s']:,}", f"{row['far']:,}"]
        if row["expiries"]:
            needed = 1e3 * LATE_MS if row["timers"] == QUEUE else None
            shown += [f"{row['p50_us']:,.0f}", f"{row['p99_us']:,.0f}",
                      f"<= {needed:g}" if needed else "",
                      verdict(row["p99_us"] <= needed) if needed else "",
                      f"{row['max_us']:,.0f}", f"{row['early']:,}"]  # fmt: skip
        else:
            shown += [""] * 6
        table.add_row(*shown, f"{row['cpu_share']:.2%}")
    return [table]


async def run_row(timers: str, expiries_per_s: int, far: int, seconds: float) -> dict[str, Any]:
    """Lateness of each wake-up of a task, and the CPU share while it went on."""
    queue = TimerQueue(asyncio.get_running_loop())
    late_ns, turns = array("q"), round(seconds * SLEEPER_PER_S)
    sleepers, period_ns = expiries_per_s // SLEEPER_PER_S, 10**9 // SLEEPER_PER_S

    def sleep_until(due_ns: int) -> Awaitable[None]:
        if timers == QUEUE:
            return queue.sleep_until(due_ns)
        return asyncio.sleep((due_ns - time.monotonic_ns()) / 1e9)

    async def sleeper(index: int, start_ns: int) -> None:
        due_ns = start_ns + period_ns * index // sleepers
        for _ in range(turns):
            due_ns += period_ns
            await sleep_until(due_ns)
            late_ns.append(time.monotonic_ns() - due_ns)

    async def sleep_on() -> None:
        await queue.sleep(FAR_S)

    tasks = [asyncio.create_task(sleep_on()) for _ in range(far)]
    await queue.sleep(0.2)
    with quiet_collector():
        wall_s, cpu_s = time.monotonic(), time.process_time()
        if sleepers:
            start_ns = time.monotonic_ns()
            await asyncio.gather(*(sleeper(index, start_ns) for index in range(sleepers)))
        else:
            await queue.sleep(seconds)
        share = (time.process_time() - cpu_s) / (time.monotonic() - wall_s)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    queue.close()
    return {
        "timers": timers,
        "expiries_per_s": expiries_per_s,
        "far": far,
        "cpu_share": share,
        **lateness(late_ns),
    }


def lateness(late_ns: array[int]) -> dict[str, float]:
    """Quantiles of the exact samples, by nearest rank, and how many came before their time."""
    ordered, count = sorted(late_ns), len(late_ns)
    if not count:
        return {"expiries": 0}
    return {
        "expiries": count,
        "p50_us": ordered[-(-count * 50 // 100) - 1] / 1e3,
        "p99_us": ordered[-(-count * 99 // 100) - 1] / 1e3,
        "max_us": ordered[-1] / 1e3,
        "early": sum(late < 0 for late in late_ns),
    }


def main() -> None:
    timers, expiries_per_s, far, seconds = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        row = runner.run(run_row(timers, int(expiries_per_s), int(far), float(seconds)))
    print(json.dumps(row))


if __name__ == "__main__":
    main()
