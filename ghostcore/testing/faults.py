"""A TCP proxy on loopback that breaks connections on purpose.

It knows nothing of what it carries, so it stands before any server: delays, narrow lines, ends and
resets after a given number of bytes, lines that swallow everything, peers that stop reading.

::

    async with EchoServer() as server, FaultProxy(server.port) as proxy:
        session = await ghostcore.connect(proxy.url)        # as if there were no proxy
        proxy.apply(Faults(down=Flow(reset_after=1)))       # from here on, also for this session

``python -m ghostcore.testing.faults --target 3001 --down '{"delay_s": 0.05}'`` runs it by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import struct
import sys
from dataclasses import dataclass, fields
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

from ghostcore.errors import UsageError
from ghostcore.testing._main import run_server, server_arguments

__all__ = ["FaultConnection", "FaultProxy", "Faults", "Flow", "reset_socket"]

_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)
_CONNECT_TIMEOUT_S = 10.0

Direction = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Flow:
    """What happens to the bytes of one direction. Byte counts are those of the connection's life.

    :ivar delay_s: seconds that each piece is held back; the pieces stay in order.
    :ivar bytes_per_s: the width of the line; None: as wide as loopback.
    :ivar cut_after: both ends see an end of stream (FIN) after that many bytes.
    :ivar reset_after: both ends see a reset (RST) after that many bytes.
    :ivar finish_after: the receiving end of this direction sees an end of stream after that many
        bytes, while the other direction goes on (half-close).
    :ivar swallow_after: what comes behind that many bytes is read and thrown away; no FIN is passed
        on either (half-open).
    :ivar stop_after: behind that many bytes nothing is read any more, so that the sender's window
        closes.
    """

    delay_s: float = 0.0
    bytes_per_s: float | None = None
    cut_after: int | None = None
    reset_after: int | None = None
    finish_after: int | None = None
    swallow_after: int | None = None
    stop_after: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.delay_s < float("inf"):
            raise UsageError(f"delay_s is {self.delay_s!r}: expected seconds from 0 on")
        if self.bytes_per_s is not None and not self.bytes_per_s > 0:
            raise UsageError(f"bytes_per_s is {self.bytes_per_s!r}: expected more than 0, or None")
        for name in _LIMITS:
            limit = getattr(self, name)
            if limit is not None and (not isinstance(limit, int) or limit < 0):
                raise UsageError(f"{name} is {limit!r}: expected bytes from 0 on, or None")

    def next_limit(self) -> tuple[int, str] | None:
        """The limit that comes first, as (bytes, its name); None if there is none."""
        limits = [(getattr(self, name), name) for name in _LIMITS]
        return min(((limit, name) for limit, name in limits if limit is not None), default=None)


_LIMITS = ("cut_after", "reset_after", "finish_after", "swallow_after", "stop_after")


@dataclass(frozen=True, slots=True)
class Faults:
    """What the proxy does to a connection.

    :ivar up: what happens to bytes from the client to the server.
    :ivar down: what happens to bytes from the server to the client.
    :ivar accept: ``forward``; ``silence`` accepts, reads nothing and connects nowhere; ``reset``
        resets at once; ``close`` closes at once.
    """

    up: Flow = Flow()
    down: Flow = Flow()
    accept: Literal["forward", "silence", "reset", "close"] = "forward"

    def __post_init__(self) -> None:
        if self.accept not in ("forward", "silence", "reset", "close"):
            raise UsageError(
                f"accept is {self.accept!r}: expected forward, silence, reset or close"
            )


def reset_socket(sock: socket.socket) -> None:
    """Close a socket so that its peer sees a reset (RST) instead of an end of stream."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


