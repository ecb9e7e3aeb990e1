# Part of session.pyx: what a scenario awaits of a session, and the deadlines of sessions.

cdef double MAX_SECONDS = _MAX_SECONDS


cdef double timeout_seconds(object timeout) except? -1:
    """A deadline as a scenario gives it; None, for no deadline, becomes -1."""
    cdef double seconds
    if timeout is None:
        return -1
    if type(timeout) is float:
        seconds = timeout
        if 0 <= seconds <= MAX_SECONDS:
            return seconds
    return parse_duration(timeout, "timeout")


cdef class _Ready:
    """The awaitable of a send that needs no waiting; one object serves them all."""

    def __await__(self):
        return _exhausted

cdef object _exhausted = iter(())
cdef _Ready _ready = _Ready()


cdef class RoomWaiter(Waiter):
    cdef int begin(self) except -1:
        cdef Session session = self._session
        if session.link is None or session._state == SESSION_CLOSED:
            return self.fail(session._dead())
        if not session.link.congested:
            return self.complete(None)
        if session._senders is None:
            session._senders = []
        session._senders.append(self)
        if session._send_timeout_ns > 0:
            self._asked_ns = self._queue.now()
            self._queue.push(self, self._asked_ns + session._send_timeout_ns)
        return 0

    cdef int detach(self) except -1:
        if self._session._senders is not None and self in self._session._senders:
            self._session._senders.remove(self)
        return 0

    cdef int expired(self, int64_t now_ns) except -1:
        self.detach()
        return self.fail(send_timed_out(self._session, now_ns - self._asked_ns))


cdef object send_timed_out(Session session, int64_t waited_ns):
    cdef double limit_s = session._send_timeout_ns / 1e9
    return Timeout(
        f"the server took nothing of what was sent for {limit_s:g} s", kind="send_timeout",
        url=session.url, limit_s=limit_s, elapsed_ms=waited_ns / 1e6, age_s=session.age_s())


cdef class Flow(Waiter):
    cdef int join(self) except -1:
        if self._session._flows is None:
            self._session._flows = []
        self._session._flows.append(self)
        return 0

    cdef int leave(self) except -1:
        cdef Session session = self._session
        if session._flows is not None and self in session._flows:
            session._flows.remove(self)
            if not session._flows:
                session._flows = None
        return 0

    cdef int fail_with_session(self) except -1:
        cdef Session session = self._session
        error = session.error
        if error is None or self._callback is not None:
            error = session._dead()
        return self.fail(error)

    cdef bint _poll(self) except -1:
        try:
            return Waiter._poll(self)
        finally:    # it may have ended before anybody awaited it
            if self._error is not None and self._error is self._session.error:
                self._session._error_seen = True

    cdef int room(self) except -1:
        return 0

    cdef int ended(self) except -1:
        return self.fail_with_session()


cdef class EndWaiter(Waiter):
    cdef int begin(self) except -1:
        cdef Session session = self._session
        if session.link is None:
            return self.complete(None)
        if session._closers is None:
            session._closers = []
        session._closers.append(self)
        return 0

    cdef int detach(self) except -1:
        if self._session._closers is not None and self in self._session._closers:
            self._session._closers.remove(self)
        return 0


cdef class PingWaiter(Waiter):
    cdef int begin(self) except -1:
        if self._pong_ns:   # answered before anybody waited
            return self.complete((self._pong_ns - self._sent_ns) / 1e6)
        if self._session._state == SESSION_CLOSED:
            return self.fail(self._session._dead())
        if self._timeout_s >= 0:
            self._queue.push(self, self._sent_ns + <int64_t>(self._timeout_s * 1e9))
        return 0

    cdef int detach(self) except -1:
        return self._give_up("cancelled")

    cdef int _give_up(self, str why) except -1:
        cdef Session session = self._session
        if session._pings is not None and session._pings.pop(self._payload, None) is not None:
            session._on_ping(self._queue.now() - self._sent_ns, why)
        return 0

    cdef int expired(self, int64_t now_ns) except -1:
        self._give_up("deadline")
        return self.fail(Timeout(
            f"no pong within {self._timeout_s:g} s", kind="receive_timeout",
            url=self._session.url, limit_s=self._timeout_s,
            elapsed_ms=(now_ns - self._sent_ns) / 1e6, age_s=self._session.age_s()))


