"""What sessions tell of the generator: stamps, backlog, TCP figures, over real sockets."""

from __future__ import annotations

import asyncio
import time

import pytest

import ghostcore
from ghostcore._engine import engine_of
from ghostcore.loop.vitals import Vitals
from ghostcore.testing import EchoServer, FaultProxy, ServerThread

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_a_loop_without_sessions_has_nothing_to_tell() -> None:
    vitals = Vitals()
    assert vitals.take_stamps() == (0, 0, 0)
    assert vitals.take_tcp(10) == []
    assert vitals.backlog_bytes == 0


def test_every_frame_is_stamped_within_its_batch() -> None:
    async def main() -> None:
        async with EchoServer() as server:
            engine = engine_of(asyncio.get_running_loop())
            async with ghostcore.connect(server.url) as session:
                for number in range(50):
                    await session.send(str(number))
                    await session.recv(timeout=5)
                frames, p99_ns, greatest_ns = engine.vitals.take_stamps()
                assert frames == 50
                assert 0 < p99_ns <= greatest_ns * 1.001
                assert greatest_ns < 5_000_000_000
                assert engine.vitals.take_stamps() == (0, 0, 0)
            engine.close()

    asyncio.run(main())


def test_a_frame_waits_for_those_before_it_in_the_batch() -> None:
    async def main(url: str) -> None:
        engine = engine_of(asyncio.get_running_loop())
        async with ghostcore.connect(url) as one, ghostcore.connect(url) as other:

            async def slow(session: ghostcore.WebSocketSession) -> None:
                await session.recv(timeout=5)
                time.sleep(0.05)  # noqa: ASYNC251 - a turn of a user that takes long

            waiting = [asyncio.ensure_future(slow(session)) for session in (one, other)]
            await asyncio.sleep(0.01)  # both wait for their frame
            for session in (one, other):
                await session.send("x")
            time.sleep(0.2)  # noqa: ASYNC251 - both answers are there when the loop looks again
            await asyncio.gather(*waiting)
            frames, p99_ns, greatest_ns = engine.vitals.take_stamps()
            assert frames == 2
            assert greatest_ns >= 50_000_000, "the second waited for the turn of the first"
            assert p99_ns == pytest.approx(greatest_ns, rel=0.001)
        engine.close()

    with ServerThread(EchoServer()) as server:
        asyncio.run(main(server.url))


def test_the_picows_link_has_no_batches() -> None:
    async def main() -> None:
        async with EchoServer() as server:
            engine = engine_of(asyncio.get_running_loop())
            async with ghostcore.connect(server.url, link="picows") as session:
                await session.send("x")
                await session.recv(timeout=5)
            assert engine.vitals.take_stamps() == (0, 0, 0)
            engine.close()

    asyncio.run(main())


def test_connections_that_end_are_asked_for_tcp_figures_as_many_as_wanted() -> None:
    async def main() -> None:
        async with EchoServer() as server:
            engine = engine_of(asyncio.get_running_loop())

            async def visit() -> None:
                async with ghostcore.connect(server.url) as session:
                    await session.send("x")
                    await session.recv(timeout=5)

            for _ in range(3):
                await visit()
            assert engine.vitals.take_tcp(2) == [], "nobody had asked"
            for _ in range(3):
                await visit()
            found = engine.vitals.take_tcp(0)
            assert len(found) == 2
            assert all(0 < rtt_us < 5_000_000 and retransmits >= 0 for rtt_us, retransmits in found)
            await visit()
            assert engine.vitals.take_tcp(0) == []
            engine.close()

    asyncio.run(main())


def test_what_the_server_does_not_take_waits_here() -> None:
    async def main() -> None:
        async with EchoServer() as server, FaultProxy(server.port) as proxy:
            engine = engine_of(asyncio.get_running_loop())
            session = await ghostcore.connect(proxy.url)
            proxy.freeze()
            size = 0
            while engine.vitals.backlog_bytes == 0 and size < 1 << 28:
                session.send(b"x" * 100_000)
                size += 100_000
            waiting = engine.vitals.backlog_bytes
            session.send(b"x" * 100_000)
            assert engine.vitals.backlog_bytes >= waiting + 100_000
            proxy.resume()
            while engine.vitals.backlog_bytes:
                await asyncio.sleep(0.01)
            proxy.freeze()
            while engine.vitals.backlog_bytes == 0:
                session.send(b"x" * 100_000)
            session.abort()
            assert engine.vitals.backlog_bytes == 0, "what is thrown away waits no more"
            await session.close()
            engine.close()

    asyncio.run(main())
