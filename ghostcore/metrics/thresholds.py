"""Pass or fail criteria in k6's grammar, judged with three outcomes.

``p(95)<1000`` passes if it holds whatever became of the operations that were cut off, fails if it
fails whatever became of them, and is undetermined otherwise. Failed operations are infinite.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ghostcore._units import Duration, parse_duration
from ghostcore.errors import InvalidPlan, UsageError
from ghostcore.metrics.declarations import FROM_DUE, Counter, Declaration, Gauge, Rate, Trend
from ghostcore.metrics.quantiles import Bounds
from ghostcore.metrics.views import (
    CounterView,
    GaugeView,
    RateView,
    TrendView,
    View,
    bounds_text,
    number_text,
)

__all__ = [
    "Condition",
    "Threshold",
    "ThresholdResult",
    "Verdict",
    "evaluate",
    "is_empty",
    "parse",
    "threshold_of",
]

Verdict = Literal["pass", "fail", "undetermined"]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_EXPRESSION = re.compile(
    rf"""\s*(?P<aggregation> [a-z]+ ) \s* (?: \( \s* (?P<percentile> {_NUMBER} ) \s* \) )?
    \s* (?P<op> <= | >= | === | == | != | < | > )
    \s* (?P<limit> {_NUMBER} )
    (?: \s+ over \s+ last \s+ (?P<window> (?: \d+(?:\.\d+)? (?:ms|s|m|h) )+ ) )? \s*""",
    re.VERBOSE,
)

_AGGREGATIONS: dict[type[Declaration], tuple[str, ...]] = {
    Counter: ("count", "rate"),
    Gauge: ("value",),
    Rate: ("rate",),
    Trend: ("avg", "min", "max", "med", "p", "count"),
}
_EXPECTED = (
    "expected AGGREGATION OPERATOR NUMBER, e.g. p(95)<1000 or count==0 over last 30s, with "
    "count, rate, value, avg, min, max, med or p(0..100) and one of < <= > >= == === !="
)


_K6_OPTIONS = {"threshold", "abortOnFail", "delayAbortEval"}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold that may end the run: in ``thresholds={METRIC: Threshold("p(95)<500", ...)}``.

    A value without state, checked before a run starts. A text alone is a threshold without options.

    :param expression: e.g. ``p(95)<500`` or ``rate>0.99 over last 30s``.
    :param abort_on_fail: end the run as soon as it fails (judged once a second), not only judge it
        at the end. Over a window: when it has failed twice in a row, the window being full.
    :param delay: seconds or "10s" from the start of the run before which it ends none.
    """

    expression: str
    abort_on_fail: bool = False
    delay: Duration = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed expression.

    :ivar expression: as it was written, without outer spaces.
    :ivar aggregation: ``count``, ``rate``, ``value``, ``avg``, ``min``, ``max``, ``med`` or ``p``.
    :ivar percentile: 0..100 for ``p``, 50 for ``med``, else None.
    :ivar op: ``<``, ``<=``, ``>``, ``>=``, ``==`` or ``!=``.
    :ivar limit: in the metric's unit.
    :ivar window_s: seconds of ``over last``; None: all data since the start.
    """

    expression: str
    aggregation: str
    percentile: float | None
    op: str
    limit: float
    window_s: float | None = None

    def validate(self, metric: Declaration) -> list[str]:
        """What is wrong with applying this threshold to a metric; empty if nothing is."""
        allowed = _AGGREGATIONS.get(type(metric), ())
        if self.aggregation in allowed:
            return []
        shown = ", ".join("p(0..100)" if name == "p" else name for name in allowed)
        return [
            f"threshold {self.expression!r} on {metric.name}: a {metric.kind} has no "
            f"{self.aggregation}; it has {shown}"
        ]


@dataclass(frozen=True, slots=True)
class ThresholdResult:
    """A judged threshold.

    :ivar metric: the selector of the metric.
    :ivar observed: the figure, its lower bound where it is not exactly known; None without data.
    :ivar observed_text: the same as reports print it: ``12.3``, ``>= 10000``, ``inf`` or ``-``.
    :ivar reason: why the verdict is what it is, in one sentence.
    :ivar aborted_at_s: when it ended the run, in seconds from its start; None if it did not.
    :ivar breaches: of a threshold over a window: how often it failed, judged once a second while
        the run went.
    :ivar first_breach_s: when it first failed, in seconds from the start of the run.
    """

    metric: str
    expression: str
    observed: float | None
    observed_text: str
    verdict: Verdict
    reason: str
    aborted_at_s: float | None = None
    breaches: int = 0
    first_breach_s: float | None = None


def threshold_of(given: object) -> tuple[Condition, bool, float]:
    """What a user gave as a threshold: condition, abort_on_fail, delay in seconds.

    :param given: a text, a :class:`Threshold`, or k6's form, a mapping with ``threshold``,
        ``abortOnFail`` and ``delayAbortEval``.
    :raises InvalidPlan: with all that is wrong with it.
    """
    problems: list[str] = []
    if isinstance(given, Mapping):
        unknown = [str(key) for key in given if key not in _K6_OPTIONS]
        if unknown:
            known = ", ".join(sorted(_K6_OPTIONS))
            problems.append(f"threshold {given!r}: no {', '.join(unknown)}; it may have {known}")
        delay = given.get("delayAbortEval")
        given = Threshold(
            given.get("threshold", ""),
            given.get("abortOnFail", False),
            0 if delay is None else delay,
        )
    elif isinstance(given, str):
        given = Threshold(given)
    if not isinstance(given, Threshold):
        raise InvalidPlan([f"threshold {given!r}: expected a text or Threshold(...)"])
    condition, delay_s = None, 0.0
    try:
        if not isinstance(given.expression, str):
            raise UsageError(f"threshold {given.expression!r}: expected a text")
        condition = parse(given.expression)
    except UsageError as error:
        problems.append(str(error))
    try:
        delay_s = parse_duration(given.delay, f"threshold {given.expression!r}: its delay")
    except UsageError as error:
        problems.append(str(error))
    if not isinstance(given.abort_on_fail, bool):
        problems.append(
            f"threshold {given.expression!r}: abort_on_fail must be True or False, not "
            f"{given.abort_on_fail!r}"
        )
    if problems or condition is None:
        raise InvalidPlan(problems)
    return condition, given.abort_on_fail, delay_s


def parse(expression: str) -> Condition:
    """A condition from its text. UsageError, with what was expected, if it is none."""
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise UsageError(f"threshold {expression!r}: {_EXPECTED}")
    aggregation, written = match["aggregation"], match["percentile"]
    if not any(aggregation in names for names in _AGGREGATIONS.values()):
        raise UsageError(f"threshold {expression!r}: unknown figure {aggregation}; {_EXPECTED}")
    if (aggregation == "p") != (written is not None):
        form = "p needs a percentile: p(95)" if written is None else f"{aggregation} takes none"
        raise UsageError(f"threshold {expression!r}: {form}; {_EXPECTED}")
    percentile = 50.0 if aggregation == "med" else None
    if written is not None:
        percentile = float(written)
        if not 0 <= percentile <= 100:
            raise UsageError(
                f"threshold {expression!r}: percentile {written} is not within 0 and 100"
            )
    limit = float(match["limit"])
    if not math.isfinite(limit):
        raise UsageError(f"threshold {expression!r}: the limit is too big for a number")
    window_s = None
    if match["window"]:
        window_s = parse_duration(match["window"], f"threshold {expression!r}: the window")
        if window_s < 1:
            raise UsageError(
                f"threshold {expression!r}: the window must be at least 1s: it moves by seconds"
            )
    op = "==" if match["op"] == "===" else match["op"]
    return Condition(expression.strip(), aggregation, percentile, op, limit, window_s)


def evaluate(threshold: Condition, view: View, allow_empty: bool = False) -> ThresholdResult:
    """Judge a threshold.

    :param view: the metric; for ``over last`` that of the window, which the caller cuts out.
    :param allow_empty: without data, pass (counts are judged as 0) instead of failing.
    :raises UsageError: where the metric has no such aggregation.
    """
    problems = threshold.validate(view.declaration)
    if problems:
        raise UsageError(problems[0])

    def result(verdict: Verdict, reason: str, figure: Bounds | None = None) -> ThresholdResult:
        return ThresholdResult(
            metric=view.name,
            expression=threshold.expression,
            observed=None if figure is None else figure.lower,
            observed_text="-" if figure is None else bounds_text(figure),
            verdict=verdict,
            reason=reason,
        )

    if is_empty(view):
        if not allow_empty:
            why = f"no data: nothing was measured, so nothing can pass{_hint(threshold, view)}"
            return result("fail", why)
        if threshold.aggregation != "count":
            return result("pass", "no data, which is allowed here")
    figure = _figure(threshold, view)
    if math.isnan(figure.lower):
        return result("fail", f"no {threshold.aggregation}: the run had no duration")
    verdict = _judge(threshold.op, figure, threshold.limit)
    return result(verdict, _reason(threshold, figure, view, verdict), figure)


def _hint(threshold: Condition, view: View) -> str:
    """What is easily overlooked where a metric has no data."""
    if isinstance(view, CounterView) and not threshold.op.startswith(">"):
        return " (a counter is known to be 0 once a 0 was recorded)"
    if view.declaration.name.endswith(FROM_DUE):
        return " (only what a start or a tick of every() begins with counts from its due time)"
    return ""


def is_empty(view: View) -> bool:
    """Was nothing measured?"""
    match view:
        case TrendView():
            return view.count == 0
        case CounterView():
            return view.samples == 0
        case RateView():
            return view.passes + view.fails == 0
        case GaugeView():
            return view.state is None


def _figure(threshold: Condition, view: View) -> Bounds:
    """The aggregated figure with its bounds, of which the view has the aggregation."""
    if isinstance(view, TrendView):
        match threshold.aggregation:
            case "avg":
                return view.all_mean()
            case "min":
                return view.all_min()
            case "max":
                return view.all_max()
        if threshold.percentile is not None:
            return view.bounds(threshold.percentile)
    exact = float(getattr(view, threshold.aggregation))
    return Bounds(exact, exact)


def _judge(op: str, figure: Bounds, limit: float) -> Verdict:
    """Does ``x op limit`` hold for every x within the bounds, for none, or for some?"""
    low, high = figure.lower, figure.upper
    match op:
        case "<":
            holds, fails = high < limit, low >= limit
        case "<=":
            holds, fails = high <= limit, low > limit
        case ">":
            holds, fails = low > limit, high <= limit
        case ">=":
            holds, fails = low >= limit, high < limit
        case "==":
            holds, fails = low == high == limit, not low <= limit <= high
        case _:
            holds, fails = not low <= limit <= high, low == high == limit
    return "pass" if holds else "fail" if fails else "undetermined"


def _reason(threshold: Condition, figure: Bounds, view: View, verdict: Verdict) -> str:
    shown = threshold.aggregation
    if threshold.aggregation == "p":
        shown = f"p({number_text(threshold.percentile or 0.0)})"
    text = f"{shown} is {bounds_text(figure)}"
    if isinstance(view, TrendView):
        if verdict == "undetermined":
            return f"{text}: it depends on the {view.cut_off} operations that were cut off"
        if math.isinf(figure.lower):
            return f"{text}: {view.failed} of {view.count} operations failed"
    return text
