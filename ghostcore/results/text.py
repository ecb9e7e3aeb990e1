"""How numbers, intervals and foreign text are written, on the console and in files alike."""

from __future__ import annotations

import math
import textwrap

from ghostcore.metrics import Bounds, Interval, TooFew, TrendView

__all__ = [
    "bounds_text",
    "clean",
    "compact",
    "error_text",
    "grouped",
    "interval_text",
    "share_text",
    "size_text",
    "three_digits",
    "wrapped",
]

_SIZES = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def compact(value: float) -> str:
    """Whole numbers in full, others with :func:`three_digits`."""
    return f"{int(value)}" if math.isfinite(value) and value == int(value) else three_digits(value)


def three_digits(value: float) -> str:
    """Three significant digits, as many as histograms hold; ``-`` for NaN."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    size = abs(value)
    if size == 0:
        return "0"
    for limit, digits in ((100, 0), (10, 1), (1, 2), (0.001, 3)):
        if size >= limit:
            return f"{value:.{digits}f}"
    return f"{value:.2g}"


def grouped(value: float) -> str:
    """A count with its thousands apart: ``1,234,567``; ``1,234.5`` if it is not whole."""
    if not math.isfinite(value):
        return compact(value)
    return f"{int(value):,}" if value == int(value) else f"{value:,.3f}".rstrip("0")


def size_text(size: float) -> str:
    """Bytes in decimal units: ``12.3 MB``."""
    for unit, scale in _SIZES:
        if size >= scale:
            return f"{size / scale:.{1 if size < 100 * scale else 0}f} {unit}"
    return f"{compact(size)} B"


def share_text(part: float, whole: float) -> str:
    """``98.7 %``, never rounded up to 100 nor down to 0; ``-`` of nothing."""
    if not whole:
        return "-"
    share = 100 * part / whole
    if share == int(share):
        return f"{int(share)} %"
    return f"{min(max(share, 0.01), 99.99):.2f} %"


def bounds_text(bounds: Bounds) -> str:
    """``12.3``; ``>= 10000`` where the bounds differ; ``inf``; ``-`` where nothing was measured."""
    if math.isnan(bounds.lower) or bounds.agree:
        return three_digits(bounds.lower)
    return f">= {three_digits(bounds.lower)}"


def error_text(error: float) -> str:
    """What the generator may have added: ``+0.21``; nothing where that is not known."""
    if math.isnan(error):
        return ""
    return f"+{error:.2g}" if 0 < error < 1 else f"+{three_digits(error)}"


def interval_text(view: TrendView, percentile: float) -> str:
    """``11.2..14.0``, ``too few`` samples, or ``-`` where there are none."""
    if not view.count:
        return "-"
    match view.interval(percentile):
        case Interval(low, high):
            return f"{three_digits(low)}..{three_digits(high)}"
        case TooFew():
            return "too few"


def clean(text: str) -> str:
    """Text of a server's or a script's on one line, without what a terminal would obey."""
    return "".join(
        char if char.isprintable() else " " if char in "\n\t\r" else ascii(char)[1:-1]
        for char in text
    )


def wrapped(text: str, width: int, indent: str = "", hanging: str | None = None) -> list[str]:
    """Lines of at most `width` columns, but for words (URLs) that are longer."""
    return textwrap.wrap(
        text,
        max(width, 20),
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [indent]
