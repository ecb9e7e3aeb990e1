import asyncio
from typing import Any

from ghostcore.loop.timers import TimerQueue
from ghostcore.loop.vitals import Vitals

class Traffic:
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

    msgs_sent: int
    msgs_received: int
    bytes_sent: int
    bytes_received: int
    discarded: int
    missed: int
    paced: bool
    def take(self) -> tuple[int, int, int, int, int]:
        """(msgs_sent, msgs_received, bytes_sent, bytes_received, discarded) since the last take."""
    def take_missed(self) -> int | None:
        """Sends of paced senders that a full socket made them leave out, since the last call; None
        as long as no session had a paced sender."""

class Engine:
    """What the sessions of one event loop share: its timer queue and a buffer to frame in.

    :ivar loop: the event loop.
    :ivar timers: its queue of sleeps and deadlines.
    :ivar vitals: what its sessions tell of the generator itself.
    :ivar live_sessions: sessions whose connection has not ended yet.
    :ivar hub: the hub of its epoll links; None before the first of them.
    :ivar names: addresses of the names that were looked up; None before the first look-up.
    :ivar closed: :meth:`close` was called.
    """

    loop: asyncio.AbstractEventLoop
    timers: TimerQueue
    vitals: Vitals
    live_sessions: int
    hub: Any
    names: Any
    closed: bool
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def next_dial(self) -> int:
        """Counts connections that are begun, so that several source addresses can take turns."""
    def loopback_source(self) -> int:
        """The next connection over loopback should come from 127.0.0.1 plus this.

        Linux looks for a free port among those of one source address, and with 15,000 of its 28,000
        taken that is most of what a connect costs. So there is one more address for each thousand
        sessions, and who holds fewer sees 127.0.0.1 only.
        """
    def port_range(self) -> int:
        """What the next connection should give as IP_LOCAL_PORT_RANGE (Linux 6.3); 0: nothing.

        connect(2) takes the ports of one parity first, and looks through all 14,000 of them each
        time before it takes one of the other. It takes them as they come where the socket has a
        range of its own (Linux 6.8), or those of the parity that its range begins with: from the
        1,000th session on each has one, and they begin alternately at an even and an odd port.
        """
    def now_ns(self) -> int:
        """The engine's clock, in ns: CLOCK_MONOTONIC, or the loop's fake clock."""
    def close(self) -> None:
        """Give the timer queue back. Sessions must have ended before."""

class Link:
    """The link seam: one connection that carries frames. The session drives it, and it reports to
    the session's link_* methods."""

def engine_of(loop: asyncio.AbstractEventLoop) -> Engine:
    """The engine of a loop, made when it is first asked for."""
