"""The codec seam: what stands between whole WebSocket messages and what a session hands out.

A codec is sans-IO: it is fed messages and acts on a Channel. It knows no socket and no event loop.
"""

from libc.stdint cimport int64_t

cdef enum MessageKind:
    KIND_TEXT = 1       # the opcodes of RFC 6455, so that no layer has to translate
    KIND_BINARY = 2


cdef class Message:
    cdef readonly bytes data
    cdef readonly int64_t arrived_ns
    cdef int _kind

# A copy of `data` as a message; the way in which the C layer makes one.
cdef Message new_message(int kind, const char *data, Py_ssize_t size, int64_t arrived_ns)
# "text" or "binary" as a MessageKind; UsageError for anything else.
cdef int kind_of(object name) except -1
# str (as UTF-8), bytes, bytearray or memoryview as bytes; UsageError for anything else.
cdef bytes payload_of(object data)


cdef class Channel:
    """What a codec may do to the connection that feeds it. A session is one; tests have another."""
    # Send one message now. 0, or -1 with an exception set.
    cdef int write(self, int kind, const char *data, Py_ssize_t size) except -1
    # Hand one item (a Message, a Packet) to the scenario.
    cdef int deliver(self, object item) except -1
    # The peer broke the protocol of this codec: end the connection with this error.
    cdef int violation(self, str detail) except -1
    # Unless called again within this time, the connection counts as dead (kind ping_timeout).
    # 0 takes the watchdog off.
    cdef int watchdog(self, int64_t within_ns) except -1


cdef class RecordingChannel(Channel):
    cdef readonly list written      # (kind name, bytes)
    cdef readonly list items
    cdef readonly list violations
    cdef readonly list watchdogs


cdef class Codec:
    # One whole message; `data` is valid during the call only.
    cdef int feed(self, Channel channel, int kind, const char *data, Py_ssize_t size,
                  int64_t arrived_ns) except -1


cdef class PlainCodec(Codec):
    pass
