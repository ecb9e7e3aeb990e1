"""What all WebSocket servers of ghostcore.testing share, on a server that does nothing more."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest

from ghostcore.testing._http import HttpRequest, HttpResponse
from ghostcore.testing._server import Connection, WebSocketServer, close_frame
from tests.support.raw_client import CLOSE, Closed, RawClient, get, serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


class Plain(Connection):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            self.answer_close(frame.get_payload_as_bytes())


class PlainServer(WebSocketServer):
    """Lets everybody in, except who asks for /fault."""

    def accept(self, request: WSUpgradeRequest) -> WSListener:
        if request.path == b"/fault":
            raise ValueError("a fault of accept()")
        return Plain(self)


@pytest.mark.parametrize(
    ("code", "reason", "payload"),
    [
        (None, "", b""),
        (None, "is dropped", b""),
        (1000, "", b"\x03\xe8"),
        (4001, "bye", b"\x0f\xa1bye"),
        (1011, "x" * 200, b"\x03\xf3" + b"x" * 123),
        (1000, "é" * 100, b"\x03\xe8" + "é".encode() * 61),
    ],
)
def test_the_payload_of_a_close_frame(code: int | None, reason: str, payload: bytes) -> None:
    assert close_frame(code, reason) == payload


def test_connections_are_known_while_they_are_open(run: Any) -> None:
    async def main() -> None:
        async with serving(PlainServer()) as server:
            first = await RawClient.open(server.url)
            second = await RawClient.open(server.url)
            assert (len(server.connections), server.connections_total) == (2, 2)
            await first.close()
            await wait_until(lambda: len(server.connections) == 1)
            (left,) = server.connections
            await second.abort()
            await wait_until(lambda: not server.connections)
            assert left.transport is None
            assert server.connections_total == 2
            left.close(1000)  # of one that has ended: nothing
            left.answer_close(b"")
            left.abort()
            assert not left.closing

    run(main())


def test_headers_are_not_kept_as_long_as_the_connection() -> None:
    async def main() -> None:
        async with serving(PlainServer()) as server:
            client = await RawClient.open(server.url, X_Much="x" * 1000)
            (connection,) = server.connections
            assert connection.transport is not None
            assert not connection.transport.request.headers
            assert not connection.transport.response.headers
            await client.close()

    asyncio.run(main())


def test_a_closing_handshake_that_the_server_begins(run: Any) -> None:
    async def main() -> None:
        async with serving(PlainServer()) as server:
            client = await RawClient.open(server.url)
            (connection,) = server.connections
            connection.close(4001, "bye")
            connection.close(4002, "is not sent")
            assert await client.recv() == Closed(4001)
            assert connection in server.connections  # until the client has answered
            client.send_frame(CLOSE, b"\x0f\xa1")
            assert await client.at_end()
            assert not server.connections

    run(main())


def test_a_clients_close_frame_is_answered_with_its_code_alone(run: Any) -> None:
    async def main() -> None:
        async with serving(PlainServer()) as server:
            client = await RawClient.open(server.url)
            client.send_frame(CLOSE, b"\x0f\xa1and a reason")
            assert await client._reader.readexactly(4) == b"\x88\x02\x0f\xa1"
            assert await client.at_end()

    run(main())


@pytest.mark.parametrize("full_http", [False, True])
def test_a_fault_of_accept_is_a_500_counted_and_logged(
    caplog: pytest.LogCaptureFixture, full_http: bool
) -> None:
    async def main() -> None:
        async with serving(PlainServer(full_http=full_http)) as server:
            status, _, body = await get(server.url, "/fault", **UPGRADE)
            assert (status, body) == (500, "Internal Server Error")
            assert server.errors_total == 1
            assert not server.connections
            await (await RawClient.open(server.url)).close()  # the next is let in
            assert server.errors_total == 1

    with caplog.at_level(logging.ERROR, "ghostcore.testing"):
        asyncio.run(main())
    (record,) = caplog.records
    assert record.getMessage() == "accept() of PlainServer raised"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "a fault of accept()"


def test_stop_is_for_once_and_leaves_the_port_known(run: Any) -> None:
    async def main() -> None:
        server = PlainServer()
        assert not server.is_listening
        await server.stop()  # of a server that never ran: nothing
        async with server:
            assert server.is_listening
            url, port = server.url, server.port
            client = await RawClient.open(url)
            stopping = asyncio.ensure_future(server.stop())
            assert await client.recv() == Closed(1005)
            assert not server.is_listening
            client.send_frame(CLOSE)
            await stopping
            assert not server.connections
            await client.abort()
        assert (server.url, server.port) == (url, port)
        with pytest.raises(ConnectionRefusedError):
            await RawClient.open(url)

    run(main())


def test_stop_ends_connections_that_became_no_websocket_at_once(run: Any) -> None:
    async def main() -> None:
        server = PlainServer(full_http=True)
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await wait_until(lambda: server.fronts)  # it has a minute to send a request
        async with asyncio.timeout(20):
            await server.stop(timeout_s=3600)  # it is for WebSockets to answer
        assert await reader.read() == b""
        assert not server.fronts
        writer.close()
        await writer.wait_closed()

    run(main())


def test_a_crash_sends_no_close_frame_and_start_takes_the_same_port(run: Any) -> None:
    async def main() -> None:
        async with serving(PlainServer()) as server:
            url = server.url
            client = await RawClient.open(url)
            await server.crash()
            assert await client.recv() == Closed(1006)
            assert not server.connections
            assert not server.is_listening
            with pytest.raises(ConnectionRefusedError):
                await RawClient.open(url)
            await server.crash()  # of a server that does not run: nothing
            await client.abort()
            await server.start()
            assert server.url == url
            again = await RawClient.open(url)
            assert server.connections_total == 2
            await again.close()

    run(main())


def test_a_subclass_may_hold_back_or_refuse_who_asks_for_a_session() -> None:
    class Judging(PlainServer):
        def judge_opening(self, request: HttpRequest) -> HttpResponse | float | None:
            judged.append(request.path)
            if request.path == "/full":
                return HttpResponse(503, "full")
            return 0.01 if request.path == "/later" else None

    judged: list[str] = []

    async def main() -> None:
        async with serving(Judging(full_http=True)) as server:
            for path in ("/now", "/later"):
                client = await RawClient.open(server.url, path)
                await client.close()
            assert (server.opening, server.connections_total) == (0, 2)
            status, _, _ = await get(server.url, "/full", **UPGRADE)
            assert status == 503
            assert (server.opening, server.connections_total) == (0, 2)
            status, _, _ = await get(server.url, "/full")  # for no session: not asked
            assert status == 426

    asyncio.run(main())
    assert judged == ["/now", "/later", "/full"]


def test_an_ipv6_address_is_bracketed_in_the_url() -> None:
    server = PlainServer("::1")
    server._port = 8080
    assert server.url == "ws://[::1]:8080"


def test_what_a_request_gets_is_for_subclasses_to_say() -> None:
    with pytest.raises(TypeError, match="abstract method"):
        WebSocketServer()  # type: ignore[abstract]
