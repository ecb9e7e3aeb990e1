"""Dead, dying and lying servers: each failure counted once, under its own kind, and no hot loop."""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import Any

import pytest

import ghostcore
from ghostcore import ConstantVUs, PerVUIterations, Result, scenario
from tests.integration.scripted import Connection, Script, ScriptedServer, engineio_open, frame

USERS = 2
ITERATIONS = 2
FAILURES = USERS * ITERATIONS
LOAD = PerVUIterations(vus=USERS, iterations=ITERATIONS, max_duration="60s", graceful_stop="30s")
# Shorter than it takes a slow machine to answer would be wrong in a test of another failure.
PATIENCE_S = 20.0
IMPATIENCE_S = 0.3
NODE_404 = b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found"


@scenario()
async def echo(vu: ghostcore.VU) -> None:
    timeout_s = float(vu.env.get("TIMEOUT", PATIENCE_S))
    async with vu.connect(vu.env["URL"], timeout=timeout_s) as session:
        await session.send("hello")
        assert (await session.recv(timeout=PATIENCE_S)).text == "hello"


@scenario()
async def visit(vu: ghostcore.VU) -> None:
    timeout_s = float(vu.env.get("TIMEOUT", PATIENCE_S))
    async with vu.socketio(vu.env["URL"], timeout=timeout_s) as session:
        await session.request("hello", reply="hello", timeout=PATIENCE_S)


def check_failed(result: Result, kind: str, phase: str, *words: str) -> None:
    """Every iteration failed with one error of that kind, counted once, and the run says so."""
    assert [(one.kind, one.count) for one in result.errors] == [(kind, FAILURES)]
    samples = result.errors[0].samples
    assert len(samples) == min(FAILURES, 5)
    for sample in samples:
        assert sample.phase == phase
        for word in words:
            assert word.lower() in sample.text.lower()
    counts = result.metrics.count_of
    assert counts("ws_errors") == FAILURES
    assert counts("ws_sessions") == FAILURES
    assert counts("iterations") == counts("iterations_failed") == FAILURES
    assert counts("iterations_interrupted") == 0
    assert counts("script_errors") == 0
    opened = counts("ws_sessions_opened")
    assert opened == (0 if phase in ("dns", "tcp", "tls", "upgrade") else FAILURES)
    assert result.metrics["ws_session_duration"].count == opened
    connecting = result.metrics["ws_connecting"]
    assert connecting.count == FAILURES  # of which some failed or were cut off
    assert result.outcome.answered == 0
    assert (result.verdict, result.exit_code) == ("fail", 99)


# ---- what a script needs ------------------------------------------------------------------------


def answer(response: bytes) -> Script:
    """Answers whatever is asked with that, and ends the stream."""

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(response)
        connection.finish()

    return script


def after_upgrade(*parts: bytes, end: str = "close", frames: int = 0) -> Script:
    """Upgrades, sends that, and ends.

    :param end: ``close`` the stream, ``reset`` it, or leave that to the client (``idle``).
    :param frames: how many frames of the client to await before: they show how far it has read.
    """

    def script(connection: Connection) -> None:
        connection.upgrade()
        for part in parts:
            connection.send(part)
        for _ in range(frames):
            connection.read_frame()
        {"close": connection.finish, "reset": connection.reset, "idle": connection.idle}[end]()

    return script


