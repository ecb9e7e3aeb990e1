"""The receiving side of a Socket.IO session: who gets what arrives, and what happens at the end."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections import deque
from collections.abc import Callable
from typing import Any

from ghostcore._engine import Engine
from ghostcore.errors import (
    ClosedByPeer,
    HandshakeRejected,
    Phase,
    TargetError,
    UsageError,
)
from ghostcore.protocol.socketio_codec import ClientCodec, Event, Packet, PacketType, encode_packet
from ghostcore.sessions.observer import Observer, SessionBlock
from ghostcore.sessions.session import DispatchingSession, Opener, Reply

__all__ = ["UNREAD_EVENTS_MAX", "Awaited", "EventfulSession", "Handler"]

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


class Awaited:
    """A wait for the first event with one of these names."""

    __slots__ = ("exclusive", "names", "namespace", "reply")

    def __init__(self, names: frozenset[str], namespace: str, exclusive: bool) -> None:
        self.names = names
        self.namespace = namespace
        self.exclusive = exclusive  # a request: one event answers one of them
        self.reply: Reply[Event]


class EventfulSession(SessionBlock, DispatchingSession):
    """Hands each packet to the call, wait or handler it is for; the base of SocketIOSession."""

    __slots__ = (
        "_acks",
        "_awaited",
        "_handlers",
        "_joining",
        "_namespace",
        "_next_ack",
        "_observer",
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
        observer: Observer,
        dialed_ns: int,
        url: str,
        max_message_size: int,
        send_timeout_ns: int,
    ) -> None:
        super().__init__(
            engine,
            ClientCodec(auth, namespace),
            observer.traffic,
            max_message_size,
            dialed_ns,
            url,
            send_timeout_ns,
        )
        self._observer = observer
        self._namespace = namespace
        self._next_ack = 0
        # Most users need few of these at a time: each is made when it is first needed.
        self._acks: dict[int | tuple[str, int], Reply[Packet]] | None = None
        self._awaited: list[Awaited] | None = None
        self._handlers: dict[tuple[str, str], list[tuple[Handler, contextvars.Context]]] | None
        self._handlers = None
        self._joining: dict[str, Reply[Packet] | Opener[Any]] | None = None
        self._unread: deque[Event] | None = None
        self._tasks: set[asyncio.Task[Any]] | None = None
        self.sid = ""
        self.joined_ns = 0

    # ---- sending -----------------------------------------------------------------------------

    def _write(self, parts: list[str | bytes]) -> Any:
        room = self._write_message(parts[0])
        for part in parts[1:]:
            room = self._write_message(part)
        return room

    def ack(self, event: Event, *args: Any) -> Any:
        """Acknowledge an event by hand.

        :raises UsageError: the server did not ask for it.
        """
        if event.ack_id < 0:
            raise UsageError(f"ack: the server asked for no acknowledgement of {event.name!r}")
        return self._write(encode_packet(PacketType.ACK, event.namespace, list(args), event.ack_id))

    # ---- what arrives ------------------------------------------------------------------------

    def _on_item(self, packet: Packet) -> None:
        kind = packet.type
        if kind == _EVENT:
            assert isinstance(packet, Event)
            self._on_event(packet)
        elif kind == _ACK:
            key = self._ack_key(packet.namespace, packet.ack_id)
            reply = self._acks.pop(key, None) if self._acks else None
            if reply is None:
                self._traffic.discarded += 1  # nothing waits for this answer, or no longer
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
            self._advance(Phase.SOCKETIO_CONNECT)
        elif kind == _ENGINE_CLOSE:
            self._ended_by_server("the server closed the Engine.IO session")

    def _ack_key(self, namespace: str, ack_id: int) -> int | tuple[str, int]:
        """The key of a waiting call: an acknowledgement answers calls of its own namespace only."""
        return ack_id if namespace == self._namespace else (namespace, ack_id)

    def _on_joined(self, packet: Packet) -> None:
        if packet.namespace == self._namespace and not self.sid:
            self.sid = packet.data["sid"]
            self.joined_ns = packet.arrived_ns
            opened_ns = self._codec.opened_ns
            self._observer.phase(Phase.ENGINEIO_OPEN, opened_ns - self.opened_ns)
            self._observer.phase(Phase.SOCKETIO_CONNECT, self.joined_ns - opened_ns)
        reply = self._joined(packet.namespace)
        if reply is not None:
            reply.set_result(packet)

    def _joined(self, namespace: str) -> Reply[Packet] | Opener[Any] | None:
        """Whoever waits to join it. Most users join once: no empty dict is kept for them."""
        reply = self._joining.pop(namespace, None) if self._joining else None
        if not self._joining:
            self._joining = None
        return reply

    def _on_refused(self, packet: Packet) -> None:
        said = packet.data or "no reason given"
        if isinstance(said, dict):  # Socket.IO 4 sends an object, 2 sent the text alone
            said = said.get("message", said)
        error = HandshakeRejected(
            f"the namespace {packet.namespace} refused the connection: {said}",
            kind="connect_error",
            phase=Phase.SOCKETIO_CONNECT,
            url=self.url,
            age_s=self.age_s(),
            data=packet.data,
        )
        reply = self._joined(packet.namespace)
        if reply is not None:
            reply.set_error(error)
        elif packet.namespace == self._namespace:
            self._end_by_server(error)

    def _ended_by_server(self, detail: str) -> None:
        age_s = (self.arrived_ns - self.opened_ns) / 1e9
        self._end_by_server(
            ClosedByPeer(
                f"{detail} at the age of {age_s:.3f} s", url=self.url, code=1005, age_s=age_s
            )
        )

    def _on_event(self, event: Event) -> None:
        taken = False
        if self._handlers is not None:
            for handler, context in self._handlers.get((event.namespace, event.name), ()):
                # Through the loop: a handler is the scenario's code, and must not run in the middle
                # of the frame that brought its event, nor in the context of whoever reads sockets.
                self._engine.loop.call_soon(self._run_handler, handler, event, context=context)
                taken = True
        if self._awaited:
            answered = False
            for awaited in tuple(self._awaited):
                if event.name not in awaited.names or event.namespace != awaited.namespace:
                    continue
                if awaited.exclusive and answered:
                    continue
                if awaited not in self._awaited:
                    continue  # a task that this event woke has cancelled the wait since
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
            self._traffic.discarded += 1
        self._unread.append(event)

    def _run_handler(self, handler: Handler, event: Event) -> None:
        try:
            result = handler(*event.args)
            if not inspect.isawaitable(result):
                self._answer(event, result)
                return
        except KeyboardInterrupt:
            raise
        except BaseException as error:
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
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # with its session
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
        pending: list[Reply[Any] | Opener[Any]] = []
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
            reply.set_error(self._ended_error())
        # Handlers as a rule refer to the session: the garbage collector would have to free both.
        self._handlers = None

    def _forget_awaited(self, reply: Reply[Event]) -> None:
        """The wait behind this reply is over: events must not go to it any more."""
        if self._awaited:
            self._awaited = [one for one in self._awaited if one.reply is not reply]

    def _outlive(self) -> None:
        """Take the calling task out of the handlers that are cancelled when the session ends: it
        is the one that ends it."""
        if self._tasks:
            self._tasks.discard(asyncio.current_task(self._engine.loop))
