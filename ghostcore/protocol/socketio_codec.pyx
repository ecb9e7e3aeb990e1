"""Engine.IO 4 over WebSocket and Socket.IO 5, sans-IO: the decoder and the client's codec."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcpy

from ghostcore.protocol.codec cimport KIND_BINARY, KIND_TEXT, kind_of, payload_of
from ghostcore.protocol.packet cimport (
    ATTACHMENTS_LIMIT, MAX_ACK_ID, WIRE_BINARY_ACK, WIRE_BINARY_EVENT, new_packet, parse_json,
    type_name,
)

import ghostcore.protocol.packet as _packet
from ghostcore.protocol.packet import (
    MAX_ATTACHMENTS,
    RESERVED_EVENTS,
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

# A cimport names a type for C only; Python finds these here too.
globals().update(Event=Event, Packet=Packet, PacketType=_packet.PacketType)

cdef enum:
    MAX_INTERVAL_MS = 0x7FFFFFFF    # the longest timer that JavaScript has
    NS_PER_MS = 1000000
    PONG_ON_STACK = 128

cdef enum CodecState:
    AWAITING_OPEN = 0
    OPEN = 1
    ENDED = 2       # closed by an Engine.IO close, or broken: the rest is thrown away

cdef bytes DEFAULT_CONNECT = b"40"


# ---------------------------------------------------------------------------------------- decoder


cdef list find_placeholders(list data):
    """Every (container, key, placeholder); no recursion, since the peer chose the depth."""
    cdef list slots = []
    cdef list stack = [data]
    while stack:
        container = stack.pop()
        pairs = container.items() if isinstance(container, dict) else enumerate(container)
        for key, value in pairs:
            if isinstance(value, dict):
                if value.get("_placeholder") is True:
                    slots.append((container, key, value))
                    continue
            elif not isinstance(value, list):
                continue
            stack.append(value)
    return slots


cdef int check_placeholders(list slots, Py_ssize_t count) except -1:
    cdef set used = set()
    for _, _, placeholder in slots:
        number = placeholder.get("num")
        if type(number) is not int or not 0 <= number < count:
            raise ValueError(
                f"placeholder number {number!r}, but the packet has {count} attachment(s)")
        used.add(number)
    if len(used) < count:
        raise ValueError(f"{count} attachment(s), but placeholders for {len(used)} of them")
    return 0


cdef int check_data(int packet_type, object data, bint present) except -1:
    """The payload must be what the type of packet calls for."""
    cdef bint fits
    if packet_type == EVENT or packet_type == ACK:
        if not isinstance(data, list):
            raise ValueError(f"the payload of an {type_name(packet_type)} must be a JSON array")
        return 0 if packet_type == ACK else check_event(<list>data)
    if packet_type == DISCONNECT:
        fits = not present
    elif packet_type == CONNECT:
        fits = not present or isinstance(data, dict)
    else:
        fits = not present or isinstance(data, (dict, str))
    if not fits:
        raise ValueError(f"a payload that a {type_name(packet_type)} packet cannot have")
    return 0


cdef int check_event(list data) except -1:
    if not data:
        raise ValueError("an EVENT without a name")
    name = data[0]
    if isinstance(name, str):
        if name in RESERVED_EVENTS:
            raise ValueError(f"an EVENT with the reserved name {name!r}")
    elif isinstance(name, bool) or not isinstance(name, (int, float)):
        raise ValueError("the name of an EVENT must be a string or a number")
    return 0


cdef Py_ssize_t read_number(const char *data, Py_ssize_t at, Py_ssize_t size,
                            int64_t *number) noexcept:
    """Decimal digits from `at` on; the first position after them. -1 in `number`: too large."""
    cdef int64_t value = 0
    while at < size and 48 <= data[at] <= 57:
        if value >= 0:
            value = value * 10 + (data[at] - 48)
            if value > MAX_ACK_ID:
                value = -1
        at += 1
    number[0] = value
    return at


@cython.auto_pickle(False)
cdef class Decoder:
    """Socket.IO packets from their text and their binary attachments; strict.

    It works above Engine.IO: what it is fed is the text after the Engine.IO digit ``4`` (for
    ``42["x"]`` it is ``2["x"]``) and binary messages as they come. It serves both ends.

    :ivar error: why the last feed was refused, or None.
    """

    def feed(self, str kind not None, data, int64_t arrived_ns=0):
        """Feed the text of one packet, or one attachment.

        :param kind: ``"text"`` or ``"binary"``.
        :param data: str, bytes, bytearray or memoryview.
        :param arrived_ns: its arrival on CLOCK_MONOTONIC in ns.
        :returns: the packet (an :class:`Event` for an event) when it is whole, None while
            attachments are missing.
        :raises ValueError: what the protocol forbids; the decoder is then as new.
        """
        cdef bytes payload = payload_of(data)
        if kind_of(kind) == KIND_TEXT:
            return self.text(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), arrived_ns)
        return self.attachment(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), arrived_ns)

    cdef Packet text(self, const char *data, Py_ssize_t size, int64_t arrived_ns):
        self.error = None
        try:
            return self._parse(data, size, arrived_ns)
        except ValueError as error:
            self._reset(error)
            raise

    cdef Packet attachment(self, const char *data, Py_ssize_t size, int64_t arrived_ns):
        self.error = None
        if self._pending is None:
            self.error = "a binary message, but no packet waits for an attachment"
            raise ValueError(self.error)
        return self._fill(data, size, arrived_ns)

    cdef int _reset(self, object error) except -1:
        self.error = str(error)
        self._pending = None
        self._attachments = None
        self._slots = None
        self._missing = 0
        return 0

    cdef Packet _parse(self, const char *data, Py_ssize_t size, int64_t arrived_ns):
        cdef int wire_type, packet_type
        cdef int64_t count = -1, ack_id = -1
        cdef Py_ssize_t at = 1, start
        cdef str namespace = "/"
        cdef object payload = None
        if self._pending is not None:
            raise ValueError(f"a text packet while {self._missing} attachment(s) are missing")
        if size == 0:
            raise ValueError("an empty Socket.IO packet")
        wire_type = data[0] - 48
        if not 0 <= wire_type <= WIRE_BINARY_ACK:
            raise ValueError(f"unknown Socket.IO packet type {chr(<unsigned char>data[0])!r}")
        packet_type = wire_type
        if wire_type >= WIRE_BINARY_EVENT:
            packet_type = EVENT if wire_type == WIRE_BINARY_EVENT else ACK
            at = read_number(data, 1, size, &count)
            if at == 1 or at == size or data[at] != 45:     # "-"
                raise ValueError("a binary packet without its number of attachments")
            if not 0 <= count <= ATTACHMENTS_LIMIT:
                raise ValueError(f"more than {ATTACHMENTS_LIMIT} attachments")
            if count == 0:
                raise ValueError("a binary packet of no attachments")
            at += 1
        if at < size and data[at] == 47:                    # "/"
            start = at
            while at < size and data[at] != 44:             # ","
                at += 1
            namespace = read_namespace(data + start, at - start)
            at += 1
        start = at
        at = read_number(data, start, size, &ack_id)
        if at == start or start >= size:
            ack_id = -1
        elif ack_id < 0:
            raise ValueError(f"an ack id over {MAX_ACK_ID}")
        elif packet_type != EVENT and packet_type != ACK:
            raise ValueError(f"a {type_name(packet_type)} packet with an ack id")
        if packet_type == ACK and ack_id < 0:
            raise ValueError("an ACK without the id of what it answers")
        if at < size:
            payload = parse_json(data + at, size - at)
        check_data(packet_type, payload, at < size)
        packet = new_packet(packet_type, namespace, ack_id, payload, arrived_ns)
        return packet if count < 0 else self._await(packet, count)

    cdef Packet _await(self, Packet packet, Py_ssize_t count):
        """Keep a packet until its attachments have come."""
        cdef list slots = find_placeholders(<list>packet.data)
        check_placeholders(slots, count)
        self._pending = packet
        self._slots = slots
        self._attachments = []
        self._missing = count
        return None

    cdef Packet _fill(self, const char *data, Py_ssize_t size, int64_t arrived_ns):
        cdef Packet packet = self._pending
        self._attachments.append(PyBytes_FromStringAndSize(data, size))
        self._missing -= 1
        if self._missing:
            return None
        for container, key, placeholder in self._slots:
            container[key] = self._attachments[placeholder["num"]]
        packet.arrived_ns = arrived_ns
        self._pending = None
        self._attachments = None
        self._slots = None
        return packet


cdef str read_namespace(const char *data, Py_ssize_t size):
    cdef Py_ssize_t i
    cdef unsigned char octet
    if size == 1:
        return "/"
    for i in range(size):
        octet = data[i]
        if octet < 32 or octet == 127 or octet == 34:       # '"': the comma is missing
            raise ValueError(
                f"a namespace with a double quote or control character at its position {i}")
    return PyUnicode_DecodeUTF8(data, size, NULL)


# ----------------------------------------------------------------------------------------- client


cdef int64_t positive(dict handshake, str key, int64_t most) except -1:
    value = handshake.get(key)
    if type(value) is not int or not 0 < value <= most:
        raise ValueError(f"{key} is {value!r}; it must be an int from 1 to {most}")
    return value


@cython.auto_pickle(False)
cdef class ClientCodec(Codec):
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

    def __cinit__(self, *args, **kwargs):
        self._decoder = Decoder()

    def __init__(self, auth=None, str namespace not None="/"):
        if auth is None and namespace == "/":
            self._connect = DEFAULT_CONNECT
        else:
            self._connect = connect_packet(namespace, auth).encode()

    @property
    def handshake(self):
        """sid, pingInterval (ms), pingTimeout (ms) and, unless the server left it out,
        maxPayload (bytes) of the open packet as a new dict; None before it."""
        if self._sid is None:
            return None
        handshake = {
            "sid": self._sid,
            "pingInterval": self._ping_interval_ms,
            "pingTimeout": self._ping_timeout_ms,
        }
        if self._max_payload:
            handshake["maxPayload"] = self._max_payload
        return handshake

    cdef int feed(self, Channel channel, int kind, const char *data, Py_ssize_t size,
                  int64_t arrived_ns) except -1:
        if self._state == ENDED:
            return 0
        if kind == KIND_TEXT:
            return self._engine(channel, data, size, arrived_ns)
        if self._state == AWAITING_OPEN:
            return self._fail(channel, "a binary message before the Engine.IO open packet")
        return self._hand_over(channel, KIND_BINARY, data, size, arrived_ns)

    cdef int _engine(self, Channel channel, const char *data, Py_ssize_t size,
                     int64_t arrived_ns) except -1:
        """One Engine.IO packet."""
        cdef int digit
        if size == 0:
            return self._fail(channel, "an empty Engine.IO packet")
        digit = data[0]
        if not 48 <= digit <= 54:
            return self._fail(channel,
                              f"unknown Engine.IO packet type {chr(<unsigned char>digit)!r}")
        digit -= 48
        if digit == 0:
            return self._open(channel, data + 1, size - 1, arrived_ns)
        if self._state == AWAITING_OPEN:
            return self._fail(channel, f"Engine.IO packet {digit} before the open packet")
        if digit == 4:
            return self._hand_over(channel, KIND_TEXT, data + 1, size - 1, arrived_ns)
        if digit == 2:
            return self._pong(channel, data, size)
        if digit == 1:
            self._state = ENDED
            return channel.deliver(new_packet(ENGINE_CLOSE, "/", -1, None, arrived_ns))
        if digit == 6:
            return 0
        return self._fail(channel, "an Engine.IO pong without a ping" if digit == 3 else
                          "an Engine.IO upgrade packet, which only a client may send")

    cdef int _hand_over(self, Channel channel, int kind, const char *data, Py_ssize_t size,
                        int64_t arrived_ns) except -1:
        """To the Socket.IO decoder, and what it makes of it to the session."""
        cdef Packet packet
        try:
            if kind == KIND_TEXT:
                packet = self._decoder.text(data, size, arrived_ns)
            else:
                packet = self._decoder.attachment(data, size, arrived_ns)
        except ValueError:
            return self._fail(channel, self._decoder.error)
        if packet is None:
            return 0
        if packet.type == CONNECT and not (
                packet.data is not None and isinstance((<dict>packet.data).get("sid"), str)):
            return self._fail(channel, "a CONNECT from a server without a sid "
                              "(a Socket.IO 2 server?)")
        return channel.deliver(packet)

    cdef int _open(self, Channel channel, const char *data, Py_ssize_t size,
                   int64_t arrived_ns) except -1:
        cdef bytes connect = self._connect
        if self._state == OPEN:
            return self._fail(channel, "a second Engine.IO open packet")
        try:
            handshake = parse_json(data, size)
            if not isinstance(handshake, dict):
                raise ValueError("its payload must be a JSON object")
            sid = handshake.get("sid")
            if not isinstance(sid, str) or not sid:
                raise ValueError(f"sid is {sid!r}; it must be a string that is not empty")
            self._ping_interval_ms = positive(handshake, "pingInterval", MAX_INTERVAL_MS)
            self._ping_timeout_ms = positive(handshake, "pingTimeout", MAX_INTERVAL_MS)
            if "maxPayload" in handshake:   # servers before Socket.IO 4.5 do not say
                self._max_payload = positive(handshake, "maxPayload", MAX_ACK_ID)
        except ValueError as error:
            return self._fail(channel, f"the Engine.IO open packet: {error}")
        self._state = OPEN
        self._sid = sid
        self.opened_ns = arrived_ns
        self._connect = None
        self._watchdog_ns = (self._ping_interval_ms + self._ping_timeout_ms) * NS_PER_MS
        channel.write(KIND_TEXT, PyBytes_AS_STRING(connect), PyBytes_GET_SIZE(connect))
        channel.watchdog(self._watchdog_ns)
        return channel.deliver(new_packet(ENGINE_OPEN, "/", -1, handshake, arrived_ns))

    cdef int _pong(self, Channel channel, const char *data, Py_ssize_t size) except -1:
        """Answer a ping with its own payload; no Python object is made for the usual ping."""
        cdef char[PONG_ON_STACK] small
        cdef char *pong = small
        if size > PONG_ON_STACK:
            pong = <char *>PyMem_Malloc(size)
            if pong is NULL:
                raise MemoryError(f"no memory for a pong of {size} bytes")
        try:
            memcpy(pong, data, size)
            pong[0] = 51    # "3"
            channel.write(KIND_TEXT, pong, size)
        finally:
            if pong is not small:
                PyMem_Free(pong)
        self.pings += 1
        return channel.watchdog(self._watchdog_ns)

    cdef int _fail(self, Channel channel, str detail) except -1:
        self._state = ENDED
        return channel.violation(detail)
