"""Durations as people write them, and back.

Outside, a duration is float seconds or a text such as ``"1m30s"``; inside, it is int64 ns. This
module is the only place where the one becomes the other.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from ghostcore.errors import UsageError

__all__ = ["Duration", "format_duration", "parse_duration", "seconds_to_ns"]

Duration = float | str
"""What every argument that takes a duration accepts: seconds, or a text like ``"2m"``."""

NS_PER_S = 1_000_000_000
MAX_SECONDS = 9_000_000_000
"""About 285 years: the largest duration whose ns still fit an int64."""

_ACCEPTED = 'seconds as a number, or a text such as "30s", "200ms", "2m", "1h" or "1m30s"'
_UNIT_SECONDS = {
    "h": Fraction(3600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1000),
    "us": Fraction(1, 1_000_000),
    "µs": Fraction(1, 1_000_000),  # the micro sign
    "μs": Fraction(1, 1_000_000),  # the Greek letter, which keyboards give as well
    "ns": Fraction(1, NS_PER_S),
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([^\W\d_]+)")
_MAX_TEXT = 64


def parse_duration(value: object, name: str = "duration") -> float:
    """Read a duration given by a user.

    :param value: seconds as an int or a float, or a text of parts, each a decimal number and a
        unit (``h``, ``m``, ``s``, ``ms``, ``us``, ``ns``), which are added up: ``"1m30s"``. A
        text without a unit is refused, ``"0"`` excepted: k6 would read ``"30"`` as ms, others as
        seconds.
    :param name: what to call the argument in an error.
    :returns: seconds, from 0 to 9e9.
    :raises UsageError: negative, not finite, too large, or not a duration at all.
    """
    if isinstance(value, str):
        seconds = _parse_text(value.strip(), value, name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = _to_float(value)
    else:
        raise UsageError(f"{name} must be {_ACCEPTED}, not {_show(value)}")
    if math.isnan(seconds):
        raise UsageError(f"{name} must be {_ACCEPTED}, not NaN")
    if seconds < 0:
        raise UsageError(f"{name} must not be negative, but is {_show(value)}")
    if seconds > MAX_SECONDS:
        raise UsageError(f"{name} must be at most {MAX_SECONDS} seconds, but is {_show(value)}")
    return seconds


def _to_float(value: float | Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, 1 if value > 0 else -1)


def _show(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _MAX_TEXT else f"{shown[:_MAX_TEXT]}..."


def _parse_text(text: str, given: str, name: str) -> float:
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    if digits == "0":
        return 0.0
    total, position = Fraction(0), 0
    while position < len(digits):
        part = _PART.match(digits, position)
        unit = _UNIT_SECONDS.get(part[2]) if part else None
        if part is None or unit is None:
            break
        total += Fraction(part[1].rstrip(".")) * unit
        position = part.end()
    if position == 0 or position < len(digits):
        hint = ""
        if re.fullmatch(r"[0-9]+(\.[0-9]*)?", digits):
            hint = f' (it has no unit: write "{digits}s" for seconds)'
        raise UsageError(f"{name} must be {_ACCEPTED}, not {_show(given)}{hint}")
    return sign * _to_float(total)


def seconds_to_ns(seconds: float) -> int:
    """Whole ns nearest to `seconds`, ties to even, without the error of a float product.

    :raises UsageError: NaN or infinite.
    """
    if isinstance(seconds, int):
        return seconds * NS_PER_S
    if not math.isfinite(seconds):
        raise UsageError(f"seconds must be finite, not {seconds}")
    return round(Fraction(seconds) * NS_PER_S)


def format_duration(seconds: float) -> str:
    """A short text for people, which :func:`parse_duration` reads back.

    ``2m``, ``1m30s``, ``1h``, ``1.5s``, ``200ms``, ``500us``. From a minute up rounded to ms, below
    to at most four significant digits. A negative value has a leading ``-``; NaN and infinities
    are ``nan``, ``inf`` and ``-inf``.
    """
    if not math.isfinite(seconds):
        return str(float(seconds))
    if seconds < 0:
        text = format_duration(-seconds)
        return text if text == "0s" else f"-{text}"
    if seconds < 60:
        for unit, scale in (("s", 1), ("ms", 1_000), ("us", 1_000_000)):
            rounded = float(f"{seconds * scale:.4g}")
            if rounded >= 1:
                return format_duration(60) if (unit, rounded) == ("s", 60) else f"{rounded:g}{unit}"
        nanoseconds = round(seconds * NS_PER_S)
        return f"{nanoseconds}ns" if nanoseconds else "0s"
    minutes, ms = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    if ms:
        parts.append(f"{ms / 1000:g}s")
    return "".join(parts)
