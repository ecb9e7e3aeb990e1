"""The functions that open sessions, plain WebSocket and Socket.IO.

What they return can be awaited (the open session) or entered (``async with``: closed at the end of
the block). ``vu.connect()`` and ``vu.socketio()`` are the same with the metrics of a run.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Unpack

from ghostcore._engine import Engine
from ghostcore.opening.opening import Opening
from ghostcore.opening.options import OpeningOptions
from ghostcore.opening.route import Routes
from ghostcore.sessions.observer import NullObserver, Observer
from ghostcore.sessions.socketio_session import SocketIOSession
from ghostcore.sessions.websocket_session import WebSocketSession

__all__ = ["Connector", "connect", "socketio"]


class Connector:
    """Opens sessions for those who share routes.

    :param engine: of the loop on which the sessions will live; None: of the loop that runs when one
        is awaited.
    """

    __slots__ = ("_engine", "_routes")

    def __init__(self, routes: Routes, engine: Engine | None = None) -> None:
        self._routes = routes
        self._engine = engine

    def connect(
        self, url: str, metric: Any, observer: Observer, options: OpeningOptions
    ) -> Opening[WebSocketSession]:
        """See :func:`connect`."""
        route = self._routes.route(url, None, options)
        return Opening(route, observer, WebSocketSession, metric, self._engine)

    def socketio(
        self,
        url: str,
        auth: Any,
        namespace: str,
        path: str,
        metric: Any,
        observer: Observer,
        options: OpeningOptions,
    ) -> Opening[SocketIOSession]:
        """See :func:`socketio`."""
        routes = self._routes
        return Opening(
            routes.route(url, path, options),
            observer,
            routes.socketio_maker(namespace)
            if auth is None
            else partial(SocketIOSession, auth, namespace),
            metric,
            self._engine,
        )


_outside = Connector(Routes())
"""Opens what no run has to do with."""


def connect(
    url: str,
    *,
    metric: Any = None,
    observer: Observer | None = None,
    **options: Unpack[OpeningOptions],
) -> Opening[WebSocketSession]:
    """Open a plain WebSocket session.

    :param url: ws:// or wss:// (http:// and https:// mean the same).
    :param metric: a Trend that records the time from dialling to the 101.
    :param observer: where the session reports to; a run gives its own.
    :param options: headers, subprotocols, timeout, max_message_size, ssl, insecure, compression,
        proxy, local_address, link: see :class:`OpeningOptions`.
    :raises UsageError: at once, for arguments that cannot be.
    :raises ConnectFailed, HandshakeRejected, Timeout: when awaited.
    """
    return _outside.connect(url, metric, observer or NullObserver(), options)


def socketio(
    url: str,
    *,
    auth: Any = None,
    namespace: str = "/",
    path: str = "/socket.io/",
    metric: Any = None,
    observer: Observer | None = None,
    **options: Unpack[OpeningOptions],
) -> Opening[SocketIOSession]:
    """Open a Socket.IO session (Socket.IO 5 over Engine.IO 4, WebSocket transport only).

    :param url: the server's base URL; path and query of Engine.IO are added.
    :param auth: payload of the connect packet, anything that JSON can hold.
    :param namespace: the namespace to connect to.
    :param path: where the server is mounted.
    :param metric: a Trend that records the time from dialling to the connect answer.
    :param observer: where the session reports to; a run gives its own.
    :param options: as for :func:`connect`.
    :raises UsageError: at once, for arguments that cannot be.
    :raises ConnectFailed, HandshakeRejected, Timeout: when awaited.
    """
    return _outside.socketio(
        url, auth, namespace, path, metric, observer or NullObserver(), options
    )
