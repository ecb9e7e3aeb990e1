"""A link without a network, for tests of time on a fake clock: a :class:`FakeClockLoop` would jump
over what sockets take.

::

    session = WebSocketSession(engine, DEFAULT_OPTIONS, NullObserver(), engine.now_ns())
    link = MemoryLink(session)      # the session is open
    session.send("hello")
    assert link.sent == [(engine.now_ns(), "hello")]
    link.arrive("hello")
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from ghostcore.protocol.codec cimport payload_of
from ghostcore.sessions.session cimport Session
from ghostcore._engine cimport Link
from ghostcore.protocol.frame cimport frame_size
from ghostcore.protocol.message cimport OP_BINARY, OP_TEXT

from ghostcore.errors import ClosedByPeer


cdef class MemoryLink(Link):
    """Opens `session`. What it sends is kept, what arrives is given by hand.

    :ivar sent: (time in ns, message) of every message: str for text, bytes for binary. Of control
        frames the close frame alone is kept: (time in ns, code).
    :ivar pieces: how many messages went out together, for each time that something went out.
    :ivar broken: set it, and the next send finds that the connection is lost.
    :ivar is_aborted: the session ended the connection.
    :ivar peer: called with each message that is sent, or None.
    """

    def __init__(self, Session session not None):
        self._session = session
        self.sent = []
        self.pieces = []
        session.link_opened(self, "")

    def arrive(self, data):
        """A message arrives now: str as text, bytes-like as binary."""
        cdef bytes payload = payload_of(data)
        self._session.link_frame(OP_TEXT if isinstance(data, str) else OP_BINARY, True, 0,
                                 PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))

    def fill(self):
        """The socket takes no more."""
        self.congested = True

    def drain(self):
        """The socket takes more again."""
        self.congested = False
        self._session.link_room()

    def lose(self):
        """The connection ends without a close frame."""
        self._session.link_lost(None)

    cdef int send(self, int opcode, const char *data, Py_ssize_t size) except -1:
        cdef bytes payload = PyBytes_FromStringAndSize(data, size)
        if self.broken:
            raise ClosedByPeer("sending failed", kind="connection_lost", url=self._session.url)
        if opcode == OP_TEXT or opcode == OP_BINARY:
            message = payload.decode() if opcode == OP_TEXT else payload
            self.sent.append((self._session._engine.timers.now(), message))
            if self._corked:
                self.pieces.append(self.pieces.pop() + 1)
            else:
                self.pieces.append(1)
            if self.peer is not None:
                self.peer(message)
        return 0

    cdef int cork(self) except -1:
        if self._corked:
            return 0
        self._corked = True
        self.pieces.append(0)
        return 1

    cdef int uncork(self) except -1:
        self._corked = False
        if self.pieces[len(self.pieces) - 1] == 0:
            self.pieces.pop()
        return 0

    cdef int send_close(self, int code, str reason) except -1:
        self.sent.append((self._session._engine.timers.now(), code))
        return <int>frame_size(2 + len(reason.encode()))

    cdef int close(self) except -1:
        return self.abort()

    cdef int abort(self) except -1:
        self.is_aborted = True
        self._session._engine.loop.call_soon(self.lose)
        return 0
