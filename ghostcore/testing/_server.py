"""What every WebSocket server of this package shares: listening, stopping, closing handshakes.

picows does the framing. It logs each connection and swallows what callbacks raise, so it gets a
logger that formats nothing, and the callbacks here guard themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl as ssl_module
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self

from picows import (
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from ghostcore.errors import UsageError
from ghostcore.testing._front import (
    HANDSHAKE_TIMEOUT_S,
    HttpFront,
    Refusal,
    Reply,
    websocket_protocol,
)
from ghostcore.testing._http import WEBSOCKET_ONLY, HttpRequest, HttpResponse, refusal

__all__ = ["Connection", "WebSocketServer", "close_frame"]

LOG = logging.getLogger("ghostcore.testing")

CLOSE_TIMEOUT_S = 2.0
_CLOSE = WSMsgType.CLOSE


class _NullLogger:
    """Formats nothing; passes on only what picows reports as an unhandled exception: our bug."""

    def isEnabledFor(self, _level: int) -> bool:
        return False

    def _drop(self, *_args: object, **_fields: object) -> None:
        pass

    log = debug = info = warning = error = critical = _drop

    def exception(self, text: str, *args: object, **_fields: object) -> None:
        LOG.exception(text, *args)


_NULL_LOGGER: Any = _NullLogger()


def close_frame(code: int | None, reason: str = "") -> bytes:
    """Payload of a close frame (RFC 6455 section 5.5.1); None: empty, the peer reports 1005.

    :param reason: cut to whole characters within 123 bytes of UTF-8.
    """
    if code is None:
        return b""
    whole = reason.encode()[:123].decode(errors="ignore")
    return code.to_bytes(2, "big") + whole.encode()


class Connection(WSListener):
    """One accepted WebSocket. ``closing`` is set once our close frame is out."""

    __slots__ = ("closing", "server", "transport")

    server: WebSocketServer
    transport: WSTransport | None

    def __init__(self, server: WebSocketServer) -> None:
        self.server = server
        self.transport = None
        self.closing = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        # Both would be kept as long as the connection: several KiB of headers each.
        transport.request.headers.clear()
        transport.response.headers.clear()
        self.server.connections.add(self)
        self.server.connections_total += 1

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.transport = None
        self.server._forget(self)

    def close(self, code: int | None = None, reason: str = "") -> None:
        """Begin the closing handshake; the peer's close frame ends the connection."""
        if self.transport is not None and not self.closing:
            self.closing = True
            self.transport.send(_CLOSE, close_frame(code, reason))

    def answer_close(self, payload: bytes) -> None:
        """The peer's close frame has come: answer it, unless it is an answer, and disconnect."""
        transport = self.transport
        if transport is None:
            return
        if not self.closing:
            self.closing = True
            transport.send(_CLOSE, payload[:2])
        transport.disconnect()

    def abort(self) -> None:
        """End the TCP connection now."""
        if self.transport is not None:
            self.transport.disconnect(False)


