"""The link for Linux: sockets of our own on an epoll descriptor of our own.

The event loop watches one descriptor, the hub's, whatever the number of connections. An idle
connection is a socket and an object of some 200 bytes: bytes are received into one buffer that all
share, and only the begin of a frame that has not come whole is kept. What a scenario sends while a
frame of its connection is being handled goes out in one send(2) when all that had come is handled.
TLS is a layer of it, between the socket and the frames (epoll_tls.pxi).
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.buffer cimport PyBUF_READ, PyBUF_WRITE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EAGAIN, EINPROGRESS, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset
from posix.unistd cimport close as c_close

from ghostcore.sessions.session cimport Opener, Session
from ghostcore._engine cimport Engine, Link
from ghostcore.protocol.frame cimport (
    FrameHead, frame_size, is_data, longest_head, put_frame, read_head,
)
from ghostcore.links.linux cimport (
    AF_INET, AF_INET6, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLL_CLOEXEC, EPOLL_CTL_ADD,
    EPOLL_CTL_MOD, IPPROTO_IP, IPPROTO_TCP, IP_BIND_ADDRESS_NO_PORT, IP_LOCAL_PORT_RANGE, MSG_NOSIGNAL, SHUT_WR,
    SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET, SO_ERROR, TCP_NODELAY, c_bind, c_connect, c_recv, c_send, c_shutdown, c_socket, epoll_create1, epoll_ctl,
    epoll_event, epoll_wait, getsockopt, htons, inet_pton, setsockopt, sockaddr, sockaddr_in,
    sockaddr_in6, sockaddr_storage,
)
from ghostcore.protocol.message cimport OP_CLOSE, close_payload
from ghostcore.loop.timers cimport WAITER_PENDING, tell_of
from ghostcore.loop.vitals cimport Vitals

import os
import sys
from ssl import MemoryBIO, SSLError, SSLWantReadError

from ghostcore.protocol.upgrade import MAX_BODY_BYTES, MAX_HEAD_BYTES
from ghostcore.errors import ClosedByPeer, ConnectFailed, EngineError, Phase, UsageError

cdef object _TLS = Phase.TLS
cdef object _UPGRADE = Phase.UPGRADE

cdef enum:
    RECEIVE_SIZE = 262144       # of the buffer that all links share
    EVENTS_MAX = 512            # handled before the loop's timers have their turn
    CORK_MAX = 65536
    HELD_NS = 50_000            # from reading one connection to sending what it and others answered
    BACKLOG_HIGH = 65536        # where awaiting a send begins to wait, and where it goes on: the
    BACKLOG_LOW = 16384         # marks of asyncio's transports
    BACKLOG_KEPT = 4096         # a larger backlog buffer is given back when it is empty


def available() -> bool:
    """Whether this platform has what the link needs."""
    return sys.platform == "linux"


# Hub and link know each other, so they are one module.
include "epoll_hub.pxi"


cdef class EpollLink(Link):
    def __cinit__(self):
        self._fd = -1

    def __dealloc__(self):
        if self._fd >= 0:
            c_close(self._fd)
        PyMem_Free(self._backlog)
        PyMem_Free(self._partial)

    # ---- the session's side ------------------------------------------------------------------

    cdef int send(self, int opcode, const char *data, Py_ssize_t size) except -1:
        cdef Hub hub = self._hub
        cdef Py_ssize_t total = frame_size(size)
        cdef char *out
        if self._state != LINK_OPEN:
            raise EngineError("a frame was sent on a link that is not open")
        if hub._corking is self and hub._corked_size + total <= CORK_MAX:
            if hub._corked == NULL:
                hub._corked = <char *>PyMem_Malloc(CORK_MAX)
                if hub._corked == NULL:
                    raise MemoryError()
            put_frame(<uint8_t *>hub._corked + hub._corked_size, opcode, hub._next_mask(),
                      <const uint8_t *>data, size)
            hub._corked_size += total
            hub._corked_msgs += is_data(opcode)
            return 0
        if hub._corking is self and hub._corked_size > hub._held_size:
            hub._uncork()
            hub._corking = self
        elif self._held:
            hub._send_held()
        out = hub.engine.scratch(total)
        put_frame(<uint8_t *>out, opcode, hub._next_mask(), <const uint8_t *>data, size)
        return self._write(out, total)

    cdef int send_close(self, int code, str reason) except -1:
        cdef bytes payload = close_payload(code, reason)
        if self._close_sent or self._state != LINK_OPEN:
            return 0
        self._close_sent = True
        try:
            self.send(OP_CLOSE, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
        except ClosedByPeer:
            return 0
        return <int>frame_size(PyBytes_GET_SIZE(payload))

    cdef int close(self) except -1:
        if self._hub._corking is self:
            self._hub._uncork()
        elif self._held:
            self._hub._send_held()
        if self._state >= LINK_CLOSING:
            return 0
        self._discard()
        self._state = LINK_CLOSING
        if self._backlog_size:
            return 0
        return self._end_stream()

    cdef int _end_stream(self) except -1:
        # The descriptor stays open until the peer ends its side (or the session's watchdog bites):
        # closed with unread bytes in it, it would answer with a reset that takes our close frame
        # away from under the peer.
        c_shutdown(self._fd, SHUT_WR)
        if self._watching_room:
            self._poll_for(EPOLLIN)
        return 0

    cdef int abort(self) except -1:
        if self._state == LINK_CLOSED:
            return 0
        if self._hub._corking is self:
            self._hub._uncork()
        elif self._held:
            self._hub._send_held()
        self._shut()
        # Not in the caller's step: it may be in the middle of using the session.
        self._hub.engine.loop.call_soon(self._report_lost)
        return 0

    cdef int cork(self) except -1:
        if self._hub._corking is not None:
            return 0    # only one link can be corked, and another is
        self._hub._corking = self
        return 1

    cdef int uncork(self) except -1:
        return self._hub._uncork() if self._hub._corking is self else 0

    def _report_lost(self):
        self._session.link_lost(None)

    # ---- connecting --------------------------------------------------------------------------

    cdef int _dial(self, object address) except -1:
        """Begin to connect to an address, or take the opener's socket.

        :raises OSError: the address is refused at once.
        """
        cdef EpollOpener op = self._opener
        cdef sockaddr_storage target, source
        cdef int one = 1, family, nth, ports
        cdef unsigned int size = 0, source_size = 0
        if op._sock is not None:
            op._sock.setblocking(False)
            self._fd = op._sock.detach()
            op._sock = None
        else:
            size = fill_address(self._hub._filled, &target, address)
            family = (<sockaddr_in *>&target).sin_family
            if op._local_address is not None:
                source_size = fill_address(self._hub._filled, &source, (op._local_address, 0))
                if (<sockaddr_in *>&source).sin_family != family:
                    raise UsageError(f"local_address: {op._local_address} is of another family "
                                     f"than {address[0]}")
            elif family == AF_INET and is_loopback(<sockaddr_in *>&target):
                nth = self._hub.engine.loopback_source()
                if nth:
                    source_size = fill_address(self._hub._filled, &source, (f"127.0.0.{1 + nth}", 0))
            self._fd = c_socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
            if self._fd < 0:
                raise OSError(errno, os.strerror(errno))
        setsockopt(self._fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
        if source_size:
            # The port is chosen by connect(), which may share one between targets.
            setsockopt(self._fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one))
            if c_bind(self._fd, <sockaddr *>&source, source_size) != 0:
                raise OSError(errno, os.strerror(errno))
        if address is not None:
            ports = self._hub.engine.port_range()
            if ports:   # an older kernel refuses it, and is slow
                setsockopt(self._fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &ports, sizeof(ports))
            if c_connect(self._fd, <sockaddr *>&target, size) != 0 and errno != EINPROGRESS:
                raise OSError(errno, os.strerror(errno))
        # Over loopback the other side has answered by now: the request can go out at once, and
        # epoll is spared one of two events.
        if self._ask():
            return self._hub._register(self, EPOLLIN)
        if self._state == LINK_CONNECTING:
            return self._hub._register(self, EPOLLOUT)
        return self._hub._register(self, EPOLLIN | EPOLLOUT)

    cdef bint _ask(self) except -1:
        """Send what opens the connection; False if it is not there yet, or has no room for all."""
        cdef bytes opening = self._first_bytes()
        cdef const char *request = PyBytes_AS_STRING(opening)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(opening)
        cdef ssize_t sent = c_send(self._fd, request, size, MSG_NOSIGNAL)
        if sent < 0:
            if errno == EAGAIN or errno == EINTR:
                return False
            raise OSError(errno, os.strerror(errno))
        self._asked(self._hub.engine.timers.now())
        if sent == size:
            return True
        self._backlog_append(request + sent, size - sent)
        self._watching_room = True
        return False

    cdef bytes _first_bytes(self):
        return self._opener._request

    cdef int _asked(self, int64_t now_ns) except -1:
        self._opener._connected_ns = self._session._upgrading_ns = now_ns
        self._session._advance(_UPGRADE)
        self._state = LINK_UPGRADING
        return 0

    cdef int _connected(self) except -1:
        cdef bint asked
        cdef int failure = 0
        cdef unsigned int size = sizeof(failure)
        getsockopt(self._fd, SOL_SOCKET, SO_ERROR, &failure, &size)
        if failure:
            return self._lost(OSError(failure, os.strerror(failure)))
        try:
            asked = self._ask()
        except OSError as error:
            return self._lost(error)
        return self._poll_for(EPOLLIN if asked else EPOLLIN | EPOLLOUT)

    cdef int _poll_for(self, uint32_t events) except -1:
        cdef epoll_event event
        event.events = events
        event.data.u64 = (<uint64_t>self._generation << 32) | <uint32_t>self._fd
        if epoll_ctl(self._hub._epoll_fd, EPOLL_CTL_MOD, self._fd, &event) != 0:
            raise OSError(errno, os.strerror(errno))
        self._watching_room = (events & EPOLLOUT) != 0
        return 0

    # ---- receiving ---------------------------------------------------------------------------

    cdef int _readable(self) except -1:
        cdef char *into
        cdef Py_ssize_t had = self._partial_size, got
        cdef bint into_partial = had > 0 and self._state == LINK_OPEN
        if into_partial:
            # The rest of a frame whose size is known: straight to where its begin is.
            into = self._partial + had
            got = self._take(into, self._partial_capacity - had)
        else:
            into = self._hub._received
            if had:
                memcpy(into, self._partial, had)    # the begin of the answer to the upgrade
            got = self._take(into + had, RECEIVE_SIZE - had)
        if got < 0 or self._discarding:
            return 0
        if not into_partial:
            PyMem_Free(self._partial)
            self._partial = NULL
            self._partial_size = self._partial_capacity = 0
            return self._consume(into, had + got)
        self._partial_size += got
        if self._partial_size < self._partial_capacity:
            return 0
        into = self._partial
        got = self._partial_size
        self._partial = NULL
        self._partial_size = self._partial_capacity = 0
        try:
            return self._consume(into, got)
        finally:
            PyMem_Free(into)

    cdef Py_ssize_t _take(self, char *into, Py_ssize_t room) except? -2:
        """Receive what the socket has, as far as it fits: the number of bytes, or -1 for none. The
        session learns of the end of the stream."""
        cdef ssize_t got = c_recv(self._fd, into, room, 0)
        if got > 0:
            return got
        if got == 0 or (errno != EAGAIN and errno != EINTR):
            self._lost(None if got == 0 else OSError(errno, os.strerror(errno)))
        return -1

    cdef int _consume(self, const char *data, Py_ssize_t size) except -1:
        """Handle bytes in order; keep the begin of what has not come whole."""
        cdef Py_ssize_t used = 0, wanted = 0
        if self._state == LINK_UPGRADING:
            used = self._answer(data, size)
            if used == 0 and self._state == LINK_UPGRADING:
                return self._keep(data, size, size)
        if self._state == LINK_OPEN and used < size:
            used += self._frames(data + used, size - used, &wanted)
            if used < size and self._state == LINK_OPEN and not self._discarding:
                return self._keep(data + used, size - used, wanted)
        return 0

    cdef int _keep(self, const char *data, Py_ssize_t size, Py_ssize_t wanted) except -1:
        """Keep the begin of a frame of `wanted` bytes (as far as its header tells)."""
        self._partial = <char *>PyMem_Malloc(wanted)
        if self._partial == NULL:
            raise MemoryError()
        memcpy(self._partial, data, size)
        self._partial_size = size
        self._partial_capacity = wanted
        return 0

    cdef Py_ssize_t _answer(self, const char *data, Py_ssize_t size) except -1:
        """The answer to the upgrade: its size when it is whole, else 0."""
        cdef EpollOpener op = self._opener
        cdef Py_ssize_t shown = min(size, MAX_HEAD_BYTES + 4 + MAX_BODY_BYTES)
        try:
            answer = op._upgrade.read(data[:shown])
        except Exception as error:
            self._lost(error)
            return 0
        if answer is None:
            return 0
        self._state = LINK_OPEN
        self._opener = None
        self._session.use_deflate(answer.deflate)
        self._session.link_opened(self, answer.subprotocol)
        op._link = None
        op.upgraded(op._connected_ns - op._since_ns)
        return answer.size

    cdef Py_ssize_t _frames(self, const char *data, Py_ssize_t size, Py_ssize_t *wanted) except -1:
        """Hand every whole frame to the session; returns how many bytes they took.

        `wanted` gets the size of the frame that is not whole, as far as its header tells.
        """
        cdef const uint8_t *at = <const uint8_t *>data
        cdef Py_ssize_t left = size, need = 2
        cdef FrameHead head
        cdef Session session = self._session
        while left >= 2:
            need = 2
            read_head(at, left, &head)
            if head.fault != NULL:
                self._refused((<bytes>head.fault).decode())
                break
            if head.size == 0:
                need = longest_head(at)
                break
            if <uint64_t>(left - head.size) < head.length:
                # Before room is made for the payload:
                if session.link_head(head.opcode, head.fin, head.reserved, head.length):
                    self._discard()
                else:
                    need = head.size + <Py_ssize_t>head.length
                break
            session.link_frame(head.opcode, head.fin, head.reserved, <const char *>at + head.size,
                               <Py_ssize_t>head.length)
            at += head.size + <Py_ssize_t>head.length
            left -= head.size + <Py_ssize_t>head.length
            if self._state != LINK_OPEN or self._discarding:
                break
        else:
            need = 2    # the loop ended for want of a head
        wanted[0] = need
        return size - left

    cdef int _refused(self, str detail) except -1:
        self._session.link_violated(1002, detail)
        self._discard()
        return 0

    cdef void _discard(self) noexcept:
        """Whatever still comes is thrown away; what we send is not affected."""
        self._discarding = True
        PyMem_Free(self._partial)
        self._partial = NULL
        self._partial_size = self._partial_capacity = 0

    # ---- sending -----------------------------------------------------------------------------

    cdef int _write(self, const char *data, Py_ssize_t size) except -1:
        cdef ssize_t sent
        if self._backlog_size:
            return self._queue(data, size)
        while True:
            sent = c_send(self._fd, data, size, MSG_NOSIGNAL)
            if sent == size:
                return 0
            if sent < 0:
                if errno == EINTR:
                    continue
                if errno != EAGAIN:
                    raise ClosedByPeer(
                        f"sending failed: {os.strerror(errno)}", kind="connection_lost",
                        url=self._session.url)
                sent = 0
            return self._queue(data + sent, size - sent)

    cdef int _queue(self, const char *data, Py_ssize_t size) except -1:
        """Keep bytes that the socket does not take now, and watch for room in it."""
        self._backlog_append(data, size)
        if self._backlog_size > BACKLOG_HIGH:
            self.congested = True
        if not self._watching_room:
            self._poll_for(EPOLLIN | EPOLLOUT)
        return 0

    cdef int _backlog_append(self, const char *data, Py_ssize_t size) except -1:
        cdef Py_ssize_t needed = self._backlog_size + size
        cdef char *grown
        if self._backlog_start and self._backlog_start + needed > self._backlog_capacity:
            memmove(self._backlog, self._backlog + self._backlog_start, self._backlog_size)
            self._backlog_start = 0
        if needed > self._backlog_capacity:
            grown = <char *>PyMem_Realloc(self._backlog, max(needed, 2 * self._backlog_capacity))
            if grown == NULL:
                raise MemoryError()
            self._backlog = grown
            self._backlog_capacity = max(needed, 2 * self._backlog_capacity)
        memcpy(self._backlog + self._backlog_start + self._backlog_size, data, size)
        self._backlog_size = needed
        self._hub.engine.vitals.backlog_bytes += size
        return 0

    cdef int _flush(self) except -1:
        cdef ssize_t sent
        while self._backlog_size:
            sent = c_send(self._fd, self._backlog + self._backlog_start, self._backlog_size,
                          MSG_NOSIGNAL)
            if sent < 0:
                if errno == EINTR:
                    continue
                if errno == EAGAIN:
                    break
                return self._lost(OSError(errno, os.strerror(errno)))
            self._backlog_start += sent
            self._backlog_size -= sent
            self._hub.engine.vitals.backlog_bytes -= sent
        if self._backlog_size == 0:
            self._backlog_start = 0
            if self._backlog_capacity > BACKLOG_KEPT:
                PyMem_Free(self._backlog)
                self._backlog = NULL
                self._backlog_capacity = 0
            if self._state == LINK_CLOSING:
                return self._end_stream()
            self._poll_for(EPOLLIN)
        if self.congested and self._backlog_size < BACKLOG_LOW:
            self.congested = False
            self._session.link_room()
        return 0

    # ---- the end -----------------------------------------------------------------------------

    cdef int _lost(self, object error) except -1:
        """The connection is over; to be called from the hub only."""
        cdef EpollOpener op = self._opener
        cdef LinkState state = self._state
        self._shut()
        if op is None:
            return self._session.link_lost(error)
        self._opener = None
        if state == LINK_CONNECTING:
            return op._dial_next(error)
        if state == LINK_SECURING:
            op.set_error(error or ConnectionAbortedError("the server ended it"))
            return 0
        if error is None:
            error = ConnectFailed(
                "the server ended the connection instead of answering the upgrade",
                kind="upgrade_closed", phase=_UPGRADE)
        elif isinstance(error, OSError):
            error = ConnectFailed(
                f"the connection ended before the upgrade was answered: {error.strerror}",
                kind="upgrade_closed", phase=_UPGRADE, errno=error.errno)
        op.set_error(error)
        return 0

    cdef void _shut(self) noexcept:
        """Close the descriptor, which takes it out of the epoll set, and free what is buffered."""
        cdef Vitals vitals = self._hub.engine.vitals
        cdef LinkState state = self._state
        self._state = LINK_CLOSED
        vitals.backlog_bytes -= self._backlog_size
        if self._fd >= 0:
            if state >= LINK_OPEN and vitals.tcp_wanted > 0:
                vitals.ask_tcp(self._fd)
            self._hub._forget(self)
            c_close(self._fd)
            self._fd = -1
        PyMem_Free(self._backlog)
        self._backlog = NULL
        self._backlog_start = self._backlog_size = self._backlog_capacity = 0
        PyMem_Free(self._partial)
        self._partial = NULL
        self._partial_size = self._partial_capacity = 0
        self.congested = False


include "epoll_tls.pxi"
include "epoll_dial.pxi"
