"""What all load models have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from ghostcore.errors import InvalidPlan
from ghostcore.load.model import (
    MAX_VUS,
    ClosedModel,
    Step,
    choice_problems,
    count_problems,
    counted,
    frozen_stages,
    shortened,
    stage_problems,
    text_problems,
)

S = 1_000_000_000


@dataclass(frozen=True)
class Stairs(ClosedModel):
    """Two users, then five, for as long as is asked for."""

    executor: ClassVar[str] = "stairs"
    positive_durations: ClassVar[tuple[str, ...]] = ("duration",)

    duration: Any = 10
    stages: Any = ()

    @property
    def duration_ns(self) -> int:
        return self.to_ns("duration")

    @property
    def peak_vus(self) -> int:
        return 5

    def steps(self) -> Iterator[Step]:
        yield Step(0, 2)
        yield Step(4 * S, 5)

    def describe(self) -> str:
        return f"stairs{self.timing()}"


@dataclass(frozen=True)
class Rounds(Stairs):
    @property
    def iterations_per_user(self) -> int | None:
        return 3


@dataclass(frozen=True)
class Pot(Stairs):
    @property
    def shared_iterations(self) -> int | None:
        return 7


def test_what_the_caller_does_to_its_dicts_later_changes_no_plan() -> None:
    tags, env = {"region": "eu"}, {"URL": "ws://h"}
    model = Stairs(tags=tags, env=env)
    tags["region"], env["URL"] = "us", ""
    assert (model.tags, model.env) == ({"region": "eu"}, {"URL": "ws://h"})


def test_all_problems_are_reported_at_once() -> None:
    wrong: dict[str, Any] = {"tags": {"a": 1}, "env": "URL"}
    model = Stairs(0, start_time="soon", graceful_stop=-1, **wrong)
    problems = model.validate()
    assert len(problems) == 5
    assert problems[0] == "duration must be more than 0, but is 0"
    assert "start_time" in problems[1] and "graceful_stop" in problems[2]
    assert problems[3] == "tags must map names to texts, but has 'a': 1 (write '1')"
    assert problems[4] == "env must map names to texts, but is 'URL'"
    with pytest.raises(InvalidPlan) as caught:
        model.check()
    assert all(f"Stairs: {problem}" in str(caught.value) for problem in problems)


def test_what_is_derived_from_a_wrong_argument_raises_too() -> None:
    model = Stairs("long")
    for name in ("duration_ns", "start_time_ns", "graceful_stop_ns"):
        with pytest.raises(InvalidPlan, match="duration"):
            getattr(model, name)


def test_durations_are_ns() -> None:
    model = Stairs("1m", start_time="250ms")
    assert (model.duration_ns, model.expected_ns) == (60 * S, 60 * S)
    assert (model.start_time_ns, model.graceful_stop_ns) == (S // 4, 30 * S)


def test_a_description_says_when_the_profile_begins_unless_at_once() -> None:
    assert Stairs().describe() == "stairs"
    assert Stairs(start_time=90).describe() == "stairs, from 1m30s on"


def test_planned_users_between_the_steps_and_outside() -> None:
    model = Stairs()
    at_ns = [-1, 0, 4 * S - 1, 4 * S, 10 * S - 1, 10 * S]
    assert [model.planned_vus_at(at) for at in at_ns] == [0, 2, 2, 5, 5, 0]


@pytest.mark.parametrize(
    ("model", "starts", "stride"), [(Stairs(), None, 5), (Rounds(), 15, 5), (Pot(), 7, 0)]
)
def test_starts_and_their_numbers(model: Stairs, starts: int | None, stride: int) -> None:
    assert (model.known_starts, model.start_stride) == (starts, stride)


def test_a_dict_of_a_model_survives_json() -> None:
    model = Stairs("1m", ((1, 2), ("2m", 0)), tags={"a": "b"})
    data = model.to_dict()
    assert data == json.loads(json.dumps(data))
    assert data["executor"] == "stairs"
    assert (data["duration"], data["stages"]) == ("1m", [[1, 2], ["2m", 0]])


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (1, ""),
        (MAX_VUS, ""),
        (0, "vus must be at least 1, but is 0"),
        (MAX_VUS + 1, f"vus must be at most {MAX_VUS}, but is {MAX_VUS + 1}"),
        (5.0, "vus must be a whole number of at least 1, but is 5.0 (write 5)"),
        (5.5, "vus must be a whole number of at least 1, but is 5.5"),
        (float("inf"), "vus must be a whole number of at least 1, but is inf"),
        (True, "vus must be a whole number of at least 1, but is True"),
        ("5", "vus must be a whole number of at least 1, but is '5'"),
        (None, "vus must be a whole number of at least 1, but is None"),
    ],
)
def test_counts(value: object, problem: str) -> None:
    assert list(count_problems("vus", value, 1)) == ([problem] if problem else [])


def test_a_count_may_be_left_out_where_that_is_allowed() -> None:
    assert list(count_problems("max_vus", None, 1, optional=True)) == []


def test_choices() -> None:
    assert list(choice_problems("order", "random", ["random", "once"])) == []
    assert list(choice_problems("order", "twice", ["random", "once"])) == [
        "order must be 'random' or 'once', but is 'twice'"
    ]


@pytest.mark.parametrize(
    ("mapping", "hint"),
    [({"a": 1.5}, "(write '1.5')"), ({"a": None}, "'a': None"), ({1: "x"}, "1: 'x'")],
)
def test_texts(mapping: object, hint: str) -> None:
    (problem,) = text_problems("env", mapping)
    assert problem.endswith(hint)


def test_stages() -> None:
    def negative(name: str, value: object) -> list[str]:
        return [f"{name} is {value}"] if value == -1 else []

    def problems(stages: object) -> list[str]:
        return list(stage_problems(stages, "a rate", negative))

    assert problems((("1m", 5), (0, 1))) == []
    (empty,) = problems(())
    assert empty.startswith("stages must have at least one stage; it takes pairs of a duration and")
    assert problems("2m")[0].startswith("stages must be a list of pairs")
    several = problems((("1m", -1), 5, ("soon", 1)))
    assert several[0] == "the target of stages[0] is -1"
    assert several[1].startswith("stages[1] must be one of") and several[1].endswith("but is 5")
    assert several[2].startswith("the duration of stages[2]")


def test_stages_cannot_change_once_they_are_frozen() -> None:
    given = [["1m", 5], ("2m", 6)]
    frozen = frozen_stages(given)
    given[0][1] = 7  # type: ignore[index]
    assert frozen == (("1m", 5), ("2m", 6))
    assert frozen_stages("2m") == "2m"


def test_words_of_descriptions() -> None:
    assert [counted(number, "user") for number in (0, 1, 2)] == ["0 users", "1 user", "2 users"]
    assert shortened(list("abcde")) == list("abcde")
    assert shortened(list("abcdef")) == ["a", "b", "c", "...", "f"]
