from typing import Any, Literal

from ghostcore.protocol.codec import Codec
from ghostcore.protocol.packet import (
    MAX_ATTACHMENTS,
    RESERVED_EVENTS,
    Event,
    Packet,
    PacketType,
    connect_packet,
    decode_engine,
    encode_event,
    encode_packet,
    open_packet,
)

__all__ = [
    "MAX_ATTACHMENTS",
    "RESERVED_EVENTS",
    "ClientCodec",
    "Decoder",
    "Event",
    "Packet",
    "PacketType",
    "connect_packet",
    "decode_engine",
    "encode_event",
    "encode_packet",
    "open_packet",
]

class Decoder:
    """Socket.IO packets from their text and their binary attachments; strict.

    It works above Engine.IO: what it is fed is the text after the Engine.IO digit ``4`` (for
    ``42["x"]`` it is ``2["x"]``) and binary messages as they come. It serves both ends.

    :ivar error: why the last feed was refused, or None.
    """

    @property
    def error(self) -> str | None:
        """Why the last feed was refused, or None."""
    def feed(
        self,
        kind: Literal["text", "binary"],
        data: str | bytes | bytearray | memoryview,
        arrived_ns: int = 0,
    ) -> Packet | None:
        """Feed the text of one packet, or one attachment.

        :param kind: ``"text"`` or ``"binary"``.
        :param data: str, bytes, bytearray or memoryview.
        :param arrived_ns: its arrival on CLOCK_MONOTONIC in ns.
        :returns: the packet (an :class:`Event` for an event) when it is whole, None while
            attachments are missing.
        :raises ValueError: what the protocol forbids; the decoder is then as new.
        """

class ClientCodec(Codec):
    """The client's end of Engine.IO 4 and Socket.IO 5 over one WebSocket.

    When the server's open packet arrives it asks at once to join the namespace; it answers pings
    and keeps the watchdog at pingInterval + pingTimeout. It delivers every Socket.IO packet as
    :class:`Packet` or :class:`Event`, and the Engine.IO open and close packets as
    :class:`Packet`. One codec serves one connection.

    :param auth: a dict for the server's auth middleware, or None.
    :param namespace: the namespace to join first; :func:`connect_packet` makes the text that
        joins more.
    :raises UsageError: a namespace or auth that cannot be sent.
    :ivar opened_ns: arrival of the open packet, CLOCK_MONOTONIC in ns; 0 before.
    :ivar pings: number of Engine.IO pings answered.
    """

    def __init__(self, auth: dict[str, Any] | None = None, namespace: str = "/") -> None: ...
    @property
    def handshake(self) -> dict[str, Any] | None:
        """sid, pingInterval (ms), pingTimeout (ms) and, unless the server left it out,
        maxPayload (bytes) of the open packet as a new dict; None before it."""
    @property
    def opened_ns(self) -> int:
        """Arrival of the open packet, CLOCK_MONOTONIC in ns; 0 before."""
    @property
    def pings(self) -> int:
        """Number of Engine.IO pings answered."""
