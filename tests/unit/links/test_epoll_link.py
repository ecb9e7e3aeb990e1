"""The epoll link over loopback: frames in pieces, sends in one piece, and what a dead or full
socket makes of them."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest

import ghostcore
from ghostcore import WebSocketSession
from ghostcore._engine import Engine, engine_of
from ghostcore.errors import ClosedByPeer, ConnectFailed, TargetError
from ghostcore.links import epoll_link
from ghostcore.links.epoll_link import Hub
from tests.support.hostile import BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame
from tests.support.peers import linked, listening
from tests.support.waiting import gone, wait_until

pytestmark = [
    pytest.mark.usefixtures("no_leaks"),
    pytest.mark.skipif(not epoll_link.available(), reason="the epoll link is for Linux"),
]

BACKLOG_HIGH, BACKLOG_LOW = 65536, 16384
HEAD_BYTES = 6  # of a frame of a client with a payload of less than 126 bytes


def hub_of_loop() -> Hub:
    hub = engine_of(asyncio.get_running_loop()).hub
    assert isinstance(hub, Hub)
    return hub


async def received(session: WebSocketSession, count: int) -> list[bytes]:
    return [(await session.recv(timeout=30)).data for _ in range(count)]


# ---- receiving ----------------------------------------------------------------------------------


def test_frames_cut_at_every_byte(run: Any) -> None:
    """Heads of all three lengths among them; the first piece is read before the second is sent."""
    expected = [b"short", b"m" * 200, b"", b"l" * 70_000, b"end"]
    small = frame(TEXT, b"short") + frame(PING, b"p") + frame(BINARY, b"m" * 200)
    large = frame(TEXT) + frame(BINARY, b"l" * 70_000)
    stream = small + large + frame(TEXT, b"end")
    cuts = [*range(1, len(small) + 14), *range(len(stream) - 8, len(stream))]

    async def main() -> None:
        async with linked("epoll") as (session, peer):
            hub = hub_of_loop()
            for cut in cuts:
                peer.put(stream[:cut])
                hub._on_ready()
                peer.put(stream[cut:])
                hub._on_ready()
                assert await received(session, len(expected)) == expected, cut
                assert await peer.frame() == (PONG, b"p")

    run(main())


def test_the_answer_to_the_upgrade_cut_at_every_byte(run: Any) -> None:
    """The second piece has the rest of it and a frame, or the rest of that."""

    async def main() -> None:
        async with listening() as listener:
            url, cut, size = listener.url, 1, 2
            while cut < size:
                dialing = asyncio.ensure_future(ghostcore.connect(url, link="epoll"))
                peer = await listener.accept()
                answer = listener.answer_to(await peer.request()) + frame(TEXT, b"behind it")
                peer.put(answer[:cut])
                hub_of_loop()._on_ready()
                assert not dialing.done()
                peer.put(answer[cut:])
                session = await dialing
                assert await received(session, 1) == [b"behind it"], cut
                session.abort()
                peer.sock.close()
                cut, size = cut + 1, len(answer)
            assert size > 100

    run(main())


# ---- sending ------------------------------------------------------------------------------------


def test_what_one_step_sends_goes_out_in_one_piece(run: Any) -> None:
    async def main() -> None:
        async def answers() -> None:
            await session.recv(timeout=30)
            for number in range(20):
                session.send(str(number))

        async with linked("epoll") as (session, peer):
            user = asyncio.ensure_future(answers())
            await asyncio.sleep(0)
            before = peer.segments()
            peer.put(frame(PING, b"1") + frame(TEXT, b"go") + frame(PING, b"2"))
            await user
            found = [await peer.frame() for _ in range(22)]
            assert peer.segments() == before + 1
            assert {found[0], found[-1]} <= {(PONG, b"1"), (PONG, b"2"), (TEXT, b"19")}
            assert [payload for opcode, payload in found if opcode == PONG] == [b"1", b"2"]
            sent = [payload for opcode, payload in found if opcode == TEXT]
            assert sent == [b"%d" % number for number in range(20)]

            before = peer.segments()
            for number in range(3):  # in no frame's step: each at once
                await session.send(str(number))
            assert [await peer.frame() for _ in range(3)] == [
                (TEXT, b"0"),
                (TEXT, b"1"),
                (TEXT, b"2"),
            ]
            assert peer.segments() == before + 3

    run(main())


def test_a_message_that_finds_no_room_behind_others_of_its_step_keeps_its_place(run: Any) -> None:
    async def main() -> None:
        async def answers() -> None:
            await session.recv(timeout=30)
            for size in (10, 65_000, 1000, 100_000, 10):
                session.send(b"x" * size)

        async with linked("epoll") as (session, peer):
            user = asyncio.ensure_future(answers())
            await asyncio.sleep(0)
            peer.put(frame(TEXT, b"go"))
            sizes = [len((await peer.frame())[1]) for _ in range(5)]
            assert sizes == [10, 65_000, 1000, 100_000, 10]
            await user

    run(main())


@pytest.mark.parametrize("dead", [{0}, {1}, {2}, {0, 2}, {0, 1, 2}])
def test_what_is_held_for_a_dead_socket_is_taken_back(run: Any, dead: set[int]) -> None:
    """Held for three connections that are read in one pass: what the living sent stays counted."""

    async def main() -> None:
        async def answers(number: int, session: WebSocketSession) -> None:
            await session.recv(timeout=30)
            for _ in range(number + 1):
                session.send("x" * 10)

        async with listening() as listener:
            pairs = [await listener.linked("epoll") for _ in range(3)]
            traffic = [session._traffic for session, _ in pairs]
            assert len(set(map(id, traffic))) == 3
            users = [
                asyncio.ensure_future(answers(number, session))
                for number, (session, _) in enumerate(pairs)
            ]
            await asyncio.sleep(0)
            for number, (_, peer) in enumerate(pairs):
                peer.put(frame(PING, b"p") + frame(TEXT, b"go"))
                if number in dead:
                    peer.reset()
            await asyncio.gather(*users)
            for number, (session, peer) in enumerate(pairs):
                messages = number + 1
                expected = (0, 0)
                if number not in dead:
                    expected = messages, messages * (HEAD_BYTES + 10) + HEAD_BYTES + 1
                    assert await peer.frame() == (PONG, b"p")
                    for _ in range(messages):
                        assert await peer.frame() == (TEXT, b"x" * 10)
                assert (traffic[number].msgs_sent, traffic[number].bytes_sent) == expected
                assert session.msgs_sent == expected[0]
                if number in dead:
                    with pytest.raises(ClosedByPeer):
                        await session.recv(timeout=30)
                session.abort()
                await gone(session)

    run(main())


def test_a_backlog_congests_above_its_high_mark_until_it_is_below_the_low_one(run: Any) -> None:
    async def main() -> None:
        async with linked("epoll") as (session, peer):
            vitals = engine_of(asyncio.get_running_loop()).vitals
            free, sent = session._room(), 0
            while vitals.backlog_bytes <= BACKLOG_HIGH:
                assert session._room() is free
                session.send(b"x" * 8000)
                sent += 8008
            assert session._room() is not free
            before = vitals.backlog_bytes
            session.send(b"x" * 8000)  # is taken all the same
            sent += 8008
            assert vitals.backlog_bytes == before + 8008

            left_when_free: list[int] = []

            async def wait() -> None:
                await session._room()
                left_when_free.append(vitals.backlog_bytes)

            waiting = asyncio.ensure_future(wait())
            taken = 0
            while not waiting.done():
                await asyncio.sleep(0)
                if vitals.backlog_bytes >= BACKLOG_LOW:
                    assert not waiting.done()
                try:
                    taken += len(peer.sock.recv(4096))
                except BlockingIOError:
                    continue
            assert left_when_free[0] < BACKLOG_LOW
            assert session._room() is free
            await peer.take(sent - taken)
            assert vitals.backlog_bytes == 0

    run(main())


def test_a_close_frame_goes_out_behind_the_backlog(run: Any) -> None:
    async def main() -> None:
        async with linked("epoll") as (session, peer):
            vitals = engine_of(asyncio.get_running_loop()).vitals
            count = 0
            while vitals.backlog_bytes == 0:
                session.send(b"x" * 50_000)
                count += 1
            closing = asyncio.ensure_future(session.close(4001, "bye"))
            for _ in range(count):
                assert await peer.frame() == (BINARY, b"x" * 50_000)
            assert await peer.frame() == (CLOSE, struct.pack(">H", 4001) + b"bye")
            assert vitals.backlog_bytes == 0
            peer.put(close_frame(4001))
            peer.sock.shutdown(socket.SHUT_WR)
            await closing
            assert await peer.at_end()

    run(main())


# ---- the hub ------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["close", "abort", "peer", "reset", "violation"])
def test_the_hub_forgets_a_link_however_it_ends(run: Any, end: str) -> None:
    async def main() -> None:
        async with listening() as listener:
            pairs = [await listener.linked("epoll") for _ in range(3)]
            hub = hub_of_loop()
            assert hub.live == 3
            session, peer = pairs[1]
            if end == "close":
                closing = asyncio.ensure_future(session.close())
                assert await peer.frame() == (CLOSE, b"\x03\xe8")
                peer.put(close_frame(1000))
                hub._on_ready()
                assert hub.live == 3  # until the server ends the connection
                peer.sock.close()
                await closing
            elif end == "abort":
                session.abort()
            elif end == "reset":
                peer.reset()
            else:
                if end == "violation":
                    peer.put(frame(3))
                peer.sock.close()
            await gone(session)
            assert hub.live == 2
            for session, _ in pairs:
                session.abort()
                await gone(session)
            assert hub.live == 0

    run(main())


def test_the_hub_forgets_attempts_that_fail(run: Any) -> None:
    async def main() -> None:
        async with listening() as listener:
            first, _ = await listener.linked("epoll")
            hub = hub_of_loop()
            dialing = asyncio.ensure_future(ghostcore.connect(listener.url, link="epoll"))
            peer = await listener.accept()
            await peer.request()
            assert hub.live == 2
            peer.sock.close()
            with pytest.raises(ConnectFailed, match="instead of answering the upgrade"):
                await dialing
            assert hub.live == 1
            listener.sock.close()
            with pytest.raises(ConnectFailed, match="cannot connect"):
                await ghostcore.connect(listener.url, link="epoll")
            assert hub.live == 1
            first.abort()

    run(main())


def test_closing_the_hub_ends_its_links(run: Any) -> None:
    async def main() -> None:
        hub = Hub(Engine(asyncio.get_running_loop()))
        hub.close()
        hub.close()
        assert hub.closed
        async with listening() as listener:
            pairs = [await listener.linked("epoll") for _ in range(2)]
            waiting = asyncio.ensure_future(received(pairs[0][0], 1))
            await asyncio.sleep(0)
            own = hub_of_loop()
            own.close()
            assert (own.live, own.closed) == (0, True)
            for session, peer in pairs:
                await gone(session)
                assert await peer.at_end()
            with pytest.raises(TargetError):
                await waiting
            await wait_until(lambda: engine_of(asyncio.get_running_loop()).live_sessions == 0)
        hub.engine.close()

    run(main())
