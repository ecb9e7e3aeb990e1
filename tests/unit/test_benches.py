"""The benches must not rot: their parts start, count and report. No figure is judged here."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benches import __main__ as command
from benches import clients, echo, limit, memory
from benches.measure import cores, machine, pinned, read, server_state, wait_until
from ghostcore.testing import ServerProcess


def test_a_reading_follows_the_process() -> None:
    before = read(os.getpid())
    ballast = mmap.mmap(-1, 8 << 20)  # pages of its own, not some that the process has already
    ballast.write(b"x" * len(ballast))
    sum(number for number in range(2_000_000))
    after = read(os.getpid())
    assert after.at_s > before.at_s
    assert after.cpu_s > before.cpu_s
    assert after.rss_bytes - before.rss_bytes > len(ballast) // 2
    ballast.close()


def test_pinning_ends_with_the_block() -> None:
    before = os.sched_getaffinity(0)
    server_core, client_core = cores()
    with pinned(client_core):
        assert os.sched_getaffinity(0) == {client_core}
    assert os.sched_getaffinity(0) == before
    assert (server_core != client_core) == (len(before) > 1)


def test_waiting_for_what_does_not_come_says_what() -> None:
    with pytest.raises(TimeoutError, match="the moon: not within"):
        wait_until(lambda: False, 0.01, "the moon")


@pytest.mark.parametrize("kind", ["echo", "idle"])
def test_k6_commands_name_a_script_that_exists(kind: str) -> None:
    words = clients.k6_command(kind, "ws://127.0.0.1:1/", 10, 1.5, 2)
    assert Path(words[-1]).is_file()
    assert {"URL=ws://127.0.0.1:1/", "USERS=10", "DURATION=1.5s", "RAMP=2s"} <= set(words)


@pytest.mark.parametrize("client", ["C", "epoll", "picows", "epoll_c", "picows_c"])
def test_echo_is_counted_at_the_server(client: str) -> None:
    figures = echo.measure_once(client, users=3, seconds=0.3)
    assert figures.round_trips_per_s > 0


@pytest.mark.parametrize("link", clients.LINKS)
@pytest.mark.parametrize("kind", ["idle", "idle_socketio"])
def test_idle_users_connect_and_stay(kind: str, link: str) -> None:
    figures = memory.measure_once(link, kind, users=20, connects_per_s=200, wait_s=0.1)
    assert figures.users == 20
    assert figures.rss_bytes > 0


def test_a_client_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object) -> list[str]:
        return clients.ghostcore_command("no such thing", "ws://127.0.0.1:1/", 1, 1, link="epoll")

    monkeypatch.setitem(clients.COMMANDS, "epoll", wrong)
    with pytest.raises(RuntimeError, match=r"(?s)code 2: .*invalid choice"):
        echo.measure_once("epoll", users=1, seconds=0.1)


def test_the_report_is_written_and_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_of(client: str, speed: float) -> echo.EchoFigures:
        return echo.EchoFigures(client, 20, speed, 0.9, 0.8, 1e6 / speed)

    speeds = {
        "C": iter((180.0, 200.0, 600.0)),
        "epoll": iter((90.0, 110.0, 500.0)),
        "picows": iter((70.0, 80.0, 100.0)),
        "k6": iter((10.0, 20.0, 50.0)),
    }

    def measured(client: str, *_: Any) -> echo.EchoFigures:
        return run_of(client, next(speeds[client]))

    monkeypatch.setattr(echo, "measure_once", measured)
    out = tmp_path / "deep" / "bench.json"
    assert command.main(["--only", "echo", "--quick", "--repeats", "3", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["machine"] == machine()
    measured_echo = report["echo"]
    assert measured_echo["medians"]["epoll"]["round_trips_per_s"] == 110
    # The medians of 9, 5.5 and 10, and of 7, 4 and 2: neighbours are compared, not medians.
    for client, ratio in {"epoll": 9, "picows": 4, "k6": 1}.items():
        assert measured_echo["ratio_to_k6"][client] == pytest.approx({"clock": ratio, "cpu": ratio})
    assert measured_echo["share_of_limit"]["epoll"]["clock"] == pytest.approx(0.55)
    shown = capsys.readouterr().out
    assert "9.00 / 9.00" in shown
    assert "0.55 / 0.55" in shown


def test_without_the_rival_there_is_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(client: str, *_: Any) -> echo.EchoFigures:
        return echo.EchoFigures(client, 20, 100.0, 0.9, 0.8, 10.0)

    monkeypatch.setattr(echo, "measure_once", measured)
    report = echo.measure_echo(("C", "epoll"), 20, 1.0, 2)
    assert report["ratio_to_k6"] == {}
    assert command.echo_table(report).row_count == 2


def _upgraded(server: ServerProcess) -> socket.socket:
    """A connection that has taken the example of RFC 6455 section 1.3."""
    peer = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    peer.sendall(b"GET / HTTP/1.1\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    answer = peer.recv(4096)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    return peer


def _received(peer: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = peer.recv(size - len(found))
        assert part, f"the end after {found!r}"
        found += part
    return found


def test_the_server_in_c_returns_messages_of_any_cut() -> None:
    hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"  # RFC 6455 section 5.7
    long = b"\x82\xfe\x01\x00" + bytes(4) + bytes(range(256))
    ping = b"\x89\x81" + bytes(4) + b"p"
    with ServerProcess("benches.limit.server") as server, _upgraded(server) as peer:
        for cut in range(1, len(hello)):
            peer.sendall(hello[:cut])
            peer.sendall(hello[cut:])
            assert _received(peer, 7) == b"\x81\x05Hello"
        peer.sendall(long + hello + ping)
        expected = b"\x82\x7e\x01\x00" + bytes(range(256)) + b"\x81\x05Hello\x8a\x01p"
        assert _received(peer, len(expected)) == expected
        assert server_state(server.port) == (1, len(hello) - 1 + 2)
        peer.sendall(b"\x88\x82" + bytes(4) + b"\x03\xe8")
        assert _received(peer, 4) == b"\x88\x02\x03\xe8"
        assert peer.recv(1) == b""
        assert server_state(server.port)[0] == 0


@pytest.mark.parametrize(
    "sent",
    [
        b"\x81\x05Hello",
        b"\x01\x80" + bytes(4),
        b"\x82\xfe\x0f\xff" + bytes(4),
        b"\x82\xff" + bytes(8),
    ],
    ids=["not masked", "in parts", "too long", "far too long"],
)
def test_the_server_in_c_ends_a_connection_that_it_cannot_serve(sent: bytes) -> None:
    with ServerProcess("benches.limit.server") as server, _upgraded(server) as peer:
        peer.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(1) == b""
        assert server_state(server.port) == (0, 0)


def test_the_client_in_c_counts_what_the_server_counts() -> None:
    with ServerProcess("benches.limit.server") as server:
        words = clients.limit_command("echo", server.url, 3, 0.2)
        done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
        round_trips = int(done.stdout.split()[0])
        wait_until(lambda: server_state(server.port)[0] == 0, 10, "the end of the connections")
        # What was on its way at the end is counted by the server alone.
        assert 0 <= server_state(server.port)[1] - round_trips <= 3


@pytest.mark.parametrize("client", ["C", "epoll_c", "picows_c"])
def test_some_clients_only_echo(client: str) -> None:
    with pytest.raises(ValueError, match="cannot do 'idle'"):
        clients.COMMANDS[client]("idle", "ws://127.0.0.1:1", 1, 1)


def test_a_source_that_does_not_compile_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "limit.c").write_text("int main(void) { return nothing; }")
    monkeypatch.setattr(limit, "_SOURCES", tmp_path)
    monkeypatch.setattr(limit, "_OUT", tmp_path / "out")
    with pytest.raises(RuntimeError, match=r"(?s)cc -O2 .*limit\.c failed: .*nothing"):
        limit.built("limit")


def test_memory_is_the_slope_between_two_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(client: str, kind: str, users: int, *_: Any) -> memory.IdleFigures:
        return memory.IdleFigures(client, kind, users, (30 << 20) + users * 7168, 0, 300.0)

    monkeypatch.setattr(memory, "measure_once", measured)
    report = memory.measure_idle("epoll", "idle", few=1000, many=10_000)
    assert report["kib_per_user"] == 7
