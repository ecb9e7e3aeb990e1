"""The open load models: starts come at their time, whether users are free or not.

Names and behaviour are those of k6's arrival-rate executors, but for three things. Starts are exact
(k6 cuts the period to whole ns, so that its starts drift: 3/s for 120 s makes 361 of them there and
360 here). ``preallocated_vus`` may be left out: users are then made as they are needed. And with
``on_busy="queue"`` a start that finds no free user waits for one, as wrk2 does it, instead of being
dropped.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal

from ghostcore._units import Duration, format_duration, parse_duration, seconds_to_ns
from ghostcore.errors import UsageError
from ghostcore.load.arrivals import Piece, PoissonStarts, RateCurve, Starts, UniformStarts
from ghostcore.load.model import (
    LoadModel,
    choice_problems,
    count_problems,
    counted,
    frozen_stages,
    shortened,
    stage_problems,
)
from ghostcore.load.share import ALL, Share

__all__ = ["ConstantArrivalRate", "OpenModel", "RampingArrivalRate"]

Distribution = Literal["uniform", "poisson"]
OnBusy = Literal["drop", "queue"]

MAX_RATE_PER_S = 1_000_000
"""More starts than any fleet of workers makes: beyond, a number is taken for a slip of the pen."""

MIN_RATE = 1e-9
"""Of a rate that is not 0, for the same reason."""

SIZED_MAX_VUS = 10_000
"""The most users that are made where neither preallocated_vus nor max_vus says how many."""


class OpenModel(LoadModel):
    """A model that plans when iterations start. See :class:`ConstantArrivalRate` for arguments."""

    time_unit: Duration
    preallocated_vus: int | None
    max_vus: int | None
    distribution: Distribution
    on_busy: OnBusy

    _first_at_zero = False

    def _rate_problems(self) -> Iterator[str]:
        """What is wrong with rates; each is checked when time_unit is known to be right."""
        yield from ()

    @abstractmethod
    def _pieces(self) -> Iterator[Piece]:
        """The course of the rate."""

    def validate(self) -> list[str]:
        problems = [*self._rate_problems(), *self._user_problems()]
        problems += choice_problems("distribution", self.distribution, ("uniform", "poisson"))
        problems += choice_problems("on_busy", self.on_busy, ("drop", "queue"))
        return [*problems, *super().validate()]

    def _user_problems(self) -> Iterator[str]:
        before = list(count_problems("preallocated_vus", self.preallocated_vus, 1, optional=True))
        most = list(count_problems("max_vus", self.max_vus, 1, optional=True))
        yield from (*before, *most)
        if before or most or self.preallocated_vus is None or self.max_vus is None:
            return
        if self.max_vus < self.preallocated_vus:
            yield (
                f"max_vus must be at least preallocated_vus ({self.preallocated_vus}), "
                f"but is {self.max_vus}"
            )

    def _unit_s(self) -> float:
        """The unit of time in seconds; NaN where it cannot be read."""
        try:
            return parse_duration(self.time_unit, "time_unit") or math.nan
        except UsageError:
            return math.nan

    @cached_property
    def curve(self) -> RateCurve:
        """The rate over time."""
        self.check()
        return RateCurve(self._pieces(), self.to_ns("time_unit"))

    @cached_property
    def duration_ns(self) -> int:
        return self.curve.duration_ns

    @property
    def is_sized(self) -> bool:
        """Whether users are made as they are needed: the model was given no number of them."""
        return self.preallocated_vus is None

    @cached_property
    def peak_vus(self) -> int:
        """``max_vus``; unless given ``preallocated_vus``; unless that is given either, as many as
        there are starts, but at most 10,000."""
        self.check()
        if self.max_vus is not None:
            return self.max_vus
        if self.preallocated_vus is not None:
            return self.preallocated_vus
        starts = self.planned_starts
        if self.distribution == "poisson":
            starts += math.ceil(6 * math.sqrt(starts)) + 20  # one run in a billion has more
        return min(SIZED_MAX_VUS, starts)

    @cached_property
    def planned_starts(self) -> int:
        """How many starts there are; of a Poisson process, how many are expected."""
        if self.distribution == "poisson":
            return round(Fraction(self.curve.total, self.curve.scale))
        if self._first_at_zero:
            return -(-self.curve.total // self.curve.scale)
        return self.curve.total // self.curve.scale

    @property
    def known_starts(self) -> int | None:
        return None if self.distribution == "poisson" else self.planned_starts

    def starts(self, seed: int, scenario: str, share: Share = ALL) -> Starts:
        """The starts, one after the other, in ns from the profile's own start.

        :param seed: the run's seed.
        :param scenario: the name of the scenario; with the seed the key of Poisson arrivals.
        :param share: gives only the starts of that worker; those of all workers are exactly the
            whole plan, each with its index in it.
        """
        curve = self.curve
        if self.distribution == "poisson":
            return PoissonStarts(curve, seed, scenario, share)
        if self._first_at_zero:
            return UniformStarts(curve, 0, curve.total, share)
        return UniformStarts(curve, curve.scale, curve.total + 1, share)

    def _rate_text(self, rate: float) -> str:
        seconds = self._unit_s()
        return f"{rate:g}/s" if seconds == 1 else f"{rate:g} per {format_duration(seconds)}"

    def _details(self) -> str:
        """How many starts and users, and what becomes of a start that finds no free user."""
        poisson = self.distribution == "poisson"
        starts = f"{'about ' if poisson else ''}{counted(self.planned_starts, 'start')}"
        most = self.peak_vus
        if self.preallocated_vus is None:
            users = f"users as needed, at most {most}"
        elif self.preallocated_vus == most:
            users = counted(most, "user")
        else:
            users = f"{self.preallocated_vus} to {most} users"
        process = ", Poisson" if poisson else ""
        queue = ", waiting for a free user" if self.on_busy == "queue" else ""
        return f"({starts}{process}, {users}{queue}){self.timing()}"


@dataclass(frozen=True)
class ConstantArrivalRate(OpenModel):
    """`rate` iterations start every `time_unit` (k6: constant-arrival-rate).

    Start i, from 0, is due at ``i * time_unit // rate`` ns after the profile's begin: the first at
    once, and ``ceil(rate * duration / time_unit)`` in all. A rate given as a float is taken for the
    decimal number that it shows: 0.1 is a tenth.

    :param rate: starts per `time_unit`, more than 0; at most 1,000,000 a second.
    :param preallocated_vus: users that exist from the beginning. If there are more to come (see
        `max_vus`), a start that finds none free is dropped and one user is made for the starts
        after it, as in k6. None: users are made as they are needed, ahead of need as Little's law
        says (rate times the time that iterations take), so that none is dropped below `max_vus`.
    :param max_vus: the most users there can be; as many as are preallocated unless given. If those
        are not given either, as many as there are starts, but at most 10,000.
    :param distribution: ``"uniform"``, or ``"poisson"`` for arrivals at random with that mean rate,
        as independent people make them: the same ones for the same seed.
    :param on_busy: what becomes of a start that finds no free user: ``"drop"`` counts it in
        ``dropped_iterations`` and moves on; ``"queue"`` makes it as soon as a user is free.
    """

    executor = "constant-arrival-rate"
    positive_durations = ("duration", "time_unit")
    _first_at_zero = True

    rate: float
    duration: Duration
    time_unit: Duration = "1s"
    preallocated_vus: int | None = None
    max_vus: int | None = None
    distribution: Distribution = "uniform"
    on_busy: OnBusy = "drop"

    def _rate_problems(self) -> Iterator[str]:
        yield from rate_problems("rate", self.rate, self._unit_s(), positive=True)

    def _pieces(self) -> Iterator[Piece]:
        rate = exact(self.rate)
        yield Piece(self.to_ns("duration"), rate, rate)

    def describe(self) -> str:
        duration = format_duration(self.duration_ns / 1e9)
        return f"{self._rate_text(self.rate)} for {duration} {self._details()}"


@dataclass(frozen=True)
class RampingArrivalRate(OpenModel):
    """The rate of starts follows straight lines from target to target (k6: ramping-arrival-rate).

    Start i, from 0, is due when the integral of the rate reaches ``i + 1``, as in k6, cut to whole
    ns; one that is reached exactly at the end of the last stage is made. A stage at rate 0 starts
    nothing; parts of a start carry over from stage to stage.

    :param stages: pairs of duration and target rate: ``[("2m", 200), ("1m", 0)]``. A duration of 0
        jumps.
    :param start_rate: the rate at the beginning.

    Other arguments are those of :class:`ConstantArrivalRate`.
    """

    executor = "ramping-arrival-rate"
    positive_durations = ("time_unit",)

    stages: Sequence[tuple[Duration, float]]
    start_rate: float = 0
    time_unit: Duration = "1s"
    preallocated_vus: int | None = None
    max_vus: int | None = None
    distribution: Distribution = "uniform"
    on_busy: OnBusy = "drop"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "stages", frozen_stages(self.stages))

    def _rate_problems(self) -> Iterator[str]:
        unit_s = self._unit_s()
        problems = [
            *stage_problems(
                self.stages, "a rate", lambda name, rate: rate_problems(name, rate, unit_s)
            ),
            *rate_problems("start_rate", self.start_rate, unit_s),
        ]
        if not problems and not math.isnan(unit_s):
            curve = RateCurve(self._pieces(), seconds_to_ns(unit_s) or 1)
            if curve.duration_ns == 0:
                problems.append("stages must last more than 0 in all")
            elif curve.total < curve.scale:
                problems.append(
                    "stages and start_rate must add up to at least one start, but make "
                    f"{float(Fraction(curve.total, curve.scale)):.3g}"
                )
        yield from problems

    def _pieces(self) -> Iterator[Piece]:
        rate = exact(self.start_rate)
        for duration, target in self.stages:
            before, rate = rate, exact(target)
            yield Piece(seconds_to_ns(parse_duration(duration)), before, rate)

    def describe(self) -> str:
        self.check()
        parts = [
            f"{format_duration(parse_duration(duration))}:{target:g}"
            for duration, target in self.stages
        ]
        begin, each = f"{self.start_rate:g}", self._rate_text(1).removeprefix("1")
        duration = format_duration(self.duration_ns / 1e9)
        return (
            f"ramp from {begin} {', '.join(shortened(parts))}{each}, {duration} {self._details()}"
        )


def exact(rate: float) -> Fraction:
    """The decimal number that a rate shows: a float 0.1 is meant as a tenth."""
    return Fraction(rate) if isinstance(rate, int) else Fraction(repr(float(rate)))


def rate_problems(
    name: str, rate: object, unit_s: float, *, positive: bool = False
) -> Iterator[str]:
    """What is wrong with a rate per `unit_s` seconds (NaN: unknown)."""
    least = "more than 0" if positive else "0 or more"
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        yield f"{name} must be a number, {least}, but is {rate!r}"
    elif not _is_finite(rate):
        yield f"{name} must be finite, but is {rate!r}"
    elif rate < 0 or (positive and rate == 0):
        yield f"{name} must be {least}, but is {rate!r}"
    elif 0 < rate < MIN_RATE:
        yield f"{name} must be at least {MIN_RATE:g} if it is not 0, but is {rate!r}"
    elif rate > MAX_RATE_PER_S * unit_s:
        yield f"{name} must be at most {MAX_RATE_PER_S} a second, but is {rate / unit_s:g} a second"


def _is_finite(rate: float) -> bool:
    try:
        return math.isfinite(rate)
    except OverflowError:  # an int beyond all floats
        return False
