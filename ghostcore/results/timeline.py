"""What happened when: figures of each second, and the histograms of longer blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ghostcore.metrics import Snapshot, Totals, TrendView, view_of
from ghostcore.metrics.recorders import CounterState, GaugeState, RateState, TrendState
from ghostcore.monitor.generator_report import Span, is_within

__all__ = ["MAX_BLOCKS", "Second", "Timeline"]

MAX_BLOCKS = 600
"""Histogram blocks that are kept; when there are more, neighbours are joined in pairs."""


@dataclass(frozen=True, slots=True)
class Second:
    """The figures of one window of a second.

    :ivar start_s: when the window began, in seconds from the start of the run.
    :ivar end_s: when it ended.
    :ivar values: metric to plain figures: a counter its sum, a gauge its last level, a rate
        ``[passes, fails]``, a Trend ``{count, failed, cut_off, min, max, p50, p95, p99}``.
    """

    start_s: float
    end_s: float
    values: dict[str, Any]


class Timeline:
    """Grows by one snapshot a second, in the order of time.

    ``blocks`` hold the mergeable states themselves, so that any span can be asked for its
    quantiles; there are at most MAX_BLOCKS of them, all of about the same length.
    """

    def __init__(self, max_blocks: int = MAX_BLOCKS) -> None:
        self.seconds: list[Second] = []
        self.blocks: list[Snapshot] = []
        self._max_blocks = max_blocks
        self._joined = 1  # windows in a full block
        self._in_last = 0

    def add(self, snapshot: Snapshot) -> None:
        """Take in the window that followed the last one."""
        self.seconds.append(
            Second(snapshot.start_ns / 1e9, snapshot.end_ns / 1e9, figures(snapshot))
        )
        if self.blocks and self._in_last < self._joined:
            self.blocks[-1] = join(self.blocks[-1], snapshot)
            self._in_last += 1
        else:
            self.blocks.append(snapshot)
            self._in_last = 1
        if len(self.blocks) > self._max_blocks:
            pairs = zip(self.blocks[::2], self.blocks[1::2], strict=False)
            joined = [join(first, second) for first, second in pairs]
            if len(self.blocks) % 2:
                joined.append(self.blocks[-1])
                # It stands alone: it has room for as many windows as it lacks.
            else:
                self._in_last += self._joined
            self.blocks = joined
            self._joined *= 2

    def outside(
        self, spans: Sequence[Span], window_s: float | None = None, until_s: float | None = None
    ) -> tuple[Totals, float]:
        """The sum of all blocks that have no part in any of the spans, and how many seconds they
        are. Only whole blocks count: spans and limits are rounded up to them.

        :param spans: in seconds from the start of the run.
        :param window_s: take the last so many seconds only.
        :param until_s: take seconds before that moment only.
        """
        totals, kept_ns = Totals(), 0
        for block in self._between(window_s, until_s):
            if not is_within(block.start_ns / 1e9, block.end_ns / 1e9, spans):
                totals.add(block)
                kept_ns += block.end_ns - block.start_ns
        return totals, kept_ns / 1e9

    def touches(
        self, spans: Sequence[Span], window_s: float | None = None, until_s: float | None = None
    ) -> bool:
        """Whether a block has a part in one of the spans, so that :meth:`outside` would leave it
        out."""
        return any(
            is_within(block.start_ns / 1e9, block.end_ns / 1e9, spans)
            for block in self._between(window_s, until_s)
        )

    def _between(self, window_s: float | None, until_s: float | None) -> list[Snapshot]:
        blocks = self.blocks
        if until_s is not None:
            until_ns = round(until_s * 1e9)
            blocks = [block for block in blocks if block.start_ns < until_ns]
        if window_s is not None and blocks:
            from_ns = blocks[-1].end_ns - int(window_s * 1e9)
            blocks = [block for block in blocks if block.end_ns > from_ns]
        return blocks


def join(first: Snapshot, second: Snapshot) -> Snapshot:
    """Two windows that follow each other as one."""
    totals = Totals()
    totals.add(first)
    totals.add(second)
    joined = Snapshot(first.start_ns, second.end_ns)
    joined.declarations.update(totals.declarations)
    joined.series.update(totals.series)
    return joined


def figures(snapshot: Snapshot) -> dict[str, Any]:
    """Plain figures of each metric in a window, all tags together."""
    totals = Totals()
    totals.add(snapshot)
    values: dict[str, Any] = {}
    for name in totals.names():
        state = totals.metric(name)
        match state:
            case CounterState():
                values[name] = int(state.total) if state.total.is_integer() else state.total
            case GaugeState():
                values[name] = state.value
            case RateState():
                values[name] = [state.passes, state.fails]
            case TrendState():
                view = view_of(totals.declarations[name], state, seconds=totals.seconds)
                assert isinstance(view, TrendView)
                values[name] = {
                    "count": view.count,
                    "failed": view.failed,
                    "cut_off": view.cut_off,
                    "min": view.min,
                    "max": view.max,
                    "p50": view.p(50),
                    "p95": view.p(95),
                    "p99": view.p(99),
                }
    return values
