from __future__ import annotations

import pytest

from ghostcore.metrics.declarations import Counter, Declaration, Gauge, Rate, Trend
from ghostcore.metrics.names import BUILTINS, DESCRIPTIONS


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Gauge, "vus vus_max"),
        (Rate, "checks"),
        (
            Counter,
            "iterations dropped_iterations data_sent data_received ws_sessions "
            "ws_msgs_sent ws_msgs_received",
        ),
        (Trend, "iteration_duration ws_connecting ws_session_duration ws_ping"),
    ],
)
def test_metrics_of_k6_have_its_names_and_kinds(kind: type[Declaration], names: str) -> None:
    for name in names.split():
        assert type(BUILTINS[name]) is kind


def test_units() -> None:
    assert BUILTINS["data_sent"] == Counter("data_sent", unit="bytes")
    assert all(metric.unit == "ms" for metric in BUILTINS.values() if isinstance(metric, Trend))


def test_levels_of_users_add_up_over_workers() -> None:
    assert {m.name for m in BUILTINS.values() if isinstance(m, Gauge) and m.additive} == {
        "vus",
        "vus_max",
    }


def test_every_metric_is_described_in_one_line() -> None:
    assert BUILTINS.keys() == DESCRIPTIONS.keys()
    for name, text in DESCRIPTIONS.items():
        assert BUILTINS[name].name == name
        assert text.strip() == text
        assert 5 < len(text) < 80
        assert "\n" not in text
