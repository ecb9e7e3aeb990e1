"""The warm-up: what counts is what came after it, and what does not is told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import ghostcore
from ghostcore import (
    VU,
    ConstantVUs,
    Counter,
    Gauge,
    InvalidPlan,
    PerVUIterations,
    Rate,
    Result,
    RunControl,
    Scenario,
    Threshold,
    Trend,
    scenario,
)
from ghostcore.execution.plan import make_plan
from ghostcore.report import summary_text
from ghostcore.results.json import to_dict
from ghostcore.testing.fakeclock import run_fake

T, C, R, G = Trend("t"), Counter("c"), Rate("r"), Gauge("g")


def now() -> float:
    return asyncio.get_running_loop().time()


def run_it(one: Scenario, warmup: Any, **options: Any) -> Result:
    return run_fake(lambda: ghostcore.run_async(one, seed=1, warmup=warmup, **options))


def steps(load: ConstantVUs, **options: Any) -> Scenario:
    """Every half second, a quarter off the second: a sample that says when it was."""

    @scenario(load=load, metrics=[T, C, R, G], **options)
    async def one(vu: VU) -> None:
        await vu.sleep(0.25)
        vu.record(T, now())
        vu.record(C, 1)
        vu.record(R, now() > 10)
        vu.record(G, now())
        await vu.sleep(0.25)

    return one


@pytest.mark.parametrize("warmup_s", [1, 5, 7.5, 19.2])
def test_metrics_begin_with_the_end_of_the_warm_up(warmup_s: float) -> None:
    result = run_it(steps(ConstantVUs(2, 19.9)), warmup_s)
    metrics, warmup = result.metrics, result.warmup
    assert warmup is not None
    assert warmup.duration_s == pytest.approx(warmup_s, abs=1e-6)
    assert warmup.metrics["t"].max <= warmup_s <= metrics["t"].min <= warmup_s + 0.5
    assert metrics["t"].count + warmup.metrics["t"].count == 80
    assert metrics["c"].count + warmup.metrics["c"].count == 80
    assert metrics["c"].count == metrics["t"].count
    assert metrics["c"].rate == pytest.approx(
        metrics["c"].count / (result.duration_s - warmup_s), rel=0.01
    )
    assert metrics["r"].passes + metrics["r"].fails == metrics["t"].count
    assert warmup_s - 0.5 <= metrics["g"].min <= warmup_s + 0.5, "the level at that moment"
    assert metrics["vus"].max == 2, "a level that was set before is still there"
    assert warmup.iterations + metrics["iterations"].count == 80
    assert result.outcome.delivered == result.outcome.answered == 80, "the load is the whole run's"
    assert result.duration_s == pytest.approx(20, abs=0.6)


def test_without_a_warm_up_nothing_is_cut() -> None:
    result = run_it(steps(ConstantVUs(1, 4.9)), 0)
    assert result.warmup is None
    assert result.metrics["t"].count == 10
    assert to_dict(result)["warmup"] is None


def test_thresholds_do_not_see_the_warm_up() -> None:
    early = {T: ["min>10", "min>1"], R: "rate==1", "c": "count==40"}
    result = run_it(steps(ConstantVUs(2, 19.9), thresholds=early), "10s")
    assert [one.verdict for one in result.thresholds] == ["pass"] * 4
    assert run_it(steps(ConstantVUs(2, 19.9), thresholds=early), 0).exit_code == 99


def test_nothing_ends_a_run_in_its_warm_up() -> None:
    late = Threshold("min>10", abort_on_fail=True)
    assert run_it(steps(ConstantVUs(2, 19.9), thresholds={T: late}), "10s").exit_code == 0
    result = run_it(steps(ConstantVUs(2, 19.9), thresholds={T: late}), "5s")
    assert result.exit_code == 99
    assert result.thresholds[0].aborted_at_s == 6


def test_a_window_does_not_reach_into_the_warm_up() -> None:
    over_last = Threshold("min>10 over last 5s", abort_on_fail=True)
    result = run_it(steps(ConstantVUs(2, 19.9), thresholds={T: over_last}), "8s")
    # Full at 13 s, with samples from 8 s on; failed twice in a row at 14 s.
    assert result.thresholds[0].aborted_at_s == 14
    assert run_it(steps(ConstantVUs(2, 19.9), thresholds={T: over_last}), "10s").exit_code == 0


def test_a_counter_that_was_known_before_is_known_to_be_zero_after() -> None:
    @scenario(
        load=PerVUIterations(1, 1),
        thresholds={C: ["count<1", "count<1 over last 1s"], "ws_errors{kind:closed}": "count<1"},
    )
    async def one(vu: VU) -> None:
        vu.record(C, 3)
        with pytest.raises(ghostcore.TargetError):
            await vu.connect("ws://127.0.0.1:1")
        await vu.sleep(2)

    result = asyncio.run(ghostcore.run_async(one, seed=1, warmup=0.5))
    whole, window, tagged = result.thresholds
    assert (whole.verdict, whole.observed) == ("pass", 0)
    assert (window.verdict, window.observed, window.breaches) == ("pass", 0, 0)
    assert (tagged.verdict, tagged.observed) == ("pass", 0)


def test_an_error_in_the_warm_up_is_not_forgotten() -> None:
    @scenario(load=ConstantVUs(1, 10))
    async def one(vu: VU) -> None:
        await vu.sleep(1)
        if now() < 3:
            raise KeyError("early")

    result = run_it(one, "5s")
    assert result.exit_code == 107
    assert result.metrics["script_errors"].count == 0
    assert result.errors[0].count == 2


def test_a_run_that_is_stopped_in_its_warm_up_has_no_data() -> None:
    async def main() -> Result:
        control = RunControl()
        asyncio.get_running_loop().call_later(3, control.stop, "SIGINT")
        one = steps(ConstantVUs(1, 20), thresholds={T: "min>0"})
        return await ghostcore.run_async(one, seed=1, control=control, warmup=10)

    result = run_fake(main)
    assert result.exit_code == 105
    assert result.metrics["t"].count == 0
    assert result.warmup is not None
    assert result.warmup.metrics["t"].count > 0
    assert "no data" in result.thresholds[0].reason


def test_a_warm_up_that_leaves_nothing_is_refused() -> None:
    @scenario(load=ConstantVUs(1, "10s"))
    async def one(vu: VU) -> None:
        """Nothing."""

    for warmup, problem in (
        ("10s", "a warmup of 10s leaves nothing to count: the load lasts 10s"),
        ("1h", "leaves nothing to count"),
        (-1, "warmup must not be negative"),
        ("30", 'write "30s"'),
        (None, "warmup must be"),
    ):
        with pytest.raises(InvalidPlan, match=problem):
            make_plan([one], warmup=warmup)  # type: ignore[arg-type]
    assert make_plan([one], warmup="9.9s").to_dict()["warmup_s"] == 9.9


def test_what_was_cut_is_told() -> None:
    result = run_it(steps(ConstantVUs(2, 19.9)), "7500ms")
    assert result.warmup is not None
    data = json.loads(json.dumps(to_dict(result)))
    assert data["warmup"] == {
        "duration_s": 7.5,
        "samples": result.warmup.samples,
        "iterations": result.warmup.iterations,
    }
    # t, r and iteration_duration of every iteration; those that are due at 7.5 s may be in.
    assert data["warmup"]["samples"] in (28 * 3 + 4, 30 * 3)
    text = summary_text(result)
    assert "warm-up: the first 7.5s are not counted below" in text
    assert sum(second["values"].get("c", 0) for second in data["timeline"]["seconds"]) == 80
