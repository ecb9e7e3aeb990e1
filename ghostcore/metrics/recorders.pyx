"""Recorders of Counter, Gauge, Rate and Trend, and the states that they are drained into.

Everything runs in one thread. A recorder fills its active window; ``drain()`` hands that window
over as a state and starts the next one, so that a drained state is never written to again. No
sample allocates anything but, now and then, a page of a histogram.

States merge in two ways: ``merge`` joins the same span of time measured elsewhere (another worker,
another series), ``append`` joins a later span of the same source. They differ for gauges only.
"""

cimport cython
from libc.math cimport floor, isfinite, llround, rint
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t

from ghostcore.metrics.histogram cimport Histogram

CAUSES = ("deadline", "end", "interrupted", "dropped")
cdef dict CAUSE_INDEX = {cause: index for index, cause in enumerate(CAUSES)}
cdef double INT64_EDGE = 9.2e18     # a double well inside int64


cdef class State:
    """What a series measured in some span of time."""

    def __reduce__(self):
        return state_from_wire, (self.to_wire(),)

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        return self.to_wire() == other.to_wire()

    def __repr__(self):
        return f"<{type(self).__name__} {self.to_wire()[1:]}>"

    def copy(self):
        """An independent state with the same content."""
        return state_from_wire(self.to_wire())


@cython.final
cdef class CounterState(State):
    """A sum, and how many additions it has (those of 0 included: a counter may be known to be 0).

    :ivar total: the sum, in the metric's unit.
    :ivar samples: the number of additions.
    """

    def __init__(self, double total=0.0, int64_t samples=0):
        if not isfinite(total) or total < 0 or samples < 0:
            raise ValueError(f"not a counter: total {total}, samples {samples}")
        self.total = total
        self.samples = samples

    def merge(self, CounterState other not None):
        """Add the count of another source."""
        self.total += other.total
        self.samples += other.samples

    def append(self, CounterState later not None):
        """Add the count of a later span."""
        self.merge(later)

    def to_wire(self):
        """The state as a list that msgpack carries."""
        return ["c", self.total, self.samples]


@cython.final
cdef class GaugeState(State):
    """The last value and the extremes of a level, in the metric's unit.

    :ivar value: the level at the end of the span.
    :ivar min: the lowest level in the span.
    :ivar max: the highest level in the span.
    :ivar additive: each source holds a share of the level (as with users), so that they are added.
    """

    def __init__(self, double value, double min, double max, bint additive=False):
        if not (isfinite(min) and isfinite(max) and min <= value <= max):
            raise ValueError(f"not a gauge: {min} <= {value} <= {max} does not hold")
        self.value = value
        self.min = min
        self.max = max
        self.additive = additive

    def merge(self, GaugeState other not None):
        """Join the same span of another source.

        Additive levels (each source holds a share, as with users) are added; their extremes too,
        which bounds the true ones, since the sources need not have peaked together. Of others the
        last one merged gives the value, and the extremes are those of all.
        """
        if self.additive != other.additive:
            raise ValueError("an additive gauge cannot be merged with one that is not")
        if self.additive:
            self.value += other.value
            self.min += other.min
            self.max += other.max
        else:
            self.append(other)

    def append(self, GaugeState later not None):
        """Join a later span: its value is the value now."""
        self.value = later.value
        self.min = min(self.min, later.min)
        self.max = max(self.max, later.max)

    def to_wire(self):
        """The state as a list that msgpack carries."""
        return ["g", self.value, self.min, self.max, self.additive]


@cython.final
cdef class RateState(State):
    """How many samples passed and how many did not.

    :ivar passes: samples that passed.
    :ivar fails: samples that did not.
    """

    def __init__(self, int64_t passes=0, int64_t fails=0):
        if passes < 0 or fails < 0:
            raise ValueError(f"not a rate: passes {passes}, fails {fails}")
        self.passes = passes
        self.fails = fails

    def merge(self, RateState other not None):
        """Add the counts of another source."""
        self.passes += other.passes
        self.fails += other.fails

    def append(self, RateState later not None):
        """Add the counts of a later span."""
        self.merge(later)

    def to_wire(self):
        """The state as a list that msgpack carries."""
        return ["r", self.passes, self.fails]


