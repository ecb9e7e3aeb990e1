"""As many Socket.IO sessions as one process may hold, for minutes: is anything lost, is any ping
answered late, what does it cost to do nothing? Run as a program: the client."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from statistics import median
from typing import Any

from rich.table import Table

import ghostcore
from benches.clients import idle_socketio
from benches.measure import Reading, Refused, check_descriptors
from benches.needed import HELD, IDLE_SHARE, LATE_MS, verdict
from benches.processes import Client, Server
from ghostcore import VU, ConstantVUs, RampingVUs, Result, Trend, scenario

__all__ = ["measure", "measure_hold", "tables"]

CONNECTS_PER_S = 500
PROBE_S = 0.007
"""Between two timers whose lateness is measured; nothing else comes at multiples of it."""
PINGED = 0.9
"""Of the pings that the interval allows for: a server that sends fewer has not tested anything."""

LATENESS = Trend("timer_lateness", unit="us")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """:raises Refused: the users came too late, or the server did not ping as it should."""
    if options.quick:
        report = measure_hold(500, options.hold or 10.0, settle_s=1, interval_s=2, timeout_s=2)
    else:
        report = measure_hold(HELD, options.hold or 300.0, settle_s=5, interval_s=25, timeout_s=20)
    return checked(report)


def measure_hold(
    users: int, hold_s: float, *, settle_s: float, interval_s: float, timeout_s: float
) -> dict[str, Any]:
    """Connect them, let them settle, hold them for so long.

    :param interval_s: between an answer and the next ping of Engine.IO. :param timeout_s: for it.
    :raises Refused: so many cannot be.
    """
    check_descriptors(users)
    ramp_s = users / CONNECTS_PER_S
    arguments = ("--ping-interval", str(interval_s), "--ping-timeout", str(timeout_s))
    with Server("benches.servers", *arguments) as server:
        words = (server.url, str(users), str(ramp_s), str(settle_s), str(hold_s))
        with Client("epoll", [sys.executable, "-m", "benches.hold", *words]) as client:
            server.wait_for(client, 1, 60)
            first_s = time.monotonic()
            server.wait_for(client, users, 60 + 3 * ramp_s)
            connected_s = time.monotonic() - first_s
            time.sleep(settle_s)
            before, server_before, counts_before = client.read(), server.read(), server.counts()
            time.sleep(hold_s)
            client.check()
            after, server_after, counts = client.read(), server.read(), server.counts()
            told = json.loads(client.output(tail_s(settle_s) + 60))
    return {
        "users": users,
        "ramp_s": ramp_s,
        "connected_s": connected_s,
        "settle_s": settle_s,
        "hold_s": hold_s,
        "ping_interval_s": interval_s,
        "ping_timeout_s": timeout_s,
        "server": counts,
        "pings_while_held": counts["pings"] - counts_before["pings"],
        # Of each user at most one is on its way; what is older the server has counted as missing.
        "pongs_awaited": counts["pings"] - counts["pongs"] - counts["pongs_missing"],
        **_sides(before, after, server_before, server_after),
        **told,
    }


def tail_s(settle_s: float) -> float:
    """How long the client goes on, so that the last look at it finds it as it was: users may come
    as late as the settling allows, and the settling begins then."""
    return 2 * settle_s


def checked(report: dict[str, Any]) -> dict[str, Any]:
    """The report, if it is of what was asked for; :raises Refused: it is not."""
    users, hold_s, ramp_s = report["users"], report["hold_s"], report["ramp_s"]
    if report["connected_s"] > ramp_s + report["settle_s"]:
        raise Refused(f"{users:,} users came in {report['connected_s']:.1f} s, not {ramp_s:.1f}")
    pings, wanted = report["pings_while_held"], users * hold_s / report["ping_interval_s"]
    if pings < PINGED * wanted:
        raise Refused(f"{pings:,} pings in {hold_s:g} s, not some {wanted:,.0f}")
    return report


def _sides(
    before: Reading, after: Reading, server_before: Reading, server_after: Reading
) -> dict[str, float]:
    return {
        "client_share": after.share_since(before),
        "server_share": server_after.share_since(server_before),
        "client_rss_bytes": after.rss_bytes,
        "client_grown_bytes": after.rss_bytes - before.rss_bytes,
    }


def tables(report: dict[str, Any]) -> list[Table]:
    server, timers, users = report["server"], report["timers"], report["users"]
    title = f"{users:,} Socket.IO users held for {report['hold_s']:g} s, one process"
    table = Table("", "measured", "needed", "holds", title=title)
    lost = server["accepted"] - server["connections"]
    errors = sum(report["errors"].values())
    timeout_ms = 1e3 * report["ping_timeout_s"]
    slowest_ms = 1e3 * server["slowest_pong_s"]
    for what, shown, needed, holds in (
        ("held at the end (the server's count)", f"{server['connections']:,}", f"{users:,}",
         server["connections"] == users),
        ("lost (the server's count)", f"{lost:,}", "0", lost == 0),
        ("errors (the client's count)", f"{errors:,}", "0", errors == 0),
        ("pings not answered in time", f"{server['pongs_missing']:,} of {server['pings']:,}", "0",
         server["pongs_missing"] == 0),
        ("slowest answer to a ping, ms", f"{slowest_ms:,.1f}", f"<= {timeout_ms:,.0f}",
         slowest_ms <= timeout_ms),
        ("timers late, p50 / p99 / max, ms",
         " / ".join(f"{timers[name] / 1e3:.3f}" for name in ("p50_us", "p99_us", "max_us")),
         f"p99 <= {LATE_MS:g}", timers["p99_us"] <= 1e3 * LATE_MS),
        ("client's CPU, of a core", f"{report['client_share']:.2%}", f"< {IDLE_SHARE:.0%}",
         report["client_share"] < IDLE_SHARE),
    ):  # fmt: skip
        table.add_row(what, shown, needed, verdict(holds))
    lag = report["loop_lag_ms"]
    table.add_row("loop lag, worst of each second: median / worst, ms",
                  f"{lag['median']:.2f} / {lag['worst']:.2f}", "", "")  # fmt: skip
    table.add_row("client's memory, MiB (grown while held)",
                  f"{report['client_rss_bytes'] / 2**20:,.0f} "
                  f"({report['client_grown_bytes'] / 2**20:+.1f})", "", "")  # fmt: skip
    table.add_row("server's CPU, of a core", f"{report['server_share']:.1%}", "", "")
    if report["errors"]:
        table.caption = f"errors: {report['errors']}"
    return [table]


@scenario(metrics=[LATENESS])
async def probe(vu: VU) -> None:
    """Timers at fixed times, and when they came."""
    due_ns, period_ns = time.monotonic_ns(), round(PROBE_S * 1e9)
    async for _ in vu.every(PROBE_S):
        vu.record(LATENESS, max(0, time.monotonic_ns() - due_ns) / 1e3)
        due_ns += period_ns


def told_by(result: Result, from_s: float, to_s: float) -> dict[str, Any]:
    """What the client knows of the time between, as plain data."""
    late: Any = result.metrics[LATENESS.name]
    lags_ms = [one.loop_lag_ms for one in result.generator.samples if from_s < one.at_s <= to_s]
    return {
        "errors": {error.kind: error.count for error in result.errors},
        "opened": result.metrics.count_of("ws_sessions_opened"),
        "verdict": result.verdict,
        "reasons": result.reasons,
        "timers": {
            "expiries": late.count,
            "p50_us": late.p(50),
            "p99_us": late.p(99),
            "max_us": late.max,
        },
        "loop_lag_ms": {"median": median(lags_ms), "worst": max(lags_ms)},
    }


def main() -> None:
    url, users, *times = sys.argv[1:]
    ramp_s, settle_s, hold_s = map(float, times)
    held_s = settle_s + hold_s + tail_s(settle_s)
    stages = [(ramp_s, int(users)), (held_s, int(users))]
    result = ghostcore.run(
        replace(idle_socketio, load=RampingVUs(stages, start_vus=0, graceful_stop=0)),
        replace(probe, load=ConstantVUs(1, hold_s, start_time=ramp_s + settle_s, graceful_stop=0)),
        env={"URL": url, "LINK": "epoll"},
        seed=1,
    )
    print(json.dumps(told_by(result, ramp_s + settle_s, ramp_s + settle_s + hold_s)))


if __name__ == "__main__":
    main()
