"""A thread that sees an event loop that is stuck, and the heartbeat that it listens to."""

from libc.stdint cimport int64_t

from ghostcore.metrics.histogram cimport Histogram
from ghostcore.loop.timers cimport Timer, TimerQueue


cdef class Beat(Timer):
    """Comes every 10 ms; how late it comes is the lag of the loop."""
    cdef LoopWatch _watch
    cdef int64_t _limit_ns


cdef class LoopWatch:
    cdef TimerQueue _timers
    cdef Beat _beat
    cdef Histogram _lags            # in ns
    cdef int64_t _lag_ns            # the greatest since the last take
    cdef int64_t _beat_ns           # when the last beat came
    cdef object _thread
    cdef object _locate
    cdef list _stalls
    cdef tuple _open                # (where, inside) of the stall that is going on, or None
    cdef int _stop_read             # a pipe: the thread waits at it
    cdef int _stop_write
    cdef int _waits_fd              # the kernel's account of the loop's thread, -1: there is none
    # The thread's own, but for what take() reads under the GIL:
    cdef int64_t _seen              # progress
    cdef int64_t _since_ns          # the last sign of life
    cdef int64_t _waited_ns         # for a core, as of that moment
    cdef int64_t _overslept_ns      # by the thread itself, as of that moment
    cdef int64_t _oversleep_ns      # ever

    cdef bint _await_stall(self) noexcept nogil
    cdef bint _await_progress(self) noexcept nogil
    cdef int _pause(self, int ms) noexcept nogil
    cdef int64_t _waits(self) noexcept nogil
    cdef tuple _sight(self)
    cdef int _settle(self, int64_t now_ns) except -1
