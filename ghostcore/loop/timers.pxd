"""One queue for every sleep and deadline of a loop, and the awaitable that both build on."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t


cdef class Timer:
    """A place in the queue, which refers to it while it is queued. Subclasses override fire()."""
    cdef int64_t due_ns
    cdef Py_ssize_t _slot           # position in the heap, -1: not queued
    cdef int fire(self, int64_t now_ns) except -1


cdef class TimerQueue:
    cdef readonly object loop
    cdef readonly int64_t fired     # timers that ran out, ever
    cdef readonly int64_t late_ns_max   # the latest of them
    cdef int64_t work_done           # grows with everything that the loop gets done: a watch reads it
    cdef PyObject **_heap
    cdef Py_ssize_t _size
    cdef Py_ssize_t _capacity
    cdef object _clock              # a fake clock of the loop, or None for CLOCK_MONOTONIC
    cdef object _handle             # where there is no timerfd: the loop's own timer
    cdef int64_t _armed_ns          # what the timerfd or the handle is set to, 0: nothing
    cdef int _fd
    cdef bint _dispatching
    cdef readonly bint closed

    cdef int64_t now(self) except? -1
    cdef int push(self, Timer timer, int64_t due_ns) except -1
    cdef int remove(self, Timer timer) except -1
    cdef int _arm(self) except -1
    cdef int _dispatch(self) except -1
    cdef int _grow(self) except -1
    cdef void _up(self, Py_ssize_t slot) noexcept
    cdef void _down(self, Py_ssize_t slot) noexcept
    cdef void _take(self, Py_ssize_t slot) noexcept


cdef enum WaiterState:
    WAITER_NEW          # nobody has awaited it
    WAITER_PENDING
    WAITER_DONE
    WAITER_CANCELLED


cdef class Waiter(Timer):
    """An operation that can be awaited, with a deadline of its own in the queue."""
    cdef TimerQueue _queue
    cdef object _value              # the result, or the message of a cancellation
    cdef object _error
    cdef object _callback
    cdef object _context
    cdef list _more                 # (callback, context) after the first
    cdef WaiterState _state
    cdef bint _taken                # somebody has seen the value
    cdef bint _awaited              # by a task itself, not by way of a callback
    cdef public bint _asyncio_future_blocking

    # Overridden by operations:
    cdef int begin(self) except -1          # first awaited: look for a result, or queue up for one
    cdef int detach(self) except -1         # cancelled: take us off the list that would wake us
    cdef int give_back(self, object value) except -1    # cancelled when done, before the value was taken
    cdef int expired(self, int64_t now_ns) except -1    # the deadline passed

    cdef int _begin(self) except -1
    cdef bint _poll(self) except -1
    cdef int complete(self, object value) except -1
    cdef int fail(self, object error) except -1
    cdef int _wake(self) except -1
    cdef int _wake_one(self, object callback, object context) except -1


cdef class Sleep(Waiter):
    cdef int64_t _delay_ns


# What a callback of the loop's does with an exception out of our own code.
cdef int tell_of(object loop, str message, object error) except -1
