"""How a session is opened, step by step."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, Generic, TypeVar

from ghostcore._engine import Engine, engine_of
from ghostcore.errors import ConnectFailed, Phase, TargetError, Timeout, UsageError
from ghostcore.links import epoll_link
from ghostcore.links.picows_link import open_link
from ghostcore.opening.names import Addresses, names_of
from ghostcore.opening.proxy import dial_through
from ghostcore.opening.route import Route
from ghostcore.opening.tcp import connect_failed, tcp_connect
from ghostcore.protocol.handshake import Upgrade
from ghostcore.sessions.observer import Observer, Report, leave
from ghostcore.sessions.session import Opener, Session

__all__ = ["Opening"]

SessionT = TypeVar("SessionT", bound=Session)


class Opening(Generic[SessionT]):
    """A session to be opened: await it, or enter it with ``async with``, which closes it.

    Where the address is known and the epoll link will do, all of it happens in one waiter in C; a
    name to look up or a proxy takes a coroutine, and so does the picows link.
    """

    __slots__ = (
        "_engine",
        "_make",
        "_metric",
        "_observer",
        "_report",
        "_route",
        "_session",
        "_upgrade",
    )

    def __init__(
        self,
        route: Route,
        observer: Observer,
        make: Callable[[Engine, Observer, int, str, int, int], SessionT],
        metric: Any = None,
        engine: Engine | None = None,
    ) -> None:
        self._route = route
        route.tls_context()  # what is wrong with it is told at once
        self._observer = observer
        self._make = make
        self._metric = metric
        self._session: SessionT | None = None
        self._engine = engine
        self._report: Report = observer
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
        engine = self._engine or engine_of(asyncio.get_running_loop())
        route, observer, metric = self._route, self._observer, self._metric
        options = route.options
        if metric is not None:
            observer.trend(metric)  # one that is no Trend is refused before the dial
        observer.dialing()
        session = self._make(
            engine,
            observer,
            engine.now_ns(),
            route.target.url,
            options.max_message_size,
            options.send_timeout_ns,
        )
        self._report = observer.operation_begins(session.dialed_ns, "ws_connecting", metric)
        return session

    def _dial(self, session: SessionT) -> Awaitable[SessionT]:
        route, since_ns = self._route, session.dialed_ns
        if route.direct and self._on_epoll():
            addresses = route.addresses
            if addresses is None:
                addresses = names_of(session._engine).known(route.target, since_ns)
            if addresses is not None:
                return self._over_epoll(session, addresses, None, since_ns)
        return self._open(session)

    def _on_epoll(self) -> bool:
        wanted = self._route.options.link
        if wanted == "picows":
            return False
        if not epoll_link.available():
            if wanted == "epoll":
                raise UsageError("link='epoll' is for Linux: leave link out elsewhere")
            return False
        return True

    def _source(self, session: SessionT) -> str | None:
        own = self._route.options.local_addresses
        return own[session._engine.next_dial() % len(own)] if own else None

    def _over_epoll(
        self,
        session: SessionT,
        addresses: Addresses,
        sock: socket.socket | None,
        since_ns: int,
    ) -> Awaitable[SessionT]:
        engine, route = session._engine, self._route
        target, options = route.target, route.options
        hub = engine.hub
        if hub is None:
            hub = engine.hub = epoll_link.Hub(engine)
        session._advance(Phase.TCP)
        self._upgrade = upgrade = route.request.upgrade()
        opener: Awaitable[SessionT] = hub.connect(
            session,
            self,
            session.dialed_ns + options.timeout_ns,
            since_ns,
            addresses,
            self._source(session) if options.local_addresses else None,
            upgrade,
            sock,
            route.tls_context(),
            target.host,
        )
        return opener

    async def _open(self, session: SessionT) -> SessionT:
        """What must be waited for step by step: a look-up, a proxy, the picows link."""
        addresses: Addresses = []
        sock: socket.socket | None = None
        connected_ns = 0
        loop, target, options = session._engine.loop, self._route.target, self._route.options
        try:
            async with asyncio.timeout(options.timeout_ns / 1e9):
                since_ns = session.dialed_ns
                if options.proxy is None:
                    addresses = await self._look_up(session)
                    since_ns = session._engine.now_ns()
                session._advance(Phase.TCP)
                if options.proxy is not None:
                    sock = await dial_through(
                        options.proxy, names_of(session._engine), target, self._source(session)
                    )
                if not self._on_epoll():
                    if sock is None:
                        sock = await tcp_connect(
                            loop,
                            target,
                            addresses,
                            self._source(session),
                            session._engine,
                        )
                    connected_ns = session._engine.now_ns()
                    await self._open_picows(session, sock)
        except (TargetError, TimeoutError, asyncio.CancelledError) as error:
            raise self.not_ready(session, error) from None
        except BaseException:
            session.abort()
            raise
        if self._on_epoll():
            return await self._over_epoll(session, addresses, sock, since_ns)
        if target.secure:
            self.secured(session._upgrading_ns - connected_ns)
        opener: Opener[SessionT] = Opener(session, self, session.dialed_ns + options.timeout_ns)
        opener.upgraded(connected_ns - since_ns)
        return await opener

    async def _look_up(self, session: SessionT) -> Addresses:
        if self._route.addresses is not None:
            return self._route.addresses
        names = names_of(session._engine)
        addresses, looked_up = await names.resolve(self._route.target, session.dialed_ns)
        if looked_up:
            self._observer.phase(Phase.DNS, session._engine.now_ns() - session.dialed_ns)
        return addresses

    async def _open_picows(self, session: SessionT, sock: socket.socket) -> None:
        target = self._route.target
        session._advance(Phase.TLS if target.secure else Phase.UPGRADE)
        self._upgrade = upgrade = self._route.request.upgrade()
        try:
            opened = await open_link(
                session,
                sock,
                upgrade,
                ssl=self._route.tls_context(),
                server_hostname=target.host if target.secure else None,
            )
        except OSError as error:
            raise connect_failed(error, target, session._phase) from error
        if not opened:
            raise ConnectFailed(
                "the server ended the connection instead of answering the upgrade",
                kind="upgrade_closed",
                phase=Phase.UPGRADE,
                url=target.url,
            )

    # ---- what an Opener tells of its session ---------------------------------------------------

    def secured(self, elapsed_ns: int) -> None:
        """The TLS handshake is done, after that time."""
        self._observer.phase(Phase.TLS, elapsed_ns)

    def upgraded(self, session: SessionT, tcp_ns: int) -> None:
        """The 101 arrived."""
        self._upgrade = None
        self._report.opened(session, tcp_ns)

    def ready(self, session: SessionT) -> None:
        """Whoever waits for the session gets it now."""
        if self._metric is not None:
            elapsed_ns = session._ready_ns - session.dialed_ns
            self._report.sample(self._metric, elapsed_ns)

    def not_ready(self, session: SessionT, error: BaseException) -> BaseException:
        """Record an attempt that did not come to its end; returns what to raise."""
        elapsed_ns = session._engine.now_ns() - session.dialed_ns
        error, cause = self._what_failed(session, error)
        if session.opened_ns == 0:
            self._report.not_opened(elapsed_ns, cause)
        if self._metric is not None:
            if cause is None:
                self._report.failed(self._metric)
            else:
                self._report.cut_off(self._metric, elapsed_ns, cause)
        session.abort()
        session._take_unseen_error()  # it is the one that we raise, or follows from it
        if isinstance(error, TargetError):
            if error.phase is Phase.SESSION:  # it ended an open connection, but not yet a session
                error.phase = session._phase
            error.url = error.url or session.url
            if error.elapsed_ms != error.elapsed_ms:
                error.elapsed_ms = elapsed_ns / 1e6
            if error.age_s != error.age_s:
                error.age_s = session.age_s()
        return error

    def _what_failed(
        self, session: SessionT, error: BaseException
    ) -> tuple[BaseException, str | None]:
        """An error of an attempt in the terms of errors.py, and why the attempt was cut off: None
        if it failed."""
        upgrade, self._upgrade = self._upgrade, None
        if isinstance(error, asyncio.CancelledError):
            return error, self._observer.cancel_cause()
        if upgrade is not None and upgrade.refusal is not None:
            return upgrade.refusal, None  # the rest of its body did not come
        if isinstance(error, TimeoutError) and error.errno is None:  # the system's is no deadline
            if isinstance(error, TargetError):
                return error, "deadline"
            return self._not_in_time(session), "deadline"
        if isinstance(error, OSError):
            phase = Phase.TLS if session._phase is Phase.TLS else Phase.TCP
            failure = connect_failed(error, self._route.target, phase)
            failure.__cause__ = error
            return failure, None
        return error, None

    def _not_in_time(self, session: SessionT) -> Timeout:
        options, phase = self._route.options, session._phase
        limit_s = options.timeout_ns / 1e9
        reached = session._phase_in_words()
        if options.proxy is not None and phase is Phase.TCP:
            reached = f"the proxy {options.proxy.name} did not make the connection"
        return Timeout(
            f"not connected within {limit_s:g} s: {reached}",
            kind="open_timeout" if session.opened_ns else "connect_timeout",
            phase=phase,
            limit_s=limit_s,
        )
