"""Windows and merges: however samples are cut into windows and workers, the sum is the same."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostcore.errors import UsageError
from ghostcore.metrics.declarations import Trend
from ghostcore.metrics.recorders import CAUSES, TrendRecorder, TrendState, state_from_wire
from ghostcore.metrics.registry import Registry
from ghostcore.metrics.snapshot import (
    SeriesKey,
    Snapshot,
    Totals,
    parse_selector,
    tag_problems,
)

event = st.one_of(
    st.tuples(st.just("record"), st.integers(0, 10**13)),
    st.tuples(st.just("fail"), st.integers(1, 5)),
    st.tuples(st.sampled_from(CAUSES), st.integers(0, 10**13)),
)
events = st.lists(event, max_size=20)


def play(recorder: TrendRecorder, what: list[tuple[str, int]]) -> None:
    for kind, number in what:
        if kind == "record":
            recorder.record_ns(number)
        elif kind == "fail":
            recorder.fail(number)
        else:
            recorder.cut_off_ns(number, kind)


@given(events)
def test_windows_add_up_to_the_whole(what: list[tuple[str, int]]) -> None:
    whole, windowed = TrendRecorder(0.001, 1e6), TrendRecorder(0.001, 1e6)
    play(whole, what)
    total = TrendState(0.001)
    for one in what:
        play(windowed, [one])
        state = windowed.drain()
        assert state is not None
        total.append(state)
    expected = whole.drain()
    assert total == (TrendState(0.001) if expected is None else expected)
    assert total.count == sum(number if kind == "fail" else 1 for kind, number in what)


@given(events)
def test_states_travel(what: list[tuple[str, int]]) -> None:
    recorder = TrendRecorder(0.001, 1e6)
    play(recorder, what)
    state = recorder.drain()
    assert (state is None) == (not what)
    if state is not None:
        assert state_from_wire(state.to_wire()) == state


@given(st.integers(0, 2**50), st.sampled_from(["ms", "us", "ns", "s"]))
def test_ns_become_the_nearest_unit(ns: int, unit: str) -> None:
    metric = Trend("t", unit=unit)
    recorder = TrendRecorder(metric.resolution, metric.unit_ns)
    recorder.record_ns(ns)
    state = recorder.drain()
    assert state is not None
    assert state.hist.max is not None
    assert abs(Fraction(ns, 1000) - state.hist.max) <= Fraction(1, 2)


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc"), events), max_size=8))
def test_workers_and_windows_add_up_to_one_worker_in_one_window(
    plan: list[tuple[int, str, list[tuple[str, int]]]],
) -> None:
    metric = Trend("t")

    def record(registry: Registry, tag: str, what: list[tuple[str, int]]) -> None:
        recorder = registry.recorder(metric, {"tag": tag})
        assert isinstance(recorder, TrendRecorder)
        play(recorder, what)

    workers = [Registry() for _ in range(3)]
    alone, split, single = Registry(), Totals({"t": metric}), Totals({"t": metric})
    for second, (worker, tag, what) in enumerate(plan):
        record(alone, tag, what)
        record(workers[worker], tag, what)
        window = Snapshot(second, second + 1)
        for registry in workers:
            drained = registry.drain(second, second + 1)
            window.merge(Snapshot.from_bytes(drained.to_bytes()))
        split.add(window)
    single.add(alone.drain(0, len(plan)))
    for selector in ("t", "t{tag:a}", "t{tag:b}", "t{tag:none}"):
        assert split.metric(selector) == single.metric(selector)


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=4))
def test_every_series_prints_as_the_selector_that_finds_it(tags: dict[str, str]) -> None:
    """Whatever a check is called: those whose names no selector could hold are refused."""
    if list(tag_problems(tags)):
        with pytest.raises(UsageError, match="a name has no colon"):
            Registry().recorder("checks", tags)
        return
    key = SeriesKey.of("checks", tags)
    assert parse_selector(str(key)) == key
