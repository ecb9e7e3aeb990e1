"""What sessions report of their end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ghostcore import ConnectFailed, HandshakeRejected, connect, socketio
from ghostcore._engine import Session
from ghostcore._opening import NullObserver
from ghostcore.testing import EchoServer, SocketIOServer


class Ends(NullObserver):
    """Keeps the sessions that ended."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions: list[Session] = []

    def ended(self, session: Session) -> None:  # type: ignore[override]
        self.sessions.append(session)


@pytest.mark.parametrize("open_session", [connect, socketio])
def test_an_attempt_that_was_refused_is_no_session_that_ended(open_session: Any) -> None:
    async def main() -> None:
        server = EchoServer()
        await server.start()
        url = server.url
        await server.stop()  # nothing listens there any more
        with pytest.raises(ConnectFailed):
            await open_session(url, observer=ends)

    ends = Ends()
    asyncio.run(main())
    assert ends.sessions == []


def test_an_attempt_that_was_not_upgraded_is_no_session_that_ended() -> None:
    async def main() -> None:
        async with SocketIOServer() as server:
            with pytest.raises(HandshakeRejected):
                await connect(f"{server.url}/no-such-path", observer=ends)

    ends = Ends()
    asyncio.run(main())
    assert ends.sessions == []


def test_a_session_that_was_opened_reports_its_end() -> None:
    async def main() -> None:
        async with EchoServer() as server, connect(server.url, observer=ends):
            pass
        async with SocketIOServer() as server, socketio(server.url, observer=ends):
            pass

    ends = Ends()
    asyncio.run(main())
    assert [session.is_closed for session in ends.sessions] == [True, True]
