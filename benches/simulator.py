"""The simulator of the Ghost Greeter server under as many visitors and agents as it is for, in one
process on one core: is anything lost, is it ever what limits the run, and where is its end?
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from benches.crowd import COMING, LEAVING, CrowdPlan, Phase, Step, crowd_command
from benches.measure import Refused, check_descriptors, row_of, wait_until
from benches.needed import MOST_SERVER_SHARE, SIMULATED, SIMULATED_MS, verdict
from benches.processes import Client, Server

__all__ = ["ceiling_plan", "measure", "measure_crowd", "measured", "served_plan", "tables"]

SERVED, CEILING = "served", "ceiling"
CALLS_BEGIN, CALLS_END, HELD = "long calls begin", "long calls end", "all are there"
IN_LONG_CALLS = 0.8
"""Of the agents."""

LOOK_S = 1.0
"""Between two looks at /metrics."""

KEPT = 0.98
"""Of the core that the client had asked for: with less of it, the rates were not kept."""

UNANSWERED = ("reply_timeout", "error_reply")
"""Errors of a join or a call whose session was there: they are counted as what they are."""

HEALTHY = ("accepted", "rejected", "timed_out", "cut_short")
"""What becomes of calls at a server that has time: as the agents answer, or the run ends."""


def begin(visitors: int, agents: int, pace: float, alone_s: float) -> list[Step]:
    """Long calls take most agents, visitors come, the long calls end."""
    return [
        Step(CALLS_BEGIN, alone_s, long_calls_per_s=IN_LONG_CALLS * agents / alone_s),
        Step(COMING, visitors / pace, alone_s / 2),
        Step(CALLS_END, alone_s),
    ]


def served_plan(visitors: int, agents: int, *, pace: float, calls_per_s: float,
                alone_s: float, held_s: float) -> CrowdPlan:  # fmt: skip
    """Visitors come and stay, there are calls as the suite makes them, all leave."""
    return CrowdPlan(visitors, agents, (
        *begin(visitors, agents, pace, alone_s),
        Step(HELD, held_s, 0.0, calls_per_s),
        Step(LEAVING, visitors / pace),
    ))  # fmt: skip


def ceiling_plan(visitors: int, agents: int, *, pace: float, calls_per_s: tuple[float, float],
                 visits_per_s: tuple[float, float], alone_s: float,
                 step_s: float) -> CrowdPlan:  # fmt: skip
    """With all of them there: calls at two rates, nothing, visits at two rates."""
    low, high = calls_per_s
    few, many = visits_per_s
    settle_s = step_s / 2
    return CrowdPlan(visitors, agents, (
        *begin(visitors, agents, pace, alone_s),
        Step("calls, fewer", step_s, settle_s, low),
        Step("calls, more", step_s, settle_s, high),
        Step("nothing", step_s, settle_s),
        Step("visits, fewer", step_s, settle_s, 0.0, few),
        Step("visits, more", step_s, settle_s, 0.0, many),
    ), call_s="1-2")  # fmt: skip


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    if options.quick:
        few = {"visitors": 300, "agents": 20}
        plans = {
            SERVED: served_plan(**few, pace=100, calls_per_s=1, alone_s=3, held_s=3),
            CEILING: ceiling_plan(**few, pace=100, calls_per_s=(1, 3), visits_per_s=(10, 30),
                                  alone_s=4, step_s=2),
        }  # fmt: skip
    else:
        plans = {
            SERVED: served_plan(**SIMULATED, pace=500, calls_per_s=20, alone_s=10, held_s=30),
            CEILING: ceiling_plan(**SIMULATED, pace=500, calls_per_s=(30, 80),
                                  visits_per_s=(400, 1200), alone_s=10, step_s=8),
        }  # fmt: skip
    return [measured(case, plan) for case, plan in plans.items()]


def measured(case: str, plan: CrowdPlan) -> dict[str, Any]:
    """A row, be it one that says why there are no figures."""
    row = {"case": case, "visitors": plan.visitors, "agents": plan.agents}

    def find() -> dict[str, Any]:
        found = measure_crowd(plan, to_the_end=case == SERVED)
        return found if case == SERVED else {**found, **ceilings(found)}

    return row_of(row, find)


def measure_crowd(plan: CrowdPlan, *, to_the_end: bool) -> dict[str, Any]:
    """One run of the plan against a simulator of its own.

    :param to_the_end: wait for the client's own account; else it is over with the last step.
    """
    check_descriptors(plan.visitors + plan.agents)
    with (
        Server("ghost_greeter.simulator", "--seed", "1") as server,
        Client("crowd", crowd_command(plan, server.url)) as client,
    ):
        empty = server.read()

        def begun() -> bool:
            client.check()
            return "\n" in client.said()

        wait_until(begun, 60, "the agents' logins")
        begin_s = json.loads(client.said().splitlines()[0])["begin_s"]
        logged_in = server.read()
        steps = [step_measured(phase, begin_s, server, client) for phase in plan.phases()]
        found = {
            "steps": steps,
            "empty_bytes": empty.rss_bytes,
            "logged_in_bytes": logged_in.rss_bytes,
        }
        if to_the_end:
            found |= json.loads(client.output(plan.length_s + 60).splitlines()[-1])
            found["left"] = figures(server)
            found["left_bytes"] = server.read().rss_bytes
    return found


def step_measured(phase: Phase, begin_s: float, server: Server, client: Client) -> dict[str, Any]:
    """Wait for a step, watch it."""
    until(begin_s + phase.from_s)
    server_before, client_before = server.read(), client.read()
    looks = []
    while (left_s := begin_s + phase.to_s - time.monotonic()) > 0:
        time.sleep(min(LOOK_S, left_s))
        client.check()
        looks.append(figures(server))
    server_after, client_after = server.read(), client.read()
    step = phase.step
    return {
        "name": step.name,
        "seconds": server_after.at_s - server_before.at_s,
        "calls_per_s": step.calls_per_s,
        "visits_per_s": step.visits_per_s,
        "server_share": server_after.share_since(server_before),
        "client_share": client_after.share_since(client_before),
        "rss_bytes": server_after.rss_bytes,
        "visitors": {"least": min(one["visitors"] for one in looks),
                     "most": max(one["visitors"] for one in looks),
                     "last": looks[-1]["visitors"]},
        "agents_least": min(one["onlineAgents"] for one in looks),
        "calls_most": max(one["active"] for one in looks),
    }  # fmt: skip


def until(at_s: float) -> None:
    """Sleep until a moment of monotonic time; :raises Refused: it has been already."""
    left_s = at_s - time.monotonic()
    if left_s < -LOOK_S:
        raise Refused(f"the bench itself came {-left_s:.1f} s late")
    time.sleep(max(0.0, left_s))


def figures(server: Server) -> dict[str, int]:
    """What the simulator's /metrics says of who is there."""
    said = json.loads(server.fetch("/metrics"))
    return {**said["connections"], "active": said["calls"]["active"]}


