"""Statistics with fixed seeds: the bounds are far out in the tail, and all runs are the same."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghostcore._random import Random

N = 20_000


def make(index: int = 0, seed: int = 20_24) -> Random:
    return Random.keyed(seed, "statistics", index)


def chi_square(counts: Counter[object], cells: list[object]) -> float:
    expected = counts.total() / len(cells)
    assert set(counts) <= set(cells)
    return sum((counts[cell] - expected) ** 2 / expected for cell in cells)


def likely(statistic: float, freedom: int) -> bool:
    """Within five standard deviations of the mean of the chi-square distribution, either side."""
    return abs(statistic - freedom) < 5 * math.sqrt(2 * freedom)


GAMMA_3_2 = 2 / math.sqrt(3)


@pytest.mark.parametrize(
    ("draw", "mean", "deviation"),
    [
        (lambda r: r.random(), 0.5, math.sqrt(1 / 12)),
        (lambda r: r.uniform(-3, 9), 3, math.sqrt(12)),
        (lambda r: r.randint(1, 6), 3.5, math.sqrt(35 / 12)),
        (lambda r: r.gauss(10, 2), 10, 2),
        (lambda r: r.normalvariate(-1, 0.5), -1, 0.5),
        (lambda r: r.expovariate(0.25), 4, 4),
        (lambda r: r.triangular(0, 3, 0), 1, math.sqrt(0.5)),
        (lambda r: r.triangular(0, 6), 3, math.sqrt(1.5)),
        (lambda r: math.log(r.lognormvariate(1, 0.5)), 1, 0.5),
        (lambda r: math.log(r.paretovariate(2)), 0.5, 0.5),
        (lambda r: r.weibullvariate(3, 1), 3, 3),
        (lambda r: r.gammavariate(3, 2), 6, math.sqrt(12)),
        (lambda r: r.gammavariate(0.5, 2), 1, math.sqrt(2)),
        (lambda r: r.betavariate(2, 3), 0.4, 0.2),
    ],
)
def test_mean_and_deviation(draw: Callable[[Random], float], mean: float, deviation: float) -> None:
    random = make()
    values = [draw(random) for _ in range(N)]
    average = math.fsum(values) / N
    assert abs(average - mean) < 4.5 * deviation / math.sqrt(N)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / N)
    assert abs(spread / deviation - 1) < 0.06


def test_the_normal_distribution_has_its_quartiles_and_tails() -> None:
    random = make()
    values = [abs(random.gauss()) for _ in range(N)]
    assert abs(sum(value < 0.674490 for value in values) / N - 0.5) < 0.016
    assert abs(sum(value > 1.959964 for value in values) / N - 0.05) < 0.007


@pytest.mark.parametrize("bound", [2, 3, 6, 10, 100])
def test_integers_are_uniform(bound: int) -> None:
    random = make()
    counts: Counter[object] = Counter(random.randrange(bound) for _ in range(N))
    assert likely(chi_square(counts, list(range(bound))), bound - 1)


def test_integers_are_not_biased_where_a_modulo_would_be() -> None:
    # A modulo of 64 bits by 3 * 2**62 would give the first third half of all results.
    random = make()
    bound = 3 << 62
    counts: Counter[object] = Counter(random.randrange(bound) * 3 // bound for _ in range(N))
    assert likely(chi_square(counts, [0, 1, 2]), 2)


@pytest.mark.parametrize("bit", [0, 1, 7, 31, 32, 52, 62, 63])
def test_each_bit_is_fair(bit: int) -> None:
    random = make()
    ones = sum(random.getrandbits(64) >> bit & 1 for _ in range(N))
    assert abs(ones - N / 2) < 4.5 * math.sqrt(N / 4)


def test_permutations_are_uniform() -> None:
    orders: list[object] = [a + b + c for a in "abc" for b in "abc" for c in "abc"]
    orders = [order for order in orders if len(set(str(order))) == 3]
    random = make()

    def shuffled() -> str:
        letters = ["a", "b", "c"]
        random.shuffle(letters)
        return "".join(letters)

    assert likely(chi_square(Counter(shuffled() for _ in range(N)), orders), 5)
    sampled: Counter[object] = Counter("".join(random.sample("abc", 3)) for _ in range(N))
    assert likely(chi_square(sampled, orders), 5)


def test_choices_follow_their_weights() -> None:
    counts = Counter(make().choices("abc", weights=[1, 2, 5], k=N))
    for letter, share in zip("abc", (1 / 8, 2 / 8, 5 / 8), strict=True):
        assert abs(counts[letter] - N * share) < 4.5 * math.sqrt(N * share * (1 - share))


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_adjacent_streams_are_independent(lag: int) -> None:
    """The first draws of adjacent starts, which is what a run consists of, fill the unit square."""
    streams = [make(index) for index in range(N)]
    draws = [[stream.random() for _ in range(3)] for stream in streams]
    cells: Counter[object] = Counter(
        (int(one[0] * 8), int(other[lag] * 8)) for one, other in itertools.pairwise(draws)
    )
    assert likely(chi_square(cells, [(x, y) for x in range(8) for y in range(8)]), 63)


def test_adjacent_streams_share_no_word() -> None:
    words = [stream.getrandbits(64) for stream in map(make, range(200)) for _ in range(200)]
    assert len(set(words)) == len(words)


@given(st.integers(0, 2**64 - 2), st.integers(), st.text(max_size=8))
@settings(max_examples=50)
def test_neighbours_differ_in_half_of_their_bits(index: int, seed: int, scenario: str) -> None:
    one = Random.keyed(seed, scenario, index).getrandbits(6400)
    other = Random.keyed(seed, scenario, index + 1).getrandbits(6400)
    assert abs((one ^ other).bit_count() - 3200) < 6 * 40


@given(st.integers(), st.integers(1, 2**130), st.integers(0, 2**64 - 1))
def test_integers_stay_in_range(low: int, size: int, index: int) -> None:
    random = make(index)
    assert low <= random.randint(low, low + size - 1) < low + size
    step = max(1, size // 3)
    assert (random.randrange(low, low + size, step) - low) % step == 0
    assert (random.randrange(low, low - size, -step) - low) % step == 0


@given(st.lists(st.integers(), max_size=60), st.data())
def test_sample_and_shuffle_lose_nothing(items: list[int], data: st.DataObject) -> None:
    k = data.draw(st.integers(0, len(items)))
    random = make(k)
    assert not Counter(random.sample(items, k)) - Counter(items)
    shuffled = items.copy()
    random.shuffle(shuffled)
    assert sorted(shuffled) == sorted(items)


@given(st.integers(0, 2**64 - 1))
def test_floats_are_multiples_of_2_to_the_minus_53(index: int) -> None:
    value = make(index).random()
    assert 0 <= value < 1
    assert Fraction(value) * 2**53 == int(Fraction(value) * 2**53)
