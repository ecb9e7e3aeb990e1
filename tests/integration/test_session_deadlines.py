"""Deadlines of a session that only a peer of bad manners, or a busy process, brings out."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import Any

import ghostcore
from tests.integration.scripted import Connection, ScriptedServer, engineio_open, frame
from tests.support.waiting import gone

JOINED = frame('40{"sid":"abc"}')


def ping_until_gone(connection: Connection, *, interval_s: float) -> None:
    """Send Engine.IO pings, whatever the client sends, until it ends the connection."""
    connection.sock.settimeout(interval_s)
    while True:
        connection.send(frame("2"))
        with suppress(TimeoutError):
            if not connection.sock.recv(65536):
                return


def test_a_ping_that_waits_in_the_socket_is_no_ping_timeout(run: Any) -> None:
    """The process was busy for longer than the server may be silent: that is not the server's."""

    def prompt(connection: Connection) -> None:
        connection.upgrade()
        connection.send(engineio_open(50, 50) + JOINED)
        ping_until_gone(connection, interval_s=0.02)

    async def main(url: str) -> None:
        session = await ghostcore.socketio(url)
        for _ in range(3):
            time.sleep(0.2)  # noqa: ASYNC251 - a busy process is the point
            for _ in range(10):
                await asyncio.sleep(0)
        assert session.error is None and session._codec.pings > 0
        session.abort()
        await gone(session)

    with ScriptedServer(prompt) as server:
        run(main(server.url))


def test_pings_in_more_sockets_than_a_pass_reads_are_no_ping_timeouts(run: Any) -> None:
    """A pass of the loop reads from 512 sockets and then lets the timers have their turn: those of
    the sockets that were not read yet must wait for them."""
    users = 600
    connections: list[Connection] = []
    done = threading.Event()

    def prompt(connection: Connection) -> None:
        connection.upgrade()
        connection.send(engineio_open(1500, 1500) + JOINED)
        connections.append(connection)
        done.wait(60)

    def ping_all() -> None:
        while not done.wait(0.25):
            for connection in tuple(connections):
                with suppress(OSError):
                    connection.send(frame("2"))

    async def main(url: str) -> None:
        sessions = []
        for _ in range(users):
            sessions.append(await ghostcore.socketio(url, timeout=30))
        for _ in range(2):
            time.sleep(3.2)  # noqa: ASYNC251 - over every deadline there is
            await asyncio.sleep(0.2)
        silent = [session for session in sessions if not session._codec.pings]
        errors = {session.error for session in sessions}
        done.set()
        for session in sessions:
            session.abort()
        for session in sessions:
            await gone(session)
        assert errors == {None} and silent == []

    with ScriptedServer(prompt) as server:
        pinger = threading.Thread(target=ping_all)
        pinger.start()
        try:
            run(main(server.url))
        finally:
            done.set()
            pinger.join()


def test_a_server_that_only_pings_does_not_hold_up_closing(run: Any) -> None:
    def chatty(connection: Connection) -> None:
        connection.upgrade()
        connection.send(engineio_open(25000, 20000) + JOINED)
        ping_until_gone(connection, interval_s=0.05)

    async def main(url: str) -> None:
        session = await ghostcore.socketio(url)
        await asyncio.wait_for(session.disconnect(), 40)  # 5 s, where the ping deadline is 45 s
        assert session.is_closed and session.error is None
        await gone(session)

    with ScriptedServer(chatty) as server:
        run(main(server.url))
