"""A Socket.IO 5 server over WebSocket. ``python -m ghostcore.testing.socketio_server --port 0``."""

from __future__ import annotations

import ssl as ssl_module
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, overload

from picows import WSListener, WSUpgradeRequest, WSUpgradeResponseWithListener

from ghostcore.errors import UsageError
from ghostcore.protocol.socketio_codec import RESERVED_EVENTS
from ghostcore.testing._client import SocketIOClient
from ghostcore.testing._deadlines import DeadlineWheel, Ticker
from ghostcore.testing._engineio import EngineConnection, EngineHost
from ghostcore.testing._front import HttpFront, Refusal, Reply
from ghostcore.testing._http import HttpRequest, HttpResponse
from ghostcore.testing._main import run_server, server_arguments
from ghostcore.testing._polling import Probe, engineio_problem, poll

__all__ = ["SocketIOClient", "SocketIOServer"]

Handler = Callable[..., object]
Route = Callable[[HttpRequest], "tuple[int, object] | HttpResponse"]
Judge = Callable[[HttpRequest], "HttpResponse | Refusal | float | None"]
Headers = Callable[[HttpRequest], Mapping[str, str]]
H = TypeVar("H", bound=Handler)
R = TypeVar("R", bound=Route)

_MAX_TICK_S = 0.02
_PICKED_BY_PICOWS_BYTES = 16 * 1024 * 1024


class _Namespace:
    __slots__ = ("auth", "clients", "connect", "disconnect", "handlers")

    def __init__(self) -> None:
        self.handlers: dict[object, Handler] = {}
        self.clients: dict[str, SocketIOClient] = {}
        self.connect: Callable[[SocketIOClient], object] | None = None
        self.disconnect: Callable[[SocketIOClient, str], object] | None = None
        self.auth: Callable[[SocketIOClient, Any], object] | None = None


