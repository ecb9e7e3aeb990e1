"""A session: one WebSocket connection as a scenario sees it. Knows a Link, not which one."""

from libc.stdint cimport int64_t, uint64_t

from ghostcore.protocol.codec cimport Channel, Codec
from ghostcore._engine cimport Engine, Link, Traffic
from ghostcore.protocol.deflate cimport Deflater
from ghostcore.protocol.message cimport MessageReader
from ghostcore.loop.timers cimport Timer, TimerQueue, Waiter


cdef enum SessionState:
    SESSION_NEW
    SESSION_OPEN
    SESSION_CLOSING         # our close frame is out, or theirs has come
    SESSION_CLOSED


# A deadline as a scenario gives it, in seconds; None, for no deadline, becomes -1.
cdef double timeout_seconds(object timeout) except? -1


cdef class Session(Channel):
    """One connection. Subclasses decide how items reach the scenario.

    Times are CLOCK_MONOTONIC in ns (or a fake clock of the loop); 0: it has not come to that.

    :ivar error: why the session ended; None while it lives, or if this side closed it.
    :ivar url: the URL that was dialled, without its query.
    :ivar subprotocol: the subprotocol that the server chose; empty for none.
    :ivar close_reason: the reason in the peer's close frame; empty without one.
    :ivar close_code: the code in the peer's close frame; 1006 if none came, 1005 if it had no code.
    :ivar dialed_ns: when opening began.
    :ivar opened_ns: when the 101 arrived.
    :ivar closed_ns: when the session ended.
    :ivar arrived_ns: when the last frame arrived.
    :ivar msgs_sent: data messages sent, those of Engine.IO included.
    :ivar msgs_received: data messages received, those of Engine.IO included.
    """
    cdef readonly Engine _engine
    cdef Link link
    cdef readonly Codec _codec
    cdef MessageReader _reader
    cdef Deflater _deflater         # None unless compression was negotiated
    cdef readonly Traffic _traffic
    cdef list _senders              # wait for room
    cdef list _flows                # send by themselves; None while there is none
    cdef list _closers              # wait for the end
    cdef dict _postponed            # opcode -> the latest answer that waits for room
    cdef dict _pings                # payload -> PingWaiter
    cdef Watchdog _watchdog
    cdef readonly object error      # why the session ended; None while it lives, or if we closed it
    cdef readonly str url           # without its query
    cdef readonly object _phase     # of opening it; written by _advance() alone
    cdef public int64_t _send_timeout_ns    # that awaiting a send may take; 0: for ever
    cdef readonly str subprotocol
    cdef readonly str close_reason
    cdef readonly int64_t dialed_ns
    cdef readonly int64_t _upgrading_ns  # the upgrade request was written
    cdef readonly int64_t opened_ns     # the 101 arrived
    cdef readonly int64_t closed_ns
    cdef readonly int64_t arrived_ns
    cdef readonly int64_t msgs_sent
    cdef readonly int64_t msgs_received
    cdef int64_t _close_sent_ns
    cdef readonly int close_code
    cdef SessionState _state
    cdef bint _error_seen           # the scenario has been told of the error

    # The link's side. Before link_opened(): the agreed compression (a Deflate), or None.
    cpdef int _advance(self, object phase) except -1
    cdef int use_deflate(self, object agreed) except -1
    cdef int link_opened(self, Link link, str subprotocol) except -1
    cdef int link_frame(self, int opcode, bint fin, int reserved, const char *data,
                        Py_ssize_t size) except -1
    # The header of a frame whose payload is still to come: 1 if no more is to be received.
    cdef int link_head(self, int opcode, bint fin, int reserved, uint64_t size) except -1
    # The link itself saw the peer break the protocol.
    cdef int link_violated(self, int code, str detail) except -1
    cdef int link_room(self) except -1
    cdef int link_lost(self, object error) except -1

    cpdef double age_s(self)
    cdef int _expect_within(self, int64_t within_ns) except -1
    cdef int _send(self, int opcode, const char *data, Py_ssize_t size) except -1
    cdef int _send_close(self, int code, str reason) except -1
    cdef int _postpone(self, int opcode, const char *data, Py_ssize_t size) except -1
    cdef int _peer_closed(self, int code, str reason) except -1
    cdef int _violated(self, int code, str detail) except -1
    cdef int _settle(self, object error) except -1
    cdef int _end(self, object error) except -1
    cdef int _end_flows(self) except -1
    cdef int _fail_receiver(self) except -1     # the session has ended: tell who receives
    cdef object _dead(self)


cdef class Watchdog(Timer):
    cdef Session session
    cdef int64_t deadline_ns
    cdef int64_t within_ns
    cdef int grace                  # passes of the loop since the deadline

    cdef int64_t next_look_ns(self, int64_t now_ns) noexcept


cdef class RoomWaiter(Waiter):
    cdef Session _session
    cdef int64_t _asked_ns


# What a wait for room that took so long ends with.
cdef object send_timed_out(Session session, int64_t waited_ns)


cdef class Flow(Waiter):
    """An operation that sends by itself until it is complete. Pending: the session is open."""
    cdef Session _session

    cdef int join(self) except -1       # be told of room and of the end from now on
    cdef int leave(self) except -1
    cdef int fail_with_session(self) except -1  # with why the session ended
    # Overridden:
    cdef int room(self) except -1       # the link takes more again
    cdef int ended(self) except -1      # the session has ended or is being closed: fail


cdef class EndWaiter(Waiter):
    cdef Session _session
    cdef int64_t _limit_ns


cdef class PingWaiter(Waiter):
    cdef Session _session
    cdef bytes _payload
    cdef double _timeout_s
    cdef int64_t _sent_ns
    cdef int64_t _pong_ns

    cdef int _give_up(self, str why) except -1


cdef class Opener(Waiter):
    cdef Session _session
    cdef object _attempt
    cdef int64_t _limit_ns

    cdef int _break(self, fault) except -1


cdef class DispatchingSession(Session):
    pass
