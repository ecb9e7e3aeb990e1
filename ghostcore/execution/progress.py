"""Where a run stands: the value that listeners and followers get once a second."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from ghostcore.execution.plan import Plan
from ghostcore.metrics import Snapshot, Totals
from ghostcore.results.record import ErrorSample, Metrics
from ghostcore.results.result import Result
from ghostcore.results.timeline import Timeline

__all__ = ["Progress", "RunListener"]


@dataclass(frozen=True)
class Progress:
    """Where a run stands: handed to listeners once a second.

    Totals, timeline and errors go on growing with the run: to keep their figures, read them now.

    :ivar totals: the metrics of the run so far.
    :ivar timeline: the run second by second.
    :ivar elapsed_s: seconds since the start of the run.
    :ivar planned_s: seconds from the start to the end of the last profile.
    :ivar planned_vus: users that load models plan now.
    :ivar active_vus: users that are iterating.
    :ivar stopping: why the run is coming to its end before that; "" if it is not.
    :ivar counted: as ``totals``, without the warm-up.
    :ivar window: the metrics of the last second alone.
    :ivar missed: seconds that a reader of a stream did not get, since it was slow.
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
    counted: Totals | None = None
    window: Snapshot | None = None
    missed: int = 0

    @cached_property
    def metrics(self) -> Metrics:
        """As ``result.metrics`` would be if the run ended now: everything so far, but the warm-up.

        A figure is taken when it is first asked for.
        """
        totals = self.totals if self.counted is None else self.counted
        return Metrics(totals, tuple(self.plan.declarations))

    @cached_property
    def last_second(self) -> Metrics:
        """The metrics of the last second alone, warm-up or not."""
        totals = Totals(self.totals.declarations)
        if self.window is not None:
            totals.add(self.window)
        return Metrics(totals, tuple(self.plan.declarations))

    @property
    def warming_up(self) -> bool:
        """Is this second one of the warm-up?"""
        return self.window is not None and self.window.start_ns < self.plan.warmup_ns


class RunListener(Protocol):
    """Follows a run: a console, a log, a test."""

    def started(self, plan: Plan) -> None:
        """The plan is valid: its set-up begins, if it has one, then the load."""

    def progressed(self, progress: Progress) -> None:
        """Another second is over."""

    def finished(self, result: Result) -> None:
        """The run has ended and was judged."""
