# cython: overflowcheck=False
"""Random numbers keyed by (seed, scenario, start index): the same seed gives the same run.

A stream is a function, not a history: word ``n`` of start ``index`` is half of the block
``Philox2x64-10(key = hash(seed, scenario), counter = (index, n // 2))``. So it does not matter
which user or worker runs a start, nothing has to be seeded (a ``random.Random`` costs 2.5 KiB and
4 us), and two starts of one scenario can never share a block, because the cipher is a bijection of
its counter. One object is 48 bytes.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).

The streams are a promise: a later version draws the same numbers from the same key
(tests/vectors/random.json). Hence no method borrows the algorithms of the standard library, which
change between Python versions. Values that pass through ``log`` or ``cos`` may differ in their last bit
between C libraries.
"""

import operator
from bisect import bisect as _bisect
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate
from math import inf

from libc.math cimport cos, exp, log, log1p, pow, sqrt
from libc.stdint cimport uint64_t

from ghostcore.errors import UsageError

cdef extern from *:
    """
    #include <stdint.h>

    static inline uint64_t ghost_mul64(uint64_t a, uint64_t b, uint64_t *high)
    {
        unsigned __int128 product = (unsigned __int128)a * b;
        *high = (uint64_t)(product >> 64);
        return (uint64_t)product;
    }

    /* One of the two words of the block at (index, block): Philox2x64 with ten rounds. */
    static inline uint64_t ghost_philox(uint64_t key, uint64_t index, uint64_t block, int word)
    {
        uint64_t left = index, right = block, high, low;
        for (int round = 0; round < 10; round++) {
            low = ghost_mul64(UINT64_C(0xD2B74407B1CE6E93), left, &high);
            left = high ^ key ^ right;
            right = low;
            key += UINT64_C(0x9E3779B97F4A7C15);
        }
        return word ? right : left;
    }
    """
    uint64_t ghost_mul64(uint64_t a, uint64_t b, uint64_t *high) noexcept nogil
    uint64_t ghost_philox(uint64_t key, uint64_t index, uint64_t block, int word) noexcept nogil

cdef double TWO_PI = 6.283185307179586
cdef double ULP_53 = 1.0 / 9007199254740992.0
cdef object U64_LIMIT = 1 << 64


cdef uint64_t _to_index(object index) except? 0:
    if type(index) is int:
        try:
            return <uint64_t>index
        except OverflowError:
            pass
    cdef object whole = operator.index(index)
    if not 0 <= whole < U64_LIMIT:
        raise UsageError(f"index must be from 0 to 2**64 - 1, not {whole}")
    return <uint64_t>whole


