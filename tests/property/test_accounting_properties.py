"""Whole runs of random loads and random scripts: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import ghostcore
from ghostcore import (
    VU,
    ConstantArrivalRate,
    ConstantVUs,
    PerVUIterations,
    ProtocolViolation,
    RampingArrivalRate,
    RampingVUs,
    Result,
    SharedIterations,
    Timeout,
    Trend,
    scenario,
)
from ghostcore.load import LoadModel, OpenModel
from ghostcore.metrics import BUILTINS, Counter, TrendView
from ghostcore.testing.fakeclock import run_fake

STEP = Trend("step")

grace = st.sampled_from([0, 0.7, 3])
users = st.integers(1, 4)


@st.composite
def open_loads(draw: st.DrawFn) -> OpenModel:
    options: dict[str, Any] = {
        "graceful_stop": draw(grace),
        "on_busy": draw(st.sampled_from(["drop", "queue"])),
        "distribution": draw(st.sampled_from(["uniform", "poisson"])),
        "start_time": draw(st.sampled_from([0, 0.4])),
    }
    if draw(st.booleans()):
        options["preallocated_vus"] = draw(users)
        options["max_vus"] = options["preallocated_vus"] + draw(st.integers(0, 3))
    elif draw(st.booleans()):
        options["max_vus"] = draw(users)
    if draw(st.booleans()):
        return ConstantArrivalRate(draw(st.integers(1, 12)), draw(st.integers(1, 4)), **options)
    stages = draw(
        st.lists(st.tuples(st.integers(1, 2), st.integers(0, 12)), min_size=1, max_size=3)
    )
    return RampingArrivalRate(stages, draw(st.integers(2, 12)), **options)


@st.composite
def closed_loads(draw: st.DrawFn) -> LoadModel:
    vus, seconds, stop = draw(users), draw(st.integers(1, 4)), draw(grace)
    match draw(st.integers(0, 3)):
        case 0:
            return ConstantVUs(vus, seconds, graceful_stop=stop)
        case 1:
            return RampingVUs(
                [(seconds, draw(users)), (1, 0)], vus, graceful_stop=stop, graceful_ramp_down=0.5
            )
        case 2:
            return PerVUIterations(vus, draw(st.integers(1, 4)), seconds, graceful_stop=stop)
    return SharedIterations(vus + draw(st.integers(0, 9)), vus, seconds, graceful_stop=stop)


ends = st.sampled_from(["returns", "fails", "times out"])
deeds = st.lists(st.tuples(st.floats(0.05, 3), ends), min_size=1, max_size=5)


def run_it(load: LoadModel, script: list[tuple[float, str]]) -> Result:
    @scenario(load=load, metrics=[STEP], thresholds={"step_from_due": "min>=0"})
    async def one(vu: VU) -> None:
        seconds, end = vu.random.choice(script)
        with vu.timer(STEP):
            await vu.sleep(seconds)
            if end == "fails":
                raise ProtocolViolation("nonsense")
            if end == "times out":
                raise Timeout("no answer")

    return run_fake(lambda: ghostcore.run_async(one, seed=3))


def trend(result: Result, name: str) -> TrendView:
    view = result.metrics[name]
    assert isinstance(view, TrendView)
    return view


def check_all_are_there(result: Result) -> None:
    """What holds of every run."""
    metrics, outcome = result.metrics, result.outcome
    failed = metrics.count_of("iterations_failed")
    assert outcome.delivered == outcome.answered + failed + outcome.interrupted
    assert outcome.delivered == metrics.count_of("iterations_started")
    assert trend(result, "iteration_duration").count == metrics.count_of("iterations")
    # Every iteration begins its one operation at once, unless it is interrupted before that.
    step = trend(result, "step")
    assert step.histogram.count == outcome.answered
    assert step.failed + step.cut_off == failed + outcome.interrupted
    # The seconds of the timeline add up to the whole.
    for name in metrics:
        seconds = [one.values[name] for one in result.timeline.seconds if name in one.values]
        match metrics[name]:
            case TrendView() as view:
                parts = ("count", "failed", "cut_off")
                sums = tuple(sum(one[part] for one in seconds) for part in parts)
                assert sums == (view.count, view.failed, view.cut_off), name
            case view if isinstance(BUILTINS.get(name), Counter):
                assert sum(seconds) == metrics.count_of(view.name), name
    windows = [(one.start_s, one.end_s) for one in result.timeline.seconds]
    assert windows[0][0] == 0
    assert all(first[1] == then[0] for first, then in itertools.pairwise(windows))


@settings(max_examples=120)
@given(open_loads(), deeds)
def test_every_start_of_an_arrival_model(load: OpenModel, script: list[tuple[float, str]]) -> None:
    result = run_it(load, script)
    check_all_are_there(result)
    metrics, outcome = result.metrics, result.outcome
    dropped = metrics.count_of("dropped_iterations")
    assert outcome.offered == sum(1 for _ in load.starts(3, "one"))
    assert outcome.offered == outcome.delivered + dropped
    if load.is_sized and load.max_vus is None:
        assert dropped == 0
    assert trend(result, "iteration_lateness").count == outcome.delivered
    response = trend(result, "iteration_response_time")
    assert response.histogram.count == outcome.answered
    assert response.failed == metrics.count_of("iterations_failed")
    assert response.cut_off_by_cause.get("dropped", 0) == dropped
    assert response.cut_off == dropped + outcome.interrupted
    due, step = trend(result, "step_from_due"), trend(result, "step")
    assert due.count == outcome.offered
    assert (due.histogram.count, due.failed) == (step.histogram.count, step.failed)


@settings(max_examples=80)
@given(closed_loads(), deeds)
def test_every_iteration_of_a_closed_model(
    load: LoadModel, script: list[tuple[float, str]]
) -> None:
    result = run_it(load, script)
    check_all_are_there(result)
    if load.known_starts is not None:
        assert result.outcome.offered == load.known_starts
    else:
        assert result.metrics.count_of("dropped_iterations") == 0
