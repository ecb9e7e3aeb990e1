from __future__ import annotations

import copy
import itertools
import json
import math
import pickle
import statistics

import pytest

from ghostcore.errors import InvalidPlan, UsageError
from ghostcore.load import (
    ConstantArrivalRate,
    LoadModel,
    OpenModel,
    RampingArrivalRate,
    Share,
    load_from_dict,
)

S = 1_000_000_000
MS = 1_000_000


def due_times(profile: OpenModel, seed: int = 1, scenario: str = "any") -> list[int]:
    return [start.due_ns for start in profile.starts(seed, scenario)]


# -- constant rate --


def test_starts_of_a_constant_rate_do_not_drift() -> None:
    # With the period cut to whole ns, as k6 does it, there are 361 and 421 of them.
    thirds = due_times(ConstantArrivalRate(3, "2m"))
    assert len(thirds) == 360
    assert thirds[:4] == [0, 333_333_333, 666_666_666, S]
    assert thirds[-1] == 119_666_666_666
    assert len(due_times(ConstantArrivalRate(7, "60s"))) == 420


@pytest.mark.parametrize(
    ("profile", "count"),
    [
        (ConstantArrivalRate(10, "2m"), 1200),
        (ConstantArrivalRate(1, 0.5), 1),
        (ConstantArrivalRate(2, 1.25), 3),
        (ConstantArrivalRate(0.1, "1m"), 6),
        (ConstantArrivalRate(0.1, "60.001s"), 7),
        (ConstantArrivalRate(30, "1m", "1m"), 30),
        (ConstantArrivalRate(1, "1s", "1ms"), 1000),
    ],
)
def test_the_number_of_starts_is_rate_times_duration_rounded_up(
    profile: OpenModel, count: int
) -> None:
    assert len(due_times(profile)) == profile.planned_starts == count


def test_a_float_is_the_decimal_number_that_it_shows() -> None:
    assert due_times(ConstantArrivalRate(0.1, "30s")) == [0, 10 * S, 20 * S]
    assert due_times(ConstantArrivalRate(0.3, 10)) == [0, 3_333_333_333, 6_666_666_666]


# -- ramping rate --


def test_the_first_start_of_a_ramp_is_due_when_the_integral_is_one() -> None:
    # From 0 to 10/s within 10 s the integral is t * t / 2.
    dues = due_times(RampingArrivalRate([("10s", 10)]))
    assert len(dues) == 50
    assert dues == [math.isqrt(2 * i * S * S) for i in range(1, 51)]
    assert dues[0] == 1_414_213_562
    assert dues[1] == 2 * S
    assert dues[-1] == 10 * S


def test_parts_of_a_start_carry_over_and_a_rate_of_zero_starts_nothing() -> None:
    profile = RampingArrivalRate(
        [("1.5s", 1), (0, 0), ("1h", 0), (0, 2), ("1s", 2), ("1s", 0)], start_rate=1
    )
    after = 3601 * S + 500 * MS
    # 1.5 + 2 starts before the last stage, in which 2/s go down to 0: there the integral is
    # 2 x - x * x, and reaches the missing half at 1 - sqrt(1/2).
    assert due_times(profile) == [
        S,
        after + 250 * MS,
        after + 750 * MS,
        after + S + 292_893_218,
    ]
    assert profile.planned_starts == 4


def test_a_ramp_down_ends_where_its_integral_does() -> None:
    # From 10/s to 0 within 10 s: the integral is 50 - (10 - t) ** 2 / 2.
    dues = due_times(RampingArrivalRate([("10s", 0)], start_rate=10))
    assert len(dues) == 50
    assert dues[0] == 100_505_063  # 10 - sqrt(98)
    assert dues[41] == 6 * S
    assert dues[47] == 8 * S
    assert dues[49] == 10 * S


# -- Poisson --


def test_poisson_arrivals_are_reproducible_and_keyed() -> None:
    profile = ConstantArrivalRate(50, "10s", distribution="poisson")
    first = due_times(profile, 7, "one")
    assert first == due_times(profile, 7, "one")
    assert first != due_times(profile, 8, "one")
    assert first != due_times(profile, 7, "two")
    assert first == sorted(first)


