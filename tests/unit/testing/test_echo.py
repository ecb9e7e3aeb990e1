from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from ghostcore.errors import UsageError
from ghostcore.testing import EchoServer
from tests.support.raw_client import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Closed,
    Frame,
    RawClient,
    get,
    serving,
)


def test_echoes_text_and_binary_and_counts() -> None:
    async def main() -> None:
        async with serving(EchoServer()) as server:
            assert server.url == f"ws://127.0.0.1:{server.port}"
            client = await RawClient.open(server.url, "/any/path?x=1")
            for message in ("", "hello é", b"", b"\x00\xff", "x" * 200, b"y" * 70_000):
                client.send(message)
                assert await client.recv() == message
            assert server.messages == 6
            assert len(server.connections) == 1
            await client.close()
            second = await RawClient.open(server.url)
            second.send("again")
            assert await second.recv() == "again"
            assert server.messages == 7
            assert server.connections_total == 2
            assert server.errors_total == 0

    asyncio.run(main())


def test_keeps_fragments_and_answers_pings_between_them() -> None:
    async def main() -> None:
        async with serving(EchoServer()) as server:
            client = await RawClient.open(server.url)
            client.send_frame(TEXT, b"one ", fin=False)
            client.send_frame(PING, b"are you there")
            client.send_frame(PONG, b"unsolicited")
            client.send_frame(0, b"two")
            assert await client.recv() == Frame(TEXT, False, b"one ")
            assert await client.recv() == Frame(PONG, True, b"are you there")
            assert await client.recv() == Frame(0, True, b"two")
            assert server.messages == 1

    asyncio.run(main())


@pytest.mark.parametrize(("payload", "code"), [(b"", 1005), (b"\x03\xe8bye", 1000)])
def test_answers_the_close_frame_and_disconnects(payload: bytes, code: int) -> None:
    async def main() -> None:
        async with serving(EchoServer()) as server:
            client = await RawClient.open(server.url)
            client.send_frame(CLOSE, payload)
            assert await client.recv() == Closed(code)
            assert await client.at_end()
            assert not server.connections

    asyncio.run(main())


def test_stop_closes_with_1005_and_does_not_wait_for_a_deaf_client() -> None:
    async def main() -> None:
        server = EchoServer()
        await server.start()
        polite = await RawClient.open(server.url)
        deaf = await RawClient.open(server.url)
        stopping = asyncio.create_task(server.stop(timeout_s=0.2))
        assert await polite.recv() == Closed(1005)
        polite.send_frame(CLOSE)
        await stopping
        assert not server.connections
        assert await deaf.recv() == Closed(1005)
        assert await deaf.recv() == Closed(1006)
        with pytest.raises(ConnectionError):
            await RawClient.open(server.url)
        await server.stop()
        await polite.abort()
        await deaf.abort()

    asyncio.run(main())


@pytest.mark.parametrize("full_http", [False, True])
def test_refuses_plain_http_and_bad_frames(full_http: bool) -> None:
    async def main() -> None:
        async with serving(EchoServer(max_frame_bytes=1000, full_http=full_http)) as server:
            status, _, body = await get(server.url, "/")
            assert (status, body) == (426, "This server speaks WebSocket only.")
            client = await RawClient.open(server.url)
            client.send_frame(3, b"reserved opcode")
            assert await client.recv() == Closed(1002)
            big = await RawClient.open(server.url)
            big.send_frame(BINARY, b"x" * 1001)
            assert await big.recv() == Closed(1009)

    asyncio.run(main())


def test_takes_the_connection_header_of_a_browser() -> None:
    async def main() -> None:
        async with serving(EchoServer()) as server:
            client = await RawClient.open(server.url, Connection="keep-alive, Upgrade")
            client.send("x")
            assert await client.recv() == "x"

    asyncio.run(main())


def test_speaks_tls(tmp_path: Path) -> None:
    async def main() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        async with serving(EchoServer(ssl=context)) as server:
            assert server.url.startswith("wss://")
            client = await RawClient.open(server.url)
            client.send("secret")
            assert await client.recv() == "secret"
            await client.close()

    asyncio.run(main())


def test_misuse_is_told() -> None:
    async def main() -> None:
        with pytest.raises(UsageError, match="port is 70000"):
            EchoServer(port=70_000)
        server = EchoServer()
        with pytest.raises(UsageError, match="no port yet"):
            _ = server.url
        async with server:
            with pytest.raises(UsageError, match="running already"):
                await server.start()
            with pytest.raises(OSError, match="in use"):
                await EchoServer(port=server.port).start()

    asyncio.run(main())
