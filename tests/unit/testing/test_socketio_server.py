from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from typing import Any

import pytest

from ghostcore.errors import UsageError
from ghostcore.testing import (
    HttpRequest,
    HttpResponse,
    ServerProcess,
    SocketIOClient,
    SocketIOServer,
)
from tests.support.raw_client import (
    BINARY,
    CLOSE,
    PING,
    SOCKETIO,
    TEXT,
    Closed,
    RawClient,
    get,
    serving,
)

SID = re.compile(r"[A-Za-z0-9_-]{20}")


def test_handshake_is_that_of_socket_io() -> None:
    async def main() -> None:
        async with serving(SocketIOServer()) as server:
            client = await RawClient.open(server.url, SOCKETIO)
            assert "sec-websocket-extensions" not in client.head.lower()
            opened = await client.recv()
            assert isinstance(opened, str)
            sid = json.loads(opened[1:])["sid"]
            assert SID.fullmatch(sid)
            assert opened == (
                f'0{{"sid":"{sid}","upgrades":[],"pingInterval":25000,'
                '"pingTimeout":20000,"maxPayload":1000000}'
            )
            assert server.client_count() == 0
            client.send("40")
            answer = await client.recv()
            assert isinstance(answer, str)
            own = json.loads(answer[2:])["sid"]
            assert SID.fullmatch(own)
            assert own != sid
            assert answer == f'40{{"sid":"{own}"}}'
            assert list(server.clients()) == [own]
            known = server.client(own)
            assert known is not None
            assert known.connected
            assert server.client("nobody") is None
            assert server.client(own, "/unknown") is None

    asyncio.run(main())


def test_events_acknowledgements_and_attachments_both_ways() -> None:
    server = SocketIOServer()
    heard: list[tuple[Any, ...]] = []
    acknowledged: list[tuple[Any, ...]] = []

    @server.on("add")
    def add(client: SocketIOClient, left: int, right: int) -> int:
        return left + right

    @server.on("pair")
    def pair(client: SocketIOClient) -> tuple[int, int]:
        return 1, 2

    @server.on("nothing")
    def nothing(client: SocketIOClient, *args: object) -> tuple[()]:
        heard.append(args)
        return ()

    @server.on("silent")
    def silent(client: SocketIOClient) -> None:
        heard.append(("silent",))

    @server.on("early")
    def early(client: SocketIOClient) -> str:
        client.ack("first")
        client.emit("after", b"\x00\x01", {"nested": [b"two"]})
        client.ack("too late")
        return "too late as well"

    @server.on("ask")
    def ask(client: SocketIOClient) -> None:
        client.emit("question", 1, ack=lambda *values: acknowledged.append(values))
        client.emit("question", 2, ack=lambda *values: acknowledged.append(values))

    async def main() -> None:
        async with serving(server):
            client = await RawClient.socketio(server.url)
            client.emit("add", 2, 3, ack=7)
            assert await client.recv() == "437[5]"
            client.emit("add", 2, 3)
            client.emit("pair", ack=0)
            assert await client.recv() == "430[1,2]"
            client.send('451-12["nothing",{"_placeholder":true,"num":0}]')
            client.send(b"\xff\xfe")
            assert await client.recv() == "4312[]"
            assert heard.pop() == (b"\xff\xfe",)
            client.send('451-13["nothing",{"_placeholder":true,"num":0}]')
            client.send(b"3")  # in text it would be a pong
            assert await client.recv() == "4313[]"
            assert heard.pop() == (b"3",)
            client.emit("silent", ack=1)
            await client.quiet()
            assert heard.pop() == ("silent",)
            client.emit("early", ack=5)
            assert await client.recv() == '435["first"]'
            assert await client.recv() == (
                '452-["after",{"_placeholder":true,"num":0},'
                '{"nested":[{"_placeholder":true,"num":1}]}]'
            )
            assert await client.recv() == b"\x00\x01"
            assert await client.recv() == b"two"
            client.emit("ask")
            assert await client.recv() == '420["question",1]'
            assert await client.recv() == '421["question",2]'
            client.send('431["yes",1]')
            client.send("4399[]")
            client.send('431["again"]')
            client.send("430[]")
            await client.quiet()
            assert acknowledged == [("yes", 1), ()]
            assert server.errors_total == 0

    asyncio.run(main())


