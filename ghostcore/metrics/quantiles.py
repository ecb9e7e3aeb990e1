"""Quantiles of samples of which some have no value, and how far they can be trusted.

An operation that failed is infinite. One that was cut off after t lasts at least t: it counts as t
in the lower bound of a quantile and as infinite in the upper one. The truth lies between the two.

The confidence interval is that of order statistics: whatever the distribution, the number of
samples below the true quantile q is binomial(n, q), so that the l-th and u-th smallest samples
enclose it with probability P(l <= B <= u - 1) (H. A. David, Order Statistics, section 7.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

from ghostcore.errors import UsageError
from ghostcore.metrics.histogram import Histogram, rank_of
from ghostcore.metrics.recorders import TrendState

__all__ = ["Bounds", "Interval", "TooFew", "bounds", "interval", "needed_samples"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a figure can be at least and at most, in the metric's unit; infinity included."""

    lower: float
    upper: float

    @property
    def agree(self) -> bool:
        """Is the figure known?"""
        return self.lower == self.upper


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, in the metric's unit."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class TooFew:
    """No interval: ``needed`` samples are the least that give one."""

    needed: int


def in_unit(units: float, resolution: float) -> float:
    """A value of a histogram in the metric's unit, without the noise of a binary 0.001."""
    inverse = 1 / resolution
    if inverse >= 1 and abs(inverse - round(inverse)) <= 1e-9 * inverse:
        return units / round(inverse)
    return units * resolution


class Ranked:
    """The samples of a Trend in both orders: cut-off ones at their t, and at infinity."""

    def __init__(self, state: TrendState) -> None:
        self._resolution = state.resolution
        self._upper = state.hist
        self._lower = state.hist
        if state.cut_off:
            self._lower = state.hist.copy()
            for cut in state.cut_off.values():
                self._lower.merge(cut)
        self.count = state.count

    def _at(self, hist: Histogram, rank: int) -> float:
        if rank > hist.count:
            return math.inf
        return in_unit(hist.value_at_rank(rank), self._resolution)

    def bounds(self, q: float) -> Bounds:
        """Both bounds of quantile ``q``, 0..1."""
        rank = rank_of(q, self.count)
        upper = self._at(self._upper, rank)
        # Each histogram cuts a cell off at its exact maximum, so that within the same cell the
        # lower bound may come out above the upper one.
        return Bounds(min(self._at(self._lower, rank), upper), upper)

    def interval(self, q: float, confidence: float) -> Interval | TooFew:
        """Interval of quantile ``q`` from the lower bound's low to the upper bound's high end."""
        ranks = interval_ranks(self.count, q, confidence)
        if ranks is None:
            return TooFew(needed_samples(q, confidence))
        high = self._at(self._upper, ranks[1])
        return Interval(min(self._at(self._lower, ranks[0]), high), high)


def bounds(state: TrendState, q: float) -> Bounds:
    """Both bounds of quantile ``q`` (0..1), in the metric's unit.

    The quantile is the sample of rank ceil(q * n), n being all samples. NaN in both bounds where
    there is no sample at all. Raises UsageError for q outside 0..1.
    """
    _check_quantile(q)
    ranked = Ranked(state)
    return ranked.bounds(q) if ranked.count else Bounds(math.nan, math.nan)


def interval(state: TrendState, q: float, confidence: float = 0.95) -> Interval | TooFew:
    """Distribution-free confidence interval of quantile ``q`` (0..1, ends excluded).

    Both tails hold at most half of ``1 - confidence`` where the samples allow it; with only just
    enough samples one end is the extreme sample and the other tail takes what is left.
    Raises UsageError for q or confidence outside 0..1 or at its ends.
    """
    _check_open(q, confidence)
    return Ranked(state).interval(q, confidence)


def _check_quantile(q: float) -> None:
    if not 0 <= q <= 1:
        raise UsageError(f"a quantile lies within 0 and 1, not {q!r}")


def _check_open(q: float, confidence: float) -> None:
    if not 0 < q < 1:
        raise UsageError(f"an interval exists for quantiles between 0 and 1, not for {q!r}")
    if not 0 < confidence < 1:
        raise UsageError(f"a confidence lies between 0 and 1, not {confidence!r}")


