"""The server's end of a connection in the hands of a script, and what a bad server is."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ghostcore.protocol.upgrade import accept_of

__all__ = ["BadServer", "Exercise", "Listening", "Script", "Wire", "frame"]

Listening = Literal["serves", "refuses", "full", "unreachable", "unknown"]
Exercise = Literal["open", "receive", "ping", "send", "call", "request", "wait", "close"]


class Wire:
    """The server's end of one connection, in the hands of a script."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._reset = False
        self._upgraded = False
        self.headers: dict[str, str] = {}

    async def request(self) -> dict[str, str]:
        """Read the upgrade request; returns its headers, names in lower case."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        for line in head.decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        return self.headers

    async def answer(
        self, status: str = "101 Switching Protocols", body: bytes = b"", **changed: str | None
    ) -> None:
        """Read the request and answer it: with a valid 101, but for what is given.

        :param changed: headers (``_`` for ``-``) to set, or with None to leave out.
        """
        await self.request()
        headers: dict[str, str | None] = {}
        if status.startswith("101"):
            key = self.headers.get("sec-websocket-key", "").encode()
            headers = {
                "upgrade": "websocket",
                "connection": "Upgrade",
                "sec-websocket-accept": accept_of(key).decode(),
            }
        elif body:
            headers["content-length"] = str(len(body))
        headers.update({name.replace("_", "-"): value for name, value in changed.items()})
        lines = [f"HTTP/1.1 {status}"]
        lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
        await self.send("\r\n".join([*lines, "", ""]).encode() + body)
        self._upgraded = status.startswith("101")

    async def send(self, data: bytes) -> None:
        """Put bytes on the wire as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def frame(
        self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0
    ) -> None:
        """Send one frame as servers do, unmasked."""
        await self.send(frame(opcode, payload, fin=fin, rsv=rsv))

    async def text(self, text: str) -> None:
        """Send one text message."""
        await self.frame(1, text.encode())

    async def receive(self) -> tuple[int, bytes]:
        """The next frame of the client: opcode and payload."""
        first, second = await self._reader.readexactly(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
        mask = await self._reader.readexactly(4)
        payload = await self._reader.readexactly(size)
        return first & 0x0F, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))

    async def engineio(
        self,
        open_packet: str = '{"sid":"e","upgrades":[],"pingInterval":25000,"pingTimeout":20000}',
    ) -> None:
        """Accept the upgrade and send an Engine.IO open packet."""
        await self.answer()
        await self.text("0" + open_packet)

    async def socketio(self, **open_fields: int) -> None:
        """Accept the client as far as a Socket.IO server does.

        :param open_fields: pingInterval and pingTimeout in ms.
        """
        interval = open_fields.get("pingInterval", 25000)
        timeout = open_fields.get("pingTimeout", 20000)
        await self.engineio(
            f'{{"sid":"e","upgrades":[],"pingInterval":{interval},"pingTimeout":{timeout}}}'
        )
        await self.receive()
        await self.text('40{"sid":"s"}')

    async def pause(self) -> None:
        """Long enough for the client to have read what was sent."""
        await asyncio.sleep(0.05)

    async def hold(self) -> None:
        """Do nothing more until the client ends the connection, or closes it with a close frame."""
        while not self._upgraded:
            if not await self._reader.read(65536):
                return
        while True:
            opcode, payload = await self.receive()
            if opcode == 8:
                await self.frame(8, payload)
                return

    async def stare(self) -> None:
        """Read nothing more, and do nothing: for good."""
        await asyncio.Event().wait()

    def reset(self) -> None:
        """The connection is to end with a reset (RST) instead of an end of stream."""
        self._reset = True

    def _end(self) -> None:
        transport = self._writer.transport
        raw = transport.get_extra_info("socket")
        if self._reset:
            if raw is not None:  # None: it is closed already
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A frame of RFC 6455 section 5.2, unmasked."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    size = len(payload)
    if size < 126:
        head = bytes((first, size))
    elif size < 65536:
        head = bytes((first, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 127)) + size.to_bytes(8, "big")
    return head + payload


Script = Callable[[Wire], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class BadServer:
    """One way to misbehave, and what must come of it.

    :ivar does: what the server does, in words.
    :ivar kind: the kind under which the failure is counted; None: it must be survived.
    :ivar phase: how far the connection had come.
    :ivar script: what happens on each connection; None where none gets that far.
    :ivar socketio: it answers as a Socket.IO server; plain WebSocket else.
    :ivar exercise: the operation that brings it out, once the session is open: ``open`` needs none,
        ``receive`` waits for a message, ``wait`` for an event, ``send`` sends until the socket is
        full, ``ping``, ``call``, ``request`` and ``close`` are those operations.
    :ivar options: of connect() or socketio(), that it takes to bring it out.
    :ivar listens: how the server's port behaves.
    :ivar secure: the URL is wss://.
    :ivar certificate: what the server's certificate must be like, for who makes it: ``good``,
        ``wrong name``, ``expired``, ``unknown authority`` or ``old protocol``; None: no TLS.
    :ivar deaf: it takes no part in a closing handshake: a session that closes is cut off after 5 s,
        one that is aborted ends at once.
    :ivar close_code: the code that ClosedByPeer must carry, where it is that.
    """

    name: str
    does: str
    kind: str | None
    phase: str = "session"
    script: Script | None = None
    socketio: bool = False
    exercise: Exercise = "open"
    options: Mapping[str, Any] = field(default_factory=dict)
    listens: Listening = "serves"
    secure: bool = False
    certificate: str | None = None
    deaf: bool = False
    close_code: int | None = None
