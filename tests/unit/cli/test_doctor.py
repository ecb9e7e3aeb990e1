"""doctor: limits as a table, ceilings, and one look at servers of every kind."""

from __future__ import annotations

import asyncio
import re
import ssl

import pytest
import trustme

from ghostcore._engine import engine_of
from ghostcore.cli import doctor
from ghostcore.cli._server_check import ServerCheck, check_server
from ghostcore.cli.doctor import Ceiling, examine, lines_of_limits, measure_ceilings, too_small
from ghostcore.monitor.limits import Finding, Limits
from ghostcore.results.record import EXIT_THRESHOLDS
from ghostcore.testing import EchoServer, ServerThread, SocketIOServer

pytestmark = pytest.mark.usefixtures("no_leaks")


FINDINGS = [
    Finding("files", "this process may open 20,000 files", 19_872, "'ulimit -Hn 30128'"),
    Finding("ports", "28,232 source ports", 28_232),
    Finding("cores", "2 for this process, and a text that is longer than the others"),
]


def test_limits_are_a_table() -> None:
    assert list(lines_of_limits(FINDINGS, 20_000)) == [
        "  ✗ files      this process may open 20,000 files     19,872 users",
        "               -> 'ulimit -Hn 30128'",
        "    ports      28,232 source ports                    28,232 users",
        "    cores      2 for this process, and a text that is longer than the others",
    ]
    assert next(lines_of_limits(FINDINGS)).startswith("  ! files"), "no plan: only a hint"
    assert list(lines_of_limits([])) == []


def test_what_stops_a_plan() -> None:
    assert [too_small(one, 20_000) for one in FINDINGS] == [True, False, False]
    assert not any(too_small(one, None) for one in FINDINGS)


def test_a_ceiling_that_was_not_ours_says_what_a_core_would_do() -> None:
    assert Ceiling("connects", 5000, 1.0, 0.25).text == (
        "5,000 connects/s, with 25 % of a core here (a whole one: some 20,000)"
    )
    assert Ceiling("messages", 100_000, 2.0, 1.96).text == (
        "50,000 messages/s, with 98 % of a core here"
    )


def test_ceilings_are_measured() -> None:
    async def main() -> list[Ceiling]:
        found = await measure_ceilings(0.3)
        engine_of(asyncio.get_running_loop()).close()
        return found

    connects, messages = asyncio.run(main())
    assert connects.count > 10
    assert messages.count > 100
    assert 0 < connects.cpu_s < connects.seconds * 1.05
    assert messages.seconds >= 0.3


def look(url: str, insecure: bool = False) -> ServerCheck:
    async def main() -> ServerCheck:
        found = await check_server(url, insecure=insecure)
        engine_of(asyncio.get_running_loop()).close()
        return found

    return asyncio.run(main())


def test_a_websocket_server() -> None:
    with ServerThread(EchoServer()) as server:
        found = look(f"{server.url}/feed")
    assert found.answered
    assert found.lines[0].startswith("it speaks WebSocket; opened in ms: TCP ")
    assert ", upgrade " in found.lines[0]
    assert found.lines[1].startswith("round trip of a ping: ")


def test_a_socketio_server() -> None:
    with ServerThread(SocketIOServer()) as server:
        found = look(f"http://127.0.0.1:{server.server.port}")
        raw = look(f"ws://127.0.0.1:{server.server.port}/socket.io/?EIO=4&transport=websocket")
    for one in (found, raw):
        assert one.answered
        assert one.lines[0].startswith("it speaks Socket.IO 5 over Engine.IO 4; opened in ms: ")
        assert "Socket.IO connect" in one.lines[0]


def test_a_name_is_resolved() -> None:
    with ServerThread(EchoServer()) as server:
        found = look(f"ws://localhost:{server.server.port}/feed")
    assert re.match(r"localhost is (::1, )?127\.0\.0\.1 ", found.lines[0])
    missing = look("ws://no-such-name.invalid")
    assert not missing.answered
    assert missing.lines[0].startswith("the name no-such-name.invalid does not resolve")


def test_nothing_listens() -> None:
    found = look("ws://127.0.0.1:1")
    assert not found.answered
    assert found.lines[0].startswith("no connection: connection_refused")


def test_a_server_of_another_kind() -> None:
    with ServerThread(EchoServer()) as server:
        refused = look(f"ws://127.0.0.1:{server.server.port}/socket.io/?EIO=4&transport=websocket")
    assert refused.answered, "an echo server is a WebSocket server at any path"
    assert "WebSocket" in refused.lines[0]


def test_tls() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ServerThread(EchoServer(ssl=context)) as server:
        address = f"wss://127.0.0.1:{server.server.port}/feed"
        refused = look(address)
        found = look(address, insecure=True)
    assert not refused.answered
    assert "CERTIFICATE_VERIFY_FAILED" in refused.lines[0]
    assert found.answered
    assert found.lines[0].startswith("TLS: TLSv1.")
    assert "TLS " in found.lines[1]


def examined(
    monkeypatch: pytest.MonkeyPatch, url: str | None = None, users: int | None = None
) -> tuple[int, str]:
    machine = Limits(descriptors_soft=1024, descriptors_hard=2000, ports=1000, port_range=(1, 1000))
    monkeypatch.setattr(doctor, "read_limits", lambda: machine)
    lines: list[str] = []
    code = examine(url, users, measure=False, insecure=False, echo=lines.append)
    return code, "\n".join(lines)


def test_exit_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = examined(monkeypatch)
    assert code == 0
    assert "it holds 1,000 users" in text
    assert "'ulimit -Hn 10128' as root" in text, "below what is usual: a hint"
    assert examined(monkeypatch, users=1000)[0] == 0
    code, text = examined(monkeypatch, users=1500)
    assert code == doctor.EXIT_TOO_SMALL
    assert "✗ ports" in text
    assert "✗ files" not in text
    assert examined(monkeypatch, "ws://127.0.0.1:1", 10)[0] == EXIT_THRESHOLDS
    with ServerThread(EchoServer()) as server:
        assert examined(monkeypatch, server.url, 10)[0] == 0
