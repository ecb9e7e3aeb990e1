"""Sessions: connections as scenarios see them.

A session stands between a link (frames on a socket) and a codec (what the messages mean). All of it
runs inside the link's callbacks: a frame is stamped, assembled, answered if it is a ping, decoded and
handed to whoever waits, without a task, a queue or a timer of its own.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.math cimport NAN
from libc.stdint cimport int64_t, uint64_t

from ghostcore.protocol.codec cimport KIND_BINARY, KIND_TEXT, Channel, Codec
from ghostcore.protocol.deflate cimport Deflater, Inflater
from ghostcore._engine cimport Engine, Link, Traffic
from ghostcore.protocol.frame cimport frame_size, received_size
from ghostcore.protocol.message cimport (
    AFTER_CLOSE, CLOSE, FLAG_RSV1, MESSAGE, NOTHING, OP_BINARY, OP_PING, OP_PONG, OP_TEXT, PING, PONG,
    VIOLATION, MessageReader, Outcome,
)
from ghostcore.loop.timers cimport WAITER_PENDING, Timer, TimerQueue, Waiter

from asyncio import CancelledError

from ghostcore._units import MAX_SECONDS as _MAX_SECONDS, parse_duration
from ghostcore.errors import (
    ClosedByPeer, EngineError, Phase, ProtocolViolation, TargetError, Timeout, UsageError,
)

cdef int64_t CLOSE_TIMEOUT_NS = 5_000_000_000   # for the peer's part of the closing handshake
cdef int64_t LOOK_NS = 250_000_000     # watchdogs look at multiples of it
cdef int PING_GRACE_PASSES = 3

cdef object _DNS = Phase.DNS
cdef object _ENGINEIO_OPEN = Phase.ENGINEIO_OPEN
cdef object _SESSION = Phase.SESSION

cdef int64_t _live_sessions = 0


def live_sessions() -> int:
    """Sessions whose connection has not ended yet; the leak tests expect zero."""
    return _live_sessions


cdef class Session(Channel):
    def __init__(self, Engine engine not None, Codec codec not None, Traffic traffic not None,
                 Py_ssize_t max_message_size, int64_t dialed_ns, str url="",
                 int64_t send_timeout_ns=0):
        self._engine = engine
        self._codec = codec
        self._traffic = traffic
        self._reader = MessageReader(max_message_size)
        self.close_code = 1006
        self.close_reason = ""
        self.subprotocol = ""
        self.url = url
        self._send_timeout_ns = send_timeout_ns
        self._phase = _DNS
        self.dialed_ns = dialed_ns

    # ---- what Python sees --------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """True from the upgrade until the connection ends or begins to close."""
        return self._state == SESSION_OPEN

    @property
    def is_closed(self) -> bool:
        """True once the session has ended."""
        return self._state == SESSION_CLOSED

    @property
    def _is_linked(self) -> bool:
        """True while there is a connection under the session, be it one that is going down."""
        return self.link is not None

    def close(self, int code=1000, str reason=""):
        """Send a close frame at once; awaiting the result waits for the connection to end, also
        where the session has ended before and the connection is still going down.

        A peer that does not answer the closing handshake within 5 s is cut off.

        :param code: 1000 or 3000-4999 (RFC 6455 section 7.4).
        :param reason: text for the peer; cut to whole characters within 123 bytes of UTF-8.
        :returns: an awaitable, which need not be awaited. A session that has ended or is closing
            sends nothing.
        :raises UsageError: another code.
        """
        if code != 1000 and not 3000 <= code <= 4999:
            raise UsageError(f"close: code must be 1000 or 3000 to 4999, got {code}")
        if self._state == SESSION_OPEN:
            self._state = SESSION_CLOSING
            self._close_sent_ns = self._engine.timers.now()
            self._send_close(code, reason)
            self._expect_within(CLOSE_TIMEOUT_NS)
            self._end_flows()
        cdef EndWaiter op = EndWaiter.__new__(EndWaiter)
        op._queue = self._engine.timers
        op._session = self
        return op

    def abort(self) -> None:
        """End the connection now, without a closing handshake; the peer sees 1006. Idempotent."""
        if self._state < SESSION_CLOSED:
            self._state = SESSION_CLOSING
            self._close_sent_ns = self._engine.timers.now()
        self._end_flows()
        if self.link is not None:
            self.link.abort()
        else:
            self._end(None)

    def ping(self, bytes payload=b"", timeout=None):
        """Send a WebSocket ping at once; awaiting the result gives the round trip in ms.

        :param payload: up to 125 bytes; empty: one is made up that no other ping has.
        :param timeout: seconds (or "2s") to wait for the pong; None waits until the session ends.
        :raises UsageError: a payload of more than 125 bytes or one that is under way already, or a
            session that is not connected yet or was closed by this side.
        :raises TargetError: the session has ended; nothing was sent. When awaited: why it ended.
        :raises Timeout: when awaited, kind ``receive_timeout``: no pong came in time.
        """
        if len(payload) > 125:
            raise UsageError(f"ping: at most 125 bytes of payload, got {len(payload)}")
        self._require_open("ping")
        if self._pings is None:
            self._pings = {}
        if not payload:
            payload = b"%016x" % (self._engine.timers.now() + len(self._pings))
        elif payload in self._pings:
            raise UsageError(f"ping: one with the payload {payload!r} is under way already")
        cdef PingWaiter op = PingWaiter.__new__(PingWaiter)
        op._queue = self._engine.timers
        op._session = self
        op._payload = payload
        op._timeout_s = timeout_seconds(timeout)
        op._sent_ns = self._engine.timers.now()
        self._pings[payload] = op
        self.link.send(OP_PING, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
        self._traffic.bytes_sent += frame_size(PyBytes_GET_SIZE(payload))
        return op

    def _write_message(self, data):
        """Send one message at once.

        :param data: str as text, bytes-like as binary.
        :returns: an awaitable that completes when the socket has room again: awaiting it is
            back-pressure.
        :raises TargetError: the session has ended; nothing was sent or counted.
        """
        cdef const char *text
        cdef Py_ssize_t size
        cdef bytes raw
        if self._state != SESSION_OPEN:
            self._require_open("send")
        try:
            if isinstance(data, str):
                text = PyUnicode_AsUTF8AndSize(data, &size)
                self._send(OP_TEXT, text, size)
            else:
                raw = data if isinstance(data, bytes) else bytes(memoryview(data))
                self._send(OP_BINARY, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
        except ClosedByPeer as error:
            self._error_seen = self.error is error
            raise
        return self._room()

    def _room(self):
        """An awaitable that completes when the socket takes more."""
        cdef RoomWaiter op
        if self.link is None or not self.link.congested:
            return _ready
        op = RoomWaiter.__new__(RoomWaiter)
        op._queue = self._engine.timers
        op._session = self
        return op

    def _require_open(self, str operation):
        if self._state == SESSION_OPEN:
            return
        if self._state == SESSION_NEW:
            raise UsageError(f"{operation}: the session is not connected yet: await it first")
        raise self._dead()

    cdef object _dead(self):
        """What an operation on a session that has ended (or is ending) raises."""
        if self.error is not None:
            self._error_seen = True
            return self.error
        return UsageError("the session was closed by this side: open another one")

    def _ended_error(self):
        """What an operation that was waiting when the session ended raises."""
        return self._dead()

    @property
    def _has_unseen_error(self) -> bool:
        """True if an error ended the session and no operation has raised it yet."""
        return self.error is not None and not self._error_seen

    def _take_unseen_error(self):
        """The error that ended the session if no operation has raised it yet, else None."""
        if self.error is None or self._error_seen:
            return None
        self._error_seen = True
        return self.error

    cpdef double age_s(self):
        """Seconds since the 101 arrived; NaN before it."""
        return (self._engine.timers.now() - self.opened_ns) / 1e9 if self.opened_ns else NAN

    def _phase_in_words(self) -> str:
        """How far opening the session has come, in words."""
        return self._phase.unfinished

    def _end_by_server(self, error) -> None:
        """A subclass saw the server end the session on its own level: close the connection."""
        if self._state == SESSION_OPEN:
            self._state = SESSION_CLOSING
            self._send_close(1000, "")
            self._expect_within(CLOSE_TIMEOUT_NS)
            self._end(error)

    # For subclasses written in Python: items are handed to _on_item(), the end to _on_end().
    def _on_item(self, item):
        raise EngineError("a session that dispatches must override _on_item()")

    def _on_ping(self, int64_t elapsed_ns, str end):
        """A ping of the scenario's has its pong, or never will have. Ends: "" for a pong, "lost" with
        the session, or why it was cut off: "deadline", "cancelled", "interrupted"."""

    def _on_end(self):
        pass

    def _got_service(self) -> bool:
        """Whether the server can be said to have served this session: it sent a message, or at
        least did not end the connection."""
        return self.msgs_received > 0 or self.error is None

    # What an Opener asks of a kind of session.
    def _begin_handshake(self, opener) -> None:
        """The 101 has come: call the opener's set_result() when what must follow it has."""
        opener.set_result(None)

    @property
    def _ready_ns(self) -> int:
        """When the session could be used."""
        return self.opened_ns

    def _take_leave(self):
        """What the end of an ``async with`` block does: close(), after what the protocol wants."""
        return self.close()

    # ---- the codec's side --------------------------------------------------------------------

    cdef int write(self, int kind, const char *data, Py_ssize_t size) except -1:
        if self._state != SESSION_OPEN:
            return 0    # what a codec answers on its own is moot once the session is going down
        if self.link.congested:
            return self._postpone(kind, data, size)
        try:
            return self._send(kind, data, size)
        except ClosedByPeer:
            return 0    # the session has ended with it

    cdef int violation(self, str detail) except -1:
        return self._violated(1002, detail)

    cdef int watchdog(self, int64_t within_ns) except -1:
        if self._state != SESSION_OPEN:
            return 0    # the deadline of closing stands, whatever the server goes on to send
        return self._expect_within(within_ns)

    cdef int _expect_within(self, int64_t within_ns) except -1:
        cdef Watchdog dog = self._watchdog
        cdef int64_t now_ns
        if within_ns == 0:
            if dog is not None:
                self._engine.timers.remove(dog)
            return 0
        if dog is None:
            dog = self._watchdog = Watchdog()
            dog.session = self
        dog.within_ns = within_ns
        dog.grace = 0
        now_ns = self._engine.timers.now()
        dog.deadline_ns = now_ns + within_ns
        if dog._slot < 0 or dog.deadline_ns < dog.due_ns:
            self._engine.timers.push(dog, dog.next_look_ns(now_ns))
        return 0

    cdef int _send(self, int opcode, const char *data, Py_ssize_t size) except -1:
        cdef bytes compressed
        cdef bint is_message = opcode != OP_PONG
        if is_message and self._deflater is not None:
            compressed = self._deflater.message(data, size)
            opcode |= FLAG_RSV1
            data = PyBytes_AS_STRING(compressed)
            size = PyBytes_GET_SIZE(compressed)
        try:
            self.link.send(opcode, data, size)
        except ClosedByPeer as error:
            if self._state == SESSION_OPEN:
                # What the socket tells later is this same loss: the session ends once.
                self._state = SESSION_CLOSING
                self._end(error)
                self.link.abort()
            raise
        if is_message:
            self.msgs_sent += 1
            self._traffic.msgs_sent += 1
        self._traffic.bytes_sent += frame_size(size)
        return 0

    cdef int _send_close(self, int code, str reason) except -1:
        """The one close frame of the session."""
        self._traffic.bytes_sent += self.link.send_close(code, reason)
        return 0

    cdef int _postpone(self, int opcode, const char *data, Py_ssize_t size) except -1:
        """Keep an answer to a ping until the socket has room, the latest of a kind only.

        A peer that sends pings and reads no answers would fill the memory; RFC 6455 section 5.5.3
        lets the most recent ping be answered alone, and an Engine.IO pong is like any other.
        """
        if self._postponed is None:
            self._postponed = {}
        self._postponed[opcode] = PyBytes_FromStringAndSize(data, size)
        return 0

    # ---- the link's side ---------------------------------------------------------------------

    cdef int link_opened(self, Link link, str subprotocol) except -1:
        """The 101 has come and frames may follow at once."""
        global _live_sessions
        self.link = link
        self.subprotocol = subprotocol
        self.opened_ns = self._engine.timers.now()
        self._advance(_ENGINEIO_OPEN)
        self._state = SESSION_OPEN
        self._engine.live_sessions += 1
        _live_sessions += 1
        return 0

    cpdef int _advance(self, object phase) except -1:
        """Opening has come to this Phase. Nothing else writes it."""
        self._phase = phase
        return 0

    cdef int use_deflate(self, object agreed) except -1:
        if agreed is None:
            return 0
        self._reader.use_inflater(
            Inflater(agreed.server_max_window_bits, not agreed.server_no_context_takeover))
        self._deflater = Deflater(
            agreed.client_max_window_bits, not agreed.client_no_context_takeover)
        return 0

    cdef int link_head(self, int opcode, bint fin, int reserved, uint64_t size) except -1:
        """What the header of a frame tells before its payload is there."""
        cdef Outcome outcome
        if self._state == SESSION_CLOSED:
            return 1
        outcome = self._reader.judge(opcode, fin, reserved, size)
        if outcome == VIOLATION:
            self._violated(self._reader.close_code, self._reader.detail)
        return outcome != NOTHING

    cdef int link_violated(self, int code, str detail) except -1:
        if self._reader._closed:
            return 0    # behind a close frame anything may come (RFC 6455 section 5.5.1)
        return self._violated(code, detail)

    cdef int link_frame(self, int opcode, bint fin, int reserved, const char *data,
                        Py_ssize_t size) except -1:
        """One frame, unmasked; `data` is valid during the call."""
        cdef Outcome outcome
        cdef MessageReader reader = self._reader
        self.arrived_ns = self._engine.timers.now()
        self._engine.vitals.stamped(self.arrived_ns)
        self._traffic.bytes_received += received_size(size)
        if self._state == SESSION_CLOSED:
            return 0
        outcome = reader.feed(opcode, fin, reserved, data, size)
        if outcome == MESSAGE:
            self.msgs_received += 1
            self._traffic.msgs_received += 1
            self._codec.feed(self, reader.kind, reader.data, reader.size, self.arrived_ns)
        elif outcome == PING:
            self.write(OP_PONG, reader.data, reader.size)
        elif outcome == PONG:
            self._pong(PyBytes_FromStringAndSize(reader.data, reader.size))
        elif outcome == CLOSE:
            self._peer_closed(reader.close_code, reader.close_reason)
        elif outcome == VIOLATION:
            self._violated(reader.close_code, reader.detail)
        return 0

    cdef int link_room(self) except -1:
        """The link is no longer congested."""
        cdef RoomWaiter op
        cdef bytes answer
        postponed, self._postponed = self._postponed, None
        if postponed is not None:
            for opcode, answer in postponed.items():
                self.write(opcode, PyBytes_AS_STRING(answer), PyBytes_GET_SIZE(answer))
        senders = self._senders
        self._senders = None
        if senders is not None:
            for op in senders:
                op.complete(None)
        if self._flows is not None:
            for flow in tuple(self._flows):
                if (<Flow>flow)._state == WAITER_PENDING:
                    (<Flow>flow).room()
        return 0

    cdef int link_lost(self, object error) except -1:
        """The connection is gone. `error`: a TargetError, an OSError, or None for an end of stream."""
        global _live_sessions
        cdef Waiter op
        if self.link is None:
            return 0
        self.link = None
        self._engine.live_sessions -= 1
        _live_sessions -= 1
        if self._watchdog is not None:
            self._engine.timers.remove(self._watchdog)
            self._watchdog.session = None
            self._watchdog = None
        try:
            return self._settle(error)
        finally:
            closers, self._closers = self._closers, None
            if closers is not None:
                for op in closers:
                    op.complete(None)

    cdef int _settle(self, object error) except -1:
        """What the end of the connection means for the session."""
        if self._state == SESSION_CLOSED:
            return 0
        if isinstance(error, TargetError):
            return self._end(error)
        if self._state == SESSION_CLOSING and self.error is None and self._close_sent_ns:
            return self._end(None)      # we asked for it
        if self.error is not None:
            return self._end(self.error)
        age_s = self.age_s()
        how = f"was lost ({error})" if error is not None else "ended without a close frame"
        return self._end(ClosedByPeer(
            f"the connection {how} at the age of {age_s:.3f} s", kind="connection_lost",
            url=self.url, code=1006, age_s=age_s))

    cdef int _peer_closed(self, int code, str reason) except -1:
        self.close_code = code
        self.close_reason = reason
        if self._state != SESSION_OPEN:
            return 0    # the answer to our close frame; the server ends the connection
        age_s = (self.arrived_ns - self.opened_ns) / 1e9
        told = f"{code} {reason}".rstrip()
        self.error = ClosedByPeer(
            f"the server closed the connection with {told} at the age of {age_s:.3f} s",
            url=self.url, code=code, reason=reason, age_s=age_s)
        self._state = SESSION_CLOSING
        self._send_close(code, "")
        self._expect_within(CLOSE_TIMEOUT_NS)
        return self._end(self.error)

    cdef int _violated(self, int code, str detail) except -1:
        """The peer broke the protocol: fail the connection (RFC 6455 section 7.1.7)."""
        if self._state == SESSION_NEW or self._state == SESSION_CLOSED:
            return 0
        if self._state == SESSION_OPEN:     # else our close frame is out, and a second must not be
            self._send_close(code, detail)
        self._state = SESSION_CLOSING
        self.link.close()
        self._expect_within(CLOSE_TIMEOUT_NS)
        kind = "message_too_big" if code == 1009 else "protocol_violation"
        return self._end(ProtocolViolation(detail, kind=kind, url=self.url, code=code))

    cdef int _end(self, object error) except -1:
        """The session is over: tell everybody who waits for something of it."""
        cdef Waiter op
        if self._state == SESSION_CLOSED:
            return 0
        self._state = SESSION_CLOSED
        self.error = error
        self.closed_ns = self._engine.timers.now()
        if error is not None and isinstance(error, TargetError) and error.age_s != error.age_s:
            error.age_s = self.age_s()
        self._deflater = None       # the zlib contexts are the largest part of a session
        self._reader._inflater = None
        pings, self._pings = self._pings, None
        senders, self._senders = self._senders, None
        self._end_flows()
        self._on_end()
        self._fail_receiver()
        if pings is not None:
            for op in pings.values():
                self._on_ping(self.closed_ns - (<PingWaiter>op)._sent_ns,
                              "interrupted" if error is None else "lost")
                if op._state == WAITER_PENDING:     # else nobody awaits it
                    op.fail(self._dead())
        if senders is not None:
            for op in senders:
                op.fail(self._dead())
        return 0

    def _pong(self, bytes payload):
        cdef PingWaiter op
        if self._pings is None:
            return
        op = self._pings.pop(payload, None)
        if op is not None:
            op._pong_ns = self.arrived_ns
            self._on_ping(op._pong_ns - op._sent_ns, "")
            op.complete((op._pong_ns - op._sent_ns) / 1e6)

    cdef int _fail_receiver(self) except -1:
        return 0

    cdef int _end_flows(self) except -1:
        flows, self._flows = self._flows, None
        if flows is not None:
            for flow in flows:
                if (<Flow>flow)._state == WAITER_PENDING:
                    (<Flow>flow).ended()
        return 0


# The operations of a session: sessions make them, so they cannot be a module that imports this.
include "operations.pxi"


cdef class DispatchingSession(Session):
    """A session whose items go to ``_on_item()`` of a subclass as they arrive."""

    cdef int deliver(self, object item) except -1:
        self._on_item(item)
        return 0
