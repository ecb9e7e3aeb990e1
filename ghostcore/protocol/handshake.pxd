"""One attempt at the HTTP upgrade: its key, its request, and the judge of the answer."""


cdef class Judge:
    """What attempts that offer the same remember of the answers that they have had."""
    cdef readonly tuple subprotocols
    cdef readonly object deflate
    cdef list _known

    cdef object recognise(self, bytes data, bytes accept)
    cdef int remember(self, bytes data, bytes accept, object answer) except -1


cdef class Request:
    """What attempts at the same URL with the same options have in common."""
    cdef bytes _before
    cdef bytes _after
    cdef Judge _judge

    cpdef Upgrade upgrade(self)


cdef class Upgrade:
    cdef readonly bytes key
    cdef readonly bytes request
    cdef readonly object refusal
    cdef Judge _judge

    cdef int _begin(self, Request common) except -1