class FaultConnection:
    """One connection through the proxy.

    :ivar bytes_up: bytes passed on to the server so far.
    :ivar bytes_down: bytes passed on to the client so far.
    """

    def __init__(self, proxy: FaultProxy, client: socket.socket, faults: Faults) -> None:
        self.bytes_up = 0
        self.bytes_down = 0
        self._proxy = proxy
        self._client = client
        self._server: socket.socket | None = None
        self._faults = faults
        self._changed = asyncio.Event()
        self._ended: asyncio.Future[str] = proxy._loop.create_future()

    @property
    def faults(self) -> Faults:
        """What is being done to this connection; may be set at any time."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        self._wake()

    def reset(self) -> None:
        """Reset both ends now."""
        self._end("reset")

    def close(self) -> None:
        """End both streams now."""
        self._end("cut")

    def _end(self, how: str) -> None:
        if not self._ended.done():
            self._ended.set_result(how)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _run(self) -> None:
        """Carry bytes until somebody ends it, then close both sockets the way that was asked."""
        pumps: list[asyncio.Task[None]] = []
        how = "reset"
        try:
            if self._faults.accept == "forward" and await self._dial():
                assert self._server is not None
                pumps = [
                    asyncio.create_task(self._pump("up", self._client, self._server)),
                    asyncio.create_task(self._pump("down", self._server, self._client)),
                ]
            elif self._faults.accept != "silence":
                self._end("cut" if self._faults.accept == "close" else "reset")
            how = await self._ended
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for sock in (self._client, self._server):
                if sock is not None:
                    sock.close() if how == "cut" else reset_socket(sock)

    async def _dial(self) -> bool:
        self._server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._server.setblocking(False)
        self._server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await self._proxy._loop.sock_connect(self._server, self._proxy.target)
        except (OSError, TimeoutError):
            return False  # the client sees a reset, as it would behind any proxy
        return True

    async def _pump(self, way: Direction, source: socket.socket, sink: socket.socket) -> None:
        passed = 0
        pending = b""
        loop = self._proxy._loop
        try:
            while True:
                # Looked up anew each time: what is done to a byte is decided when it is passed on.
                flow = await self._may_pass(way, passed)
                limit = flow.next_limit()
                reached = limit[1] if limit is not None and passed >= limit[0] else None
                if reached is not None and reached != "swallow_after":
                    self._limit_reached(reached, sink)
                    return
                size = _CHUNK if limit is None or reached else min(_CHUNK, limit[0] - passed)
                if not pending:
                    pending = await loop.sock_recv(source, size)
                    if not pending:
                        limit = (await self._may_pass(way, passed)).next_limit()
                        if limit is None or passed < limit[0]:
                            sink.shutdown(socket.SHUT_WR)
                        break
                    continue
                if reached:
                    pending = b""
                    continue
                if flow.bytes_per_s is not None:
                    size = max(1, min(size, int(flow.bytes_per_s / 50)))
                piece, pending = pending[:size], pending[size:]
                if flow.delay_s:
                    await asyncio.sleep(flow.delay_s)
                await loop.sock_sendall(sink, piece)
                passed += len(piece)
                if way == "up":
                    self.bytes_up = passed
                else:
                    self.bytes_down = passed
                if flow.bytes_per_s is not None:
                    await asyncio.sleep(len(piece) / flow.bytes_per_s)
        except ConnectionError:
            self._end("reset")  # one end reset: so must the other see it
        except OSError:
            self._end("cut")
        else:
            self._finished(way)

    async def _may_pass(self, way: Direction, passed: int) -> Flow:
        """Wait while the proxy is frozen or this direction is stopped."""
        while True:
            await self._proxy._thawed.wait()
            flow: Flow = getattr(self._faults, way)
            if flow.stop_after is None or passed < flow.stop_after:
                return flow
            if flow.next_limit() != (flow.stop_after, "stop_after"):
                return flow  # another limit lies before it
            await self._changed.wait()

    def _limit_reached(self, name: str, sink: socket.socket) -> None:
        if name == "finish_after":
            sink.shutdown(socket.SHUT_WR)
        else:
            self._end("cut" if name == "cut_after" else "reset")

    _halves = 0

    def _finished(self, way: Direction) -> None:
        self._halves += 1
        if self._halves == 2:
            self._end("cut")


class FaultProxy:
    """Passes TCP connections on to a server on loopback, and does to them what :attr:`faults` says.

    :param target: port of the server, or (host, port).
    :param port: to listen on; 0 takes any free one.
    :param faults: for every connection that is accepted while they are set.
    :param receive_buffer: bytes of the kernel's buffer towards the client; a small one makes the
        client's window close soon after the proxy stops reading.
    :ivar connections: those that are open now.
    :ivar connections_total: accepted so far.
    """

    def __init__(
        self,
        target: int | tuple[str, int],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Faults | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self.target = ("127.0.0.1", target) if isinstance(target, int) else target
        self.host = host
        self.connections: dict[int, FaultConnection] = {}
        self.connections_total = 0
        self.faults = faults or Faults()
        self._port = port
        self._receive_buffer = receive_buffer
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = False

    @property
    def port(self) -> int:
        """The port that clients connect to; the same after :meth:`refuse` and :meth:`listen`."""
        if not self._port:
            raise UsageError("the proxy has no port yet: start() it, or enter `async with`")
        return self._port

    @property
    def url(self) -> str:
        """``ws://127.0.0.1:PORT``."""
        return f"ws://{self.host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises OSError where the address cannot be had."""
        if self._running:
            raise UsageError("the proxy is running already: stop() it first")
        self._loop = asyncio.get_running_loop()
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._running = True
        await self.listen()

    async def stop(self) -> None:
        """Stop listening and reset every connection. A second stop() does nothing."""
        await self.refuse()
        self._running = False
        for connection in tuple(self.connections.values()):
            connection.reset()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def listen(self) -> None:
        """Accept again after :meth:`refuse`, on the same port."""
        if self._listener is not None:
            return
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._receive_buffer is not None:
                # What accept() returns inherits it; set later it would not bound the window.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
            listener.bind((self.host, self._port))
            listener.listen(1024)
        except OSError:
            listener.close()
            raise
        self._port = listener.getsockname()[1]
        self._listener = listener
        self._accepting = asyncio.create_task(self._accept(listener))

    async def refuse(self) -> None:
        """Stop listening: new connections are refused, those that are open go on."""
        if self._listener is None:
            return
        assert self._accepting is not None
        self._accepting.cancel()
        await asyncio.gather(self._accepting, return_exceptions=True)
        self._listener.close()
        self._listener = self._accepting = None

    def apply(self, faults: Faults) -> None:
        """Set :attr:`faults` for the connections to come and for those that are open."""
        self.faults = faults
        for connection in self.connections.values():
            connection.faults = faults

    def freeze(self) -> None:
        """Carry nothing in either direction until :meth:`resume`; connections stay open."""
        self._thawed.clear()

    def resume(self) -> None:
        """Go on after :meth:`freeze`; nothing was lost."""
        self._thawed.set()

    def reset_all(self) -> None:
        """Reset every connection that is open."""
        for connection in tuple(self.connections.values()):
            connection.reset()

    def close_all(self) -> None:
        """End both streams of every connection that is open."""
        for connection in tuple(self.connections.values()):
            connection.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = await self._loop.sock_accept(listener)
            except OSError:
                await asyncio.sleep(0.05)  # out of descriptors, or reset before it was accepted
                continue
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = FaultConnection(self, client, self.faults)
            number = self.connections_total
            self.connections_total += 1
            self.connections[number] = connection
            task = asyncio.create_task(connection._run())
            self._tasks.add(task)
            task.add_done_callback(partial(self._forget, number))

    def _forget(self, number: int, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        del self.connections[number]


def _flow(text: str) -> Flow:
    try:
        wanted: dict[str, Any] = json.loads(text)
        return Flow(**wanted)
    except (TypeError, ValueError) as error:
        names = ", ".join(one.name for one in fields(Flow))
        raise argparse.ArgumentTypeError(f"expected JSON with some of {names}: {error}") from None


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. First line of output: ``listening on ws://HOST:PORT``."""
    parser = server_arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--target", type=int, required=True, help="port of the server on loopback")
    parser.add_argument("--up", type=_flow, default=Flow(), help="client to server: a Flow as JSON")
    parser.add_argument("--down", type=_flow, default=Flow(), help="server to client, likewise")
    parser.add_argument("--accept", default="forward", help="forward, silence, reset or close")
    options = parser.parse_args(arguments)
    faults = Faults(options.up, options.down, options.accept)
    return run_server(
        lambda: FaultProxy(options.target, host=options.host, port=options.port, faults=faults),
        watch_stdin=options.watch_stdin,
    )


if __name__ == "__main__":
    sys.exit(main())
