"""Opening a session: what it reports on the way, in which order, and where it stops."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ghostcore._engine import Engine, engine_of
from ghostcore.errors import (
    ClosedByPeer,
    ConnectFailed,
    HandshakeRejected,
    TargetError,
    Timeout,
    UsageError,
)
from ghostcore.metrics.recorders import TrendRecorder
from ghostcore.opening.names import Addresses, Names
from ghostcore.opening.opening import Opening
from ghostcore.opening.route import Routes
from ghostcore.sessions.session import Session
from ghostcore.sessions.websocket_session import WebSocketSession
from tests.support.hostile import TEXT, close_frame, frame
from tests.support.noting import METRIC, Noting
from tests.support.peers import LINKS, Link, Listening, Peer, listening
from tests.support.waiting import gone, wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

OPEN_PACKET = b'0{"sid":"e","upgrades":[],"pingInterval":25000,"pingTimeout":20000}'

BEGUN = [
    ("observer", "trend"),
    ("observer", "dialing"),
    ("observer", "begins", "ws_connecting"),
]

Act = Callable[[Listening], Awaitable[object]]


def opening(
    url: str, observer: Noting, *, socketio: bool = False, metric: Any = METRIC, **options: Any
) -> Opening[Any]:
    routes = Routes()
    route = routes.route(url, "/socket.io/" if socketio else None, options)
    make = routes.socketio_maker("/") if socketio else WebSocketSession
    return Opening(route, observer, make, metric)


# ---- what the server does -----------------------------------------------------------------------


async def nothing(_: Listening) -> None:
    pass


async def refuses(listener: Listening) -> None:
    listener.sock.close()


async def ends(listener: Listening) -> None:
    peer = await listener.accept()
    await peer.request()
    peer.sock.close()


async def resets(listener: Listening) -> None:
    peer = await listener.accept()
    await peer.request()
    peer.reset()


async def rejects(listener: Listening) -> None:
    peer = await listener.accept()
    await peer.request()
    peer.put(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


async def speaks_no_tls(listener: Listening) -> None:
    peer = await listener.accept()
    await peer.take(1)
    peer.put(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def starts_tls(listener: Listening) -> None:
    await (await listener.accept()).take(1)


async def asks(listener: Listening) -> None:
    await (await listener.accept()).request()


async def upgrades(listener: Listening) -> Peer:
    peer = await listener.accept()
    await peer.answer()
    return peer


async def upgrades_and_closes(listener: Listening) -> None:
    (await upgrades(listener)).put(close_frame(1011))


async def joins(listener: Listening) -> Peer:
    """Goes as far as to have the client's connect packet."""
    peer = await upgrades(listener)
    peer.put(frame(TEXT, OPEN_PACKET))
    assert await peer.frame() == (TEXT, b"40")
    return peer


async def refuses_to_join(listener: Listening) -> None:
    (await joins(listener)).put(frame(TEXT, b'44{"message":"full"}'))


# ---- success ------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", LINKS)
def test_what_is_reported_of_a_session_that_opens(run: Any, link: Link) -> None:
    async def main() -> None:
        observer = Noting()
        async with listening() as listener:
            dialing = asyncio.ensure_future(opening(listener.url, observer, link=link))
            await upgrades(listener)
            session = await dialing
            assert observer.said == [*BEGUN, ("report", "opened"), ("report", "sample")]
            session.abort()
            await gone(session)
            assert observer.said[5:] == [("observer", "ended")]

    run(main())


@pytest.mark.parametrize("link", LINKS)
def test_the_metric_of_a_socketio_session_waits_until_it_has_joined(run: Any, link: Link) -> None:
    async def main() -> None:
        observer = Noting()
        async with listening() as listener:
            dialing = asyncio.ensure_future(
                opening(listener.url, observer, socketio=True, link=link)
            )
            peer = await joins(listener)
            assert observer.said == [*BEGUN, ("report", "opened")]
            peer.put(frame(TEXT, b'40{"sid":"s"}'))
            session = await dialing
            assert observer.said[4:] == [
                ("observer", "phase", "engineio_open"),
                ("observer", "phase", "socketio_connect"),
                ("report", "sample"),
            ]
            session.abort()

    run(main())


