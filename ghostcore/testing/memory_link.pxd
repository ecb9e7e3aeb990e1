"""A link without a network, for tests of time on a fake clock."""

from ghostcore.sessions.session cimport Session
from ghostcore._engine cimport Link


cdef class MemoryLink(Link):
    cdef Session _session
    cdef readonly list sent
    cdef readonly list pieces
    cdef bint _corked
    cdef public bint broken         # the next send finds the connection lost
    cdef readonly bint is_aborted
    cdef public object peer
