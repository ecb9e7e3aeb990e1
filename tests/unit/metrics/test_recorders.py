"""Recorders and states: what a window holds is what was put in between two drains."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable

import msgpack  # type: ignore[import-untyped, unused-ignore]
import pytest

from ghostcore.metrics.histogram import HIGHEST, Histogram
from ghostcore.metrics.recorders import (
    CAUSES,
    AnyState,
    CounterRecorder,
    CounterState,
    GaugeRecorder,
    GaugeState,
    RateRecorder,
    RateState,
    TrendRecorder,
    TrendState,
    state_from_wire,
)

NOT_FINITE = [math.nan, math.inf, -math.inf]


def of(*values: int) -> Histogram:
    h = Histogram()
    for value in values:
        h.record(value)
    return h


def milliseconds() -> TrendRecorder:
    return TrendRecorder(0.001, 1e6, name="join_time")


def test_counter_adds_up_and_starts_anew_after_a_drain() -> None:
    recorder = CounterRecorder("hits")
    assert recorder.drain() is None
    recorder.add(2)
    recorder.add(0.5)
    assert recorder.drain() == CounterState(2.5, 2)
    assert recorder.drain() is None


def test_counter_that_was_told_zero_is_known_to_be_zero() -> None:
    recorder = CounterRecorder()
    recorder.add(0)
    assert recorder.drain() == CounterState(0.0, 1)


@pytest.mark.parametrize("amount", [*NOT_FINITE, -1.0])
def test_counter_refuses_what_is_no_amount(amount: float) -> None:
    recorder = CounterRecorder("hits")
    with pytest.raises(ValueError, match=r"metric hits: .* a counter takes finite numbers from 0"):
        recorder.add(amount)
    assert recorder.drain() is None


def test_counter_refuses_to_grow_beyond_numbers() -> None:
    recorder = CounterRecorder("hits")
    recorder.add(1e308)
    with pytest.raises(ValueError, match="hits"):
        recorder.add(1e308)
    assert recorder.drain() == CounterState(1e308, 1)


def test_gauge_keeps_its_level_from_window_to_window() -> None:
    recorder = GaugeRecorder(additive=True)
    assert recorder.drain() is None
    recorder.set(5)
    recorder.add(-3)
    recorder.add(2)
    assert recorder.value == 4
    assert recorder.drain() == GaugeState(4, 2, 5, additive=True)
    assert recorder.drain() == GaugeState(4, 4, 4, additive=True)
    recorder.set(9)
    assert recorder.drain() == GaugeState(9, 4, 9, additive=True)


def test_gauge_that_begins_by_add_begins_at_zero() -> None:
    recorder = GaugeRecorder()
    recorder.add(-3)
    assert recorder.drain() == GaugeState(-3, -3, -3)


@pytest.mark.parametrize("value", NOT_FINITE)
def test_gauge_refuses_what_is_no_level(value: float) -> None:
    recorder = GaugeRecorder(name="level")
    for record in (recorder.set, recorder.add):
        with pytest.raises(ValueError, match=r"metric level: .* a gauge takes finite numbers"):
            record(value)
    assert recorder.drain() is None


def test_rate_counts_both() -> None:
    recorder = RateRecorder()
    assert recorder.drain() is None
    for passed in (True, False, True):
        recorder.add(passed)
    assert recorder.drain() == RateState(2, 1)
    recorder.add(False)
    assert recorder.drain() == RateState(0, 1)
    assert recorder.drain() is None


def test_trend_keeps_the_three_kinds_of_samples_apart() -> None:
    recorder = milliseconds()
    assert recorder.drain() is None
    recorder.record_ns(12_345_678)
    recorder.record(1.2345)
    recorder.fail()
    recorder.fail(2)
    recorder.cut_off_ns(10_000_000_000, "deadline")
    recorder.cut_off(7.5, "end")
    recorder.cut_off(8.5, "end")
    state = recorder.drain()
    assert state == TrendState(
        0.001, of(12_346, 1235), 3, {"deadline": of(10_000_000), "end": of(7500, 8500)}
    )
    assert state.count == 8
    assert recorder.drain() is None


@pytest.mark.parametrize(
    "act",
    [
        lambda r: r.record_ns(1),
        lambda r: r.record(1),
        lambda r: r.fail(),
        lambda r: r.cut_off(1, "dropped"),
        lambda r: r.cut_off_ns(1, "interrupted"),
    ],
)
def test_each_kind_of_sample_makes_a_window(act: Callable[[TrendRecorder], None]) -> None:
    recorder = milliseconds()
    act(recorder)
    state = recorder.drain()
    assert state is not None
    assert state.count == 1
    assert recorder.drain() is None


def test_a_drained_state_is_never_written_to_again() -> None:
    recorder = milliseconds()
    recorder.record(1)
    recorder.cut_off(2, "end")
    first = recorder.drain()
    recorder.record(3)
    recorder.cut_off(4, "end")
    assert first == TrendState(0.001, of(1000), 0, {"end": of(2000)})
    assert recorder.drain() == TrendState(0.001, of(3000), 0, {"end": of(4000)})


@pytest.mark.parametrize(
    ("resolution", "unit_ns", "ns", "units"),
    [
        (0.001, 1e6, 499, 0),
        (0.001, 1e6, 500, 1),
        (0.001, 1e6, 1499, 1),
        (0.001, 1e6, 1500, 2),
        (0.001, 1e6, 3_600_000_000_000, HIGHEST),
        (1e-6, 1e9, 2_000_499, 2000),
        (1.0, 1e3, 2_500, 3),
        (1000.0, 1.0, 2_499, 2),
        (0.1, 1e6, 149_999, 1),
        (0.1, 1e6, 150_000, 2),
        (1.0, 1.0, 7, 7),
        (0.25, 1.0, 7, 28),
    ],
)
def test_durations_round_to_the_nearest_unit(
    resolution: float, unit_ns: float, ns: int, units: int
) -> None:
    recorder = TrendRecorder(resolution, unit_ns)
    recorder.record_ns(ns)
    state = recorder.drain()
    assert state is not None
    assert state.hist == of(units)


@pytest.mark.parametrize(
    ("value", "units"),
    [
        (0.0005, 1),
        (0.0015, 2),
        (0.00049, 0),
        (12.3, 12300),
        (1e300, 2**63 - 1),
        (-1e300, -(2**63)),
        (-0.001, -1),
    ],
)
def test_values_round_to_the_nearest_unit_and_are_never_dropped(value: float, units: int) -> None:
    recorder = milliseconds()
    recorder.record(value)
    state = recorder.drain()
    assert state is not None
    assert state.hist == of(units)


def test_a_fine_resolution_does_not_overflow_on_ns() -> None:
    recorder = TrendRecorder(1e-9, 1.0)
    recorder.record_ns(2**62)
    state = recorder.drain()
    assert state is not None
    assert (state.hist.max, state.hist.overflow) == (2**63 - 1, 1)


@pytest.mark.parametrize("value", NOT_FINITE)
def test_trend_refuses_what_is_no_number_and_says_what_to_do(value: float) -> None:
    recorder = milliseconds()
    with pytest.raises(ValueError, match=r"join_time: .* by vu\.timer\(\) or metric="):
        recorder.record(value)
    with pytest.raises(ValueError, match="join_time"):
        recorder.cut_off(value, "end")
    assert recorder.drain() is None


def test_trend_refuses_unknown_causes_negative_counts_and_ns_without_a_unit() -> None:
    recorder = milliseconds()
    with pytest.raises(ValueError, match="unknown cause 'bored'; the causes are deadline, end"):
        recorder.cut_off(1, "bored")
    with pytest.raises(ValueError, match="0 or more, not -1"):
        recorder.fail(-1)
    recorder.fail(0)
    assert recorder.drain() is None
    with pytest.raises(ValueError, match="metric size is not a duration"):
        TrendRecorder(0.001, name="size").record_ns(5)


@pytest.mark.parametrize("resolution", [0.0, -1.0, math.nan, math.inf, 5e-324])
def test_trend_refuses_a_senseless_resolution(resolution: float) -> None:
    with pytest.raises(ValueError, match="a resolution is finite and above 0"):
        TrendRecorder(resolution)


def samples_of_all_kinds() -> list[AnyState]:
    return [
        CounterState(2.5, 3),
        GaugeState(2, 1, 3, additive=True),
        RateState(4, 5),
        TrendState(0.001, of(1, 5000), 2, {"end": of(7)}),
    ]


@pytest.mark.parametrize("state", samples_of_all_kinds(), ids=lambda s: type(s).__name__)
def test_states_survive_msgpack_pickle_and_copy(state: AnyState) -> None:
    wire = msgpack.unpackb(msgpack.packb(state.to_wire()))
    for twin in (
        state_from_wire(wire),
        pickle.loads(pickle.dumps(state)),
        state.copy(),
        copy.deepcopy(state),
    ):
        assert type(twin) is type(state)
        assert twin == state
        assert twin is not state


def test_states_of_different_kinds_are_neither_equal_nor_mergeable() -> None:
    states = samples_of_all_kinds()
    for i, one in enumerate(states):
        for other in states[i + 1 :]:
            assert one != other
            with pytest.raises(TypeError):
                one.merge(other)


def test_counters_and_rates_merge_and_append_by_adding() -> None:
    for join in ("merge", "append"):
        counter, rate = CounterState(1, 1), RateState(1, 2)
        getattr(counter, join)(CounterState(2, 3))
        getattr(rate, join)(RateState(10, 20))
        assert (counter, rate) == (CounterState(3, 4), RateState(11, 22))


def test_gauges_that_hold_shares_are_added_across_sources() -> None:
    one = GaugeState(10, 5, 12, additive=True)
    one.merge(GaugeState(20, 20, 30, additive=True))
    assert one == GaugeState(30, 25, 42, additive=True)


def test_gauges_without_shares_are_enveloped_across_sources() -> None:
    one = GaugeState(10, 5, 12)
    one.merge(GaugeState(20, 20, 30))
    assert one == GaugeState(20, 5, 30)
    with pytest.raises(ValueError, match="additive"):
        one.merge(GaugeState(1, 1, 1, additive=True))


@pytest.mark.parametrize("additive", [True, False])
def test_later_windows_of_a_gauge_replace_its_value(additive: bool) -> None:
    one = GaugeState(10, 5, 12, additive)
    one.append(GaugeState(3, 2, 4, additive))
    assert one == GaugeState(3, 2, 12, additive)


def test_trends_merge_without_sharing_histograms() -> None:
    one = TrendState(0.001, of(1), 1, {"end": of(5)})
    other = TrendState(0.001, of(2), 2, {"end": of(6), "deadline": of(7)})
    before = other.copy()
    one.merge(other)
    assert one == TrendState(0.001, of(1, 2), 3, {"end": of(5, 6), "deadline": of(7)})
    one.merge(other)
    assert other == before
    with pytest.raises(ValueError, match="different resolution"):
        one.merge(TrendState(0.01))


@pytest.mark.parametrize(
    "wire",
    [
        None,
        5,
        [],
        ["x"],
        ["c"],
        ["c", "a", 1],
        ["c", math.nan, 1],
        ["c", -1.0, 1],
        ["c", 1.0, -1],
        ["g", 1, 2, 3, False],
        ["g", math.inf, 0, math.inf, False],
        ["r", -1, 0],
        ["r", 1, 2**70],
        ["t", 0.0, b"\x01\x00", 0, {}],
        ["t", 1.0, b"", 0, {}],
        ["t", 1.0, b"\x01\x00", -1, {}],
        ["t", 1.0, b"\x01\x00", 0, {"bored": b"\x01\x00"}],
        ["t", 1.0, b"\x01\x00", 0, []],
        ["t", 1.0, "text", 0, {}],
    ],
)
def test_wire_garbage_is_refused(wire: object) -> None:
    with pytest.raises(ValueError, match="not the state of a metric"):
        state_from_wire(wire)


def test_causes_are_the_contract() -> None:
    assert CAUSES == ("deadline", "end", "interrupted", "dropped")
