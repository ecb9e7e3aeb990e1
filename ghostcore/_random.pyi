from collections.abc import Iterable, MutableSequence, Sequence
from typing import Any, SupportsIndex, TypeVar, final

_T = TypeVar("_T")

@final
class Random:
    """A stream of random numbers with the methods of ``random.Random``.

    Made by :meth:`keyed`. ``vu.random`` is one; a user keeps one object and gives it the next index
    for every iteration. It cannot be seeded by the script: that would break the promise that one
    seed gives one run. For secrets use ``secrets``.
    """

    def __init__(self) -> None: ...
    @staticmethod
    def keyed(seed: int, scenario: str, index: int = 0) -> Random:
        """The stream of start number `index` (0 to 2**64 - 1) of `scenario` under `seed` (any int).

        :raises UsageError: an index out of range.
        """
    def of_start(self, index: int) -> Random:
        """The stream of another start of the same scenario under the same seed: what :meth:`keyed`
        returns for it, without making the key again.

        :raises UsageError: an index out of range.
        """
    def rekey(self, index: int) -> None:
        """Go to the beginning of the stream of start `index`, same seed and scenario."""
    @property
    def index(self) -> int:
        """The start index under which numbers are drawn."""
    def random(self) -> float:
        """A float in [0, 1), a multiple of 2**-53."""
    def uniform(self, a: float, b: float) -> float:
        """A float from `a` to `b`."""
    def randint(self, a: SupportsIndex, b: SupportsIndex) -> int:
        """An int from `a` to `b`, both included."""
    def randrange(
        self, start: SupportsIndex, stop: SupportsIndex | None = None, step: SupportsIndex = 1
    ) -> int:
        """One of ``range(start, stop, step)``, or of ``range(start)``."""
    def choice(self, seq: Sequence[_T]) -> _T:
        """One element of a sequence that is not empty."""
    def choices(
        self,
        population: Sequence[_T],
        weights: Iterable[float] | None = None,
        *,
        cum_weights: Iterable[float] | None = None,
        k: int = 1,
    ) -> list[_T]:
        """A list of `k` elements, drawn with replacement, by weight if weights are given.

        :param weights: one number >= 0 for each element, not all 0.
        :param cum_weights: the same as running totals; give one of the two.
        """
    def shuffle(self, x: MutableSequence[Any]) -> None:
        """Put a mutable sequence in random order, in place."""
    def sample(
        self, population: Sequence[_T], k: int, *, counts: Iterable[int] | None = None
    ) -> list[_T]:
        """A list of `k` different elements of a sequence, in random order.

        :param counts: how often each element stands in the population; None: once.
        """
    def getrandbits(self, k: SupportsIndex) -> int:
        """An int of `k` random bits; `k` >= 0."""
    def randbytes(self, n: SupportsIndex) -> bytes:
        """`n` random bytes; `n` >= 0."""
    def triangular(self, low: float = 0.0, high: float = 1.0, mode: float | None = None) -> float:
        """Between `low` and `high`, most often near `mode` (None: the middle)."""
    def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        """Normal with mean `mu` and standard deviation `sigma`."""
    def normalvariate(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        """The same as :meth:`gauss`."""
    def lognormvariate(self, mu: float, sigma: float) -> float:
        """exp of a normal value: `mu` and `sigma` are those of the logarithm."""
    def expovariate(self, lambd: float = 1.0) -> float:
        """Exponential with mean ``1 / lambd``: the gaps of a Poisson process; `lambd` is not 0."""
    def paretovariate(self, alpha: float) -> float:
        """Pareto, at least 1, with shape `alpha` > 0."""
    def weibullvariate(self, alpha: float, beta: float) -> float:
        """Weibull with scale `alpha` and shape `beta` > 0."""
    def gammavariate(self, alpha: float, beta: float) -> float:
        """Gamma with shape `alpha` > 0 and scale `beta` > 0: the mean is their product."""
    def betavariate(self, alpha: float, beta: float) -> float:
        """Beta in [0, 1] with shapes `alpha` > 0 and `beta` > 0."""
