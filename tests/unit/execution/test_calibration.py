"""The noise floor: measured against a real server in a process of its own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from ghostcore import VU, ConstantVUs, GhostError, run, scenario
from ghostcore._engine import engine_of
from ghostcore.execution import calibration
from ghostcore.execution.calibration import calibrate
from ghostcore.monitor.generator_report import Calibration
from ghostcore.report import summary_text
from ghostcore.testing.leaks import assert_no_leaks


@scenario(load=ConstantVUs(1, "100ms"))
async def idle(vu: VU) -> None:
    await vu.sleep(0.01)


def test_round_trips_are_measured() -> None:
    async def main() -> Calibration:
        found = await calibrate(0.5)
        engine_of(asyncio.get_running_loop()).close()
        return found

    with assert_no_leaks():
        found = asyncio.run(main())
    assert found.round_trips == 100
    assert found.seconds == 0.5
    assert 0 < found.p50_ms <= found.p99_ms <= found.max_ms * 1.001
    assert 0 < found.loop_lag_p99_ms <= found.loop_lag_ms * 1.001


def test_a_run_stores_and_prints_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "CALIBRATION_S", 0.2)
    result = run(idle, calibrate=True)
    assert result.verdict == "pass"
    found = result.generator.calibration
    assert found is not None
    assert "noise floor: round trips over loopback p50 " in summary_text(result)
    saved = json.loads(result.save(tmp_path).read_text())
    assert saved["generator"]["calibration"]["p99_ms"] == found.p99_ms


def test_without_a_floor_the_run_goes_on_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, _: object) -> None:
            raise GhostError("the server did not start")

    monkeypatch.setattr(calibration, "ServerProcess", Broken)
    result = run(idle, calibrate=True)
    assert result.verdict == "pass"
    assert result.generator.calibration is None
    assert result.warnings == [
        "the noise floor of this machine is not known: the server did not start"
    ]
