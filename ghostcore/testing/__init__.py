"""Servers to test against: for ghostcore's own tests and for its users'.

========================  ==========================================================================
:class:`EchoServer`       a WebSocket server that returns every message
:class:`SocketIOServer`   Engine.IO 4 and Socket.IO 5 over WebSocket, with handlers and HTTP routes
:class:`ServerProcess`    any of them in a process of its own
:func:`run_server`        the ``main`` of such a process
========================  ==========================================================================

Nothing is loaded before its first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ghostcore.testing._http import HttpRequest as HttpRequest
    from ghostcore.testing._http import HttpResponse as HttpResponse
    from ghostcore.testing._main import run_server as run_server
    from ghostcore.testing._main import server_arguments as server_arguments
    from ghostcore.testing._server import WebSocketServer as WebSocketServer
    from ghostcore.testing.echo import EchoServer as EchoServer
    from ghostcore.testing.process import ServerDied as ServerDied
    from ghostcore.testing.process import ServerProcess as ServerProcess
    from ghostcore.testing.socketio_server import SocketIOClient as SocketIOClient
    from ghostcore.testing.socketio_server import SocketIOServer as SocketIOServer

_HOMES = {
    "EchoServer": "echo",
    "HttpRequest": "_http",
    "HttpResponse": "_http",
    "ServerDied": "process",
    "ServerProcess": "process",
    "SocketIOClient": "socketio_server",
    "SocketIOServer": "socketio_server",
    "WebSocketServer": "_server",
    "run_server": "_main",
    "server_arguments": "_main",
}

__all__ = [
    "EchoServer",
    "HttpRequest",
    "HttpResponse",
    "ServerDied",
    "ServerProcess",
    "SocketIOClient",
    "SocketIOServer",
    "WebSocketServer",
    "run_server",
    "server_arguments",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
