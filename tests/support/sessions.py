"""Sessions without a network, on a fake clock, and observers that keep what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from ghostcore._engine import Engine
from ghostcore.metrics.recorders import TrendRecorder, TrendState
from ghostcore.opening.options import DEFAULT_OPTIONS
from ghostcore.sessions.observer import NullObserver
from ghostcore.sessions.session import Session
from ghostcore.sessions.socketio_session import SocketIOSession
from ghostcore.sessions.websocket_session import WebSocketSession
from ghostcore.testing.fakeclock import FakeClockLoop, run_fake
from ghostcore.testing.memory_link import MemoryLink

__all__ = ["MS", "Measured", "busy_until", "in_memory", "now_ns", "offline", "offline_socketio"]

T = TypeVar("T")
MS = 1_000_000

_LIMITS = ("", DEFAULT_OPTIONS.max_message_size, 30_000 * MS)


class Measured(NullObserver):
    """Records one Trend, with a resolution of 1 ns; `cause` is that of what is cancelled."""

    def __init__(self, cause: str = "end", *, unit_ns: float = 1.0) -> None:
        super().__init__()
        self.recorder = TrendRecorder(1.0, unit_ns, name="rtt")
        self.cause = cause

    def trend(self, metric: Any) -> TrendRecorder:
        assert metric == "rtt"
        return self.recorder

    def cancel_cause(self) -> str:
        return self.cause

    def drain(self) -> TrendState:
        state = self.recorder.drain()
        assert state is None or isinstance(state, TrendState)
        return TrendState(1.0) if state is None else state


def now_ns() -> int:
    """The time of the fake clock."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeClockLoop)
    return loop.now_ns()


def busy_until(when_ns: int) -> None:
    """What a callback does that takes that long: the loop sees nothing of it."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeClockLoop)
    loop.clock.advance_to(when_ns)


@asynccontextmanager
async def _opened(engine: Engine, session: Session) -> AsyncIterator[MemoryLink]:
    link = MemoryLink(session)
    try:
        yield link
    finally:
        session.abort()
        await asyncio.sleep(0)
        left = len(engine.timers)
        engine.close()
    assert left == 0 and not session._is_linked


@asynccontextmanager
async def offline(
    observer: NullObserver | None = None,
) -> AsyncIterator[tuple[WebSocketSession, MemoryLink]]:
    """An open plain session on a link without a network, on the running (fake) loop."""
    engine = Engine(asyncio.get_running_loop())
    session = WebSocketSession(engine, observer or NullObserver(), engine.now_ns(), *_LIMITS)
    async with _opened(engine, session) as link:
        yield session, link


@asynccontextmanager
async def offline_socketio() -> AsyncIterator[tuple[SocketIOSession, MemoryLink]]:
    """The same of Socket.IO, joined to its namespace; what opening sent is forgotten."""
    engine = Engine(asyncio.get_running_loop())
    session = SocketIOSession(None, "/", engine, NullObserver(), engine.now_ns(), *_LIMITS)
    async with _opened(engine, session) as link:
        link.arrive('0{"sid":"e","upgrades":[],"pingInterval":25000000,"pingTimeout":20000}')
        link.arrive('40{"sid":"s"}')
        assert session.sid == "s"
        link.sent.clear()
        yield session, link


def in_memory(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``main()`` on a fake clock."""
    return run_fake(main)
