"""What the sessions of one user report to: what was due, late reports, and sessions left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from ghostcore._engine import Engine
from ghostcore.errors import DataExhausted, Phase, ScriptAborted, TargetError
from ghostcore.opening.options import DEFAULT_OPTIONS
from ghostcore.sessions.observer import NullObserver
from ghostcore.sessions.websocket_session import WebSocketSession
from ghostcore.testing.fakeclock import run_fake
from ghostcore.testing.memory_link import MemoryLink
from ghostcore.users.observer import SESSIONS_KEPT, UserObserver
from ghostcore.users.ticks import Pace
from tests.support.sessions import MS, now_ns
from tests.support.sinks import CallLog

pytestmark = pytest.mark.usefixtures("no_leaks")


def user() -> tuple[UserObserver, CallLog]:
    sink = CallLog()
    return UserObserver(cast(Any, sink), 3), sink


class Lines:
    """Opens plain sessions without a network."""

    def __init__(self) -> None:
        self.engine = Engine(asyncio.get_running_loop())
        self.links: list[MemoryLink] = []

    async def open(self, connecting_s: float = 0.0) -> WebSocketSession:
        """A session that is open after that time."""
        session = WebSocketSession(
            self.engine, NullObserver(), now_ns(), "", DEFAULT_OPTIONS.max_message_size, 0
        )
        await asyncio.sleep(connecting_s)
        self.links.append(MemoryLink(session))
        return session


@asynccontextmanager
async def lines() -> AsyncIterator[Lines]:
    await asyncio.sleep(1)  # to a session the time 0 means never
    made = Lines()
    try:
        yield made
    finally:
        for link in made.links:
            link.lose()
        await asyncio.sleep(0)
        made.engine.close()


# ---- what was due -------------------------------------------------------------------------------


def test_an_operation_reports_to_the_user_itself_where_nothing_was_due() -> None:
    observer, sink = user()
    assert observer.operation_begins(100, "rtt") is observer
    assert sink.calls == []


def test_the_first_operation_of_a_start_that_was_due_has_a_late_report() -> None:
    observer, sink = user()
    observer.due = 100
    report = observer.operation_begins(130, "rtt", None)
    assert report is not observer and observer.due is None
    assert sink.calls == [("first_step", ("rtt", None))]
    report.sample("rtt", 7)
    assert sink.calls[1:] == [("sample", "rtt", 7), ("sample_from_due", "rtt", 37)]
    assert observer.operation_begins(140, "rtt") is observer
    assert len(sink.calls) == 3


def test_each_tick_is_claimed_by_one_operation() -> None:
    observer, sink = user()
    pace = observer.due = Pace(50, 100, None)
    for due_ns, late_ns in ((100, 0), (150, 20)):
        pace.due_ns, pace.claimed = due_ns, False
        report = observer.operation_begins(due_ns + late_ns, "rtt")
        assert report is not observer, "also where the tick is in time"
        assert observer.operation_begins(due_ns + late_ns + 1, "rtt") is observer
        sink.calls.clear()
        report.sample("rtt", 5)
        assert sink.calls == [("sample", "rtt", 5), ("sample_from_due", "rtt", 5 + late_ns)]
    assert observer.due is pace and sink.of("first_step") == []


def test_an_operation_belongs_to_the_innermost_loop_that_was_not_left() -> None:
    observer, sink = user()
    outer = Pace(50, 100, None)
    middle = Pace(10, 110, outer)
    inner = Pace(1, 119, middle)
    observer.due = inner
    middle.left_ns = inner.left_ns = 120
    observer.operation_begins(130, "rtt").sample("rtt", 1)
    assert observer.due is outer and outer.metrics == ("rtt",)
    assert sink.of("sample_from_due") == [("sample_from_due", "rtt", 31)]
    outer.left_ns = 140
    assert observer.operation_begins(150, "rtt") is observer
    assert observer.due is None


def test_due_ticks_of_loops_that_never_ended_are_cut_off() -> None:
    observer, sink = user()
    outer = Pace(50, 100, None)
    outer.metrics = ("slow",)
    inner = Pace(10, 130, outer)
    inner.metrics = ("fast", None)
    observer.due = inner
    observer.cut_off_missed_ticks(155, "end")
    assert observer.due is None
    assert sink.calls == [
        ("ticks_cut_off", ("fast", None), 25, 10, 3, "end"),
        ("ticks_cut_off", ("slow",), 55, 50, 2, "end"),
    ]
    observer.cut_off_missed_ticks(1000, "end")
    observer.due = Pace(10, 156, None)
    observer.cut_off_missed_ticks(155, "end")  # its next tick is not due yet
    observer.due = 100
    observer.cut_off_missed_ticks(155, "end")  # no loop
    assert len(sink.calls) == 2 and observer.due is None


# ---- late reports -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report_made", "calls"),
    [
        (("sample", "rtt", 7), [("sample", "rtt", 7), ("sample_from_due", "rtt", 37)]),
        (("failed", "rtt"), [("failed", "rtt"), ("failed_from_due", "rtt")]),
        (
            ("cut_off", "rtt", 7, "deadline"),
            [("cut_off", "rtt", 7, "deadline"), ("cut_off_from_due", "rtt", 37, "deadline")],
        ),
        (
            ("not_opened", 7, None),
            [("not_opened", 7, None), ("failed_from_due", "ws_connecting")],
        ),
        (
            ("not_opened", 7, "end"),
            [("not_opened", 7, "end"), ("cut_off_from_due", "ws_connecting", 37, "end")],
        ),
    ],
)
def test_a_late_report_is_made_in_both_series_once(
    report_made: tuple[Any, ...], calls: list[tuple[Any, ...]]
) -> None:
    observer, sink = user()
    observer.due = 100
    report = observer.operation_begins(130, "rtt")
    sink.calls.clear()
    name, *arguments = report_made
    getattr(report, name)(*arguments)
    assert sink.calls == calls
    assert observer.failed_attempts == (1 if name == "not_opened" else 0)


def test_the_connecting_time_of_a_late_session_counts_from_when_it_was_due() -> None:
    async def main() -> None:
        async with lines() as made:
            observer, sink = user()
            observer.due = now_ns()
            await asyncio.sleep(0.030)
            report = observer.operation_begins(now_ns(), None)
            session = await made.open(0.007)
            report.opened(session, 2 * MS)
            assert sink.calls[1:] == [
                ("opened", session, 2 * MS), ("sample_from_due", "ws_connecting", 37 * MS)
            ]  # fmt: skip
            assert observer.sessions == [session], "the user knows of it as of any other"
            assert observer.close_sessions() == ([session], False)

    run_fake(main)


# ---- sessions left behind -----------------------------------------------------------------------


def test_sessions_that_an_iteration_left_open_are_closed_and_handed_on() -> None:
    async def main() -> None:
        async with lines() as made:
            observer, sink = user()
            first, second, gone = [await made.open() for _ in range(3)]
            for session in (first, second, gone):
                observer.opened(session, 0)
            gone.abort()
            await asyncio.sleep(0)
            sink.calls.clear()
            assert observer.close_sessions() == ([first, second], False)
            assert [link.sent for link in made.links] == [
                [(now_ns(), 1000)],
                [(now_ns(), 1000)],
                [],
            ]
            assert not first.is_open and not second.is_open
            assert observer.sessions == [] and sink.calls == []
            assert observer.close_sessions() == ([], False), "they are closed once"
            assert (observer.held_any, observer.failed_attempts) == (True, 0)

    run_fake(main)


def test_a_loss_that_the_iteration_never_saw_is_reported_when_it_is_over() -> None:
    async def main() -> None:
        async with lines() as made:
            observer, sink = user()
            known, unknown = await made.open(), await made.open()
            for session, link in zip((known, unknown), made.links, strict=True):
                observer.opened(session, 0)
                link.lose()
            with pytest.raises(TargetError):
                await known.recv()
            sink.calls.clear()
            assert observer.close_sessions() == ([], True)
            assert sink.calls == [("target_error", unknown.error)]

    run_fake(main)


@pytest.mark.parametrize("served", [False, True])
def test_a_user_was_held_if_any_of_its_sessions_was_served(served: bool) -> None:
    async def main() -> None:
        async with lines() as made:
            observer, _ = user()
            for number in range(3):
                observer.opened(await made.open(), 0)
                if served and number == 1:
                    made.links[number].arrive("welcome")
                made.links[number].lose()
            observer.close_sessions()
            assert observer.held_any == served
            assert observer.failed_attempts == (0 if served else 1)

    run_fake(main)


def test_of_many_sessions_the_live_and_those_with_an_unseen_error_are_kept() -> None:
    async def main() -> None:
        async with lines() as made:
            observer, sink = user()
            kept = []
            for number in range(10 * SESSIONS_KEPT):
                session = await made.open()
                observer.opened(session, 0)
                if number in (0, 5):
                    kept.append(session)  # lives on
                elif number == 7:
                    made.links[-1].lose()
                    kept.append(session)  # its error has not been seen
                else:
                    session.abort()
                    await asyncio.sleep(0)
            known = observer.sessions
            assert all(session in known for session in kept)
            assert len(known) <= 2 * SESSIONS_KEPT
            assert observer.held_any, "a forgotten session had been served"
            assert len(sink.of("opened")) == 10 * SESSIONS_KEPT
            assert observer.close_sessions() == (kept[:2], True)
            assert sink.of("target_error") == [("target_error", kept[2].error)]

    run_fake(main)


# ---- errors -------------------------------------------------------------------------------------


def test_an_error_that_left_the_iteration_is_counted_as_what_it_is() -> None:
    observer, sink = user()
    lost, wrong = TargetError("lost"), ValueError("mine")
    empty, abort = DataExhausted("no row"), ScriptAborted("enough")
    assert not observer.failed_with(ExceptionGroup("both", [lost, wrong, lost]))
    assert observer.failed_attempts == 1, "only the script's own error is such an attempt"
    assert observer.failed_with(BaseExceptionGroup("all", [ExceptionGroup("in", [empty]), abort]))
    assert sink.calls == [
        ("target_error", lost),
        ("script_error", wrong),
        ("data_exhausted", empty),
        ("aborted", "enough"),
    ]


def test_an_error_of_an_earlier_iteration_is_news_in_the_next() -> None:
    observer, sink = user()
    lost = TargetError("lost")
    for _ in range(2):
        observer.target_error(lost)
        observer.target_error(lost)
        observer.close_sessions()
    assert sink.calls == 2 * [("target_error", lost)]


def test_the_cause_of_a_cancellation_is_a_deadline_or_the_end_of_the_run() -> None:
    observer, sink = user()
    sink.cause = "interrupted"
    assert observer.cancel_cause() == "deadline"
    observer.interrupting = True
    assert observer.cancel_cause() == "interrupted"


def test_all_other_reports_reach_the_recorder_unchanged() -> None:
    observer, sink = user()
    observer.dialing()
    observer.phase(Phase.TCP, 3)
    observer.sample("rtt", 4)
    observer.failed("rtt")
    observer.cut_off("rtt", 5, "end")
    observer.not_opened(6, "deadline")
    assert sink.calls == [
        ("dialing",),
        ("phase", Phase.TCP, 3),
        ("sample", "rtt", 4),
        ("failed", "rtt"),
        ("cut_off", "rtt", 5, "end"),
        ("not_opened", 6, "deadline"),
    ]
    assert observer.traffic is sink.traffic
