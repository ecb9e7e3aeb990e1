"""High dynamic range histogram: 1 to 3,600,000,000 at three significant digits."""

from collections.abc import Iterator
from typing import Any, final

from hdrh.histogram import HdrHistogram

HIGHEST: int

def rank_of(q: float, n: int) -> int:
    """Rank (1-based) of quantile ``q`` (0..1) among ``n`` samples: ceil(q * n), at least 1."""

@final
class Histogram:
    """Counts of int64 values, in units of the metric's resolution."""

    def __init__(self) -> None: ...
    def record(self, value: int, count: int = 1) -> None:
        """Count a value, ``count`` times; out of range: clamped, and counted as such."""
    def record_many(self, value: int, times: int) -> None:
        """Record a value ``times`` times, one by one: for benches of the cost of recording."""
    @property
    def count(self) -> int:
        """Number of samples."""
    @property
    def min(self) -> int | None:
        """Exact smallest value; None while empty."""
    @property
    def max(self) -> int | None:
        """Exact greatest value; None while empty."""
    @property
    def sum(self) -> float:
        """Sum of the true values, as a double (exact below 2**53)."""
    @property
    def mean(self) -> float:
        """Mean of the true values; NaN while empty."""
    @property
    def underflow(self) -> int:
        """Samples below 0, counted in cell 0."""
    @property
    def overflow(self) -> int:
        """Samples above HIGHEST, counted in the highest cell."""
    def value_at_rank(self, rank: int) -> int:
        """The k-th smallest sample (1-based): the top of its cell, at most the exact maximum."""
    def value_at_quantile(self, q: float) -> int:
        """The sample of rank ceil(q * count), q within 0..1. ValueError while empty."""
    def count_at_or_below(self, value: int) -> int:
        """Samples at or below a value, as far as cells tell: those of its own cell included."""
    def merge(self, other: Histogram) -> None:
        """Add all samples of another histogram to this one."""
    def copy(self) -> Histogram:
        """An independent histogram with the same samples."""
    def clear(self) -> None:
        """Forget all samples and give back the memory of the cells."""
    def cells(self) -> Iterator[tuple[int, int]]:
        """Iterator of (lowest value of the cell, count) over cells with samples, ascending."""
    def to_bytes(self) -> bytes:
        """Compact form for :meth:`from_bytes`."""
    @staticmethod
    def from_bytes(data: bytes) -> Histogram:
        """The histogram that :meth:`to_bytes` wrote. ValueError for anything else."""
    def to_hdr(self) -> HdrHistogram:
        """The same cells as an ``hdrh.histogram.HdrHistogram``."""
    @staticmethod
    def from_hdr(source: HdrHistogram) -> Histogram:
        """A histogram with the cells of an ``HdrHistogram`` of 3 digits and lowest value 1."""
    def encode(self) -> str:
        """The base64 text (V2, compressed) that HdrHistogram implementations exchange."""
    @staticmethod
    def decode(payload: str | bytes) -> Histogram:
        """The histogram in a payload of :meth:`encode`. ValueError for what is no such payload."""
    def __bool__(self) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]
    def __sizeof__(self) -> int: ...
    def __copy__(self) -> Histogram: ...
    def __deepcopy__(self, memo: dict[int, Any]) -> Histogram: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
