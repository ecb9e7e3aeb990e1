"""HTTP in full and long-polling of the Socket.IO test server, as engine.io serves them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
import uvloop

from ghostcore.testing import HttpRequest, HttpResponse, Refusal, SocketIOClient, SocketIOServer
from tests.support.raw_client import (
    PING,
    PONG,
    SOCKETIO,
    Closed,
    Frame,
    RawClient,
    get,
    serving,
)

Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def run_on_it(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    return run_on_it


POLLING = "/socket.io/?EIO=4&transport=polling"


class Page:
    """One kept HTTP connection."""

    def __init__(self, server: SocketIOServer) -> None:
        self.server = server

    async def __aenter__(self) -> Page:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def ask(self, path: str, method: str = "GET", body: bytes = b"") -> tuple[int, bytes]:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self.writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n".encode() + body)
        return await self.answer(method)

    async def answer(self, method: str = "GET") -> tuple[int, bytes]:
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            size = int(re.findall(r"Content-Length: (\d+)", head)[0])
            body = await self.reader.readexactly(0 if method == "HEAD" else size)
        return int(head.split(" ")[1]), body

    async def at_end(self) -> bool:
        async with asyncio.timeout(20):
            return await self.reader.read(1) == b""


async def opened(page: Page) -> tuple[str, dict[str, Any]]:
    status, body = await page.ask(POLLING)
    assert (status, body[:1]) == (200, b"0")
    handshake = json.loads(body[1:])
    return f"{POLLING}&sid={handshake['sid']}", handshake


async def probing(server: SocketIOServer, sid: str) -> RawClient:
    """A WebSocket that a session of polling has asked whether it works, and does."""
    client = await RawClient.open(server.url, f"{SOCKETIO}&sid={sid}")
    client.send("2probe")
    assert await client.recv() == "3probe"
    return client


def server_of_echoes(**options: Any) -> SocketIOServer:
    server = SocketIOServer(polling=True, **options)

    def echo(client: SocketIOClient, *args: Any) -> None:
        client.emit("echo", *args)

    server.on("echo", echo)
    return server


def test_a_session_over_polling(run: Run) -> None:
    async def main() -> None:
        left: list[str] = []
        server = server_of_echoes()
        server.on_disconnect(lambda client, reason: left.append(reason))
        async with serving(server), Page(server) as page, Page(server) as other:
            session, handshake = await opened(page)
            assert handshake["upgrades"] == ["websocket"]
            assert handshake["pingInterval"] == 25000
            assert await page.ask(session, "POST", b"40") == (200, b"ok")
            status, body = await page.ask(session)
            assert (status, body[:10]) == (200, b'40{"sid":"')
            # Several packets in one body, both ways; binary as base64.
            binary = b'451-["echo",{"_placeholder":true,"num":0}]'
            events = [b'42["echo",1]', b'42["echo",2]', binary]
            body = b"\x1e".join([*events, b"bAQI="])
            assert await page.ask(session, "POST", body) == (200, b"ok")
            _, body = await page.ask(session)
            assert body.split(b"\x1e") == [*events, b"bAQI="]
            # A poll is held until there is something to tell.
            held = asyncio.create_task(page.ask(session))
            assert await other.ask(session, "POST", b'42["echo",3]') == (200, b"ok")
            assert await held == (200, b'42["echo",3]')
            assert await page.ask(session, "POST", b"1") == (200, b"ok")
            assert await page.ask(session) == (400, b'{"code":1,"message":"Session ID unknown"}')
            assert left == ["transport close"]
            assert server.sessions == {}

    run(main)


def test_the_upgrade_to_a_websocket(run: Run) -> None:
    async def main() -> None:
        server = server_of_echoes()
        async with serving(server), Page(server) as page:
            session, handshake = await opened(page)
            await page.ask(session, "POST", b"40")
            await page.ask(session)
            held = asyncio.create_task(page.ask(session))
            client = await probing(server, handshake["sid"])
            assert await held == (200, b"6")
            client.send("5")
            client.send('42["echo",1]')
            assert await client.recv() == '42["echo",1]'
            refused = (400, b'{"code":3,"message":"Bad request"}')
            assert await page.ask(session) == refused
            assert await page.ask(session, "POST", b"40") == refused
            assert server.client_count() == 1
            await client.close()
            async with asyncio.timeout(20):
                while server.client_count() or server.connections:
                    await asyncio.sleep(0.001)

    run(main)


def test_a_probe_that_is_none_ends_and_the_session_goes_on(run: Run) -> None:
    async def main() -> None:
        server = server_of_echoes()
        async with serving(server), Page(server) as page:
            session, handshake = await opened(page)
            await page.ask(session, "POST", b"40")
            client = await RawClient.open(server.url, f"{SOCKETIO}&sid={handshake['sid']}")
            client.send("nonsense")
            assert await client.at_end()
            assert (await page.ask(session))[1].startswith(b"40")

    run(main)


def test_two_polls_at_a_time_and_a_poll_that_goes_end_the_session(run: Run) -> None:
    async def main() -> None:
        server = server_of_echoes()
        async with serving(server), Page(server) as page, Page(server) as other:
            session, _ = await opened(page)
            held = asyncio.create_task(page.ask(session))
            while not any(front.aborted for front in server.fronts):
                await asyncio.sleep(0.001)
            assert (await other.ask(session))[0] == 400
            assert (await held)[0] == 400
            assert server.sessions == {}
            session, _ = await opened(other)
            page.writer.write(f"GET {session} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            while not any(front.aborted for front in server.fronts):
                await asyncio.sleep(0.001)
            page.writer.transport.abort()
            async with asyncio.timeout(20):
                while server.sessions or server.connections:
                    await asyncio.sleep(0.001)

    run(main)


def test_pings_and_time_outs_of_polling(run: Run) -> None:
    async def main() -> None:
        at_s = 50.0
        server = server_of_echoes(clock=lambda: at_s)
        async with serving(server), Page(server) as page:
            session, _ = await opened(page)
            held = asyncio.create_task(page.ask(session))
            while not any(front.aborted for front in server.fronts):
                await asyncio.sleep(0.001)
            at_s += 25.1
            server.advance()
            assert await held == (200, b"2")
            assert await page.ask(session, "POST", b"3") == (200, b"ok")
            held = asyncio.create_task(page.ask(session))
            while not any(front.aborted for front in server.fronts):
                await asyncio.sleep(0.001)
            at_s += 20.1  # nobody has sent 40
            server.advance()
            assert await held == (200, b"1")
            assert (await page.ask(session))[0] == 400
            assert server.connect_timeouts_total == 1

    run(main)


def test_a_protocol_error_over_polling(run: Run) -> None:
    async def main() -> None:
        server = server_of_echoes()
        heard: list[object] = []
        server.on("hear", lambda client, *args: heard.append(args))
        async with serving(server), Page(server) as page:
            session, _ = await opened(page)
            assert await page.ask(session, "POST", b'42["echo",1]') == (200, b"ok")
            assert server.violations_total == 1
            assert await page.ask(session, "POST", b"40") == (200, b"ok"), "is not looked at"
            assert await page.ask(session) == (200, b"1")
            assert (await page.ask(session))[0] == 400
            # What follows in the same body is not looked at either.
            session, _ = await opened(page)
            await page.ask(session, "POST", b'40\x1e42["hear",1]\x1e2\x1e40\x1e42["hear",2]')
            assert heard == [(1,)]
            assert server.violations_total == 2
            assert server.client_count() == 0
            assert (await page.ask(session))[1].endswith(b"\x1e1")

    run(main)


@pytest.mark.parametrize(
    ("method", "query", "headers", "answer"),
    [
        ("GET", "", {}, {"code": 0, "message": "Transport unknown"}),
        ("GET", "?EIO=4&transport=pigeon", {}, {"code": 0, "message": "Transport unknown"}),
        ("GET", "?EIO=4&transport=polling&sid=x", {}, {"code": 1, "message": "Session ID unknown"}),
        ("POST", "?EIO=4&transport=polling", {}, {"code": 2, "message": "Bad handshake method"}),
        ("GET", "?EIO=4&transport=websocket", {}, {"code": 3, "message": "Bad request"}),
        (
            "GET",
            "?EIO=3&transport=polling",
            {},
            {"code": 5, "message": "Unsupported protocol version"},
        ),
        (
            "GET",
            "?EIO=4&transport=websocket&sid=x",
            {"Upgrade": "websocket"},
            {"code": 1, "message": "Session ID unknown"},
        ),
    ],
)
def test_refusals(
    run: Run, method: str, query: str, headers: dict[str, str], answer: object
) -> None:
    async def main() -> None:
        async with serving(server_of_echoes()) as server:
            status, _, body = await get(server.url, f"/socket.io/{query}", method, **headers)
            assert (status, json.loads(body)) == (400, answer)

    run(main)


# -- HTTP in full --------------------------------------------------------------------------------


def test_methods_bodies_and_kept_connections(run: Run) -> None:
    server = SocketIOServer(polling=True)
    asked: list[HttpRequest] = []

    @server.route("/things", method="POST")
    def things(request: HttpRequest) -> HttpResponse:
        asked.append(request)
        return HttpResponse(201, {"got": len(request.body)}, {"X-Thing": "1"})

    server.route("/page", lambda request: (200, "<p>hi</p>"))

    async def main() -> None:
        async with serving(server), Page(server) as page:
            assert await page.ask("/things?a=1", "POST", b"x" * 5000) == (201, b'{"got":5000}')
            assert await page.ask("/page") == (200, b"<p>hi</p>")
            assert await page.ask("/page", "HEAD") == (200, b"")
            assert (await page.ask("/page", "POST", b"x"))[0] == 404
            assert (await page.ask("/things"))[0] == 404
            assert (asked[0].method, asked[0].query, asked[0].peer) == (
                "POST",
                {"a": "1"},
                "127.0.0.1",
            )
            # Two at once, and a body in chunks, byte by byte.
            page.writer.write(b"GET /page HTTP/1.1\r\n\r\nGET /page HTTP/1.1\r\n\r\n")
            assert await page.answer() == await page.answer() == (200, b"<p>hi</p>")
            chunked = b"POST /things HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            for byte in chunked + b"3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n":
                page.writer.write(bytes([byte]))
                await asyncio.sleep(0)
            assert await page.answer() == (201, b'{"got":13}')
            assert asked[1].body == b"abc0123456789"
            page.writer.write(
                b"POST /things HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
            )
            async with asyncio.timeout(20):
                assert await page.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            page.writer.write(b"ab")
            assert await page.answer() == (201, b'{"got":2}')
            _, head, _ = await get(server.url, "/page", Connection="close")
            assert "Connection: close" in head

    run(main)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        *(
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\nabcde" % size, 400)
            for size in (b"zz", b"", b"-1", b"-5", b"+5", b"0x5", b"1_0", b" 5", b"3")
        ),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"5" * 20_000, 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1000001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFF\r\n", 413),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, 431),
    ],
)
def test_requests_that_are_none(run: Run, sent: bytes, status: int) -> None:
    async def main() -> None:
        server = SocketIOServer(polling=True)
        async with serving(server), Page(server) as page:
            page.writer.write(sent)
            assert (await page.answer())[0] == status
            assert await page.at_end()

    run(main)


def test_thousands_of_requests_at_once(run: Run) -> None:
    async def main() -> None:
        server = SocketIOServer(polling=True)
        server.route("/page", lambda request: (200, request.query["n"]))
        async with serving(server), Page(server) as page:
            page.writer.write(b"".join(b"GET /page?n=%d HTTP/1.1\r\n\r\n" % n for n in range(3000)))
            for number in range(3000):
                assert await page.answer() == (200, str(number).encode())
            assert server.errors_total == 0

    run(main)


def test_a_body_may_have_as_many_bytes_as_a_message(run: Run) -> None:
    async def main() -> None:
        async with serving(server_of_echoes(max_payload=100)) as server:
            for more, status in ((0, 200), (1, 413)):
                async with Page(server) as page, Page(server) as other:
                    session, handshake = await opened(page)
                    assert handshake["maxPayload"] == 100
                    await page.ask(session, "POST", b"40")
                    body = b'42["echo","' + b"x" * (87 + more) + b'"]'
                    assert (await page.ask(session, "POST", body))[0] == status
                    assert (await other.ask(session))[1].startswith(b"40")

    run(main)


def test_a_websocket_on_a_connection_that_has_been_kept(run: Run) -> None:
    async def main() -> None:
        server = server_of_echoes()
        async with serving(server), Page(server) as page:
            assert (await page.ask("/nothing"))[0] == 404
            # The upgrade in pieces, and the first frame in the same segment as its end.
            upgrade = (
                f"GET {SOCKETIO} HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n"
                "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX: {'x' * 9000}\r\n\r\n"
            ).encode()
            page.writer.write(upgrade[:40])
            await asyncio.sleep(0.01)
            page.writer.write(upgrade[40:] + b"\x81\x82\0\0\0\x0040")
            async with asyncio.timeout(20):
                assert b" 101 " in await page.reader.readuntil(b"\r\n\r\n")
                assert b'0{"sid"' in await page.reader.readuntil(b"}")
                assert b'40{"sid"' in await page.reader.readuntil(b"}")

    run(main)


def test_upgrades_can_be_judged(run: Run) -> None:
    verdicts: list[Any] = [
        HttpResponse(503, "full"),
        Refusal.RESET,
        Refusal.HANG,
        0.01,
        None,
    ]
    server = server_of_echoes()
    server.on_opening(lambda request: verdicts.pop(0))

    async def main() -> None:
        async with serving(server):
            status, _, body = await get(server.url, SOCKETIO, Upgrade="websocket")
            assert (status, body) == (503, "full")
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await RawClient.open(server.url, SOCKETIO)
            hanging = asyncio.create_task(RawClient.open(server.url, SOCKETIO))
            await asyncio.sleep(0.05)
            assert not hanging.done()
            for _ in range(2):
                client = await RawClient.socketio(server.url)
                client.send('42["echo",1]')
                assert await client.recv() == '42["echo",1]'
            assert len(server.fronts) == 1
            hanging.cancel()

    run(main)


def test_handshakes_of_polling_can_be_judged(run: Run) -> None:
    verdicts: list[Any] = [HttpResponse(503, "full"), 0.05, 20, None, None, Refusal.RESET]
    server = server_of_echoes()
    server.on_opening(lambda request: verdicts.pop(0))

    async def main() -> None:
        async with serving(server), Page(server) as page, Page(server) as other:
            assert await page.ask(POLLING) == (503, b"full")
            waits = asyncio.create_task(opened(page))
            while not server.opening:
                await asyncio.sleep(0.001)
            assert not server.sessions
            session, _ = await waits
            assert server.opening == 0
            other.writer.write(f"GET {POLLING} HTTP/1.1\r\n\r\n".encode())
            while not server.opening:
                await asyncio.sleep(0.001)
            other.writer.transport.abort()
            while server.opening:
                await asyncio.sleep(0.001)
            assert await page.ask(session, "POST", b"40") == (200, b"ok"), "is in already"
            await opened(page)
            await probing(server, session[-20:])
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await opened(page)
            assert verdicts == []

    run(main)


def test_stopping_ends_polls_and_kept_connections(run: Run) -> None:
    async def main() -> None:
        server = server_of_echoes()
        await server.start()
        async with Page(server) as page, Page(server) as idle:
            assert (await idle.ask("/nothing"))[0] == 404
            session, _ = await opened(page)
            held = asyncio.create_task(page.ask(session))
            while not any(front.aborted for front in server.fronts):
                await asyncio.sleep(0.001)
            await server.stop()
            assert await held == (200, b"1")
            assert await page.at_end()
            assert await idle.at_end()
            assert not server.fronts
            assert not server.connections

    run(main)


@pytest.mark.parametrize(("way", "code"), [("stop", 1005), ("crash", 1006), ("leave", 1005)])
def test_a_probe_ends_with_its_session(run: Run, way: str, code: int) -> None:
    async def main() -> None:
        server = server_of_echoes()
        async with serving(server), Page(server) as page:
            session, handshake = await opened(page)
            client = await probing(server, handshake["sid"])
            second = await RawClient.open(server.url, f"{SOCKETIO}&sid={handshake['sid']}")
            assert await second.recv() == Closed(1005), "one at a time"
            if way == "leave":
                await page.ask(session, "POST", b"1")
            else:
                await getattr(server, way)()
            assert await client.recv() == Closed(code)
            assert not server.sessions

    run(main)


def test_a_probe_that_takes_too_long(run: Run) -> None:
    async def main() -> None:
        at_s = 50.0
        server = server_of_echoes(clock=lambda: at_s)
        async with serving(server), Page(server) as page:
            session, handshake = await opened(page)
            client = await probing(server, handshake["sid"])
            at_s += 9.9
            server.advance()
            client.send_frame(PING, b"there?")
            assert await client.recv() == Frame(PONG, True, b"there?")
            at_s += 0.2
            server.advance()
            assert await client.recv() == Closed(1005)
            await page.ask(session, "POST", b"40")
            assert (await page.ask(session))[1].startswith(b"40"), "the session goes on"

    run(main)


def test_a_lost_client_is_closed_with_1005_over_its_websocket(run: Run) -> None:
    async def main() -> None:
        at_s = 50.0
        server = server_of_echoes(clock=lambda: at_s)
        async with serving(server), Page(server) as page:
            _, handshake = await opened(page)
            client = await probing(server, handshake["sid"])
            client.send("5")
            client.send("40")
            assert str(await client.recv()).startswith("40")
            at_s += 25.1
            server.advance()
            assert await client.recv() == "2"
            at_s += 20.1
            server.advance()
            assert await client.recv() == Closed(1005)

    run(main)
