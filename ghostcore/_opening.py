"""How a session is opened, step by step, and to whom it reports."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Literal, Protocol, Self, TypedDict, TypeVar

from picows import WSHandshakeError, WSInvalidStatusError

from ghostcore import _dial, _epoll_link
from ghostcore._engine import Engine, Session, Traffic
from ghostcore._picows_link import open_link
from ghostcore._units import parse_duration, seconds_to_ns
from ghostcore._upgrade import make_request
from ghostcore.errors import (
    ConnectFailed,
    HandshakeRejected,
    TargetError,
    Timeout,
    UsageError,
)

__all__ = [
    "DEFAULT_OPTIONS",
    "NullObserver",
    "Observer",
    "Opening",
    "OpeningOptions",
    "Options",
    "SessionBlock",
    "engine_of",
    "leave",
]

DEFAULT_TIMEOUT_S = 10.0
DEFAULT_SEND_TIMEOUT_S = 30.0
DEFAULT_MAX_MESSAGE_SIZE = 16 * 1024 * 1024

_RESERVED_HEADERS = frozenset(
    ("host", "upgrade", "connection", "sec-websocket-key", "sec-websocket-version")
)


def engine_of(loop: asyncio.AbstractEventLoop) -> Engine:
    """The engine of a loop, made when it is first asked for."""
    engine: Engine | None = getattr(loop, "_ghostcore_engine", None)
    if engine is None or engine.closed:
        engine = Engine(loop)
        loop._ghostcore_engine = engine  # type: ignore[attr-defined]
    return engine


class Observer(Protocol):
    """Where sessions report to: the metrics of a run, or nowhere."""

    traffic: Traffic

    def sample(self, metric: Any, elapsed_ns: int) -> None:
        """An operation was answered after that time."""

    def failed(self, metric: Any) -> None:
        """An operation failed and will never be answered."""

    def cut_off(self, metric: Any, elapsed_ns: int, cause: str) -> None:
        """An operation was given up after that time; the cause is one of TrendState.cut_off."""

    def cancel_cause(self) -> str:
        """Why an operation that is being cancelled now is cut off."""
        ...

    def phase(self, name: str, elapsed_ns: int) -> None:
        """A phase of opening a session (a key of PHASES) took that long."""

    def dialing(self) -> None:
        """A session is about to be opened."""

    def opened(self, session: Session) -> None:
        """The 101 arrived."""

    def not_opened(self, elapsed_ns: int, cause: str | None) -> None:
        """No 101: the attempt failed, or was cut off for that cause."""

    def ended(self, session: Session) -> None:
        """A session that was opened has ended."""

    def target_error(self, error: TargetError) -> None:
        """An error of the server's that no operation of the scenario will raise."""

    def script_error(self, error: BaseException) -> None:
        """A handler of the scenario's failed."""


class NullObserver:
    """The observer outside of a run: nothing is recorded."""

    def __init__(self) -> None:
        self.traffic = Traffic()

    def _ignore(self, *_: Any) -> None:
        pass

    sample = failed = cut_off = phase = _ignore
    dialing = opened = not_opened = ended = target_error = _ignore

    def cancel_cause(self) -> str:
        return "deadline"

    def script_error(self, error: BaseException) -> None:
        context = {"message": "an event handler failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


class OpeningOptions(TypedDict, total=False):
    """The keyword arguments that connect() and socketio() share.

    :ivar headers: extra headers of the upgrade: a mapping, or pairs in order.
    :ivar subprotocols: names to offer in Sec-WebSocket-Protocol.
    :ivar timeout: seconds (or "10s") for all of opening, from the look-up of the name to the last
        answer; 10 unless given.
    :ivar send_timeout: seconds (or "30s") that awaiting a send waits for the server to take what is
        buffered; 30 unless given.
    :ivar max_message_size: bytes; a larger message ends the session with close code 1009. 16 MiB
        unless given.
    :ivar ssl: a context, or the path of a PEM file with CA certificates; the system's unless given.
    :ivar insecure: accept any certificate.
    :ivar local_address: source address to connect from.
    :ivar link: what carries the connection: "epoll" (ws:// on Linux, the default there) or "picows"
        (everything).
    """

    headers: Mapping[str, str] | Sequence[tuple[str, str]] | None
    subprotocols: Sequence[str]
    timeout: float | str
    send_timeout: float | str
    max_message_size: int
    ssl: ssl_module.SSLContext | str | None
    insecure: bool
    local_address: str | None
    link: Literal["epoll", "picows"] | None


@dataclass(frozen=True, slots=True)
class Options:
    """OpeningOptions, checked and immutable, so that thousands of sessions can share one."""

    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    timeout_s: float = DEFAULT_TIMEOUT_S
    send_timeout_s: float = DEFAULT_SEND_TIMEOUT_S
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE
    ssl: ssl_module.SSLContext | str | None = None
    insecure: bool = False
    local_address: str | None = None
    link: str | None = None

    @classmethod
    def build(
        cls,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        subprotocols: Sequence[str] = (),
        timeout: float | str = DEFAULT_TIMEOUT_S,
        send_timeout: float | str = DEFAULT_SEND_TIMEOUT_S,
        max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
        ssl: ssl_module.SSLContext | str | None = None,
        insecure: bool = False,
        local_address: str | None = None,
        link: str | None = None,
    ) -> Options:
        """From the keyword arguments of connect() and socketio(), checked."""
        pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers or ())
        for name, value in pairs:
            if not isinstance(name, str) or not isinstance(value, str):
                raise UsageError(f"headers: names and values must be str, got {name!r}: {value!r}")
            if name.lower() in _RESERVED_HEADERS and name.lower() != "host":
                raise UsageError(f"headers: {name} belongs to the upgrade itself")
            if any(char in name + value for char in "\r\n\0"):
                raise UsageError(f"headers: line breaks are not allowed in {name!r}")
        if isinstance(subprotocols, str):
            raise UsageError("subprotocols: expected a list of names, got one str")
        if link not in (None, "epoll", "picows"):
            raise UsageError(f"link must be 'epoll' or 'picows', got {link!r}")
        if max_message_size < 1:
            raise UsageError(f"max_message_size must be at least 1 byte, got {max_message_size}")
        return cls(
            pairs,
            tuple(subprotocols),
            parse_duration(timeout, "timeout"),
            parse_duration(send_timeout, "send_timeout"),
            max_message_size,
            ssl,
            insecure,
            local_address,
            link,
        )


