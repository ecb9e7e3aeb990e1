from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from ghostcore.errors import InvalidPlan, UsageError
from ghostcore.load import (
    ConstantVUs,
    ExternallyControlled,
    LoadModel,
    PerVUIterations,
    RampingVUs,
    SharedIterations,
    Step,
    load_from_dict,
)

S = 1_000_000_000


def test_constant_vus() -> None:
    profile = ConstantVUs(50, "2m")
    assert profile.validate() == []
    assert profile.executor == "constant-vus"
    assert (profile.peak_vus, profile.duration_ns) == (50, 120 * S)
    assert (profile.start_time_ns, profile.graceful_stop_ns) == (0, 30 * S)
    assert profile.iterations_per_user is None
    assert list(profile.steps()) == [Step(0, 50)]
    assert [profile.planned_vus_at(at) for at in (-1, 0, 120 * S - 1, 120 * S)] == [0, 50, 50, 0]


def test_per_vu_iterations_has_the_defaults_of_k6() -> None:
    profile = PerVUIterations()
    assert profile.validate() == []
    assert (profile.peak_vus, profile.iterations_per_user, profile.duration_ns) == (1, 1, 600 * S)
    assert list(profile.steps()) == [Step(0, 1)]


def test_shared_iterations_has_the_defaults_of_k6() -> None:
    profile = SharedIterations()
    assert profile.validate() == []
    assert (profile.peak_vus, profile.shared_iterations, profile.duration_ns) == (1, 1, 600 * S)
    assert profile.iterations_per_user is None
    assert list(SharedIterations(30, 20, 60).steps()) == [Step(0, 20)]


def test_an_externally_controlled_model_begins_with_its_users() -> None:
    profile = ExternallyControlled(2, 10, "1m")
    assert profile.validate() == []
    assert (profile.peak_vus, profile.duration_ns) == (10, 60 * S)
    assert (profile.graceful_ramp_down_ns, profile.graceful_stop_ns) == (30 * S, 30 * S)
    assert list(profile.steps()) == [Step(0, 2)]
    assert ExternallyControlled(2, None, "1m").peak_vus == 2


def test_ramping_vus_has_the_defaults_of_k6() -> None:
    profile = RampingVUs([("10s", 1)])
    assert profile.start_vus == 1
    assert (profile.graceful_ramp_down_ns, profile.graceful_stop_ns) == (30 * S, 30 * S)


def test_a_ramp_up_adds_the_first_user_one_step_late_and_the_last_at_its_end() -> None:
    profile = RampingVUs([("10s", 5)], start_vus=0)
    assert list(profile.steps()) == [Step(2 * i * S, i) for i in range(6)]


def test_a_ramp_down_removes_the_last_user_at_its_end() -> None:
    profile = RampingVUs([("6s", 0)], start_vus=3)
    assert list(profile.steps()) == [Step(0, 3), Step(2 * S, 2), Step(4 * S, 1), Step(6 * S, 0)]


def test_ns_are_cut_off_not_rounded() -> None:
    steps = RampingVUs([("1s", 3)], start_vus=0).steps()
    assert [step.at_ns for step in steps] == [0, 333_333_333, 666_666_666, 1_000_000_000]


def test_a_stage_of_no_length_jumps_and_a_level_one_only_lasts() -> None:
    profile = RampingVUs([(0, 10), ("5s", 10), (0, 4), ("5s", 4), (0, 7)])
    assert list(profile.steps()) == [Step(0, 10), Step(5 * S, 4), Step(10 * S, 7)]
    assert profile.duration_ns == 10 * S
    assert profile.planned_vus_at(10 * S) == 0


def test_changes_at_one_instant_that_undo_each_other_are_none() -> None:
    profile = RampingVUs([("5s", 10), (0, 0), (0, 10), ("5s", 10)], start_vus=10)
    assert list(profile.steps()) == [Step(0, 10)]


