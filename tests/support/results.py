"""Results that were never measured: for tests of what is shown of a result."""

from __future__ import annotations

import math
from typing import Any

from ghostcore.metrics import (
    BUILTINS,
    Counter,
    Declaration,
    SeriesKey,
    Snapshot,
    ThresholdResult,
    Totals,
    Trend,
)
from ghostcore.metrics.histogram import Histogram
from ghostcore.metrics.recorders import AnyState, CounterState, GaugeState, RateState, TrendState
from ghostcore.monitor.generator_report import GeneratorReport
from ghostcore.monitor.sample import Doubt, GeneratorSample, Stall
from ghostcore.results.record import ErrorCount, ErrorSample, Metrics, Outcome
from ghostcore.results.result import Result
from ghostcore.results.timeline import Timeline

JOIN = Trend("join_time", unit="ms")
ITEMS = Counter("items", unit="pieces")


def trend_state(
    values_ms: list[float], failed: int = 0, cut_off_ms: dict[str, list[float]] | None = None
) -> TrendState:
    """The state of a Trend in ms with these samples."""

    def histogram(values: list[float]) -> Histogram:
        found = Histogram()
        for value in values:
            found.record(round(value * 1000))
        return found

    cut_off = {cause: histogram(values) for cause, values in (cut_off_ms or {}).items()}
    return TrendState(0.001, histogram(values_ms), failed, cut_off)


def snapshot(second: int, series: dict[SeriesKey, AnyState]) -> Snapshot:
    """The window of one second."""
    declared: dict[str, Declaration] = {**BUILTINS, JOIN.name: JOIN, ITEMS.name: ITEMS}
    return Snapshot(
        second * 1_000_000_000,
        (second + 1) * 1_000_000_000,
        series,
        {key.name: declared[key.name] for key in series},
    )


def make_result(windows: list[dict[SeriesKey, AnyState]], **changes: Any) -> Result:
    """A result with these windows; what else it has is passing and plain unless changed."""
    totals = Totals({**BUILTINS, JOIN.name: JOIN, ITEMS.name: ITEMS})
    timeline = Timeline()
    for second, series in enumerate(windows):
        totals.add(snapshot(second, series))
        timeline.add(snapshot(second, series))
    fields: dict[str, Any] = {
        "metrics": Metrics(totals, (JOIN.name,)),
        "thresholds": [],
        "errors": [],
        "outcome": Outcome(0, 0, 0, 0),
        "verdict": "pass",
        "exit_code": 0,
        "reasons": ["no thresholds were set; sessions or iterations were completed"],
        "seed": 7,
        "plan": {"scenarios": [], "thresholds": [], "seed": 7},
        "timeline": timeline,
        "generator": GeneratorReport(),
        "machine": {"cores": 2},
        "started_at": "2025-01-01T00:00:00.000+00:00",
        "duration_s": totals.seconds,
    }
    return Result(**{**fields, **changes})


def tagged(name: str, **tags: str) -> SeriesKey:
    """A series of the scenario ``shop``."""
    return SeriesKey.of(name, {"scenario": "shop", **tags})


def troubled_result() -> Result:
    """Every kind of metric, verdict, error and warning."""
    first: dict[SeriesKey, AnyState] = {
        tagged("join_time"): trend_state([10.0] * 90 + [20.0] * 10),
        tagged("ws_connecting"): trend_state([1.5, 2.5], failed=3),
        tagged("iterations"): CounterState(1200, 1200),
        tagged("items"): CounterState(12.5, 3),
        tagged("checks", check="is fine"): RateState(999, 1),
        tagged("vus"): GaugeState(20, 1, 20, True),
        tagged("ws_errors", kind="connection_refused"): CounterState(3, 3),
    }
    second: dict[SeriesKey, AnyState] = {
        tagged("join_time"): trend_state([], cut_off_ms={"deadline": [10000.0] * 10}),
        tagged("iterations"): CounterState(34, 34),
        tagged("vus"): GaugeState(0, 0, 20, True),
    }
    return make_result(
        [first, second],
        thresholds=[
            ThresholdResult("join_time", "p(50)<1000", 10.0, "10", "pass", "p(50) is 10"),
            ThresholdResult(
                "join_time",
                "p(95)<15000",
                10000.0,
                ">= 10000",
                "undetermined",
                "p(95) is >= 10000: it depends on the 10 operations that were cut off",
            ),
            ThresholdResult(
                "ws_connecting{scenario:shop}",
                "p(95)<3000",
                math.inf,
                "inf",
                "fail",
                "p(95) is inf: 3 of 5 operations failed",
            ),
            ThresholdResult("items", "count>99", None, "-", "fail", "no data"),
        ],
        errors=[
            ErrorCount(
                "connection_refused",
                3,
                (
                    ErrorSample(
                        "shop", "connection_refused", "refused \x1b[31m[ws://h/]", "tcp", 1.25, 0.5
                    ),
                ),
            ),
            ErrorCount(
                "script_error",
                1,
                (ErrorSample("shop", "script_error", "shop.py:3: KeyError: 'x'", "", math.nan, 1),),
            ),
        ],
        outcome=Outcome(1300, 1240, 1234, 6),
        verdict="fail",
        exit_code=99,
        reasons=["threshold items count>99 failed: no data"],
        generator=GeneratorReport(
            [
                GeneratorSample(1.0, 0.5, 0.25, 40_000_000, 12, loop_lag_p99_ms=0.25),
                GeneratorSample(
                    2.0,
                    312.25,
                    0.9,
                    41_500_000,
                    33,
                    loop_lag_p99_ms=2.0,
                    stamp_error_ms=1.5,
                    stamp_error_p99_ms=0.5,
                    stalls=(Stall(1.5, 310.0, 5.0, "shop.py:12: time.sleep(0.3)"),),
                    doubts=(Doubt("loop_lag", "the event loop was 312 ms late", 312.25),),
                ),
            ]
        ),
        warnings=["1,001 series: more are counted in __other__"],
    )
