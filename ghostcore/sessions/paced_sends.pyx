"""Paced senders: messages at a fixed rate, sent from the timer queue without a turn of the scenario.

For floods, where a turn of a coroutine for each message would be the larger part of what is measured.
Nothing is allocated for a message.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, int64_t

from ghostcore.loop.timers cimport WAITER_PENDING
from ghostcore.protocol.codec cimport payload_of
from ghostcore.protocol.message cimport OP_BINARY, OP_TEXT
from ghostcore.sessions.session cimport Flow, Session, send_timed_out

from ghostcore._units import parse_duration, seconds_to_ns
from ghostcore.errors import ClosedByPeer, EngineError, UsageError

cdef enum:
    BURST_MAX = 64              # messages of one sender before the loop gets a turn


cdef int64_t checked_count(str operation, object count) except? -1:
    """How many; None, for no end, becomes -1."""
    if count is None:
        return -1
    if type(count) is not int or not 1 <= count <= INT64_MAX:
        raise UsageError(
            f"{operation}: count must be None or a whole number from 1 up, got {count!r}")
    return count


cdef int64_t checked_span_ns(str operation, object duration, str name) except -1:
    """A duration of more than nothing, in ns."""
    cdef int64_t span_ns = seconds_to_ns(parse_duration(duration, name))
    if span_ns <= 0:
        raise UsageError(f"{operation}: the {name} must be at least 1 ns, got {duration!r}")
    return span_ns


cdef class PacedSends(Flow):
    """Messages at a fixed rate, sent by the engine: what ``session.every()`` returns.

    Awaiting it gives the number that were sent, once that is `count` or it was stopped, or raises
    why the session ended. Cancelling what awaits it stops it.

    :ivar sent: messages (Socket.IO: events) sent so far.
    :ivar late_ns_max: the most that one of them was sent after its time, in ns.
    """

    def __init__(self, Session session not None, str operation not None, interval, parts, count):
        self._session = session
        self._queue = session._engine.timers
        self._interval_ns = checked_span_ns(operation, interval, "interval")
        self._count = checked_count(operation, count)
        self._opcode = OP_TEXT if isinstance(parts[0], str) else OP_BINARY
        self._parts = [payload_of(part) for part in parts]
        session._require_open(operation)
        session._traffic.paced = True
        self._next_ns = self._queue.now()
        self._begin()
        self.join()
        try:
            self._send_due()
        except BaseException as error:
            self._break(error)
            if session.error is error:
                session._error_seen = True
            raise

    @property
    def missed(self) -> int:
        """Messages that were due while the socket was full, and that are not sent any more."""
        return self._missed + (self._overdue(self._queue.now()) if self._blocked else 0)

    def stop(self) -> None:
        """Send no more: whoever awaits it gets the number that were sent. Idempotent."""
        if self._state == WAITER_PENDING:
            self._finish()

    cdef int fire(self, int64_t now_ns) except -1:
        cdef Session session = self._session
        try:
            if not self._blocked:
                return self._send_due()
            if self._callback is None:      # not awaited: a stall is counted, it raises nothing
                return self._queue.push(self, now_ns + session._send_timeout_ns)
            self._break(send_timed_out(session, now_ns - self._blocked_ns))
        except ClosedByPeer:
            pass        # the session has ended with it
        except BaseException as error:
            failure = EngineError(f"sending by the clock failed: {error!r}")
            failure.__cause__ = error
            self._break(failure)
            raise
        return 0

    cdef int _send_due(self) except -1:
        """Send what is due, a burst of it at the most, and come back for the next."""
        cdef Session session = self._session
        cdef int64_t now_ns = self._queue.now(), late_ns
        cdef bint corked = now_ns - self._next_ns >= self._interval_ns and session.link.cork()
        cdef int left = BURST_MAX, opcode
        cdef bytes part
        try:
            while now_ns >= self._next_ns and left and self.sent != self._count:
                if session.link.congested:
                    self._blocked = True
                    self._blocked_ns = now_ns
                    break
                opcode = self._opcode
                for part in self._parts:
                    session._send(opcode, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
                    opcode = OP_BINARY
                late_ns = now_ns - self._next_ns
                if late_ns > self.late_ns_max:
                    self.late_ns_max = late_ns
                self.sent += 1
                self._next_ns += self._interval_ns
                left -= 1
                now_ns = self._queue.now()
        finally:
            if corked:
                session.link.uncork()
        if self._blocked:
            if session._send_timeout_ns > 0:
                self._queue.push(self, now_ns + session._send_timeout_ns)
            return 0
        if self.sent == self._count:
            return self._finish()
        # Messages that are late already go out in the next pass of the loop, not in this one.
        return self._queue.push(self, max(self._next_ns, now_ns + 1))

    cdef int64_t _overdue(self, int64_t now_ns) noexcept:
        if now_ns < self._next_ns:
            return 0
        return (now_ns - self._next_ns) // self._interval_ns + 1

    cdef int _skip(self) except -1:
        """The socket is full no more, or it matters no more: what was due meanwhile was missed."""
        cdef int64_t overdue
        if self._blocked:
            overdue = self._overdue(self._queue.now())
            self._blocked = False
            self._next_ns += overdue * self._interval_ns
            self._missed += overdue
            self._session._traffic.missed += overdue
        return 0

    cdef int _finish(self) except -1:
        self.detach()
        return self.complete(self.sent)

    cdef int _break(self, error) except -1:
        if self._state == WAITER_PENDING:
            self.detach()
            self.fail(error)
        return 0

    cdef int room(self) except -1:
        if not self._blocked:
            return 0
        self._skip()
        return self._queue.push(self, self._next_ns)

    cdef int ended(self) except -1:
        self._skip()
        return self.fail_with_session()

    cdef int detach(self) except -1:
        self._skip()
        return self.leave()
