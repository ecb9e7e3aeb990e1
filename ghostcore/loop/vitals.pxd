"""What the sessions of one loop tell of the generator itself, kept in C on the way."""

from libc.stdint cimport int64_t

from ghostcore.metrics.histogram cimport Histogram


cdef class Vitals:
    cdef int64_t batch_ns           # when the link began to hand out what was ready; 0: no batch
    cdef readonly int64_t backlog_bytes     # written by sessions, not yet taken by their sockets
    cdef int tcp_wanted             # connections whose TCP figures are still to be asked for
    cdef Histogram _waited
    cdef list _tcp

    # A frame was stamped: how long it had waited since its batch began.
    cdef int stamped(self, int64_t arrived_ns) except -1
    # `frames` frames of ours went out late, since other connections were read in between: at most
    # this long after the frames that they answer had been read.
    cdef int waited(self, int64_t elapsed_ns, int frames) except -1
    # A connection is about to be closed: ask the kernel for its round trip and retransmissions.
    cdef int ask_tcp(self, int fd) except -1
