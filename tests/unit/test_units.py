from __future__ import annotations

import math

import pytest

from ghostcore._units import format_duration, parse_duration, seconds_to_ns
from ghostcore.errors import UsageError


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (0, 0.0),
        (30, 30.0),
        (0.25, 0.25),
        ("0", 0.0),
        ("30s", 30.0),
        ("200ms", 0.2),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("1m30s", 90.0),
        ("1h2m3s4ms5us6ns", 3723.004005006),
        ("500us", 0.0005),
        ("500µs", 0.0005),
        ("500μs", 0.0005),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("1.s", 1.0),
        (" 10s ", 10.0),
    ],
)
def test_what_is_a_duration(given: float | str, seconds: float) -> None:
    assert parse_duration(given) == seconds


@pytest.mark.parametrize(
    "given",
    ["", "s", "30", "1.5", "30 s", "1m 30s", "30x", "5S", "1m30", "1e3s", "--1s", "٣s", None, True,
     [30], b"30s", math.nan, math.inf, "99999999999h", 10**400, "-1s", -1, -0.001, "-30"],
)  # fmt: skip
def test_what_is_none_is_refused_by_name(given: object) -> None:
    with pytest.raises(UsageError, match=r"^graceful_stop must "):
        parse_duration(given, "graceful_stop")


def test_an_error_says_what_was_given_and_what_is_accepted() -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration("5 parsecs", "max_duration")
    assert str(caught.value) == (
        "max_duration must be seconds as a number, or a text such as "
        '"30s", "200ms", "2m", "1h" or "1m30s", not \'5 parsecs\''
    )
    with pytest.raises(UsageError, match=r'no unit: write "30s" for seconds'):
        parse_duration("30")
    with pytest.raises(UsageError, match=r"must not be negative, but is -1\.5"):
        parse_duration(-1.5)
    with pytest.raises(UsageError, match="must be at most 9000000000 seconds"):
        parse_duration(math.inf)
    with pytest.raises(UsageError) as caught:
        parse_duration("x" * 10_000)
    assert len(str(caught.value)) < 250


def test_ns_are_rounded_exactly() -> None:
    assert seconds_to_ns(3) == 3_000_000_000
    assert seconds_to_ns(0.1) == 100_000_000
    assert seconds_to_ns(-0.1) == -100_000_000
    # 2**-10 s is 976562.5 ns: a tie goes to the even neighbour, 3 * 2**-10 likewise.
    assert seconds_to_ns(2**-10) == 976_562
    assert seconds_to_ns(3 * 2**-10) == 2_929_688
    # The product of floats would be 8999999999876543488.
    assert seconds_to_ns(8999999999.876543) == 8_999_999_999_876_543_045
    for wrong in (math.nan, math.inf, -math.inf):
        with pytest.raises(UsageError, match="seconds must be finite"):
            seconds_to_ns(wrong)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (30, "30s"),
        (60, "1m"),
        (90, "1m30s"),
        (3600, "1h"),
        (3723.5, "1h2m3.5s"),
        (7200.25, "2h0.25s"),
        (0.2, "200ms"),
        (0.0005, "500us"),
        (1.5, "1.5s"),
        (0.001234567, "1.235ms"),
        (0.99999, "1s"),
        (59.9999, "1m"),
        (119.9999, "2m"),
        (3599.9999, "1h"),
        (2e-9, "2ns"),
        (1e-10, "0s"),
        (-1e-10, "0s"),
        (-90, "-1m30s"),
        (86400 * 100, "2400h"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
    ],
)
def test_short_form(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
