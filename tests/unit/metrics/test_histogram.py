"""Histogram: cells, ranks, exact fields, forms for the wire. Values are known by construction."""

from __future__ import annotations

import copy
import math
import pickle
import sys

import pytest
from hdrh.histogram import HdrHistogram

from ghostcore.metrics.histogram import HIGHEST, Histogram, rank_of


def of(*values: int) -> Histogram:
    h = Histogram()
    for value in values:
        h.record(value)
    return h


def test_an_empty_histogram_knows_nothing_and_costs_little() -> None:
    h = Histogram()
    assert (h.count, h.min, h.max, h.sum) == (0, None, None, 0.0)
    assert math.isnan(h.mean)
    assert not h
    assert list(h.cells()) == []
    assert h.count_at_or_below(HIGHEST) == 0
    assert sys.getsizeof(h) < 300
    with pytest.raises(ValueError, match="rank 1 does not exist among 0 samples"):
        h.value_at_rank(1)
    with pytest.raises(ValueError, match="no rank among no samples"):
        h.value_at_quantile(0.5)


def test_memory_grows_with_the_range_that_is_hit_and_goes_with_clear() -> None:
    h = of(5)
    one = sys.getsizeof(h)
    h.record(6)
    assert sys.getsizeof(h) == one
    h.record(HIGHEST)
    assert sys.getsizeof(h) == one + 1024
    h.clear()
    assert h == Histogram()
    assert sys.getsizeof(h) == sys.getsizeof(Histogram())
    h.record(7)
    assert list(h.cells()) == [(7, 1)]


@pytest.mark.parametrize(
    ("value", "lowest"),
    [
        (0, 0),
        (1, 1),
        (2047, 2047),
        (2048, 2048),
        (2049, 2048),
        (4095, 4094),
        (4096, 4096),
        (4099, 4096),
        (1_000_000, 999_936),
        (HIGHEST, 1716 << 21),
    ],
)
def test_cells_are_one_wide_to_2047_then_double_with_every_power_of_two(
    value: int, lowest: int
) -> None:
    assert list(of(value).cells()) == [(lowest, 1)]


def test_a_rank_gives_the_top_of_its_cell_but_never_more_than_the_maximum() -> None:
    h = of(4096, 4096, 8192, 8193)
    assert h.value_at_rank(1) == 4099
    assert h.value_at_rank(2) == 4099
    assert h.value_at_rank(3) == 8193
    assert h.value_at_rank(4) == 8193
    for rank in (0, 5, -1):
        with pytest.raises(ValueError, match="does not exist among 4"):
            h.value_at_rank(rank)


def test_exact_fields_are_those_of_the_values_not_of_the_cells() -> None:
    h = of(1_000_001, 1_000_003)
    h.record(1_000_007, 2)
    assert (h.count, h.min, h.max) == (4, 1_000_001, 1_000_007)
    assert h.sum == 4_000_018
    assert h.mean == 1_000_004.5
    assert h.value_at_rank(4) == 1_000_007


def test_nothing_outside_the_range_is_dropped() -> None:
    h = of(-5, 3, HIGHEST + 1, HIGHEST + 1000, HIGHEST)
    assert (h.count, h.underflow, h.overflow) == (5, 1, 2)
    assert (h.min, h.max) == (-5, HIGHEST + 1000)
    assert h.sum == -5 + 3 + 3 * HIGHEST + 1001
    assert list(h.cells()) == [(0, 1), (3, 1), (1716 << 21, 3)]
    # Ranks among the overflow are not sold as the end of the range.
    assert h.value_at_rank(5) == h.value_at_rank(4) == HIGHEST + 1000
    assert HIGHEST <= h.value_at_rank(3) <= HIGHEST * 1.001
    assert h.value_at_rank(1) == 0
    assert [h.count_at_or_below(v) for v in (-6, -5, 0, 3, HIGHEST, HIGHEST + 1, 2**62)] == [
        0,
        1,
        1,
        2,
        3,
        5,
        5,
    ]


