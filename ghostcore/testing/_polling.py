"""HTTP long-polling (Engine.IO 4) and the upgrade from it to a WebSocket."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, cast

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from ghostcore.testing._engineio import EngineConnection, EngineHost
from ghostcore.testing._front import HttpFront, Reply
from ghostcore.testing._http import HttpRequest, HttpResponse

__all__ = ["PollingSession", "Probe", "engineio_problem", "poll"]

_TEXT, _BINARY, _CLOSE = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CLOSE
_BETWEEN_PACKETS = "\x1e"
_NOOP = "6"
_PROBLEMS = {
    0: "Transport unknown",
    1: "Session ID unknown",
    2: "Bad handshake method",
    3: "Bad request",
    5: "Unsupported protocol version",
}
UPGRADE_TIMEOUT_S = 10.0
_PLAIN = {"Content-Type": "text/plain; charset=UTF-8", "Cache-Control": "no-store"}


def engineio_problem(request: HttpRequest, server: EngineHost) -> dict[str, object] | None:
    """Why engine.io refuses this request: its codes and texts, in its order; None: it does not."""
    code = _problem_code(request, server)
    return None if code is None else {"code": code, "message": _PROBLEMS[code]}


def _problem_code(request: HttpRequest, server: EngineHost) -> int | None:
    query = request.query
    transport = query.get("transport")
    code: int | None = None
    if transport not in (("polling", "websocket") if server.polling else ("websocket",)):
        code = 0
    elif "sid" in query:
        session = server.sessions.get(query["sid"])
        way = None if session is None else session.transport
        if session is None:
            code = 1
        elif not isinstance(way, PollingTransport) or (
            (transport == "polling") is request.is_upgrade
        ):
            code = 3
    elif request.method != "GET":
        code = 2
    elif (transport == "websocket") is not request.is_upgrade:
        code = 3
    elif query.get("EIO") != "4":
        code = 5
    return code


def poll(server: EngineHost, request: HttpRequest, reply: Reply, front: HttpFront) -> None:
    """Serve a request of the polling transport that has no problem."""
    sid = request.query.get("sid")
    if sid is None:
        PollingSession(server).begin(reply)
        return
    session = server.sessions[sid]
    assert isinstance(session, PollingSession)
    if request.method == "POST":
        session.receive(request.body, reply)
    elif request.method in ("GET", "HEAD"):
        session.wait(reply, front)
    else:
        reply(HttpResponse(500, "", _PLAIN))


class PollingTransport:
    """Stands in for a WebSocket: keeps what is sent until it is polled for."""

    def __init__(self, session: PollingSession) -> None:
        self._session = session
        self._packets: list[str] = []
        self._reply: Reply | None = None
        self._ending = False
        self.probe: Probe | None = None  # the WebSocket that the client upgrades to

    @property
    def is_polled(self) -> bool:
        """Does a poll wait for something?"""
        return self._reply is not None

    def send(self, kind: WSMsgType, data: str | bytes) -> None:
        """As a WebSocket's: text, binary, or a close frame."""
        if kind is _CLOSE:
            self._packets.append("1")
            self._ending = True
            if self._reply is None and not self._session.server.is_listening:
                self.disconnect()  # the server does not listen any more, so no poll can fetch it
                return
        elif kind is _BINARY:
            self._packets.append("b" + base64.b64encode(_bytes(data)).decode())
        else:
            self._packets.append(data if isinstance(data, str) else data.decode())
        self._flush()

    def polled(self, reply: Reply) -> None:
        """A poll has come."""
        self._reply = reply
        if self.probe is not None and self.probe.probed and not self._packets:
            self._packets.append(_NOOP)
        self._flush()

    def gone(self) -> None:
        """The waiting poll's connection has ended: there is no poll to answer."""
        self._reply = None

    def release(self) -> None:
        """Let the poll that waits end with nothing."""
        if self._reply is not None:
            self._packets.append(_NOOP)
            self._flush()

    def take(self) -> list[str]:
        """Take out the packets that no poll has fetched yet."""
        packets, self._packets = self._packets, []
        return packets

    def disconnect(self, graceful: bool = True) -> None:
        """The session has ended, and the way to another transport with it."""
        if self.probe is not None:
            self.probe.close(graceful)
        reply, self._reply = self._reply, None
        if reply is not None:
            reply(HttpResponse(400, {"code": 1, "message": "Session ID unknown"}))
        asyncio.get_running_loop().call_soon(self._session.ended, self)

    def _flush(self) -> None:
        if self._reply is None or not self._packets:
            return
        reply, self._reply = self._reply, None
        reply(HttpResponse(200, _BETWEEN_PACKETS.join(self.take()), _PLAIN))
        if self._ending:
            self.disconnect()


