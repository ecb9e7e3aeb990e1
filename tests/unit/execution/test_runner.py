"""Whole runs, most of them on a fake clock: what was run is what is reported."""

from __future__ import annotations

import asyncio
import json
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import ghostcore
from ghostcore import (
    VU,
    ConstantVUs,
    Counter,
    Gauge,
    InvalidPlan,
    PerVUIterations,
    Progress,
    RampingVUs,
    Rate,
    Result,
    RunControl,
    Trend,
    UsageError,
    scenario,
)
from ghostcore.execution.plan import Plan
from ghostcore.report import summary_text
from ghostcore.testing.fakeclock import run_fake
from tests.support.running import run_it

T, C, R, G = Trend("t"), Counter("c"), Rate("r"), Gauge("g")


def test_constant_users_iterate_for_their_time() -> None:
    @scenario(load=ConstantVUs(10, 60, graceful_stop=5))
    async def one(vu: VU) -> None:
        await vu.sleep(1.4)

    result = run_it(one)
    assert result.metrics["iterations"].count == 10 * 43
    assert result.metrics["iterations_started"].count == 10 * 43
    assert result.metrics["iteration_duration"].p(50) == pytest.approx(1400, rel=0.001)
    assert result.metrics["vus_max"].value == 10
    assert result.duration_s == pytest.approx(60.2, abs=0.01)
    assert result.verdict == "pass"
    assert len(result.timeline.seconds) >= 60


def test_an_iteration_in_progress_at_the_end_has_its_graceful_stop() -> None:
    @scenario(load=ConstantVUs(3, 10, graceful_stop=2))
    async def short(vu: VU) -> None:
        await vu.sleep(7)

    @scenario(load=ConstantVUs(3, 10, graceful_stop=5))
    async def long(vu: VU) -> None:
        await vu.sleep(7)

    cut = run_it(short)
    assert cut.metrics["iterations"].count == 3
    assert cut.metrics["iterations_interrupted"].count == 3
    assert cut.outcome.interrupted == 3
    assert cut.duration_s == pytest.approx(12, abs=0.1)
    assert run_it(long).metrics["iterations"].count == 6


def test_ramping_users() -> None:
    @scenario(load=RampingVUs([(10, 10), (10, 10), (10, 0)], start_vus=0))
    async def one(vu: VU) -> None:
        await vu.sleep(0.3)

    result = run_it(one)
    active = {second.end_s: second.values["vus"] for second in result.timeline.seconds}
    assert active[11.0] == 10
    assert active[15.0] == 10
    assert active[25.0] in (5, 6)
    assert result.metrics["vus"].value == 0


def test_iterations_of_each_user() -> None:
    seen: list[tuple[int, int]] = []

    @scenario(load=PerVUIterations(3, 4))
    async def one(vu: VU) -> None:
        seen.append((vu.id, vu.iteration))
        await vu.sleep(vu.id)

    result = run_it(one)
    assert sorted(seen) == [(user, number) for user in (1, 2, 3) for number in range(4)]
    assert result.metrics["iterations"].count == 12
    assert result.duration_s == pytest.approx(12, abs=0.1)


def test_what_was_not_started_in_time_is_dropped() -> None:
    @scenario(load=PerVUIterations(2, 10, max_duration=10, graceful_stop=10))
    async def one(vu: VU) -> None:
        await vu.sleep(4)

    result = run_it(one)
    assert result.metrics["iterations"].count == 6
    assert result.metrics["dropped_iterations"].count == 14
    assert (result.outcome.offered, result.outcome.delivered) == (20, 6)


def test_the_same_seed_makes_the_same_choices() -> None:
    def choices(seed: int, users: int) -> dict[tuple[int, int], float]:
        made: dict[tuple[int, int], float] = {}

        @scenario(load=PerVUIterations(users, 3))
        async def one(vu: VU) -> None:
            made[vu.id, vu.iteration] = vu.random.random()
            await vu.sleep(vu.random.uniform(0, 1))

        run_it(one, seed=seed)
        return made

    first = choices(7, 5)
    assert len(set(first.values())) == 15
    assert choices(7, 5) == first
    assert choices(8, 5) != first
    assert choices(7, 2).items() <= first.items()


def test_every_kind_of_metric() -> None:
    @scenario(load=PerVUIterations(1, 1), metrics=[Counter("never")])
    async def one(vu: VU) -> None:
        vu.record(T, 12.5, page="home")
        vu.record(T, 20, page="pricing")
        vu.record(C)
        vu.record(C, 2.5)
        vu.record(R, True)
        vu.record(R, False)
        vu.record(G, 4)
        assert vu.check([0], "equal")
        assert not vu.check("", "empty")
        with vu.timer(T):
            await vu.sleep(0.25)

    result = run_it(one)
    metrics = result.metrics
    assert metrics["t"].count == 3
    assert metrics["t{page:home}"].max == 12.5
    assert metrics["t{page:home,scenario:one}"].count == 1
    assert metrics["t"].max == pytest.approx(250, rel=1e-3)
    assert metrics["c"].count == 3.5
    assert metrics["r"].rate == 0.5
    assert metrics["g"].value == 4
    assert (metrics["checks"].passes, metrics["checks"].fails) == (1, 1)
    assert metrics["checks{check:empty}"].fails == 1
    assert "never" in list(metrics)
    assert result.exit_code == 0, "a failing check changes no verdict"
    with pytest.raises(KeyError, match="unknown"):
        metrics["unknown"]


