"""From what users do to series of metrics, with a clock of the test's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ghostcore import Counter, Gauge, Rate, Trend
from ghostcore.errors import (
    ClosedByPeer,
    DataExhausted,
    HandshakeRejected,
    ProtocolViolation,
    TargetError,
    Timeout,
    UsageError,
)
from ghostcore.execution.recording import SAMPLES_PER_KIND, ErrorLog, ScenarioRecorder, code_of
from ghostcore.metrics import BUILTINS, Registry, Totals, View
from ghostcore.metrics.views import CounterView, GaugeView, RateView, TrendView

S = 1_000_000_000
T, C, R, G = Trend("t"), Counter("c"), Rate("r"), Gauge("g")


class Desk:
    """The recorder of the scenario ``shop``, and what comes of it."""

    def __init__(self) -> None:
        self.now_ns = 10 * S
        self.aborts: list[str] = []
        self.registry = Registry([T, C, R, G])
        self.errors = ErrorLog(lambda: self.now_ns, 10 * S)
        self.recorder = ScenarioRecorder(
            "shop",
            {"region": "eu"},
            self.registry,
            self.errors,
            self.aborts.append,
            lambda: "deadline",
        )

    def view(self, selector: str) -> View:
        totals = Totals({**BUILTINS, **{one.name: one for one in (T, C, R, G)}})
        totals.add(self.registry.drain(0, S))
        return totals.view(selector)


# ---- samples of errors --------------------------------------------------------------------------


def test_a_few_errors_of_each_kind_and_scenario_are_kept() -> None:
    log = Desk().errors
    for number in range(SAMPLES_PER_KIND + 2):
        log.add("shop", "closed", f"number {number}")
    assert not log.wants("shop", "closed")
    assert log.wants("shop", "tls_failed") and log.wants("chat", "closed")
    log.add("chat", "closed", "another's")
    texts = [sample.text for sample in log.take()]
    assert texts == [*(f"number {number}" for number in range(SAMPLES_PER_KIND)), "another's"]


def test_errors_that_were_taken_still_count_as_kept() -> None:
    log = Desk().errors
    for _ in range(SAMPLES_PER_KIND):
        log.add("shop", "closed", "")
    assert len(log.take()) == SAMPLES_PER_KIND
    log.add("shop", "closed", "one more")
    assert log.take() == []


def test_an_error_says_when_it_was_since_the_start_of_the_run() -> None:
    desk = Desk()
    desk.now_ns += 3 * S // 2
    desk.errors.add("shop", "closed", "", code=1006)
    (sample,) = desk.errors.take()
    assert (sample.at_s, sample.code) == (1.5, 1006)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ClosedByPeer("gone", code=1001), 1001),
        (ProtocolViolation("nonsense"), 1002),
        (HandshakeRejected("no", status=503), 503),
        (HandshakeRejected("no"), None),
        (Timeout("late"), None),
    ],
)
def test_the_number_that_a_server_gave(error: TargetError, code: int | None) -> None:
    assert code_of(error) == code


# ---- metrics ------------------------------------------------------------------------------------


def test_every_sample_has_the_tags_of_the_scenario_and_its_own() -> None:
    desk = Desk()
    desk.recorder.record(C, 2, {})
    desk.recorder.record(C, 3, {"page": "home"})
    totals = Totals({"c": C})
    totals.add(desk.registry.drain(0, S))
    for selector, count in (
        ("c{scenario:shop,region:eu}", 5),
        ("c{page:home}", 3),
        ("c{scenario:shop,region:eu,page:home}", 3),
    ):
        view = totals.view(selector)
        assert isinstance(view, CounterView)
        assert view.count == count, selector


def test_each_kind_of_metric_is_recorded_in_its_way() -> None:
    desk = Desk()
    for metric in (T, C, R, G):
        desk.recorder.record(metric, 3, {})
        desk.recorder.record(metric, 0, {})
    totals = Totals({one.name: one for one in (T, C, R, G)})
    totals.add(desk.registry.drain(0, S))
    t, c, r, g = (totals.view(name) for name in "tcrg")
    assert isinstance(t, TrendView) and (t.count, t.min, t.max) == (2, 0, 3)
    assert isinstance(c, CounterView) and (c.count, c.samples) == (3, 2)
    assert isinstance(r, RateView) and (r.passes, r.fails) == (1, 1)
    assert isinstance(g, GaugeView) and (g.value, g.max) == (0, 3)


@pytest.mark.parametrize(("metric", "value"), [(C, -1), (C, "many"), (T, float("nan")), (T, None)])
def test_a_value_that_a_metric_cannot_take_is_named(metric: Any, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"record\({metric.name}, {value!r}\)"):
        Desk().recorder.record(metric, value, {})


def test_times_of_operations_need_a_trend() -> None:
    with pytest.raises(UsageError, match="c is no Trend"):
        Desk().recorder.trend(C)


# ---- what went wrong ----------------------------------------------------------------------------


def test_all_errors_of_a_server_are_counted_by_kind_and_some_kept() -> None:
    desk = Desk()
    for _ in range(SAMPLES_PER_KIND + 3):
        desk.recorder.target_error(ClosedByPeer("gone", code=1001))
    desk.recorder.target_error(HandshakeRejected("no", status=503))
    kept = desk.errors.take()
    assert [sample.code for sample in kept] == [1001] * SAMPLES_PER_KIND + [503]
    view = desk.view(f"ws_errors{{kind:{kept[0].kind}}}")
    assert isinstance(view, CounterView)
    assert view.count == SAMPLES_PER_KIND + 3


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (asyncio.CancelledError(), "a cancellation that the script made itself left the scenario"),
    ],
)
def test_an_error_of_the_script_has_its_text(error: BaseException, text: str) -> None:
    desk = Desk()
    desk.recorder.script_error(error)
    (sample,) = desk.errors.take()
    assert (sample.scenario, sample.kind, sample.text) == ("shop", "script_error", text)
    view = desk.view("script_errors")
    assert isinstance(view, CounterView) and view.count == 1


def test_data_that_is_exhausted_is_an_error_of_its_own() -> None:
    desk = Desk()
    desk.recorder.data_exhausted(DataExhausted("no row is left"))
    (sample,) = desk.errors.take()
    assert (sample.kind, sample.text) == ("data_exhausted", "no row is left")


def test_who_aborts_is_heard() -> None:
    desk = Desk()
    desk.recorder.aborted("enough")
    assert desk.aborts == ["enough"]


# ---- users --------------------------------------------------------------------------------------


def test_the_most_users_are_those_that_exist_or_ran() -> None:
    desk = Desk()
    desk.recorder.created(3)
    for change in (2, 3, -4):
        desk.recorder.users(change)
    assert (desk.recorder.active, desk.recorder.ever_active) == (1, 5)
    desk.recorder.created(4)
    totals = Totals(BUILTINS)
    totals.add(desk.registry.drain(0, S))
    now, most = totals.view("vus"), totals.view("vus_max")
    assert isinstance(now, GaugeView) and (now.value, now.max) == (1, 5)
    assert isinstance(most, GaugeView) and most.value == 5
