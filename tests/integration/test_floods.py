"""Paced senders and echo loops over both links, against good servers and bad ones."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from typing import Any, Literal

import pytest
import uvloop

import ghostcore
from ghostcore import ClosedByPeer, ConstantVUs, PerVUIterations, Timeout, Trend, scenario
from ghostcore.testing import (
    BadServer,
    EchoServer,
    MisbehavingServer,
    ServerThread,
    SocketIOServer,
    Wire,
)
from tests.integration.scripted import Connection, ScriptedServer, frame
from tests.support.waiting import wait_until

Link = Literal["epoll", "picows"]
RTT = Trend("rtt", unit="ms")
ONCE = PerVUIterations(vus=2, iterations=1, max_duration="60s")


@pytest.fixture(params=["epoll", "picows"])
def link(request: pytest.FixtureRequest) -> Link:
    name: Link = request.param
    return name


def server(script: Any) -> ServerThread[MisbehavingServer]:
    return ServerThread(
        MisbehavingServer(BadServer("scripted", "is scripted", None, script=script))
    )


# ---- paced senders ------------------------------------------------------------------------------


def test_paced_messages_arrive_whole_and_in_order(run: Any, link: Link) -> None:
    async def main() -> None:
        async with (
            EchoServer() as echo,
            ghostcore.connect(echo.url, link=link) as session,
        ):
            sizes = (0, 1, 125, 126, 65535, 65536)
            for size in sizes:
                for frame in ("x" * size, b"y" * size):
                    pacer = session.every("100us", frame, count=3)
                    for _ in range(3):
                        message = await session.recv(timeout=30)
                        assert (message.text if isinstance(frame, str) else message.data) == frame
                    assert await pacer == 3 and pacer.missed == 0
            assert session._traffic.take()[:2] == (6 * len(sizes), 6 * len(sizes))

    run(main())


def test_a_flood_that_the_loop_cannot_keep_up_with_is_sent_in_full(run: Any, link: Link) -> None:
    async def main() -> None:
        async with (
            EchoServer() as echo,
            ghostcore.connect(echo.url, link=link) as session,
        ):
            pacer = session.every("1ns", "flood", count=5000)
            turns = 0
            while not pacer.done():
                await asyncio.sleep(0)
                turns += 1
            assert turns >= 5000 // 64 // 2  # the loop had its turns meanwhile
            assert await pacer == 5000 and pacer.late_ns_max > 0
            for _ in range(5000 - pacer.missed):
                assert (await session.recv(timeout=30)).text == "flood"
            assert pacer.missed == 0

    run(main())


@pytest.mark.parametrize("end", ["abort", "close", "timeout"])
def test_a_server_that_does_not_read(link: Link, end: str) -> None:
    async def main(url: str) -> None:
        session = await ghostcore.connect(url, link=link, send_timeout=0.3)
        pacer = session.every("100us", b"x" * 65536)
        await wait_until(lambda: pacer.missed > 100)
        sent = pacer.sent
        await asyncio.sleep(0.05)
        assert pacer.sent == sent  # nothing piles up
        if end == "timeout":
            with pytest.raises(Timeout) as caught:
                await pacer
            assert caught.value.kind == "send_timeout" and session.is_open
        if end == "close":
            session.close()
        missed = pacer.missed
        assert session._traffic.take_missed() == (missed if end != "abort" else 0)
        session.abort()
        assert pacer.missed >= missed
        await wait_until(lambda: not session._is_linked)
        assert session.msgs_sent == sent and pacer.done()

    with ServerThread(MisbehavingServer("window_zero")) as bad:
        uvloop.run(main(bad.url))


def test_a_server_that_reads_again(link: Link) -> None:
    reading = threading.Event()  # the server runs in a thread of its own

    async def dam(wire: Wire) -> None:
        await wire.answer()
        while not reading.is_set():
            await asyncio.sleep(0.01)
        received = 0
        while (await wire.receive())[0] == 2:
            received += 1
        await wire.text(str(received))
        await wire.hold()

    async def main(url: str) -> None:
        async with ghostcore.connect(url, link=link) as session:
            pacer = session.every("50us", b"x" * 65536)
            await wait_until(lambda: pacer.missed > 10)
            sent = pacer.sent
            reading.set()
            await wait_until(lambda: pacer.sent > sent)
            pacer.stop()
            assert await pacer == pacer.sent and pacer.missed > 10
            await session.send("done")
            assert int((await session.recv(timeout=30)).text) == pacer.sent

    with server(dam) as bad:
        uvloop.run(main(bad.url))


def test_the_end_of_a_session_ends_its_pace(link: Link) -> None:
    async def main(url: str) -> None:
        session = await ghostcore.connect(url, link=link)
        pacer = session.every("100us", "x")
        with pytest.raises(ClosedByPeer) as caught:
            await pacer
        assert caught.value is session.error and caught.value.code in (1006, 4000)
        assert pacer.sent >= 20
        await wait_until(lambda: not session._is_linked)
        assert len(session._engine.timers) == 0

    async def take(wire: Wire) -> None:
        await wire.answer()
        for _ in range(20):
            await wire.receive()

    async def take_and_reset(wire: Wire) -> None:
        await take(wire)
        wire.reset()

    async def take_and_close(wire: Wire) -> None:
        await take(wire)
        await wire.frame(8, (4000).to_bytes(2, "big"))
        await wire.pause()

    for script in (take_and_reset, take_and_close):
        with server(script) as bad:
            uvloop.run(main(bad.url))


def test_a_pace_that_nobody_awaits_hides_no_loss(link: Link) -> None:
    @scenario(load=ONCE)
    async def flood(vu: ghostcore.VU) -> None:
        async with vu.connect(vu.env["URL"], link=link) as session:
            session.every("1ms", "x")
            await vu.sleep(0.3)

    async def take_and_reset(wire: Wire) -> None:
        await wire.answer()
        for _ in range(5):
            await wire.receive()
        wire.reset()

    with server(take_and_reset) as bad:
        result = ghostcore.run(flood, env={"URL": bad.url}, seed=1)
    assert [(error.kind, error.count) for error in result.errors] == [("connection_lost", 2)]


def test_what_was_missed_is_in_the_result(link: Link) -> None:
    @scenario(load=ONCE, thresholds={"ws_msgs_missed": "count<1"})
    async def flood(vu: ghostcore.VU) -> None:
        async with vu.connect(vu.env["URL"], link=link) as session:
            pacer = session.every("1ms", b"x" * int(vu.env["SIZE"]))
            await vu.sleep(0.5)
            pacer.stop()
            vu.record(SENT, pacer.sent)
            session.abort()

    SENT = ghostcore.Counter("sent")
    with ServerThread(EchoServer()) as echo:
        result = ghostcore.run(flood, env={"URL": echo.url, "SIZE": "10"}, seed=1)
    assert result.thresholds[0].verdict == "pass"
    assert result.metrics.count_of("ws_msgs_missed") == 0
    assert result.metrics.count_of("ws_msgs_sent") == result.metrics.count_of("sent") > 2
    with ServerThread(MisbehavingServer("window_zero")) as bad:
        result = ghostcore.run(flood, env={"URL": bad.url, "SIZE": "262144"}, seed=1)
    assert result.thresholds[0].verdict == "fail"
    assert result.metrics.count_of("ws_msgs_missed") > 0


# ---- echo loops ---------------------------------------------------------------------------------


@pytest.mark.parametrize("in_flight", [1, 7, 500])
@pytest.mark.parametrize("size", [0, 50, 126, 70000])
def test_round_trips_are_counted(run: Any, link: Link, in_flight: int, size: int) -> None:
    count = 1000 if size < 1000 else 60

    async def main() -> None:
        async with (
            EchoServer() as echo,
            ghostcore.connect(echo.url, link=link) as session,
        ):
            for frame in ("x" * size, b"y" * size):
                loop = session.echo_loop(frame, count=count, in_flight=in_flight)
                assert await loop == loop.round_trips == count
            assert session._traffic.take()[:2] == (2 * count, 2 * count)
            await session.send("own")
            assert (await session.recv(timeout=30)).text == "own"
            await session.ping(timeout=30)

    run(main())


def test_loops_of_many_sessions_at_once(run: Any, link: Link) -> None:
    async def main() -> None:
        async def one(url: str) -> int:
            async with ghostcore.connect(url, link=link) as session:
                return await session.echo_loop("x" * 50, count=100, in_flight=3)

        async with EchoServer() as echo:
            assert await asyncio.gather(*(one(echo.url) for _ in range(50))) == [100] * 50

    run(main())


def test_a_loop_of_a_run_is_measured_and_cut_off_at_its_end(link: Link) -> None:
    @scenario(load=ConstantVUs(3, "1s", graceful_stop=0), thresholds={RTT: "p(50)<60000"})
    async def loop(vu: ghostcore.VU) -> None:
        async with vu.connect(vu.env["URL"], link=link) as session:
            if vu.id == 1:
                await session.echo_loop("x", count=5, metric=RTT)
                vu.record(DONE)
                await vu.sleep(60)
            await session.echo_loop("x", in_flight=2, metric=RTT)

    DONE = ghostcore.Counter("done")
    with ServerThread(EchoServer()) as echo:
        result = ghostcore.run(loop, env={"URL": echo.url}, seed=1)
    trend = result.metrics["rtt"]
    assert result.metrics.count_of("done") == 1
    assert trend.failed == 0 and trend.cut_off_by_cause == {"end": 4}
    assert trend.count - 4 > 5
    assert result.metrics.count_of("ws_msgs_sent") == trend.count
    assert result.errors == [] and result.exit_code == 0


@pytest.mark.parametrize("how", ["stops", "differs", "resets", "closes"])
def test_servers_that_are_no_echo_servers(link: Link, how: str) -> None:
    @scenario(load=ONCE)
    async def loop(vu: ghostcore.VU) -> None:
        async with vu.connect(vu.env["URL"], link=link) as session:
            await session.echo_loop("hello", in_flight=3, timeout=0.3, metric=RTT)

    async def script(wire: Wire) -> None:
        await wire.answer()
        for _ in range(10):
            _, message = await wire.receive()
            await wire.frame(1, message)
        if how == "stops":
            await wire.hold()
        elif how == "differs":
            await wire.text("HELLO")
            await wire.hold()
        elif how == "resets":
            await wire.pause()
            wire.reset()
        else:
            await wire.frame(8, (1011).to_bytes(2, "big"))
            await wire.pause()

    with server(script) as bad:
        result = ghostcore.run(loop, env={"URL": bad.url}, seed=1)
    kind = {
        "stops": "reply_timeout",
        "differs": "protocol_violation",
        "resets": "connection_lost",
        "closes": "closed",
    }[how]
    assert [(error.kind, error.count) for error in result.errors] == [(kind, 2)]
    assert result.metrics.count_of("script_errors") == 0
    trend = result.metrics["rtt"]
    assert trend.count == 2 * (10 + 3)
    if how == "stops":
        assert (trend.failed, trend.cut_off_by_cause) == (0, {"deadline": 6})
    else:
        assert (trend.failed, trend.cut_off_by_cause) == (6, {})


def test_a_server_that_reads_nothing_of_a_loop(link: Link) -> None:
    async def main(url: str) -> None:
        session = await ghostcore.connect(url, link=link)
        before = session._traffic.take()[0]
        with pytest.raises(Timeout) as caught:
            await session.echo_loop(b"x" * 262144, in_flight=1000, timeout=0.3)
        assert caught.value.kind == "reply_timeout"
        assert before == 0 < session._traffic.take()[0] < 1000  # the rest was held back
        session.abort()
        await wait_until(lambda: not session._is_linked)

    with ServerThread(MisbehavingServer("window_zero")) as bad:
        uvloop.run(main(bad.url))


def test_more_in_flight_than_the_socket_takes(link: Link) -> None:
    async def main(url: str) -> None:
        async with ghostcore.connect(url, link=link) as session:
            loop = session.echo_loop(b"x" * 262144, count=300, in_flight=200)
            assert await loop == 300

    with ServerThread(EchoServer()) as echo:
        uvloop.run(main(echo.url))


DATA_SEGS_IN = slice(152, 156)  # in struct tcp_info of linux/tcp.h


def test_the_epoll_link_sends_the_frames_of_one_pass_in_one_piece() -> None:
    segments: list[int] = []

    def received_segments(connection: Connection) -> int:
        info = connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        return int.from_bytes(info[DATA_SEGS_IN], sys.byteorder)

    def count(connection: Connection) -> None:
        connection.upgrade()
        before = received_segments(connection)
        for _ in range(2):
            for _ in range(64):
                assert connection.read_frame() == (1, b"hello")
            segments.append(received_segments(connection) - before)
            before += segments[-1]
            connection.send(frame("hello") * 64)  # the answers come in one piece as well
        connection.idle()

    async def main(url: str) -> None:
        session = await ghostcore.connect(url, link="epoll")
        await asyncio.sleep(0.01)  # out of the pass that read the 101
        assert await session.echo_loop("hello", count=128, in_flight=64) == 128
        session.abort()
        await wait_until(lambda: not session._is_linked)

    with ScriptedServer(count) as scripted:
        uvloop.run(main(scripted.url))
    assert segments == [1, 1]


def test_an_answer_in_fragments(link: Link) -> None:
    async def script(wire: Wire) -> None:
        await wire.answer()
        for _ in range(5):
            opcode, message = await wire.receive()
            while opcode != 1:  # a pong
                opcode, message = await wire.receive()
            await wire.frame(1, message[:2], fin=False)
            await wire.frame(9, b"between")
            await wire.frame(0, message[2:])
        await wire.hold()

    async def main(url: str) -> None:
        async with ghostcore.connect(url, link=link) as session:
            assert await session.echo_loop("hällo", count=5) == 5

    with server(script) as bad:
        uvloop.run(main(bad.url))


# ---- Socket.IO ----------------------------------------------------------------------------------


def test_paced_events_with_attachments(run: Any, link: Link) -> None:
    async def main() -> None:
        socketio = SocketIOServer()
        received: list[Any] = []
        socketio.on("tick", lambda client, *args: received.append(args))
        async with (
            socketio,
            ghostcore.socketio(socketio.url, link=link) as session,
        ):
            first = session.emit_every("200us", "tick", {"a": [1, "ü"]}, count=30)
            second = session.emit_every("300us", "tick", b"\0\1", {"b": b"\2"}, count=20)
            assert list(await asyncio.gather(first, second)) == [30, 20]
            await wait_until(lambda: len(received) == 50)
            assert received.count(({"a": [1, "ü"]},)) == 30
            assert received.count((b"\0\1", {"b": b"\2"})) == 20

    run(main())
