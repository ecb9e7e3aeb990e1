"""What a session does when the server is gone or does not read: sends, pongs, closing."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any, Literal

import psutil
import pytest
import uvloop

import ghostcore
from ghostcore import PerVUIterations, scenario
from ghostcore.errors import ClosedByPeer, TargetError, Timeout
from ghostcore.testing import BadServer, MisbehavingServer, ServerProcess, ServerThread, Wire

Link = Literal["epoll", "picows"]
LINKS = ["epoll", "picows"]
LIMIT_BYTES = 64 * 1024 * 1024


async def reset_after_101(wire: Wire) -> None:
    await wire.answer()
    wire.reset()


def server(script: Any) -> ServerThread[MisbehavingServer]:
    return ServerThread(
        MisbehavingServer(BadServer("scripted", "is scripted", None, script=script))
    )


@pytest.mark.parametrize("link", LINKS)
def test_a_loss_that_a_send_finds_first_is_counted_once(link: Link) -> None:
    found: list[ClosedByPeer] = []

    @scenario(load=PerVUIterations(vus=1, iterations=3, max_duration="30s"))
    async def send(vu: ghostcore.VU) -> None:
        async with vu.connect(vu.env["URL"], link=link) as session:
            await vu.sleep(0)  # out of the turn that read the 101, whose sends go out at its end
            time.sleep(0.15)  # noqa: ASYNC251 - the reset arrives while the loop sees nothing
            try:
                for _ in range(5):
                    session.send("hello")
            except ClosedByPeer as error:
                found.append(error)
                await vu.sleep(0.05)  # time for the loop to see it too
                raise
            await vu.sleep(0.05)
            await session.ping()  # of a session that ended meanwhile: raises why

    with server(reset_after_101) as bad:
        result = ghostcore.run(send, env={"URL": bad.url}, seed=1)
    assert [(error.kind, error.count) for error in result.errors] == [("connection_lost", 3)]
    assert result.metrics.count_of("script_errors") == 0
    assert len(found) == (3 if link == "epoll" else 0)  # uvloop tells of it a moment later
    for error in found:
        assert error.age_s > 0


@pytest.mark.parametrize("link", LINKS)
def test_a_send_that_is_refused_is_not_counted_as_sent(link: Link) -> None:
    async def main(url: str) -> None:
        session = await ghostcore.connect(url, link=link)
        await session.send("hello")
        with pytest.raises(ClosedByPeer):
            await session.recv(timeout=10)
        for _ in range(3):
            with pytest.raises(ClosedByPeer):
                session.send("too late")
        assert session.msgs_sent == 1
        assert session._traffic.take()[0] == 1

    async def take_one(wire: Wire) -> None:
        await wire.answer()
        await wire.receive()

    with server(take_one) as bad:
        uvloop.run(main(bad.url))


def test_a_close_frame_that_is_refused_is_not_counted_as_sent() -> None:
    """Over picows uvloop tells of it a moment later."""

    async def main(url: str) -> None:
        session = await ghostcore.connect(url, link="epoll")
        await asyncio.sleep(0)  # out of the turn that read the 101, whose sends go out at its end
        time.sleep(0.15)  # noqa: ASYNC251 - the reset arrives while the loop sees nothing
        closing = session.close()
        assert session._traffic.take()[2] == 0
        await closing

    with server(reset_after_101) as bad:
        uvloop.run(main(bad.url))


@pytest.mark.parametrize("link", LINKS)
def test_pongs_that_nobody_reads_do_not_pile_up(link: Link) -> None:
    async def main(url: str) -> None:
        session = await ghostcore.connect(url, link=link)
        process = psutil.Process(os.getpid())
        before = process.memory_info().rss
        received = 0
        for _ in range(400):
            received += session._traffic.take()[3]
            if received > 4 * LIMIT_BYTES:
                break
            await asyncio.sleep(0.02)
        assert received > 4 * LIMIT_BYTES
        assert process.memory_info().rss - before < LIMIT_BYTES
        session.abort()
        await asyncio.sleep(0.05)

    with ServerProcess(MisbehavingServer, "ping_flood") as bad:
        uvloop.run(main(bad.url))


@pytest.mark.parametrize("link", LINKS)
def test_the_latest_ping_is_answered_when_there_is_room_again(link: Link) -> None:
    last: list[bytes] = []

    async def flood_then_read(wire: Wire) -> None:
        await wire.answer()
        assert await wire.receive() == (1, b"go")
        for number in range(200):
            await wire.frame(9, b"%03d" % number)
        opcode, payload = 0, b""
        while (opcode, payload) != (1, b"done"):
            opcode, payload = await wire.receive()
            if opcode == 10:
                last.append(payload)
                if payload == b"199":
                    await wire.text("all")
        await wire.hold()

    async def main(url: str) -> None:
        async with ghostcore.connect(url, link=link) as session:
            block = b"x" * 262144
            session.send("go")
            for _ in range(40):
                session.send(block)
            assert (await session.recv(timeout=30)).text == "all"
            await session.send("done")

    with server(flood_then_read) as bad:
        uvloop.run(main(bad.url))
    assert last[-1] == b"199"


@pytest.mark.parametrize("link", LINKS)
def test_a_full_window_ends_in_a_send_timeout_then_in_an_abort(link: Link) -> None:
    async def main(url: str) -> None:
        session = await ghostcore.connect(url, link=link, send_timeout=0.3)
        with pytest.raises(Timeout) as caught:
            for _ in range(1000):
                await session.send(b"x" * 262144)
        assert (caught.value.kind, caught.value.limit_s) == ("send_timeout", 0.3)
        assert caught.value.elapsed_ms >= 300
        assert session.is_open  # what to do is the scenario's choice
        with pytest.raises(TargetError):
            await session.send(b"once more")
        session.abort()
        await asyncio.sleep(0.05)
        assert not session._is_linked

    with ServerThread(MisbehavingServer("window_zero")) as bad:
        uvloop.run(main(bad.url))


@pytest.mark.parametrize("link", LINKS)
def test_every_close_code_that_a_frame_may_carry_is_told(link: Link) -> None:
    codes = [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999]
    left = iter(codes)

    async def close_with_next(wire: Wire) -> None:
        await wire.answer()
        await wire.frame(8, next(left).to_bytes(2, "big") + "fährt".encode())
        await wire.hold()

    async def main(url: str) -> list[tuple[int, str]]:
        told = []
        for _ in codes:
            session = await ghostcore.connect(url, link=link)
            with pytest.raises(ClosedByPeer) as caught:
                await session.recv(timeout=10)
            told.append((caught.value.code, caught.value.reason))
        await asyncio.sleep(0.1)
        return told

    with server(close_with_next) as bad:
        assert uvloop.run(main(bad.url)) == [(code, "fährt") for code in codes]
