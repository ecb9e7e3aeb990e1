from __future__ import annotations

import itertools
import math
from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ghostcore.load import (
    ConstantArrivalRate,
    LoadModel,
    OpenModel,
    RampingArrivalRate,
    Share,
    load_from_dict,
)
from tests.reference import arrivals as reference

MS = 1_000_000
S = 1000 * MS

# As people write them, and as sliders give them.
RATES = st.one_of(
    st.integers(0, 40),
    st.decimals(0, 30, places=3).map(float).filter(lambda rate: rate == 0 or rate > 0.001),
)
STAGES = st.lists(
    st.tuples(st.one_of(st.just(0), st.integers(0, 2_500)), RATES), min_size=1, max_size=6
)
UNITS = st.sampled_from(["1s", "1m", "300ms", 0.7, "1h"])
UNIT_NS = {"1s": S, "1m": 60 * S, "300ms": 300 * MS, 0.7: 700 * MS, "1h": 3600 * S}


def exact(rate: float) -> Fraction:
    return Fraction(str(rate))


def due_times(profile: OpenModel, share: Share = Share()) -> list[int]:  # noqa: B008
    return [start.due_ns for start in profile.starts(1, "any", share)]


def ramp(stages: list[tuple[int, float]], start_rate: float, unit: str | float) -> OpenModel:
    return RampingArrivalRate(
        [(f"{ms}ms", rate) for ms, rate in stages], start_rate=start_rate, time_unit=unit
    )


@given(STAGES, RATES, UNITS)
@settings(deadline=None)
def test_ramping_starts_are_those_of_the_reference(
    stages: list[tuple[int, float]], start_rate: float, unit: str | float
) -> None:
    unit_ns = UNIT_NS[unit]
    in_ns = [(ms * MS, exact(rate) / unit_ns) for ms, rate in stages]
    profile = ramp(stages, start_rate, unit)
    whole = reference.area(exact(start_rate) / unit_ns, in_ns, sum(ms * MS for ms, _ in stages))
    assume(whole < 400)
    if whole < 1:
        assert "stages" in profile.validate()[0]
        return
    expected = reference.ramping_starts(exact(start_rate) / unit_ns, in_ns)
    starts = list(profile.starts(1, "any"))
    assert [start.due_ns for start in starts] == expected
    assert [start.number for start in starts] == list(range(len(expected)))
    assert profile.planned_starts == len(expected)
    assert profile.duration_ns == sum(ms * MS for ms, _ in stages)
    peak = max([start_rate, *(rate for _, rate in stages)])
    assert profile.curve.peak_per_second <= float(peak) * S / unit_ns * (1 + 1e-12)


@given(
    rate=st.one_of(st.integers(1, 100), st.decimals("0.01", 100, places=3).map(float).filter(bool)),
    ms=st.integers(1, 20_000),
    unit=UNITS,
)
def test_constant_starts_are_those_of_the_reference(
    rate: float, ms: int, unit: str | float
) -> None:
    per_ns = exact(rate) / UNIT_NS[unit]
    assume(per_ns * ms * MS < 1500)
    profile = ConstantArrivalRate(rate, f"{ms}ms", unit)
    assert profile.validate() == []
    expected = reference.constant_starts(per_ns, ms * MS)
    assert due_times(profile) == expected
    assert profile.planned_starts == len(expected) == math.ceil(per_ns * ms * MS)
    assert all(0 <= due < ms * MS for due in expected)


@given(STAGES, RATES, st.data())
def test_the_integral_is_that_of_the_reference(
    stages: list[tuple[int, float]], start_rate: float, data: st.DataObject
) -> None:
    profile = ramp(stages, start_rate, "1s")
    assume(not profile.validate())
    in_ns = [(ms * MS, exact(rate) / S) for ms, rate in stages]
    curve = profile.curve
    for at in data.draw(st.lists(st.integers(0, curve.duration_ns), max_size=5)):
        expected = reference.area(exact(start_rate) / S, in_ns, at)
        assert Fraction(curve.area_at(at), curve.scale) == expected
    assert curve.area_at(curve.duration_ns) == curve.total


@given(
    before=st.integers(0, 50_000),
    after=st.integers(0, 50_000),
    hours=st.integers(1, 10),
    data=st.data(),
)
@settings(max_examples=60)
def test_arithmetic_is_exact_hours_and_a_billion_starts_away(
    before: int, after: int, hours: int, data: st.DataObject
) -> None:
    profile = RampingArrivalRate([("1h", before), (f"{hours}h", after)], start_rate=after)
    assume(not profile.validate())
    curve = profile.curve
    number = data.draw(st.integers(1, curve.total // curve.scale))
    due = curve.reached_ns(number * curve.scale)
    # Not reached a ns before the due time, and reached a ns after it.
    assert due == 0 or curve.area_at(due - 1) < number * curve.scale
    assert curve.area_at(due) <= number * curve.scale <= curve.area_at(due + 1)


PROFILES = st.one_of(
    st.builds(
        ConstantArrivalRate,
        st.integers(1, 60),
        st.integers(1, 4000).map(lambda ms: f"{ms}ms"),
        distribution=st.sampled_from(["uniform", "poisson"]),
    ),
    st.builds(
        RampingArrivalRate,
        STAGES.map(lambda stages: [(f"{ms}ms", rate) for ms, rate in stages]),
        start_rate=RATES,
        distribution=st.sampled_from(["uniform", "poisson"]),
    ).filter(lambda profile: not profile.validate()),
)


@given(PROFILES, st.integers(1, 9), st.integers(0, 2**63 - 1))
def test_the_shares_of_all_workers_are_exactly_the_plan(
    profile: OpenModel, workers: int, seed: int
) -> None:
    whole = list(profile.starts(seed, "any"))
    parts = [list(profile.starts(seed, "any", Share(w, workers))) for w in range(workers)]
    assert sorted(itertools.chain(*parts)) == whole
    for index, part in enumerate(parts):
        assert [start.number % workers for start in part] == [index] * len(part)


@given(PROFILES, st.integers(0, 20))
def test_a_copy_goes_on_from_the_same_place(profile: OpenModel, taken: int) -> None:
    starts = profile.starts(3, "any")
    for _ in itertools.islice(starts, taken):
        pass
    twin = starts.copy()
    assert list(itertools.islice(starts, 5)) == list(itertools.islice(twin, 5))
    rest = list(starts)
    assert rest == list(twin)


@given(PROFILES)
def test_starts_are_in_order_and_within_the_profile(profile: OpenModel) -> None:
    dues = due_times(profile)
    assert all(before <= after for before, after in itertools.pairwise(dues))
    assert all(0 <= due <= profile.duration_ns for due in dues)


@given(PROFILES)
def test_a_plan_file_keeps_all(profile: LoadModel) -> None:
    assert load_from_dict(profile.to_dict()) == profile


@given(total=st.integers(0, 200), workers=st.integers(1, 20), users=st.integers(1, 30))
def test_shares(total: int, workers: int, users: int) -> None:
    shares = [Share(index, workers) for index in range(workers)]
    numbers = [share.number(position) for share in shares for position in range(share.count(total))]
    assert sorted(numbers) == list(range(total))
    for number in numbers:
        assert [share.owns(number) for share in shares].count(True) == 1
    # Among fewer users than workers, those without a user have no part, the others all of it.
    parts = [share.among(users) for share in shares]
    assert sum(part.count(total) for part in parts if part) == total
    for share, part in zip(shares, parts, strict=True):
        assert (part is None) == (share.count(users) == 0)
