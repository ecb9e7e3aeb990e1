"""The server that the load generators are measured against: echo and idle Socket.IO clients.

As little Python as picows allows for each message, so that the server is not what is measured.
``GET /state`` tells its counts; both generators are counted here and not by themselves.
"""

from __future__ import annotations

import asyncio
import json
import sys
from http import HTTPStatus
from typing import Any

from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from ghostcore.testing import run_server, server_arguments

PING_INTERVAL_S = 25.0
_TEXT, _CLOSE = WSMsgType.TEXT, WSMsgType.CLOSE
_OPEN_PACKET = b'0{"sid":"bench","upgrades":[],"pingInterval":25000,"pingTimeout":20000}'


class _Echo(WSListener):
    def __init__(self, server: BenchServer) -> None:
        self.server = server

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.server.connections += 1

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.server.connections -= 1

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is _CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        else:
            self.server.messages += 1
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())


class _SocketIO(WSListener):
    """Lets a client in and pings it; answers nothing else."""

    def __init__(self, server: BenchServer) -> None:
        self.server = server

    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.send(_TEXT, _OPEN_PACKET)
        self._ping_later(transport)

    def _ping_later(self, transport: WSTransport) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PING_INTERVAL_S, self._ping, transport)

    def _ping(self, transport: WSTransport) -> None:
        transport.send(_TEXT, b"2")
        self._ping_later(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._timer.cancel()
        self.server.connections -= 1

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        if payload.startswith(b"40"):
            transport.send(_TEXT, b'40{"sid":"bench"}')
            self.server.connections += 1
        elif frame.msg_type is _CLOSE or payload == b"41":
            transport.disconnect()
        else:
            self.server.messages += 1


class BenchServer:
    """``ws://.../`` echoes, ``ws://.../socket.io/`` speaks Socket.IO, ``GET /state`` counts."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.connections = 0
        self.messages = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"ws://{host}:{port}"

    async def start(self) -> None:
        self._server = await ws_create_server(
            self._listener,
            self._host,
            self._port,
            enable_auto_ping=False,
            backlog=4096,
        )

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    def _listener(self, request: WSUpgradeRequest) -> Any:
        if request.path == b"/state":
            state = {"connections": self.connections, "messages": self.messages}
            response = WSUpgradeResponse.create_ok_response(json.dumps(state).encode())
            response.status = HTTPStatus.OK
            return WSUpgradeResponseWithListener(response, None)
        if request.path.startswith(b"/socket.io/"):
            return _SocketIO(self)
        return _Echo(self)


def main(arguments: list[str] | None = None) -> int:
    options = server_arguments(__doc__ or "").parse_args(arguments)
    return run_server(
        lambda: BenchServer(options.host, options.port), watch_stdin=options.watch_stdin
    )


if __name__ == "__main__":
    sys.exit(main())
