"""The server that the load generators are measured against: echo and idle Socket.IO clients.

As little Python as picows allows for each message, so that the server is not what is measured.
``GET /state`` tells its counts; both generators are counted here and not by themselves.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
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

_TEXT, _CLOSE = WSMsgType.TEXT, WSMsgType.CLOSE
_GOLDEN = 0.6180339887498949
"""Multiples of it, less their whole parts, fall evenly between 0 and 1 however many there are."""


class _Echo(WSListener):
    def __init__(self, server: BenchServer) -> None:
        self.server = server

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.server.connections += 1
        self.server.accepted += 1

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
    """Lets a client in and pings it as Engine.IO 4 says: an interval after each pong, and who does
    not answer in time is thrown out. Answers nothing else.

    The first ping comes within an interval and not at its end: however fast they connect, the pings
    of all clients are spread evenly over it.
    """

    def __init__(self, server: BenchServer) -> None:
        self.server = server
        self.pinged_s = 0.0
        self.timer: asyncio.TimerHandle | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        transport.send(_TEXT, self.server.open_packet)

    def _ping(self) -> None:
        server = self.server
        server.pings += 1
        self.pinged_s = time.monotonic()
        self.timer = server.loop.call_later(server.ping_timeout_s, self._give_up)
        self.transport.send(_TEXT, b"2")

    def _give_up(self) -> None:
        self.server.pongs_missing += 1
        self.transport.disconnect()

    def _ponged(self) -> None:
        server = self.server
        if self.timer is None or not self.pinged_s:
            server.pongs_unasked += 1
            return
        self.timer.cancel()
        server.pongs += 1
        server.slowest_pong_s = max(server.slowest_pong_s, time.monotonic() - self.pinged_s)
        self.pinged_s = 0.0
        self.timer = server.loop.call_later(server.ping_interval_s, self._ping)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.server.connections -= 1

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        payload, server = frame.get_payload_as_bytes(), self.server
        if payload == b"3":
            self._ponged()
        elif payload.startswith(b"40"):
            transport.send(_TEXT, b'40{"sid":"bench"}')
            first_s = server.ping_interval_s * (server.accepted * _GOLDEN % 1)
            self.timer = server.loop.call_later(first_s, self._ping)
            server.connections += 1
            server.accepted += 1
        elif frame.msg_type is _CLOSE or payload == b"41":
            transport.disconnect()
        else:
            server.messages += 1


class BenchServer:
    """``ws://.../`` echoes, ``ws://.../socket.io/`` speaks Socket.IO, ``GET /state`` counts.

    :param certificate: PEM file of a key and its certificates; the server then speaks wss://.
    :ivar pongs_missing: clients thrown out since they did not answer within the time-out.
    """

    COUNTS = ("connections", "accepted", "messages", "pings", "pongs", "pongs_missing",
              "pongs_unasked", "slowest_pong_s")  # fmt: skip

    def __init__(
        self,
        host: str,
        port: int,
        certificate: str | None = None,
        ping_interval_s: float = 25.0,
        ping_timeout_s: float = 20.0,
    ) -> None:
        self._host, self._port = host, port
        self.ping_interval_s, self.ping_timeout_s = ping_interval_s, ping_timeout_s
        opening = {
            "sid": "bench",
            "upgrades": [],
            "pingInterval": round(ping_interval_s * 1000),
            "pingTimeout": round(ping_timeout_s * 1000),
        }
        self.open_packet = b"0" + json.dumps(opening).encode()
        self.loop = asyncio.get_running_loop()
        self.pings = self.pongs = self.pongs_missing = self.pongs_unasked = 0
        self.slowest_pong_s = 0.0
        self._tls: ssl.SSLContext | None = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        self.connections = 0
        self.accepted = 0
        self.messages = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{'wss' if self._tls else 'ws'}://{host}:{port}"

    async def start(self) -> None:
        self._server = await ws_create_server(
            self._listener,
            self._host,
            self._port,
            enable_auto_ping=False,
            backlog=4096,
            # Thousands of connections: small buffers, and uvloop's TLS, which needs less memory.
            read_buffer_init_size=2048,
            use_aiofastnet=False,
            ssl=self._tls,
        )

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    def _listener(self, request: WSUpgradeRequest) -> Any:
        if request.path == b"/state":
            state = {name: getattr(self, name) for name in self.COUNTS}
            response = WSUpgradeResponse.create_ok_response(json.dumps(state).encode())
            response.status = HTTPStatus.OK
            return WSUpgradeResponseWithListener(response, None)
        if request.path.startswith(b"/socket.io/"):
            return _SocketIO(self)
        return _Echo(self)


def main(arguments: list[str] | None = None) -> int:
    parser = server_arguments(__doc__ or "")
    parser.add_argument("--certificate", help="PEM file of key and certificates: speak wss://")
    parser.add_argument("--ping-interval", type=float, default=25.0, metavar="SECONDS")
    parser.add_argument("--ping-timeout", type=float, default=20.0, metavar="SECONDS")
    options = parser.parse_args(arguments)

    def make() -> BenchServer:
        return BenchServer(
            options.host,
            options.port,
            options.certificate,
            options.ping_interval,
            options.ping_timeout,
        )

    return run_server(make, watch_stdin=options.watch_stdin)


if __name__ == "__main__":
    sys.exit(main())
