"""Where a run stands, told once a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ghostcore.execution.plan import Plan
from ghostcore.execution.result import ErrorSample, Result
from ghostcore.execution.timeline import Timeline
from ghostcore.metrics import Totals

__all__ = ["Progress", "RunListener"]


@dataclass(frozen=True)
class Progress:
    """Where a run stands: handed to listeners once a second.

    :ivar totals: everything so far. :ivar timeline: second by second.
    :ivar elapsed_s: since the start. :ivar planned_s: when the last profile ends.
    :ivar stopping: why the run is coming to its end before that; "" if it is not.
    """

    plan: Plan
    totals: Totals
    timeline: Timeline
    errors: list[ErrorSample]
    elapsed_s: float
    planned_s: float
    planned_vus: int
    active_vus: int
    stopping: str


class RunListener(Protocol):
    """Follows a run: a console, a log, a test."""

    def started(self, plan: Plan) -> None:
        """The plan is valid: its set-up begins, if it has one, then the load."""

    def progressed(self, progress: Progress) -> None:
        """Another second is over."""

    def finished(self, result: Result) -> None:
        """The run has ended and was judged."""
