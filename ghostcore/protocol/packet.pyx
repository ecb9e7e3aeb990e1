"""Packets of Engine.IO 4 and Socket.IO 5: what they are in memory, and their way onto the wire.

The protocols are those of https://socket.io/docs/v4/engine-io-protocol/ and
https://socket.io/docs/v4/socket-io-protocol/. Over WebSocket a text message is one Engine.IO
packet: a digit and its payload. The payload of a 4 (message) is a Socket.IO packet, whose binary
attachments follow as WebSocket binary messages without any prefix.
"""

import json
from json.encoder import c_make_encoder, encode_basestring

cimport cython
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.math cimport NAN

from ghostcore.protocol.codec cimport payload_of

from ghostcore.errors import UsageError

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

# Names that Socket.IO keeps for itself:
# https://socket.io/docs/v4/emit-cheatsheet/#reserved-events
RESERVED_EVENTS = frozenset((
    "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener",
))
# A packet waits in memory for its attachments, so a peer must not announce any number of them.
# Recent Socket.IO servers themselves take 10 a packet unless they are told otherwise.
MAX_ATTACHMENTS = ATTACHMENTS_LIMIT

cdef dict TYPE_NAMES = {
    CONNECT: "CONNECT", DISCONNECT: "DISCONNECT", EVENT: "EVENT", ACK: "ACK",
    CONNECT_ERROR: "CONNECT_ERROR", ENGINE_OPEN: "ENGINE_OPEN", ENGINE_CLOSE: "ENGINE_CLOSE",
}


cdef str type_name(int packet_type):
    return TYPE_NAMES.get(packet_type) or f"type {packet_type}"


@cython.freelist(128)
@cython.auto_pickle(False)
cdef class Packet:
    """A packet that arrived. Made by the codec only.

    :ivar type: a :class:`PacketType`, as a plain int.
    :ivar namespace: ``"/"`` or another; always ``"/"`` for an Engine.IO packet.
    :ivar ack_id: the acknowledgement id, -1 for none.
    :ivar data: EVENT and ACK: a list (of an event: its name, then its arguments). CONNECT and
        ENGINE_OPEN: a dict or None. CONNECT_ERROR: a dict, a str or None. Otherwise None.
    :ivar arrived_ns: CLOCK_MONOTONIC in ns when the packet was whole, its attachments included.
    """

    def __init__(self):
        raise TypeError(f"a {type(self).__name__} is made by the codec, from what a peer sent")

    def __repr__(self):
        parts = [type_name(self.type)]
        if self.namespace != "/":
            parts.append(self.namespace)
        if self.ack_id >= 0:
            parts.append(f"ack_id={self.ack_id}")
        if self.data is not None:
            parts.append(shorten(repr(self.data)))
        return f"<Packet {' '.join(parts)}>"


@cython.auto_pickle(False)
cdef class Event(Packet):
    """An event that the peer emitted.

    :ivar elapsed_ms: time in ms since the request or wait that it answers; NaN for none.
    """

    @property
    def name(self):
        """The event's name; a number, which Socket.IO allows too, as JavaScript writes it."""
        name = (<list>self.data)[0]
        if isinstance(name, str):
            return name
        if isinstance(name, float) and name.is_integer():
            return str(int(name))
        return str(name)

    @property
    def args(self):
        """The arguments, a tuple; binary attachments are bytes."""
        return tuple((<list>self.data)[1:])

    def __repr__(self):
        parts = [repr(self.name), shorten(repr(self.args))]
        if self.namespace != "/":
            parts.append(self.namespace)
        if self.ack_id >= 0:
            parts.append(f"ack_id={self.ack_id}")
        if self.elapsed_ms == self.elapsed_ms:
            parts.append(f"{self.elapsed_ms:.3f} ms")
        return f"<Event {' '.join(parts)}>"


cdef str shorten(str text):
    return text if len(text) <= 80 else text[:77] + "..."


cdef Packet new_packet(int packet_type, str namespace, int64_t ack_id, object data,
                       int64_t arrived_ns):
    cdef Packet packet
    cdef Event event
    if packet_type == EVENT:
        event = Event.__new__(Event)
        event.elapsed_ms = NAN
        packet = event
    else:
        packet = Packet.__new__(Packet)
    packet.type = packet_type
    packet.namespace = namespace
    packet.ack_id = ack_id
    packet.data = data
    packet.arrived_ns = arrived_ns
    return packet


# -------------------------------------------------------------------------------------------- JSON


def refuse_constant(name):
    raise ValueError(f"{name} is no JSON")


cdef object SCAN = json.JSONDecoder(parse_constant=refuse_constant).scan_once