def test_hooks_see_clients_come_and_go() -> None:
    server = SocketIOServer()
    log: list[tuple[str, Any]] = []

    @server.on_connect
    def connected(client: SocketIOClient) -> None:
        client.data = len(log)
        client.emit("welcome")
        log.append(("in", client.data))

    @server.on_disconnect
    def disconnected(client: SocketIOClient, reason: str) -> None:
        assert not client.connected
        client.emit("nobody will get this")
        log.append((reason, client.data))

    async def main() -> None:
        async with serving(server):
            leaves = await RawClient.socketio(server.url)
            assert await leaves.recv() == '42["welcome"]'
            leaves.send("41")
            await leaves.quiet("3")
            assert log.pop() == ("client namespace disconnect", 0)
            assert len(server.connections) == 1  # 41 leaves the socket open
            leaves.send("40")  # and one may enter again
            assert str(await leaves.recv()).startswith("40{")
            assert await leaves.recv() == '42["welcome"]'
            await leaves.abort()  # the server hears of it before it hears of another client

            closes = await RawClient.socketio(server.url)
            assert await closes.recv() == '42["welcome"]'
            closes.send_frame(CLOSE, b"\x03\xe8")
            assert await closes.recv() == Closed(1000)
            assert log.pop()[0] == "transport close"

            breaks = await RawClient.socketio(server.url)
            assert await breaks.recv() == '42["welcome"]'
            breaks.send("2")
            assert await breaks.recv() == Closed(1005)
            assert log.pop()[0] == "forced close"
            assert server.client_count() == 0
            assert [what for what, _ in log] == ["in", "in", "transport close", "in", "in"]

    asyncio.run(main())


def test_server_disconnects_a_client() -> None:
    server = SocketIOServer()
    server.on("leave", lambda client: client.disconnect())
    server.on("kick", lambda client: client.disconnect(close=True))

    async def main() -> None:
        async with serving(server):
            client = await RawClient.socketio(server.url)
            client.emit("leave")
            assert await client.recv() == "41"
            assert server.client_count() == 0
            client.send("40")
            assert str(await client.recv()).startswith("40{")
            client.emit("kick")
            assert await client.recv() == "41"
            assert await client.recv() == Closed(1005)

    asyncio.run(main())


def test_auth_lets_in_or_refuses() -> None:
    server = SocketIOServer()

    @server.on_auth
    def check(client: SocketIOClient, auth: Any) -> object:
        if auth == {"token": "right"}:
            return None
        if auth is None:
            raise KeyError("token")
        return "bad token" if "token" in auth else {"message": "no token", "data": {"retry": 1}}

    async def main() -> None:
        async with serving(server):
            client = await RawClient.socketio(server.url, connect=False)
            client.send('40{"token":"wrong"}')
            assert await client.recv() == '44{"message":"bad token"}'
            client.send("40{}")
            assert await client.recv() == '44{"message":"no token","data":{"retry":1}}'
            client.send("40")
            assert await client.recv() == '44{"message":"Internal server error"}'
            assert server.errors_total == 1
            client.send('40{"token":"right"}')
            assert str(await client.recv()).startswith("40{")
            (known,) = server.clients().values()
            assert known.auth == {"token": "right"}

    asyncio.run(main())


def test_namespaces_are_apart() -> None:
    server = SocketIOServer()
    server.on("where", lambda client: client.namespace)
    server.on("where", lambda client: client.emit("here", client.namespace), namespace="/admin")

    async def main() -> None:
        async with serving(server):
            client = await RawClient.socketio(server.url)
            client.send("40/elsewhere,")
            assert await client.recv() == '44/elsewhere,{"message":"Invalid namespace"}'
            client.send("40/admin,")
            assert str(await client.recv()).startswith('40/admin,{"sid":')
            client.send('42/admin,["where"]')
            assert await client.recv() == '42/admin,["here","/admin"]'
            client.send('421["where"]')
            assert await client.recv() == '431["/"]'
            client.send("41/admin,")
            client.send('422["where"]')
            assert await client.recv() == '432["/"]'
            assert server.client_count("/admin") == 0
            client.send('42/admin,["where"]')
            assert await client.recv() == Closed(1005)

    asyncio.run(main())


