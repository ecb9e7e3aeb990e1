"""What a user reads of a metric, as ``result.metrics["name"]``: numbers in the declared unit."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Protocol

from ghostcore.errors import UsageError
from ghostcore.metrics.declarations import Counter, Declaration, Gauge, Rate, Trend
from ghostcore.metrics.histogram import Histogram
from ghostcore.metrics.quantiles import Bounds, Interval, Ranked, TooFew, in_unit
from ghostcore.metrics.quantiles import interval as _interval
from ghostcore.metrics.recorders import AnyState, CounterState, GaugeState, RateState, TrendState

__all__ = [
    "CounterView",
    "GaugeView",
    "NamedView",
    "RateView",
    "TrendView",
    "View",
    "number_text",
    "view_of",
]

UNKNOWN = Bounds(math.nan, math.nan)


def number_text(value: float) -> str:
    """A number as reports print it: up to three decimals, more only for what is below 1."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if abs(value) < 1:
        return f"{value:.4g}"
    text = f"{value:.3f}"
    return text.rstrip("0").rstrip(".")


def bounds_text(bounds: Bounds) -> str:
    """``12.3``; ``>= 10000`` where the bounds differ; ``inf``; ``-`` where nothing was measured."""
    if math.isnan(bounds.lower) or bounds.agree:
        return number_text(bounds.lower)
    return f">= {number_text(bounds.lower)}"


class TrendView:
    """Samples of a Trend. ``min``, ``max`` and ``mean`` are those of the samples that have a
    value, NaN where none has; quantiles are those of all samples (see :mod:`.quantiles`)."""

    def __init__(self, name: str, declaration: Trend, state: TrendState | None) -> None:
        self.name = name
        self.declaration = declaration
        self.state = TrendState(declaration.resolution) if state is None else state

    @property
    def unit(self) -> str:
        """The declared unit."""
        return self.declaration.unit

    @property
    def histogram(self) -> Histogram:
        """The samples that have a value, in units of the declared resolution."""
        return self.state.hist

    @cached_property
    def _ranked(self) -> Ranked:
        return Ranked(self.state)

    @property
    def count(self) -> int:
        """All samples, failed and cut off ones included."""
        return self.state.count

    @property
    def failed(self) -> int:
        """Operations that will never be answered; infinite in quantiles."""
        return self.state.failed

    @property
    def cut_off(self) -> int:
        """Operations that were cut off; at least their t in quantiles."""
        return sum(self.cut_off_by_cause.values())

    @property
    def cut_off_by_cause(self) -> dict[str, int]:
        """The number of cut-off operations by cause, of causes that occurred."""
        return {cause: cut.count for cause, cut in self.state.cut_off.items()}

    def _value(self, units: float | None) -> float:
        return math.nan if units is None else in_unit(units, self.state.resolution)

    @property
    def min(self) -> float:
        """The exact smallest value."""
        return self._value(self.state.hist.min)

    @property
    def max(self) -> float:
        """The exact greatest value."""
        return self._value(self.state.hist.max)

    @property
    def mean(self) -> float:
        """The mean of the exact values."""
        return self._value(self.state.hist.mean)

    def p(self, q: float) -> float:
        """The lower bound of percentile ``q``, 0..100.

        ``inf`` where its rank falls among the failed. Where cut-off samples leave the percentile
        open (``bounds(q).agree`` is False) read it as "at least": ``text(q)`` says so.
        """
        return self.bounds(q).lower

    def bounds(self, q: float) -> Bounds:
        """Both bounds of percentile ``q``, 0..100; NaN where there is no sample."""
        share = _share(q)
        return self._ranked.bounds(share) if self.count else UNKNOWN

    def interval(self, q: float, confidence: float = 0.95) -> Interval | TooFew:
        """The confidence interval of percentile ``q``, or how many samples it would need."""
        return _interval(self.state, _share(q), confidence)

    def text(self, q: float) -> str:
        """Percentile ``q`` as text: ``12.3``, ``>= 10000``, ``inf`` or ``-``."""
        return bounds_text(self.bounds(q))

    def all_min(self) -> Bounds:
        """The minimum of all samples, cut-off ones at their t and at infinity."""
        if not self.count:
            return UNKNOWN
        known = [hist.min for hist in (self.histogram, *self.state.cut_off.values())]
        lower = min((self._value(units) for units in known if units is not None), default=math.inf)
        return Bounds(lower, self.min if self.histogram else math.inf)

    def all_max(self) -> Bounds:
        """The maximum of all samples; infinite if one failed."""
        if not self.count:
            return UNKNOWN
        if self.failed:
            return Bounds(math.inf, math.inf)
        known = [hist.max for hist in (self.histogram, *self.state.cut_off.values())]
        lower = max(self._value(units) for units in known if units is not None)
        return Bounds(lower, math.inf if self.cut_off else lower)

    def all_mean(self) -> Bounds:
        """The mean of all samples; infinite if one failed."""
        if not self.count:
            return UNKNOWN
        if self.failed:
            return Bounds(math.inf, math.inf)
        total = sum(hist.sum for hist in (self.histogram, *self.state.cut_off.values()))
        lower = self._value(total / self.count)
        return Bounds(lower, math.inf if self.cut_off else lower)


