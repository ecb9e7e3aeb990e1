from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ghostcore.load import PerVUIterations, RampingVUs
from ghostcore.testing.fakeclock import run_fake
from tests.reference.closed import run_history
from tests.reference.fakeusers import FakeRun

MS = 1_000_000
TWIST_NS = 137
"""Added to every iteration, so that none ends at the very instant of a step: any order is right."""

STAGES = st.lists(
    st.tuples(st.one_of(st.just(0), st.integers(0, 12_000)), st.integers(0, 8)),
    min_size=1,
    max_size=6,
).filter(lambda stages: sum(ms for ms, _ in stages) > 0)
GRACE_MS = st.one_of(st.just(0), st.integers(1, 9_000))


@given(
    stages=STAGES,
    start_vus=st.integers(1, 8),
    lengths=st.lists(st.integers(500, 15_000), min_size=8, max_size=8),
    ramp_down_ms=GRACE_MS,
    graceful_stop_ms=GRACE_MS,
)
@settings(max_examples=150, deadline=None)
def test_every_slot_does_what_the_reference_says(
    stages: list[tuple[int, int]],
    start_vus: int,
    lengths: list[int],
    ramp_down_ms: int,
    graceful_stop_ms: int,
) -> None:
    lengths_ns = [length * MS + TWIST_NS for length in lengths]
    profile = RampingVUs(
        [(f"{ms}ms", target) for ms, target in stages],
        start_vus=start_vus,
        graceful_ramp_down=f"{ramp_down_ms}ms",
        graceful_stop=f"{graceful_stop_ms}ms",
    )
    fake = FakeRun(profile, lambda slot: lengths_ns[slot])
    ended_ns = run_fake(fake.go)
    expected = run_history(
        [(ms * MS, target) for ms, target in stages],
        start_vus,
        lengths_ns,
        ramp_down_ms * MS,
        graceful_stop_ms * MS,
    )
    assert sorted(fake.pool.history) == expected
    assert fake.pool.most_running <= profile.peak_vus
    last_ns = max((happening.at_ns for happening in expected), default=0)
    assert ended_ns == max(profile.duration_ns, last_ns)


@given(
    vus=st.integers(1, 8),
    iterations=st.integers(1, 20),
    lengths=st.lists(st.integers(100, 5_000), min_size=8, max_size=8),
    max_ms=st.integers(1, 20_000),
    grace_ms=GRACE_MS,
)
@settings(max_examples=60, deadline=None)
def test_every_iteration_is_attempted_or_dropped(
    vus: int, iterations: int, lengths: list[int], max_ms: int, grace_ms: int
) -> None:
    profile = PerVUIterations(vus, iterations, f"{max_ms}ms", graceful_stop=f"{grace_ms}ms")
    fake = FakeRun(profile, lambda slot: lengths[slot] * MS + TWIST_NS)
    ended_ns = run_fake(fake.go)
    attempts = len(fake.pool.times("begin"))
    assert attempts + sum(count for _, count in fake.dropped) == vus * iterations
    expected = sum(
        min(iterations, -(-max_ms * MS // (length * MS + TWIST_NS))) for length in lengths[:vus]
    )
    assert attempts == expected
    assert {at for at, _ in fake.dropped} <= {max_ms * MS}
    assert ended_ns <= (max_ms + grace_ms) * MS
