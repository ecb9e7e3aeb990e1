"""A crowd for the simulator of the Ghost Greeter server, as the suite makes it: its agents, its
visitors and its callers in one process. Run as a program: the client.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import ghostcore
from ghost_greeter.agents import AgentPool, AgentSettings, identities
from ghost_greeter.scenarios import calls, widget
from ghostcore import ConstantArrivalRate, InvalidPlan, RampingArrivalRate, Result, Scenario
from ghostcore.metrics import RateView, TrendView

__all__ = ["COMING", "LEAVING", "CrowdPlan", "Phase", "Step", "crowd_command"]

COMING, LEAVING = "visitors come", "visitors leave"
SPARE_S = 30.0
"""After all of them should have left."""

CALL_S, VISIT_S = 30.0, 3.0
"""Users are as many as their rate makes in this time: the longest calls but for a server that does
not answer (two rings, the second answered), and a visit of a second. One that is missing shows."""

OUTCOMES = ("accepted", "rejected", "timed_out", "cancelled", "lost", "rate_limited", "no_agent",
            "refused", "disconnected", "cut_short")  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A stretch of time in which the load stays the same.

    :ivar seconds: how long it is measured. :ivar settle_s: how long it lasts before that.
    :ivar calls_per_s: callers that come. :ivar long_calls_per_s: those whose calls last.
    :ivar visits_per_s: visitors that come, join, and leave after a second.
    """

    name: str
    seconds: float
    settle_s: float = 0.0
    calls_per_s: float = 0.0
    visits_per_s: float = 0.0
    long_calls_per_s: float = 0.0


class Phase(NamedTuple):
    """A step as it is measured: from when to when, in seconds from the begin of the load."""

    step: Step
    from_s: float
    to_s: float


@dataclass(frozen=True)
class CrowdPlan:
    """Who comes when.

    :ivar visitors: those who come in the step :data:`COMING` at an even pace, and leave as they
        came in the step :data:`LEAVING`, be there one or not.
    :ivar call_s: the suite's ``--session`` for callers; "": as long as calls last there.
    """

    # An agent takes 25 visitors, in a call none but its caller. When each agent that is free has
    # its 25, nobody who comes is given one, and cannot call. So long calls keep most agents from
    # the visitors who come, and are over when those are there: their agents take the calls then.

    visitors: int
    agents: int
    steps: tuple[Step, ...]
    call_s: str = ""

    @classmethod
    def parse(cls, text: str) -> CrowdPlan:
        """What :meth:`text` made."""
        given = json.loads(text)
        given["steps"] = tuple(Step(**step) for step in given["steps"])
        return cls(**given)

    def text(self) -> str:
        """The plan as a word of a command line."""
        return json.dumps(asdict(self))

    def phases(self) -> Iterator[Phase]:
        """The steps in their order, with their times."""
        at_s = 0.0
        for step in self.steps:
            from_s = at_s + step.settle_s
            at_s = from_s + step.seconds
            yield Phase(step, from_s, at_s)

    def phase(self, name: str) -> Phase:
        """The step of that name."""
        return next(phase for phase in self.phases() if phase.step.name == name)

    @property
    def long_s(self) -> float:
        """How long the long calls last: until the last of the visitors has come, at least."""
        return self.phase(COMING).to_s

    @property
    def stay_s(self) -> float:
        """How long a visitor stays: the first of them leaves when all that is to be measured with
        all of them there has been."""
        coming = self.phase(COMING)
        after = [phase.to_s for phase in self.phases() if phase.step.name != LEAVING]
        return after[-1] - coming.from_s

    @property
    def length_s(self) -> float:
        """From the begin of the load until all have left."""
        return self.phase(COMING).to_s + self.stay_s


def crowd_command(plan: CrowdPlan, url: str) -> list[str]:
    """The command line of the client."""
    return [sys.executable, "-m", "benches.crowd", url, plan.text()]


# ---- the client ---------------------------------------------------------------------------------


def stages(steps: Sequence[Step], rates: Sequence[float]) -> list[tuple[float, float]]:
    """Stages of a :class:`RampingArrivalRate` that jumps from rate to rate."""
    found: list[tuple[float, float]] = []
    for (before, rate), step in zip(pairwise([0.0, *rates]), steps, strict=True):
        if rate != before:
            found.append((0.0, rate))
        found.append((step.settle_s + step.seconds, rate))
    return found


def scenarios(plan: CrowdPlan) -> list[Scenario]:
    """The suite's own scenarios, under the load of the plan."""
    coming = plan.phase(COMING)
    stay_s = plan.stay_s
    come_s = coming.to_s - coming.from_s
    load = ConstantArrivalRate(
        plan.visitors, come_s, time_unit=come_s, max_vus=plan.visitors,
        start_time=coming.from_s, graceful_stop=stay_s + SPARE_S,
    )  # fmt: skip
    found = [replace(widget, name="staying", load=load, env={"SESSION": f"{stay_s:.3f}"})]
    session = {"SESSION": plan.call_s} if plan.call_s else {}
    for one, name, rates, user_s, env in (
        (calls, "calls", [step.calls_per_s for step in plan.steps], CALL_S, session),
        (calls, "long_calls", [step.long_calls_per_s for step in plan.steps],
         plan.long_s + CALL_S, {"SESSION": f"{plan.long_s:.3f}"}),
        (widget, "visits", [step.visits_per_s for step in plan.steps], VISIT_S, {"SESSION": "1"}),
    ):  # fmt: skip
        if any(rates):
            ended_s = sum(step.settle_s + step.seconds for step in plan.steps)
            most = math.ceil(max(rates) * min(user_s, ended_s))
            arriving = RampingArrivalRate(stages(plan.steps, rates), max_vus=most)
            found.append(replace(one, name=name, load=arriving, env=env))
    return found


def told_by(result: Result) -> dict[str, Any]:
    """What the client knows, as plain data."""
    answered = result.metrics["join_success_rate"]
    assert isinstance(answered, RateView)
    return {
        "errors": {error.kind: error.count for error in result.errors},
        "agents_lost": result.metrics.count_of("agent_disconnects"),
        "joins": answered.passes + answered.fails,
        "joins_answered": answered.passes,
        "assigned": result.metrics.count_of("agent_assigned_count"),
        "dropped": result.outcome.offered - result.outcome.delivered,
        "calls": result.metrics.count_of("calls_requested"),
        "outcomes": {name: result.metrics.count_of(f"calls_{name}") for name in OUTCOMES},
        "join_ms": times(result, "widget_join_time"),
        "incoming_ms": times(result, "call_request_to_incoming_time"),
        "verdict": result.verdict,
        "reasons": result.reasons,
    }


def times(result: Result, name: str) -> dict[str, float]:
    view = result.metrics[name]
    assert isinstance(view, TrendView)
    return {"count": view.count, "p50": view.p(50), "p95": view.p(95)}


def main() -> int:
    url, text = sys.argv[1:]
    plan = CrowdPlan.parse(text)
    settings = AgentSettings(url, longest_call_s=plan.long_s + SPARE_S)
    pool = AgentPool(settings, identities(plan.agents), seed=1)

    async def setup() -> dict[str, str]:
        found = await pool.setup()
        print(json.dumps({"begin_s": time.monotonic()}), flush=True)
        return found

    try:
        result = ghostcore.run(
            *scenarios(plan),
            setup=setup,
            teardown=pool.teardown,
            env={"SERVER_URL": url, "ORG_ID": "bench"},
            seed=1,
        )
    except InvalidPlan as refusal:
        print(refusal, file=sys.stderr)
        return 1
    print(json.dumps(told_by(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
