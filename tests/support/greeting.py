"""Runs of the suite's scenarios with agents of their own, short ones."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import ghostcore
from ghost_greeter.agents import AgentPool, AgentSettings, identities
from ghost_greeter.scenarios import SCENARIOS
from ghost_greeter.simulator import Distribution, EmbeddedSimulator
from ghostcore import PerVUIterations, Result

ACCEPT, REJECT, IGNORE = (1, 0, 0), (0, 1, 0), (0, 0, 1)

OUTCOMES = (
    "calls_accepted",
    "calls_rejected",
    "calls_timed_out",
    "calls_cancelled",
    "calls_lost",
    "calls_rate_limited",
    "calls_no_agent",
    "calls_refused",
    "calls_disconnected",
    "calls_cut_short",
)


def pool_at(url: str, count: int, mix: Any = ACCEPT, **settings: Any) -> AgentPool:
    """Agents that answer within a moment."""
    given = {"answer": Distribution.parse("5ms..20ms"), "back_s": (0.02, 0.05), **settings}
    return AgentPool(AgentSettings(url, mix, **given), identities(count), seed=3)


def call_options(
    url: str,
    visitors: int = 1,
    pool: AgentPool | None = None,
    *,
    load: Any = None,
    session: str = "0.2",
    **env: str,
) -> dict[str, Any]:
    """Arguments of run() for that many visitors, one call each."""
    options: dict[str, Any] = {
        "load": load or PerVUIterations(visitors, 1),
        "env": {"SERVER_URL": url, "ORG_ID": "org", "SESSION": session, **env},
        "seed": 3,
    }
    if pool is not None:
        options |= {"setup": pool.setup, "teardown": pool.teardown}
    return options


def call(
    simulator: EmbeddedSimulator, visitors: int, pool: AgentPool | None = None, **options: Any
) -> Result:
    """That many visitors, one call each."""
    given = call_options(simulator.url, visitors, pool, **options)
    return ghostcore.run(SCENARIOS["calls"], **given)


def outcomes(result: Result) -> dict[str, float]:
    """What became of calls, where it is not 0. They add up to what was requested."""
    found = {name: result.metrics[name].count for name in OUTCOMES}
    assert sum(found.values()) == result.metrics["calls_requested"].count
    return {name: count for name, count in found.items() if count}


class Notes:
    """Stands for a user where a pool is run without a run: what was recorded."""

    data = None

    def __init__(self) -> None:
        self.counts: defaultdict[str, float] = defaultdict(float)
        self.last: dict[str, float] = {}

    def record(self, metric: Any, value: float = 1, **tags: str) -> None:
        self.counts[metric.name] += value
        self.last[metric.name] = value
        for tag, text in tags.items():
            self.counts[f"{metric.name}{{{tag}:{text}}}"] += value
