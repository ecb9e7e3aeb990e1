"""High dynamic range histogram: 1 to 3,600,000,000 at three significant digits.

The cells are those of ``hdrh.histogram.HdrHistogram(1, 3_600_000_000, 3)``, so that results travel
between both without loss. Three things differ. Memory is allocated where samples fall, not for the
whole range (184 KiB). Nothing is dropped: a value outside the range goes to the nearest end cell
and is counted as underflow or overflow. Count, minimum, maximum and sum are those of the true
values, not of the cells.

Layout (Gil Tene's HdrHistogram): 2,048 cells of width 1, then 1,024 cells for every further power
of two, each twice as wide as those of the power before.
"""

cimport cython
from libc.math cimport ceil, fabs, isfinite
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.stdlib cimport calloc, free

from ghostcore.metrics.varint cimport (
    Cursor,
    bytes_left,
    get_byte,
    get_count,
    get_double,
    get_varint,
    put_double,
    put_varint,
    unzigzag,
    zigzag,
)

cdef extern from *:
    int __builtin_clzll(unsigned long long value) noexcept nogil

cdef int64_t HIGHEST_VALUE = 3600000000
cdef int HIGHEST_INDEX = index_of(HIGHEST_VALUE)
cdef int WIRE_VERSION = 1

HIGHEST = HIGHEST_VALUE


cdef inline int index_of(int64_t value) noexcept nogil:
    """Cell of a value within 0..HIGHEST_VALUE."""
    cdef int bucket = 53 - __builtin_clzll(<uint64_t>value | 2047)
    return (bucket << 10) + <int>(value >> bucket)


cdef inline int64_t lowest_of(int index) noexcept nogil:
    """The smallest value of a cell."""
    cdef int bucket = (index >> 10) - 1
    if bucket < 0:
        return index
    return <int64_t>((index & 1023) + 1024) << bucket


cdef inline int64_t highest_of(int index) noexcept nogil:
    """The greatest value of a cell."""
    cdef int bucket = (index >> 10) - 1
    if bucket < 0:
        return index
    return lowest_of(index) + (<int64_t>1 << bucket) - 1


cdef inline int64_t clamp(int64_t value) noexcept nogil:
    if value < 0:
        return 0
    return HIGHEST_VALUE if value > HIGHEST_VALUE else value


cpdef int64_t rank_of(double q, int64_t n) except -1:
    """Rank (1-based) of quantile ``q`` (0..1) among ``n`` samples: ceil(q * n), at least 1.

    The product is lowered by a few units in the last place first: 0.07 * 100 is a little more than
    7 in binary and must not become rank 8. Raises ValueError for q outside 0..1 or n below 1.
    """
    cdef double product
    cdef int64_t rank
    if not 0.0 <= q <= 1.0:
        raise ValueError(f"a quantile lies within 0 and 1, not {q!r}")
    if n < 1:
        raise ValueError("there is no rank among no samples")
    if q == 1.0:
        return n
    product = q * <double>n
    rank = <int64_t>ceil(product - product * 1e-15)
    return 1 if rank < 1 else n if rank > n else rank


