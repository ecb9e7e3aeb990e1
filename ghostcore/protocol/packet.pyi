from enum import IntEnum
from typing import Any, Final

__all__ = [
    "MAX_ATTACHMENTS",
    "RESERVED_EVENTS",
    "Event",
    "Packet",
    "PacketType",
    "connect_packet",
    "decode_engine",
    "encode_event",
    "encode_packet",
    "open_packet",
]

MAX_ATTACHMENTS: Final[int]
RESERVED_EVENTS: Final[frozenset[str]]

class PacketType(IntEnum):
    """Types of packets: the digits of Socket.IO 5 on the wire (there, 5 and 6 are 2 and 3 with
    attachments), and 10 + the digit of the Engine.IO packets that a session hands on."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    ENGINE_OPEN = 10
    ENGINE_CLOSE = 11

class Packet:
    """A packet that arrived. Made by the codec only.

    :ivar type: a :class:`PacketType`, as a plain int.
    :ivar namespace: ``"/"`` or another; always ``"/"`` for an Engine.IO packet.
    :ivar ack_id: the acknowledgement id, -1 for none.
    :ivar data: EVENT and ACK: a list (of an event: its name, then its arguments). CONNECT and
        ENGINE_OPEN: a dict or None. CONNECT_ERROR: a dict, a str or None. Otherwise None.
    :ivar arrived_ns: CLOCK_MONOTONIC in ns when the packet was whole, its attachments included.
    """

    def __init__(self) -> None: ...
    @property
    def type(self) -> int:
        """A :class:`PacketType`, as a plain int."""
    @property
    def namespace(self) -> str:
        """``"/"`` or another; always ``"/"`` for an Engine.IO packet."""
    @property
    def ack_id(self) -> int:
        """The acknowledgement id, -1 for none."""
    @property
    def data(self) -> Any:
        """EVENT and ACK: a list (of an event: its name, then its arguments). CONNECT and
        ENGINE_OPEN: a dict or None. CONNECT_ERROR: a dict, a str or None. Otherwise None."""
    @property
    def arrived_ns(self) -> int:
        """CLOCK_MONOTONIC in ns when the packet was whole, its attachments included."""

class Event(Packet):
    """An event that the peer emitted.

    :ivar elapsed_ms: time in ms since the request or wait that it answers; NaN for none.
    """

    elapsed_ms: float
    @property
    def name(self) -> str:
        """The event's name; a number, which Socket.IO allows too, as JavaScript writes it."""
    @property
    def args(self) -> tuple[Any, ...]:
        """The arguments, a tuple; binary attachments are bytes."""

def encode_event(
    name: str | int,
    args: list[Any] | tuple[Any, ...] = (),
    namespace: str = "/",
    ack_id: int | None = None,
) -> list[str | bytes]:
    """An event as WebSocket messages.

    :param name: the event's name; Socket.IO allows an int too.
    :param args: a list or tuple of arguments: what JSON can carry, and bytes, bytearray or
        memoryview at any depth, which travel as binary attachments.
    :param namespace: ``"/"`` or another that begins with a slash.
    :param ack_id: the id under which an acknowledgement is wanted, or None.
    :returns: one text message (str), Engine.IO's ``4`` in front; then the attachments (bytes).
    :raises UsageError: a reserved name, or data that the packet cannot carry.
    """

def encode_packet(
    type: int, namespace: str = "/", data: Any = None, ack_id: int | None = None
) -> list[str | bytes]:
    """Any Socket.IO packet as WebSocket messages.

    :param type: a :class:`PacketType`, CONNECT to CONNECT_ERROR. Binary data makes an event or
        ack a binary one by itself.
    :param namespace: ``"/"`` or another that begins with a slash.
    :param data: EVENT: a list or tuple that begins with the name. ACK: a list or tuple. CONNECT:
        a dict or None. CONNECT_ERROR: a dict or str. DISCONNECT: None.
    :param ack_id: of an EVENT: the id under which an ack is wanted, or None. Of an ACK: the id
        that it answers.
    :returns: one text message (str), Engine.IO's ``4`` in front; then the attachments (bytes).
    :raises UsageError: a type, id or data that the protocol does not know or cannot carry.
    """

def connect_packet(namespace: str = "/", auth: dict[str, Any] | None = None) -> str:
    """The text message that asks to join a namespace.

    :param namespace: ``"/"`` or another that begins with a slash.
    :param auth: a dict for the server's auth middleware, or None.
    :raises UsageError: a namespace or auth that cannot be sent.
    """

def open_packet(
    sid: str,
    ping_interval_ms: int = 25_000,
    ping_timeout_ms: int = 20_000,
    max_payload: int = 1_000_000,
) -> str:
    """The Engine.IO open packet that a WebSocket-only server sends first.

    :param sid: the id of the Engine.IO session.
    :param ping_interval_ms: time between pings in ms, at least 1.
    :param ping_timeout_ms: time in ms within which a pong must come, at least 1.
    :param max_payload: the largest message that the server takes, in bytes, at least 1.
    :raises UsageError: an empty sid, or a number out of range.
    """

def decode_engine(data: str | bytes | bytearray | memoryview) -> tuple[int, str]:
    """Split an Engine.IO packet, as it came in one text message.

    :param data: str, or its UTF-8.
    :returns: the type digit as an int (0 open, 1 close, 2 ping, 3 pong, 4 message, 5 upgrade,
        6 noop) and the payload as a str.
    :raises ValueError: an empty packet, another digit or bytes that are not UTF-8.
    """