def needed_samples(q: float, confidence: float = 0.95) -> int:
    """The least n with which quantile ``q`` lies between two samples with that confidence.

    The condition is 1 - q**n - (1 - q)**n >= confidence: neither all samples below the quantile nor
    all above. 59 for p95, 299 for p99, 2,995 for p99.9 at 95 %.
    """
    _check_open(q, confidence)
    risk = 1 - confidence
    n = max(2, math.ceil(math.log(risk) / math.log(max(q, 1 - q)) * (1 - 1e-9)))
    while q**n + (1 - q) ** n > risk * (1 + 1e-12):
        n += 1
    return n


@lru_cache(maxsize=1024)
def interval_ranks(n: int, q: float, confidence: float = 0.95) -> tuple[int, int] | None:
    """Ranks (1-based) of the samples that enclose quantile ``q``; None where n is too small.

    Guarantees P(low <= B <= high - 1) >= confidence for B binomial(n, q).
    """
    if n < needed_samples(q, confidence):
        return None
    risk = 1 - confidence
    below, above = (1 - q) ** n, q**n  # risks at ranks 1 and n, the least there are
    half = risk / 2
    if above > half:
        return _largest_rank(n, q, risk - above), n
    if below > half:
        return 1, n + 1 - _largest_rank(n, 1 - q, risk - below)
    return _largest_rank(n, q, half), n + 1 - _largest_rank(n, 1 - q, half)


def _largest_rank(n: int, q: float, risk: float) -> int:
    """The largest l of at least 1 with P(B <= l - 1) <= risk, B being binomial(n, q)."""
    sd = math.sqrt(n * q * (1 - q))
    z = NormalDist().inv_cdf(max(risk, 1e-300))
    # Cornish-Fisher: the normal quantile, corrected for skewness.
    guess = n * q + sd * z + (1 - 2 * q) * (z * z - 1) / 6 - 0.5
    k = min(max(int(guess), 0), n - 1)
    tail, mass = lower_tail(n, k, q), binomial_mass(n, k, q)
    while tail > risk and k > 0:
        tail -= mass
        mass *= k * (1 - q) / ((n - k + 1) * q)
        k -= 1
    while k < n - 1:
        step = mass * (n - k) * q / ((k + 1) * (1 - q))
        if tail + step > risk:
            break
        tail, mass, k = tail + step, step, k + 1
    return k + 1 if tail <= risk else 1


def _stirling_error(n: float) -> float:
    """ln n! less Stirling's formula sqrt(2 pi n) (n / e)**n."""
    if n < 16:
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi)
    square = n * n
    return (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / square) / square) / square) / n


def _deviance(x: float, mean: float) -> float:
    """x ln(x / mean) + mean - x, without cancellation where x is close to the mean."""
    if abs(x - mean) > 0.1 * (x + mean):
        return x * math.log(x / mean) + mean - x
    v = (x - mean) / (x + mean)
    total, term, divisor = (x - mean) * v, 2 * x * v, 3
    while True:
        term *= v * v
        following = total + term / divisor
        if following == total:
            return total
        total, divisor = following, divisor + 2


def binomial_mass(n: int, k: int, q: float) -> float:
    """P(B = k) for B binomial(n, q), to about 14 digits for any n.

    C. Loader, Fast and accurate computation of binomial probabilities (2000): the large terms of
    the logarithm cancel on paper instead of in floating point.
    """
    if k == 0:
        return math.exp(n * math.log1p(-q))
    if k == n:
        return math.exp(n * math.log(q))
    exponent = (
        _stirling_error(n)
        - _stirling_error(k)
        - _stirling_error(n - k)
        - _deviance(k, n * q)
        - _deviance(n - k, n * (1 - q))
    )
    return math.exp(exponent) * math.sqrt(n / (2 * math.pi * k * (n - k)))


def lower_tail(n: int, k: int, q: float) -> float:
    """P(B <= k) for B binomial(n, q), 0 <= k < n.

    It is the regularised incomplete beta function I(1 - q; n - k, k + 1), by its continued fraction
    (Lentz's method, Numerical Recipes section 6.4), on the side where that converges fast.
    """
    if k + 1 > (n + 1) * q:
        return 1 - lower_tail(n, n - k - 1, 1 - q) if k < n - 1 else 1 - q**n
    a, b, x = float(n - k), float(k + 1), 1 - q
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 200_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / (1 + even * d), 1 + even / c
        fraction *= d * c
        d, c = 1 / (1 + odd * d), 1 + odd / c
        fraction *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return binomial_mass(n, k, q) * q * fraction
