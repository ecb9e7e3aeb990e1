"""Plain WebSocket sessions: messages in the order in which they came, none lost."""

from libc.stdint cimport int64_t

from ghostcore.sessions.session cimport SESSION_CLOSED, SESSION_NEW, Session, timeout_seconds
from ghostcore.loop.timers cimport WAITER_PENDING, Waiter

from collections import deque

from ghostcore.errors import Timeout, UsageError

cdef int STREAK_MAX = 64    # queued messages handed out in a row before the loop gets a turn


cdef class WebSocketBase(Session):
    """A plain WebSocket: messages in the order in which they came, none lost."""

    def recv(self, timeout=None):
        """The next :class:`Message`. Awaitable, by one task at a time.

        Messages that had come before the session ended are handed out first.

        :param timeout: seconds (or "2s") to wait; None waits until the session ends.
        :raises Timeout: when awaited, kind ``receive_timeout``: no message came in time.
        :raises ClosedByPeer: when awaited: the connection ended.
        :raises ProtocolViolation: when awaited: the server broke the protocol.
        :raises UsageError: when awaited: another task is receiving from this session already, the
            session is not connected yet, or this side has closed it.
        """
        cdef RecvWaiter op = RecvWaiter.__new__(RecvWaiter)
        op._queue = self._engine.timers
        op._session = self
        op._timeout_s = timeout_seconds(timeout)
        return op

    def send(self, data):
        """Send one message at once.

        :param data: str as text, bytes-like as binary.
        :returns: an awaitable that completes when the socket has room again, at once as a rule:
            awaiting it is back-pressure.
        :raises UsageError: the session is not connected yet, or this side has closed it.
        :raises TargetError: the session has ended; nothing was sent or counted.
        :raises Timeout: when awaited, kind ``send_timeout``: the server reads nothing.
        """
        return self._write_message(data)

    cdef int deliver(self, object item) except -1:
        cdef Waiter receiver = self._receiver
        if receiver is not None and not self._inbox:    # else it waits for _pump(): no overtaking
            self._receiver = None
            if receiver._state == WAITER_PENDING:
                return receiver.complete(item)
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.append(item)
        return 0

    cdef int _fail_receiver(self) except -1:
        cdef Waiter receiver
        if self._inbox:
            return 0    # _pump() serves it: what had come is handed out first
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.fail(self._dead())
        return 0

    def _pump(self):
        """Hand a queued item to the receiver that gave the loop a turn first."""
        cdef Waiter receiver = self._receiver
        if receiver is not None and self._inbox:
            self._receiver = None
            receiver.complete(self._inbox.popleft())


cdef class RecvWaiter(Waiter):
    cdef int begin(self) except -1:
        cdef WebSocketBase session = self._session
        if session._receiver is not None:
            raise UsageError("recv: another task is receiving from this session already")
        if session._inbox:
            session._streak += 1
            if session._streak < STREAK_MAX:
                return self.complete(session._inbox.popleft())
            session._streak = 0
            session._receiver = self
            self._queue.loop.call_soon(session._pump)
            return 0
        if session._state == SESSION_CLOSED:
            return self.fail(session._dead())
        if session._state == SESSION_NEW:
            raise UsageError("recv: the session is not connected yet: await it first")
        session._streak = 0
        session._receiver = self
        if self._timeout_s >= 0:
            self._asked_ns = self._queue.now()
            self._queue.push(self, self._asked_ns + <int64_t>(self._timeout_s * 1e9))
        return 0

    cdef int detach(self) except -1:
        if self._session._receiver is self:
            self._session._receiver = None
        return 0

    cdef int give_back(self, object value) except -1:
        cdef WebSocketBase session = self._session
        cdef Waiter receiver = session._receiver
        if receiver is not None:    # another task began to wait meanwhile: it is the next in turn
            session._receiver = None
            return receiver.complete(value)
        if session._inbox is None:
            session._inbox = deque()
        session._inbox.appendleft(value)
        return 0

    cdef int expired(self, int64_t now_ns) except -1:
        self.detach()
        return self.fail(Timeout(
            f"no message within {self._timeout_s:g} s", kind="receive_timeout",
            url=self._session.url, limit_s=self._timeout_s,
            elapsed_ms=(now_ns - self._asked_ns) / 1e6, age_s=self._session.age_s()))
