"""Servers that misbehave, each in one way, and what a session must make of it.

``BAD_SERVERS`` is the catalogue: by name, what the server does, how to bring it out, and the kind
and phase under which the failure must be counted (``docs/errors.md`` shows it as a table).

::

    with ServerThread(MisbehavingServer("reset_in_mid_frame")) as thread:
        result = ghostcore.run(chat, env={"URL": thread.url})
    assert [error.kind for error in result.errors] == ["connection_lost"]

``python -m ghostcore.testing.bad_servers reset_in_mid_frame`` runs one by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl as ssl_module
import sys
from types import TracebackType
from typing import Any, Self

from ghostcore.errors import UsageError
from ghostcore.testing import _bad_openings, _bad_socketio, _bad_websocket
from ghostcore.testing._main import run_server, server_arguments
from ghostcore.testing._wire import BadServer, Wire

__all__ = ["BAD_SERVERS", "BadServer", "MisbehavingServer", "Wire"]

_NOBODY = ".".join(["x" * 60] * 5) + ".invalid"  # longer than DNS allows: no resolver is asked


BAD_SERVERS: dict[str, BadServer] = {
    bad.name: bad
    for bad in (*_bad_openings.SERVERS, *_bad_websocket.SERVERS, *_bad_socketio.SERVERS)
}
"""Every bad server by name."""


class MisbehavingServer:
    """Runs one of the catalogue, or a script of your own.

    :param bad: a name in ``BAD_SERVERS``, or a BadServer.
    :param ssl: server context; needed where the entry wants a certificate.
    :ivar connections_total: connections accepted so far.
    """

    def __init__(
        self,
        bad: str | BadServer,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl: ssl_module.SSLContext | None = None,
    ) -> None:
        if isinstance(bad, str):
            if bad not in BAD_SERVERS:
                raise UsageError(f"no bad server {bad!r}; there are: {', '.join(BAD_SERVERS)}")
            bad = BAD_SERVERS[bad]
        if (bad.certificate is not None) != (ssl is not None):
            wants = f"a certificate: {bad.certificate}" if bad.certificate else "no TLS"
            raise UsageError(f"{bad.name} wants {wants}; pass ssl= accordingly")
        self.bad = bad
        self.host = host
        self.connections_total = 0
        self._port = port
        self._ssl = ssl
        self._sockets: list[socket.socket] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """Where clients are to connect to; ``localhost`` with TLS, since certificates name it."""
        scheme = "wss" if self.bad.secure else "ws"
        if self.bad.listens == "unreachable":
            return f"{scheme}://127.255.255.255:9"  # a broadcast address: TCP has no route to it
        if self.bad.listens == "unknown":
            return f"{scheme}://{_NOBODY}"
        if not self._port:
            raise UsageError("the server has no port yet: start() it, or enter `async with`")
        return f"{scheme}://{'localhost' if self.bad.secure else self.host}:{self._port}"

    async def start(self) -> None:
        """Listen, in the way of this server. Raises OSError where the address cannot be had."""
        if self._sockets:
            raise UsageError("the server is running already: stop() it first")
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._sockets.append(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Small, so that the window of a client that is not read from closes soon.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        listener.bind((self.host, self._port))
        self._port = listener.getsockname()[1]
        if self.bad.listens == "full":
            self._fill(listener)
        elif self.bad.listens == "serves":
            self._server = await asyncio.start_server(
                self._serve, sock=listener, ssl=self._ssl, limit=16384, backlog=4096
            )

    async def stop(self) -> None:
        """End every connection and stop listening. A second stop() does nothing."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))
        for one in self._sockets:
            one.close()
        self._sockets.clear()
        await asyncio.sleep(0)  # transports that were closed let go of their sockets

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _fill(self, listener: socket.socket) -> None:
        """Fill the queue of connections that wait to be accepted: the kernel ignores the others."""
        listener.listen(0)
        for _ in range(4):
            waiting = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            waiting.setblocking(False)
            waiting.connect_ex((self.host, self._port))
            self._sockets.append(waiting)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None and self.bad.script is not None
        self._tasks.add(task)
        self.connections_total += 1
        wire = Wire(reader, writer)
        try:
            await self.bad.script(wire)
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # the client left first
        except asyncio.CancelledError:
            wire.reset()
        finally:
            self._tasks.discard(task)
            with contextlib.suppress(OSError):
                wire._end()


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. First line of output: ``listening on ws://HOST:PORT``."""
    parser = server_arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=sorted(BAD_SERVERS), help="what to do wrong")
    parser.add_argument("--certificate", help="PEM file of certificate and key, where TLS is used")
    options = parser.parse_args(arguments)
    context = None
    if options.certificate:
        context = ssl_module.SSLContext(ssl_module.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate)
    return run_server(
        lambda: MisbehavingServer(options.name, host=options.host, port=options.port, ssl=context),
        watch_stdin=options.watch_stdin,
    )


if __name__ == "__main__":
    sys.exit(main())
