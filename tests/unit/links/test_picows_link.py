"""The link over picows: the hand-over behind the 101, closing, congestion."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

import ghostcore
from ghostcore import WebSocketSession
from ghostcore._engine import engine_of
from ghostcore.errors import ClosedByPeer, ConnectFailed, HandshakeRejected, ProtocolViolation
from tests.support.hostile import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_frame,
    frame,
)
from tests.support.peers import linked, listening
from tests.support.waiting import gone, turns, wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


async def received(session: WebSocketSession, count: int) -> list[bytes]:
    return [(await session.recv(timeout=30)).data for _ in range(count)]


# ---- the hand-over ------------------------------------------------------------------------------


def test_frames_behind_the_answer_cut_at_every_byte(run: Any) -> None:
    """picows gets what came with the 101, and goes on with the rest of a frame of it."""
    tail = frame(TEXT, b"one") + frame(PING, b"p") + frame(BINARY, b"m" * 130) + frame(TEXT)

    async def main() -> None:
        async with listening() as listener:
            for cut in range(len(tail) + 1):
                session, peer = await listener.linked("picows", tail[:cut])
                if cut < len(tail):
                    peer.put(tail[cut:])
                assert await received(session, 3) == [b"one", b"m" * 130, b""], cut
                assert await peer.frame() == (PONG, b"p")
                session.abort()
                peer.sock.close()

    run(main())


def test_the_answer_cut_at_every_byte(run: Any) -> None:
    async def main() -> None:
        async with listening() as listener:
            cut, size = 1, 2
            while cut < size:
                dialing = asyncio.ensure_future(ghostcore.connect(listener.url, link="picows"))
                peer = await listener.accept()
                answer = listener.answer_to(await peer.request()) + frame(TEXT, b"behind it")
                peer.put(answer[:cut])
                await turns()
                peer.put(answer[cut:])
                session = await dialing
                assert await received(session, 1) == [b"behind it"], cut
                session.abort()
                peer.sock.close()
                cut, size = cut + 1, len(answer)
            assert size > 100

    run(main())


@pytest.mark.parametrize("size", [800, 3000, 100_000])
def test_a_frame_that_begins_behind_the_answer_and_outgrows_its_buffers(
    run: Any, size: int
) -> None:
    async def main() -> None:
        whole = frame(BINARY, b"l" * size) + frame(TEXT, b"end")
        async with linked("picows", whole) as (session, peer):
            assert await received(session, 2) == [b"l" * size, b"end"]
            await session.send("and back")
            assert await peer.frame() == (TEXT, b"and back")

    run(main())


def test_a_close_frame_behind_the_answer_comes_after_the_messages_before_it(run: Any) -> None:
    async def main() -> None:
        tail = frame(TEXT, b"1") + frame(TEXT, b"2") + close_frame(4003, b"full")
        async with linked("picows", tail + frame(TEXT, b"too late")) as (session, peer):
            assert await received(session, 2) == [b"1", b"2"]
            with pytest.raises(ClosedByPeer) as caught:
                await session.recv(timeout=30)
            assert (caught.value.code, caught.value.reason) == (4003, "full")
            assert await peer.frame() == (CLOSE, b"\x0f\xa3")
            peer.sock.close()
            await gone(session)

    run(main())


@pytest.mark.parametrize("glued", [True, False])
def test_what_came_before_a_violation_is_handed_out_and_then_it_is_answered(
    run: Any, glued: bool
) -> None:
    async def main() -> None:
        stream = frame(TEXT, b"before") + frame(3, b"no such opcode") + frame(TEXT, b"behind")
        async with linked("picows", stream if glued else b"") as (session, peer):
            if not glued:
                peer.put(stream)
            assert await received(session, 1) == [b"before"]
            with pytest.raises(ProtocolViolation):
                await session.recv(timeout=30)
            opcode, payload = await peer.frame()
            assert (opcode, payload[:2]) == (CLOSE, b"\x03\xea")
            peer.sock.close()
            await gone(session)
            assert session.msgs_received == 1

    run(main())


@pytest.mark.parametrize(
    ("answer", "error", "kind"),
    [
        (b"", ConnectFailed, "upgrade_closed"),
        (b"HTTP/1.1 101 Switching", ConnectFailed, "upgrade_closed"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", HandshakeRejected, "upgrade_rejected"),
    ],
)
def test_no_link_comes_of_another_answer(
    run: Any, answer: bytes, error: type[Exception], kind: str
) -> None:
    async def main() -> None:
        async with listening() as listener:
            dialing = asyncio.ensure_future(ghostcore.connect(listener.url, link="picows"))
            peer = await listener.accept()
            await peer.request()
            if answer:
                peer.put(answer)
            peer.sock.shutdown(socket.SHUT_WR)
            with pytest.raises(error) as caught:
                await dialing
            assert getattr(caught.value, "kind", None) == kind
            assert await peer.at_end()
            assert engine_of(asyncio.get_running_loop()).live_sessions == 0

    run(main())


# ---- closing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason", "payload"),
    [
        (1000, "", b"\x03\xe8"),
        (4001, "bye", b"\x0f\xa1bye"),
        (3000, "é" * 100, b"\x0b\xb8" + ("é" * 61).encode()),
    ],
)
def test_our_close_frame_has_its_code_and_is_the_last_that_we_send(
    run: Any, code: int, reason: str, payload: bytes
) -> None:
    async def main() -> None:
        async with linked("picows") as (session, peer):
            session._traffic.take()
            closing = asyncio.ensure_future(wait(session.close(code, reason)))
            session.close(4999, "another")
            peer.put(frame(PING, b"is not answered any more"))
            assert await peer.frame() == (CLOSE, payload)
            assert session._traffic.bytes_sent == 6 + len(payload)
            peer.put(close_frame(code))
            peer.sock.shutdown(socket.SHUT_WR)
            await closing
            assert await peer.at_end()
            assert session.close_code == code
            assert session.error is None

    run(main())


async def wait(closing: Any) -> None:
    await closing


@pytest.mark.parametrize(
    ("last", "code"),
    [(close_frame(), 1005), (close_frame(1001), 1001), (b"", 1006), (frame(TEXT)[:1], 1006)],
)
def test_the_code_with_which_the_server_ends_it(run: Any, last: bytes, code: int) -> None:
    async def main() -> None:
        async with linked("picows") as (session, peer):
            if last:
                peer.put(last)
            peer.sock.shutdown(socket.SHUT_WR)
            with pytest.raises(ClosedByPeer) as caught:
                await session.recv(timeout=30)
            assert (caught.value.code, session.close_code) == (code, code)
            if code != 1006:
                assert await peer.frame() == (CLOSE, last[2:])
            assert await peer.at_end()
            await gone(session)

    run(main())


def test_an_aborted_link_sends_no_close_frame(run: Any) -> None:
    async def main() -> None:
        async with linked("picows") as (session, peer):
            await session.send("last")
            session.abort()
            assert await peer.frame() == (TEXT, b"last")
            assert await peer.at_end()
            await gone(session)
            assert engine_of(asyncio.get_running_loop()).live_sessions == 0

    run(main())


def test_what_comes_behind_a_violation_is_read_and_thrown_away(run: Any) -> None:
    """So that the server can take our close frame, and we see its end of the stream."""

    async def main() -> None:
        async with linked("picows") as (session, peer):
            peer.put(frame(CONTINUATION, b"of nothing"))
            opcode, payload = await peer.frame()
            assert (opcode, payload[:2]) == (CLOSE, b"\x03\xea")
            loop, flood = asyncio.get_running_loop(), frame(BINARY, b"x" * 100_000) * 100
            async with asyncio.timeout(30):
                await loop.sock_sendall(peer.sock, flood)
            peer.sock.shutdown(socket.SHUT_WR)
            await gone(session)
            assert session.msgs_received == 0
            assert await peer.at_end()

    run(main())


# ---- congestion ---------------------------------------------------------------------------------


def test_a_full_socket_congests_the_link_until_the_peer_reads(run: Any) -> None:
    async def main() -> None:
        async with linked("picows") as (session, peer):
            free, count = session._room(), 0
            while session._room() is free:
                session.send(b"x" * 50_000)
                count += 1
                assert count < 10_000
            session.send(b"y")  # is taken all the same
            waiting = asyncio.ensure_future(wait(session._room()))
            peer.put(frame(PING, b"first") + frame(PING, b"second"))
            await wait_until(lambda: session._traffic.bytes_received >= 4 + len("firstsecond"))
            assert not waiting.done()
            for _ in range(count):
                assert await peer.frame() == (BINARY, b"x" * 50_000)
            assert await peer.frame() == (BINARY, b"y")
            await waiting
            assert session._room() is free
            # Of the pings that came meanwhile, the latest is answered (RFC 6455 section 5.5.3).
            assert await peer.frame() == (PONG, b"second")

    run(main())


def test_the_end_of_a_congested_link_frees_those_who_wait_for_room(run: Any) -> None:
    async def main() -> None:
        async with linked("picows") as (session, peer):
            free = session._room()
            while session._room() is free:
                session.send(b"x" * 50_000)
            waiting = asyncio.ensure_future(wait(session._room()))
            await asyncio.sleep(0)
            peer.reset()
            with pytest.raises(ClosedByPeer):
                await waiting
            await gone(session)

    run(main())
