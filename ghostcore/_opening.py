"""How a session is opened, step by step, and to whom it reports."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from ghostcore import _dial, _epoll_link
from ghostcore._asyncio_private import runs_here
from ghostcore._engine import Opener, Session
from ghostcore._handshake import Upgrade
from ghostcore._link import Engine, Traffic
from ghostcore._metrics import TrendRecorder
from ghostcore._options import Options
from ghostcore._picows_link import open_link
from ghostcore._proxy import dial_through
from ghostcore._route import Route
from ghostcore.errors import (
    ConnectFailed,
    TargetError,
    Timeout,
    UsageError,
)

__all__ = [
    "NullObserver",
    "Observer",
    "Opening",
    "SessionBlock",
    "engine_of",
    "leave",
]


def engine_of(loop: asyncio.AbstractEventLoop) -> Engine:
    """The engine of a loop, made when it is first asked for."""
    engine: Engine | None = getattr(loop, "_ghostcore_engine", None)
    if engine is None or engine.closed:
        engine = Engine(loop)
        # On the loop itself: it lives as long, and to look it up costs every connection.
        loop._ghostcore_engine = engine  # type: ignore[attr-defined]
        if runs_here(loop):
            closer = _until_the_end(engine)
            with suppress(StopIteration):
                closer.__anext__().__await__().send(None)
            loop._ghostcore_closer = closer  # type: ignore[attr-defined]
    return engine


async def _until_the_end(engine: Engine) -> AsyncGenerator[None, None]:
    """Closes the engine when its loop ends its asynchronous generators, as asyncio.run() and its
    likes do before they close it: a loop tells nobody else of its end, and sessions that were left
    open, with their descriptors, would outlive it."""
    try:
        yield
    finally:
        engine.close()


class Observer(Protocol):
    """Where sessions report to: the metrics of a run, or nowhere."""

    @property
    def traffic(self) -> Traffic:
        """What the sessions of a scenario count into."""
        ...

    def begun(self, at_ns: int, *metrics: Any) -> int:
        """An operation begins; those of its metrics that are None do not count.

        :returns: what to tell as `late_ns` when it ends: by how much later than something was due
            that begins with it; -1 if it is no first step of anything.
        """
        ...

    def sample(self, metric: Any, elapsed_ns: int, late_ns: int = -1) -> None:
        """An operation was answered after that time."""

    def trend(self, metric: Any) -> TrendRecorder | None:
        """Where code in C records such operations by itself; None: nowhere.

        :raises UsageError: the metric is no Trend.
        """
        ...

    def failed(self, metric: Any, late_ns: int = -1) -> None:
        """An operation failed and will never be answered."""

    def cut_off(self, metric: Any, elapsed_ns: int, cause: str, late_ns: int = -1) -> None:
        """An operation was given up after that time; the cause is one of TrendState.cut_off."""

    def cancel_cause(self) -> str:
        """Why an operation that is being cancelled now is cut off."""
        ...

    def phase(self, name: str, elapsed_ns: int) -> None:
        """A phase of opening a session took that long: a key of PHASES, but tcp and upgrade."""

    def dialing(self) -> None:
        """A session is about to be opened."""

    def opened(self, session: Session, tcp_ns: int, late_ns: int = -1) -> None:
        """The 101 arrived, after that time for the TCP connection."""

    def not_opened(self, elapsed_ns: int, cause: str | None, late_ns: int = -1) -> None:
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

    def trend(self, metric: Any) -> TrendRecorder | None:
        return None

    def begun(self, at_ns: int, *metrics: Any) -> int:
        return -1

    def cancel_cause(self) -> str:
        return "deadline"

    def script_error(self, error: BaseException) -> None:
        context = {"message": "an event handler failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


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
    """What sessions of both kinds do in Python: ``async with session:`` (see :func:`leave`), and
    telling the run of pings."""

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

    def _on_ping(self, elapsed_ns: int, end: str) -> None:
        observer = self._observer
        if not end:
            observer.sample("ws_ping", elapsed_ns)
        elif end == "lost":
            observer.failed("ws_ping")
        else:
            cause = observer.cancel_cause() if end == "cancelled" else end
            observer.cut_off("ws_ping", elapsed_ns, cause)


class Opening(Generic[SessionT]):
    """A session to be opened: await it, or enter it with ``async with``, which closes it.

    Where the address is known and the epoll link will do, all of it happens in one waiter in C; a
    name to look up or a proxy takes a coroutine, and so does the picows link.
    """

    __slots__ = ("_late_ns", "_make", "_metric", "_observer", "_route", "_session", "_upgrade")

    def __init__(
        self,
        route: Route,
        observer: Observer,
        make: Callable[[Engine, Options, Observer, int], SessionT],
        metric: Any = None,
    ) -> None:
        self._route = route
        if route.target.secure:
            self._tls_context()  # what is wrong with it is told at once
        self._observer = observer
        self._make = make
        self._metric = metric
        self._session: SessionT | None = None
        self._late_ns = -1
        self._upgrade: Upgrade | None = None

    def __await__(self) -> Generator[Any, None, SessionT]:
        return self._dial(self._begin()).__await__()

    def __aenter__(self) -> Awaitable[SessionT]:
        self._session = session = self._begin()
        return self._dial(session)

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

    def _begin(self) -> SessionT:
        engine = engine_of(asyncio.get_running_loop())
        route, observer, metric = self._route, self._observer, self._metric
        if metric is not None:
            observer.trend(metric)  # one that is no Trend is refused before the dial
        observer.dialing()
        session = self._make(engine, route.options, observer, engine.now_ns())
        self._late_ns = observer.begun(session.dialed_ns, "ws_connecting", metric)
        session.url = route.target.url
        session.send_timeout_ns = route.options.send_timeout_ns
        return session

    def _dial(self, session: SessionT) -> Awaitable[SessionT]:
        route, since_ns = self._route, session.dialed_ns
        if route.direct and self._on_epoll():
            addresses = route.addresses
            if addresses is None:
                addresses = _dial.known_addresses(session.engine.loop, route.target, since_ns)
            if addresses is not None:
                return self._over_epoll(session, addresses, None, since_ns)
        return self._open(session)

    def _on_epoll(self) -> bool:
        wanted = self._route.options.link
        if wanted == "picows":
            return False
        if not _epoll_link.available():
            if wanted == "epoll":
                raise UsageError("link='epoll' is for Linux: leave link out elsewhere")
            return False
        return True

    def _tls_context(self) -> ssl.SSLContext:
        options = self._route.options
        return _dial.tls_context(options.ssl, options.insecure)

    def _source(self, session: SessionT) -> str | None:
        own = self._route.options.local_addresses
        return own[session.engine.next_dial() % len(own)] if own else None

    def _over_epoll(
        self,
        session: SessionT,
        addresses: list[tuple[int, Any]],
        sock: socket.socket | None,
        since_ns: int,
    ) -> Awaitable[SessionT]:
        engine, route = session.engine, self._route
        target, options = route.target, route.options
        hub = engine.hub
        if hub is None:
            hub = engine.hub = _epoll_link.Hub(engine)
        session.progress = "tcp"
        self._upgrade = upgrade = route.request.upgrade()
        opener: Awaitable[SessionT] = hub.open(
            session,
            self,
            session.dialed_ns + options.timeout_ns,
            since_ns,
            addresses,
            self._source(session) if options.local_addresses else None,
            upgrade,
            sock,
            self._tls_context() if target.secure else None,
            target.host,
        )
        return opener

    async def _open(self, session: SessionT) -> SessionT:
        """What must be waited for step by step: a look-up, a proxy, the picows link."""
        addresses: list[tuple[int, Any]] = []
        sock: socket.socket | None = None
        connected_ns = 0
        loop, target, options = session.engine.loop, self._route.target, self._route.options
        try:
            async with asyncio.timeout(options.timeout_ns / 1e9):
                since_ns = session.dialed_ns
                if options.proxy is None:
                    addresses = await self._look_up(session)
                    since_ns = session.engine.now_ns()
                session.progress = "tcp"
                if options.proxy is not None:
                    sock = await dial_through(options.proxy, loop, target, self._source(session))
                if not self._on_epoll():
                    if sock is None:
                        sock = await _dial.tcp_connect(
                            loop,
                            target,
                            addresses,
                            self._source(session),
                            session.engine,
                        )
                    connected_ns = session.engine.now_ns()
                    await self._open_picows(session, sock)
        except (TargetError, TimeoutError, asyncio.CancelledError) as error:
            raise self.not_ready(session, error) from None
        except BaseException:
            session.abort()
            raise
        if self._on_epoll():
            return await self._over_epoll(session, addresses, sock, since_ns)
        if target.secure:
            self.secured(session.upgrading_ns - connected_ns)
        opener: Opener[SessionT] = Opener(session, self, session.dialed_ns + options.timeout_ns)
        opener.upgraded(connected_ns - since_ns)
        return await opener

    async def _look_up(self, session: SessionT) -> list[tuple[int, Any]]:
        addresses, looked_up = await _dial.resolve(
            session.engine.loop, self._route.target, session.dialed_ns
        )
        if looked_up:
            self._observer.phase("dns", session.engine.now_ns() - session.dialed_ns)
        return addresses

    async def _open_picows(self, session: SessionT, sock: socket.socket) -> None:
        target = self._route.target
        session.progress = "tls" if target.secure else "upgrade"
        self._upgrade = upgrade = self._route.request.upgrade()
        try:
            opened = await open_link(
                session,
                sock,
                upgrade,
                ssl=self._tls_context() if target.secure else None,
                server_hostname=target.host if target.secure else None,
            )
        except OSError as error:
            phase = "upgrade" if session.upgrading_ns else "tls" if target.secure else "upgrade"
            raise _dial.connect_failed(error, target, phase) from error
        if not opened:
            raise ConnectFailed(
                "the server ended the connection instead of answering the upgrade",
                kind="upgrade_closed",
                phase="upgrade",
                url=target.url,
            )

    # ---- what an Opener tells of its session ---------------------------------------------------

    def secured(self, elapsed_ns: int) -> None:
        """The TLS handshake is done, after that time."""
        self._observer.phase("tls", elapsed_ns)

    def upgraded(self, session: SessionT, tcp_ns: int) -> None:
        """The 101 arrived."""
        self._upgrade = None
        self._observer.opened(session, tcp_ns, self._late_ns)

    def ready(self, session: SessionT) -> None:
        """Whoever waits for the session gets it now."""
        if self._metric is not None:
            elapsed_ns = session.ready_ns - session.dialed_ns
            self._observer.sample(self._metric, elapsed_ns, self._late_ns)

    def not_ready(self, session: SessionT, error: BaseException) -> BaseException:
        """Record an attempt that did not come to its end; returns what to raise."""
        limit_s = self._route.options.timeout_ns / 1e9
        elapsed_ns = session.engine.now_ns() - session.dialed_ns
        cause: str | None = None
        upgrade, self._upgrade = self._upgrade, None
        if isinstance(error, asyncio.CancelledError):
            cause = self._observer.cancel_cause()
        elif upgrade is not None and upgrade.refusal is not None:
            error = upgrade.refusal  # the rest of its body did not come
        elif isinstance(error, TimeoutError) and error.errno is None:  # the system's is no deadline
            cause = "deadline"
            if not isinstance(error, TargetError):
                upgraded = session.opened_ns != 0
                proxy = self._route.options.proxy
                reached = session.reached()
                if proxy is not None and session.progress == "tcp":
                    reached = f"the proxy {proxy.name} did not make the connection"
                error = Timeout(
                    f"not connected within {limit_s:g} s: {reached}",
                    kind="open_timeout" if upgraded else "connect_timeout",
                    phase=session.progress,
                    limit_s=limit_s,
                )
        elif isinstance(error, OSError):
            reason = error
            phase = "tls" if session.progress == "tls" else "tcp"
            error = _dial.connect_failed(reason, self._route.target, phase)
            error.__cause__ = reason
        if session.opened_ns == 0:
            self._observer.not_opened(elapsed_ns, cause, self._late_ns)
        if self._metric is not None:
            if cause is None:
                self._observer.failed(self._metric, self._late_ns)
            else:
                self._observer.cut_off(self._metric, elapsed_ns, cause, self._late_ns)
        session.abort()
        session.take_unseen_error()  # it is the one that we raise, or follows from it
        if isinstance(error, TargetError):
            if error.phase == "session":  # it ended an open connection, but not yet a session
                error.phase = session.progress
            error.url = error.url or self._route.target.url
            if error.elapsed_ms != error.elapsed_ms:
                error.elapsed_ms = elapsed_ns / 1e6
            if error.age_s != error.age_s:
                error.age_s = session.age_s()
        return error
