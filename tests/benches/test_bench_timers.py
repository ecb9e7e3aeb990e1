"""Lateness of timers. No figure is judged here."""

from __future__ import annotations

import array
import json
import sys

import pytest

from benches import timers
from benches.processes import Client
from tests.support.tables import text_of


def test_lateness_is_ranked_exactly() -> None:
    late_ns = array.array("q", [1000 * number for number in range(100, 0, -1)])
    assert timers.lateness(late_ns) == {
        "expiries": 100, "p50_us": 50, "p99_us": 99, "max_us": 100, "early": 0,
    }  # fmt: skip
    late_ns.append(-1)
    assert timers.lateness(late_ns)["early"] == 1
    assert timers.lateness(array.array("q")) == {"expiries": 0}


@pytest.mark.parametrize("name", [timers.QUEUE, timers.ASYNCIO])
def test_every_expiry_is_measured(name: str) -> None:
    words = [sys.executable, "-m", "benches.timers", name, "100", "50", "0.5"]
    with Client(name, words) as process:
        row = json.loads(process.output(60))
    assert row["expiries"] == 50
    assert row["max_us"] >= row["p99_us"] >= row["p50_us"]
    assert name != timers.QUEUE or row["early"] == 0
    far_only = {"timers": name, "expiries_per_s": 0, "far": 50, "cpu_share": 0.5, "expiries": 0}
    shown = text_of(*timers.tables([row, far_only]))
    assert "50.00%" in shown
