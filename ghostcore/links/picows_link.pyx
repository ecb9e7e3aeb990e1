"""The link over picows: every platform, ws:// and wss://.

The upgrade is ours, the same as on the other link; picows takes over behind it: it parses frames and
masks what is sent. What it keeps or does beyond that, a load generator cannot afford for each of its
users, so its headers are dropped, its write buffer is cut to the floor and its loggers are replaced.
"""

from cpython.mem cimport PyMem_Realloc
from libc.string cimport memcpy
from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport

from ghostcore.sessions.session cimport Session
from ghostcore._engine cimport Engine, Link
from ghostcore.protocol.frame cimport frame_size
from ghostcore.protocol.message cimport FLAG_RSV1, close_payload
from ghostcore.loop.timers cimport tell_of

import asyncio
import sys

from picows.picows import WSProtocol
from uvloop import Loop as UVLoop

from ghostcore.protocol.upgrade import accept_of
from ghostcore.errors import EngineError, Phase, ProtocolViolation

cdef object _UPGRADE = Phase.UPGRADE

# Room in front of a payload for the longest client frame header (2 + 8 + 4), rounded up to keep the
# payload aligned for the masking loop.
cdef enum:
    HEADROOM = 64
    WRITE_BUFFER_FLOOR = 128
    READ_BUFFER_FLOOR = 2048
    OPCODE_BITS = 0x0F

# Buffer for bytes that are thrown away; all connections share it.
cdef object _waste = memoryview(bytearray(65536))

# What picows must read before it parses frames; its request was taken by _StandIn.
cdef str _ANSWER = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: {}\r\n\r\n"
)


cdef class PicowsLink(Link):
    cdef WSTransport _transport
    cdef object _under              # the loop's transport
    cdef object _listener
    cdef bint _close_sent
    cdef bint _over                 # nothing that comes is of interest any more

    cdef int send(self, int opcode, const char *data, Py_ssize_t size) except -1:
        cdef Session session = (<_Listener>self._listener)._session
        cdef char *buffer = session._engine.scratch(HEADROOM + size + 64)
        memcpy(buffer + HEADROOM, data, size)
        self._transport.is_close_frame_sent = self._close_sent
        self._transport.send_reuse_external_buffer(
            <WSMsgType>(opcode & OPCODE_BITS), buffer + HEADROOM, size, True,
            opcode & FLAG_RSV1 != 0)
        return 0

    cdef int send_close(self, int code, str reason) except -1:
        # Not picows' send_close(): it puts code 0 on the wire where none was meant.
        cdef bytes payload = close_payload(code, reason)
        if self._close_sent:
            return 0
        self._transport.is_close_frame_sent = False
        self._transport._send(WSMsgType.CLOSE, payload, True, False, False, False)
        self._transport.is_close_frame_sent = True
        self._close_sent = True
        return <int>frame_size(len(payload))

    cdef int close(self) except -1:
        under = self._under
        self.discard()
        if under.is_closing():
            return 0
        if not self._transport.is_secure and under.can_write_eof():
            under.write_eof()
        else:
            under.close()
        return 0

    cdef int abort(self) except -1:
        self._over = True
        self._under.abort()
        return 0

    cdef int discard(self) except -1:
        """Throw away whatever still comes."""
        if not self._over:
            self._over = True
            self._under.set_protocol(_Draining(self._under.get_protocol()))
        return 0


class _Draining(asyncio.BufferedProtocol):
    """Reads a connection to its end for the sake of the end, which it tells picows' protocol."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol):
        self._protocol = protocol

    def get_buffer(self, size_hint):
        return _waste

    def buffer_updated(self, size):
        pass

    def connection_lost(self, error):
        protocol, self._protocol = self._protocol, None
        protocol.connection_lost(error)


class _Closed:
    """In place of the transport that picows would close some time after an error."""

    def close(self):
        pass

    abort = close

cdef object _closed = _Closed()


cdef class _Listener(WSListener):
    """The counterpart of picows, in three roles: its listener; its logger, the only place where
    picows says at once that it gives a connection up; and its disconnect future, since a future of
    asyncio would log an error that nothing retrieves.
    """
    cdef Session _session
    cdef PicowsLink _link
    cdef str _subprotocol
    cdef bint _failed               # picows gave up, for the two that follow
    cdef int _code
    cdef str _detail

    # -- as the listener --

    cpdef on_ws_connected(self, WSTransport transport):
        cdef PicowsLink link = self._link
        link._transport = transport
        transport.request = None
        transport.response = None
        transport.disconnected_future = self
        transport._write_buffer.data = <char *>PyMem_Realloc(
            transport._write_buffer.data, WRITE_BUFFER_FLOOR)
        transport._write_buffer.capacity = WRITE_BUFFER_FLOOR
        try:
            self._session.link_opened(link, self._subprotocol)
        except BaseException as error:
            self._broken(error)

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        cdef PicowsLink link = self._link
        if link is None or link._over:
            return
        self._session._engine.timers.work_done += 1
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
        tell_of(session._engine.loop, f"ghostcore failed on a frame of {session.url}", error)
        failure = EngineError(f"handling a frame failed: {error!r}")
        failure.__cause__ = error
        session._end(failure)
        if self._link is not None:
            self._link.abort()

    # -- as the logger --

    def isEnabledFor(self, level):
        return False

    def debug(self, message, *args):
        pass

    log = info = warning = debug

    def error(self, message, *args):
        """picows cannot parse what came, (code, detail), and is about to close the connection.

        It parses one frame ahead, so the frame before has yet to be handed out. Until that is done
        it must neither send its close frame nor close anything.
        """
        cdef PicowsLink link = self._link
        if link is None or self._failed:
            return
        self._failed = True
        link._transport.is_close_frame_sent = True
        link._transport.underlying_transport = _closed
        link._under.set_protocol(_Draining(link._under.get_protocol()))
        code, detail = args[0][:2]
        self._code, self._detail = int(code), str(detail)
        self._session._engine.loop.call_soon(self._fail)

    def exception(self, message, *args):
        self._broken(sys.exc_info()[1])

    def _fail(self):
        if self._link is not None and not self._link._over:
            self._link._over = True     # set_protocol() has been called
            self._session.link_violated(self._code, self._detail)

    # -- as transport.disconnected_future --

    def done(self):
        return False

    def set_result(self, result):
        self._lost(None)

    def set_exception(self, error):
        if self._failed:
            self._fail()
            error = None
        elif not isinstance(error, OSError):
            error = ProtocolViolation(str(error), url=self._session.url)
        self._lost(error)

    cdef object _lost(self, error):
        link, self._link = self._link, None
        if link is None:
            return
        (<PicowsLink>link)._transport.disconnected_future = None
        try:
            self._session.link_lost(error)
        finally:
            (<PicowsLink>link)._listener = None


class _StandIn:
    """What picows' protocol gets for a transport while it starts: its upgrade request goes nowhere."""

    def __init__(self, transport):
        self.get_extra_info = transport.get_extra_info
        self.get_write_buffer_size = transport.get_write_buffer_size

    def write(self, data):
        pass


