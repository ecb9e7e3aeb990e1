"""Those who wait for events: what one does to another, and what is left of them."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from ghostcore.errors import ErrorReply, HandshakeRejected, Timeout
from tests.support.sessions import in_memory, offline_socketio

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.parametrize("end", ["cancel", "abort"])
def test_who_is_woken_may_take_the_event_from_the_next(end: str) -> None:
    async def main() -> None:
        async with offline_socketio() as (session, link):
            loop = asyncio.get_running_loop()
            faults: list[Any] = []
            loop.set_exception_handler(lambda _, context: faults.append(context))
            tasks: list[asyncio.Task[Any]] = []

            async def first() -> str:
                event = await session.wait_for("news")
                if end == "cancel":
                    tasks[1].cancel()
                else:
                    session.abort()
                return event.name

            async def second() -> str:
                return (await session.wait_for("news")).name

            tasks += [asyncio.create_task(first()), asyncio.create_task(second())]
            await asyncio.sleep(0.1)
            loop.call_soon(link.arrive, '42["news",1]')
            await asyncio.sleep(0.1)
            one, other = await asyncio.gather(*tasks, return_exceptions=True)
            assert one == "news"
            if end == "cancel":
                assert isinstance(other, asyncio.CancelledError)
            else:
                assert other == "news", "it had come before the end"
            assert faults == []

    in_memory(main)


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ('{"message":"no","data":{"why":1}}', "no"),
        ('{"why":1}', "{'why': 1}"),
        ('"no"', "no"),
        ("", "no reason given"),
    ],
)
def test_a_refusal_of_any_form_is_told(payload: str, told: str) -> None:
    async def main() -> None:
        async with offline_socketio() as (session, link):
            asyncio.get_running_loop().call_later(0.01, link.arrive, "44/admin," + payload)
            with pytest.raises(
                HandshakeRejected, match=f"refused the connection: {told}"
            ) as caught:
                await session.join("/admin", timeout=1)
            assert (caught.value.kind, caught.value.phase) == ("connect_error", "socketio_connect")
            assert session.is_open

    in_memory(main)


def test_an_acknowledgement_in_another_namespace_answers_nothing() -> None:
    async def main() -> None:
        async with offline_socketio() as (session, link):
            later = asyncio.get_running_loop().call_later
            later(0.01, link.arrive, '43/admin,0["stray"]')
            later(0.02, link.arrive, '430["ours"]')
            assert await session.call("ask", timeout=1) == "ours"
            later(0.01, link.arrive, '431["stray"]')
            later(0.02, link.arrive, '43/admin,1["theirs"]')
            assert await session.call("ask", timeout=1, namespace="/admin") == "theirs"
            assert session._traffic.take()[-1] == 2

    in_memory(main)


async def use(session: Any, link: Any) -> None:
    """Each operation that waits, answered and not."""
    later = asyncio.get_running_loop().call_later

    later(0.01, link.arrive, '42["answer",1]')
    await session.request("ask", reply="answer", timeout=1)
    with pytest.raises(Timeout):
        await session.request("ask", reply="answer", timeout=0.01)
    later(0.01, link.arrive, '42["no"]')
    with pytest.raises(ErrorReply):
        await session.request("ask", reply="answer", error="no", timeout=1)
    with pytest.raises(Timeout):
        await session.wait_for("news", timeout=0.01)
    with pytest.raises(Timeout):
        await session.call("ask", timeout=0.01)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await session.wait_for("news")


def test_nothing_is_left_to_the_garbage_collector() -> None:
    """It would stop the loop for tens of ms, again and again, at a few hundred answers a second."""

    async def one() -> None:
        async with offline_socketio() as (session, link):
            session.on("news", lambda *_: session.sid)  # knows the session that knows it
            await use(session, link)

    async def main() -> None:
        await one()  # what is made once is made now
        gc.collect()
        gc.disable()
        try:
            await one()
            await asyncio.sleep(0)
            left: list[Any] = []
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left, gc.garbage[:] = list(gc.garbage), []
        finally:
            gc.set_debug(0)
            gc.enable()
        ours = [one for one in left if type(one).__module__.startswith("ghostcore")]
        assert ours == []

    in_memory(main)
