"""The engine of a loop, what it counts, and sessions that were never opened."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

import pytest

import ghostcore
from ghostcore import UsageError
from ghostcore._engine import Engine, Traffic, engine_of
from ghostcore.protocol.codec import PlainCodec
from ghostcore.sessions.plain import WebSocketBase
from ghostcore.testing import EchoServer

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_one_engine_a_loop() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        engine = engine_of(loop)
        assert engine_of(loop) is engine and engine.loop is loop
        assert abs(engine.now_ns() - time.monotonic_ns()) < 10**9
        engine.close()
        assert engine.closed and engine.timers.closed
        assert engine_of(loop) is not engine

    asyncio.run(main())


@pytest.mark.parametrize("link", ["epoll", "picows"])
def test_traffic_is_taken_once(link: Literal["epoll", "picows"]) -> None:
    async def main() -> None:
        async with EchoServer() as server:
            session = await ghostcore.connect(server.url, link=link)
            await session.send("x" * 200)
            await session.recv()
            await session.close()
            # Frames with their headers: 4 bytes more from us, for the mask. Those that close, too.
            assert session._traffic.take() == (1, 1, 200 + 8 + 6 + 2, 200 + 4 + 2 + 2, 0)
            assert session._traffic.take() == (0, 0, 0, 0, 0)

    asyncio.run(main())


def test_a_session_that_was_never_opened() -> None:
    async def main() -> None:
        engine = Engine(asyncio.get_running_loop())
        session = WebSocketBase(engine, PlainCodec(), Traffic(), 1000, engine.now_ns())
        for operation in (lambda: session.send("x"), session.ping, session.recv):
            with pytest.raises(UsageError, match="not connected yet"):
                await operation()
        assert not session.is_open and not session.is_closed and not session._is_linked
        await session.close()
        session.abort()
        assert session.is_closed and session.error is None
        engine.close()

    asyncio.run(main())
