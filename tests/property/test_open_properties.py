from __future__ import annotations

from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from ghostcore.load import ConstantArrivalRate, OpenModel, RampingArrivalRate, Share
from ghostcore.testing.fakeclock import run_fake
from tests.reference.arrivals import play
from tests.reference.fakeusers import FakeOpenRun

MS = 1_000_000
TWIST_NS = 137
"""Added to every iteration, so that none ends at the very instant of a start: there any order is
right."""

PLANS = st.one_of(
    st.tuples(st.integers(1, 12), st.integers(1, 6000)),
    st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 12)), min_size=1, max_size=4),
)
GRACE_MS = st.one_of(st.just(0), st.integers(1, 5_000))


@given(
    plan=PLANS,
    preallocated=st.integers(1, 6),
    more=st.integers(0, 4),
    on_busy=st.sampled_from(["drop", "queue"]),
    distribution=st.sampled_from(["uniform", "poisson"]),
    length_ms=st.integers(1, 4_000),
    grace_ms=GRACE_MS,
)
@settings(max_examples=200, deadline=None)
def test_every_start_has_the_fate_that_the_reference_says(
    plan: tuple[int, int] | list[tuple[int, int]],
    preallocated: int,
    more: int,
    on_busy: Literal["drop", "queue"],
    distribution: Literal["uniform", "poisson"],
    length_ms: int,
    grace_ms: int,
) -> None:
    if on_busy == "queue":
        more = 0  # there a user is made for a start that would wait, which the reference does not
    profile: OpenModel
    if isinstance(plan, tuple):
        profile = ConstantArrivalRate(
            plan[0],
            f"{plan[1]}ms",
            preallocated_vus=preallocated,
            max_vus=preallocated + more,
            on_busy=on_busy,
            distribution=distribution,
            graceful_stop=f"{grace_ms}ms",
        )
    else:
        profile = RampingArrivalRate(
            [(f"{ms}ms", rate) for ms, rate in plan],
            start_rate=5,
            preallocated_vus=preallocated,
            max_vus=preallocated + more,
            on_busy=on_busy,
            distribution=distribution,
            graceful_stop=f"{grace_ms}ms",
        )
    if profile.validate():
        return  # less than one start
    dues = [start.due_ns for start in profile.starts(1, "any")]
    expected = play(
        dues,
        users=preallocated,
        most=preallocated + more,
        length_ns=length_ms * MS + TWIST_NS,
        queue=on_busy == "queue",
        end_ns=profile.duration_ns,
        graceful_stop_ns=grace_ms * MS,
    )
    fake = FakeOpenRun(profile, length_ms * MS + TWIST_NS)
    ended_ns = run_fake(fake.go)
    assert fake.pool.begun == [
        (number, dues[number], at - dues[number]) for number, at in expected.begun
    ]
    assert fake.dropped == [at for _, at in expected.dropped]
    assert [elapsed for _, elapsed in fake.cut_off] == [
        freed - dues[number]
        for (number, _), freed in zip(expected.dropped, expected.freed, strict=True)
    ]
    assert len(fake.pool.begun) + len(fake.dropped) == len(dues)
    assert fake.pool.most_running <= profile.peak_vus
    assert ended_ns == expected.ended_ns


@given(
    rate=st.integers(1, 40),
    ms=st.integers(1, 5000),
    length_ms=st.integers(1, 3000),
    workers=st.integers(1, 5),
    users=st.one_of(st.none(), st.integers(1, 6)),
    distribution=st.sampled_from(["uniform", "poisson"]),
)
@settings(max_examples=60, deadline=None)
def test_workers_make_the_whole_plan_together(
    rate: int,
    ms: int,
    length_ms: int,
    workers: int,
    users: int | None,
    distribution: Literal["uniform", "poisson"],
) -> None:
    profile = ConstantArrivalRate(
        rate, f"{ms}ms", preallocated_vus=users, distribution=distribution
    )
    whole = [tuple(start) for start in profile.starts(1, "any")]
    met: list[tuple[int, int]] = []
    slots: list[int] = []
    dropped = 0
    for index in range(workers):
        fake = FakeOpenRun(profile, length_ms * MS + TWIST_NS, Share(index, workers))
        run_fake(fake.go)
        met += [(number, due) for number, due, _ in fake.pool.begun]
        dropped += len(fake.dropped)
        slots += [user.slot for user in fake.pool.users]
    assert len(met) == len(set(met))
    assert set(met) <= set(whole)
    assert len(met) + dropped == len(whole)
    assert users is not None or dropped == 0
    assert len(slots) == len(set(slots)) <= profile.peak_vus