def ceilings(found: dict[str, Any]) -> dict[str, Any]:
    """What calls and visits cost, and how many fill the core.

    The more there is to do, the more is done each time that the process wakes: one costs less the
    more there are. So two figures: the mean at the higher rate, which is too much for a full core,
    and the difference between the two rates, which is what one more cost there.

    :raises Refused: a step had no time to spare, on either side, or a cost is none.
    """
    steps = {step["name"]: step for step in found["steps"]}
    idle = steps["nothing"]["server_share"]
    report: dict[str, Any] = {"idle_share": idle}
    for what, rate in (("calls", "calls_per_s"), ("visits", "visits_per_s")):
        many, few = steps[f"{what}, more"], steps[f"{what}, fewer"]
        busiest = max(many["client_share"], many["server_share"])
        if busiest > KEPT:
            raise Refused(f"{many['name']}: a side was {busiest:.0%} busy, its rate not kept")
        mean_s = (many["server_share"] - idle) / many[rate]
        more_s = (many["server_share"] - few["server_share"]) / (many[rate] - few[rate])
        if min(mean_s, more_s) <= 0:
            raise Refused(f"one more of {what} cost {more_s * 1e6:.0f} us: others had the core")
        report[what] = {
            "rate": many[rate],
            "us_each": {"mean": mean_s * 1e6, "one more": more_s * 1e6},
            "per_s": {"mean": (1 - idle) / mean_s, "one more": (1 - idle) / more_s},
        }
    return report


# ---- tables -------------------------------------------------------------------------------------


