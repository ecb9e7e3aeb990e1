from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, Self, TypeVar, type_check_only

from ghostcore._engine import Engine, Traffic
from ghostcore.errors import GhostError, Phase, TargetError
from ghostcore.loop.timers import Waiter
from ghostcore.protocol.codec import Codec

_T = TypeVar("_T")
_SessionT = TypeVar("_SessionT", bound="Session")
_SessionT_contra = TypeVar("_SessionT_contra", bound="Session", contravariant=True)

def live_sessions() -> int:
    """Sessions whose connection has not ended yet; the leak tests expect zero."""

class Session:
    """One connection. Subclasses decide how items reach the scenario.

    Times are CLOCK_MONOTONIC in ns (or a fake clock of the loop); 0: it has not come to that.

    :ivar error: why the session ended; None while it lives, or if this side closed it.
    :ivar url: the URL that was dialled, without its query.
    :ivar subprotocol: the subprotocol that the server chose; empty for none.
    :ivar close_reason: the reason in the peer's close frame; empty without one.
    :ivar close_code: the code in the peer's close frame; 1006 if none came, 1005 if it had no code.
    :ivar dialed_ns: when opening began.
    :ivar opened_ns: when the 101 arrived.
    :ivar closed_ns: when the session ended.
    :ivar arrived_ns: when the last frame arrived.
    :ivar msgs_sent: data messages sent, those of Engine.IO included.
    :ivar msgs_received: data messages received, those of Engine.IO included.
    """

    _engine: Engine
    _codec: Any
    _traffic: Traffic
    error: TargetError | None
    url: str
    _phase: Phase
    _send_timeout_ns: int
    subprotocol: str
    close_reason: str
    dialed_ns: int
    _upgrading_ns: int
    opened_ns: int
    closed_ns: int
    arrived_ns: int
    close_code: int
    msgs_sent: int
    msgs_received: int
    def __init__(
        self,
        engine: Engine,
        codec: Codec,
        traffic: Traffic,
        max_message_size: int,
        dialed_ns: int,
        url: str = "",
        send_timeout_ns: int = 0,
    ) -> None: ...
    @property
    def is_open(self) -> bool:
        """True from the upgrade until the connection ends or begins to close."""
    @property
    def is_closed(self) -> bool:
        """True once the session has ended."""
    @property
    def _is_linked(self) -> bool: ...
    def close(self, code: int = 1000, reason: str = "") -> Awaitable[None]:
        """Send a close frame at once; awaiting the result waits for the connection to end, also
        where the session has ended before and the connection is still going down.

        A peer that does not answer the closing handshake within 5 s is cut off.

        :param code: 1000 or 3000-4999 (RFC 6455 section 7.4).
        :param reason: text for the peer; cut to whole characters within 123 bytes of UTF-8.
        :returns: an awaitable, which need not be awaited. A session that has ended or is closing
            sends nothing.
        :raises UsageError: another code.
        """
    def abort(self) -> None:
        """End the connection now, without a closing handshake; the peer sees 1006. Idempotent."""
    def ping(self, payload: bytes = b"", timeout: float | str | None = None) -> Awaitable[float]:
        """Send a WebSocket ping at once; awaiting the result gives the round trip in ms.

        :param payload: up to 125 bytes; empty: one is made up that no other ping has.
        :param timeout: seconds (or "2s") to wait for the pong; None waits until the session ends.
        :raises UsageError: a payload of more than 125 bytes or one that is under way already, or a
            session that is not connected yet or was closed by this side.
        :raises TargetError: the session has ended; nothing was sent. When awaited: why it ended.
        :raises Timeout: when awaited, kind ``receive_timeout``: no pong came in time.
        """
    def _write_message(self, data: str | bytes | bytearray | memoryview) -> Awaitable[None]: ...
    def _room(self) -> Awaitable[None]: ...
    def _ended_error(self) -> GhostError: ...
    @property
    def _has_unseen_error(self) -> bool: ...
    def _take_unseen_error(self) -> TargetError | None: ...
    def age_s(self) -> float:
        """Seconds since the 101 arrived; NaN before it."""
    def _phase_in_words(self) -> str: ...
    def _got_service(self) -> bool: ...
    def _end_by_server(self, error: TargetError) -> None: ...
    def _begin_handshake(self, opener: Opener[Self]) -> None: ...
    @property
    def _ready_ns(self) -> int: ...
    def _take_leave(self) -> Awaitable[None]: ...
    def _advance(self, phase: Phase) -> int: ...
    def _require_open(self, operation: str) -> None: ...
    def _on_item(self, item: Any) -> None: ...
    def _on_ping(self, elapsed_ns: int, end: str) -> None: ...
    def _on_end(self) -> None: ...

class Reply(Waiter[_T], Generic[_T]):
    """An answer that a session waits for: completed from Python when the right item arrives.

    :param session: whose end fails the wait.
    :param timeout: seconds from now, or None to wait until the session ends.
    :param kind: the kind of the Timeout that is raised, e.g. ``reply_timeout``.
    :param what: what was awaited, for the message.
    :param forget: called with this object when it times out or is cancelled.
    :ivar asked_ns: when the wait began, on the clock of the session's timers.
    """

    asked_ns: int
    def __init__(
        self,
        session: Session,
        timeout: float | None,
        kind: str,
        what: str,
        forget: Callable[[Reply[_T]], object],
    ) -> None: ...
    def set_result(self, value: _T) -> None:
        """The answer has come; ignored once the wait is over."""
    def set_error(self, error: BaseException) -> None:
        """No answer will come, for this reason; ignored once the wait is over."""

@type_check_only
class Attempt(Protocol[_SessionT_contra]):
    def secured(self, elapsed_ns: int) -> None: ...
    def upgraded(self, session: _SessionT_contra, tcp_ns: int) -> None: ...
    def ready(self, session: _SessionT_contra) -> None: ...
    def not_ready(self, session: _SessionT_contra, error: BaseException) -> BaseException: ...

class Opener(Waiter[_SessionT], Generic[_SessionT]):
    """A session that is being opened; the result is the session, once its user can have it.

    :param attempt: is called as opening goes on: ``upgraded(session, tcp_ns)``, then
        ``ready(session)`` or ``not_ready(session, error)``, which returns what to raise.
    :param limit_ns: the deadline of all of opening, on the clock of the session's timers.
    """

    def __init__(self, session: _SessionT, attempt: Attempt[_SessionT], limit_ns: int) -> None: ...
    def upgraded(self, tcp_ns: int) -> None:
        """The 101 has come, and the link is the session's."""
    def set_result(self, value: object) -> None:
        """What must follow the 101 has come."""
    def set_error(self, error: BaseException) -> None:
        """The session cannot be had; the attempt says what is raised for this error."""

class Flow(Waiter[_T], Generic[_T]):
    """An operation that sends by itself until it is complete. Pending: the session is open."""

class DispatchingSession(Session):
    """A session whose items go to ``_on_item()`` of a subclass as they arrive."""
