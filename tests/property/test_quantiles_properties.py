"""Quantile bounds against sorted lists, intervals against exact binomial sums."""

from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from ghostcore.metrics.histogram import Histogram
from ghostcore.metrics.quantiles import (
    binomial_mass,
    bounds,
    interval_ranks,
    lower_tail,
    needed_samples,
)
from ghostcore.metrics.recorders import CAUSES, TrendState

# Below 2048 every cell is one wide, so that a sorted list is the truth.
values = st.lists(st.integers(0, 2047), max_size=25)
quantiles = st.one_of(st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.05, 0.25]), st.floats(0.01, 0.99))


def histogram(samples: list[int]) -> Histogram:
    h = Histogram()
    for sample in samples:
        h.record(sample)
    return h


def tail(n: int, k: int, q: float) -> Fraction:
    """P(B <= k), exactly."""
    p = Fraction(q)
    return sum(
        (Fraction(math.comb(n, i)) * p**i * (1 - p) ** (n - i) for i in range(k + 1)), Fraction(0)
    )


@given(
    values,
    st.integers(0, 10),
    st.dictionaries(st.sampled_from(CAUSES), values),
    st.integers(0, 1000),
)
def test_bounds_are_those_of_both_orders(
    good: list[int], failed: int, cut: dict[str, list[int]], thousandths: int
) -> None:
    state = TrendState(
        1.0, histogram(good), failed, {cause: histogram(t) for cause, t in cut.items()}
    )
    flat = [t for ts in cut.values() for t in ts]
    lower = sorted([*map(float, good), *map(float, flat)]) + [math.inf] * failed
    upper = sorted(map(float, good)) + [math.inf] * (failed + len(flat))
    found = bounds(state, thousandths / 1000)
    if not lower:
        assert math.isnan(found.lower)
        assert math.isnan(found.upper)
        return
    rank = max(1, math.ceil(Fraction(thousandths, 1000) * len(lower)))
    assert (found.lower, found.upper) == (lower[rank - 1], upper[rank - 1])
    assert found.agree == (lower[rank - 1] == upper[rank - 1])


@given(
    st.lists(st.integers(0, 10**8), min_size=1, max_size=25),
    st.lists(st.integers(0, 10**8), max_size=10),
    st.floats(0, 1),
)
def test_the_lower_bound_is_never_above_the_upper(
    good: list[int], cut: list[int], q: float
) -> None:
    found = bounds(TrendState(0.001, histogram(good), 0, {"end": histogram(cut)}), q)
    assert found.lower <= found.upper


@settings(max_examples=60)
@given(st.integers(1, 90), quantiles, st.data())
def test_tail_and_mass_are_exact(n: int, q: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n - 1))
    exact = tail(n, k, q)
    assert math.isclose(lower_tail(n, k, q), float(exact), rel_tol=1e-11)
    mass = float(exact - tail(n, k - 1, q))
    assert math.isclose(binomial_mass(n, k, q), mass, rel_tol=1e-11)


@settings(max_examples=60)
@given(st.integers(1, 150), quantiles, st.sampled_from([0.9, 0.95, 0.99]))
def test_intervals_cover_and_are_no_wider_than_they_must_be(
    n: int, q: float, confidence: float
) -> None:
    risk = 1 - Fraction(confidence)
    least = tail(n, 0, q) + Fraction(q) ** n
    ranks = interval_ranks(n, q, confidence)
    if ranks is None:
        assert n < needed_samples(q, confidence)
        assert least > risk * (1 - Fraction(1, 10**9))
        return
    low, high = ranks
    assert 1 <= low < high <= n
    below, above = tail(n, low - 1, q), 1 - tail(n, high - 1, q)
    slack = 1 + Fraction(1, 10**9)
    assert below + above <= risk * slack
    # One rank narrower on a side, and that side would take more than half of the risk; or, where
    # the other side stands at the extreme sample and takes more than half, more than what is left.
    left = risk - above if above > risk / 2 else risk / 2
    right = risk - below if below > risk / 2 else risk / 2
    if above > risk / 2:
        assert high == n
    else:
        assert (1 - tail(n, high - 2, q)) * slack > right
    if below > risk / 2:
        assert low == 1
    else:
        assert tail(n, low, q) * slack > left
