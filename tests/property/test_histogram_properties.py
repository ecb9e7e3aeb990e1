"""Histogram against the hdrhistogram package and against sorted lists, for any values."""

from __future__ import annotations

import math
from fractions import Fraction

from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from ghostcore.metrics.histogram import HIGHEST, Histogram, rank_of

MODEL = HdrHistogram(1, HIGHEST, 3)  # for its arithmetic only: nothing is recorded in it

in_range = st.one_of(
    st.integers(0, HIGHEST),
    st.integers(0, 31).flatmap(lambda bits: st.integers(0, min(2**bits, HIGHEST))),
    st.sampled_from([2**bits + d for bits in range(32) for d in (-1, 0, 1) if 2**bits <= HIGHEST]),
)
any_value = st.one_of(in_range, st.integers(-(2**40), 2**40), st.just(HIGHEST + 1))
samples = st.lists(any_value, max_size=60)


def of(values: list[int]) -> Histogram:
    h = Histogram()
    for value in values:
        h.record(value)
    return h


def lowest(value: int) -> int:
    found: int = MODEL.get_lowest_equivalent_value(value)
    return found


def highest(value: int) -> int:
    found: int = MODEL.get_highest_equivalent_value(value)
    return found


@given(in_range)
def test_a_value_falls_into_the_packages_cell(value: int) -> None:
    h = of([value, 0])
    cells = dict(h.cells())
    assert lowest(value) in cells
    other = of([value, HIGHEST])
    assert other.value_at_rank(1) == min(highest(value), HIGHEST)


@given(samples)
def test_exact_fields_and_cells_of_any_values(values: list[int]) -> None:
    h = of(values)
    assert h.count == len(values)
    assert h.min == min(values, default=None)
    assert h.max == max(values, default=None)
    assert h.sum == sum(values)
    assert h.underflow == sum(v < 0 for v in values)
    assert h.overflow == sum(v > HIGHEST for v in values)
    expected: dict[int, int] = {}
    for value in values:
        cell = lowest(min(max(value, 0), HIGHEST))
        expected[cell] = expected.get(cell, 0) + 1
    assert list(h.cells()) == sorted(expected.items())


@given(st.lists(any_value, min_size=1, max_size=60))
def test_every_rank_is_the_top_of_the_cell_of_that_sample(values: list[int]) -> None:
    h = of(values)
    top = max(values)
    for rank, value in enumerate(sorted(values), 1):
        expected = top if value > HIGHEST else min(highest(max(value, 0)), top)
        assert h.value_at_rank(rank) == expected


@given(st.lists(in_range, min_size=1, max_size=60), in_range)
def test_count_at_or_below(values: list[int], limit: int) -> None:
    h = of(values)
    if limit >= max(values):
        expected = len(values)
    elif limit < min(values):
        expected = 0
    else:
        expected = sum(v <= highest(limit) for v in values)
    assert h.count_at_or_below(limit) == expected


@given(samples, samples)
def test_merging_is_recording_both(first: list[int], second: list[int]) -> None:
    h = of(first)
    h.merge(of(second))
    assert h == of(first + second) == of(second + first)


@given(st.lists(st.tuples(any_value, st.integers(1, 10**6)), max_size=30))
def test_the_wire_form_carries_everything(pairs: list[tuple[int, int]]) -> None:
    h = Histogram()
    for value, count in pairs:
        h.record(value, count)
    assert Histogram.from_bytes(h.to_bytes()) == h


@given(samples, st.data())
def test_a_damaged_wire_form_is_refused_or_still_consistent(
    values: list[int], data: st.DataObject
) -> None:
    wire = bytearray(of(values).to_bytes())
    wire[data.draw(st.integers(0, len(wire) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        h = Histogram.from_bytes(bytes(wire))
    except ValueError:
        return
    assert h.count == sum(count for _, count in h.cells())
    assert Histogram.from_bytes(h.to_bytes()) == h


@given(st.binary(max_size=40))
def test_random_bytes_never_crash(data: bytes) -> None:
    for wire in (data, b"\x01" + data):
        try:
            assert Histogram.from_bytes(wire).count >= 0
        except ValueError:
            continue


@settings(max_examples=25)
@given(st.lists(in_range, max_size=60))
def test_round_trip_through_the_package(values: list[int]) -> None:
    h = of(values)
    package = h.to_hdr()
    assert package.get_total_count() == len(values)
    back = Histogram.from_hdr(package)
    assert list(back.cells()) == list(h.cells())
    assert (back.min, back.max, back.count) == (h.min, h.max, h.count)
    assert math.isclose(back.sum, h.sum, rel_tol=0.0005, abs_tol=0)
    decoded = Histogram.decode(h.encode())
    assert list(decoded.cells()) == list(h.cells())
    if values:
        assert decoded.min == lowest(min(values))
        assert decoded.max == min(highest(max(values)), HIGHEST)
        assert Histogram.from_bytes(decoded.to_bytes()) == decoded


@given(st.integers(0, 100_000), st.integers(1, 10**9))
def test_rank_is_the_exact_ceiling_of_the_decimal(thousandths: int, n: int) -> None:
    exact = math.ceil(Fraction(thousandths, 100_000) * n)
    assert rank_of(thousandths / 100_000, n) == max(1, exact)
    assert rank_of(thousandths / 1000 / 100, n) == max(1, exact)
