"""Puts together what workers report, second by second."""

from __future__ import annotations

from ghostcore.errors import OWN_KINDS
from ghostcore.execution.listeners import Listeners
from ghostcore.execution.plan import Plan
from ghostcore.execution.progress import Progress
from ghostcore.execution.validity import excuse_by_generator
from ghostcore.execution.watch import ThresholdWatch
from ghostcore.execution.worker import WorkerReport
from ghostcore.load.control import RunControl
from ghostcore.metrics import BUILTINS, Snapshot, ThresholdResult, Totals
from ghostcore.metrics.recorders import CounterState
from ghostcore.monitor.generator_report import GeneratorReport
from ghostcore.results.record import ErrorCount, ErrorSample, Metrics, WarmUp
from ghostcore.results.timeline import Timeline

__all__ = ["RunAccumulator"]


class RunAccumulator:
    """What is known of a run.

    :ivar totals: everything so far.
    :ivar timeline: the same, second by second.
    :ivar counted: what counts for metrics and thresholds: the same, but without the warm-up.
    :ivar aborted_by: the thresholds that ended the run.
    """

    def __init__(self, plan: Plan, control: RunControl, listeners: Listeners) -> None:
        self._plan = plan
        self._control = control
        self._listeners = listeners
        declarations = {**BUILTINS, **plan.declarations}
        self.totals = Totals(declarations)
        self.counted = Totals(declarations) if plan.warmup_ns else self.totals
        self._cut = Totals(declarations)
        self.timeline = Timeline()
        self.errors: list[ErrorSample] = []
        self.generator = GeneratorReport()
        self.aborted_by: list[ThresholdResult] = []
        self._watch = ThresholdWatch(plan, declarations)

    def report(self, report: WorkerReport) -> None:
        """Another second is over."""
        snapshot = report.snapshot
        self.totals.add(snapshot)
        self.timeline.add(snapshot)
        if snapshot.start_ns < self._plan.warmup_ns:
            self._cut.add(snapshot)
        else:
            self._count(snapshot)
        self.errors += report.errors
        self.generator.samples.append(report.generator)
        counts = self.counted.start_ns is not None
        if counts and not report.final and not self._control.stop_requested.is_set():
            self._judge(snapshot.end_ns)
        if self._listeners.any_follows:
            self._tell(report)

    def _count(self, snapshot: Snapshot) -> None:
        if self.counted is not self.totals:
            if self.counted.start_ns is None:
                self.counted.add(_known_counters(self._cut, snapshot.start_ns))
            self.counted.add(snapshot)
        self._watch.add(snapshot)

    def warmup(self) -> WarmUp | None:
        """What was cut; None where there was no warm-up."""
        if not self._plan.warmup_ns:
            return None
        return WarmUp(self._cut.seconds, Metrics(self._cut, tuple(self._plan.declarations)))

    def _judge(self, at_ns: int) -> None:
        self.aborted_by = self._watch.judge_now(self.counted, at_ns)
        if self.aborted_by:
            names = ", ".join(f"{one.metric} {one.expression}" for one in self.aborted_by)
            self._control.interrupt(f"threshold {names} failed")

    def _tell(self, report: WorkerReport) -> None:
        """Report progress to the listeners. A listener that fails ends the run: it may be all that
        the user sees of the run."""
        progress = Progress(
            self._plan,
            self.totals,
            self.timeline,
            self.errors,
            report.snapshot.end_ns / 1e9,
            self._plan.duration_ns / 1e9,
            sum(report.planned.values()),
            sum(report.active.values()),
            self._control.reason,
            self.counted,
            report.snapshot,
        )
        failed_before = self._listeners.error is not None
        self._listeners.progressed(progress)
        if self._listeners.error is not None and not failed_before:
            self._control.interrupt(f"the listener failed: {self._listeners.error!r}")

    def thresholds(self, *, began: bool) -> list[ThresholdResult]:
        """Every threshold at the end of the run.

        :param began: did the load? Else there is nothing to judge.
        """
        if not began:
            reason = "not judged: the load was never started"
            return [
                ThresholdResult(
                    one.selector, one.condition.expression, None, "-", "undetermined", reason
                )
                for one in self._plan.thresholds
            ]
        generator, warmup_s = self.trusted(), self._plan.warmup_ns / 1e9
        return [
            excuse_by_generator(result, planned, self.counted, self.timeline, generator, warmup_s)
            for planned, result in zip(
                self._plan.thresholds, self._watch.conclude(self.counted), strict=True
            )
        ]

    def trusted(self) -> GeneratorReport:
        """How the generator did, as far as it counts: without the warm-up."""
        warmup_s = self._plan.warmup_ns / 1e9
        counted = [one for one in self.generator.samples if one.at_s > warmup_s + 1e-6]
        return GeneratorReport(counted, self.generator.calibration)

    def error_counts(self, metrics: Metrics) -> list[ErrorCount]:
        """Errors by kind, the most frequent first."""
        counts: dict[str, int] = {}
        for key in metrics.series("ws_errors"):
            kind = dict(key.tags).get("kind")
            if kind is not None:
                counts[kind] = metrics.count_of(f"ws_errors{{kind:{kind}}}")
        for kind, own in OWN_KINDS.items():
            if count := metrics.count_of(own.counter):
                counts[kind] = count
        return [
            ErrorCount(kind, count, tuple(one for one in self.errors if one.kind == kind))
            for kind, count in sorted(counts.items(), key=lambda pair: -pair[1])
        ]


def _known_counters(cut: Totals, at_ns: int) -> Snapshot:
    """Counters that were known before the warm-up ended begin at 0: "no errors since" is known."""
    known = Snapshot(at_ns, at_ns)
    for key, state in cut.series.items():
        if isinstance(state, CounterState):
            known.series[key] = CounterState(0.0, 1)
            known.declarations[key.name] = cut.declarations[key.name]
    return known
