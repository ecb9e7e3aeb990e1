"""A worker on a fake clock: when it reports, what its reports hold, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ghostcore import (
    VU,
    ConstantArrivalRate,
    ConstantVUs,
    Counter,
    PerVUIterations,
    RunControl,
    Scenario,
    scenario,
)
from ghostcore._engine import Engine
from ghostcore.errors import ClosedByPeer
from ghostcore.execution.plan import make_plan
from ghostcore.execution.worker import Worker, WorkerEnd, WorkerReport
from ghostcore.metrics.recorders import CounterState
from ghostcore.metrics.snapshot import SeriesKey
from ghostcore.opening.options import DEFAULT_OPTIONS
from ghostcore.sessions.websocket_session import WebSocketSession
from ghostcore.testing.fakeclock import FakeClockLoop, run_fake
from ghostcore.testing.memory_link import MemoryLink
from tests.support.sessions import MS, now_ns

pytestmark = pytest.mark.usefixtures("no_leaks")

S = 1000 * MS
C = Counter("c")


class Run:
    """A run of these scenarios on one worker.

    :ivar reports: of the worker, in order.
    :ivar at_ns: when each report came, since the start.
    :ivar control: ends the run before its time.
    """

    def __init__(self, *scenarios: Scenario, data: Any = None, **options: Any) -> None:
        self.reports: list[WorkerReport] = []
        self.at_ns: list[int] = []
        self.control = RunControl()
        self.plan = make_plan(scenarios, seed=1, **options)
        self._data = data
        self.on_report: Callable[[WorkerReport], None] = lambda _: None

    def to_its_end(self) -> WorkerEnd:
        return run_fake(self._run)

    async def _run(self) -> WorkerEnd:
        start_ns = now_ns()

        def report(one: WorkerReport) -> None:
            self.reports.append(one)
            self.at_ns.append(now_ns() - start_ns)
            self.on_report(one)

        return await Worker(self.plan, self.control, report, self._data).run()

    def windows_s(self) -> list[tuple[float, float]]:
        return [(one.snapshot.start_ns / S, one.snapshot.end_ns / S) for one in self.reports]

    def totals(self, metric: str, name: str, **tags: str) -> list[float]:
        """What each window has of a counter of that scenario."""
        key = SeriesKey.of(metric, {"scenario": name, **tags})
        found = []
        for report in self.reports:
            state = report.snapshot.series.get(key)
            assert state is None or isinstance(state, CounterState)
            found.append(0 if state is None else state.total)
        return found


@scenario(load=ConstantVUs(2, 3.25, graceful_stop=0))
async def steady(vu: VU) -> None:
    vu.record(C)
    await vu.sleep(0.45)


# ---- windows ------------------------------------------------------------------------------------


def test_a_window_every_second_and_the_rest_at_the_end() -> None:
    run = Run(steady)
    run.to_its_end()
    assert run.windows_s() == [(0, 1), (1, 2), (2, 3), (3, 3.25)]
    assert run.at_ns == [one.snapshot.end_ns for one in run.reports]
    assert [one.final for one in run.reports] == [False, False, False, True]
    # Each user begins an iteration at 0, 0.45, 0.9, 1.35, ... 3.15 s; each is in one window.
    assert run.totals("c", "steady") == [6, 4, 4, 2]
    assert run.totals("iterations_started", "steady") == [6, 4, 4, 2]
    assert run.totals("iterations", "steady") == [4, 4, 4, 2]


def test_the_last_report_holds_the_rest_and_no_active_user() -> None:
    run = Run(steady)
    run.to_its_end()
    *before, last = run.reports
    assert [one.active for one in before] == 3 * [{"steady": 2}]
    assert [one.planned for one in before] == 3 * [{"steady": 2}]
    assert (last.active, last.planned) == ({"steady": 0}, {"steady": 0})
    assert run.totals("iterations_interrupted", "steady") == [0, 0, 0, 2]
    assert last.generator.window_s == 0.25


def test_a_run_within_a_second_is_one_report() -> None:
    @scenario(load=PerVUIterations(3, 1))
    async def short(vu: VU) -> None:
        await vu.sleep(0.125)

    run = Run(short)
    run.to_its_end()
    assert run.windows_s() == [(0, 0.125)] and run.reports[0].final
    assert run.totals("iterations", "short") == [3]


@pytest.mark.parametrize(
    ("warmup", "windows"),
    [
        (1.25, [(0, 1), (1, 1.25), (1.25, 2), (2, 3), (3, 3.25)]),
        (1, [(0, 1), (1, 2), (2, 3), (3, 3.25)]),
        # What is left of the second is too short for a window of its own.
        (0.75, [(0, 0.75), (0.75, 2), (2, 3), (3, 3.25)]),
        (0.5, [(0, 0.5), (0.5, 1), (1, 2), (2, 3), (3, 3.25)]),
    ],
)
def test_a_window_ends_with_the_warm_up(warmup: float, windows: list[Any]) -> None:
    run = Run(steady, warmup=warmup)
    run.to_its_end()
    assert run.windows_s() == windows
    assert sum(run.totals("c", "steady")) == 16


@pytest.mark.parametrize(
    ("woken_at_s", "then_s"), [(3.25, 4.0), (3.5, 4.0), (3.75, 5.0), (4.0, 5.0)]
)
def test_seconds_that_the_process_slept_through_are_one_window(
    woken_at_s: float, then_s: float
) -> None:
    @scenario(load=PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        await vu.sleep(1.5)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, FakeClockLoop)
        loop.clock.advance_to(int(woken_at_s * S))
        await vu.sleep(5.5 - woken_at_s)

    run = Run(one)
    run.to_its_end()
    assert run.windows_s()[:3] == [(0, 1), (1, woken_at_s), (woken_at_s, then_s)]
    assert run.windows_s()[-1] == (5, 5.5)


def test_an_error_is_in_the_report_of_its_window_alone() -> None:
    @scenario(load=PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        await vu.sleep(1.5)
        raise_in = asyncio.create_task(fail())
        await asyncio.wait({raise_in})
        await vu.sleep(2)
        await raise_in

    async def fail() -> None:
        raise ClosedByPeer("gone")

    run = Run(one)
    run.to_its_end()
    assert [[sample.kind for sample in one.errors] for one in run.reports] == [
        [], [], [], ["closed"]
    ]  # fmt: skip
    assert run.reports[-1].errors[0].at_s == 3.5


# ---- scenarios ----------------------------------------------------------------------------------


def test_each_scenario_has_its_own_users_settings_and_series() -> None:
    seen: list[tuple[str, int, str, Any]] = []

    async def play(vu: VU) -> None:
        seen.append((vu.scenario, vu.id, vu.env["WHO"], vu.data))
        vu.record(C, vu.id)
        await vu.sleep(0.5)

    first = scenario(name="first", load=PerVUIterations(2, 2), env={"WHO": "a"})(play)
    second = scenario(
        name="second",
        load=PerVUIterations(3, 1, start_time=1.25),
        env={"WHO": "b"},
        tags={"x": "y"},
    )(play)
    run = Run(first, second, data={"n": 1})
    run.to_its_end()
    assert sorted(seen[:4]) == [("first", user, "a", {"n": 1}) for user in (1, 1, 2, 2)]
    assert sorted(seen[4:]) == [("second", user, "b", {"n": 1}) for user in (1, 2, 3)]
    assert run.windows_s() == [(0, 1), (1, 1.75)]
    assert run.totals("c", "first") == [6, 0]
    assert run.totals("c", "second", x="y") == [0, 6]


def test_planned_and_active_users_are_reported_by_scenario() -> None:
    @scenario(load=ConstantVUs(1, 3.75, graceful_stop=0))
    async def early(vu: VU) -> None:
        await vu.sleep(0.3)

    @scenario(load=ConstantVUs(5, 2, start_time=1.5, graceful_stop=2))
    async def late(vu: VU) -> None:
        await vu.sleep(60)

    run = Run(early, late)
    run.to_its_end()
    # From 3.5 s on no user of the second is planned, but they have 2 s to come to their end.
    assert [one.planned.get("late", 0) for one in run.reports] == [0, 5, 5, 0, 0, 0]
    assert [one.active["late"] for one in run.reports] == [0, 5, 5, 5, 5, 0]
    assert [one.active["early"] for one in run.reports] == [1, 1, 1, 0, 0, 0]


# ---- the end ------------------------------------------------------------------------------------


def test_a_script_that_aborts_ends_all_scenarios_with_its_first_reason() -> None:
    @scenario(load=ConstantVUs(2, 60))
    async def one(vu: VU) -> None:
        try:
            await vu.sleep(1.5 if vu.id == 1 else 60)
        finally:
            vu.abort(f"no use, says {vu.id}")

    run = Run(one, steady)
    end = run.to_its_end()
    assert end.aborted == "no use, says 1" and end.faults == []
    assert run.windows_s() == [(0, 1), (1, 1.5)]
    assert run.control.stop_requested.is_set()
    # Both of the other's users were within an iteration.
    assert sum(run.totals("iterations_interrupted", "steady")) == 2


def test_a_fault_in_taking_a_report_ends_the_run() -> None:
    fault = IndexError("a fault of ours")

    def fails_once(report: WorkerReport) -> None:
        if len(run.reports) == 2:
            raise fault

    run = Run(steady)
    run.on_report = fails_once
    end = run.to_its_end()
    assert end.faults == [fault] and end.aborted is None
    assert run.windows_s() == [(0, 1), (1, 2), (2, 2)] and run.reports[-1].final


def test_starts_dropped_for_want_of_users_are_in_the_workers_end() -> None:
    @scenario(load=ConstantArrivalRate(10, 2, preallocated_vus=1, max_vus=1, graceful_stop=0))
    async def one(vu: VU) -> None:
        await vu.sleep(0.35)

    run = Run(one)
    end = run.to_its_end()
    started = sum(run.totals("iterations_started", "one"))
    assert sum(run.totals("dropped_iterations", "one")) == end.short_of_users == 20 - started > 0
    assert len(end.warnings) == 1 and end.warnings[0].startswith("one: ")


@pytest.mark.parametrize("answers", [False, True])
def test_sessions_whose_server_does_not_close_are_cut_off_while_windows_go_on(
    answers: bool,
) -> None:
    links: list[MemoryLink] = []

    @scenario(load=PerVUIterations(1, 1))
    async def one(vu: VU) -> None:
        await vu.sleep(0.5)
        engine: Engine = vu._engine
        session = WebSocketSession(
            engine, vu._observer, engine.now_ns(), "", DEFAULT_OPTIONS.max_message_size, 0
        )
        links.append(MemoryLink(session))
        vu._observer.opened(session, 0)
        session.send("hello")
        if answers:
            engine.loop.call_later(0.75, links[0].lose)

    run = Run(one)
    run.to_its_end()
    (link,) = links
    assert link.sent == [(500 * MS, "hello"), (500 * MS, 1000)], "closed with the iteration"
    sent = run.totals("ws_msgs_sent", "one")
    assert (sent[0], sum(sent)) == (1, 1), "traffic is in the window in which it was sent"
    if answers:
        assert not link.is_aborted
        assert run.windows_s()[:1] == [(0, 1)] and 1.25 <= run.windows_s()[-1][1] < 1.3
    else:
        assert link.is_aborted
        assert run.windows_s()[:2] == [(0, 1), (1, 2)] and 2.5 <= run.windows_s()[-1][1] < 2.6
    assert run.reports[-1].final and run.reports[-1].active == {"one": 0}