def tables(rows: Sequence[dict[str, Any]]) -> list[Table]:
    found = []
    for row in rows:
        title = f"the simulator, {row['visitors']:,} visitors and {row['agents']:,} agents"
        if "refused" in row:
            table = Table("", "measured", title=f"{title}: {row['case']}")
            table.add_row("refused")
            table.caption = f"refused: {row['refused']}"
            found.append(table)
            continue
        shown = _verdicts if row["case"] == SERVED else _ends
        table = Table("", "measured", "needed", "holds", title=f"{title}: {row['case']}")
        for what, text, needed, holds in shown(row):
            table.add_row(what, text, needed, "" if holds is None else verdict(holds))
        if row.get("errors"):
            table.caption = f"errors: {row['errors']}"
        found += [table, _steps(row)]
    return found


_Line = tuple[str, str, str, bool | None]


def _verdicts(row: dict[str, Any]) -> Iterator[_Line]:
    steps = {step["name"]: step for step in row["steps"]}
    held = steps[HELD]["visitors"]["least"]
    agents = min(step["agents_least"] for step in row["steps"])
    lost = sum(n for kind, n in row["errors"].items() if kind not in UNANSWERED)
    lost += row["agents_lost"]
    unhealthy = {k: n for k, n in row["outcomes"].items() if n and k not in HEALTHY}
    busiest = max(step["server_share"] for step in row["steps"])
    yield ("visitors while all are there (/metrics), least", f"{held:,}", f">= {row['visitors']:,}",
           held >= row["visitors"])  # fmt: skip
    yield (
        "agents online (/metrics), least",
        f"{agents:,}",
        f"{row['agents']:,}",
        agents == row["agents"],
    )
    yield "lost sessions, of visitors and agents", f"{lost:,}", "0", lost == 0
    yield ("joins answered", f"{row['joins_answered']:,} of {row['joins']:,}", "all",
           row["joins_answered"] == row["joins"] >= row["visitors"])  # fmt: skip
    yield "starts dropped", f"{row['dropped']:,}", "0", row["dropped"] == 0
    outcomes = ", ".join(f"{n:,} {k}" for k, n in row["outcomes"].items() if n)
    yield f"{row['calls']:,} calls", outcomes, "as answered", not unhealthy and row["calls"] > 0
    yield ("simulator's CPU, busiest step", f"{busiest:.0%}", f"<= {MOST_SERVER_SHARE:.0%}",
           busiest <= MOST_SERVER_SHARE)  # fmt: skip
    for what, name in (("join", "join_ms"), ("call:request to call:incoming", "incoming_ms")):
        p95 = row[name]["p95"]
        yield (f"{what}, p50 / p95, ms", f"{row[name]['p50']:.2f} / {p95:.2f}",
               f"p95 <= {SIMULATED_MS:g}", p95 <= SIMULATED_MS)  # fmt: skip
    left = row["left"]["visitors"]
    yield "visitors at the end (/metrics)", f"{left:,}", "0", left == 0
    sizes = (row["empty_bytes"], steps[HELD]["rss_bytes"], row["left_bytes"])
    mib = " / ".join(f"{size / 2**20:,.0f}" for size in sizes)
    yield "simulator's memory empty / full / left, MiB", mib, "", None


def _ends(row: dict[str, Any]) -> Iterator[_Line]:
    yield "simulator's CPU, nothing but pings", f"{row['idle_share']:.1%}", "", None
    for what in ("calls", "visits"):
        found = row[what]
        us, per_s = ([one[kind] for kind in ("mean", "one more")]
                     for one in (found["us_each"], found["per_s"]))  # fmt: skip
        yield (f"CPU of each of {found['rate']:g} {what}/s: mean / of one more, us",
               f"{us[0]:,.0f} / {us[1]:,.0f}", "", None)  # fmt: skip
        low, high = sorted(per_s)
        yield f"{what}/s that fill its core", f"{low:,.0f} to {high:,.0f}", "", None


def _steps(row: dict[str, Any]) -> Table:
    table = Table("step", "s", "calls/s", "visits/s", "visitors", "in calls", "simulator\nCPU",
                  "client\nCPU", "MiB")  # fmt: skip
    for step in row["steps"]:
        visitors = step["visitors"]
        table.add_row(
            step["name"], f"{step['seconds']:.0f}", f"{step['calls_per_s']:g}",
            f"{step['visits_per_s']:g}", f"{visitors['least']:,} - {visitors['most']:,}",
            f"{step['calls_most']:,}",
            f"{step['server_share']:.0%}", f"{step['client_share']:.0%}",
            f"{step['rss_bytes'] / 2**20:,.0f}",
        )  # fmt: skip
    return table
