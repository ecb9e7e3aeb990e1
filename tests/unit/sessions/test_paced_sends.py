"""every() and emit_every(): when what is sent, on a fake clock and a link without a network."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from ghostcore import ClosedByPeer, Timeout, UsageError
from ghostcore._engine import Engine, Traffic
from ghostcore.loop.timers import live_waiters
from ghostcore.protocol.codec import PlainCodec
from ghostcore.sessions.paced_sends import PacedSends
from ghostcore.sessions.plain import WebSocketBase
from ghostcore.testing.fakeclock import run_fake
from tests.support.sessions import MS, busy_until, now_ns, offline, offline_socketio
from tests.support.waiting import turns

pytestmark = pytest.mark.usefixtures("no_leaks")

BURST = 64


async def wait_for(pacer: PacedSends) -> int:
    return await pacer


# ---- when ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval_ns", [1_000_000_000, 333_333_333, 7, 1])
def test_the_nth_is_sent_at_start_plus_n_intervals(interval_ns: int) -> None:
    async def main() -> None:
        async with offline() as (session, link):
            await asyncio.sleep(1.5)
            start_ns = now_ns()
            pacer = session.every(f"{interval_ns}ns", "tick", count=1000)
            assert link.sent == [(start_ns, "tick")]  # the first is sent at once
            assert await pacer == pacer.sent == 1000
            expected = [(start_ns + n * interval_ns, "tick") for n in range(1000)]
            assert link.sent == expected
            assert (pacer.late_ns_max, pacer.missed) == (0, 0)
            assert len(session._engine.timers) == 0
            assert session.msgs_sent == 1000
            assert session._traffic.take()[:3] == (1000, 0, 1000 * 10)

    run_fake(main)


@pytest.mark.parametrize(
    ("frame", "sent"),
    [
        ("täxt", "täxt"),
        ("", ""),
        (b"bytes", b"bytes"),
        (bytearray(b"array"), b"array"),
        (memoryview(b"view"), b"view"),
    ],
)
def test_what_is_sent(frame: Any, sent: str | bytes) -> None:
    async def main() -> None:
        async with offline() as (session, link):
            assert await session.every(1, frame, count=2) == 2
            assert [message for _, message in link.sent] == [sent, sent]

    run_fake(main)


def test_it_goes_on_until_it_is_stopped() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            pacer = session.every(0.5, "x")
            waiting = asyncio.create_task(wait_for(pacer))
            await asyncio.sleep(1000.1)
            assert pacer.sent == len(link.sent) == 2001 and not waiting.done()
            pacer.stop()
            pacer.stop()
            assert await waiting == 2001
            await asyncio.sleep(10)
            assert len(link.sent) == pacer.sent == 2001
            assert len(session._engine.timers) == 0

    run_fake(main)


def test_nobody_needs_to_hold_it() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            pacer = session.every(1, "x", count=5)
            del pacer
            gc.collect()
            await asyncio.sleep(10)
            assert len(link.sent) == 5

    run_fake(main)


@pytest.mark.parametrize("end", ["stop", "cancel", "count", "close", "lose"])
def test_it_is_let_go_of(end: str) -> None:
    def living() -> int:
        gc.collect()
        return sum(isinstance(one, PacedSends) for one in gc.get_objects())

    async def main() -> None:
        before = living()
        async with offline() as (session, link):
            pacer = session.every(1, "x", count=3)
            assert living() == before + 1
            if end == "count":
                await asyncio.sleep(3)
            elif end == "lose":
                link.lose()
            else:
                getattr(session if end == "close" else pacer, end)()
            del pacer
            assert living() == before

    run_fake(main)


# ---- late ---------------------------------------------------------------------------------------


def test_what_is_late_is_sent_late() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            start_ns = now_ns()
            pacer = session.every(0.1, "x")
            await asyncio.sleep(0.35)
            assert len(link.sent) == 4
            busy_until(start_ns + 1250 * MS)
            await turns(2)
            assert len(link.sent) == pacer.sent == 13  # due from 0.4 to 1.2 s
            assert {ns for ns, _ in link.sent[4:]} == {start_ns + 1250 * MS}
            assert link.pieces == [1, 1, 1, 1, 9]  # together, in one system call
            assert (pacer.late_ns_max, pacer.missed) == (850 * MS, 0)
            await asyncio.sleep(0.1)
            assert link.sent[13:] == [(start_ns + 1300 * MS, "x")]  # and back on the grid
            assert pacer.late_ns_max == 850 * MS

    run_fake(main)


def test_catching_up_leaves_the_loop_its_turns() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            pacers = [session.every(0.001, str(number)) for number in range(3)]
            timers = session._engine.timers
            far = [timers.call_at(now_ns() + 3_600_000 * MS, gc.collect) for _ in range(50)]
            busy_until(now_ns() + 1000 * MS)
            sent = [1, 1, 1]
            for turn in range(30):
                await asyncio.sleep(0 if turn < 2 else 1e-9)  # a pass of the loop
                for number, pacer in enumerate(pacers):
                    assert pacer.sent - sent[number] <= BURST
                    sent[number] = pacer.sent
            assert sent == [1001, 1001, 1001]
            assert len(link.sent) == 3003
            for timer in far:
                timers.cancel(timer)

    run_fake(main)


# ---- a socket that is full ----------------------------------------------------------------------


def test_what_is_due_while_the_socket_is_full_is_counted() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            assert session._traffic.take_missed() is None
            start_ns = now_ns()
            pacer = session.every(0.1, "x", count=15)
            waiting = asyncio.create_task(wait_for(pacer))
            await asyncio.sleep(0.25)
            link.fill()
            await asyncio.sleep(0.2)  # 0.3 and 0.4 are missed
            assert (pacer.sent, pacer.missed) == (3, 2)
            await asyncio.sleep(0.1)  # and 0.5
            assert (pacer.sent, pacer.missed) == (3, 3)
            link.drain()
            await asyncio.sleep(0.1)
            assert link.sent[3:] == [(start_ns + 600 * MS, "x")]
            link.fill()
            link.drain()  # between two ticks: nobody notices
            assert await waiting == 15
            assert now_ns() == start_ns + 1700 * MS
            assert (pacer.sent, pacer.missed, pacer.late_ns_max) == (15, 3, 0)
            assert (session._traffic.take_missed(), session._traffic.take_missed()) == (3, 0)

    run_fake(main)


@pytest.mark.parametrize("end", ["stop", "cancel", "close", "abort", "lose"])
def test_what_was_missed_is_counted_at_the_end(end: str) -> None:
    async def main() -> None:
        async with offline() as (session, link):
            pacer = session.every(0.1, "x")
            link.fill()
            await asyncio.sleep(1.05)
            if end == "lose":
                link.lose()
            else:
                getattr(pacer if end in ("stop", "cancel") else session, end)()
            assert pacer.missed == session._traffic.take_missed() == 10
            await asyncio.sleep(1)
            assert pacer.missed == 10

    run_fake(main)


def test_awaiting_it_is_awaiting_a_send() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            session._send_timeout_ns = 2000 * MS
            pacer = session.every(0.1, "x", count=10)
            link.fill()
            with pytest.raises(Timeout) as caught:
                await pacer
            assert (caught.value.kind, caught.value.limit_s) == ("send_timeout", 2.0)
            assert caught.value.elapsed_ms == 2000
            assert (pacer.sent, pacer.missed) == (1, 21)
            assert session.is_open and len(session._engine.timers) == 0
            link.drain()
            await asyncio.sleep(1)
            assert pacer.sent == 1

    run_fake(main)


def test_standing_still_is_no_error_where_nobody_waits() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            session._send_timeout_ns = 2000 * MS
            pacer = session.every(0.1, "x")
            link.fill()
            await asyncio.sleep(59.95)
            assert pacer.missed == 599
            link.drain()
            await asyncio.sleep(0.05)
            assert (pacer.sent, pacer.missed) == (2, 599)
            session._send_timeout_ns = 0  # for ever
            waiting = asyncio.create_task(wait_for(pacer))
            link.fill()
            await asyncio.sleep(3600)
            assert not waiting.done()
            pacer.stop()
            assert await waiting == 2

    run_fake(main)


# ---- the end of the session ---------------------------------------------------------------------


def test_a_session_that_is_lost_ends_it() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            pacers = [session.every(0.1, "x") for _ in range(3)]
            waiting = asyncio.create_task(wait_for(pacers[0]))
            await asyncio.sleep(1)
            link.lose()
            assert len(session._engine.timers) == 0
            with pytest.raises(ClosedByPeer) as caught:
                await waiting
            assert caught.value is session.error
            for pacer in pacers:
                with pytest.raises(ClosedByPeer):
                    await pacer
            assert [pacer.sent for pacer in pacers] == [11, 11, 11]

    run_fake(main)


def test_a_loss_that_nobody_waited_for_is_still_to_be_told() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            pacer = session.every(0.1, "x")
            link.lose()
            assert session._has_unseen_error
            with pytest.raises(ClosedByPeer):
                await pacer
            assert not session._has_unseen_error
        async with offline() as (session, link):
            session.ping()
            link.lose()
            assert session._has_unseen_error

    run_fake(main)


@pytest.mark.parametrize("end", ["close", "abort"])
def test_closing_the_session_ends_it_at_once(end: str) -> None:
    async def main() -> None:
        async with offline() as (session, link):
            pacer = session.every(0.001, "x")
            waiting = asyncio.create_task(wait_for(pacer))
            await asyncio.sleep(0.01)
            getattr(session, end)()
            count = len(link.sent)
            with pytest.raises(UsageError, match="closed by this side"):
                await waiting
            await asyncio.sleep(10)
            assert len(link.sent) == count
            with pytest.raises(UsageError, match="closed by this side"):
                session.every(1, "x")

    run_fake(main)


def test_a_loss_that_a_send_finds() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            pacer = session.every(0.1, "x")
            await asyncio.sleep(0.05)
            link.broken = True
            await asyncio.sleep(1)
            assert session._has_unseen_error and pacer.sent == 1 == session.msgs_sent
            with pytest.raises(ClosedByPeer, match="sending failed"):
                await pacer
            assert not session._has_unseen_error
        async with offline() as (session, link):
            link.broken = True
            with pytest.raises(ClosedByPeer, match="sending failed"):
                session.every(0.1, "x")
            assert not session._has_unseen_error and session.msgs_sent == 0

    run_fake(main)


# ---- asyncio ------------------------------------------------------------------------------------


def test_cancelling_who_waits_stops_it() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            before = live_waiters()
            task = asyncio.create_task(wait_for(session.every(1, "x")))
            await asyncio.sleep(2.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(session._engine.timers) == 0 and live_waiters() == before
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(10.5):
                    await session.every(1, "y")
            assert [message for _, message in link.sent] == ["x"] * 3 + ["y"] * 11

    run_fake(main)


def test_in_a_task_group() -> None:
    async def fail() -> None:
        await asyncio.sleep(2.5)
        raise ZeroDivisionError

    async def main() -> None:
        async with offline() as (session, link):
            with pytest.raises(ExceptionGroup) as caught:
                async with asyncio.TaskGroup() as group:
                    group.create_task(wait_for(session.every(1, "x")))
                    group.create_task(fail())
            assert caught.group_contains(ZeroDivisionError)
            await asyncio.sleep(5)
            assert len(link.sent) == 3

    run_fake(main)


def test_several_on_one_session() -> None:
    async def main() -> None:
        async with offline() as (session, link):
            start_ns = now_ns()
            counts = await asyncio.gather(
                session.every(3, "a", count=3), session.every(2, b"b", count=4)
            )
            assert list(counts) == [3, 4]
            told = sorted((ns - start_ns) // (1000 * MS) for ns, _ in link.sent)
            assert told == [0, 0, 2, 3, 4, 6, 6]
            again = session.every(1, "c", count=1)
            assert again.done() and await again == await again == 1

    run_fake(main)


# ---- what cannot be -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((0, "x"), {}, "at least 1 ns"),
        ((1e-10, "x"), {}, "at least 1 ns"),
        ((-1, "x"), {}, "interval must not be negative"),
        (("5", "x"), {}, "interval must be seconds"),
        ((float("nan"), "x"), {}, "interval must be"),
        ((True, "x"), {}, "interval must be"),
        ((1, 5), {}, "expected str, bytes"),
        ((1, None), {}, "expected str, bytes"),
        ((1, "\ud800"), {}, "UTF-8"),
        ((1, "x"), {"count": 0}, "count must be None or a whole number from 1 up, got 0"),
        ((1, "x"), {"count": -1}, "count must be"),
        ((1, "x"), {"count": 1.5}, "count must be"),
        ((1, "x"), {"count": True}, "count must be"),
        ((1, "x"), {"count": 1 << 70}, "count must be"),
    ],
)
def test_arguments_that_cannot_be(
    arguments: tuple[Any, ...], options: dict[str, Any], words: str
) -> None:
    async def main() -> None:
        async with offline() as (session, link):
            with pytest.raises(UsageError, match=words):
                session.every(*arguments, **options)
            assert link.sent == []

    run_fake(main)


def test_a_session_that_was_never_opened() -> None:
    async def main() -> None:
        engine = Engine(asyncio.get_running_loop())
        session = WebSocketBase(engine, PlainCodec(), Traffic(), 1000, engine.now_ns())
        with pytest.raises(UsageError, match="every: the session is not connected yet"):
            PacedSends(session, "every", 1, ("x",), None)
        session.abort()
        engine.close()

    run_fake(main)


# ---- Socket.IO ----------------------------------------------------------------------------------


def test_events_at_a_fixed_rate() -> None:
    async def main() -> None:
        async with offline_socketio() as (session, link):
            start_ns = now_ns()
            assert await session.emit_every("250ms", "tick", {"a": 1}, "b", count=3) == 3
            packet = '42["tick",{"a":1},"b"]'
            assert link.sent == [(start_ns + n * 250 * MS, packet) for n in range(3)]
            link.sent.clear()
            pacer = session.emit_every(1, "blob", b"\1", [b"\2\3"], namespace="/x", count=2)
            assert await pacer == pacer.sent == 2
            header = '452-/x,["blob",{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]]'
            assert [message for _, message in link.sent] == [header, b"\1", b"\2\3"] * 2
            assert session._traffic.take()[0] == 1 + 3 + 2 * 3  # with that of joining

    run_fake(main)


def test_what_socketio_cannot() -> None:
    async def main() -> None:
        async with offline_socketio() as (session, link):
            with pytest.raises(UsageError, match="reserved"):
                session.emit_every(1, "disconnect")
            with pytest.raises(UsageError, match="emit_every: count must be"):
                session.emit_every(1, "x", count=0)
            with pytest.raises(UsageError, match="does not return packets"):
                session.echo_loop("x")
            assert link.sent == []

    run_fake(main)
