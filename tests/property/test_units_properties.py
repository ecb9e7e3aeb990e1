from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ghostcore._units import format_duration, parse_duration, seconds_to_ns
from ghostcore.errors import UsageError

SECONDS = st.floats(min_value=0, max_value=9e9)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-9e9, max_value=9e9))
def test_no_ns_is_nearer(seconds: float) -> None:
    exact = Fraction(seconds) * 10**9
    assert abs(seconds_to_ns(seconds) - exact) <= Fraction(1, 2)


@given(SECONDS)
def test_the_short_form_reads_back_within_its_precision(seconds: float) -> None:
    back = parse_duration(format_duration(seconds))
    assert abs(back - seconds) <= max(0.0006 if seconds >= 59 else seconds * 0.0006, 5e-10)


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_parts_add_up(hours: int, minutes: int, seconds: int, ms: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s{ms}ms"
    total_ms = ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms
    assert parse_duration(text) == total_ms / 1000


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except UsageError:
        return
    assert 0 <= seconds <= 9e9
