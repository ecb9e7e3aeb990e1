"""Plans: every problem is found at once, and what is valid is put together."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from ghostcore import (
    VU,
    ConstantVUs,
    Counter,
    InvalidPlan,
    PerVUIterations,
    Scenario,
    Threshold,
    Trend,
    UsageError,
    scenario,
)
from ghostcore.execution.plan import make_plan

JOIN = Trend("join_time")


async def body(vu: VU) -> None:
    """Nothing."""


def made(**options: Any) -> Scenario:
    options.setdefault("name", "one")
    return scenario(**options)(body)


def problems_of(*scenarios: Scenario, **options: Any) -> str:
    with pytest.raises(InvalidPlan) as caught:
        make_plan(scenarios, **options)
    assert str(caught.value) == "; ".join(caught.value.problems)
    return "\n".join(caught.value.problems)


def test_a_valid_plan() -> None:
    load = ConstantVUs(5, "10s", tags={"a": "1"}, env={"X": "load"})
    one = made(
        load=load,
        thresholds={JOIN: ["p(95)<100", "max<500"], "ws_errors{kind:closed}": "count<1"},
        metrics=[Counter("seen")],
        tags={"b": "2"},
        env={"X": "scenario", "Y": "scenario"},
    )
    plan = make_plan([one], env={"X": "run", "Y": "run", "Z": "run"}, seed=7)
    assert plan.seed == 7
    assert plan.max_vus == 5
    assert plan.duration_ns == 10 * 10**9
    assert plan.scenarios[0].tags == {"a": "1", "b": "2"}
    assert plan.scenarios[0].env == {"X": "load", "Y": "scenario", "Z": "run"}
    assert [(one.selector, one.condition.expression) for one in plan.thresholds] == [
        ("join_time", "p(95)<100"),
        ("join_time", "max<500"),
        ("ws_errors{kind:closed}", "count<1"),
    ]
    assert set(plan.declarations) == {"join_time", "seen"}


def test_values_of_env_are_not_in_the_plan_that_is_saved() -> None:
    plan = make_plan([made(load=ConstantVUs(1, 1, env={"A": "hidden"}))], env={"KEY": "secret"})
    saved = str(plan.to_dict())
    assert "secret" not in saved
    assert "hidden" not in saved
    assert "KEY" in saved


def test_a_seed_is_drawn_if_none_is_given() -> None:
    one = made(load=ConstantVUs(1, 1))
    assert make_plan([one]).seed != make_plan([one]).seed


def test_all_problems_are_told_together() -> None:
    text = problems_of(
        made(
            name="bad",
            load=ConstantVUs(-1, "no time"),
            thresholds={
                JOIN: "p(101)<3",
                "nobody_knows": "count<1",
                "ws_connecting": "rate>0.5",
                "iterations": "p(95)<1",
                "ws_errors{kind:closd}": "count<1",
            },
        ),
        made(name="none"),
        made(name="odd", load="5 users"),
        seed=-3,
    )
    for expected in (
        "bad: vus",
        "bad: duration",
        "percentile 101",
        "'nobody_knows', which is neither built in nor declared",
        "a trend has no rate",
        "a counter has no p",
        "'ws_errors{kind:closd}': there is no such kind of error",
        "none: no load model",
        "odd: load '5 users' is no load model",
        "seed must be an int",
    ):
        assert expected in text, expected


def test_a_threshold_wrong_on_both_sides_is_told_of_both() -> None:
    text = problems_of(made(load=ConstantVUs(1, 1), thresholds={"nobody_knows": "p(101)<3"}))
    assert "percentile 101" in text
    assert "'nobody_knows', which is neither built in nor declared" in text


def test_thresholds_that_may_end_the_run() -> None:
    one = made(
        load=ConstantVUs(1, 1),
        thresholds={
            JOIN: [
                "max<1",
                Threshold("p(95)<1", abort_on_fail=True, delay="10s"),
                {"threshold": "avg<2", "abortOnFail": True, "delayAbortEval": "1m"},
                {"threshold": "avg<3"},
            ],
            "iterations": {"threshold": "count>1", "abortOnFail": False, "delayAbortEval": None},
        },
    )
    planned = make_plan([one]).thresholds
    assert [(one.condition.expression, one.abort_on_fail, one.delay_ns) for one in planned] == [
        ("max<1", False, 0),
        ("p(95)<1", True, 10 * 10**9),
        ("avg<2", True, 60 * 10**9),
        ("avg<3", False, 0),
        ("count>1", False, 0),
    ]
    assert planned[1].to_dict() == {
        "metric": "join_time",
        "expression": "p(95)<1",
        "abort_on_fail": True,
        "delay_s": 10,
    }


def test_all_that_is_wrong_with_a_threshold_is_told() -> None:
    text = problems_of(
        made(
            load=ConstantVUs(1, 1),
            thresholds={
                JOIN: [
                    Threshold("p(101)<1", abort_on_fail="yes", delay="10"),  # type: ignore[arg-type]
                    {"threshold": "rate<1", "abortOnfail": True},
                    {"abortOnFail": True},
                    Threshold(5),  # type: ignore[arg-type]
                    7,
                    Threshold("max<5 over last 100ms"),
                ]
            },
        )
    )
    for expected in (
        "percentile 101",
        "abort_on_fail must be True or False, not 'yes'",
        "its delay must be seconds",
        "no abortOnfail; it may have abortOnFail, delayAbortEval, threshold",
        "threshold '': expected AGGREGATION",
        "threshold 5: expected a text",
        "threshold 7: expected a text or Threshold(...)",
        "the window must be at least 1s",
        "(on join_time)",
    ):
        assert expected in text, expected


def test_no_scenario_and_twice_the_same() -> None:
    assert "no scenario" in problems_of()
    one = made(load=ConstantVUs(1, 1))
    assert "two scenarios are named 'one'" in problems_of(one, one)


def test_one_name_is_one_metric() -> None:
    text = problems_of(
        made(name="a", load=ConstantVUs(1, 1), metrics=[Trend("x")]),
        made(name="b", load=ConstantVUs(1, 1), metrics=[Counter("x"), Counter("iterations")]),
        made(name="c", load=ConstantVUs(1, 1), metrics=[Trend("iterations")]),
    )
    assert "b: metric x is" in text
    assert "c: metric iterations is" in text
    assert "b: metric iterations" not in text


def test_a_load_replaces_that_of_one_scenario() -> None:
    plan = make_plan([made()], load=PerVUIterations(2, 3))
    assert plan.max_vus == 2
    two = [made(name="a"), made(name="b")]
    assert "needs one scenario" in problems_of(*two, load=ConstantVUs(1, 1))


def test_what_is_no_metric() -> None:
    assert "'text' is no metric" in problems_of(made(load=ConstantVUs(1, 1), metrics=["text"]))


def test_scenarios_must_be_coroutine_functions_with_good_names() -> None:
    with pytest.raises(UsageError, match="async def"):
        scenario()(lambda vu: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(UsageError, match="name 'a b'"):
        scenario(name="a b")(body)


def test_a_scenario_takes_the_virtual_user() -> None:
    async def none() -> None:
        """Nothing."""

    async def two(vu: VU, url: str) -> None:
        """Nothing."""

    async def more(vu: VU, url: str = "", *rest: Any, **options: Any) -> None:
        """Nothing."""

    for function in (none, two):
        with pytest.raises(UsageError, match=f"'{function.__name__}' must be declared .* and take"):
            scenario()(function)  # type: ignore[arg-type]
    assert scenario()(more).name == "more"
    assert scenario(name="bound")(partial(two, url="ws://h")).name == "bound"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"thresholds": ["p(95)<1"]}, "thresholds must be a mapping of metrics to expressions"),
        ({"metrics": JOIN}, "metrics must be a list, not Trend"),
        ({"feeders": "rows.csv"}, "feeders must be a list, not 'rows.csv'"),
        ({"tags": 5, "env": "A=1"}, "tags must be a mapping .*; env must be a mapping"),
    ],
)
def test_arguments_of_another_shape_are_refused_where_they_stand(
    options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(UsageError, match=f"@scenario: {expected}"):
        made(**options)


def test_settings_and_tags_that_are_no_texts_are_told_with_all_else() -> None:
    text = problems_of(
        made(load=ConstantVUs(0, 1), env={"PORT": 8080}, tags={"a": None}),
        made(name="two", load=ConstantVUs(1, 1), tags={"a:b": "c", "scenario": "x"}),
        env={"RATE": 1.5},
    )
    assert text.splitlines() == [
        "env must map names to texts, but has 'RATE': 1.5 (write '1.5')",
        "one: tags must map names to texts, but has 'a': None",
        "one: env must map names to texts, but has 'PORT': 8080 (write '8080')",
        "one: vus must be at least 1, but is 0",
        "two: tag 'a:b': a name has no colon, comma, brace, quote or outer space",
        "two: tag 'scenario' is the scenario's name, always",
    ]
