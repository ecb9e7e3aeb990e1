"""When a server that no longer pings is given up, and how often that is looked after."""

from __future__ import annotations

import asyncio

import pytest

from ghostcore._engine import Engine
from ghostcore.errors import Timeout
from ghostcore.sessions.observer import NullObserver
from ghostcore.sessions.socketio_session import SocketIOSession
from ghostcore.testing.fakeclock import run_fake
from ghostcore.testing.memory_link import MemoryLink
from tests.support.sessions import MS, now_ns

pytestmark = pytest.mark.usefixtures("no_leaks")

SESSIONS = 400
INTERVAL_MS, TIMEOUT_MS = 25_000, 20_000
ROUNDS = 12


def joined(engine: Engine) -> tuple[SocketIOSession, MemoryLink]:
    session = SocketIOSession(
        None, "/", engine, NullObserver(), engine.now_ns(), "", 1 << 20, 30_000 * MS
    )
    link = MemoryLink(session)
    times = f'"pingInterval":{INTERVAL_MS},"pingTimeout":{TIMEOUT_MS}'
    link.arrive('0{"sid":"e","upgrades":[],' + times + "}")
    link.arrive('40{"sid":"s"}')
    return session, link


def test_many_are_looked_after_together_and_each_ends_at_its_deadline() -> None:
    async def main() -> None:
        engine = Engine(asyncio.get_running_loop())
        held: list[tuple[SocketIOSession, MemoryLink]] = []
        gap_s = INTERVAL_MS / 1e3 / SESSIONS
        for _ in range(SESSIONS):  # their pings are spread evenly over the interval
            held.append(joined(engine))
            await asyncio.sleep(gap_s)
        fired, looked_ns = engine.timers.fired, set()
        last_ping_ns = {}
        for _ in range(ROUNDS):
            for number, (_, link) in enumerate(held):
                before = engine.timers.fired
                link.arrive("2")
                last_ping_ns[number] = now_ns()
                await asyncio.sleep(gap_s)
                if engine.timers.fired != before:
                    looked_ns.add(now_ns())
        assert engine.timers.fired - fired > SESSIONS * 3  # every session in every period
        held_s = ROUNDS * INTERVAL_MS / 1e3
        assert len(looked_ns) <= held_s / 0.25, "each was looked after at a time of its own"

        limit_ns = (INTERVAL_MS + TIMEOUT_MS) * MS
        for number, (session, _) in enumerate(held):
            with pytest.raises(Timeout, match=r"no Engine\.IO ping"):
                await session.wait_for("never", timeout=100)
            # A few passes of the loop are granted in which a ping may still be found.
            late_ns = now_ns() - last_ping_ns[number] - limit_ns
            assert 0 <= late_ns < MS
            assert session._take_unseen_error() is None
        await asyncio.sleep(0)
        engine.close()

    run_fake(main)
