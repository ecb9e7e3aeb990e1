"""Servers to test against: for ghostcore's own tests and for its users'.

===========================  =======================================================================
:class:`EchoServer`          a WebSocket server that returns every message
:class:`SocketIOServer`      Engine.IO 4 and Socket.IO 5 over WebSocket, with handlers and HTTP
:class:`MisbehavingServer`   one of ``BAD_SERVERS``: over a hundred ways to fail, each with the
                             kind of error that must come of it
:class:`FaultProxy`          a TCP proxy that delays, cuts, resets, swallows and stalls
:class:`ServerThread`        any of them in a thread of its own, for code that blocks its thread
:class:`ServerProcess`       any of them in a process of its own
:func:`run_server`           the ``main`` of such a process
:func:`assert_no_leaks`      fails a test that leaves sessions, operations or descriptors behind
===========================  =======================================================================

Nothing is loaded before its first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ghostcore.testing._client import SocketIOClient as SocketIOClient
    from ghostcore.testing._front import Refusal as Refusal
    from ghostcore.testing._http import HttpRequest as HttpRequest
    from ghostcore.testing._http import HttpResponse as HttpResponse
    from ghostcore.testing._main import run_server as run_server
    from ghostcore.testing._main import server_arguments as server_arguments
    from ghostcore.testing._server import WebSocketServer as WebSocketServer
    from ghostcore.testing._wire import BadServer as BadServer
    from ghostcore.testing._wire import Wire as Wire
    from ghostcore.testing.bad_servers import BAD_SERVERS as BAD_SERVERS
    from ghostcore.testing.bad_servers import MisbehavingServer as MisbehavingServer
    from ghostcore.testing.echo import EchoServer as EchoServer
    from ghostcore.testing.faults import FaultProxy as FaultProxy
    from ghostcore.testing.faults import Faults as Faults
    from ghostcore.testing.faults import Flow as Flow
    from ghostcore.testing.leaks import Leaked as Leaked
    from ghostcore.testing.leaks import assert_no_leaks as assert_no_leaks
    from ghostcore.testing.process import ServerDied as ServerDied
    from ghostcore.testing.process import ServerProcess as ServerProcess
    from ghostcore.testing.socketio_server import SocketIOServer as SocketIOServer
    from ghostcore.testing.threads import ServerThread as ServerThread

_HOMES = {
    "BAD_SERVERS": "bad_servers",
    "BadServer": "_wire",
    "FaultProxy": "faults",
    "Faults": "faults",
    "Flow": "faults",
    "Leaked": "leaks",
    "MisbehavingServer": "bad_servers",
    "ServerThread": "threads",
    "Wire": "_wire",
    "assert_no_leaks": "leaks",
    "EchoServer": "echo",
    "HttpRequest": "_http",
    "HttpResponse": "_http",
    "ServerDied": "process",
    "ServerProcess": "process",
    "Refusal": "_front",
    "SocketIOClient": "_client",
    "SocketIOServer": "socketio_server",
    "WebSocketServer": "_server",
    "run_server": "_main",
    "server_arguments": "_main",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
