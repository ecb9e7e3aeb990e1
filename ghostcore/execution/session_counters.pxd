"""What is recorded of each session of a scenario, in one call for all its figures."""

from ghostcore.metrics.recorders cimport CounterRecorder, TrendRecorder


cdef class SessionCounters:
    cdef CounterRecorder _attempts
    cdef CounterRecorder _errors
    cdef CounterRecorder _opened
    cdef TrendRecorder _tcp
    cdef TrendRecorder _upgrade
    cdef TrendRecorder _connecting
