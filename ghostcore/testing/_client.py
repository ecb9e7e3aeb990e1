"""A client of the Socket.IO test server, as its handlers see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ghostcore.protocol.socketio_codec import encode_event
from ghostcore.testing._roles import ACK, DISCONNECT, ClientConnection, new_sid

__all__ = ["SocketIOClient"]


class SocketIOClient:
    """One client in one namespace, as handlers see it.

    :ivar sid: its Socket.IO id (not that of the Engine.IO session).
    :ivar namespace: the namespace that it connected to.
    :ivar auth: what it sent in its connect packet, or None.
    :ivar connected: False once it has left.
    :ivar data: free for the handlers to use.
    """

    __slots__ = (
        "_ack_id",
        "_acks",
        "_connection",
        "_next_ack_id",
        "auth",
        "connected",
        "data",
        "namespace",
        "sid",
    )

    def __init__(self, connection: ClientConnection, namespace: str, auth: object) -> None:
        self.sid = new_sid()
        self.namespace = namespace
        self.auth = auth
        self.connected = False
        self.data: Any = None
        self._connection = connection
        self._ack_id = -1
        self._acks: dict[int, Callable[..., object]] | None = None
        self._next_ack_id = 0

    def emit(self, name: str, *args: object, ack: Callable[..., object] | None = None) -> None:
        """Send an event; nothing is sent to a client that has left.

        :param args: JSON values, with bytes anywhere in them.
        :param ack: called with the values of the client's acknowledgement when it comes.
        """
        if not self.connected:
            return
        ack_id: int | None = None
        if ack is not None:
            ack_id = self._next_ack_id
            self._next_ack_id += 1
            if self._acks is None:
                self._acks = {}
            self._acks[ack_id] = ack
        self._connection.send_frames(encode_event(name, args, self.namespace, ack_id))

    def send_encoded(self, packet: str) -> None:
        """Send a packet that is encoded already, e.g. ``42["news",1]``: made once, sent to many.

        Nothing is sent to a client that has left.
        """
        if self.connected:
            self._connection.send_text(packet)

    @property
    def ack_id(self) -> int | None:
        """The id that an acknowledgement of the event being handled must bear; None if none is
        asked for or it has been sent. A handler that answers after its return keeps it."""
        return self._ack_id if self._ack_id >= 0 else None

    def ack(self, *values: object) -> None:
        """Acknowledge the event that is being handled, before its handler returns.

        Nothing is sent if the client asked for no acknowledgement, or has had it.
        """
        ack_id, self._ack_id = self._ack_id, -1
        if ack_id >= 0 and self.connected:
            self._connection.send_packet(ACK, self.namespace, list(values), ack_id)

    def disconnect(self, *, close: bool = False) -> None:
        """Make the client leave its namespace.

        :param close: also close the connection (the client sees 1005).
        """
        if self.connected:
            self._connection.send_packet(DISCONNECT, self.namespace)
            self._connection.leave(self.namespace, "server namespace disconnect")
        if close:
            self._connection.close()

    def abort(self) -> None:
        """End its connection without a close frame (the client sees 1006)."""
        self._connection.abort()

    def answered(self, ack_id: int, values: list[Any]) -> None:
        """The client's acknowledgement has come; unknown ids are ignored."""
        callback = self._acks.pop(ack_id, None) if self._acks else None
        if callback is not None:
            try:
                callback(*values)
            except Exception:
                self._connection.failed(f"acknowledgement {ack_id}")