def test_counts_of_poisson_arrivals_follow_their_law() -> None:
    # 600 runs of a ramp with a mean of 60 starts: mean and variance are 60, to within 5 standard
    # errors of each.
    profile = RampingArrivalRate([("4s", 20), ("1s", 20)], start_rate=0, distribution="poisson")
    assert profile.planned_starts == 60
    counts = [len(due_times(profile, seed)) for seed in range(600)]
    assert abs(statistics.fmean(counts) - 60) < 5 * math.sqrt(60 / 600)
    assert abs(statistics.variance(counts) - 60) < 5 * 60 * math.sqrt(2 / 600)


def test_poisson_arrivals_lie_where_the_rate_is() -> None:
    # From 0 to 20/s within 4 s: a share of (1/2)^2 is due in the first half.
    profile = RampingArrivalRate([("4s", 20)], distribution="poisson")
    dues = [due for seed in range(200) for due in due_times(profile, seed)]
    early = sum(due < 2 * S for due in dues)
    assert abs(early / len(dues) - 0.25) < 5 * math.sqrt(0.25 * 0.75 / len(dues))


def test_gaps_of_poisson_arrivals_are_exponential() -> None:
    profile = ConstantArrivalRate(100, "100s", distribution="poisson")
    dues = due_times(profile)
    gaps = sorted(after - before for before, after in itertools.pairwise(dues))
    mean = statistics.fmean(gaps)
    worst = max(
        abs((1 - math.exp(-gap / mean)) - (place + 0.5) / len(gaps))
        for place, gap in enumerate(gaps)
    )
    assert worst < 1.63 / math.sqrt(len(gaps))  # Kolmogorov-Smirnov, 1 %


# -- users --


@pytest.mark.parametrize(
    ("profile", "most"),
    [
        (ConstantArrivalRate(5, 10, preallocated_vus=3), 3),
        (ConstantArrivalRate(5, 10, preallocated_vus=3, max_vus=9), 9),
        (ConstantArrivalRate(5, 10, max_vus=9), 9),
        (ConstantArrivalRate(5, 10), 50),
        (ConstantArrivalRate(5000, 10), 10_000),
        (ConstantArrivalRate(10, 10, distribution="poisson"), 180),
    ],
)
def test_the_most_users(profile: OpenModel, most: int) -> None:
    assert profile.peak_vus == most
    assert profile.is_sized == (profile.preallocated_vus is None)


# -- as all profiles --


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        (
            ConstantArrivalRate(100, "30s", preallocated_vus=20),
            "100/s for 30s (3000 starts, 20 users)",
        ),
        (
            ConstantArrivalRate(0.5, "2m", preallocated_vus=2, max_vus=5, on_busy="queue"),
            "0.5/s for 2m (60 starts, 2 to 5 users, waiting for a free user)",
        ),
        (
            ConstantArrivalRate(1, 1, "1m", distribution="poisson", start_time=5),
            "1 per 1m for 1s (about 0 starts, Poisson, users as needed, at most 20), from 5s on",
        ),
        (
            RampingArrivalRate([("10s", 10), ("1m", 10)], max_vus=30),
            "ramp from 0 10s:10, 1m:10/s, 1m10s (650 starts, users as needed, at most 30)",
        ),
        (
            RampingArrivalRate([("1m", i) for i in range(1, 8)], start_rate=2, time_unit="5m"),
            "ramp from 2 1m:1, 1m:2, 1m:3, ..., 1m:7 per 5m, 7m "
            "(5 starts, users as needed, at most 5)",
        ),
    ],
)
def test_description(profile: LoadModel, text: str) -> None:
    assert profile.describe() == text


def test_every_problem_is_listed_at_once() -> None:
    profile = ConstantArrivalRate(
        -1,
        "0s",
        time_unit=0,
        preallocated_vus=5,
        max_vus=2,
        distribution="normal",  # type: ignore[arg-type]
        on_busy="wait",  # type: ignore[arg-type]
        graceful_stop="x",
    )
    assert profile.validate() == [
        "rate must be more than 0, but is -1",
        "max_vus must be at least preallocated_vus (5), but is 2",
        "distribution must be 'uniform' or 'poisson', but is 'normal'",
        "on_busy must be 'drop' or 'queue', but is 'wait'",
        "duration must be more than 0, but is '0s'",
        "time_unit must be more than 0, but is 0",
        'graceful_stop must be seconds as a number, or a text such as "30s", "200ms", "2m", "1h" '
        "or \"1m30s\", not 'x'",
    ]


