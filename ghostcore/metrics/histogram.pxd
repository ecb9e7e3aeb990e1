"""HDR histogram in C: the cells of the hdrhistogram package (1 to 3.6e9, 3 digits), sparse."""

from libc.stdint cimport int64_t

cdef enum:
    PAGE_CELLS = 128            # 1 KiB a page
    PAGES = 182                 # enough for the cell of HIGHEST_VALUE

cdef int64_t HIGHEST_VALUE      # 3_600_000_000: one hour in us


cdef class Histogram:
    cdef int64_t **_pages       # PAGES pointers; NULL until the first sample
    cdef readonly int64_t count     # number of samples
    cdef int64_t _min           # of the true values, not of the cells; undefined while empty
    cdef int64_t _max
    cdef double _sum
    cdef int64_t _underflow
    cdef int64_t _overflow

    # Tens of ns for C callers. Raises only for want of memory or a negative count.
    cpdef record(self, int64_t value, int64_t count=*)
    # The k-th smallest sample, 1 <= k <= count, which the caller has checked.
    cdef int64_t at_rank(self, int64_t rank) noexcept
    cdef int64_t *_page(self, int number) except NULL
    cdef int _absorb(self, Histogram other) except -1
    cdef list _cells(self)
    cdef int _check(self, int last) except -1
    cdef int _narrow(self, int64_t low, int64_t high) except -1
    cdef void _free(self) noexcept
    cdef void _reset(self) noexcept

# The rank of quantile q among n samples: ceil(q * n), within 1..n, safe against rounding of q * n.
cpdef int64_t rank_of(double q, int64_t n) except -1
