from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ghostcore.load import RampingVUs, load_from_dict
from tests.reference.closed import changes_of, planned_vus

STAGES = st.lists(
    st.tuples(st.one_of(st.just(0), st.integers(0, 20_000)), st.integers(0, 12)),
    min_size=1,
    max_size=6,
).filter(lambda stages: sum(ms for ms, _ in stages) > 0)


def build(stages: list[tuple[int, int]], start_vus: int) -> RampingVUs:
    return RampingVUs([(f"{ms}ms", target) for ms, target in stages], start_vus=start_vus)


@given(STAGES, st.integers(1, 12), st.data())
def test_the_plan_is_that_of_the_reference(
    stages: list[tuple[int, int]], start_vus: int, data: st.DataObject
) -> None:
    profile = build(stages, start_vus)
    in_ns = [(ms * 1_000_000, target) for ms, target in stages]
    end_ns = sum(duration for duration, _ in in_ns)
    assert profile.duration_ns == end_ns
    instants = changes_of(in_ns, start_vus)
    drawn = data.draw(st.lists(st.integers(0, end_ns), max_size=10))
    for at in {t + d for t in instants for d in (-1, 0, 1)} | set(drawn):
        expected = planned_vus(in_ns, start_vus, at) if 0 <= at < end_ns else 0
        assert profile.planned_vus_at(at) == expected, at


@given(STAGES, st.integers(1, 12))
def test_steps_are_in_order_and_each_changes_something(
    stages: list[tuple[int, int]], start_vus: int
) -> None:
    profile = build(stages, start_vus)
    steps = list(profile.steps())
    assert steps[0].at_ns == 0
    assert steps[-1] == (steps[-1].at_ns, stages[-1][1])
    assert steps[-1].at_ns <= profile.duration_ns
    for before, after in itertools.pairwise(steps):
        assert before.at_ns < after.at_ns
        assert before.vus != after.vus
    assert all(0 <= step.vus <= profile.peak_vus for step in steps)


@given(STAGES, st.integers(1, 12))
def test_a_plan_file_keeps_all(stages: list[tuple[int, int]], start_vus: int) -> None:
    profile = build(stages, start_vus)
    assert load_from_dict(profile.to_dict()) == profile
