"""Verdicts: the first rule that applies, on figures that are known."""

from __future__ import annotations

from ghostcore import VU, ConstantVUs, Trend, scenario
from ghostcore.execution.plan import Plan, make_plan
from ghostcore.execution.verdict import judge, outcome_of
from ghostcore.execution.watch import ThresholdWatch
from ghostcore.metrics import BUILTINS, Registry, Totals
from ghostcore.monitor.generator_report import GeneratorReport
from ghostcore.results.record import Metrics, RunVerdict
from ghostcore.results.timeline import Timeline

T = Trend("t")
SECOND = 10**9


def plan_with(**options: object) -> Plan:
    thresholds = options.pop("thresholds", {})

    @scenario(load=ConstantVUs(1, 1), thresholds=thresholds, metrics=[T])  # type: ignore[arg-type]
    async def one(vu: VU) -> None:
        """Nothing."""

    return make_plan([one], seed=1, **options)  # type: ignore[arg-type]


class Run:
    """A run of one second, whose counters and samples the test sets."""

    def __init__(self, plan: Plan, **counters: int) -> None:
        self.plan = plan
        self.registry = Registry(plan.declarations.values())
        counters = {"iterations_started": 1, "iterations": 1, **counters}
        for name, amount in counters.items():
            self.registry.recorder(name).add(amount)  # type: ignore[union-attr, arg-type]
        self.totals = Totals({**BUILTINS, **plan.declarations})
        self.watch = ThresholdWatch(plan, self.totals.declarations)

    def judge(
        self, aborted: str | None = None, interrupted: str | None = None
    ) -> tuple[RunVerdict, int, str]:
        snapshot = self.registry.drain(0, SECOND)
        self.totals.add(snapshot)
        self.watch.add(snapshot)
        metrics = Metrics(self.totals)
        thresholds = self.watch.conclude(self.totals)
        verdict, code, reasons = judge(
            self.plan,
            metrics,
            outcome_of(metrics),
            thresholds,
            Timeline(),
            GeneratorReport(),
            aborted=aborted,
            interrupted=interrupted,
        )
        return verdict, code, "\n".join(reasons)


def test_a_run_that_did_something_passes() -> None:
    assert Run(plan_with()).judge()[:2] == ("pass", 0)


def test_nothing_opened_fails_without_any_threshold() -> None:
    verdict, code, reasons = Run(plan_with(), ws_sessions=7, iterations_failed=1).judge()
    assert (verdict, code) == ("fail", 99)
    assert "7 connection attempts, none succeeded" in reasons


def test_nothing_completed_fails() -> None:
    run = Run(plan_with(), ws_sessions=1, ws_sessions_opened=1, iterations_failed=1)
    verdict, code, reasons = run.judge()
    assert (verdict, code) == ("fail", 99)
    assert "nothing was completed" in reasons


def test_nothing_started_fails() -> None:
    verdict, code, reasons = Run(plan_with(), iterations_started=0, iterations=0).judge()
    assert (verdict, code) == ("fail", 99)
    assert "no iteration was started" in reasons


def test_holding_sockets_to_the_end_is_something() -> None:
    run = Run(
        plan_with(), iterations=0, iterations_interrupted=1, ws_sessions=1, ws_sessions_opened=1
    )
    assert run.judge()[:2] == ("pass", 0)


def test_a_threshold_without_data_fails_unless_that_is_allowed() -> None:
    verdict, code, reasons = Run(plan_with(thresholds={T: "p(95)<100"})).judge()
    assert (verdict, code) == ("fail", 99)
    assert "no data" in reasons
    allowed = plan_with(thresholds={T: "p(95)<100"}, allow_empty=True)
    assert Run(allowed).judge()[:2] == ("pass", 0)


def test_cut_off_samples_leave_a_threshold_undetermined() -> None:
    run = Run(plan_with(thresholds={T: "p(95)<100"}))
    recorder = run.registry.recorder(T)
    for _ in range(90):
        recorder.record(10)  # type: ignore[union-attr]
    for _ in range(10):
        recorder.cut_off(50, "end")  # type: ignore[union-attr]
    verdict, code, reasons = run.judge()
    assert (verdict, code) == ("inconclusive", 111)
    assert "undetermined" in reasons


def test_cut_off_samples_beyond_the_limit_fail_it() -> None:
    run = Run(plan_with(thresholds={T: "p(95)<100"}))
    recorder = run.registry.recorder(T)
    for _ in range(90):
        recorder.record(10)  # type: ignore[union-attr]
    for _ in range(10):
        recorder.cut_off(150, "deadline")  # type: ignore[union-attr]
    assert run.judge()[:2] == ("fail", 99)


def test_fast_refusals_do_not_improve_a_quantile() -> None:
    run = Run(plan_with(thresholds={T: "p(95)<100"}))
    recorder = run.registry.recorder(T)
    for _ in range(90):
        recorder.record(10)  # type: ignore[union-attr]
    recorder.fail(10)  # type: ignore[union-attr]
    verdict, code, reasons = run.judge()
    assert (verdict, code) == ("fail", 99)
    assert "inf" in reasons


def test_the_order_of_precedence() -> None:
    def code_of(aborted: str | None, interrupted: str | None, **counters: int) -> int:
        run = Run(plan_with(thresholds={T: "p(95)<100"}), **counters)
        return run.judge(aborted, interrupted)[1]

    assert code_of("stop", "SIGINT", script_errors=1) == 107
    assert code_of("stop", "SIGINT") == 108
    assert code_of(None, "SIGINT") == 105
    assert code_of(None, None) == 99


def test_an_interrupted_run_is_inconclusive_but_tells_all_reasons() -> None:
    verdict, _, reasons = Run(plan_with(thresholds={T: "max<1"})).judge(interrupted="SIGINT")
    assert verdict == "inconclusive"
    assert "interrupted: SIGINT" in reasons
    assert "max<1 failed" in reasons


def test_script_errors_can_be_allowed() -> None:
    assert Run(plan_with(allow_script_errors=True), script_errors=3).judge()[:2] == ("pass", 0)
    assert Run(plan_with(), script_errors=3).judge()[:2] == ("fail", 107)


def test_the_line_of_the_summary() -> None:
    run = Run(
        plan_with(),
        iterations_started=10,
        iterations=8,
        iterations_failed=3,
        iterations_interrupted=2,
        dropped_iterations=5,
    )
    run.judge()
    outcome = outcome_of(Metrics(run.totals))
    assert outcome.offered == 15
    assert outcome.delivered == 10
    assert outcome.answered == 5
    assert outcome.interrupted == 2