def test_every_problem_of_stages_is_listed_at_once() -> None:
    profile = RampingArrivalRate(
        [("2x", 10), ("1m", -1), ("1m",), (-5, math.nan), ("1s", "5"), ("1s", math.inf)],  # type: ignore[list-item]
        start_rate=True,
        time_unit="-1s",
        preallocated_vus=0,
        max_vus=2.0,  # type: ignore[arg-type]
    )
    found = profile.validate()
    for part in (
        "the duration of stages[0] must be seconds",
        "the target of stages[1] must be 0 or more, but is -1",
        "stages[2] must be one of pairs of a duration and a rate, such as",
        "the duration of stages[3] must not be negative, but is -5",
        "the target of stages[3] must be finite, but is nan",
        "the target of stages[4] must be a number, 0 or more, but is '5'",
        "the target of stages[5] must be finite, but is inf",
        "start_rate must be a number, 0 or more, but is True",
        "preallocated_vus must be at least 1, but is 0",
        "max_vus must be a whole number of at least 1, but is 2.0 (write 2)",
        "time_unit must not be negative, but is '-1s'",
    ):
        assert sum(part in problem for problem in found) == 1, part
    assert len(found) == 11


@pytest.mark.parametrize(
    ("profile", "problem"),
    [
        (ConstantArrivalRate(0, 1), "rate must be more than 0, but is 0"),
        (ConstantArrivalRate(math.nan, 1), "rate must be finite, but is nan"),
        (ConstantArrivalRate(10**400, 1), "rate must be finite, but is 1000"),
        (
            ConstantArrivalRate(2_000_000, 1),
            "rate must be at most 1000000 a second, but is 2e+06 a second",
        ),
        (
            ConstantArrivalRate(20_000, 1, "10ms"),
            "rate must be at most 1000000 a second, but is 2e+06 a second",
        ),
        (ConstantArrivalRate(1e-300, 1), "rate must be at least 1e-09 if it is not 0"),
        (ConstantArrivalRate("5", 1), "rate must be a number, more than 0, but is '5'"),  # type: ignore[arg-type]
        (ConstantArrivalRate(1, 1, max_vus=10**7), "max_vus must be at most 1000000, but is"),
        (RampingArrivalRate([(0, 5), (0, 1)]), "stages must last more than 0 in all"),
        (RampingArrivalRate([]), "stages must have at least one stage; it takes pairs of a dur"),
        (
            RampingArrivalRate([("1s", 0.5)]),
            "stages and start_rate must add up to at least one start, but make 0.25",
        ),
        (RampingArrivalRate("1m:5"), "stages must be a list of pairs of a duration and a rate"),  # type: ignore[arg-type]
    ],
)
def test_one_problem(profile: OpenModel, problem: str) -> None:
    (found,) = profile.validate()
    assert found.startswith(problem)
    for refused in (
        profile.describe,
        lambda: profile.peak_vus,
        lambda: profile.duration_ns,
        lambda: profile.starts(1, "any"),
    ):
        with pytest.raises(InvalidPlan):
            refused()


PROFILES = [
    ConstantArrivalRate(
        0.5,
        "1m30s",
        "1m",
        3,
        7,
        "poisson",
        "queue",
        start_time="10s",
        graceful_stop=0,
        tags={"a": "b"},
        env={"C": "d"},
    ),
    RampingArrivalRate([("2m", 200), (300, 0.25)], start_rate=3),
]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_is_a_value_and_survives_a_plan_file(profile: OpenModel) -> None:
    written = json.loads(json.dumps(profile.to_dict()))
    assert written["executor"] == profile.executor
    assert profile.describe()
    for twin in (
        load_from_dict(written),
        pickle.loads(pickle.dumps(profile)),
        copy.deepcopy(profile),
    ):
        assert twin == profile
        assert hash(twin) == hash(profile)
        assert twin.describe() == profile.describe()


@pytest.mark.parametrize(("index", "of"), [(0, 0), (-1, 2), (2, 2)])
def test_a_share_of_nothing_is_refused(index: int, of: int) -> None:
    with pytest.raises(UsageError, match="worker"):
        Share(index, of)