cdef object parse_json(const char *data, Py_ssize_t size):
    """Strict JSON, the whole of it; ValueError says what is wrong."""
    cdef str text
    while size and data[size - 1] in b" \t\r\n":
        size -= 1
    while size and data[0] in b" \t\r\n":
        data += 1
        size -= 1
    text = PyUnicode_DecodeUTF8(data, size, NULL)
    try:
        value, end = SCAN(text, 0)
    except StopIteration as stop:
        raise ValueError(f"invalid JSON: a value expected at character {stop.value}") from None
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"invalid JSON: {error}") from None
    if end != len(text):
        raise ValueError(f"invalid JSON: more text after the value, at character {end}")
    return value


class _HasBinary(Exception):
    """The data holds bytes, so it needs the slower way that takes them out."""


def signal_binary(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise _HasBinary
    raise unserializable(value)


cdef object unserializable(object value):
    return UsageError(
        f"a value of type {type(value).__name__} cannot be sent: use dict, list, tuple, str, int, "
        "float, bool, None, or bytes, bytearray, memoryview for a binary attachment")


@cython.auto_pickle(False)
cdef class BinaryCollector:
    """Puts placeholders where the binary data was; their numbers follow the order of the text."""

    cdef list attachments

    def __cinit__(self):
        self.attachments = []

    def __call__(self, value):
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise unserializable(value)
        self.attachments.append(bytes(value))
        return {"_placeholder": True, "num": len(self.attachments) - 1}


cdef object new_encoder(object default):
    # No markers: they would cost a dict entry a container, and a cycle ends as RecursionError.
    return c_make_encoder(None, default, encode_basestring, None, ":", ",", False, False, False)


cdef object ENCODE = new_encoder(signal_binary)


cdef str dump_json(object value, object encoder):
    try:
        chunks = encoder(value, 0)
    except RecursionError:
        raise UsageError("data nested too deeply, or a container that contains itself") from None
    except UsageError:
        raise
    except (TypeError, ValueError) as error:
        raise UsageError(f"data that JSON cannot carry: {error}") from None
    return "".join(chunks)


cdef str checked_text(str text):
    """The text itself; UsageError unless UTF-8 can carry it."""
    cdef Py_ssize_t size
    try:
        PyUnicode_AsUTF8AndSize(text, &size)    # kept inside the str, for the send that follows
    except UnicodeEncodeError as error:
        raise UsageError(f"text that UTF-8 cannot carry: {error}") from None
    return text


# ---------------------------------------------------------------------------------------- encoder


cdef bint sound_namespace(str namespace) except -1:
    """Whether a namespace can stand in a packet and be found there again."""
    if not namespace.startswith("/"):
        return False
    for character in namespace:
        if character < " " or character == "," or character == '"' or character == "\x7f":
            return False
    return True


cdef str prefix_of(str namespace, object ack_id):
    """What stands between the packet type and the payload."""
    cdef str prefix = ""
    if namespace != "/":
        if namespace is None or not sound_namespace(namespace):
            raise UsageError(
                f"namespace {namespace!r}: it must begin with '/' and hold no comma, double quote "
                "or control character")
        prefix = namespace + ","
    if ack_id is not None:
        if type(ack_id) is not int or not 0 <= ack_id <= MAX_ACK_ID:
            raise UsageError(f"ack_id is {ack_id!r}; it must be an int from 0 to 2**53 - 1")
        prefix += str(ack_id)
    return prefix


cdef int check_event_name(object name) except -1:
    if type(name) is int:
        return 0
    if not isinstance(name, str):
        raise UsageError(f"an event's name is a str, not {type(name).__name__}")
    if name in RESERVED_EVENTS:
        raise UsageError(f"{name!r} is reserved by Socket.IO: choose another event name")
    return 0


cdef list encode_list(int packet_type, str prefix, object items):
    """An event or an ack: the only packets that may carry binary data."""
    cdef BinaryCollector collector
    cdef list attachments
    cdef str text
    try:
        text = dump_json(items, ENCODE)
        return [checked_text(f"4{packet_type}{prefix}{text}")]
    except _HasBinary:
        collector = BinaryCollector()
    text = dump_json(items, new_encoder(collector))
    attachments = collector.attachments
    if len(attachments) > ATTACHMENTS_LIMIT:
        raise UsageError(
            f"{len(attachments)} binary attachments in one packet; the most is {ATTACHMENTS_LIMIT}")
    text = f"4{packet_type + WIRE_BINARY_EVENT - EVENT}{len(attachments)}-{prefix}{text}"
    attachments.insert(0, checked_text(text))
    return attachments


def encode_event(name, args=(), str namespace="/", ack_id=None):
    """An event as WebSocket messages.

    :param name: the event's name; Socket.IO allows an int too.
    :param args: a list or tuple of arguments: what JSON can carry, and bytes, bytearray or
        memoryview at any depth, which travel as binary attachments.
    :param namespace: ``"/"`` or another that begins with a slash.
    :param ack_id: the id under which an acknowledgement is wanted, or None.
    :returns: one text message (str), Engine.IO's ``4`` in front; then the attachments (bytes).
    :raises UsageError: a reserved name, or data that the packet cannot carry.
    """
    check_event_name(name)
    if not isinstance(args, (list, tuple)):
        raise UsageError(
            f"args is a list or tuple of the event's arguments, not {type(args).__name__}")
    return encode_list(EVENT, prefix_of(namespace, ack_id), [name, *args])


def encode_packet(int type, str namespace="/", data=None, ack_id=None):
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
    if type == EVENT or type == ACK:
        if not isinstance(data, (list, tuple)):
            raise UsageError(f"the data of an {type_name(type)} packet is a list or tuple, "
                             f"not {data.__class__.__name__}")
        if type == ACK and ack_id is None:
            raise UsageError("an ACK packet needs the ack_id that it answers")
        if type == EVENT:
            if not data:
                raise UsageError("the data of an EVENT packet begins with the event's name")
            check_event_name(data[0])
        return encode_list(type, prefix_of(namespace, ack_id), data)
    if type not in (CONNECT, DISCONNECT, CONNECT_ERROR):
        raise UsageError(f"packet type {type}: it must be 0 (CONNECT) to 4 (CONNECT_ERROR)")
    if ack_id is not None:
        raise UsageError(f"a {type_name(type)} packet carries no ack_id")
    return [encode_control(type, namespace, data)]


cdef str encode_control(int packet_type, str namespace, object data):
    """CONNECT, DISCONNECT or CONNECT_ERROR as its one text message."""
    cdef str text = f"4{packet_type}{prefix_of(namespace, None)}"
    if packet_type == DISCONNECT and data is not None:
        raise UsageError("a DISCONNECT packet carries no data")
    if packet_type == CONNECT and not (data is None or isinstance(data, dict)):
        raise UsageError(
            f"the data of a CONNECT packet is a dict or None, not {type(data).__name__}")
    if packet_type == CONNECT_ERROR and not isinstance(data, (dict, str)):
        raise UsageError(
            f"the data of a CONNECT_ERROR packet is a dict or str, not {type(data).__name__}")
    if data is not None:
        try:
            text += dump_json(data, ENCODE)
        except _HasBinary:
            raise UsageError(
                f"a {type_name(packet_type)} packet cannot carry binary data") from None
    return checked_text(text)


def connect_packet(str namespace="/", auth=None):
    """The text message that asks to join a namespace.

    :param namespace: ``"/"`` or another that begins with a slash.
    :param auth: a dict for the server's auth middleware, or None.
    :raises UsageError: a namespace or auth that cannot be sent.
    """
    return encode_control(CONNECT, namespace, auth)


def open_packet(str sid not None, int64_t ping_interval_ms=25000, int64_t ping_timeout_ms=20000,
                int64_t max_payload=1000000):
    """The Engine.IO open packet that a WebSocket-only server sends first.

    :param sid: the id of the Engine.IO session.
    :param ping_interval_ms: time between pings in ms, at least 1.
    :param ping_timeout_ms: time in ms within which a pong must come, at least 1.
    :param max_payload: the largest message that the server takes, in bytes, at least 1.
    :raises UsageError: an empty sid, or a number out of range.
    """
    if not sid or min(ping_interval_ms, ping_timeout_ms, max_payload) < 1:
        raise UsageError("an open packet needs a sid, and times and max_payload of at least 1")
    return checked_text("0" + dump_json({
        "sid": sid, "upgrades": [], "pingInterval": ping_interval_ms,
        "pingTimeout": ping_timeout_ms, "maxPayload": max_payload,
    }, ENCODE))


def decode_engine(data):
    """Split an Engine.IO packet, as it came in one text message.

    :param data: str, or its UTF-8.
    :returns: the type digit as an int (0 open, 1 close, 2 ping, 3 pong, 4 message, 5 upgrade,
        6 noop) and the payload as a str.
    :raises ValueError: an empty packet, another digit or bytes that are not UTF-8.
    """
    cdef str text = data if isinstance(data, str) else payload_of(data).decode()
    if not text:
        raise ValueError("an empty Engine.IO packet")
    if not "0" <= text[0] <= "6":
        raise ValueError(f"unknown Engine.IO packet type {text[0]!r}")
    return ord(text[0]) - 48, text[1:]
