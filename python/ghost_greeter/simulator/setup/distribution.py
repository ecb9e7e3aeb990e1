"""Distributions of times as text: ``50ms``, ``10ms..50ms``, ``5ms@90,2s@10``, ``tail:5ms``."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from ghostcore import UsageError

__all__ = ["Distribution"]

_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h)")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_EXPECTED = "50ms, 10ms..50ms, 5ms@90,2s@10 or tail:5ms"
_TAIL_INDEX = 1.5
_TAIL_CUT = 1000.0


@dataclass(frozen=True, slots=True)
class Distribution:
    """Times in seconds, to be drawn from.

    ``50ms`` is always the same; ``10ms..50ms`` uniform; ``5ms@90,2s@10`` one of several with the
    weights behind the @, each of which may be a range; ``tail:5ms`` a heavy tail (Pareto with index
    1.5 above its scale of 5 ms, cut at a thousand times that).
    """

    text: str
    parts: tuple[tuple[float, float, float], ...]  # weight, shortest, longest
    scale_s: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Distribution:
        """Of a text as above.

        :raises UsageError: no such text.
        """
        if text.startswith("tail:"):
            return cls(text, (), _seconds(text.removeprefix("tail:"), text))
        parts = []
        for part in text.split(","):
            times, at, weight = part.partition("@")
            low, dots, high = times.partition("..")
            if at and not re.fullmatch(r"[0-9]+(\.[0-9]+)?", weight):
                raise _wrong(text)
            low_s = _seconds(low, text)
            high_s = _seconds(high, text) if dots else low_s
            if high_s < low_s:
                raise UsageError(f"{text!r}: the range {times} ends before it begins")
            parts.append((float(weight) if at else 1.0, low_s, high_s))
        if not sum(weight for weight, _, _ in parts) > 0:
            raise _wrong(text)
        return cls(text, tuple(parts))

    def draw(self, source: random.Random) -> float:
        """One time, in seconds."""
        if not self.parts:
            return self.scale_s * min(_TAIL_CUT, source.paretovariate(_TAIL_INDEX))
        _, low_s, high_s = self.parts[0]
        if len(self.parts) > 1:
            weights = [weight for weight, _, _ in self.parts]
            _, low_s, high_s = source.choices(self.parts, weights)[0]
        return low_s if low_s == high_s else source.uniform(low_s, high_s)


def _seconds(text: str, whole: str) -> float:
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise _wrong(whole)
    return float(found[1]) * _UNITS[found[2]]


def _wrong(text: str) -> UsageError:
    return UsageError(f"{text!r} is no distribution of times: expected {_EXPECTED}")
