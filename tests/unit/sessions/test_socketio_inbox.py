"""Which call, wait or handler gets a packet of a Socket.IO session, and what is kept."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

import pytest

from ghostcore.errors import ClosedByPeer, GhostError, Timeout, UsageError
from ghostcore.protocol.socketio_codec import Event
from ghostcore.sessions.socketio_inbox import UNREAD_EVENTS_MAX
from ghostcore.testing.memory_link import MemoryLink
from tests.support.sessions import in_memory, offline_socketio
from tests.support.waiting import turns

pytestmark = pytest.mark.usefixtures("no_leaks")


def discarded(session: Any) -> int:
    """Packets that nothing took, counted since the last call."""
    count: int = session._traffic.take()[-1]
    return count


def sent(link: MemoryLink) -> list[Any]:
    """Messages sent since the last call."""
    messages = [message for _, message in link.sent]
    link.sent.clear()
    return messages


# ---- waits and requests -------------------------------------------------------------------------


def test_an_event_answers_the_oldest_request_only_and_wakes_every_wait() -> None:
    async def main() -> None:
        async with offline_socketio() as (session, link):
            requests = [
                asyncio.create_task(session.request("ask", reply="answer")) for _ in range(3)
            ]
            waits = [asyncio.create_task(session.wait_for("answer", "other")) for _ in range(2)]
            await turns()
            for number in range(3):
                link.arrive(f'42["answer",{number}]')
                await turns()
                assert [task.done() for task in requests] == [
                    position <= number for position in range(3)
                ]
                assert all(task.done() for task in waits)
            assert [task.result().args for task in requests] == [(0,), (1,), (2,)]
            assert [task.result().args for task in waits] == [(0,), (0,)]
            assert not session._unread, "each was taken"

    in_memory(main)


def test_a_request_is_answered_by_its_names_in_its_namespace_alone() -> None:
    async def main() -> None:
        async with offline_socketio() as (session, link):
            task = asyncio.create_task(
                session.request("ask", reply=("yes", "no"), namespace="/admin")
            )
            await turns()
            for packet in ('42["yes",1]', '42/admin,["maybe",2]', '42/other,["no",3]'):
                link.arrive(packet)
                await turns()
                assert not task.done()
            link.arrive('42/admin,["no",4]')
            answer = await task
            assert (answer.name, answer.args, answer.namespace) == ("no", (4,), "/admin")
            # The other events are kept for later waits.
            assert (await session.wait_for("yes")).args == (1,)
            assert (await session.wait_for("maybe", namespace="/admin")).args == (2,)

    in_memory(main)


@pytest.mark.parametrize("end", ["timeout", "cancel"])
def test_a_wait_that_is_over_takes_no_event(end: str) -> None:
    async def main() -> None:
        async with offline_socketio() as (session, link):
            first = asyncio.create_task(session.request("ask", reply="answer", timeout=1))
            second = asyncio.create_task(session.request("ask", reply="answer", timeout=60))
            await asyncio.sleep(0.5)
            if end == "cancel":
                first.cancel()
            with pytest.raises(Timeout if end == "timeout" else asyncio.CancelledError):
                await first
            link.arrive('42["answer",1]')
            assert (await second).args == (1,), "the oldest of those that still wait"
            assert not session._awaited

    in_memory(main)


def test_events_that_nothing_took_are_kept_in_order_for_later_waits() -> None:
    async def main() -> None:
        async with offline_socketio() as (session, link):
            for number, name in enumerate(["a", "b", "a", "c"]):
                link.arrive(f'42["{name}",{number}]')
            fresh = asyncio.create_task(session.wait_for("b", fresh=True))
            await turns()
            assert not fresh.done(), "an earlier event is not fresh"
            link.arrive('42["b",4]')
            assert (await fresh).args == (4,)
            assert [(await session.wait_for("c", "a")).args for _ in range(3)] == [(0,), (2,), (3,)]
            assert (await session.wait_for("b")).args == (1,)
            assert discarded(session) == 0

    in_memory(main)


def test_of_too_many_unread_events_the_oldest_go_and_are_counted() -> None:
    async def main() -> None:
        async with offline_socketio() as (session, link):
            for number in range(UNREAD_EVENTS_MAX):
                link.arrive(f'42["news",{number}]')
            assert discarded(session) == 0
            for number in range(3):
                link.arrive(f'42["more",{number}]')
            assert discarded(session) == 3
            assert (await session.wait_for("news")).args == (3,)
            link.arrive('42["more",3]')  # in the place that has become free
            assert discarded(session) == 0
            assert len(session._unread or ()) == UNREAD_EVENTS_MAX

    in_memory(main)


# ---- acknowledgements ---------------------------------------------------------------------------


def test_acknowledgements_find_their_calls_in_any_order_and_any_namespace() -> None:
    async def main() -> None:
        async with offline_socketio() as (session, link):
            spaces = ("/", "/admin", "/", "/admin")
            calls = [asyncio.create_task(session.call("ask", namespace=space)) for space in spaces]
            await turns()
            assert sent(link) == [
                '420["ask"]', '42/admin,1["ask"]', '422["ask"]', '42/admin,3["ask"]'
            ]  # fmt: skip
            link.arrive("43/admin,3[1,2]")
            link.arrive("432[]")
            link.arrive("43/admin,0[9]")  # the id of a call in another namespace
            link.arrive("431[9]")
            link.arrive('430["one"]')
            link.arrive('43/admin,1[{"x":[]}]')
            assert await asyncio.gather(*calls) == ["one", {"x": []}, None, (1, 2)]
            assert discarded(session) == 2

    in_memory(main)


def test_an_acknowledgement_that_comes_twice_or_too_late_is_discarded() -> None:
    async def main() -> None:
        async with offline_socketio() as (session, link):
            with pytest.raises(Timeout) as caught:
                await session.call("ask", timeout=1)
            assert caught.value.kind == "ack_timeout"
            link.arrive("430[1]")
            assert discarded(session) == 1
            task = asyncio.create_task(session.call("ask"))
            await turns()
            link.arrive("431[2]")
            link.arrive("431[3]")
            assert await task == 2
            assert discarded(session) == 1

    in_memory(main)


def test_an_event_is_acknowledged_by_hand_if_the_server_asked() -> None:
    async def main() -> None:
        async with offline_socketio() as (session, link):
            link.arrive('42/admin,7["asks",1]')
            link.arrive('42["tells"]')
            asks = await session.wait_for("asks", namespace="/admin")
            session.ack(asks, "yes", 2)
            assert sent(link) == ['43/admin,7["yes",2]']
            tells = await session.wait_for("tells")
            with pytest.raises(UsageError, match="asked for no acknowledgement of 'tells'"):
                session.ack(tells)
            assert sent(link) == []

    in_memory(main)


# ---- handlers -----------------------------------------------------------------------------------


def test_handlers_run_in_turn_through_the_loop_and_take_the_event() -> None:
    heard: list[tuple[Any, ...]] = []

    async def main() -> None:
        async with offline_socketio() as (session, link):
            session.on("news", lambda *args: heard.append(("first", *args)))
            session.on("news", lambda *args: heard.append(("second", *args)))
            session.on("news", lambda *args: heard.append(("admin", *args)), namespace="/admin")
            waiting = asyncio.create_task(session.wait_for("news"))
            await turns()
            link.arrive('42["news",1,"x"]')
            assert heard == [], "not within the call that brought the event"
            assert (await waiting).args == (1, "x"), "a wait has the event as well"
            link.arrive('42["news",2]')
            await turns()
            assert heard == [("first", 1, "x"), ("second", 1, "x"), ("first", 2), ("second", 2)]
            assert not session._unread
            link.arrive('42/admin,["news",3]')
            await turns()
            assert heard[4:] == [("admin", 3)]

    in_memory(main)


@pytest.mark.parametrize(
    ("result", "answer"),
    [(None, "[]"), (5, "[5]"), ([1, 2], "[[1,2]]"), ((1, 2), "[1,2]"), ((), "[]"), (0, "[0]")],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_handler_returns_acknowledges_an_event_that_asks(
    result: Any, answer: str, is_async: bool
) -> None:
    async def later() -> Any:
        await asyncio.sleep(1)
        return result

    async def main() -> None:
        async with offline_socketio() as (session, link):
            session.on("ask", later if is_async else lambda: result)
            link.arrive('42["ask"]')
            link.arrive('4212["ask"]')
            await asyncio.sleep(2)
            assert sent(link) == [f"4312{answer}"]

    in_memory(main)


def test_a_handler_runs_in_the_context_in_which_it_was_given() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")
    seen: list[str] = []

    async def main() -> None:
        async with offline_socketio() as (session, link):
            for value in ("one", "other"):
                name.set(value)
                session.on("news", lambda: seen.append(name.get()))
            name.set("the reader of sockets")
            link.arrive('42["news"]')
            await turns()
            assert seen == ["one", "other"]

    in_memory(main)


# ---- the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "kind", "words"),
    [
        (lambda session, link: link.lose(), ClosedByPeer, "lost|closed|ended"),
        (lambda session, link: link.arrive("41"), ClosedByPeer, "from its namespace"),
        (lambda session, link: link.arrive("1"), ClosedByPeer, "closed the Engine.IO session"),
        (lambda session, link: session.abort(), UsageError, "closed by this side"),
    ],
    ids=["lost", "disconnect", "engine close", "abort"],
)
def test_the_end_of_a_session_fails_every_wait(
    end: Callable[[Any, MemoryLink], Any], kind: type[GhostError], words: str
) -> None:
    async def main() -> None:
        async with offline_socketio() as (session, link):
            tasks: list[asyncio.Task[Any]] = [
                asyncio.create_task(session.call("ask")),
                asyncio.create_task(session.call("ask", namespace="/admin")),
                asyncio.create_task(session.request("ask", reply="answer")),
                asyncio.create_task(session.wait_for("news")),
                asyncio.create_task(session.join("/more")),
            ]
            await asyncio.sleep(1)
            assert not any(task.done() for task in tasks)
            end(session, link)
            errors = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1)
            for error in errors:
                assert isinstance(error, kind)
            with pytest.raises(kind, match=words):
                raise errors[0]
            if kind is ClosedByPeer:
                assert all(error is session.error for error in errors), "one end is one error"

    in_memory(main)


def test_a_namespace_that_ends_does_not_end_the_session() -> None:
    async def main() -> None:
        async with offline_socketio() as (session, link):
            waiting = asyncio.create_task(session.wait_for("news"))
            await turns()
            link.arrive("41/admin,")
            await turns()
            assert session.is_open and not waiting.done()
            link.arrive('42["news"]')
            event = await waiting
            assert isinstance(event, Event) and event.args == ()

    in_memory(main)


def test_a_namespace_is_joined_once_at_a_time() -> None:
    async def main() -> None:
        async with offline_socketio() as (session, link):
            first = asyncio.create_task(session.join("/admin", {"key": 1}))
            other = asyncio.create_task(session.join("/other"))
            await turns()
            assert sent(link) == ['40/admin,{"key":1}', "40/other,"]
            with pytest.raises(UsageError, match="/admin is being joined already"):
                await session.join("/admin")
            link.arrive('40/admin,{"sid":"a"}')
            await first
            assert not other.done() and session.sid == "s", "its id is that of its own namespace"
            link.arrive('40/other,{"sid":"o"}')
            await other
            again = asyncio.create_task(session.join("/admin"))
            await turns()
            link.arrive('40/admin,{"sid":"b"}')
            await again

    in_memory(main)