@cython.final
cdef class TrendState(State):
    """Samples: those with a value, those that failed, and those cut off, by cause.

    :ivar resolution: the value of one unit of the histograms, in the metric's unit.
    :ivar hist: the samples with a value.
    :ivar failed: the number of operations that will never be answered.
    :ivar cut_off: by cause (see CAUSES), how far operations had come when they were cut off.
    """

    def __init__(self, double resolution, Histogram hist=None, int64_t failed=0, dict cut_off=None):
        if not isfinite(resolution) or resolution <= 0 or failed < 0:
            raise ValueError(f"not a trend: resolution {resolution}, failed {failed}")
        for cause in cut_off or ():
            if cause not in CAUSE_INDEX:
                raise ValueError(f"unknown cause {cause!r}; the causes are {', '.join(CAUSES)}")
        self.resolution = resolution
        self.hist = Histogram() if hist is None else hist
        self.failed = failed
        self.cut_off = {} if cut_off is None else cut_off

    @property
    def count(self):
        """All samples: with a value, failed and cut off."""
        cdef int64_t total = self.hist.count + self.failed
        for cut in self.cut_off.values():
            total += (<Histogram?>cut).count
        return total

    def copy(self):
        """An independent state with the same content."""
        # Not by way of bytes: reports copy states every second.
        cut_off = {cause: (<Histogram?>cut).copy() for cause, cut in self.cut_off.items()}
        return TrendState(self.resolution, self.hist.copy(), self.failed, cut_off)

    def merge(self, TrendState other not None):
        """Add the samples of another source. ValueError for another resolution."""
        if self.resolution != other.resolution:
            raise ValueError("trends of different resolution cannot be merged: "
                             f"{self.resolution} and {other.resolution}")
        self.hist.merge(other.hist)
        self.failed += other.failed
        for cause, cut in other.cut_off.items():
            if cause in self.cut_off:
                self.cut_off[cause].merge(cut)
            else:
                self.cut_off[cause] = cut.copy()

    def append(self, TrendState later not None):
        """Add the samples of a later span."""
        self.merge(later)

    def to_wire(self):
        """The state as a list that msgpack carries."""
        cut_off = {cause: self.cut_off[cause].to_bytes() for cause in CAUSES
                   if cause in self.cut_off}
        return ["t", self.resolution, self.hist.to_bytes(), self.failed, cut_off]


AnyState = CounterState | GaugeState | RateState | TrendState


def state_from_wire(wire):
    """The state that ``to_wire()`` described. ValueError for anything else."""
    cdef dict cut_off
    try:
        kind, *fields = wire
        if kind == "c":
            total, samples = fields
            return CounterState(total, samples)
        if kind == "g":
            value, low, high, additive = fields
            return GaugeState(value, low, high, additive)
        if kind == "r":
            passes, fails = fields
            return RateState(passes, fails)
        if kind == "t":
            resolution, hist, failed, cuts = fields
            cut_off = {cause: Histogram.from_bytes(cut) for cause, cut in cuts.items()}
            return TrendState(resolution, Histogram.from_bytes(hist), failed, cut_off)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"not the state of a metric: {error}") from error
    raise ValueError(f"not the state of a metric: unknown kind {kind!r}")


cdef class Recorder:
    """What all recorders have in common.

    Each has ``drain()``: the window that ends now as a state; None if nothing happened in it.

    :ivar name: the metric's name, for messages.
    """

    cdef object _refuse(self, double value, str instead):
        raise ValueError(f"metric {self.name or '(unnamed)'}: {value} is no sample; {instead}")


@cython.final
cdef class CounterRecorder(Recorder):
    """Adds up."""

    def __init__(self, str name=""):
        self.name = name

    cpdef add(self, double amount):
        """Add a finite amount, 0 or more. Adding 0 makes the counter known to be 0."""
        if not (amount >= 0 and isfinite(self._total + amount)):
            self._refuse(amount, "a counter takes finite numbers from 0 up")
        self._total += amount
        self._samples += 1

    cpdef State drain(self):
        """End the window and begin the next one; None if nothing happened in the one that ends."""
        cdef CounterState state
        if self._samples == 0:
            return None
        state = CounterState(self._total, self._samples)
        self._total = 0.0
        self._samples = 0
        return state


@cython.final
cdef class GaugeRecorder(Recorder):
    """Keeps a level: once set, it has a value in every window, also in those without a change.

    :ivar additive: sources that are merged each hold a share of the level, as workers do of users.
    """

    def __init__(self, bint additive=False, str name=""):
        self.name = name
        self.additive = additive

    cpdef set(self, double value):
        """Set the level, a finite number."""
        if not isfinite(value):
            self._refuse(value, "a gauge takes finite numbers")
        if not self._touched:
            self._touched = True
            self._min = self._max = value
        elif value < self._min:
            self._min = value
        elif value > self._max:
            self._max = value
        self._value = value

    cpdef add(self, double delta):
        """Change the level, which is 0 before the first time."""
        self.set(self._value + delta)

    @property
    def value(self):
        """The level now; 0 before the first time."""
        return self._value

    cpdef State drain(self):
        """End the window and begin the next one; None if nothing happened in the one that ends."""
        cdef GaugeState state
        if not self._touched:
            return None
        state = GaugeState(self._value, self._min, self._max, self.additive)
        self._min = self._max = self._value
        return state


@cython.final
cdef class RateRecorder(Recorder):
    """Counts what passed and what did not."""

    def __init__(self, str name=""):
        self.name = name

    cpdef add(self, bint passed):
        """Count one sample."""
        if passed:
            self._passes += 1
        else:
            self._fails += 1

    cpdef State drain(self):
        """End the window and begin the next one; None if nothing happened in the one that ends."""
        cdef RateState state
        if self._passes == 0 and self._fails == 0:
            return None
        state = RateState(self._passes, self._fails)
        self._passes = 0
        self._fails = 0
        return state


