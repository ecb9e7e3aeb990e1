"""Numbers and foreign text, as they are printed."""

from __future__ import annotations

import math

import pytest

from ghostcore.metrics import Bounds, Trend, TrendView
from ghostcore.results.text import (
    bounds_text,
    clean,
    compact,
    grouped,
    interval_text,
    share_text,
    size_text,
    three_digits,
    wrapped,
)
from tests.support.results import trend_state


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.00123, "0.001"),
        (0.00012, "0.00012"),
        (0.412, "0.412"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (123.4, "123"),
        (120042.4, "120042"),
        (2, "2.00"),
        (math.nan, "-"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
    ],
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert three_digits(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(20.0, "20"), (12345, "12345"), (1.5, "1.50"), (math.nan, "-")]
)
def test_whole_numbers_are_printed_in_full(value: float, text: str) -> None:
    assert compact(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1234567, "1,234,567"), (1234.5, "1,234.5"), (math.inf, "inf")]
)
def test_counts_have_their_thousands_apart(value: float, text: str) -> None:
    assert grouped(value) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "-"),
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (1, 3, "33.33 %"),
        (99_999, 100_000, "99.99 %"),  # 99.999 rounds to 100.00: one failed
        (1, 1_000_000, "0.01 %"),
    ],
)
def test_a_share_is_never_rounded_to_all_or_nothing(part: int, whole: int, text: str) -> None:
    assert share_text(part, whole) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(12, "12 B"), (1500, "1.5 kB"), (41_500_000, "41.5 MB"), (2.5e11, "250 GB")],
)
def test_sizes(size: float, text: str) -> None:
    assert size_text(size) == text


def test_bounds_that_differ_print_as_at_least() -> None:
    assert bounds_text(Bounds(12.3, 12.3)) == "12.3"
    assert bounds_text(Bounds(10000, math.inf)) == ">= 10000"
    assert bounds_text(Bounds(math.inf, math.inf)) == "inf"
    assert bounds_text(Bounds(math.nan, math.nan)) == "-"


def test_an_interval_needs_enough_samples() -> None:
    def shown(count: int) -> str:
        state = trend_state([float(value) for value in range(1, count + 1)])
        return interval_text(TrendView("t", Trend("t"), state), 95)

    assert shown(0) == "-"
    assert shown(58) == "too few"
    assert shown(59) == "50.0..59.0"


def test_what_a_terminal_would_obey_is_shown_instead() -> None:
    assert clean("a\nb\tc") == "a b c"
    assert clean("\x1b[2J\x07\u202e é") == "\\x1b[2J\\x07\\u202e é"


def test_long_words_are_not_broken() -> None:
    url = "ws://" + "h" * 40
    assert wrapped(f"refused by {url}", 30, "- ", "  ") == ["- refused by", f"  {url}"]
    assert wrapped("", 30, "- ") == ["- "]