DEFAULT_OPTIONS = Options()

SessionT = TypeVar("SessionT", bound=Session)


async def leave(session: Session, observer: Observer, error: BaseException | None) -> None:
    """The end of a block that had the session: say goodbye, and let no loss go unnoticed.

    If the server ended the session meanwhile and no operation has told the scenario, that error is
    raised: a connection that was lost while its user slept must not pass for one that held.

    :param error: what ends the block, None if it came to its end.
    """
    if session.is_open:
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            session.goodbye()  # what says so is out; nobody has time to wait for the answer
        else:
            await session.goodbye()
    lost = session.take_unseen_error()
    if lost is None:
        return
    if error is None:
        raise lost
    observer.target_error(lost)


class SessionBlock:
    """Lets an open session be used as ``async with session:``; see :func:`leave`."""

    __slots__ = ()

    _observer: Observer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert isinstance(self, Session)
        await leave(self, self._observer, error)


class Opening(Generic[SessionT]):
    """A session to be opened: await it, or enter it with ``async with``, which closes it."""

    __slots__ = ("_make", "_metric", "_observer", "_options", "_session", "_target")

    def __init__(
        self,
        target: _dial.Target,
        options: Options,
        observer: Observer,
        make: Callable[[Engine, Options, Observer, int], SessionT],
        metric: Any = None,
    ) -> None:
        if target.secure:
            _dial.tls_context(options.ssl, options.insecure)  # what is wrong with it is told at once
        self._target = target
        self._options = options
        self._observer = observer
        self._make = make
        self._metric = metric
        self._session: SessionT | None = None

    def __await__(self) -> Generator[Any, None, SessionT]:
        return self._open().__await__()

    async def __aenter__(self) -> SessionT:
        self._session = await self._open()
        return self._session

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        session = self._session
        assert session is not None
        self._session = None
        await leave(session, self._observer, error)

    async def _open(self) -> SessionT:
        loop = asyncio.get_running_loop()
        engine = engine_of(loop)
        observer = self._observer
        observer.dialing()
        dialed_ns = engine.now_ns()
        session = self._make(engine, self._options, observer, dialed_ns)
        session.url = self._target.url
        session.send_timeout_ns = seconds_to_ns(self._options.send_timeout_s)
        try:
            async with asyncio.timeout(self._options.timeout_s):
                ready_ns = await self._steps(loop, engine, session)
        except (TargetError, TimeoutError, asyncio.CancelledError) as error:
            elapsed_ns = engine.now_ns() - dialed_ns
            raise self._not_ready(session, error, elapsed_ns) from None
        except BaseException:
            session.abort()
            raise
        if self._metric is not None:
            observer.sample(self._metric, ready_ns - dialed_ns)
        return session

    def _not_ready(self, session: SessionT, error: BaseException, elapsed_ns: int) -> BaseException:
        """Record an attempt that did not come to its end; returns what to raise."""
        limit_s = self._options.timeout_s
        cause: str | None = None
        if isinstance(error, asyncio.CancelledError):
            cause = self._observer.cancel_cause()
        elif isinstance(error, TimeoutError):
            cause = "deadline"
            if not isinstance(error, TargetError):
                upgraded = session.opened_ns != 0
                reached = session.reached()
                error = Timeout(
                    f"not connected within {limit_s:g} s: {reached}",
                    kind="open_timeout" if upgraded else "connect_timeout",
                    phase=session.progress,
                    limit_s=limit_s,
                )
        if session.opened_ns == 0:
            self._observer.not_opened(elapsed_ns, cause)
        if self._metric is not None:
            if cause is None:
                self._observer.failed(self._metric)
            else:
                self._observer.cut_off(self._metric, elapsed_ns, cause)
        session.abort()
        session.take_unseen_error()  # it is the one that we raise, or follows from it
        if isinstance(error, TargetError):
            if error.phase == "session":  # it ended an open connection, but not yet a session
                error.phase = session.progress
            error.url = error.url or self._target.url
            if error.elapsed_ms != error.elapsed_ms:
                error.elapsed_ms = elapsed_ns / 1e6
        return error

    async def _steps(
        self, loop: asyncio.AbstractEventLoop, engine: Engine, session: SessionT
    ) -> int:
        target, observer = self._target, self._observer
        addresses, looked_up = await _dial.resolve(loop, target, session.dialed_ns)
        resolved_ns = engine.now_ns()
        if looked_up:
            observer.phase("dns", resolved_ns - session.dialed_ns)
        session.progress = "tcp"
        if self._on_epoll(engine):
            connected_ns = await self._open_epoll(engine, session, addresses)
        else:
            options = self._options
            sock = await _dial.tcp_connect(loop, target, addresses, options.local_address)
            connected_ns = engine.now_ns()
            session.progress = "tls" if target.secure else "upgrade"
            await self._upgrade(session, sock)
        self._check_subprotocol(session)
        observer.phase("tcp", connected_ns - resolved_ns)
        if target.secure:
            observer.phase("tls", session.upgrading_ns - connected_ns)
        observer.phase("upgrade", session.opened_ns - session.upgrading_ns)
        observer.opened(session)
        return await session.handshake()

    def _on_epoll(self, engine: Engine) -> bool:
        wanted = self._options.link
        if wanted == "picows" or self._target.secure or not _epoll_link.available():
            if wanted == "epoll":
                raise UsageError("link='epoll' is for ws:// on Linux: leave link out elsewhere")
            return False
        return True

    async def _open_epoll(
        self, engine: Engine, session: SessionT, addresses: list[tuple[int, Any]]
    ) -> int:
        """Connect and upgrade over the epoll link; returns when TCP was connected."""
        target = self._target
        if engine.hub is None:
            engine.hub = _epoll_link.Hub(engine)
        failure: OSError = OSError("no address to connect to")
        for _, address in addresses:
            request, key = make_request(target.netloc, target.resource, self._headers())
            opening = engine.hub.open(session, address, self._options.local_address, request, key)
            try:
                await opening
            except OSError as error:
                failure = error
            else:
                connected_ns: int = opening.connected_ns
                return connected_ns
        raise _dial.connect_failed(failure, target, "tcp") from failure

    def _headers(self) -> list[tuple[str, str]]:
        headers = list(self._options.headers)
        if self._options.subprotocols:
            headers.append(("Sec-WebSocket-Protocol", ", ".join(self._options.subprotocols)))
        return headers

    def _check_subprotocol(self, session: SessionT) -> None:
        chosen = session.subprotocol
        if chosen and chosen not in self._options.subprotocols:
            raise HandshakeRejected(
                f"the server chose the subprotocol {chosen!r}, which was not offered",
                kind="upgrade_invalid",
                url=self._target.url,
                status=101,
            )

    async def _upgrade(self, session: SessionT, sock: Any) -> None:
        target, options = self._target, self._options
        context = _dial.tls_context(options.ssl, options.insecure) if target.secure else None
        try:
            opened = await open_link(
                session,
                sock,
                target.netloc,
                target.resource,
                ssl=context,
                server_hostname=target.host if target.secure else None,
                headers=tuple(self._headers()),
                subprotocols=options.subprotocols,
                max_frame_size=options.max_message_size,
            )
        except OSError as error:
            phase = "upgrade" if session.upgrading_ns else "tls" if target.secure else "upgrade"
            raise _dial.connect_failed(error, target, phase) from error
        except WSHandshakeError as error:
            raise _rejected(error, target.url) from error
        if not opened:
            raise ConnectFailed(
                "the server ended the connection instead of answering the upgrade",
                kind="upgrade_closed",
                phase="upgrade",
                url=target.url,
            )


def _rejected(error: WSHandshakeError, url: str) -> HandshakeRejected:
    """The error for an answer to the upgrade that is not the right 101."""
    body = (error.raw_body or b"")[:512]
    if isinstance(error, WSInvalidStatusError) and error.response is not None:
        status = int(error.response.status)
        phrase = error.response.status.phrase
        location = error.response.headers.get("Location")
        hint = f" to {location}" if location else ""
        return HandshakeRejected(
            f"the upgrade was answered with HTTP {status} {phrase}{hint}",
            url=url,
            status=status,
            data=body,
        )
    return HandshakeRejected(
        f"the answer to the upgrade is invalid: {error}",
        kind="upgrade_invalid",
        url=url,
        status=int(error.response.status) if error.response is not None else 0,
        data=body,
    )