@cython.final
cdef class TrendRecorder(Recorder):
    """Records samples into a histogram.

    :param resolution: the value of one unit of the histogram, in the metric's unit.
    :param unit_ns: ns in one of the metric's unit; 0 for a metric that is no duration.
    :ivar resolution: the value of one unit of the histogram, in the metric's unit.
    """

    def __init__(self, double resolution, double unit_ns=0.0, str name=""):
        cdef double inverse = 1.0 / resolution if resolution > 0 else 0.0
        if not isfinite(resolution) or not isfinite(inverse) or inverse == 0:
            raise ValueError(f"a resolution is finite and above 0, not {resolution}")
        if not isfinite(unit_ns) or unit_ns < 0:
            raise ValueError(f"a unit of time has 0 or more ns, not {unit_ns}")
        self.name = name
        self.resolution = resolution
        # 0.001 has no exact double, 1000 has: dividing by it would turn 0.0015 into 1.4999...
        self._units_per_value = rint(inverse) if whole(inverse) else 0.0
        self._ns_per_unit = unit_ns * resolution
        if whole(self._ns_per_unit):
            self._ns_per_unit = rint(self._ns_per_unit)
        self._begin()

    cdef int _begin(self) except -1:
        self._hist = Histogram()
        self._failed = 0
        self._cut_off = [None] * <int>CAUSE_COUNT
        self._touched = False
        return 0

    cdef int64_t _units_of(self, double value) except? -1:
        cdef double units
        if not isfinite(value):
            self._refuse(value, "a trend takes finite numbers; of operations that may have no "
                         "answer the time is taken by vu.timer() or metric=")
        units = value * self._units_per_value if self._units_per_value else value / self.resolution
        if units >= INT64_EDGE:
            return INT64_MAX
        if units <= -INT64_EDGE:
            return INT64_MIN
        return llround(units)

    cdef int64_t _units_of_ns(self, int64_t ns) except? -1:
        cdef double units
        if self._ns_per_unit == 0:
            raise ValueError(f"metric {self.name or '(unnamed)'} is not a duration: "
                             "record its values, not ns")
        units = <double>ns / self._ns_per_unit
        if units >= INT64_EDGE or units <= -INT64_EDGE:
            return INT64_MAX if ns > 0 else INT64_MIN
        return llround(units)

    cpdef record_ns(self, int64_t ns):
        """Record a duration in ns, rounded to the nearest unit of resolution."""
        self._hist.record(self._units_of_ns(ns))
        self._touched = True

    cpdef record(self, double value):
        """Record a value in the metric's unit. ValueError for NaN and infinity."""
        self._hist.record(self._units_of(value))
        self._touched = True

    cpdef fail(self, int64_t n=1):
        """Count ``n`` operations that will never be answered: they are infinite in quantiles."""
        if n < 0:
            raise ValueError(f"a count is 0 or more, not {n}")
        self._failed += n
        self._touched = self._touched or n > 0

    cpdef cut_off_ns(self, int64_t ns, str cause):
        """Record an operation that had taken ``ns`` when it was cut off; causes: CAUSES."""
        self._cut(self._units_of_ns(ns), cause)

    cpdef cut_off_every_ns(self, int64_t ns, int64_t step_ns, int64_t count, str cause):
        """Record ``count`` operations that were cut off: one that had taken ``ns``, one that had
        taken ``step_ns`` less, and so on."""
        cdef int64_t i
        for i in range(count):
            self._cut(self._units_of_ns(ns - i * step_ns), cause)

    cpdef cut_off(self, double value, str cause):
        """Record an operation that had reached ``value`` when it was cut off; causes: CAUSES."""
        self._cut(self._units_of(value), cause)

    cdef int _cut(self, int64_t units, str cause) except -1:
        cdef object place = CAUSE_INDEX.get(cause)
        cdef int index
        if place is None:
            raise ValueError(f"unknown cause {cause!r}; the causes are {', '.join(CAUSES)}")
        index = place
        if self._cut_off[index] is None:
            self._cut_off[index] = Histogram()
        (<Histogram>self._cut_off[index]).record(units)
        self._touched = True
        return 0

    cpdef State drain(self):
        """End the window and begin the next one; None if nothing happened in the one that ends."""
        cdef TrendState state
        cdef dict cut_off
        if not self._touched:
            return None
        cut_off = {cause: cut for cause, cut in zip(CAUSES, self._cut_off) if cut is not None}
        state = TrendState(self.resolution, self._hist, self._failed, cut_off)
        self._begin()
        return state


cdef bint whole(double x) noexcept:
    """Is this a whole number but for rounding?"""
    return x >= 0.5 and -1e-9 * x <= x - floor(x + 0.5) <= 1e-9 * x