cdef class Reply(Waiter):
    """An answer that a session waits for: completed from Python when the right item arrives.

    :param session: whose end fails the wait.
    :param timeout: seconds from now, or None to wait until the session ends.
    :param kind: the kind of the Timeout that is raised, e.g. ``reply_timeout``.
    :param what: what was awaited, for the message.
    :param forget: called with this object when it times out or is cancelled.
    :ivar asked_ns: when the wait began, on the clock of the session's timers.
    """
    cdef Session _session
    cdef double _timeout_s
    cdef str _kind
    cdef str _what
    cdef object _forget
    cdef readonly int64_t asked_ns

    def __init__(self, Session session not None, timeout, str kind, str what, forget):
        self._session = session
        self._queue = session._engine.timers
        self._timeout_s = timeout_seconds(timeout)
        self._kind = kind
        self._what = what
        self._forget = forget
        self.asked_ns = self._queue.now()
        self._begin()

    cdef int begin(self) except -1:
        if self._timeout_s >= 0:
            self._queue.push(self, self.asked_ns + <int64_t>(self._timeout_s * 1e9))
        return 0

    def set_result(self, value) -> None:
        """The answer has come; ignored once the wait is over."""
        self.complete(value)

    def set_error(self, error) -> None:
        """No answer will come, for this reason; ignored once the wait is over."""
        self.fail(error)

    cdef int detach(self) except -1:
        self._forget(self)
        return 0

    cdef int expired(self, int64_t now_ns) except -1:
        self._forget(self)
        return self.fail(Timeout(
            f"{self._what}: no answer within {self._timeout_s:g} s", kind=self._kind,
            url=self._session.url, limit_s=self._timeout_s,
            elapsed_ms=(now_ns - self.asked_ns) / 1e6, age_s=self._session.age_s()))


cdef class Opener(Waiter):
    """A session that is being opened; the result is the session, once its user can have it.

    :param attempt: is called as opening goes on: ``upgraded(session, tcp_ns)``, then
        ``ready(session)`` or ``not_ready(session, error)``, which returns what to raise.
    :param limit_ns: the deadline of all of opening, on the clock of the session's timers.
    """

    def __init__(self, Session session not None, attempt, int64_t limit_ns):
        self._session = session
        self._queue = session._engine.timers
        self._attempt = attempt
        self._limit_ns = limit_ns
        self._begin()

    cdef int begin(self) except -1:
        return self._queue.push(self, self._limit_ns)

    def upgraded(self, int64_t tcp_ns) -> None:
        """The 101 has come, and the link is the session's."""
        try:
            self._attempt.upgraded(self._session, tcp_ns)
            self._session._begin_handshake(self)
        except Exception as fault:
            self._break(fault)

    def set_result(self, value) -> None:
        """What must follow the 101 has come."""
        if self._state == WAITER_PENDING:
            try:
                self._session._advance(_SESSION)
                self._attempt.ready(self._session)
            except Exception as fault:
                self._break(fault)
            else:
                self.complete(self._session)

    def set_error(self, error) -> None:
        """The session cannot be had; the attempt says what is raised for this error."""
        if self._state == WAITER_PENDING:
            try:
                error = self._attempt.not_ready(self._session, error)
            except Exception as fault:
                error = fault
            self.fail(error)

    cdef int _break(self, fault) except -1:
        """Whoever records the attempt failed: that is raised, now and not at the deadline."""
        self._session.abort()
        return self.fail(fault)

    cdef int detach(self) except -1:
        self._attempt.not_ready(self._session, CancelledError())
        return 0

    cdef int give_back(self, object value) except -1:
        self._session.abort()
        return 0

    cdef int expired(self, int64_t now_ns) except -1:
        self.set_error(TimeoutError())
        return 0


cdef class Watchdog(Timer):
    cdef int64_t next_look_ns(self, int64_t now_ns) noexcept:
        """When to look whether the deadline has moved on: together with others a little before it,
        since each look of its own would wake the process; then at the deadline itself."""
        cdef int64_t together_ns = self.deadline_ns - self.deadline_ns % LOOK_NS
        return together_ns if together_ns > now_ns else self.deadline_ns

    cdef int fire(self, int64_t now_ns) except -1:
        cdef Session session = self.session
        if session is None or session.link is None:
            return 0
        if now_ns < self.deadline_ns:
            # Moved on since it was queued: one re-queue a period instead of one a ping.
            return session._engine.timers.push(self, self.next_look_ns(now_ns))
        if session._state == SESSION_OPEN:
            if self.grace < PING_GRACE_PASSES + session._engine.live_sessions // 128:
                # If it was this process that was busy, the ping may be waiting in the socket: it is
                # read in the next passes of the loop (a pass reads from so many sockets at most).
                self.grace += 1
                return session._engine.timers.push(self, now_ns + 1)
            session._state = SESSION_CLOSING
            session._end(Timeout(
                f"no Engine.IO ping from the server for {self.within_ns / 1e9:g} s",
                kind="ping_timeout", url=session.url, limit_s=self.within_ns / 1e9,
                elapsed_ms=self.within_ns / 1e6))
        session.link.abort()
        return 0
