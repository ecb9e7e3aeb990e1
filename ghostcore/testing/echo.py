"""A WebSocket server that returns every message. ``python -m ghostcore.testing.echo --port 0``."""

from __future__ import annotations

import sys

from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponseWithListener,
)

from ghostcore.testing._http import WEBSOCKET_ONLY
from ghostcore.testing._main import run_server, server_arguments
from ghostcore.testing._server import Connection, WebSocketServer

__all__ = ["EchoServer"]

_CLOSE, _PONG = WSMsgType.CLOSE, WSMsgType.PONG
_NEVER_RETURNED = frozenset((_CLOSE, _PONG))


class _EchoConnection(Connection):
    __slots__ = ("messages",)

    def __init__(self, server: WebSocketServer) -> None:
        super().__init__(server)
        self.messages = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind in _NEVER_RETURNED:
            if kind is _CLOSE:
                self.answer_close(frame.get_payload_as_bytes())
            return
        # Frame by frame, so that a fragmented message comes back in the same fragments.
        fin = frame.fin
        transport.send(kind, frame.get_payload_as_bytes(), fin)
        if fin:
            self.messages += 1


class EchoServer(WebSocketServer):
    """Returns every text and binary message, frame by frame; answers pings and close frames.

    ::

        async with EchoServer() as server:
            ...  # connect to server.url

    Parameters as in :class:`ghostcore.testing.WebSocketServer`.
    """

    _messages_of_closed = 0

    @property
    def messages(self) -> int:
        """Messages returned so far, over all connections."""
        return self._messages_of_closed + sum(
            connection.messages
            for connection in self.connections
            if isinstance(connection, _EchoConnection)
        )

    def accept(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        if request.headers.get("upgrade", "").lower() != "websocket":
            return WEBSOCKET_ONLY.to_picows()
        return _EchoConnection(self)

    def _forget(self, connection: Connection) -> None:
        if isinstance(connection, _EchoConnection):
            self._messages_of_closed += connection.messages
        super()._forget(connection)


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. First line of output: ``listening on ws://HOST:PORT``."""
    options = server_arguments(__doc__ or "").parse_args(arguments)
    return run_server(
        lambda: EchoServer(options.host, options.port), watch_stdin=options.watch_stdin
    )


if __name__ == "__main__":
    sys.exit(main())
