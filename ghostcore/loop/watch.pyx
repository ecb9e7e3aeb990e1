"""How late a loop is, and what holds it up.

A loop cannot tell that it is stuck: a second thread has to. It waits without the GIL and looks 50
times a second at a counter that grows with every timer, event and operation of the loop, the
heartbeat among them, which comes every 10 ms. A counter that stands still for 100 ms means that one
callback keeps the loop. Only then does the thread take the GIL, to see where the loop's thread
stands: at once if the callback sleeps or waits (it has let go of the GIL), within 5 ms if it runs
Python code, when it returns if it is C code that keeps the GIL.

A loop that is merely late, because thousands of users have their turns, is not stuck: the counter
grows. What the machine did (the thread was ready to run and had no core; the watching thread itself
woke late, as it does in a virtual machine that stands still) is told apart from what the callback
did.
"""

from libc.stdint cimport int64_t
from libc.stdio cimport sscanf

from ghostcore.loop.clock cimport now_ns
from ghostcore.metrics.histogram cimport Histogram
from ghostcore.loop.timers cimport Timer, TimerQueue

import os
import threading

cdef extern from *:
    """
    #if !defined(_GNU_SOURCE)
    #define _GNU_SOURCE 1
    #endif
    #include <errno.h>
    #include <fcntl.h>
    #include <poll.h>
    #include <sched.h>
    #include <unistd.h>
    static int64_t ghost_load(const int64_t *value) {
        return __atomic_load_n(value, __ATOMIC_RELAXED);
    }
    /* 0: the time is over; 1: there is something to read */
    static int ghost_wait(int fd, int ms) {
        struct pollfd one = {fd, POLLIN, 0};
        return poll(&one, 1, ms) > 0;
    }
    static int ghost_core(void) {
    #if defined(__linux__)
        return sched_getcpu();
    #else
        return -1;
    #endif
    }
    """
    int64_t ghost_load(const int64_t *value) noexcept nogil
    int ghost_wait(int fd, int ms) noexcept nogil
    int ghost_core() noexcept nogil
    ssize_t c_pread "pread" (int fd, void *buffer, size_t size, long offset) noexcept nogil

cdef enum:
    LOOK_MS = 20                # between two looks at a loop that is well
    LOOK_AGAIN_MS = 5           # at one that is stuck

cdef int64_t _BEAT_NS = 10_000_000
cdef int64_t _STALL_NS = 100_000_000

BEAT_NS = _BEAT_NS
STALL_NS = _STALL_NS


def running_core() -> int:
    """The core that the calling thread runs on; -1 where the system does not tell."""
    return ghost_core()


cdef class Beat(Timer):
    cdef int fire(self, int64_t now_ns) except -1:
        cdef LoopWatch watch = self._watch
        cdef int64_t lag_ns
        if watch is None:
            return 0
        lag_ns = now_ns - self.due_ns
        watch._lags.record(lag_ns)
        if lag_ns > watch._lag_ns:
            watch._lag_ns = lag_ns
        watch._beat_ns = now_ns
        return watch._timers.push(self, now_ns + _BEAT_NS)


