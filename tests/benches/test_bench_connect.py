"""Connects by quarters. No figure is judged here."""

from __future__ import annotations

import pytest

from benches import connect
from benches.measure import Refused
from tests.support.tables import text_of


def test_quarters_are_cut_between_the_samples() -> None:
    """100 connects: 50 in the first second, the other 50 in the next two, at twice the cost."""
    samples = [connect.Sample(*row) for row in (
        (0, 0, 0, 0), (0.5, 0.05, 0.1, 25), (1, 0.1, 0.2, 50), (3, 0.3, 0.6, 100), (9, 9, 9, 100),
    )]  # fmt: skip
    parts = connect.quarters(samples)
    assert [part.connects_per_s for part in parts] == pytest.approx([50, 50, 25, 25])
    assert [part.client_us for part in parts] == pytest.approx([2000, 2000, 4000, 4000])
    assert [part.server_share for part in parts] == pytest.approx([0.2] * 4)


def test_quarters_that_cannot_be_seen_or_measure_the_server_are_refused() -> None:
    with pytest.raises(Refused, match="more users"):
        connect.quarters([connect.Sample(0, 0, 0, 5), connect.Sample(1, 1, 1, 10)])
    with pytest.raises(Refused, match="server was 95% busy"):
        connect.quarters([connect.Sample(i, i, 0.95 * i, 10 * i) for i in range(5)])


@pytest.mark.parametrize(
    "case",
    [
        connect.Case("C", pace=400),
        connect.Case("epoll", pace=400),
        connect.Case("epoll", pace=400, source="127.0.0.3"),
        connect.Case("picows", pace=400),
    ],
    ids=str,
)
def test_connects_are_counted_at_the_server(case: connect.Case) -> None:
    row = connect.measure_once(case, 400, 0.1)  # a second: each quarter is looked at several times
    assert len(row["quarters"]) == 4, row
    assert row["connect_us"] > 0
    assert case.client in text_of(*connect.tables([row]))


def test_flatness_is_judged_by_the_worse_of_clock_and_cpu() -> None:
    part = {"connects_per_s": 500.0, "client_us": 50.0, "server_share": 0.1}
    found = {"quarters": [part] * 4, "connect_us": 50.0, "connect_us_over_idle": 40.0}
    row = {"users": 9, **connect.Case("epoll", 500)._asdict(), **found}
    row["flat"] = {"clock": 1.0, "cpu": 0.5}
    limit = {**row, **connect.Case("C", 500)._asdict(), "connect_us": 25.0}
    other = {**limit, "pace": 0, "connect_us": 5.0}
    lost = {**connect.Case("picows")._asdict(), "users": 9, "refused": "1 was lost"}
    shown = text_of(*connect.tables([limit, other, row, lost]))
    (line,) = [line for line in shown.splitlines() if "epoll" in line]
    cells = [cell.strip() for cell in line.split("│")]
    assert cells[6:12] == ["50", "40", "0.50", "yes", "1.00 / 0.50", "NO"]
    assert "refused: picows closed own: 1 was lost" in shown
    single = {**row, "source": "127.0.0.1"}
    (line,) = [line for line in text_of(*connect.tables([single])).splitlines() if "epoll" in line]
    assert "yes" not in line and "NO" not in line
