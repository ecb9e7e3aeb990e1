"""Closed loops against an echo server, which send from the callback of the frame that answers.

For floods, where a turn of a coroutine for each message would be the larger part of what is measured.
Nothing is allocated for a message.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t
from libc.string cimport memcmp

from ghostcore.loop.timers cimport WAITER_PENDING
from ghostcore.metrics.recorders cimport TrendRecorder
from ghostcore.protocol.codec cimport Channel, Codec, payload_of
from ghostcore.protocol.message cimport OP_BINARY, OP_TEXT
from ghostcore.sessions.paced_sends cimport checked_count, checked_span_ns
from ghostcore.sessions.plain cimport WebSocketBase
from ghostcore.sessions.session cimport Flow, Session, send_timed_out

from ghostcore.errors import ClosedByPeer, EngineError, Timeout, UsageError

cdef enum:
    IN_FLIGHT_MAX = 65536
    SHOWN = 40                  # bytes of a message in the text of an error


cdef class EchoLoop(Flow):
    """Round trips with an echo server: what ``session.echo_loop()`` returns.

    :ivar round_trips: how many were completed so far.
    """

    def __init__(self, WebSocketBase session not None, frame, count, duration, in_flight, timeout,
                 bint verify, metric, observer):
        self._session = session
        self._queue = session._engine.timers
        self._opcode = OP_TEXT if isinstance(frame, str) else OP_BINARY
        self._frame = payload_of(frame)
        self._count = checked_count("echo_loop", count)
        if duration is not None:
            self._duration_ns = checked_span_ns("echo_loop", duration, "duration")
        self._timeout_ns = checked_span_ns("echo_loop", timeout, "timeout")
        if type(in_flight) is not int or not 1 <= in_flight <= IN_FLIGHT_MAX:
            raise UsageError("echo_loop: in_flight must be a whole number from 1 to "
                             f"{IN_FLIGHT_MAX}, got {in_flight!r}")
        self._slots = in_flight
        self._verify = verify
        self._observer = observer
        if metric is not None:
            self._trend = observer.trend(metric)
            if self._trend is not None and self._trend._ns_per_unit == 0:
                raise UsageError(f"echo_loop: {self._trend.name} is no Trend of durations: give it "
                                 "a unit of time")

    def __dealloc__(self):
        PyMem_Free(self._sent_at_ns)

    cdef int begin(self) except -1:
        cdef WebSocketBase session = <WebSocketBase>self._session
        session._require_open("echo_loop")
        if session._receiver is not None:
            raise UsageError("echo_loop: another task is receiving from this session already")
        self._sent_at_ns = <int64_t *>PyMem_Malloc(self._slots * sizeof(int64_t))
        if self._sent_at_ns == NULL:
            raise MemoryError()
        session._receiver = self    # so that no recv() waits for what it would not get
        if type(session._codec) is EchoCodec:
            self._codec = <EchoCodec>session._codec
        else:
            self._codec = EchoCodec.__new__(EchoCodec)
            self._codec._inner = session._codec
            session._codec = self._codec
        self._codec._loop = self
        self.join()
        if self._duration_ns:
            self._end_ns = self._queue.now() + self._duration_ns
        try:
            self._fill()
            return self._queue.push(self, self._deadline(self._queue.now()))
        except BaseException:
            self.leave()
            raise

    cdef int _fill(self) except -1:
        """Send until as many are in flight as may be."""
        cdef Session session = self._session
        cdef bint corked = self._slots - self._flying > 1 and session.link.cork()
        cdef int slot
        try:
            while self._flying < self._slots and self._sent != self._count:
                if session.link.congested:
                    self._blocked = True
                    self._blocked_ns = self._queue.now()
                    if not self._flying:
                        self._queue.push(self, self._deadline(self._blocked_ns))
                    break
                slot = self._oldest + self._flying
                if slot >= self._slots:
                    slot -= self._slots
                self._sent_at_ns[slot] = self._queue.now()
                session._send(self._opcode, PyBytes_AS_STRING(self._frame),
                              PyBytes_GET_SIZE(self._frame))
                self._flying += 1
                self._sent += 1
        finally:
            if corked:
                session.link.uncork()
        return 0

    cdef int _answered(self, int kind, const char *data, Py_ssize_t size,
                       int64_t arrived_ns) except -1:
        """A message has come: it answers the oldest frame in flight."""
        cdef int64_t elapsed_ns
        if self._verify and (
                kind != self._opcode or size != PyBytes_GET_SIZE(self._frame)
                or size and memcmp(data, PyBytes_AS_STRING(self._frame), size) != 0):
            return self._session.violation(
                f"echo_loop sent {shown(self._opcode, self._frame, len(self._frame))}, "
                f"and {shown(kind, data[:min(size, SHOWN)], size)} came back")
        if self._flying == 0:
            self._session._traffic.discarded += 1    # nothing is sent while the socket is full
            return 0
        elapsed_ns = arrived_ns - self._sent_at_ns[self._oldest]
        self._oldest += 1
        if self._oldest == self._slots:
            self._oldest = 0
        self._flying -= 1
        self.round_trips += 1
        if self._trend is not None:
            self._trend.record_ns(elapsed_ns)
        if self.round_trips == self._count:
            self.leave()
            return self.complete(self.round_trips)
        return self.room()

    cdef int64_t _deadline(self, int64_t now_ns) noexcept:
        """When to look again: never later than the first of what can end it by time."""
        cdef int64_t due_ns = now_ns + self._timeout_ns
        if self._flying:
            due_ns = self._sent_at_ns[self._oldest] + self._timeout_ns
        elif self._blocked and self._session._send_timeout_ns > 0:
            due_ns = self._blocked_ns + self._session._send_timeout_ns
        return min(due_ns, self._end_ns) if self._end_ns else due_ns

    cdef int fire(self, int64_t now_ns) except -1:
        cdef int64_t due_ns = self._deadline(now_ns), asked_ns = -1
        cdef bint at_end = self._end_ns != 0 and now_ns >= self._end_ns
        if now_ns < due_ns:
            # Answers have come since it was queued: one re-queue a deadline, not one an answer.
            return self._queue.push(self, due_ns)
        if self._flying:
            asked_ns = self._sent_at_ns[self._oldest]
        self._cut_off("deadline")
        self.leave()
        if at_end:
            return self.complete(self.round_trips)
        if asked_ns < 0:
            return self.fail(send_timed_out(self._session, now_ns - self._blocked_ns))
        return self.fail(Timeout(
            f"echo_loop: no answer within {self._timeout_ns / 1e9:g} s", kind="reply_timeout",
            url=self._session.url, limit_s=self._timeout_ns / 1e9,
            elapsed_ms=(now_ns - asked_ns) / 1e6, age_s=self._session.age_s()))

    cdef int room(self) except -1:
        self._blocked = False
        try:
            return self._fill()
        except ClosedByPeer:
            return 0    # the session has ended with it

    cdef int ended(self) except -1:
        if self._session.error is None:     # it is being closed by this side
            self._cut_off(self._observer.cancel_cause())
        else:
            if self._trend is not None:
                self._trend.fail(self._flying)
            self._flying = 0    # no answer comes any more
        self.leave()
        return self.fail_with_session()

    cdef int detach(self) except -1:
        self._cut_off(self._observer.cancel_cause())
        return self.leave()

    cdef int _cut_off(self, str cause) except -1:
        """What is in flight has taken at least until now."""
        cdef int64_t now_ns = self._queue.now()
        cdef int i
        if self._trend is not None:
            for i in range(self._flying):
                self._trend.cut_off_ns(
                    now_ns - self._sent_at_ns[(self._oldest + i) % self._slots], cause)
        return 0

    cdef int leave(self) except -1:
        """Hand the session back; answers that are still to come are not for whoever has it next."""
        cdef WebSocketBase session = <WebSocketBase>self._session
        cdef EchoCodec codec = self._codec
        cdef _Late late
        if session._receiver is self:
            session._receiver = None
        if codec is not None:
            self._codec = None
            codec._loop = None
            if self._flying:
                late = _Late.__new__(_Late)
                late.frame = self._frame
                late.opcode = self._opcode
                late.verify = self._verify
                late.missing = self._flying
                if codec._late is None:
                    codec._late = []
                codec._late.append(late)
                self._flying = 0
            elif codec._late is None:
                session._codec = codec._inner
        return Flow.leave(self)


cdef str shown(int kind, bytes begin, Py_ssize_t size):
    """A message in the words of an error."""
    begin = begin[:SHOWN]
    more = "..." if size > len(begin) else ""
    return f"{size} B of {'text' if kind == OP_TEXT else 'binary'} {begin!r}{more}"


cdef class EchoCodec(Codec):
    cdef int feed(self, Channel channel, int kind, const char *data, Py_ssize_t size,
                  int64_t arrived_ns) except -1:
        cdef EchoCodec alive = self     # the session may let go of it meanwhile
        cdef Session session = <Session>channel
        cdef EchoLoop loop = self._loop
        if self._late is not None and self._is_late(kind, data, size):
            session._traffic.discarded += 1
            if self._late is None and loop is None:
                session._codec = alive._inner
            return 0
        if loop is not None:
            return loop._answered(kind, data, size, arrived_ns)
        return alive._inner.feed(channel, kind, data, size, arrived_ns)

    cdef int _is_late(self, int kind, const char *data, Py_ssize_t size) except -1:
        """Whether a message is an answer that an ended loop did not wait for."""
        cdef _Late late
        for late in self._late:
            if late.verify and (
                    kind != late.opcode or size != PyBytes_GET_SIZE(late.frame)
                    or size and memcmp(data, PyBytes_AS_STRING(late.frame), size) != 0):
                continue
            late.missing -= 1
            if late.missing == 0:
                self._late.remove(late)
                if not self._late:
                    self._late = None
            return True
        return False


cdef class _Late:
    pass
