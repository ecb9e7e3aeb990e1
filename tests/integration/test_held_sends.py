"""Frames that several connections send in one pass of the loop: in order, whole, once, whatever the
steps do to each other's connections."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import pytest
import uvloop

import ghostcore
from ghostcore import WebSocketSession
from ghostcore._engine import engine_of
from ghostcore.errors import ClosedByPeer, EngineError
from ghostcore.testing import BadServer, MisbehavingServer, ServerThread, Wire

Link = Literal["epoll", "picows"]
LINKS = ["epoll", "picows"]
CLOSE = (8, b"\x03\xe8")
END = (-1, b"")

pytestmark = pytest.mark.usefixtures("no_leaks")

Role = Callable[[list[WebSocketSession]], Awaitable[None]]


class Together:
    """A server that says "go" to as many connections at once, and keeps what each sends then."""

    def __init__(self, size: int, *, resets: bool = False) -> None:
        self.size = size
        self.resets = resets
        self.heard: dict[str, list[tuple[int, bytes]]] = {}
        self._ready = 0
        self._all = asyncio.Event()

    async def __call__(self, wire: Wire) -> None:
        await wire.answer()
        _, name = await wire.receive()
        self._ready += 1
        if self._ready == self.size:
            self._all.set()
        await self._all.wait()
        await wire.text("go")
        if self.resets:
            wire.reset()
            return
        heard = self.heard[name.decode()] = []
        try:
            while not heard or heard[-1] != CLOSE:
                heard.append(await wire.receive())
        except (asyncio.IncompleteReadError, ConnectionError):
            heard.append(END)
        if heard[-1] == CLOSE:
            await wire.frame(8, CLOSE[1])


async def act(url: str, link: Link, roles: list[Role]) -> list[WebSocketSession]:
    """Users whose "go" has come for all before the first of them reads it. The roles are given out
    in the order in which they do; `sessions` has that order, too, as far as it is known."""
    opened = [await ghostcore.connect(url, link=link) for _ in roles]
    sessions: list[WebSocketSession] = []

    async def user(session: WebSocketSession) -> None:
        await session.recv(timeout=30)
        sessions.append(session)
        await roles[len(sessions) - 1](sessions)

    for number, session in enumerate(opened):
        await session.send(str(number))
    users = [asyncio.ensure_future(user(session)) for session in opened]
    await asyncio.sleep(0)
    time.sleep(0.2)  # noqa: ASYNC251 - meanwhile all of them come
    await asyncio.gather(*users)
    return sessions


def run(link: Link, roles: list[Role], *, resets: bool = False) -> tuple[Together, list[int]]:
    """Everything that the server heard, and how many messages each session counts as sent."""
    script = Together(len(roles), resets=resets)
    counts: list[int] = []

    async def main() -> None:
        sessions = await act(thread.url, link, roles)
        for session in sessions:
            await session.close()
        counts.extend(session.msgs_sent for session in sessions)

    with ServerThread(
        MisbehavingServer(BadServer("scripted", "is scripted", None, script=script))
    ) as thread:
        uvloop.run(main())
    return script, counts


def texts(heard: list[tuple[int, bytes]]) -> list[str]:
    return [payload.decode() for opcode, payload in heard if opcode == 1]


@pytest.mark.parametrize("link", LINKS)
def test_each_connection_gets_its_own_in_order(link: Link) -> None:
    async def role(sessions: list[WebSocketSession]) -> None:
        me = len(sessions) - 1
        await sessions[me].send(f"{me} first")
        await sessions[max(me - 1, 0)].send(f"from {me}")  # whose step was before this one
        await sessions[me].send(f"{me} second")

    script, counts = run(link, [role] * 20)
    assert sum(counts) == 20 + 3 * 20
    by_first = {texts(heard)[0]: texts(heard) for heard in script.heard.values()}
    assert by_first["0 first"] == ["0 first", "from 0", "0 second", "from 1"]
    assert by_first["19 first"] == ["19 first", "19 second"]
    for me in range(1, 19):
        expected = [f"{me} first", f"{me} second", f"from {me + 1}"]
        assert by_first[f"{me} first"] == expected
    assert all(heard[-1] == CLOSE for heard in script.heard.values())


@pytest.mark.parametrize("link", LINKS)
def test_what_was_sent_goes_out_before_another_step_ends_the_connection(link: Link) -> None:
    async def sends(sessions: list[WebSocketSession]) -> None:
        await sessions[-1].send(f"last of {len(sessions) - 1}")

    async def closes(sessions: list[WebSocketSession]) -> None:
        await sessions[-1].send("closer")
        sessions[0].close()

    async def aborts(sessions: list[WebSocketSession]) -> None:
        await sessions[-1].send("aborter")
        sessions[2].abort()

    script, _ = run(link, [sends, closes, sends, aborts])
    heard = {texts(one)[0]: one for one in script.heard.values()}
    assert heard["last of 0"] == [(1, b"last of 0"), CLOSE]
    assert heard["last of 2"] == [(1, b"last of 2"), END]
    assert heard["closer"][-1] == heard["aborter"][-1] == CLOSE


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("size", [40_000, 70_000, 200_000])
def test_large_messages_among_small_ones(link: Link, size: int) -> None:
    async def role(sessions: list[WebSocketSession]) -> None:
        me = len(sessions) - 1
        await sessions[me].send(f"{me} before")
        await sessions[me].send(str(me) * size)
        await sessions[me].send(f"{me} behind")

    script, counts = run(link, [role] * 6)
    assert counts == [4] * 6
    for heard in script.heard.values():
        me = texts(heard)[0][0]
        assert texts(heard) == [f"{me} before", me * size, f"{me} behind"]


@pytest.mark.parametrize("refused_at_once", [False, True])
def test_what_a_dead_socket_did_not_take_is_not_counted_as_sent(refused_at_once: bool) -> None:
    """Over picows uvloop tells of it a moment later, when it is too late."""
    counted: list[tuple[int, int, int]] = []

    async def answers(sessions: list[WebSocketSession]) -> None:
        session = sessions[-1]
        session._traffic.take()
        await session.send("too late")
        await session.send(b"x" * 300)
        with pytest.raises(ClosedByPeer):
            if refused_at_once:  # it has no room beside the others, which go out first
                await session.send(b"x" * 70_000)
            else:
                await session.recv(timeout=10)
        messages, _, sent_bytes, *_ = session._traffic.take()
        counted.append((session.msgs_sent, messages, sent_bytes))

    run("epoll", [answers], resets=True)
    assert counted == [(1, 0, 0)]  # the name of the user


def test_waiting_for_another_step_is_part_of_the_generators_error() -> None:
    waited_ns: list[int] = []

    async def sends(sessions: list[WebSocketSession]) -> None:
        engine_of(asyncio.get_running_loop()).vitals.take_stamps()
        await sessions[-1].send("held")

    async def burns(sessions: list[WebSocketSession]) -> None:
        await sessions[-1].send("at last")
        time.sleep(0.03)  # noqa: ASYNC251
        asyncio.get_running_loop().call_soon(look)

    def look() -> None:
        waited_ns.append(engine_of(asyncio.get_running_loop()).vitals.take_stamps()[2])

    run("epoll", [sends, burns])
    assert waited_ns[0] >= 30_000_000


def descriptor_from(address: str) -> int:
    """The open descriptor of the socket that is bound to that address."""
    for path in Path("/proc/self/fd").iterdir():
        if path.is_socket():
            with socket.socket(fileno=os.dup(int(path.name))) as found:
                if found.family == socket.AF_INET and found.getsockname()[0] == address:
                    return int(path.name)
    raise AssertionError(f"no socket is bound to {address}")


def test_a_step_that_a_broken_connection_causes_sends_behind_what_is_held() -> None:
    script = Together(2)
    sessions: list[WebSocketSession] = []
    failures: list[str] = []
    full, other = socket.socketpair()
    full.setblocking(False)
    try:
        while full.send(b"x" * 65536):
            pass
    except BlockingIOError:
        pass

    async def user(session: WebSocketSession, number: int) -> None:
        await session.recv(timeout=30)
        sessions.append(session)
        if len(sessions) == 2:
            await session.send("held")
            return
        # A socket that is full, and of which epoll does not know: its frame can go nowhere.
        os.dup2(full.fileno(), descriptor_from(f"127.0.0.{90 + number}"))
        await session.send("lost")
        with pytest.raises(EngineError):
            await session.recv(timeout=10)
        await sessions[1].send("behind it")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: failures.append(context["message"])
        )
        opened = []
        for number in range(2):
            opened.append(
                await ghostcore.connect(
                    thread.url, link="epoll", local_address=f"127.0.0.{90 + number}"
                )
            )
            await opened[-1].send(str(number))
        users = [asyncio.ensure_future(user(one, number)) for number, one in enumerate(opened)]
        await asyncio.sleep(0)
        time.sleep(0.2)  # noqa: ASYNC251 - meanwhile both "go" come
        await asyncio.gather(*users)
        await sessions[1].close()

    with (
        full,
        other,
        ServerThread(
            MisbehavingServer(BadServer("scripted", "is scripted", None, script=script))
        ) as thread,
    ):
        uvloop.run(main())
    assert ["held", "behind it"] in [texts(heard) for heard in script.heard.values()]
    assert len(failures) == 1
