"""HTTP in full before a WebSocket server: methods, bodies, connections that are kept.

picows answers GET requests without a body, one a connection. Here each connection begins with a
protocol of our own; one that asks for a WebSocket is handed to picows with all that it has sent.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Any, Protocol

from multidict import CIMultiDict
from picows import picows as compiled

from ghostcore.testing._http import BadRequest, HttpRequest, HttpResponse, parse_head

__all__ = ["FrontServer", "HttpFront", "Refusal", "Reply", "websocket_protocol"]

MAX_HEAD_BYTES = 16 * 1024  # Node's --max-http-header-size
KEEP_ALIVE_S = 5.0  # Node's keepAliveTimeout
HANDSHAKE_TIMEOUT_S = 60.0  # Node's headersTimeout

_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]+")

Reply = Callable[[HttpResponse], None]


class Refusal(Enum):
    """How a connection that asks for a session may be refused, besides with an answer.

    RESET ends it with a TCP reset, HANG keeps it without a word.
    """

    RESET = "reset"
    HANG = "hang"


def websocket_protocol(
    admit: Callable[[Any], Any], logger: object, max_frame_bytes: int
) -> Callable[[], Any]:
    """What makes picows' protocol of a server's connection (its own factory is not public)."""

    def make() -> Any:
        return compiled.WSProtocol(  # type: ignore[attr-defined]
            None,
            None,
            False,
            admit,
            logger,
            True,
            HANDSHAKE_TIMEOUT_S,
            False,
            20,
            20,
            compiled.WSAutoPingStrategy.PING_WHEN_IDLE,
            True,
            max_frame_bytes,
            None,
            2048,
        )

    return make


class FrontServer(Protocol):
    """The server that connections arrive at, as far as their fronts use it.

    :ivar fronts: the connections that are no WebSockets (yet).
    :ivar opening: how many of them wait until they are let in.
    :ivar max_body_bytes: bytes that the body of a request may have.
    """

    fronts: set[HttpFront]
    opening: int
    max_body_bytes: int

    def serve(self, request: HttpRequest, reply: Reply, front: HttpFront) -> None:
        """Answer a request that asks for no WebSocket."""

    def judge_opening(self, request: HttpRequest) -> HttpResponse | Refusal | float | None:
        """Decide over a request for a session: see :class:`WebSocketServer`."""

    def front_ended(self, front: HttpFront) -> None:
        """A connection that became no WebSocket has ended."""


class HttpFront(asyncio.Protocol):
    """One connection, until it becomes a WebSocket or ends."""

    def __init__(self, server: FrontServer, make_websocket: Callable[[], Any]) -> None:
        self._server = server
        self._make_websocket = make_websocket
        self._transport: Any = None
        self._buffer = bytearray()
        self._answering = False
        self._keep_alive = True
        self._with_body = True
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self.aborted: Callable[[], object] | None = None
        """Called when the client goes before the answer to its request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._server.fronts.add(self)
        self._expect(HANDSHAKE_TIMEOUT_S)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.front_ended(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._waiting is not None:
            self._waiting.cancel()
            self._server.opening -= 1
        if self.aborted is not None:
            aborted, self.aborted = self.aborted, None
            aborted()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._answering:
            self._next_request()

    def close(self) -> None:
        """End the connection once what was written to it is out."""
        self._transport.close()

    def abort(self) -> None:
        """End the connection now."""
        self._transport.abort()

    # -- requests --------------------------------------------------------------------------------

    def _expect(self, within_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(within_s, self._transport.close)

    def _next_request(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or end > MAX_HEAD_BYTES:
            if len(self._buffer) > MAX_HEAD_BYTES:
                self._reject(431, "the head of the request is too long")
            return
        try:
            method, target, version, headers = parse_head(bytes(self._buffer[:end]))
            request = HttpRequest.at(target, headers, method=method, peer=self._peer())
            if method == "GET" and request.is_upgrade:
                self._answering, self._keep_alive = True, False
                self.judge(request, self._hand_over)
                return
            body = self._body(headers, end + 4)
        except BadRequest as error:
            self._reject(400, str(error))
            return
        if body is None:
            return
        asked_for = headers.get("connection", "").lower()
        self._keep_alive = asked_for == "keep-alive" or (
            version == "HTTP/1.1" and asked_for != "close"
        )
        self._with_body = method != "HEAD"
        self._answering = True
        if self._timer is not None:
            self._timer.cancel()
        self._server.serve(replace(request, body=body), self._reply, self)

    def _peer(self) -> str:
        return str((self._transport.get_extra_info("peername") or ("",))[0])

    def _body(self, headers: CIMultiDict[str], start: int) -> bytes | None:
        """The body, taken from the buffer with the head; None: it has not all come yet."""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks(start)
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise BadRequest(f"malformed Content-Length {length[:20]!r}")
        size = int(length)
        if size > self._server.max_body_bytes:
            self._reject(413, "the body is too long")
            return None
        if len(self._buffer) < start + size:
            if headers.get("expect", "").lower() == "100-continue" and len(self._buffer) == start:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None
        body = bytes(self._buffer[start : start + size])
        del self._buffer[: start + size]
        return body

    def _chunks(self, start: int) -> bytes | None:
        """A body in chunks (RFC 9112 section 7.1), without trailers."""
        body, at = bytearray(), start
        while True:
            line_end = self._buffer.find(b"\r\n", at)
            if line_end < 0:
                if len(self._buffer) - at > MAX_HEAD_BYTES:
                    raise BadRequest("a chunk size without an end")
                return None
            digits = bytes(self._buffer[at:line_end]).partition(b";")[0]
            if _CHUNK_SIZE.fullmatch(digits) is None:  # int() would take -1, +5 and 0x5 as well
                raise BadRequest(f"malformed chunk size {digits[:20]!r}: expected hex digits")
            size = int(digits, 16)
            chunk_end = line_end + 2 + size
            if len(body) + size > self._server.max_body_bytes:
                self._reject(413, "the body is too long")
                return None
            if len(self._buffer) < chunk_end + 2:
                return None
            if self._buffer[chunk_end : chunk_end + 2] != b"\r\n":
                raise BadRequest("a chunk is longer than its size")
            body += self._buffer[line_end + 2 : chunk_end]
            at = chunk_end + 2
            if size == 0:
                del self._buffer[:at]
                return bytes(body)

    # -- answers ---------------------------------------------------------------------------------

    def _reply(self, response: HttpResponse) -> None:
        self.aborted = None
        if self._transport.is_closing():
            return
        self._transport.write(
            response.to_bytes(keep_alive=self._keep_alive, with_body=self._with_body)
        )
        if not self._keep_alive:
            self._transport.close()
            return
        self._expect(KEEP_ALIVE_S)
        if self._buffer:  # not from here: a client may have sent thousands of requests at once
            asyncio.get_running_loop().call_soon(self._resume)
        else:
            self._answering = False

    def _resume(self) -> None:
        """The next of the requests that came before the last one was answered."""
        self._answering = False
        if not self._transport.is_closing():
            self._next_request()

    def _reject(self, status: int, text: str) -> None:
        self._keep_alive = False
        self._with_body = True
        self._answering = True
        self._reply(HttpResponse(status, text, {"Content-Type": "text/plain; charset=utf-8"}))

    # -- openings --------------------------------------------------------------------------------

    def judge(self, request: HttpRequest, let_in: Callable[[], object]) -> None:
        """A session is to be opened: let it in, now or later, or refuse it, as the server says."""
        server = self._server
        verdict = server.judge_opening(request)
        if verdict is None:
            let_in()
        elif isinstance(verdict, HttpResponse):
            self._reply(verdict)
        elif verdict is Refusal.RESET:
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        elif isinstance(verdict, int | float):
            server.opening += 1
            loop = asyncio.get_running_loop()
            self._waiting = loop.call_later(verdict, self._let_in, let_in)

    def _let_in(self, let_in: Callable[[], object]) -> None:
        self._waiting = None
        self._server.opening -= 1
        let_in()

    def _hand_over(self) -> None:
        """picows takes over, and finds everything as if it had been there from the beginning."""
        transport = self._transport
        if transport.is_closing():
            return
        self._server.fronts.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        websocket = self._make_websocket()
        websocket.connection_made(transport)
        transport.set_protocol(websocket)
        data = memoryview(bytes(self._buffer))
        self._buffer.clear()
        while data and not transport.is_closing():
            room = websocket.get_buffer(-1)
            size = min(len(room), len(data))
            room[:size] = data[:size]
            websocket.buffer_updated(size)
            data = data[size:]
