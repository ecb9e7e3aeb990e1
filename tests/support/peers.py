"""The server's end of connections over loopback, in the hands of the test that dials them, on the
same loop: each byte goes out when the test says so."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import ghostcore
from ghostcore import WebSocketSession
from tests.support.hostile import upgrade_answer

__all__ = ["LINKS", "Link", "Listening", "Peer", "linked", "listening"]

Link = Literal["epoll", "picows"]
LINKS: list[Link] = ["epoll", "picows"]

DEADLINE_S = 30.0
_DATA_SEGMENTS_IN = 152  # where struct tcp_info has tcpi_data_segs_in


class Peer:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""

    async def request(self) -> dict[str, str]:
        """The headers of the request for the upgrade, names in lower case."""
        while b"\r\n\r\n" not in self._buffer:
            await self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        fields = (line.partition(":") for line in head.decode().split("\r\n")[1:])
        return {name.lower(): value.strip() for name, _, value in fields}

    async def answer(self, tail: bytes = b"") -> None:
        """Grant the upgrade; `tail` goes out in the same segment."""
        self.put(upgrade_answer(await self.request()) + tail)

    def put(self, data: bytes) -> None:
        """Send bytes at once, in one piece."""
        assert self.sock.send(data) == len(data)

    async def frame(self) -> tuple[int, bytes]:
        """The next frame of the client: opcode and unmasked payload."""
        first, second = await self.take(2)
        assert second & 0x80, "a client must mask"
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await self.take(2 if size == 126 else 8))
        mask = await self.take(4)
        payload = await self.take(size)
        pattern = (mask * (size // 4 + 1))[:size]
        return first & 15, (int.from_bytes(payload) ^ int.from_bytes(pattern)).to_bytes(size)

    async def take(self, size: int) -> bytes:
        """So many bytes. :raises EOFError: the client ended the stream before."""
        while len(self._buffer) < size:
            await self._more()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    async def _more(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 18)
        if not data:
            raise EOFError(self._buffer)
        self._buffer += data

    async def at_end(self) -> bool:
        """Has the client ended its side, with nothing left to read? Waits for it."""
        async with asyncio.timeout(DEADLINE_S):
            data = await asyncio.get_running_loop().sock_recv(self.sock, 1)
        return not self._buffer and not data

    def segments(self) -> int:
        """Segments with data that came so far: one for each write of a client that does not wait
        for more (TCP_NODELAY)."""
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        found: int = struct.unpack_from("I", info, _DATA_SEGMENTS_IN)[0]
        return found

    def reset(self) -> None:
        """End the connection with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Listening:
    """A socket that takes connections when the test says so."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.port: int = sock.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}"
        self.peers: list[Peer] = []

    async def accept(self) -> Peer:
        async with asyncio.timeout(DEADLINE_S):
            sock, _ = await asyncio.get_running_loop().sock_accept(self.sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peers.append(Peer(sock))
        return self.peers[-1]

    @staticmethod
    def answer_to(headers: dict[str, str]) -> bytes:
        """What grants a request for the upgrade."""
        return upgrade_answer(headers)

    async def linked(
        self, link: Link, tail: bytes = b"", **options: Any
    ) -> tuple[WebSocketSession, Peer]:
        """An open session and its peer; `tail` comes in the segment of the 101."""
        dialing = asyncio.ensure_future(ghostcore.connect(self.url, link=link, **options))
        peer = await self.accept()
        await peer.answer(tail)
        return await dialing, peer


@asynccontextmanager
async def listening() -> AsyncIterator[Listening]:
    """Its connections are closed at the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        found = Listening(sock)
        try:
            yield found
        finally:
            for peer in found.peers:
                peer.sock.close()


@asynccontextmanager
async def linked(
    link: Link, tail: bytes = b"", **options: Any
) -> AsyncIterator[tuple[WebSocketSession, Peer]]:
    """The only session of a listening socket, and its peer; both are ended with the block."""
    async with listening() as listener:
        session, peer = await listener.linked(link, tail, **options)
        try:
            yield session, peer
        finally:
            session.abort()
