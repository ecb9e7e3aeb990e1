"""A plain WebSocket session as a scenario sees it."""

from __future__ import annotations

from typing import Any, Self

from ghostcore._engine import Engine
from ghostcore.errors import ClosedByPeer, UsageError
from ghostcore.protocol.codec import Message, PlainCodec
from ghostcore.sessions.echo_loop import EchoLoop
from ghostcore.sessions.observer import Observer, SessionBlock
from ghostcore.sessions.paced_sends import PacedSends
from ghostcore.sessions.plain import WebSocketBase

__all__ = ["WebSocketSession"]

_PLAIN = PlainCodec()  # it keeps nothing of a session, so all can share it


class WebSocketSession(SessionBlock, WebSocketBase):
    """A plain WebSocket: ``recv()``, ``send()``, ``ping()``, ``close()``, ``abort()``.

    ``async for message in session`` hands out messages until the connection closes; it ends quietly
    when the server closed with code 1000 or 1001 or this side did, and raises otherwise.
    """

    __slots__ = ("_observer",)

    def __init__(
        self,
        engine: Engine,
        observer: Observer,
        dialed_ns: int,
        url: str,
        max_message_size: int,
        send_timeout_ns: int,
    ) -> None:
        # Not by super(), which costs more than the call.
        WebSocketBase.__init__(
            self,
            engine,
            _PLAIN,
            observer.traffic,
            max_message_size,
            dialed_ns,
            url,
            send_timeout_ns,
        )
        self._observer = observer

    def _on_end(self) -> None:
        if self.opened_ns:  # an attempt that failed was no session
            self._observer.ended(self)

    def every(
        self,
        interval: float | str,
        frame: str | bytes | bytearray | memoryview,
        *,
        count: int | None = None,
    ) -> PacedSends:
        """Send one message again and again at a fixed rate, without a turn of the scenario for it.

        The n-th is due at start + n * interval, the first (n = 0) goes out at once. One that this
        process is late with is sent late (``late_ns_max``), however many they are. One that is due
        while the socket is full, since the server does not read, is not sent any more but counted:
        in ``missed``, and in a run in the metric ``ws_msgs_missed``. It ends with the session. What
        the server answers waits for recv(), as ever.

        :param interval: seconds (or "20ms") from one to the next, at least 1 ns.
        :param frame: str as text, bytes-like as binary.
        :param count: how many to send; None goes on until :meth:`PacedSends.stop`.
        :returns: an awaitable that completes when all are sent, with their number; it need not be
            awaited. Cancelling what awaits it stops it.
        :raises UsageError: an argument that cannot be.
        :raises TargetError: the session has ended; nothing was sent. When awaited: why it ended, or
            Timeout (kind ``send_timeout``) if the socket stays full for that long.
        """
        return PacedSends(self, "every", interval, (frame,), count)

    def echo_loop(
        self,
        frame: str | bytes | bytearray | memoryview,
        *,
        count: int | None = None,
        duration: float | str | None = None,
        in_flight: int = 1,
        timeout: float | str = 30.0,
        verify: bool = True,
        metric: Any = None,
    ) -> EchoLoop:
        """A closed loop against a server that returns what it gets: send, and with each answer send
        the next, without a turn of the scenario for each. Begins when it is awaited.

        Every message that arrives meanwhile answers the oldest frame in flight: send and receive
        nothing else on the session. Answers that come when the loop has ended are discarded
        (``events_discarded``).

        :param frame: what to send: str as text, bytes-like as binary.
        :param count: round trips to make. Without it and `duration` the loop goes on until the
            session ends or what awaits the loop is cancelled.
        :param duration: seconds (or "30s") after which to end; what is in flight then counts as cut
            off.
        :param in_flight: frames on their way at any time, 1 to 65,536.
        :param timeout: seconds to wait for any one answer.
        :param verify: an answer that is not what was sent is a violation of the protocol, and ends
            the session. False takes any message for an answer.
        :param metric: a Trend for the times from sending a frame to the arrival of its answer.
        :returns: an awaitable of the number of round trips.
        :raises Timeout: kind ``reply_timeout``.
        :raises ProtocolViolation: see `verify`.
        :raises ClosedByPeer: the connection ended; what was in flight counts as infinite.
        """
        self._observer.operation_begins(self._engine.now_ns())
        return EchoLoop(
            self, frame, count, duration, in_flight, timeout, verify, metric, self._observer
        )

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.recv()
        except ClosedByPeer as error:
            if error.code in (1000, 1001):
                raise StopAsyncIteration from None
            raise
        except UsageError:
            if self.is_closed and self.error is None:  # closed by this side while the loop ran
                raise StopAsyncIteration from None
            raise
