"""Whole runs of arrival models, shared iterations, paced loops and users under control."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import ghostcore
from ghostcore import (
    VU,
    ConstantArrivalRate,
    ConstantVUs,
    Counter,
    ExternallyControlled,
    InvalidPlan,
    PerVUIterations,
    RampingArrivalRate,
    Result,
    RunControl,
    Scenario,
    SharedIterations,
    Timeout,
    Trend,
    UsageError,
    scenario,
)
from ghostcore._engine import engine_of
from ghostcore.execution.recording import ErrorLog, ScenarioRecorder
from ghostcore.load import LoadModel
from ghostcore.metrics import Registry, Totals
from ghostcore.results.record import Metrics
from ghostcore.testing import EchoServer, SocketIOServer
from ghostcore.testing.fakeclock import FakeClockLoop, run_fake
from ghostcore.users.slots import UserPool
from ghostcore.users.vu import Scope
from tests.support.running import run_it

STEP = Trend("step_time")
SEEN = Counter("seen")


def stall(seconds: float) -> None:
    """The process does nothing for so long."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeClockLoop)
    loop.clock.advance(seconds)


def sleeping(load: LoadModel, seconds: float, name: str = "one") -> Scenario:
    @scenario(load=load, name=name)
    async def one(vu: VU) -> None:
        with vu.timer(STEP):
            await vu.sleep(seconds)

    return one


# -- from due to start, from due to end --


def test_starts_are_in_time_and_all_of_them_are_made() -> None:
    result = run_it(sleeping(ConstantArrivalRate(3, "2m", preallocated_vus=5), 1))
    metrics = result.metrics
    assert metrics["iterations"].count == 360
    assert result.outcome.offered == result.outcome.delivered == 360
    assert metrics["dropped_iterations"].count == 0
    assert metrics["iteration_lateness"].count == 360
    assert metrics["iteration_lateness"].max == 0
    assert metrics["iteration_duration"].p(50) == pytest.approx(1000, rel=0.001)
    assert metrics["iteration_response_time"].p(50) == pytest.approx(1000, rel=0.001)
    assert metrics["vus"].max <= 4
    assert metrics["vus_max"].value == 5
    assert result.plan["scenarios"][0]["description"] == "3/s for 2m (360 starts, 5 users)"
    assert result.warnings == []


def test_users_are_made_as_needed_unless_said() -> None:
    result = run_it(sleeping(RampingArrivalRate([(10, 100), (5, 100)]), 0.8))
    assert result.metrics["iterations"].count == 1000
    assert result.metrics["dropped_iterations"].count == 0
    assert 80 <= result.metrics["vus_max"].value <= 130


def test_dropped_starts_enter_response_time_as_cut_off() -> None:
    result = run_it(sleeping(ConstantArrivalRate(10, 10, preallocated_vus=4), 1))
    metrics = result.metrics
    # Of each ten starts the first four find a user.
    assert metrics["iterations"].count == 40
    assert metrics["dropped_iterations"].count == 60
    for name in ("iteration_response_time", "step_time_from_due"):
        assert metrics[name].count == 100
        assert metrics[name].cut_off == 60
        assert metrics.totals.metric(name).cut_off.keys() == {"dropped"}  # type: ignore[union-attr]
        # Most of what was offered waited for nobody knows how long.
        assert metrics[name].bounds(50).upper == float("inf")
        assert metrics[name].bounds(50).lower < 1000
    for name in ("iteration_duration", "step_time"):
        assert (metrics[name].count, metrics[name].cut_off) == (40, 0)
    assert result.outcome.offered == 100
    assert result.warnings == [
        "one: 60 starts found no free user among 4; by the time that iterations took, the peak of "
        "this rate needs about 10"
    ]


