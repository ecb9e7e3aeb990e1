from __future__ import annotations

import math

import pytest

from ghostcore.errors import UsageError
from ghostcore.metrics.declarations import Counter, Declaration, Gauge, Rate, Trend
from ghostcore.metrics.quantiles import Bounds, Interval, TooFew
from ghostcore.metrics.recorders import (
    CounterState,
    GaugeState,
    RateState,
    TrendRecorder,
    TrendState,
)
from ghostcore.metrics.views import (
    CounterView,
    GaugeView,
    RateView,
    TrendView,
    number_text,
    view_of,
)

INF = math.inf
JOIN = Trend("join")
WHOLE = Trend("join", resolution=1.0)  # cells of one ms below 2048


def trend(
    *values: float, failed: int = 0, cut_off: tuple[float, ...] = (), declaration: Trend = JOIN
) -> TrendView:
    recorder = TrendRecorder(declaration.resolution, declaration.unit_ns)
    for value in values:
        recorder.record(value)
    recorder.fail(failed)
    for value in cut_off:
        recorder.cut_off(value, "deadline")
    view = view_of(declaration, recorder.drain(), seconds=10)
    assert isinstance(view, TrendView)
    return view


def nan(*numbers: float) -> bool:
    return all(math.isnan(number) for number in numbers)


def test_trend_speaks_the_declared_unit() -> None:
    view = trend(1.5, 2.5, 12.346)
    assert (view.count, view.failed, view.cut_off, view.unit) == (3, 0, 0, "ms")
    assert (view.min, view.max) == (1.5, 12.346)
    assert view.mean == pytest.approx(16.346 / 3, rel=1e-12)
    assert view.p(50) == pytest.approx(2.5, rel=0.001)
    assert view.p(100) == 12.346
    assert view.histogram.count == 3
    seconds = trend(1.5, declaration=Trend("join", unit="s"))
    assert (seconds.min, seconds.p(50)) == (1.5, 1.5)


def test_trend_counts_all_samples_but_describes_the_good_ones() -> None:
    view = trend(1, 2, failed=2, cut_off=(50, 60))
    assert (view.count, view.failed, view.cut_off) == (6, 2, 2)
    assert view.cut_off_by_cause == {"deadline": 2}
    assert (view.min, view.max, view.mean) == (1, 2, 1.5)


def test_p_is_the_lower_bound() -> None:
    view = trend(1, 2, failed=1, cut_off=(50,))
    assert [view.p(q) for q in (25, 50, 75, 100)] == [1, 2, 50, INF]
    assert view.bounds(75) == Bounds(50, INF)
    assert [view.text(q) for q in (25, 50, 75, 100)] == ["1", "2", ">= 50", "inf"]


def test_trend_without_samples_has_no_numbers() -> None:
    view = trend()
    assert view.count == 0
    assert nan(view.min, view.max, view.mean, view.p(95), view.bounds(50).upper)
    assert nan(view.all_min().lower, view.all_max().lower, view.all_mean().lower)
    assert view.text(95) == "-"
    assert view.interval(95) == TooFew(59)


def test_trend_with_failures_only() -> None:
    view = trend(failed=3)
    assert nan(view.min, view.max, view.mean)
    assert view.p(1) == INF
    assert view.all_min() == view.all_max() == view.all_mean() == Bounds(INF, INF)


def test_figures_of_all_samples_have_bounds() -> None:
    view = trend(10, 20, cut_off=(5, 45))
    assert view.all_min() == Bounds(5, 10)
    assert view.all_max() == Bounds(45, INF)
    assert view.all_mean() == Bounds(20, INF)
    plain = trend(10, 20)
    assert plain.all_min() == Bounds(10, 10)
    assert plain.all_max() == Bounds(20, 20)
    assert plain.all_mean() == Bounds(15, 15)
    cut = trend(cut_off=(5,))
    assert cut.all_min() == cut.all_max() == Bounds(5, INF)


def test_interval_in_percent() -> None:
    assert trend(*range(1, 101), declaration=WHOLE).interval(50) == Interval(40, 61)
    assert trend(1).interval(99) == TooFew(299)


@pytest.mark.parametrize("q", [-1, 100.1, math.nan])
def test_percentiles_are_checked(q: float) -> None:
    view = trend(1)
    for ask in (view.p, view.bounds, view.interval, view.text):
        with pytest.raises(UsageError, match="within 0 and 100"):
            ask(q)


def test_percentiles_with_decimals_have_the_right_rank() -> None:
    view = trend(*range(1, 1001), declaration=WHOLE)
    assert view.p(99.9) == 999
    assert view.p(29) == 290


def test_counter() -> None:
    view = view_of(Counter("hits", unit="bytes"), CounterState(30, 3), seconds=20)
    assert isinstance(view, CounterView)
    assert (view.count, view.rate, view.samples, view.unit) == (30, 1.5, 3, "bytes")
    assert isinstance(view.count, int)
    empty = view_of(Counter("hits"), None, seconds=0)
    assert isinstance(empty, CounterView)
    assert (empty.count, empty.samples) == (0, 0)
    assert nan(empty.rate)
    half = view_of(Counter("hits"), CounterState(0.5, 1), seconds=1)
    assert isinstance(half, CounterView)
    assert half.count == 0.5


def test_rate() -> None:
    view = view_of(Rate("checks"), RateState(3, 1), seconds=1)
    assert isinstance(view, RateView)
    assert (view.passes, view.fails, view.rate) == (3, 1, 0.75)
    empty = view_of(Rate("checks"), None, seconds=1)
    assert isinstance(empty, RateView)
    assert (empty.passes, empty.fails) == (0, 0)
    assert nan(empty.rate)


def test_gauge() -> None:
    view = view_of(Gauge("level", unit="users"), GaugeState(3, 1, 9), seconds=1)
    assert isinstance(view, GaugeView)
    assert (view.value, view.min, view.max, view.unit) == (3, 1, 9, "users")
    empty = view_of(Gauge("level"), None, seconds=1)
    assert isinstance(empty, GaugeView)
    assert nan(empty.value, empty.min, empty.max)


@pytest.mark.parametrize(
    ("declaration", "state"),
    [(Counter("m"), RateState(1, 1)), (Rate("m"), TrendState(1.0)), (Gauge("m"), CounterState(1))],
)
def test_a_view_needs_data_of_its_kind(
    declaration: Declaration, state: CounterState | RateState | TrendState
) -> None:
    with pytest.raises(UsageError, match=f"metric m is a {declaration.kind}, but its data is"):
        view_of(declaration, state, seconds=1)


def test_the_name_is_how_it_was_asked_for() -> None:
    assert view_of(JOIN, None, seconds=1).name == "join"
    assert view_of(JOIN, None, seconds=1, name="join{a:1}").name == "join{a:1}"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (12.3, "12.3"),
        (12.3456, "12.346"),
        (10000, "10000"),
        (0.000123456, "0.0001235"),
        (1234567.5, "1234567.5"),
        (100.0, "100"),
        (0.5, "0.5"),
        (-2.5, "-2.5"),
        (math.nan, "-"),
        (INF, "inf"),
        (-INF, "-inf"),
    ],
)
def test_numbers_as_text(number: float, text: str) -> None:
    assert number_text(number) == text
