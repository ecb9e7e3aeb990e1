"""What trouble of the generator's means: runs whose truth is known, second by second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from ghostcore import (
    VU,
    ConstantVUs,
    Counter,
    Rate,
    Threshold,
    ThresholdResult,
    Trend,
    scenario,
)
from ghostcore.execution.listeners import Listeners
from ghostcore.execution.plan import Plan, make_plan
from ghostcore.execution.run_accumulator import RunAccumulator
from ghostcore.execution.verdict import judge, outcome_of
from ghostcore.execution.worker import WorkerReport
from ghostcore.load.control import RunControl
from ghostcore.metrics import BUILTINS, Declaration, SeriesKey, Snapshot
from ghostcore.metrics.recorders import CounterState, RateState, TrendState
from ghostcore.monitor.rules import doubts_of
from ghostcore.monitor.sample import Doubt, GeneratorSample, Stall
from ghostcore.results.record import Metrics, RunVerdict
from ghostcore.results.timeline import Timeline
from tests.support.results import trend_state

T, SIZE, GOOD, DONE = Trend("t"), Trend("size", unit="bytes"), Rate("good"), Counter("done")

WELL: dict[str, Any] = {}
LATE = {"loop_lag_ms": 80.0}
STUCK = {"loop_lag_ms": 2500.0}
FULL = {"loop_cpu_share": 1.0}
STARVED = {"waiting_share": 0.5}


def sleeping(ms: float) -> dict[str, Any]:
    return {"loop_lag_ms": ms, "stalls": (Stall(0.0, ms, 0.0, "chat.py:12: time.sleep(0.5)"),)}


def plan_with(thresholds: Mapping[Any, Any], warmup: float = 0) -> Plan:
    @scenario(load=ConstantVUs(1, 60), thresholds=thresholds, metrics=[T, SIZE, GOOD, DONE])
    async def one(vu: VU) -> None:
        """Nothing."""

    return make_plan([one], seed=1, warmup=warmup)


class Run:
    """A run that is put together second by second."""

    def __init__(
        self, thresholds: Mapping[Any, Any], warmup: float = 0, max_blocks: int = 600
    ) -> None:
        self.plan = plan_with(thresholds, warmup)
        self.gathering = RunAccumulator(self.plan, RunControl(), Listeners())
        self.timeline = self.gathering.timeline = Timeline(max_blocks)
        self.generator = self.gathering.generator
        self._doubts: tuple[Doubt, ...] = ()

    def second(self, trouble: Mapping[str, Any], **measured: Any) -> Run:
        """One second: what was wrong with the generator, and what was measured.

        A list is samples in ms, a pair passes and fails, an int a count.
        """
        start = len(self.timeline.seconds)
        states: dict[SeriesKey, Any] = {SeriesKey("iterations_started"): CounterState(10, 10)}
        states[SeriesKey("iterations")] = CounterState(10, 10)
        for name, value in measured.items():
            key = SeriesKey(name)
            match value:
                case TrendState():
                    states[key] = value
                case list():
                    states[key] = trend_state(value)
                case (passes, fails):
                    states[key] = RateState(passes, fails)
                case {"kind": kind, "count": count}:
                    states[SeriesKey.of(name, {"kind": kind})] = CounterState(count, count)
                case _:
                    states[key] = CounterState(value, max(1, value))
        declared: dict[str, Declaration] = {
            key.name: BUILTINS.get(key.name) or self.plan.declarations[key.name] for key in states
        }
        window = Snapshot(start * 10**9, (start + 1) * 10**9, states, declared)
        sample = replace(GeneratorSample(start + 1.0, 0.2, 0.1, 0, 0), **trouble)
        self._doubts = doubts_of(sample, self._doubts)
        sample = replace(sample, doubts=self._doubts)
        self.gathering.report(WorkerReport(window, [], sample, {}, {}))
        return self

    def judge(self) -> tuple[RunVerdict, int, str]:
        metrics = Metrics(self.gathering.totals)
        verdict, code, reasons = judge(
            self.plan,
            metrics,
            outcome_of(metrics),
            self.results(),
            self.timeline,
            self.gathering.trusted(),
            aborted=None,
            interrupted=None,
        )
        return verdict, code, "\n".join(reasons)

    def results(self) -> list[ThresholdResult]:
        return self.gathering.thresholds(began=True)


FAST, SLOW = [10.0] * 100, [500.0] * 100
LIMIT = {T: "p(95)<100"}


def test_a_failure_on_a_sound_generator_is_a_failure() -> None:
    run = Run(LIMIT).second(WELL, t=FAST).second(WELL, t=SLOW)
    assert run.judge()[:2] == ("fail", 99)


@pytest.mark.parametrize("trouble", [LATE, STUCK, FULL, STARVED, sleeping(80.0)])
def test_a_failure_that_vanishes_without_the_suspect_seconds_is_inconclusive(
    trouble: dict[str, Any],
) -> None:
    run = Run(LIMIT).second(WELL, t=FAST).second(trouble, t=SLOW).second(WELL).second(WELL, t=FAST)
    verdict, code, reasons = run.judge()
    assert (verdict, code) == ("inconclusive", 111)
    assert "threshold t p(95)<100 is undetermined: p(95) is 500" in reasons
    assert "but 10 in the" in reasons
    assert "of 4s are suspect" in reasons


def test_a_failure_that_stays_without_them_is_a_failure() -> None:
    run = Run(LIMIT).second(WELL, t=SLOW).second(LATE, t=SLOW).second(WELL).second(WELL, t=SLOW)
    verdict, code, reasons = run.judge()
    assert (verdict, code) == ("fail", 99)
    assert "(500 in the 2s that can be trusted)" in reasons


def test_where_every_second_is_suspect_nothing_can_be_said_of_latency() -> None:
    verdict, code, reasons = Run(LIMIT).second(LATE, t=SLOW).second(LATE, t=SLOW).judge()
    assert (verdict, code) == ("inconclusive", 111)
    assert "no second can be trusted" in reasons


def test_where_the_seconds_left_have_no_samples_neither() -> None:
    verdict, code, reasons = Run(LIMIT).second(LATE, t=SLOW).second(WELL).second(WELL).judge()
    assert (verdict, code) == ("inconclusive", 111)
    assert "no second in which it was measured can be trusted" in reasons


def test_a_pass_with_lag_stands_and_says_so() -> None:
    verdict, code, reasons = Run(LIMIT).second(LATE, t=FAST).second(WELL, t=FAST).judge()
    assert (verdict, code) == ("pass", 0)
    assert "2s of 2s are suspect: the event loop was 80 ms late" in reasons
    assert "the pass stands" in reasons


def test_what_piled_up_in_a_standstill_is_not_held_against_the_server() -> None:
    # The samples come late, in the second after: what the sockets held was read then.
    run = Run(LIMIT).second(WELL, t=FAST).second(STUCK).second(WELL, t=SLOW).second(WELL, t=FAST)
    assert run.judge()[:2] == ("inconclusive", 111)


def test_no_data_is_a_failure_whatever_the_generator_did() -> None:
    verdict, code, reasons = Run(LIMIT).second(STUCK).second(FULL).judge()
    assert (verdict, code) == ("fail", 99)
    assert "no data" in reasons


@pytest.mark.parametrize(
    ("threshold", "trouble", "measured", "expected"),
    [
        # Lag does not make errors, unless it is long enough for time-outs to pass.
        ({"ws_errors": "count<5"}, LATE, {"ws_errors": 9}, "fail"),
        ({"ws_errors": "count<5"}, FULL, {"ws_errors": 9}, "fail"),
        ({"ws_errors": "count<5"}, STUCK, {"ws_errors": 9}, "undetermined"),
        ({"ws_errors": "count<5"}, sleeping(300.0), {"ws_errors": 9}, "undetermined"),
        ({GOOD: "rate>0.9"}, LATE, {"good": (5, 5)}, "fail"),
        ({GOOD: "rate>0.9"}, STUCK, {"good": (5, 5)}, "undetermined"),
        # An operation that failed was not late.
        ({T: "p(95)<100"}, LATE, {"t": trend_state([10.0], failed=9)}, "fail"),
        ({T: "p(95)<100"}, STUCK, {"t": trend_state([10.0], failed=9)}, "undetermined"),
        # What is no duration does not grow with lag, and a lower limit of one is not met by it.
        ({SIZE: "max<100"}, LATE, {"size": [500.0]}, "fail"),
        ({T: "p(95)>100"}, LATE, {"t": [10.0]}, "fail"),
    ],
)
def test_what_lag_cannot_explain_it_does_not_excuse(
    threshold: dict[Any, str], trouble: dict[str, Any], measured: dict[str, Any], expected: str
) -> None:
    run = Run(threshold).second(trouble, **measured).second(WELL).second(WELL)
    assert [one.verdict for one in run.results()] == [expected]


@pytest.mark.parametrize(
    ("expression", "good", "bad", "expected"),
    [
        ("count>35", 10, 4, "undetermined"),  # 34 of 40: the three sound seconds make 10 a second
        ("count>41", 10, 4, "fail"),  # not at that pace either
        ("rate>9", 10, 4, "undetermined"),
        ("rate>11", 10, 4, "fail"),
        ("count>10", 0, 0, "fail"),  # slowness does not explain that nothing came
    ],
)
def test_a_shortage_is_judged_at_the_pace_of_the_seconds_that_can_be_trusted(
    expression: str, good: int, bad: int, expected: str
) -> None:
    run = Run({DONE: expression})
    for _ in range(3):
        run.second(WELL, done=good)
    run.second(FULL, done=bad)
    assert [one.verdict for one in run.results()] == [expected]


def test_a_window_is_judged_within_itself() -> None:
    def judged(last: list[float], trouble: dict[str, Any]) -> str:
        run = Run({T: "p(95)<100 over last 2s"})
        run.second(WELL, t=SLOW).second(WELL, t=FAST).second(trouble, t=last)
        return run.results()[0].verdict

    assert judged(SLOW, WELL) == "fail"
    assert judged(SLOW, FULL) == "undetermined", "the slow second is outside of the window"
    assert judged(FAST, FULL) == "pass"


def test_a_shortage_in_a_run_shorter_than_its_window_is_judged_on_what_there_is() -> None:
    def judged(limit: int) -> str:
        run = Run({DONE: f"count>{limit} over last 30s"})
        for _ in range(3):
            run.second(WELL, done=10)
        return run.second(FULL, done=4).results()[0].verdict

    assert judged(35) == "undetermined", "40 at that pace"
    assert judged(45) == "fail", "nor would four seconds at that pace have been enough"


@pytest.mark.parametrize("window", ["", " over last 2s"])
def test_what_ended_the_run_is_reconsidered_on_what_there_was_by_then(window: str) -> None:
    run = Run({T: Threshold(f"p(95)<100{window}", abort_on_fail=True)})
    run.second(FULL, t=FAST).second(WELL, t=SLOW).second(WELL, t=SLOW)
    assert run.results()[0].aborted_at_s is not None
    for _ in range(40):  # users clean up, and the last answers come
        run.second(WELL, t=FAST)
    assert run.results()[0].verdict == "fail"


def test_a_script_that_blocks_is_inconclusive_though_its_thresholds_hold() -> None:
    run = Run({})
    for _ in range(10):
        run.second(sleeping(500.0))
    verdict, code, reasons = run.judge()
    assert (verdict, code) == ("inconclusive", 111)
    assert "blocked the event loop 10 times, for 5.00 s in all (50 % of the run)" in reasons
    assert "chat.py:12: time.sleep(0.5)" in reasons


def test_one_short_block_in_a_long_run_is_only_told() -> None:
    run = Run({})
    for second in range(20):
        run.second(sleeping(150.0) if second == 3 else WELL)
    verdict, code, reasons = run.judge()
    assert (verdict, code) == ("pass", 0)
    assert "chat.py:12" in reasons


def test_a_machine_that_stood_still_is_not_the_script() -> None:
    stall = Stall(0.0, 900.0, 880.0, "chat.py:12: await ws.send('x')")
    run = Run({}).second({"loop_lag_ms": 900.0, "stalls": (stall,)}).second(WELL)
    assert run.judge()[:2] == ("pass", 0)


def test_starts_that_the_generator_lost_are_not_delivered() -> None:
    def judged(trouble: dict[str, Any], dropped: int) -> tuple[RunVerdict, int, str]:
        run = Run({})
        for _ in range(9):
            run.second(WELL)
        return run.second(trouble, dropped_iterations=dropped).judge()

    verdict, code, reasons = judged(FULL, 5)
    assert (verdict, code) == ("inconclusive", 111)
    assert "5 of 105 starts were dropped while the generator was in trouble" in reasons
    assert judged(FULL, 1)[:2] == ("pass", 0), "99 % of the load is enough"
    assert judged(WELL, 5)[:2] == ("pass", 0), "too few users for this server: not the generator"


def test_ports_that_ran_out_are_this_machines_failure() -> None:
    def judged(count: int, opened: int) -> tuple[RunVerdict, int, str]:
        run = Run({"ws_errors": "count<5"}).second(WELL, ws_sessions=100, ws_sessions_opened=opened)
        return run.second(
            {"local_failures": count},
            ws_sessions=100,
            ws_errors={"kind": "no_source_port", "count": count},
        ).judge()

    verdict, code, reasons = judged(50, 100)
    assert (verdict, code) == ("inconclusive", 111)
    assert "50 of 200 connections found no source port or descriptor" in reasons
    nothing = Run({}).second(
        {"local_failures": 100},
        ws_sessions=100,
        iterations_failed=10,
        ws_errors={"kind": "no_descriptors", "count": 100},
    )
    assert nothing.judge()[:2] == ("inconclusive", 111), "nothing is known of the server"


def test_in_a_long_run_a_whole_block_is_left_out() -> None:
    run = Run(LIMIT, max_blocks=4)
    for second in range(16):
        trouble, samples = (LATE, SLOW) if second == 5 else (WELL, FAST)
        run.second(trouble, t=samples)
    assert len(run.timeline.blocks) <= 4
    totals, kept_s = run.timeline.outside(run.generator.suspect_spans)
    assert kept_s == 12, "the block of seconds 4 to 8"
    state = totals.metric("t")
    assert state is not None
    assert state.count == 1200  # type: ignore[union-attr]
    assert run.results()[0].verdict == "undetermined"


def error(p99_ms: float, most_ms: float = 0.0) -> dict[str, Any]:
    return {"loop_lag_p99_ms": p99_ms, "loop_lag_ms": max(p99_ms, most_ms)}


def test_a_failure_by_no_more_than_the_error_of_every_second_is_inconclusive() -> None:
    run = Run(LIMIT)
    for late_ms in (4.0, 3.0, 4.5):
        run.second(error(late_ms), t=[104.0] * 100)
    verdict, code, reasons = run.judge()
    assert (verdict, code) == ("inconclusive", 111)
    assert "p(95) is 104, but the generator's own error was up to 4.5 ms: the" in reasons
    assert "suspect" not in reasons


@pytest.mark.parametrize(("observed", "expected"), [(107.9, "undetermined"), (108.1, "fail")])
def test_a_failure_by_twice_the_error_is_one(observed: float, expected: str) -> None:
    run = Run(LIMIT).second(error(4.0), t=[observed] * 100).second(error(0.1), t=FAST * 5)
    run.second(error(4.0), t=[observed] * 100)
    assert [one.verdict for one in run.results()] == [expected]


def test_a_failure_that_vanishes_without_the_seconds_of_large_errors_is_inconclusive() -> None:
    run = Run(LIMIT).second(error(0.2), t=[99.0] * 100).second(error(6.0), t=[105.0] * 100)
    verdict, code, reasons = run.second(error(0.2), t=[99.0] * 100).judge()
    assert (verdict, code) == ("inconclusive", 111)
    assert (
        "p(95) is 105, but 99 in the 2s in which the generator's own error was below 2.5" in reasons
    )


def test_a_failure_in_seconds_of_small_errors_is_one_whatever_the_others_were() -> None:
    run = Run(LIMIT).second(error(0.2), t=[105.0] * 100).second(error(40.0), t=[145.0] * 100)
    assert run.judge()[:2] == ("fail", 99)
    # Without a sample in them nothing is known.
    run = Run(LIMIT).second(error(0.2)).second(error(40.0), t=[145.0] * 100)
    assert run.judge()[:2] == ("inconclusive", 111)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("med<100", "fail"),
        ("avg<100", "fail"),
        ("p(89)<100", "fail"),
        ("p(90)<100", "undetermined"),
        ("p(99)<100", "undetermined"),
        ("p(99.5)<100", "undetermined"),
        ("max<100", "undetermined"),
    ],
)
def test_the_error_of_few_excuses_no_failure_of_most(expression: str, expected: str) -> None:
    run = Run({T: expression}).second(error(4.0), t=[104.0] * 100)
    assert [one.verdict for one in run.results()] == [expected]


def test_the_highest_quantiles_are_judged_beside_the_latest_of_all() -> None:
    def judged(expression: str) -> str:
        run = Run({T: expression}).second(error(0.1, 30.0), t=[120.0] * 100)
        return run.results()[0].verdict

    assert (judged("p(98)<100"), judged("p(99)<100")) == ("fail", "undetermined")
    assert judged("max<100") == "undetermined"


def test_what_failed_is_not_explained_by_an_error_of_some_ms() -> None:
    run = Run(LIMIT).second(error(40.0), t=trend_state([10.0], failed=9))
    assert run.judge()[:2] == ("fail", 99)
    run = Run({SIZE: "max<100"}).second(error(40.0), size=[101.0])
    assert run.judge()[:2] == ("fail", 99)


def test_the_error_counts_neither_in_the_warm_up_nor_outside_of_a_window() -> None:
    run = Run(LIMIT, warmup=1).second(error(40.0), t=FAST).second(error(0.1), t=[101.0] * 100)
    assert [one.verdict for one in run.results()] == ["fail"]
    run = Run({T: "p(95)<100 over last 1s"}).second(error(0.1), t=[101.0] * 100)
    assert [one.verdict for one in run.results()] == ["fail"]
    run.second(error(4.0), t=[101.0] * 100)
    assert [one.verdict for one in run.results()] == ["undetermined"]


@pytest.mark.parametrize("before", [WELL, LATE, error(40.0)])
def test_a_window_shorter_than_a_block_is_excused_by_nothing_that_was_before(
    before: dict[str, Any],
) -> None:
    run = Run({T: "p(95)<100 over last 1s"}, max_blocks=4).second(before, t=FAST)
    for _ in range(8):
        run.second(WELL, t=FAST * 10)
    assert run.second(error(0.0), t=[150.0] * 20).results()[0].verdict == "fail"
    assert run.timeline.blocks[-1].end_ns - run.timeline.blocks[-1].start_ns > 10**9


@pytest.mark.parametrize("make", [lambda: Run(LIMIT), lambda: Run({DONE: "count>0"})])
def test_a_clean_run_has_nothing_to_explain(make: Callable[[], Run]) -> None:
    run = make()
    for _ in range(5):
        run.second(WELL, t=FAST, done=1)
    verdict, code, reasons = run.judge()
    assert (verdict, code) == ("pass", 0)
    assert "suspect" not in reasons


def test_the_warm_up_does_not_count() -> None:
    def judged(*last: tuple[dict[str, Any], list[float]]) -> list[str]:
        run = Run({T: "p(95)<100"}, warmup=2).second(STUCK, t=SLOW).second(LATE, t=FAST)
        for trouble, samples in last:
            run.second(trouble, t=samples)
        return [one.verdict for one in run.results()]

    # The second after a standstill is suspect, be it the first that counts.
    assert judged((WELL, FAST), (WELL, SLOW)) == ["fail"]
    assert judged((WELL, SLOW), (WELL, FAST)) == ["undetermined"]
    assert judged((WELL, FAST), (FULL, SLOW)) == ["undetermined"], "fast ones before it cut"
    run = Run({}, warmup=1).second(sleeping(900.0)).second(WELL).second(WELL)
    verdict, code, reasons = run.judge()
    assert (verdict, code) == ("pass", 0)
    assert "blocked the event loop" not in reasons, "that was before it counted"
