"""A Socket.IO session: events, acknowledgements both ways, requests, handlers, namespaces."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable
from typing import Any, NoReturn, Self

from ghostcore._units import parse_duration
from ghostcore.errors import (
    ErrorReply,
    Timeout,
    UsageError,
)
from ghostcore.protocol.socketio_codec import (
    Event,
    Packet,
    PacketType,
    connect_packet,
    encode_event,
    encode_packet,
)
from ghostcore.sessions.paced_sends import PacedSends
from ghostcore.sessions.session import Opener, Reply
from ghostcore.sessions.socketio_inbox import Awaited, EventfulSession, Handler

__all__ = ["SocketIOSession"]

DEFAULT_REPLY_TIMEOUT_S = 30.0


class SocketIOSession(EventfulSession):
    """A Socket.IO client on a connection of its own.

    An event goes to the handlers of :meth:`on`, answers the oldest :meth:`request` that names it
    and wakes each :meth:`wait_for` that does. An event that nobody takes is kept for a later
    :meth:`wait_for`. Names match exactly.

    :ivar sid: the Socket.IO id that the server gave; empty before it did.
    :ivar joined_ns: when the answer to the connect packet arrived, CLOCK_MONOTONIC in ns; 0 before.
    """

    __slots__ = ()

    # ---- opening and closing -----------------------------------------------------------------

    def _begin_handshake(self, opener: Opener[Self]) -> None:
        """Wait for the answer to the connect packet, which went out with the open packet."""
        if self.sid:  # it came in one go with the 101
            opener.set_result(None)
        elif self.is_closed:
            opener.set_error(self._ended_error())
        else:
            self._joining = {self._namespace: opener}

    @property
    def _ready_ns(self) -> int:
        """When the session could be used: the answer to the connect packet, in ns."""
        return self.joined_ns

    async def join(self, namespace: str, auth: Any = None, *, timeout: float | str = 10) -> None:
        """Connect to one more namespace on this connection.

        :param namespace: its name, e.g. ``"/admin"``.
        :param auth: payload of the connect packet, anything that JSON can hold.
        :param timeout: seconds (or "5s") to wait for the answer.
        :raises HandshakeRejected: kind ``connect_error``, with what the server said in ``data``.
        :raises Timeout: kind ``open_timeout``.
        :raises UsageError: the namespace is being joined already, or this side has closed the
            session.
        :raises TargetError: the session has ended.
        """
        packet = connect_packet(namespace, auth)
        self._require_open("join")
        timeout_s = parse_duration(timeout, "timeout")
        if self._joining is None:
            self._joining = {}
        joining = self._joining
        if namespace in joining:
            raise UsageError(f"join: {namespace} is being joined already")
        reply: Reply[Packet] = Reply(
            self,
            timeout_s,
            "open_timeout",
            f"joining {namespace}",
            lambda _: joining.pop(namespace, None),
        )
        joining[namespace] = reply
        self._observer.operation_begins(reply.asked_ns)
        self._write_message(packet)
        await reply

    def _take_leave(self) -> Any:
        """Leave the namespace and close the connection: after a disconnect packet alone the server
        keeps the WebSocket open."""
        if self.is_open:
            self._write(encode_packet(PacketType.DISCONNECT, self._namespace))
        return self.close()

    def close(self, code: int = 1000, reason: str = "") -> Any:
        """Send a close frame at once; awaiting the result waits for the connection to end.

        The namespace is not left first: :meth:`disconnect` does that.

        :param code: 1000 or 3000-4999 (RFC 6455 section 7.4).
        :param reason: text for the peer; cut to whole characters within 123 bytes of UTF-8.
        :raises UsageError: another code.
        """
        self._outlive()
        return super().close(code, reason)

    def abort(self) -> None:
        """End the connection now, without a closing handshake; the peer sees 1006. Idempotent."""
        self._outlive()
        super().abort()

    async def disconnect(self) -> None:
        """Leave the namespace, close the WebSocket and wait for its end."""
        await self._take_leave()

    def _got_service(self) -> bool:
        """Whether the server let the session into its namespace."""
        return bool(self.sid)

    # ---- sending -----------------------------------------------------------------------------

    def emit(self, event: str, *args: Any, namespace: str | None = None) -> Any:
        """Send an event at once.

        :param event: its name, none of those that Socket.IO reserves.
        :param args: JSON values; bytes anywhere in them go as binary attachments.
        :param namespace: one that was joined; None: the one that the session was opened with.
        :returns: an awaitable that completes when the socket has room again: awaiting it is
            back-pressure.
        :raises UsageError: what cannot be sent, or a session that this side has closed.
        :raises TargetError: the session has ended; nothing was sent.
        :raises Timeout: when awaited, kind ``send_timeout``: the server reads nothing.
        """
        return self._write(encode_event(event, args, namespace or self._namespace))

    def emit_every(
        self,
        interval: float | str,
        event: str,
        *args: Any,
        count: int | None = None,
        namespace: str | None = None,
    ) -> PacedSends:
        """Send one event again and again at a fixed rate; it is encoded once.

        As :meth:`WebSocketSession.every`: the n-th is due at start + n * interval, ``sent`` and
        ``missed`` count events, whatever number of binary attachments they have.

        :param interval: seconds (or "20ms") from one to the next, at least 1 ns.
        :param event: as for :meth:`emit`, with `args`.
        :param count: how many to send; None goes on until :meth:`PacedSends.stop`.
        :param namespace: one that was joined; None: the one that the session was opened with.
        :returns: an awaitable of the number that were sent; it need not be awaited.
        :raises UsageError: an argument that cannot be.
        :raises TargetError: the session has ended; nothing was sent. When awaited: why it ended.
        """
        parts = encode_event(event, args, namespace or self._namespace)
        return PacedSends(self, "emit_every", interval, parts, count)

    def echo_loop(self, *_: Any, **__: Any) -> NoReturn:
        """For plain WebSocket sessions only.

        :raises UsageError: always.
        """
        raise UsageError(
            "echo_loop: a Socket.IO server does not return packets as they are: await call() or "
            "request() in a loop, or use a plain WebSocket session"
        )

    async def call(
        self,
        event: str,
        *args: Any,
        timeout: float | str = DEFAULT_REPLY_TIMEOUT_S,
        metric: Any = None,
        namespace: str | None = None,
    ) -> Any:
        """Send an event and wait until the server acknowledges it.

        :param event: as for :meth:`emit`, with `args`.
        :param timeout: seconds (or "5s") to wait.
        :param metric: a Trend for the time from sending to the acknowledgement.
        :param namespace: one that was joined; None: the one that the session was opened with.
        :returns: what the server gave: one value as it is, several as a tuple, none as None.
        :raises Timeout: kind ``ack_timeout``.
        :raises TargetError: the session has ended.
        """
        ack_id = self._next_ack
        space = namespace or self._namespace
        parts = encode_event(event, args, space, ack_id)
        self._require_open("call")
        self._next_ack += 1
        if self._acks is None:
            self._acks = {}
        acks = self._acks
        key = self._ack_key(space, ack_id)
        timeout_s = parse_duration(timeout, "timeout")
        reply: Reply[Packet] = Reply(
            self, timeout_s, "ack_timeout", event, lambda _: acks.pop(key, None)
        )
        acks[key] = reply
        try:
            self._write(parts)
            packet = await self._measured(reply, metric)
        finally:
            del reply
        data = packet.data
        return None if not data else data[0] if len(data) == 1 else tuple(data)

    async def request(
        self,
        event: str,
        *args: Any,
        reply: str | Iterable[str],
        error: str | Iterable[str] = (),
        timeout: float | str = DEFAULT_REPLY_TIMEOUT_S,
        metric: Any = None,
        namespace: str | None = None,
    ) -> Event:
        """Send an event and wait for the first event that answers it.

        :param reply: name or names of the events that are answers.
        :param error: names of the events that say that it failed: they raise, and the sample counts
            as infinite.
        :param timeout: seconds (or "5s") to wait.
        :param metric: a Trend for the time from sending to the answer.
        :param namespace: one that was joined; None: the one that the session was opened with.
        :returns: the answer; its ``elapsed_ms`` is that time.
        :raises Timeout: kind ``reply_timeout``.
        :raises ErrorReply: an event of `error` came.
        :raises TargetError: the session has ended.
        """
        space = namespace or self._namespace
        failures = _names(error)
        names = _names(reply) | failures
        parts = encode_event(event, args, space)
        self._require_open("request")
        waiting = self._await_event(names, space, timeout, event, exclusive=True)
        try:
            self._write(parts)
            answer: Event = await self._measured(waiting, metric, failures)
        finally:
            del waiting
        return answer

    async def wait_for(
        self,
        *events: str,
        timeout: float | str = DEFAULT_REPLY_TIMEOUT_S,
        metric: Any = None,
        namespace: str | None = None,
        fresh: bool = False,
    ) -> Event:
        """Wait for one of these events.

        An event that came earlier and that nobody took is returned at once (the oldest first),
        with ``elapsed_ms`` 0.

        :param events: names, any of which will do.
        :param timeout: seconds (or "5s") to wait.
        :param metric: a Trend for the time waited.
        :param namespace: one that was joined; None: the one that the session was opened with.
        :param fresh: only an event that comes from now on.
        :returns: the event; its ``elapsed_ms`` is the time waited.
        :raises Timeout: kind ``reply_timeout``.
        :raises TargetError: the session has ended.
        """
        names = _names(events)
        space = namespace or self._namespace
        if not fresh and self._unread:
            for event in self._unread:
                if event.name in names and event.namespace == space:
                    self._unread.remove(event)
                    event.elapsed_ms = 0.0
                    report = self._observer.operation_begins(self._engine.now_ns(), metric)
                    if metric is not None:
                        report.sample(metric, 0)
                    return event
        self._require_open("wait_for")
        what = " or ".join(sorted(names))
        waiting = self._await_event(names, space, timeout, what, exclusive=False)
        try:
            awaited: Event = await self._measured(waiting, metric)
        finally:
            del waiting
        return awaited

    def on(self, event: str, handler: Handler, *, namespace: str | None = None) -> None:
        """Call `handler(*args)` for each such event, on the loop, in the order of arrival.

        It runs in the context (``contextvars``) that there is now; a coroutine function runs as a
        task. What the handler returns acknowledges an event that asks for it. An exception in it
        is a script error.

        :param event: its name.
        :param handler: a function or a coroutine function; several of an event are called in turn.
        :param namespace: one that was joined; None: the one that the session was opened with.
        """
        if self._handlers is None:
            self._handlers = {}
        key = (namespace or self._namespace, event)
        self._handlers.setdefault(key, []).append((handler, contextvars.copy_context()))

    # ---- inside ------------------------------------------------------------------------------

    def _await_event(
        self,
        names: frozenset[str],
        namespace: str,
        timeout: float | str,
        what: str,
        *,
        exclusive: bool,
    ) -> Reply[Event]:
        awaited = Awaited(names, namespace, exclusive)
        if self._awaited is None:
            self._awaited = []
        timeout_s = parse_duration(timeout, "timeout")
        awaited.reply = Reply(self, timeout_s, "reply_timeout", what, self._forget_awaited)
        self._awaited.append(awaited)
        return awaited.reply

    async def _measured(
        self, reply: Reply[Any], metric: Any, failures: frozenset[str] = frozenset()
    ) -> Any:
        """Wait for a reply, and record how it went: no operation leaves without a sample.

        Who waits must not keep the reply: it holds the error, whose traceback holds who waits, and
        thousands of such circles are what the garbage collector stops the loop for.
        """
        observer = self._observer
        report = observer.operation_begins(reply.asked_ns, metric)
        try:
            packet = await reply
        except BaseException as error:
            if metric is not None:
                elapsed_ns = self._engine.now_ns() - reply.asked_ns
                if isinstance(error, Timeout) and error.kind != "ping_timeout":
                    report.cut_off(metric, elapsed_ns, "deadline")
                elif isinstance(error, asyncio.CancelledError | GeneratorExit):
                    report.cut_off(metric, elapsed_ns, observer.cancel_cause())
                else:
                    report.failed(metric)
            del reply
            raise
        elapsed_ns = packet.arrived_ns - reply.asked_ns
        if isinstance(packet, Event):
            packet.elapsed_ms = elapsed_ns / 1e6
            if packet.name in failures:
                if metric is not None:
                    report.failed(metric)
                raise ErrorReply(
                    f"answered with {packet.name!r}: {str(packet.args)[:200]}",
                    url=self.url,
                    elapsed_ms=packet.elapsed_ms,
                    age_s=self.age_s(),
                    event=packet,
                )
        if metric is not None:
            report.sample(metric, elapsed_ns)
        return packet


def _names(names: str | Iterable[str]) -> frozenset[str]:
    return frozenset((names,)) if isinstance(names, str) else frozenset(names)
