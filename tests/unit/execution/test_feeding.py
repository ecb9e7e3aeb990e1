"""Rows in whole runs: each start has its own, whoever runs it, and their end is told."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ghostcore import (
    VU,
    ConstantArrivalRate,
    ConstantVUs,
    DataExhausted,
    Feeder,
    InvalidPlan,
    PerVUIterations,
    RampingArrivalRate,
    SharedIterations,
    feeder,
    scenario,
)
from ghostcore.execution.plan import make_plan
from ghostcore.load import LoadModel
from tests.support.running import run_it

Rows = dict[tuple[int, int], Any]


def rows_given(one: Feeder, load: LoadModel, name: str = "play", seed: int = 1) -> Rows:
    """What each start of a run is given, by user and iteration."""
    given: Rows = {}

    @scenario(load=load, feeders=[one], name=name)
    async def play(vu: VU) -> None:
        row = vu.row(one)
        await vu.sleep(vu.random.uniform(0.1, 2))
        assert vu.row(one) == row, "a start has one row, however often it asks"
        given[vu.id, vu.iteration] = row

    assert run_it(play, seed=seed).exit_code == 0
    return given


def test_sequential_rows_of_users_that_go_in_step() -> None:
    given = rows_given(feeder(list(range(5))), PerVUIterations(3, 4))
    assert given == {
        (user, turn): (user - 1 + 3 * turn) % 5 for user in (1, 2, 3) for turn in range(4)
    }


def test_random_rows_depend_on_the_seed_and_the_start_alone() -> None:
    one = feeder(list(range(1000)), order="random")
    many = rows_given(one, PerVUIterations(20, 5))
    few = rows_given(one, PerVUIterations(7, 3))
    assert few.items() <= many.items()
    assert rows_given(one, PerVUIterations(20, 5), seed=2) != many
    assert rows_given(one, PerVUIterations(20, 5), name="other") != many


def test_a_row_of_a_random_feeder_changes_no_other_choice() -> None:
    one = feeder([1, 2, 3], order="random")
    numbers: dict[bool, list[float]] = {True: [], False: []}
    for asks, drawn in numbers.items():

        @scenario(load=PerVUIterations(1, 3), feeders=[one])
        async def play(vu: VU, asks: bool = asks, drawn: list[float] = drawn) -> None:
            if asks:
                vu.row(one)
            drawn.append(vu.random.random())

        run_it(play)
    assert numbers[True] == numbers[False]


def test_two_scenarios_never_get_the_same_unique_row() -> None:
    one = feeder(list(range(50)), order="unique")
    given: Counter[int] = Counter()

    async def body(vu: VU) -> None:
        given[vu.row(one)] += 1
        await vu.sleep(1)

    first = scenario(name="a", load=PerVUIterations(5, 5), feeders=[one])(body)
    second = scenario(name="b", load=PerVUIterations(2, 12), feeders=[one])(body)
    assert run_it(first, second).exit_code == 0
    assert len(given) == 25 + 24
    assert set(given.values()) == {1}


def test_a_user_without_a_row_ends_and_the_run_is_inconclusive() -> None:
    one = feeder([f"user{number}" for number in range(10)], order="unique")
    given: list[str] = []

    @scenario(load=ConstantVUs(4, 60), feeders=[one])
    async def play(vu: VU) -> None:
        given.append(vu.row(one))
        await vu.sleep(1)

    result = run_it(play)
    assert sorted(given) == sorted(one.source)
    metrics = result.metrics
    assert metrics["iterations"].count == 10
    assert metrics["iteration_duration"].count == 10, "a start without a row is no fast iteration"
    assert metrics["data_exhausted"].count == 4, "each user finds out once, and tries no more"
    assert metrics["iterations_started"].count == 14
    assert (result.verdict, result.exit_code) == ("inconclusive", 111)
    assert "4 starts found no row left" in result.reasons[0]
    (error,) = result.errors
    assert (error.kind, error.count) == ("data_exhausted", 4)
    assert "feeder (a list) has 10 rows" in error.samples[0].text


def test_a_scenario_may_see_to_the_end_of_the_data_itself() -> None:
    one = feeder(["only"], order="unique")
    seen: list[str] = []

    @scenario(load=ConstantVUs(1, 2.5), feeders=[one])
    async def play(vu: VU) -> None:
        try:
            seen.append(vu.row(one))
        except DataExhausted:
            seen.append("none")
        await vu.sleep(1)

    result = run_it(play)
    assert seen == ["only", "none", "none"]
    assert result.exit_code == 0


def test_data_that_runs_out_in_a_task_of_a_group() -> None:
    one = feeder(["only"], order="unique")

    @scenario(load=ConstantVUs(2, 5), feeders=[one])
    async def play(vu: VU) -> None:
        async def take() -> None:
            vu.row(one)

        async with asyncio.TaskGroup() as group:
            group.create_task(take())
        await vu.sleep(10)

    result = run_it(play)
    assert result.metrics["data_exhausted"].count == 1
    assert result.metrics["script_errors"].count == 0


def test_a_feeder_that_was_not_named_is_an_error_of_the_script() -> None:
    one = feeder([1])

    @scenario(load=PerVUIterations(1, 1))
    async def play(vu: VU) -> None:
        vu.row(one)

    result = run_it(play)
    assert result.exit_code == 107
    assert "does not name this feeder" in result.errors[0].samples[0].text


def test_two_runs_at_the_same_rows_do_not_mix() -> None:
    one = feeder(list(range(4)), order="unique")
    load = PerVUIterations(2, 2)
    assert rows_given(one, load) == rows_given(one, load)


async def idle(vu: VU) -> None:
    """Nothing."""


def test_problems_of_feeders_stand_with_all_others(tmp_path: Path) -> None:
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("a,b\n1\n2,3\n4\n")
    bad = feeder("no/such/file.csv")
    scenarios = [
        scenario(name="one", load=ConstantVUs(-1, 1), feeders=[bad, feeder(ragged)])(idle),
        scenario(name="two", load=ConstantVUs(1, 1), feeders=[bad, "users.csv"])(idle),
        scenario(name="three", load=PerVUIterations(3, 4), feeders=[unique(11)])(idle),
        scenario(name="four", load=PerVUIterations(3, 4), feeders=[unique(12)])(idle),
    ]
    with pytest.raises(InvalidPlan) as caught:
        make_plan(scenarios, seed=-1)
    problems = caught.value.problems
    assert sum("no/such/file.csv cannot be read" in one for one in problems) == 1
    for expected in (
        "one: vus must be at least 1",
        "line 2 has 1 fields, but the header has 2",
        "line 4 has 1 fields, but the header has 2",
        "two: 'users.csv' is no feeder",
        "three: 12 iterations need as many unique rows, but feeder (a list) has 11",
        "seed must be",
    ):
        assert any(expected in one for one in problems), expected
    assert len(problems) == 7


def unique(rows: int) -> Feeder:
    return feeder(list(range(rows)), order="unique")


def test_the_plan_that_is_saved_names_feeders_and_no_rows() -> None:
    one = feeder([{"password": "secret"}])
    plan = make_plan([scenario(name="a", load=ConstantVUs(1, 1), feeders=[one])(idle)])
    (saved,) = plan.to_dict()["scenarios"]
    assert saved["feeders"] == [{"name": "(a list)", "order": "sequential", "rows": 1}]
    assert "secret" not in str(saved)


def test_starts_that_have_numbers_of_their_own_get_rows_by_them() -> None:
    """Whichever user makes a start: shared iterations and arrivals number them from 0."""
    one = feeder(list(range(40)), order="unique")
    for load in (
        SharedIterations(40, 3),
        SharedIterations(40, 11),
        ConstantArrivalRate(4, 10, preallocated_vus=20),
        RampingArrivalRate([(10, 8)], preallocated_vus=20),
    ):
        given = rows_given(one, load)
        assert sorted(given.values()) == list(range(40)), load


def test_arrivals_go_on_when_data_has_run_out_and_each_start_is_counted() -> None:
    one = feeder(["a", "b", "c"], order="unique")

    @scenario(
        load=ConstantArrivalRate(10, 1, preallocated_vus=5, distribution="poisson"), feeders=[one]
    )
    async def play(vu: VU) -> None:
        vu.row(one)
        await vu.sleep(0.1)

    result = run_it(play)
    metrics = result.metrics
    assert metrics["iterations"].count == 3
    assert metrics["data_exhausted"].count == metrics["iterations_started"].count - 3 > 0
    assert metrics["iteration_response_time"].count == 3
    assert result.exit_code == 111


@pytest.mark.parametrize(
    "load", [SharedIterations(12, 3), ConstantArrivalRate(4, 3), PerVUIterations(3, 4)]
)
def test_too_few_rows_for_a_known_number_of_starts(load: LoadModel) -> None:
    for rows, enough in ((11, False), (12, True)):
        play = scenario(name="play", load=load, feeders=[unique(rows)])(idle)
        if enough:
            make_plan([play])
            continue
        with pytest.raises(InvalidPlan, match="play: 12 iterations need as many unique rows"):
            make_plan([play])
