"""Thresholds while a run goes: windows that are what they say, runs that end when they must."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

import ghostcore
from ghostcore import (
    VU,
    ConstantVUs,
    Counter,
    EngineError,
    Gauge,
    Rate,
    Result,
    RunControl,
    Threshold,
    ThresholdResult,
    Trend,
    scenario,
)
from ghostcore.execution.plan import Plan, make_plan
from ghostcore.execution.watch import SlidingWindow, ThresholdWatch
from ghostcore.metrics import BUILTINS, KNOWN_WITH, Registry, Totals
from ghostcore.metrics.recorders import CounterRecorder, CounterState, GaugeState
from ghostcore.metrics.snapshot import MAX_SERIES
from ghostcore.testing.fakeclock import FakeClockLoop, run_fake

T, C, R, G = Trend("t"), Counter("c"), Rate("r"), Gauge("g")
SECOND = 10**9


# ---- windows ----------------------------------------------------------------------------------


def total(window: SlidingWindow) -> float:
    state = window.state()
    assert isinstance(state, CounterState | None)
    return 0 if state is None else state.total


def test_a_window_holds_the_seconds_of_its_length() -> None:
    window = SlidingWindow(3 * SECOND)
    seen = []
    for second in range(6):
        window.add(second * SECOND, (second + 1) * SECOND, CounterState(10**second, 1))
        seen.append((total(window), window.seconds, window.is_full))
    assert seen == [
        (1, 1, False),
        (11, 2, False),
        (111, 3, True),
        (1110, 3, True),
        (11100, 3, True),
        (111000, 3, True),
    ]


def test_a_second_in_which_nothing_was_measured_passes_too() -> None:
    window = SlidingWindow(2 * SECOND)
    assert window.state() is None
    window.add(0, SECOND, CounterState(5, 1))
    for second in (1, 2):
        window.add(second * SECOND, (second + 1) * SECOND, None)
    assert window.state() is None
    assert window.is_full


def test_windows_that_come_a_little_late_are_not_counted_once_more() -> None:
    # Each drain is late by another few ms: a window of 3 s is still three of them.
    ends = [0, 1_004, 2_001, 3_009, 4_000, 5_020, 6_003]
    window = SlidingWindow(3 * SECOND)
    for start, end in itertools.pairwise(ends):
        window.add(start * 10**6, end * 10**6, CounterState(1, 1))
        assert total(window) == min(3, round(end / 1000))


def test_a_gauge_in_a_window_has_its_last_level_and_its_extremes() -> None:
    window = SlidingWindow(2 * SECOND)
    for second, level in enumerate((9, 4, 6)):
        window.add(second * SECOND, (second + 1) * SECOND, GaugeState(level, level - 1, level + 1))
    state = window.state()
    assert isinstance(state, GaugeState)
    assert (state.value, state.min, state.max) == (6, 3, 7)


def test_a_window_keeps_its_own_copy() -> None:
    window = SlidingWindow(5 * SECOND)
    first = CounterState(1, 1)
    window.add(0, SECOND, first)
    window.add(SECOND, 2 * SECOND, CounterState(2, 1))
    window.state()
    assert (total(window), first.total) == (3, 1)


def test_a_long_window_is_kept_in_few_parts() -> None:
    length_s = 6000
    window = SlidingWindow(length_s * SECOND)
    for second in range(20_000):
        window.add(second * SECOND, (second + 1) * SECOND, CounterState(1, 1))
    assert len(window._parts) <= 602
    assert abs(total(window) - length_s) <= length_s / 600 / 2
    assert window.seconds == total(window)


def test_a_part_longer_than_the_window_stays_until_the_next_one() -> None:
    window = SlidingWindow(SECOND)
    window.add(0, SECOND, CounterState(1, 1))
    window.add(SECOND, 5 * SECOND, CounterState(10, 1))  # the process stood still
    assert (total(window), window.seconds) == (10, 4)
    window.add(5 * SECOND, 6 * SECOND, CounterState(100, 1))
    assert (total(window), window.seconds) == (100, 1)


# ---- judging ----------------------------------------------------------------------------------


def plan_with(thresholds: dict[Any, Any], **options: Any) -> Plan:
    @scenario(load=ConstantVUs(1, 1), thresholds=thresholds, metrics=[T, C, R, G])
    async def one(vu: VU) -> None:
        """Nothing."""

    return make_plan([one], seed=1, **options)


def add(
    registry: Registry, metric: Counter | str, amount: float, tags: dict[str, str] | None = None
) -> None:
    recorder = registry.recorder(metric, tags)
    assert isinstance(recorder, CounterRecorder)
    recorder.add(amount)


class Seconds:
    """Seconds of a run, in each of which the test records what it likes."""

    def __init__(self, thresholds: dict[Any, Any], **options: Any) -> None:
        plan = plan_with(thresholds, **options)
        self.registry = Registry(plan.declarations.values())
        self.totals = Totals({**BUILTINS, **plan.declarations})
        self.watch = ThresholdWatch(plan, self.totals.declarations)
        self.now = 0

    def trend(self, *values: float, **tags: str) -> None:
        for value in values:
            self.registry.recorder(T, tags).record(value)  # type: ignore[union-attr]

    def end(self) -> list[ThresholdResult]:
        """The second is over: what ends the run?"""
        snapshot = self.registry.drain(self.now * SECOND, (self.now + 1) * SECOND)
        self.now += 1
        self.totals.add(snapshot)
        self.watch.add(snapshot)
        return self.watch.judge_now(self.totals, self.now * SECOND)

    def conclude(self) -> list[ThresholdResult]:
        return self.watch.conclude(self.totals)


ABORT = Threshold("p(95)<100", abort_on_fail=True)


def test_a_breach_ends_the_run_at_once() -> None:
    run = Seconds({T: ABORT, C: "count>0"})
    run.trend(*[10] * 90)
    assert run.end() == []
    run.trend(*[812] * 20)
    (failed,) = run.end()
    assert (failed.metric, failed.verdict, failed.aborted_at_s) == ("t", "fail", 2)
    assert failed.observed == pytest.approx(812, rel=0.001)
    assert failed.reason.startswith("p(95) is 812")
    assert failed.reason.endswith("that ended the run at 2 s")


def test_what_ended_the_run_stands_whatever_came_after() -> None:
    run = Seconds({T: ABORT})
    run.trend(200)
    (failed,) = run.end()
    run.trend(*[1] * 1000)
    run.end()
    assert run.conclude() == [failed]


def test_without_abort_on_fail_only_the_end_counts() -> None:
    run = Seconds({T: "p(95)<100"})
    run.trend(200)
    assert run.end() == []
    run.trend(*[1] * 1000)
    assert run.end() == []
    (result,) = run.conclude()
    assert (result.verdict, result.aborted_at_s, result.breaches) == ("pass", None, 0)


def test_a_delay_is_counted_from_the_start_of_the_run() -> None:
    run = Seconds({T: Threshold("p(95)<100", abort_on_fail=True, delay="3s")})
    run.trend(200)
    assert [bool(run.end()) for _ in range(3)] == [False, False, True]


def test_no_data_ends_no_run_but_fails_at_its_end() -> None:
    run = Seconds({T: ABORT, C: Threshold("count>5", abort_on_fail=True)})
    assert run.end() == []
    assert [one.verdict for one in run.conclude()] == ["fail", "fail"]


def test_what_cut_off_samples_leave_open_ends_no_run() -> None:
    run = Seconds({T: ABORT})
    for _ in range(10):
        run.registry.recorder(T).cut_off(50, "deadline")  # type: ignore[union-attr]
    assert run.end() == []
    assert run.conclude()[0].verdict == "undetermined"
    for _ in range(10):
        run.registry.recorder(T).cut_off(150, "deadline")  # type: ignore[union-attr]
    assert len(run.end()) == 1


def test_a_failed_operation_ends_a_run_as_an_infinite_one() -> None:
    run = Seconds({T: ABORT})
    run.registry.recorder(T).fail()  # type: ignore[union-attr]
    (failed,) = run.end()
    assert failed.observed_text == "inf"


def test_tags_select_what_is_watched() -> None:
    run = Seconds({"t{page:slow}": ABORT, "t{page:fast}": ABORT})
    run.trend(500, page="slow")
    run.trend(5, page="fast")
    assert [one.metric for one in run.end()] == ["t{page:slow}"]


def test_thresholds_that_fail_together_are_told_together() -> None:
    run = Seconds({T: [ABORT, Threshold("max<99", abort_on_fail=True)]})
    run.trend(500)
    assert [one.expression for one in run.end()] == ["p(95)<100", "max<99"]


WINDOWED = Threshold("p(95)<100 over last 3s", abort_on_fail=True)


def test_a_window_must_be_full_and_fail_twice_in_a_row() -> None:
    run = Seconds({T: WINDOWED})
    ended = []
    for _ in range(4):
        run.trend(500)
        ended.append(bool(run.end()))
    assert ended == [False, False, False, True]


def test_a_breach_that_does_not_last_ends_no_run_and_is_told() -> None:
    run = Seconds({T: WINDOWED})
    for value in (500, 5, 5, 5, 5, 5):  # in the first full window, and in no other
        run.trend(value)
        assert run.end() == []
    (result,) = run.conclude()
    assert (result.verdict, result.breaches, result.first_breach_s) == ("pass", 1, 3)
    assert result.reason.endswith("it failed once while the run went, first at 3 s")


def test_a_second_without_data_is_no_breach_in_a_row() -> None:
    run = Seconds({T: Threshold("p(95)<100 over last 1s", abort_on_fail=True)})
    for values in ([500], [], [500], [], [500]):
        run.trend(*values)
        assert run.end() == []
    assert run.conclude()[0].breaches == 3
    run.trend(500)
    assert run.end()[0].aborted_at_s == 6


def test_a_window_is_judged_without_what_lies_before_it() -> None:
    run = Seconds({T: ["max<100 over last 2s", "max<100"], C: "rate<3 over last 4s"})
    run.trend(5000)
    for _ in range(5):
        add(run.registry, C, 2)
        run.end()
        run.trend(10)
    window, whole, rate = run.conclude()
    assert (window.verdict, whole.verdict) == ("pass", "fail")
    assert rate.observed == 2


def test_a_run_that_is_shorter_than_the_window_is_judged_on_what_there_is() -> None:
    run = Seconds({T: "max<100 over last 30s"})
    run.trend(500)
    assert run.end() == []
    (result,) = run.conclude()
    assert (result.verdict, result.breaches) == ("fail", 0)


def test_no_error_of_a_kind_is_known_once_there_was_an_attempt() -> None:
    run = Seconds({"ws_errors{kind:closed}": ["count<1", "count<1 over last 2s"]})
    run.end()
    assert [one.verdict for one in run.conclude()] == ["fail", "fail"], "nothing was attempted"
    add(run.registry, "ws_errors", 0)
    for _ in range(5):
        run.end()
    assert [one.verdict for one in run.conclude()] == ["pass", "pass"]
    add(run.registry, "ws_errors", 1, {"kind": "closed"})
    run.end()
    assert [one.verdict for one in run.conclude()] == ["fail", "fail"]


def test_of_other_counters_tags_that_never_came_are_no_data() -> None:
    run = Seconds({"c{page:typo}": "count<1"})
    add(run.registry, C, 1, {"page": "home"})
    run.end()
    assert run.conclude()[0].verdict == "fail"


def test_what_went_wrong_with_iterations_is_known_to_be_nothing_once_there_was_one() -> None:
    wanted = {f"{name}{{scenario:a}}": "count<1" for name in KNOWN_WITH}
    run = Seconds({**wanted, "ws_msgs_missed{scenario:a}": "count<1"})
    for name in ("iterations_started", "ws_sessions"):
        add(run.registry, name, 1, {"scenario": "b"})
    run.end()
    assert {one.verdict for one in run.conclude()} == {"fail"}, "not of this scenario"
    for name in ("iterations_started", "ws_sessions"):
        add(run.registry, name, 1, {"scenario": "a"})
    run.end()
    *known, unknown = run.conclude()
    assert [(one.verdict, one.observed) for one in known] == [("pass", 0)] * len(KNOWN_WITH)
    assert unknown.verdict == "fail"
    assert "once a 0 was recorded" in unknown.reason


def test_a_selector_that_may_miss_samples_decides_nothing() -> None:
    run = Seconds({"t{page:a}": ["p(95)<100", Threshold("max<1", abort_on_fail=True)], T: "max<9"})
    run.trend(5, page="a")
    for number in range(MAX_SERIES):
        run.trend(5, page="a", number=str(number))
    assert run.end() == []
    tagged, _, whole = run.conclude()
    assert tagged.verdict == "undetermined"
    assert "may be counted in __other__" in tagged.reason
    assert whole.verdict == "pass", "all samples are among all samples"


# ---- whole runs -------------------------------------------------------------------------------


def run_it(thresholds: dict[Any, Any], slow_from_s: float, **options: Any) -> Result:
    """A run of ten minutes whose operations take 10 ms, and 812 from some moment on."""
    load = options.pop("load", ConstantVUs(3, 600, graceful_stop=30))

    @scenario(load=load, thresholds=thresholds, metrics=[T])
    async def one(vu: VU) -> None:
        loop = asyncio.get_running_loop()
        with vu.timer(T):
            await vu.sleep(0.01 if loop.time() < slow_from_s else 0.812)
        await vu.sleep(0.1)

    return run_fake(lambda: ghostcore.run_async(one, seed=1, **options))


def test_a_run_that_a_threshold_ended() -> None:
    result = run_it({T: [Threshold("avg<100", abort_on_fail=True), "p(50)<100"]}, 60)
    assert (result.verdict, result.exit_code) == ("fail", 99)
    first, second = result.thresholds
    assert first.aborted_at_s == pytest.approx(result.duration_s, abs=0.1)
    assert first.aborted_at_s is not None
    assert 60 < first.aborted_at_s < 600
    assert second.verdict == "pass"
    (reason,) = result.reasons
    assert reason.startswith("threshold t avg<100 failed: avg is 10")
    assert f"that ended the run at {first.aborted_at_s:g} s" in reason
    assert result.outcome.interrupted > 0, "iterations do not linger in a run that has failed"


def test_a_window_ends_a_run_long_before_the_whole_would() -> None:
    windowed = run_it({T: Threshold("p(50)<100 over last 10s", abort_on_fail=True)}, 300)
    (one,) = windowed.thresholds
    assert windowed.exit_code == 99
    # Half of what ends in ten seconds must be slow, and slow ones are rare: one in 0.912 s.
    assert one.aborted_at_s == pytest.approx(311, abs=2)
    assert run_it({T: "p(50)<100"}, 300).exit_code == 0


def test_a_window_that_recovered_is_told_though_the_run_passes() -> None:
    @scenario(load=ConstantVUs(1, 60), thresholds={T: "max<100 over last 5s"})
    async def one(vu: VU) -> None:
        await vu.sleep(0.5)
        vu.record(T, 500 if 20 < asyncio.get_running_loop().time() < 24 else 5)
        await vu.sleep(0.5)

    result = run_fake(lambda: ghostcore.run_async(one, seed=1))
    assert result.exit_code == 0
    (threshold,) = result.thresholds
    assert (threshold.breaches, threshold.first_breach_s) == (8, 21), "from 21 s to 28 s"


def test_ctrl_c_before_a_breach_stays_an_interrupt() -> None:
    @scenario(load=ConstantVUs(1, 600), thresholds={T: Threshold("max<100", abort_on_fail=True)})
    async def one(vu: VU) -> None:
        await vu.sleep(10)
        vu.record(T, 500)
        await vu.sleep(5)

    async def main() -> Result:
        control = RunControl()
        asyncio.get_running_loop().call_later(9, control.stop, "SIGINT")
        return await ghostcore.run_async(one, seed=1, control=control)

    result = run_fake(main)
    assert result.exit_code == 105
    assert result.thresholds[0].aborted_at_s is None
    assert result.duration_s == pytest.approx(15, abs=0.1), "it had its graceful stop"


def test_a_breach_found_when_the_load_is_over_ended_nothing() -> None:
    @scenario(load=ConstantVUs(1, 2.5), thresholds={T: Threshold("max<100", abort_on_fail=True)})
    async def one(vu: VU) -> None:
        await vu.sleep(2.4)
        vu.record(T, 500)
        await vu.sleep(0.2)

    result = run_fake(lambda: ghostcore.run_async(one, seed=1))
    assert result.exit_code == 99
    assert result.thresholds[0].aborted_at_s is None
    assert result.outcome.interrupted == 0


def stalled_run(thresholds: dict[Any, Any], stall_s: float) -> Result:
    """A run of 20 s whose process stands still from 5.5 s on; the operation after it is slow."""

    @scenario(load=ConstantVUs(1, 20, graceful_stop=0), thresholds=thresholds)
    async def one(vu: VU) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, FakeClockLoop)
        for tick in range(100):
            await vu.sleep(0.5)
            if tick == 10:
                loop.clock.advance(stall_s)
                for _ in range(20):
                    vu.record(T, 1000)
            vu.record(T, 10)

    return run_fake(lambda: ghostcore.run_async(one, seed=1))


@pytest.mark.parametrize("window_s", [1, 2, 5])
def test_a_stall_of_the_process_is_judged_once(window_s: int) -> None:
    expression = f"p(95)<100 over last {window_s}s"
    result = stalled_run({T: Threshold(expression, abort_on_fail=True)}, 3)
    (judged,) = result.thresholds
    seconds = [(one.start_s, one.end_s) for one in result.timeline.seconds]
    assert all(0.5 <= end_s - start_s <= 4.5 for start_s, end_s in seconds[:-1]), seconds
    if window_s == 5:  # it is in the window of the next part as well
        assert (judged.first_breach_s, judged.aborted_at_s) == (8.5, 9)
    else:
        assert (judged.breaches, judged.aborted_at_s) == (1, None)


def test_the_second_after_a_stall_is_suspect_as_well() -> None:
    result = stalled_run({}, 3.25)
    after = [one for one in result.generator.samples if one.at_s > 8]
    assert after[0].doubts, "it stood still in it"
    assert after[1].doubts, "what piled up was worked off in it"
    assert after[1].window_s >= 0.5
    assert not any(one.doubts for one in after[2:])


def test_a_fault_in_watching_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(watch: ThresholdWatch, totals: Totals, at_ns: int) -> list[ThresholdResult]:
        raise IndexError("a fault of ours")

    monkeypatch.setattr(ThresholdWatch, "judge_now", broken)
    with pytest.raises(EngineError, match="a fault of ours"):
        run_it({T: ABORT}, 60)