class WebSocketServer(ABC):
    """A WebSocket server on the running event loop. Subclasses say what a request gets.

    :param host: address to listen on.
    :param port: 0 takes any free port, see :attr:`port`.
    :param ssl: server context: the server then speaks ``wss://``.
    :param max_frame_bytes: frames over this are refused with close code 1009.
    :param full_http: answer HTTP requests with any method and body, and keep their connections, as
        Node does. Otherwise each connection gets one GET answered.
    :ivar max_body_bytes: bytes that the body of a request may have; more is refused with 413.
    :ivar connections: the open connections.
    :ivar connections_total: connections accepted so far.
    :ivar opening: connections that are let in, but have to wait for it (see judge_opening).
    :ivar errors_total: exceptions raised by handlers; each is logged to ``ghostcore.testing``.
    """

    scheme = "ws"

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        ssl: ssl_module.SSLContext | None = None,
        max_frame_bytes: int = 64 * 1024 * 1024,
        full_http: bool = False,
    ) -> None:
        if not 0 <= port <= 65535:
            raise UsageError(f"port is {port}: expected 0 (any free one) to 65535")
        self.host = host
        self.connections: set[Connection] = set()
        self.connections_total = 0
        self.opening = 0
        self.errors_total = 0
        self.fronts: set[HttpFront] = set()
        self.max_body_bytes = 1_000_000
        self._full_http = full_http
        self._wanted_port = port
        self._ssl = ssl
        self._max_frame_bytes = max_frame_bytes
        self._listener: asyncio.Server | None = None
        self._port = 0
        self._all_gone: asyncio.Event | None = None

    @property
    def port(self) -> int:
        """The port that the server listens on (still known after it stopped)."""
        if not self._port:
            raise UsageError("the server has no port yet: start() it, or enter `async with`")
        return self._port

    @property
    def url(self) -> str:
        """``ws://127.0.0.1:PORT``, or ``wss://`` with TLS."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}{'s' if self._ssl else ''}://{host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises OSError where the address cannot be had."""
        if self._listener is not None:
            raise UsageError("the server is running already: stop() it first")
        options: dict[str, Any] = {"backlog": 4096}
        if self._ssl is not None:
            options["ssl"] = self._ssl
        if self._full_http:
            make = websocket_protocol(self._admit, _NULL_LOGGER, self._max_frame_bytes)
            self._listener = await asyncio.get_running_loop().create_server(
                lambda: HttpFront(self, make), self.host, self._wanted_port, **options
            )
        else:
            self._listener = await ws_create_server(
                self._admit,
                self.host,
                self._wanted_port,
                websocket_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                logger_name=_NULL_LOGGER,
                max_frame_size=self._max_frame_bytes,
                read_buffer_init_size=2048,
                use_aiofastnet=False,
                **options,
            )
        self._port = self._listener.sockets[0].getsockname()[1]

    async def stop(self, *, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Stop listening and close every connection with an empty close frame (peers see 1005).

        :param timeout_s: after this many seconds connections whose peer has not answered the close
            frame are aborted. A second stop() does nothing.
        """
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        for connection in tuple(self.connections):
            connection.close()  # this also answers polls that wait
        for front in tuple(self.fronts):
            front.close()
        await self._wait_all_gone(timeout_s)
        self._abort_all()
        await self._wait_all_gone(timeout_s)

    async def crash(self) -> None:
        """End as a process does that is killed: no close frames, and the port refuses.

        :meth:`start` then listens on the same port again.
        """
        if self._listener is None:
            return
        self._wanted_port = self.port
        self._listener.close()
        self._listener = None
        self._abort_all()
        await self._wait_all_gone(CLOSE_TIMEOUT_S)

    @property
    def is_listening(self) -> bool:
        """Can anybody still come?"""
        return self._listener is not None

    def _abort_all(self) -> None:
        for front in tuple(self.fronts):
            front.abort()
        for connection in tuple(self.connections):
            connection.abort()

    async def _wait_all_gone(self, timeout_s: float) -> None:
        if self.connections or self.fronts:
            self._all_gone = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), timeout_s)
            self._all_gone = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @abstractmethod
    def accept(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        """What this request gets: a Connection, or a plain HTTP answer."""

    def serve(self, request: HttpRequest, reply: Reply, front: HttpFront) -> None:
        """Answer a request that asks for no WebSocket, now or later; with `full_http` only.

        Unless a subclass knows more, it gets 426.
        """
        reply(WEBSOCKET_ONLY)

    def judge_opening(self, request: HttpRequest) -> HttpResponse | Refusal | float | None:
        """What happens to a request for a session before it is looked at; with `full_http` only.

        :returns: None: it goes on; a number: after so many seconds; otherwise it is refused.
        """
        return None

    def failed(self, where: str) -> None:
        """Count and log the exception being handled now: a handler's fault."""
        self.errors_total += 1
        LOG.exception("%s of %s raised", where, type(self).__name__)

    def _admit(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        # Browsers may send "keep-alive, Upgrade", which picows does not take for an upgrade.
        tokens = [token.strip() for token in request.headers.get("connection", "").split(",")]
        if len(tokens) > 1 and "upgrade" in map(str.lower, tokens):
            request.headers["connection"] = "upgrade"
        try:
            return self.accept(request)
        except Exception:
            self.failed("accept()")
            return refusal(500, "Internal Server Error")

    def front_ended(self, front: HttpFront) -> None:
        """A connection that became no WebSocket has ended."""
        self.fronts.discard(front)
        self._tell_all_gone()

    def _forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self._tell_all_gone()

    def _tell_all_gone(self) -> None:
        if self._all_gone is not None and not self.connections and not self.fronts:
            self._all_gone.set()