cdef class Random:
    """A stream of random numbers with the methods of ``random.Random``.

    Made by :meth:`keyed`. ``vu.random`` is one; a user keeps one object and gives it the next index
    for every iteration. It cannot be seeded by the script: that would break the promise that one
    seed gives one run. For secrets use ``secrets``.
    """

    def __init__(self):
        raise TypeError("a Random is made by Random.keyed(seed, scenario, index)")

    @staticmethod
    def keyed(seed, scenario, index=0):
        """The stream of start number `index` (0 to 2**64 - 1) of `scenario` under `seed` (any int).

        :raises UsageError: an index out of range.
        """
        if not isinstance(scenario, str):
            raise TypeError(f"scenario must be a str, not {type(scenario).__name__}")
        text = f"{operator.index(seed)}\0{scenario}".encode("utf-8", "surrogatepass")
        cdef Random self = Random.__new__(Random)
        self._key = int.from_bytes(blake2b(text, digest_size=8).digest(), "little")
        self._index = _to_index(index)
        return self

    def of_start(self, index):
        """The stream of another start of the same scenario under the same seed: what :meth:`keyed`
        returns for it, without making the key again.

        :raises UsageError: an index out of range.
        """
        cdef Random other = Random.__new__(Random)
        other._key = self._key
        other._index = _to_index(index)
        return other

    def rekey(self, index):
        """Go to the beginning of the stream of start `index`, same seed and scenario."""
        self._index = _to_index(index)
        self._position = 0

    @property
    def index(self):
        """The start index under which numbers are drawn."""
        return self._index

    def __reduce__(self):
        return _restore, (self._key, self._index, self._position)

    def __repr__(self):
        return f"<Random index={self._index} drawn={self._position}>"

    # -- the C surface --

    cdef uint64_t next_u64(self) noexcept nogil:
        cdef uint64_t position = self._position
        self._position = position + 1
        return ghost_philox(self._key, self._index, position >> 1, position & 1)

    cdef double next_double(self) noexcept nogil:
        return <double>(self.next_u64() >> 11) * ULP_53

    cdef uint64_t below(self, uint64_t bound) noexcept nogil:
        # Lemire, "Fast random integer generation in an interval" (2019): the high half of a
        # product, with the few low halves rejected that would favour some results.
        cdef uint64_t high, low, threshold
        low = ghost_mul64(self.next_u64(), bound, &high)
        if low < bound:
            threshold = (0 - bound) % bound
            while low < threshold:
                low = ghost_mul64(self.next_u64(), bound, &high)
        return high

    # -- integers and bytes --

    def getrandbits(self, k):
        """An int of `k` random bits; `k` >= 0."""
        cdef object bits = operator.index(k)
        if bits < 0:
            raise UsageError(f"the number of bits must not be negative, but is {bits}")
        if bits == 0:
            return 0
        if bits <= 64:
            return self.next_u64() >> <int>(64 - bits)
        return int.from_bytes(self._words((bits + 63) // 64), "little") >> (-bits % 64)

    def randbytes(self, n):
        """`n` random bytes; `n` >= 0."""
        cdef Py_ssize_t size = operator.index(n)
        if size < 0:
            raise UsageError(f"the number of bytes must not be negative, but is {size}")
        return self._words((size + 7) // 8)[:size]

    cdef bytes _words(self, Py_ssize_t count):
        # Built byte by byte, so that the stream is the same on a big-endian machine.
        cdef bytearray out = bytearray(count * 8)
        cdef unsigned char[::1] view = out
        cdef Py_ssize_t i
        cdef int shift
        cdef uint64_t word
        for i in range(count):
            word = self.next_u64()
            for shift in range(8):
                view[i * 8 + shift] = <unsigned char>(word >> (8 * shift))
        return bytes(out)

    cdef object _below(self, object bound):
        """Uniform in range(bound) for any int bound > 0."""
        if bound < U64_LIMIT:
            return self.below(<uint64_t>bound)
        bits = bound.bit_length()
        value = self.getrandbits(bits)
        while value >= bound:
            value = self.getrandbits(bits)
        return value

    def randrange(self, start, stop=None, step=1):
        """One of ``range(start, stop, step)``, or of ``range(start)``."""
        if stop is None:
            if step != 1:
                raise TypeError("randrange: a step needs a stop")
            start, stop = 0, start
        first, end, stride = operator.index(start), operator.index(stop), operator.index(step)
        if stride == 0:
            raise UsageError("randrange: the step must not be 0")
        # Not len(range()), which cannot count beyond a machine word.
        size = (end - first + stride - (1 if stride > 0 else -1)) // stride
        if size <= 0:
            raise UsageError(f"randrange: range({first}, {end}, {stride}) is empty")
        return first + stride * self._below(size)

    def randint(self, a, b):
        """An int from `a` to `b`, both included."""
        low, high = operator.index(a), operator.index(b)
        if high < low:
            raise UsageError(f"randint: nothing lies between {low} and {high}")
        return low + self._below(high - low + 1)

    # -- sequences --

    def choice(self, seq):
        """One element of a sequence that is not empty."""
        size = len(seq)
        if size == 0:
            raise IndexError("choice: the sequence is empty")
        return seq[self._below(size)]

    def choices(self, population, weights=None, *, cum_weights=None, k=1):
        """A list of `k` elements, drawn with replacement, by weight if weights are given.

        :param weights: one number >= 0 for each element, not all 0.
        :param cum_weights: the same as running totals; give one of the two.
        """
        cdef Py_ssize_t size = len(population)
        cdef Py_ssize_t count = operator.index(k)
        cdef double total
        if count < 0:
            raise UsageError(f"choices: k must not be negative, but is {count}")
        if weights is not None and cum_weights is not None:
            raise TypeError("choices: give weights or cum_weights, not both")
        if weights is None and cum_weights is None:
            if size == 0 and count:
                raise IndexError("choices: the population is empty")
            return [population[self.below(<uint64_t>size)] for _ in range(count)]
        if weights is not None:
            weights = list(weights)
            if any(not weight >= 0 for weight in weights):
                raise UsageError("choices: every weight must be a number of at least 0")
            cum_weights = accumulate(weights)
        totals = [float(value) for value in cum_weights]
        if len(totals) != size:
            raise UsageError(f"choices: {size} elements need {size} weights, not {len(totals)}")
        if any(after < before for before, after in zip(totals, totals[1:])):
            raise UsageError("choices: cum_weights must not decrease")
        total = totals[size - 1] if size else 0.0
        if not 0.0 < total < inf:
            raise UsageError(
                f"choices: the total of the weights must be positive and finite, not {total}"
            )
        # hi = size - 1: a product that rounds up to the total still finds the last element.
        return [
            population[_bisect(totals, self.next_double() * total, 0, size - 1)]
            for _ in range(count)
        ]

    def shuffle(self, x):
        """Put a mutable sequence in random order, in place."""
        cdef Py_ssize_t i, j
        for i in range(len(x) - 1, 0, -1):
            j = <Py_ssize_t>self.below(<uint64_t>(i + 1))
            x[i], x[j] = x[j], x[i]

    def sample(self, population, k, *, counts=None):
        """A list of `k` different elements of a sequence, in random order.

        :param counts: how often each element stands in the population; None: once.
        """
        if not isinstance(population, Sequence):
            raise TypeError("sample: the population must be a sequence; make a list of it")
        cdef Py_ssize_t count = operator.index(k)
        if counts is not None:
            totals = list(accumulate(operator.index(value) for value in counts))
            if len(totals) != len(population):
                raise UsageError(
                    f"sample: {len(population)} elements need as many counts, not {len(totals)}"
                )
            if any(after < before for before, after in zip([0, *totals], totals)):
                raise UsageError("sample: counts must not be negative")
            picked = self.sample(range(max(totals, default=0)), count)
            return [population[_bisect(totals, place)] for place in picked]
        cdef Py_ssize_t size = len(population)
        if not 0 <= count <= size:
            raise UsageError(f"sample: cannot take {count} different elements out of {size}")
        # A Fisher-Yates shuffle of range(size) of which only what moved is kept.
        cdef Py_ssize_t i, j
        cdef dict moved = {}
        cdef list result = []
        for i in range(count):
            j = i + <Py_ssize_t>self.below(<uint64_t>(size - i))
            result.append(population[moved.get(j, j)])
            moved[j] = moved.get(i, i)
        return result

    # -- distributions --

    def random(self):
        """A float in [0, 1), a multiple of 2**-53."""
        return self.next_double()

    def uniform(self, double a, double b):
        """A float from `a` to `b`."""
        return a + (b - a) * self.next_double()

    def triangular(self, double low=0.0, double high=1.0, mode=None):
        """Between `low` and `high`, most often near `mode` (None: the middle)."""
        cdef double u = self.next_double()
        cdef double peak
        if high == low:
            return low
        peak = 0.5 if mode is None else (<double>mode - low) / (high - low)
        if not 0.0 <= peak <= 1.0:
            raise UsageError(f"triangular: the mode {mode} is not between {low} and {high}")
        if u > peak:
            return high + (low - high) * sqrt((1.0 - u) * (1.0 - peak))
        return low + (high - low) * sqrt(u * peak)

    cdef double _normal(self) noexcept nogil:
        # Box and Muller, one of the pair: always two draws, and no second value to remember.
        cdef double angle = TWO_PI * self.next_double()
        return cos(angle) * sqrt(-2.0 * log1p(-self.next_double()))

    def gauss(self, double mu=0.0, double sigma=1.0):
        """Normal with mean `mu` and standard deviation `sigma`."""
        return mu + sigma * self._normal()

    def normalvariate(self, double mu=0.0, double sigma=1.0):
        """The same as :meth:`gauss`."""
        return mu + sigma * self._normal()

    def lognormvariate(self, double mu, double sigma):
        """exp of a normal value: `mu` and `sigma` are those of the logarithm."""
        return exp(mu + sigma * self._normal())

    def expovariate(self, double lambd=1.0):
        """Exponential with mean ``1 / lambd``: the gaps of a Poisson process; `lambd` is not 0."""
        if lambd == 0.0:
            raise UsageError("expovariate: lambd must not be 0")
        return -log1p(-self.next_double()) / lambd

    def paretovariate(self, double alpha):
        """Pareto, at least 1, with shape `alpha` > 0."""
        _positive("paretovariate", "alpha", alpha)
        return pow(1.0 - self.next_double(), -1.0 / alpha)

    def weibullvariate(self, double alpha, double beta):
        """Weibull with scale `alpha` and shape `beta` > 0."""
        _positive("weibullvariate", "beta", beta)
        return alpha * pow(-log1p(-self.next_double()), 1.0 / beta)

    cdef double _gamma(self, double shape) noexcept nogil:
        # Marsaglia and Tsang, "A simple method for generating gamma variables" (2000).
        cdef double boost = 1.0
        cdef double d, c, x, v
        if shape < 1.0:
            boost = pow(1.0 - self.next_double(), 1.0 / shape)
            shape += 1.0
        d = shape - 1.0 / 3.0
        c = 1.0 / sqrt(9.0 * d)
        while True:
            x = self._normal()
            v = 1.0 + c * x
            if v <= 0.0:
                continue
            v = v * v * v
            if log1p(-self.next_double()) < 0.5 * x * x + d - d * v + d * log(v):
                return boost * d * v

    def gammavariate(self, double alpha, double beta):
        """Gamma with shape `alpha` > 0 and scale `beta` > 0: the mean is their product."""
        _positive("gammavariate", "alpha", alpha)
        _positive("gammavariate", "beta", beta)
        return beta * self._gamma(alpha)

    def betavariate(self, double alpha, double beta):
        """Beta in [0, 1] with shapes `alpha` > 0 and `beta` > 0."""
        cdef double x, y
        _positive("betavariate", "alpha", alpha)
        _positive("betavariate", "beta", beta)
        x = self._gamma(alpha)
        y = self._gamma(beta)
        return x / (x + y) if x > 0.0 else 0.0


cdef int _positive(str method, str name, double value) except -1:
    if not 0.0 < value < inf:
        raise UsageError(f"{method}: {name} must be positive and finite, not {value}")
    return 0


def _restore(key, index, position):
    """What pickle and copy call."""
    cdef Random self = Random.__new__(Random)
    self._key, self._index, self._position = key, index, position
    return self
