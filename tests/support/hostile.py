"""A WebSocket server that plays a script of raw bytes, right or wrong, and records what it gets.

One connection, one thread, plain sockets: nothing of it shares code with what it tests.

::

    with HostileServer(frame(TEXT, b"hi"), frame(3)) as server:
        ...                     # a client of server.url
    assert server.closes == [1002]

After the script it reads on. It ends its side of the stream when a close frame has come, as a
server should, and goes on reading to the very end, so that what a client sends after its close
frame is seen as well.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
import threading
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import sleep
from types import TracebackType
from typing import Self

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
DEADLINE_S = 20.0


@dataclass(frozen=True)
class ClientFrame:
    """A frame of the client, unmasked. ``mask`` is None if it was not masked."""

    opcode: int
    payload: bytes
    fin: bool
    reserved: int
    mask: bytes | None


@dataclass(frozen=True)
class WaitFor:
    """A step of a script: go on when a frame of this opcode has come."""

    opcode: int


@dataclass(frozen=True)
class Pause:
    """A step of a script: send nothing for so long."""

    seconds: float


@dataclass(frozen=True)
class Hangup:
    """The last step of a script: end the connection without a close frame."""

    reset: bool = False


Step = bytes | WaitFor | Pause | Hangup


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = None,
    length: int | None = None,
    length_bytes: int | None = None,
) -> bytes:
    """A frame of a server's; `mask`, `length` (announced) and `length_bytes` (0, 2, 8) may lie."""
    size = len(payload) if length is None else length
    width = length_bytes
    if width is None:
        width = 0 if size < 126 else 2 if size < 65536 else 8
    marked = 0x80 if mask is not None else 0
    head = bytes([fin << 7 | reserved << 4 | opcode])
    if width == 0:
        head += bytes([marked | size])
    elif width == 2:
        head += bytes([marked | 126]) + struct.pack(">H", size)
    else:
        head += bytes([marked | 127]) + struct.pack(">Q", size)
    if mask is not None:
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return head + (mask or b"") + payload


def close_frame(code: int | None = None, reason: bytes = b"") -> bytes:
    return frame(CLOSE, b"" if code is None else struct.pack(">H", code) + reason)


def dribble(data: bytes) -> list[Step]:
    """The same bytes, one a segment."""
    steps: list[Step] = []
    for at in range(len(data)):
        steps += [data[at : at + 1], Pause(0.0005)]
    return steps


def accept_of(key: str) -> str:
    magic = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return b64encode(hashlib.sha1(magic.encode()).digest()).decode()


def upgrade_answer(headers: dict[str, str], *more: str) -> bytes:
    """The right answer to a request with these headers, and more header lines."""
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_of(headers['sec-websocket-key'])}",
        *more,
        "\r\n",
    ]
    return "\r\n".join(lines).encode()


class HostileServer:
    """See the module.

    :param steps: the script.
    :param answer: makes the answer to the upgrade from the request's headers (names in lower case).
    :param glued: send the answer and the first step in one segment.
    """

    def __init__(
        self,
        *steps: Step,
        answer: Callable[[dict[str, str]], bytes] = upgrade_answer,
        glued: bool = False,
    ) -> None:
        self._steps: Sequence[Step] = steps
        self._answer = answer
        self._glued = glued
        self.headers: dict[str, str] = {}
        self.request_line = ""
        self.frames: list[ClientFrame] = []
        self.was_reset = False
        self._failure: BaseException | None = None
        self._context: ssl.SSLContext | None = None
        self._buffer = b""
        self._thread = threading.Thread(target=self._run, name="hostile", daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(DEADLINE_S)
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}/hostile"

    def secure(self, context: ssl.SSLContext) -> None:
        """Speak TLS. To be called before it starts."""
        self._context = context
        self.url = self.url.replace("ws:", "wss:")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.join(DEADLINE_S * 2)
        self._listener.close()
        if error is None and self._failure is not None:
            raise self._failure

    @property
    def closes(self) -> list[int]:
        """The codes of the client's close frames; 1005 for an empty one."""
        return [
            int.from_bytes(one.payload[:2], "big") if one.payload else 1005
            for one in self.frames
            if one.opcode == CLOSE
        ]

    def _run(self) -> None:
        try:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(DEADLINE_S)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._context is not None:
                    connection = self._context.wrap_socket(connection, server_side=True)
                with connection:
                    self._converse(connection)
        except BaseException as error:
            self._failure = error

    def _converse(self, connection: socket.socket) -> None:
        try:
            if not self._upgrade(connection):
                return
            for step in self._steps[1:] if self._glued else self._steps:
                if isinstance(step, bytes):
                    connection.sendall(step)
                elif isinstance(step, Pause):
                    sleep(step.seconds)
                elif isinstance(step, WaitFor):
                    while not any(one.opcode == step.opcode for one in self.frames):
                        if not self._receive(connection):
                            return
                else:
                    if step.reset:
                        linger = struct.pack("ii", 1, 0)
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    return
            while not self.closes:
                if not self._receive(connection):
                    return
            # Of a TLS connection, this ends the stream below it; it can be read on.
            socket.socket.shutdown(connection, socket.SHUT_WR)
            while self._receive(connection):
                pass
        except (ConnectionResetError, BrokenPipeError):
            self.was_reset = True

    def _upgrade(self, connection: socket.socket) -> bool:
        while b"\r\n\r\n" not in self._buffer:
            piece = connection.recv(65536)
            if not piece:
                return False
            self._buffer += piece
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        self.request_line, *lines = head.decode().split("\r\n")
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        answer = self._answer(self.headers)
        if self._glued:
            assert isinstance(self._steps[0], bytes)
            answer += self._steps[0]
        connection.sendall(answer)
        return True

    def _receive(self, connection: socket.socket) -> bool:
        piece = connection.recv(1 << 20)
        self._buffer += piece
        while self._cut():
            pass
        return bool(piece)

    def _cut(self) -> bool:
        """Take one whole frame off the buffer."""
        data = self._buffer
        if len(data) < 2:
            return False
        size, at = data[1] & 0x7F, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(data) < 2 + width:
                return False
            size, at = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
        mask = data[at : at + 4] if data[1] & 0x80 else None
        at += 4 if mask is not None else 0
        if len(data) < at + size:
            return False
        payload = data[at : at + size]
        if mask is not None and size:
            wide = (mask * (size // 4 + 1))[:size]
            payload = (int.from_bytes(payload, "big") ^ int.from_bytes(wide, "big")).to_bytes(
                size, "big"
            )
        self._buffer = data[at + size :]
        self.frames.append(
            ClientFrame(data[0] & 0x0F, payload, bool(data[0] & 0x80), data[0] >> 4 & 7, mask)
        )
        return True