def test_a_load_that_too_few_users_made_is_not_the_one_that_was_asked_for() -> None:
    enough = run_it(sleeping(ConstantArrivalRate(10, 20, preallocated_vus=10), 1))
    assert (enough.verdict, enough.exit_code) == ("pass", 0)
    load = ConstantArrivalRate(10, 10, preallocated_vus=4)
    result = run_it(sleeping(load, 1))
    assert (result.verdict, result.exit_code) == ("inconclusive", 111)
    assert result.reasons[0].startswith("60 of 100 starts were dropped since all users were busy")
    queued = run_it(sleeping(replace(load, on_busy="queue", graceful_stop=2), 1))
    assert (queued.exit_code, queued.outcome.delivered < 50) == (111, True)

    for limit, verdict, code in (("count<=60", "pass", 0), ("count<60", "fail", 99)):
        limited = replace(sleeping(load, 1), thresholds=(("dropped_iterations", limit),))
        result = run_it(limited)
        assert (result.verdict, result.exit_code) == (verdict, code)

    own = Counter("dropped_iterations_of_mine")  # says nothing of those
    limited = replace(sleeping(load, 1), thresholds=((own, "count<1"),))
    assert any("since all users were busy" in reason for reason in run_it(limited).reasons)


def test_starts_that_wait_are_late() -> None:
    load = ConstantArrivalRate(10, 2, preallocated_vus=5, on_busy="queue", graceful_stop=0)
    result = run_it(sleeping(load, 1))
    metrics = result.metrics
    # Five a second: the first five in time, the next five half a second late; the rest never.
    assert metrics["iterations_started"].count == 10
    assert metrics["iteration_lateness"].max == pytest.approx(500, rel=0.001)
    assert metrics["dropped_iterations"].count == 10
    assert metrics["step_time"].count == 10
    response = metrics["step_time_from_due"]
    assert response.count == metrics["iteration_response_time"].count == 20
    assert response.max == pytest.approx(1500, rel=0.001)
    causes = metrics.totals.metric("iteration_response_time").cut_off  # type: ignore[union-attr]
    assert {cause: cut.count for cause, cut in causes.items()} == {"dropped": 10, "end": 4}


def test_a_failed_iteration_never_ends_from_its_due_time() -> None:
    @scenario(load=ConstantArrivalRate(10, 1))
    async def one(vu: VU) -> None:
        await vu.sleep(0.1)
        if vu.random.index % 5 == 0:
            raise Timeout("no answer", kind="reply_timeout")

    metrics = run_it(one).metrics
    assert (metrics["iteration_duration"].count, metrics["iteration_duration"].failed) == (10, 0)
    assert metrics["iteration_response_time"].count == 10
    assert metrics["iteration_response_time"].failed == 2


def test_a_stalled_process_makes_starts_late_and_loses_none() -> None:
    @scenario(load=ConstantArrivalRate(100, 2))
    async def one(vu: VU) -> None:
        if vu.random.index == 50:
            stall(0.5)

    metrics = run_it(one).metrics
    assert metrics["iterations"].count == 200
    assert metrics["dropped_iterations"].count == 0
    assert metrics["iteration_lateness"].max == pytest.approx(490, rel=0.001)
    assert metrics["iteration_duration"].max == pytest.approx(500, rel=0.001)
    assert metrics["iteration_lateness"].p(70) == 0


# -- operations that are a first step --


def test_only_what_an_iteration_begins_with_counts_from_its_due_time() -> None:
    @scenario(load=ConstantArrivalRate(10, 1), metrics=[STEP])
    async def later(vu: VU) -> None:
        await vu.sleep(0.1)
        with vu.timer(STEP):
            await vu.sleep(0.1)

    @scenario(load=ConstantArrivalRate(10, 1))
    async def twice(vu: VU) -> None:
        for _ in range(2):
            with vu.timer(STEP):
                await vu.sleep(0.1)

    metrics = run_it(later).metrics
    assert metrics["step_time"].count == 10
    assert "step_time_from_due" not in metrics
    metrics = run_it(twice).metrics
    assert metrics["step_time"].count == 20
    assert metrics["step_time_from_due"].count == 10
    assert metrics["step_time_from_due"].unit == "ms"


