"""Benches that count messages: echo, flight, rate. No figure is judged here."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest

from benches import clients, echo, loops
from benches.measure import Refused
from benches.processes import Server, ServerState
from tests.support.tables import text_of


def figures_of(client: str, speed: float, server_share: float = 0.5) -> loops.LoopFigures:
    return loops.LoopFigures(client, 20, speed, 0.9, server_share, 1e6 / speed)


@pytest.mark.parametrize("client", ["C", *clients.LINKS, *clients.LOOPS])
@pytest.mark.parametrize("kind", ["echo", "flight"])
def test_messages_are_counted_at_the_server(client: str, kind: str) -> None:
    figures = loops.measure_once(client, kind, users=3, seconds=0.3)
    assert figures.round_trips_per_s > 0


def test_a_client_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object) -> list[str]:
        return clients.ghostcore_command("no such thing", "ws://127.0.0.1:1/", 1, 1, link="epoll")

    monkeypatch.setitem(clients.COMMANDS, "epoll", wrong)
    with pytest.raises(RuntimeError, match=r"(?s)code 2: .*invalid choice"):
        loops.measure_once("epoll", "echo", users=1, seconds=0.1)


def test_a_connection_that_was_lost_and_made_anew_is_no_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states = iter([ServerState(2, 2, 0), ServerState(2, 2, 5), ServerState(2, 3, 500)])
    monkeypatch.setattr(Server, "state", lambda _: next(states))
    with pytest.raises(Refused, match="2 connections were to last, 3 were made and 1 lost"):
        loops.measure_once("C", "echo", users=2, seconds=0.05)


def test_no_messages_are_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "state", lambda _: ServerState(1, 1, 7))
    with pytest.raises(Refused, match="no message came back"):
        loops.measure_once("C", "echo", users=1, seconds=0.05)


def test_ratios_compare_neighbours_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {
        "C": iter((180.0, 200.0, 600.0)),
        "epoll": iter((90.0, 110.0, 500.0)),
        "picows": iter((70.0, 80.0, 100.0)),
        "k6": iter((10.0, 20.0, 50.0)),
        **{client: iter((80.0, 90.0, 95.0)) for client in clients.LOOPS},
    }

    def measured(client: str, **_: Any) -> loops.LoopFigures:
        return figures_of(client, next(speeds[client]))

    monkeypatch.setattr(loops, "measure_once", measured)
    report = echo.measure(Namespace(quick=True, without_k6=False, repeats=3, seconds=None))
    assert report["medians"]["epoll"]["round_trips_per_s"] == 110
    # The medians of 9, 5.5 and 10, and of 7, 4 and 2: neighbours are compared, not medians.
    for client, ratio in {"epoll": 9, "picows": 4, "k6": 1}.items():
        assert report["ratio_to_k6"][client] == pytest.approx({"clock": ratio, "cpu": ratio})
    assert report["share_of_limit"]["epoll"]["clock"] == pytest.approx(0.55)
    shown = text_of(*echo.tables(report))
    assert "9.00 / 9.00" in shown
    assert "0.55 / 0.55" in shown


def test_without_the_rival_there_is_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "measure_once", lambda client, **_: figures_of(client, 100.0))
    report = echo.measure_echo(("C", "epoll"), 20, 1.0, 2)
    assert report["ratio_to_k6"] == {"C": None, "epoll": None}
    (table,) = echo.tables(report)
    assert table.row_count == 2


def test_a_refused_run_takes_only_its_own_round_out() -> None:
    runs = iter([100.0, 50.0, None, 70.0, 300.0, 60.0])

    def measured(name: str) -> loops.LoopFigures:
        speed = next(runs)
        if speed is None:
            raise Refused("lost one")
        return figures_of(name, speed)

    turns = loops.in_turns(("C", "epoll"), 3, measured)
    assert turns.refused == {"C": ["lost one"]}
    assert turns.runs["C"][1] is None
    # Rounds 1 and 3 have both: 0.5 and 0.2.
    assert turns.ratio("epoll", "C") == pytest.approx({"clock": 0.35, "cpu": 0.35})
    median = turns.medians("epoll")
    assert median is not None and median["round_trips_per_s"] == 60
    report = turns.report()
    assert "refused: C: lost one" in loops.refusals(report)


def test_what_was_never_measured_says_refused() -> None:
    def refuse(_: str) -> loops.LoopFigures:
        raise Refused("nothing")

    report = loops.in_turns(("C",), 2, refuse).report()
    assert report["medians"] == {"C": None}
    assert loops.cells(report, "C")[0] == "refused"
