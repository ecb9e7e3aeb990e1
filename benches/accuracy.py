"""Delays that a server adds and writes down, message by message, against what ghostcore reports.

Each message has a number, so that the two are paired: the error of a message is what was reported
of it less what the server recorded. Run as a program: the client.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

import ghostcore
from benches.clients import IDLE_S, until_turn_s
from benches.delays import DELAYS_MS
from benches.measure import Refused, check_descriptors, row_of, wait_until
from benches.needed import ERROR_MS, ERROR_OVER_LAG_MS, MOST_SHARE, PAIRS, verdict
from benches.processes import Client, Server
from ghostcore import VU, ConstantVUs, Result, Trend, scenario
from ghostcore.execution.recording import ScenarioRecorder
from ghostcore.metrics import TrendView
from ghostcore.metrics.quantiles import in_unit

__all__ = ["Case", "errors_of", "measure", "measure_once", "tables"]

PER_SECOND = 4000
SOCKETS = (100, 5000)
CONNECTS_PER_S = 2500
"""Users come at once; so much time they have before the first message."""
MARGIN = 1.01
"""For what is rounded down."""
TAIL_S = 3.0
"""The last turn comes an interval after the first of all, its answer up to a second later, and what
slow answers held up is made up for."""

HISTOGRAM, TICK_MS = 0.001, 0.001
"""How far quantiles of a metric are from those of its samples: its histogram has three digits, and
us."""

DELAY = Trend("delay")


class Case(NamedTuple):
    """A row. :ivar delays: one of DELAYS_MS. :ivar per_second: messages, of all users."""

    delays: str
    sockets: int
    per_second: int
    messages: int


def measure(options: argparse.Namespace) -> dict[str, Any]:
    per_second, messages = (1000, 1500) if options.quick else (PER_SECOND, PAIRS)
    most = 200 if options.quick else max(SOCKETS)
    check_descriptors(most)
    cases = [
        Case(delays, min(sockets, most), per_second, messages)
        for sockets in SOCKETS
        for delays in DELAYS_MS
    ]
    return {"quick": options.quick, "rows": [measured(case) for case in cases]}


def measured(case: Case) -> dict[str, Any]:
    """A row, be it one that says why there are no figures."""
    return row_of(case._asdict(), lambda: measure_once(case))


def measure_once(case: Case) -> dict[str, Any]:
    """:raises Refused: too few messages, some that cannot be paired, a side that was too busy."""
    connect_s = 1.0 + case.sockets / CONNECTS_PER_S
    seconds = MARGIN * case.messages / case.per_second
    with (
        tempfile.TemporaryDirectory() as folder,
        Server("benches.delays", "--delays", case.delays) as server,
    ):
        out = Path(folder) / "reported"
        words = (server.url, case.sockets, case.per_second, connect_s, seconds, out)
        command = [sys.executable, "-m", "benches.accuracy", *map(str, words)]
        with Client("epoll", command) as client:
            server.wait_for(client, case.sockets, 60 + connect_s)
            wait_until(lambda: server.state().messages > 0, 60, "the first message")
            before, server_before = client.read(), server.read()
            time.sleep(0.9 * seconds)
            client_share = client.read().share_since(before)
            server_share = server.read().share_since(server_before)
            told = json.loads(client.output(seconds + TAIL_S + 60))
        reported, recorded = array("q"), array("q")
        reported.frombytes(out.read_bytes())
        recorded.frombytes(server.fetch("/records"))
        unstamped = server.counts()["unstamped"]
    if unstamped:
        raise Refused(f"the kernel gave {unstamped:,} messages no stamp when it received them")
    for side, share in (("client", client_share), ("server", server_share)):
        if share > MOST_SHARE:
            raise Refused(f"the {side} was {share:.0%} busy, over {MOST_SHARE:.0%}")
    return {
        "client_share": client_share,
        "server_share": server_share,
        **figures(reported, recorded, told, case.messages),
    }


def figures(
    reported: array[int], recorded: array[int], told: Mapping[str, Any], least: int
) -> dict[str, Any]:
    """The row: errors, and what of them is beyond the generator error of their second.

    :param reported: number, reported and time of the report in ns, message after message.
    :param recorded: as the server's. :param told: by the client.
    :raises Refused: fewer than `least`, or one that was reported was never recorded, or the
        quantiles of the metric are not those of what was reported.
    """
    delays_ns = dict(zip(recorded[::3], _elapsed(recorded), strict=True))
    if len(reported) // 3 < least:
        raise Refused(f"{len(reported) // 3:,} messages were reported, not {least:,}")
    pairs = errors_of(reported, delays_ns)
    heard_ms = _quantiles(sorted(reported[1::3]))
    for name, shown_ms in told["metric_ms"].items():
        if abs(shown_ms - heard_ms[name]) > HISTOGRAM * heard_ms[name] + TICK_MS:
            raise Refused(f"the metric shows {name} {shown_ms} ms, its samples {heard_ms[name]}")
    seconds = told["seconds"]
    ends_ns = [told["start_ns"] + one["at_s"] * 1e9 for one in seconds]
    within = [
        seconds[min(bisect_left(ends_ns, at_ns), len(seconds) - 1)] for at_ns in reported[2::3]
    ]
    over_ns = [
        error_ns - second["error_ms"] * 1e6 for error_ns, second in zip(pairs, within, strict=True)
    ]
    sound_ns = [
        error_ns for error_ns, second in zip(pairs, within, strict=True) if not second["suspect"]
    ]
    return {
        "pairs": len(pairs),
        "recorded_ms": _quantiles(sorted(delays_ns[number] for number in reported[::3])),
        "reported_ms": heard_ms,
        "error_ms": _quantiles(sorted(pairs)),
        "sound_error_ms": _quantiles(sorted(sound_ns)) if sound_ns else None,
        "over_lag_ms": _quantiles(sorted(over_ns)),
        "generator_error_ms": told["generator_error_ms"],
        "suspect_s": told["suspect_s"],
        "verdict": told["verdict"],
        "reasons": told["reasons"],
    }


def errors_of(reported: array[int], delays_ns: Mapping[int, int]) -> list[int]:
    """Reported less recorded, in ns, in the order of the reports.

    :raises Refused: there is no record of one of them.
    """
    unknown = sum(number not in delays_ns for number in reported[::3])
    if unknown:
        raise Refused(f"{unknown:,} messages were reported that the server has no record of")
    return [
        elapsed_ns - delays_ns[number]
        for number, elapsed_ns in zip(reported[::3], reported[1::3], strict=True)
    ]


def _elapsed(recorded: array[int]) -> list[int]:
    return [sent - got for got, sent in zip(recorded[1::3], recorded[2::3], strict=True)]


def _quantiles(ordered_ns: Sequence[int] | Sequence[float]) -> dict[str, float]:
    """By nearest rank, in ms."""
    count = len(ordered_ns)
    found = {f"p{q}": ordered_ns[-(-count * q // 100) - 1] / 1e6 for q in (50, 99)}
    return {"min": ordered_ns[0] / 1e6, **found, "max": ordered_ns[-1] / 1e6}


def tables(report: dict[str, Any]) -> list[Table]:
    rows = report["rows"]
    title = "what was reported of each message less what the server recorded"
    if report["quick"]:
        title += " (quick: fewer messages than needed, no figures to quote)"
    table = Table(title=title)
    for name in ("delays", "sockets", "messages", "recorded ms\np50 / p99 / max", "error\nms\np50",
                 "holds", "\n\np99", "holds", "p99\nsound\ns", "gener-\nator's\np99",
                 "p99\nover\nit", "holds", "sus-\npect\ns", "CPU,\nclient /\nserver"):  # fmt: skip
        table.add_column(name, no_wrap=True)
    refused = []
    for row in rows:
        shown = [row["delays"], f"{row['sockets']:,}"]
        if "refused" in row:
            table.add_row(*shown, "refused")
            refused.append(f"refused: {' '.join(shown)}: {row['refused']}")
            continue
        error, over, recorded = row["error_ms"], row["over_lag_ms"], row["recorded_ms"]
        sound = row["sound_error_ms"]
        table.add_row(
            *shown,
            f"{row['pairs']:,}",
            " / ".join(f"{recorded[name]:.1f}" for name in ("p50", "p99", "max")),
            f"{error['p50']:.3f}",
            verdict(abs(error["p50"]) <= ERROR_MS["p50"]),
            f"{error['p99']:.3f}",
            verdict(abs(error["p99"]) <= ERROR_MS["p99"]),
            f"{sound['p99']:.3f}" if sound else "",
            f"{row['generator_error_ms']:.3f}",
            f"{over['p99']:.3f}",
            verdict(over["p99"] <= ERROR_OVER_LAG_MS),
            f"{row['suspect_s']:.0f}",
            f"{row['client_share']:.0%} / {row['server_share']:.0%}",
        )
    needed = (
        f"needed: p50 <= {ERROR_MS['p50']:g} ms, p99 <= {ERROR_MS['p99']:g} ms, beyond the "
        f"generator error of its second p99 <= {ERROR_OVER_LAG_MS:g} ms; "
        "p99 sound s: without the seconds that are suspect"
    )
    table.caption = "\n".join([needed, *refused])
    return [table]


# ---- the client ---------------------------------------------------------------------------------


class Reports:
    """What was recorded in the metric, message by message: the metric itself keeps a histogram.

    :ivar kept: number, elapsed and time of the report in ns, message after message.
    """

    def __init__(self) -> None:
        self.kept = array("q")
        self.start_ns = 0
        self._latest_ns = -1

    def listen(self) -> None:
        """From now on, hear of every sample that any scenario of this process records."""
        record = ScenarioRecorder.sample

        def sample(recorder: ScenarioRecorder, metric: Any, elapsed_ns: int) -> None:
            self._latest_ns = elapsed_ns
            record(recorder, metric, elapsed_ns)

        # Nothing public gives single samples: the hot path. The process is the bench's own.
        ScenarioRecorder.sample = sample  # type: ignore[assignment, method-assign]

    def keep(self, number: int) -> None:
        """The sample that was just recorded is of that message."""
        self.kept.extend((number, self._latest_ns, time.monotonic_ns()))
        self._latest_ns = -1


REPORTS = Reports()


@scenario(metrics=[DELAY])
async def paced(vu: VU) -> None:
    """Numbers sent in even turns of all users, from a moment on that all have connected by."""
    if not REPORTS.start_ns:
        REPORTS.start_ns = time.monotonic_ns()
    users, index = int(vu.env["USERS"]), vu.id - 1
    interval_s = users / float(vu.env["RATE"])
    last = math.ceil(float(vu.env["SECONDS"]) / interval_s) - 1
    async with vu.connect(vu.env["URL"]) as ws:
        begin_ns = REPORTS.start_ns + int(float(vu.env["CONNECT"]) * 1e9)
        now_ns = time.monotonic_ns()
        late_ns = max(0, begin_ns - now_ns)
        turn_s = until_turn_s(now_ns + late_ns, index, users, interval_s)
        await vu.sleep(late_ns / 1e9 + turn_s)
        async for tick in vu.every(interval_s):
            number = tick * users + index
            with vu.timer(DELAY):
                await ws.send(str(number))
                message = await ws.recv()
            if message.text != str(number):
                raise RuntimeError(f"{message.text!r} came back for {number}")
            REPORTS.keep(number)
            if tick == last:
                break
        await vu.sleep(IDLE_S)  # the end of the run, when all users are interrupted, is no part


def told_by(result: Result) -> dict[str, Any]:
    """What the run says of itself, as plain data."""
    view = result.metrics[DELAY.name]
    assert isinstance(view, TrendView)
    # As they were paired: without those under way at the end, which are in the metric, cut off.
    with_value, resolution = view.histogram, view.state.resolution
    return {
        "start_ns": REPORTS.start_ns,
        "seconds": [
            {"at_s": one.at_s, "error_ms": one.error_ms, "suspect": bool(one.doubts)}
            for one in result.generator.samples
        ],
        "generator_error_ms": result.generator_error(DELAY.name),
        "suspect_s": sum(end_s - start_s for start_s, end_s in result.generator.suspect_spans),
        "metric_ms": {
            f"p{q}": in_unit(with_value.value_at_quantile(q / 100), resolution) for q in (50, 99)
        },
        "verdict": result.verdict,
        "reasons": result.reasons,
    }


def main() -> int:
    url, users, rate, connect_s, seconds, out = sys.argv[1:]
    REPORTS.listen()
    run_s = float(connect_s) + float(seconds) + TAIL_S
    load = ConstantVUs(int(users), run_s, graceful_stop=0)
    env = {"URL": url, "USERS": users, "RATE": rate, "CONNECT": connect_s, "SECONDS": seconds}
    result = ghostcore.run(paced, load=load, env=env, seed=1)
    Path(out).write_bytes(REPORTS.kept.tobytes())
    print(json.dumps(told_by(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