def test_the_suite_of_the_readme() -> None:
    stages = [("1m", 100), ("2m", 500), ("2m", 1000), ("3m", 1000), ("1m", 0)]
    profile = RampingVUs(stages)
    steps = list(profile.steps())
    assert (profile.peak_vus, profile.duration_ns) == (1000, 540 * S)
    assert len(steps) == 1 + 99 + 400 + 500 + 1000
    assert steps[-1] == Step(540 * S, 0)
    assert profile.planned_vus_at(180 * S) == 500
    assert profile.planned_vus_at(180 * S - 1) == 499
    assert profile.planned_vus_at(510 * S) == 500


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        (ConstantVUs(50, "2m"), "50 users for 2m"),
        (ConstantVUs(1, 0.2, start_time="1m30s"), "1 user for 200ms, from 1m30s on"),
        (PerVUIterations(), "1 user, 1 iteration each, within 10m"),
        (PerVUIterations(3, 20, "1h"), "3 users, 20 iterations each, within 1h"),
        (SharedIterations(), "1 user, 1 iteration in all, within 10m"),
        (SharedIterations(20, 3, "1h"), "3 users, 20 iterations in all, within 1h"),
        (
            ExternallyControlled(2, 10, "1h"),
            "2 users at first, up to 10 as told, for 1h",
        ),
        (
            RampingVUs([("1m", 100), ("2m", 500), ("2m", 1000), ("3m", 1000), ("1m", 0)]),
            "ramp 1m:100, 2m:500, 2m:1000, 3m:1000, 1m:0 (up to 1000 users, 9m)",
        ),
        (
            RampingVUs([("1m", i) for i in range(1, 8)], start_vus=0, start_time=5),
            "ramp from 0 1m:1, 1m:2, 1m:3, ..., 1m:7 (up to 7 users, 7m), from 5s on",
        ),
    ],
)
def test_description(profile: LoadModel, text: str) -> None:
    assert profile.describe() == text


def test_every_problem_is_listed_at_once() -> None:
    profile = RampingVUs(
        stages=[("2x", 10), ("1m", -1), ("1m",), (-5, 2.0), "30s:100"],  # type: ignore[list-item]
        start_vus=True,
        graceful_ramp_down=-1,
        start_time="soon",
        graceful_stop=None,  # type: ignore[arg-type]
        tags={"a": 1},  # type: ignore[dict-item]
        env=["A=1"],  # type: ignore[arg-type]
    )
    accepted = 'seconds as a number, or a text such as "30s", "200ms", "2m", "1h" or "1m30s"'
    pairs = 'pairs of a duration and a number of users, such as [("2m", 200), ("1m", 0)]'
    assert profile.validate() == [
        f"the duration of stages[0] must be {accepted}, not '2x'",
        "the target of stages[1] must be at least 0, but is -1",
        f"stages[2] must be one of {pairs}, but is ('1m',)",
        "the duration of stages[3] must not be negative, but is -5",
        "the target of stages[3] must be a whole number of at least 0, but is 2.0 (write 2)",
        f"stages[4] must be one of {pairs}, but is '30s:100'",
        "start_vus must be a whole number of at least 0, but is True",
        "graceful_ramp_down must not be negative, but is -1",
        f"start_time must be {accepted}, not 'soon'",
        f"graceful_stop must be {accepted}, not None",
        "tags must map names to texts, but has 'a': 1 (write '1')",
        "env must map names to texts, but is ['A=1']",
    ]


@pytest.mark.parametrize(
    ("profile", "problem"),
    [
        (ConstantVUs(0, "1s"), "vus must be at least 1, but is 0"),
        (ConstantVUs("5", 1), "vus must be a whole number of at least 1, but is '5'"),  # type: ignore[arg-type]
        (ConstantVUs(10**7, 1), "vus must be at most 1000000, but is 10000000"),
        (ConstantVUs(1, 0), "duration must be more than 0, but is 0"),
        (ConstantVUs(1, 1e-10), "duration must be more than 0, but is 1e-10"),
        (PerVUIterations(iterations=0), "iterations must be at least 1, but is 0"),
        (PerVUIterations(max_duration="0s"), "max_duration must be more than 0, but is '0s'"),
        (
            SharedIterations(2, 3),
            "iterations must be at least vus (3), but is 2: some users would have nothing to do",
        ),
        (SharedIterations(0), "iterations must be at least 1, but is 0"),
        (SharedIterations(5, 0), "vus must be at least 1, but is 0"),
        (ExternallyControlled(-1, 5, 1), "vus must be at least 0, but is -1"),
        (ExternallyControlled(5, 4, 1), "max_vus must be at least vus (5), but is 4"),
        (ExternallyControlled(5, 5, 0), "duration must be more than 0, but is 0"),
        (
            ExternallyControlled(0, None, 1),
            "max_vus must be given if vus is 0: nobody could ever run",
        ),
        (RampingVUs([(0, 5), (0, 1)]), "stages must last more than 0 in all"),
        (
            RampingVUs([("1s", 0)], start_vus=0),
            "start_vus and the targets of all stages are 0: nobody would run",
        ),
        (
            RampingVUs([]),
            "stages must have at least one stage; it takes pairs of a duration and a number of "
            'users, such as [("2m", 200), ("1m", 0)]',
        ),
        (
            RampingVUs("2m:200"),  # type: ignore[arg-type]
            "stages must be a list of pairs of a duration and a number of users, such as "
            '[("2m", 200), ("1m", 0)], but is \'2m:200\'',
        ),
    ],
)
def test_one_problem(profile: LoadModel, problem: str) -> None:
    assert profile.validate() == [problem]
    with pytest.raises(InvalidPlan) as caught:
        profile.describe()
    assert caught.value.problems == (f"{type(profile).__name__}: {problem}",)
    for name in ("duration_ns", "peak_vus", "start_time_ns", "graceful_stop_ns"):
        with pytest.raises(InvalidPlan):
            getattr(profile, name)


