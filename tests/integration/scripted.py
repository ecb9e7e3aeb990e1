"""Servers that misbehave exactly as a script says: blocking sockets in threads of their own.

A script is a function of one accepted connection. When it returns, the connection is closed.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.support import hostile

__all__ = ["Connection", "Script", "ScriptedServer", "engineio_open", "frame"]

_STEP_S = 0.05
_JOIN_S = 30.0


def frame(payload: bytes | str, *, opcode: int | None = None, fin: bool = True) -> bytes:
    """An unmasked frame (RFC 6455 section 5.2): str as text, bytes as binary."""
    data = payload.encode() if isinstance(payload, str) else payload
    if opcode is None:
        opcode = 1 if isinstance(payload, str) else 2
    return hostile.frame(opcode, data, fin=fin)


def engineio_open(ping_interval_ms: int = 25000, ping_timeout_ms: int = 20000) -> bytes:
    """The Engine.IO open packet as a frame."""
    handshake = {
        "sid": "s1",
        "upgrades": [],
        "pingInterval": ping_interval_ms,
        "pingTimeout": ping_timeout_ms,
        "maxPayload": 1_000_000,
    }
    return frame("0" + json.dumps(handshake))


class Connection:
    """One accepted connection, as a script sees it."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self.sock = sock
        self._stopping = stopping
        self._unread = b""

    def request(self) -> bytes:
        """Read the request up to its empty line."""
        while b"\r\n\r\n" not in self._unread:
            self._more()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        return head

    def response_101(self, *, accept: bytes | None = None, extra: bytes = b"") -> bytes:
        """Read the request; the right answer to it, or one with another Sec-WebSocket-Accept."""
        head = self.request()
        key = next(
            line.split(b":", 1)[1].strip()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key:")
        )
        right = hostile.accept_of(key.decode()).encode()
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + (accept or right) + b"\r\n" + extra + b"\r\n"
        )

    def upgrade(self) -> None:
        """Answer the upgrade as one should."""
        self.send(self.response_101())

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read_frame(self) -> tuple[int, bytes]:
        """One frame of the client: opcode and unmasked payload."""
        while True:
            parsed = _parse_frame(self._unread)
            if parsed is not None:
                opcode, payload, size = parsed
                self._unread = self._unread[size:]
                return opcode, payload
            self._more()

    def finish(self) -> None:
        """End the stream, and read on: unread data would turn the end into a reset."""
        self.sock.shutdown(socket.SHUT_WR)
        self.idle()

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def idle(self) -> None:
        """Do nothing until the client ends the connection or the server stops."""
        try:
            while True:
                self._unread = b""
                self._more()
        except ConnectionError:
            pass

    def _more(self) -> None:
        while not self._stopping.is_set():
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                continue
            if not data:
                raise ConnectionError("the client has ended the connection")
            self._unread += data
            return
        raise ConnectionError("the server is stopping")


def _parse_frame(data: bytes) -> tuple[int, bytes, int] | None:
    if len(data) < 2:
        return None
    size, at = data[1] & 0x7F, 2
    if size == 126:
        size, at = int.from_bytes(data[2:4], "big"), 4
    elif size == 127:
        size, at = int.from_bytes(data[2:10], "big"), 10
    if len(data) < at + 4 + size:
        return None
    mask, payload = data[at : at + 4], data[at + 4 : at + 4 + size]
    return (
        data[0] & 0x0F,
        bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload)),
        at + 4 + size,
    )


Script = Callable[[Connection], None]


class ScriptedServer:
    """Runs `script` for each connection while the context is open.

    :ivar accepted: connections so far. :ivar port: where it listens, or listened.
    """

    def __init__(self, script: Script, *, port: int = 0) -> None:
        self.script = script
        self.accepted = 0
        self.failures: list[BaseException] = []
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self._listener.settimeout(_STEP_S)
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(_JOIN_S)
        self._listener.close()
        assert not any(thread.is_alive() for thread in self._threads)
        if self.failures and error is None:
            raise self.failures[0]

    def _spawn(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.accepted += 1
            self._spawn(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            sock.settimeout(_STEP_S)
            try:
                self.script(Connection(sock, self._stopping))
            except ConnectionError:
                pass  # the client went first
            except BaseException as failure:
                self.failures.append(failure)