def test_a_first_step_that_fails_or_is_cut_off_does_so_in_both_series() -> None:
    @scenario(load=ConstantArrivalRate(10, 1, graceful_stop=0.05, preallocated_vus=20))
    async def one(vu: VU) -> None:
        with vu.timer(STEP):
            if vu.random.index == 3:
                raise Timeout("no answer", kind="reply_timeout")
            if vu.random.index == 4:
                raise ghostcore.ConnectFailed("refused", kind="connection_refused")
            await vu.sleep(0.17)

    metrics = run_it(one).metrics
    for name in ("step_time", "step_time_from_due"):
        assert (metrics[name].count, metrics[name].failed, metrics[name].cut_off) == (10, 1, 2)


def test_thresholds_may_ask_for_the_series_from_due() -> None:
    @scenario(
        load=ConstantArrivalRate(10, 1),
        thresholds={STEP: "max<150", "step_time_from_due": ["max<150", "p(50)<50"]},
    )
    async def one(vu: VU) -> None:
        with vu.timer(STEP):
            await vu.sleep(0.1)

    result = run_it(one)
    assert [threshold.verdict for threshold in result.thresholds] == ["pass", "pass", "fail"]

    @scenario(load=ConstantVUs(1, 1), thresholds={STEP: "max<1", "other_from_due": "max<1"})
    async def wrong(vu: VU) -> None: ...

    with pytest.raises(InvalidPlan, match="other_from_due"):
        run_it(wrong)


# -- paced loops --