@pytest.mark.parametrize("link", LINKS)
def test_a_name_that_is_looked_up_is_a_phase_of_the_first_session_only(
    run: Any, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with listening() as listener:

            async def look_up(self: Names, key: tuple[str, int], now_ns: int) -> Any:
                addresses: Addresses = [(socket.AF_INET, ("127.0.0.1", listener.port))]
                self.found[key] = (now_ns, addresses)
                del self.asked[key]
                return addresses

            monkeypatch.setattr(Names, "_look_up", look_up)
            for looked_up in ([("observer", "phase", "dns")], []):
                observer = Noting()
                dialing = asyncio.ensure_future(
                    opening("ws://a.test:80", observer, link=link, metric=None)
                )
                await upgrades(listener)
                session = await dialing
                session.abort()
                await gone(session)
                assert observer.said == [
                    *BEGUN[1:],
                    *looked_up,
                    ("report", "opened"),
                    ("observer", "ended"),
                ]

    run(main())


def test_the_engine_is_that_of_the_loop_unless_one_is_given(run: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        own = Engine(loop)
        async with listening() as listener:
            route = Routes().route(listener.url, None, {})
            for given, expected in ((own, own), (None, engine_of(loop))):
                other = engine_of(loop) if given else own
                before = other.hub and other.hub.live
                dialing = asyncio.ensure_future(
                    Opening(route, Noting(), WebSocketSession, None, given)
                )
                await upgrades(listener)
                session = await dialing
                assert session._engine is expected
                assert (expected.live_sessions, other.live_sessions) == (1, 0)
                assert (other.hub and other.hub.live) == before
                session.abort()
                await asyncio.sleep(0)
        own.close()

    run(main())


# ---- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(
    ("act", "error", "kind", "phase"),
    [
        (refuses, ConnectFailed, "connection_refused", "tcp"),
        (speaks_no_tls, ConnectFailed, "tls_failed", "tls"),
        (ends, ConnectFailed, "upgrade_closed", "upgrade"),
        (resets, ConnectFailed, "upgrade_closed", "upgrade"),
        (rejects, HandshakeRejected, "upgrade_rejected", "upgrade"),
        (upgrades_and_closes, ClosedByPeer, "closed", "engineio_open"),
        (refuses_to_join, HandshakeRejected, "connect_error", "socketio_connect"),
    ],
)
def test_a_failure_tells_its_kind_and_phase_and_is_recorded_once(
    run: Any, link: Link, act: Act, error: type[TargetError], kind: str, phase: str
) -> None:
    async def main() -> None:
        observer = Noting()
        socketio = phase in ("engineio_open", "socketio_connect")
        async with listening() as listener:
            url = listener.url.replace("ws:", "wss:") if phase == "tls" else listener.url
            if act is refuses:
                await refuses(listener)
            dialing = asyncio.ensure_future(
                opening(url, observer, socketio=socketio, link=link, insecure=True)
            )
            if act is not refuses:
                await act(listener)
            with pytest.raises(error) as caught:
                await dialing
            found = caught.value
            assert (found.kind, found.phase) == (kind, phase)
            assert found.url.startswith(url)
            assert found.elapsed_ms > 0
        assert observer.said[:3] == BEGUN
        reported = [said for said in observer.said[3:] if said[0] == "report"]
        opened = ("report", "opened") if socketio else ("report", "not_opened", None)
        assert reported == [opened, ("report", "failed")]
        assert ("observer", "target_error", kind) not in observer.said  # it is raised

    run(main())


@pytest.mark.parametrize("link", LINKS)
def test_a_name_that_is_not_found(run: Any, link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up(self: Names, key: tuple[str, int], now_ns: int) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def main() -> None:
        observer = Noting()
        monkeypatch.setattr(Names, "_look_up", look_up)
        with pytest.raises(ConnectFailed) as caught:
            await opening("ws://a.test", observer, link=link)
        assert (caught.value.kind, caught.value.phase) == ("dns_failure", "dns")
        assert observer.said == [*BEGUN, ("report", "not_opened", None), ("report", "failed")]

    run(main())


# ---- attempts that are given up -----------------------------------------------------------------

STALLS: dict[str, Act] = {
    "dns": nothing,
    "tcp": nothing,
    "tls": starts_tls,
    "upgrade": asks,
    "engineio_open": upgrades,
    "socketio_connect": joins,
}


async def never(self: Names, key: tuple[str, int], now_ns: int) -> Any:
    await asyncio.Event().wait()


def stalled(phase: str, listener: Listening, observer: Noting, **options: Any) -> Opening[Any]:
    """An attempt that gets no further than that phase, if the server does what STALLS says."""
    url = {
        "dns": "ws://a.test",
        "tls": f"wss://127.0.0.1:{listener.port}",
    }.get(phase, listener.url)
    socketio = phase in ("engineio_open", "socketio_connect")
    return opening(url, observer, socketio=socketio, insecure=True, **options)


def occupy(listener: Listening) -> list[socket.socket]:
    """Fill the queue of a listening socket: the next connection gets no answer."""
    listener.sock.listen(0)
    waiting = []
    for _ in range(3):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", listener.port))
        waiting.append(sock)
    return waiting


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("phase", STALLS)
def test_cancelled_in_each_phase(
    run: Any, link: Link, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        monkeypatch.setattr(Names, "_look_up", never)
        observer = Noting()
        made: list[Session] = []
        async with listening() as listener:
            waiting = occupy(listener) if phase == "tcp" else []
            attempt = stalled(phase, listener, observer, link=link)
            make = attempt._make

            def make_and_keep(*given: Any) -> Session:
                made.append(make(*given))
                return made[-1]

            attempt._make = make_and_keep
            dialing = asyncio.ensure_future(attempt)
            await asyncio.sleep(0)
            await STALLS[phase](listener)
            await wait_until(lambda: made[0]._phase == phase)
            dialing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dialing
            upgraded = phase in ("engineio_open", "socketio_connect")
            reported = [said for said in observer.said if said[0] == "report"]
            assert reported == [
                ("report", "opened") if upgraded else ("report", "not_opened", "interrupted"),
                ("report", "cut_off", "interrupted"),
            ]
            for sock in waiting:
                sock.close()
            assert not made[0].is_open

    run(main())


@pytest.mark.parametrize("link", LINKS)
def test_the_time_runs_out_in_each_phase(
    run: Any, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stall(phase: str) -> tuple[str, str, str]:
        observer = Noting()
        async with listening() as listener:
            waiting = occupy(listener) if phase == "tcp" else []
            dialing = asyncio.ensure_future(
                stalled(phase, listener, observer, link=link, timeout="1s")
            )
            await STALLS[phase](listener)
            with pytest.raises(Timeout) as caught:
                await dialing
            for sock in waiting:
                sock.close()
        assert caught.value.limit_s == 1
        assert "not connected within 1 s" in str(caught.value)
        opened = caught.value.kind == "open_timeout"
        reported = [said for said in observer.said if said[0] == "report"]
        assert reported == [
            ("report", "opened") if opened else ("report", "not_opened", "deadline"),
            ("report", "cut_off", "deadline"),
        ]
        return phase, caught.value.phase, caught.value.kind

    async def main() -> None:
        monkeypatch.setattr(Names, "_look_up", never)
        found = await asyncio.gather(*map(stall, STALLS))
        kinds = ["connect_timeout"] * 4 + ["open_timeout"] * 2
        assert found == list(zip(STALLS, STALLS, kinds, strict=True))

    run(main())


# ---- what is wrong before anything is dialled ---------------------------------------------------


def test_what_cannot_be_is_told_before_anything_is_reported(run: Any) -> None:
    class Refusing(Noting):
        def trend(self, metric: Any) -> TrendRecorder | None:
            raise UsageError("no Trend")

    async def main() -> None:
        observer = Refusing()
        with pytest.raises(UsageError, match="no such file"):
            opening("wss://127.0.0.1:9", observer, ssl="/nowhere/ca.pem")  # not even awaited
        attempt = opening("ws://127.0.0.1:9", observer)
        with pytest.raises(UsageError, match="no Trend"):
            await attempt
        assert observer.said == []

    run(main())


# ---- the block ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True])
def test_a_loss_that_the_block_did_not_see(run: Any, fails: bool) -> None:
    """It is raised at the end of the block; behind another error it goes to the observer."""

    async def main() -> None:
        observer = Noting()

        async def block() -> None:
            async with opening(listener.url, observer) as session:
                opened.set_result(session)
                await over.wait()
                if fails:
                    raise ValueError("the block's own")

        async with listening() as listener:
            opened: asyncio.Future[WebSocketSession] = asyncio.Future()
            over = asyncio.Event()
            user = asyncio.ensure_future(block())
            peer = await upgrades(listener)
            session = await opened
            peer.sock.close()
            await gone(session)
            over.set()
            with pytest.raises(ValueError if fails else ClosedByPeer):
                await user
        told = ("observer", "target_error", "connection_lost") in observer.said
        assert told is fails

    run(main())
