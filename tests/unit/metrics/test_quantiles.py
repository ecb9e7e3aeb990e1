from __future__ import annotations

import math

import pytest

from ghostcore.errors import UsageError
from ghostcore.metrics.histogram import Histogram
from ghostcore.metrics.quantiles import (
    Bounds,
    Interval,
    TooFew,
    bounds,
    in_unit,
    interval,
    interval_ranks,
    lower_tail,
    needed_samples,
)
from ghostcore.metrics.recorders import TrendState

INF = math.inf


def trend(good: list[int], failed: int = 0, **cut_off: list[int]) -> TrendState:
    def of(values: list[int]) -> Histogram:
        h = Histogram()
        for value in values:
            h.record(value)
        return h

    return TrendState(1.0, of(good), failed, {cause: of(v) for cause, v in cut_off.items()})


def test_without_special_samples_both_bounds_are_the_sample_of_rank_ceil_qn() -> None:
    state = trend(list(range(1, 101)))
    for q, value in ((0.0, 1), (0.005, 1), (0.07, 7), (0.5, 50), (0.951, 96), (1.0, 100)):
        assert bounds(state, q) == Bounds(value, value)


def test_failed_samples_are_infinite() -> None:
    state = trend([1, 2, 3, 4], failed=1)
    assert bounds(state, 0.8) == Bounds(4, 4)
    assert bounds(state, 0.81) == Bounds(INF, INF)
    assert bounds(trend([], failed=3), 0.01) == Bounds(INF, INF)


def test_a_fast_refusal_never_improves_a_quantile() -> None:
    slow = list(range(901, 1001))
    plain, refused = trend(slow), trend(slow, failed=50)
    for q in (0.1, 0.5, 0.66, 0.95):
        assert bounds(refused, q).lower >= bounds(plain, q).lower


def test_cut_off_samples_count_as_their_t_and_as_infinite() -> None:
    state = trend([1, 2, 3], deadline=[2, 10], end=[20])
    # lower order 1 2 2 3 10 20, upper order 1 2 3 and three infinite
    expected = [(1, 1), (2, 2), (2, 3), (3, INF), (10, INF), (20, INF)]
    for rank, (lower, upper) in enumerate(expected, 1):
        assert bounds(state, rank / 6) == Bounds(lower, upper)
    assert bounds(state, 1 / 6).agree
    assert not bounds(state, 3 / 6).agree


def test_failed_and_cut_off_together() -> None:
    state = trend([1], failed=1, interrupted=[5])
    assert [bounds(state, rank / 3) for rank in (1, 2, 3)] == [
        Bounds(1, 1),
        Bounds(5, INF),
        Bounds(INF, INF),
    ]


def test_bounds_agree_within_a_cell_whatever_lies_above_it() -> None:
    # 4096 stands for 4096..4099; only the exact maximum narrows that, and the bounds differ in it.
    assert bounds(trend([4096], end=[100_000]), 0.5) == Bounds(4096, 4096)


def test_no_sample_has_no_quantile() -> None:
    none = bounds(trend([]), 0.5)
    assert math.isnan(none.lower)
    assert math.isnan(none.upper)


@pytest.mark.parametrize("q", [-0.01, 1.01, math.nan])
def test_what_is_no_quantile_is_refused(q: float) -> None:
    with pytest.raises(UsageError, match="within 0 and 1"):
        bounds(trend([1]), q)
    with pytest.raises(UsageError, match="between 0 and 1"):
        interval(trend([1]), q)


def test_intervals_exclude_the_ends_and_senseless_confidence() -> None:
    for q in (0.0, 1.0):
        with pytest.raises(UsageError, match="between 0 and 1"):
            interval(trend([1]), q)
    for confidence in (0.0, 1.0):
        with pytest.raises(UsageError, match="a confidence lies between"):
            needed_samples(0.5, confidence)


@pytest.mark.parametrize(
    ("resolution", "units", "value"),
    [
        (0.001, 12_346, 12.346),
        (0.001, 3, 0.003),
        (1e-6, 1_500_001, 1.500001),
        (1.0, 7, 7.0),
        (1000.0, 3, 3000.0),
        (0.3, 10, 3.0),
    ],
)
def test_values_come_back_without_binary_noise(resolution: float, units: int, value: float) -> None:
    assert in_unit(units, resolution) == value


@pytest.mark.parametrize(
    ("q", "n"), [(0.95, 59), (0.99, 299), (0.999, 2995), (0.5, 6), (0.9, 29), (0.05, 59)]
)
def test_the_fewest_samples_for_an_interval(q: float, n: int) -> None:
    assert needed_samples(q) == n
    assert interval(trend(list(range(n - 1))), q) == TooFew(n)
    assert isinstance(interval(trend(list(range(n))), q), Interval)


def test_interval_of_the_median_of_twenty() -> None:
    # The 6th and 15th of 20; the 7th and 14th would cover 88.5 % only.
    assert interval_ranks(20, 0.5) == (6, 15)
    assert sum(math.comb(20, i) for i in range(6, 15)) / 2**20 > 0.95
    assert sum(math.comb(20, i) for i in range(7, 14)) / 2**20 < 0.95


def test_interval_values_are_the_samples_of_those_ranks() -> None:
    low, high = interval_ranks(100, 0.9) or (0, 0)
    assert interval(trend(list(range(1, 101))), 0.9) == Interval(low, high)


def test_interval_reaches_from_the_lower_to_the_upper_order() -> None:
    assert interval_ranks(20, 0.5) == (6, 15)
    assert interval(trend(list(range(1, 15)), failed=6), 0.5) == Interval(6, INF)
    assert interval(trend(list(range(101, 116)), end=[1, 2, 3, 4, 5]), 0.5) == Interval(101, 115)
    # One more cut off: the 15th of 20 in the upper order has no value any longer.
    assert interval(trend(list(range(101, 115)), end=[1] * 6), 0.5) == Interval(1, INF)


@pytest.mark.parametrize("n", [10**5, 10**7, 10**9])
@pytest.mark.parametrize("q", [0.5, 0.95, 0.999])
def test_many_samples_approach_the_normal_interval(n: int, q: float) -> None:
    low, high = interval_ranks(n, q) or (0, 0)
    sd = math.sqrt(n * q * (1 - q))
    assert (low - n * q) / sd == pytest.approx(-1.96, abs=2.5 / sd + 1e-3)
    assert (high - n * q) / sd == pytest.approx(1.96, abs=2.5 / sd + 1e-3)
    # The tails are tight: one rank further in, they would hold too much.
    assert lower_tail(n, low - 1, q) <= 0.025 < lower_tail(n, low, q)
    assert lower_tail(n, n - high, 1 - q) <= 0.025 < lower_tail(n, n - high + 1, 1 - q)
