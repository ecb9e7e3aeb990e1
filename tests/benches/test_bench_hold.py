"""Users at rest: held, pinged, nothing lost. No figure is judged here."""

from __future__ import annotations

from typing import Any

import pytest

from benches import hold
from benches.measure import Refused
from tests.support.tables import text_of


@pytest.fixture(scope="module")
def held() -> dict[str, Any]:
    """30 users, held for a second and a half, pinged every 0.3 s."""
    return hold.measure_hold(30, 1.5, settle_s=2.0, interval_s=0.3, timeout_s=5)


def test_users_are_held_and_every_ping_is_answered(held: dict[str, Any]) -> None:
    server = held["server"]
    assert held["opened"] == server["connections"] == server["accepted"] == 30
    assert held["pings_while_held"] > 30
    assert server["pongs_missing"] == server["pongs_unasked"] == 0
    assert 0 <= held["pongs_awaited"] <= 30
    assert held["errors"] == {}
    assert held["timers"]["expiries"] > 50
    assert held["loop_lag_ms"]["worst"] >= held["loop_lag_ms"]["median"] >= 0
    shown = text_of(*hold.tables(held))
    for what in ("held at the end", "lost (the server's", "errors (the", "pings not answered"):
        (line,) = [line for line in shown.splitlines() if what in line]
        assert " yes " in line


def test_what_was_lost_while_held_is_told(held: dict[str, Any]) -> None:
    lost = {"connections": 29, "pongs_missing": 1, "slowest_pong_s": 6}
    report = {**held, "server": {**held["server"], **lost}, "errors": {"connection_lost": 1}}
    shown = text_of(*hold.tables(report))
    for what in ("held at the end", "lost (the server's", "errors (the", "pings not", "slowest"):
        (line,) = [line for line in shown.splitlines() if what in line]
        assert " NO " in line
    assert "connection_lost" in shown


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"pings_while_held": 100}, "100 pings in 10 s, not some 120"),
        ({"connected_s": 7.1}, "3 users came in 7.1 s, not 2.0"),
    ],
)
def test_what_was_not_asked_for_is_no_figure(wrong: dict[str, Any], reason: str) -> None:
    report = {"users": 3, "hold_s": 10.0, "ping_interval_s": 0.25, "pings_while_held": 110,
              "ramp_s": 2.0, "settle_s": 5.0, "connected_s": 6.9}  # fmt: skip
    assert hold.checked(report) is report
    with pytest.raises(Refused, match=reason):
        hold.checked({**report, **wrong})
