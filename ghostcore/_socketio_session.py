"""A Socket.IO session: events, acknowledgements both ways, requests, handlers, namespaces."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ghostcore._engine import DispatchingSession, Engine, Reply
from ghostcore._opening import Observer, Options, SessionBlock
from ghostcore._socketio import (
    ClientCodec,
    Event,
    Packet,
    PacketType,
    connect_packet,
    encode_event,
    encode_packet,
)
from ghostcore._units import parse_duration
from ghostcore.errors import (
    ClosedByPeer,
    ErrorReply,
    HandshakeRejected,
    ScriptAborted,
    TargetError,
    Timeout,
    UsageError,
)

__all__ = ["SocketIOSession"]

DEFAULT_REPLY_TIMEOUT_S = 30.0

UNREAD_EVENTS_MAX = 256
"""Events without a taker that a session keeps for a later wait_for(); the oldest go first."""

_CONNECT = int(PacketType.CONNECT)
_DISCONNECT = int(PacketType.DISCONNECT)
_EVENT = int(PacketType.EVENT)
_ACK = int(PacketType.ACK)
_CONNECT_ERROR = int(PacketType.CONNECT_ERROR)
_ENGINE_OPEN = int(PacketType.ENGINE_OPEN)
_ENGINE_CLOSE = int(PacketType.ENGINE_CLOSE)

Handler = Callable[..., Any]


class _Awaited:
    """Names of events that somebody waits for."""

    __slots__ = ("exclusive", "names", "namespace", "reply")

    def __init__(self, names: frozenset[str], namespace: str, exclusive: bool) -> None:
        self.names = names
        self.namespace = namespace
        self.exclusive = exclusive  # a request: one event answers one of them
        self.reply: Reply[Event]


class SocketIOSession(SessionBlock, DispatchingSession):
    """A Socket.IO client on a connection of its own.

    An event goes to the handlers of :meth:`on`, answers the oldest :meth:`request` that names it
    and wakes each :meth:`wait_for` that does. One without a taker is kept for a later wait_for().
    Names match exactly.
    """

    __slots__ = (
        "_acks",
        "_awaited",
        "_handlers",
        "_joining",
        "_namespace",
        "_next_ack",
        "_observer",
        "_options",
        "_tasks",
        "_unread",
        "joined_ns",
        "sid",
    )

    def __init__(
        self,
        auth: Any,
        namespace: str,
        engine: Engine,
        options: Options,
        observer: Observer,
        dialed_ns: int,
    ) -> None:
        super().__init__(
            engine,
            ClientCodec(auth, namespace),
            observer.traffic,
            options.max_message_size,
            dialed_ns,
        )
        self._observer = observer
        self._options = options
        self._namespace = namespace
        self._next_ack = 0
        # Most users need few of these at a time: each is made when it is first needed.
        self._acks: dict[int, Reply[Packet]] | None = None
        self._awaited: list[_Awaited] | None = None
        self._handlers: dict[tuple[str, str], list[Handler]] | None = None
        self._joining: dict[str, Reply[Packet]] | None = None
        self._unread: deque[Event] | None = None
        self._tasks: set[asyncio.Task[Any]] | None = None
        self.sid = ""
        self.joined_ns = 0

    # ---- opening and closing -----------------------------------------------------------------

    async def handshake(self) -> int:
        """Wait for the answer to the connect packet, which went out with the open packet."""
        if not self.sid:
            if self.is_closed:  # the 101 and the end came in one go
                raise self.ended_error()
            # The whole of opening has one deadline already.
            await self._expect_join(self._namespace, None)
        opened_ns = self.codec.opened_ns
        self._observer.phase("engineio_open", opened_ns - self.opened_ns)
        self._observer.phase("socketio_connect", self.joined_ns - opened_ns)
        return self.joined_ns

    async def join(self, namespace: str, auth: Any = None, *, timeout: float | str = 10) -> None:
        """Connect to one more namespace on this connection.

        :param timeout: seconds to wait for the answer.
        :raises HandshakeRejected: kind ``connect_error``, with what the server said in ``data``.
        """
        packet = connect_packet(namespace, auth)
        self._require_open("join")
        reply = self._expect_join(namespace, parse_duration(timeout, "timeout"))
        self.write_message(packet)
        await reply

    def _expect_join(self, namespace: str, timeout_s: float | None) -> Reply[Packet]:
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
        return reply

    def goodbye(self) -> Any:
        """Leave the namespace and close the connection: after a disconnect packet alone the server
        keeps the WebSocket open."""
        if self.is_open:
            self._write(encode_packet(PacketType.DISCONNECT, self._namespace))
        return self.close()

    def close(self, code: int = 1000, reason: str = "") -> Any:
        self._outlive()
        return super().close(code, reason)

    def abort(self) -> None:
        self._outlive()
        super().abort()

    def _outlive(self) -> None:
        """Handlers under way end with the session, but not the one that ends it."""
        if self._tasks:
            self._tasks.discard(asyncio.current_task(self.engine.loop))

    async def disconnect(self) -> None:
        """Leave the namespace, close the WebSocket and wait for its end."""
        await self.goodbye()

    def was_held(self) -> bool:
        """Whether the server let the session into its namespace."""
        return bool(self.sid)

    # ---- sending -----------------------------------------------------------------------------

    def emit(self, event: str, *args: Any, namespace: str | None = None) -> Any:
        """Send an event at once; bytes among the arguments go as binary attachments.

        :returns: an awaitable that completes when the socket has room again.
        :raises TargetError: the session has ended; nothing was sent.
        """
        return self._write(encode_event(event, args, namespace or self._namespace))

    async def call(
        self,
        event: str,
        *args: Any,
        timeout: float | str = DEFAULT_REPLY_TIMEOUT_S,
        metric: Any = None,
        namespace: str | None = None,
    ) -> Any:
        """Send an event and wait until the server acknowledges it.

        :param timeout: seconds to wait.
        :param metric: a Trend for the time from sending to the acknowledgement.
        :returns: what the server gave: one value as it is, several as a tuple, none as None.
        :raises Timeout: kind ``ack_timeout``.
        """
        ack_id = self._next_ack
        parts = encode_event(event, args, namespace or self._namespace, ack_id)
        self._require_open("call")
        self._next_ack += 1
        if self._acks is None:
            self._acks = {}
        acks = self._acks
        timeout_s = parse_duration(timeout, "timeout")
        reply: Reply[Packet] = Reply(
            self, timeout_s, "ack_timeout", event, lambda _: acks.pop(ack_id, None)
        )
        acks[ack_id] = reply
        self._write(parts)
        packet = await self._measured(reply, metric)
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
        :param timeout: seconds to wait.
        :param metric: a Trend for the time from sending to the answer.
        :returns: the answer; its ``elapsed_ms`` is that time.
        :raises Timeout: kind ``reply_timeout``. :raises ErrorReply: an event of `error` came.
        """
        space = namespace or self._namespace
        failures = _names(error)
        names = _names(reply) | failures
        parts = encode_event(event, args, space)
        self._require_open("request")
        waiting = self._await_event(names, space, timeout, event, exclusive=True)
        self._write(parts)
        answer: Event = await self._measured(waiting, metric, failures)
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

        :param timeout: seconds to wait.
        :param metric: a Trend for the time waited.
        :param fresh: only an event that comes from now on.
        :raises Timeout: kind ``reply_timeout``.
        """
        names = _names(events)
        space = namespace or self._namespace
        if not fresh and self._unread:
            for event in self._unread:
                if event.name in names and event.namespace == space:
                    self._unread.remove(event)
                    event.elapsed_ms = 0.0
                    if metric is not None:
                        self._observer.sample(metric, 0)
                    return event
        self._require_open("wait_for")
        what = " or ".join(sorted(names))
        waiting = self._await_event(names, space, timeout, what, exclusive=False)
        awaited: Event = await self._measured(waiting, metric)
        return awaited

    def on(self, event: str, handler: Handler, *, namespace: str | None = None) -> None:
        """Call `handler(*args)` for each such event, on the loop, in the order of arrival.

        A coroutine function runs as a task. What the handler returns acknowledges an event that
        asks for it. An exception in it is a script error.
        """
        if self._handlers is None:
            self._handlers = {}
        key = (namespace or self._namespace, event)
        self._handlers.setdefault(key, []).append(handler)

    def ack(self, event: Event, *args: Any) -> Any:
        """Acknowledge an event by hand.

        :raises UsageError: the server did not ask for it.
        """
        if event.ack_id < 0:
            raise UsageError(f"ack: the server asked for no acknowledgement of {event.name!r}")
        return self._write(encode_packet(PacketType.ACK, event.namespace, list(args), event.ack_id))

    # ---- inside ------------------------------------------------------------------------------

    def _write(self, parts: list[str | bytes]) -> Any:
        room = self.write_message(parts[0])
        for part in parts[1:]:
            room = self.write_message(part)
        return room

    def _await_event(
        self,
        names: frozenset[str],
        namespace: str,
        timeout: float | str,
        what: str,
        *,
        exclusive: bool,
    ) -> Reply[Event]:
        awaited = _Awaited(names, namespace, exclusive)
        if self._awaited is None:
            self._awaited = []
        waiting = self._awaited

        def forget(_: object) -> None:
            if awaited in waiting:
                waiting.remove(awaited)

        timeout_s = parse_duration(timeout, "timeout")
        awaited.reply = Reply(self, timeout_s, "reply_timeout", what, forget)
        waiting.append(awaited)
        return awaited.reply

    async def _measured(
        self, reply: Reply[Any], metric: Any, failures: frozenset[str] = frozenset()
    ) -> Any:
        """Wait for a reply, and record how it went: no operation leaves without a sample."""
        observer = self._observer
        try:
            packet = await reply
        except BaseException as error:
            if metric is not None:
                elapsed_ns = self.engine.now_ns() - reply.asked_ns
                if isinstance(error, Timeout) and error.kind != "ping_timeout":
                    observer.cut_off(metric, elapsed_ns, "deadline")
                elif isinstance(error, asyncio.CancelledError | GeneratorExit):
                    observer.cut_off(metric, elapsed_ns, observer.cancel_cause())
                else:
                    observer.failed(metric)
            raise
        elapsed_ns = packet.arrived_ns - reply.asked_ns
        if isinstance(packet, Event):
            packet.elapsed_ms = elapsed_ns / 1e6
            if packet.name in failures:
                if metric is not None:
                    observer.failed(metric)
                raise ErrorReply(
                    f"answered with {packet.name!r}: {str(packet.args)[:200]}",
                    url=self.url,
                    elapsed_ms=packet.elapsed_ms,
                    event=packet,
                )
        if metric is not None:
            observer.sample(metric, elapsed_ns)
        return packet

    def _on_item(self, packet: Packet) -> None:
        kind = packet.type
        if kind == _EVENT:
            assert isinstance(packet, Event)
            self._on_event(packet)
        elif kind == _ACK:
            reply = self._acks.pop(packet.ack_id, None) if self._acks else None
            if reply is None:
                self.traffic.discarded += 1  # an answer to nothing, or one that came too late
            else:
                reply.set_result(packet)
        elif kind == _CONNECT:
            self._on_joined(packet)
        elif kind == _CONNECT_ERROR:
            self._on_refused(packet)
        elif kind == _DISCONNECT:
            if packet.namespace == self._namespace:
                self._ended_by_server("the server disconnected the client from its namespace")
        elif kind == _ENGINE_OPEN:
            self.progress = "connect"
        elif kind == _ENGINE_CLOSE:
            self._ended_by_server("the server closed the Engine.IO session")

    def _on_joined(self, packet: Packet) -> None:
        if packet.namespace == self._namespace and not self.sid:
            self.sid = packet.data["sid"]
            self.joined_ns = packet.arrived_ns
        reply = self._joined(packet.namespace)
        if reply is not None:
            reply.set_result(packet)

    def _joined(self, namespace: str) -> Reply[Packet] | None:
        """Whoever waits to join it. Most users join once: no empty dict is kept for them."""
        reply = self._joining.pop(namespace, None) if self._joining else None
        if not self._joining:
            self._joining = None
        return reply

    def _on_refused(self, packet: Packet) -> None:
        said = packet.data.get("message", packet.data) if packet.data else "no reason given"
        error = HandshakeRejected(
            f"the namespace {packet.namespace} refused the connection: {said}",
            kind="connect_error",
            phase="connect",
            url=self.url,
            data=packet.data,
        )
        reply = self._joined(packet.namespace)
        if reply is not None:
            reply.set_error(error)
        elif packet.namespace == self._namespace:
            self.end_with(error)

    def _ended_by_server(self, detail: str) -> None:
        age_s = (self.arrived_ns - self.opened_ns) / 1e9
        self.end_with(
            ClosedByPeer(
                f"{detail} at the age of {age_s:.3f} s", url=self.url, code=1005, age_s=age_s
            )
        )

    def _on_event(self, event: Event) -> None:
        taken = False
        if self._handlers is not None:
            for handler in self._handlers.get((event.namespace, event.name), ()):
                # Through the loop: a handler is the scenario's code, and must not run in the middle
                # of the frame that brought its event.
                self.engine.loop.call_soon(self._run_handler, handler, event)
                taken = True
        if self._awaited:
            answered = False
            for awaited in tuple(self._awaited):
                if event.name not in awaited.names or event.namespace != awaited.namespace:
                    continue
                if awaited.exclusive and answered:
                    continue
                answered = answered or awaited.exclusive
                taken = True
                self._awaited.remove(awaited)
                awaited.reply.set_result(event)
        if taken:
            return
        if self._unread is None:
            self._unread = deque()
        elif len(self._unread) == UNREAD_EVENTS_MAX:
            self._unread.popleft()
            self.traffic.discarded += 1
        self._unread.append(event)

    def _run_handler(self, handler: Handler, event: Event) -> None:
        try:
            result = handler(*event.args)
            if not inspect.isawaitable(result):
                self._answer(event, result)
                return
        except (Exception, ScriptAborted) as error:
            self._handler_failed(error)
            return
        task = asyncio.ensure_future(self._finish_handler(result, event))
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish_handler(self, result: Any, event: Event) -> None:
        try:
            self._answer(event, await result)
        except (Exception, ScriptAborted) as error:
            self._handler_failed(error)

    def _handler_failed(self, error: BaseException) -> None:
        if isinstance(error, TargetError):
            self._observer.target_error(error)
        else:
            self._observer.script_error(error)

    def _answer(self, event: Event, result: Any) -> None:
        if event.ack_id >= 0 and self.is_open:
            values = () if result is None else result if isinstance(result, tuple) else (result,)
            self.ack(event, *values)

    def _on_end(self) -> None:
        if self.opened_ns:  # an attempt that failed was no session
            self._observer.ended(self)
        pending: list[Reply[Any]] = []
        if self._acks:
            pending += self._acks.values()
            self._acks.clear()
        if self._joining:
            pending += self._joining.values()
            self._joining.clear()
        if self._awaited:
            pending += [awaited.reply for awaited in self._awaited]
            self._awaited.clear()
        if self._tasks:
            for task in tuple(self._tasks):
                task.cancel()
        for reply in pending:
            reply.set_error(self.ended_error())


def _names(names: str | Iterable[str]) -> frozenset[str]:
    return frozenset((names,)) if isinstance(names, str) else frozenset(names)
