"""Delays recorded by a server, paired with what is reported. No figure is judged here."""

from __future__ import annotations

import random
import socket
from array import array
from typing import Any

import pytest

from benches import accuracy, delays
from benches.measure import Refused
from benches.processes import Server
from tests.support import hostile
from tests.support.tables import text_of

MS = 10**6


def upgraded(server: Server) -> socket.socket:
    host, _, port = server.url.removeprefix("ws://").partition(":")
    peer = socket.create_connection((host, int(port)), timeout=10)
    peer.sendall(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += peer.recv(1)
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head  # RFC 6455, 1.3
    return peer


def frame(number: int) -> bytes:
    return hostile.frame(1, str(number).encode(), mask=b"\x01\x02\x03\x04")


def test_the_delay_that_was_is_recorded_with_its_number() -> None:
    with (
        Server("benches.delays", "--delays", "fixed") as server,
        upgraded(server) as peer,
        upgraded(server) as other,
    ):
        assert server.state()[:2] == (2, 2)
        whole = frame(7) + frame(123_456)
        peer.sendall(whole[:3])
        other.sendall(frame(5))
        peer.sendall(whole[3:])
        answers = b""
        while len(answers) < 3 + 8:
            answers += peer.recv(100)
        assert answers == b"\x81\x017\x81\x06123456"
        assert other.recv(100) == b"\x81\x015"
        records = array("q")
        records.frombytes(server.fetch("/records"))
        assert sorted(records[::3]) == [5, 7, 123_456]
        delays_ns = [sent - got for got, sent in zip(records[1::3], records[2::3], strict=True)]
        assert all(delay_ns >= 10 * MS for delay_ns in delays_ns)
        counts = server.counts()
        assert (counts["messages"], counts["unstamped"]) == (3, 0)


def test_a_message_for_somebody_who_has_gone_is_no_record() -> None:
    with Server("benches.delays", "--delays", "fixed") as server:
        with upgraded(server) as peer, upgraded(server) as other:
            peer.sendall(frame(1))
            peer.shutdown(socket.SHUT_RDWR)
            other.sendall(frame(2))
            assert other.recv(100) == b"\x81\x012"
            other.sendall(b"\x88\x80abcd")
            assert other.recv(100) == b""
        assert server.state() == (0, 2, 1)


@pytest.mark.parametrize(
    ("name", "p50", "p99"),
    [("fixed", 10, 10), ("bimodal", 2, 50), ("heavy tail", 3.17, 43.1)],
)
def test_delays_are_distributed_as_they_are_called(name: str, p50: float, p99: float) -> None:
    numbers = random.Random(3)
    drawn = sorted(delays.DELAYS_MS[name](numbers) for _ in range(50_000))
    assert drawn[25_000] == pytest.approx(p50, rel=0.03)
    assert drawn[49_500] == pytest.approx(p99, rel=0.06)
    assert drawn[-1] <= delays.LONGEST_MS


def told(**changed: Any) -> dict[str, Any]:
    return {
        "start_ns": 10**9, "seconds": [
            {"at_s": 1.0, "error_ms": 0.5, "suspect": False},
            {"at_s": 2.0, "error_ms": 0.1, "suspect": True},
            {"at_s": 2.2, "error_ms": 0.0, "suspect": False},
        ],
        "generator_error_ms": 0.5, "suspect_s": 0, "metric_ms": {}, "verdict": "pass",
        "reasons": [], **changed,
    }  # fmt: skip


def test_errors_are_of_pairs_and_what_is_beyond_the_error_of_their_second() -> None:
    recorded = array("q", [3, 100, 100 + 5 * MS, 1, 900, 900 + 2 * MS, 9, 0, 1])
    reported = array("q", [
        1, 3 * MS, 1_900_000_000,  # an error of 1 ms in a second with 0.5
        3, 6 * MS + 100_000, 2_000_000_001,  # 1.1 ms, with 0.1
    ])  # fmt: skip
    row = accuracy.figures(reported, recorded, told(), 2)
    assert row["pairs"] == 2
    assert row["error_ms"] == pytest.approx({"min": 1.0, "p50": 1.0, "p99": 1.1, "max": 1.1})
    assert row["sound_error_ms"] == pytest.approx(dict.fromkeys(("min", "p50", "p99", "max"), 1.0))
    assert row["over_lag_ms"] == pytest.approx({"min": 0.5, "p50": 0.5, "p99": 1.0, "max": 1.0})
    assert row["recorded_ms"]["max"] == 5
    with pytest.raises(Refused, match="2 messages were reported, not 3"):
        accuracy.figures(reported, recorded, told(), 3)
    shown = {"p50": 3.002, "p99": 6.105}
    assert accuracy.figures(reported, recorded, told(metric_ms=shown), 2)["pairs"] == 2
    shown["p50"] = 3.01
    with pytest.raises(Refused, match=r"shows p50 3\.01 ms, its samples 3\.0"):
        accuracy.figures(reported, recorded, told(metric_ms=shown), 2)


def test_what_the_server_never_saw_is_no_pair() -> None:
    with pytest.raises(Refused, match="1 messages were reported that the server has no record of"):
        accuracy.errors_of(array("q", [1, 5, 6, 2, 5, 6]), {1: 4})


def test_every_message_is_paired() -> None:
    row = accuracy.measured(accuracy.Case("bimodal", 5, 200, 60))
    assert "refused" not in row, row["refused"]
    assert row["pairs"] >= 60
    assert row["recorded_ms"]["min"] >= 2
    # Nothing is reported shorter than it was, but for the two clocks of the server.
    assert row["error_ms"]["min"] > -0.1
    assert row["reported_ms"]["max"] >= row["recorded_ms"]["max"] - 0.1
    assert "bimodal" in text_of(*accuracy.tables({"quick": True, "rows": [row]}))


def test_a_side_without_time_to_spare_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "MOST_SHARE", 0.0)
    row = accuracy.measured(accuracy.Case("fixed", 2, 100, 20))
    assert "busy, over 0%" in row["refused"]
    shown = text_of(*accuracy.tables({"quick": False, "rows": [row]}))
    assert "refused: fixed 2: the client was" in shown and "quick" not in shown


def test_each_column_is_judged() -> None:
    quantiles = {"min": 0.0, "p50": 0.2, "p99": 1.1, "max": 5.0}
    row = {
        "delays": "fixed", "sockets": 100, "pairs": 100_000, "recorded_ms": quantiles,
        "error_ms": quantiles, "sound_error_ms": None, "over_lag_ms": {**quantiles, "p99": 0.21},
        "generator_error_ms": 0.9, "suspect_s": 2.0, "client_share": 0.2, "server_share": 0.3,
    }  # fmt: skip
    shown = text_of(*accuracy.tables({"quick": False, "rows": [row]}))
    (line,) = [line for line in shown.splitlines() if line.startswith("│ fixed")]
    cells = [cell.strip() for cell in line.split("│")]
    assert [cells[at] for at in (5, 6, 7, 8, 11, 12)] == [
        "0.200", "yes", "1.100", "NO", "0.210", "NO",
    ]  # fmt: skip
