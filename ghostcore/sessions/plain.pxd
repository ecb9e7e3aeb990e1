"""Plain WebSocket sessions: messages in the order in which they came, none lost."""

from libc.stdint cimport int64_t

from ghostcore.sessions.session cimport Session
from ghostcore.loop.timers cimport Waiter


cdef class WebSocketBase(Session):
    cdef object _inbox              # deque, made when the first item finds no taker
    cdef Waiter _receiver
    cdef int _streak                # results handed out without a turn of the loop


cdef class RecvWaiter(Waiter):
    cdef WebSocketBase _session
    cdef double _timeout_s
    cdef int64_t _asked_ns
