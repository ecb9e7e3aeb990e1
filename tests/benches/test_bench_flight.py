"""Several messages in flight. No figure is judged here."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest

from benches import flight, loops
from tests.support.tables import text_of


def figures_of(client: str, speed: float) -> loops.LoopFigures:
    return loops.LoopFigures(client, 20, speed, 0.9, 0.5, 1e6 / speed)


def test_flight_is_compared_with_one_message_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {"echo": 100.0, "flight": 300.0}

    def measured(client: str, kind: str, *_: Any) -> loops.LoopFigures:
        return figures_of(client, speeds[kind] * (0.1 if client == "k6" else 1))

    monkeypatch.setattr(loops, "measure_once", measured)
    report = flight.measure(Namespace(quick=True, without_k6=False, repeats=None, seconds=None))
    assert report["ratio_to_one"]["epoll"] == pytest.approx({"clock": 3, "cpu": 3})
    assert report["ratio_to_k6"]["epoll"]["clock"] == pytest.approx(10)
    assert report["share_of_limit"]["picows"]["clock"] == pytest.approx(1)
    shown = text_of(*flight.tables(report))
    assert "3.00 / 3.00" in shown
    assert "10.00 / 10.00" in shown
