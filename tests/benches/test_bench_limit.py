"""The programs in C that the benches measure against: they do what they say."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benches import clients, limit
from benches.measure import wait_until
from benches.processes import Client, Server

FRAME = 2 + 4 + 50
"""A masked message of the client's."""


def _upgraded(server: Server) -> socket.socket:
    """A connection that has taken the example of RFC 6455 section 1.3."""
    port = urlsplit(server.url).port
    peer = socket.create_connection(("127.0.0.1", port), timeout=10)
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
    with Server("benches.limit.server") as server, _upgraded(server) as peer:
        for cut in range(1, len(hello)):
            peer.sendall(hello[:cut])
            peer.sendall(hello[cut:])
            assert _received(peer, 7) == b"\x81\x05Hello"
        peer.sendall(long + hello + ping)
        expected = b"\x82\x7e\x01\x00" + bytes(range(256)) + b"\x81\x05Hello\x8a\x01p"
        assert _received(peer, len(expected)) == expected
        assert server.state() == (1, 1, len(hello) - 1 + 2)
        peer.sendall(b"\x88\x82" + bytes(4) + b"\x03\xe8")
        assert _received(peer, 4) == b"\x88\x02\x03\xe8"
        assert peer.recv(1) == b""
        assert server.state().connections == 0


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
    with Server("benches.limit.server") as server, _upgraded(server) as peer:
        peer.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(1) == b""
        assert server.state() == (0, 1, 0)


@pytest.mark.parametrize("kind", ["echo", "flight", "paced"])
def test_the_client_in_c_counts_what_the_server_counts(kind: str) -> None:
    with Server("benches.limit.server") as server:
        words = clients.limit_command(
            kind, server.url, 3, 0.3, RATE="300" * (kind == "paced") or "0"
        )
        done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
        round_trips = int(done.stdout.split()[0])
        wait_until(lambda: server.state().connections == 0, 10, "the end of the connections")
        messages = server.state().messages
    # What was on its way at the end is counted by the server alone.
    assert round_trips > 0
    assert 0 <= messages - round_trips <= 3 * (clients.IN_FLIGHT if kind == "flight" else 1)


def test_five_in_flight_are_sent_at_once_and_awaited() -> None:
    """The server sees whole rounds only: nobody sends before all five are back."""
    with Server("benches.limit.server") as server:
        words = clients.limit_command("flight", server.url, 1, 0.2)
        done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
        wait_until(lambda: server.state().connections == 0, 10, "the end of the connections")
        assert server.state().messages % clients.IN_FLIGHT == 0
    assert int(done.stdout.split()[0]) % clients.IN_FLIGHT == 0


def test_a_paced_client_in_c_sends_what_is_owed_when_it_can() -> None:
    """A server that answers nothing for a while: no message is lost, and none sent too early."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        words = clients.limit_command(
            "paced", f"ws://127.0.0.1:{listener.getsockname()[1]}", 1, 4.0, RATE="50"
        )
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as client:
            peer, _ = listener.accept()
            with peer:
                while b"\r\n\r\n" not in peer.recv(4096):
                    pass
                peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
                sent = _received(peer, FRAME)
                time.sleep(3.0)
                peer.setblocking(False)
                with pytest.raises(BlockingIOError):
                    peer.recv(1)  # some 150 were due, but the first has not come back
                peer.setblocking(True)
                answers = 0
                while True:
                    peer.sendall(b"\x81" + bytes([50]) + b"x" * 50)
                    answers += 1
                    try:
                        sent = _received(peer, FRAME)
                    except (AssertionError, ConnectionResetError):
                        break
                    assert sent[:2] == b"\x81\xb2"
            assert client.stdout is not None
            told = int(client.stdout.read().split()[0])
    # 200 were due in four seconds, 50 of them in the last one.
    assert 60 < told <= 200
    assert answers - told in (0, 1)


@pytest.mark.parametrize("ramp_s", [0, 0.05])
def test_an_idle_client_in_c_sends_nothing(ramp_s: float) -> None:
    with Server("benches.limit.server") as server:
        words = clients.limit_command("idle", server.url, 5, 30, ramp_s)
        with Client("C", words) as client:
            server.wait_for(client, 5, 10)
            assert server.state() == (5, 5, 0)


@pytest.mark.parametrize("client", clients.LOOPS)
def test_the_engines_own_loops_know_no_other_kind(client: str) -> None:
    with pytest.raises(ValueError, match="cannot do 'idle'"):
        clients.COMMANDS[client]("idle", "ws://127.0.0.1:1", 1, 1)


def test_the_client_in_c_knows_no_other_kind() -> None:
    with pytest.raises(ValueError, match="cannot do 'idle_socketio'"):
        clients.limit_command("idle_socketio", "ws://127.0.0.1:1", 1, 1)
    with pytest.raises(ValueError, match="ramp of 2 s"):
        clients.limit_command("echo", "ws://127.0.0.1:1", 1, 1, 2)


@pytest.mark.parametrize("name", ["limit", "server"])
def test_the_programs_compile_without_a_warning(name: str, tmp_path: Path) -> None:
    source = Path(limit.__file__).with_name(f"{name}.c")
    command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(tmp_path / name), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_source_that_does_not_compile_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "limit.c").write_text("int main(void) { return nothing; }")
    monkeypatch.setattr(limit, "_SOURCES", tmp_path)
    monkeypatch.setattr(limit, "_OUT", tmp_path / "out")
    with pytest.raises(RuntimeError, match=r"(?s)cc -O2 .*limit\.c failed: .*nothing"):
        limit.built("limit")
