"""High dynamic range histogram: 1 to 3,600,000,000 at three significant digits."""

from collections.abc import Iterator
from typing import Any, final

from hdrh.histogram import HdrHistogram

HIGHEST: int

def rank_of(q: float, n: int) -> int:
    """Rank (1-based) of quantile ``q`` (0..1) among ``n`` samples: ceil(q * n), at least 1.

    The product is lowered by a few units in the last place first: 0.07 * 100 is a little more than
    7 in binary and must not become rank 8. Raises ValueError for q outside 0..1 or n below 1.
    """

@final
class Histogram:
    """Counts of int64 values, in units of the metric's resolution.

    :ivar count: samples recorded.
    """

    def __init__(self) -> None: ...
    def record(self, value: int, count: int = 1) -> None:
        """Count a value, ``count`` times.

        A value below 0 goes to cell 0 and is counted as underflow; one above HIGHEST goes to the
        highest cell and is counted as overflow. Raises ValueError for a negative count and
        OverflowError for more than 2**63 - 1 samples in all.
        """
    def record_many(self, value: int, times: int) -> None:
        """Record a value ``times`` times, one by one: for benches of the cost of recording."""
    @property
    def count(self) -> int:
        """Samples recorded."""
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
        """The k-th smallest sample (1-based): the top of its cell, at most the exact maximum.

        A sample over the range counts as the maximum, one below 0 as 0. Raises ValueError for a
        rank outside 1..count.
        """
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
        """Compact form for :meth:`from_bytes`: a version byte, the exact fields, then for every
        cell with samples its distance from the one before and its count, as LEB128 integers."""
    @staticmethod
    def from_bytes(data: bytes) -> Histogram:
        """The histogram that :meth:`to_bytes` wrote. ValueError for anything else."""
    def to_hdr(self) -> HdrHistogram:
        """The same cells as an ``hdrh.histogram.HdrHistogram``.

        The package knows neither sum nor underflow and overflow: the latter appear in its end
        cells, its minimum and maximum are held within the range.
        """
    @staticmethod
    def from_hdr(source: HdrHistogram) -> Histogram:
        """A histogram with the cells of an ``HdrHistogram`` of 3 digits and lowest value 1.

        Minimum and maximum are what the package knows of them; the sum, which it does not keep, is
        that of the middles of the cells, as in its own mean: within 0.05 %. Samples beyond HIGHEST
        become overflow. Raises ValueError for other digits or another lowest value.
        """
    def encode(self) -> str:
        """The base64 text (V2, compressed) that HdrHistogram implementations exchange."""
    @staticmethod
    def decode(payload: str | bytes) -> Histogram:
        """The histogram in a payload of :meth:`encode` (str or bytes), with the losses of
        :meth:`from_hdr`. ValueError for what is no such payload."""
    def __bool__(self) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]
    def __sizeof__(self) -> int: ...
    def __copy__(self) -> Histogram: ...
    def __deepcopy__(self, memo: dict[int, Any]) -> Histogram: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
