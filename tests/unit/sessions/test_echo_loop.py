"""echo_loop(): what is sent, matched and measured, on a fake clock and a link without a network."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest

from ghostcore import ClosedByPeer, ProtocolViolation, Timeout, UsageError
from ghostcore._engine import Engine, Traffic
from ghostcore.loop.timers import live_waiters
from ghostcore.protocol.codec import PlainCodec
from ghostcore.sessions.echo_loop import EchoLoop
from ghostcore.sessions.observer import NullObserver
from ghostcore.sessions.plain import WebSocketBase
from ghostcore.sessions.websocket_session import WebSocketSession
from ghostcore.testing.fakeclock import run_fake
from ghostcore.testing.memory_link import MemoryLink
from tests.support.sessions import MS, Measured, now_ns, offline

pytestmark = pytest.mark.usefixtures("no_leaks")


async def finish(loop: Any) -> int:
    result: int = await loop
    return result


def echo_after(link: MemoryLink, delay_s: float, limit: int = 1 << 30) -> None:
    """The peer returns the first `limit` messages, each after that time."""
    left = [limit]

    def peer(message: str | bytes) -> None:
        if left[0]:
            left[0] -= 1
            asyncio.get_running_loop().call_later(delay_s, link.arrive, message)

    link.peer = peer


def is_itself(session: WebSocketSession) -> bool:
    """The session is as it was before the loop."""
    return type(session._codec) is PlainCodec and len(session._engine.timers) == 0


# ---- round trips --------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", ["täxt", "", b"bytes", bytearray(b"array"), memoryview(b"view")])
def test_every_round_trip_is_measured(frame: Any) -> None:
    async def main() -> None:
        observer = Measured()
        async with offline(observer) as (session, link):
            echo_after(link, 0.25)
            loop = session.echo_loop(frame, count=40, metric="rtt")
            assert link.sent == []  # it begins when it is awaited
            assert await loop == loop.round_trips == 40
            sent = frame if isinstance(frame, str) else bytes(frame)
            assert link.sent == [(n * 250 * MS, sent) for n in range(40)]
            state = observer.drain()
            assert (state.count, state.hist.count, state.failed, state.cut_off) == (40, 40, 0, {})
            assert state.hist.min is not None and state.hist.max is not None
            assert state.hist.min <= 250 * MS <= state.hist.max < 251 * MS
            assert is_itself(session)
            assert session._traffic.take()[:2] == (40, 40)

    run_fake(main)


def test_so_many_are_in_flight() -> None:
    async def main() -> None:
        observer = Measured()
        async with offline(observer) as (session, link):
            unanswered: deque[str | bytes] = deque()
            link.peer = unanswered.append
            task = asyncio.create_task(
                finish(session.echo_loop("x", count=10, in_flight=4, metric="rtt"))
            )
            expected = []
            for answered in range(10):
                await asyncio.sleep(0.1)
                assert len(link.sent) == min(answered + 4, 10)
                assert len(unanswered) == min(4, 10 - answered)
                link.arrive(unanswered.popleft())
                expected.append((1 + min(answered, 3)) * 100 * MS)
            assert await task == 10
            assert link.pieces == [4] + [1] * 6
            state = observer.drain()
            assert state.hist.count == 10
            for rank, elapsed_ns in enumerate(sorted(expected), 1):
                assert abs(state.hist.value_at_rank(rank) - elapsed_ns) <= elapsed_ns / 1000

    run_fake(main)


def test_it_needs_no_metric_and_no_run() -> None:
    async def main() -> None:
        for observer in (NullObserver(), Measured()):
            async with offline(observer) as (session, link):
                echo_after(link, 0.1)
                assert await session.echo_loop("x", count=3) == 3
                if isinstance(observer, Measured):
                    assert observer.drain().count == 0
                else:
                    assert await session.echo_loop("x", count=3, metric="any") == 3

    run_fake(main)


def test_the_session_can_be_used_before_and_after() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            link.arrive("before")
            for _ in range(3):
                echo_after(link, 0.1)
                assert await session.echo_loop("x", count=2) == 2
                link.peer = None
            link.arrive("after")
            assert [(await session.recv()).text for _ in range(2)] == ["before", "after"]

    run_fake(main)


# ---- its end ------------------------------------------------------------------------------------


def test_after_its_duration_what_is_in_flight_is_cut_off() -> None:
    async def main() -> None:
        observer = Measured("end")
        async with offline(observer) as (session, link):
            echo_after(link, 0.3)
            assert await session.echo_loop("x", duration=1, metric="rtt") == 3
            assert now_ns() == 1000 * MS
            state = observer.drain()
            assert (state.count, state.hist.count, state.failed) == (4, 3, 0)
            assert list(state.cut_off) == ["deadline"]
            cut = state.cut_off["deadline"]
            assert cut.count == 1 and cut.min is not None and cut.max is not None
            assert cut.min <= 100 * MS <= cut.max < 101 * MS
            assert session.is_open and len(session._engine.timers) == 0

    run_fake(main)


def test_the_first_of_count_and_duration_ends_it() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            echo_after(link, 0.125)
            assert await session.echo_loop("x", count=5, duration=60) == 5
            assert now_ns() == 625 * MS
            assert await session.echo_loop("x", count=5, duration="300ms") == 2

    run_fake(main)


@pytest.mark.parametrize("verify", [True, False])
def test_answers_that_come_too_late_are_for_nobody(verify: bool) -> None:
    async def main() -> None:
        async with offline() as (session, link):
            echo_after(link, 1)
            frames = ("a", "b", b"b", "a")
            for frame in frames:
                loop = session.echo_loop(frame, duration=0.1, in_flight=2, verify=verify)
                assert await loop == 0
            echo_after(link, 2)
            assert await session.echo_loop("c", count=3, verify=verify) == 3
            assert session._traffic.take()[4] == 2 * len(frames)
            assert is_itself(session)
            link.arrive("a")
            assert (await session.recv()).text == "a"

    run_fake(main)


def test_what_is_no_late_answer_is_received() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            assert await session.echo_loop("echo", duration=0.1, in_flight=3) == 0
            for message in ("echo", "news", "echo", b"echo", "echo", "echo"):
                link.arrive(message)
            received = [(await session.recv()).data for _ in range(3)]
            assert received == [b"news", b"echo", b"echo"]
            assert session._traffic.take()[4] == 3

    run_fake(main)


def test_a_server_that_stops_returning_frames() -> None:
    async def main() -> None:
        observer = Measured()
        async with offline(observer) as (session, link):
            echo_after(link, 0.5, limit=7)
            loop = session.echo_loop("x", in_flight=2, timeout="2s", metric="rtt")
            with pytest.raises(Timeout, match="no answer within 2 s") as caught:
                await loop
            assert (caught.value.kind, caught.value.limit_s) == ("reply_timeout", 2.0)
            assert caught.value.elapsed_ms == 2000
            assert loop.round_trips == 7
            state = observer.drain()
            assert (state.hist.count, state.failed, state.cut_off["deadline"].count) == (7, 0, 2)
            assert session.is_open and len(session._engine.timers) == 0

    run_fake(main)


def test_a_slow_answer_is_no_lost_answer() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            echo_after(link, 1.9)
            assert await session.echo_loop("x", count=50, timeout=2) == 50

    run_fake(main)


@pytest.mark.parametrize("answer", ["y", "", "xx", b"x"])
def test_an_answer_that_is_not_what_was_sent_ends_the_session(answer: str | bytes) -> None:
    async def main() -> None:
        observer = Measured()
        async with offline(observer) as (session, link):
            task = asyncio.create_task(
                finish(session.echo_loop("x", in_flight=3, metric="rtt")),
            )
            await asyncio.sleep(0.1)
            link.arrive("x")
            link.arrive(answer)
            with pytest.raises(
                ProtocolViolation, match="echo_loop sent 1 B of text b'x'"
            ) as caught:
                await task
            assert caught.value.kind == "protocol_violation"
            assert session.error is caught.value and not session._has_unseen_error
            state = observer.drain()
            assert (state.hist.count, state.failed, state.cut_off) == (1, 3, {})
            assert link.sent[-1][1] == 1002

    run_fake(main)


def test_any_message_may_pass_for_an_answer() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            task = asyncio.create_task(finish(session.echo_loop("x", count=3, verify=False)))
            await asyncio.sleep(0)
            for answer in ("y", b"", "x" * 1000):
                link.arrive(answer)
            assert await task == 3

    run_fake(main)


def test_a_long_message_is_cut_short_in_the_error() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            task = asyncio.create_task(finish(session.echo_loop("x" * 1000)))
            await asyncio.sleep(0)
            link.arrive(b"y" * 100_000)
            with pytest.raises(ProtocolViolation) as caught:
                await task
            assert f"1000 B of text b'{'x' * 40}'..." in str(caught.value)
            assert f"100000 B of binary b'{'y' * 40}'... came back" in str(caught.value)

    run_fake(main)


def test_a_session_that_is_lost_fails_what_is_in_flight() -> None:
    async def main() -> None:
        observer = Measured()
        async with offline(observer) as (session, link):
            echo_after(link, 0.1, limit=5)
            asyncio.get_running_loop().call_later(1, link.lose)
            with pytest.raises(ClosedByPeer):
                await session.echo_loop("x", in_flight=3, metric="rtt")
            assert not session._has_unseen_error
            state = observer.drain()
            assert (state.hist.count, state.failed, state.cut_off) == (5, 3, {})
            assert is_itself(session)

    run_fake(main)


@pytest.mark.parametrize("end", ["close", "abort"])
def test_closing_the_session_cuts_it_off(end: str) -> None:
    async def main() -> None:
        observer = Measured("end")
        async with offline(observer) as (session, link):
            asyncio.get_running_loop().call_later(1, getattr(session, end))
            with pytest.raises(UsageError, match="closed by this side"):
                await session.echo_loop("x", in_flight=2, metric="rtt")
            state = observer.drain()
            assert (state.hist.count, state.failed) == (0, 0)
            assert state.cut_off["end"].count == 2
            if end == "close":
                link.arrive("x")  # on its way already
            with pytest.raises(UsageError, match="closed by this side"):
                await session.echo_loop("x")
            with pytest.raises((UsageError, Timeout)):
                await session.recv(timeout=0)

    run_fake(main)


# ---- a loss that a send finds -------------------------------------------------------------------


def test_a_loss_that_the_first_send_finds() -> None:
    async def main() -> None:
        observer = Measured()
        async with offline(observer) as (session, link):
            link.broken = True
            with pytest.raises(ClosedByPeer, match="sending failed"):
                await session.echo_loop("x", metric="rtt")
            assert not session._has_unseen_error
            assert observer.drain().count == 0 and session.msgs_sent == 0
            assert is_itself(session)

    run_fake(main)


def test_a_loss_that_a_later_send_finds() -> None:
    async def main() -> None:
        observer = Measured()
        async with offline(observer) as (session, link):
            task = asyncio.create_task(
                finish(session.echo_loop("x", in_flight=3, metric="rtt")),
            )
            await asyncio.sleep(0.1)
            link.broken = True
            link.arrive("x")
            with pytest.raises(ClosedByPeer, match="sending failed"):
                await task
            state = observer.drain()
            assert (state.hist.count, state.failed, session.msgs_sent) == (1, 2, 3)

    run_fake(main)


# ---- a socket that is full ----------------------------------------------------------------------


def test_nothing_is_sent_while_the_socket_is_full() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            link.peer = lambda _: link.fill() if len(link.sent) == 3 else None
            task = asyncio.create_task(finish(session.echo_loop("x", count=20, in_flight=8)))
            await asyncio.sleep(1)
            assert len(link.sent) == 3
            link.arrive("x")
            await asyncio.sleep(1)
            assert len(link.sent) == 3
            link.drain()
            assert len(link.sent) == 3 + 6
            link.fill()
            for _ in range(8):
                link.arrive("x")
            assert len(link.sent) == 9
            link.drain()
            assert len(link.sent) == 17 and link.pieces == [3, 6, 8]
            for _ in range(11):
                link.arrive("x")
            assert await task == 20
            assert session._traffic.take()[4] == 0

    run_fake(main)


def test_a_socket_that_stays_full() -> None:
    async def main() -> None:
        observer = Measured()
        async with offline(observer) as (session, link):
            session._send_timeout_ns = 3000 * MS
            link.fill()
            with pytest.raises(Timeout) as caught:
                await session.echo_loop("x", metric="rtt")
            assert (caught.value.kind, caught.value.elapsed_ms) == ("send_timeout", 3000)
            assert observer.drain().count == 0 and session.is_open and is_itself(session)
            # The same once some were answered, and where there is no such deadline:
            link.drain()
            link.peer = lambda _: link.fill()
            task = asyncio.create_task(finish(session.echo_loop("x", metric="rtt")))
            await asyncio.sleep(1)
            link.arrive("x")
            with pytest.raises(Timeout) as caught:
                await task
            assert (caught.value.kind, caught.value.elapsed_ms) == ("send_timeout", 3000)
            session._send_timeout_ns = 0
            assert await session.echo_loop("x", duration=3600, timeout=1) == 0

    run_fake(main)


def test_a_message_out_of_the_blue_answers_nothing() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            link.fill()
            task = asyncio.create_task(finish(session.echo_loop("x", count=1, verify=False)))
            await asyncio.sleep(0)
            link.arrive("too early")
            assert session._traffic.take()[4] == 1
            link.drain()
            link.arrive("x")
            assert await task == 1

    run_fake(main)


# ---- asyncio ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", ["end", "interrupted", "deadline"])
def test_cancelling_who_waits_cuts_it_off(cause: str) -> None:
    async def main() -> None:
        observer = Measured(cause)
        async with offline(observer) as (session, link):
            echo_after(link, 0.4)
            before = live_waiters()
            task = asyncio.create_task(finish(session.echo_loop("x", in_flight=2, metric="rtt")))
            await asyncio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            state = observer.drain()
            assert (state.hist.count, state.failed) == (4, 0)
            assert list(state.cut_off) == [cause] and state.cut_off[cause].count == 2
            assert len(session._engine.timers) == 0 and live_waiters() == before
            await asyncio.sleep(1)
            assert is_itself(session) and session.is_open

    run_fake(main)


def test_in_a_timeout_and_a_task_group() -> None:
    async def fail() -> None:
        await asyncio.sleep(0.95)
        raise ZeroDivisionError

    async def main() -> None:
        async with offline() as (session, link):
            echo_after(link, 0.1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.95):
                    await session.echo_loop("x")
            with pytest.raises(ExceptionGroup) as caught:
                async with asyncio.TaskGroup() as group:
                    group.create_task(finish(session.echo_loop("x")))
                    group.create_task(fail())
            assert caught.group_contains(ZeroDivisionError)
            loop = session.echo_loop("x", count=5)
            assert await asyncio.wait_for(loop, 60) == 5
            never = session.echo_loop("x")
            assert never.cancel()  # before it began
            with pytest.raises(asyncio.CancelledError):
                await never

    run_fake(main)


def test_a_task_that_goes_on_at_once_finds_the_session_free() -> None:
    """The last answer wakes it in the middle of the callback of that frame."""

    async def main() -> None:
        async with offline() as (session, link):
            echo_after(link, 0.1)
            for _ in range(20):
                assert await session.echo_loop("x", count=1) == 1
                await session.send("y")
                assert (await session.recv(timeout=1)).text == "y"
            await session.echo_loop("x", count=1)
            session.abort()

    run_fake(main)


def test_one_receiver_at_a_time() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            task = asyncio.create_task(finish(session.echo_loop("x", count=1)))
            await asyncio.sleep(0)
            with pytest.raises(UsageError, match="another task is receiving"):
                await session.recv()
            with pytest.raises(UsageError, match="another task is receiving"):
                await session.echo_loop("x")
            link.arrive("x")
            assert await task == 1
            receiving = asyncio.ensure_future(session.recv())
            receiving.add_done_callback(lambda _: None)
            with pytest.raises(UsageError, match="another task is receiving"):
                await session.echo_loop("x")
            link.arrive("for recv")
            assert (await receiving).text == "for recv"

    run_fake(main)


# ---- what cannot be -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "options", "words"),
    [
        (5, {}, "expected str, bytes"),
        (None, {}, "expected str, bytes"),
        ("\ud800", {}, "UTF-8"),
        ("x", {"count": 0}, "echo_loop: count must be None or a whole number from 1 up, got 0"),
        ("x", {"count": "5"}, "count must be"),
        ("x", {"duration": 0}, "the duration must be at least 1 ns"),
        ("x", {"duration": -1}, "duration must not be negative"),
        ("x", {"duration": "5"}, "duration must be"),
        ("x", {"timeout": 0}, "the timeout must be at least 1 ns"),
        ("x", {"timeout": None}, "timeout must be"),
        ("x", {"in_flight": 0}, "in_flight must be a whole number from 1 to 65536, got 0"),
        ("x", {"in_flight": 65537}, "in_flight must be"),
        ("x", {"in_flight": 1.0}, "in_flight must be"),
        ("x", {"in_flight": True}, "in_flight must be"),
    ],
)
def test_arguments_that_cannot_be(frame: Any, options: dict[str, Any], words: str) -> None:
    async def main() -> None:
        async with offline() as (session, link):
            with pytest.raises(UsageError, match=words):
                session.echo_loop(frame, **options)
            assert link.sent == [] and is_itself(session)

    run_fake(main)


def test_a_metric_that_measures_no_time() -> None:
    async def main() -> None:
        async with offline(Measured(unit_ns=0)) as (session, _):
            with pytest.raises(UsageError, match="rtt is no Trend of durations"):
                session.echo_loop("x", metric="rtt")

    run_fake(main)


def test_a_session_that_is_not_open() -> None:
    async def main() -> None:
        engine = Engine(asyncio.get_running_loop())
        session = WebSocketBase(engine, PlainCodec(), Traffic(), 1000, engine.now_ns())
        loop = EchoLoop(session, "x", None, None, 1, 30, True, None, NullObserver())
        with pytest.raises(UsageError, match="echo_loop: the session is not connected yet"):
            await loop
        session.abort()
        engine.close()
        async with offline() as (opened, link):
            link.lose()
            with pytest.raises(ClosedByPeer):
                await opened.echo_loop("x")

    run_fake(main)
