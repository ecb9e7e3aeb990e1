"""When starts are due: exact arithmetic on piecewise linear rates, one start at a time.

The integral of the rate up to an instant is the number of starts wanted until then. Here it is held
as a whole number of ``1 / RateCurve.scale`` starts, in which every quantity of a plan (ns, rational
rates) is whole, so that nothing is rounded but the result: the instant at which the integral
reaches a number, cut to whole ns. No start depends on the one before it, hence no drift, and none
is held in memory.

Poisson arrivals are the same curve read at random places: if ``S(i)`` are the sums of independent
exponential variates of mean 1, the instants at which the integral reaches ``S(0), S(1), ...`` are a
Poisson process of that rate (time rescaling; Cinlar, "Introduction to Stochastic Processes",
1975, section 4.7). The i-th variate is drawn from the stream (seed, scenario, i): every worker can
walk the whole process and take its own starts out of it.
"""

from __future__ import annotations

import copy
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import accumulate
from typing import NamedTuple

from ghostcore._random import Random
from ghostcore._units import NS_PER_S
from ghostcore.load.share import ALL, Share

__all__ = ["Piece", "PoissonStarts", "RateCurve", "Start", "Starts", "UniformStarts"]

_GAP_BITS = 40
"""Exponential variates are cut to that many binary places: sums of them are exact."""


class Piece(NamedTuple):
    """Within `duration_ns`, the rate goes evenly from one value to another, in starts per unit."""

    duration_ns: int
    from_rate: Fraction
    to_rate: Fraction


class Start(NamedTuple):
    """A start of an arrival model: its number in the whole plan, and when it is due."""

    number: int
    due_ns: int


class RateCurve:
    """A rate that changes along straight lines.

    :param pieces: one after the other; those of no length are jumps.
    :param unit_ns: the unit of time of the rates.
    :ivar scale: areas are counted in that part of a start.
    :ivar total: the area of the whole curve.
    :ivar duration_ns: its length.
    """

    def __init__(self, pieces: Iterable[Piece], unit_ns: int) -> None:
        kept = [piece for piece in pieces if piece.duration_ns > 0]
        common = math.lcm(
            *(rate.denominator for piece in kept for rate in (piece.from_rate, piece.to_rate))
        )
        self.scale = 2 * common * unit_ns
        self._pieces = [
            (length_ns, int(before * common), int(after * common))
            for length_ns, before, after in kept
        ]
        self._begins = [0, *accumulate(length_ns for length_ns, _, _ in self._pieces)]
        self._areas = [0, *accumulate(length * (a + b) for length, a, b in self._pieces)]
        self.duration_ns = self._begins[-1]
        self.total = self._areas[-1]

    def reached_ns(self, area: int) -> int:
        """The instant at which the integral reaches `area` (0 to ``total``), cut to whole ns."""
        place = max(1, bisect_left(self._areas, area)) - 1
        length, before, after = self._pieces[place]
        area -= self._areas[place]
        slope = after - before
        if slope == 0:
            inside = area // (2 * before) if area else 0
        else:
            # The smaller root of slope x^2 + 2 before length x = area length. Rounding the square
            # root towards the right side first changes nothing, since what follows is an integer
            # division.
            edge = before * length
            square = edge * edge + slope * area * length
            root = math.isqrt(square)
            if slope > 0:
                inside = (root - edge) // slope
            else:
                root += root * root < square
                inside = (edge - root) // -slope
        return self._begins[place] + inside

    def area_at(self, at_ns: int) -> Fraction:
        """The integral from the beginning to that instant."""
        at_ns = min(max(at_ns, 0), self.duration_ns)
        place = min(bisect_right(self._begins, at_ns), len(self._pieces)) - 1
        length, before, after = self._pieces[place]
        inside = at_ns - self._begins[place]
        return (
            self._areas[place]
            + 2 * before * inside
            + Fraction((after - before) * inside * inside, length)
        )

    def per_second_at(self, at_ns: int) -> float:
        """The rate at that instant, per second; 0 before the curve and after it."""
        if not 0 <= at_ns < self.duration_ns:
            return 0.0
        place = bisect_right(self._begins, at_ns) - 1
        length, before, after = self._pieces[place]
        rate = before + Fraction((after - before) * (at_ns - self._begins[place]), length)
        return float(2 * rate * NS_PER_S / self.scale)

    @property
    def peak_per_second(self) -> float:
        """The highest rate, per second."""
        most = max((max(before, after) for _, before, after in self._pieces), default=0)
        return float(Fraction(2 * most * NS_PER_S, self.scale))


class Starts(Iterator[Start]):
    """The starts of one share of a plan, in order; due times count from the plan's own start."""

    def copy(self) -> Starts:
        """The same starts from here on, independently."""
        return copy.copy(self)


class UniformStarts(Starts):
    """A start whenever the integral has grown by one.

    :param curve: how many are wanted until when.
    :param first: the area at which the first start is due: 0, or that of one start.
    :param limit: areas must be below that.
    :param share: which of them are given out.
    """

    def __init__(self, curve: RateCurve, first: int, limit: int, share: Share = ALL) -> None:
        self._curve = curve
        self._index = share.index
        self._step = share.of
        self._area = first + share.index * curve.scale
        self._stride = share.of * curve.scale
        self._limit = limit

    def __next__(self) -> Start:
        area, index = self._area, self._index
        if area >= self._limit:
            raise StopIteration
        self._area = area + self._stride
        self._index = index + self._step
        return Start(index, self._curve.reached_ns(area))


class PoissonStarts(Starts):
    """The starts of a Poisson process of that rate.

    :param seed: the run's seed.
    :param scenario: the name of the scenario.
    """

    def __init__(self, curve: RateCurve, seed: int, scenario: str, share: Share = ALL) -> None:
        self._curve = curve
        self._share = share
        self._index = 0
        self._sum = 0  # of the variates so far, in 2**-_GAP_BITS starts
        self._random = Random.keyed(seed, f"{scenario}#arrivals")

    def __next__(self) -> Start:
        while True:
            index = self._index
            # Every draw begins by saying its index: copies may share the stream.
            self._random.rekey(index)
            reached = self._sum + int(self._random.expovariate() * (1 << _GAP_BITS))
            area = max(1, (reached * self._curve.scale) >> _GAP_BITS)
            if area >= self._curve.total:
                raise StopIteration
            self._sum = reached
            self._index = index + 1
            if self._share.owns(index):
                return Start(index, self._curve.reached_ns(area))
