"""The link over picows and uvloop: every platform, ws:// and wss://.

picows parses frames and masks what is sent. What it keeps or does beyond that, a load generator
cannot afford for each of its users, so after the handshake its headers are dropped, its write buffer
is cut to the floor and its per-connection loggers are replaced by one that is silent.
"""

from cpython.mem cimport PyMem_Realloc
from libc.stdint cimport int64_t
from libc.string cimport memcpy
from picows.picows cimport WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from ghostcore._engine cimport SESSION_OPEN, Engine, Link, Session
from ghostcore._message cimport close_payload

import asyncio

import uvloop
from picows import WSError, WSInvalidHeaderError
from picows.picows import WSProtocol

from ghostcore.errors import EngineError, ProtocolViolation

# Room in front of a payload for the longest client frame header (2 + 8 + 4), rounded up to keep the
# payload aligned for the masking loop.
cdef enum:
    HEADROOM = 64
    WRITE_BUFFER_FLOOR = 128


class _SilentLogger:
    """picows logs each connection at several levels; here errors travel as exceptions instead."""

    name = "ghostcore.picows"

    def isEnabledFor(self, level):
        return False

    def debug(self, *args, **kwargs):
        pass

    log = info = warning = error = exception = debug

cdef object _silent = _SilentLogger()


cdef class PicowsLink(Link):
    cdef WSTransport _transport

    cdef int send(self, int opcode, const char *data, Py_ssize_t size) except -1:
        cdef Session session = (<_Listener>self._listener)._session
        cdef char *buffer = session.engine.scratch(HEADROOM + size + 64)
        memcpy(buffer + HEADROOM, data, size)
        self._transport.send_reuse_external_buffer(<WSMsgType>opcode, buffer + HEADROOM, size)
        return 0

    cdef int send_close(self, int code, str reason) except -1:
        # Not picows' send_close(): it puts code 0 on the wire where none was meant.
        self._transport._send(WSMsgType.CLOSE, close_payload(code, reason), True, False, False, False)
        self._transport.is_close_frame_sent = True
        return 0

    cdef int close(self) except -1:
        self._transport.disconnect(True)
        return 0

    cdef int abort(self) except -1:
        self._transport.disconnect(False)
        return 0

    cdef object _listener


cdef class _Listener(WSListener):
    """Receives picows' callbacks, and stands in for its disconnect future.

    The future would hold the reason of a disconnect for somebody who asks, and complain when nobody
    does; it is also the only place where picows tells why it gave a connection up.
    """
    cdef Session _session
    cdef PicowsLink _link
    cdef WSTransport _transport

    cpdef on_ws_connected(self, WSTransport transport):
        cdef PicowsLink link = PicowsLink.__new__(PicowsLink)
        link._transport = transport
        link._listener = self
        self._link = link
        self._transport = transport
        subprotocol = transport.response.headers.get("Sec-WebSocket-Protocol", "")
        transport.request = None
        transport.response = None
        transport.disconnected_future = self
        transport._write_buffer.data = <char *>PyMem_Realloc(
            transport._write_buffer.data, WRITE_BUFFER_FLOOR)
        transport._write_buffer.capacity = WRITE_BUFFER_FLOOR
        try:
            self._session.link_opened(link, subprotocol)
        except BaseException as error:
            self._broken(error)

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        if transport.is_close_frame_sent and self._session._state == SESSION_OPEN:
            return None     # picows has found a violation: it tells when it has disconnected
        try:
            self._session.link_frame(
                frame.msg_type, frame.fin, (frame.rsv1 << 2) | (frame.rsv2 << 1) | frame.rsv3,
                frame.payload_ptr, frame.payload_size)
        except BaseException as error:
            self._broken(error)

    cpdef on_ws_disconnected(self, WSTransport transport):
        pass    # picows tells the reason a moment later, through set_exception() or set_result()

    cpdef pause_writing(self):
        if self._link is not None:
            self._link.congested = True

    cpdef resume_writing(self):
        if self._link is not None:
            self._link.congested = False
            self._session.link_room()

    cdef object _broken(self, error):
        """An exception out of our own code: picows would only log it."""
        session = self._session
        session.engine.loop.call_exception_handler({
            "message": f"ghostcore failed on a frame of {session.url}", "exception": error})
        failure = EngineError(f"handling a frame failed: {error!r}")
        failure.__cause__ = error
        session._end(failure)
        if self._link is not None:
            self._link.abort()

    # -- in place of transport.disconnected_future --

    def done(self):
        return False

    def set_result(self, result):
        self._lost(None)

    def set_exception(self, error):
        if isinstance(error, WSError) and len(error.args) > 1:
            code, detail = int(error.args[0]), str(error.args[1])
            kind = "message_too_big" if code == 1009 else "protocol_violation"
            error = ProtocolViolation(detail, kind=kind, code=code, url=self._session.url)
        elif not isinstance(error, OSError):
            error = ProtocolViolation(str(error), url=self._session.url)
        self._lost(error)

    cdef object _lost(self, error):
        session = self._session
        transport = self._transport
        if transport is not None:
            transport.disconnected_future = None
        self._transport = None
        link = self._link
        self._link = None
        try:
            session.link_lost(error)
        finally:
            if link is not None:
                (<PicowsLink>link)._listener = None


