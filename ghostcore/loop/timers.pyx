"""One timer queue a loop, for every sleep and every deadline.

A 4-ary heap of intrusive timers under one absolute timerfd: a push costs tens of ns, 20,000 far
sleepers cost nothing, and a timer is never early (the loop's own timers round to milliseconds and
may fire before their time). Without timerfd, or on a loop with a clock of its own (tests), the queue
sits on one ``loop.call_at`` instead and is never early either.
"""

from cpython.contextvars cimport PyContext_Enter, PyContext_Exit
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint64_t

from ghostcore.loop.clock cimport now_ns, timespec

import asyncio
import contextvars
import sys

from ghostcore._asyncio_private import (
    cancel_asked,
    cancel_message,
    current_tasks,
    enter_task,
    leave_task,
)
from ghostcore._units import MAX_SECONDS as _MAX_SECONDS
from ghostcore.errors import EngineError, UsageError

cdef extern from "<unistd.h>" nogil:
    int c_close "close" (int fd)
    ssize_t c_read "read" (int fd, void *buffer, size_t size)

cdef extern from *:
    """
    #if defined(__linux__)
    #include <sys/timerfd.h>
    #include <time.h>
    static int ghost_timerfd_create(void) {
        return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    }
    static int ghost_timerfd_set(int fd, struct timespec due) {
        struct itimerspec spec = {{0, 0}, due};
        return timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL);
    }
    #else
    #include <errno.h>
    #include <time.h>
    static int ghost_timerfd_create(void) { errno = ENOSYS; return -1; }
    static int ghost_timerfd_set(int fd, struct timespec due) { errno = ENOSYS; return -1; }
    #endif
    static void ghost_set_am_send(PyObject *type, void *function) {
        ((PyTypeObject *)type)->tp_as_async->am_send = (sendfunc)function;
    }
    """
    void ghost_set_am_send(object type, void *function)
    int ghost_timerfd_create() nogil
    int ghost_timerfd_set(int fd, timespec due) nogil

cdef object _current_task = asyncio.current_task
cdef dict _current_tasks = current_tasks
cdef object _copy_context = contextvars.copy_context
cdef object CancelledError = asyncio.CancelledError
cdef object InvalidStateError = asyncio.InvalidStateError

cdef double MAX_SECONDS = _MAX_SECONDS

cdef int64_t _live_waiters = 0


def live_waiters() -> int:
    """Operations that are pending now; zero when nothing is under way (the leak tests ask)."""
    return _live_waiters


cdef inline bint _in_task(object loop) except -1:
    """Is a task of that loop running at this moment?"""
    return (_current_task(loop) if _current_tasks is None else _current_tasks.get(loop)) is not None


cdef int tell_of(object loop, str message, object error) except -1:
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        loop.call_soon(_reraise, error)     # meant for the loop, which would not see it
    else:
        loop.call_exception_handler({"message": message, "exception": error})
    return 0


def _reraise(error):
    raise error


cdef class Timer:
    def __cinit__(self):
        self._slot = -1

    cdef int fire(self, int64_t now_ns) except -1:
        raise EngineError(f"{type(self).__name__} is queued but has no fire()")


cdef class CallbackTimer(Timer):
    """A timer that calls a Python function; too slow for what happens at each message."""
    cdef object _function

    def __init__(self, function):
        self._function = function

    cdef int fire(self, int64_t now_ns) except -1:
        self._function()
        return 0


