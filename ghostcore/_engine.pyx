"""What sessions and links meet on: the engine of a loop, the traffic of a scenario, the link seam."""

from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport int64_t

from ghostcore.loop.timers cimport TimerQueue
from ghostcore.loop.vitals cimport Vitals

from contextlib import suppress

from ghostcore._asyncio_private import runs_here
from ghostcore.errors import EngineError

cdef enum:
    LOOPBACK_SOURCES = 64
    SOURCE_SESSIONS = 1000


cdef int lowest_port() except 0:
    """The first of the ports that the system gives to connections; -1 where it does not tell."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range") as told:
            return int(told.read().split()[0])
    except (OSError, ValueError):
        return -1


cdef class Traffic:
    """Counts of what the sessions that share it have sent and received.

    Bytes are those of WebSocket frames, headers included; the HTTP upgrade and TLS are not. All
    figures count from the last :meth:`take` on, `missed` from the last :meth:`take_missed`.

    :ivar msgs_sent: data messages handed to a link.
    :ivar msgs_received: data messages that came.
    :ivar bytes_sent: bytes of all frames handed to a link, control frames included.
    :ivar bytes_received: bytes of all frames that came.
    :ivar discarded: messages that nobody took.
    :ivar missed: sends of paced senders that a full socket made them leave out.
    :ivar paced: whether a session had a paced sender at any time.
    """

    def take(self) -> tuple:
        """(msgs_sent, msgs_received, bytes_sent, bytes_received, discarded) since the last take."""
        result = (self.msgs_sent, self.msgs_received, self.bytes_sent, self.bytes_received,
                  self.discarded)
        self.msgs_sent = self.msgs_received = self.bytes_sent = self.bytes_received = 0
        self.discarded = 0
        return result

    def take_missed(self):
        """Sends of paced senders that a full socket made them leave out, since the last call; None
        as long as no session had a paced sender."""
        if not self.paced:
            return None
        missed, self.missed = self.missed, 0
        return missed


cdef class Engine:
    """What the sessions of one event loop share: its timer queue and a buffer to frame in.

    :ivar loop: the event loop.
    :ivar timers: its queue of sleeps and deadlines.
    :ivar vitals: what its sessions tell of the generator itself.
    :ivar live_sessions: sessions whose connection has not ended yet.
    :ivar hub: the hub of its epoll links; None before the first of them.
    :ivar names: addresses of the names that were looked up; None before the first look-up.
    :ivar closed: :meth:`close` was called.
    """

    def __init__(self, loop):
        self.loop = loop
        self.timers = TimerQueue(loop)
        self.vitals = Vitals()

    def __dealloc__(self):
        PyMem_Free(self._scratch)

    cdef char *scratch(self, Py_ssize_t size) except NULL:
        cdef Py_ssize_t wanted
        cdef char *buffer
        if size > self._scratch_size:
            wanted = max(size, 2 * self._scratch_size, 4096)
            buffer = <char *>PyMem_Realloc(self._scratch, wanted)
            if buffer == NULL:
                raise MemoryError()
            self._scratch = buffer
            self._scratch_size = wanted
        return self._scratch

    cpdef int64_t next_dial(self) except -1:
        """Counts connections that are begun, so that several source addresses can take turns."""
        self._dials += 1
        return self._dials - 1

    cpdef int loopback_source(self) except -1:
        """The next connection over loopback should come from 127.0.0.1 plus this.

        Linux looks for a free port among those of one source address, and with 15,000 of its 28,000
        taken that is most of what a connect costs. So there is one more address for each thousand
        sessions, and who holds fewer sees 127.0.0.1 only.
        """
        return self.next_dial() % min(LOOPBACK_SOURCES, 1 + self.live_sessions // SOURCE_SESSIONS)

    cpdef int port_range(self) except -1:
        """What the next connection should give as IP_LOCAL_PORT_RANGE (Linux 6.3); 0: nothing.

        connect(2) takes the ports of one parity first, and looks through all 14,000 of them each
        time before it takes one of the other. It takes them as they come where the socket has a
        range of its own (Linux 6.8), or those of the parity that its range begins with: from the
        1,000th session on each has one, and they begin alternately at an even and an odd port.
        """
        if self.live_sessions < SOURCE_SESSIONS:
            return 0
        if self._lowest_port == 0:
            self._lowest_port = lowest_port()
        self._ranges += 1
        return self._lowest_port + (self._ranges & 1) if self._lowest_port > 0 else 0

    def now_ns(self) -> int:
        """The engine's clock, in ns: CLOCK_MONOTONIC, or the loop's fake clock."""
        return self.timers.now()

    def close(self):
        """Give the timer queue back. Sessions must have ended before."""
        self.closed = True
        if self.hub is not None:
            self.hub.close()
            self.hub = None
        self.timers.close()


cdef class Link:
    cdef int send(self, int opcode, const char *data, Py_ssize_t size) except -1:
        raise EngineError("a link without send()")

    cdef int send_close(self, int code, str reason) except -1:
        raise EngineError("a link without send_close()")

    cdef int close(self) except -1:
        raise EngineError("a link without close()")

    cdef int abort(self) except -1:
        raise EngineError("a link without abort()")

    cdef int cork(self) except -1:
        return 0

    cdef int uncork(self) except -1:
        return 0


def engine_of(loop):
    """The engine of a loop, made when it is first asked for."""
    engine = getattr(loop, "_ghostcore_engine", None)
    if engine is None or engine.closed:
        engine = Engine(loop)
        # On the loop itself: it lives as long, and to look it up costs every connection.
        loop._ghostcore_engine = engine
        if runs_here(loop):
            closer = _until_the_end(engine)
            with suppress(StopIteration):
                closer.__anext__().__await__().send(None)
            loop._ghostcore_closer = closer
    return engine


async def _until_the_end(engine):
    """Closes the engine when its loop ends its asynchronous generators, as asyncio.run() and its
    likes do before they close it: a loop tells nobody else of its end, and sessions that were left
    open, with their descriptors, would outlive it."""
    try:
        yield
    finally:
        engine.close()
