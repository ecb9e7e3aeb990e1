"""The link seam, and what all sessions of one event loop share."""

from libc.stdint cimport int64_t

from ghostcore.loop.timers cimport TimerQueue
from ghostcore.loop.vitals cimport Vitals


cdef class Traffic:
    cdef public int64_t msgs_sent
    cdef public int64_t msgs_received
    cdef public int64_t bytes_sent
    cdef public int64_t bytes_received
    cdef public int64_t discarded
    cdef public int64_t missed      # see take_missed()
    cdef public bint paced


cdef class Engine:
    cdef readonly object loop
    cdef readonly TimerQueue timers
    cdef readonly Vitals vitals
    cdef readonly int64_t live_sessions
    cdef int64_t _dials
    cdef int64_t _ranges
    cdef int _lowest_port           # that the system gives out; 0: not asked yet, -1: not known
    cdef public object hub          # what the epoll links share, once there is one
    cdef public object names        # the names that were looked up, likewise
    cdef char *_scratch
    cdef Py_ssize_t _scratch_size
    cdef readonly bint closed

    cpdef int64_t next_dial(self) except -1
    cpdef int loopback_source(self) except -1
    cpdef int port_range(self) except -1
    # A buffer of at least this size, valid until the next call: links frame what they send in it.
    cdef char *scratch(self, Py_ssize_t size) except NULL


cdef class Link:
    """The link seam: one connection that carries frames. The session drives it, and it reports to
    the session's link_* methods."""
    cdef bint congested     # more is buffered than the peer takes: senders that await it should wait

    # `opcode` may have FLAG_RSV1 added.
    cdef int send(self, int opcode, const char *data, Py_ssize_t size) except -1
    # Code 1005 makes an empty close frame. Returns the size of the frame, or 0 if none was sent: the
    # link is not open, it has sent a close frame before, or the connection is lost.
    cdef int send_close(self, int code, str reason) except -1
    # The buffer is sent, then the stream ends, and what the peer still sends is thrown away until it
    # ends its own: closing a socket with unread bytes would destroy what the peer has not read yet.
    cdef int close(self) except -1
    cdef int abort(self) except -1      # the connection ends now
    # Frames are held back from now on, if the link can put them together. Returns 1 if the caller is
    # to uncork().
    cdef int cork(self) except -1
    cdef int uncork(self) except -1
