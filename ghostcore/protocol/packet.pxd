"""Packets of Engine.IO 4 and Socket.IO 5: what they are in memory, and their way onto the wire."""

from libc.stdint cimport int64_t

cpdef enum PacketType:
    """Types of packets: the digits of Socket.IO 5 on the wire (there, 5 and 6 are 2 and 3 with
    attachments), and 10 + the digit of the Engine.IO packets that a session hands on."""
    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    ENGINE_OPEN = 10
    ENGINE_CLOSE = 11

cdef extern from *:
    """
    #define GHOSTCORE_MAX_ACK_ID ((int64_t) 9007199254740991)
    """
    # 2**53 - 1: beyond it JavaScript's numbers skip integers.
    const int64_t MAX_ACK_ID "GHOSTCORE_MAX_ACK_ID"

cdef enum:
    WIRE_BINARY_EVENT = 5   # on the wire only: in memory they are EVENT and ACK
    WIRE_BINARY_ACK = 6
    ATTACHMENTS_LIMIT = 1000


cdef class Packet:
    cdef readonly int type
    cdef readonly str namespace
    cdef readonly int64_t ack_id    # -1: none
    # CONNECT, ENGINE_OPEN: dict or None; CONNECT_ERROR: dict, str or None; EVENT, ACK: list;
    # DISCONNECT, ENGINE_CLOSE: None.
    cdef readonly object data
    cdef readonly int64_t arrived_ns


cdef class Event(Packet):
    cdef public double elapsed_ms   # since the request or wait_for that it answers; NaN: none


# The only way to make one; an Event for type EVENT.
cdef Packet new_packet(int packet_type, str namespace, int64_t ack_id, object data,
                       int64_t arrived_ns)
# "EVENT" and so on, for messages.
cdef str type_name(int packet_type)
# Strict JSON, the whole of it; ValueError says what is wrong.
cdef object parse_json(const char *data, Py_ssize_t size)