def test_steps_of_an_invalid_profile_are_refused() -> None:
    for profile in (
        ConstantVUs(0, 1),
        RampingVUs([]),
        PerVUIterations(0),
        SharedIterations(0),
        ExternallyControlled(-1, 1, 1),
    ):
        with pytest.raises(InvalidPlan):
            profile.steps()
        with pytest.raises(InvalidPlan):
            profile.planned_vus_at(0)
    with pytest.raises(InvalidPlan):
        _ = PerVUIterations(1, 0).iterations_per_user
    with pytest.raises(InvalidPlan):
        _ = SharedIterations(1, 2).shared_iterations
    with pytest.raises(InvalidPlan):
        _ = RampingVUs([("1s", 1)], graceful_ramp_down="x").graceful_ramp_down_ns


PROFILES = [
    ConstantVUs(5, "1m30s", start_time="10s", graceful_stop=0, tags={"a": "b"}, env={"C": "d"}),
    RampingVUs([("2m", 200), (300, 200)], start_vus=0, graceful_ramp_down="5s"),
    PerVUIterations(3, 4, 60),
    SharedIterations(30, 4, 60),
    ExternallyControlled(3, None, "2m", graceful_ramp_down=5),
]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_survives_a_plan_file(profile: LoadModel) -> None:
    written = json.dumps(profile.to_dict())
    assert load_from_dict(json.loads(written)) == profile
    assert json.loads(written)["executor"] == profile.executor


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_is_a_value(profile: LoadModel) -> None:
    assert profile.describe()
    for twin in (pickle.loads(pickle.dumps(profile)), copy.deepcopy(profile), replace(profile)):
        assert twin == profile
        assert hash(twin) == hash(profile)
        assert twin.duration_ns == profile.duration_ns
    later = replace(profile, start_time="99s")
    assert later != profile
    assert later.start_time_ns == 99 * S
    with pytest.raises(FrozenInstanceError):
        profile.start_time = 3  # type: ignore[misc]


def test_a_profile_does_not_change_with_what_it_was_made_from() -> None:
    stages, tags = [["2s", 3]], {"a": "b"}
    profile = RampingVUs(stages, tags=tags)  # type: ignore[arg-type]
    stages[0][1] = 7
    stages.append(["1s", 1])
    tags["c"] = "d"
    assert (profile.peak_vus, profile.duration_ns, profile.tags) == (3, 2 * S, {"a": "b"})


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({}, "executor must be one of constant-arrival-rate, .*, shared-iterations, not None"),
        ({"executor": "warp"}, "not 'warp'"),
        ({"executor": ["constant-vus"]}, "executor must be one of"),
        ({"executor": "constant-vus", "vus": 1}, "constant-vus: .*'duration'"),
        ({"executor": "constant-vus", "vu": 1}, "constant-vus has no vu; it has duration, env, "),
    ],
)
def test_a_broken_plan_file_is_refused(data: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        load_from_dict(data)


def test_wrong_values_in_a_plan_file_are_left_to_validate() -> None:
    profile = load_from_dict({"executor": "ramping-vus", "stages": [["2m", "x"]]})
    assert profile.validate() == [
        "the target of stages[0] must be a whole number of at least 0, but is 'x'"
    ]
