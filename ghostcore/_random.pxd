"""The random stream of one user: Philox2x64-10 under (seed, scenario), counted by (index, draw)."""

cimport cython
from libc.stdint cimport uint64_t


@cython.final
cdef class Random:
    cdef uint64_t _key          # hash of (seed, scenario)
    cdef uint64_t _index        # which start of the scenario
    cdef uint64_t _position     # 64-bit words drawn so far under this index

    cdef uint64_t next_u64(self) noexcept nogil
    # Uniform in [0, 1), 53 bits.
    cdef double next_double(self) noexcept nogil
    # Uniform in [0, bound), without bias; bound > 0.
    cdef uint64_t below(self, uint64_t bound) noexcept nogil

    cdef bytes _words(self, Py_ssize_t count)
    cdef object _below(self, object bound)
    cdef double _normal(self) noexcept nogil
    cdef double _gamma(self, double shape) noexcept nogil