@cython.final
cdef class Histogram:
    """Counts of int64 values, in units of the metric's resolution.

    :ivar count: samples recorded.
    """

    def __cinit__(self):
        self._pages = NULL
        self._reset()

    def __dealloc__(self):
        self._free()

    cdef void _reset(self) noexcept:
        self.count = 0
        self._min = 0
        self._max = 0
        self._sum = 0.0
        self._underflow = 0
        self._overflow = 0

    cdef void _free(self) noexcept:
        cdef int number
        if self._pages is not NULL:
            for number in range(PAGES):
                free(self._pages[number])
            free(self._pages)
            self._pages = NULL

    cdef int64_t *_page(self, int number) except NULL:
        """The page, allocated now if no sample has fallen there yet."""
        if self._pages is NULL:
            self._pages = <int64_t **>calloc(PAGES, sizeof(int64_t *))
            if self._pages is NULL:
                raise MemoryError()
        if self._pages[number] is NULL:
            self._pages[number] = <int64_t *>calloc(PAGE_CELLS, sizeof(int64_t))
            if self._pages[number] is NULL:
                raise MemoryError()
        return self._pages[number]

    cpdef record(self, int64_t value, int64_t count=1):
        """Count a value, ``count`` times.

        A value below 0 goes to cell 0 and is counted as underflow; one above HIGHEST goes to the
        highest cell and is counted as overflow. Raises ValueError for a negative count and
        OverflowError for more than 2**63 - 1 samples in all.
        """
        cdef int index
        cdef int64_t *page = NULL
        if count < 1:
            if count == 0:
                return
            raise ValueError(f"a count is 0 or more, not {count}")
        if count > INT64_MAX - self.count:
            raise OverflowError("more samples than an int64 can count")
        index = index_of(clamp(value))
        if self._pages is not NULL:
            page = self._pages[index >> 7]
        if page is NULL:
            page = self._page(index >> 7)
        page[index & (PAGE_CELLS - 1)] += count
        if value < 0:
            self._underflow += count
        elif value > HIGHEST_VALUE:
            self._overflow += count
        if self.count == 0:
            self._min = self._max = value
        elif value < self._min:
            self._min = value
        elif value > self._max:
            self._max = value
        self.count += count
        self._sum += <double>value * <double>count

    def record_many(self, int64_t value, int64_t times):
        """Record a value ``times`` times, one by one: for benches of the cost of recording."""
        cdef int64_t i
        for i in range(times):
            self.record(value)

    def __bool__(self):
        return self.count > 0

    @property
    def min(self):
        """Exact smallest value; None while empty."""
        return self._min if self.count else None

    @property
    def max(self):
        """Exact greatest value; None while empty."""
        return self._max if self.count else None

    @property
    def sum(self):
        """Sum of the true values, as a double (exact below 2**53)."""
        return self._sum

    @property
    def mean(self):
        """Mean of the true values; NaN while empty."""
        return self._sum / <double>self.count if self.count else float("nan")

    @property
    def underflow(self):
        """Samples below 0, counted in cell 0."""
        return self._underflow

    @property
    def overflow(self):
        """Samples above HIGHEST, counted in the highest cell."""
        return self._overflow

    cdef int64_t at_rank(self, int64_t rank) noexcept:
        cdef int64_t seen = 0
        cdef int64_t top
        cdef int number, i
        cdef int64_t *page
        # Ranks among the overflow lie in a cell without an upper end: the top of it is the maximum.
        if rank > self.count - self._overflow:
            return self._max
        for number in range(PAGES):
            page = self._pages[number]
            if page is NULL:
                continue
            for i in range(PAGE_CELLS):
                seen += page[i]
                if seen >= rank:
                    top = highest_of((number << 7) + i)
                    return top if top < self._max else self._max
        return self._max

    def value_at_rank(self, int64_t rank):
        """The k-th smallest sample (1-based): the top of its cell, at most the exact maximum.

        A sample over the range counts as the maximum, one below 0 as 0. Raises ValueError for a
        rank outside 1..count.
        """
        if not 1 <= rank <= self.count:
            raise ValueError(f"rank {rank} does not exist among {self.count} samples")
        return self.at_rank(rank)

    def value_at_quantile(self, double q):
        """The sample of rank ceil(q * count), q within 0..1. ValueError while empty."""
        return self.at_rank(rank_of(q, self.count))

    def count_at_or_below(self, int64_t value):
        """Samples at or below a value, as far as cells tell: those of its own cell included."""
        cdef int64_t seen = 0
        cdef int number, i, last
        if self.count == 0 or value < self._min:
            return 0
        if value >= self._max or value > HIGHEST_VALUE:
            return self.count
        if value < 0:
            return self._underflow
        last = index_of(value)
        for number in range((last >> 7) + 1):
            if self._pages[number] is NULL:
                continue
            for i in range(min(PAGE_CELLS, last - (number << 7) + 1)):
                seen += self._pages[number][i]
        if last == HIGHEST_INDEX:
            seen -= self._overflow
        return seen

    def merge(self, Histogram other not None):
        """Add all samples of another histogram to this one."""
        self._absorb(other)

    cdef int _absorb(self, Histogram other) except -1:
        cdef int number, i
        cdef int64_t *page
        if other.count == 0:
            return 0
        if other.count > INT64_MAX - self.count:
            raise OverflowError("more samples than an int64 can count")
        for number in range(PAGES):
            if other._pages[number] is NULL:
                continue
            page = self._page(number)
            for i in range(PAGE_CELLS):
                page[i] += other._pages[number][i]
        if self.count == 0 or other._min < self._min:
            self._min = other._min
        if self.count == 0 or other._max > self._max:
            self._max = other._max
        self.count += other.count
        self._sum += other._sum
        self._underflow += other._underflow
        self._overflow += other._overflow
        return 0

    def copy(self):
        """An independent histogram with the same samples."""
        cdef Histogram twin = Histogram()
        twin._absorb(self)
        return twin

    def clear(self):
        """Forget all samples and give back the memory of the cells."""
        self._free()
        self._reset()

    cdef list _cells(self):
        cdef list found = []
        cdef int number, i
        if self._pages is NULL:
            return found
        for number in range(PAGES):
            if self._pages[number] is NULL:
                continue
            for i in range(PAGE_CELLS):
                if self._pages[number][i]:
                    found.append(((number << 7) + i, self._pages[number][i]))
        return found

    def cells(self):
        """Iterator of (lowest value of the cell, count) over cells with samples, ascending."""
        return iter([(lowest_of(index), count) for index, count in self._cells()])

    def __eq__(self, other):
        if not isinstance(other, Histogram):
            return NotImplemented
        return _state(self) == _state(<Histogram>other)

    def __repr__(self):
        if self.count == 0:
            return "<Histogram empty>"
        return f"<Histogram count={self.count} min={self._min} max={self._max}>"

    def __sizeof__(self):
        cdef Py_ssize_t size = object.__sizeof__(self)
        cdef int number
        if self._pages is not NULL:
            size += PAGES * sizeof(int64_t *)
            for number in range(PAGES):
                if self._pages[number] is not NULL:
                    size += PAGE_CELLS * sizeof(int64_t)
        return size

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __reduce__(self):
        return _restore, (self.to_bytes(),)

    def to_bytes(self):
        """Compact form for :meth:`from_bytes`: a version byte, the exact fields, then for every
        cell with samples its distance from the one before and its count, as LEB128 integers."""
        cdef bytearray out = bytearray((WIRE_VERSION,))
        cdef list found = self._cells()
        cdef int before = -1
        put_varint(out, len(found))
        if not found:
            return bytes(out)
        put_varint(out, zigzag(self._min))
        put_varint(out, zigzag(self._max))
        put_varint(out, self._underflow)
        put_varint(out, self._overflow)
        put_double(out, self._sum)
        for index, count in found:
            put_varint(out, index - before - 1)
            put_varint(out, count)
            before = index
        return bytes(out)

    @staticmethod
    def from_bytes(bytes data not None):
        """The histogram that :meth:`to_bytes` wrote. ValueError for anything else."""
        cdef Cursor source
        cdef Histogram found = Histogram()
        cdef uint64_t cells
        cdef int64_t distance, count
        cdef int64_t index = -1
        source.at = data
        source.end = source.at + len(data)
        if get_byte(&source) != WIRE_VERSION:
            raise ValueError(f"not a histogram of version {WIRE_VERSION}")
        cells = get_varint(&source)
        if cells:
            found._min = unzigzag(get_varint(&source))
            found._max = unzigzag(get_varint(&source))
            found._underflow = get_count(&source)
            found._overflow = get_count(&source)
            found._sum = get_double(&source)
        while cells:
            distance = get_count(&source)
            count = get_count(&source)
            if distance > HIGHEST_INDEX - index - 1:
                raise ValueError("corrupt histogram: a cell beyond the range")
            if count == 0 or count > INT64_MAX - found.count:
                raise ValueError(f"corrupt histogram: {count} samples in a cell")
            index += distance + 1
            found._page(<int>index >> 7)[index & (PAGE_CELLS - 1)] = count
            found.count += count
            cells -= 1
        if source.at != source.end:
            raise ValueError(f"corrupt histogram: {bytes_left(&source)} bytes after its end")
        if found.count:
            found._check(<int>index)
        return found

    cdef int _check(self, int last) except -1:
        """Do the exact fields agree with the cells? ``last`` is the highest cell with samples."""
        cdef int first = 0
        cdef int64_t bottom = 0
        cdef double slack
        while self._pages[first >> 7] is NULL:
            first += PAGE_CELLS
        while self._pages[first >> 7][first & (PAGE_CELLS - 1)] == 0:
            first += 1
        bottom = self._pages[first >> 7][first & (PAGE_CELLS - 1)]
        if (self._min > self._max or index_of(clamp(self._min)) != first
                or index_of(clamp(self._max)) != last):
            raise ValueError("corrupt histogram: minimum and maximum contradict the cells")
        if ((self._min < 0) != (self._underflow > 0)
                or (self._max > HIGHEST_VALUE) != (self._overflow > 0)
                or (self._underflow and self._underflow > bottom)
                or self._overflow > self._pages[last >> 7][last & (PAGE_CELLS - 1)]
                or self._underflow > self.count - self._overflow):
            raise ValueError("corrupt histogram: underflow and overflow contradict the cells")
        # The sum is a double: allow for the rounding of many additions.
        slack = 1e-6 * (fabs(<double>self._min) + fabs(<double>self._max) + 1) * self.count
        if not (isfinite(self._sum)
                and self._sum >= <double>self._min * self.count - slack
                and self._sum <= <double>self._max * self.count + slack):
            raise ValueError("corrupt histogram: the sum contradicts minimum and maximum")
        return 0

    def to_hdr(self):
        """The same cells as an ``hdrh.histogram.HdrHistogram``.

        The package knows neither sum nor underflow and overflow: the latter appear in its end
        cells, its minimum and maximum are held within the range.
        """
        from hdrh.histogram import HdrHistogram
        target = HdrHistogram(1, HIGHEST_VALUE, 3)
        for index, count in self._cells():
            target.counts[index] = count
        if self.count:
            target.total_count = self.count
            target.min_value = clamp(self._min)
            target.max_value = clamp(self._max)
        return target

    @staticmethod
    def from_hdr(source):
        """A histogram with the cells of an ``HdrHistogram`` of 3 digits and lowest value 1.

        Minimum and maximum are what the package knows of them; the sum, which it does not keep, is
        that of the middles of the cells, as in its own mean: within 0.05 %. Samples beyond HIGHEST
        become overflow. Raises ValueError for other digits or another lowest value.
        """
        cdef Histogram found = Histogram()
        if source.unit_magnitude != 0 or source.sub_bucket_count != 2048:
            raise ValueError("expected an HDR histogram with lowest value 1 and 3 significant "
                             f"digits, not {source.lowest_trackable_value} and "
                             f"{source.significant_figures}")
        for index, count in enumerate(source.counts):
            if count:
                # The middle lies in the same cell, so that this also fills the right one.
                found.record((lowest_of(index) + highest_of(index) + 1) // 2, count)
        if found.count:
            found._narrow(source.min_value, source.max_value)
        return found

    cdef int _narrow(self, int64_t low, int64_t high) except -1:
        """Take over minimum and maximum known from elsewhere, where the cells agree with them."""
        if self._max <= HIGHEST_VALUE:
            high = min(high, HIGHEST_VALUE)     # the package knows the highest cell, we its end
        if (index_of(clamp(low)) == index_of(clamp(self._min))
                and (low > HIGHEST_VALUE) == (self._min > HIGHEST_VALUE)):
            self._min = low
        if (index_of(clamp(high)) == index_of(clamp(self._max))
                and (high > HIGHEST_VALUE) == (self._max > HIGHEST_VALUE)):
            self._max = high
        self._max = max(self._min, self._max)
        self._sum = min(max(self._sum, <double>self._min * self.count),
                        <double>self._max * self.count)
        return 0

    def encode(self):
        """The base64 text (V2, compressed) that HdrHistogram implementations exchange."""
        return self.to_hdr().encode().decode("ascii")

    @staticmethod
    def decode(payload):
        """The histogram in a payload of :meth:`encode` (str or bytes), with the losses of
        :meth:`from_hdr`. ValueError for what is no such payload."""
        import binascii
        import zlib

        from hdrh.codec import HdrCookieException, HdrLengthException
        from hdrh.histogram import HdrHistogram
        try:
            return Histogram.from_hdr(HdrHistogram.decode(payload))
        except (binascii.Error, zlib.error, HdrCookieException, HdrLengthException, TypeError,
                ValueError, IndexError, ArithmeticError, MemoryError) as error:
            raise ValueError(f"not an HDR histogram payload: {error}") from error


def _restore(bytes data not None):
    return Histogram.from_bytes(data)


cdef tuple _state(Histogram h):
    return (h.count, h._min, h._max, h._sum, h._underflow, h._overflow, h._cells())