class SocketIOServer(EngineHost):
    """Engine.IO 4 and Socket.IO 5, behaving as socket.io 4.8 does.

    ::

        server = SocketIOServer(ping_interval=0.5)

        @server.on("add")
        def add(client, a, b):
            return a + b          # acknowledged with the sum, if the client asked for it

        async with server: ...    # server.url

    A handler is a plain function ``handler(client, *args)``. What it returns acknowledges the
    event: None does not, a tuple gives several values (``()`` none), all else is the one value.
    What it raises is logged and counted in ``errors_total``; the client hears nothing.

    :param ping_interval: seconds from the open packet, and from each pong, to the next ping.
    :param ping_timeout: seconds that a pong may take.
    :param max_payload: bytes a message may have; more is refused with close code 1009.
    :param connect_timeout: seconds within which a connection must enter a namespace.
    :param host: see :class:`WebSocketServer`, as `port` and `ssl`.
    :param polling: also serve HTTP long-polling and the upgrade from it, and HTTP as Node does: any
        method, bodies, connections that are kept.
    :param clock: what deadlines are read from, in seconds. With a clock that does not run by itself
        they pass when :meth:`advance` is called.
    :ivar messages_total: messages received.
    :ivar violations_total: connections closed since the client broke the protocol.
    :ivar pings_total: pings sent. ``ping_timeouts_total`` and ``connect_timeouts_total`` count
        connections closed for these reasons.
    """

    path = "/socket.io/"

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        ping_interval: float = 25.0,
        ping_timeout: float = 20.0,
        max_payload: int = 1_000_000,
        connect_timeout: float = 45.0,
        ssl: ssl_module.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        polling: bool = False,
    ) -> None:
        # picows refuses a frame by its header and then disconnects with the rest unread, so that
        # the peer may see a reset and not the close code. What is not absurdly large is therefore
        # read to its end and refused here.
        super().__init__(
            host,
            port,
            ssl=ssl,
            max_frame_bytes=max_payload + _PICKED_BY_PICOWS_BYTES,
            full_http=polling,
        )
        for name, value in (
            ("ping_interval", ping_interval),
            ("ping_timeout", ping_timeout),
            ("max_payload", max_payload),
            ("connect_timeout", connect_timeout),
        ):
            if not value > 0:
                raise UsageError(f"{name} is {value}: expected more than 0")
        self.ping_interval_s = ping_interval
        self.ping_timeout_s = ping_timeout
        self.max_payload_bytes = self.max_body_bytes = max_payload
        self.connect_timeout_s = connect_timeout
        self.clock = clock
        self.polling = polling
        self.sessions: dict[str, EngineConnection] = {}  # with polling, by id
        self.messages_total = 0
        self.violations_total = 0
        self.pings_total = 0
        self.ping_timeouts_total = 0
        self.connect_timeouts_total = 0
        shortest_s = min(ping_interval, ping_timeout, connect_timeout)
        self._tick_s = max(0.001, min(_MAX_TICK_S, shortest_s / 20))
        self.wheel = DeadlineWheel(self._tick_s)
        self._ticker: Ticker | None = None
        self._namespaces: dict[str, _Namespace] = {"/": _Namespace()}
        self._routes: dict[tuple[str, str], Route] = {}
        self._fallback: Route = _not_found
        self._judge: Judge | None = None
        self._headers: Headers | None = None

    # -- what users register ---------------------------------------------------------------------

    def _namespace(self, name: str) -> _Namespace:
        if not name.startswith("/"):
            raise UsageError(f"namespace {name!r} must begin with '/'")
        return self._namespaces.setdefault(name, _Namespace())

    @overload
    def on(self, name: str, *, namespace: str = "/") -> Callable[[H], H]: ...
    @overload
    def on(self, name: str, handler: H, *, namespace: str = "/") -> H: ...
    def on(self, name: str, handler: H | None = None, *, namespace: str = "/") -> object:
        """Set the handler of an event; as a decorator where `handler` is left out.

        A namespace exists from the first thing registered in it.
        """
        if name in RESERVED_EVENTS:
            raise UsageError(f"{name!r} is reserved: use on_connect or on_disconnect")
        handlers = self._namespace(namespace).handlers
        if handler is None:

            def register(function: H) -> H:
                handlers[name] = function
                return function

            return register
        handlers[name] = handler
        return handler

    def on_connect(self, handler: H, *, namespace: str = "/") -> H:
        """Set ``handler(client)``, called when a client has entered the namespace."""
        self._namespace(namespace).connect = handler
        return handler

    def on_disconnect(self, handler: H, *, namespace: str = "/") -> H:
        """Set ``handler(client, reason)``, called once when a client has left the namespace.

        Reasons are socket.io's: ``client namespace disconnect``, ``server namespace disconnect``,
        ``transport close``, ``forced close``.
        """
        self._namespace(namespace).disconnect = handler
        return handler

    def on_auth(self, handler: H, *, namespace: str = "/") -> H:
        """Set ``handler(client, auth)``, asked before a client enters.

        None lets it in. A string (the message) or a dict (the whole payload) refuses it with a
        CONNECT_ERROR; so does an exception, with the message "Internal server error".
        """
        self._namespace(namespace).auth = handler
        return handler

    @overload
    def route(self, path: str | None, *, method: str = "GET") -> Callable[[R], R]: ...
    @overload
    def route(self, path: str | None, handler: R, *, method: str = "GET") -> R: ...
    def route(self, path: str | None, handler: R | None = None, *, method: str = "GET") -> object:
        """Answer HTTP requests of `path` with what ``handler(request)`` returns: (status, body).

        A str body is sent as HTML, anything else as JSON; an :class:`HttpResponse` is possible too.
        `path` None is for all that has no route. As a decorator without `handler`. Other methods
        than GET (which is also asked for HEAD) need `polling`.
        """
        if handler is None:
            return lambda function: self.route(path, function, method=method)
        if path is None:
            self._fallback = handler
        else:
            self._routes[method, path] = handler
        return handler

    def on_opening(self, judge: Judge) -> Judge:
        """Set what decides over sessions before they are opened (with `polling` only): upgrades to
        a WebSocket, those of a polling session included, and handshakes of polling.

        ``judge(request)`` returns None to let it go on, a number to let it go on after so many
        seconds, an :class:`HttpResponse` or a :class:`Refusal` to refuse it.
        """
        self._judge = judge
        return judge

    def on_answer(self, headers: Headers) -> Headers:
        """Set ``headers(request)``: what more headers each answer of the polling transport has."""
        self._headers = headers
        return headers

    def clients(self, namespace: str = "/") -> dict[str, SocketIOClient]:
        """The clients that are in a namespace now, by sid (a copy)."""
        return dict(self._namespace(namespace).clients)

    def client(self, sid: str, namespace: str = "/") -> SocketIOClient | None:
        """The client with this sid, None if it is not in the namespace (any more)."""
        found = self._namespaces.get(namespace)
        return None if found is None else found.clients.get(sid)

    def client_count(self, namespace: str = "/") -> int:
        """How many clients are in a namespace now."""
        return len(self._namespace(namespace).clients)

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        await super().start()
        self._ticker = Ticker(self.wheel, self._tick_s, self.clock)

    async def stop(self, *, timeout_s: float = 2.0) -> None:
        await super().stop(timeout_s=timeout_s)
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker = None

    async def crash(self) -> None:
        await super().crash()
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker = None

    def advance(self) -> None:
        """Do what is due by the clock: pings, time-outs. A running server does it by itself."""
        self.wheel.advance(self.clock())

    def accept(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        asked = HttpRequest.of(request)
        if asked.path not in (self.path, self.path[:-1]):
            return self._answer(asked).to_picows()
        problem = engineio_problem(asked, self)
        if problem is not None:
            return HttpResponse(400, problem).to_picows()
        if "sid" in asked.query:
            return Probe(self.sessions[asked.query["sid"]])
        return EngineConnection(self)

    def serve(self, request: HttpRequest, reply: Reply, front: HttpFront) -> None:
        if request.path not in (self.path, self.path[:-1]):
            reply(self._answer(request))
            return
        if self._headers is not None:
            reply = _with_headers(reply, self._headers(request))
        problem = engineio_problem(request, self)
        if problem is not None:
            reply(HttpResponse(400, problem))
        elif "sid" in request.query:
            poll(self, request, reply, front)
        else:
            front.judge(request, partial(poll, self, request, reply, front))

    def judge_opening(self, request: HttpRequest) -> HttpResponse | Refusal | float | None:
        return None if self._judge is None else self._judge(request)

    def _answer(self, request: HttpRequest) -> HttpResponse:
        method = "GET" if request.method == "HEAD" else request.method
        try:
            answer = self._routes.get((method, request.path), self._fallback)(request)
        except Exception:
            self.failed(f"route {request.path}")
            plain = {"Content-Type": "text/plain; charset=utf-8"}
            return HttpResponse(500, "Internal Server Error", plain)
        return answer if isinstance(answer, HttpResponse) else HttpResponse(*answer)

    # -- called by connections -------------------------------------------------------------------

    def admit(
        self, connection: EngineConnection, name: str, auth: object
    ) -> tuple[SocketIOClient | None, object]:
        """The client that may enter, or None and the payload of the refusal."""
        namespace = self._namespaces.get(name)
        if namespace is None:
            return None, {"message": "Invalid namespace"}
        client = SocketIOClient(connection, name, auth)
        if namespace.auth is not None:
            try:
                refusal = namespace.auth(client, auth)
            except Exception:
                self.failed(f"on_auth of {name}")
                refusal = "Internal server error"
            if refusal is not None:
                return None, refusal if isinstance(refusal, dict) else {"message": str(refusal)}
        return client, None

    def entered(self, client: SocketIOClient) -> None:
        """A client has its connect packet answered."""
        namespace = self._namespaces[client.namespace]
        client.connected = True
        namespace.clients[client.sid] = client
        if namespace.connect is not None:
            try:
                namespace.connect(client)
            except Exception:
                self.failed(f"on_connect of {client.namespace}")

    def left(self, client: SocketIOClient, reason: str) -> None:
        """A client is no longer in its namespace."""
        namespace = self._namespaces[client.namespace]
        client.connected = False
        namespace.clients.pop(client.sid, None)
        if namespace.disconnect is not None:
            try:
                namespace.disconnect(client, reason)
            except Exception:
                self.failed(f"on_disconnect of {client.namespace}")

    def dispatch(self, client: SocketIOClient, name: object, args: list[Any], ack_id: int) -> None:
        """An event has come. One that nobody handles is ignored and never acknowledged."""
        handler = self._namespaces[client.namespace].handlers.get(name)
        if handler is None:
            return
        client._ack_id = ack_id
        try:
            answer = handler(client, *args)
        except Exception:
            self.failed(f"handler of {name!r}")
        else:
            if answer is not None:
                client.ack(*(answer if isinstance(answer, tuple) else (answer,)))
        finally:
            client._ack_id = -1


def _with_headers(reply: Reply, headers: Mapping[str, str]) -> Reply:
    return lambda answer: reply(replace(answer, headers={**headers, **answer.headers}))


def _not_found(request: HttpRequest) -> tuple[int, object]:
    return 404, f"Cannot GET {request.path}"


def main(arguments: list[str] | None = None) -> int:
    """Serve one event, ``echo``: it comes back as an event and as the acknowledgement.

    First line of output: ``listening on ws://HOST:PORT``. Ends on SIGTERM and SIGINT.
    """
    parser = server_arguments(__doc__ or "")
    parser.add_argument("--ping-interval", type=float, default=25.0, metavar="SECONDS")
    parser.add_argument("--ping-timeout", type=float, default=20.0, metavar="SECONDS")
    options = parser.parse_args(arguments)

    def make() -> SocketIOServer:
        server = SocketIOServer(
            options.host,
            options.port,
            ping_interval=options.ping_interval,
            ping_timeout=options.ping_timeout,
        )

        def echo(client: SocketIOClient, *args: object) -> None:
            client.emit("echo", *args)
            client.ack(*args)

        server.on("echo", echo)
        return server

    return run_server(make, watch_stdin=options.watch_stdin)


if __name__ == "__main__":
    sys.exit(main())