@pytest.mark.parametrize(
    "frame",
    [
        '42["event",1]',
        "41",
        "431[]",
        "40{",
        "2",
        "2probe",
        "",
        "7",
        "x",
        "4",
        "49",
        "40[]",
        b"binary",
    ],
)
def test_violations_before_connect_close_with_1005(frame: str | bytes) -> None:
    async def main() -> None:
        async with serving(SocketIOServer()) as server:
            client = await RawClient.socketio(server.url, connect=False)
            client.send(frame)
            assert await client.recv() == Closed(1005)
            client.send("40")  # too late
            client.send_frame(CLOSE)
            assert await client.at_end()
            assert server.violations_total == 1
            assert not server.connections

    asyncio.run(main())


@pytest.mark.parametrize(
    "frames",
    [
        ["40"],
        ['42["x"'],
        ['42{"x":1}'],
        ["42[]"],
        ['42["connect"]'],
        ['42["disconnect"]'],
        ["44{}"],
        ["2"],
        [""],
        ["8"],
        [b"\x00"],
        [b"3"],
        ["bAAECAw=="],
        ["b!"],
        ['451-["x",{"_placeholder":true,"num":0}]', '42["x"]'],
    ],
)
def test_violations_after_connect_close_with_1005(frames: list[str | bytes]) -> None:
    async def main() -> None:
        async with serving(SocketIOServer()) as server:
            client = await RawClient.socketio(server.url)
            for frame in frames:
                client.send(frame)
            assert await client.recv() == Closed(1005)
            assert server.violations_total == 1
            assert server.client_count() == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    "frame",
    ['42["unknown"]', '427["x",1]', "3", "3probe", "6", "1", "0", "5", '42["error"]', "42[3]"],
)
def test_what_means_nothing_is_ignored(frame: str) -> None:
    async def main() -> None:
        async with serving(SocketIOServer()) as server:
            client = await RawClient.socketio(server.url)
            await client.quiet(frame)
            assert server.violations_total == 0

    asyncio.run(main())


def test_binary_may_come_as_base64_text() -> None:
    server = SocketIOServer()
    server.on("size", lambda client, data: len(data))

    async def main() -> None:
        async with serving(server):
            client = await RawClient.socketio(server.url)
            client.send('451-1["size",{"_placeholder":true,"num":0}]')
            client.send("bAAECAw==")
            assert await client.recv() == "431[4]"

    asyncio.run(main())


def test_limits_of_a_message() -> None:
    server = SocketIOServer(max_payload=1000)
    server.on("size", lambda client, data: len(data))

    async def main() -> None:
        async with serving(server):
            client = await RawClient.socketio(server.url)
            client.send('421["size","' + "x" * 986 + '"]')
            assert await client.recv() == "431[986]"
            client.send('421["size","' + "x" * 987 + '"]')
            assert await client.recv() == Closed(1009)

            pieces = await RawClient.socketio(server.url)
            pieces.send_frame(TEXT, b"4" * 600, fin=False)
            pieces.send_frame(0, b"4" * 600, fin=False)
            assert await pieces.recv() == Closed(1009)

    asyncio.run(main())


def test_fragments_are_joined_and_their_order_is_checked() -> None:
    server = SocketIOServer()
    server.on("echo", lambda client, text: text)

    async def main() -> None:
        async with serving(server):
            client = await RawClient.socketio(server.url)
            whole = '421["echo","é"]'.encode()
            client.send_frame(TEXT, whole[:-3], fin=False)
            client.send_frame(PING)
            client.send_frame(0, b"", fin=False)
            client.send_frame(0, whole[-3:])
            await client.recv()  # the pong frame
            assert await client.recv() == '431["é"]'
            client.send_frame(0, b"nothing before it")
            assert await client.recv() == Closed(1002)

            other = await RawClient.socketio(server.url)
            other.send_frame(TEXT, b"42", fin=False)
            other.send_frame(BINARY, b"\x00")
            assert await other.recv() == Closed(1002)

    asyncio.run(main())


def test_broken_frames_get_the_codes_of_rfc_6455() -> None:
    async def main() -> None:
        async with serving(SocketIOServer()) as server:
            client = await RawClient.socketio(server.url)
            client.send_frame(TEXT, b'42["\xff"]')
            assert await client.recv() == Closed(1007)
            client = await RawClient.socketio(server.url)
            client.send_frame(TEXT, b'42["x"]', rsv=4)
            assert await client.recv() == Closed(1002)

    asyncio.run(main())