def test_a_check_may_be_called_anything(tmp_path: Path) -> None:
    names = ['says "ok"', "a,b", "{c}", " outer ", "back\\slash", '"', ""]

    @scenario(load=PerVUIterations(1, 1), thresholds={r'checks{check:"says \"ok\""}': "rate>=1"})
    async def one(vu: VU) -> None:
        for name in names:
            vu.check(True, name)

    result = run_it(one)
    assert result.exit_code == 0
    assert '{check:"says \\"ok\\""}' in summary_text(result)
    saved = json.loads(result.save(tmp_path).read_text())
    series = saved["metrics"]["checks"]["series"].values()
    assert {one["tags"]["check"] for one in series} == set(names)
    assert all(one["passes"] == 1 for one in series)


def test_ticks_are_due_at_fixed_times() -> None:
    ticks: list[float] = []

    @scenario(load=PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        async for tick in vu.every("500ms"):
            ticks.append(loop.time() - start)
            await vu.sleep(0.8 if tick == 1 else 0.1)
            if tick == 4:
                break

    run_it(one)
    assert ticks == pytest.approx([0, 0.5, 1.3, 1.5, 2.0])


def test_an_error_in_the_script_is_named_with_its_line() -> None:
    @scenario(load=PerVUIterations(2, 2))
    async def one(vu: VU) -> None:
        await vu.sleep(1)
        raise KeyError("oops")

    result = run_it(one)
    assert result.exit_code == 107
    assert result.verdict == "fail"
    assert result.metrics["iterations"].count == 4
    (error,) = result.errors
    assert (error.kind, error.count) == ("script_error", 4)
    assert error.samples[0].text.startswith("test_runner.py:")
    assert "KeyError: 'oops'" in error.samples[0].text
    assert run_it(one, allow_script_errors=True).exit_code == 99, "nothing was completed"


def test_the_line_is_the_scripts_whoever_raised_the_error() -> None:
    async def setup() -> None:
        await ghostcore.connect("ws://127.0.0.1:1", link="epoll")

    @scenario(load=PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        json.loads("{")

    text = run_it(one).errors[0].samples[0].text
    assert text.startswith("test_runner.py:") and "JSONDecodeError" in text
    failed = asyncio.run(ghostcore.run_async(one, setup=setup, seed=1))
    assert failed.reasons[0].startswith("setup failed: test_runner.py:")


def test_a_cancellation_that_the_script_lets_escape_is_one_iteration_and_an_error() -> None:
    numbers = []

    @scenario(load=PerVUIterations(vus=1, iterations=3))
    async def cancels(vu: VU) -> None:
        numbers.append(vu.iteration)
        await vu.sleep(0.1)
        raise asyncio.CancelledError

    result = run_it(cancels, allow_script_errors=True)
    assert numbers == [0, 1, 2]
    assert result.metrics["iterations"].count == 3
    assert result.metrics["script_errors"].count == 3


def test_a_wrong_value_is_an_error_of_the_script() -> None:
    @scenario(load=PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        vu.record(T, float("nan"))

    result = run_it(one)
    assert result.exit_code == 107
    assert "record(t, nan)" in result.errors[0].samples[0].text


def test_abort_ends_the_run() -> None:
    @scenario(load=ConstantVUs(5, 600))
    async def one(vu: VU) -> None:
        await vu.sleep(3)
        if vu.id == 2 and vu.iteration == 1:
            try:
                vu.abort("enough")
            except Exception:
                pytest.fail("abort() must not be caught by accident")
        await vu.sleep(100)

    result = run_it(one)
    assert result.exit_code == 108
    assert "enough" in result.reasons[0]
    assert result.duration_s < 120


def test_a_stop_from_outside_is_graceful_first_and_hard_second() -> None:
    @scenario(load=ConstantVUs(4, 600, graceful_stop=30))
    async def one(vu: VU) -> None:
        await vu.sleep(10)

    async def main(again: bool) -> Result:
        control = RunControl()

        async def stop() -> None:
            await asyncio.sleep(14)
            control.stop("SIGINT")
            if again:
                await asyncio.sleep(1)
                control.stop("SIGINT")

        stopping = asyncio.ensure_future(stop())
        result = await ghostcore.run_async(one, seed=1, control=control)
        await stopping
        return result

    graceful = run_fake(lambda: main(again=False))
    assert graceful.exit_code == 105
    assert graceful.verdict == "inconclusive"
    assert graceful.metrics["iterations"].count == 8
    assert graceful.duration_s == pytest.approx(20, abs=0.1)
    hard = run_fake(lambda: main(again=True))
    assert hard.metrics["iterations"].count == 4
    assert hard.metrics["iterations_interrupted"].count == 4
    assert hard.duration_s == pytest.approx(15, abs=0.1)


def test_what_is_cut_off_keeps_its_time_and_cause() -> None:
    @scenario(load=ConstantVUs(1, 5, graceful_stop=1))
    async def one(vu: VU) -> None:
        with vu.timer(T):
            await vu.sleep(1000)

    result = run_it(one)
    trend = result.metrics["t"]
    assert trend.cut_off_by_cause == {"end": 1}
    assert trend.text(95) == ">= 6000" or trend.p(95) == pytest.approx(6000, rel=0.001)


def test_several_scenarios_at_once_each_with_its_own_env_and_tags() -> None:
    seen: dict[str, str] = {}

    async def body(vu: VU) -> None:
        seen[vu.scenario] = vu.env["WHO"]
        vu.record(C)
        await vu.sleep(1)

    one = scenario(name="one", load=PerVUIterations(1, 1), env={"WHO": "first"})(body)
    two = scenario(name="two", load=PerVUIterations(1, 2, start_time=5), tags={"color": "red"})(
        body
    )
    result = run_it(one, two, env={"WHO": "run"})
    assert seen == {"one": "first", "two": "run"}
    assert result.metrics["c{scenario:one}"].count == 1
    assert result.metrics["c{color:red}"].count == 2
    assert result.duration_s == pytest.approx(7, abs=0.1)


def test_a_listener_follows_the_run() -> None:
    class Listener:
        last: Progress

        def __init__(self) -> None:
            self.events: list[str] = []

        def started(self, plan: Plan) -> None:
            self.events.append(f"started {plan.max_vus}")

        def progressed(self, progress: Progress) -> None:
            self.events.append("progressed")
            self.last = progress

        def finished(self, result: Result) -> None:
            self.events.append(f"finished {result.verdict}")

    @scenario(load=ConstantVUs(2, 3))
    async def one(vu: VU) -> None:
        await vu.sleep(0.5)

    listener = Listener()
    run_it(one, listener=listener)
    assert listener.events[0] == "started 2"
    assert listener.events[-1] == "finished pass"
    assert listener.events.count("progressed") >= 3
    assert listener.last.planned_s == 3


def test_a_listener_that_fails_ends_the_run_with_its_error() -> None:
    class Listener:
        def started(self, plan: Plan) -> None:
            """Nothing."""

        def progressed(self, progress: Progress) -> None:
            raise KeyError("of the listener")

        def finished(self, result: Result) -> None:
            pytest.fail("there is no result")

    @scenario(load=ConstantVUs(2, 600))
    async def one(vu: VU) -> None:
        await vu.sleep(0.5)

    with pytest.raises(KeyError, match="of the listener"):
        run_it(one, listener=Listener())


def test_two_runs_in_one_process_do_not_mix() -> None:
    @scenario(load=PerVUIterations(1, 1), metrics=[C])
    async def one(vu: VU) -> None:
        vu.record(C)

    assert run_it(one).metrics["c"].count == 1
    assert run_it(one).metrics["c"].count == 1


def test_run_uses_uvloop_and_refuses_a_running_loop() -> None:
    loops: list[str] = []

    @scenario(load=PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        loops.append(type(asyncio.get_running_loop()).__module__)

    assert ghostcore.run(one).verdict == "pass"
    assert loops[0].startswith("uvloop")

    async def inside() -> None:
        with pytest.raises(UsageError, match="run_async"):
            ghostcore.run(one)

    asyncio.run(inside())


def test_nonsense_is_refused_before_anything_starts() -> None:
    with pytest.raises(InvalidPlan, match="no scenario"):
        ghostcore.run()
    with pytest.raises(InvalidPlan, match="is no scenario: declare it"):
        ghostcore.run(print)  # type: ignore[arg-type]


def test_more_users_than_files_are_refused_with_the_number_that_fits() -> None:
    @scenario(load=ConstantVUs(1_000_000, 1))
    async def one(vu: VU) -> None:
        pytest.fail("it must not start")

    with pytest.raises(InvalidPlan, match=r"at most [0-9]+ users fit"):
        ghostcore.run(one)


def test_a_metric_that_is_no_trend_is_refused_before_the_dial() -> None:
    @scenario(load=PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        await vu.connect("ws://127.0.0.1:1", metric=C)

    result = run_it(one)
    assert result.exit_code == 107
    assert "c is no Trend" in result.errors[0].samples[0].text
    assert result.metrics.count_of("ws_sessions") == 0


def test_a_run_in_another_thread_leaves_signals_alone() -> None:
    @scenario(load=PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        seen.append(signal.getsignal(signal.SIGTERM))

    seen: list[Any] = []
    with ThreadPoolExecutor(1) as executor:
        result = executor.submit(ghostcore.run, one, seed=1).result(60)
    assert result.exit_code == 0
    assert seen == [signal.SIG_DFL]
    assert ghostcore.run(one, seed=1).exit_code == 0
    assert seen[1] not in (signal.SIG_DFL, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
