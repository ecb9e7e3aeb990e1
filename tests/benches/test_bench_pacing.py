"""Starts at a constant rate, alone and beside a burner. No figure is judged here."""

from __future__ import annotations

from typing import Any

import pytest

from benches import pacing
from tests.support.tables import text_of


@pytest.mark.parametrize("case", [pacing.ALONE, pacing.BURNED])
def test_every_start_is_counted(case: str) -> None:
    row = pacing.measured(case, 100, 1.0)
    assert "refused" not in row, row["refused"]
    assert row["offered"] == 100
    assert row["late_ms"]["max"] >= row["late_ms"]["p99"] >= row["late_ms"]["p50"] >= 0
    assert row["verdict"] in ("pass", "fail", "inconclusive")
    shown = " ".join(text_of(*pacing.tables([row])).split())
    assert f"100 starts/s for 1 s, {case}" in shown
    assert all(reason in shown for reason in row["reasons"])


def test_a_client_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "BURNER", "raise SystemExit(3)")
    assert "refused" not in pacing.measured(pacing.ALONE, 50, 0.5)
    row = pacing.measured(pacing.BURNED, 50, 0.5)
    assert "burner ended by itself with code 3" in row["refused"]
    assert "refused: RuntimeError:" in text_of(*pacing.tables([row]))


def judged(case: str, **changed: Any) -> list[str]:
    """What the table says of each line that is judged."""
    row = {
        "case": case, "per_second": 100, "seconds": 2.0, "offered": 200, "made": 199,
        "late_ms": {"p50": 0.1, "p99": 0.6, "max": 3.0}, "late_second_ms": 0.2,
        "verdict": "inconclusive", "reasons": ["late"], "cpu_share": 0.4, "waiting_share": 0.1,
        "steal_share": 0.0, **changed,
    }  # fmt: skip
    lines = text_of(*pacing.tables([row])).splitlines()
    cells = [line.split("│")[4].strip() for line in lines if line.startswith("│")]
    return [cell for cell in cells if cell]


def test_alone_everything_must_hold_and_beside_a_burner_the_verdict() -> None:
    assert judged(pacing.ALONE) == ["yes", "NO", "NO", "NO"]
    fine = {"made": 200, "late_ms": {"p50": 0.1, "p99": 0.5, "max": 3.0}, "verdict": "pass"}
    assert judged(pacing.ALONE, **fine) == ["yes"] * 4
    assert judged(pacing.BURNED) == ["yes", "yes"]
    assert judged(pacing.BURNED, verdict="fail", offered=201) == ["NO", "NO"]