cdef class _Upgrade:
    """What picows asks for in the course of one upgrade: more headers for the request, later the
    listener. Its protocol keeps this object for as long as the connection lives, so it lets go of
    what it has handed out; closures would keep all the locals of open_link() alive.
    """
    cdef _Listener _listener
    cdef tuple _headers
    cdef tuple _subprotocols

    def items(self):
        # Asked for when the request is written, which on wss:// is the moment when the TLS handshake
        # is done: the session takes its stamp here.
        cdef Session session = self._listener._session
        session.upgrading_ns = session.engine.timers.now()
        session.progress = "upgrade"
        headers, self._headers = self._headers, None
        return headers

    def __bool__(self):
        return True

    def __call__(self, request, response):
        # What picows does not check of RFC 6455 section 4.1: nothing may be chosen unasked.
        for name, offered in (("Sec-WebSocket-Protocol", self._subprotocols),
                              ("Sec-WebSocket-Extensions", ())):
            chosen = response.headers.get(name)
            if chosen is not None and chosen not in offered:
                raise WSInvalidHeaderError(
                    f"{name} {chosen!r} was not offered", name, chosen, response=response)
        listener, self._listener = self._listener, None
        self._subprotocols = None
        return listener


async def open_link(Session session not None, sock, str netloc, str resource, *, ssl,
                    str server_hostname, tuple headers, tuple subprotocols,
                    Py_ssize_t max_frame_size):
    """Upgrade a connected socket to a WebSocket for this session.

    :param sock: connected, non-blocking; owned by the connection from here on.
    :param netloc: for the Host header. :param resource: path and query.
    :param headers: tuple of (name, value) beside those that the upgrade needs.
    :param subprotocols: those that the headers offer.
    :raises WSHandshakeError: (of picows) the server's answer was no valid upgrade.
    :returns: True when the session is open, False when the server ended the connection instead.
    """
    cdef _Upgrade upgrade = _Upgrade.__new__(_Upgrade)
    upgrade._listener = _Listener.__new__(_Listener)
    upgrade._listener._session = session
    upgrade._headers = headers
    upgrade._subprotocols = subprotocols
    protocol = WSProtocol(
        netloc, resource, True, upgrade, _silent,
        True, None, False, 10, 10, 1, False,    # no auto-ping, and pings are answered by the session
        max_frame_size, upgrade, 2048)
    loop = session.engine.loop
    on_libuv = isinstance(loop, uvloop.Loop)
    try:
        transport, _ = await loop.create_connection(
            lambda: protocol, sock=sock, ssl=ssl, server_hostname=server_hostname)
    except BaseException:
        if on_libuv:
            sock.detach()
        raise
    if on_libuv and transport.is_closing():
        # uvloop takes the socket object over only after the transport's first turn. A connection
        # that was lost in that turn is closed by libuv, while the object believes that it has the
        # descriptor still: it would close whatever connection has got that number next.
        sock.detach()
    try:
        await protocol.wait_until_handshake_complete()
    except BaseException:
        transport.abort()
        raise
    return session.opened_ns != 0