def test_the_ends_of_int64_are_counted() -> None:
    h = of(2**63 - 1, -(2**63))
    assert (h.count, h.underflow, h.overflow, h.min, h.max) == (2, 1, 1, -(2**63), 2**63 - 1)
    assert Histogram.from_bytes(h.to_bytes()) == h
    with pytest.raises(OverflowError):
        h.record(2**63)


def test_counts_are_checked() -> None:
    h = of(1)
    h.record(2, 0)
    assert h == of(1)
    with pytest.raises(ValueError, match="a count is 0 or more, not -1"):
        h.record(2, -1)
    h.record(2, 2**63 - 2)
    with pytest.raises(OverflowError, match="more samples than"):
        h.record(3)
    with pytest.raises(OverflowError, match="more samples than"):
        h.merge(of(1))
    assert h.count == 2**63 - 1


def test_record_many_is_that_many_records() -> None:
    h = Histogram()
    h.record_many(9, 1000)
    assert h.count == 1000
    assert list(h.cells()) == [(9, 1000)]


def test_count_at_or_below_counts_the_whole_cell_of_the_value() -> None:
    h = of(10, 20, 4096, 4099, 5000)
    assert [h.count_at_or_below(v) for v in (9, 10, 19, 20, 4095, 4097, 4999, 5000)] == [
        0,
        1,
        1,
        2,
        2,
        4,
        4,
        5,
    ]


def test_merge_adds_and_leaves_the_other_alone() -> None:
    a, b = of(1, 5000, -1), of(0, 5001, HIGHEST + 1)
    before = b.copy()
    a.merge(b)
    assert a == of(1, 5000, -1, 0, 5001, HIGHEST + 1)
    assert b == before
    a.merge(Histogram())
    assert a.count == 6
    empty = Histogram()
    empty.merge(b)
    assert empty == b
    b.merge(b)
    assert b.count == 6
    with pytest.raises(TypeError):
        a.merge(None)  # type: ignore[arg-type]


def test_copies_are_independent() -> None:
    h = of(1, 2)
    twins = [h.copy(), copy.copy(h), copy.deepcopy(h), pickle.loads(pickle.dumps(h))]
    h.record(3)
    for twin in twins:
        assert twin == of(1, 2)
        assert twin != h


def test_equality_sees_exact_values_within_one_cell() -> None:
    assert of(4096) != of(4097)
    assert of(4096) != "4096"
    assert of() != of(0)


@pytest.mark.parametrize(
    ("q", "n", "rank"),
    [
        (0.0, 10, 1),
        (1.0, 10, 10),
        (0.5, 10, 5),
        (0.51, 10, 6),
        (0.07, 100, 7),
        (0.29, 100, 29),
        (0.57, 100, 57),
        (99.9 / 100, 1000, 999),
        (0.999, 10**9, 999_000_000),
        (0.95, 1, 1),
        (1e-18, 5, 1),
    ],
)
def test_rank_is_the_ceiling_and_ignores_binary_noise(q: float, n: int, rank: int) -> None:
    assert rank_of(q, n) == rank


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan, math.inf])
def test_rank_refuses_what_is_no_quantile(q: float) -> None:
    with pytest.raises(ValueError, match="within 0 and 1"):
        rank_of(q, 10)


