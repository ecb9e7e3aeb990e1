"""A WebSocket client that hides nothing: every frame as it came, in order. On asyncio streams."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, Protocol, Self, TypeVar
from urllib.parse import urlsplit

DEADLINE_S = 20.0
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
SOCKETIO = "/socket.io/?EIO=4&transport=websocket"


_OPEN: set[RawClient] = set()


class Closed(NamedTuple):
    """The end of a connection: the code in its close frame; 1005: it had none, 1006: no frame."""

    code: int


class Frame(NamedTuple):
    """A frame that is neither a whole text or binary message nor a close frame."""

    opcode: int
    fin: bool
    payload: bytes


class Server(Protocol):
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


S = TypeVar("S", bound=Server)


@asynccontextmanager
async def serving(server: S) -> AsyncIterator[S]:
    """The server, running; clients that are still open at the end go first."""
    await server.start()
    try:
        yield server
    finally:
        for client in tuple(_OPEN):
            await client.abort()
        await server.stop()


class RawClient:
    """``await RawClient.open(url, path)``; recv() gives str, bytes, Frame or Closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.head = ""
        _OPEN.add(self)

    @classmethod
    async def open(cls, url: str, path: str = "/", **headers: str) -> Self:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        context = None
        if parts.scheme == "wss":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client = cls(*await asyncio.open_connection(parts.hostname, parts.port, ssl=context))
        fields = {
            "Host": parts.netloc,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            **headers,
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items()), "", ""]
        client._writer.write("\r\n".join(lines).encode())
        async with asyncio.timeout(DEADLINE_S):
            client.head = (await client._reader.readuntil(b"\r\n\r\n")).decode()
        assert client.head.startswith("HTTP/1.1 101 "), client.head
        assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in client.head
        return client

    @classmethod
    async def socketio(cls, url: str, *, connect: bool = True) -> Self:
        """A Socket.IO client in the main namespace."""
        client = await cls.open(url, SOCKETIO)
        assert str(await client.recv()).startswith("0{")
        if connect:
            client.send("40")
            assert str(await client.recv()).startswith('40{"sid":')
        return client

    def send_frame(
        self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0
    ) -> None:
        size = len(payload)
        head = bytes([fin << 7 | rsv << 4 | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += b"\xfe" + size.to_bytes(2, "big")
        else:
            head += b"\xff" + size.to_bytes(8, "big")
        mask = os.urandom(4)
        pattern = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(payload) ^ int.from_bytes(pattern)).to_bytes(size)
        self._writer.write(head + mask + masked)

    def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.send_frame(TEXT, message.encode())
        else:
            self.send_frame(BINARY, message)

    def emit(self, *event: Any, ack: int | str = "") -> None:
        self.send(f"42{ack}{json.dumps(event)}")

    async def recv(self, within_s: float = DEADLINE_S) -> str | bytes | Frame | Closed:
        async with asyncio.timeout(within_s):
            try:
                return await self._recv()
            except (asyncio.IncompleteReadError, ConnectionError):
                return Closed(1006)

    async def _recv(self) -> str | bytes | Frame | Closed:
        first, second = await self._reader.readexactly(2)
        assert not second & 0x80, "a server must not mask"
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8))
        payload = await self._reader.readexactly(size)
        opcode, fin = first & 15, first >= 128
        if opcode == CLOSE:
            return Closed(int.from_bytes(payload[:2]) if payload else 1005)
        if fin and opcode == TEXT:
            return payload.decode()
        if fin and opcode == BINARY:
            return payload
        return Frame(opcode, fin, payload)

    async def event(self, within_s: float = DEADLINE_S) -> list[Any]:
        """The next event, pings answered on the way."""
        message = await self.recv(within_s)
        while message == "2":
            self.send("3")
            message = await self.recv(within_s)
        assert isinstance(message, str) and message.startswith("42["), message
        found: list[Any] = json.loads(message[2:])
        return found

    async def quiet(self, probe: str = '42999["nobody:handles:this"]') -> None:
        """Nothing has been sent to us: the answer to a ping frame is the next thing that comes."""
        self.send(probe)
        self.send_frame(PING, b"quiet")
        assert await self.recv() == Frame(PONG, True, b"quiet")

    async def at_end(self) -> bool:
        """Has the server ended the TCP connection? Waits for it."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._reader.read(1) == b""

    async def close(self) -> None:
        self.send_frame(CLOSE)
        async with asyncio.timeout(DEADLINE_S):
            while await self._reader.read(65536):
                pass
        await self.abort()

    async def abort(self) -> None:
        _OPEN.discard(self)
        self._writer.transport.abort()
        self._writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await self._writer.wait_closed()


async def get(url: str, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
    """Status, head and body of one HTTP request."""
    return await ask(url, path, method, b"", **headers)


async def ask(
    url: str, path: str, method: str = "GET", content: bytes = b"", **headers: str
) -> tuple[int, str, str]:
    """Status, head and body of one HTTP request with a body, on a connection of its own."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    fields = {"Host": parts.netloc, "Connection": "close"}
    if content:
        fields["Content-Length"] = str(len(content))
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items()), "", ""]
    writer.write("\r\n".join(lines).encode() + content)
    async with asyncio.timeout(DEADLINE_S):
        answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split(" ")[1]), head, body
