"""What a run says of its own generator, and what follows from it for the figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ghostcore.monitor.rules import SHORTEST_S, is_blamed, is_grave
from ghostcore.monitor.sample import GeneratorSample, Stall

__all__ = ["Calibration", "GeneratorReport", "Span", "error_within", "is_within"]

Span = tuple[float, float]
"""Begin and end, in seconds from the start of the run."""

COVERED = 0.99
"""The share of a metric's samples that its generator error covers."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The noise floor of this machine: round trips at a low rate to an echo server in another
    process, over loopback, before the run.

    :ivar round_trips: the number of round trips.
    :ivar seconds: how long the measurement took.
    :ivar p50_ms: the median of the round trips.
    :ivar p99_ms: their 99th percentile.
    :ivar loop_lag_p99_ms: the 99th percentile of how late timers came meanwhile.
    :ivar loop_lag_ms: the latest that a timer came.
    """

    round_trips: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    loop_lag_p99_ms: float
    loop_lag_ms: float


@dataclass
class GeneratorReport:
    """How the generator did, second by second.

    :ivar samples: in the order of time; with several workers one of each a second.
    :ivar calibration: the noise floor, if it was asked for.
    """

    samples: list[GeneratorSample] = field(default_factory=list)
    calibration: Calibration | None = None

    @property
    def suspect(self) -> list[GeneratorSample]:
        """The samples of seconds that are suspect."""
        return [one for one in self.samples if one.doubts]

    @property
    def suspect_spans(self) -> list[Span]:
        """Where the run is suspect: spans that do not touch, in the order of time."""
        return _merged((one.start_s, one.at_s) for one in self.suspect)

    @property
    def stalls(self) -> list[Stall]:
        """When one callback kept the event loop."""
        return [stall for one in self.samples for stall in one.stalls]

    @property
    def blamed(self) -> list[Stall]:
        """The stalls that the user's code is to blame for, the longest first."""
        return sorted(filter(is_blamed, self.stalls), key=lambda stall: -stall.own_ms)

    @property
    def grave(self) -> bool:
        """Whether something happened that can have failed operations, not only delayed them."""
        return any(is_grave(one) for one in self.samples)

    def maximum(self, name: str) -> float:
        """The greatest of a figure of the samples; NaN where it is not known. A share of a window
        of a few ms, such as the last of a run, says nothing: it only counts where all are so."""
        samples = self.samples
        if name.endswith("_share"):
            samples = [one for one in samples if one.window_s >= SHORTEST_S] or samples
        known = [value for one in samples if not math.isnan(value := getattr(one, name))]
        return max(known, default=math.nan)


def _merged(spans: Iterable[Span]) -> list[Span]:
    found: list[Span] = []
    for start_s, end_s in sorted(spans):
        if found and start_s <= found[-1][1] + 1e-6:
            found[-1] = (found[-1][0], max(found[-1][1], end_s))
        else:
            found.append((start_s, end_s))
    return found


def is_within(start_s: float, end_s: float, spans: Sequence[Span]) -> bool:
    """Whether one of the spans has a part of that time (more than the rounding of a float)."""
    return any(start_s < end - 1e-6 and begin < end_s - 1e-6 for begin, end in spans)


def error_within(samples: Sequence[GeneratorSample], counts: Iterable[tuple[float, int]]) -> float:
    """What the generator added to the samples of a metric, in ms: 99 % were delayed by no more.

    :param counts: (end of a second, samples of the metric in it), in the order of time.
    :returns: NaN where no second with samples was watched.
    """
    errors: Mapping[int, float] = _errors_by_ms(samples)
    weighted = sorted(
        (errors[at], count) for end_s, count in counts if count and (at := _key(end_s)) in errors
    )
    total = sum(count for _, count in weighted)
    seen = 0
    for error_ms, count in weighted:
        seen += count
        if seen >= COVERED * total:
            return error_ms
    return math.nan


def _errors_by_ms(samples: Sequence[GeneratorSample]) -> dict[int, float]:
    found: dict[int, float] = {}
    for one in samples:
        key = _key(one.at_s)
        found[key] = max(found.get(key, 0.0), one.error_ms)
    return found


def _key(at_s: float) -> int:
    """A second by its end. Windows and samples are taken at the same moment."""
    return round(at_s * 1000)