def corrupt() -> list[bytes]:
    """Wire forms that lie: a version of the future, fields that contradict cells, odd lengths."""
    whole = of(5, 9).to_bytes()  # 01 02 | 0a 12 00 00 | sum | 05 01 03 01
    head, sums, cells = whole[:6], whole[6:14], whole[14:]
    assert (head, cells) == (b"\x01\x02\x0a\x12\x00\x00", b"\x05\x01\x03\x01")
    return [
        b"",
        b"\x02" + whole[1:],
        whole[:-1],
        whole + b"\x00",
        b"\x01\x00\x00",
        b"\x01\x02\x0a\x10\x00\x00" + sums + cells,  # maximum 8, cells say 9
        b"\x01\x02\x08\x12\x00\x00" + sums + cells,  # minimum 4, cells say 5
        b"\x01\x02\x0a\x12\x01\x00" + sums + cells,  # underflow, nothing below 0
        b"\x01\x02\x0a\x12\x00\x01" + sums + cells,  # overflow, nothing above
        head + b"\xff" * 8 + cells,  # sum NaN
        head + b"\x00" * 8 + cells,  # sum 0 of 5 and 9
        head + sums + b"\x05\x01\x03\x00",  # a cell without samples
        head + sums + b"\x05\x01\xff\xff\x7f\x01",  # a cell far beyond the range
        head + sums + b"\x05\x01\x03" + b"\xff" * 9 + b"\x01",  # a count of 64 bits
        head + sums + b"\x05\x01\x03" + b"\xff" * 9 + b"\x02",  # an integer of 65 bits
        b"\x01" + b"\xff" * 9 + b"\x01" + whole[2:],  # cells without end
    ]


@pytest.mark.parametrize("data", corrupt())
def test_from_bytes_refuses_garbage(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"corrupt|not a histogram"):
        Histogram.from_bytes(data)


def test_wire_form_is_small() -> None:
    h = Histogram()
    h.record_many(1234, 1_000_000)
    assert len(h.to_bytes()) < 30
    assert len(Histogram().to_bytes()) == 2
    assert Histogram.from_bytes(Histogram().to_bytes()) == Histogram()


def test_encode_is_what_the_package_reads_and_decode_what_it_wrote() -> None:
    h = of(0, 7, 1_000_001, 1_000_001, HIGHEST)
    theirs = HdrHistogram.decode(h.encode())
    assert theirs.get_total_count() == 5
    cells = [(theirs.get_value_from_index(i), n) for i, n in enumerate(theirs.counts) if n]
    assert cells == [(0, 1), (7, 1), (999_936, 2), (1716 << 21, 1)]
    package = HdrHistogram(1, HIGHEST, 3)
    for value in (0, 7, 1_000_001, 1_000_001, HIGHEST):
        package.record_value(value)
    assert Histogram.decode(package.encode()) == Histogram.decode(h.encode())
    assert list(Histogram.decode(package.encode()).cells()) == list(h.cells())
    assert Histogram.decode(Histogram().encode()) == Histogram()


def test_from_hdr_keeps_exact_ends_and_estimates_the_sum() -> None:
    package = HdrHistogram(1, HIGHEST, 3)
    for value in (4096, 1_000_003, 2_000_005):
        package.record_value(value)
    h = Histogram.from_hdr(package)
    assert (h.count, h.min, h.max) == (3, 4096, 2_000_005)
    assert h.sum == pytest.approx(3_004_104, rel=0.0005)
    single = HdrHistogram(1, HIGHEST, 3)
    single.record_value(4096)
    assert Histogram.from_hdr(single) == of(4096)


def test_from_hdr_counts_what_lies_beyond_our_range_as_overflow() -> None:
    wide = HdrHistogram(1, 10 * HIGHEST, 3)
    wide.record_value(2 * HIGHEST)
    wide.record_value(5)
    h = Histogram.from_hdr(wide)
    assert (h.count, h.overflow, h.max) == (2, 1, 2 * HIGHEST)
    assert Histogram.from_bytes(h.to_bytes()) == h


@pytest.mark.parametrize("other", [HdrHistogram(1, HIGHEST, 2), HdrHistogram(1000, HIGHEST, 3)])
def test_from_hdr_refuses_other_cells(other: HdrHistogram) -> None:
    with pytest.raises(ValueError, match="lowest value 1 and 3 significant digits"):
        Histogram.from_hdr(other)


@pytest.mark.parametrize("payload", ["", "abc", "AAAAAAAAAAA=", b"\xff", "HISTFAAAAAEA", "é"])
def test_decode_refuses_garbage(payload: str | bytes) -> None:
    with pytest.raises(ValueError, match="not an HDR histogram payload"):
        Histogram.decode(payload)