class _Upgrading(asyncio.BufferedProtocol):
    """Asks for the upgrade, judges the answer and hands the connection over to picows."""

    def __init__(self, session, upgrade, done):
        self._session = session
        self._upgrade = upgrade
        self._done = done       # future: True when the session is open, False if the stream ended
        self._came = b""
        # A view: asyncio slices what it gets for a second record of TLS, and a slice of a bytearray
        # is a copy, in which that record would be lost.
        self._chunk = memoryview(bytearray(1024))
        self._transport = None

    def connection_made(self, transport):
        cdef Session session = self._session
        self._transport = transport
        session._upgrading_ns = session._engine.timers.now()
        session._advance(_UPGRADE)
        transport.write(self._upgrade.request)

    def get_buffer(self, size_hint):
        return self._chunk

    def buffer_updated(self, size):
        if self._done.done():
            return
        self._came += self._chunk[:size]
        try:
            answer = self._upgrade.read(self._came)
            if answer is not None:
                hand_over(self._session, self._transport, answer, self._came[answer.size:])
        except Exception as error:
            self._done.set_exception(error)
            self._transport.abort()
            return
        if answer is not None:
            self._done.set_result(True)

    def connection_lost(self, error):
        if self._done.done():
            return
        if error is None:
            self._done.set_result(False)
        else:
            self._done.set_exception(error)


cdef int hand_over(Session session, transport, answer, bytes tail) except -1:
    """Let picows parse what comes from now on, beginning with `tail`."""
    cdef _Listener listener = _Listener.__new__(_Listener)
    cdef PicowsLink link = PicowsLink.__new__(PicowsLink)
    cdef WSTransport ws
    cdef Py_ssize_t size
    session.use_deflate(answer.deflate)
    link._under = transport
    link._listener = listener
    listener._session = session
    listener._subprotocol = answer.subprotocol
    listener._link = link
    protocol = WSProtocol(
        "", "/", True, _Once(listener), listener,
        True, None, False, 10, 10, 1, False,    # no auto-ping, and pings are answered by the session
        session._reader.max_frame_size, None, READ_BUFFER_FLOOR)
    protocol.connection_made(_StandIn(transport))
    ws = protocol.transport
    link._transport = ws
    ws.underlying_transport = transport
    ws._tr_write = transport.write
    ws._tr_get_write_buffer_size = transport.get_write_buffer_size
    transport.set_protocol(protocol)
    key = ws.request.headers["Sec-WebSocket-Key"]
    rest = memoryview(_ANSWER.format(accept_of(key.encode()).decode()).encode() + tail)
    while rest and not link._over and not listener._failed:
        room = protocol.get_buffer(-1)
        size = min(len(room), len(rest))
        room[:size] = rest[:size]
        protocol.buffer_updated(size)
        rest = rest[size:]
    return 0


class _Once:
    """picows' listener factory; it keeps no reference to what it gave."""

    __slots__ = ("_listener",)

    def __init__(self, listener):
        self._listener = listener

    def __call__(self, request, response):
        listener, self._listener = self._listener, None
        return listener


async def open_link(Session session not None, sock, upgrade not None, *, ssl, str server_hostname):
    """Upgrade a connected socket to a WebSocket for this session.

    :param sock: connected, non-blocking; owned by the connection from here on.
    :param upgrade: the Upgrade to ask for.
    :raises HandshakeRejected: the server's answer was no valid upgrade.
    :raises OSError: the connection was lost, or TLS failed.
    :returns: True when the session is open, False when the server ended the connection instead.
    """
    loop = session._engine.loop
    done = loop.create_future()
    try:
        transport, _ = await loop.create_connection(
            lambda: _Upgrading(session, upgrade, done), sock=sock, ssl=ssl,
            server_hostname=server_hostname)
    finally:
        if isinstance(loop, UVLoop):
            # The descriptor is libuv's now. After a reset in this very moment it is closed already,
            # and uvloop does not tell the socket, which would close whatever has its number next.
            sock.detach()
    try:
        return await done
    except BaseException:
        transport.abort()
        raise
