"""Sessions and the end of their loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ghostcore
from ghostcore.sessions.observer import NullObserver
from ghostcore.sessions.session import live_sessions
from ghostcore.testing import EchoServer, ServerThread, SocketIOServer
from ghostcore.testing.leaks import open_descriptors

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.parametrize("kind", ["plain", "socketio"])
def test_sessions_that_are_left_open_end_with_their_loop(run: Any, kind: str) -> None:
    async def main(url: str) -> list[Any]:
        left: list[Any] = []
        for _ in range(5):
            if kind == "plain":
                session = await ghostcore.connect(url, link="epoll")
                left.append(asyncio.ensure_future(session.recv()))
                session.every(0.001, "x")
            else:
                other = await ghostcore.socketio(url, link="epoll")
                left.append(asyncio.create_task(other.wait_for("never")))
                session = other  # type: ignore[assignment]
            session.ping()
            left.append(session)
        await asyncio.sleep(0.01)
        return left

    with ServerThread(EchoServer() if kind == "plain" else SocketIOServer()) as thread:
        descriptors = len(open_descriptors())
        left = run(main(thread.url))
        assert live_sessions() == 0
        assert all(session.is_closed for session in left[1::2])
        assert len(open_descriptors()) <= descriptors + 5  # the server's own
        del left


@pytest.mark.parametrize("link", ["epoll", "picows"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_while_a_frame_is_handled_stops_the_loop(
    run: Any, link: Any, error: type[BaseException]
) -> None:
    class Interrupted(NullObserver):
        def ended(self, session: Any) -> None:
            raise error

    async def main() -> None:
        async with EchoServer() as server:
            session = await ghostcore.connect(server.url, link=link, observer=Interrupted())
            waiting = asyncio.ensure_future(session.recv())
            await server.crash()
            await asyncio.wait([waiting], timeout=5)
        raise AssertionError("the loop went on")

    with pytest.raises(error):
        run(main())
