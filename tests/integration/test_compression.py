"""permessage-deflate over both links: with Node's ws package, and with a server that cheats."""

from __future__ import annotations

import random
import zlib
from typing import Any, Literal

import pytest
import uvloop

from ghostcore import connect
from ghostcore.errors import HandshakeRejected, ProtocolViolation
from tests.integration.node_servers import NodeServers
from tests.support.hostile import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    HostileServer,
    close_frame,
    frame,
    upgrade_answer,
)

LinkName = Literal["epoll", "picows"]
OFFERS: dict[str, Any] = {
    "default": True,
    "no takeover": {"client_no_context_takeover": True, "server_no_context_takeover": True},
    "small windows": {"client_max_window_bits": 9, "server_max_window_bits": 10},
    "smallest window": {"client_max_window_bits": 8},
}


@pytest.fixture(params=["epoll", "picows"])
def link(request: pytest.FixtureRequest) -> LinkName:
    name: LinkName = request.param
    return name


def payloads() -> list[bytes]:
    source = random.Random(7)
    return [
        b"",
        b"x",
        b"ghost" * 10_000,
        source.randbytes(70_000),
        b"",
        bytes(source.choices(range(65, 75), k=200_000)),
        b"ghost" * 10_000,
    ]


@pytest.mark.parametrize("verb", ["echo", "pieces"])
@pytest.mark.parametrize("server", ["deflate", "deflateSmall"])
@pytest.mark.parametrize("offer", OFFERS)
def test_echoes_of_node(
    node: NodeServers, offer: str, server: str, verb: str, link: LinkName
) -> None:
    async def main() -> tuple[str, int]:
        url = node.url(server, "/extensions")
        async with connect(url, link=link, compression=OFFERS[offer]) as session:
            agreed: str = (await session.recv(timeout=10)).text
        url = node.url(server, f"/{verb}")
        async with connect(url, link=link, compression=OFFERS[offer]) as session:
            for payload in payloads():
                await session.send(payload)
                assert (await session.recv(timeout=10)).data == payload
            await session.send("déjà vu" * 100)
            assert (await session.recv(timeout=10)).text == "déjà vu" * 100
            return agreed, session._traffic.bytes_sent

    agreed, bytes_sent = uvloop.run(main())
    assert agreed == "permessage-deflate"
    assert bytes_sent < sum(map(len, payloads())) * 0.7


def test_a_server_without_compression(node: NodeServers, link: LinkName) -> None:
    async def main() -> None:
        async with connect(node.url("ws", "/echo"), link=link, compression=True) as session:
            await session.send("x" * 1000)
            assert (await session.recv(timeout=10)).text == "x" * 1000
            assert session._traffic.bytes_sent > 1000

    uvloop.run(main())


def deflated(data: bytes) -> bytes:
    maker = zlib.compressobj(wbits=-15)
    return (maker.compress(data) + maker.flush(zlib.Z_SYNC_FLUSH))[:-4]


def agreeing(parameters: str = "") -> Any:
    line = f"Sec-WebSocket-Extensions: permessage-deflate{parameters}"
    return lambda headers: upgrade_answer(headers, line)


async def hear(url: str, link: LinkName, **options: Any) -> list[bytes]:
    got = []
    session = await connect(url, link=link, compression=True, **options)
    try:
        while True:
            got.append((await session.recv(timeout=10)).data)
    except ProtocolViolation as error:
        got.append(f"{error.kind} {error.code}".encode())
    await session.close()
    return got


BOMB = deflated(b"\0" * (32 << 20))
CHEATS = {
    "bomb": (frame(BINARY, BOMB, reserved=4), b"message_too_big 1009"),
    "bomb in fragments": (
        frame(BINARY, BOMB[:100], reserved=4, fin=False) + frame(CONTINUATION, BOMB[100:]),
        b"message_too_big 1009",
    ),
    "ping": (frame(PING, b"\0", reserved=4), b"protocol_violation 1002"),
    "close": (frame(CLOSE, b"\x03\xe8", reserved=4), b"protocol_violation 1002"),
    "continuation": (
        frame(TEXT, b"\0", fin=False, reserved=4) + frame(CONTINUATION, b"", reserved=4),
        b"protocol_violation 1002",
    ),
    "other bits": (frame(TEXT, b"\0", reserved=6), b"protocol_violation 1002"),
    "garbage": (frame(TEXT, b"\xff\xff\xff", reserved=4), b"protocol_violation 1007"),
    "not UTF-8": (frame(TEXT, deflated(b"\xff"), reserved=4), b"protocol_violation 1007"),
}


@pytest.mark.parametrize("name", CHEATS)
def test_cheats(name: str, link: LinkName) -> None:
    script, outcome = CHEATS[name]
    first = frame(TEXT, deflated(b"Hello"), reserved=4)
    with HostileServer(first + script, answer=agreeing(), glued=True) as server:
        got = uvloop.run(hear(server.url, link, max_message_size=40_000))
    assert got == [b"Hello", outcome]
    assert server.closes == [int(outcome[-4:])]
    assert server.headers["sec-websocket-extensions"] == (
        "permessage-deflate; client_max_window_bits"
    )


@pytest.mark.parametrize(
    "parameters",
    ["; mode=fast", "; server_max_window_bits=16", "; server_no_context_takeover=1", ", x"],
)
def test_bad_answers(parameters: str, link: LinkName) -> None:
    async def main(url: str) -> None:
        with pytest.raises(HandshakeRejected) as caught:
            await connect(url, link=link, compression=True)
        assert caught.value.kind == "upgrade_invalid"

    with HostileServer(answer=agreeing(parameters)) as server:
        uvloop.run(main(server.url))


def test_what_we_send_is_marked_and_control_frames_are_not(link: LinkName) -> None:
    async def main(url: str) -> None:
        session = await connect(url, link=link, compression=True)
        await session.send("Hello")
        await session.send(b"")
        session.ping(b"ping")
        await session.close()

    with HostileServer(answer=agreeing()) as server:
        uvloop.run(main(server.url))
    seen = [(one.opcode, one.reserved, one.payload) for one in server.frames]
    assert seen == [
        (TEXT, 4, bytes.fromhex("f248cdc9c90700")),
        (BINARY, 4, b"\0"),
        (PING, 0, b"ping"),
        (CLOSE, 0, close_frame(1000)[2:]),
    ]