cdef class LoopWatch:
    """Measures how late a loop comes to its timers, and sees when a callback has stopped it.

    :param timers: the queue of the loop, in whose thread the watch is made.
    :param locate: called in another thread, with the GIL, while the loop is stuck; gives (the line
        that blocks it, what the line does, the callback that runs). None: no thread is started, and
        no stall is seen.
    """

    def __cinit__(self):
        self._stop_read = self._stop_write = self._waits_fd = -1

    def __init__(self, TimerQueue timers not None, locate=None):
        self._timers = timers
        self._lags = Histogram()
        self._stalls = []
        self._locate = locate
        self._beat = Beat()
        self._beat._watch = self
        self._beat_ns = timers.now()
        timers.push(self._beat, self._beat_ns + _BEAT_NS)
        if locate is None:
            return
        self._stop_read, self._stop_write = os.pipe()
        try:
            path = f"/proc/self/task/{threading.get_native_id()}/schedstat"
            self._waits_fd = os.open(path, os.O_RDONLY)
        except OSError:
            pass        # another system: what the machine did is seen by the thread's own delay only
        self._seen = timers.work_done
        self._since_ns = now_ns()
        self._waited_ns = self._waits()
        self._thread = threading.Thread(target=self._look, name="ghostcore watch", daemon=True)
        self._thread.start()

    def take_lag(self):
        """How late the heartbeat came since the last call; a beat that is overdue now counts too.

        :returns: (99th percentile, greatest) lateness in ns.
        """
        cdef int64_t lag_ns = self._lag_ns, overdue_ns = self._timers.now() - self._beat.due_ns
        cdef Histogram lags = self._lags
        cdef int64_t p99_ns
        # Without the overdue beat, the last second of a stuck loop would look punctual.
        if overdue_ns > 0 and self._beat._slot >= 0:
            lags.record(overdue_ns)
            lag_ns = max(lag_ns, overdue_ns)
        p99_ns = lags.value_at_quantile(0.99) if lags.count else 0
        lags.clear()
        self._lag_ns = 0
        return p99_ns, lag_ns

    def take_stalls(self):
        """The stalls that have ended since the last call: 100 ms or more in which one callback kept
        the loop.

        :returns: (start_ns, end_ns, machine_ns, line, what the line did) of each; for machine_ns of
            it the thread waited for a core, or the machine stood still.
        """
        if self._open is not None:
            # We run in the loop's thread: it is stuck no more, even if the watch has yet to see it.
            self._settle(now_ns())
        stalls, self._stalls = self._stalls, []
        return stalls

    def waited_ns(self) -> int:
        """How long the loop's thread has waited for a core since it began, in ns; -1: unknown."""
        return self._waits()

    def close(self) -> None:
        """Stop the heartbeat and the thread. Idempotent."""
        thread, self._thread = self._thread, None
        if self._beat._watch is not None:
            self._beat._watch = None
            self._timers.remove(self._beat)
        if thread is None:
            return
        os.write(self._stop_write, b"x")
        thread.join()
        for descriptor in (self._stop_read, self._stop_write, self._waits_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self._stop_read = self._stop_write = self._waits_fd = -1

    # ---- the watching thread -----------------------------------------------------------------

    def _look(self):
        cdef bint stuck
        while True:
            with nogil:
                stuck = self._await_stall()
            if not stuck:
                return
            self._open = self._sight()
            with nogil:
                stuck = self._await_progress()
            if self._open is not None:
                self._settle(now_ns())
            if stuck:
                return

    cdef tuple _sight(self):
        """The callback that keeps the loop: (its line, what the line does); None if there are
        several."""
        try:
            # Waiting for the GIL may have taken long. If the loop has moved on meanwhile, the line
            # that held it up cannot be found any more.
            if ghost_load(&self._timers.work_done) != self._seen:
                return "", ""
            where, inside, task = self._locate()
            with nogil:
                self._pause(LOOK_AGAIN_MS)
            if ghost_load(&self._timers.work_done) == self._seen and self._locate()[2] is not task:
                return None     # one turn of the loop with very many callbacks: it is late, not stuck
            return where, inside
        except Exception as error:
            return "", f"its line is unknown: {error!r}"

    cdef int _settle(self, int64_t at_ns) except -1:
        """The stall is over."""
        cdef int64_t waited_ns = self._waits() - self._waited_ns
        cdef int64_t overslept_ns = self._oversleep_ns - self._overslept_ns
        where, inside = self._open
        self._open = None
        self._stalls.append((self._since_ns, at_ns, max(0, waited_ns, overslept_ns), where, inside))
        return 0

    cdef bint _await_stall(self) noexcept nogil:
        """Whether the loop is stuck; returns False when the watch is to end."""
        cdef int64_t progress, now, looked = now_ns()
        while self._pause(LOOK_MS):
            progress = ghost_load(&self._timers.work_done)
            now = now_ns()
            if progress != self._seen:
                # The last sign of life came after the look before this one; a beat tells it exactly.
                self._since_ns = max(looked, ghost_load(&self._beat_ns))
                self._seen = progress
                self._waited_ns = self._waits()
                self._overslept_ns = self._oversleep_ns
            elif now - self._since_ns >= _STALL_NS:
                return True
            looked = now
        return False

    cdef bint _await_progress(self) noexcept nogil:
        """Wait until the loop goes on; returns True when the watch is to end."""
        while ghost_load(&self._timers.work_done) == self._seen:
            if not self._pause(LOOK_AGAIN_MS):
                return True
        return False

    cdef int _pause(self, int ms) noexcept nogil:
        """Wait; returns 0 when the watch is to end."""
        cdef int64_t before = now_ns(), over
        if ghost_wait(self._stop_read, ms):
            return 0
        over = now_ns() - before - <int64_t>ms * 1000000
        if over > 0:
            self._oversleep_ns = self._oversleep_ns + over
        return 1

    cdef int64_t _waits(self) noexcept nogil:
        """Ns that the loop's thread was ready to run and had no core (Linux: schedstat, its second
        figure); -1 if that is unknown."""
        cdef char text[64]
        cdef long long ran = 0, waited = 0
        cdef ssize_t size
        if self._waits_fd < 0:
            return -1
        size = c_pread(self._waits_fd, text, sizeof(text) - 1, 0)
        if size <= 0:
            return -1
        text[size] = 0
        if sscanf(text, b"%lld %lld", &ran, &waited) != 2:
            return -1
        return waited
