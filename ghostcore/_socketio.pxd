"""Engine.IO 4 and Socket.IO 5, sans-IO: packets, their text and binary forms, the client's codec."""

from libc.stdint cimport int64_t

from ghostcore._codec cimport Channel, Codec

cdef enum PacketType:       # the digits of the Socket.IO 5 protocol, 5 and 6 being 2 and 3 with attachments
    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    ENGINE_OPEN = 10        # Engine.IO packets that a session wants to know of: 10 + their digit
    ENGINE_CLOSE = 11


cdef class Packet:
    cdef readonly int type
    cdef readonly str namespace
    cdef readonly int64_t ack_id    # -1: none
    cdef readonly object data       # CONNECT, CONNECT_ERROR, ENGINE_OPEN: object or None; EVENT, ACK: list
    cdef readonly int64_t arrived_ns


cdef class Event(Packet):
    cdef public double elapsed_ms   # since the request or wait_for that it answers; NaN: none


cdef class Decoder:
    cdef Packet _pending            # waits for attachments
    cdef list _attachments
    cdef Py_ssize_t _missing
    cdef readonly str error         # why the last feed was refused

    # A Socket.IO packet (the text after the Engine.IO digit 4, or a binary attachment) -> the packet
    # when it is whole, None when attachments are missing; ValueError for what the protocol forbids.
    cdef Packet text(self, const char *data, Py_ssize_t size, int64_t arrived_ns)
    cdef Packet attachment(self, const char *data, Py_ssize_t size, int64_t arrived_ns)


cdef class ClientCodec(Codec):
    cdef Decoder _decoder
    cdef bytes _connect             # the first connect packet, sent when the open packet arrives
    cdef readonly dict handshake    # of the open packet: sid, pingInterval, pingTimeout, maxPayload; None before
    cdef readonly int64_t opened_ns     # arrival of the open packet, 0 before
    cdef int64_t _watchdog_ns
    cdef readonly int64_t pings     # Engine.IO pings answered