class PollingSession(EngineConnection):
    """An Engine.IO session that begins with polling."""

    __slots__ = ()

    def begin(self, reply: Reply) -> None:
        """The handshake: a GET without a session id."""
        transport = PollingTransport(self)
        transport.polled(reply)
        self.transport = cast(WSTransport, transport)  # the part of one that sessions use
        self.server.connections.add(self)
        self.server.connections_total += 1
        self._opened('["websocket"]')

    def wait(self, reply: Reply, front: HttpFront) -> None:
        """Serve a poll: it is answered as soon as there is a packet to send."""
        transport = self.transport
        assert isinstance(transport, PollingTransport)
        if transport.is_polled:  # two at a time: the server gives such a client up
            reply(HttpResponse(400, "", _PLAIN))
            transport.disconnect()
            return
        front.aborted = self._poll_aborted
        transport.polled(reply)

    def receive(self, body: bytes, reply: Reply) -> None:
        """Take in the packets that the client sends in one request."""
        for packet in body.split(_BETWEEN_PACKETS.encode()):
            if packet == b"1":
                self._leave_all("transport close")
                assert isinstance(self.transport, PollingTransport)
                self.transport.disconnect()
                break
            if self.closing:  # it broke the protocol: what follows is not looked at
                break
            self._message(_TEXT, packet)
        reply(HttpResponse(200, "ok", {"Content-Type": "text/html"}))

    def become(self, websocket: WSTransport) -> None:
        """The client has upgraded: from now all goes over its WebSocket."""
        transport = self.transport
        assert isinstance(transport, PollingTransport)
        transport.release()
        self.transport = websocket
        for packet in transport.take():
            if packet.startswith("b"):
                websocket.send(_BINARY, base64.b64decode(packet[1:]))
            else:
                websocket.send(_TEXT, packet)

    def ended(self, transport: PollingTransport) -> None:
        """The polling transport has ended, and the session with it unless it has another."""
        if cast(object, self.transport) is transport:
            self.on_ws_disconnected(cast(WSTransport, transport))

    def _poll_aborted(self) -> None:
        transport = self.transport
        if isinstance(transport, PollingTransport):
            transport.gone()
            transport.disconnect()


class Probe(WSListener):
    """A WebSocket that a polling client upgrades to; once it has, it is the session's.

    A session has one at a time, and for 10 s (engine.io's upgradeTimeout).

    :ivar probed: the client has asked whether it works: polls are released.
    """

    __slots__ = ("_session", "_transport", "_upgraded", "probed")

    def __init__(self, session: EngineConnection) -> None:
        self._session: Any = session
        self._transport: WSTransport | None = None
        self._upgraded = False
        self.probed = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.request.headers.clear()
        transport.response.headers.clear()
        self._transport = transport
        polling, server = self._session.transport, self._session.server
        if not isinstance(polling, PollingTransport) or polling.probe is not None:
            self.close()
            return
        polling.probe = self
        server.wheel.schedule(self, server.clock() + UPGRADE_TIMEOUT_S)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self._upgraded:
            self._session.on_ws_frame(transport, frame)
            return
        data, polling = frame.get_payload_as_bytes(), self._session.transport
        if not isinstance(polling, PollingTransport) or polling.probe is not self:
            transport.disconnect()
        elif data == b"2probe":
            transport.send(_TEXT, b"3probe")
            self.probed = True
            polling.release()
        elif data == b"5" and not self._session.closing:
            self._upgraded = True
            self._session.become(transport)
        else:
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        polling = self._session.transport
        if self._upgraded:
            self._session.on_ws_disconnected(transport)
        elif isinstance(polling, PollingTransport) and polling.probe is self:
            polling.probe = None

    def expire(self, _now_s: float) -> None:
        """It has taken too long."""
        if not self._upgraded:
            self.close()

    def close(self, graceful: bool = True) -> None:
        """End it, with a close frame (1005) or without a word."""
        if self._transport is not None:
            if graceful:
                self._transport.send(_CLOSE, b"")
            self._transport.disconnect(graceful)


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data
