"""One Engine.IO 4 connection of the Socket.IO server: frames in, packets out, heartbeat, limits."""

from __future__ import annotations

import base64
import binascii
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal

from picows import WSFrame, WSMsgType, WSTransport

from ghostcore.protocol.socketio_codec import Decoder, Packet, encode_packet, open_packet
from ghostcore.testing._client import SocketIOClient
from ghostcore.testing._deadlines import DeadlineWheel
from ghostcore.testing._roles import ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, new_sid
from ghostcore.testing._server import Connection, WebSocketServer

__all__ = ["EngineConnection", "EngineHost"]

_TEXT, _BINARY, _CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
_CLOSE, _PING, _PONG = WSMsgType.CLOSE, WSMsgType.PING, WSMsgType.PONG
_NEVER = float("inf")
_CLOSE_WAIT_S = 30.0  # how long ws (npm) waits for the peer's close frame


class EngineHost(WebSocketServer):
    """The server of Engine.IO connections: its limits, its counters, and what they report to it."""

    ping_interval_s: float
    ping_timeout_s: float
    connect_timeout_s: float
    max_payload_bytes: int
    clock: Callable[[], float]
    wheel: DeadlineWheel
    polling: bool
    sessions: dict[str, EngineConnection]
    messages_total: int
    violations_total: int
    pings_total: int
    ping_timeouts_total: int
    connect_timeouts_total: int

    @abstractmethod
    def admit(
        self, connection: EngineConnection, name: str, auth: object
    ) -> tuple[SocketIOClient | None, object]:
        """The client that may enter namespace `name`, or None and the payload of the refusal."""

    @abstractmethod
    def entered(self, client: SocketIOClient) -> None:
        """The client's connect packet has been answered."""

    @abstractmethod
    def left(self, client: SocketIOClient, reason: str) -> None:
        """The client is no longer in its namespace."""

    @abstractmethod
    def dispatch(self, client: SocketIOClient, name: object, args: list[Any], ack_id: int) -> None:
        """The client has sent an event."""


