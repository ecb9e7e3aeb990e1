"""Runs of a constant rate of starts that do nothing but sleep: the pacer alone.

``python -m benches.paced 5000 30`` prints what came of 5,000 starts/s for 30 s.
"""

from __future__ import annotations

import sys

import ghostcore
from ghostcore import VU, ConstantArrivalRate, Result, scenario
from ghostcore.metrics import TrendView

__all__ = ["paced", "row"]


def paced(
    per_second: float, duration: float | str, *, users: int = 500, iteration_s: float = 0.01
) -> Result:
    """One run. Its ``iteration_lateness`` is from the due time to the first line of the scenario.

    :param users: those preallocated; a start that finds none free is dropped.
    :param iteration_s: how long each iteration sleeps.
    """

    @scenario(load=ConstantArrivalRate(per_second, duration, preallocated_vus=users), name="paced")
    async def sleeper(vu: VU) -> None:
        await vu.sleep(iteration_s)

    return ghostcore.run(sleeper, seed=1)


def row(result: Result) -> str:
    """What came of it, in one line."""
    late = result.metrics["iteration_lateness"]
    assert isinstance(late, TrendView)
    outcome = result.outcome
    busy = max((one.cpu_share for one in result.generator.samples), default=0.0)
    return (
        f"offered {outcome.offered:,}, made {outcome.delivered:,}, late by "
        f"p50 {late.p(50):.3f}, p99 {late.p(99):.3f}, at most {late.max:.3f} ms, "
        f"CPU up to {100 * busy:.0f} % of a core"
    )


if __name__ == "__main__":
    print(row(paced(float(sys.argv[1]), float(sys.argv[2]))))
