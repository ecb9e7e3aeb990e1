"""The metrics of one scenario, as its users see them: a seam that execution fills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ghostcore.errors import DataExhausted
from ghostcore.sessions.observer import Observer

__all__ = ["ScenarioSink"]


class ScenarioSink(Observer, Protocol):
    """The metrics of one scenario, as its users see them.

    :ivar scenario: its name.
    """

    scenario: str

    def record(self, metric: Any, value: float, tags: Mapping[str, str]) -> None:
        """A value of a metric, in the metric's unit."""

    def check(self, name: str, passed: bool) -> None:
        """A check of the scenario's."""

    def sample_from_due(self, metric: Any, elapsed_ns: int) -> None:
        """An operation that was due so long ago was answered."""

    def failed_from_due(self, metric: Any) -> None:
        """An operation that was due failed and will never be answered."""

    def cut_off_from_due(self, metric: Any, elapsed_ns: int, cause: str) -> None:
        """An operation that was due so long ago was given up."""

    def iteration_started(self) -> None:
        """A user begins an iteration."""

    def iteration_late(self, late_ns: int) -> None:
        """The iteration that has just begun was due so long ago."""

    def iteration_ended(self, elapsed_ns: int, failed: bool) -> None:
        """An iteration ended, by itself or by an error."""

    def iteration_interrupted(self, elapsed_ns: int) -> None:
        """An iteration was cut off."""

    def response_ended(self, elapsed_ns: int, failed: bool) -> None:
        """An iteration that was due so long ago ended."""

    def response_cut_off(self, elapsed_ns: int) -> None:
        """An iteration that was due so long ago was cut off."""

    def first_step(self, metrics: tuple[Any, ...]) -> None:
        """An iteration that was due began with an operation that is measured by these metrics."""

    def start_cut_off(self, elapsed_ns: int) -> None:
        """A start that was due and is not made would have waited at least so long."""

    def ticks_cut_off(
        self, metrics: tuple[Any, ...], elapsed_ns: int, step_ns: int, count: int, cause: str
    ) -> None:
        """Operations that were due and never began: the first so long ago, each of the others
        `step_ns` later."""

    def dropped(self, count: int) -> None:
        """Starts that were due and will not be made."""

    def users(self, change: int) -> None:
        """That many more users are running."""

    def aborted(self, reason: str) -> None:
        """The scenario asked for the end of the run."""

    def data_exhausted(self, error: DataExhausted) -> None:
        """A start found no row left."""