def test_pings_as_long_as_the_client_answers() -> None:
    async def main() -> None:
        server = SocketIOServer(ping_interval=0.05, ping_timeout=60.0)
        async with serving(server):
            client = await RawClient.socketio(server.url)
            for count in range(1, 5):
                assert await client.recv() == "2"
                assert server.pings_total == count
                client.send("3")
            assert server.ping_timeouts_total == 0

    asyncio.run(main())


@pytest.mark.parametrize(("interval_s", "timeout_s"), [(0.05, 0.2), (0.2, 0.05)])
def test_closes_a_client_that_does_not_answer(interval_s: float, timeout_s: float) -> None:
    async def main() -> None:
        server = SocketIOServer(ping_interval=interval_s, ping_timeout=timeout_s)
        async with serving(server):
            client = await RawClient.socketio(server.url)
            assert await client.recv() == "2"
            assert await client.recv() == Closed(1005)  # and no second ping meanwhile
            assert (server.pings_total, server.ping_timeouts_total) == (1, 1)
            assert server.client_count() == 0

    asyncio.run(main())


def test_pings_go_on_after_the_client_left_its_namespace() -> None:
    async def main() -> None:
        server = SocketIOServer(ping_interval=0.05, connect_timeout=1.5)
        async with serving(server):
            client = await RawClient.socketio(server.url)
            client.send("41")
            end_s = time.monotonic() + 1.6
            while time.monotonic() < end_s:
                assert await client.recv() == "2"
                client.send("3")
            assert server.connect_timeouts_total == 0

    asyncio.run(main())


def test_closes_clients_that_never_connect_though_they_answer_pings() -> None:
    async def main() -> None:
        server = SocketIOServer(ping_interval=0.05, connect_timeout=0.3)
        async with serving(server):
            client = await RawClient.socketio(server.url, connect=False)
            while (message := await client.recv()) == "2":
                client.send("3")
            assert message == Closed(1005)
            assert (server.connect_timeouts_total, server.ping_timeouts_total) == (1, 0)

    asyncio.run(main())


def test_deadlines_follow_the_clock_that_is_given() -> None:
    async def main() -> None:
        at_s = 1000.0
        server = SocketIOServer(clock=lambda: at_s)
        async with serving(server):
            client = await RawClient.socketio(server.url)
            silent = await RawClient.socketio(server.url)
            at_s += 24.9
            server.advance()
            await client.quiet()
            at_s += 0.2
            server.advance()
            assert await client.recv() == await silent.recv() == "2"
            client.send("3")
            await client.quiet()
            at_s += 20.1
            server.advance()
            assert await silent.recv() == Closed(1005)
            await client.quiet()

    asyncio.run(main())


def test_a_crash_closes_nothing_properly_and_keeps_the_port() -> None:
    async def main() -> None:
        server = SocketIOServer()
        left: list[str] = []
        server.on_disconnect(lambda client, reason: left.append(reason))
        async with serving(server):
            client = await RawClient.socketio(server.url)
            port = server.port
            await server.crash()
            await server.crash()
            assert await client.recv() == Closed(1006)
            assert left == ["transport close"]
            with pytest.raises(ConnectionError):
                await RawClient.socketio(server.url)
            await server.start()
            assert server.port == port
            await RawClient.socketio(server.url)

    asyncio.run(main())


def test_encoded_packets_and_late_acknowledgements() -> None:
    async def main() -> None:
        server = SocketIOServer()
        asked: list[tuple[SocketIOClient, int | None]] = []

        @server.on("ask")
        def ask(client: SocketIOClient) -> None:
            asked.append((client, client.ack_id))

        async with serving(server):
            client = await RawClient.socketio(server.url)
            client.send('427["ask"]')
            await client.quiet('42["ask"]')
            (seen, first), (_, second) = asked
            assert (first, second, seen.ack_id) == (7, None, None)
            seen.send_encoded(f"43{first}[1]")
            assert await client.recv() == "437[1]"
            await client.quiet("41")
            seen.send_encoded('42["nobody"]')
            await client.quiet("3")

    asyncio.run(main())