def half_of_the_101(connection: Connection) -> None:
    response = connection.response_101()
    connection.send(response[: len(response) // 2])


def half_of_the_101_and_reset(connection: Connection) -> None:
    half_of_the_101(connection)
    connection.reset()


def request_and_reset(connection: Connection) -> None:
    connection.request()  # a reset before it may be seen as one of connect()
    connection.reset()


def nothing(connection: Connection) -> None:
    connection.finish()


def wrong_accept(connection: Connection) -> None:
    connection.send(connection.response_101(accept=b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
    connection.idle()


def unasked_subprotocol(connection: Connection) -> None:
    connection.send(connection.response_101(extra=b"Sec-WebSocket-Protocol: chat\r\n"))
    connection.idle()


def unasked_extension(connection: Connection) -> None:
    connection.send(connection.response_101(extra=b"Sec-WebSocket-Extensions: x-zip\r\n"))
    connection.idle()


def endless_headers(connection: Connection) -> None:
    connection.request()
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\n")
    for number in itertools.count():
        connection.send(b"X-Padding-%d: %s\r\n" % (number, b"x" * 1000))


def http_status(status: bytes, headers: bytes = b"") -> Script:
    body = b"the body of " + status
    return answer(
        b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status, headers, len(body), body)
    )


OPEN = engineio_open()
JOINED = frame('40{"sid":"abc"}')


# ---- plain WebSocket ----------------------------------------------------------------------------

SCRIPTS: dict[str, tuple[Script, str, str, str]] = {
    "200": (http_status(b"200 OK"), "upgrade_rejected", "upgrade", "HTTP 200 OK"),
    "301": (
        http_status(b"301 Moved Permanently", b"Location: ws://127.0.0.1:9/there\r\n"),
        "upgrade_rejected",
        "upgrade",
        "ws://127.0.0.1:9/there",
    ),
    "404": (answer(NODE_404), "upgrade_rejected", "upgrade", "HTTP 404 Not Found"),
    "503": (http_status(b"503 Service Unavailable"), "upgrade_rejected", "upgrade", "503"),
    "wrong accept": (wrong_accept, "upgrade_invalid", "upgrade", "sec-websocket-accept"),
    "unasked subprotocol": (unasked_subprotocol, "upgrade_invalid", "upgrade", "'chat'"),
    "unasked extension": (unasked_extension, "upgrade_invalid", "upgrade", "x-zip"),
    "text garbage": (answer(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "upgrade_invalid", "upgrade", "ssh"),
    "binary garbage": (
        answer(b"\x15\x03\x03\x00\x02\x02\x46\xff\xfe\r\n\r\n"),
        "upgrade_invalid",
        "upgrade",
        "",
    ),
    "endless headers": (endless_headers, "upgrade_invalid", "upgrade", "headers"),
    "close after accept": (nothing, "upgrade_closed", "upgrade", "ended"),
    "reset after the request": (request_and_reset, "upgrade_closed", "upgrade", "ended"),
    "close after the request": (answer(b""), "upgrade_closed", "upgrade", "ended"),
    "close in the 101": (half_of_the_101, "upgrade_closed", "upgrade", "ended"),
    "reset in the 101": (half_of_the_101_and_reset, "upgrade_closed", "upgrade", "ended"),
    "close after 101": (after_upgrade(), "connection_lost", "session", "without a close frame"),
    "reset after 101": (after_upgrade(end="reset", frames=1), "connection_lost", "session", ""),
    "close in a frame": (after_upgrade(frame("hello")[:3]), "connection_lost", "session", ""),
    "reset in a frame": (
        after_upgrade(frame("hello")[:3], end="reset", frames=1),
        "connection_lost",
        "session",
        "",
    ),
    "close in a message": (
        after_upgrade(frame("hel", fin=False)),
        "connection_lost",
        "session",
        "",
    ),
    "reset in a message": (
        after_upgrade(frame("hel", fin=False), end="reset", frames=1),
        "connection_lost",
        "session",
        "",
    ),
    "masked frame": (after_upgrade(b"\x81\x81abcdX"), "protocol_violation", "session", ""),
    "reserved opcode": (after_upgrade(frame(b"x", opcode=5)), "protocol_violation", "session", ""),
    "no UTF-8": (
        after_upgrade(frame(b"\xc3\x28", opcode=1)),
        "protocol_violation",
        "session",
        "UTF-8",
    ),
    "close frame": (
        after_upgrade(frame(b"\x03\xe9tired", opcode=8)),
        "closed",
        "session",
        "1001 tired",
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_websocket_servers(name: str) -> None:
    script, kind, phase, word = SCRIPTS[name]
    with ScriptedServer(script) as server:
        result = ghostcore.run(echo, load=LOAD, env={"URL": server.url}, seed=1)
    check_failed(result, kind, phase, word, server.url)
    assert server.accepted == FAILURES


def test_silence_after_accept() -> None:
    with ScriptedServer(Connection.idle) as server:
        env = {"URL": server.url, "TIMEOUT": str(IMPATIENCE_S)}
        result = ghostcore.run(echo, load=LOAD, env=env, seed=1)
    check_failed(result, "connect_timeout", "upgrade", "the upgrade was not answered", "0.3 s")
    connecting = result.metrics["ws_connecting"]
    assert (connecting.count, connecting.failed, connecting.cut_off) == (FAILURES, 0, FAILURES)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_refused() -> None:
    result = ghostcore.run(echo, load=LOAD, env={"URL": f"ws://127.0.0.1:{closed_port()}"}, seed=1)
    check_failed(result, "connection_refused", "tcp", "connection refused")
    assert result.metrics["ws_connecting"].failed == FAILURES


def test_unknown_host() -> None:
    result = ghostcore.run(echo, load=LOAD, env={"URL": "ws://ghost.invalid/x?secret=1"}, seed=1)
    check_failed(result, "dns_failure", "dns", "'ghost.invalid'")
    assert all("secret" not in one.text for one in result.errors[0].samples)


# ---- Socket.IO ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "phase", "word"),
    [
        ([], "engineio_open", "no Engine.IO open packet"),
        ([OPEN[:-10]], "engineio_open", "no Engine.IO open packet"),
        ([OPEN], "socketio_connect", "namespace was not joined"),
    ],
)
def test_silence_while_socketio_opens(parts: list[bytes], phase: str, word: str) -> None:
    with ScriptedServer(after_upgrade(*parts, end="idle")) as server:
        env = {"URL": server.url, "TIMEOUT": str(IMPATIENCE_S)}
        result = ghostcore.run(visit, load=LOAD, env=env, seed=1)
    check_failed(result, "open_timeout", phase, word, "0.3 s")


SOCKETIO_PARTS: dict[str, tuple[list[bytes], str, str, str]] = {
    "close frame after OPEN": (
        [OPEN, frame(b"\x03\xf3", opcode=8)],
        "closed",
        "socketio_connect",
        "1011",
    ),
    "Engine.IO close": ([OPEN, frame("1")], "closed", "socketio_connect", "Engine.IO"),
    "disconnected": ([OPEN, JOINED, frame("41")], "closed", "session", "namespace"),
    "no Engine.IO": ([frame("hello")], "protocol_violation", "engineio_open", "Engine.IO"),
    "bad OPEN": ([frame('0{"sid":""}')], "protocol_violation", "engineio_open", "sid"),
    "Socket.IO 2": ([OPEN, frame("40")], "protocol_violation", "socketio_connect", "sid"),
    "bad event": ([OPEN, JOINED, frame('42{"no":"array"}')], "protocol_violation", "session", ""),
    "refused": ([OPEN, frame('44{"message":"full"}')], "connect_error", "socketio_connect", "full"),
}


@pytest.mark.parametrize("ending", ["close", "idle"])
@pytest.mark.parametrize("name", SOCKETIO_PARTS)
def test_what_socketio_servers_say(name: str, ending: str) -> None:
    parts, kind, phase, word = SOCKETIO_PARTS[name]
    with ScriptedServer(after_upgrade(*parts, end=ending)) as server:
        result = ghostcore.run(visit, load=LOAD, env={"URL": server.url}, seed=1)
    check_failed(result, kind, phase, word, server.url)
    assert server.accepted == FAILURES


# A reset discards what was not read yet, so it waits for frames that show what has been read.
@pytest.mark.parametrize(
    ("ending", "parts", "frames", "phase"),
    [
        ("close", [], 0, "engineio_open"),
        ("close", [OPEN[:20]], 0, "engineio_open"),
        *(
            (ending, parts, frames, phase)
            for ending in ("close", "reset")
            for parts, frames, phase in (
                ([OPEN], 1, "socketio_connect"),
                ([OPEN, JOINED], 2, "session"),
                ([OPEN, JOINED, frame('42["hello"]')[:5]], 2, "session"),
                (
                    [OPEN, JOINED, frame('451-["hello",{"_placeholder":true,"num":0}]')],
                    2,
                    "session",
                ),
            )
        ),
    ],
)
def test_socketio_servers_that_break_off(
    ending: str, parts: list[bytes], frames: int, phase: str
) -> None:
    with ScriptedServer(after_upgrade(*parts, end=ending, frames=frames)) as server:
        result = ghostcore.run(visit, load=LOAD, env={"URL": server.url}, seed=1)
    check_failed(result, "connection_lost", phase, server.url)
    assert server.accepted == FAILURES


def test_pings_that_stop() -> None:
    @scenario()
    async def hold(vu: ghostcore.VU) -> None:
        async with vu.socketio(vu.env["URL"], timeout=PATIENCE_S):
            await vu.sleep(PATIENCE_S)

    def three_pings(connection: Connection) -> None:
        connection.upgrade()
        connection.send(engineio_open(100, 200) + JOINED)
        for _ in range(3):
            connection.send(frame("2"))
        connection.idle()

    @scenario()
    async def wait(vu: ghostcore.VU) -> None:
        async with vu.socketio(vu.env["URL"], timeout=PATIENCE_S) as session:
            await session.wait_for("never", timeout=PATIENCE_S)

    with ScriptedServer(three_pings) as server:
        result = ghostcore.run(wait, load=LOAD, env={"URL": server.url}, seed=1)
    check_failed(result, "ping_timeout", "session", "0.3 s")


def test_a_connection_lost_while_the_user_sleeps_is_counted() -> None:
    @scenario()
    async def hold(vu: ghostcore.VU) -> None:
        async with vu.socketio(vu.env["URL"], timeout=PATIENCE_S):
            await vu.sleep(0.2)

    with ScriptedServer(after_upgrade(OPEN, JOINED)) as server:
        result = ghostcore.run(hold, load=LOAD, env={"URL": server.url}, seed=1)
    check_failed(result, "connection_lost", "session")


# ---- the run goes on ----------------------------------------------------------------------------


def echo_once(connection: Connection) -> None:
    connection.upgrade()
    opcode, payload = connection.read_frame()
    connection.send(frame(payload, opcode=opcode))
    opcode, payload = connection.read_frame()
    assert opcode == 8
    connection.send(frame(payload, opcode=8))


@pytest.mark.parametrize(
    "bad", [nothing, answer(NODE_404), after_upgrade(), half_of_the_101_and_reset]
)
def test_a_server_that_recovers(bad: Script) -> None:
    turn = itertools.count()

    def moody(connection: Connection) -> None:
        (bad if next(turn) < 3 else echo_once)(connection)

    load = PerVUIterations(vus=1, iterations=5, max_duration="60s")
    with ScriptedServer(moody) as server:
        result = ghostcore.run(echo, load=load, env={"URL": server.url}, seed=1)
    assert [one.count for one in result.errors] == [3]
    assert (result.outcome.offered, result.outcome.answered) == (5, 2)
    assert (result.verdict, result.exit_code) == ("pass", 0)


@pytest.mark.parametrize(
    ("play", "script"),
    [
        (echo, None),
        (echo, nothing),
        (echo, answer(NODE_404)),
        (echo, after_upgrade()),
        (visit, after_upgrade()),
        (visit, after_upgrade(OPEN)),
        (visit, after_upgrade(OPEN, frame('44{"message":"full"}'))),
    ],
)
def test_a_dead_server_is_not_hammered(play: Any, script: Script | None) -> None:
    load = ConstantVUs(vus=2, duration="1.2s", graceful_stop="30s")
    if script is None:
        url = f"ws://127.0.0.1:{closed_port()}"
        result = ghostcore.run(play, load=load, env={"URL": url}, seed=1)
    else:
        with ScriptedServer(script) as server:
            result = ghostcore.run(play, load=load, env={"URL": server.url}, seed=1)
        assert server.accepted == result.metrics.count_of("ws_sessions")
    # The k-th wait is at least 0.05 * 2**k s: 0.05 + 0.1 + 0.2 + 0.4 + 0.8 s is over the duration.
    assert 2 <= result.metrics.count_of("ws_sessions") <= 2 * 6
    assert result.metrics.count_of("ws_errors") == result.metrics.count_of("ws_sessions")
    assert (result.verdict, result.exit_code) == ("fail", 99)


def test_a_server_that_never_ends_the_closing_handshake() -> None:
    def stubborn(connection: Connection) -> None:
        connection.upgrade()
        opcode, payload = connection.read_frame()
        connection.send(frame(payload, opcode=opcode))
        connection.idle()

    @scenario()
    async def hang_up(vu: ghostcore.VU) -> None:
        session = await vu.connect(vu.env["URL"], timeout=PATIENCE_S)
        await session.send("hello")
        await session.recv(timeout=PATIENCE_S)

    with ScriptedServer(stubborn) as server:
        result = ghostcore.run(hang_up, load=LOAD, env={"URL": server.url}, seed=1)
    assert result.errors == []
    assert result.outcome.answered == FAILURES


def test_open_in_the_segment_of_the_101() -> None:
    def hasty(connection: Connection) -> None:
        connection.send(connection.response_101() + OPEN + JOINED)
        assert connection.read_frame() == (1, b"40")
        assert connection.read_frame() == (1, b'42["hello"]')
        connection.send(frame('42["hello",1]'))
        assert connection.read_frame() == (1, b"41")
        opcode, payload = connection.read_frame()
        connection.send(frame(payload, opcode=opcode))

    with ScriptedServer(hasty) as server:
        result = ghostcore.run(visit, load=LOAD, env={"URL": server.url}, seed=1)
    assert result.errors == []
    assert result.outcome.answered == FAILURES


def test_the_end_in_the_segment_of_the_101() -> None:
    def hasty(connection: Connection) -> None:
        connection.send(connection.response_101() + frame(b"\x03\xe8", opcode=8))
        connection.idle()

    for play, phase in ((echo, "session"), (visit, "engineio_open")):
        with ScriptedServer(hasty) as server:
            result = ghostcore.run(play, load=LOAD, env={"URL": server.url}, seed=1)
        check_failed(result, "closed", phase, "1000")


def test_resets_in_the_moment_of_taking_over(run: Any) -> None:
    """A reset between connect() and the first read: the descriptor is closed once, by its owner."""

    async def main(url: str) -> None:
        for _ in range(10):
            attempts = [ghostcore.connect(url) for _ in range(30)]
            errors = await asyncio.gather(*map(opened, attempts), return_exceptions=True)
            kinds = {getattr(error, "kind", error) for error in errors}
            assert kinds <= {"connect_failed", "upgrade_closed"}

    with ScriptedServer(Connection.reset) as server:
        run(main(server.url))


async def opened(opening: Any) -> None:
    await opening
