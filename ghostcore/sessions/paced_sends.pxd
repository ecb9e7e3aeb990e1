"""Paced senders: see paced_sends.pyx."""

from libc.stdint cimport int64_t

from ghostcore.sessions.session cimport Flow


# How many messages or round trips; None, for no end, becomes -1.
cdef int64_t checked_count(str operation, object count) except? -1
# A duration of more than nothing, in ns.
cdef int64_t checked_span_ns(str operation, object duration, str name) except -1


cdef class PacedSends(Flow):
    cdef list _parts                # of bytes: a message, or a Socket.IO packet and its attachments
    cdef int _opcode                # of the first; what follows is binary
    cdef int64_t _interval_ns
    cdef int64_t _count             # -1: without end
    cdef int64_t _next_ns           # the next that is due
    cdef bint _blocked              # the socket is full, since:
    cdef int64_t _blocked_ns
    cdef int64_t _missed
    cdef readonly int64_t sent
    cdef readonly int64_t late_ns_max

    cdef int _send_due(self) except -1
    cdef int64_t _overdue(self, int64_t now_ns) noexcept
    cdef int _skip(self) except -1
    cdef int _finish(self) except -1
    cdef int _break(self, error) except -1