class CounterView:
    """The sum of a Counter."""

    def __init__(
        self, name: str, declaration: Counter, state: CounterState | None, seconds: float
    ) -> None:
        self.name = name
        self.declaration = declaration
        self.state = CounterState() if state is None else state
        self.seconds = seconds

    @property
    def unit(self) -> str:
        """The declared unit."""
        return self.declaration.unit

    @property
    def samples(self) -> int:
        """How many additions there were; 0: nothing is known, which is not the same as a 0."""
        return self.state.samples

    @property
    def count(self) -> float:
        """The sum; an int where it is whole."""
        total = self.state.total
        return int(total) if total.is_integer() else total

    @property
    def rate(self) -> float:
        """The sum per second of the run; NaN for a run without duration."""
        return self.state.total / self.seconds if self.seconds > 0 else math.nan


class RateView:
    """The share of what passed."""

    def __init__(self, name: str, declaration: Rate, state: RateState | None) -> None:
        self.name = name
        self.declaration = declaration
        self.state = RateState() if state is None else state

    @property
    def passes(self) -> int:
        """How many passed."""
        return self.state.passes

    @property
    def fails(self) -> int:
        """How many did not."""
        return self.state.fails

    @property
    def rate(self) -> float:
        """The share of what passed, 0..1; NaN where nothing was counted."""
        total = self.passes + self.fails
        return self.passes / total if total else math.nan


class GaugeView:
    """A level: the last one and its extremes, NaN where it was never set."""

    def __init__(self, name: str, declaration: Gauge, state: GaugeState | None) -> None:
        self.name = name
        self.declaration = declaration
        self.state = state

    @property
    def unit(self) -> str:
        """The declared unit."""
        return self.declaration.unit

    @property
    def value(self) -> float:
        """The last level."""
        return math.nan if self.state is None else self.state.value

    @property
    def min(self) -> float:
        """The lowest level."""
        return math.nan if self.state is None else self.state.min

    @property
    def max(self) -> float:
        """The highest level."""
        return math.nan if self.state is None else self.state.max


View = TrendView | CounterView | RateView | GaugeView


class NamedView(Protocol):
    """The view of a metric that was asked for by its name, which does not tell a type checker its
    kind: the attributes of all four kinds, of which the view has those of its own.

    Ask for the metric by its declaration, or narrow the view with ``isinstance``, to have the
    attributes checked.
    """

    name: str

    @property
    def declaration(self) -> Any:
        """The declaration of the metric, of its kind."""

    @property
    def state(self) -> Any:
        """What was measured, in the form of its kind."""

    @property
    def unit(self) -> str:
        """The declared unit; not for a Rate."""

    @property
    def count(self) -> Any:
        """An int: the samples of a Trend. A number: the sum of a Counter."""

    @property
    def rate(self) -> float:
        """The sum of a Counter per second; the share of a Rate that passed."""

    @property
    def min(self) -> float:
        """The smallest value of a Trend, the lowest level of a Gauge."""

    @property
    def max(self) -> float:
        """The greatest value of a Trend, the highest level of a Gauge."""

    @property
    def mean(self) -> float:
        """The mean of the values of a Trend."""

    @property
    def failed(self) -> int:
        """Samples of a Trend that will never have a value."""

    @property
    def cut_off(self) -> int:
        """Samples of a Trend that were cut off."""

    @property
    def cut_off_by_cause(self) -> dict[str, int]:
        """The same by cause."""

    @property
    def histogram(self) -> Histogram:
        """The samples of a Trend that have a value."""

    def p(self, q: float) -> float:
        """The lower bound of percentile ``q``, 0..100, of a Trend."""

    def bounds(self, q: float) -> Bounds:
        """Both bounds of percentile ``q``, 0..100, of a Trend."""

    def interval(self, q: float, confidence: float = 0.95) -> Interval | TooFew:
        """The confidence interval of percentile ``q`` of a Trend."""

    def text(self, q: float) -> str:
        """Percentile ``q`` of a Trend as text."""

    def all_min(self) -> Bounds:
        """The minimum of all samples of a Trend."""

    def all_max(self) -> Bounds:
        """The maximum of all samples of a Trend."""

    def all_mean(self) -> Bounds:
        """The mean of all samples of a Trend."""

    @property
    def samples(self) -> int:
        """How many additions to a Counter there were."""

    @property
    def seconds(self) -> float:
        """The time over which the rate of a Counter is taken."""

    @property
    def passes(self) -> int:
        """How many of a Rate passed."""

    @property
    def fails(self) -> int:
        """How many of a Rate did not."""

    @property
    def value(self) -> float:
        """The last level of a Gauge."""


def view_of(
    declaration: Declaration, state: AnyState | None, *, seconds: float, name: str = ""
) -> View:
    """The view of a metric.

    :param state: what was measured; None where nothing was.
    :param seconds: duration of the run or window, for rates of counters.
    :param name: how the metric was asked for, tags included; default: its name.
    :raises UsageError: where the state is of another kind than the declaration.
    """
    name = name or declaration.name
    match declaration, state:
        case Trend(), TrendState() | None:
            return TrendView(name, declaration, state)
        case Counter(), CounterState() | None:
            return CounterView(name, declaration, state, seconds)
        case Rate(), RateState() | None:
            return RateView(name, declaration, state)
        case Gauge(), GaugeState() | None:
            return GaugeView(name, declaration, state)
    raise UsageError(f"metric {name} is a {declaration.kind}, but its data is {state!r}")


def _share(percentile: float) -> float:
    if not 0 <= percentile <= 100:
        raise UsageError(f"a percentile lies within 0 and 100, not {percentile!r}")
    return percentile / 100
