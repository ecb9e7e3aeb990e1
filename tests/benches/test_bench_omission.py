"""A server that stands still. No figure is judged here."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benches import omission
from benches.processes import Server, Stall
from tests.support.tables import text_of

MS = 10**6


@given(
    st.integers(1, 60), st.integers(1, 50), st.integers(0, 500), st.integers(1, 500),
    st.sampled_from([1, 50, 90, 99, 100]),
)  # fmt: skip
def test_theory_is_what_a_queue_before_a_closed_door_waits(
    count: int, period_ms: int, stop_ms: int, stall_ms: int, quantile: int
) -> None:
    """Millisecond by millisecond: who came by then and was not let in waits on."""
    waits = [0] * count
    for now_ms in range(stop_ms, stop_ms + stall_ms):
        for number in range(count):
            if stop_ms <= number * period_ms <= now_ms:
                waits[number] += 1
    rank = math.ceil(quantile / 100 * count)
    stall = Stall(10**9 + stop_ms * MS, 10**9 + (stop_ms + stall_ms) * MS, 0)
    found = omission.theory_ms(quantile, 10**9, period_ms * MS, count, stall)
    assert found == sorted(waits)[rank - 1]


def test_a_server_stands_still_for_as_long_as_it_is_said_to() -> None:
    with Server("benches.limit.server") as server:
        before = server.read()
        begun_ns = time.monotonic_ns()
        stall = server.stand_still(0.1)
        ended_ns = time.monotonic_ns()
        assert begun_ns <= stall.start_ns + stall.unsure_ns
        assert stall.end_ns - stall.start_ns >= 100 * MS - 2 * stall.unsure_ns
        assert stall.end_ns - stall.unsure_ns <= ended_ns
        assert server.state().connections == 0  # it goes on
        assert server.read().cpu_s >= before.cpu_s


def test_a_server_that_cannot_be_stopped_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benches.processes.STOP_TIMEOUT_S", 0.05)
    with Server("benches.limit.server") as server:
        monkeypatch.setattr(os, "kill", lambda *_: None)
        with pytest.raises(TimeoutError, match="the server after SIGSTOP"):
            server.stand_still(0.0)
        monkeypatch.undo()


@pytest.mark.parametrize("name", omission.CASES)
def test_what_waited_is_measured_beside_theory(name: str) -> None:
    row = omission.measured(name, 2.0, 0.4, with_k6=name == "paced")
    assert "refused" not in row, row["refused"]
    assert row["stall_s"] >= 0.39
    assert row["theory_ms"]["99"] > row["theory_ms"]["90"] > 0 == row["theory_ms"]["50"]
    # Nothing that was due is left out, and no theory is beaten but by how well the stop is known.
    assert row["from_due"]["99"] >= row["theory_ms"]["99"] * 0.98 - 5
    assert row["made"] <= row["offered"]
    assert (row["k6"] is not None) == (name == "paced")
    shown = text_of(*omission.tables([row]))
    assert "stood still for 0." in shown and f"due {row['offered']}, made" in shown


def row_of(**changed: Any) -> dict[str, Any]:
    quantiles = dict.fromkeys(("50", "90", "95", "99"), 1.0)
    theory = {**quantiles, "90": 1000.0, "95": 1500.0, "99": 1900.0}
    row = {
        "case": "drop", "users": 20, "seconds": 10.0, "stall_s": 2.0, "unsure_ms": 0.1,
        "theory_ms": theory, "from_due": {**theory, "90": 1025.0, "95": 1464.9},
        "open": {**dict.fromkeys(quantiles, False), "90": True}, "service": quantiles,
        "k6": {"count": 9, "p(50)": 1, "p(90)": 10.1, "p(95)": 1, "p(99)": 1},
        "offered": 2000, "made": 1600,
    }  # fmt: skip
    return {**row, **changed}


def test_each_line_is_judged() -> None:
    shown = text_of(*omission.tables([row_of()])).splitlines()
    judged = [line.split("│")[1:6] for line in shown if line.startswith("│")]
    assert [[cell.strip() for cell in line] for line in judged] == [
        ["p50", "1.0", "1.0", "5.0", "yes"],
        ["p90", "1,000.0", ">= 1,025.0", "25.0", "yes"],
        ["p95", "1,500.0", "1,464.9", "35.0", "NO"],
        ["p99", "1,900.0", "1,900.0", "43.0", "yes"],
        ["k6, p90", "", "", "<= 10", "NO"],
    ]
    without = text_of(*omission.tables([row_of(k6=None)]))
    assert "k6, p90" not in without


def test_a_load_that_was_not_offered_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    few = '{"offered": 7, "made": 7}'
    monkeypatch.setattr("benches.processes.Client.output", lambda *_: few)
    row = omission.measured("paced", 0.5, 0.05, with_k6=False)
    assert row["refused"] == "7 moments were due, not 100"
    assert "refused: 7 moments" in text_of(*omission.tables([row]))


def test_the_users_of_k6_have_their_scripts() -> None:
    scripts = Path(omission.__file__).parent / "rivals" / "k6"
    assert all((scripts / f"{case.kind}.js").is_file() for case in omission.CASES.values())
