"""What the generator's own trouble means for what was measured.

Lag only makes latencies longer, and a generator that is too slow only makes counts smaller. So a
threshold that holds, holds; one that fails has to fail in the seconds that can be trusted as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ghostcore._units import format_duration
from ghostcore.execution.plan import PlannedThreshold
from ghostcore.metrics import (
    Condition,
    Counter,
    CounterView,
    Declaration,
    ThresholdResult,
    Totals,
    Trend,
    View,
    evaluate,
    parse_selector,
    view_of,
)
from ghostcore.metrics.recorders import CounterState
from ghostcore.metrics.views import number_text
from ghostcore.monitor.generator_report import GeneratorReport, Span, is_within
from ghostcore.monitor.rules import (
    ERROR_MARGIN,
    LEAST_PERCENTILE,
    LOCAL_KINDS,
    UNDELIVERED_SHARE,
)
from ghostcore.monitor.sample import Doubt, GeneratorSample
from ghostcore.results.record import Metrics, Outcome
from ghostcore.results.timeline import Timeline

__all__ = ["excuse_by_generator", "local_failures_of_run", "suspect_note", "undelivered"]


def excuse_by_generator(
    result: ThresholdResult,
    planned: PlannedThreshold,
    counted: Totals,
    timeline: Timeline,
    generator: GeneratorReport,
    warmup_s: float = 0.0,
) -> ThresholdResult:
    """The result of a threshold in the light of the seconds that are suspect.

    A failure is undetermined if the threshold would hold without these seconds, or if there are no
    others, and what happened in them can explain it: an upper limit of a duration and a lower limit
    of a sum by whatever makes a second suspect, anything else only by what is grave (time-outs may
    have passed). A lower limit of a sum is judged at the pace of the seconds that can be trusted.

    A high quantile of durations has to fail by more than the generator's own error as well, in
    seconds that are not suspect too: by ERROR_MARGIN times what it was in the worst of them. Where
    it does not, the seconds with the largest errors are left out, until it does, or holds, or none
    is left.

    :param counted: what the threshold was judged on.
    :param generator: how the generator did after the warm-up.
    :param warmup_s: length of the warm-up, which does not count.
    """
    if result.verdict != "fail" or result.observed is None:
        return result
    failure = _Failure(result, planned, counted, timeline, generator, warmup_s)
    result = _without_suspect(failure, result.observed)
    if result.verdict != "fail":
        return result
    return _beside_error(replace(failure, result=result))


@dataclass(frozen=True)
class _Failure:
    """A threshold that failed, and what it can be judged on again."""

    result: ThresholdResult
    planned: PlannedThreshold
    counted: Totals
    timeline: Timeline
    generator: GeneratorReport
    warmup_s: float

    @property
    def condition(self) -> Condition:
        return self.planned.condition

    @property
    def declaration(self) -> Declaration:
        return self.counted.declarations[parse_selector(self.planned.selector).name]

    def includes(self, spans: Sequence[Span]) -> bool:
        """Whether the threshold was judged on one of these seconds, to the granularity of blocks.
        Blocks may be longer than its window, so that they cannot judge seconds outside of it."""
        return self.timeline.touches(spans, self.condition.window_s, self.result.aborted_at_s)

    def without(self, spans: Sequence[Span]) -> tuple[View, float]:
        """What was measured outside of these seconds, and how many seconds that is."""
        totals, kept_s = self.timeline.outside(
            [(0.0, self.warmup_s), *spans], self.condition.window_s, self.result.aborted_at_s
        )
        selector = self.planned.selector
        state = totals.metric(selector)
        return view_of(self.declaration, state, seconds=kept_s, name=selector), kept_s


def _without_suspect(failure: _Failure, observed: float) -> ThresholdResult:
    result, condition, declaration = failure.result, failure.condition, failure.declaration
    spans = failure.generator.suspect_spans
    if not failure.includes(spans):
        return result
    if not _may_be_explained(observed, condition, declaration, failure.generator):
        return result
    view, kept_s = failure.without(spans)
    if kept_s <= 0:
        return _in_doubt(result, "no second can be trusted")
    if _is_shortage(condition, declaration) and condition.aggregation == "count":
        all_s = failure.counted.seconds
        if condition.window_s is not None:
            all_s = min(all_s, condition.window_s)
        view = _at_pace(view, all_s / kept_s)
    trusted = evaluate(condition, view, allow_empty=True)
    if trusted.verdict == "fail":
        kept = f"the {format_duration(round(kept_s, 1))} that can be trusted"
        return replace(result, reason=f"{result.reason} ({trusted.observed_text} in {kept})")
    if trusted.observed is None:
        return _in_doubt(result, "no second in which it was measured can be trusted")
    kept = f"in the {format_duration(round(kept_s, 1))} that can be trusted"
    return _in_doubt(result, f"{trusted.observed_text} {kept}")


def _beside_error(failure: _Failure) -> ThresholdResult:
    result, condition, declaration = failure.result, failure.condition, failure.declaration
    if (
        math.isinf(result.observed or 0.0)
        or not _is_latency(condition, declaration)
        or not _is_high_quantile(condition)
    ):
        return result
    assert isinstance(declaration, Trend)
    samples = failure.generator.samples
    errors = [(_error_ms(one, condition), one) for one in samples if not one.doubts]
    most_ms, below_ms = max((error_ms for error_ms, _ in errors), default=0.0), math.inf
    while True:
        left_out = [
            *failure.generator.suspect_spans,
            *((one.start_s, one.at_s) for error_ms, one in errors if error_ms >= below_ms),
        ]
        kept, kept_s = result, 0.0
        if failure.includes(left_out):
            view, kept_s = failure.without(left_out)
            kept = evaluate(condition, view, allow_empty=True)
        if kept.observed is None:
            most = number_text(most_ms)
            return _in_doubt(result, f"the generator's own error was up to {most} ms")
        if kept.verdict != "fail":
            return _in_doubt(
                result,
                f"{kept.observed_text} in the {format_duration(round(kept_s, 1))} in which the "
                f"generator's own error was below {number_text(below_ms)} ms",
            )
        excess_ms = (kept.observed - condition.limit) * declaration.unit_ns / 1e6
        worst_ms = max((error_ms for error_ms, _ in errors if error_ms < below_ms), default=0.0)
        if excess_ms >= ERROR_MARGIN * worst_ms:
            return result
        # Halved at the least: few rounds, however many seconds there are.
        below_ms = min(excess_ms / ERROR_MARGIN, below_ms / 2)


def _is_high_quantile(condition: Condition) -> bool:
    """Of most samples the generator's error is far below what 99 of 100 stay within."""
    return condition.aggregation == "max" or (condition.percentile or 0) >= LEAST_PERCENTILE


