"""Deadlines of a session that only a peer of bad manners, or a busy process, brings out."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from scripted import Connection, ScriptedServer, engineio_open, frame
from waiting import gone

import ghostcore

JOINED = frame('40{"sid":"abc"}')


def test_a_ping_that_waits_in_the_socket_is_no_ping_timeout(run: Any) -> None:
    """The process was busy for longer than the server may be silent: that is not the server's."""

    def prompt(connection: Connection) -> None:
        connection.upgrade()
        connection.send(engineio_open(50, 50) + JOINED)
        assert connection.read_frame() == (1, b"40")
        while True:  # until the client goes
            connection.send(frame("2"))
            assert connection.read_frame() == (1, b"3")

    async def main(url: str) -> None:
        session = await ghostcore.socketio(url)
        for _ in range(3):
            time.sleep(0.2)  # noqa: ASYNC251 - a busy process is the point
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert session.is_open and session.codec.pings > 0
        session.abort()
        await gone(session)

    with ScriptedServer(prompt) as server:
        run(main(server.url))


def test_a_server_that_only_pings_does_not_hold_up_closing(run: Any) -> None:
    def chatty(connection: Connection) -> None:
        connection.upgrade()
        connection.send(engineio_open(25000, 20000) + JOINED)
        connection.sock.settimeout(0.05)
        while True:  # until the client goes
            connection.send(frame("2"))
            try:
                if not connection.sock.recv(65536):
                    return
            except TimeoutError:
                pass

    async def main(url: str) -> None:
        session = await ghostcore.socketio(url)
        await asyncio.wait_for(session.disconnect(), 40)  # 5 s, where the ping deadline is 45 s
        assert session.is_closed and session.error is None
        await gone(session)

    with ScriptedServer(chatty) as server:
        run(main(server.url))