def test_an_operation_of_a_tick_counts_from_when_the_tick_was_due() -> None:
    @scenario(load=PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        async for tick in vu.every(0.5):
            with vu.timer(STEP):
                await vu.sleep(2 if tick == 3 else 0.1)
            if tick == 9:
                break

    metrics = run_it(one).metrics
    assert metrics["step_time"].count == metrics["step_time_from_due"].count == 10
    assert metrics["step_time"].p(90) == pytest.approx(100, rel=0.001)
    # Tick 3 takes 2 s; 4 to 7 are late by 1.5 s, 1.1 s, 0.7 s and 0.3 s.
    expected = [100, 100, 100, 100, 100, 400, 800, 1200, 1600, 2000]
    response = metrics["step_time_from_due"]
    assert [round(response.p(10 * i)) for i in range(1, 11)] == pytest.approx(expected, rel=0.001)


@pytest.mark.parametrize(
    ("leave", "owed"),
    [("interrupt", 7), ("error", 7), ("break", 0), ("return", 0), ("break and go on", 0)],
)
def test_ticks_that_were_due_and_never_began_are_cut_off(leave: str, owed: int) -> None:
    stop = ConstantVUs(1, 10, graceful_stop=0)

    @scenario(load=stop if leave == "interrupt" else PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        async for tick in vu.every(0.5):
            with vu.timer(STEP):
                await vu.sleep(0.1 if tick < 13 else 3.5 if leave != "interrupt" else 60)
            if tick == 13:  # due at 6.5 s, over at 10 s: 7 s to 10 s are owed
                if leave == "error":
                    raise Timeout("no answer", kind="reply_timeout")
                if leave == "return":
                    return
                break
        if leave == "break and go on":
            await vu.sleep(1)
            raise Timeout("no answer", kind="reply_timeout")

    metrics = run_it(one).metrics
    response = metrics["step_time_from_due"]
    begun = metrics["step_time"]
    assert begun.count == 14
    assert response.count == begun.count + owed
    assert response.cut_off - begun.cut_off == owed
    if owed:
        cut = metrics.totals.metric("step_time_from_due").cut_off  # type: ignore[union-attr]
        cause, longest_us = ("end", 3.5e6) if leave == "interrupt" else ("dropped", 3e6)
        assert cut[cause].max == pytest.approx(longest_us, rel=0.001)


def test_ticks_are_owed_until_their_loop_was_left() -> None:
    @scenario(load=PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        try:
            async for _ in vu.every(0.5):
                with vu.timer(STEP):
                    await vu.sleep(2.25)
                raise Timeout("no answer", kind="reply_timeout")
        finally:
            await asyncio.sleep(60)  # as a slow goodbye

    metrics = run_it(one).metrics
    # Those of 0.5 s, 1 s, 1.5 s and 2 s.
    assert metrics["step_time_from_due"].cut_off == 4


def test_a_start_that_is_interrupted_before_its_first_turn_is_dropped() -> None:
    async def never(vu: VU) -> None:
        raise AssertionError("has no turn")

    async def main() -> Totals:
        engine = engine_of(asyncio.get_running_loop())
        registry = Registry()
        recorder = ScenarioRecorder(
            "one", {}, registry, ErrorLog(engine.now_ns, 0), lambda _: None, lambda: "end"
        )
        pool = UserPool(
            engine, recorder, Scope("one", {}), never, 1, back_off=False, on_broken=lambda _: None
        )
        user = pool.user(0)
        user.begin(7, engine.now_ns())
        stall(3)
        user.interrupt()
        await pool.idle()
        totals = Totals(registry.declarations)
        totals.add(registry.drain(0, 1))
        return totals

    totals = run_fake(main)
    assert Metrics(totals).count_of("dropped_iterations") == 1
    assert Metrics(totals).count_of("iterations_started") == 0
    (cut,) = totals.metric("iteration_response_time").cut_off.items()  # type: ignore[union-attr]
    assert (cut[0], cut[1].count, cut[1].max) == ("dropped", 1, pytest.approx(3e6, rel=0.001))


def test_a_tick_that_does_something_else_first_has_no_response_time() -> None:
    @scenario(load=PerVUIterations(1, 1), metrics=[STEP])
    async def one(vu: VU) -> None:
        async for tick in vu.every(0.5):
            await vu.sleep(0.1)
            with vu.timer(STEP):
                await vu.sleep(0.1)
            if tick == 9:
                break

    metrics = run_it(one).metrics
    assert metrics["step_time"].count == 10
    assert "step_time_from_due" not in metrics


def test_a_loop_within_a_loop() -> None:
    inner = Trend("inner_time")

    @scenario(load=ConstantVUs(1, 10, graceful_stop=0))
    async def one(vu: VU) -> None:
        async for _ in vu.every(2):
            with vu.timer(STEP):
                await vu.sleep(0.1)
            async for tick in vu.every(0.2):
                with vu.timer(inner):
                    await vu.sleep(0.01 if vu.iteration or tick != 2 else 60)
                if tick == 4:
                    break

    metrics = run_it(one).metrics
    # The first turn hangs in tick 2 of the inner loop from 0.5 s to 10 s: the outer one owes the
    # ticks of 2, 4, 6, 8 and 10 s, the inner one those of 0.7 s, 0.9 s, ... 9.9 s.
    assert metrics["step_time_from_due"].cut_off == 5
    assert metrics["inner_time_from_due"].cut_off == 1 + 47


def test_the_first_tick_of_a_start_counts_from_its_due_time() -> None:
    load = ConstantArrivalRate(1, 2, preallocated_vus=1, on_busy="queue")

    @scenario(load=load)
    async def one(vu: VU) -> None:
        async for tick in vu.every(0.5):
            with vu.timer(STEP):
                await vu.sleep(0.1)
            if tick == 2:
                break
        await vu.sleep(0.4)

    metrics = run_it(one).metrics
    # The second start is due at 1 s, and late by half a second.
    assert metrics["step_time_from_due"].count == 6
    assert metrics["step_time_from_due"].max == pytest.approx(600, rel=0.001)


# -- the same seed --


def chosen(load: LoadModel, seed: int = 5) -> list[tuple[int, int]]:
    """(number of a start, what it chose) of every iteration, in order of the number."""
    found: list[tuple[int, int]] = []

    @scenario(load=load)
    async def one(vu: VU) -> None:
        found.append((vu.random.index, vu.random.randrange(10**9)))
        await vu.sleep(vu.random.uniform(0.1, 0.3))

    run_it(one, seed=seed)
    return sorted(found)


@pytest.mark.parametrize(
    "load_of",
    [
        lambda users: ConstantArrivalRate(20, 5, preallocated_vus=users, on_busy="queue"),
        lambda users: ConstantArrivalRate(
            20, 5, preallocated_vus=users, on_busy="queue", distribution="poisson"
        ),
        lambda users: SharedIterations(100, users),
    ],
)
def test_the_same_seed_makes_the_same_choices_whoever_makes_them(
    load_of: Callable[[int], LoadModel],
) -> None:
    few, many = chosen(load_of(6)), chosen(load_of(50))
    assert few == many
    assert [number for number, _ in few] == list(range(len(few)))
    assert chosen(load_of(6), seed=6) != few


# -- shared iterations --


def test_iterations_are_shared() -> None:
    @scenario(load=SharedIterations(100, 7))
    async def one(vu: VU) -> None:
        vu.record(SEEN)
        await vu.sleep(0.1 * vu.id)

    result = run_it(one)
    assert result.metrics["iterations"].count == result.metrics["seen"].count == 100
    assert result.outcome.offered == 100


def test_shared_iterations_that_are_left_count_as_dropped() -> None:
    result = run_it(sleeping(SharedIterations(100, 2, 10), 1.01))
    assert result.metrics["iterations"].count == 20
    assert result.metrics["dropped_iterations"].count == 80
    assert result.outcome.offered == 100


# -- users under control --


def test_users_are_moved_while_the_run_goes() -> None:
    control = RunControl()
    moves = {5: lambda: control.set_vus(10), 10: control.pause, 15: control.resume}

    class Mover:
        def started(self, plan: Any) -> None: ...
        def finished(self, result: Result) -> None: ...
        def progressed(self, progress: ghostcore.Progress) -> None:
            move = moves.get(round(progress.elapsed_s))
            if move is not None:
                move()

    one = sleeping(ExternallyControlled(2, 10, 20), 0.1)
    result = run_it(one, control=control, listener=Mover())
    active = {round(one.end_s): one.values.get("vus") for one in result.timeline.seconds}
    assert [active[second] for second in (4, 8, 13, 18)] == [2, 10, 0, 10]
    with pytest.raises(UsageError, match="has ended"):
        control.resume()


def test_another_thread_moves_users_of_a_real_run() -> None:
    control = RunControl()
    control.set_vus(3)

    @scenario(load=ExternallyControlled(0, 5, "30s", graceful_stop=0))
    async def one(vu: VU) -> None:
        vu.record(SEEN)
        await vu.sleep(0.01)
        if vu.id == 5:
            await asyncio.to_thread(control.set_vus, 0)
            await asyncio.to_thread(control.stop, "seen enough")
        if vu.id == 3:
            await asyncio.to_thread(control.set_vus, 5)

    result = ghostcore.run(one, control=control)
    assert result.metrics["vus_max"].value == 5
    assert result.duration_s < 25
    assert result.reasons == ["interrupted: seen enough"]


def test_a_control_that_cannot_be_is_refused_before_the_start() -> None:
    control = RunControl()
    control.set_vus(3)
    with pytest.raises(UsageError, match="no scenario of this run has load=ExternallyControlled"):
        run_it(sleeping(ConstantVUs(1, 1), 1), control=control)
    used = RunControl()
    run_it(sleeping(ConstantVUs(1, 1), 1), control=used)
    with pytest.raises(UsageError, match="the handle of one run"):
        run_it(sleeping(ConstantVUs(1, 1), 1), control=used)


# -- several at once --


MODELS: list[LoadModel] = [
    ConstantVUs(2, 10),
    PerVUIterations(2, 3),
    SharedIterations(6, 2),
    ExternallyControlled(2, 5, 10),
    ConstantArrivalRate(2, 10, preallocated_vus=5),
    RampingArrivalRate([(10, 4)], distribution="poisson"),
]


def test_every_model_runs_beside_and_after_the_others() -> None:
    seen: dict[str, list[float]] = {}
    scenarios: list[Scenario] = []

    def make(name: str, load: LoadModel) -> Scenario:
        @scenario(load=load, name=name, tags={"own": name}, env={"NAME": name})
        async def one(vu: VU) -> None:
            assert vu.env["NAME"] == name
            seen.setdefault(name, []).append(asyncio.get_running_loop().time())
            vu.record(SEEN)
            await vu.sleep(1)

        return one

    for place, load in enumerate(MODELS):
        for start_time in (0, 100):
            name = f"model{place}_from_{start_time}"
            data = {**load.to_dict(), "start_time": start_time}
            scenarios.append(make(name, ghostcore.load.load_from_dict(data)))
    result = run_it(*scenarios)
    assert result.verdict == "pass"
    for one in scenarios:
        times = seen[one.name]
        assert result.metrics[f"seen{{own:{one.name}}}"].count == len(times)
        begin = one.load.start_time
        assert begin <= min(times)
        assert max(times) <= begin + 11
    # The same profile does the same, whatever goes on beside it. (Poisson starts are the scenario's
    # own.)
    for place in range(5):
        at_once, later = seen[f"model{place}_from_0"], seen[f"model{place}_from_100"]
        assert later == pytest.approx([at + 100 for at in at_once])


def test_everything_wrong_with_every_scenario_is_told_at_once() -> None:
    wrong = [
        sleeping(ConstantArrivalRate(-1, 1, time_unit=0), 1, "one"),
        sleeping(RampingArrivalRate([("1m", -5)], preallocated_vus=5, max_vus=2), 1, "two"),
        sleeping(SharedIterations(1, 2), 1, "three"),
    ]
    with pytest.raises(InvalidPlan) as caught:
        run_it(*wrong)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "one", "one", "two", "two", "three",
    ]  # fmt: skip


@pytest.mark.usefixtures("no_leaks")
def test_sessions_are_opened_and_asked_from_when_they_were_due() -> None:
    joined, asked = Trend("joined_time"), Trend("asked_time")

    @scenario(load=ConstantArrivalRate(50, 0.5, preallocated_vus=25))
    async def plain(vu: VU) -> None:
        async with vu.connect(vu.env["URL"], metric=STEP):
            pass

    @scenario(load=PerVUIterations(2, 1))
    async def events(vu: VU) -> None:
        async with vu.socketio(vu.env["IO"], metric=joined) as session:
            async for tick in vu.every("10ms"):
                await session.call("ask", tick, metric=asked)
                if tick == 4:
                    break
            await session.call("ask", 0, metric=asked)

    async def main() -> Result:
        server = SocketIOServer()
        server.on("ask", lambda client, number: client.ack(number))
        async with EchoServer() as echo, server:
            env = {"URL": echo.url, "IO": server.url}
            return await ghostcore.run_async(plain, events, env=env)

    metrics = asyncio.run(main()).metrics
    for name in ("ws_connecting_from_due", "step_time_from_due"):
        assert metrics[name].count == 25
        assert metrics[name].min >= metrics[name.removesuffix("_from_due")].min > 0
    assert metrics["joined_time"].count == 2
    assert "joined_time_from_due" not in metrics
    assert (metrics["asked_time"].count, metrics["asked_time_from_due"].count) == (12, 10)


def test_an_arrival_model_never_backs_off() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{held.getsockname()[1]}"

        @scenario(load=ConstantArrivalRate(100, 0.5))
        async def one(vu: VU) -> None:
            async with vu.connect(url, metric=STEP):
                pass

        before = time.monotonic()
        metrics = ghostcore.run(one).metrics
    assert metrics["ws_errors{kind:connection_refused}"].count == 50
    assert metrics["iterations_failed"].count == 50
    for name in ("ws_connecting", "step_time", "ws_connecting_from_due", "step_time_from_due"):
        assert (metrics[name].count, metrics[name].failed) == (50, 50)
    assert time.monotonic() - before < 30