cdef class TimerQueue:
    """Sleeps and deadlines of one event loop.

    :param loop: the loop whose thread runs the callbacks. If it has an attribute ``clock`` with a
        method ``now_ns()``, time is read there (tests run on a fake clock), else CLOCK_MONOTONIC.
    :ivar loop: as given.
    :ivar fired: timers that have run out so far.
    :ivar late_ns_max: how late the latest of them was, in ns.
    :ivar closed: :meth:`close` was called.
    """

    def __cinit__(self):
        self._fd = -1

    def __init__(self, loop):
        self.loop = loop
        self._clock = getattr(loop, "clock", None)
        if self._clock is None:
            self._fd = ghost_timerfd_create()
            if self._fd < 0 and sys.platform == "linux":
                raise OSError(errno, "timerfd_create failed")
            if self._fd >= 0:
                loop.add_reader(self._fd, self._on_ready)

    def __len__(self):
        return self._size

    def __dealloc__(self):
        while self._size:
            self._take(self._size - 1)
        PyMem_Free(self._heap)
        if self._fd >= 0:
            c_close(self._fd)

    def close(self):
        """Forget every timer and give the descriptor back. Idempotent."""
        if self.closed:
            return
        self.closed = True
        while self._size:
            self._take(self._size - 1)
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._fd >= 0:
            if not self.loop.is_closed():
                self.loop.remove_reader(self._fd)
            c_close(self._fd)
            self._fd = -1

    def now_ns(self) -> int:
        """The queue's clock, in ns: CLOCK_MONOTONIC, or the loop's fake clock."""
        return self.now()

    def sleep(self, double seconds):
        """An awaitable that completes after that many seconds, never before.

        ``sleep(0)`` gives the loop one turn.
        """
        if not 0 <= seconds <= MAX_SECONDS:
            raise UsageError(f"sleep: seconds must be from 0 to {MAX_SECONDS:g}, got {seconds!r}")
        return self.sleep_until(self.now() + <int64_t>(seconds * 1e9 + 0.5))

    def sleep_until(self, int64_t due_ns):
        """An awaitable that completes at that time of the queue's clock, never before."""
        cdef Sleep op = Sleep.__new__(Sleep)
        op._queue = self
        op._delay_ns = due_ns
        return op

    def call_at(self, int64_t due_ns, function):
        """Call `function` at that time; returns the timer, for :meth:`cancel`."""
        cdef CallbackTimer timer = CallbackTimer(function)
        self.push(timer, due_ns)
        return timer

    def cancel(self, Timer timer not None) -> None:
        """Take a timer of :meth:`call_at` off the queue; harmless if it has fired."""
        self.remove(timer)

    cdef int64_t now(self) except? -1:
        if self._clock is None:
            return now_ns()
        return self._clock.now_ns()

    cdef int push(self, Timer timer, int64_t due_ns) except -1:
        """Queue a timer, or move a queued one."""
        if self.closed:
            raise EngineError("a timer was set after its queue was closed")
        cdef int64_t before
        if timer._slot >= 0:
            before = timer.due_ns
            timer.due_ns = due_ns
            if due_ns < before:
                self._up(timer._slot)
            else:
                self._down(timer._slot)
        else:
            if self._size == self._capacity:
                self._grow()
            timer.due_ns = due_ns
            timer._slot = self._size
            self._heap[self._size] = <PyObject *>timer
            Py_INCREF(timer)
            self._size += 1
            self._up(timer._slot)
        if not self._dispatching and (self._armed_ns == 0 or due_ns < self._armed_ns):
            self._arm()
        return 0

    cdef int remove(self, Timer timer) except -1:
        # The timerfd is left as it is: an early wake-up that finds nothing due is cheaper than a
        # system call at each of the many deadlines that are met.
        if timer._slot >= 0:
            self._take(timer._slot)
        return 0

    cdef int _grow(self) except -1:
        cdef Py_ssize_t capacity = self._capacity * 2 if self._capacity else 64
        cdef PyObject **heap = <PyObject **>PyMem_Realloc(self._heap, capacity * sizeof(PyObject *))
        if heap == NULL:
            raise MemoryError()
        self._heap = heap
        self._capacity = capacity
        return 0

    cdef void _up(self, Py_ssize_t slot) noexcept:
        cdef PyObject *item = self._heap[slot]
        cdef int64_t due_ns = (<Timer>item).due_ns
        cdef Py_ssize_t parent
        while slot > 0:
            parent = (slot - 1) >> 2
            if (<Timer>self._heap[parent]).due_ns <= due_ns:
                break
            self._heap[slot] = self._heap[parent]
            (<Timer>self._heap[slot])._slot = slot
            slot = parent
        self._heap[slot] = item
        (<Timer>item)._slot = slot

    cdef void _down(self, Py_ssize_t slot) noexcept:
        cdef PyObject *item = self._heap[slot]
        cdef int64_t due_ns = (<Timer>item).due_ns
        cdef Py_ssize_t child, end, best
        while True:
            child = slot * 4 + 1
            if child >= self._size:
                break
            end = min(child + 4, self._size)
            best = child
            child += 1
            while child < end:
                if (<Timer>self._heap[child]).due_ns < (<Timer>self._heap[best]).due_ns:
                    best = child
                child += 1
            if (<Timer>self._heap[best]).due_ns >= due_ns:
                break
            self._heap[slot] = self._heap[best]
            (<Timer>self._heap[slot])._slot = slot
            slot = best
        self._heap[slot] = item
        (<Timer>item)._slot = slot

    cdef void _take(self, Py_ssize_t slot) noexcept:
        """Take the timer in that place out and let go of it."""
        cdef PyObject *item = self._heap[slot]
        cdef PyObject *last
        self._size -= 1
        if slot < self._size:
            last = self._heap[self._size]
            self._heap[slot] = last
            (<Timer>last)._slot = slot
            if slot > 0 and (<Timer>last).due_ns < (<Timer>self._heap[(slot - 1) >> 2]).due_ns:
                self._up(slot)
            else:
                self._down(slot)
        (<Timer>item)._slot = -1
        Py_DECREF(<object>item)

    cdef int _arm(self) except -1:
        cdef timespec due
        cdef int64_t due_ns
        if self._size == 0:
            self._armed_ns = 0
            return 0
        due_ns = (<Timer>self._heap[0]).due_ns
        if due_ns <= 0:
            due_ns = 1      # zero would disarm a timerfd
        self._armed_ns = due_ns
        if self._fd >= 0:
            due.tv_sec = due_ns // 1000000000
            due.tv_nsec = due_ns % 1000000000
            if ghost_timerfd_set(self._fd, due) != 0:
                raise OSError(errno, "timerfd_settime failed")
            return 0
        if self._handle is not None:
            self._handle.cancel()
        if self._clock is not None:
            when_s = due_ns / 1e9       # the clock is the loop's own
        else:
            when_s = self.loop.time() + max(0, due_ns - self.now()) / 1e9
        self._handle = self.loop.call_at(when_s, self._on_ready)
        return 0

    def _on_ready(self):
        cdef uint64_t expirations
        if self._fd >= 0:
            c_read(self._fd, &expirations, 8)
        else:
            self._handle = None
        self._armed_ns = 0
        try:
            self._dispatch()
        finally:    # an interrupt must not leave the rest asleep
            if not self.closed:
                self._arm()

    cdef int _dispatch(self) except -1:
        # The budget is the number of timers queued now: a timer that sets itself again for a time
        # that has passed must not keep the loop from its sockets.
        cdef Py_ssize_t budget = self._size
        cdef int64_t now = self.now()
        cdef Timer timer
        self._dispatching = True
        try:
            while budget > 0 and self._size > 0:
                timer = <Timer>self._heap[0]
                if timer.due_ns > now:
                    break
                self._take(0)
                budget -= 1
                self.fired += 1
                self.work_done += 1
                if now - timer.due_ns > self.late_ns_max:
                    self.late_ns_max = now - timer.due_ns
                try:
                    timer.fire(now)
                except Exception as error:
                    self.loop.call_exception_handler(
                        {"message": f"a timer failed: {timer!r}", "exception": error})
        finally:
            self._dispatching = False
        return 0


# The awaitables: sleep() makes one, so they cannot be a module that imports this one.
include "waiter.pxi"
include "stepper.pxi"