class EngineConnection(Connection):
    """One WebSocket with Engine.IO 4 on it, and on that one Socket.IO client per namespace.

    :ivar sid: id of the Engine.IO session.
    :ivar clients: the Socket.IO clients of this connection by namespace.
    """

    __slots__ = (
        "_asked_s",
        "_awaits_pong",
        "_connect_due_s",
        "_decoder",
        "_fragment_kind",
        "_fragments",
        "_heartbeat_due_s",
        "clients",
        "sid",
    )

    server: EngineHost

    def __init__(self, server: EngineHost) -> None:
        super().__init__(server)
        self.sid = new_sid()
        self.clients: dict[str, SocketIOClient] = {}
        self._decoder = Decoder()
        self._fragments: bytearray | None = None
        self._fragment_kind = _TEXT
        self._awaits_pong = False
        self._connect_due_s = self._heartbeat_due_s = _NEVER
        self._asked_s = _NEVER

    # -- life ------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        super().on_ws_connected(transport)
        self._opened()

    def _opened(self, upgrades: str = "[]") -> None:
        """The session begins: its open packet goes out, its deadlines run."""
        server = self.server
        if server.polling:
            server.sessions[self.sid] = self
        now_s = server.clock()
        self._connect_due_s = now_s + server.connect_timeout_s
        self._heartbeat_due_s = now_s + server.ping_interval_s
        packet = open_packet(
            self.sid,
            round(server.ping_interval_s * 1000),
            round(server.ping_timeout_s * 1000),
            server.max_payload_bytes,
        )
        assert self.transport is not None
        self.transport.send(_TEXT, packet.replace("[]", upgrades))
        self._schedule()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.server.sessions.pop(self.sid, None)
        try:
            self._leave_all("transport close")
        finally:
            super().on_ws_disconnected(transport)

    def close(self, code: int | None = None, reason: str = "") -> None:
        """As the server does: the clients have left at once, whatever the peer answers."""
        if self.transport is None or self.closing:
            return
        super().close(code, reason)
        self._connect_due_s = _NEVER
        self._heartbeat_due_s = self.server.clock() + _CLOSE_WAIT_S
        self._schedule()
        self._leave_all("forced close")

    def _leave_all(self, reason: str) -> None:
        while self.clients:
            _, client = self.clients.popitem()
            self.server.left(client, reason)

    def leave(self, namespace: str, reason: str) -> None:
        """Take the client of `namespace` out of it, and tell the server the reason."""
        client = self.clients.pop(namespace, None)
        if client is not None:
            self.server.left(client, reason)

    def failed(self, where: str) -> None:
        """Count and log the exception being handled now: a handler's fault."""
        self.server.failed(where)

    def _schedule(self) -> None:
        """Enter the wheel (again): needed only where the next deadline has moved nearer."""
        self._asked_s = min(self._connect_due_s, self._heartbeat_due_s)
        self.server.wheel.schedule(self, self._asked_s)

    def expire(self, now_s: float) -> float | None:
        """The wheel's turn: ping, or give the peer up (Engine.IO 4, "Heartbeat")."""
        if self.transport is None or now_s < self._asked_s:
            return None  # gone, or asked by an entry that a nearer one has replaced
        if now_s >= self._connect_due_s:
            self.server.connect_timeouts_total += 1
            self.close()
        elif now_s >= self._heartbeat_due_s:
            if self.closing:
                self.abort()
                return None
            if self._awaits_pong:
                self.server.ping_timeouts_total += 1
                self.close()
            else:
                self._awaits_pong = True
                self._heartbeat_due_s = now_s + self.server.ping_timeout_s
                self.server.pings_total += 1
                self.transport.send(_TEXT, b"2")
        self._asked_s = min(self._connect_due_s, self._heartbeat_due_s)
        return self._asked_s

    # -- frames in -------------------------------------------------------------------------------

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is _CLOSE:
            self._leave_all("transport close")
            self.answer_close(frame.get_payload_as_bytes())
        elif self.closing or kind is _PONG:
            pass
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.close(1002, "reserved bits set")
        elif frame.fin and self._fragments is None and kind is not _CONTINUATION:
            self._message(kind, frame.get_payload_as_bytes())
        else:
            self._fragment(kind, frame)

    def _fragment(self, kind: WSMsgType, frame: WSFrame) -> None:
        if (kind is _CONTINUATION) is (self._fragments is None):
            self.close(1002, "fragments out of order")
            return
        if self._fragments is None:
            self._fragments, self._fragment_kind = bytearray(), kind
        self._fragments += frame.get_payload_as_bytes()
        if len(self._fragments) > self.server.max_payload_bytes:
            self.close(1009)
        elif frame.fin:
            data, self._fragments = bytes(self._fragments), None
            self._message(self._fragment_kind, data)

    def _message(self, kind: WSMsgType, data: bytes) -> None:
        server = self.server
        server.messages_total += 1
        if data == b"3" and kind is _TEXT:
            self._pong()
        elif len(data) > server.max_payload_bytes:
            self.close(1009)
        elif kind is _BINARY:
            self._socketio("binary", data)
        elif not data.isascii() and not _is_utf8(data):
            self.close(1007)
        else:
            self._engineio(data)

    def _engineio(self, data: bytes) -> None:
        kind = data[:1]
        if kind == b"4":
            self._socketio("text", data[1:])
        elif kind == b"3":
            self._pong()
        elif kind == b"b":  # binary in text: allowed by Engine.IO where binary frames are not
            try:
                self._socketio("binary", base64.b64decode(data[1:]))
            except binascii.Error:
                self.violation()
        elif kind not in (b"0", b"1", b"5", b"6"):  # those mean nothing here, and are ignored
            self.violation()

    def _pong(self) -> None:
        self._awaits_pong = False
        self._heartbeat_due_s = self.server.clock() + self.server.ping_interval_s
        if self._heartbeat_due_s < self._asked_s:  # the interval is shorter than the time-out
            self._schedule()

    def _socketio(self, kind: Literal["text", "binary"], data: bytes) -> None:
        try:
            packet = self._decoder.feed(kind, data)
        except ValueError:
            self.violation()
            return
        if packet is not None:
            self._packet(packet)

    def _packet(self, packet: Packet) -> None:
        client = self.clients.get(packet.namespace)
        kind = packet.type
        if client is None:
            if kind == CONNECT:
                self._connect(packet.namespace, packet.data)
            else:
                self.violation()
        elif kind == EVENT:
            self.server.dispatch(client, packet.data[0], packet.data[1:], packet.ack_id)
        elif kind == ACK:
            client.answered(packet.ack_id, packet.data)
        elif kind == DISCONNECT:
            del self.clients[packet.namespace]
            self.server.left(client, "client namespace disconnect")
        else:  # a second connect, or what only servers send
            self.violation()

    def _connect(self, namespace: str, auth: object) -> None:
        client, refusal = self.server.admit(self, namespace, auth)
        if client is None:
            self.send_packet(CONNECT_ERROR, namespace, refusal)
            return
        self._connect_due_s = _NEVER
        self.clients[namespace] = client
        self.send_packet(CONNECT, namespace, {"sid": client.sid})
        self.server.entered(client)

    def violation(self) -> None:
        """The peer broke Engine.IO or Socket.IO: the connection ends without a word (1005)."""
        self.server.violations_total += 1
        self.close()

    # -- frames out ------------------------------------------------------------------------------

    def send_packet(
        self, kind: int, namespace: str = "/", data: object = None, ack_id: int | None = None
    ) -> None:
        """Send one Socket.IO packet with its attachments; nothing once the connection has ended."""
        self.send_frames(encode_packet(kind, namespace, data, ack_id))

    def send_text(self, frame: str) -> None:
        """Send one text frame as it is."""
        if self.transport is not None and not self.closing:
            self.transport.send(_TEXT, frame)

    def send_frames(self, frames: list[str | bytes]) -> None:
        """Send frames as they were encoded: text as text, bytes as binary."""
        transport = self.transport
        if transport is None or self.closing:
            return
        for frame in frames:
            transport.send(_TEXT if isinstance(frame, str) else _BINARY, frame)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
