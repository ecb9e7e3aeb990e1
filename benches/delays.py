"""A server that answers late on purpose and writes down how late: ``python -m benches.delays``.

A message is its number in text. The server draws a delay, waits for it and sends the number back.
The delay that counts is the one that was: from the moment at which the kernel received the message
(SO_TIMESTAMPNS) to the one before the answer is handed to it. Whatever the server was late itself,
in reading or in sending, is in the record. ``GET /records`` gives the records.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
import time
from array import array
from collections.abc import Callable
from functools import partial

from ghostcore.loop.timers import TimerQueue
from ghostcore.protocol.upgrade import accept_of
from ghostcore.testing import run_server, server_arguments

__all__ = ["DELAYS_MS", "DelayServer"]

LONGEST_MS = 1000.0
BACKLOG = 4096
CLOSE = 8

SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("@ll")
READ_WITHIN_NS = 10_000
"""All three clocks: else something came between, and they are read again."""
STAMP_SPACE = socket.CMSG_SPACE(TIMESPEC.size)


def fixed(numbers: random.Random) -> float:
    return 10.0


def bimodal(numbers: random.Random) -> float:
    """One in ten takes 25 times as long."""
    return 50.0 if numbers.random() < 0.1 else 2.0


def heavy_tail(numbers: random.Random) -> float:
    """Pareto with alpha 1.5 from 2 ms on: 99 % are below 43 ms, one in 11,000 takes a second."""
    return min(LONGEST_MS, 2.0 * numbers.paretovariate(1.5))


def clocks_apart_ns() -> int:
    """CLOCK_REALTIME, which the kernel's stamps are of, less CLOCK_MONOTONIC, to some us."""
    while True:
        before_ns = time.monotonic_ns()
        real_ns = time.time_ns()
        after_ns = time.monotonic_ns()
        if after_ns - before_ns < READ_WITHIN_NS:
            return real_ns - (before_ns + after_ns) // 2


DELAYS_MS: dict[str, Callable[[random.Random], float]] = {
    "fixed": fixed,
    "bimodal": bimodal,
    "heavy tail": heavy_tail,
}


class DelayServer:
    """Answers as late as one of DELAYS_MS says.

    :ivar records: number, received and sent in ns of CLOCK_MONOTONIC, message after message.
    :ivar unstamped: messages without a stamp of the kernel's: they count from when they were read.
    """

    COUNTS = ("connections", "accepted", "messages", "unstamped")

    def __init__(self, host: str, port: int, delays: str) -> None:
        self._numbers = random.Random(1)
        self._draw = DELAYS_MS[delays]
        self.loop = asyncio.get_running_loop()
        self.timers = TimerQueue(self.loop)
        self.records = array("q")
        self.connections = self.accepted = self.messages = self.unstamped = 0
        self._peers: set[_Peer] = set()
        self._listener = socket.create_server((host, port), backlog=BACKLOG)
        self._listener.setblocking(False)
        # What is accepted inherits it.
        self._listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()
        return f"ws://{host}:{port}"

    async def start(self) -> None:
        self.loop.add_reader(self._listener, self._accept)

    async def stop(self) -> None:
        self.loop.remove_reader(self._listener)
        self._listener.close()
        for peer in list(self._peers):
            peer.close()
        self.timers.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            self._peers.add(_Peer(self, sock))

    def forget(self, peer: _Peer) -> None:
        self._peers.discard(peer)

    def delay_ns(self) -> int:
        """Of the next message."""
        return round(self._draw(self._numbers) * 1e6)

    def page(self, path: str) -> bytes:
        """What GET gives."""
        if path == "/records":
            return self.records.tobytes()
        return json.dumps({name: getattr(self, name) for name in self.COUNTS}).encode()


class _Peer:
    """A connection: the upgrade, then frames of up to 125 bytes."""

    def __init__(self, server: DelayServer, sock: socket.socket) -> None:
        self._server = server
        self._sock = sock
        self._upgraded = False
        self._held = b""
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.loop.add_reader(sock, self._readable)

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._server.connections -= self._upgraded
            self._server.loop.remove_reader(self._sock)
            self._sock.close()
            self._server.forget(self)

    def _readable(self) -> None:
        try:
            data, stamps, _, _ = self._sock.recvmsg(4096, STAMP_SPACE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        received_ns = self._stamp(stamps)
        self._held += data
        if self._upgraded:
            self._frames(received_ns)
        elif b"\r\n\r\n" in self._held:
            head, _, self._held = self._held.partition(b"\r\n\r\n")
            self._answer_request(head.decode("latin-1").split("\r\n"))

    def _stamp(self, stamps: list[tuple[int, int, bytes]]) -> int:
        """When the kernel received it, on CLOCK_MONOTONIC."""
        for level, kind, data in stamps:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, ns = TIMESPEC.unpack(data)
                return int(seconds) * 10**9 + int(ns) - clocks_apart_ns()
        self._server.unstamped += self._upgraded
        return time.monotonic_ns()

    def _answer_request(self, head: list[str]) -> None:
        fields = {name.lower(): value.strip() for name, _, value in (
            line.partition(":") for line in head[1:]
        )}  # fmt: skip
        key = fields.get("sec-websocket-key")
        if key is None:
            body = self._server.page(head[0].split(" ")[1])
            answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            self._server.loop.remove_reader(self._sock)
            sent = self._server.loop.sock_sendall(self._sock, answer.encode() + body)
            task = self._server.loop.create_task(sent)
            task.add_done_callback(lambda _: self.close())
            return
        accept = accept_of(key.encode()).decode()
        self._sock.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        self._upgraded = True
        self._server.connections += 1
        self._server.accepted += 1

    def _frames(self, received_ns: int) -> None:
        server, held = self._server, self._held
        while len(held) >= 6 and len(held) >= (end := 6 + (held[1] & 0x7F)):
            if held[0] & 0x0F == CLOSE:
                self.close()
                return
            mask = held[2:6] * 32
            number = bytes(a ^ b for a, b in zip(held[6:end], mask, strict=False))
            held = held[end:]
            answer = partial(self._answer, number, received_ns)
            server.timers.call_at(received_ns + server.delay_ns(), answer)
        self._held = held

    def _answer(self, number: bytes, received_ns: int) -> None:
        if self._sock.fileno() < 0:
            return  # it did not wait
        server, frame = self._server, bytes((0x81, len(number))) + number
        sent_ns = time.monotonic_ns()
        try:
            self._sock.send(frame)
        except OSError:
            self.close()
            return
        server.records.extend((int(number), received_ns, sent_ns))
        server.messages += 1


def main(arguments: list[str] | None = None) -> int:
    parser = server_arguments(__doc__ or "")
    parser.add_argument("--delays", choices=DELAYS_MS, required=True)
    options = parser.parse_args(arguments)
    return run_server(
        lambda: DelayServer(options.host, options.port, options.delays),
        watch_stdin=options.watch_stdin,
    )


if __name__ == "__main__":
    sys.exit(main())
