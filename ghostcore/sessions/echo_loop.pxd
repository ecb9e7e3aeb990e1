"""Closed loops against an echo server: see echo_loop.pyx."""

from libc.stdint cimport int64_t

from ghostcore.metrics.recorders cimport TrendRecorder
from ghostcore.protocol.codec cimport Channel, Codec
from ghostcore.sessions.session cimport Flow


cdef class EchoLoop(Flow):
    cdef bytes _frame
    cdef int _opcode
    cdef bint _verify
    cdef int64_t _count             # -1: without end
    cdef int64_t _duration_ns       # 0: without end
    cdef int64_t _end_ns
    cdef int64_t _timeout_ns
    cdef TrendRecorder _trend       # None: nothing is measured
    cdef object _observer
    cdef EchoCodec _codec
    cdef int64_t *_sent_at_ns       # a ring of the frames in flight
    cdef int _slots
    cdef int _oldest
    cdef int _flying
    cdef int64_t _sent
    cdef bint _blocked              # the socket is full, since:
    cdef int64_t _blocked_ns
    cdef readonly int64_t round_trips

    cdef int _answered(self, int kind, const char *data, Py_ssize_t size,
                       int64_t arrived_ns) except -1
    cdef int _fill(self) except -1
    cdef int64_t _deadline(self, int64_t now_ns) noexcept
    cdef int _cut_off(self, str cause) except -1


cdef class EchoCodec(Codec):
    """Stands before the codec of a session from its first echo loop on, until no late answer to an
    ended echo loop can come any more."""
    cdef Codec _inner
    cdef EchoLoop _loop             # None: only answers that come too late are awaited
    cdef list _late                 # of _Late, oldest first; None: there are none

    cdef int _is_late(self, int kind, const char *data, Py_ssize_t size) except -1


cdef class _Late:
    """Answers that an ended loop did not wait for."""
    cdef bytes frame
    cdef int opcode
    cdef bint verify
    cdef int64_t missing
