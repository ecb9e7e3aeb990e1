"""Round trips at a fixed rate. No figure is judged here."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest

from benches import clients, loops, rate
from benches.measure import Refused
from tests.support.tables import text_of


@pytest.mark.parametrize("client", ["C", *clients.LINKS, *clients.LOOPS])
def test_a_paced_client_keeps_to_its_rate(client: str) -> None:
    figures = loops.measure_once(client, "paced", users=4, seconds=2.0, RATE="100")
    # A closed loop would make tens of thousands.
    assert 0 < figures.round_trips_per_s < 1000


def test_turns_of_paced_users_are_spread_evenly() -> None:
    interval_ns, now_ns = 1_000_000_000, 12_345_678_901
    due = [now_ns + 1e9 * clients.until_turn_s(now_ns, i, 4, 1.0) for i in range(4)]
    assert [round(at) % interval_ns for at in due] == [0, 250_000_000, 500_000_000, 750_000_000]
    assert all(0 <= at - now_ns < interval_ns for at in due)


def figures_of(speed: float, server_share: float) -> loops.LoopFigures:
    return loops.LoopFigures("epoll", 20, speed, 0.9, server_share, 1e6 / speed)


@pytest.mark.parametrize(
    ("speed", "server_share", "reason"),
    [
        (1000.0, 0.71, "server was 71% busy, over 70%"),
        (980.0, 0.5, "980 of 1,000 a second, at 90% of a core"),
    ],
)
def test_a_rate_that_was_not_kept_is_no_figure(
    speed: float, server_share: float, reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        rate.checked(figures_of(speed, server_share), 1000)
    assert rate.checked(figures_of(995.0, 0.7), 1000).round_trips_per_s == 995


def test_the_rate_is_judged_by_cpu_time(monkeypatch: pytest.MonkeyPatch) -> None:
    cost_us = {"C": 6.0, "epoll": 7.5, "picows": 12.0, "epoll_c": 7.0, "picows_c": 9.0}

    def measured(client: str, kind: str, *_: Any, **env: str) -> loops.LoopFigures:
        assert (kind, env) == ("paced", {"RATE": "500"})
        return loops.LoopFigures(client, 20, 500.0, 0.5, 0.3, cost_us[client])

    monkeypatch.setattr(loops, "measure_once", measured)
    report = rate.measure(Namespace(quick=True, repeats=2, seconds=None, rate=500))
    assert report["share_of_limit"]["epoll"]["cpu"] == pytest.approx(0.8)
    shown = text_of(*rate.tables(report)).splitlines()
    (epoll,) = [line for line in shown if " epoll " in line]
    (picows,) = [line for line in shown if " picows " in line]
    assert "0.80" in epoll and " yes " in epoll
    assert "0.50" in picows and " NO " in picows
