"""The data of a finished run: metrics, thresholds, errors, and the verdict with its reasons."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from ghostcore.errors import UsageError
from ghostcore.metrics import (
    MEASURED_BY_THE_KERNEL,
    Counter,
    CounterView,
    Declaration,
    Gauge,
    GaugeView,
    NamedView,
    Rate,
    RateView,
    SeriesKey,
    ThresholdResult,
    Totals,
    Trend,
    TrendView,
    View,
    parse_selector,
)
from ghostcore.metrics.recorders import RateState, TrendState
from ghostcore.monitor.generator_report import GeneratorReport, error_within
from ghostcore.results.timeline import Timeline

__all__ = [
    "EXIT_ABORTED",
    "EXIT_INCONCLUSIVE",
    "EXIT_INTERRUPTED",
    "EXIT_INVALID",
    "EXIT_OK",
    "EXIT_SCRIPT",
    "EXIT_THRESHOLDS",
    "ErrorCount",
    "ErrorSample",
    "Metrics",
    "Outcome",
    "Record",
    "RunVerdict",
    "WarmUp",
]

RunVerdict = Literal["pass", "fail", "inconclusive"]

EXIT_OK = 0
EXIT_THRESHOLDS = 99
EXIT_INVALID = 104
EXIT_INTERRUPTED = 105
EXIT_SCRIPT = 107
EXIT_ABORTED = 108
EXIT_INCONCLUSIVE = 111


@dataclass(frozen=True, slots=True)
class ErrorSample:
    """One error as it happened.

    :ivar elapsed_ms: since the operation that failed began; NaN where no time applies.
    :ivar at_s: since the start of the run.
    :ivar age_s: age of the connection; NaN where there was none.
    :ivar code: the WebSocket close code, received or answered with, or the HTTP status of a
        refusal; None where there is neither.
    """

    scenario: str
    kind: str
    text: str
    phase: str
    elapsed_ms: float
    at_s: float
    age_s: float = float("nan")
    code: int | None = None


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """All errors of one kind, with a few samples."""

    kind: str
    count: int
    samples: tuple[ErrorSample, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The line that every summary begins with, in iterations.

    :ivar offered: starts that the load model asked for.
    :ivar delivered: starts that were made.
    :ivar answered: iterations that ended without an error of the server's or the script's.
    :ivar interrupted: iterations that the end of the run or of a stage cut off.
    """

    offered: int
    delivered: int
    answered: int
    interrupted: int


class Metrics(Mapping[str, NamedView]):
    """The metrics of a run by declaration, by name, or by ``name{tag:value}`` for the samples with
    that tag. By its declaration a metric has a view of the declaration's kind.

    Iteration gives the names of all metrics that have data or were declared.
    """

    def __init__(self, totals: Totals, declared: tuple[str, ...] = ()) -> None:
        self.totals = totals
        self._declared = declared
        self._views: dict[str, View] = {}

    @overload
    def __getitem__(self, selector: Trend) -> TrendView: ...

    @overload
    def __getitem__(self, selector: Counter) -> CounterView: ...

    @overload
    def __getitem__(self, selector: Rate) -> RateView: ...

    @overload
    def __getitem__(self, selector: Gauge) -> GaugeView: ...

    @overload
    def __getitem__(self, selector: str) -> NamedView: ...

    def __getitem__(self, selector: str | Declaration) -> Any:
        if isinstance(selector, Declaration):
            return self._declared_as(selector)
        return self.view(selector)

    def _declared_as(self, declaration: Declaration) -> View:
        found = self.view(declaration.name)
        if found.declaration != declaration:
            raise KeyError(
                f"metric {declaration.name} was declared as {found.declaration!r}, "
                f"not as {declaration!r}"
            )
        return found

    def view(self, selector: str) -> View:
        """The view of a metric, as the union of the four kinds.

        :raises KeyError: where there is no such metric, or the selector is none.
        """
        found = self._views.get(selector)
        if found is None:
            try:
                found = self.totals.view(selector)
            except UsageError as error:
                raise KeyError(str(error)) from None
            self._views[selector] = found
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._declared, *self.totals.names()}))

    def __len__(self) -> int:
        return len({*self._declared, *self.totals.names()})

    def series(self, name: str) -> list[SeriesKey]:
        """The series of a metric: its combinations of tags."""
        return self.totals.keys(parse_selector(name).name)

    def count_of(self, selector: str) -> int:
        """The sum of a counter as an int; 0 where nothing was counted."""
        return int(getattr(self.view(selector), "count", 0))


@dataclass(frozen=True)
class WarmUp:
    """What was recorded before the end of the warm-up, which no metric and no threshold counts.

    :ivar duration_s: how long it was, as it came: never shorter than asked for.
    :ivar metrics: all of it.
    """

    duration_s: float
    metrics: Metrics

    @property
    def samples(self) -> int:
        """Samples of Trends and Rates, those without a value included."""
        found = 0
        for state in self.metrics.totals.series.values():
            match state:
                case TrendState():
                    found += state.count
                case RateState():
                    found += state.passes + state.fails
        return found

    @property
    def iterations(self) -> int:
        """Iterations that ended in it."""
        return self.metrics.count_of("iterations")


@dataclass
class Record:
    """All that is known of a finished run. Outputs are written from it; users get a
    :class:`~ghostcore.Result`, which can save itself too.

    :ivar metrics: what was recorded, but in the warm-up; the line ``outcome`` and the errors are of
        the whole run.
    :ivar verdict: ``pass``, ``fail`` or ``inconclusive``, with ``reasons`` in sentences.
    :ivar exit_code: what a command that ran it exits with (K6's codes, and 111 for inconclusive).
    :ivar seed: the run's seed: the same seed gives the same choices.
    :ivar plan: what was planned, as plain data.
    :ivar generator: how the load generator itself did, and what of the run is suspect.
    :ivar duration_s: from the start of the load to the end of the last iteration.
    :ivar setup_ms: how long the set-up took; None without one. :ivar teardown_ms: likewise.
    """

    metrics: Metrics
    thresholds: list[ThresholdResult]
    errors: list[ErrorCount]
    outcome: Outcome
    verdict: RunVerdict
    exit_code: int
    reasons: list[str]
    seed: int
    plan: dict[str, Any]
    timeline: Timeline
    generator: GeneratorReport
    machine: dict[str, Any]
    started_at: str
    duration_s: float
    warnings: list[str] = field(default_factory=list)
    warmup: WarmUp | None = None
    setup_ms: float | None = None
    teardown_ms: float | None = None

    def generator_error(self, selector: str) -> float:
        """What the generator itself may have added to a duration, in the metric's unit: 99 of 100
        samples were delayed by no more. NaN for other metrics, and where nothing was measured."""
        name = parse_selector(selector).name
        declaration = self.metrics[name].declaration
        if not isinstance(declaration, Trend) or not declaration.unit_ns:
            return math.nan
        if name in MEASURED_BY_THE_KERNEL:
            return math.nan
        warmup_s = 0.0 if self.warmup is None else self.warmup.duration_s
        counts = (
            (one.end_s, value["count"])
            for one in self.timeline.seconds
            if one.end_s > warmup_s + 1e-6 and isinstance(value := one.values.get(name), dict)
        )
        return error_within(self.generator.samples, counts) * 1e6 / declaration.unit_ns
