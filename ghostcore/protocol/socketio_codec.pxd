"""Engine.IO 4 and Socket.IO 5, sans-IO: the decoder of packets and the client's codec.

Packet, Event and the packet types live in packet.pxd and are to be had from here as well.
"""

from libc.stdint cimport int64_t

from ghostcore.protocol.codec cimport Channel, Codec
from ghostcore.protocol.packet cimport (
    ACK, CONNECT, CONNECT_ERROR, DISCONNECT, ENGINE_CLOSE, ENGINE_OPEN, EVENT, Event, Packet,
    PacketType,
)


cdef class Decoder:
    cdef Packet _pending            # waits for attachments
    cdef list _attachments          # those that have come
    cdef list _slots                # (container, key, placeholder) that they will fill
    cdef Py_ssize_t _missing
    cdef readonly str error         # why the last feed was refused; None if it was not

    # A Socket.IO packet (the text after the Engine.IO digit 4, or a binary attachment) -> the
    # packet when it is whole, None when attachments are missing; ValueError for what the protocol
    # forbids, after which the decoder is as new.
    cdef Packet text(self, const char *data, Py_ssize_t size, int64_t arrived_ns)
    cdef Packet attachment(self, const char *data, Py_ssize_t size, int64_t arrived_ns)

    cdef Packet _parse(self, const char *data, Py_ssize_t size, int64_t arrived_ns)
    cdef Packet _await(self, Packet packet, Py_ssize_t count)
    cdef Packet _fill(self, const char *data, Py_ssize_t size, int64_t arrived_ns)
    cdef int _reset(self, object error) except -1


cdef class ClientCodec(Codec):
    cdef Decoder _decoder
    cdef bytes _connect             # the first connect packet; None once it was sent
    cdef str _sid
    cdef int64_t _ping_interval_ms
    cdef int64_t _ping_timeout_ms
    cdef int64_t _max_payload       # 0: the server did not say
    cdef int _state
    cdef readonly int64_t opened_ns     # arrival of the open packet, 0 before
    cdef int64_t _watchdog_ns
    cdef readonly int64_t pings     # Engine.IO pings answered

    # `handshake` (of the open packet: sid, pingInterval, pingTimeout, maxPayload; None before) is a
    # property: ten thousand idle users should not keep a dict each.

    cdef int _engine(self, Channel channel, const char *data, Py_ssize_t size,
                     int64_t arrived_ns) except -1
    cdef int _open(self, Channel channel, const char *data, Py_ssize_t size,
                   int64_t arrived_ns) except -1
    cdef int _pong(self, Channel channel, const char *data, Py_ssize_t size) except -1
    cdef int _hand_over(self, Channel channel, int kind, const char *data, Py_ssize_t size,
                        int64_t arrived_ns) except -1
    cdef int _fail(self, Channel channel, str detail) except -1
