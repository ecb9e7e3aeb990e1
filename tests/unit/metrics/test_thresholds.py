from __future__ import annotations

import math

import pytest

from ghostcore.errors import UsageError
from ghostcore.metrics.declarations import Counter, Declaration, Gauge, Rate, Trend, from_due
from ghostcore.metrics.histogram import Histogram
from ghostcore.metrics.recorders import CounterState, GaugeState, RateState, TrendState
from ghostcore.metrics.thresholds import Condition, evaluate, parse
from ghostcore.metrics.views import View, view_of

# With a resolution of 1 ms, cells below 2048 ms are one wide: figures are exact.
TREND, COUNTER, RATE, GAUGE = Trend("t", resolution=1.0), Counter("c"), Rate("r"), Gauge("g")


def trend(good: list[int], failed: int = 0, cut: list[int] | None = None) -> View:
    hists = []
    for values in (good, cut or []):
        h = Histogram()
        for value in values:
            h.record(value)
        hists.append(h)
    cut_off = {"deadline": hists[1]} if cut else {}
    return view_of(TREND, TrendState(1.0, hists[0], failed, cut_off), seconds=10)


def counter(total: float, samples: int = 1) -> View:
    return view_of(COUNTER, CounterState(total, samples), seconds=10)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("p(95)<1000", ("p", 95.0, "<", 1000.0, None)),
        (" p( 99.9 ) <= 1e3 ", ("p", 99.9, "<=", 1000.0, None)),
        ("p (0)>.5", ("p", 0.0, ">", 0.5, None)),
        ("med != -2", ("med", 50.0, "!=", -2.0, None)),
        ("rate>0.95", ("rate", None, ">", 0.95, None)),
        ("count===0", ("count", None, "==", 0.0, None)),
        ("value >= 5 over last 30s", ("value", None, ">=", 5.0, 30.0)),
        ("avg<5  over  last  1m30s", ("avg", None, "<", 5.0, 90.0)),
        ("max<5 over last 1.5h", ("max", None, "<", 5.0, 5400.0)),
        ("min==+3. over last 1500ms", ("min", None, "==", 3.0, 1.5)),
    ],
)
def test_grammar(text: str, parsed: tuple[str, float | None, str, float, float | None]) -> None:
    assert parse(text) == Condition(text.strip(), *parsed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p(95)",
        "p(95)<",
        "p(95)<x",
        "p95<1000",
        "<5",
        "p(95)=<5",
        "p(95)<5 over",
        "p(95)<5ms",
        "p(95)<5 over last",
        "p(95)<5 over last 30",
        "p(95)<5over last 30s",
        "p(95)<5 over last -3s",
        "p(95)<1000 p(99)<2000",
        "count = 5",
        "p()<5",
        "p(x)<5",
        "p(95<5",
        "count<nan",
        "count<inf",
        "P(95)<5",
    ],
)
def test_what_is_no_threshold_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(UsageError, match="expected AGGREGATION OPERATOR NUMBER"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("mean<5", "unknown figure mean"),
        ("p<5", r"p needs a percentile: p\(95\)"),
        ("count(95)<5", "count takes none"),
        ("p(101)<5", "101 is not within 0 and 100"),
        ("p(-1)<5", "-1 is not within 0 and 100"),
        ("count<1e999", "too big"),
        ("count<1 over last 0s", "at least 1s"),
        ("count<1 over last 999ms", "at least 1s"),
    ],
)
def test_a_refusal_names_the_problem(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        parse(text)


ALLOWED = {
    TREND: {"avg", "min", "max", "med", "p(90)", "count"},
    COUNTER: {"count", "rate"},
    RATE: {"rate"},
    GAUGE: {"value"},
}
EVERY = sorted(set().union(*ALLOWED.values()))


@pytest.mark.parametrize("figure", EVERY)
@pytest.mark.parametrize("metric", ALLOWED, ids=lambda m: m.kind)
def test_each_kind_of_metric_has_its_figures(metric: Declaration, figure: str) -> None:
    problems = parse(f"{figure}<5").validate(metric)
    if figure in ALLOWED[metric]:
        assert problems == []
    else:
        assert len(problems) == 1
        assert f"a {metric.kind} has no {figure.partition('(')[0]}; it has" in problems[0]
        with pytest.raises(UsageError, match="has no"):
            evaluate(parse(f"{figure}<5"), view_of(metric, None, seconds=1))


@pytest.mark.parametrize(
    ("text", "view", "verdict", "observed"),
    [
        ("count<3", counter(2), "pass", 2),
        ("count<2", counter(2), "fail", 2),
        ("rate==0.2", counter(2), "pass", 0.2),
        ("rate>0.75", view_of(RATE, RateState(3, 1), seconds=1), "fail", 0.75),
        ("rate>=0.75", view_of(RATE, RateState(3, 1), seconds=1), "pass", 0.75),
        ("value<=5", view_of(GAUGE, GaugeState(5, 0, 9), seconds=1), "pass", 5),
        ("value!=5", view_of(GAUGE, GaugeState(5, 0, 9), seconds=1), "fail", 5),
        ("p(50)<2", trend([1, 1, 9]), "pass", 1),
        ("med==1", trend([1, 1, 9]), "pass", 1),
        ("p(100)<9", trend([1, 1, 9]), "fail", 9),
        ("avg<4", trend([1, 1, 9]), "pass", 11 / 3),
        ("min>=1", trend([1, 1, 9]), "pass", 1),
        ("max<9", trend([1, 1, 9]), "fail", 9),
        ("count>3", trend([1, 1, 9]), "fail", 3),
        ("count==5", trend([1, 1, 9], failed=1, cut=[3]), "pass", 5),
    ],
)
def test_known_figures_pass_or_fail(text: str, view: View, verdict: str, observed: float) -> None:
    result = evaluate(parse(text), view)
    assert result.verdict == verdict
    assert result.observed == pytest.approx(observed, rel=1e-12)
    assert (result.metric, result.expression) == (view.name, text)
    assert result.observed_text in result.reason


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("p(95)<1000", "fail"),
        ("avg<1000", "fail"),
        ("max<1000", "fail"),
        ("med<1000", "pass"),
        ("min<1000", "pass"),
        ("max>5", "pass"),
    ],
)
def test_a_failed_operation_is_infinite(text: str, verdict: str) -> None:
    assert evaluate(parse(text), trend([1, 1, 1], failed=1)).verdict == verdict