def _error_ms(sample: GeneratorSample, condition: Condition) -> float:
    """What the generator can have added in that second to what the condition looks at."""
    if condition.aggregation != "max" and (condition.percentile or 0) < 99:
        return sample.error_ms
    # A single stretch of lag can delay 1 % of all samples, and yet show in one timer of 100 only.
    parts = (sample.loop_lag_ms, sample.stamp_error_ms)
    return sum(part for part in parts if not math.isnan(part))


def _in_doubt(result: ThresholdResult, why: str) -> ThresholdResult:
    reason = f"{result.reason}, but {why}: the generator may be to blame"
    return replace(result, verdict="undetermined", reason=reason)


def _may_be_explained(
    observed: float, condition: Condition, declaration: Declaration, generator: GeneratorReport
) -> bool:
    """Whether the generator's trouble is of a kind that can make such a condition fail."""
    if _is_shortage(condition, declaration):
        return observed > 0  # being slow does not explain that nothing came at all
    if math.isinf(observed):
        return generator.grave  # operations failed: they were not late
    return generator.grave or _is_latency(condition, declaration)


def _is_latency(condition: Condition, declaration: Declaration) -> bool:
    """An upper limit of a duration."""
    is_duration = isinstance(declaration, Trend) and declaration.unit_ns > 0
    return is_duration and condition.op in ("<", "<=") and condition.aggregation != "count"


def _is_shortage(condition: Condition, declaration: Declaration) -> bool:
    """A lower limit of how much was done."""
    counts = isinstance(declaration, Counter) or condition.aggregation == "count"
    return counts and condition.op in (">", ">=")


def _at_pace(view: View, factor: float) -> View:
    """A sum, as it would be over all of the run."""
    count = float(getattr(view, "count", 0))
    declaration = Counter(view.declaration.name)
    return CounterView(view.name, declaration, CounterState(count * factor, 1), seconds=0)


def local_failures_of_run(metrics: Metrics) -> int:
    """Connections that failed because this machine had no source port or descriptor left."""
    return sum(metrics.count_of(f"ws_errors{{kind:{kind}}}") for kind in LOCAL_KINDS)


def undelivered(
    metrics: Metrics, outcome: Outcome, timeline: Timeline, generator: GeneratorReport
) -> Iterator[str]:
    """Why more than 1 % of the offered load was not delivered through the generator's fault."""
    spans = generator.suspect_spans
    dropped = sum(
        int(second.values.get("dropped_iterations", 0))
        for second in timeline.seconds
        if is_within(second.start_s, second.end_s, spans)
    )
    if dropped > UNDELIVERED_SHARE * outcome.offered:
        yield (
            f"{dropped} of {outcome.offered} starts were dropped while the generator was in trouble"
        )
    attempts, failures = metrics.count_of("ws_sessions"), local_failures_of_run(metrics)
    if failures > UNDELIVERED_SHARE * attempts:
        yield (
            f"{failures} of {attempts} connections found no source port or descriptor on this "
            "machine: see 'ghostcore doctor'"
        )
    blamed = generator.blamed
    blocked_s = sum(stall.own_ms for stall in blamed) / 1000
    if blocked_s > UNDELIVERED_SHARE * metrics.totals.seconds:
        share = 100 * blocked_s / max(metrics.totals.seconds, blocked_s)
        places = list(dict.fromkeys(stall.place for stall in blamed))
        times = "once" if len(blamed) == 1 else f"{len(blamed)} times"
        more = f" (and {len(places) - 1} more lines)" if len(places) > 1 else ""
        yield (
            f"the script blocked the event loop {times}, for {blocked_s:.2f} s in all "
            f"({share:.0f} % of the run): no user could act meanwhile: {places[0]}{more}"
        )


def suspect_note(metrics: Metrics, generator: GeneratorReport) -> str:
    """How much of the run is suspect, and why; "" if nothing is."""
    spans = generator.suspect_spans
    if not spans:
        return ""
    suspect_s = sum(end_s - start_s for start_s, end_s in spans)
    by_rule: dict[str, list[Doubt]] = {}
    for sample in generator.suspect:
        for doubt in sample.doubts:
            by_rule.setdefault(doubt.rule, []).append(doubt)
    by_rule.pop("after", None)
    causes = [
        max(doubts, key=lambda one: one.size).text
        + (f", the worst of {len(doubts)} times" if len(doubts) > 1 else "")
        for doubts in by_rule.values()
    ]
    whole = format_duration(round(metrics.totals.seconds, 1))
    return f"{format_duration(round(suspect_s, 1))} of {whole} are suspect: {'; '.join(causes)}"