def test_a_handler_that_raises_is_logged_and_the_client_hears_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = SocketIOServer()

    @server.on("divide")
    def divide(client: SocketIOClient, by: int) -> float:
        return 1 / by

    @server.on_connect
    def entered(client: SocketIOClient) -> None:
        client.emit("hello", ack=lambda: 1 / 0)
        raise ValueError("in on_connect")

    @server.on_disconnect
    def gone(client: SocketIOClient, reason: str) -> None:
        raise ValueError("in on_disconnect")

    async def main() -> None:
        async with serving(server):
            client = await RawClient.socketio(server.url)
            assert await client.recv() == '420["hello"]'
            client.emit("divide", 0, ack=1)
            client.emit("divide", ack=2)  # an argument is missing
            client.send("430[]")
            client.emit("divide", 2, ack=3)
            assert await client.recv() == "433[0.5]"
            client.send("41")
            await client.quiet("3")
            assert server.errors_total == 5

    with caplog.at_level(logging.ERROR, "ghostcore.testing"):
        asyncio.run(main())
    texts = [record.getMessage() for record in caplog.records]
    assert "handler of 'divide' of SocketIOServer raised" in texts
    assert len(texts) == 5


def test_http_routes() -> None:
    server = SocketIOServer()
    asked: list[HttpRequest] = []

    @server.route("/health")
    def health(request: HttpRequest) -> tuple[int, object]:
        asked.append(request)
        return 503, {"status": "é", "n": [1, None]}

    server.route("/page", lambda request: (200, "<p>hi</p>"))
    server.route("/moved", lambda request: HttpResponse(302, "", {"Location": "/page"}))

    @server.route("/broken")
    def broken(request: HttpRequest) -> tuple[int, object]:
        raise KeyError("x")

    async def main() -> None:
        async with serving(server):
            status, head, body = await get(server.url, "/health?a=1&a=2&b=%20", x_key="k")
            assert (status, json.loads(body)) == (503, {"status": "é", "n": [1, None]})
            assert "content-type: application/json; charset=utf-8" in head.lower()
            assert asked[0].query == {"a": "1", "b": " "}
            assert asked[0].headers["X-Key"] == "k"
            assert not asked[0].is_upgrade
            status, head, body = await get(server.url, "/page")
            assert (status, body) == (200, "<p>hi</p>")
            assert "content-type: text/html" in head.lower()
            status, head, _ = await get(server.url, "/moved")
            assert status == 302
            assert "location: /page" in head.lower()
            assert (await get(server.url, "/nope"))[0] == 404
            status, _, body = await get(server.url, "/broken")
            assert (status, body) == (500, "Internal Server Error")
            assert server.errors_total == 1
            server.route(None, lambda request: (418, request.path))
            assert (await get(server.url, "/tea%20pot"))[2] == "/tea pot"
            assert (await get(server.url, "/health", "POST"))[0] == 400

    asyncio.run(main())


@pytest.mark.parametrize(
    ("query", "headers", "answer"),
    [
        ("", {}, {"code": 0, "message": "Transport unknown"}),
        ("?EIO=4&transport=polling", {}, {"code": 0, "message": "Transport unknown"}),
        (
            "?EIO=4&transport=websocket&sid=x",
            {"Upgrade": "websocket"},
            {"code": 1, "message": "Session ID unknown"},
        ),
        ("?EIO=4&transport=websocket", {}, {"code": 3, "message": "Bad request"}),
        (
            "?EIO=3&transport=websocket",
            {"Upgrade": "websocket"},
            {"code": 5, "message": "Unsupported protocol version"},
        ),
    ],
)
def test_engine_io_refusals(query: str, headers: dict[str, str], answer: object) -> None:
    async def main() -> None:
        async with serving(SocketIOServer()) as server:
            status, _, body = await get(server.url, f"/socket.io/{query}", **headers)
            assert (status, json.loads(body)) == (400, answer)

    asyncio.run(main())


def test_runs_as_a_process() -> None:
    async def main() -> None:
        async with ServerProcess(SocketIOServer, "--ping-interval", "0.1") as server:
            client = await RawClient.socketio(server.url)
            client.emit("echo", {"a": 1}, ack=3)
            answers: list[object] = []
            while len(answers) < 2:
                message = await client.recv()
                if message != "2":
                    answers.append(message)
            assert answers == ['42["echo",{"a":1}]', '433[{"a":1}]']
            await client.close()

    asyncio.run(main())


def test_misuse_is_told() -> None:
    server = SocketIOServer()
    with pytest.raises(UsageError, match="'connect' is reserved"):
        server.on("connect", lambda client: None)
    with pytest.raises(UsageError, match="must begin with '/'"):
        server.on("x", lambda client: None, namespace="admin")
    with pytest.raises(UsageError, match="ping_interval is 0"):
        SocketIOServer(ping_interval=0)