def test_infinity_is_explained() -> None:
    result = evaluate(parse("max<5"), trend([1], failed=1))
    assert result.observed == math.inf
    assert result.observed_text == "inf"
    assert result.reason == "max is inf: 1 of 2 operations failed"


# Samples 1 and 2, cut off at 4 and 8. p(75) lies within [4, inf], min is 1, avg within [3.75, inf],
# max within [8, inf].
@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("p(75)<5", "undetermined"),
        ("p(75)<4", "fail"),
        ("p(75)<3", "fail"),
        ("p(75)<=4", "undetermined"),
        ("p(75)<=3", "fail"),
        ("p(75)>5", "undetermined"),
        ("p(75)>4", "undetermined"),
        ("p(75)>3", "pass"),
        ("p(75)>=4", "pass"),
        ("p(75)>=5", "undetermined"),
        ("p(75)==4", "undetermined"),
        ("p(75)==9", "undetermined"),
        ("p(75)==3", "fail"),
        ("p(75)!=4", "undetermined"),
        ("p(75)!=3", "pass"),
        ("p(50)<5", "pass"),
        ("p(50)==2", "pass"),
        ("p(50)!=2", "fail"),
        ("avg<3", "fail"),
        ("avg<4", "undetermined"),
        ("avg>3", "pass"),
        ("max<8", "fail"),
        ("max<9", "undetermined"),
        ("max>7", "pass"),
        ("min<=1", "pass"),
        ("min>1", "fail"),
        ("count==4", "pass"),
    ],
)
def test_cut_off_samples_leave_a_figure_open(text: str, verdict: str) -> None:
    view = trend([1, 2], cut=[4, 8])
    result = evaluate(parse(text), view)
    assert result.verdict == verdict
    if verdict == "undetermined":
        assert result.observed_text.startswith(">= ")
        assert "depends on the 2 operations that were cut off" in result.reason


def test_the_minimum_is_open_where_the_shortest_was_cut_off() -> None:
    view = trend([10], cut=[4])
    verdicts = [evaluate(parse(f"min{rule}"), view).verdict for rule in ("<4", "<5", "<11", ">9")]
    assert verdicts == ["fail", "undetermined", "pass", "undetermined"]


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("p(95)<1000", trend([])),
        ("count<5", trend([])),
        ("count<5", counter(0, samples=0)),
        ("rate<5", counter(0, samples=0)),
        ("rate>0.9", view_of(RATE, None, seconds=1)),
        ("value<5", view_of(GAUGE, None, seconds=1)),
    ],
)
def test_no_data_fails_unless_it_is_allowed(text: str, view: View) -> None:
    result = evaluate(parse(text), view)
    assert (result.verdict, result.observed, result.observed_text) == ("fail", None, "-")
    assert "no data" in result.reason
    assert evaluate(parse(text), view, allow_empty=True).verdict == "pass"


def test_what_is_easily_overlooked_is_said() -> None:
    due = from_due(Trend("t"))
    assert "begins with" in evaluate(parse("p(95)<1"), view_of(due, None, seconds=1)).reason
    for text, hinted in (("count<5", True), ("count>5", False)):
        reason = evaluate(parse(text), counter(0, samples=0)).reason
        assert ("once a 0 was recorded" in reason) == hinted


def test_allowed_emptiness_still_counts_as_zero() -> None:
    for view in (counter(0, samples=0), trend([])):
        result = evaluate(parse("count>0"), view, allow_empty=True)
        assert (result.verdict, result.observed) == ("fail", 0)


def test_a_counter_that_is_known_to_be_zero_is_data() -> None:
    assert evaluate(parse("count<5"), counter(0, samples=1)).verdict == "pass"


def test_a_rate_per_second_needs_seconds() -> None:
    result = evaluate(parse("rate<5"), view_of(COUNTER, CounterState(1, 1), seconds=0))
    assert (result.verdict, result.observed) == ("fail", None)
    assert "no duration" in result.reason
