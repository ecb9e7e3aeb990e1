"""Recorders of Counter, Gauge, Rate and Trend: a few ns a sample, drained once a second."""

from libc.stdint cimport int64_t

from ghostcore.metrics.histogram cimport Histogram

# Why an operation was cut off before its end: the places of CAUSES.
cdef enum Cause:
    CAUSE_DEADLINE = 0
    CAUSE_END = 1
    CAUSE_INTERRUPTED = 2
    CAUSE_DROPPED = 3
    CAUSE_COUNT = 4


cdef class State:
    """What a series measured in some span of time. Owned by whoever drained it."""


cdef class CounterState(State):
    cdef readonly double total
    cdef readonly int64_t samples       # additions, those of 0 included


cdef class GaugeState(State):
    cdef readonly double value
    cdef readonly double min
    cdef readonly double max
    cdef readonly bint additive


cdef class RateState(State):
    cdef readonly int64_t passes
    cdef readonly int64_t fails


cdef class TrendState(State):
    cdef readonly double resolution     # value of one unit of the histograms, in the metric's unit
    cdef readonly Histogram hist
    cdef readonly int64_t failed
    cdef readonly dict cut_off          # cause -> Histogram; only causes that occurred


# Every recorder has drain(): the window that ends now, or None if nothing happened in it. Recording
# goes on in the next window.
cdef class Recorder:
    cdef readonly str name
    cdef bint _touched

    cdef object _refuse(self, double value, str instead)


cdef class CounterRecorder(Recorder):
    cdef double _total
    cdef int64_t _samples

    cpdef add(self, double amount)
    cpdef State drain(self)


cdef class GaugeRecorder(Recorder):
    cdef readonly bint additive
    cdef double _value
    cdef double _min
    cdef double _max

    cpdef set(self, double value)
    cpdef add(self, double delta)
    cpdef State drain(self)


cdef class RateRecorder(Recorder):
    cdef int64_t _passes
    cdef int64_t _fails

    cpdef add(self, bint passed)
    cpdef State drain(self)


cdef class TrendRecorder(Recorder):
    cdef readonly double resolution
    cdef double _units_per_value        # 1 / resolution where that is whole, else 0
    cdef double _ns_per_unit            # 0: not a duration
    cdef Histogram _hist
    cdef int64_t _failed
    cdef list _cut_off                  # one Histogram or None per Cause

    cpdef record_ns(self, int64_t ns)
    cpdef record(self, double value)
    cpdef fail(self, int64_t n=*)
    cpdef cut_off_ns(self, int64_t ns, str cause)
    cpdef cut_off_every_ns(self, int64_t ns, int64_t step_ns, int64_t count, str cause)
    cpdef cut_off(self, double value, str cause)
    cpdef State drain(self)
    cdef int _begin(self) except -1
    cdef int _cut(self, int64_t units, str cause) except -1
    cdef int64_t _units_of(self, double value) except? -1
    cdef int64_t _units_of_ns(self, int64_t ns) except? -1
