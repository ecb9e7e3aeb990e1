"""Recorders of Counter, Gauge, Rate and Trend, and the states that they are drained into."""

from typing import Any, final

from ghostcore.metrics.histogram import Histogram

CAUSES: tuple[str, ...]

class State:
    """What a series measured in some span of time."""

    def copy(self) -> State:
        """An independent state with the same content."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class CounterState(State):
    """A sum, and how many additions it has (those of 0 included: a counter may be known to be 0).

    :ivar total: the sum, in the metric's unit.
    :ivar samples: the number of additions.
    """

    def __init__(self, total: float = 0.0, samples: int = 0) -> None: ...
    @property
    def total(self) -> float:
        """The sum, in the metric's unit."""
    @property
    def samples(self) -> int:
        """The number of additions."""
    def copy(self) -> CounterState: ...
    def merge(self, other: State) -> None:
        """Add the count of another source."""
    def append(self, later: State) -> None:
        """Add the count of a later span."""
    def to_wire(self) -> list[Any]:
        """The state as a list that msgpack carries."""

@final
class GaugeState(State):
    """The last value and the extremes of a level, in the metric's unit.

    :ivar value: the level at the end of the span.
    :ivar min: the lowest level in the span.
    :ivar max: the highest level in the span.
    :ivar additive: each source holds a share of the level (as with users), so that they are added.
    """

    def __init__(self, value: float, min: float, max: float, additive: bool = False) -> None: ...
    @property
    def value(self) -> float:
        """The level at the end of the span."""
    @property
    def min(self) -> float:
        """The lowest level in the span."""
    @property
    def max(self) -> float:
        """The highest level in the span."""
    @property
    def additive(self) -> bool:
        """Each source holds a share of the level (as with users), so that they are added."""
    def copy(self) -> GaugeState: ...
    def merge(self, other: State) -> None:
        """Join the same span of another source.

        Additive levels (each source holds a share, as with users) are added; their extremes too,
        which bounds the true ones, since the sources need not have peaked together. Of others the
        last one merged gives the value, and the extremes are those of all.
        """
    def append(self, later: State) -> None:
        """Join a later span: its value is the value now."""
    def to_wire(self) -> list[Any]:
        """The state as a list that msgpack carries."""

@final
class RateState(State):
    """How many samples passed and how many did not.

    :ivar passes: samples that passed.
    :ivar fails: samples that did not.
    """

    def __init__(self, passes: int = 0, fails: int = 0) -> None: ...
    @property
    def passes(self) -> int:
        """Samples that passed."""
    @property
    def fails(self) -> int:
        """Samples that did not."""
    def copy(self) -> RateState: ...
    def merge(self, other: State) -> None:
        """Add the counts of another source."""
    def append(self, later: State) -> None:
        """Add the counts of a later span."""
    def to_wire(self) -> list[Any]:
        """The state as a list that msgpack carries."""

@final
class TrendState(State):
    """Samples: those with a value, those that failed, and those cut off, by cause.

    :ivar resolution: the value of one unit of the histograms, in the metric's unit.
    :ivar hist: the samples with a value.
    :ivar failed: the number of operations that will never be answered.
    :ivar cut_off: by cause (see CAUSES), how far operations had come when they were cut off.
    """

    def __init__(
        self,
        resolution: float,
        hist: Histogram | None = None,
        failed: int = 0,
        cut_off: dict[str, Histogram] | None = None,
    ) -> None: ...
    @property
    def resolution(self) -> float:
        """The value of one unit of the histograms, in the metric's unit."""
    @property
    def hist(self) -> Histogram:
        """The samples with a value."""
    @property
    def failed(self) -> int:
        """The number of operations that will never be answered."""
    @property
    def cut_off(self) -> dict[str, Histogram]:
        """By cause (see CAUSES), how far operations had come when they were cut off."""
    @property
    def count(self) -> int:
        """All samples: with a value, failed and cut off."""
    def copy(self) -> TrendState:
        """An independent state with the same content."""
    def merge(self, other: State) -> None:
        """Add the samples of another source. ValueError for another resolution."""
    def append(self, later: State) -> None:
        """Add the samples of a later span."""
    def to_wire(self) -> list[Any]:
        """The state as a list that msgpack carries."""

AnyState = CounterState | GaugeState | RateState | TrendState

def state_from_wire(wire: object) -> AnyState:
    """The state that ``to_wire()`` described. ValueError for anything else."""

class Recorder:
    """What all recorders have in common.

    Each has ``drain()``: the window that ends now as a state; None if nothing happened in it.

    :ivar name: the metric's name, for messages.
    """

    @property
    def name(self) -> str:
        """The metric's name, for messages."""

@final
class CounterRecorder(Recorder):
    """Adds up."""

    def __init__(self, name: str = "") -> None: ...
    def add(self, amount: float) -> None:
        """Add a finite amount, 0 or more. Adding 0 makes the counter known to be 0."""
    def drain(self) -> CounterState | None:
        """End the window and begin the next one; None if nothing happened in the one that ends."""

@final
class GaugeRecorder(Recorder):
    """Keeps a level: once set, it has a value in every window, also in those without a change.

    :ivar additive: sources that are merged each hold a share of the level, as workers do of users.
    """

    def __init__(self, additive: bool = False, name: str = "") -> None: ...
    @property
    def additive(self) -> bool:
        """Sources that are merged each hold a share of the level, as workers do of users."""
    @property
    def value(self) -> float:
        """The level now; 0 before the first time."""
    def set(self, value: float) -> None:
        """Set the level, a finite number."""
    def add(self, delta: float) -> None:
        """Change the level, which is 0 before the first time."""
    def drain(self) -> GaugeState | None:
        """End the window and begin the next one; None if nothing happened in the one that ends."""

@final
class RateRecorder(Recorder):
    """Counts what passed and what did not."""

    def __init__(self, name: str = "") -> None: ...
    def add(self, passed: bool) -> None:
        """Count one sample."""
    def drain(self) -> RateState | None:
        """End the window and begin the next one; None if nothing happened in the one that ends."""

@final
class TrendRecorder(Recorder):
    """Records samples into a histogram.

    :param resolution: the value of one unit of the histogram, in the metric's unit.
    :param unit_ns: ns in one of the metric's unit; 0 for a metric that is no duration.
    :ivar resolution: the value of one unit of the histogram, in the metric's unit.
    """

    def __init__(self, resolution: float, unit_ns: float = 0.0, name: str = "") -> None: ...
    @property
    def resolution(self) -> float:
        """The value of one unit of the histogram, in the metric's unit."""
    def record_ns(self, ns: int) -> None:
        """Record a duration in ns, rounded to the nearest unit of resolution."""
    def record(self, value: float) -> None:
        """Record a value in the metric's unit. ValueError for NaN and infinity."""
    def fail(self, n: int = 1) -> None:
        """Count ``n`` operations that will never be answered: they are infinite in quantiles."""
    def cut_off_ns(self, ns: int, cause: str) -> None:
        """Record an operation that had taken ``ns`` when it was cut off; causes: CAUSES."""
    def cut_off_every_ns(self, ns: int, step_ns: int, count: int, cause: str) -> None:
        """Record ``count`` operations that were cut off: one that had taken ``ns``, one that had
        taken ``step_ns`` less, and so on."""
    def cut_off(self, value: float, cause: str) -> None:
        """Record an operation that had reached ``value`` when it was cut off; causes: CAUSES."""
    def drain(self) -> TrendState | None:
        """End the window and begin the next one; None if nothing happened in the one that ends."""
